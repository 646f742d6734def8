"""Fits of voxels, each on its own: from start values to minima, or a few steps further.

Both drivers run in one thread and are small, so that they can be sent to workers.
"""

from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numba
import numpy as np
from joblib import effective_n_jobs
from threadpoolctl import threadpool_limits

from ..bounds import covariance_of_estimates, crb_from_jacobian
from ..models.base import with_amplitude
from ..noise import noise_of
from .box import damped_steps, foreseen_gain, normal_equations
from .levenberg_marquardt import levenberg_marquardt
from .variable_projection import VoxelObjective

# A prior is reweighted until the noise changes by less than this share, at most this often.
_CHANGE, _MOST_ROUNDS = 0.1, 5
# Excess of a cost over that at a match, as a share, that is not worth another search.
_SLACK = 1e-6
_LARGEST_CHUNK = 1024
# Values at which a model is checked to determine its parameters.
_N_PROBES = 64
# Share of the width of the bounds within which an estimate counts as at a bound.
_AT_BOUND = 1e-4
# Damping tried in turn, from practically none to a short step down the gradient.
_DAMPINGS = (1e-10, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
# Share of the predicted gain that a single step must reach.
_LEAST_GAIN = 0.1
# Share of the cost below which a predicted gain is negligible.
_AT_GOAL = 1e-6


class VoxelStatus(IntEnum):
    """How the fit of a voxel ended.

    ``CONVERGED``, ``ITERATION_LIMIT`` (the estimate is the best so far), ``EMPTY`` (no
    signal: complex and zero throughout, or a magnitude that is nowhere positive),
    ``FAILED`` (the model is not finite), ``INVALID`` (the signal has NaN or infinite
    values, or its known values are outside their domain) or ``STALLED`` (no step lowers the
    cost, though the model's derivatives say that one should; the estimate is the best so
    far). ``EMPTY``, ``FAILED`` and ``INVALID`` have NaN for an estimate.

    Examples
    --------
    >>> from crbestim.estimators import VoxelStatus
    >>> VoxelStatus(1).name
    'ITERATION_LIMIT'
    """

    CONVERGED = 0
    ITERATION_LIMIT = 1
    EMPTY = 2
    FAILED = 3
    INVALID = 4
    STALLED = 5


@dataclass(frozen=True, eq=False)
class VoxelFits:
    """Least-squares fits, one voxel a row.

    Attributes
    ----------
    theta : ndarray of shape (n_voxels, n_parameters)
        Estimates, in SI units; NaN where there is none.
    m0 : ndarray of shape (n_voxels,), complex
        Factor of the model's signal, in units of X; 1 for a real model.
    cost : ndarray of shape (n_voxels,)
        Half the squared norm of the residual ``x - m0 * s(theta)``.
    relative_residual : ndarray of shape (n_voxels,)
        Norm of the residual over that of x.
    covariance : ndarray of shape (n_voxels, n_parameters, n_parameters)
        Inverse of the Fisher information at the estimate (plus that of the prior, if there
        is one), as if the estimate were inside the bounds; see
        :func:`~crbestim.bounds.covariance_from_jacobian` where it is singular. NaN without
        `sigma` if the noise is Rician or a signal has no more real numbers than unknowns.
    status : ndarray of int, shape (n_voxels,)
        Codes of :class:`VoxelStatus`.
    n_iterations : ndarray of int, shape (n_voxels,)
        Number of steps tried.
    at_bound : ndarray of bool, shape (n_voxels, n_parameters)
        Whether an estimate lies at one of its bounds, to 1e-4 of their distance, or an
        amplitude to 1e-4 of the bound; never for parameters whose bounds span their period.
    """

    theta: np.ndarray
    m0: np.ndarray
    cost: np.ndarray
    relative_residual: np.ndarray
    covariance: np.ndarray
    status: np.ndarray
    n_iterations: np.ndarray
    at_bound: np.ndarray

    @classmethod
    def without_estimate(cls, status, n_parameters):
        """Return voxels that were not fitted: NaN throughout, with their status."""
        n = len(status)
        return cls(
            theta=np.full((n, n_parameters), np.nan),
            m0=np.full(n, np.nan, dtype=complex),
            cost=np.full(n, np.nan),
            relative_residual=np.full(n, np.nan),
            covariance=np.full((n, n_parameters, n_parameters), np.nan),
            status=np.array(status, dtype=int),
            n_iterations=np.zeros(n, dtype=int),
            at_bound=np.zeros((n, n_parameters), dtype=bool),
        )

    @classmethod
    def concatenate(cls, parts):
        """Join the fits of several chunks of voxels."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def put(self, rows, fits):
        """Write the fits of some voxels into their rows."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(fits, field.name)


@dataclass(frozen=True, eq=False)
class VoxelFitter:
    """Search for the minimum of each voxel.

    Parameters
    ----------
    model : SignalModel
        The model.
    box : UnitBox
        Bounds of its parameters, without an amplitude.
    max_iter : int
        Maximum number of steps from one start.
    tol : float
        Share of the cost below which a predicted gain ends the search.
    prior : GaussianPrior or None
        Prior of the parameters.
    wants_covariance : bool, default=True
        Whether covariances are computed; otherwise they are NaN.
    limits : tuple of float, default=None
        Bounds of the amplitude, if the model has one.
    """

    model: object
    box: object
    max_iter: int
    tol: float
    prior: object
    wants_covariance: bool = True
    limits: tuple | None = None

    def of(self, rows):
        """Return the same for some of the voxels, with their known values."""
        return replace(self, model=self.model.rows(rows))

    def fit(self, X, starts, sigma=None, spare=None, expected=None):
        """Fit voxels; their status says which failed.

        Parameters
        ----------
        X : ndarray of shape (n_voxels, n_features)
            Finite data with a signal, complex if the model is.
        starts : ndarray of shape (n_starts, n_voxels, n_parameters)
            Start values of the parameters, without an amplitude, in SI units.
        sigma : ndarray of shape (n_voxels,), default=None
            Noise of X per channel.
        spare : ndarray of shape (n_voxels, n_parameters), default=None
            One more start, for voxels whose searches ended badly.
        expected : ndarray of shape (n_voxels,), default=None
            Residual at that start, over the norm of X: a worse one is a bad end.

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
                limits=self.limits,
            )
            first, *others = (self.box.fractions(start) for start in starts)
            best = self._search(objective, first, objective.begin(first))
            rows = np.arange(len(X))
            for start in others:
                best.replace(rows, self._search(objective, start))
            if spare is not None:
                rows = np.flatnonzero(best.cost > (1 + _SLACK) * expected**2 / 2)
                if rows.size:
                    start = self.box.fractions(spare[rows])
                    best.replace(rows, self._search(objective, start, rows=rows))
            if self.prior is not None and sigma is None:
                self._weigh_anew(objective, best)
            return self._results(objective, best)

    def _search(self, objective, start, first=None, rows=None):
        """Search from a start, in all voxels or some, across bounds that meet."""
        rows, box = np.arange(len(start)) if rows is None else rows, self.box
        shift = box.shift(start)

        def evaluate(some, local, jacobian):
            fractions = box.wrapped(local + shift[some])
            return objective.evaluate(rows[some], fractions, jacobian)

        found = levenberg_marquardt(evaluate, start - shift, self.max_iter, self.tol, first)
        found.x = box.wrapped(found.x + shift)
        self._search_inside(objective, rows, found)
        return found

    def _search_inside(self, objective, rows, found):
        """Go on where a search stalled beside ends that meet, and keep to its side.

        If the signal has a period only nearly, or but for its derivative, the cost jumps or
        bends there, and the minimum may be at the end itself.
        """
        beside = (found.x < _AT_BOUND) | (found.x > 1 - _AT_BOUND)
        stuck = np.flatnonzero(found.stalled & (beside & self.box.is_round).any(axis=1))
        if stuck.size:

            def evaluate(some, fractions, jacobian):
                return objective.evaluate(rows[stuck[some]], fractions, jacobian)

            again = levenberg_marquardt(evaluate, found.x[stuck], self.max_iter, self.tol)
            found.take_over(stuck, again)

    def _weigh_anew(self, objective, best):
        """Repeat the search with the noise estimated at the minima until it settles."""
        rows = np.flatnonzero(~best.failed)
        for _ in range(_MOST_ROUNDS):
            if not rows.size:
                break
            before = objective.noise[rows]
            first = objective.begin(best.x[rows], rows)
            best.take_over(rows, self._search(objective, best.x[rows], first, rows))
            ratio = objective.noise[rows] / np.where(before > 0, before, 1.0)
            rows = rows[np.abs(ratio - 1) > _CHANGE]

    def _results(self, objective, minima):
        """Return the fits at the minima."""
        theta, m0, misfit = objective.at(minima.x)
        status = np.select(
            [minima.failed, minima.converged, minima.stalled],
            [VoxelStatus.FAILED, VoxelStatus.CONVERGED, VoxelStatus.STALLED],
            VoxelStatus.ITERATION_LIMIT,
        )
        at_end = (minima.x < _AT_BOUND) | (minima.x > 1 - _AT_BOUND)
        at_end &= ~self.box.is_round
        column = self.model._amplitude_column
        if column is not None:
            amplitude, m0 = objective.amplitude_at(minima.x), np.ones(len(m0))
            theta = with_amplitude(theta, column, amplitude)
            near = [np.isclose(amplitude, end, _AT_BOUND, 0.0) for end in self.limits]
            at_end = with_amplitude(at_end, column, np.any(near, axis=0))
            # Curvatures differ on both sides of a limit, where gains are not as predicted.
            status[minima.stalled & np.any(near, axis=0)] = VoxelStatus.CONVERGED
            # Without an amplitude, no parameter has an effect, and no search moves.
            status[(amplitude == 0) & minima.converged] = VoxelStatus.STALLED
        fits = VoxelFits(
            theta=theta,
            m0=m0.astype(complex),
            cost=0.5 * (misfit * objective.norm * np.abs(objective.factor)) ** 2,
            relative_residual=misfit,
            covariance=self._covariance(objective, theta, m0, misfit),
            status=status.astype(int),
            n_iterations=minima.n_iterations,
            at_bound=at_end,
        )
        lost = np.flatnonzero(minima.failed)
        fits.put(lost, VoxelFits.without_estimate(fits.status[lost], theta.shape[1]))
        return fits

    def _covariance(self, objective, theta, m0, misfit):
        """Inverse information at the minimum, for noise given or estimated there."""
        unknown = np.full((*theta.shape, theta.shape[1]), np.nan)
        if not self.wants_covariance:
            return unknown
        if objective.sigma is None and noise_of(self.model).needs_sigma:
            return unknown
        noise = objective.noise_at(misfit) * objective.norm
        # Complex signals in units of the data at M0 = 1, whose squares do not overflow.
        is_complex = self.model.is_complex
        unit, scale = (objective.factor, 1.0) if is_complex else (1.0, objective.factor)
        return covariance_of_estimates(
            self.model,
            *self.model._simulate_voxels(theta, jacobian=True),
            noise_std=noise * scale,
            m0=m0 / unit,
            prior_precision=None if self.prior is None else self.prior.precision,
        )


@dataclass(frozen=True, eq=False)
class FisherScoring:
    """A few steps of Fisher scoring from an estimate, damped where needed.

    Parameters
    ----------
    model : SignalModel
        The model.
    box : UnitBox
        Bounds of its parameters, without an amplitude.
    n_steps : int
        Number of steps.
    prior : GaussianPrior or None
        Prior of the parameters.
    limits : tuple of float, default=None
        Bounds of the amplitude, if the model has one.
    """

    model: object
    box: object
    n_steps: int
    prior: object
    limits: tuple | None = None

    def refine(self, X, starts, sigma=None):
        """Take the steps from the best of several starts.

        Parameters
        ----------
        X : ndarray of shape (n_voxels, n_features)
            Finite data with a signal, complex if the model is.
        starts : ndarray of shape (n_starts, n_voxels, n_parameters)
            Estimates of the parameters, without an amplitude, in SI units; they are
            brought inside the bounds. Steps begin at those with the smallest residual.
        sigma : ndarray of shape (n_voxels,), default=None
            Noise of X per channel.

        Returns
        -------
        theta : ndarray of shape (n_voxels, n_parameters)
            Refined estimates; NaN where the estimate or the model there is not finite.
        is_free : ndarray of bool, shape (n_voxels,)
            Whether the last step was taken without damping.
        """
        usable = np.isfinite(starts).all(axis=(0, 2))
        n_parameters = self.model.n_parameters
        theta = np.full((len(X), n_parameters), np.nan)
        is_free = np.ones(len(X), dtype=bool)
        if usable.any():
            with one_thread(), np.errstate(all="ignore"):
                objective = VoxelObjective(
                    self.model.rows(usable),
                    self.box,
                    X[usable],
                    prior=self.prior,
                    sigma=None if sigma is None else sigma[usable],
                    limits=self.limits,
                )
                candidates = [self.box.fractions(start[usable]) for start in starts]
                place, sound = _best_start(objective, candidates), True
                for _ in range(self.n_steps):
                    place, finite, is_free[usable] = _step(objective, place)
                    sound = sound & finite
                found, column = self.box.theta(place), self.model._amplitude_column
                if column is not None:
                    amplitude = objective.amplitude_at(place)
                    found = with_amplitude(found, column, amplitude)
                theta[usable] = np.where(sound[:, None], found, np.nan)
        return theta, is_free


def _best_start(objective, candidates):
    """Return the start with the smallest residual in each voxel; of equals, the first."""
    if len(candidates) == 1:
        return candidates[0]
    misfits = np.stack([objective.misfit(place) for place in candidates])
    return np.stack(candidates)[misfits.argmin(axis=0), np.arange(len(candidates[0]))]


def _step(objective, place):
    """Return where steps lead, where the model is finite, and which are not damped.

    Voxels stay in place if the model is not finite or no step is good.
    """
    residual, jacobian = objective.begin(place)
    g, h = normal_equations(residual, jacobian)
    finite = np.isfinite(g).all(axis=1) & np.isfinite(h).all(axis=(1, 2))
    reached, rows = place.copy(), np.flatnonzero(finite)
    is_free = finite.copy()
    shift = objective.box.shift(place)
    local = place - shift
    for damping in _DAMPINGS:
        if not rows.size:
            break
        step = damped_steps(local[rows], g[rows], h[rows], np.full(len(rows), damping))
        moved = np.clip(local[rows] + step, 0.0, 1.0)
        moved = objective.box.wrapped(moved + shift[rows])
        foreseen = foreseen_gain(g[rows], h[rows], step)
        taken = _is_better(objective, rows, moved, residual[rows], foreseen)
        reached[rows[taken]] = moved[taken]
        at_goal = foreseen <= _AT_GOAL * (residual[rows] ** 2).sum(axis=1)
        is_free[rows[~taken & ~at_goal]] = False
        rows = rows[~taken]
    return reached, finite, is_free


def _is_better(objective, rows, moved, residual, foreseen):
    """Whether a step lowers the cost as predicted, without raising the data's residual.

    The cost includes the prior, so it may fall while that residual rises. A step that gains
    far less than predicted leads to where the derivatives do not hold.
    """
    n_data = objective.n_data
    before, after = residual**2, objective.evaluate(rows, moved, False)[0] ** 2
    data = after[:, :n_data].sum(axis=1) <= before[:, :n_data].sum(axis=1)
    gain = 0.5 * (before.sum(axis=1) - after.sum(axis=1))
    return data & (gain > 0) & (gain >= _LEAST_GAIN * foreseen)


def chunks(n_voxels, n_jobs):
    """Return the rows of each task, as slices; few, as each task sets up its model."""
    size = min(-(-n_voxels // (2 * effective_n_jobs(n_jobs))), _LARGEST_CHUNK)
    return [slice(i, i + size) for i in range(0, n_voxels, size)]


@contextmanager
def one_thread():
    """Limit numba and BLAS to one thread: voxels are the parallel part.

    Besides, the last digits of sums by BLAS depend on the number of threads.
    """
    n_threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        numba.set_num_threads(n_threads)


def evenly_spaced(n_rows, n_wanted):
    """Return the indices of at most `n_wanted` rows, evenly spaced among all."""
    return np.linspace(0, n_rows - 1, min(n_rows, n_wanted)).round().astype(int)


def check_determined(model, theta, name):
    """Refuse a model that determines its parameters at none of the given values.

    theta : (n, n_parameters), without an amplitude, which has no effect.

    Such a model has more unknowns than a signal has real numbers, or a parameter whose
    bound is infinite at all of these values.
    """
    if model.n_reals < model.n_unknowns:
        raise ValueError(
            f"{name} has {model._counts}; measure more, fix parameters, or give a prior."
        )
    theta = with_amplitude(theta, model._amplitude_column, 1.0)
    rows = evenly_spaced(len(theta), _N_PROBES)
    signal, jacobian = model.rows(rows)._simulate_voxels(theta[rows], jacobian=True)
    finite = np.isfinite(signal).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))
    nuisance = signal[finite] if model.is_complex else None
    crb = crb_from_jacobian(jacobian[finite], nuisance, accuracy=model.jacobian_accuracy)
    is_open = np.isinf(crb).all(axis=0)
    if finite.any() and is_open.any():
        names = np.array(model.parameter_names)[is_open]
        raise ValueError(
            f"the signal does not determine {', '.join(names)} at any start value: the "
            f"Jacobian is singular there, and {name} cannot search; start elsewhere, fix "
            "parameters, or give a prior."
        )
