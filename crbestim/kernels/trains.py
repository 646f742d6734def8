"""Signals of pulse trains from their echo-to-echo maps, eight voxels at a time.

State     x, y (transverse), z (longitudinal), s (longitudinal, second pool).
Map       v' = E v + b of one repetition, as the 14 numbers left free by the symmetry
          of a repetition under time reversal; with r the ratio of the pools,

              |  XX   XY   XZ    XS |        | BX |
          E = | -XY   YY   YZ    YS |    b = | BY |
              |  XZ  -YZ   ZZ    ZS |        | BZ |
              | rXS -rYS  rZS    SS |        | BS |

          The first EVEN of them are even functions of the flip angle, the others odd.
Derivatives follow the values on the first axis: maps are (1 + d, 14, LANES), states
(1 + d, 4, LANES), r is (1 + d, LANES).

Repetition i leads from echo i - 1 to echo i. With t the derivative of the state by a
parameter,  v_i = E_i v_{i-1} + b_i,  t_i = E_i t_{i-1} + dE_i v_{i-1} + db_i.

 1. `sweep_columns` runs through a train from echo 0 with the five columns of the affine
    map from echo 0 to echo i. All samples are affine in the state at echo 0.
 2. Initial echo. Thermal start: echo 0 follows from equilibrium by map 0. Periodic
    steady state: map 0 closes the cycle, v = A v + a, and v_0 = (I - A)^-1 a.
 3. `sweep_state` runs from v_0 with derivatives that start at zero. In a periodic steady
    state their values after a cycle, t_end, give t_0 = (I - A)^-1 t_end.
 4. Samples of both sweeps are projected as they are computed; `finish` combines them:
    s = Phi v_0 + phi and ds = t + Phi t_0.
"""

from ._compile import njit
from .lanes import spread, vectors

N_ENTRIES = 14
XX, XY, YY, ZZ, ZS, SS, BZ, BS, XZ, YZ, XS, YS, BX, BY = range(N_ENTRIES)
EVEN = 8


@njit
def step_columns(m, r, columns):
    """Apply the map m (14) to the five columns (5, 4) of an affine map; takes vectors."""
    xx, xy, yy, zz, zs, ss = m[XX], m[XY], m[YY], m[ZZ], m[ZS], m[SS]
    xz, yz, xs, ys = m[XZ], m[YZ], m[XS], m[YS]
    for j in range(5):
        x, y, z, s = columns[j, 0], columns[j, 1], columns[j, 2], columns[j, 3]
        columns[j, 0], columns[j, 1], columns[j, 2], columns[j, 3] = (
            xx * x + xy * y + xz * z + xs * s,
            yy * y - xy * x + yz * z + ys * s,
            xz * x - yz * y + zz * z + zs * s,
            r * (xs * x - ys * y + zs * z) + ss * s,
        )
    columns[4, 0] = columns[4, 0] + m[BX]
    columns[4, 1] = columns[4, 1] + m[BY]
    columns[4, 2] = columns[4, 2] + m[BZ]
    columns[4, 3] = columns[4, 3] + m[BS]


@njit
def step_state(m, r, v):
    """Apply a map (1 + d, 14) to a state with derivatives (1 + d, 4); takes vectors."""
    xx, xy, yy, zz, zs, ss = m[0, XX], m[0, XY], m[0, YY], m[0, ZZ], m[0, ZS], m[0, SS]
    xz, yz, xs, ys, ratio = m[0, XZ], m[0, YZ], m[0, XS], m[0, YS], r[0]
    x, y, z, s = v[0, 0], v[0, 1], v[0, 2], v[0, 3]
    pull = xs * x - ys * y + zs * z
    for p in range(1, v.shape[0]):
        a, b, c, e = v[p, 0], v[p, 1], v[p, 2], v[p, 3]
        new_x = m[p, BX] + xx * a + xy * b + xz * c + xs * e
        new_y = m[p, BY] + yy * b - xy * a + yz * c + ys * e
        new_z = m[p, BZ] + xz * a - yz * b + zz * c + zs * e
        new_s = m[p, BS] + ss * e + r[p] * pull
        dpull = xs * a - ys * b + zs * c + m[p, XS] * x - m[p, YS] * y + m[p, ZS] * z
        v[p, 0] = new_x + m[p, XX] * x + m[p, XY] * y + m[p, XZ] * z + m[p, XS] * s
        v[p, 1] = new_y + m[p, YY] * y - m[p, XY] * x + m[p, YZ] * z + m[p, YS] * s
        v[p, 2] = new_z + m[p, XZ] * x - m[p, YZ] * y + m[p, ZZ] * z + m[p, ZS] * s
        v[p, 3] = new_s + m[p, SS] * s + ratio * dpull
    v[0, 0], v[0, 1], v[0, 2], v[0, 3] = (
        m[0, BX] + xx * x + xy * y + xz * z + xs * s,
        m[0, BY] + yy * y - xy * x + yz * z + ys * s,
        m[0, BZ] + xz * x - yz * y + zz * z + zs * s,
        m[0, BS] + ss * s + ratio * pull,
    )


