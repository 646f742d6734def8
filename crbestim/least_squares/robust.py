r"""Fits that samples far from the model hardly affect.

A robust loss rho grows more slowly than the square z of a residual over ``f_scale`` sigma.
Its minimum is that of weighted squares with the weights rho'(z), found by turns: fit with
the weights, and weigh anew (iteratively reweighted least squares; Holland and Welsch 1977,
doi 10.1080/03610927708827533). No turn raises the sum of losses.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._measurements import Measurements
from ..models.base import without_amplitude

WEIGHTS = {
    "soft_l1": lambda z: (1 + z) ** -0.5,
    "huber": lambda z: np.maximum(z, 1.0) ** -0.5,
    "cauchy": lambda z: 1 / (1 + z),
    "arctan": lambda z: 1 / (1 + z**2),
}
"""Derivative rho'(z) of each robust loss, by its name in SciPy's ``least_squares``."""

# Change of a weight that ends the turns, and their largest number.
_CHANGE, _MOST_TURNS = 1e-6, 100
# Median of the absolute value of a normal variable, and of the length of a pair of them.
_MEDIANS = {"f": 0.6744897501960817, "c": 1.1774100225154747}


@dataclass(frozen=True, eq=False)
class RobustFitter:
    """Search for the minimum of a robust loss of each voxel.

    Parameters
    ----------
    fitter : VoxelFitter
        Fits weighted squares.
    loss : {"soft_l1", "huber", "cauchy", "arctan"}
        The loss.
    f_scale : float
        Residual, in units of sigma, from which a sample counts less.
    """

    fitter: object
    loss: str
    f_scale: float

    @property
    def largest_chunk(self):
        """Number of voxels that are fitted at a time, at most."""
        return self.fitter.largest_chunk

    @property
    def is_compiled(self):
        """Whether a compiled loop searches."""
        return self.fitter.is_compiled

    def of(self, rows):
        """Return the same for some of the voxels, with their known values."""
        return replace(self, fitter=self.fitter.of(rows))

    def fit(self, data, starts, spare=None):
        """Fit voxels, as `VoxelFitter.fit` does; covariances are NaN.

        Without noise, sigma is that of the median absolute residual of each voxel.
        """
        fitter = replace(self.fitter, wants_covariance=False)
        fits = fitter.fit(data, starts, spare)
        weights, rows = np.ones(data.X.shape), np.arange(len(data))
        for _ in range(_MOST_TURNS):
            model = self.fitter.model.rows(rows)
            new, sigma = self._weights(model, data[rows], fits, rows)
            fits.sigma[rows] = sigma
            moved = (np.abs(new - weights[rows]) > _CHANGE).any(axis=1)
            weights[rows] = new
            rows = rows[moved]
            if not rows.size:
                break
            some = data[rows]
            root = some.weigh(np.sqrt(weights[rows]))
            column = self.fitter.model._amplitude_column
            others = without_amplitude(fits.theta[rows], column)
            again = fitter.of(rows).fit(
                Measurements(some.X, some.sigma, root), others[None]
            )
            again.n_iterations[:] += fits.n_iterations[rows]
            fits.put(rows, again, but=("covariance", "sigma"))
        return fits

    def _weights(self, model, data, fits, rows):
        """Return the weights of samples by their residuals, and the noise."""
        signal, _ = model._simulate_voxels(fits.theta[rows])
        left = data.weigh(np.abs(data.X - fits.m0[rows, None] * signal))
        sigma = data.sigma
        if sigma is None:
            counted = np.where(data.counts, left, np.nan)
            n_real, n_free = model._real_numbers(data)[0], model._free_numbers(data)
            shrunk = np.sqrt(n_real / np.maximum(n_free, 1))
            sigma = np.nanmedian(counted, axis=1) / _MEDIANS[data.X.dtype.kind] * shrunk
            sigma = np.where(n_free > 0, sigma, np.nan)
        limit = self.f_scale * np.where(sigma > 0, sigma, np.finfo(float).tiny)
        with np.errstate(all="ignore"):
            square = np.nan_to_num((left / limit[:, None]) ** 2, nan=0.0, posinf=1e300)
        return WEIGHTS[self.loss](square), sigma
