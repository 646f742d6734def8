r"""Tables of the absorption of semi-solid spins, for `kernels/absorption.py`.

The line shape L(x^2) in units of T2s is the cosine transform of the Green's function in
`_saturation_table.py`:

.. math:: L(x^2) = \int_0^\infty G(\kappa) \cos(x \kappa)\, d\kappa .

The super-Lorentzian, a mean of Gaussians over all orientations, is infinite at x = 0, where
pulses longer than its memory would have no end of effect. Below x = 0.02 pi, 1 kHz at a T2s
of 10 us, log L therefore continues as a parabola in x^2, with the same value, slope and
curvature.
"""

import numpy as np

from ..kernels.absorption import KNEE, N_COEFFICIENTS, STEP
from ._saturation_table import super_lorentzian_parts


def _lorentzian(squared):
    return -np.log1p(squared), -1 / (1 + squared), 1 / (1 + squared) ** 2


def _gaussian(squared):
    half = np.full_like(squared, 0.5)
    return np.log(np.pi / 2) / 2 - half * squared, -half, 0 * half


def _super_lorentzian(squared):
    exponent, weights = super_lorentzian_parts()
    rate, height = 1 / (4 * exponent), np.sqrt(np.pi / (4 * exponent)) * weights
    outside = np.maximum(squared, KNEE**2)
    # The slowest of the rates, that of spins along the field, is taken out.
    parts = np.exp(-np.multiply.outer(outside, rate - 0.5))
    total = parts @ height
    log = np.log(total) - outside / 2
    first = -(parts @ (height * rate)) / total
    second = parts @ (height * rate**2) / total - first**2
    inside = squared - outside
    return (
        log + inside * (first + inside * second / 2),
        first + inside * second,
        second,
    )


LOG_LINES = {
    "super-lorentzian": _super_lorentzian,
    "lorentzian": _lorentzian,
    "gaussian": _gaussian,
}
"""Logarithms of the line shapes with two derivatives by x^2, by name."""


def absorption_table(lineshape, highest, multiple=1):
    """Return coefficients up to x = `highest`, (n,), n a multiple of a number.

    Examples
    --------
    >>> from crbestim.models._absorption import absorption_table
    >>> absorption_table("lorentzian", 1.0).shape
    (390,)
    """
    n = int(np.log1p((highest / KNEE) ** 2) / 2 / STEP) + 2
    n += -n % multiple
    scale = KNEE**2 * np.exp(2 * STEP * np.arange(n + 1))
    log, first, second = LOG_LINES[lineshape](scale - KNEE**2)
    # With d(x^2) = 2 scale dt.
    slope, bend = 2 * scale * first * STEP, 4 * scale * (first + scale * second) * STEP**2
    a, b, c = log[:-1], slope[:-1], bend[:-1] / 2
    # What is left of value, slope and curvature at the end of each interval.
    value, slope = log[1:] - a - b - c, slope[1:] - b - 2 * c
    bend = bend[1:] / 2 - c
    coefficients = [
        a,
        b,
        c,
        10 * value - 4 * slope + bend,
        -15 * value + 7 * slope - 2 * bend,
        6 * value - 3 * slope + bend,
    ]
    assert len(coefficients) == N_COEFFICIENTS
    return np.stack(coefficients, axis=1).ravel()
