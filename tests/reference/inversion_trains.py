"""Inversion recoveries that pulses read out, pulse by pulse, for complex theta too.

Magnetization is a vector (3, 1) that turns about axes; what is spoiled is set to zero. A
cycle is linear, so that two of them, from 0 and from 1, tell its steady state.
"""

import numpy as np

from tests.reference.fisp import STEP, relaxed, turned

_ENDLESS_T2 = 1e3


def _spoiled(m):
    return m * np.array([[0.0], [0.0], [1.0]])


def _pulses(m, times, angle, tr, t1, out=None):
    """Play spoiled pulses, each followed by recovery; keep what some of them tip."""
    for _ in range(times):
        m = turned(m, -angle, (1, 2))
        if out is not None:
            out.append(m[1, 0])
        m = relaxed(_spoiled(m), tr, t1, _ENDLESS_T2)
    return m


def _in_steady_state(cycle):
    """Signals of a cycle that maps z to (z, signals), where it does not change z."""
    (zero, _), (one, _) = cycle(0.0), cycle(1.0)
    return cycle(zero / (1 - one + zero))[1]


def _inverted(z, efficiency):
    return np.array([[0.0], [0.0], [-efficiency * z]])


def mp2rage(theta, ti, tr, tr_mp2rage, flip_angles, before, after, efficiency):
    """Both signals of the steady state, (2,), for theta of T1 and B1."""
    t1, b1 = theta

    def cycle(z):
        m, time, signals = _inverted(z, efficiency), 0.0, []
        for t, angle in zip(ti, flip_angles, strict=True):
            m, tipped = relaxed(m, t - before * tr - time, t1, _ENDLESS_T2), []
            m = _pulses(m, before + after, angle * b1, tr, t1, tipped)
            signals.append(tipped[before])
            time = t + after * tr
        return relaxed(m, tr_mp2rage - time, t1, _ENDLESS_T2)[2, 0], np.array(signals)

    return _in_steady_state(cycle)


def look_locker(theta, ti, tr_readout, flip_angle, tr):
    """Signals at inversion times, for theta of T1, B1 and the efficiency."""
    t1, b1, efficiency = theta
    at = np.round((ti - ti[0]) / tr_readout).astype(int)

    def cycle(z):
        m, tipped = relaxed(_inverted(z, efficiency), ti[0], t1, _ENDLESS_T2), []
        m = _pulses(m, at[-1] + 1, flip_angle * b1, tr_readout, t1, tipped)
        rest = 0.0 if tr is None else tr - ti[-1] - tr_readout
        return relaxed(m, rest, t1, _ENDLESS_T2)[2, 0], np.array(tipped)[at]

    return cycle(1.0)[1] if tr is None else _in_steady_state(cycle)


def molli(theta, ti, beats, tr, flip_angle, before, after):
    """Signals of images in their order, of increasing beats: T1, T2, B1, efficiency.

    Pulses turn about x and -x, and the signal is that of the receiver of their phase.
    """
    (t1, t2, b1, efficiency), m = theta, np.array([[0.0], [0.0], [1.0]])
    angle, signals, time, inverted = flip_angle * b1, [], beats[0] - ti[0], -np.inf
    for t, beat in zip(ti, beats, strict=True):
        if beat - t > inverted + 1e-6:
            inverted = beat - t
            m = -efficiency * relaxed(m, inverted - time, t1, t2)
            time = inverted
        start = beat - (before + 1) * tr
        m = turned(relaxed(m, start - time, t1, t2), -angle / 2, (1, 2))
        for i in range(before + after):
            sign = -1.0 if i % 2 == 0 else 1.0
            m = relaxed(m, tr / 2 if i == 0 else tr, t1, t2)
            m = turned(m, -sign * angle, (1, 2))
            if i == before:
                signals.append(sign * relaxed(m, tr / 2, t1, t2)[1, 0])
        m, time = _spoiled(relaxed(m, tr / 2, t1, t2)), start + (before + after) * tr
    return np.array(signals)


def signal_and_jacobian(signals, theta, *sequence):
    """Signals (n,), and their derivatives (n, n_theta)."""
    steps = np.asarray(theta) + 1j * STEP * np.eye(len(theta))
    columns = [signals(x, *sequence).imag / STEP for x in steps]
    return signals(np.asarray(theta), *sequence), np.stack(columns, axis=-1)
