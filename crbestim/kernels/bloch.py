"""Two pools in a constant field: flow of the Bloch equations, eight voxels at a time.

State     x, y, z of free water, s (longitudinal) and w (transverse) of the semi-solid pool.
Map       v' = A v + b, stored row by row as the 30 numbers of the matrix (A | b), and
          together with its derivatives: an array (1 + d, 30, LANES), the map first.
Generator sparse: 15 of the 25 couplings and 5 sources are not zero, in this order
              x: XX XY XZ   y: YX YY   z: ZX ZZ ZS Z1   s: SZ SS S1 SW   w: WS WW
          where SZ is the rate at which z drives s, and Z1 the source of z.

The two operations are

    (A, a) o (B, b) = (A B, A b + a)                                  composition
    exp(G)          = (p(G / 2^k))^(2^k)                              flow of v' = G v + g

with p the Taylor polynomial of degree 12 and k such that the scaled norm is at most 1/2,
which bounds the backward error of the flow by 1e-13 of its generator.
"""

import math

import numpy as np

from ._compile import njit
from .lanes import LANES, vectors, zeros

N_COUPLINGS = 15
XX, XY, XZ, YX, YY, ZX, ZZ, ZS, Z1, SZ, SS, S1, SW, WS, WW = range(N_COUPLINGS)
N_NUMBERS = 30
_ROW_STARTS = np.array([0, 3, 5, 9, 13, 15])
_TAYLOR_NORM = 0.5
_TAYLOR_DEGREE = 12  # even, so that Horner's rule ends in the array that it began in


@njit
def compose(a, b, out):
    """Write a o b (b acts first) and its derivatives."""
    a, b, out = vectors(a), vectors(b), vectors(out)
    for i in range(0, 30, 6):
        x, y, z, s, w, one = (
            a[0, i],
            a[0, i + 1],
            a[0, i + 2],
            a[0, i + 3],
            a[0, i + 4],
            a[0, i + 5],
        )
        for j in range(6):
            out[0, i + j] = (
                x * b[0, j]
                + y * b[0, 6 + j]
                + z * b[0, 12 + j]
                + s * b[0, 18 + j]
                + w * b[0, 24 + j]
            )
        out[0, i + 5] = out[0, i + 5] + one
        for p in range(1, out.shape[0]):
            dx, dy, dz = a[p, i], a[p, i + 1], a[p, i + 2]
            ds, dw, done = a[p, i + 3], a[p, i + 4], a[p, i + 5]
            for j in range(6):
                value = x * b[p, j] + y * b[p, 6 + j] + z * b[p, 12 + j]
                value = value + s * b[p, 18 + j] + w * b[p, 24 + j]
                value = value + dx * b[0, j] + dy * b[0, 6 + j] + dz * b[0, 12 + j]
                out[p, i + j] = value + ds * b[0, 18 + j] + dw * b[0, 24 + j]
            out[p, i + 5] = out[p, i + 5] + done


@njit
def flow(g, work, out):
    """Write the exponential of `g`, (1 + d, 15, LANES), the generator times the time.

    `g` is scaled in place, and `work` is scratch space of the shape of `out`.
    """
    squarings = np.empty(LANES, dtype=np.int64)
    fewest, most = _scale(g, squarings)
    x, y = (work, out) if most % 2 else (out, work)
    _set_identity(x)
    for k in range(_TAYLOR_DEGREE, 0, -2):
        _horner(g, x, k, y)
        _horner(g, y, k - 1, x)
    for k in range(most):
        compose(x, x, y)
        if k >= fewest:
            _keep_where(squarings, k, x, y)
        x, y = y, x


@njit
def _set_identity(out):
    """Overwrite a map with the identity."""
    for p in range(out.shape[0]):
        for i in range(N_NUMBERS):
            for lane in range(LANES):
                out[p, i, lane] = 1.0 if p == 0 and i % 7 == 0 and i < 29 else 0.0


@njit
def _scale(g, squarings):
    """Scale each lane by a power of 2 to a small norm; return the extreme exponents."""
    scale = zeros((1, LANES))
    fewest, most = 1000, 0
    for lane in range(LANES):
        norm = 0.0
        for i in range(5):
            row = 0.0
            for c in range(_ROW_STARTS[i], _ROW_STARTS[i + 1]):
                row += abs(g[0, c, lane])
            norm = max(norm, row)
        squarings[lane] = 0
        if norm > _TAYLOR_NORM:
            squarings[lane] = math.ceil(math.log2(norm / _TAYLOR_NORM))
        scale[0, lane] = 0.5 ** squarings[lane]
        fewest, most = min(fewest, squarings[lane]), max(most, squarings[lane])
    g, factor = vectors(g), vectors(scale)[0]
    for p in range(g.shape[0]):
        for c in range(N_COUPLINGS):
            g[p, c] = factor * g[p, c]
    return fewest, most


@njit
def _couplings(g):
    """Return the couplings by row, without the sources; takes vectors."""
    return (
        (g[XX], g[XY], g[XZ]),
        (g[YX], g[YY]),
        (g[ZX], g[ZZ], g[ZS]),
        (g[SZ], g[SS], g[SW]),
        (g[WS], g[WW]),
    )


@njit
def _drive(couplings, a, j):
    """Return the product of couplings and column j of a map; takes vectors."""
    to_x, to_y, to_z, to_s, to_w = couplings
    x, y, z, s, w = a[j], a[6 + j], a[12 + j], a[18 + j], a[24 + j]
    return (
        to_x[0] * x + to_x[1] * y + to_x[2] * z,
        to_y[0] * x + to_y[1] * y,
        to_z[0] * x + to_z[1] * z + to_z[2] * s,
        to_s[0] * z + to_s[1] * s + to_s[2] * w,
        to_w[0] * s + to_w[1] * w,
    )


@njit
def _horner(g, a, k, out):
    """Write I + G/k o a, one step of Horner's rule, and its derivatives."""
    g, a, out = vectors(g), vectors(a), vectors(out)
    fraction, couplings = 1.0 / k, _couplings(g[0])
    for p in range(out.shape[0]):
        slopes = _couplings(g[p])
        for j in range(6):
            x, y, z, s, w = _drive(couplings, a[p], j)
            if p > 0:
                dx, dy, dz, ds, dw = _drive(slopes, a[0], j)
                x, y, z, s, w = x + dx, y + dy, z + dz, s + ds, w + dw
            out[p, j], out[p, 6 + j], out[p, 12 + j] = (
                fraction * x,
                fraction * y,
                fraction * z,
            )
            out[p, 18 + j], out[p, 24 + j] = fraction * s, fraction * w
        out[p, 17] = out[p, 17] + fraction * g[p, Z1]
        out[p, 23] = out[p, 23] + fraction * g[p, S1]
    for i in range(5):
        out[0, 7 * i] = out[0, 7 * i] + 1.0


@njit
def _keep_where(squarings, k, before, after):
    """Undo squaring number k in the lanes that need at most k squarings."""
    undone = zeros((1, LANES))
    for lane in range(LANES):
        undone[0, lane] = 0.0 if squarings[lane] > k else 1.0
    undo, before, after = vectors(undone)[0], vectors(before), vectors(after)
    for p in range(after.shape[0]):
        for i in range(N_NUMBERS):
            after[p, i] = undo * before[p, i] + (1.0 - undo) * after[p, i]
