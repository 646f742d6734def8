"""Echo-to-echo maps of two exchanging pools, with derivatives.

State     xf, yf, zf, zs between pulses, and xs as a fifth during them; xs starts every
          pulse at zero and is forgotten after it.
Parameters, in the order of the derivatives
          m0s, R1f, R2f, Rx, R1s, T2s, omega0, B1; SI units.
Equations Assländer et al., MRM 2022, doi 10.1002/mrm.29071 (linearized generalized
          Bloch model) and MRM 2024, doi 10.1002/mrm.29951 (hybrid-state sequence).

One repetition, from echo to echo, is the affine map  F o P o R o F  with
  1. F: free precession for (TR - TRF)/2,
  2. R: the RF phase increment, a rotation of xf, yf by pi about z,
  3. P: the pulse, the flow of the linear equations of five states over TRF.
The inversion pulse between crushers is instantaneous for the free pool; its F last TR/2
each.
"""

import math

import numpy as np
from numba import njit, prange

from .affine import compose, flow
from .interpolation import interpolate
from .saturation import saturation_rate
from .trains import periodic_state, play, step

N_STATES = 4
N_PARAMETERS = 8
M0S, R1F, R2F, RX, R1S, T2S, OMEGA0, B1 = range(N_PARAMETERS)
XF, YF, ZF, ZS, XS = range(5)


@njit(cache=True, error_model="numpy")
def echo_map(theta, alpha, trf, tr, inversion, table, domain, out, dout):
    """Write the map of one repetition, (4, 5), and its derivatives, (4, 5, d).

    d is 8, or 0 where no derivatives are wanted.
    """
    d = dout.shape[2]
    free, dfree = np.zeros((4, 5)), np.zeros((4, 5, d))
    pulse, dpulse = np.zeros((4, 5)), np.zeros((4, 5, d))
    half, dhalf = np.empty((4, 5)), np.empty((4, 5, d))
    if inversion:
        free_precession(theta, tr / 2, free, dfree)
        inversion_pulse(theta, alpha, trf, table, domain, pulse, dpulse)
    else:
        free_precession(theta, (tr - trf) / 2, free, dfree)
        excitation_pulse(theta, alpha, trf, table, domain, pulse, dpulse)
    for i in range(4):
        for j in (XF, YF):  # the rotation by pi that acts before the pulse
            pulse[i, j] *= -1
            dpulse[i, j] *= -1
    compose(pulse, dpulse, free, dfree, half, dhalf)
    compose(free, dfree, half, dhalf, out, dout)


@njit(cache=True, error_model="numpy")
def free_precession(theta, time, out, dout):
    """Fill the (zero) map with precession, relaxation and exchange over `time`."""
    decay = math.exp(-theta[R2F] * time)
    c, s = math.cos(theta[OMEGA0] * time), math.sin(theta[OMEGA0] * time)
    out[XF, XF] = out[YF, YF] = decay * c
    out[YF, XF], out[XF, YF] = decay * s, -decay * s
    d = dout.shape[2]
    g, dg = np.zeros((2, 3)), np.zeros((2, 3, d))
    longitudinal_generator(theta, 0, time, g, dg)
    work, dwork = np.empty((2, 3)), np.empty((2, 3, d))
    z, dz = np.empty((2, 3)), np.empty((2, 3, d))
    flow(g, dg, work, dwork, z, dz)
    out[ZF:, ZF:] = z
    if d:
        dout[ZF:, ZF:] = dz
        for i in (XF, YF):
            dout[i, XF, R2F], dout[i, YF, R2F] = -time * out[i, XF], -time * out[i, YF]
        for j in (XF, YF):
            dout[XF, j, OMEGA0] = -time * out[YF, j]
            dout[YF, j, OMEGA0] = time * out[XF, j]


