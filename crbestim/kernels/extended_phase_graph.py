"""Signals of unbalanced steady-state free precession, FISP, by extended phase graphs.

The magnetization is a Fourier series in the angle theta by which the gradients of a
repetition dephase it, x + i y = sum_k F_k exp(i k theta) and z = sum_k Z_k exp(i k theta),
of which

    A_k = F_k,    B_k = conj(F_-k),    Z_k    for orders k >= 0, with A_0 = conj(B_0),

are enough (Hennig, Concepts Magn. Reson. 1991, doi 10.1002/cmr.1820030302; Weigel, JMRI
2015, doi 10.1002/jmri.24619). Repetition i, in the frame of its pulse:

 1. Pulse of flip angle alpha about y, the same for every order, with P = A + B:
    A += t,  B += t,  Z = cos(alpha) Z - sin(alpha) P / 2,
    t = (cos(alpha) - 1) P / 2 + sin(alpha) Z.
 2. Echo:  s = exp(-TE / T2) A_0.
 3. Relaxation:  A, B times E2 = exp(-TR / T2), Z times E1 = exp(-TR / T1), Z_0 += 1 - E1.
 4. Dephasing:  A_k becomes A_{k+1},  B_{k+1} becomes B_k,  A_0 = conj(B_0).
 5. Frame of the next pulse:  A times exp(-i turn),  B times exp(i turn).

The coefficients of 1 to 4 are real. Without turns the state stays real; with them, its
real and imaginary parts are two states that undergo the same pulses.

Step 4 moves no data: A_k of repetition i is stored at k + N - i, and B_k at k + i. Orders
above N - 1 - i cannot return to order 0 before the end, and are left out. CHUNK repetitions
at a time are played on a tile of a few orders that stays in the fastest cache, each
repetition one order behind the one before.

Derivatives follow the same equations with a source: by T1, TR / T1^2 times the new Z; by
T2, TR / T2^2 times the new A and B; by B1, the derivative of the pulse times the old state.
"""

from collections import namedtuple

import numpy as np

from ._compile import njit
from .interpolation import weighted_sums
from .lanes import LANES, vectors, zeros

T1, T2, B1 = range(3)
N_PARAMETERS = 3
CHUNK = 16
WIDTH = 192  # orders in a tile of one column; several columns share it
E1, E2, SHRINK, SINE, COSINE, HALF, K1, K2 = range(8)
D_SHRINK, D_SINE, D_COSINE, D_HALF = range(8, 12)
TE_DECAY, TE_SHRINK, TE_SINE, TE_K2, TE_D_SHRINK, TE_D_SINE = range(12, 18)
N_COEFFICIENTS = 18

Pulses = namedtuple("Pulses", "alpha sign turn tr te intervals inversion_time")
"""A sequence in the form that the kernels read.

alpha, sign : (N,), flip angles, and factors of the echoes.
turn : (N,), angles by which the frame turns before each pulse; (0,) if it never turns.
tr, te : (N,), indices of each repetition's TR and TE in `intervals` (n,), in s.
inversion_time : from a complete inversion to pulse 0; negative without an inversion.
"""


@njit
def play(c, j, n, at, column, a, b, z):
    """Apply pulse and relaxation to n orders of one column of the state.

    It takes vectors, or numbers of a single voxel, as do the functions by which it is
    differentiated.
    c : (CHUNK, N_COEFFICIENTS), row j of it; a, b, z : (n_columns, n_slots), the orders
    from slots `at` on.
    """
    e2, shrink, sine, cosine, half = (
        c[j, E2],
        c[j, SHRINK],
        c[j, SINE],
        c[j, COSINE],
        c[j, HALF],
    )
    a, b, z = a[column, at[0] :], b[column, at[1] :], z[column, at[2] :]
    for k in range(n):
        x, y, w = a[k], b[k], z[k]
        p = x + y
        t = shrink * p + sine * w
        a[k], b[k] = e2 * x + t, e2 * y + t
        z[k] = cosine * w - half * p


