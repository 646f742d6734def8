"""Levenberg and Marquardt's method inside the unit box, many small problems at a time.

Each row minimizes its own cost, with steps that do not depend on the other rows; sharing
calls keeps those of an expensive model few. A step minimizes

    g^T step + step^T (H + damping D) step / 2

inside the box. g is the gradient. H is a curvature without negative eigenvalues, J^T J of a
sum of squares ``norm(r(x))^2 / 2`` or the Fisher information of a likelihood, or that
plus S. D is the largest diagonal of the former so far (Moré 1978, doi 10.1007/BFb0067700).
The damping follows the gain ratio (Nielsen 1999, IMM-REP-1999-05). S is what the curvature
lacks, estimated from the change of J, or of g, over past steps (Dennis, Gay and Welsch
1981, doi 10.1145/355958.355965); it is used while it predicts gains better than the
curvature alone. Along flat valleys that saves most of the steps.

Steps after a bad one are tried without derivatives, which cost several times as much; only
those that lower the cost get them. Of the others, more than nine in ten lower it, and are
tried with derivatives unless these are differences, which cost most.
"""

from dataclasses import dataclass, fields

import numpy as np

from ..kernels.least_squares import decrements, steps_in_box
from ..kernels.voxel_search import (
    EMPTY_PROMISE,
    LEAST_DAMPING,
    MOST_DAMPING,
    NO_DAMPING,
    NOTHING,
    ROUNDING,
    START_DAMPING,
)
from .box import (
    damped_steps,
    diagonal,
    foreseen_gain,
    normal_equations,
    scale_of,
    times,
)

# Costs that differ by less than this share are the same: which is lower is chance.
_EQUAL = 1e-9
# Factor by which damping grows after a bad step that follows a good one.
_GROWTH = 2.0


@dataclass(frozen=True, eq=False)
class Expansion:
    """Costs at points, and what they are nearby to second order, one row each.

    Attributes
    ----------
    cost : ndarray of shape (n,)
        Cost; only differences count.
    data_cost : ndarray of shape (n,)
        The part of it that is due to the data.
    size : ndarray of shape (n,)
        What noise alone leaves of the cost: tolerances are shares of it.
    gradient : ndarray of shape (n, n_variables) or None
        Gradient, if it was asked for.
    curvature : ndarray of shape (n, n_variables, n_variables) or None
        Curvature without negative eigenvalues.
    residual, jacobian : ndarray of shape (n, m) and (n, m, n_variables), or None
        Residuals r and their derivatives, of a sum of squares.
    """

    cost: np.ndarray
    data_cost: np.ndarray
    size: np.ndarray
    gradient: np.ndarray | None = None
    curvature: np.ndarray | None = None
    residual: np.ndarray | None = None
    jacobian: np.ndarray | None = None

    @property
    def is_finite(self):
        """Whether derivatives are finite."""
        finite = np.isfinite(self.gradient).all(axis=1)
        return finite & np.isfinite(self.curvature).all(axis=(1, 2))

    def rows(self, chosen):
        """Return some of the rows."""
        parts = (getattr(self, field.name) for field in fields(self))
        return Expansion(*(None if part is None else part[chosen] for part in parts))


def sum_of_squares(residual, jacobian=None, n_data=None):
    """Return the expansion of half the squared norms of residuals.

    Parameters
    ----------
    residual : ndarray of shape (n, m)
        Residuals.
    jacobian : ndarray of shape (n, m, n_variables), default=None
        Their derivatives.
    n_data : int, default=None
        How many of them are due to the data; by default all.

    Returns
    -------
    Expansion
        The costs.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.least_squares.levenberg_marquardt import sum_of_squares
    >>> sum_of_squares(np.array([[3.0, 4.0]])).cost
    array([12.5])
    """
    cost = 0.5 * (residual**2).sum(axis=1)
    data_cost = cost if n_data is None else 0.5 * (residual[:, :n_data] ** 2).sum(axis=1)
    if jacobian is None:
        return Expansion(cost, data_cost, cost)
    derivatives = normal_equations(residual, jacobian)
    return Expansion(cost, data_cost, cost, *derivatives, residual, jacobian)


