"""Affine maps x -> A x + b together with their derivatives.

A map of n states is stored as an (n, n + 1) array whose last column is b, its
derivatives as an (n, n + 1, n_derivatives) array. Both rules of the algebra live here:

    (A, a) o (B, b) = (A B, A b + a)                                  composition
    exp(t G)        = (p(t G / 2^k))^(2^k)                            flow of x' = G x + g

with p the Taylor polynomial of degree 9 and k such that the scaled norm is below 0.35,
which bounds the truncation error of p by 1e-11 of its norm and, because the flows here
do not grow, that of the flow by 2^k times as much.
"""

import math

from numba import njit

_TAYLOR_NORM = 0.35
_TAYLOR_DEGREE = 9


@njit(cache=True, error_model="numpy")
def compose(a, da, b, db, out, dout):
    """Write a o b (b acts first) and its derivatives to `out` and `dout`."""
    n, n_derivatives = a.shape[0], dout.shape[2]
    for i in range(n):
        for j in range(n + 1):
            is_offset = j == n
            value = a[i, n] if is_offset else 0.0
            for p in range(n_derivatives):
                dout[i, j, p] = da[i, n, p] if is_offset else 0.0
            for m in range(n):
                left, right = a[i, m], b[m, j]
                value += left * right
                for p in range(n_derivatives):
                    dout[i, j, p] += left * db[m, j, p] + right * da[i, m, p]
            out[i, j] = value


@njit(cache=True, error_model="numpy")
def set_identity(a, da):
    """Overwrite a map with the identity."""
    a[:] = 0.0
    da[:] = 0.0
    for i in range(a.shape[0]):
        a[i, i] = 1.0


@njit(cache=True, error_model="numpy")
def flow(g, dg, work, dwork, out, dout):
    """Write exp of the generator `g` (time included) to `out`; overwrites `g`.

    `work` and `dwork` are scratch of the shapes of `g` and `dg`.
    """
    norm = 0.0
    for i in range(g.shape[0]):
        row = 0.0
        for j in range(g.shape[1]):
            row += abs(g[i, j])
        norm = max(norm, row)
    n_squarings = 0
    if norm > _TAYLOR_NORM:
        n_squarings = int(math.ceil(math.log2(norm / _TAYLOR_NORM)))
    scale = 0.5**n_squarings
    g *= scale
    dg *= scale
    _taylor(g, dg, work, dwork, out, dout)
    for _ in range(n_squarings):
        work[:] = out
        dwork[:] = dout
        compose(work, dwork, work, dwork, out, dout)


@njit(cache=True, error_model="numpy")
def _taylor(g, dg, work, dwork, out, dout):
    """Horner's rule: out <- I + g/k o out for k = degree .. 1 (g linear plus offset)."""
    n, n_derivatives = g.shape[0], dg.shape[2]
    set_identity(out, dout)
    for k in range(_TAYLOR_DEGREE, 0, -1):
        compose(g, dg, out, dout, work, dwork)
        for i in range(n):
            for j in range(n + 1):
                out[i, j] = work[i, j] / k
                for p in range(n_derivatives):
                    dout[i, j, p] = dwork[i, j, p] / k
            out[i, i] += 1.0
