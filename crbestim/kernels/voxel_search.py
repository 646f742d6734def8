"""Levenberg and Marquardt's method for voxels whose signal is a compiled function.

One algorithm, two drivers: `least_squares.levenberg_marquardt` runs it for many voxels at a
time, whatever their model, and `search` for one voxel after the other, in a compiled loop.
Its steps, and the reasons for them, are described there. Costs are squares, or with a law
of the noise those of `voxel_likelihood`. `search` is compiled for each of the two, without
the branches of the other.
"""

from collections import namedtuple

import numpy as np

from ._compile import borrowing
from .least_squares import damped_step, hold_pressed, solve_free
from .voxel_likelihood import cost_of, expand
from .voxel_residuals import (
    FOUND_IMAG,
    FOUND_REAL,
    IMAG,
    REAL,
    ROUND,
    Voxel,
    differentiate,
    load,
    load_data,
    norm,
    residual,
    scale,
    simulate_at,
)

START_DAMPING = 1e-2
"""Damping of the first step."""
LEAST_DAMPING, MOST_DAMPING = 1e-12, 1e30
NO_DAMPING = 1e-10
"""Damping that does not shorten a step, but keeps it finite where H is singular."""
LEAST_CURVATURE = 1e-12
"""Curvature given to variables without effect, as a share of the largest."""
EMPTY_PROMISE, ROUNDING = 1e-3, 1e-20
"""A search whose steps have become short without gain has stalled if the predicted gain
still exceeds this share of the cost plus the rounding error of data of unit norm."""
NOTHING = 1e-24
"""A gain that the rounding of data to 12 decimals makes up."""

CONVERGED, LIMIT, STALLED, FAILED = range(4)
"""How a search ends."""

Found = namedtuple("Found", "x costs factors ends counts")
"""Where searches ended, (n, n_variables); the costs, (n,); the factors of the scaled data
there, (n, 2); how they ended, (n,); and the number of steps, (n,)."""

State = namedtuple(
    "State",
    "x shift moved place g step dg dj largest diagonal damping slope way "
    "h curved bend a factor old free",
)
"""Of one search, (n_variables,): the point x and one that is tried, less a shift where ends
meet; that as fractions of the bounds; the gradient, a step, and changes; the diagonal of
the curvature, and its largest so far. (n_variables, n_variables): the curvature, and what
it lacks. old : (n_variables, n) derivatives of the residual at x."""


def memory(n_variables, n_theta, m):
    """Return the :class:`Voxel` and the :class:`State` that a search writes to."""
    n, shapes = n_variables, [n_theta, m, (n_theta, m), m, (n_variables, m), 10]
    voxel = Voxel(*(np.empty(shape) for shape in (m, m, *shapes)))
    state = State(
        *(np.empty(n) for _ in range(13)),
        *(np.empty((n, n)) for _ in range(5)),
        np.empty((n, m)),
        np.empty(n, dtype=np.bool_),
    )
    return voxel, state


@borrowing(nogil=True)
def search(
    first, last, form, task, voxels, chosen, data, law, options, starts, found, voxel, state
):
    """Search the minima of some voxels from their starts, fractions of the bounds.

    form : the signal, of the signature `pointers.FORM`; chosen : (n,) numbers of the
    voxels; data : (n_voxels, n) to be scaled at the starts first, or without rows;
    law : `voxel_likelihood.Law`, or None for squares; starts : (n, n_variables).
    options : most steps, negative to see the costs at the starts only, tolerance, and
    whether derivatives cost so much that steps are tried without them.
    found : :class:`Found`, to be written; voxel, state : from `memory`.
    """
    for j in range(first, last):
        i = chosen[j]
        load(task, voxels, i, voxel)
        for k in range(state.x.size):
            # Far from both ends where these meet.
            state.shift[k] = starts[j, k] - 0.5 if task.box[ROUND, k] else 0.0
            state.x[k] = state.moved[k] = starts[j, k] - state.shift[k]
        found.costs[j], found.ends[j], found.counts[j] = _search_one(
            form, task, voxels, i, data, law, options, voxel, state
        )
        for k in range(2):
            found.factors[j, k] = voxel.numbers[FOUND_REAL + k]
        _place(state.x, state.shift, task.box, found.x[j])


