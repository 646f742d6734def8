"""Fits of voxels, each on its own: from start values to minima, or a few steps further.

Both drivers run in one thread and are small, so that they can be sent to workers.
"""

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from functools import partial

import numpy as np
from joblib import effective_n_jobs

from .._threads import one_thread
from ..bounds import covariance_of_estimates
from ..models.base import with_amplitude
from ..noise import likelihood_of
from .box import AT_BOUND, at_limits
from .compiled_likelihood import compiled_likelihood, has_compiled_likelihood
from .compiled_search import compiled_squares, has_compiled_search
from .fisher_scoring import steps_of_scoring
from .levenberg_marquardt import levenberg_marquardt
from .likelihood import LikelihoodObjective
from .profiles import best_of_profiles, search_profiles
from .variable_projection import SquaresObjective

# A prior is reweighted until the noise changes by less than this share, at most this often.
_CHANGE, _MOST_ROUNDS = 0.1, 5
# Excess of a cost over that at a match, as a share, that is not worth another search, and
# residual over the data that is due to rounding, so that no step may lower it.
_SLACK, _EXACT = 1e-6, 1e-8
_LARGEST_CHUNK, _LARGEST_COMPILED_CHUNK = 1024, 4096


class VoxelStatus(IntEnum):
    """How the fit of a voxel ended.

    ``CONVERGED``, ``ITERATION_LIMIT`` (the estimate is the best so far), ``EMPTY`` (no
    signal: complex and zero throughout, or a magnitude that is nowhere positive),
    ``FAILED`` (the model is not finite), ``INVALID`` (the signal has NaN or infinite
    values, its known values are outside their domain, or it is a UNI value that MP2RAGE
    does not reach) or ``STALLED`` (no step lowers the
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
        Half the squared norm of the residual ``x - m0 * s(theta)``, each sample over its
        noise relative to the least if sigma differs among them.
    relative_residual : ndarray of shape (n_voxels,)
        Norm of the residual over that of x.
    sigma : ndarray of shape (n_voxels,)
        Noise per channel, given (the least of a voxel) or estimated; NaN where nothing
        shows it.
    covariance : ndarray of shape (n_voxels, n_parameters, n_parameters)
        Inverse of the Fisher information at the estimate (plus that of the prior, if there
        is one), as if the estimate were inside the bounds; see
        :func:`~crbestim.bounds.covariance_from_jacobian` where it is singular. NaN without
        `sigma` if a signal has no more real numbers than unknowns.
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
    sigma: np.ndarray
    covariance: np.ndarray
    status: np.ndarray
    n_iterations: np.ndarray
    at_bound: np.ndarray

    @classmethod
    def without_estimate(cls, status, n_parameters, wants_covariance=True):
        """Return voxels that were not fitted: NaN throughout, with their status."""
        n, shape = len(status), (len(status), n_parameters, n_parameters)
        return cls(
            theta=np.full((n, n_parameters), np.nan),
            m0=np.full(n, np.nan, dtype=complex),
            cost=np.full(n, np.nan),
            relative_residual=np.full(n, np.nan),
            sigma=np.full(n, np.nan),
            covariance=np.full(shape, np.nan) if wants_covariance else _unwanted(shape),
            status=np.array(status, dtype=int),
            n_iterations=np.zeros(n, dtype=int),
            at_bound=np.zeros((n, n_parameters), dtype=bool),
        )

    def put(self, rows, fits, but=()):
        """Write the fits of some voxels into their rows, but for some fields."""
        for field in fields(self):
            values = getattr(self, field.name)
            # Covariances that nobody wants cannot be written.
            if field.name not in but and values.flags.writeable:
                values[rows] = getattr(fits, field.name)


def _unwanted(shape):
    """Return NaN everywhere, in the memory of a single number, which is read only."""
    return np.broadcast_to(np.nan, shape)


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

    @property
    def largest_chunk(self):
        """Number of voxels that are fitted at a time, at most; results do not depend on it.

        Where a compiled loop needs little memory, more of them save calls.
        """
        return _LARGEST_COMPILED_CHUNK if self.is_compiled else _LARGEST_CHUNK

    @property
    def is_compiled(self):
        """Whether a compiled loop searches, in which threads do not wait for each other."""
        options = self.model, self.prior
        return has_compiled_search(*options) or has_compiled_likelihood(*options)

    def of(self, rows):
        """Return the same for some of the voxels, with their known values."""
        return replace(self, model=self.model.rows(rows))

    def fit(self, data, starts, spare=None):
        """Fit voxels; their status says which failed.

        Parameters
        ----------
        data : Measurements
            Data with a signal, complex if the model is.
        starts : ndarray of shape (n_starts, n_voxels, n_parameters)
            Start values of the parameters, without an amplitude, in SI units.
        spare : ndarray of shape (n_voxels, n_parameters), default=None
            One more start, for voxels whose searches end with a higher cost than it has.

        Returns
        -------
        VoxelFits
            One row a voxel.
        """
        with one_thread(), np.errstate(all="ignore"):
            options = self.model, self.box, data, self.prior, self.limits
            objective = compiled_squares(*options) or compiled_likelihood(*options)
            objective = objective or objective_of(*options)
            first, *others = (
                objective.variables(self.box.fractions(start)) for start in starts
            )
            best = self._search(objective, first, begins=True)
            rows = np.arange(len(data))
            for start in others:
                best.replace(rows, self._search(objective, start))
            if spare is not None:
                start = objective.variables(self.box.fractions(spare))
                excess = best.cost - objective.evaluate(rows, start, False).cost
                rows = np.flatnonzero(excess > _SLACK * best.size)
                if rows.size:
                    best.replace(rows, self._search(objective, start[rows], rows))
            search_profiles(objective, best, first, self._search)
            if objective.n_elsewhere:
                self._search_elsewhere(objective, best)
            if objective.weighs_anew:
                self._weigh_anew(objective, best)
            return self._results(objective, data, best)

    def _search(self, objective, start, rows=None, *, begins=False):
        """Search from a start, in all voxels or some, across bounds that meet.

        If it `begins`, the objective looks at the data from there.
        """
        rows = np.arange(len(start)) if rows is None else rows
        if hasattr(objective, "search"):
            found = objective.search(rows, start, self.max_iter, self.tol, begins)
        else:
            first = objective.begin(start, rows) if begins else None
            found = self._search_together(objective, start, first, rows)
        if objective.box.is_round.any():
            self._search_inside(objective, rows, found)
        return found

    def _search_together(self, objective, start, first, rows):
        """Search in voxels of any model, which share its calls."""
        box, shift = objective.box, objective.box.shift(start)

        def evaluate(some, local, jacobian):
            fractions = box.wrapped(local + shift[some])
            return objective.evaluate(rows[some], fractions, jacobian)

        options = self.max_iter, self.tol, first, self.model._has_own_jacobian
        found = levenberg_marquardt(evaluate, start - shift, *options)
        found.x = box.wrapped(found.x + shift)
        return found

    def _search_inside(self, objective, rows, found):
        """Go on where a search stalled beside ends that meet, and keep to its side.

        If the signal has a period only nearly, or but for its derivative, the cost jumps or
        bends there, and the minimum may be at the end itself.
        """
        beside = (found.x < AT_BOUND) | (found.x > 1 - AT_BOUND)
        is_round = objective.box.is_round
        stuck = np.flatnonzero(found.stalled & (beside & is_round).any(axis=1))
        if stuck.size:

            def evaluate(some, fractions, jacobian):
                return objective.evaluate(rows[stuck[some]], fractions, jacobian)

            again = levenberg_marquardt(evaluate, found.x[stuck], self.max_iter, self.tol)
            found.take_over(stuck, again)

    def _search_elsewhere(self, objective, best):
        """Search again where a place far away is better than a doubtful minimum."""
        places = _best_anywhere(objective, self.box, best.x, best.cost, ~best.failed)
        rows = np.flatnonzero((places != best.x).any(axis=1))
        if rows.size:
            best.replace(rows, self._search(objective, places[rows], rows))

    def _weigh_anew(self, objective, best):
        """Repeat the search with the noise estimated at the minima until it settles."""
        rows = np.flatnonzero(~best.failed)
        for _ in range(_MOST_ROUNDS):
            if not rows.size:
                break
            before = objective.noise[rows]
            again = self._search(objective, best.x[rows], rows, begins=True)
            best.take_over(rows, again)
            ratio = objective.noise[rows] / np.where(before > 0, before, 1.0)
            rows = rows[np.abs(ratio - 1) > _CHANGE]

    def _results(self, objective, data, minima):
        """Return the fits at the minima."""
        theta, m0, misfit = objective.at(minima.x)
        places = minima.x[:, : len(self.box.low)]
        status = np.select(
            [minima.failed, minima.converged, minima.stalled],
            [VoxelStatus.FAILED, VoxelStatus.CONVERGED, VoxelStatus.STALLED],
            VoxelStatus.ITERATION_LIMIT,
        )
        status[minima.stalled & (misfit < _EXACT)] = VoxelStatus.CONVERGED
        at_end = (places < AT_BOUND) | (places > 1 - AT_BOUND)
        at_end &= ~self.box.is_round
        column = self.model._amplitude_column
        if column is not None:
            amplitude = theta[:, column]
            near = at_limits(amplitude, self.limits)
            at_end = with_amplitude(at_end, column, near)
            # Curvatures differ on both sides of a limit, where gains are not as predicted.
            status[minima.stalled & near] = VoxelStatus.CONVERGED
            if likelihood_of(self.model) is None:
                # Without an amplitude, no parameter has an effect, and no search moves.
                status[(amplitude == 0) & minima.converged] = VoxelStatus.STALLED
        noise = objective.noise_at(minima.x, misfit) * objective.norm
        fits = VoxelFits(
            theta=theta,
            m0=m0.astype(complex),
            cost=0.5 * (misfit * objective.norm * np.abs(objective.factor)) ** 2,
            relative_residual=misfit,
            sigma=noise * np.abs(objective.factor),
            covariance=self._covariance(data, theta, m0, objective.factor, noise),
            status=status.astype(int),
            n_iterations=minima.n_iterations,
            at_bound=at_end,
        )
        lost = np.flatnonzero(minima.failed)
        fits.put(lost, VoxelFits.without_estimate(fits.status[lost], theta.shape[1]))
        return fits

    def _covariance(self, data, theta, m0, factor, noise):
        """Inverse information at the minimum, for noise in units of the factors."""
        if not self.wants_covariance:
            return _unwanted((*theta.shape, theta.shape[1]))
        # Complex signals in units of the data at M0 = 1, whose squares do not overflow.
        unit, scale = (factor, 1.0) if self.model.is_complex else (1.0, factor)
        return covariance_of_estimates(
            self.model,
            *self.model._simulate_voxels(theta, jacobian=True),
            theta=theta,
            noise_std=data.noise(noise * scale),
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

    def refine(self, data, starts):
        """Take the steps from the best of several starts.

        Parameters
        ----------
        data : Measurements
            Data with a signal, complex if the model is.
        starts : ndarray of shape (n_starts, n_voxels, n_parameters)
            Estimates of the parameters, without an amplitude, in SI units; they are
            brought inside the bounds. Steps begin at those with the lowest cost.

        Returns
        -------
        theta : ndarray of shape (n_voxels, n_parameters)
            Refined estimates; NaN where the estimate or the model there is not finite.
        is_free : ndarray of bool, shape (n_voxels,)
            Whether the last step was taken without damping.
        sigma : ndarray of shape (n_voxels,)
            Noise per channel, given or estimated; NaN where nothing shows it.
        """
        usable = np.isfinite(starts).all(axis=(0, 2))
        theta = np.full((len(data), self.model.n_parameters), np.nan)
        is_free, sigma = np.ones(len(data), dtype=bool), np.full(len(data), np.nan)
        if usable.any():
            with one_thread(), np.errstate(all="ignore"):
                options = self.box, data[usable], self.prior, self.limits
                objective = objective_of(self.model.rows(usable), *options)
                candidates = [
                    objective.variables(self.box.fractions(start[usable]))
                    for start in starts
                ]
                place = _best_start(objective, self.box, candidates)
                place, sound, is_free[usable] = best_of_profiles(
                    objective, place, partial(steps_of_scoring, objective, self.n_steps)
                )
                found, _, misfit = objective.at(place)
                theta[usable] = np.where(sound[:, None], found, np.nan)
                unit = objective.norm * np.abs(objective.factor)
                sigma[usable] = objective.noise_at(place, misfit) * unit
        return theta, is_free, sigma


def objective_of(model, box, data, prior, limits):
    """Return the costs of voxels that suit the noise of their model."""
    noise, options = likelihood_of(model), {"prior": prior, "limits": limits}
    if noise is None:
        return SquaresObjective(model, box, data, **options)
    return LikelihoodObjective(model, box, data, noise, **options)


def _best_start(objective, box, candidates):
    """Return the start with the lowest cost in each voxel; of equals, the first."""
    if len(candidates) > 1:
        costs = np.stack([objective.costs(place) for place in candidates])
        every = np.arange(len(candidates[0]))
        candidates = [np.stack(candidates)[costs.argmin(axis=0), every]]
    place = candidates[0]
    if not objective.n_elsewhere:
        return place
    cost = objective.evaluate(np.arange(len(place)), place, False).cost
    return _best_anywhere(objective, box, place, cost, np.isfinite(cost))


def _best_anywhere(objective, box, place, cost, usable):
    """Return places with a lower cost, far away, of voxels where such are likely."""
    rows = np.flatnonzero(objective.is_doubtful(place) & usable)
    best = place.copy()
    if rows.size:
        lowest = cost[rows] - _SLACK
        for theta in box.spread(objective.n_elsewhere)[0]:
            fractions = np.tile(box.fractions(theta[None]), (len(rows), 1))
            there = objective.variables(fractions, rows)
            found = objective.evaluate(rows, there, False).cost
            lower = found < lowest
            lowest[lower], best[rows[lower]] = found[lower], there[lower]
    return best


def chunks(n_voxels, n_jobs, largest=_LARGEST_CHUNK):
    """Return the rows of each task, as slices; few, as each task sets up its model."""
    size = min(-(-n_voxels // (2 * effective_n_jobs(n_jobs))), largest)
    return [slice(i, i + size) for i in range(0, n_voxels, size)]


def evenly_spaced(n_rows, n_wanted):
    """Return the indices of at most `n_wanted` rows, evenly spaced among all."""
    return np.linspace(0, n_rows - 1, min(n_rows, n_wanted)).round().astype(int)
