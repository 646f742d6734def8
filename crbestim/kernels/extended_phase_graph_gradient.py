"""Derivatives of functions of the signals of a FISP train by its flip angles and TR.

One voxel; the equations are those of `extended_phase_graph.py`. With P = A + B, the angle
a = B1 alpha and h = (cos a - 1) / 2, a repetition is

 1. Pulse:  A += t,  B += t,  Z = cos(a) Z - sin(a) P / 2,  t = h P + sin(a) Z.
 2. Echo:  s = exp(-TE / T2) A_0.
 3. Relaxation:  A, B times E2,  Z times E1,  Z_0 += 1 - E1.
 4. Dephasing:  A_k becomes A_{k+1},  B_{k+1} becomes B_k,  A_0 = conj(B_0).
 5. Frame of the next pulse:  A times exp(-i turn),  B times exp(i turn).

`forward` runs through the train with the tangents, derivatives by T1, T2 and B1, and keeps
the state before every CHUNK-th repetition. `backward` goes the other way: from each of
these it plays the repetitions of a chunk again, keeps their states, and then undoes the
steps with the adjoint, the derivatives of the function by the state, tangents included.
Relaxation multiplies a state, so that derivatives by TR are inner products of the state
after it with the adjoint: with Z_0 counted from equilibrium, those of A and B by TR are
-1 / T2 times themselves, and so forth.

State     (1 + d, parts, 3, n_states + 3): value and tangents, real and maybe imaginary
          part, and A, B, Z. A_k and Z_k are in column k, B_k in column k + 1.
Settings  (N, N_SETTINGS) and constant in a train (R1, R2, B1), the rates being 1 / T1 and
          1 / T2.
"""

import math

import numpy as np

from ._compile import njit

T1, T2, B1 = 1, 2, 3
CHUNK = 32
N_SETTINGS = 8
ALPHA, SIN, COS, E1, E2, TR, ECHO, TE = range(N_SETTINGS)


@njit
def play_one(c, n, x, out):
    """Play n orders of one part of the value or of a tangent, without its sources."""
    sin, cos, e1, e2 = c[SIN], c[COS], c[E1], c[E2]
    shrink, half = 0.5 * (cos - 1), 0.5 * sin
    for k in range(n):
        a, b, w = x[0, k], x[1, k + 1], x[2, k]
        p = a + b
        t = shrink * p + sin * w
        out[0, k + 1], out[1, k] = e2 * (a + t), e2 * (b + t)
        out[2, k] = e1 * (cos * w - half * p)
    out[1, n] = out[1, n + 1] = out[2, n] = out[2, n + 1] = 0.0


@njit
def play_b1(c, n, x, out):
    """Add to the tangent of B1 what the derivative of the pulse makes of the value."""
    sin, cos, e1, e2 = c[SIN], c[COS], c[ALPHA] * c[E1], c[ALPHA] * c[E2]
    for k in range(n):
        p, w = x[0, k] + x[1, k + 1], x[2, k]
        t = e2 * (cos * w - 0.5 * sin * p)
        out[0, k + 1] += t
        out[1, k] += t
        out[2, k] -= e1 * (sin * w + 0.5 * cos * p)


@njit
def copy(x, out):
    """Copy a state."""
    for p in range(x.shape[0]):
        for part in range(x.shape[1]):
            for row in range(3):
                for k in range(x.shape[3]):
                    out[p, part, row, k] = x[p, part, row, k]


@njit
def add(factor, n, row, source, out):
    """Add a multiple of n numbers of a row to others."""
    for k in range(n):
        out[row, k] += factor * source[row, k]


@njit
def turn_frame(angle, n, x):
    """Turn the frame of n orders of a pair of parts, (2, 3, n_states + 3)."""
    cos, sin = math.cos(angle), math.sin(angle)
    for row in range(2):
        s = sin if row == 0 else -sin
        for k in range(row, n + row):
            real, imaginary = x[0, row, k], x[1, row, k]
            x[0, row, k] = cos * real + s * imaginary
            x[1, row, k] = cos * imaginary - s * real


@njit
def play(c, rates, n, x, out):
    """Play a repetition up to the dephasing, n orders of the state `x`."""
    k1, k2 = c[TR] * rates[0] ** 2, c[TR] * rates[1] ** 2
    for p in range(x.shape[0]):
        for part in range(x.shape[1]):
            play_one(c, n, x[p, part], out[p, part])
    for part in range(x.shape[1]):
        add(k1, n, 2, out[0, part], out[T1, part])
        for row in range(2):
            add(k2, n + 1, row, out[0, part], out[T2, part])
        if x.shape[0] > B1:
            play_b1(c, n, x[0, part], out[B1, part])
    out[0, 0, 2, 0] += 1 - c[E1]
    out[T1, 0, 2, 0] -= k1 * c[E1]


