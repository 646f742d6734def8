"""FISP by the Bloch equation of isochromats that one repetition dephases over a full turn.

With more isochromats than twice the pulses their mean is exact: no configuration order of
a train of so few pulses is taken for another.
"""

import numpy as np

STEP = 1e-20  # of the complex-step derivatives


def turned(m, angle, axes):
    """Turn magnetization (3, n) by an angle in the plane of two axes."""
    m, (i, j) = m.copy(), axes
    c, s = np.cos(angle), np.sin(angle)
    m[i], m[j] = c * m[i] - s * m[j], s * m[i] + c * m[j]
    return m


def relaxed(m, time, t1, t2):
    """Relax magnetization (3, n) freely."""
    e1, e2 = np.exp(-time / t1), np.exp(-time / t2)
    return np.array([e2 * m[0], e2 * m[1], e1 * m[2] + 1 - e1])


def echoes(theta, alpha, tr, te, phase=None, inversion_time=None, n_isochromats=None):
    """Mean x and y at the echoes, (2, n_pulses), of one voxel, for complex theta too.

    Parameters
    ----------
    theta : sequence of numbers
        T1 and T2 in s, and B1.
    alpha, tr, te : ndarray of shape (n_pulses,)
        Flip angles in rad, repetition and echo times in s.
    phase : ndarray of shape (n_pulses,), default=None
        Phases of pulses and receiver, in rad.
    inversion_time : float, default=None
        From a complete inversion to the first pulse, in s.
    n_isochromats : int, default=None
        By default one more than twice the number of pulses.

    Returns
    -------
    ndarray of shape (2, n_pulses)
        Magnetization per unit of proton density, real parts of the signal and imaginary.
    """
    t1, t2, b1 = theta
    n = len(alpha)
    phase = np.zeros(n) if phase is None else phase
    n_isochromats = n_isochromats or 2 * n + 1
    dephasing = 2 * np.pi * np.arange(n_isochromats) / n_isochromats
    m = np.zeros((3, n_isochromats), dtype=np.result_type(*theta))
    m[2] = 1.0
    if inversion_time is not None:
        m = relaxed(-m, inversion_time, t1, t2)
    out = []
    for i in range(n):
        m = turned(m, -phase[i], (0, 1))
        m = turned(m, b1 * alpha[i], (2, 0))
        out.append(relaxed(m, te[i], t1, t2)[:2].mean(axis=1))
        m = turned(m, phase[i], (0, 1))
        m = turned(relaxed(m, tr[i], t1, t2), dephasing, (0, 1))
    return np.transpose(out)


def signal(theta, **sequence):
    """Signal (n_pulses,), complex; see `echoes`."""
    x, y = echoes(theta, **sequence)
    return x + 1j * y


def jacobian(theta, **sequence):
    """Derivatives (n_pulses, 3) of the signal by T1, T2 and B1."""
    columns = []
    for k in range(3):
        x, y = echoes(theta + 1j * STEP * np.eye(3)[k], **sequence).imag / STEP
        columns.append(x + 1j * y)
    return np.stack(columns, axis=-1)
