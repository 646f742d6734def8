"""Variable projection: exact derivatives, one call of the model for each point."""

import numpy as np
import pytest

from crbestim.estimators._voxel_fit import VoxelObjective


@pytest.fixture
def objective(model):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((model.n_features, 2)).view(complex)[..., 0]
    return VoxelObjective(model, x)


def test_jacobian_against_differences(objective):
    # x is far from every signal, so that both terms of the derivative count.
    unit = np.random.default_rng(1).uniform(0.2, 0.8, 7)
    jacobian = objective.jacobian(unit).copy()
    for k, step in enumerate(1e-5 * np.eye(7)):
        difference = objective.residual(unit + step) - objective.residual(unit - step)
        error = np.linalg.norm(difference / 2e-5 - jacobian[:, k])
        assert error < 1e-5 * np.linalg.norm(jacobian[:, k])


def test_residual_is_orthogonal_to_the_signal(objective):
    unit = np.full(7, 0.4)
    real, imaginary = np.split(objective.residual(unit), 2)
    s = objective.model.signal(objective.theta(unit)[None])[0]
    assert abs(np.vdot(s, real + 1j * imaginary)) < 1e-12 * np.linalg.norm(s)


def test_one_call_of_the_model_gives_residual_and_jacobian(objective):
    unit = np.full(7, 0.4)
    objective.residual(unit), objective.jacobian(unit), objective.m0(unit)
    assert objective.n_evaluations == 1
    objective.residual(unit + 0.1)
    assert objective.n_evaluations == 2


def test_parameters_never_leave_their_bounds(objective):
    low, high = objective.model.bounds.T
    for unit in (np.zeros(7), np.ones(7), np.full(7, 1 + 1e-15)):
        theta = objective.theta(unit)
        assert ((theta >= low) & (theta <= high)).all()
