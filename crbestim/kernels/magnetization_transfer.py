"""One repetition of a hybrid-state sequence in two exchanging pools, with derivatives.

Parameters are m0s, R1f, R2f, Rx, R1s, T2s, omega0, B1 in SI units, (8, LANES); `columns`
is the column of the Jacobian to which each contributes; two may share one, -1 is for none.
Equations: Assländer et al., MRM 2022, doi 10.1002/mrm.29071 (linearized generalized Bloch
model) and MRM 2024, doi 10.1002/mrm.29951 (hybrid-state sequence).

From echo to echo a repetition is the affine map  F o P o R o F  with
  1. F: free precession for (TR - TRF)/2,
  2. R: the RF phase increment, a rotation of x, y by pi about z,
  3. P: the pulse; the transverse magnetization w of the semi-solid pool is zero before
     it and discarded after it.
The inversion pulse between crushers is instantaneous for the free pool; F lasts TR/2 before
and after it. States and maps are those of `bloch.py`; without w, those of `trains.py`.
"""

import math

import numpy as np

from . import bloch
from ._compile import njit
from .lanes import LANES, spread, vectors, zeros
from .saturation import saturation_rate
from .trains import N_ENTRIES

N_PARAMETERS = 8
M0S, R1F, R2F, RX, R1S, T2S, OMEGA0, B1 = range(N_PARAMETERS)
_SERIES = 0.01  # below this q^2, sinh q / q and the like are Taylor polynomials

# Positions of the numbers of a packed map among the 30 of a map of `bloch.py`.
_PACKED = np.array([0, 1, 7, 14, 15, 21, 17, 23, 2, 8, 3, 9, 5, 11])


@njit
def slope(g, coupling, column, value):
    """Add a derivative of a coupling; takes vectors."""
    if column >= 0:
        g[1 + column, coupling] = g[1 + column, coupling] + value


@njit
def exchange(theta, columns, time, g):
    """Set relaxation and exchange over `time` in a generator (1 + d, 15); takes vectors."""
    m0s, r1f, r2f, rx, r1s = theta[M0S], theta[R1F], theta[R2F], theta[RX], theta[R1S]
    m0f, turn, duration = 1.0 - m0s, time * theta[OMEGA0], spread(time)
    g[0, bloch.XX] = g[0, bloch.YY] = -time * r2f
    g[0, bloch.XY], g[0, bloch.YX] = -1.0 * turn, turn
    g[0, bloch.ZZ], g[0, bloch.ZS] = -time * (r1f + rx * m0s), time * (rx * m0f)
    g[0, bloch.SZ], g[0, bloch.SS] = time * (rx * m0s), -time * (r1s + rx * m0f)
    g[0, bloch.Z1], g[0, bloch.S1] = time * (r1f * m0f), time * (r1s * m0s)
    for c, sign in ((bloch.ZZ, -1.0), (bloch.ZS, -1.0), (bloch.SZ, 1.0), (bloch.SS, 1.0)):
        slope(g, c, columns[M0S], sign * time * rx)
    slope(g, bloch.Z1, columns[M0S], -time * r1f)
    slope(g, bloch.S1, columns[M0S], time * r1s)
    slope(g, bloch.ZZ, columns[R1F], -1.0 * duration)
    slope(g, bloch.Z1, columns[R1F], time * m0f)
    slope(g, bloch.XX, columns[R2F], -1.0 * duration)
    slope(g, bloch.YY, columns[R2F], -1.0 * duration)
    slope(g, bloch.ZZ, columns[RX], -time * m0s)
    slope(g, bloch.ZS, columns[RX], time * m0f)
    slope(g, bloch.SZ, columns[RX], time * m0s)
    slope(g, bloch.SS, columns[RX], -time * m0f)
    slope(g, bloch.SS, columns[R1S], -1.0 * duration)
    slope(g, bloch.S1, columns[R1S], time * m0s)
    slope(g, bloch.XY, columns[OMEGA0], -1.0 * duration)
    slope(g, bloch.YX, columns[OMEGA0], duration)


