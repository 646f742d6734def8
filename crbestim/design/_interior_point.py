"""Search for the least value of a smooth function in a convex set, by interior points.

Primal-dual steps (Nocedal & Wright, Numerical Optimization, 2006, chapter 19) for

    minimize f(x) - mu sum(log c(x)),   c(x) > 0 throughout,   mu to 0,

in which the Hessian of f is replaced by a damped limited-memory BFGS matrix in its compact
form (chapters 7 and 18), B = sigma I - U M^-1 U^T. Limits of single and neighbouring
controls give a banded matrix, and sums over all of them one vector each, so that a step
takes time in proportion to the number of controls. Every iterate keeps all limits.
"""

from dataclasses import dataclass, field

import numpy as np

from ..kernels.banded import solve_banded

# Share of the way to the nearest limit, and of the slope that a step has to gain.
_TO_LIMIT, _ARMIJO = 0.995, 1e-4
_MOST_HALVINGS = 30
_ROUNDING, _LEAST_SIZE, _FAR = 1e-13, 1e-3, 1e8
# Damping keeps at least this share of the curvature of the matrix.
_DAMPING = 0.2
_SHRINK = 0.3


class Curvature:
    """Limited-memory matrix B = sigma I - U M^-1 U^T of pairs of steps and gradients."""

    def __init__(self, n, memory, sigma=1.0):
        self.memory, self.sigma = memory, sigma
        self.S, self.Y = np.empty((0, n)), np.empty((0, n))
        self.sts, self.sty = np.empty((0, 0)), np.empty((0, 0))

    @property
    def n_pairs(self):
        """Number of pairs that are kept."""
        return len(self.S)

    @property
    def U(self):
        """The columns, (n, 2 n_pairs)."""
        return np.concatenate([self.sigma * self.S, self.Y]).T

    @property
    def M(self):
        """The matrix in the middle, (2 n_pairs, 2 n_pairs)."""
        lower = np.tril(self.sty, -1)
        diagonal = np.diag(np.diag(self.sty))
        return np.block([[self.sigma * self.sts, lower], [lower.T, -diagonal]])

    def times(self, v):
        """Return B v."""
        if not self.n_pairs:
            return self.sigma * v
        both = np.concatenate([self.sigma * (self.S @ v), self.Y @ v])
        first, second = np.split(np.linalg.solve(self.M, both), 2)
        return self.sigma * (v - first @ self.S) - second @ self.Y

    def update(self, s, y):
        """Add a step and the change of the gradient along it, damped by Powell's rule."""
        bs = self.times(s)
        sbs, sy = s @ bs, s @ y
        if not sbs > 0:
            return
        if sy < _DAMPING * sbs:
            share = (1 - _DAMPING) * sbs / (sbs - sy)
            y = share * y + (1 - share) * bs
            sy = s @ y
        else:
            self.sigma = np.clip(y @ y / sy, 1e-8, 1e8)
        some = slice(max(self.n_pairs + 1 - self.memory, 0), None)
        self.S, self.Y = np.vstack([self.S[some], s]), np.vstack([self.Y[some], y])
        self.sts = _bordered(self.sts[some, some], self.S @ s, self.S @ s)
        self.sty = _bordered(self.sty[some, some], self.S @ y, self.Y @ s)


def _bordered(inner, column, row):
    """Return a matrix with one more column and row."""
    n = len(inner)
    out = np.empty((n + 1, n + 1))
    out[:n, :n], out[:, n], out[n] = inner, column, row
    return out


@dataclass
class Point:
    """An acquisition in the search: controls, objective and its gradient.

    `extra` is what the function returns beside them.
    """

    x: np.ndarray
    value: float
    gradient: np.ndarray
    extra: object = None


