r"""Longitudinal magnetization behind an inversion, read out by trains of pulses.

All of these change the longitudinal magnetization z to a + b z, in units of M0:

    inversion          -eta z
    recovery           1 - (1 - z) e^(-t / T1)
    n spoiled pulses   (1 - E) (1 - q^n) / (1 - q) + q^n z,
                       E = e^(-tr / T1), q = E cos(angle)

A state is z with its derivatives, ``[z, dz/dT1, dz/dB1, dz/deta, ...]``: what follows it in
the array are derivatives by other parameters, of which none of these depends. If a cycle is
repeated, z is where it does not change: a and a + b are where 0 and 1 lead.

=============  ================  ======================================================
form           theta             settings
=============  ================  ======================================================
mp2rage, uni   T1, B1            times of recovery before, between and behind two blocks
                                 of pulses; time between pulses; two flip angles; pulses
                                 before and after the centre of each block; eta
look_locker    T1, B1, eta       ti, tr_readout, flip angle, tr
=============  ================  ======================================================

These are forms as in `closed_forms`; the equations and their sources are in the files of
the models.
"""

import numpy as np

from ._compile import njit
from .closed_forms import measure

Z, BY_T1, BY_B1, BY_ETA = range(4)
N_STATE = 4
_BEFORE, _BETWEEN, _BEHIND, _SPACING, _FIRST, _SECOND, _N_BEFORE, _N_AFTER, _ETA = range(9)


@njit
def invert(state, eta):
    """Invert with an efficiency."""
    z = state[Z]
    for k in range(state.size):
        state[k] *= -eta
    if state.size > 1:
        state[BY_ETA] -= z


@njit
def recover(state, duration, t1):
    """Recover for some time, which may be infinite."""
    lost, decay = 1.0 - state[Z], np.exp(-duration / t1)
    for k in range(state.size):
        state[k] *= decay
    state[Z] -= np.expm1(-duration / t1)
    if state.size > 1 and decay > 0.0:
        state[BY_T1] -= lost * decay * duration / t1**2


@njit
def block(n, angle, spacing, theta):
    """Return what n spoiled pulses, each followed by recovery, do: gain + power z.

    theta begins with T1 and B1. Behind the two numbers are their derivatives by T1 and B1.
    """
    if n == 0:
        return 0.0, 1.0, 0.0, 0.0, 0.0, 0.0
    t1, b1 = theta[0], theta[1]
    recovered, half = -np.expm1(-spacing / t1), np.sin(angle * b1 / 2)
    remaining, loss = 1.0 - recovered, 2.0 * half * half
    q, less = remaining * (1.0 - loss), recovered + remaining * loss
    by_t1 = remaining * spacing / t1**2
    q_t1, q_b1 = by_t1 * (1.0 - loss), -remaining * angle * np.sin(angle * b1)
    before = q ** (n - 1)
    # 1 - q^n, without the cancellation if q is next to 1.
    gone = -np.expm1(n * np.log1p(-less)) if q > 0.0 else 1.0 - before * q
    # Of the ratio (1 - q^n) / (1 - q), and its derivative by q.
    ratio = gone / less
    slope = recovered * (ratio - n * before) / less
    gain_t1, gain_b1 = slope * q_t1 - by_t1 * ratio, slope * q_b1
    return (
        recovered * ratio,
        before * q,
        gain_t1,
        n * before * q_t1,
        gain_b1,
        n * before * q_b1,
    )


@njit
def play(state, pulses):
    """Play a block of pulses."""
    gain, power, gain_t1, power_t1, gain_b1, power_b1 = pulses
    z = state[Z]
    for k in range(state.size):
        state[k] *= power
    state[Z] += gain
    if state.size > 1:
        state[BY_T1] += gain_t1 + power_t1 * z
        state[BY_B1] += gain_b1 + power_b1 * z


@njit
def settle(zero, one):
    """Turn where a cycle leads from 0, `zero`, to the state that it does not change."""
    share = 1.0 - (one[Z] - zero[Z])
    z = zero[Z] / share
    for k in range(1, zero.size):
        zero[k] = (zero[k] * (1.0 - z) + z * one[k]) / share
    zero[Z] = z