@dataclass
class Minima:
    """Where the searches ended, one row each.

    Attributes
    ----------
    x : ndarray of shape (n, n_variables)
        The best point of each row.
    cost : ndarray of shape (n,)
        The cost there.
    size : ndarray of shape (n,)
        What noise alone leaves of the cost.
    converged : ndarray of bool, shape (n,)
        Whether a test of convergence ended the search.
    stalled : ndarray of bool, shape (n,)
        Whether the search ended because no step lowered the cost, though a much lower one
        was predicted.
    failed : ndarray of bool, shape (n,)
        Whether the residual or its Jacobian was not finite where it was needed.
    n_iterations : ndarray of int, shape (n,)
        Number of steps tried.
    """

    x: np.ndarray
    cost: np.ndarray
    size: np.ndarray
    converged: np.ndarray
    stalled: np.ndarray
    failed: np.ndarray
    n_iterations: np.ndarray

    def take_over(self, rows, other):
        """Replace some rows by another search of theirs; iterations add up."""
        self.n_iterations[rows] += other.n_iterations
        for field in fields(self):
            if field.name != "n_iterations":
                getattr(self, field.name)[rows] = getattr(other, field.name)

    def replace(self, rows, other):
        """Replace some rows by another search where it ends lower; iterations add up."""
        lower = other.cost < self.cost[rows] - _EQUAL * self.size[rows]
        better = lower | (self.failed[rows] & ~other.failed)
        self.n_iterations[rows[~better]] += other.n_iterations[~better]
        self.take_over(rows[better], other.rows(better))

    def rows(self, chosen):
        """Return copies of some of the rows."""
        return Minima(*(getattr(self, field.name)[chosen] for field in fields(self)))


def levenberg_marquardt(evaluate, start, max_iter, tol, first=None, at_once=False):
    """Minimize many costs over the unit box.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(rows, x, derivatives)`` returns the :class:`Expansion` of the costs of
        these rows at x (n, n_variables), with derivatives if they are asked for.
    start : ndarray of shape (n_rows, n_variables)
        Where to begin, inside the box.
    max_iter : int
        Maximum number of steps per row.
    tol : float
        A row converges when the minimum predicted without damping is lower by less than
        this fraction of the size of its cost, or by no more than rounding errors; or when
        a step without gain is shorter than this fraction of x, unless it stalls.
    first : Expansion, default=None
        What `evaluate` returns for all rows at `start`, if it is known.
    at_once : bool, default=False
        Whether steps that are likely to be good are tried with derivatives.

    Returns
    -------
    Minima
        One row each.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.least_squares.levenberg_marquardt import (
    ...     levenberg_marquardt,
    ...     sum_of_squares,
    ... )
    >>> def evaluate(rows, x, derivatives):
    ...     return sum_of_squares(x**2 - 0.25, 2 * x[:, :, None] if derivatives else None)
    >>> levenberg_marquardt(evaluate, np.array([[0.9]]), 50, 1e-12).x.round(6)
    array([[0.5]])
    """
    everywhere = np.arange(len(start))
    first = evaluate(everywhere, start, True) if first is None else first
    search = _Search(evaluate, start, first, at_once)
    rows = np.flatnonzero(~search.failed)
    while rows.size:
        rows = search.settle(rows, tol)
        rows = rows[search.n_iterations[rows] < max_iter]
        rows = rows[~search.advance(rows, tol)]
    return Minima(
        search.x,
        search.cost,
        search.size,
        search.converged,
        search.stalled,
        search.failed,
        search.n_iterations,
    )