@njit
def exchange_terms(g, terms):
    """Write the terms of the exponential of the 2 x 2 generator of z and s, (3, LANES).

    With T the mean of its diagonal, delta half their difference and q^2 = delta^2 + ZS SZ,
    these are e^T times cosh q, sinh q / q and the derivative of the latter by q^2.
    """
    for lane in range(LANES):
        mean = (g[0, bloch.ZZ, lane] + g[0, bloch.SS, lane]) / 2
        delta = (g[0, bloch.ZZ, lane] - g[0, bloch.SS, lane]) / 2
        q2 = delta**2 + g[0, bloch.ZS, lane] * g[0, bloch.SZ, lane]
        if q2 > _SERIES:
            q = math.sqrt(q2)
            cosh, sinh = math.cosh(q), math.sinh(q) / q
            slope_of_sinh = (cosh - sinh) / (2 * q2)
        else:
            cosh = 1 + q2 / 2 * (1 + q2 / 12 * (1 + q2 / 30 * (1 + q2 / 56)))
            sinh = 1 + q2 / 6 * (1 + q2 / 20 * (1 + q2 / 42 * (1 + q2 / 72)))
            slope_of_sinh = (1 + q2 / 10 * (1 + q2 / 28 * (1 + q2 / 54))) / 6
        decay = math.exp(mean)
        terms[0, lane], terms[1, lane] = decay * cosh, decay * sinh
        terms[2, lane] = decay * slope_of_sinh


@njit
def free_precession(theta, columns, g, out):
    """Write the map of free precession with the generator `g`, and its derivatives.

    x, y turn and decay; z, s relax to the equilibrium m = (m0f, m0s) by Z v + (I - Z) m.
    """
    turn, terms = zeros((2, LANES)), zeros((3, LANES))
    for lane in range(LANES):
        decay, angle = math.exp(g[0, bloch.XX, lane]), g[0, bloch.YX, lane]
        turn[0, lane], turn[1, lane] = decay * math.cos(angle), decay * math.sin(angle)
    exchange_terms(g, terms)
    m0s, g, out = vectors(theta)[M0S], vectors(g), vectors(out)
    turn, terms, m0f = vectors(turn), vectors(terms), 1.0 - m0s
    a, b, c, s, e = turn[0], turn[1], terms[0], terms[1], terms[2]
    zs, sz, delta = g[0, bloch.ZS], g[0, bloch.SZ], 0.5 * (g[0, bloch.ZZ] - g[0, bloch.SS])
    set_free(out[0], a, b, c + delta * s, zs * s, sz * s, c - delta * s, m0f, m0s)
    # Derivatives of c + delta s and c - delta s by ZZ, SS and the product ZS SZ, arranged
    # so that those without effect are exactly zero where there is no semi-solid pool.
    own, swap = 0.5 * (c + s) + delta * delta * e, delta * s
    by_z, by_s, mutual = 0.5 * s + delta * e, 0.5 * s - delta * e, zs * sz * e
    for p in range(1, out.shape[0]):
        decay, angle = g[p, bloch.XX], g[p, bloch.YX]
        dzz, dss, dzs, dsz = g[p, bloch.ZZ], g[p, bloch.SS], g[p, bloch.ZS], g[p, bloch.SZ]
        product = dzs * sz + zs * dsz
        ds = by_z * dzz + by_s * dss + e * product
        set_free(
            out[p],
            decay * a - angle * b,
            decay * b + angle * a,
            (own + swap) * dzz + mutual * dss + by_z * product,
            dzs * s + zs * ds,
            dsz * s + sz * ds,
            (own - swap) * dss + mutual * dzz + by_s * product,
            m0f,
            m0s,
        )
    out[0, 17], out[0, 23] = out[0, 17] + m0f, out[0, 23] + m0s
    p = 1 + columns[M0S]
    if p > 0:
        out[p, 17] = out[p, 17] + out[0, 14] - out[0, 15] - 1.0
        out[p, 23] = out[p, 23] + out[0, 20] - out[0, 21] + 1.0


@njit
def set_free(out, a, b, zz, zs, sz, ss, m0f, m0s):
    """Set the 30 numbers of a map of free precession, with -Z m as its source."""
    for i in range(bloch.N_NUMBERS):
        out[i] = spread(0.0)
    out[0], out[1], out[6], out[7] = a, -1.0 * b, b, a
    out[14], out[15], out[20], out[21] = zz, zs, sz, ss
    out[17], out[23] = -1.0 * (zz * m0f + zs * m0s), -1.0 * (sz * m0f + ss * m0s)


