"""Derivatives of functions of hybrid-state signals by the maps of the repetitions.

One voxel; state and maps are those of `trains.py`. The tangents, derivatives by the eight
parameters of `magnetization_transfer.py`, lie side by side in the lanes. With E, b the map
of repetition i from echo i - 1 to echo i, dE, db its tangents,

    v_i = E v_{i-1} + b,    t_i = E t_{i-1} + dE v_{i-1} + db.

A function of all echoes has the derivatives (g_i, h_i) by (v_i, t_i) where these enter it
directly. Its whole derivatives (l_i, m_i) follow backwards in time:

    m_i = h_i + E^T m_{i+1},    l_i = g_i + E^T l_{i+1} + sum of dE^T m_{i+1} over tangents,

maps being those of repetition i + 1, and its derivatives by the maps of repetition i are

    dE: m_i v^T,    db: m_i,    E: l_i v^T + sum of m_i t^T over tangents,    b: l_i,

with v, t the state at echo i - 1. In a periodic steady state a cycle ends as it began;
`transfer` gives the matrix A that leads once around it, and both recursions start from
(I - A)^-1, or its transpose, times what one cycle yields that starts from zero.

Packed maps : (N, 16, LANES), in any order: repetition i has the map `places[i]`. They are
even functions of the flip angle. Rows 0 to 13 are tangents of the numbers of a map, row 14
its even numbers, row 15 its odd ones and two zeros. Odd numbers and their tangents have
been divided by the flip angle.
"""

import numpy as np

from ._compile import njit
from .lanes import LANES, spread, vectors, zeros
from .magnetization_transfer import M0S
from .trains import BS, BX, BY, BZ, EVEN, SS, XS, XX, XY, XZ, YS, YY, YZ, ZS, ZZ

VALUES = 14
N_ROWS = 16


@njit(nogil=True)
def products(points, slopes, n, pairs, out):
    """Write products T_i(u) T_j(w) of Chebyshev polynomials, and their two derivatives.

    points : (n, 2), u and w; slopes : (n, 2), their derivatives by what they depend on.
    pairs : (n_products, 2), i and j below n, which is 2 or more. out : (3, n, n_products).
    """
    t = np.empty((2, 2, n))
    for k in range(points.shape[0]):
        for axis in range(2):
            u, values, changes = points[k, axis], t[axis, 0], t[axis, 1]
            values[0], values[1], changes[0], changes[1] = 1.0, u, 0.0, slopes[k, axis]
            for i in range(2, n):
                values[i] = 2 * u * values[i - 1] - values[i - 2]
                change = 2 * slopes[k, axis] * values[i - 1] + 2 * u * changes[i - 1]
                changes[i] = change - changes[i - 2]
        for e in range(pairs.shape[0]):
            i, j = pairs[e, 0], pairs[e, 1]
            out[0, k, e] = t[0, 0, i] * t[1, 0, j]
            out[1, k, e] = t[0, 1, i] * t[1, 0, j]
            out[2, k, e] = t[0, 0, i] * t[1, 1, j]


@njit
def numbers(maps, k, angle, out):
    """Write the 14 numbers of map k."""
    for e in range(EVEN):
        out[e] = maps[k, VALUES, e]
    for e in range(EVEN, VALUES):
        out[e] = angle * maps[k, VALUES + 1, e - EVEN]


@njit(nogil=True)
def transfer(first, last, maps, places, alpha, ratio, columns):
    """Write the affine map of the repetitions `first` to `last` - 1, (4, LANES).

    Its columns are in the first four lanes, its source is in the fifth.
    """
    m = np.empty(VALUES)
    columns[:] = 0.0
    for j in range(4):
        columns[j, j] = 1.0
    source = zeros((1, LANES))
    source[0, 4] = 1.0
    one, v = vectors(source)[0], vectors(columns)
    for i in range(first, last):
        k = places[i]
        numbers(maps, k, alpha[i], m)
        x, y, z, s = v[0] * 1.0, v[1] * 1.0, v[2] * 1.0, v[3] * 1.0
        pull = m[XS] * x - m[YS] * y + m[ZS] * z
        v[0] = m[BX] * one + m[XX] * x + m[XY] * y + m[XZ] * z + m[XS] * s
        v[1] = m[BY] * one + m[YY] * y - m[XY] * x + m[YZ] * z + m[YS] * s
        v[2] = m[BZ] * one + m[XZ] * x - m[YZ] * y + m[ZZ] * z + m[ZS] * s
        v[3] = m[BS] * one + m[SS] * s + ratio * pull


