"""Fits of voxels from start values: each on its own, and what goes wrong is flagged."""

import numpy as np

from crbestim._measurements import Measurements
from crbestim.estimators.nlls import VoxelStatus
from crbestim.least_squares.box import UnitBox
from crbestim.least_squares.driver import VoxelFitter


def test_a_model_that_raises_for_one_voxel_leaves_the_others(model):
    class Raising(type(model)):
        def signal(self, theta, jacobian=False):
            if (theta[:, 0] > 0.2).any():
                raise FloatingPointError("too large")
            return super().signal(theta, jacobian)

    raising = Raising(model.model, model.basis)
    low, high = model.bounds.T
    starts = low + (high - low) * np.full((3, 7), 0.3)
    starts[1, 0] = 0.3
    data = Measurements(model.signal(starts * [1.01, 1, 1, 1, 1, 1, 1]))
    box = UnitBox.from_bounds(model.bounds, model.periods)
    fitter = VoxelFitter(raising, box, 30, 1e-6, None, 0.01)
    fits = fitter.fit(data, starts[None])
    assert fits.status[1] == VoxelStatus.FAILED and np.isnan(fits.theta[1]).all()
    alone = fitter.fit(data[[0, 2]], starts[None, [0, 2]])
    np.testing.assert_array_equal(fits.theta[[0, 2]], alone.theta)
    assert np.isfinite(alone.theta).all()
