"""Trains of equal pulses, played until nothing changes, and a pulse off resonance.

All take complex numbers too, for derivatives by complex steps.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from tests.reference.fisp import STEP, relaxed, turned


def spoiled(t1, b1, alpha, tr, n_trains=4000):
    """Return the signals after the pulses of a train that repeats, (n_pulses,).

    t1, b1 : numbers. alpha, tr : (n_pulses,), flip angles, and times after them. No
    transverse magnetization reaches the next pulse.
    """
    z, out = 1.0, np.zeros(len(alpha), dtype=np.result_type(t1, b1))
    for _ in range(n_trains):
        for i, (angle, time) in enumerate(zip(alpha, tr, strict=True)):
            out[i] = z * np.sin(b1 * angle)
            z = 1 + (z * np.cos(b1 * angle) - 1) * np.exp(-time / t1)
    return out


def balanced(theta, alpha, tr, increments, te, n_pulses=6000):
    """Return signals after so many pulses, (n_sets, n_increments).

    theta : sequence of T1, T2, B1, omega0, each (n_sets,). Pulse i, of the phase i times
    the increment, turns about y in its own frame, in which the echo after it is received.
    """
    t1, t2, b1, omega0 = (np.reshape(x, (-1, 1)) for x in theta)
    shape = len(t1), len(increments)
    m = np.zeros((3, *shape), dtype=np.result_type(*theta))
    m[2] = 1.0
    for i in range(n_pulses):
        m = turned(m, -(i > 0) * np.asarray(increments), (0, 1))
        m = turned(m, b1 * alpha, (2, 0))
        at_pulse = m
        m = turned(relaxed(m, tr, t1, t2), omega0 * tr, (0, 1))
    return turned(relaxed(at_pulse, te, t1, t2), omega0 * te, (0, 1))[:2]


def balanced_and_jacobian(theta, *sequence):
    """Return signal (n,) and derivatives (n, 4) by T1, T2, B1 and omega0."""
    sets = np.append([theta + 0j], theta + 1j * STEP * np.eye(4), axis=0)
    x, y = balanced(sets.T, *sequence)
    s = x[0].real + 1j * y[0].real
    return s, (x[1:].imag + 1j * y[1:].imag).T / STEP


def complex_steps(f, *theta):
    """Return the derivatives of a real signal, (n, n_parameters)."""
    steps = np.array(theta) + 1j * STEP * np.eye(len(theta))
    return np.stack([f(*x).imag / STEP for x in steps], axis=-1)


def phase_after(pulse, duration, offset, omega0=0.0):
    """Return the phase, counterclockwise, by which a pulse turns transverse magnetization.

    pulse : (n_times,), field in rad/s. offset : its frequency, counterclockwise, in rad/s.
    Turned by omega0 alone, the phase is zero. It depends on that of the pulse, far from
    resonance less: its mean over four phases is returned.
    """
    step, turns = duration / len(pulse), []
    # In the frame of the pulse.
    fields = np.zeros((len(pulse), 3))
    fields[:, 0], fields[:, 2] = pulse, omega0 - offset
    whole = np.eye(3)
    for rotation in Rotation.from_rotvec(step * fields).as_matrix():
        whole = rotation @ whole
    for start in np.pi / 2 * np.arange(4):
        x, y, _ = whole @ [np.cos(start), np.sin(start), 0.0]
        free = np.exp(1j * (start + (omega0 - offset) * duration))
        turns.append((x + 1j * y) / free)
    return np.angle(np.mean(turns))
