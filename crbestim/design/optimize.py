"""The search for the best acquisition: starts, time, progress and what comes of them."""

import math
from dataclasses import dataclass, field

import numpy as np
from joblib import delayed, effective_n_jobs
from scipy.interpolate import PchipInterpolator

from .._deadline import Deadline, now
from .._options import check_choice, check_flag, check_number
from .._parallel import in_parallel
from .._simulations import random_state_of
from .._validation import check_count
from ._feasible import FeasibleSet, violation
from ._interior_point import Search, nearest
from .limits import check_limits
from .objective import Problem, combine
from .result import DesignResult, bounds_over_b1

_PARAMETRIZATIONS = ("free",)
# Weight of the barrier, times the number of limits, at the start and the end: what the
# logarithm of the objective may be off by.
_FIRST_GAP, _LAST_GAP = 1.0, 1e-4
_TOLERANCE = 1e-6
_SHARPEST = 1e3
# Controls of more values than this are drawn as smooth curves.
_MANY = 30
_EVERY = 1.0


def optimize_sequence(
    model,
    theta,
    *,
    weights=None,
    limits=None,
    objective="mean_log",
    parametrization="free",
    noise_std=None,
    n_starts=1,
    max_time=60,
    n_jobs=None,
    random_state=None,
    verbose=False,
):
    """Find the acquisition with the least Cramér-Rao bound.

    What changes are the ``controls`` of the model: flip angles and durations of the pulses
    of trains, flip angles and repetition times of fingerprints, echo times, inversion
    times, flip angles or diffusion weightings of other models. The objective of one tissue
    is ``T * sum_p w_p CRB_p / theta_p**2``, where T is the duration of the measurement, or
    the number of samples of models without a repetition time; parameters that are 0 or
    have a period are relative to the width of their bounds.

    Parameters
    ----------
    model : SignalModel
        The model, at the acquisition from which the search starts. Some parameters may be
        given; compressed models are refused.
    theta : array-like of shape (n_tissues, n_parameters)
        Parameters of the tissues, and their B1 and omega0, in SI units.
    weights : dict or array-like of shape (n_parameters,), default=None
        Weights of the parameters, 0 or more. A dict holds them by name, and those that it
        leaves out have weight 0. By default all have weight 1, but for omega0 and B1,
        which have 0. A bound whose weight is 0 may be infinite.
    limits : Limits, default=None
        What every acquisition keeps, by default ``Limits()``.
    objective : {"mean_log", "mean", "max"}, default="mean_log"
        What is made of the values of several tissues: the mean of their logarithms, their
        mean, or the largest.
    parametrization : {"free"}, default="free"
        How controls are parametrized: each value on its own.
    noise_std : float, default=None
        Standard deviation of the noise per channel, for M0 = 1. By default 1; it must be
        given where it changes which acquisition is best, as Rician noise does.
    n_starts : int, default=1
        Number of searches, the first from the model's own acquisition, the others from
        random ones.
    max_time : float or None, default=60
        Seconds for all searches, shared by them; None for no limit.
    n_jobs : int, default=None
        Number of workers for several starts, as joblib takes it.
    random_state : int, RandomState or None, default=None
        Seed of the random starts. Results depend on nothing else, unless time ends.
    verbose : bool, default=False
        Whether to print time, objective and violation about once a second.

    Returns
    -------
    DesignResult
        The best acquisition of all, as ``result.model``, and for trains
        ``result.sequence``. Ctrl-C ends the search, and returns the best so far.

    Raises
    ------
    ValueError
        If limits contradict each other or name no control, an option is unknown, a bound
        with a weight is infinite at the start, the model is compressed, or Rician noise
        lacks `noise_std`.
    TypeError
        If the model has no controls.

    Examples
    --------
    >>> from crbestim.design import Limits, optimize_sequence
    >>> from crbestim.models import MonoExponential
    >>> result = optimize_sequence(
    ...     MonoExponential([0.01, 0.05]), [[0.08]], limits=Limits(te=(0.01, 0.3))
    ... )
    >>> result.model.te.round(3), result.status
    (array([0.01 , 0.099]), 'converged')
    """
    check_choice("parametrization", parametrization, _PARAMETRIZATIONS)
    n_starts, verbose = check_count(n_starts, "n_starts"), check_flag("verbose", verbose)
    if max_time is not None:
        allowed = "a number of seconds above 0, or None for no limit"
        max_time = check_number(max_time, "max_time", allowed, above=0)
    rng = random_state_of(random_state)
    problem = Problem.of(model, theta, weights, objective, noise_std)
    inside = FeasibleSet(model, check_limits(limits))
    inside.space.check_model(problem.theta)
    first = nearest(inside, inside.space.shares(inside.space.start))
    values = inside.space.values(first)
    problem.refuse_infinite(values, problem.tissues(values)[0])
    others = [_random_start(inside, rng) for _ in range(n_starts - 1)]
    found, is_interrupted = _search_all(
        problem, inside, [first, *others], max_time, n_jobs, verbose
    )
    best = min(found, key=lambda run: run.value) if found else _Run.at(first)
    status = "interrupted" if is_interrupted else best.status
    return _result(problem, inside, best, found, status)


