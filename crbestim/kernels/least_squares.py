"""Steps of bounded least squares, one small problem per row.

With the gradient g = J^T r and a matrix A = J^T J plus damping, a step p from x
minimizes  g^T p + p^T A p / 2  inside the unit box, 0 <= x + p <= 1. The search is a primal
active-set method (Nocedal and Wright, Numerical Optimization, 2006, algorithm 16.3):

 1. Variables at a side of the box that steepest descent would leave are held there.
 2. The others move towards their minimum, by a Cholesky decomposition, until the first of
    them meets a side; it is held there, and 2. is repeated.
 3. Once none meets a side, the held variable with the steepest descent inwards is
    released, and 2. is repeated, until none descends inwards.

Arrays are (n_rows, n) and (n_rows, n, n); the result of a row does not depend on others.
"""

import numpy as np

from ._compile import borrowing, njit

# At most this many repetitions of 2. a variable: the step is then good enough, even if not
# the minimum.
_MOST_ROUNDS = 5
# A slope inwards below this fraction of the gradient is rounding error.
_PULL = 1e-12


@borrowing
def solve_free(a, b, free, factor, out):
    """Solve A out = b for the free variables, zero for the others.

    Returns False if A is not positive definite. factor : (n, n), receives the lower
    triangular Cholesky factor.
    """
    n = b.size
    for i in range(n):
        out[i] = 0.0
        if not free[i]:
            continue
        for j in range(i + 1):
            if free[j]:
                total = a[i, j]
                for k in range(j):
                    if free[k]:
                        total -= factor[i, k] * factor[j, k]
                if i > j:
                    factor[i, j] = total / factor[j, j]
                elif total > 0.0:
                    factor[i, i] = np.sqrt(total)
                else:
                    return False
        total = b[i]
        for j in range(i):
            if free[j]:
                total -= factor[i, j] * out[j]
        out[i] = total / factor[i, i]
    for i in range(n - 1, -1, -1):
        if free[i]:
            total = out[i]
            for j in range(i + 1, n):
                if free[j]:
                    total -= factor[j, i] * out[j]
            out[i] = total / factor[i, i]
    return True


@borrowing
def slopes(g, a, p, out):
    """Write the downhill slope -(g + A p)."""
    for i in range(g.size):
        total = g[i]
        for j in range(g.size):
            total += a[i, j] * p[j]
        out[i] = -total


@borrowing
def hold_pressed(x, g, free):
    """Mark the variables that steepest descent would not move out of the box as free."""
    for i in range(x.size):
        free[i] = not ((x[i] <= 0.0 and g[i] >= 0.0) or (x[i] >= 1.0 and g[i] <= 0.0))


@borrowing
def first_side(x, p, way, free):
    """Return where on the way a free variable meets a side, and which; 1, -1 if none."""
    share, met = 1.0, -1
    for i in range(x.size):
        if free[i]:
            here = x[i] + p[i]
            room = -here if way[i] < 0.0 else 1.0 - here
            if abs(way[i]) > abs(room) and room / way[i] < share:
                share, met = room / way[i], i
    return share, met


@borrowing
def strongest_pull(x, g, a, p, slope, free):
    """Return the held variable with the steepest descent inwards; -1 if there is none."""
    steepest, which = 0.0, -1
    for i in range(x.size):
        if not free[i]:
            inwards = slope[i] if x[i] + p[i] < 0.5 else -slope[i]
            if inwards > _PULL * abs(g[i]) and inwards / np.sqrt(a[i, i]) > steepest:
                steepest, which = inwards / np.sqrt(a[i, i]), i
    return which


@borrowing
def step_in_box(x, g, a, free, factor, slope, way, p):
    """Write the step of one row; return False if A is not positive definite."""
    n = x.size
    for i in range(n):
        p[i] = 0.0
    hold_pressed(x, g, free)
    for _ in range(_MOST_ROUNDS * n):
        slopes(g, a, p, slope)
        if not solve_free(a, slope, free, factor, way):
            return False
        share, met = first_side(x, p, way, free)
        for i in range(n):
            if free[i]:
                p[i] += share * way[i]
        if met >= 0:
            p[met] = -x[met] if way[met] < 0.0 else 1.0 - x[met]
            free[met] = False
            continue
        slopes(g, a, p, slope)
        which = strongest_pull(x, g, a, p, slope, free)
        if which < 0:
            break
        free[which] = True
    return True


@borrowing
def damped_step(x, g, h, damping, a, factor, slope, way, free, p):
    """Write the step of one row for A = H + diag(damping), as `steps_in_box` does."""
    more = 1.0
    while np.isfinite(more):
        for i in range(x.size):
            for j in range(x.size):
                a[i, j] = h[i, j]
            a[i, i] += more * damping[i]
        if step_in_box(x, g, a, free, factor, slope, way, p):
            return
        more *= 10.0
    for i in range(x.size):
        p[i] = 0.0


@njit(nogil=True)
def steps_in_box(x, g, h, damping, p):
    """Write the steps for A = H + diag(damping), damping times 10 until A is positive.

    x, g, damping, p : (n_rows, n); h : (n_rows, n, n). Damping is positive.
    """
    n = x.shape[1]
    a, factor = np.empty((n, n)), np.empty((n, n))
    slope, way, free = np.empty(n), np.empty(n), np.empty(n, dtype=np.bool_)
    for i in range(x.shape[0]):
        work = (a, factor, slope, way, free)
        damped_step(x[i], g[i], h[i], damping[i], *work, p[i])


@njit(nogil=True)
def decrements(x, g, h, ridge, out):
    """Write Newton's decrement g^T (H + diag(ridge))^-1 g / 2 of the free variables.

    Twice that over sigma^2 is the squared distance from the minimum in standard
    deviations, where r is nearly linear. x, g, ridge : (n_rows, n); out : (n_rows,).
    """
    n = x.shape[1]
    a, factor = np.empty((n, n)), np.empty((n, n))
    way, free = np.empty(n), np.empty(n, dtype=np.bool_)
    for row in range(x.shape[0]):
        hold_pressed(x[row], g[row], free)
        for i in range(n):
            for j in range(n):
                a[i, j] = h[row, i, j]
            a[i, i] += ridge[row, i]
        out[row] = np.inf
        if solve_free(a, g[row], free, factor, way):
            total = 0.0
            for i in range(n):
                total += g[row, i] * way[i]
            out[row] = 0.5 * total