@njit(nogil=True)
def advance(first, last, maps, places, alpha, ratio, dratio, v, t, states, tangents):
    """Run through the repetitions `first` to `last` - 1 and keep the state before each.

    v : (4,), t : (4, LANES), the state, in place. ratio, dratio : of the pools, and its
    derivative by m0s. states : (N, 4), tangents : (N, 4, LANES).
    """
    m, change = np.empty(VALUES), zeros((1, LANES))
    change[0, M0S] = dratio
    d, t, path, dr = vectors(maps), vectors(t), vectors(tangents), vectors(change)[0]
    for i in range(first, last):
        k = places[i]
        numbers(maps, k, alpha[i], m)
        x, y, z, s, angle = v[0], v[1], v[2], v[3], alpha[i]
        a, b, c, e = t[0] * 1.0, t[1] * 1.0, t[2] * 1.0, t[3] * 1.0
        for j in range(4):
            states[i, j], path[i, j] = v[j], t[j]
        pull = m[XS] * x - m[YS] * y + m[ZS] * z
        v[0] = m[BX] + m[XX] * x + m[XY] * y + m[XZ] * z + m[XS] * s
        v[1] = m[BY] + m[YY] * y - m[XY] * x + m[YZ] * z + m[YS] * s
        v[2] = m[BZ] + m[XZ] * x - m[YZ] * y + m[ZZ] * z + m[ZS] * s
        v[3] = m[BS] + m[SS] * s + ratio * pull
        odd_x = angle * (d[k, BX] + d[k, XZ] * z + d[k, XS] * s)
        odd_y = angle * (d[k, BY] + d[k, YZ] * z + d[k, YS] * s)
        odd_z = angle * (d[k, XZ] * x - d[k, YZ] * y)
        odd_s = angle * (d[k, XS] * x - d[k, YS] * y)
        dpull = m[XS] * a - m[YS] * b + m[ZS] * c + odd_s + d[k, ZS] * z
        t[0] = odd_x + d[k, XX] * x + d[k, XY] * y + m[XX] * a + m[XY] * b
        t[1] = odd_y + d[k, YY] * y - d[k, XY] * x + m[YY] * b - m[XY] * a
        t[2] = odd_z + d[k, BZ] + d[k, ZZ] * z + d[k, ZS] * s + m[XZ] * a - m[YZ] * b
        t[3] = d[k, BS] + d[k, SS] * s + m[SS] * e + dr * pull + ratio * dpull
        t[0], t[1] = t[0] + m[XZ] * c + m[XS] * e, t[1] + m[YZ] * c + m[YS] * e
        t[2] = t[2] + m[ZZ] * c + m[ZS] * e


@njit
def transposed(m, ratio, x, y, z, s):
    """Return E^T (x, y, z, s), of numbers or of vectors, for the numbers m of a map."""
    s_ratio = ratio * s
    return (
        m[XX] * x - m[XY] * y + m[XZ] * z + m[XS] * s_ratio,
        m[XY] * x + m[YY] * y - m[YZ] * z - m[YS] * s_ratio,
        m[XZ] * x + m[YZ] * y + m[ZZ] * z + m[ZS] * s_ratio,
        m[XS] * x + m[YS] * y + m[ZS] * z + m[SS] * s,
    )


@njit
def outer(a, b, c, e, x, y, z, s, s_ratio):
    """Return derivatives of (x, y, z, s)^T E (a, b, c, e) by XX .. SS and by XZ .. YS.

    s_ratio : s times the ratio of the pools.
    """
    even = a * x, b * x - a * y, b * y, c * z, e * z + c * s_ratio, e * s
    odd = c * x + a * z, c * y - b * z, e * x + a * s_ratio, e * y - b * s_ratio
    return even, odd


@njit
def keep(pair, out):
    """Write what `outer` returns to the rows of an array."""
    even, odd = pair
    out[XX], out[XY], out[YY], out[ZZ], out[ZS], out[SS] = even
    out[XZ], out[YZ], out[XS], out[YS] = odd


