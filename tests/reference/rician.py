"""Exact maximum likelihood of decays in Rician noise, and its bound, by brute force.

From the density of a magnitude m of a signal a in noise of standard deviation sigma,

    p(m) = m / sigma^2 exp(-(m^2 + a^2) / (2 sigma^2)) I0(m a / sigma^2),

alone. All times and signals are plain arrays; nothing here comes from crbestim.
"""

import numpy as np
from scipy.integrate import quad
from scipy.special import i0e, i1e

_GOLDEN = (np.sqrt(5) - 1) / 2


def log_likelihood(m, a, sigma):
    """Log-likelihood of samples, but for what depends on m and sigma alone."""
    x, y = m / sigma, a / sigma
    return np.log(i0e(x * y)) - (x - y) ** 2 / 2


def best_amplitude(m, shape, sigma, n=60):
    """Return the largest log-likelihood over amplitudes of signals, and the amplitude.

    m, shape : (n_voxels, n_echoes). Expectation-maximization from an amplitude that cannot
    be exceeded, with steps twice as long as its own, which are still safe and faster.
    """
    energy = (shape**2).sum(axis=1)
    amplitude = most = np.linalg.norm(m, axis=1) / np.sqrt(energy)
    for _ in range(n):
        z = m * amplitude[:, None] * shape / sigma**2
        new = (shape * m * i1e(z) / i0e(z)).sum(axis=1) / energy
        longer = np.clip(2 * new - amplitude, 0, most)
        amplitude = np.where(longer > 0, longer, new)
    candidates = np.stack([amplitude, new, np.zeros(len(m))])
    values = np.stack(
        [log_likelihood(m, a[:, None] * shape, sigma).sum(axis=1) for a in candidates]
    )
    best = values.argmax(axis=0), np.arange(len(m))
    return values[best], candidates[best]


def maximum_likelihood(m, signal, bounds, sigma, n_grid=300, n_refine=40):
    """Return the parameter and the amplitude of largest likelihood for each voxel.

    Parameters
    ----------
    m : (n_voxels, n_echoes) magnitudes.
    signal : function of parameters (n,): signals (n, n_echoes) at an amplitude of 1.
    bounds : (low, high) of the parameter, positive: the grid is logarithmic.
    sigma : the noise, a number.
    """
    grid = np.linspace(*np.log(bounds), n_grid)
    values = np.stack(
        [
            best_amplitude(m, np.repeat(signal(np.exp([t])), len(m), 0), sigma)[0]
            for t in grid
        ]
    )
    best = values.argmax(axis=0)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, n_grid - 1)]

    def value(t):
        return best_amplitude(m, signal(np.exp(t)), sigma)[0]

    for _ in range(n_refine):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        is_left = value(left) > value(right)
        low, high = np.where(is_left, low, left), np.where(is_left, right, high)
    found = np.stack([grid[best], (low + high) / 2])
    both = np.stack([value(t) for t in found])
    t = np.exp(found[both.argmax(axis=0), np.arange(len(m))])
    return t, best_amplitude(m, signal(t), sigma)[1]


def information(a):
    """Fisher information of a magnitude about its signal a, at sigma = 1."""

    def weighted(m):
        score = m * i1e(m * a) / i0e(m * a) - a
        return score**2 * m * np.exp(-((m - a) ** 2) / 2) * i0e(m * a)

    return quad(weighted, max(a - 10, 0), a + 10, epsabs=1e-12)[0]


def bound(jacobian, signal, sigma):
    """Cramér-Rao bounds from derivatives (n_echoes, n_parameters) and signal, by hand."""
    weights = np.array([information(a / sigma) for a in signal]) / sigma**2
    return np.diag(np.linalg.inv(jacobian.T @ (weights[:, None] * jacobian)))
