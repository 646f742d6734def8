r"""Fisher information and Cramér-Rao bound.

White Gaussian noise of standard deviation :math:`\sigma` in the real and in the
imaginary channel gives, for the derivatives :math:`J` of the signal,

.. math:: F = \mathrm{Re}(J^H J) / \sigma^2, \qquad
          \mathrm{CRB} = \mathrm{diag}(F^{-1})

(Zhang et al., MRM 2022, doi 10.1002/mrm.29206). A complex signal is known up to a
complex factor M0, two real nuisance parameters with derivatives s and 1j s, while the
other columns are multiplied by M0. Where the noise differs between the features of a
signal, each row of J is divided by its own :math:`\sigma`. This file is the one place that
scales by :math:`\sigma` and M0.

With other noise, such as the Rician noise of magnitudes, samples carry a different amount
of information; see :mod:`crbestim.noise`.
"""

import numpy as np

from ._arrays import as_numbers, as_reals, as_theta
from ._computed_images import noise_scale
from ._linear_algebra import inverse_squares, plain_inverses, pseudo_inverses, root_of
from ._options import check_number
from ._threads import one_blas_thread
from ._validation import check_model
from ._warnings import warn
from .exceptions import LowSignalWarning, SingularInformationWarning
from .models._checks import refuse_not_finite
from .noise import (
    check_magnitudes,
    check_rows,
    first_wrong,
    get_noise,
    noise_of,
    noise_of_data,
)

__all__ = [
    "covariance_from_information",
    "covariance_from_jacobian",
    "cramer_rao_bound",
    "crb_from_jacobian",
    "fisher_information",
    "implied_snr",
    "signal_and_bound",
]

_BLOCK = 512
# Largest number of samples at which bounds of magnitudes are compared.
_MOST_COMPARED = 4096
# Factor by which the bound of Gaussian noise may be too low without a warning.
_TOLERATED = 1.1


@one_blas_thread
def fisher_information(jacobian, noise_std=1.0, *, signal=None, noise="gaussian"):
    """Fisher information of signals in white Gaussian noise, or in Rician or other noise.

    Parameters
    ----------
    jacobian : array-like of shape (n_samples, n_features, n_parameters)
        Derivatives of the signal, real or complex.
    noise_std : float or array-like, default=1.0
        Standard deviation of the noise per (real or imaginary) channel, in units of the
        signal: a number; (n_samples,), one for each signal; or one for each feature,
        (n_samples, n_features) or (1, n_features), infinite for features that are missing.
    signal : array-like of shape (n_samples, n_features), default=None
        Magnitudes without noise, on which the information of Rician noise depends.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        The noise: Gaussian, or Rician for the magnitude of a complex signal with Gaussian
        noise (Karlsen et al., MRM 1999, doi
        10.1002/(SICI)1522-2594(199903)41:3<614::AID-MRM26>3.0.CO;2-1).

    Returns
    -------
    ndarray of shape (n_samples, n_parameters, n_parameters)
        Information matrices.

    Raises
    ------
    ValueError
        If `noise_std` has another shape or is not positive and finite (infinite is allowed
        for a feature), or with Rician noise the signal is not a magnitude.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.bounds import fisher_information
    >>> fisher_information([[[1.0], [1.0]]], noise_std=0.1).round(6)
    array([[[200.]]])

    The second feature is missing:

    >>> fisher_information([[[1.0], [1.0]]], noise_std=[[0.1, np.inf]]).round(6)
    array([[[100.]]])
    """
    jacobian, noise = _check_jacobian(jacobian), get_noise(noise)
    sigma = _positive(noise_std, "noise_std", len(jacobian), jacobian.shape[1])
    columns, level = _weighted_columns(jacobian, signal, sigma, noise)
    return np.swapaxes(columns, 1, 2) @ columns / level[:, None, None] ** 2


