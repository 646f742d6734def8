r"""Inversion recovery read out by single-shot balanced images at heart beats (MOLLI).

On resonance, a preparation of half the flip angle about x tips z towards m, and pulses of
alternating phase follow, half a repetition time later, so that in a frame that changes its
sign with them, of magnetization (m, z),

    preparation   m = sin(a / 2) z,  z = cos(a / 2) z
    pulse         m = sin(a) z - cos(a) m,  z = cos(a) z + sin(a) m
    in between    m = m E2,  z = 1 - (1 - z) E1

Each is linear, and so is an image of them, of z before it: two runs, from z = 0 and z = 1,
give its signal, m at the echo of the centre of k-space, and z behind it, where m is
spoiled. States of z are those of `inversion_trains`, with derivatives by T2 as well.
"""

import numpy as np

from ._compile import njit
from .closed_forms import measure
from .inversion_trains import BY_B1, BY_ETA, BY_T1, Z, invert, recover

_BY_T2, _N_STATE = 4, 5
_BEFORE, _INVERTS, _WAIT, _PLACE, _SPACING, _ANGLE, _N_BEFORE, _N_AFTER = range(8)
# Columns of derivatives in a state, in the order of theta.
_ORDER = (BY_T1, _BY_T2, BY_B1, BY_ETA)


@njit
def _relax(m, z, duration, decays, theta):
    """Relax for some time, given what it leaves of z and m, and what z regains."""
    e1, e2, regained = decays
    lost = 1.0 - z[Z]
    for k in range(m.size):
        m[k] *= e2
        z[k] *= e1
    z[Z] += regained
    if m.size > 1:
        z[BY_T1] -= lost * e1 * duration / theta[0] ** 2
        m[_BY_T2] += m[Z] * duration / theta[1] ** 2


@njit
def _decays(duration, theta):
    """Return what a time leaves of z and m, and what z regains."""
    t1, t2 = theta[0], theta[1]
    return np.exp(-duration / t1), np.exp(-duration / t2), -np.expm1(-duration / t1)


@njit
def image(c, theta, start, n_state):
    """Return m at the centre of an image, and z behind it, that starts from some z."""
    angle, b1, half = c[_ANGLE], theta[2], c[_SPACING] / 2
    m, z, echo = np.zeros(n_state), np.zeros(n_state), np.empty(n_state)
    of_half, of_whole = _decays(half, theta), _decays(2 * half, theta)
    sin, cos = np.sin(angle * b1), np.cos(angle * b1)
    m[Z], z[Z] = start * np.sin(angle * b1 / 2), start * np.cos(angle * b1 / 2)
    if n_state > 1:
        m[BY_B1], z[BY_B1] = angle / 2 * z[Z], -angle / 2 * m[Z]
    for i in range(int(c[_N_BEFORE] + c[_N_AFTER])):
        if i:
            _relax(m, z, 2 * half, of_whole, theta)
        else:
            _relax(m, z, half, of_half, theta)
        for k in range(n_state):
            m[k], z[k] = sin * z[k] - cos * m[k], cos * z[k] + sin * m[k]
        if n_state > 1:
            m[BY_B1] += angle * z[Z]
            z[BY_B1] -= angle * m[Z]
        if i == c[_N_BEFORE]:
            for k in range(n_state):
                echo[k] = of_half[1] * m[k]
            if n_state > 1:
                echo[_BY_T2] += echo[Z] * half / theta[1] ** 2
    _relax(m, z, half, of_half, theta)
    return echo, z


@njit
def _add(offset, with_one, state, out):
    """Write offset + (with_one - offset) z, and its derivatives."""
    z = state[Z]
    slope = with_one[Z] - offset[Z]
    for k in range(1, out.size):
        change = with_one[k] - offset[k]
        out[k] = offset[k] + change * z + slope * state[k]
    out[Z] = offset[Z] + slope * z


@njit
def molli(settings, theta, s, ds):
    """Write the signals of images and their derivatives; a form, see `closed_forms`.

    theta : T1, T2, B1, eta. settings, one column an image in the order of acquisition :
    recovery before an inversion, whether there is one, recovery until the image, its place
    in s, and what all have in common: time between pulses, flip angle, pulses before and
    after the centre of k-space.
    """
    c, t1 = settings[:, 0].copy(), theta[0]
    n_state = _N_STATE if len(ds) else 1
    echo_of_zero, end_of_zero = image(c, theta, 0.0, n_state)
    echo_of_one, end_of_one = image(c, theta, 1.0, n_state)
    state, echo = np.zeros(n_state), np.empty(n_state)
    state[Z] = 1.0
    for f in range(settings.shape[1]):
        if settings[_INVERTS, f]:
            recover(state, settings[_BEFORE, f], t1)
            invert(state, theta[3])
        recover(state, settings[_WAIT, f], t1)
        _add(echo_of_zero, echo_of_one, state, echo)
        _add(end_of_zero, end_of_one, state, state)
        place = int(settings[_PLACE, f])
        s[place] = echo[Z]
        if len(ds):
            for k in range(4):
                ds[k, place] = echo[_ORDER[k]]
    measure(settings, theta, s, ds)
