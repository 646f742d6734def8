"""Least squares for one voxel after another, the complex factor M0 eliminated.

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
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

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
    """Project the model's signal out of the data.

    Parameters
    ----------
    x : ndarray of shape (n_features,), complex
        Data.
    s : ndarray of shape (n_features,), complex
        Signal.
    ds : ndarray of shape (n_features, n_parameters), complex
        Its derivatives.

    Returns
    -------
    residual : ndarray of shape (n_features,)
        Data less ``m0 * s``.
    derivatives : ndarray of shape (n_features, n_parameters)
        Those of the residual, ``-m0 P ds - s (ds^H r) / s^H s`` with the projection P
        onto what is orthogonal to s; exact, both terms of Golub and Pereyra.
    m0 : complex
        The factor.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._voxel_fit import variable_projection
    >>> s = np.array([1.0, 1.0j])
    >>> residual, _, m0 = variable_projection(2j * s, s, np.ones((2, 1)))
    >>> abs(residual).max() < 1e-12, m0
    (np.True_, np.complex128(2j))
    """
    energy = np.vdot(s, s).real
    m0 = np.vdot(s, x) / energy
    residual = x - m0 * s
    projected = ds - np.outer(s, s.conj() @ ds) / energy
    along = np.outer(s, ds.conj().T @ residual) / energy
    return residual, -m0 * projected - along, m0


class VoxelObjective:
    """Residual of one voxel and its Jacobian, from one call of the model.

    Parameters
    ----------
    model : SignalModel
        The model.
    x : ndarray of shape (n_features,)
        Data of the voxel, complex if the model is.
    """

    def __init__(self, model, x):
        self.model, self.x = model, x
        self.low, self.high = model.bounds.T
        self.width = self.high - self.low
        self.norm = np.linalg.norm(x) or 1.0
        self.n_evaluations = 0
        self._unit = None

    def theta(self, unit):
        """Return parameters for their fractions of the bounds."""
        return np.clip(self.low + self.width * unit, self.low, self.high)

    def residual(self, unit):
        """Return the residual, real and imaginary parts stacked."""
        self._evaluate(unit)
        return self._residual

    def jacobian(self, unit):
        """Return the derivatives of the residual."""
        self._evaluate(unit)
        if not np.isfinite(self._jacobian).all():
            raise FloatingPointError("the Jacobian of the model is not finite")
        return self._jacobian

    def m0(self, unit):
        """Return the factor M0."""
        self._evaluate(unit)
        return self._m0

    def _evaluate(self, unit):
        # SciPy asks for the Jacobian where it asked for the residual before.
        if self._unit is not None and np.array_equal(unit, self._unit):
            return
        s, ds = self.model.evaluate(self.theta(unit)[None], jacobian=True)
        s, ds = s[0], ds[0] * self.width
        if self.x.dtype.kind == "c":
            residual, derivatives, self._m0 = variable_projection(self.x, s, ds)
            residual = np.concatenate([residual.real, residual.imag])
            derivatives = np.concatenate([derivatives.real, derivatives.imag])
        else:
            residual, derivatives, self._m0 = self.x - s, -ds, 1.0
        self._residual, self._jacobian = residual / self.norm, derivatives / self.norm
        self._unit = np.array(unit)
        self.n_evaluations += 1


def _minimize(objective, start, max_nfev, tol):
    """Run SciPy from one start; without a test of the gradient, which has no scale."""
    if not np.isfinite(objective.residual(start)).all():
        raise FloatingPointError("the model is not finite at the start values")
    return least_squares(
        objective.residual,
        start,
        jac=objective.jacobian,
        bounds=(0.0, 1.0),
        ftol=tol,
        xtol=tol,
        gtol=None,
        max_nfev=max_nfev,
    )


def _across_the_border(model, unit):
    """Start on the other side for periodic parameters at a bound, or None."""
    period = model.periods / np.diff(model.bounds, axis=1).ravel()
    at_low, at_high = unit < _AT_BOUND, unit > 1 - _AT_BOUND
    there = np.where(at_low, unit + period, unit - period)
    # A period leads back between the bounds only if they span one.
    wraps = (at_low | at_high) & (there > -_AT_BOUND) & (there < 1 + _AT_BOUND)
    if not wraps.any():
        return None
    margin = _RESTART_MARGIN
    return np.where(wraps, np.clip(there, margin, 1 - margin), unit)


def fit_voxel(model, x, start, max_nfev, tol):
    """Fit one voxel; on failure, say so in its status.

    Parameters
    ----------
    model : SignalModel
        The model.
    x : ndarray of shape (n_features,)
        Data, complex if the model is.
    start : ndarray of shape (n_parameters,)
        Start values, in SI units, inside the bounds.
    max_nfev : int
        Most evaluations of the model from one start.
    tol : float
        Relative change of cost or of parameters at which to stop.

    Returns
    -------
    VoxelFits
        One row.
    """
    if x.dtype.kind == "c" and not x.any():
        return _no_fit(model, VoxelStatus.EMPTY, 0)
    objective = VoxelObjective(model, x)
    try:
        best = _minimize(
            objective, (start - objective.low) / objective.width, max_nfev, tol
        )
        restart = _across_the_border(model, best.x)
        if restart is not None:
            other = _minimize(objective, restart, max_nfev, tol)
            best = min(best, other, key=lambda result: result.cost)
        m0 = objective.m0(best.x)
    except (FloatingPointError, np.linalg.LinAlgError):
        return _no_fit(model, VoxelStatus.FAILED, objective.n_evaluations)
    # SciPy's status is 0 at max_nfev, and positive for the test that was met.
    status = VoxelStatus.CONVERGED if best.status else VoxelStatus.ITERATION_LIMIT
    return _row(
        objective.theta(best.x),
        m0,
        best.cost * objective.norm**2,
        np.sqrt(2 * best.cost),
        status,
        objective.n_evaluations,
        (best.x < _AT_BOUND) | (best.x > 1 - _AT_BOUND),
    )


def _no_fit(model, status, n_evaluations):
    theta = np.full(model.n_parameters, np.nan)
    return _row(theta, np.nan, np.nan, np.nan, status, n_evaluations, theta > 0)


def _row(theta, m0, cost, relative_residual, status, n_evaluations, at_bound):
    return VoxelFits(
        theta[None],
        np.array([m0], dtype=complex),
        np.array([cost]),
        np.array([relative_residual]),
        np.array([status], dtype=int),
        np.array([n_evaluations]),
        at_bound[None],
    )


def fit_chunk(model, X, starts, max_nfev, tol):
    """Fit voxels one after another, in one thread; arguments as in `fit_voxel`.

    Parameters
    ----------
    model : SignalModel
        The model.
    X : ndarray of shape (n_voxels, n_features)
        Data.
    starts : ndarray of shape (n_voxels, n_parameters)
        Start values.
    max_nfev, tol : int, float
        When to stop.

    Returns
    -------
    VoxelFits
        One row a voxel.
    """
    with _one_thread(), np.errstate(all="ignore"):
        rows = [
            fit_voxel(model, x, start, max_nfev, tol)
            for x, start in zip(X, starts, strict=True)
        ]
    return VoxelFits.concatenate(rows)


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