def _weighted_columns(jacobian, signal, sigma, noise):
    """Return real columns C and noise levels: C^T C / level^2 is the information."""
    if noise.depends_on_signal:
        signal = _check_signal(signal, jacobian, noise)
    level = _levels(sigma)
    each = level[:, None]
    if sigma.ndim == 2:
        each = np.where(np.isfinite(sigma), sigma, each)
    with np.errstate(invalid="ignore"):
        weight = noise.information(signal, each)
    root = None if weight is None else np.sqrt(np.broadcast_to(weight, jacobian.shape[:2]))
    if sigma.ndim == 2:
        # Infinite noise has no weight.
        share = level[:, None] / sigma
        root = share if root is None else share * root
    if root is not None:
        jacobian = root[:, :, None] * jacobian
    # Re(J^H J) as a product of reals: half the work, and exactly symmetric.
    return np.concatenate([jacobian.real, jacobian.imag], axis=1), level


def _levels(sigma):
    """Return the noise of each row; if features differ, the least, or 1 if none counts."""
    if sigma.ndim < 2:
        return sigma
    least = sigma.min(axis=1, initial=np.inf)
    return np.where(np.isfinite(least), least, 1.0)


def crb_from_jacobian(
    jacobian,
    signal=None,
    *,
    noise_std=1.0,
    m0=1.0,
    prior_precision=None,
    noise="gaussian",
    accuracy=1e-15,
):
    """Cramér-Rao bound from derivatives.

    Parameters
    ----------
    jacobian : array-like of shape (n_samples, n_features, n_parameters)
        Derivatives of the signal per unit of M0.
    signal : array-like of shape (n_samples, n_features), default=None
        Signal per unit of M0. If given, a complex factor M0 is unknown, too; not so for
        Rician noise, which depends on the signal and has no such factor.
    noise_std : float or array-like, default=1.0
        Standard deviation of the noise per (real or imaginary) channel: a number,
        (n_samples,), (n_samples, n_features) or (1, n_features), as in
        :func:`fisher_information`. Where too few features have finite noise, bounds are
        infinite.
    m0 : complex or array-like of shape (n_samples,), default=1.0
        The factor M0; its phase has no effect.
    prior_precision : array-like of shape (n_parameters, n_parameters), default=None
        Inverse covariance of a normal prior, which adds to the information (van Trees,
        Detection, Estimation, and Modulation Theory, 1968, chapter 2.4).
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        The noise; see :func:`fisher_information`.
    accuracy : float, default=1e-15
        Error of a column of the Jacobian, over its norm. A parameter counts as undetermined
        if errors a thousand times as large could make it so.

    Returns
    -------
    ndarray of shape (n_samples, n_parameters)
        Least variance of an unbiased estimator, or with a prior the variance of the
        linearized posterior; infinite, without a warning, for parameters that the signal
        does not determine, and NaN where derivatives or signal are not finite.

    Raises
    ------
    ValueError
        If `noise_std` or `m0` has another shape or is not positive and finite (infinite
        noise is allowed for a feature), or with Rician noise the signal is not a magnitude.

    Examples
    --------
    >>> from crbestim.bounds import crb_from_jacobian
    >>> crb_from_jacobian([[[1.0], [1.0]]], noise_std=0.1).round(6)
    array([[0.005]])
    """
    covariance = covariance_from_jacobian(
        jacobian,
        signal,
        noise_std=noise_std,
        m0=m0,
        prior_precision=prior_precision,
        noise=noise,
        accuracy=accuracy,
    )
    return np.einsum("nii->ni", covariance).copy()


