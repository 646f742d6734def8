"""What a model leaves unexplained of measured signals, at given estimates.

An error of the estimate moves the model's signal along the span of its derivatives, to
first order. What is left of a signal outside that span, and outside the span of M0, is
noise, or something that the model does not describe. If it is noise alone, its squared
norm over sigma^2 follows a chi-square distribution, with one degree of freedom for each
dimension outside.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from .._linear_algebra import norms
from .._validation import check_sigma
from ..bounds import covariance_of_estimates
from ..exceptions import LowSignalWarning, NoiseLevelWarning
from ..models.base import m0_by_projection
from ..noise import noise_of

_BLOCK = 512
# Root mean square of magnitudes, over the noise, below which noise is far from Gaussian.
_LEAST_MAGNITUDE = 5.0
# Number of voxels whose median signal-to-noise ratio is compared with the apparent range of
# the training data, and the factor by which it may lie outside.
_N_JUDGED, _TOLERATED = 64, 1.5


@dataclass(frozen=True)
class ResidualAnalysis:
    """Signals compared with a model's at given estimates, one voxel a row.

    Parameters
    ----------
    m0 : ndarray of shape (n_voxels,)
        Factor of the signal, M0 or an amplitude, estimated or known; 1 if there is none.
    unexplained : ndarray of shape (n_voxels,)
        Norm of what no change of the parameters can explain.
    snr : ndarray of shape (n_voxels,)
        abs(M0)/sigma, if what is unexplained is noise; M0 is corrected for that noise.
    std : ndarray of shape (n_voxels, n_parameters)
        Standard deviations of the linearized posterior; NaN without a prior.
    n_free : ndarray of int, shape (n_voxels,)
        Number of real dimensions of what is unexplained.
    """

    m0: np.ndarray
    unexplained: np.ndarray
    snr: np.ndarray
    std: np.ndarray
    n_free: np.ndarray


def analyze_residuals(model, X, theta, *, sigma=None, prior_precision=None):
    """Compare signals with a model's.

    Parameters
    ----------
    model : SignalModel
        The model.
    X : ndarray of shape (n_voxels, n_features)
        Signals.
    theta : ndarray of shape (n_voxels, n_parameters)
        Estimates, in SI units.
    sigma : ndarray of shape (n_voxels,), default=None
        Noise of X per channel for the standard deviations; by default estimated voxel
        by voxel, or unknown if a signal has no more real numbers than unknowns.
    prior_precision : ndarray of shape (n_parameters, n_parameters), default=None
        Inverse covariance of a normal prior; without it no standard deviations.

    Returns
    -------
    ResidualAnalysis
        Factor, unexplained part and standard deviations.

    Raises
    ------
    ValueError
        If standard deviations are requested under Rician noise without `sigma`.
    MissingJacobianError
        If the model has no derivatives.
    """
    model.require_jacobian("The residual or standard deviation of an estimate")
    if prior_precision is not None:
        require_sigma(model, sigma)
    n_real, n_free = model._real_numbers(X)[0], model._free_numbers(X)
    # Signals are scaled to size 1, so that no square overflows.
    size = np.ones(len(X))
    if model.is_complex:
        size = np.maximum(np.abs(X).max(axis=1, initial=0), np.finfo(float).tiny)
        X, sigma = X / size[:, None], None if sigma is None else sigma / size
    m0, unexplained, snr = (np.empty(len(X), dtype) for dtype in (X.dtype, float, float))
    std = np.full((len(X), model.n_parameters), np.nan)
    for first in range(0, len(X), _BLOCK):
        part = slice(first, first + _BLOCK)
        signal, jacobian = _simulate(model.rows(part), theta[part])
        m0[part], norm = _factor(model.rows(part), X[part], theta[part], signal)
        unexplained[part] = _outside(model, X[part], signal, jacobian, m0[part])
        noise = unexplained[part] / np.sqrt(np.maximum(n_free[part], 1))
        snr[part] = _snr(X[part], m0[part], norm, noise, n_real[part])
        if prior_precision is not None:
            level = np.where(n_free[part] > 0, noise, np.nan)
            level = level if sigma is None else sigma[part]
            covariance = covariance_of_estimates(
                model.rows(part),
                signal,
                jacobian,
                noise_std=level,
                m0=m0[part] if model.is_complex else 1.0,
                prior_precision=prior_precision,
            )
            std[part] = np.sqrt(np.einsum("nii->ni", covariance))
    return ResidualAnalysis(m0 * size, unexplained * size, snr, std, n_free)


def _simulate(model, theta):
    """Signals and derivatives; zero where the model is not finite."""
    signal, jacobian = model._simulate_voxels(theta, jacobian=True)
    finite = np.isfinite(signal).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))
    signal = np.where(finite[:, None], signal, 0)
    return signal, np.where(finite[:, None, None], jacobian, 0)


def _factor(model, X, theta, signal):
    """Factors, 0 where there is no signal, and norms of the signals for a factor of 1."""
    if not model.has_factor:
        return model._amplitudes(theta), np.full(len(X), np.nan)
    if model.is_complex:
        norm = np.linalg.norm(signal, axis=1)
        return np.where(norm > 0, m0_by_projection(X, signal), 0), norm
    amplitude = theta[:, model._amplitude_column]
    size = norms(signal) / np.where(amplitude > 0, amplitude, 1.0)
    return amplitude, np.where(amplitude > 0, size, np.inf)


def relative_noise(model, X, theta, sigma):
    """Return the noise of data in units of their factors at given parameters."""
    signal = model._simulate_voxels(theta)[0]
    return sigma / np.abs(_factor(model, X, theta, signal)[0])


def _snr(X, m0, norm, noise, n_real):
    """Signal-to-noise ratios, corrected for the energy that noise adds to a signal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = (np.linalg.norm(X, axis=1) / noise) ** 2 - n_real
        ratio = np.sqrt(np.maximum(energy, 0)) / norm
        return np.where(np.isnan(norm), np.abs(m0) / noise, ratio)


