"""What `predict` says of estimates that are not what they seem, once a call."""

import numpy as np
from scipy.stats import chi2

from .._linear_algebra import norms
from .._measurements import Measurements
from .._threads import one_blas_thread
from .._validation import warn_of_no_noise
from .._warnings import warn
from ..exceptions import AtBoundWarning, LowSignalWarning, NoiseLevelWarning
from ..least_squares.box import search_box
from ..least_squares.driver import evenly_spaced
from ..noise import (
    GaussianNoise,
    RatioNoise,
    likelihood_of,
    noise_of,
    noise_of_data,
)
from ._dictionary import rows_of
from ._residuals import analyze_residuals, warn_of_noise_level
from ._training import trained_outputs

# Share of a parameter's range below which a standard deviation shows that the data
# determine it.
_DETERMINED = 0.25
# Magnitudes over the noise below which noise is far from Gaussian, the bias in standard
# deviations that follows and is told, and the number of voxels that are judged.
_LEAST_MAGNITUDE, _TOLERATED_BIAS, _MOST_JUDGED = 5.0, 0.5, 1024
# Degrees of freedom below which an estimated noise is rough, and what is told of it.
_FEW, _USUAL, ROUGH = 5, [0.05, 0.95], "standard deviations are rough"
# Number of voxels whose residual is compared with their sigma, the sum of their degrees of
# freedom at least, the factor of sigma that is told, and the share of a signal below which
# a residual is that of simulations without noise.
_MOST_COMPARED, _LEAST_FREE, _WRONG, _NO_NOISE = 64, 20, 4.0, 1e-5
# Share of fitted voxels at a bound that is told whatever the data determine, of so many.
_MOSTLY, _LEAST_MANY = 0.5, 20
# Number of parameters all over the bounds that show whether signals change their sign, the
# share of them that must, and the share of the largest sample that counts as a sign.
_N_SIGNALS, _CHANGE_SIGN, _SIGN = 64, 0.5, 0.05
# Number of voxels at a bound that are judged.
_MOST_AT_BOUND = 256
# Share of such voxels that is not told.
_TOLERATED = 0.05
# Share of the voxels of a network that are judged at a bound, so that it takes no longer
# than to estimate all, and their number at least and at most.
_JUDGED, _LEAST_JUDGED, _MOST_OF_NETWORK = 1 / 64, 8, 64