@one_blas_thread
def covariance_from_jacobian(
    jacobian,
    signal=None,
    *,
    noise_std=1.0,
    m0=1.0,
    prior_precision=None,
    noise="gaussian",
    accuracy=1e-15,
):
    """Inverse of the Fisher information, from derivatives.

    The parameters are those of :func:`crb_from_jacobian`, whose bounds are the diagonals.
    Where the information is close to singular, the inverse comes from a triangular factor
    of the Jacobian itself, because the information has the square of its condition number.

    Returns
    -------
    ndarray of shape (n_samples, n_parameters, n_parameters)
        Covariances. A parameter that is not determined has an infinite variance and NaN
        covariances. Samples whose derivatives or signal are not finite are NaN.

    Examples
    --------
    >>> from crbestim.bounds import covariance_from_jacobian
    >>> covariance_from_jacobian([[[2.0, 0.0], [0.0, 0.0]]])
    array([[[0.25,  nan],
            [ nan,   inf]]])
    """
    jacobian = _check_jacobian(jacobian)
    n_samples, n_features, n_parameters = jacobian.shape
    sigma = _positive(noise_std, "noise_std", n_samples, n_features)
    scale = _positive(np.abs(as_numbers(m0, "m0")), "abs(m0)", n_samples)
    accuracy = check_number(accuracy, "accuracy", "a share, 0 or more", least=0)
    noise = get_noise(noise)
    if signal is not None:
        signal = _check_shape(as_numbers(signal, "signal"), jacobian)
        if not noise.depends_on_signal:
            nuisance = signal[:, :, None]
            jacobian = np.concatenate([jacobian, nuisance, 1j * nuisance], axis=2)
        signal = scale[:, None] * signal
    columns, level = _weighted_columns(jacobian, signal, sigma, noise)
    finite = _are_finite(columns)
    if not finite.all():
        columns[~finite] = 0
    relative = level / scale
    if prior_precision is not None:
        rows = relative[:, None, None] * root_of(prior_precision, n_parameters)
        rows = np.pad(rows, ((0, 0), (0, 0), (0, columns.shape[2] - n_parameters)))
        columns = np.concatenate([columns, rows], axis=1)
    covariance = inverse_squares(columns, accuracy)[:, :n_parameters, :n_parameters]
    covariance[~finite] = np.nan
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return covariance * relative[:, None, None] ** 2