def _outside(model, X, signal, jacobian, m0):
    """Norm of X outside the span of the signal and its derivatives."""
    if model.is_complex:
        phase = m0 / np.where(m0 == 0, 1, np.abs(m0))
        signal = phase[:, None, None] * signal[:, :, None]
        columns = np.concatenate(
            [phase[:, None, None] * jacobian, signal, 1j * signal], axis=2
        )
        columns = np.concatenate([columns.real, columns.imag], axis=1)
        left = np.concatenate([X.real, X.imag], axis=1)
    else:
        columns, left = jacobian, X - signal
    norm = np.linalg.norm(columns, axis=1, keepdims=True)
    span = np.linalg.qr(columns / np.where(norm > 0, norm, 1))[0]
    along = (span.mT @ left[:, :, None])[:, :, 0]
    left = left - (span @ along[:, :, None])[:, :, 0]
    return np.linalg.norm(left, axis=1)


@dataclass(frozen=True)
class Residuals:
    """What a model leaves unexplained, one voxel a row.

    Parameters
    ----------
    unexplained : ndarray of shape (n_voxels,)
        Share of the norm of the signal; NaN where there is no signal or no estimate.
    chi_square : ndarray of shape (n_voxels,)
        Squared norm of the unexplained part over sigma^2: in voxels that follow the
        model, chi-square distributed with `n_free` degrees of freedom.
    flag : ndarray of shape (n_voxels,), of bool
        Whether the chi-square exceeds `limit`, or there is no signal.
    sigma : ndarray of shape (n_voxels,)
        Noise per channel.
    n_free : int
        Degrees of freedom.
    limit : float
        Chi-square above which a voxel is flagged, from the false-alarm rate.
    """

    unexplained: np.ndarray
    chi_square: np.ndarray
    flag: np.ndarray
    sigma: np.ndarray
    n_free: int
    limit: float

    @classmethod
    def of_voxels(cls, model, X, usable, theta, sigma, false_alarm_rate):
        """Compare voxels with a model's signals at estimates.

        Parameters
        ----------
        model : SignalModel
            The model.
        X : ndarray of shape (n_voxels, n_features)
            Signals.
        usable : ndarray of shape (n_voxels,), of bool
            Which of them have an estimate.
        theta : ndarray of shape (n_usable, n_parameters)
            Their estimates, in SI units.
        sigma : float, array-like of shape (n_voxels,) or None
            Noise per channel; None estimates one level from the median.
        false_alarm_rate : float
            Share of voxels to flag among those that follow the model.

        Returns
        -------
        Residuals
            One voxel a row.

        Raises
        ------
        ValueError
            If a number is not allowed, or the model can explain any signal.
        """
        if not 0 < false_alarm_rate < 1:
            raise ValueError(
                f"false_alarm_rate = {false_alarm_rate!r}; give a share between 0 and 1."
            )
        found = analyze_residuals(model, X[usable], theta)
        # Imaginary parts that are zero in all voxels were not measured.
        n_free = int(found.n_free.max(initial=0))
        if n_free == 0 and usable.any():
            raise ValueError(
                f"the signals of {model} have no more real numbers than it has unknowns: "
                "it can explain any signal, and there is no residual."
            )
        n_free, norm = max(n_free, 1), np.full(len(X), np.nan)
        norm[usable] = found.unexplained
        sigma = check_sigma(sigma, len(X))
        if sigma is None:
            typical = np.median(norm[usable]) if usable.any() else np.nan
            sigma = np.full(len(X), typical / np.sqrt(chi2.median(n_free)))
        if model.is_magnitude:
            _warn_low(X[usable], sigma[usable])
        with np.errstate(divide="ignore", invalid="ignore"):
            chi_square = (norm / sigma) ** 2
            unexplained = norm / np.linalg.norm(X, axis=1)
        limit = float(chi2.isf(false_alarm_rate, n_free))
        flag = ~(chi_square <= limit)
        return cls(unexplained, chi_square, flag, sigma, n_free, limit)