@njit
def total(rows, out):
    """Add the sums over the lanes, of rows (n, LANES), to numbers (n,)."""
    for e in range(out.size):
        a, b = rows[e, 0] + rows[e, 1], rows[e, 2] + rows[e, 3]
        c, d = rows[e, 4] + rows[e, 5], rows[e, 6] + rows[e, 7]
        out[e] += (a + b) + (c + d)


@njit(nogil=True)
def retreat(
    first,
    last,
    maps,
    places,
    alpha,
    ratio,
    dratio,
    states,
    tangents,
    g,
    h,
    adjoint,
    mu,
    slopes,
):
    """Run backwards through the repetitions `last` - 1 to `first`.

    states, tangents : from `advance`. g : (N, 2), h : (N, 2, LANES), derivatives of the
    function by x and y of each echo and by their tangents. adjoint : (4,), mu : (4,
    LANES), derivatives by the state after the last repetition, or rather before the first
    one, in place. slopes : (N,), for the derivatives by the flip angles at constant even
    functions; then those by the even functions overwrite `maps`. Otherwise (0,).
    """
    m, by_numbers, by_state = np.empty(VALUES), np.empty(VALUES), np.empty(4)
    products, sums = zeros((VALUES, LANES)), zeros((4, LANES))
    odd_sum, slope = zeros((1, LANES)), np.empty(1)
    d, path, h, w = vectors(maps), vectors(tangents), vectors(h), vectors(mu)
    for i in range(last - 1, first - 1, -1):
        k = places[i]
        numbers(maps, k, alpha[i], m)
        angle, l_s = alpha[i], adjoint[3]
        l_x, l_y, l_z = adjoint[0] + g[i, 0], adjoint[1] + g[i, 1], adjoint[2]
        w[0], w[1] = w[0] + h[i, 0], w[1] + h[i, 1]
        x, y, z, s = w[0] * 1.0, w[1] * 1.0, w[2] * 1.0, w[3] * 1.0
        s_ratio, by_ratio = ratio * s, dratio * mu[3, M0S]
        e, f, u, by_state[3] = transposed(m, ratio, l_x, l_y, l_z, l_s)
        by_state[0], by_state[1] = e + by_ratio * m[XS], f - by_ratio * m[YS]
        by_state[2] = u + by_ratio * m[ZS]
        q = vectors(sums)
        q[0] = d[k, XX] * x - d[k, XY] * y + angle * (d[k, XZ] * z + d[k, XS] * s_ratio)
        q[1] = d[k, XY] * x + d[k, YY] * y - angle * (d[k, YZ] * z + d[k, YS] * s_ratio)
        q[2] = d[k, ZZ] * z + d[k, ZS] * s_ratio + angle * (d[k, XZ] * x + d[k, YZ] * y)
        q[3] = d[k, ZS] * z + d[k, SS] * s + angle * (d[k, XS] * x + d[k, YS] * y)
        total(sums, by_state)
        w[0], w[1], w[2], w[3] = transposed(m, ratio, x, y, z, s)
        for j in range(4):
            adjoint[j] = by_state[j]
        if slopes.size == 0:
            continue
        v, t = states[i], path[i]
        keep(
            outer(v[0], v[1], v[2], v[3], l_x, l_y, l_z, l_s, ratio * l_s + by_ratio),
            by_numbers,
        )
        by_numbers[BZ], by_numbers[BS], by_numbers[BX], by_numbers[BY] = l_z, l_s, l_x, l_y
        keep(outer(t[0], t[1], t[2], t[3], x, y, z, s, s_ratio), vectors(products))
        total(products, by_numbers)
        p, slope[0] = vectors(odd_sum), 0.0
        rows = vectors(products)
        keep(outer(v[0], v[1], v[2], v[3], x, y, z, s, s_ratio), rows)
        rows[BZ], rows[BS], rows[BX], rows[BY] = z, s, x, y
        p[0] = spread(0.0)
        for e in range(EVEN, VALUES):
            p[0] = p[0] + rows[e] * d[k, e]
            slope[0] += by_numbers[e] * maps[k, VALUES + 1, e - EVEN]
        total(odd_sum, slope)
        slopes[i] = slope[0]
        for e in range(EVEN):
            d[k, e], maps[k, VALUES, e] = rows[e], by_numbers[e]
        for e in range(EVEN, VALUES):
            d[k, e], maps[k, VALUES + 1, e - EVEN] = angle * rows[e], angle * by_numbers[e]
        for e in (BZ, BS, BX, BY):
            rows[e] = spread(0.0)
