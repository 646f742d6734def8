"""Signals that tell the fields B1 and B0, and their derivatives, of one voxel.

They are forms, see `closed_forms`, of these parameters and settings:

======================  ==================  =====================  ====================
form                    theta               settings               signal at amplitude 1
======================  ==================  =====================  ====================
actual_flip_angle       T1, B1              alpha, tr_own,         after pulses alpha,
                                            tr_other               by turns tr_own and
                                                                   tr_other apart
bloch_siegert           B1, -               shift                  e^(i shift B1^2)
turning_echo            R2s, omega0         -, te                  e^((i omega0 - R2s) te)
======================  ==================  =====================  ====================

The equations and their sources are in the files of the models.
"""

import numpy as np

from ._compile import borrowing
from .closed_forms import measure


@borrowing
def actual_flip_angle(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    t1, b1 = theta[0], theta[1]
    for f in range(settings.shape[1]):
        alpha, own, other = settings[0, f], settings[1, f], settings[2, f]
        sin, cos = np.sin(alpha * b1), np.cos(alpha * b1)
        e_own, e_other, both = np.exp(-own / t1), np.exp(-other / t1), own + other
        recovered, remaining = -np.expm1(-own / t1), np.exp(-both / t1)
        above = -np.expm1(-other / t1) + recovered * e_other * cos
        # 1 - E1 E2 cos(angle)^2, without the cancellation at short TR and small angles.
        below = -np.expm1(-both / t1) + remaining * sin * sin
        s[f] = sin * above / below
        if len(ds):
            d_own, d_other = e_own * own / t1**2, e_other * other / t1**2
            d_above = (recovered * d_other - d_own * e_other) * cos - d_other
            d_below = -remaining * cos * cos * both / t1**2
            ds[0, f] = (sin * d_above - s[f] * d_below) / below
            d_above = -recovered * e_other * sin
            d_below = 2 * remaining * sin * cos
            ds[1, f] = alpha * (cos * above + sin * d_above - s[f] * d_below) / below
    measure(settings, theta, s, ds)


@borrowing
def bloch_siegert(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    b1 = theta[0]
    for f in range(settings.shape[1]):
        shift = settings[0, f]
        re, im = np.cos(shift * b1 * b1), np.sin(shift * b1 * b1)
        s[2 * f], s[2 * f + 1] = re, im
        if len(ds):
            slope = 2 * shift * b1
            ds[0, 2 * f], ds[0, 2 * f + 1] = -slope * im, slope * re
            ds[1, 2 * f], ds[1, 2 * f + 1] = 0.0, 0.0


@borrowing
def turning_echo(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    for f in range(settings.shape[1]):
        te = settings[-1, f]
        s[f] = np.exp(-te * theta[0])
        if len(ds):
            ds[0, f] = -te * s[f]
    measure(settings, theta, s, ds)
