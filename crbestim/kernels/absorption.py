r"""Absorption of RF power by a line of semi-solid spins.

Pulses of the mean power w1^2, at the distance omega from the resonance, saturate them by

    W = pi w1^2 g = w1^2 T2s L(x^2),    x = omega T2s,

with L = pi g / T2s, the line shape in units of T2s (Henkelman et al., MRM 1993, doi
10.1002/mrm.1910290607). A table holds log L as a function of

    t = log(1 + (x / KNEE)^2) / 2,

which is smooth at x = 0 and grows as log x far away: six coefficients of a polynomial in
t / STEP for each interval of length STEP.
"""

import math

from ._compile import njit

KNEE = 0.02 * math.pi  # 1 kHz at a T2s of 10 us
STEP = math.log(2.0) / 16  # so that x = KNEE is a node
N_COEFFICIENTS = 6


@njit
def absorption(table, omega, t2s):
    """Return W / w1^2 = T2s L, and its derivatives by omega and by T2s.

    table : (n,), coefficients of all intervals, from the constant one on.
    """
    squared = (omega * t2s) ** 2
    place = 0.5 * math.log1p(squared / KNEE**2) / STEP
    interval = min(int(place), len(table) // N_COEFFICIENTS - 1)
    u, first = place - interval, interval * N_COEFFICIENTS
    log, slope = 0.0, 0.0
    for k in range(N_COEFFICIENTS - 1, -1, -1):
        slope = slope * u + log
        log = log * u + table[first + k]
    line = t2s * math.exp(log)
    # The derivative by log x.
    slope *= squared / (STEP * (KNEE**2 + squared))
    by_omega = line * slope / omega if omega != 0.0 else 0.0
    return line, by_omega, line * (1.0 + slope) / t2s