@njit
def play_by_t1(c, j, n, at, column, values, a, b, z):
    """Do the same for a derivative by T1, once the values have been played."""
    e2, shrink, sine, cosine, half = (
        c[j, E2],
        c[j, SHRINK],
        c[j, SINE],
        c[j, COSINE],
        c[j, HALF],
    )
    source, k1 = z[values, at[2] :], c[j, K1]
    a, b, z = a[column, at[0] :], b[column, at[1] :], z[column, at[2] :]
    for k in range(n):
        x, y, w = a[k], b[k], z[k]
        p = x + y
        t = shrink * p + sine * w
        a[k], b[k] = e2 * x + t, e2 * y + t
        z[k] = k1 * source[k] + (cosine * w - half * p)


@njit
def play_by_t2(c, j, n, at, column, values, a, b, z):
    """Do the same for a derivative by T2, once the values have been played."""
    e2, shrink, sine, cosine, half = (
        c[j, E2],
        c[j, SHRINK],
        c[j, SINE],
        c[j, COSINE],
        c[j, HALF],
    )
    source_a, source_b, k2 = a[values, at[0] :], b[values, at[1] :], c[j, K2]
    a, b, z = a[column, at[0] :], b[column, at[1] :], z[column, at[2] :]
    for k in range(n):
        x, y, w = a[k], b[k], z[k]
        p = x + y
        t = shrink * p + sine * w
        a[k] = k2 * source_a[k] + (e2 * x + t)
        b[k] = k2 * source_b[k] + (e2 * y + t)
        z[k] = cosine * w - half * p


@njit
def play_by_b1(c, j, n, at, column, values, a, b, z):
    """Do the same for a derivative by B1, before the values are played."""
    e2, shrink, sine, cosine, half = (
        c[j, E2],
        c[j, SHRINK],
        c[j, SINE],
        c[j, COSINE],
        c[j, HALF],
    )
    d_shrink, d_sine, d_cosine, d_half = (
        c[j, D_SHRINK],
        c[j, D_SINE],
        c[j, D_COSINE],
        c[j, D_HALF],
    )
    old_a, old_b, old_z = a[values, at[0] :], b[values, at[1] :], z[values, at[2] :]
    a, b, z = a[column, at[0] :], b[column, at[1] :], z[column, at[2] :]
    for k in range(n):
        x, y, w = a[k], b[k], z[k]
        p, q, v = x + y, old_a[k] + old_b[k], old_z[k]
        t = shrink * p + sine * w + (d_shrink * q + d_sine * v)
        a[k], b[k] = e2 * x + t, e2 * y + t
        z[k] = cosine * w - half * p + (d_cosine * v - d_half * q)


@njit
def turn_frame(angle, n, at, a, b):
    """Turn n orders of each pair of columns, real and imaginary part, by an angle."""
    cos, sin = np.cos(angle), np.sin(angle)
    for column in range(0, a.shape[0], 2):
        re, im = a[column, at[0] :], a[column + 1, at[0] :]
        for k in range(n):
            x, y = re[k], im[k]
            re[k], im[k] = cos * x + sin * y, cos * y - sin * x
        re, im = b[column, at[1] :], b[column + 1, at[1] :]
        for k in range(n):
            x, y = re[k], im[k]
            re[k], im[k] = cos * x - sin * y, cos * y + sin * x


@njit
def coefficients(first, last, b1, nominal, decays, pulses, out):
    """Write the coefficients of the repetitions `first` to `last` - 1.

    b1 : (LANES,); nominal : (N, 2), sine and cosine of the flip angles where B1 = 1;
    decays : (n_intervals, 4, LANES), exp(-t / T1), exp(-t / T2), t / T1^2 and t / T2^2;
    out : (CHUNK, N_COEFFICIENTS, LANES).
    """
    rotation = zeros((2, LANES))
    sincos, e, c = vectors(rotation), vectors(decays), vectors(out)
    for i in range(first, last):
        alpha, sign, j = pulses.alpha[i], pulses.sign[i], i - first
        for lane in range(LANES):
            rotation[0, lane], rotation[1, lane] = nominal[i, 0], nominal[i, 1]
            if b1[lane] != 1.0:
                rotation[0, lane] = np.sin(alpha * b1[lane])
                rotation[1, lane] = np.cos(alpha * b1[lane])
        sin, cos = sincos[0] * 1.0, sincos[1] * 1.0
        shrink = 0.5 * cos - 0.5
        tr, te = pulses.tr[i], pulses.te[i]
        e1, e2, decay = e[tr, 0], e[tr, 1], sign * e[te, 1]
        c[j, E1], c[j, E2], c[j, SHRINK], c[j, SINE] = e1, e2, e2 * shrink, e2 * sin
        c[j, COSINE], c[j, HALF] = e1 * cos, e1 * (0.5 * sin)
        c[j, K1], c[j, K2] = e[tr, 2], e[tr, 3]
        c[j, D_SHRINK], c[j, D_SINE] = e2 * (-0.5 * alpha * sin), e2 * (alpha * cos)
        c[j, D_COSINE], c[j, D_HALF] = e1 * (-alpha * sin), e1 * (0.5 * alpha * cos)
        c[j, TE_DECAY], c[j, TE_SHRINK], c[j, TE_SINE] = decay, decay * shrink, decay * sin
        c[j, TE_K2] = 1.0 * e[te, 3]
        c[j, TE_D_SHRINK] = decay * (-0.5 * alpha * sin)
        c[j, TE_D_SINE] = decay * (alpha * cos)


