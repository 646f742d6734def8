"""Multi-echo spin echoes by the Bloch equation of isochromats at positions of a slice.

Half a spacing dephases them by one turn over all. With more of them than four times the
echoes their mean is exact: no configuration order is taken for another.
"""

import numpy as np

from tests.reference.fisp import STEP, relaxed, turned


def echoes(theta, te, refocusing, excitation):
    """Mean x and y at the echoes, (2, n_echoes), of one voxel, for complex theta too.

    Parameters
    ----------
    theta : sequence of numbers
        T2 and T1 in s, and B1.
    te : ndarray of shape (n_echoes,)
        Echo times, in s.
    refocusing : ndarray of shape (n_positions, n_echoes)
        Flip angles of the pulses about y, in rad.
    excitation : ndarray of shape (n_positions,)
        Flip angles of the excitation about x, in rad.
    """
    (t2, t1, b1), half, n = theta, te[0] / 2, 4 * len(te) + 1
    dephasing, total = 2 * np.pi * np.arange(n) / n, 0.0
    for first, angles in zip(excitation, refocusing, strict=True):
        m, out = np.zeros((3, n), dtype=np.result_type(*theta)), []
        m[2] = 1.0
        m = turned(m, -b1 * first, (1, 2))
        for angle in angles:
            m = turned(relaxed(m, half, t1, t2), dephasing, (0, 1))
            m = turned(m, b1 * angle, (2, 0))
            m = turned(relaxed(m, half, t1, t2), dephasing, (0, 1))
            out.append(m[:2].mean(axis=1))
        total = total + np.transpose(out) / len(excitation)
    return total


def signal_and_jacobian(theta, *sequence):
    """Signal (n_echoes,), real, and its derivatives (n_echoes, 3) by T2, T1 and B1."""
    steps = theta + 1j * STEP * np.eye(3)
    columns = [echoes(x, *sequence)[1].imag / STEP for x in steps]
    return echoes(theta, *sequence)[1], np.stack(columns, axis=-1)