@njit
def sweep_columns(exact, between, index, low, high, first, r, columns, path):
    """Advance the columns from echo low - 1 to high - 1 and keep their x and y.

    exact : maps of nodes, between : interpolated maps of repetitions low, low + 1, ..;
    repetition i has the map exact[index[i]], or between[i - low] if index[i] < 0.
    path : (high - low or more, 10, LANES).
    """
    exact, between, path = vectors(exact), vectors(between), vectors(path)
    columns, ratio = vectors(columns), vectors(r)[0]
    for i in range(low, high):
        k = i - low
        if i != first:
            m = exact[index[i], 0] if index[i] >= 0 else between[k, 0]
            step_columns(m, ratio, columns)
        for j in range(5):
            path[k, 2 * j], path[k, 2 * j + 1] = columns[j, 0], columns[j, 1]


@njit
def sweep_state(exact, between, index, low, high, first, r, v, path):
    """Advance the state from echo low - 1 to high - 1 and keep its derivatives of x and y.

    path : (high - low or more, 2 d, LANES); the rest as in `sweep_columns`.
    """
    exact, between, path = vectors(exact), vectors(between), vectors(path)
    r, v = vectors(r), vectors(v)
    for i in range(low, high):
        k = i - low
        if i != first:
            m = exact[index[i]] if index[i] >= 0 else between[k]
            step_state(m, r, v)
        for p in range(1, v.shape[0]):
            path[k, 2 * p - 2], path[k, 2 * p - 1] = v[p, 0], v[p, 1]


@njit
def close_cycle(closing, r, columns, resolvent):
    """Compose the columns with map 0, and write (I - A)^-1 of the cycle, transposed."""
    columns, resolvent = vectors(columns), vectors(resolvent)
    step_columns(vectors(closing)[0], vectors(r)[0], columns)
    for i in range(4):
        for j in range(4):
            resolvent[i, j] = (1.0 if i == j else 0.0) - columns[i, j]
    _invert(resolvent)


@njit
def _invert(a):
    """Invert I - A in place, for a contraction A, so without pivots; takes vectors."""
    n = a.shape[0]
    for k in range(n):
        pivot = 1.0 / a[k, k]
        a[k, k] = spread(1.0)
        for j in range(n):
            a[k, j] = pivot * a[k, j]
        for i in range(n):
            if i != k:
                factor = 1.0 * a[i, k]
                a[i, k] = spread(0.0)
                for j in range(n):
                    a[i, j] = a[i, j] - factor * a[k, j]


@njit
def add_product(rows, matrix, out):
    """Add rows @ matrix, (n, 4) times (4, 4), to `out`."""
    rows, matrix, out = vectors(rows), vectors(matrix), vectors(out)
    for i in range(rows.shape[0]):
        for j in range(4):
            value = out[i, j]
            for k in range(4):
                value = value + rows[i, k] * matrix[k, j]
            out[i, j] = value


@njit
def finish(sums, dsums, start, out):
    """Combine both sweeps: s += Phi v_0 + phi, ds += t + Phi t_0.

    sums : (n, 10, LANES), dsums : (n, 2 d, LANES), what the sweeps kept, projected.
    start : (1 + d, 4, LANES), echo 0; out : (n, 1 + d, 2, LANES).
    """
    sums, dsums, start, out = vectors(sums), vectors(dsums), vectors(start), vectors(out)
    for row in range(out.shape[0]):
        for p in range(start.shape[0]):
            for part in range(2):
                own = dsums[row, 2 * p - 2 + part] if p > 0 else sums[row, 8 + part]
                value = out[row, p, part] + own
                for j in range(4):
                    value = value + sums[row, 2 * j + part] * start[p, j]
                out[row, p, part] = value