@njit(cache=True, error_model="numpy")
def longitudinal_generator(theta, first, time, g, dg):
    """Add relaxation and exchange of zf, zs (rows `first` and after) over `time`."""
    m0s, r1f, rx, r1s = theta[M0S], theta[R1F], theta[RX], theta[R1S]
    m0f, f, s, b = 1 - m0s, first, first + 1, g.shape[1] - 1
    g[f, f] = -(r1f + rx * m0s) * time
    g[f, s] = rx * m0f * time
    g[f, b] = r1f * m0f * time
    g[s, f] = rx * m0s * time
    g[s, s] = -(r1s + rx * m0f) * time
    g[s, b] = r1s * m0s * time
    if dg.shape[2]:
        dg[f, f, M0S] = dg[f, s, M0S] = -rx * time
        dg[s, f, M0S] = dg[s, s, M0S] = rx * time
        dg[f, b, M0S], dg[s, b, M0S] = -r1f * time, r1s * time
        dg[f, f, R1F], dg[f, b, R1F] = -time, m0f * time
        dg[s, s, R1S], dg[s, b, R1S] = -time, m0s * time
        dg[f, f, RX], dg[f, s, RX] = -m0s * time, m0f * time
        dg[s, f, RX], dg[s, s, RX] = m0s * time, -m0f * time


@njit(cache=True, error_model="numpy")
def excitation_pulse(theta, alpha, trf, table, domain, out, dout):
    """Write the map of a rectangular pulse: flip angle `alpha`, duration `trf`."""
    b1, angle = theta[B1], theta[B1] * alpha
    rate, rate_t2s, rate_b1 = saturation_rate(theta[T2S], trf, b1, alpha, table, domain)
    d = dout.shape[2]
    g, dg = np.zeros((5, 6)), np.zeros((5, 6, d))
    longitudinal_generator(theta, ZF, trf, g, dg)
    g[XF, XF] = g[YF, YF] = -theta[R2F] * trf
    g[YF, XF], g[XF, YF] = theta[OMEGA0] * trf, -theta[OMEGA0] * trf
    g[XF, ZF], g[ZF, XF] = angle, -angle
    g[XS, ZS], g[ZS, XS] = angle, -angle
    g[XS, XS] = -rate * trf
    if d:
        dg[XF, XF, R2F] = dg[YF, YF, R2F] = -trf
        dg[YF, XF, OMEGA0], dg[XF, YF, OMEGA0] = trf, -trf
        dg[XF, ZF, B1], dg[ZF, XF, B1] = alpha, -alpha
        dg[XS, ZS, B1], dg[ZS, XS, B1] = alpha, -alpha
        dg[XS, XS, B1], dg[XS, XS, T2S] = -rate_b1 * trf, -rate_t2s * trf
    work, dwork = np.empty((5, 6)), np.empty((5, 6, d))
    full, dfull = np.empty((5, 6)), np.empty((5, 6, d))
    flow(g, dg, work, dwork, full, dfull)
    out[:, :4], out[:, 4] = full[:4, :4], full[:4, 5]
    dout[:, :4], dout[:, 4] = dfull[:4, :4], dfull[:4, 5]


@njit(cache=True, error_model="numpy")
def inversion_pulse(theta, alpha, trf, table, domain, out, dout):
    """Fill the (zero) map of the inversion pulse between crushers."""
    b1, angle = theta[B1], theta[B1] * alpha
    rate, rate_t2s, rate_b1 = saturation_rate(theta[T2S], trf, b1, alpha, table, domain)
    out[XF, XF] = math.sin(angle / 2) ** 2
    out[YF, YF] = -out[XF, XF]
    out[ZF, ZF] = math.cos(angle)
    d = dout.shape[2]
    g, dg = np.zeros((2, 3)), np.zeros((2, 3, d))  # states xs, zs
    g[0, 0], g[0, 1], g[1, 0] = -rate * trf, angle, -angle
    if d:
        dout[XF, XF, B1] = alpha * math.sin(angle) / 2
        dout[YF, YF, B1] = -dout[XF, XF, B1]
        dout[ZF, ZF, B1] = -alpha * math.sin(angle)
        dg[0, 0, B1], dg[0, 0, T2S] = -rate_b1 * trf, -rate_t2s * trf
        dg[0, 1, B1], dg[1, 0, B1] = alpha, -alpha
    work, dwork = np.empty((2, 3)), np.empty((2, 3, d))
    semisolid, dsemisolid = np.empty((2, 3)), np.empty((2, 3, d))
    flow(g, dg, work, dwork, semisolid, dsemisolid)
    out[ZS, ZS] = semisolid[1, 1]
    dout[ZS, ZS] = dsemisolid[1, 1]


