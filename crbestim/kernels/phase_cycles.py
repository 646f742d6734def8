r"""Balanced steady states of several phase increments, and their derivatives, of one voxel.

With the angle :math:`\theta = \omega_0 T_R - \phi` by which the magnetization turns from
pulse to pulse, seen from the pulses, :math:`\alpha` the flip angle times B1,
:math:`E_i = e^{-T_R / T_i}` and an M0 of 1, the echo is

.. math:: s = \sin\alpha\, (1 - E_1)\, \frac{1 - E_2 e^{-i \theta}}{Q}\,
              e^{(i \omega_0 - 1 / T_2) T_E},

.. math:: Q = (1 - \cos\alpha) (1 - E_2^2) + (1 - E_1) \left(\cos\alpha\,
              (1 - E_2 \cos\theta) + E_2 (E_2 - \cos\theta)\right).

Q is the denominator of Freeman & Hill (J. Magn. Reson. 1971, doi
10.1016/0022-2364(71)90026-0) in terms that do not cancel at short TR. For each of theta and
phi the signals lie on an ellipse (Xiang & Hoff, MRM 2014, doi 10.1002/mrm.25098).
"""

import numpy as np

from ._compile import borrowing


@borrowing
def phase_cycles(settings, theta, s, ds):
    """Write the signal and its derivatives; a form, see `closed_forms`.

    theta : T1, T2, B1, omega0. settings : alpha, tr, phase increment, te.
    """
    t1, t2, b1, omega0 = theta[0], theta[1], theta[2], theta[3]
    for f in range(settings.shape[1]):
        alpha, tr, te = settings[0, f], settings[1, f], settings[3, f]
        angle = omega0 * tr - settings[2, f]
        e2, u1, u2 = np.exp(-tr / t2), -np.expm1(-tr / t1), -np.expm1(-tr / t2)
        half = np.sin(alpha * b1 / 2)
        sin, loss = np.sin(alpha * b1), 2 * half * half
        cos = 1 - loss
        turn, half = np.sin(angle), np.sin(angle / 2)
        less = 2 * half * half
        # 1 - E2 cos(theta) and E2 - cos(theta).
        re, ahead, im = u2 + e2 * less, less - u2, e2 * turn
        lost = -np.expm1(-2 * tr / t2)
        across = cos * re + e2 * ahead
        q = loss * lost + u1 * across
        # Multiplying by c + i d turns by the off-resonance.
        decay = np.exp(-te / t2) * u1 / q
        turned, turned_by = decay * np.cos(omega0 * te), decay * np.sin(omega0 * te)
        c, d = sin * turned, sin * turned_by
        x, y = c * re - d * im, c * im + d * re
        s[2 * f], s[2 * f + 1] = x, y
        if len(ds):
            # d log(s) by 1 - E1, and by E2 without its part of 1 - E2 e^(-i theta).
            by_u1 = loss * lost / (u1 * q)
            q_e2 = -2 * e2 * loss + u1 * ((1 + cos) * (less - 1) + 2 * e2)
            q_b1 = alpha * sin * (lost - u1 * re)
            q_angle = u1 * (1 + cos) * im
            d_u1, d_e2 = -(1 - u1) * tr / t1**2, e2 * tr / t2**2
            ds[0, 2 * f], ds[0, 2 * f + 1] = x * by_u1 * d_u1, y * by_u1 * d_u1
            slope, r, i = te / t2**2 - q_e2 / q * d_e2, less - 1, turn
            ds[1, 2 * f] = x * slope + d_e2 * (c * r - d * i)
            ds[1, 2 * f + 1] = y * slope + d_e2 * (c * i + d * r)
            # sin(alpha) may be zero.
            slope, r, i = -q_b1 / q, alpha * cos * re, alpha * cos * im
            ds[2, 2 * f] = x * slope + turned * r - turned_by * i
            ds[2, 2 * f + 1] = y * slope + turned * i + turned_by * r
            # By the angle, 1 - E2 e^(-i theta) changes by i E2 e^(-i theta).
            slope, r, i = -q_angle / q * tr, tr * im, tr * e2 * (1 - less)
            ds[3, 2 * f] = x * slope + c * r - d * i - te * y
            ds[3, 2 * f + 1] = y * slope + c * i + d * r + te * x