@njit
def irradiation(theta, columns, alpha, trf, rate, g, free):
    """Set rotation and saturation by a pulse in a generator: of w and s, and of x and z.

    Takes vectors. rate : (3), from `saturation_rate`; x and z only if `free`.
    """
    angle, nominal = alpha * theta[B1], spread(alpha)
    g[0, bloch.WS], g[0, bloch.SW], g[0, bloch.WW] = angle, -1.0 * angle, -trf * rate[0]
    slope(g, bloch.WS, columns[B1], nominal)
    slope(g, bloch.SW, columns[B1], -1.0 * nominal)
    slope(g, bloch.WW, columns[T2S], -trf * rate[1])
    slope(g, bloch.WW, columns[B1], -trf * rate[2])
    if free:
        g[0, bloch.XZ], g[0, bloch.ZX] = angle, -1.0 * angle
        slope(g, bloch.XZ, columns[B1], nominal)
        slope(g, bloch.ZX, columns[B1], -1.0 * nominal)


@njit
def invert_free_pool(theta, columns, alpha, out):
    """Overwrite the effect on x, y and z with that of the inversion between crushers."""
    column = 1 + columns[B1]
    for lane in range(LANES):
        angle = alpha * theta[B1, lane]
        out[0, 0, lane] = math.sin(angle / 2) ** 2
        out[0, 7, lane] = -out[0, 0, lane]
        out[0, 14, lane] = math.cos(angle)
        if column > 0:
            out[column, 0, lane] = alpha * math.sin(angle) / 2
            out[column, 7, lane] = -out[column, 0, lane]
            out[column, 14, lane] = -alpha * math.sin(angle)


@njit
def rotate_and_forget(pulse):
    """Apply R before a pulse, and discard w before and after it; takes vectors."""
    zero = spread(0.0)
    for p in range(pulse.shape[0]):
        for i in range(0, 30, 6):
            pulse[p, i] = -1.0 * pulse[p, i]
            pulse[p, i + 1] = -1.0 * pulse[p, i + 1]
            pulse[p, i + 4] = zero
        for j in range(24, 30):
            pulse[p, j] = zero


@njit
def echo_map(theta, columns, alpha, trf, inverts, tr, rates, work, out):
    """Write the map of one repetition, (1 + d, 30, LANES), derivatives included.

    theta : (8, LANES), work : scratch space, (3, 1 + d, 30, LANES).
    """
    free, half, scratch = work[0], work[1], work[2]
    rate = zeros((3, LANES))
    saturation_rate(theta[T2S], theta[B1], alpha, trf, rates, rate)
    rate, x = vectors(rate), vectors(theta)
    g = zeros((out.shape[0], bloch.N_COUPLINGS, LANES))
    exchange(x, columns, (tr if inverts else tr - trf) / 2, vectors(g))
    free_precession(theta, columns, g, free)
    g = zeros((out.shape[0], bloch.N_COUPLINGS, LANES))
    if not inverts:
        exchange(x, columns, trf, vectors(g))
    irradiation(x, columns, alpha, trf, rate, vectors(g), not inverts)
    bloch.flow(g, scratch, out)
    if inverts:
        invert_free_pool(theta, columns, alpha, out)
    rotate_and_forget(vectors(out))
    bloch.compose(out, free, half)
    bloch.compose(free, half, out)


@njit
def node_maps(theta, columns, nodes, tr, rates, maps):
    """Write the packed maps of all nodes, (n_nodes, 1 + d, 14, LANES)."""
    n_orders = maps.shape[1]
    work, out = zeros((3, n_orders, 30, LANES)), zeros((n_orders, 30, LANES))
    for k in range(nodes.shape[0]):
        alpha, trf, inverts = nodes[k, 0], nodes[k, 1], nodes[k, 2] != 0
        echo_map(theta, columns, alpha, trf, inverts, tr, rates, work, out)
        packed, full = vectors(maps[k]), vectors(out)
        for p in range(n_orders):
            for e in range(N_ENTRIES):
                packed[p, e] = full[p, _PACKED[e]]
