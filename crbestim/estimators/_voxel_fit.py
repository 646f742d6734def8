"""Least squares for many voxels, the complex factor M0 eliminated.

For given parameters the best factor is M0 = s^H x / s^H s, so that theta alone is
sought: the minimum of ``norm(r)`` with r = x - M0 s(theta), the part of x orthogonal to
s. This is variable projection (Golub and Pereyra 1973, doi 10.1137/0710036). A real
signal has no such factor: r = x - s(theta).

Inside, parameters are fractions of the width of their bounds, since their own scales
differ by 1e8, and residuals are fractions of ``norm(x)``.
"""

from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import IntEnum

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from ._levenberg_marquardt import levenberg_marquardt

_AT_BOUND = 1e-4
_RESTART_MARGIN = 0.01


class VoxelStatus(IntEnum):
    """How the fit of a voxel ended.

    ``CONVERGED``, ``ITERATION_LIMIT`` (the estimate is the best so far), ``EMPTY`` (an
    all-zero complex signal) or ``FAILED`` (the model is not finite); the last two have
    NaN for an estimate.

    Examples
    --------
    >>> from crbestim.estimators.nlls import VoxelStatus
    >>> VoxelStatus(1).name
    'ITERATION_LIMIT'
    """

    CONVERGED = 0
    ITERATION_LIMIT = 1
    EMPTY = 2
    FAILED = 3


@dataclass(frozen=True, eq=False)
class VoxelFits:
    """Least-squares fits, one voxel a row.

    Attributes
    ----------
    theta : ndarray of shape (n_voxels, n_parameters)
        Estimates, in SI units; NaN where the fit failed.
    m0 : ndarray of shape (n_voxels,), complex
        Factor of the model's signal, in units of X; 1 for a real model.
    cost : ndarray of shape (n_voxels,)
        Half the squared norm of the residual ``x - m0 * s(theta)``.
    relative_residual : ndarray of shape (n_voxels,)
        Norm of the residual over that of x.
    status : ndarray of int, shape (n_voxels,)
        Codes of :class:`VoxelStatus`.
    n_evaluations : ndarray of int, shape (n_voxels,)
        How often the model was evaluated.
    at_bound : ndarray of bool, shape (n_voxels, n_parameters)
        Whether an estimate lies at one of its bounds, to 1e-4 of their distance.
    """

    theta: np.ndarray
    m0: np.ndarray
    cost: np.ndarray
    relative_residual: np.ndarray
    status: np.ndarray
    n_evaluations: np.ndarray
    at_bound: np.ndarray

    @classmethod
    def concatenate(cls, parts):
        """Join fits of several chunks of voxels.

        Parameters
        ----------
        parts : sequence of VoxelFits
            The chunks.

        Returns
        -------
        VoxelFits
            All voxels.
        """
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def variable_projection(x, s, ds):
    """Project the model's signals out of the data.

    Parameters
    ----------
    x : ndarray of shape (n_voxels, n_features), complex
        Data.
    s : ndarray of shape (n_voxels, n_features), complex
        Signals.
    ds : ndarray of shape (n_voxels, n_features, n_parameters), complex
        Their derivatives.

    Returns
    -------
    residual : ndarray of shape (n_voxels, n_features)
        Data less ``m0 * s``.
    derivatives : ndarray of shape (n_voxels, n_features, n_parameters)
        Those of the residual, ``-m0 P ds - s (ds^H r) / s^H s`` with the projection P
        onto what is orthogonal to s; exact, both terms of Golub and Pereyra.
    m0 : ndarray of shape (n_voxels,)
        The factors.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._voxel_fit import variable_projection
    >>> s = np.array([[1.0, 1.0j]])
    >>> residual, _, m0 = variable_projection(2j * s, s, np.ones((1, 2, 1)))
    >>> abs(residual).max() < 1e-12, m0
    (np.True_, array([0.+2.j]))
    """
    adjoint = s.conj()[:, None, :]
    energy = (np.abs(s) ** 2).sum(axis=1)
    m0 = (adjoint @ x[:, :, None])[:, 0, 0] / energy
    residual = x - m0[:, None] * s
    unit = s[:, :, None] / energy[:, None, None]
    projected = ds - unit * (adjoint @ ds)
    along = unit * (residual[:, None, :] @ ds.conj())
    return residual, -m0[:, None, None] * projected - along, m0