@njit
def arrive(turn, n, x):
    """Complete the dephasing of a state, and turn it into the frame of its pulse."""
    for p in range(x.shape[0]):
        for part in range(x.shape[1]):
            x[p, part, 0, 0] = (1 - 2 * part) * x[p, part, 1, 1]
        if turn != 0.0:
            turn_frame(turn, n, x[p])


@njit
def orders(i, n_pulses, n_states):
    """Return how many orders of a repetition have come about and may return."""
    return min(i + 1, n_pulses - i, n_states)


@njit
def play_chunk(first, last, settings, rates, turns, n_states, states):
    """Play the repetitions `first` to `last` - 1 from the state before, states[0]."""
    n_pulses = len(settings)
    for i in range(first, last):
        n, out = orders(i, n_pulses, n_states), states[i - first + 1]
        play(settings[i], rates, n, states[i - first], out)
        if i + 1 < n_pulses:
            arrive(turns[i + 1], orders(i + 1, n_pulses, n_states), out)


@njit(nogil=True)
def forward(settings, rates, turns, n_states, states, kept, echoes):
    """Write the echoes and their tangents, (N, 1 + d, parts).

    states : (CHUNK + 1, *state), scratch space, of which states[0] is the state before
    pulse 0. kept : (n_chunks, *state), the state before each chunk. turns : (N,).
    """
    n_pulses = len(settings)
    for first in range(0, n_pulses, CHUNK):
        last = min(first + CHUNK, n_pulses)
        copy(states[0], kept[first // CHUNK])
        play_chunk(first, last, settings, rates, turns, n_states, states)
        for i in range(first, last):
            c, x = settings[i], states[i - first]
            for p in range(x.shape[0]):
                for part in range(x.shape[1]):
                    a, w = x[p, part, 0, 0], x[p, part, 2, 0]
                    t = 0.5 * (c[COS] - 1) * (a + x[p, part, 1, 1]) + c[SIN] * w
                    echoes[i, p, part] = c[ECHO] * (a + t)
            for part in range(x.shape[1]):
                echoes[i, T2, part] += c[TE] * rates[1] ** 2 * echoes[i, 0, part]
                if x.shape[0] > B1:
                    a, w = x[0, part, 0, 0] + x[0, part, 1, 1], x[0, part, 2, 0]
                    t = c[COS] * w - 0.5 * c[SIN] * a
                    echoes[i, B1, part] += c[ECHO] * c[ALPHA] * t
        copy(states[last - first], states[0])


@njit
def multiply(factor, n, x, y, sums):
    """Add a multiple of the products of A and B, order by order."""
    for k in range(n):
        sums[k] += factor * (x[0, k] * y[0, k] + x[1, k + 1] * y[1, k + 1])


@njit
def multiply_z(factor, n, x, y, sums):
    """Do the same for Z."""
    for k in range(n):
        sums[k] += factor * x[2, k] * y[2, k]


@njit
def by_time(rates, n, x, adjoint, sums):
    """Return the derivative by the time that has relaxed the n orders of a state."""
    r1, r2 = rates[0], rates[1]
    for k in range(n):
        sums[k] = 0.0
    for part in range(x.shape[1]):
        for p in range(x.shape[0]):
            multiply(-r2, n, adjoint[p, part], x[p, part], sums)
            multiply_z(-r1, n, adjoint[p, part], x[p, part], sums)
        multiply(r2**2, n, adjoint[T2, part], x[0, part], sums)
        multiply_z(r1**2, n, adjoint[T1, part], x[0, part], sums)
    return total(n, sums) + r1 * adjoint[0, 0, 2, 0] - r1**2 * adjoint[T1, 0, 2, 0]


@njit
def total(n, sums):
    """Return the sum of n numbers, by four sums."""
    a = b = c = d = 0.0
    for k in range(0, n - 3, 4):
        a, b, c, d = a + sums[k], b + sums[k + 1], c + sums[k + 2], d + sums[k + 3]
    for k in range(n - n % 4, n):
        a += sums[k]
    return (a + b) + (c + d)


@njit
def undo_one_relaxation(c, n, adjoint):
    """Undo decay and dephasing for one part of the value or of a tangent."""
    for k in range(n):
        adjoint[0, k] = c[E2] * adjoint[0, k + 1]
        adjoint[2, k] = c[E1] * adjoint[2, k]
    for k in range(n, 0, -1):
        adjoint[1, k] = c[E2] * adjoint[1, k - 1]
    adjoint[0, n] = adjoint[0, n + 1] = adjoint[1, 0] = adjoint[1, n + 1] = 0.0
    adjoint[2, n] = adjoint[2, n + 1] = 0.0


@njit
def undo_relaxation(c, rates, n, source, adjoint):
    """Take the adjoint from the state after a repetition to that after its pulse.

    In place, and in the columns of the orders before the dephasing.
    """
    k1, k2 = c[TR] * rates[0] ** 2, c[TR] * rates[1] ** 2
    for part in range(adjoint.shape[1]):
        add(k1, n, 2, adjoint[T1, part], adjoint[0, part])
        for row in range(2):
            add(k2, n + 1, row, adjoint[T2, part], adjoint[0, part])
        for p in range(adjoint.shape[0]):
            undo_one_relaxation(c, n, adjoint[p, part])
            adjoint[p, part, 0, 0] += c[ECHO] * source[p, part]
        adjoint[0, part, 0, 0] += c[ECHO] * c[TE] * rates[1] ** 2 * source[T2, part]


@njit
def undo_one(c, b1, n, x, adjoint, slopes):
    """Undo the pulse for one part of the value or of a tangent.

    slopes : (n,) or more, to which the derivatives by alpha are added.
    """
    sin, cos, half = c[SIN], c[COS], 0.5 * c[SIN]
    for k in range(n):
        p, w = x[0, k] + x[1, k + 1], x[2, k]
        by_t, by_w = adjoint[0, k] + adjoint[1, k + 1], adjoint[2, k]
        by_p = 0.5 * (cos - 1) * by_t - half * by_w
        adjoint[0, k] += by_p
        adjoint[1, k + 1] += by_p
        adjoint[2, k] = sin * by_t + cos * by_w
        change = by_t * (cos * w - half * p) - by_w * (sin * w + 0.5 * cos * p)
        slopes[k] += b1 * change


@njit
def undo_b1(c, b1, n, x, tangent, adjoint, slopes):
    """Undo what `play_b1` adds: from the adjoint of a tangent to that of the value."""
    sin, cos, half, angle = c[SIN], c[COS], 0.5 * c[SIN], b1 * c[ALPHA]
    for k in range(n):
        p, w = x[0, k] + x[1, k + 1], x[2, k]
        by_t, by_w = tangent[0, k] + tangent[1, k + 1], tangent[2, k]
        by_p = -c[ALPHA] * (half * by_t + 0.5 * cos * by_w)
        adjoint[0, k] += by_p
        adjoint[1, k + 1] += by_p
        adjoint[2, k] += c[ALPHA] * (cos * by_t - sin * by_w)
        first, second = cos * w - half * p, -sin * w - 0.5 * cos * p
        slopes[k] += by_t * (first + angle * second) + by_w * (second - angle * first)


@njit
def undo_pulse(c, b1, n, x, adjoint, slopes):
    """Take the adjoint back to the state before a pulse; return the derivative by alpha."""
    for k in range(n):
        slopes[k] = 0.0
    for part in range(x.shape[1]):
        for p in range(B1):
            undo_one(c, b1, n, x[p, part], adjoint[p, part], slopes)
        if x.shape[0] > B1:
            undo_b1(c, b1, n, x[0, part], adjoint[B1, part], adjoint[0, part], slopes)
            undo_one(c, b1, n, x[B1, part], adjoint[B1, part], slopes)
    return total(n, slopes)


@njit
def undo_arrival(turn, n, adjoint):
    """Undo what `arrive` does."""
    for p in range(adjoint.shape[0]):
        if turn != 0.0:
            turn_frame(-turn, n, adjoint[p])
        for part in range(adjoint.shape[1]):
            adjoint[p, part, 1, 1] += (1 - 2 * part) * adjoint[p, part, 0, 0]
            adjoint[p, part, 0, 0] = 0.0


@njit(nogil=True)
def backward(
    settings, rates, turns, n_states, states, kept, sources, adjoint, by_alpha, by_tr
):
    """Write the derivatives of a function of the echoes by the angles and times, (N,).

    sources : (N, 1 + d, parts), its derivatives by the echoes and their tangents. states
    and kept : those of `forward`. adjoint : zeros of the shape of a state.
    """
    n_pulses, slopes = len(settings), np.empty(n_states)
    for chunk in range(len(kept) - 1, -1, -1):
        first = chunk * CHUNK
        last = min(first + CHUNK, n_pulses)
        copy(kept[chunk], states[0])
        play_chunk(first, last, settings, rates, turns, n_states, states)
        for i in range(last - 1, first - 1, -1):
            c, j, n = settings[i], i - first, orders(i, n_pulses, n_states)
            by_tr[i] = 0.0
            if i + 1 < n_pulses:
                after = orders(i + 1, n_pulses, n_states)
                by_tr[i] = by_time(rates, after, states[j + 1], adjoint, slopes)
                undo_arrival(turns[i + 1], after, adjoint)
            undo_relaxation(c, rates, n, sources[i], adjoint)
            by_alpha[i] = undo_pulse(c, rates[2], n, states[j], adjoint, slopes)