# With many arrays at hand a call costs as much as a signal, so what has them is inlined,
# and has a single place in the loop, or it would be compiled several times.
@borrowing(inline="always")
def _search_one(form, task, voxels, i, data, law, options, voxel, state):
    """Search from a point; return the cost at the end, how it ended, and the steps.

    The factor there is in the numbers of the voxel.
    """
    most, tol, is_lazy = options
    count, is_first, is_near, is_bent, is_short = 0, True, False, False, False
    is_loaded, wants = False, not is_lazy and most >= 0
    damping, growth, foreseen, plain = START_DAMPING, 2.0, 0.0, 0.0
    cost = decrement = np.inf
    while True:
        _place(state.moved, state.shift, task.box, state.place)
        simulate_at(form, task, state.place, voxel, wants)
        if not is_loaded:
            if len(data):
                scale(task, data, voxels, i, voxel)
            load_data(task, voxels, i, voxel)
            is_loaded = True
        if law is None:
            new = residual(task, voxel)
        else:
            new = cost_of(task, law, i, voxel, state.place)
        if most < 0:
            _keep_factor(voxel.numbers)
            return new, LIMIT, 0
        gain = cost - new if np.isfinite(new) else -np.inf
        if gain > 0 and not (wants or is_near):
            # The same place once more, with derivatives.
            wants = True
            continue
        wants = not is_lazy
        if gain > 0:
            if is_near or _move(task, law, voxel, state, is_first):
                for k in range(state.x.size):
                    state.x[k] = state.moved[k]
                _keep_factor(voxel.numbers)
                cost = new
            else:
                gain = -np.inf
        size = cost if law is None else law.size[i]
        if is_near:
            return cost, CONVERGED, count
        if is_first and not gain > 0:
            _keep_factor(voxel.numbers)
            return new, FAILED, count
        if not is_first:
            if np.isfinite(gain):
                bent = plain - 0.5 * _form(state.step, state.bend)
                is_bent = abs(bent - gain) < abs(plain - gain)
            damping, growth = _new_damping(damping, growth, gain, foreseen)
            if is_short and not gain > 0:
                if not np.isfinite(gain):
                    return cost, FAILED, count
                is_stalled = decrement > EMPTY_PROMISE * size + ROUNDING
                return cost, STALLED if is_stalled else CONVERGED, count
        is_first = False
        decrement = _decrement(state)
        is_near = decrement <= tol * size + NOTHING
        if is_near:
            wants = False
        elif count >= most:
            return cost, LIMIT, count
        else:
            count += 1
        _step(state, damping, is_bent, is_near)
        foreseen, plain = _foreseen(state, state.curved), _foreseen(state, state.h)
        is_short = norm(state.step) <= tol * (tol + norm(state.x))


@borrowing
def _place(x, shift, box, out):
    """Write fractions of the bounds: shifted, and wrapped where both ends meet."""
    for k in range(x.size):
        out[k] = x[k] + shift[k]
        if box[ROUND, k]:
            out[k] -= np.floor(out[k])


@borrowing
def _keep_factor(numbers):
    """Keep the factor of the last residual."""
    numbers[FOUND_REAL], numbers[FOUND_IMAG] = numbers[REAL], numbers[IMAG]


@borrowing
def _decrement(state):
    """Return Newton's decrement of the free variables, half of g^T H^-1 g."""
    _damp(state.diagonal, NO_DAMPING, state.damping)
    hold_pressed(state.x, state.g, state.free)
    for k in range(state.x.size):
        for j in range(state.x.size):
            state.a[k, j] = state.h[k, j]
        state.a[k, k] += state.damping[k]
    found = np.inf
    if solve_free(state.a, state.g, state.free, state.factor, state.way):
        found = 0.5 * _dot(state.g, state.way)
    return found


@borrowing
def _step(state, damping, is_bent, is_near):
    """Write the step from x, undamped where the minimum is near, and where it leads."""
    if not is_near:
        _damp(state.largest, damping, state.damping)
    for k in range(state.x.size):
        for j in range(state.x.size):
            state.curved[k, j] = state.h[k, j]
            if is_bent and not is_near:
                state.curved[k, j] += state.bend[k, j]
    damped_step(
        state.x,
        state.g,
        state.curved,
        state.damping,
        state.a,
        state.factor,
        state.slope,
        state.way,
        state.free,
        state.step,
    )
    for k in range(state.x.size):
        state.moved[k] = min(max(state.x[k] + state.step[k], 0.0), 1.0)


