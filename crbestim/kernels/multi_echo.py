"""Multi-echo spin echoes, a CPMG train, by extended phase graphs.

Half a spacing dephases the magnetization by one order. When a pulse comes, what the
excitation has tipped is in the odd orders, and at the echoes in the even ones; what the
pulses tip of the longitudinal magnetization, recovery included, is in the others and never
in an echo (Hennig, J. Magn. Reson. 1988, doi 10.1016/0022-2364(88)90128-X; Weigel, JMRI
2015, doi 10.1002/jmri.24619). Of the odd orders 2 k + 1 there are left

    A_k = F_{2k+1},    B_k = -conj(F_{-2k-1}),    Z_k,

as in `extended_phase_graph`, whose blocks they share: the excitation is about x and the
pulses are about y, along the magnetization, so that all of them are imaginary, and stand
here without the i. From the excitation, A_0 = sin(excitation), to echo i:

 1. Pulse, and relaxation for a spacing, as in steps 1 and 3 of `extended_phase_graph`, but
    without recovery. That includes the half spacing before the pulse.
 2. Echo:  s = -B_0.
 3. Dephasing by two orders:  A_k becomes A_{k+1},  B_{k+1} becomes B_k,  A_0 = s.

Step 3 moves no data, and orders that cannot return are left out, as there.
"""

import numpy as np

from ._compile import njit
from .closed_forms import measure
from .extended_phase_graph import (
    COSINE,
    D_COSINE,
    D_HALF,
    D_SHRINK,
    D_SINE,
    E1,
    E2,
    HALF,
    K1,
    K2,
    N_COEFFICIENTS,
    SHRINK,
    SINE,
    play,
    play_by_b1,
    play_by_t1,
    play_by_t2,
)

_VALUES, _BY_T2, _BY_T1, _BY_B1 = range(4)
_ROUNDING = 1e-15


@njit
def multi_echo(settings, theta, s, ds):
    """Write the signal and its derivatives; a form, see `closed_forms`.

    theta : T2, T1, B1. settings : spacing, excitation, refocusing, the latter two in one
    row for each position of the slice profile, of which the signal is the mean.
    """
    n, n_positions = settings.shape[1], (settings.shape[0] - 2) // 2
    n_columns, c = 4 if len(ds) else 1, np.empty((1, N_COEFFICIENTS))
    _decays(settings[0, 0], theta, c[0])
    for position in range(n_positions):
        a, b = np.zeros((n_columns, n + 1)), np.zeros((n_columns, n))
        z, angles = np.zeros((n_columns, n)), settings[1 + n_positions + position]
        excitation, b1 = settings[1 + position, 0], theta[2]
        sin, cos = _turn(excitation * b1)
        a[_VALUES, n] = sin / n_positions
        if len(ds):
            a[_BY_B1, n] = excitation * cos / n_positions
        for i in range(n):
            if i == 0 or angles[i] != angles[i - 1]:
                _pulse(angles[i], b1, c[0])
            order, at = min(i + 1, n - i), (n - i, i, 0)
            if len(ds):
                play_by_b1(c, 0, order, at, _BY_B1, _VALUES, a, b, z)
            play(c, 0, order, at, _VALUES, a, b, z)
            if len(ds):
                play_by_t1(c, 0, order, at, _BY_T1, _VALUES, a, b, z)
                play_by_t2(c, 0, order, at, _BY_T2, _VALUES, a, b, z)
            for column in range(n_columns):
                echo = -b[column, i]
                a[column, n - i - 1] = echo
                if column == _VALUES:
                    s[i] = echo + (s[i] if position else 0.0)
                else:
                    before = ds[column - 1, i] if position else 0.0
                    ds[column - 1, i] = echo + before
    measure(settings, theta, s, ds)


@njit
def _turn(angle):
    """Return sine and cosine of an angle, exactly zero at multiples of 90 degrees.

    There derivatives by B1 and T1 may vanish, and a bound from rounding errors is none.
    """
    sin, cos = np.sin(angle), np.cos(angle)
    sin = sin if abs(sin) > _ROUNDING else 0.0
    return sin, cos if abs(cos) > _ROUNDING else 0.0


@njit
def _decays(spacing, theta, c):
    """Write the relaxation of a spacing."""
    t2, t1 = theta[0], theta[1]
    c[E1], c[E2] = np.exp(-spacing / t1), np.exp(-spacing / t2)
    c[K1], c[K2] = spacing / t1**2, spacing / t2**2


@njit
def _pulse(angle, b1, c):
    """Write the coefficients of a pulse followed by the relaxation of a spacing."""
    sin, cos = _turn(angle * b1)
    e1, e2 = c[E1], c[E2]
    c[SHRINK], c[SINE] = 0.5 * e2 * (cos - 1.0), e2 * sin
    c[COSINE], c[HALF] = e1 * cos, 0.5 * e1 * sin
    c[D_SHRINK], c[D_SINE] = -0.5 * e2 * angle * sin, e2 * angle * cos
    c[D_COSINE], c[D_HALF] = -e1 * angle * sin, 0.5 * e1 * angle * cos