@njit
def _mp2rage_cycle(state, settings, blocks, theta, pair):
    """Play a cycle that begins with the inversion; write both signals to rows of pair."""
    t1, b1 = theta[0], theta[1]
    invert(state, settings[_ETA, 0])
    recover(state, settings[_BEFORE, 0], t1)
    for i in range(2):
        angle = settings[_FIRST + i, 0]
        play(state, blocks[2 * i])
        sine = np.sin(angle * b1)
        for k in range(state.size):
            pair[i, k] = sine * state[k]
        if state.size > 1:
            pair[i, BY_B1] += angle * np.cos(angle * b1) * state[Z]
        play(state, blocks[2 * i + 1])
        recover(state, settings[_BETWEEN + i, 0], t1)


@njit
def steady_pair(settings, theta, n_state):
    """Return both signals of the steady state, and their derivatives if n_state is 4."""
    pair, state, one = np.empty((2, n_state)), np.zeros(n_state), np.zeros(n_state)
    first, second, spacing = (
        settings[_FIRST, 0],
        settings[_SECOND, 0],
        settings[_SPACING, 0],
    )
    before, after = settings[_N_BEFORE, 0], settings[_N_AFTER, 0]
    blocks = (
        block(before, first, spacing, theta),
        block(after, first, spacing, theta),
        block(before, second, spacing, theta),
        block(after, second, spacing, theta),
    )
    one[Z] = 1.0
    _mp2rage_cycle(state, settings, blocks, theta, pair)
    _mp2rage_cycle(one, settings, blocks, theta, pair)
    settle(state, one)
    _mp2rage_cycle(state, settings, blocks, theta, pair)
    return pair


@njit
def mp2rage(settings, theta, s, ds):
    """Write both signals and their derivatives."""
    pair = steady_pair(settings, theta, N_STATE if len(ds) else 1)
    for f in range(2):
        s[f] = pair[f, Z]
        if len(ds):
            ds[0, f], ds[1, f] = pair[f, BY_T1], pair[f, BY_B1]
    measure(settings, theta, s, ds)


@njit
def uni(settings, theta, s, ds):
    """Write the normalized product of both signals and its derivatives."""
    pair = steady_pair(settings, theta, N_STATE if len(ds) else 1)
    first, second = pair[0, Z], pair[1, Z]
    energy = first * first + second * second
    safe = energy if energy > 0.0 else 1.0
    s[0] = first * second / safe
    if len(ds):
        # Times the derivative of the angle of (first, second).
        factor = (first - second) * (first + second) / (safe * safe)
        for k in range(2):
            ds[k, 0] = factor * (first * pair[1, 1 + k] - second * pair[0, 1 + k])
        ds[2, 0] = 0.0


@njit
def _look_locker_cycle(state, settings, theta, s, ds):
    """Play a cycle that begins with the inversion; write signals and derivatives."""
    t1, b1, n = theta[0], theta[1], settings.shape[1]
    spacing, angle = settings[1, 0], settings[2, 0]
    sine, cosine = np.sin(angle * b1), np.cos(angle * b1)
    invert(state, theta[2])
    recover(state, settings[0, 0], t1)
    one = block(1.0, angle, spacing, theta)
    n_pulses, between = 1.0, one
    for f in range(n):
        if f:
            n_now = np.round((settings[0, f] - settings[0, f - 1]) / spacing)
            if n_now != n_pulses:
                n_pulses, between = n_now, block(n_now, angle, spacing, theta)
            play(state, between)
        s[f] = sine * state[Z]
        if len(ds):
            for k in range(3):
                ds[k, f] = sine * state[1 + k]
            ds[1, f] += angle * cosine * state[Z]
    play(state, one)
    recover(state, settings[3, 0] - settings[0, n - 1] - spacing, t1)


@njit
def look_locker(settings, theta, s, ds):
    """Write signals and their derivatives."""
    state = np.zeros(N_STATE if len(ds) else 1)
    if np.isfinite(settings[3, 0]):
        one = np.zeros(state.size)
        one[Z] = 1.0
        _look_locker_cycle(state, settings, theta, s, ds)
        _look_locker_cycle(one, settings, theta, s, ds)
        settle(state, one)
    else:
        state[Z] = 1.0
    _look_locker_cycle(state, settings, theta, s, ds)
    measure(settings, theta, s, ds)
