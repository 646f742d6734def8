"""Levenberg and Marquardt's method inside the unit box, many small problems at a time.

Each row minimizes ``norm(r(x))^2 / 2`` on its own and takes the same steps whatever its
neighbours do; together they keep calls of an expensive model few. A step solves

    (H + damping D) step = -g,     g = J^T r,     H = J^T J, or J^T J + S,

with D the largest diagonal of J^T J so far (Moré 1978, doi 10.1007/BFb0067700). Variables
that the step would carry out of the box stop at its side, and the others solve again. The
damping follows the gain ratio (Nielsen 1999, IMM-REP-1999-05). S stands for the curvature
of the residual itself, gathered from the change of J over past steps (Dennis, Gay and
Welsch 1981, doi 10.1145/355958.355965); it is used while it foresees gains better than
J^T J alone does. Along flat valleys that saves most of the steps.
"""

from dataclasses import dataclass

import numpy as np

_START_DAMPING = 1e-3
_LEAST_DAMPING = 1e-12
_LEAST_CURVATURE = 1e-12


@dataclass
class Minima:
    """Where the searches ended, one row each.

    Attributes
    ----------
    x : ndarray of shape (n, n_variables)
        The best point of each row.
    cost : ndarray of shape (n,)
        Half the squared norm of the residual there.
    converged : ndarray of bool, shape (n,)
        Whether a test of convergence ended the search.
    failed : ndarray of bool, shape (n,)
        Whether the residual or its Jacobian was not finite where it was needed.
    n_evaluations : ndarray of int, shape (n,)
        How often a row was evaluated.
    """

    x: np.ndarray
    cost: np.ndarray
    converged: np.ndarray
    failed: np.ndarray
    n_evaluations: np.ndarray

    def replace(self, rows, better):
        """Take over rows of another search, whose evaluations add up.

        Parameters
        ----------
        rows : ndarray of int
            Rows of this object that the other one began from.
        better : Minima
            The other search; only what is lower is taken.
        """
        self.n_evaluations[rows] += better.n_evaluations
        lower = better.cost < self.cost[rows]
        for name in ("x", "cost", "converged", "failed"):
            getattr(self, name)[rows[lower]] = getattr(better, name)[lower]


def levenberg_marquardt(evaluate, start, max_nfev, tol):
    """Minimize sums of squares over the unit box.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(rows, x)`` returns the residuals (n, m) and their derivatives
        (n, m, n_variables) of these rows at x (n, n_variables).
    start : ndarray of shape (n_rows, n_variables)
        Where to begin, inside the box.
    max_nfev : int
        Most evaluations of a row.
    tol : float
        A row converges when a step lowers the cost by less than this fraction of it, as
        the linear model foresaw, or is shorter than this fraction of x.

    Returns
    -------
    Minima
        One row each.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._levenberg_marquardt import levenberg_marquardt
    >>> def evaluate(rows, x):
    ...     return x**2 - 0.25, 2 * x[:, :, None]
    >>> levenberg_marquardt(evaluate, np.array([[0.9]]), 50, 1e-12).x.round(6)
    array([[0.5]])
    """
    search = _Search(evaluate, start)
    rows = np.flatnonzero(np.isfinite(search.cost)) if max_nfev > 1 else np.arange(0)
    while rows.size:
        over = search.advance(rows, tol)
        rows = rows[~over & (search.n_evaluations[rows] < max_nfev)]
    return Minima(
        search.x,
        search.cost,
        search.converged,
        search.failed,
        search.n_evaluations,
    )