class VoxelObjective:
    """Residuals of voxels and their derivatives, from one call of the model.

    Parameters
    ----------
    model : SignalModel
        The model.
    X : ndarray of shape (n_voxels, n_features)
        Data, complex if the model is.
    """

    def __init__(self, model, X):
        self.model, self.X = model, X
        self.low, self.high = model.bounds.T
        self.width = self.high - self.low
        norm = np.linalg.norm(X, axis=1)
        self.norm = np.where(norm > 0, norm, 1.0)

    def theta(self, unit):
        """Return parameters for their fractions of the bounds."""
        return np.clip(self.low + self.width * unit, self.low, self.high)

    def unit(self, theta):
        """Return fractions of the bounds for parameters."""
        return (theta - self.low) / self.width

    def evaluate(self, rows, unit):
        """Return residuals, real and imaginary parts stacked, and their derivatives."""
        residual, derivatives, _ = self._evaluate(rows, unit)
        norm = self.norm[rows]
        if self.X.dtype.kind == "c":
            residual = np.concatenate([residual.real, residual.imag], axis=1)
            derivatives = np.concatenate([derivatives.real, derivatives.imag], axis=1)
        return residual / norm[:, None], derivatives / norm[:, None, None]

    def m0(self, unit):
        """Return the factors M0 of all voxels."""
        return self._evaluate(np.arange(len(unit)), unit)[2]

    def _evaluate(self, rows, unit):
        s, ds = self._simulate(self.theta(unit))
        ds = ds * self.width
        if self.X.dtype.kind == "c":
            return variable_projection(self.X[rows], s, ds)
        return self.X[rows] - s, -ds, np.ones(len(rows))

    def _simulate(self, theta):
        """Simulate all voxels at once, one after another if the model fails in some."""
        try:
            return self.model.simulate(theta, jacobian=True)
        except (FloatingPointError, np.linalg.LinAlgError):
            if len(theta) > 1:
                parts = [self._simulate(row[None]) for row in theta]
                return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        n_features = self.X.shape[1]
        s = np.full((1, n_features), np.nan, dtype=self.X.dtype)
        return s, np.full((1, n_features, len(self.low)), np.nan, dtype=self.X.dtype)


def _across_the_border(model, unit):
    """Start on the other side for periodic parameters at a bound; and where that is."""
    period = model.periods / np.diff(model.bounds, axis=1).ravel()
    at_low, at_high = unit < _AT_BOUND, unit > 1 - _AT_BOUND
    there = np.where(at_low, unit + period, unit - period)
    # A period leads back between the bounds only if they span one.
    wraps = (at_low | at_high) & (there > -_AT_BOUND) & (there < 1 + _AT_BOUND)
    margin = _RESTART_MARGIN
    moved = np.where(wraps, np.clip(there, margin, 1 - margin), unit)
    return moved, np.flatnonzero(wraps.any(axis=1))


def fit_chunk(model, X, starts, max_nfev, tol):
    """Fit voxels, in one thread; on failure, say so in their status.

    Parameters
    ----------
    model : SignalModel
        The model.
    X : ndarray of shape (n_voxels, n_features)
        Data, complex if the model is.
    starts : ndarray of shape (n_voxels, n_parameters)
        Start values, in SI units, inside the bounds.
    max_nfev : int
        Most evaluations of the model from one start.
    tol : float
        Relative change of cost or of parameters at which to stop.

    Returns
    -------
    VoxelFits
        One row a voxel.
    """
    with _one_thread(), np.errstate(all="ignore"):
        empty = ~X.any(axis=1) if X.dtype.kind == "c" else np.zeros(len(X), dtype=bool)
        fits = _empty_fits(model, len(X))
        if not empty.all():
            full = np.flatnonzero(~empty)
            found = _fit_full(model, X[full], starts[full], max_nfev, tol)
            for field in fields(fits):
                getattr(fits, field.name)[full] = getattr(found, field.name)
        return fits


def _fit_full(model, X, starts, max_nfev, tol):
    """Fit voxels that have a signal."""
    objective = VoxelObjective(model, X)
    best = levenberg_marquardt(objective.evaluate, objective.unit(starts), max_nfev, tol)
    moved, rows = _across_the_border(model, best.x)
    if rows.size:
        again = levenberg_marquardt(
            lambda some, unit: objective.evaluate(rows[some], unit),
            moved[rows],
            max_nfev,
            tol,
        )
        best.replace(rows, again)
    status = np.where(best.converged, VoxelStatus.CONVERGED, VoxelStatus.ITERATION_LIMIT)
    lost = best.failed
    at_bound = (best.x < _AT_BOUND) | (best.x > 1 - _AT_BOUND)
    return VoxelFits(
        np.where(lost[:, None], np.nan, objective.theta(best.x)),
        np.where(lost, np.nan, objective.m0(best.x)).astype(complex),
        np.where(lost, np.nan, best.cost * objective.norm**2),
        np.where(lost, np.nan, np.sqrt(2 * best.cost)),
        np.where(lost, VoxelStatus.FAILED, status),
        best.n_evaluations,
        at_bound & ~lost[:, None],
    )


def _empty_fits(model, n):
    nan = np.full(n, np.nan)
    return VoxelFits(
        np.full((n, model.n_parameters), np.nan),
        nan.astype(complex),
        nan,
        nan.copy(),
        np.full(n, VoxelStatus.EMPTY, dtype=int),
        np.zeros(n, dtype=int),
        np.zeros((n, model.n_parameters), dtype=bool),
    )


@contextmanager
def _one_thread():
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
