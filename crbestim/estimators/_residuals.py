"""What a model leaves unexplained of measured signals, at given estimates.

An error of the estimate moves the model's signal along the span of its derivatives, to
first order. What is left of a signal outside that span, and outside the span of M0, is
noise, or something that the model does not describe. If it is noise alone, its squared
norm over sigma^2 follows a chi-square distribution, with one degree of freedom for each
dimension outside.
"""

from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy.stats import chi2

from .._linear_algebra import norms
from .._measurements import Measurements
from .._threads import one_blas_thread
from .._warnings import warn
from ..bounds import covariance_of_estimates
from ..exceptions import LowSignalWarning, NoiseLevelWarning
from ..models.base import m0_by_projection
from ..noise import likelihood_of, noise_of

_BLOCK = 512
# Root mean square of magnitudes, over the noise, below which noise is far from Gaussian.
_LEAST_MAGNITUDE = 5.0
# Rounds in which one noise level of all voxels settles, if deviations depend on it.
_MOST_ROUNDS = 6
# Number of voxels whose median signal-to-noise ratio is compared with the apparent range of
# the training data, and the factor by which it may lie outside.
_N_JUDGED, _TOLERATED = 64, 1.5
# Once they are known not to be too noisy, only every eighth of them gets derivatives, which
# take time, to see if they are not noisy enough; of fewer voxels, none does.
_SPARSE = 8


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


def analyze_residuals(model, data, theta, *, prior_precision=None, by_noise=False):
    """Compare signals with a model's.

    Parameters
    ----------
    model : SignalModel
        The model.
    data : Measurements
        Signals, and their noise for the standard deviations; by default estimated voxel by
        voxel, or unknown if a signal has no more real numbers than unknowns.
    theta : ndarray of shape (n_voxels, n_parameters)
        Estimates, in SI units.
    prior_precision : ndarray of shape (n_parameters, n_parameters) or 0, default=None
        Inverse covariance of a normal prior, 0 if there is none; by default no standard
        deviations.
    by_noise : bool, default=False
        Whether noise that is not Gaussian, of known level, counts as such in what is
        unexplained: normal variables of the same probability then stand in for residuals.

    Returns
    -------
    ResidualAnalysis
        Factor, unexplained part and standard deviations.

    Raises
    ------
    ValueError
        If standard deviations are requested under Rician noise of unknown level.
    MissingJacobianError
        If the model has no derivatives.
    """
    model.require_jacobian("The residual or standard deviation of an estimate")
    if prior_precision is not None:
        require_sigma(model, data.sigma)
    n_real, n_free = model._real_numbers(data)[0], model._free_numbers(data)
    (data, size), n = _at_size_one(model, data), len(data)
    m0, unexplained, snr = (np.empty(n, dtype) for dtype in (data.X.dtype, float, float))
    std = np.full((n, model.n_parameters), np.nan)
    for first in range(0, n, _BLOCK):
        part = slice(first, first + _BLOCK)
        some, voxels = data[part], model.rows(part)
        signal, jacobian = _simulate(voxels, theta[part])
        m0[part], norm = _factor(voxels, some, theta[part], signal)
        noise = likelihood_of(model) if by_noise else None
        unexplained[part] = _outside(model, some, signal, jacobian, m0[part], noise)
        noise = unexplained[part] / np.sqrt(np.maximum(n_free[part], 1))
        snr[part] = _snr(some.weighted, m0[part], norm, noise, n_real[part])
        if prior_precision is not None:
            level = np.where(n_free[part] > 0, noise, np.nan)
            level = level if data.sigma is None else some.sigma
            covariance = covariance_of_estimates(
                voxels,
                signal,
                jacobian,
                theta=theta[part],
                noise_std=some.noise(level),
                m0=m0[part] if model.is_complex else 1.0,
                prior_precision=prior_precision if np.ndim(prior_precision) else None,
            )
            std[part] = np.sqrt(np.einsum("nii->ni", covariance))
    return ResidualAnalysis(m0 * size, unexplained * size, snr, std, n_free)


def _at_size_one(model, data):
    """Return data with complex signals of size 1, whose squares fit, and their sizes."""
    size = np.ones(len(data))
    if model.is_complex:
        size = np.maximum(np.abs(data.X).max(axis=1, initial=0), np.finfo(float).tiny)
    sigma = None if data.sigma is None else data.sigma / size
    return Measurements(data.X / size[:, None], sigma, data.weights), size


def _simulate(model, theta):
    """Signals and derivatives; zero where the model is not finite."""
    signal, jacobian = model._simulate_voxels(theta, jacobian=True)
    finite = np.isfinite(signal).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))
    signal = np.where(finite[:, None], signal, 0)
    return signal, np.where(finite[:, None, None], jacobian, 0)


