"""Measurements as Gaussian noise would leave them, for matching."""

import numpy as np

from .._linear_algebra import norms
from ..kernels.rician import complete
from ..least_squares.compiled_likelihood import polynomials
from ..least_squares.likelihood import best_sigma, with_density
from ..models.base import m0_by_projection
from ..noise import RicianNoise

_TINY = np.finfo(np.float64).tiny
_NOTHING = np.empty((0, 0))


def completed(noise, data, signals, atoms, has_factor, n_unknowns):
    """Return what Gaussian noise would leave of measurements, given their best matches.

    Parameters
    ----------
    noise : Noise
        The noise, which shifts signals.
    data : Measurements
        The measurements.
    signals : ndarray of shape (n_voxels, n_features)
        What was matched: an earlier result, or the measurements.
    atoms : ndarray of shape (n_voxels, n_features)
        The best matches.
    has_factor : bool
        Whether atoms fit up to a factor, which is that of `signals`.
    n_unknowns : int
        Number of unknowns of a signal.

    Returns
    -------
    amplitude : ndarray of shape (n_voxels,)
        The factors.
    found : ndarray of shape (n_voxels, n_features)
        ``a + sigma^2 d log p(x | a) / d a`` for matches a with their factor.
    cost : ndarray of shape (n_voxels,)
        Negative logarithm of the likelihood, but for a constant of each voxel.
    level : ndarray of shape (n_voxels,)
        The noise of samples of weight 1, given or that of the largest likelihood.
    """
    if data.sigma is None or type(noise) is not RicianNoise:
        return _of_any_noise(noise, data, signals, atoms, has_factor, n_unknowns)
    n, shape = len(data), data.X.shape
    amplitude, found, cost = np.empty(n), np.empty(shape), np.empty(n)
    weights = _NOTHING if data.weights is None else data.weights
    given = data.X, signals, weights, data.sigma, atoms
    out = amplitude, found, cost, np.empty((2, shape[1]))
    complete(*given, has_factor, polynomials(), *out)
    return amplitude, found, cost, data.sigma


def _of_any_noise(noise, data, signals, atoms, has_factor, n_unknowns):
    amplitude = np.ones(len(data))
    if has_factor:
        factors = m0_by_projection(data.weigh(signals), data.weigh(atoms))
        amplitude = np.nan_to_num(np.maximum(factors, 0.0))
    signal = amplitude[:, None] * atoms
    counts, ratio = data.counts, data.divisors
    level, p = data.sigma, 0
    size = np.maximum(norms(data.X), _TINY)
    X = size[:, None] * with_density(noise, data.X / size[:, None])
    with np.errstate(all="ignore"):
        if level is None:
            n_free, p = counts.sum(axis=1) - n_unknowns, n_unknowns
            scaled = X / size[:, None], signal / size[:, None]
            level = size * best_sigma(noise, *scaled, ratio, counts, n_free)
        each = level[:, None] / ratio
        value, by_signal, _ = noise.log_likelihood(X, signal, each, True)
        found = signal + each**2 * by_signal
    cost = -np.where(counts, value, 0.0).sum(axis=1) - p * np.log(level)
    found = np.where(counts & np.isfinite(found), found, data.X)
    # A signal without direction matches nothing.
    found = np.where(found.any(axis=1, keepdims=True), found, data.X)
    return amplitude, found, np.nan_to_num(cost, nan=np.inf), level