def warn_of_noise(model, *, stacklevel=4):
    """Warn of noise that is taken as Gaussian, because its likelihood is not known."""
    noise = None if model is None else noise_of(model)
    if (
        noise is None
        or likelihood_of(model) is not None
        or isinstance(noise, GaussianNoise | RatioNoise)
    ):
        return
    why = "has no log_likelihood"
    if noise.has_likelihood:
        why = "is fitted by its likelihood to real signals only"
    warn(
        f"noise {noise.label!r} {why}, and the signal of {model} is fitted as if its noise "
        "were Gaussian",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def warn_of_little_noise(model, data, wants_std, has_prior, stacklevel):
    """Warn if nothing shows the noise, or little, and what follows from that."""
    follows = ["standard deviations are NaN"] if wants_std else []
    if has_prior:
        follows.append("the prior only fills what the data leave open")
    if follows:
        warn_of_no_noise(model, data, ", and ".join(follows), stacklevel + 1)
    if wants_std:
        _warn_of_rough_noise(model, data, stacklevel + 1)


def _warn_of_rough_noise(model, data, stacklevel):
    """Warn if most voxels have few more real numbers than unknowns to show the noise."""
    n_free = model._free_numbers(data)
    few = n_free[(n_free > 0) & (n_free < _FEW)]
    if not 2 * len(few) > np.count_nonzero(n_free):
        return
    n = int(np.median(few))
    low, high = np.sqrt(chi2.ppf(_USUAL, n) / n)
    numbers = "1 real number that is" if n == 1 else f"{n} real numbers that are"
    warn(
        f"{ROUGH}: each voxel's noise is estimated from {numbers} "
        f"left beside the unknowns, so that 9 of 10 are {low:.2g} to {high:.2g} times what "
        "they should be; give sigma",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def warn_of_lost_signs(estimator, X, known, usable, *, stacklevel=3):
    """Warn of magnitudes that are given to a model whose signals change their sign."""
    if not (estimator._simulates_X and estimator.is_complex_ and usable.any()):
        return
    rows = np.flatnonzero(usable)
    some = X[rows[evenly_spaced(len(rows), _MOST_JUDGED)]]
    some = some[np.isfinite(some)]
    if some.imag.any() or (some.real < 0).any() or not estimator.model.n_parameters:
        return
    rows = np.resize(rows, _N_SIGNALS)
    model = estimator._model_at(rows_of(known, rows))
    theta = search_box(model, model.bounds).spread(_N_SIGNALS)[0]
    signal = model._simulate_voxels(theta)[0]
    size = _SIGN * np.abs(signal).max(axis=1, keepdims=True)
    is_real = (np.abs(signal.imag) <= size).all(axis=1)
    changes = (signal.real < -size).any(axis=1) & (signal.real > size).any(axis=1)
    if np.mean(is_real & changes) > _CHANGE_SIGN:
        warn(
            f"X is real and nowhere negative, as magnitudes are, but the signals of "
            f"{model._label} change their sign: give a model with signal='magnitude', or "
            "signs or phases of the data",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def warn_of_sigma(model, data, y, *, stacklevel=3):
    """Warn of a sigma that is far from what the model leaves in most voxels."""
    if data.sigma is None:
        return
    n_free = model._free_numbers(data)
    rows = np.flatnonzero((n_free > 0) & np.isfinite(y).all(axis=1))
    rows = rows[evenly_spaced(len(rows), _MOST_COMPARED)]
    n_free = n_free[rows]
    if n_free.sum() < _LEAST_FREE:
        return
    model, data = model.rows(rows), data[rows]
    left = analyze_residuals(model, data, y[rows], by_noise=True).unexplained
    ratio = np.median(left / data.sigma / np.sqrt(chi2.median(n_free)))
    if 1 / _WRONG <= ratio <= _WRONG:
        return
    if ratio < 1 and np.median(left / norms(data.weighted)) < _NO_NOISE:
        return
    sigma = np.median(data.sigma)
    warn(
        f"sigma does not fit the data: what the model leaves of them is {ratio:.3g} times "
        f"the noise of sigma = {sigma:.3g} in the median voxel, and standard deviations "
        f"are wrong; check sigma, which is {ratio * sigma:.3g} if the model describes the "
        "data, or else their signs, the acquisition and the model",
        NoiseLevelWarning,
        stacklevel=stacklevel + 1,
    )


def warn_of_predictions(network, model, X, y, *, stacklevel=3):
    """Warn of estimates of a fitted CRBRegressor at a bound, and of untrained noise."""
    if network.model is None:
        return
    if network._simulates_X:
        most = min(max(_LEAST_JUDGED, int(_JUDGED * len(X))), _MOST_OF_NETWORK)
        data = Measurements(X)
        at_bound = _at_bound(model, y) & trained_outputs(network)
        options = dict(is_search=False, most=most, stacklevel=stacklevel + 1)
        warn_at_bounds(model, data, y, at_bound, model.bounds, **options)
    if np.isfinite(network.apparent_snr_range_).all():
        ranges = network.apparent_snr_range_, network.snr_range_
        warn_of_noise_level(model, X, y, *ranges, stacklevel=stacklevel + 1)


def warn_at_bounds(
    model, data, y, at_bound, bounds, *, is_search=True, most=_MOST_AT_BOUND, stacklevel=3
):
    """Warn of estimates at a bound of parameters that the data determine.

    model, data, y : of the voxels, with their noise unless it follows from residuals.
    at_bound : (n_voxels, n_parameters), bounds : (n_parameters, 2).
    is_search : whether most voxels at a bound are told, whatever the data determine.
    most : number of voxels at a bound that are judged, for all.
    """
    rows = np.flatnonzero(at_bound.any(axis=1) & np.isfinite(y).all(axis=1))
    if not rows.size or (data.sigma is None and noise_of(model).needs_sigma):
        return
    n_there = len(rows)
    rows = rows[evenly_spaced(n_there, most)]
    share = n_there / len(rows)
    low, high = bounds.T
    std = _std(model.rows(rows), data[rows], y[rows])
    # Without a range, all that a limit above zero stops counts.
    endless = np.where(low > 0, np.inf, 0.0)
    limit = np.where(np.isinf(high), endless, _DETERMINED * (high - low))
    counted = at_bound[rows] & (std < limit)
    is_upper = y[rows] > (low + high) / 2
    found, mostly = [], []
    for k, parameter in enumerate(model.parameters):
        for end, side, rows_there in (
            (high[k], "upper", is_upper[:, k]),
            (low[k], "lower", ~is_upper[:, k]),
        ):
            if _is_last(end, parameter):
                continue
            n = int((counted[:, k] & rows_there).sum())
            n_any = int((at_bound[rows, k] & rows_there).sum())
            is_most = is_search and share * n_any > _MOSTLY * max(len(data), _LEAST_MANY)
            # A nominal B1, where its bounds may end, is what most voxels can have.
            is_most &= not (end == 1 and parameter.unit == "1")
            if n or is_most:
                told = n if n else n_any
                number = told if share == 1 else f"about {round(share * told)}"
                unit = "" if parameter.unit in ("1", "") else f" {parameter.unit}"
                (found if n else mostly).append(
                    f"{parameter.name} at its {side} bound {end:.4g}{unit} in {number} of "
                    f"{len(data)} voxels"
                )
    _warn_of_ends(found, mostly, stacklevel + 1)


def _is_last(end, parameter):
    """Whether nothing lies beyond a bound: zero, or the end of a fraction."""
    return end in parameter.domain and (end == 0 or parameter.unit == "1")


def _warn_of_ends(found, mostly, stacklevel):
    """Warn of bounds, of those that the data contradict first."""
    if found:
        warn(
            f"estimates end at a bound though the data determine them: {', '.join(found)}; "
            "the truth may lie beyond: give wider bounds, or check units and the model, or "
            "a mask is missing",
            AtBoundWarning,
            stacklevel=stacklevel + 1,
        )
    if mostly:
        warn(
            f"most estimates end at a bound: {', '.join(mostly)}; either the data do not "
            "determine them, or the images, their signs and units are not what the model "
            "takes, or most voxels are air and a mask is missing",
            AtBoundWarning,
            stacklevel=stacklevel + 1,
        )


def _at_bound(model, y):
    """Return which estimates equal a bound of the model."""
    return (y == model.bounds.T[:, None]).any(axis=0) & np.isinf(model.periods)


def warn_of_low_magnitudes(model, data, y, at_bound=None, *, stacklevel=3):
    """Warn of magnitudes so low that Gaussian noise, which is assumed, biases estimates.

    What a fit leaves of voxels at a bound does not show their noise.
    The first-order bias is that of a fit to the mean of magnitudes.
    """
    noise = noise_of_data(model)
    if noise is noise_of(model) or not len(data):
        return
    if at_bound is not None and data.sigma is None:
        y = np.where(at_bound.any(axis=1, keepdims=True), np.nan, y)
    rows = evenly_spaced(len(data), _MOST_JUDGED)
    # Negative numbers are no magnitudes, which is told elsewhere.
    rows = rows[np.isfinite(y[rows]).all(axis=1) & (data.X[rows] >= 0).all(axis=1)]
    if not rows.size:
        return
    model, y, some = model.rows(rows), y[rows], data[rows]
    signal = model._simulate_voxels(y)[0]
    some = _with_noise(model, some, signal)
    level = np.reshape(some.noise(), (len(some), -1))
    with np.errstate(all="ignore"):
        low = ((signal < _LEAST_MAGNITUDE * level) & np.isfinite(level)).any(axis=1)
        size = np.sqrt(np.mean((some.X / level) ** 2, axis=1))
    # Noise above the magnitudes themselves is a fit that failed.
    low &= (some.sigma > 0) & (size > 1)
    worst = np.zeros(len(low))
    if low.any():
        worst[low] = _bias(model.rows(np.flatnonzero(low)), some[low], y[low], noise)
    low &= (worst > _TOLERATED_BIAS) | (size < _LEAST_MAGNITUDE)
    if low.mean() > _TOLERATED:
        looked_at = " looked at" if len(rows) < len(data) else ""
        warn(
            f"magnitudes are below {_LEAST_MAGNITUDE:g} sigma in {low.sum()} of "
            f"{len(rows)} voxels{looked_at}: their noise is not Gaussian, as the model has "
            f"it, and estimates are biased, by {np.median(worst[low]):.2g} standard "
            "deviations in the median; give the model noise='rician', and sigma if it is "
            "known",
            LowSignalWarning,
            stacklevel=stacklevel + 1,
        )


def _std(model, data, y):
    """Return standard deviations at estimates, without a prior."""
    return analyze_residuals(model, data, y, prior_precision=0).std


def _with_noise(model, data, signal):
    """Return data with their noise; by default that of the residuals of estimates."""
    if data.sigma is not None:
        return data
    left, n_free = data.weigh(data.X - signal), model._free_numbers(data)
    level = norms(left) / np.sqrt(np.maximum(n_free, 1))
    return Measurements(data.X, np.where(n_free > 0, level, np.nan), data.weights)


@one_blas_thread
def _bias(model, data, y, noise):
    """Return the largest bias of a parameter, in standard deviations.

    The noise shifts the mean of magnitudes, and least squares follow, to first order.
    """
    level = np.broadcast_to(np.reshape(data.noise(), (len(data), -1)), data.X.shape)
    counts = np.isfinite(level)
    level = np.where(counts, level, 1.0)
    signal, jacobian = model._simulate_voxels(y, jacobian=True)
    shift = np.where(counts, (noise.mean(signal, level) - signal) / level, 0.0)
    columns = np.where(counts, 1 / level, 0.0)[:, :, None] * jacobian
    scale = np.linalg.norm(columns, axis=1)
    columns = columns / np.where(scale > 0, scale, 1.0)[:, None, :]
    finite = np.isfinite(columns).all(axis=(1, 2)) & np.isfinite(shift).all(axis=1)
    inverse = np.linalg.pinv(np.where(finite[:, None, None], columns, 0.0))
    bias = np.abs((inverse @ np.where(finite[:, None], shift, 0.0)[:, :, None])[:, :, 0])
    std = np.linalg.norm(inverse, axis=2)
    return (bias / np.where(std > 0, std, np.inf)).max(axis=1)
