"""Saturation rate of the semi-solid pool from a Chebyshev table.

R2sl(T2s, TRF, B1 alpha) = rho(tau, a) / T2s with tau = TRF / T2s and a = B1 |alpha|
(Assländer et al., MRM 2022, doi 10.1002/mrm.29071). The table holds the coefficients of

    rho = sum_ij table[i, j] T_i(x) T_j(v)

in x = log(tau), scaled to -1..1, and v = 2 (a / alpha_max)^2 - 1.
"""

import math
from collections import namedtuple

import numpy as np

from ._compile import njit
from .interpolation import weighted_sums
from .lanes import LANES, vectors, zeros

Rates = namedtuple("Rates", "table domain")
"""Coefficients, (n_x, n_v), n_x a multiple of 8 and n_v at least 2; the limits that scale
x and v, (log tau_min, log tau_max, alpha_max)."""


@njit
def saturation_rate(t2s, b1, alpha, trf, rates, out):
    """Write R2sl and its derivatives with respect to T2s and B1, (3, LANES), in SI units.

    t2s, b1 : (LANES,); alpha, trf : of one pulse.
    """
    domain = rates.domain
    slope = 2 / (domain[1] - domain[0])
    points, sums = zeros((2, LANES)), zeros((3, LANES))
    for lane in range(LANES):
        points[0, lane] = slope * (math.log(trf / t2s[lane]) - domain[0]) - 1
        points[1, lane] = 2 * (b1[lane] * alpha / domain[2]) ** 2 - 1
    _chebyshev_sums(points, rates.table, sums)
    for lane in range(LANES):
        rho, drho_dx, drho_dv = sums[0, lane], sums[1, lane], sums[2, lane]
        out[0, lane] = rho / t2s[lane]
        out[1, lane] = -(slope * drho_dx + rho) / t2s[lane] ** 2
        dv_db1 = 4 * b1[lane] * (alpha / domain[2]) ** 2
        out[2, lane] = dv_db1 * drho_dv / t2s[lane]


@njit
def _chebyshev_sums(points, table, sums):
    """Write rho, its derivative by x and that by v at the points (x, v)."""
    n_x, n_v = table.shape
    t_x, t_v = zeros((n_x, 2, LANES)), zeros((n_v, 2, LANES))
    rows = zeros((n_x, 2, LANES))
    _chebyshev(points[0], t_x)
    _chebyshev(points[1], t_v)
    weighted_sums(table, t_v, rows, np.int64(0), np.int64(2), np.bool_(False))
    t_x, rows, sums = vectors(t_x), vectors(rows), vectors(sums)
    for i in range(n_x):
        sums[0] = sums[0] + t_x[i, 0] * rows[i, 0]
        sums[1] = sums[1] + t_x[i, 1] * rows[i, 0]
        sums[2] = sums[2] + t_x[i, 0] * rows[i, 1]


@njit
def _chebyshev(points, t):
    """Write Chebyshev polynomials and their derivatives, (n, 2, LANES), by recursion."""
    for lane in range(LANES):
        t[0, 0, lane], t[1, 0, lane] = 1.0, points[lane]
        t[1, 1, lane] = 1.0
    t = vectors(t)
    twice = t[1, 0] + t[1, 0]
    for k in range(2, t.shape[0]):
        t[k, 0] = twice * t[k - 1, 0] - t[k - 2, 0]
        t[k, 1] = t[k - 1, 0] + t[k - 1, 0] + twice * t[k - 1, 1] - t[k - 2, 1]