def _warn_low(X, sigma):
    """Warn of magnitudes whose noise is far from Gaussian."""
    low = np.sqrt(np.mean(X**2, axis=1)) < _LEAST_MAGNITUDE * sigma
    if low.any():
        warnings.warn(
            f"magnitudes are below {_LEAST_MAGNITUDE:g} sigma in {low.sum()} of {len(X)} "
            "voxels: their noise is not Gaussian, so their chi-square and flags are not "
            "reliable",
            LowSignalWarning,
            stacklevel=4,
        )


def warn_of_noise_level(model, X, y, apparent_range, snr_range):
    """Warn if some of the voxels look far noisier or quieter than the training data.

    apparent_range, snr_range : (low, high) of the signal-to-noise ratios of the training
    data, as they appear from estimates, and the true ones.
    """
    low, high = apparent_range
    rows = np.linspace(0, len(X) - 1, min(len(X), _N_JUDGED)).astype(int)
    snr = np.median(analyze_residuals(model.rows(rows), X[rows], y[rows]).snr)
    if low / _TOLERATED <= snr <= high * _TOLERATED:
        return
    kind = "noisier" if snr < low else "less noisy"
    warnings.warn(
        f"X is much {kind} than what the network was trained for, or the model does "
        f"not describe it: its apparent signal-to-noise ratio is {snr:.3g}, that of the "
        f"training data {low:.3g} to {high:.3g} (true ratios {snr_range[0]:.4g} to "
        f"{snr_range[1]:.4g}); train with an snr that covers the data",
        NoiseLevelWarning,
        stacklevel=4,
    )


def require_sigma(model, sigma):
    """Refuse standard deviations if the noise must be given and is not."""
    noise = noise_of(model)
    if noise.needs_sigma and sigma is None:
        raise ValueError(
            f"the noise of {model} is {noise.label.capitalize()}, which adds to the signal "
            "and cannot be estimated from what the model leaves unexplained; give sigma, "
            "measured in air for instance."
        )