@njit(cache=True, error_model="numpy")
def equilibrium(theta, x, t):
    """Write the state in thermal equilibrium and its derivatives."""
    x[:] = 0.0
    t[:] = 0.0
    x[ZF], x[ZS] = 1 - theta[M0S], theta[M0S]
    if t.shape[1]:
        t[ZF, M0S], t[ZS, M0S] = -1.0, 1.0


@njit(cache=True, error_model="numpy")
def pulse_maps(theta, nodes, weights, tr, table, domain, maps, dmaps):
    """Write the maps of all pulses: computed at the nodes, interpolated elsewhere.

    nodes : (n_nodes, 3), flip angle, duration and whether it is the inversion pulse.
    weights : (n_maps, n_nodes or more), or (0, 0) where every pulse is a node.
    maps : (n_maps, 4, 5), dmaps : (n_maps, 4, 5, d).
    """
    d = dmaps.shape[3]
    direct = weights.shape[0] == 0
    n_rows = nodes.shape[0] if direct else weights.shape[1]
    at_nodes = maps if direct else np.zeros((n_rows, 4, 5))
    dat_nodes = dmaps if direct else np.zeros((n_rows, 4, 5, d))
    for k in range(nodes.shape[0]):
        alpha, trf, inversion = nodes[k]
        echo_map(
            theta,
            alpha,
            trf,
            tr,
            inversion != 0,
            table,
            domain,
            at_nodes[k],
            dat_nodes[k],
        )
    if not direct:
        n_maps = weights.shape[0]
        interpolate(weights, at_nodes.reshape(n_rows, 20), maps.reshape(n_maps, 20))
        if d:
            interpolate(
                weights,
                dat_nodes.reshape(n_rows, 20 * d),
                dmaps.reshape(n_maps, 20 * d),
            )


@njit(cache=True, error_model="numpy")
def fingerprint(theta, maps, dmaps, index, starts, thermal, basis, s, ds):
    """Add the samples of one voxel to `s` and their derivatives to `ds`.

    index : (N,), the map of every repetition; starts : (n_trains + 1,), its trains.
    basis : (N, n_components) real, or (N, 0) for the samples themselves.
    s : (2, n_components or N), ds : (2, n_components or N, d); zero on entry.
    """
    d = ds.shape[2]
    x, t = np.empty(4), np.empty((4, d))
    start, dstart = np.empty(4), np.empty((4, d))
    for k in range(starts.size - 1):
        low, high = starts[k], starts[k + 1]
        part = index[low:high]
        if thermal:
            equilibrium(theta, start, dstart)
            step(maps[part[0]], dmaps[part[0]], start, dstart, x, t)
        else:
            periodic_state(maps, dmaps, part, x, t)
        if basis.shape[1]:
            play(maps, dmaps, part, x, t, basis[low:high], s, ds)
        else:
            play(
                maps,
                dmaps,
                part,
                x,
                t,
                basis[low:high],
                s[:, low:high],
                ds[:, low:high],
            )


@njit(cache=True, error_model="numpy", parallel=True)
def simulate(
    theta, nodes, weights, index, starts, tr, table, domain, thermal, basis, s, ds
):
    """Fill the signals (n, m) and derivatives (n, m, d) of n voxels, in parallel."""
    n_maps = weights.shape[0] or nodes.shape[0]
    for v in prange(theta.shape[0]):
        maps, dmaps = np.empty((n_maps, 4, 5)), np.empty((n_maps, 4, 5, ds.shape[2]))
        pulse_maps(theta[v], nodes, weights, tr, table, domain, maps, dmaps)
        real = np.zeros((2, s.shape[1]))
        dreal = np.zeros((2, s.shape[1], ds.shape[2]))
        fingerprint(theta[v], maps, dmaps, index, starts, thermal, basis, real, dreal)
        for i in range(s.shape[1]):
            s[v, i] = complex(real[0, i], real[1, i])
            for p in range(ds.shape[2]):
                ds[v, i, p] = complex(dreal[0, i, p], dreal[1, i, p])


@njit(cache=True, error_model="numpy", parallel=True)
def all_maps(theta, nodes, tr, table, domain, maps, dmaps):
    """Fill the maps (n, n_nodes, 4, 5) and derivatives of n voxels, in parallel."""
    no_weights = np.empty((0, 0))
    for v in prange(theta.shape[0]):
        pulse_maps(theta[v], nodes, no_weights, tr, table, domain, maps[v], dmaps[v])