def _factor(model, data, theta, signal):
    """Factors, 0 where there is no signal, and norms of the signals for a factor of 1."""
    if not model.has_factor:
        return model._amplitudes(theta), np.full(len(data), np.nan)
    signal = data.weigh(signal)
    if model.is_complex:
        norm = np.linalg.norm(signal, axis=1)
        return np.where(norm > 0, m0_by_projection(data.weighted, signal), 0), norm
    amplitude = theta[:, model._amplitude_column]
    size = norms(signal) / np.where(amplitude > 0, amplitude, 1.0)
    return amplitude, np.where(amplitude > 0, size, np.inf)


def relative_noise(model, data, theta):
    """Return the noise of data in units of their factors at given parameters."""
    signal = model._simulate_voxels(theta)[0]
    return data.noise(data.sigma / np.abs(_factor(model, data, theta, signal)[0]))


def _deviations(noise, data, signal, jacobian):
    """Return normal variables in place of residuals, and weighted derivatives."""
    counts, ratio = data.counts, data.divisors
    level = data.sigma[:, None] / ratio
    with np.errstate(all="ignore"):
        deviation = noise.deviation(data.X, signal, level)
        weight = noise.information(signal, level)
        root = np.sqrt(np.broadcast_to(1.0 if weight is None else weight, signal.shape))
        deviation = np.where(counts & np.isfinite(deviation), deviation, 0.0)
    columns = np.where(counts, ratio * root, 0.0)
    return data.sigma[:, None] * deviation, 0.0 * signal, columns[:, :, None] * jacobian


def _snr(X, m0, norm, noise, n_real):
    """Signal-to-noise ratios, corrected for the energy that noise adds to a signal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = (np.linalg.norm(X, axis=1) / noise) ** 2 - n_real
        ratio = np.sqrt(np.maximum(energy, 0)) / norm
        return np.where(np.isnan(norm), np.abs(m0) / noise, ratio)


@one_blas_thread
def _outside(model, data, signal, jacobian, m0, noise=None):
    """Norm of weighted signals outside the span of the model's and its derivatives."""
    X = data.X
    if noise is not None and data.sigma is not None:
        X, signal, jacobian = _deviations(noise, data, signal, jacobian)
    elif data.weights is not None:
        X, signal = data.weighted, data.weights * signal
        jacobian = data.weights[:, :, None] * jacobian
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
        Whether the chi-square exceeds `limit`, or there is no signal or no degree of
        freedom.
    sigma : ndarray of shape (n_voxels,)
        Noise per channel.
    n_free : int or ndarray of shape (n_voxels,)
        Degrees of freedom, one number or, if samples are missing, one a voxel.
    limit : float or ndarray of shape (n_voxels,)
        Chi-square above which a voxel is flagged, from the false-alarm rate; like n_free.
    """

    unexplained: np.ndarray
    chi_square: np.ndarray
    flag: np.ndarray
    sigma: np.ndarray
    n_free: int | np.ndarray
    limit: float | np.ndarray

    @classmethod
    def of_voxels(cls, model, data, usable, theta, false_alarm_rate):
        """Compare voxels with a model's signals at estimates.

        Parameters
        ----------
        model : SignalModel
            The model.
        data : Measurements
            Signals of the voxels that have an estimate; without their noise, one level for
            all is estimated from the median.
        usable : ndarray of shape (n_voxels,), of bool
            Which of all voxels these are.
        theta : ndarray of shape (n_usable, n_parameters)
            Their estimates, in SI units.
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
        if not (isinstance(false_alarm_rate, Real) and 0 < false_alarm_rate < 1):
            raise ValueError(
                f"false_alarm_rate = {false_alarm_rate!r}; give a share between 0 and 1."
            )
        n_free = model._free_numbers(data)
        if data.weights is None:
            # Imaginary parts that are zero in all voxels were not measured.
            n_free[:] = n_free.max(initial=0)
        if len(data) and not n_free.any():
            raise ValueError(
                f"the signals of {model} have no more real numbers than it has unknowns: "
                "it can explain any signal, and there is no residual."
            )
        level = np.nan
        found = analyze_residuals(model, data, theta, by_noise=True)
        if data.sigma is None:
            data, found = _at_one_level(model, data, theta, n_free, found)
            level = data.sigma[0] if len(data) else np.nan
        if model.is_magnitude and likelihood_of(model) is None:
            _warn_low(data)
        with np.errstate(divide="ignore", invalid="ignore"):
            chi_square = np.where(n_free > 0, (found.unexplained / data.sigma) ** 2, np.nan)
            unexplained = found.unexplained / np.linalg.norm(data.weighted, axis=1)
        limit = chi2.isf(false_alarm_rate, np.maximum(n_free, 1))
        one = int(n_free.max(initial=0)), float(limit.max(initial=0.0))
        if data.weights is not None:
            one = _in_rows(n_free, usable, 0), _in_rows(limit, usable)
        return cls(
            _in_rows(unexplained, usable),
            _in_rows(chi_square, usable),
            _in_rows(~(chi_square <= limit), usable, True),
            _in_rows(data.sigma, usable, level),
            *one,
        )


