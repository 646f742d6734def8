"""Standard deviations of a network's estimates, calibrated at simulated voxels."""

import numpy as np

from .._deadline import affordable
from .._measurements import Measurements
from ..bounds import noise_of_signals
from ..noise import add_noise, noise_of, noise_of_data
from ..parameters import wrapped_error
from ._base import rows_of
from ._residuals import analyze_residuals

# Share of training voxels whose apparent signal-to-noise ratio lies beyond each end.
_SHARE = 0.05
# Numbers of standard deviations, and the shares of normal errors within them.
_WIDTHS, _COVERAGES = (1.0, 1.96), (0.6827, 0.95)
# Least standard deviation of a parameter in the prior, as a share of its scale.
_LEAST_SPREAD = 1e-6
# Voxels that calibrate, however little time is left.
_LEAST_PROBES = 64


def prior_precision(y, scale, column=None):
    """Return the inverse covariance of targets, finite even for constant ones.

    It is zero in the column of an amplitude, of which nothing is known beforehand.
    """
    free = np.array([k != column for k in range(y.shape[1])])
    precision, scale = np.zeros((len(free), len(free))), scale[free]
    if free.any():
        covariance = np.atleast_2d(np.cov((y[:, free] / scale).T, bias=True))
        covariance += _LEAST_SPREAD**2 * np.eye(len(covariance))
        inverse = np.linalg.inv(covariance) / scale / scale[:, None]
        precision[np.ix_(free, free)] = inverse
    return precision


def calibrate(model, y, estimate, snr_range, precision, rng):
    """Compare estimates of simulated voxels with the truth, over the range of noise.

    Standard deviations get a factor such that the shares of errors within 1 and within
    1.96 of them have the same mean as those of normal errors, 68 and 95 %.

    Parameters
    ----------
    model : SignalModel or None
        The model, at the known values of the voxels.
    y : ndarray of shape (n_voxels, n_outputs)
        True parameters.
    estimate : callable
        Maps signals to estimates.
    snr_range : tuple of float
        Lowest and highest signal-to-noise ratio of training; NaN if no noise was drawn.
    precision : ndarray of shape (n_outputs, n_outputs)
        Inverse covariance of the training targets.
    rng : RandomState
        Source of the noise.

    Returns
    -------
    apparent_range : tuple of float
        Apparent signal-to-noise ratios of voxels simulated at both ends of the range; NaN
        if no noise was drawn, or signals have no more numbers than unknowns.
    factors : dict of ndarray
        Signal-to-noise ratios ``snr``, and for each one ``factor`` per parameter; 1 where
        there is no calibration.
    """
    low, high = snr_range
    shows_noise = model is not None and model.n_reals > model.n_unknowns
    if not (shows_noise and model.has_jacobian and np.isfinite(high)):
        return no_calibration(y.shape[1])
    levels = np.unique([low, np.sqrt(low * high), high])
    rng = np.random.default_rng(rng.randint(2**31 - 1))
    clean, noise = model.signal(y), noise_of_data(model)
    ends, factors = [], []
    for level in levels:
        sigma = noise_of_signals(model, y, 1 / level)
        X = add_noise(clean, 1 / sigma, rng, noise=noise)
        estimates = estimate(X)
        is_given = noise_of(model).needs_sigma
        found = analyze_residuals(
            model,
            Measurements(X, sigma if is_given else None),
            estimates,
            prior_precision=precision,
        )
        ratio = np.abs(wrapped_error(y, estimates, model.periods)) / found.std
        both = np.concatenate([ratio / width for width in _WIDTHS])
        ends.append(np.quantile(found.snr, [_SHARE, 1 - _SHARE]))
        factors.append(np.quantile(both, np.mean(_COVERAGES), axis=0))
    apparent_range = float(ends[0][0]), float(ends[-1][1])
    return apparent_range, {"snr": levels, "factor": np.array(factors)}


def calibrate_in_time(network, y, known, deadline):
    """Calibrate a fitted CRBRegressor with as many of some voxels as there is time for."""

    def learn(n, rng):
        given = rows_of(known, slice(n))
        return calibrate(
            network._model_at(given),
            y[:n],
            lambda X: network._estimate(X, given, limits=False),
            network.snr_range_,
            network.prior_precision_,
            rng,
        )

    def trial(n):
        learn(n, np.random.RandomState(0))

    n = affordable(trial, len(y), deadline.left, _LEAST_PROBES)
    return learn(n, network._random_state)


def calibrate_whatever_comes(network, y, known, deadline, progress):
    """Calibrate a fitted CRBRegressor, in a moment if its fit was or is interrupted.

    Another interrupt leaves it without a calibration: the weights are worth keeping.
    """
    for _ in range(2):
        n = _LEAST_PROBES if progress.interrupted else len(y)
        try:
            return calibrate_in_time(network, y[:n], rows_of(known, slice(n)), deadline)
        except KeyboardInterrupt:
            progress.interrupted = True
    return no_calibration(y.shape[1])


def no_calibration(n_outputs):
    """Return what `calibrate` returns where calibration is not possible."""
    return (np.nan, np.nan), {"snr": np.ones(1), "factor": np.ones((1, n_outputs))}


def interpolated_factors(factors, snr):
    """Return the factors of standard deviations, (n_voxels, n_outputs), at given ratios."""
    levels, columns = np.log(factors["snr"]), factors["factor"].T
    snr = np.log(np.clip(np.nan_to_num(snr), 1e-300, 1e300))
    return np.column_stack([np.interp(snr, levels, column) for column in columns])