class _Search:
    """State of all rows: points, costs, derivatives, curvatures and damping."""

    def __init__(self, evaluate, start, first, at_once):
        n, self.at_once = len(start), at_once
        self.evaluate, self.x = evaluate, start.copy()
        self.cost, self.size = first.cost.copy(), first.size.copy()
        self.jacobian = None if first.jacobian is None else first.jacobian.copy()
        self.failed = ~(np.isfinite(self.cost) & first.is_finite)
        self.g, self.h = first.gradient.copy(), first.curvature.copy()
        self.scale = diagonal(self.h)
        self.bend, self.is_bent = np.zeros_like(self.h), np.zeros(n, dtype=bool)
        self.damping, self.growth = np.full(n, START_DAMPING), np.full(n, _GROWTH)
        self.n_iterations = np.zeros(n, dtype=int)
        self.converged, self.stalled = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        self.decrement = np.full(n, np.inf)

    def settle(self, rows, tol):
        """Move rows that are close to their minimum there; return the others."""
        x, g, h = self.x[rows], self.g[rows], self.h[rows]
        decrement = np.empty(len(rows))
        decrements(x, g, h, NO_DAMPING * scale_of(diagonal(h)), decrement)
        self.decrement[rows] = decrement
        near = decrement <= tol * self.size[rows] + NOTHING
        done = rows[near]
        self.converged[done] = True
        if done.size:
            free = np.full(done.size, NO_DAMPING)
            moved = np.clip(
                x[near] + damped_steps(x[near], g[near], h[near], free), 0.0, 1.0
            )
            found = self.evaluate(done, moved, False)
            lower = found.cost < self.cost[done]
            self.x[done[lower]] = moved[lower]
            self.cost[done[lower]] = found.cost[lower]
            self.size[done[lower]] = found.size[lower]
        return rows[~near]

    def advance(self, rows, tol):
        """Try one step in these rows; return which of them have ended."""
        x, g, h = self.x[rows], self.g[rows], self.h[rows]
        curved = h + self.is_bent[rows, None, None] * self.bend[rows]
        step = np.empty_like(x)
        damping = self.damping[rows, None] * scale_of(self.scale[rows])
        steps_in_box(x, g, curved, damping, step)
        moved = np.clip(x + step, 0.0, 1.0)
        gain = self._try(rows, moved)
        self.n_iterations[rows] += 1
        foreseen = foreseen_gain(g, curved, step)
        finite = np.isfinite(gain)
        self._choose_model(rows[finite], g[finite], step[finite], gain[finite], h[finite])
        self._update_damping(rows, gain, foreseen)
        short = np.linalg.norm(step, axis=1) <= tol * (tol + np.linalg.norm(x, axis=1))
        short &= ~(gain > 0)
        promise = self.decrement[rows] > EMPTY_PROMISE * self.size[rows] + ROUNDING
        self.stalled[rows] = short & finite & promise
        self.converged[rows] = short & finite & ~promise
        self.failed[rows] = short & ~finite
        return short

    def _try(self, rows, moved):
        """Take the steps that lower the cost; return the gains of all."""
        likely, gain = self.at_once & (self.growth[rows] == _GROWTH), np.empty(len(rows))
        for some, derivatives in ((likely, True), (~likely, False)):
            if some.any():
                found = self.evaluate(rows[some], moved[some], derivatives)
                gain[some] = self._move(rows[some], moved[some], found)
        return gain

    def _move(self, rows, moved, found):
        """Take steps that lower the cost, if the Jacobian is finite; return the gains."""
        gain = np.where(np.isfinite(found.cost), self.cost[rows] - found.cost, -np.inf)
        better = gain > 0
        if not better.any():
            return gain
        taken, moved = rows[better], moved[better]
        is_known = found.gradient is not None
        found = found.rows(better) if is_known else self.evaluate(taken, moved, True)
        sound = found.is_finite
        gain[np.flatnonzero(better)[~sound]] = -np.inf
        taken, moved, found = taken[sound], moved[sound], found.rows(sound)
        step, change = moved - self.x[taken], found.gradient - self.g[taken]
        if found.jacobian is None:
            missing = change - times(found.curvature, step)
        else:
            turned = np.swapaxes(found.jacobian - self.jacobian[taken], 1, 2)
            missing = times(turned, found.residual)
            self.jacobian[taken] = found.jacobian
        self.bend[taken] = _updated_bend(self.bend[taken], step, change, missing)
        self.x[taken], self.cost[taken], self.size[taken] = moved, found.cost, found.size
        self.g[taken], self.h[taken] = found.gradient, found.curvature
        self.scale[taken] = np.maximum(self.scale[taken], diagonal(found.curvature))
        return gain

    def _choose_model(self, rows, g, step, gain, h):
        """Use the curvature of the residual where it predicts the gain better."""
        plain = foreseen_gain(g, h, step)
        bent = plain - 0.5 * (times(self.bend[rows], step) * step).sum(axis=1)
        self.is_bent[rows] = np.abs(bent - gain) < np.abs(plain - gain)

    def _update_damping(self, rows, gain, foreseen):
        """Trust the model more after a good step, less after a bad one."""
        better = (gain > 0) & (foreseen > 0)
        good, bad = rows[better], rows[~better]
        ratio = np.minimum(gain[better] / foreseen[better], 1.0)
        factor = np.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3)
        self.damping[good] = np.maximum(self.damping[good] * factor, LEAST_DAMPING)
        self.growth[good] = _GROWTH
        grown = self.damping[bad] * self.growth[bad]
        self.damping[bad] = np.minimum(grown, MOST_DAMPING)
        self.growth[bad] = np.minimum(2 * self.growth[bad], MOST_DAMPING)


def _updated_bend(bend, step, dg, dj):
    """Return what the curvature lacks after a step, S: symmetric, and S step = dj.

    dg : change of the gradient, dj : change of J, transposed, times the residual; or dg
    less the curvature times the step. S is first scaled down to at most dj along the step,
    so that it vanishes as the residuals do.
    """
    bent, along = times(bend, step), (dg * step).sum(axis=1)
    had, has = np.abs((bent * step).sum(axis=1)), np.abs((dj * step).sum(axis=1))
    shrink = np.where(had > has, has / np.where(had > 0, had, 1.0), 1.0)
    missing = dj - shrink[:, None] * bent
    outer = missing[:, :, None] * dg[:, None, :]
    excess = (missing * step).sum(axis=1) / along
    change = outer + np.swapaxes(outer, 1, 2)
    change = change - excess[:, None, None] * dg[:, :, None] * dg[:, None, :]
    new = shrink[:, None, None] * bend + change / along[:, None, None]
    usable = np.isfinite(new).all(axis=(1, 2))
    return np.where(usable[:, None, None], new, 0.0)