def _are_finite(columns):
    """Return which samples are finite; sums tell, unless they overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(columns.sum(axis=(1, 2)))
    finite[~finite] = np.isfinite(columns[~finite]).all(axis=(1, 2))
    return finite


def covariance_of_estimates(
    model, signal, jacobian, *, noise_std, theta=None, m0=1.0, prior_precision=None
):
    """Return covariances of estimates of voxels, whatever their noise and signal are.

    Zero noise and zero M0 count as tiny. Covariances are NaN where the noise of a voxel is
    not finite, or NaN in a feature; those of signals or derivatives that are not finite are
    those of no signal. The noise of computed images depends on theta.
    """
    noise, tiny = noise_of(model), np.finfo(float).tiny ** 0.25
    finite = np.isfinite(signal).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))
    signal = np.where(finite[:, None], signal, 0)
    scale = np.asarray(noise_scale(model, theta))
    noise_std = noise_std * (scale if np.ndim(noise_std) < 2 else scale[..., None])
    has_noise = np.isfinite(noise_std)
    sigma = np.where(has_noise, np.clip(noise_std, tiny, 1 / tiny), 1.0)
    if sigma.ndim == 2:
        sigma = np.where(np.isposinf(noise_std), np.inf, sigma)
        has_noise = ~np.isnan(noise_std).any(axis=1)
    covariance = covariance_from_jacobian(
        np.where(finite[:, None, None], jacobian, 0),
        signal if model.is_complex or noise.depends_on_signal else None,
        noise_std=sigma,
        m0=np.clip(np.nan_to_num(np.abs(m0), nan=1.0), tiny, 1 / tiny),
        prior_precision=prior_precision,
        noise=noise,
        accuracy=model.jacobian_accuracy,
    )
    return np.where(np.reshape(has_noise, (-1, 1, 1)), covariance, np.nan)


@one_blas_thread
def covariance_from_information(information):
    """Inverse of information matrices, even where they are singular.

    Parameters
    ----------
    information : ndarray of shape (n_samples, n_parameters, n_parameters)
        Symmetric matrices without negative eigenvalues.

    Returns
    -------
    ndarray of shape (n_samples, n_parameters, n_parameters)
        Covariances. Parameters that take part in a null direction have an infinite
        variance and NaN covariances; those of the others are from the pseudo-inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.bounds import covariance_from_information
    >>> covariance_from_information(np.array([[[4.0, 0.0], [0.0, 0.0]]]))
    array([[[0.25,  nan],
            [ nan,   inf]]])
    """
    information = as_reals(information, "information")
    shape = information.shape
    if information.ndim != 3 or shape[1] != shape[2]:
        raise ValueError(
            f"information has shape {shape}; give (n_samples, n_parameters, n_parameters)."
        )
    diagonal = np.einsum("nii->ni", information)
    if (diagonal < 0).any() or not np.allclose(
        information, np.swapaxes(information, 1, 2), equal_nan=True
    ):
        raise ValueError(
            "information has matrices that are not symmetric, or negative on the diagonal; "
            "give those of fisher_information."
        )
    inverse, doubtful = plain_inverses(information)
    norm = np.sqrt(np.einsum("nii->ni", information[doubtful]))
    safe = np.where(norm > 0, norm, 1.0)
    outer = safe[:, :, None] * safe[:, None, :]
    inverse[doubtful] = pseudo_inverses(information[doubtful] / outer) / outer
    return inverse


def cramer_rao_bound(model, theta, noise_std=1.0, *, m0=1.0, noise=None):
    """Cramér-Rao bound of a model's parameters.

    Parameters
    ----------
    model : SignalModel
        The model. If its signal is complex, M0 is unknown, too.
    theta : array-like of shape (n_samples, n_parameters)
        Parameters, in SI units.
    noise_std : float or array-like, default=1.0
        Standard deviation of the noise per (real or imaginary) channel, 1/SNR, of signals
        with M0 = 1 or, if the model has an amplitude, an amplitude of 1. At other
        amplitudes the noise is as many times larger: the bound of the amplitude grows with
        its square, and the others do not depend on it. It is a number; (n_samples,), one
        for each signal; or one for each feature, (n_samples, n_features) or
        (1, n_features), infinite for features that are missing.
    m0 : complex or array-like of shape (n_samples,), default=1.0
        The factor M0; its phase has no effect.
    noise : {"gaussian", "rician"} or Noise, default=None
        The noise, by default ``model.noise``. Magnitudes have
        Rician noise; its Gaussian approximation holds for high signals only.

    Returns
    -------
    ndarray of shape (n_samples, n_parameters)
        Least variance of an unbiased estimator, in squared units of the parameters.

    Raises
    ------
    ValueError
        If theta is outside the model's domain, `noise_std` or `m0` has another shape or is
        not positive and finite (infinite noise is allowed for a feature), or the noise is
        Rician and the signal is not a magnitude.
    MissingJacobianError
        If the model has no derivatives.

    Warns
    -----
    SingularInformationWarning
        If the data do not determine some parameters, whose bound is then infinite.
    LowSignalWarning
        If magnitudes are so low that the bound of Gaussian noise does not hold for them.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.bounds import cramer_rao_bound
    >>> from crbestim.models import SignalModel
    >>> class Decay(SignalModel):
    ...     parameter_names = ("R2",)
    ...     bounds = np.array([[1.0, 100.0]])
    ...     def signal(self, theta):
    ...         return np.exp(-theta * np.array([0.0, 0.05])) + 0j
    >>> np.sqrt(cramer_rao_bound(Decay(), [[20.0]], noise_std=0.01)).round(3)
    array([[0.579]])

    The second echo has twice the noise:

    >>> np.sqrt(cramer_rao_bound(Decay(), [[20.0]], noise_std=[[0.01, 0.02]])).round(3)
    array([[1.106]])
    """
    _, crb = signal_and_bound(model, theta, noise_std, m0=m0, noise=noise)
    theta, m0 = as_theta(theta, model.parameter_names), as_numbers(m0, "m0")
    warn_of_bound(model, theta, crb, noise_std, m0=m0, noise=noise)
    return crb


def signal_and_bound(model, theta, noise_std=1.0, *, m0=1.0, noise=None):
    """Signal for M0 = 1 and Cramér-Rao bound, in blocks that limit the memory.

    Parameters
    ----------
    model : SignalModel
        The model. If its signal is complex, M0 is unknown, too.
    theta : array-like of shape (n_samples, n_parameters)
        Parameters, in SI units.
    noise_std : float or array-like, default=1.0
        Standard deviation of the noise: a number, (n_samples,), (n_samples, n_features) or
        (1, n_features), as in :func:`cramer_rao_bound`.
    m0 : complex or array-like of shape (n_samples,), default=1.0
        The factor M0 of a complex signal; its phase has no effect.
    noise : {"gaussian", "rician"} or Noise, default=None
        The noise, by default ``model.noise``.

    Returns
    -------
    signal : ndarray of shape (n_samples, n_features)
        Signal.
    crb : ndarray of shape (n_samples, n_parameters)
        Bound; infinite, without a warning, where the information is singular.
    """
    check_model(model)
    model.require_jacobian("The Cramér-Rao bound")
    theta, noise = model.check_theta(theta), noise_of(model, noise)
    sigma = noise_of_signals(model, theta, noise_std)
    scale = _positive(np.abs(as_numbers(m0, "m0")), "abs(m0)", len(theta))
    signals, bounds = [], []
    for first in range(0, max(len(theta), 1), _BLOCK):
        part = slice(first, first + _BLOCK)
        signal, jacobian = model.rows(part)._checked_signal(theta[part], jacobian=True)
        refuse_not_finite(model, theta, signal, jacobian, first)
        needed = signal if model.is_complex or noise.depends_on_signal else None
        options = dict(noise_std=sigma[part], m0=scale[part], noise=noise)
        options["accuracy"] = model.jacobian_accuracy
        signals.append(signal)
        bounds.append(crb_from_jacobian(jacobian, needed, **options))
    return np.concatenate(signals), np.concatenate(bounds)


def noise_of_signals(model, theta, noise_std):
    """Noise of signals whose amplitudes differ from 1.

    Parameters
    ----------
    model : SignalModel
        The model.
    theta : ndarray of shape (n_samples, n_parameters)
        Parameters that have been checked.
    noise_std : float or array-like
        Standard deviation of the noise per channel of signals with an amplitude of 1: a
        number, (n_samples,), (n_samples, n_features) or (1, n_features), as in
        :func:`cramer_rao_bound`.

    Returns
    -------
    ndarray of shape (n_samples,) or (n_samples, n_features)
        `noise_std` times the amplitudes of a real model; `noise_std` if it has none; of a
        computed image the noise of those behind it, in units of their norm. There are
        columns if `noise_std` is given for each feature.

    Raises
    ------
    ValueError
        If `noise_std` has another shape or is not positive and finite (infinite is allowed
        for a feature), or an amplitude is zero.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.bounds import noise_of_signals
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.05], signal="magnitude")
    >>> noise_of_signals(model, np.array([[0.08, 1500.0]]), 0.01)
    array([15.])
    """
    sigma = _positive(noise_std, "noise_std", len(theta), model.n_features)
    amplitude = model._amplitudes(theta)
    if not (amplitude > 0).all():
        row = int(np.argmin(amplitude > 0))
        raise ValueError(
            f"the amplitude is {amplitude[row]:g} in row {row} of theta, where noise_std, "
            "the noise at an amplitude of 1, says nothing; leave such rows out."
        )
    amplitude = amplitude * noise_scale(model, theta)
    return sigma * (amplitude if sigma.ndim == 1 else amplitude[:, None])


def implied_snr(reference, crb, default):
    """Signal-to-noise ratio at which given bounds agree best with those at noise 1.

    Parameters
    ----------
    reference, crb : ndarray of shape (n_samples, n_parameters)
        Bounds at noise of standard deviation 1, and bounds at an unknown noise level.
    default : float
        Ratio where no parameter has both bounds finite.

    Returns
    -------
    ndarray of shape (n_samples,)
        Square root of the median ratio of the bounds over the parameters.
    """
    reference, crb = as_reals(reference, "reference"), as_reals(crb, "crb")
    if reference.ndim != 2 or reference.shape != crb.shape:
        raise ValueError(
            f"reference has shape {reference.shape} and crb {crb.shape}; give two "
            "arrays of shape (n_samples, n_parameters)."
        )
    for name, bounds in (("reference", reference), ("crb", crb)):
        if (bounds <= 0).any():
            wrong = first_wrong(bounds, ~(bounds <= 0))
            raise ValueError(f"{name} = {wrong}; bounds are variances, positive.")
    default = check_number(default, "default", "a ratio above 0", above=0)
    snr = np.full(len(reference), default)
    finite = np.isfinite(reference) & np.isfinite(crb)
    shown = finite.any(axis=1)
    ratio = np.where(finite, reference, np.nan) / np.where(finite, crb, 1.0)
    snr[shown] = np.sqrt(np.nanmedian(ratio[shown], axis=1))
    return snr


def warn_of_bound(model, theta, crb, noise_std, *, m0=1.0, noise=None):
    """Warn of bounds that are infinite, or far too low for the noise of magnitudes."""
    warn_infinite(crb, model.parameter_names)
    noise = noise_of(model, noise)
    of_data, noise_std = noise_of_data(model, noise), as_reals(noise_std, "noise_std")
    largest = _levels(noise_std).max(initial=0.0)
    if model._amplitude_column is not None and largest > 1:
        warn(
            f"noise_std = {largest:.4g} is larger than the signal: it is the "
            "noise at an amplitude of 1; divide the noise of data by their amplitude",
            LowSignalWarning,
            stacklevel=3,
        )
    elif of_data is not noise:
        every = slice(None, None, -(-len(crb) // _MOST_COMPARED) or 1)
        options = {"noise_std": noise_std, "m0": np.abs(m0)}
        options = {k: _every_row(v, len(crb))[every] for k, v in options.items()}
        model, some = model.rows(every), theta[every]
        true = signal_and_bound(model, some, noise=of_data, **options)[1]
        _warn_low(crb[every], true)


def warn_infinite(crb, parameter_names):
    """Warn of parameters that the data do not determine, with an infinite bound."""
    counts = np.isinf(crb).sum(axis=0)
    if counts.any():
        named = ", ".join(
            f"{name} ({count} of {len(crb)} samples)"
            for name, count in zip(parameter_names, counts, strict=True)
            if count
        )
        warn(
            f"the signal does not determine {named}: the bound is infinite there",
            SingularInformationWarning,
            stacklevel=4,
        )


def _warn_low(gaussian, true):
    """Warn where the bound of Gaussian noise is too low for the noise of magnitudes."""
    finite = np.isfinite(gaussian)
    factor = np.where(finite, true, 1.0) / np.where(finite, gaussian, 1.0)
    worst = factor.max(axis=1, initial=1.0)
    low = worst > _TOLERATED
    if low.any():
        warn(
            f"the signal of magnitudes is too close to the noise in {low.sum()} of "
            f"{len(low)} samples: the bound of Gaussian noise is too low there, by a "
            f"factor of {np.median(worst[low]):.3g} in the median; give "
            "noise='rician'",
            LowSignalWarning,
            stacklevel=4,
        )


def _check_jacobian(jacobian):
    """Return derivatives in double precision, (n_samples, n_features, n_parameters)."""
    jacobian = as_numbers(jacobian, "jacobian")
    if jacobian.ndim != 3 or not jacobian.shape[1]:
        raise ValueError(
            f"jacobian has shape {jacobian.shape}; give (n_samples, n_features, "
            "n_parameters) of at least one feature, for one sample jacobian[None]."
        )
    return jacobian


def _check_shape(signal, jacobian):
    """Return the signal, if it is that of the Jacobian."""
    if signal.shape != jacobian.shape[:2]:
        raise ValueError(
            f"signal has shape {signal.shape}; the jacobian asks for {jacobian.shape[:2]}."
        )
    return signal


def _check_signal(signal, jacobian, noise):
    """Return the signal on which the information of a noise model depends."""
    if signal is None:
        raise ValueError(f"noise={noise.label!r} needs the signal; give signal, too.")
    signal = _check_shape(as_numbers(signal, "signal"), jacobian)
    check_magnitudes(signal if jacobian.dtype.kind != "c" else jacobian, noise)
    return signal


def _positive(values, name, n_samples, n_features=None):
    """Return positive numbers, given for all rows or for each, as an array of rows."""
    values = check_rows(values, name, n_samples, n_features)
    may_be_missing = values.ndim == 2
    is_fine = (values > 0) & (np.isfinite(values) | may_be_missing)
    if not is_fine.all():
        allowed = ", or inf for a missing feature" if may_be_missing else " and finite"
        raise ValueError(
            f"{name} = {first_wrong(values, is_fine)}; it must be positive{allowed}."
        )
    return _every_row(values, n_samples)


def _every_row(values, n_samples):
    """Return a number, an array of rows, or one row for all, as an array of rows."""
    return np.broadcast_to(values, (n_samples, *np.shape(values)[1:]))