@dataclass
class _Run:
    """A search from one start: the best place, its value, and the way to it."""

    x: np.ndarray
    value: float = math.inf
    status: str = "interrupted"
    history: list = field(default_factory=list)

    @classmethod
    def at(cls, x):
        return cls(x)


def _search_all(problem, inside, starts, max_time, n_jobs, verbose):
    """Return the runs from all starts, and whether they were interrupted."""
    found = []
    if n_jobs in (None, 1):
        deadline = Deadline(max_time)
        for k, start in enumerate(starts):
            seconds = None if max_time is None else deadline.left / (len(starts) - k)
            found.append(_search_from(problem, inside, k, start, seconds, verbose))
            if found[-1].status == "interrupted":
                return found, True
        return found, False
    workers = min(effective_n_jobs(n_jobs) if n_jobs else 1, len(starts))
    rounds = -(-len(starts) // workers)
    seconds = None if max_time is None else max_time / rounds
    tasks = (
        delayed(_search_from)(problem, inside, k, start, seconds, verbose)
        for k, start in enumerate(starts)
    )
    try:
        found.extend(in_parallel(tasks, n_jobs))
    except KeyboardInterrupt:
        return found, True
    return found, False


def _search_from(problem, inside, number, start, seconds, verbose):
    """Return the run from one start; Ctrl-C and the end of the time return it as it is."""
    run, deadline, shown = _Run(start), Deadline(seconds), now()
    begun = now()
    gap = 1 / len(inside.h)
    search = Search(
        _Objective(problem, inside, len(inside.h)),
        inside,
        mu=_FIRST_GAP * gap,
        least_mu=_LAST_GAP * gap,
        tolerance=_TOLERANCE,
    )
    try:
        for k, point in enumerate(search.run(start)):
            value = combine(point.extra, problem.objective)[0]
            excess = max(
                0.0, -min(part.min(initial=1.0) for part in inside.slacks(point.x))
            )
            run.history.append(
                {
                    "start": number,
                    "iteration": k,
                    "time": now() - begun,
                    "objective": float(value),
                    "violation": excess,
                }
            )
            if value < run.value:
                run.x, run.value = point.x, value
            if verbose and (k == 0 or now() - shown > _EVERY):
                shown = now()
                _show(run.history[-1])
            if deadline.is_over:
                run.status = "max_time"
                return run
    except KeyboardInterrupt:
        return run
    run.status = search.status
    if verbose:
        _show(run.history[-1], search.status)
    return run


def _show(record, status=""):
    print(
        f"start {record['start']}  step {record['iteration']:5d}  "
        f"{record['time']:7.1f} s  objective {record['objective']:.6g}  "
        f"violation {record['violation']:.1g}  {status}".rstrip(),
        flush=True,
    )


@dataclass
class _Objective:
    """The logarithm of the objective, as a function of x and the weight of the barrier."""

    problem: Problem
    inside: FeasibleSet
    n_limits: int

    def __call__(self, x, mu):
        each, gradients = self.problem.tissues(self.inside.space.values(x))
        if not np.isfinite(each).all():
            return math.inf, np.full(len(x), np.nan), each
        # A smooth maximum differs from the largest by as much as the barrier matters.
        sharpness = min(1 / (mu * self.n_limits), _SHARPEST) + 1
        value, shares = combine(each, self.problem.objective, sharpness)
        gradient = self.inside.space.gradient(
            {name: np.tensordot(shares, g, 1) for name, g in gradients.items()}
        )
        if self.problem.objective == "mean_log":
            return value, gradient, each
        return np.log(value), gradient / value, each


def _random_start(inside, rng):
    """Return a random acquisition inside the limits: smooth curves, or any few numbers."""
    space = inside.space
    u = space.start.copy()
    for name in space.names:
        places = space.places_of(name)
        n = len(places)
        if n > _MANY:
            knots = np.linspace(0, n - 1, rng.randint(4, max(5, n // 15)))
            heights = rng.random_sample(len(knots)) ** 2
            shares = PchipInterpolator(knots, heights)(np.arange(n))
        else:
            shares = rng.random_sample(n)
        u[places] = space.low[places] + shares * (space.high - space.low)[places]
    return nearest(inside, space.shares(u))


def _result(problem, inside, best, found, status):
    """Return the design, confirmed by the ordinary bound."""
    model = problem.model_at(inside.space.values(best.x))
    crb = problem.bounds(model)
    each = problem.of_bounds(crb[None], [model])[0]
    return DesignResult(
        model=model,
        theta=problem.theta,
        noise_std=problem.noise_std,
        objective=float(combine(each, problem.objective)[0]),
        crb=crb,
        start_crb=problem.bounds(problem.model),
        crb_over_b1=bounds_over_b1(model, problem.theta, problem.noise_std),
        history=[record for run in found for record in run.history],
        status=status,
        violation=violation(model, inside.limits),
    )
