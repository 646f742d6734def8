r"""Terms of the Rician likelihood of one sample, and of one voxel.

For a magnitude m and a signal a in units of the noise, z = m a and r = I1(z) / I0(z), they
are the logarithm of the density but for what m alone decides,

    log p = log(e^-z I0(z)) - (m - a)^2 / 2,

its derivative m r - a by the signal, and the Fisher information Z(a); see `noise`. Three
smooth functions on 0 to 1 give them, as polynomials on pieces of equal width:

======================  ==================  ===========================
number                  argument            value
======================  ==================  ===========================
BESSEL                  z / (REACH + z)     sqrt(REACH + z) e^-z I0(z)
LAG                     z / (REACH + z)     (REACH + z) (1 - r)
INFORMATION             a^2 / (1 + a^2)     Z (1 + a^2) / a^2
======================  ==================  ===========================
"""

import numpy as np
from numpy.polynomial.chebyshev import chebpts1
from scipy.special import i0e, i1e

from ._compile import borrowing

BESSEL, LAG, INFORMATION = range(3)
REACH = 4.0
# For errors of a few units of the last place.
_N_PIECES, _DEGREE = 32, 9
# Products below are not far from underflow.
_SMALL = 1e-100


def tables(information):
    """Return the polynomials, of shape (3, n_pieces, n_coefficients).

    information : Z as a function of signals in units of the noise.
    """

    def bessel(t):
        z = REACH * t / (1 - t)
        return np.sqrt(REACH + z) * i0e(z)

    def lag(t):
        z = REACH * t / (1 - t)
        return (REACH + z) * (1 - i1e(z) / i0e(z))

    def share(u):
        return information(np.sqrt(u / (1 - u))) / u

    return np.stack([_pieces(function) for function in (bessel, lag, share)])


def _pieces(function):
    """Return polynomials in -1 to 1 that interpolate a function on each piece."""
    nodes = chebpts1(_DEGREE + 1)
    values = function((np.arange(_N_PIECES)[:, None] + (1 + nodes) / 2) / _N_PIECES)
    powers = np.vander(nodes, increasing=True)
    return np.ascontiguousarray(np.linalg.solve(powers, values.T).T)


@borrowing
def at(table, t):
    """Return the value of a function at t, from 0 to 1."""
    place = t * len(table)
    piece = min(int(place), len(table) - 1)
    y = 2.0 * (place - piece) - 1.0
    value = table[piece, table.shape[1] - 1]
    for k in range(table.shape[1] - 2, -1, -1):
        value = value * y + table[piece, k]
    return value


@borrowing
def log_likelihood(m, signal, amplitude, polynomials):
    """Return the logarithm of the likelihood of samples, of an amplitude times a signal.

    m, signal : (n,), in units of the noise.
    """
    # Logarithms of Bessel functions, as that of their squares' product, which costs less.
    squares, logs, product, bessel = 0.0, 0.0, 1.0, polynomials[BESSEL]
    for f in range(m.size):
        a = amplitude * signal[f]
        z = abs(m[f] * a)
        if not z < np.inf:
            return -np.inf if z == np.inf else np.nan
        share = 1.0 / (REACH + z)
        value = at(bessel, z * share)
        product *= value * value * share
        if product < _SMALL:
            logs += np.log(product)
            product = 1.0
        squares += (m[f] - a) * (m[f] - a)
    return 0.5 * (logs + np.log(product) - squares)


@borrowing
def slope_and_information(m, a, polynomials):
    """Return the derivative of a sample's log-likelihood by its signal, and Z."""
    square = a * a
    if not square < np.inf:
        return np.nan, np.nan
    u = square / (1.0 + square)
    slope = (m - a) - m * lag_of(m * a, polynomials)
    return slope, u * at(polynomials[INFORMATION], u)


@borrowing
def lag_of(product, polynomials):
    """Return 1 - r, where r has the sign of its argument."""
    z = abs(product)
    if not z < np.inf:
        return np.nan
    share = 1.0 / (REACH + z)
    lag = at(polynomials[LAG], z * share) * share
    return 2.0 - lag if product < 0.0 else lag


@borrowing(nogil=True)
def complete(
    x, signals, weights, sigma, atoms, has_factor, polynomials, factors, found, costs, work
):
    """Write magnitudes as Gaussian noise would leave them: m r for the best matches.

    x, signals, atoms : (n_voxels, n), measurements, what was matched, and the matches;
    weights : (n_voxels, n), or without rows; sigma : (n_voxels,); factors, found, costs :
    of the atoms, to be written, with the negative log-likelihood; work : (2, n).
    """
    m, a = work[0], work[1]
    for i in range(len(x)):
        along, energy, factor, is_zero = 0.0, 0.0, 1.0, True
        for f in range(m.size):
            unit = (weights[i, f] if len(weights) else 1.0) / sigma[i]
            m[f], a[f] = x[i, f] * unit, atoms[i, f] * unit
            along += a[f] * (signals[i, f] * unit)
            energy += a[f] * a[f]
        if has_factor:
            # NaN counts as zero.
            factor = along / energy if along > 0.0 else 0.0
        factors[i] = factor
        cost = -log_likelihood(m, a, factor, polynomials)
        costs[i] = cost if cost == cost else np.inf
        for f in range(m.size):
            value = x[i, f] * (1.0 - lag_of(m[f] * factor * a[f], polynomials))
            is_counted = not len(weights) or weights[i, f] > 0.0
            found[i, f] = value if is_counted and np.isfinite(value) else x[i, f]
            is_zero = is_zero and found[i, f] == 0.0
        if is_zero:
            # A signal without direction matches nothing.
            for f in range(m.size):
                found[i, f] = x[i, f]
