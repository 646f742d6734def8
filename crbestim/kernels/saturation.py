"""Saturation rate of the semi-solid pool from a Chebyshev table.

R2sl(T2s, TRF, B1 alpha) = rho(tau, a) / T2s with tau = TRF / T2s and a = B1 |alpha|
(Assländer et al., MRM 2022, doi 10.1002/mrm.29071). The table holds the coefficients of

    rho = sum_ij table[i, j] T_i(x) T_j(v)

in x = log(tau), scaled to -1..1, and v = 2 (a / alpha_max)^2 - 1.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def saturation_rate(t2s, trf, b1, alpha, table, domain):
    """Return R2sl and its derivatives with respect to T2s and B1, all in SI units.

    `domain` is (log tau_min, log tau_max, alpha_max).
    """
    slope = 2 / (domain[1] - domain[0])
    x = slope * (math.log(trf / t2s) - domain[0]) - 1
    angle = (b1 * alpha / domain[2]) ** 2
    v = 2 * angle - 1
    n_tau, n_alpha = table.shape
    t_v, dt_v = np.empty(n_alpha), np.empty(n_alpha)
    _chebyshev(v, t_v, dt_v)
    t_x, dt_x = np.empty(n_tau), np.empty(n_tau)
    _chebyshev(x, t_x, dt_x)
    rho, drho_dx, drho_dv = 0.0, 0.0, 0.0
    for i in range(n_tau):
        row, drow = 0.0, 0.0
        for j in range(n_alpha):
            row += table[i, j] * t_v[j]
            drow += table[i, j] * dt_v[j]
        rho += t_x[i] * row
        drho_dx += dt_x[i] * row
        drho_dv += t_x[i] * drow
    d_t2s = -(slope * drho_dx + rho) / t2s**2
    d_b1 = 4 * angle / b1 * drho_dv / t2s
    return rho / t2s, d_t2s, d_b1


@njit(cache=True, error_model="numpy")
def _chebyshev(x, t, dt):
    """Chebyshev polynomials and their derivatives by the three-term recursion."""
    t[0], t[1], dt[0], dt[1] = 1.0, x, 0.0, 1.0
    for k in range(2, t.shape[0]):
        t[k] = 2 * x * t[k - 1] - t[k - 2]
        dt[k] = 2 * t[k - 1] + 2 * x * dt[k - 1] - dt[k - 2]
