"""Fits of many voxels: from start values to minima, in one thread."""

from contextlib import contextmanager
from dataclasses import dataclass

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from ._levenberg_marquardt import levenberg_marquardt
from ._objective import AT_BOUND, VoxelObjective

_RESTART_MARGIN = 0.01
# A prior is weighed anew as long as a minimum leaves less than this share of the noise.
_LOWER, _MOST_ROUNDS = 0.9, 5


@dataclass(frozen=True, eq=False)
class VoxelFitter:
    """How voxels are fitted; small, so that it travels to workers.

    Parameters
    ----------
    model : SignalModel
        The model.
    box : UnitBox
        Bounds of the parameters.
    max_iter : int
        Most steps from one start.
    tol : float
        Share of the cost below which a foreseen gain ends the search.
    prior : GaussianPrior or None
        Prior of the parameters.
    noise_std : float
        Noise for M0 = 1, where a signal has no more real numbers than unknowns.
    """

    model: object
    box: object
    max_iter: int
    tol: float
    prior: object
    noise_std: float

    def fit(self, X, starts, sigma=None):
        """Fit voxels, in one thread; on failure, say so in their status.

        Parameters
        ----------
        X : ndarray of shape (n_voxels, n_features)
            Data, complex if the model is; finite, and if complex not zero throughout.
        starts : ndarray of shape (n_starts, n_voxels, n_parameters)
            Start values, in SI units.
        sigma : ndarray of shape (n_voxels,), default=None
            Noise of X per channel.

        Returns
        -------
        VoxelFits
            One row a voxel.
        """
        with one_thread(), np.errstate(all="ignore"):
            objective = VoxelObjective(
                self.model,
                self.box,
                X,
                prior=self.prior,
                sigma=sigma,
                noise_std=self.noise_std,
            )
            first, *others = (self.box.unit(start) for start in starts)
            best = self._search(objective, first, objective.begin(first))
            if self.prior is not None and sigma is None:
                self._lower_noise(objective, best)
            rows = np.arange(len(X))
            for start in others:
                best.replace(rows, self._search(objective, start))
            self._cross_borders(objective, best)
            return objective.fits(best)

    def _search(self, objective, start, first=None, rows=None):
        """Search from a start, in all voxels or some."""
        rows = np.arange(len(start)) if rows is None else rows
        return levenberg_marquardt(
            lambda some, *point: objective.evaluate(rows[some], *point),
            start,
            self.max_iter,
            self.tol,
            first,
        )

    def _lower_noise(self, objective, best):
        """Go on from the minima, with the noise that they leave, where it falls."""
        rows = np.arange(len(best.x))
        for _ in range(_MOST_ROUNDS):
            before = objective.noise[rows]
            first = objective.begin(best.x[rows], rows)
            best.take_over(rows, self._search(objective, best.x[rows], first, rows))
            rows = rows[objective.noise[rows] < _LOWER * before]
            if not rows.size:
                break

    def _cross_borders(self, objective, best):
        """Search once more from the other side for periodic parameters at a bound."""
        period = self.model.periods / (self.box.high - self.box.low)
        at_low, at_high = best.x < AT_BOUND, best.x > 1 - AT_BOUND
        there = np.where(at_low, best.x + period, best.x - period)
        # A period leads back between the bounds only if they span one.
        wraps = (at_low | at_high) & (there > -AT_BOUND) & (there < 1 + AT_BOUND)
        rows = np.flatnonzero(wraps.any(axis=1))
        if rows.size:
            margin = _RESTART_MARGIN
            moved = np.where(wraps, np.clip(there, margin, 1 - margin), best.x)[rows]
            best.replace(rows, self._search(objective, moved, rows=rows))


@contextmanager
def one_thread():
    """Keep numba and BLAS to one thread: voxels are the parallel part.

    Sums by BLAS also depend on the number of threads, and so would the last digits.
    """
    n_threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        numba.set_num_threads(n_threads)