@njit
def join(at, parts, a, b):
    """Set A_0 = conj(B_0) in all columns; takes vectors."""
    for column in range(a.shape[0]):
        is_imaginary = parts == 2 and column % 2 == 1
        a[column, at[0]] = b[column, at[1]] * (-1.0 if is_imaginary else 1.0)


@njit
def echo(c, j, at, columns, parts, a, b, z, i, path):
    """Write the echo after a pulse and its derivatives to row i of path; takes vectors."""
    for column in range(a.shape[0]):
        x, w = a[column, at[0]], z[column, at[2]]
        p = x + b[column, at[1]]
        path[i, column] = c[j, TE_DECAY] * x + c[j, TE_SHRINK] * p + c[j, TE_SINE] * w
    for part in range(parts):
        if columns[T2] >= 0:
            column = (1 + columns[T2]) * parts + part
            path[i, column] = path[i, column] + c[j, TE_K2] * path[i, part]
        if columns[B1] >= 0:
            column = (1 + columns[B1]) * parts + part
            p, w = a[part, at[0]] + b[part, at[1]], z[part, at[2]]
            path[i, column] = path[i, column] + c[j, TE_D_SHRINK] * p + c[j, TE_D_SINE] * w


@njit
def play_orders(c, j, n, at, columns, parts, a, b, z):
    """Play n orders from slots `at` on, values and derivatives; takes vectors."""
    for part in range(parts):
        if columns[B1] >= 0:
            play_by_b1(c, j, n, at, (1 + columns[B1]) * parts + part, part, a, b, z)
        play(c, j, n, at, part, a, b, z)
        if columns[T1] >= 0:
            play_by_t1(c, j, n, at, (1 + columns[T1]) * parts + part, part, a, b, z)
        if columns[T2] >= 0:
            play_by_t2(c, j, n, at, (1 + columns[T2]) * parts + part, part, a, b, z)


@njit
def recover(c, j, columns, parts, z):
    """Add the recovery in one TR to Z_0; takes vectors."""
    z[0, 0] = z[0, 0] + (1.0 - c[j, E1])
    if columns[T1] >= 0:
        column = (1 + columns[T1]) * parts
        z[column, 0] = z[column, 0] - c[j, K1] * c[j, E1]