@borrowing(inline="always")
def _move(task, law, voxel, state, is_first):
    """Write the derivatives where a step leads, and what the curvature lacks.

    Return whether they are finite.
    """
    n, g = state.x.size, state.g
    # Where they are not, those at x stay.
    if law is None:
        differentiate(task, voxel)
        is_finite = _normal_equations(voxel.r, voxel.jac, state.dg, state.curved)
    else:
        is_finite = expand(task, law, voxel, state.place, state.dg, state.curved)
    if is_finite:
        for k in range(n):
            new, state.diagonal[k] = state.dg[k], state.curved[k, k]
            state.dg[k], g[k] = new - g[k], new
            for j in range(n):
                state.h[k, j] = state.curved[k, j]
            if is_first:
                state.largest[k] = state.h[k, k]
            state.largest[k] = max(state.largest[k], state.h[k, k])
            # As far as the bounds let it go.
            state.way[k] = state.moved[k] - state.x[k]
            if law is None:
                # The change of J, transposed, times the residual.
                state.dj[k] = g[k] - _dot(state.old[k], voxel.r)
                for f in range(voxel.r.size):
                    state.old[k, f] = voxel.jac[k, f]
        if law is not None:
            for k in range(n):
                state.dj[k] = state.dg[k] - _dot(state.h[k], state.way)
        _update_bend(state.dg, state.dj, state.way, state.slope, state.bend, is_first)
    return is_finite


@borrowing
def _normal_equations(r, jac, g, h):
    """Write the gradient J^T r and the curvature J^T J; return whether they are finite."""
    total = 0.0
    for k in range(jac.shape[0]):
        g[k] = _dot(jac[k], r)
        total += g[k]
        for j in range(k + 1):
            h[k, j] = h[j, k] = _dot(jac[k], jac[j])
            total += h[k, j]
    return np.isfinite(total)


@borrowing
def _update_bend(dg, dj, way, bent, bend, is_first):
    """Write what the curvature lacks after a step: symmetric, and bend way = dj.

    At the first point nothing is known of it.
    """
    n, total = dg.size, np.nan
    if not is_first:
        along, has, had, shrink = _dot(dg, way), abs(_dot(dj, way)), 0.0, 1.0
        for k in range(n):
            bent[k] = _dot(bend[k], way)
            had += way[k] * bent[k]
        if abs(had) > has:
            shrink = has / abs(had)
        for k in range(n):
            dj[k] -= shrink * bent[k]
        excess, total = _dot(dj, way) / along, 0.0
        for k in range(n):
            for j in range(n):
                change = dj[k] * dg[j] + dj[j] * dg[k]
                change = (change - excess * dg[k] * dg[j]) / along
                bend[k, j] = shrink * bend[k, j] + change
                total += bend[k, j]
    if not np.isfinite(total):
        for k in range(n):
            for j in range(n):
                bend[k, j] = 0.0


@borrowing
def _damp(diagonal, damping, out):
    """Write damping times D, positive even for variables without any effect."""
    largest = 0.0
    for k in range(diagonal.size):
        largest = max(largest, diagonal[k])
    least = LEAST_CURVATURE * largest if largest > 0 else 1.0
    for k in range(diagonal.size):
        out[k] = damping * max(diagonal[k], least)


@borrowing
def _new_damping(damping, growth, gain, foreseen):
    """Trust the model more after a good step, less after a bad one."""
    if gain > 0 and foreseen > 0:
        rest = 2 * min(gain / foreseen, 1.0) - 1
        factor = max(1 / 3, 1 - rest * rest * rest)
        return max(damping * factor, LEAST_DAMPING), 2.0
    return min(damping * growth, MOST_DAMPING), min(2 * growth, MOST_DAMPING)


@borrowing(inline="always")
def _foreseen(state, curvature):
    """Return by how much a step lowers the quadratic model."""
    return -(_dot(state.g, state.step) + 0.5 * _form(state.step, curvature))


@borrowing
def _form(step, matrix):
    """Return step^T Q step."""
    total = 0.0
    for k in range(step.size):
        for j in range(step.size):
            total += step[k] * matrix[k, j] * step[j]
    return total


@borrowing
def _dot(a, b):
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total