class _Search:
    """Where all rows are, and what they know of their surroundings."""

    def __init__(self, evaluate, start):
        n = len(start)
        self.evaluate, self.x = evaluate, start.copy()
        residual, self.jacobian = evaluate(np.arange(n), self.x)
        self.cost, self.g, self.h = _normal_equations(residual, self.jacobian)
        self.scale = np.einsum("nii->ni", self.h).copy()
        self.bend, self.is_bent = np.zeros_like(self.h), np.zeros(n, dtype=bool)
        self.damping, self.growth = np.full(n, _START_DAMPING), np.full(n, 2.0)
        self.n_evaluations = np.ones(n, dtype=int)
        self.converged = np.zeros(n, dtype=bool)
        self.failed = ~np.isfinite(self.cost)

    def advance(self, rows, tol):
        """Try one step in these rows; return which of them are done with."""
        x, g, h = self.x[rows], self.g[rows], self.h[rows]
        curved = h + self.is_bent[rows, None, None] * self.bend[rows]
        floor = _floor(self.scale[rows])
        step = _step(x, g, curved, self.damping[rows, None] * floor)
        residual, jacobian = self.evaluate(rows, np.clip(x + step, 0.0, 1.0))
        new = cost, *_ = _normal_equations(residual, jacobian)
        self.n_evaluations[rows] += 1
        finite = np.isfinite(cost)
        gain = np.where(finite, self.cost[rows] - cost, -np.inf)
        foreseen = _foreseen(g, curved, step)
        over = self._judge(rows, step, gain, foreseen, tol)
        self._choose_model(rows[finite], g[finite], step[finite], gain[finite])
        better = gain > 0
        self._update_damping(rows, better, gain, foreseen)
        self._move(rows, better, step, residual, jacobian, new)
        return over

    def _judge(self, rows, step, gain, foreseen, tol):
        """Note which rows have converged or failed; return them."""
        length, size = np.linalg.norm(step, axis=1), np.linalg.norm(self.x[rows], axis=1)
        short, enough = length <= tol * (tol + size), tol * self.cost[rows]
        level = (np.abs(foreseen) <= enough) & (np.abs(gain) <= enough)
        finite = np.isfinite(gain)
        self.converged[rows] = (short | level) & finite
        self.failed[rows] = short & ~finite
        return self.converged[rows] | self.failed[rows]

    def _choose_model(self, rows, g, step, gain):
        """Use the curvature of the residual where it would have foreseen the gain."""
        plain = _foreseen(g, self.h[rows], step)
        bent = plain - 0.5 * (_times(self.bend[rows], step) * step).sum(axis=1)
        self.is_bent[rows] = np.abs(bent - gain) < np.abs(plain - gain)

    def _update_damping(self, rows, better, gain, foreseen):
        """Trust the model more after a good step, less after a bad one."""
        better = better & (foreseen > 0)
        good, bad = rows[better], rows[~better]
        ratio = np.minimum(gain[better] / foreseen[better], 1.0)
        factor = np.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3)
        self.damping[good] = np.maximum(self.damping[good] * factor, _LEAST_DAMPING)
        self.growth[good] = 2.0
        self.damping[bad] *= self.growth[bad]
        self.growth[bad] *= 2.0

    def _move(self, rows, better, step, residual, jacobian, new):
        """Take the steps that lower the cost."""
        cost, g, h = (part[better] for part in new)
        taken, step, jacobian = rows[better], step[better], jacobian[better]
        turned = np.swapaxes(jacobian - self.jacobian[taken], 1, 2)
        self.bend[taken] = _updated_bend(
            self.bend[taken], step, g - self.g[taken], _times(turned, residual[better])
        )
        self.x[taken] = np.clip(self.x[taken] + step, 0.0, 1.0)
        self.cost[taken], self.g[taken], self.h[taken] = cost, g, h
        self.jacobian[taken] = jacobian
        diagonal = np.einsum("nii->ni", h)
        self.scale[taken] = np.maximum(self.scale[taken], diagonal)


def _times(matrices, vectors):
    """Product of each matrix with its vector."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def _foreseen(g, h, step):
    """By how much a quadratic model lowers the cost."""
    return -((g + 0.5 * _times(h, step)) * step).sum(axis=1)


def _updated_bend(bend, step, dg, dj):
    """Curvature S of the residual after a step: symmetric, and S step = dj.

    dg : change of the gradient, dj : change of J, transposed, times the residual. S is
    first made no larger along the step than dj is, so that it fades as residuals do.
    """
    bent, along = _times(bend, step), (dg * step).sum(axis=1)
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


def _normal_equations(residual, jacobian):
    """Cost, gradient and J^T J; the cost is NaN where anything is not finite."""
    transposed = np.swapaxes(jacobian, 1, 2)
    cost = 0.5 * (residual**2).sum(axis=1)
    finite = np.isfinite(cost) & np.isfinite(jacobian).all(axis=(1, 2))
    cost = np.where(finite, cost, np.nan)
    return cost, _times(transposed, residual), transposed @ jacobian


def _floor(scale):
    """Return D, with something in place of the curvature of what has no effect."""
    largest = scale.max(axis=1, keepdims=True)
    return np.maximum(scale, np.where(largest > 0, _LEAST_CURVATURE * largest, 1.0))


def _step(x, g, h, damping):
    """Return steps that stay inside the box."""
    n_variables = x.shape[1]
    identity = np.eye(n_variables)
    damped = h + damping[:, :, None] * identity
    free = ~(((x <= 0.0) & (g > 0)) | ((x >= 1.0) & (g < 0)))
    stopped = np.zeros_like(x)
    for _ in range(n_variables + 1):
        both = free[:, :, None] & free[:, None, :]
        matrix = np.where(both, damped, identity)
        pull = g + _times(h, stopped)
        solution = np.linalg.solve(matrix, np.where(free, -pull, 0.0)[:, :, None])
        step = np.where(free, solution[:, :, 0], stopped)
        outside = free & ((x + step < 0.0) | (x + step > 1.0))
        if not outside.any():
            break
        stopped = np.where(outside, np.clip(x + step, 0.0, 1.0) - x, stopped)
        free = free & ~outside
    return step