@njit
def play_chunk(c, first, last, n_states, columns, parts, turn, a, b, z, path):
    """Play the repetitions `first` to `last` - 1, at most CHUNK, in tiles.

    Takes vectors. c : (CHUNK, N_COEFFICIENTS). a : (n_columns, N + 1), b, z : (n_columns,
    N). path : (N, n_columns or more), the echoes.
    """
    n_pulses, width = b.shape[1], max(WIDTH // b.shape[0], CHUNK)
    for start in range(0, n_states + CHUNK, width):
        for i in range(first, last):
            j = i - first
            low = max(start - j, 0)
            high = min(start + width - j, i + 1, n_pulses - i, n_states)
            if high <= low:
                continue
            n, at = high - low, (n_pulses - i + low, i + low, low)
            if start == 0:
                join(at, parts, a, b)
            if turn.size:
                turn_frame(turn[i], n, at, a, b)
            if start == 0:
                echo(c, j, at, columns, parts, a, b, z, i, path)
            play_orders(c, j, n, at, columns, parts, a, b, z)
            if start == 0:
                recover(c, j, columns, parts, z)


@njit
def begin(lanes, columns, parts, inversion_time, b, z):
    """Write the state before pulse 0: equilibrium, or the recovery from an inversion."""
    b[:], z[:] = 0.0, 0.0
    for lane in range(LANES):
        t1 = lanes[T1, lane]
        inverted = 2 * np.exp(-inversion_time / t1) if inversion_time >= 0 else 0.0
        z[0, 0, lane] = 1.0 - inverted
        if columns[T1] >= 0:
            column = (1 + columns[T1]) * parts
            z[column, 0, lane] = -inverted * inversion_time / t1**2


@njit
def load(theta, rows, intervals, lanes, decays):
    """Spread eight rows of theta over the lanes, and write their decays."""
    for lane in range(LANES):
        for k in range(N_PARAMETERS):
            lanes[k, lane] = theta[rows[lane], k]
        r1, r2 = 1 / lanes[T1, lane], 1 / lanes[T2, lane]
        for i in range(intervals.size):
            t = intervals[i]
            decays[i, 0, lane], decays[i, 1, lane] = np.exp(-t * r1), np.exp(-t * r2)
            decays[i, 2, lane], decays[i, 3, lane] = t * r1**2, t * r2**2


@njit
def store(samples, rows, parts, s, ds):
    """Write the samples of a block, (m or more, n_columns or more, LANES), to its rows."""
    for lane in range(LANES):
        v = rows[lane]
        for i in range(s.shape[1]):
            for p in range(1 + ds.shape[2]):
                real = samples[i, p * parts, lane]
                imaginary = samples[i, p * parts + 1, lane] if parts == 2 else 0.0
                if p == 0:
                    s[v, i] = complex(real, imaginary)
                else:
                    ds[v, i, p - 1] = complex(real, imaginary)


@njit(nogil=True)
def simulate(first, last, theta, rows, n_states, columns, pulses, basis, s, ds):
    """Fill signals (n, m) and derivatives (n, m, d) of the blocks `first` to `last` - 1.

    theta : (n, 3), T1, T2, B1. rows : (n_blocks, LANES), the voxels of each block, which
    may repeat one to be full. n_states : (n_blocks,), number of orders kept.
    columns : (3,), derivative by each parameter, negative for none. basis : (n_components,
    N), n_components a multiple of 8, or 0 for the samples themselves; the first m are kept.
    """
    n_pulses, parts = pulses.alpha.size, 2 if pulses.turn.size else 1
    n_columns = (1 + ds.shape[2]) * parts
    a, b = zeros((n_columns, n_pulses + 1, LANES)), zeros((n_columns, n_pulses, LANES))
    z, n_even = zeros((n_columns, n_pulses, LANES)), n_columns + n_columns % 2
    lanes, c = zeros((N_PARAMETERS, LANES)), zeros((CHUNK, N_COEFFICIENTS, LANES))
    decays = zeros((pulses.intervals.size, 4, LANES))
    path, sums = zeros((n_pulses, n_even, LANES)), zeros((basis.shape[0], n_even, LANES))
    nominal = np.empty((n_pulses, 2))
    for i in range(n_pulses):
        nominal[i, 0], nominal[i, 1] = np.sin(pulses.alpha[i]), np.cos(pulses.alpha[i])
    for block in range(first, last):
        load(theta, rows[block], pulses.intervals, lanes, decays)
        begin(lanes, columns, parts, pulses.inversion_time, b, z)
        for low in range(0, n_pulses, CHUNK):
            high = min(low + CHUNK, n_pulses)
            coefficients(low, high, lanes[B1], nominal, decays, pulses, c)
            play_chunk(
                vectors(c), low, high, n_states[block], columns, parts, pulses.turn,
                vectors(a), vectors(b), vectors(z), vectors(path),
            )  # fmt: skip
        if basis.shape[0]:
            weighted_sums(basis, path, sums, np.int64(0), n_even, np.bool_(False))
            store(sums, rows[block], parts, s, ds)
        else:
            store(path, rows[block], parts, s, ds)
