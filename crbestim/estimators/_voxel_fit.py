"""Fits of many voxels: from start values to minima, in one thread."""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import numba
import numpy as np
from joblib import effective_n_jobs
from threadpoolctl import threadpool_limits

from ._levenberg_marquardt import levenberg_marquardt
from ._objective import VoxelObjective

# A prior is weighed anew as long as the noise changes by more than this share.
_CHANGE, _MOST_ROUNDS = 0.1, 5
_LARGEST_CHUNK = 1024


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

    def of(self, rows):
        """Return the same for some of the voxels.

        Parameters
        ----------
        rows : slice
            The voxels.

        Returns
        -------
        VoxelFitter
            With the model at their known values, if it has any.
        """
        return replace(self, model=self.model.rows(rows))

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
            rows = np.arange(len(X))
            for start in others:
                best.replace(rows, self._search(objective, start))
            if self.prior is not None and sigma is None:
                self._weigh_anew(objective, best)
            return objective.fits(best)

    def _search(self, objective, start, first=None, rows=None):
        """Search from a start, in all voxels or some, across borders that meet."""
        rows, box = np.arange(len(start)) if rows is None else rows, self.box
        turns = box.turns(start)

        def evaluate(some, local, jacobian):
            unit = box.turned(local + turns[some])
            return objective.evaluate(rows[some], unit, jacobian)

        found = levenberg_marquardt(evaluate, start - turns, self.max_iter, self.tol, first)
        found.x = box.turned(found.x + turns)
        return found

    def _weigh_anew(self, objective, best):
        """Go on from the minima with the noise that they leave, while that changes."""
        rows = np.flatnonzero(~best.failed)
        for _ in range(_MOST_ROUNDS):
            if not rows.size:
                break
            before = objective.noise[rows]
            first = objective.begin(best.x[rows], rows)
            best.take_over(rows, self._search(objective, best.x[rows], first, rows))
            ratio = objective.noise[rows] / np.where(before > 0, before, 1.0)
            rows = rows[np.abs(ratio - 1) > _CHANGE]


def chunks(n_voxels, n_jobs):
    """Return rows for each task; every task that travels sets the model up anew.

    Parameters
    ----------
    n_voxels : int
        Number of voxels.
    n_jobs : int or None
        Number of joblib workers.

    Returns
    -------
    list of slice
        Rows of the tasks.
    """
    size = min(-(-n_voxels // (2 * effective_n_jobs(n_jobs))), _LARGEST_CHUNK)
    return [slice(i, i + size) for i in range(0, n_voxels, size)]


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