@dataclass
class Search:
    """The search, of which `run` is a generator of points.

    Attributes
    ----------
    function : callable
        ``function(x, mu)`` returns value, gradient and anything else.
    inside : FeasibleSet
        The set.
    memory : int
        Number of pairs of the curvature.
    mu, least_mu : float
        Weight of the barrier at the start and at the end.
    tolerance : float
        Gain that a step has to promise, at the end.
    patience : int
        Number of steps in which the value has to gain `tolerance`.
    """

    function: object
    inside: object
    memory: int = 30
    mu: float = 1e-4
    least_mu: float = 1e-8
    tolerance: float = 1e-6
    patience: int = 50
    status: str = field(default="running", init=False)

    def run(self, x):
        """Yield the start, which has to be inside, and all points that follow."""
        mu, point = self.mu, Point(x, *self.function(x, self.mu))
        yield point
        duals = tuple(mu / part for part in self.inside.slacks(x))
        size = max(np.linalg.norm(point.gradient), _LEAST_SIZE)
        curvature = Curvature(len(x), self.memory, size)
        costs = [self._barrier(point, mu)]
        while True:
            step, slope, duals_step = self._direction(point, duals, mu, curvature)
            if self._is_solved(slope, costs, mu):
                if mu <= self.least_mu:
                    self.status = "converged"
                    return
                mu = max(mu * _SHRINK, self.least_mu)
                point = Point(point.x, *self.function(point.x, mu))
                costs = [self._barrier(point, mu)]
                continue
            found = self._along(point, step, slope, mu)
            if found is None and not curvature.n_pairs:
                self.status = "stalled"
                return
            if found is None:
                # The matrix has misled; begin again with that of steepest descent.
                curvature = Curvature(len(x), self.memory, 10 * curvature.sigma)
                continue
            curvature.update(found.x - point.x, found.gradient - point.gradient)
            point = found
            duals = self._move(duals, duals_step, point, mu)
            costs.append(self._barrier(point, mu))
            yield point

    def _is_solved(self, slope, costs, mu):
        """Return whether there is little to gain at this weight of the barrier."""
        little = max(0.1 * mu * len(self.inside.h), self.tolerance)
        if -slope <= little:
            return True
        return len(costs) > self.patience and costs[-self.patience - 1] - costs[-1] < little

    def _barrier(self, point, mu):
        logs = (np.log(part).sum() for part in self.inside.slacks(point.x))
        return point.value - mu * sum(logs)

    def _direction(self, point, duals, mu, curvature):
        """Return the step, the slope of the barrier function along it, and of duals."""
        inside, x = self.inside, point.x
        c, sums = inside.slacks(x)
        slopes = inside.slopes(x)
        z, z_sums = duals
        gradient = point.gradient + mu * (inside.GT @ (1 / c) + slopes.T @ (1 / sums))
        band = inside.banded(x, z / c, z_sums)
        band[-1] += curvature.sigma
        P = np.concatenate([curvature.U, slopes.T], axis=1)
        n_pairs = 2 * curvature.n_pairs
        solved = np.column_stack([-gradient, P])
        if not solve_banded(band, solved):
            raise FloatingPointError("the matrix of a step is not positive definite")
        step, solved = solved[:, 0], solved[:, 1:]
        if P.shape[1]:
            core = P.T @ solved
            core[:n_pairs, :n_pairs] -= curvature.M
            core[n_pairs:, n_pairs:] += np.diag(sums / z_sums)
            step = step - solved @ np.linalg.solve(core, P.T @ step)
        c_step, sums_step = -(inside.G @ step), -(slopes @ step)
        duals_step = (
            mu / c - z - z / c * c_step,
            mu / sums - z_sums - z_sums / sums * sums_step,
        )
        return step, gradient @ step, duals_step

    def _along(self, point, step, slope, mu):
        """Return the point at the end of a step that gains enough, or None."""
        if not slope < 0:
            return None
        c, sums = self.inside.slacks(point.x)
        share = min(1.0, _TO_LIMIT / max((self.inside.G @ step / c).max(), 1e-300))
        before = self._barrier(point, mu)
        for _ in range(_MOST_HALVINGS):
            x = point.x + share * step
            c_new, sums_new = self.inside.slacks(x)
            if (c_new > 0).all() and (sums_new > (1 - _TO_LIMIT) * sums).all():
                new = Point(x, *self.function(x, mu))
                gain = before - self._barrier(new, mu)
                if gain >= -_ARMIJO * share * slope - _ROUNDING * abs(before):
                    return new
            share /= 2
        return None

    def _move(self, duals, steps, point, mu):
        """Return duals after their step, which stay positive and near mu over the slack."""
        pairs = list(zip(duals, steps, strict=True))
        fastest = max((-dz / z).max(initial=1e-300) for z, dz in pairs)
        longest = min(1.0, _TO_LIMIT / fastest)
        slacks = self.inside.slacks(point.x)
        return tuple(
            np.clip(z + longest * dz, mu / c / _FAR, mu / c * _FAR)
            for (z, dz), c in zip(pairs, slacks, strict=True)
        )


def nearest(inside, x):
    """Return x, or the nearest point that keeps all limits, with a little room to them.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.design import Limits
    >>> from crbestim.design._feasible import FeasibleSet
    >>> from crbestim.design._interior_point import nearest
    >>> from crbestim.models import MonoExponential
    >>> allowed = FeasibleSet(MonoExponential([0.01, 0.2]), Limits(te=(0.0, 0.1)))
    >>> allowed.space.values(nearest(allowed, np.array([0.1, 2.0])))["te"].round(3)
    array([0.01, 0.1 ])
    """
    centre = inside.interior()

    def distance(at, mu):
        return 0.5 * ((at - x) ** 2).sum(), at - x, None

    if not inside.keeps(x):
        search = Search(distance, inside, memory=1, mu=1e-3, least_mu=1e-9, tolerance=1e-9)
        *_, last = search.run(centre)
        return last.x + _ROOM * (centre - last.x)
    return x + _ROOM * (centre - x)


_ROOM = 1e-3