def _in_rows(values, usable, other=np.nan):
    """Return values of usable voxels among all, and another value in the others."""
    out = np.full(len(usable), other, dtype=values.dtype)
    out[usable] = values
    return out


def _at_one_level(model, data, theta, n_free, found):
    """Return data with the noise that makes the median chi-square right, and residuals."""
    n_rounds = 1 if likelihood_of(model) is None else _MOST_ROUNDS
    for _ in range(n_rounds):
        shows = n_free > 0
        ratio = found.unexplained[shows] / np.sqrt(chi2.median(n_free[shows]))
        sigma = np.median(ratio) if shows.any() else np.nan
        data = Measurements(data.X, np.full(len(data), sigma), data.weights)
        if n_rounds > 1:
            found = analyze_residuals(model, data, theta, by_noise=True)
    return data, found


def _warn_low(data):
    """Warn of magnitudes whose noise is far from Gaussian."""
    low = np.sqrt(np.mean(data.X**2, axis=1)) < _LEAST_MAGNITUDE * data.sigma
    if low.any():
        warn(
            f"magnitudes are below {_LEAST_MAGNITUDE:g} sigma in {low.sum()} of "
            f"{len(data)} voxels: their noise is not Gaussian, so their chi-square and "
            "flags are not reliable",
            LowSignalWarning,
            stacklevel=4,
        )


def warn_of_noise_level(model, X, y, apparent_range, snr_range, *, stacklevel=3):
    """Warn if some of the voxels look far noisier or quieter than the training data.

    apparent_range, snr_range : (low, high) of the signal-to-noise ratios of the training
    data, as they appear from estimates, and the true ones.
    """
    low, high = apparent_range
    least, most = low / _TOLERATED, high * _TOLERATED

    def median_of(analyze, rows):
        return np.median(analyze(model.rows(rows), Measurements(X[rows]), y[rows]))

    def snr_of(*voxels):
        return analyze_residuals(*voxels).snr

    rows = np.linspace(0, len(X) - 1, min(len(X), _N_JUDGED)).astype(int)
    is_fine = least <= median_of(_least_snr, rows) <= most
    if is_fine and len(X) >= _N_JUDGED:
        is_fine = median_of(snr_of, rows[::_SPARSE]) <= most
    if is_fine:
        return
    snr = median_of(snr_of, rows)
    if least <= snr <= most:
        return
    kind = "noisier" if snr < low else "less noisy"
    warn(
        f"X is much {kind} than what the network was trained for, or the model does "
        f"not describe it: its apparent signal-to-noise ratio is {snr:.3g}, that of the "
        f"training data {low:.3g} to {high:.3g} (true ratios {snr_range[0]:.4g} to "
        f"{snr_range[1]:.4g}); train with an snr that covers the data",
        NoiseLevelWarning,
        stacklevel=stacklevel + 1,
    )


def _least_snr(model, data, theta):
    """Return signal-to-noise ratios if all that is left counts as noise.

    It takes no derivatives. The ratio is not higher, for they explain some of it.
    """
    signal = model._simulate_voxels(theta)[0]
    signal = np.where(np.isfinite(signal).all(axis=1)[:, None], signal, 0)
    data = _at_size_one(model, data)[0]
    m0, norm = _factor(model, data, theta, signal)
    left = data.X - (m0[:, None] * signal if model.is_complex else signal)
    noise = norms(left) / np.sqrt(np.maximum(model._free_numbers(data), 1))
    return _snr(data.X, m0, norm, noise, model._real_numbers(data)[0])


def require_sigma(model, sigma):
    """Refuse standard deviations if the noise must be given and is not."""
    noise = noise_of(model)
    if noise.needs_sigma and sigma is None:
        raise ValueError(
            f"the noise of {model} is {noise.label.capitalize()}, which adds to the signal "
            "and cannot be estimated from what the model leaves unexplained; give sigma, "
            "measured in air for instance."
        )
