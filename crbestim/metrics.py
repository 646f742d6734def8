"""Measures of an estimator in units of the Cramér-Rao bound.

The CRB loss is the mean of (estimate - truth)^2 / CRB over samples and parameters (Zhang
et al., MRM 2022, doi 10.1002/mrm.29206): 1 for an ideal unbiased estimator. Its inverse,
the efficiency, is what ``score`` reports. Entries whose bound is infinite leave every
average; errors of a periodic parameter are taken modulo its period.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import make_scorer

from ._validation import check_crb, check_targets
from .bounds import cramer_rao_bound
from .datasets.noise import add_noise

__all__ = [
    "BiasVariance",
    "bias_variance",
    "crb_loss",
    "efficiency_score",
    "efficiency_scorer",
    "wrapped_error",
]

_CHI2_MEDIAN = 0.45493642311957283


def wrapped_error(y_true, y_pred, periods=None):
    """Error of an estimate, modulo the period of periodic parameters.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples, n_outputs)
        Truth and estimate.
    periods : array-like of shape (n_outputs,), default=None
        Periods; infinite for parameters that have none.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        ``y_pred - y_true``, between minus and plus half a period.

    Examples
    --------
    >>> from crbestim.metrics import wrapped_error
    >>> wrapped_error([[0.9]], [[-0.9]], periods=[2.0]).round(6)
    array([[0.2]])
    """
    error = np.asarray(y_pred, dtype=float) - np.asarray(y_true, dtype=float)
    if periods is None:
        return error
    periods = np.asarray(periods, dtype=float)
    finite = np.isfinite(periods)
    period = np.where(finite, periods, 1.0)
    return np.where(finite, error - period * np.round(error / period), error)


def _ratios(y_true, y_pred, crb, periods):
    """Squared errors over the bound; NaN where the bound is infinite."""
    y_true, y_pred = check_targets(y_true, "y_true"), check_targets(y_pred, "y_pred")
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true has shape {y_true.shape} and y_pred {y_pred.shape}; they must agree."
        )
    crb = check_crb(crb, y_true.shape)
    ratios = wrapped_error(y_true, y_pred, periods) ** 2 / crb
    return np.where(np.isfinite(crb), ratios, np.nan)


def crb_loss(
    y_true,
    y_pred,
    crb,
    *,
    sample_weight=None,
    multioutput="uniform_average",
    periods=None,
):
    """Mean squared error in units of the Cramér-Rao bound.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Truth and estimate.
    crb : array-like of the same shape
        Cramér-Rao bounds; entries that are infinite leave the average.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.
    multioutput : {"uniform_average", "raw_values"}, default="uniform_average"
        Average over samples and outputs, or over samples alone.
    periods : array-like of shape (n_outputs,), default=None
        Periods of the outputs; infinite for those that have none.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        The loss; NaN where no bound is finite.

    Raises
    ------
    ValueError
        If shapes disagree, values are not finite, or a bound is not positive.

    Examples
    --------
    >>> from crbestim.metrics import crb_loss
    >>> crb_loss([[1.0], [2.0]], [[1.5], [2.0]], [[0.25], [0.25]])
    0.5
    """
    ratios = _ratios(y_true, y_pred, crb, periods)
    weight = np.ones(len(ratios)) if sample_weight is None else np.asarray(sample_weight)
    if weight.shape != (len(ratios),):
        raise ValueError(f"sample_weight has shape {weight.shape}; give ({len(ratios)},).")
    known = ~np.isnan(ratios)
    weights = np.where(known, weight[:, None], 0.0)
    sums = (weights * np.where(known, ratios, 0.0)).sum(axis=0)
    if multioutput == "raw_values":
        return _divide(sums, weights.sum(axis=0))
    if multioutput != "uniform_average":
        raise ValueError(
            f"multioutput={multioutput!r}; choose 'uniform_average' or 'raw_values'."
        )
    return float(_divide(sums.sum(), weights.sum()))


def _divide(numerator, denominator):
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, numerator / safe, np.nan)


def efficiency_score(
    y_true,
    y_pred,
    crb,
    *,
    sample_weight=None,
    multioutput="uniform_average",
    periods=None,
):
    """Efficiency of an estimator: the inverse of the CRB loss.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Truth and estimate.
    crb : array-like of the same shape
        Cramér-Rao bounds; entries that are infinite leave the average.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.
    multioutput : {"uniform_average", "raw_values"}, default="uniform_average"
        Average over samples and outputs, or over samples alone.
    periods : array-like of shape (n_outputs,), default=None
        Periods of the outputs; infinite for those that have none.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        1 for an ideal unbiased estimator; infinite for estimates without error.

    Examples
    --------
    >>> from crbestim.metrics import efficiency_score
    >>> efficiency_score([[1.0], [2.0]], [[1.5], [2.0]], [[0.25], [0.25]])
    2.0
    """
    loss = np.asarray(
        crb_loss(
            y_true,
            y_pred,
            crb,
            sample_weight=sample_weight,
            multioutput=multioutput,
            periods=periods,
        )
    )
    score = np.where(loss == 0, np.inf, 1 / np.where(loss == 0, 1.0, loss))
    return score if multioutput == "raw_values" else float(score)


efficiency_scorer = make_scorer(efficiency_score)
"""Scorer for other people's regressors, with metadata routing and
``set_score_request(crb=True)``. The estimators of this library need none: their ``score``
is the efficiency, computes ``crb`` where it is not given, and knows of periods."""


@dataclass(frozen=True)
class BiasVariance:
    """Bias and variance of an estimator at given parameters.

    Parameters
    ----------
    bias, variance, crb : ndarray of shape (n_samples, n_outputs)
        Mean error and variance over the noise, and the bound, at each parameter set.
    squared_bias : ndarray of shape (n_samples, n_outputs)
        Unbiased estimate of bias^2: the squared mean error less variance over the
        number of realizations. It can be negative by chance.
    errors : ndarray of shape (n_realizations, n_samples, n_outputs)
        All errors.
    """

    bias: np.ndarray
    variance: np.ndarray
    crb: np.ndarray
    squared_bias: np.ndarray
    errors: np.ndarray

    def _mean(self, values):
        finite = np.isfinite(self.crb)
        ratio = np.where(finite, values / np.where(finite, self.crb, 1.0), 0.0)
        return _divide(ratio.sum(axis=0), finite.sum(axis=0))

    @property
    def bias_ratio(self):
        """Mean of bias^2/CRB over the samples, of shape (n_outputs,)."""
        return self._mean(self.squared_bias)

    @property
    def variance_ratio(self):
        """Mean of variance/CRB over the samples, of shape (n_outputs,)."""
        return self._mean(self.variance)

    @property
    def loss(self):
        """CRB loss, of shape (n_outputs,): the sum of the two ratios."""
        return self._mean((self.errors**2).mean(axis=0))

    @property
    def median_ratio(self):
        """Median of error^2/CRB over that of a chi-square variable; ideal 1."""
        ratios = np.where(np.isfinite(self.crb), self.errors**2 / self.crb, np.nan)
        return np.nanmedian(ratios, axis=(0, 1)) / _CHI2_MEDIAN

    @property
    def outlier_share(self):
        """Share of errors beyond five standard deviations of the bound."""
        outliers = (np.abs(self.errors) > 5 * np.sqrt(self.crb)).mean(axis=0)
        finite = np.isfinite(self.crb)
        return _divide((outliers * finite).sum(axis=0), finite.sum(axis=0))


def bias_variance(estimator, model, theta, snr, n_realizations=16, *, random_state=None):
    """Bias and variance of a fitted estimator over repeated noise.

    Parameters
    ----------
    estimator : object
        Fitted estimator with ``predict``.
    model : SignalModel
        Model that simulates the signals.
    theta : array-like of shape (n_samples, n_parameters)
        Parameters, in SI units.
    snr : float
        Signal-to-noise ratio abs(M0)/sigma.
    n_realizations : int, default=16
        Noise realizations per parameter set, at least two.
    random_state : int, RandomState instance or None, default=None
        Seed of noise and phase.

    Returns
    -------
    BiasVariance
        Bias, variance and bound, and their means in units of the bound.

    Raises
    ------
    ValueError
        If there are fewer than two realizations, or voxels without an estimate (NaN).

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.metrics import bias_variance
    >>> from crbestim.models import SignalModel
    >>> class Line(SignalModel):
    ...     parameter_names = ("slope",)
    ...     bounds = np.array([[-10.0, 10.0]])
    ...     def signal(self, theta):
    ...         return theta * np.array([1.0, 2.0])
    >>> class LeastSquares:
    ...     def predict(self, X):
    ...         return X @ np.array([[1.0], [2.0]]) / 5
    >>> report = bias_variance(LeastSquares(), Line(), [[1.0], [2.0]], snr=10,
    ...                        n_realizations=2000, random_state=0)
    >>> bool(abs(report.loss - 1) < 0.05)
    True
    """
    if n_realizations < 2:
        raise ValueError(f"n_realizations = {n_realizations}; a variance needs at least 2.")
    theta = model.check_theta(theta)
    signal = model.evaluate(theta)
    seeds = np.random.SeedSequence(_entropy(random_state)).spawn(n_realizations)
    predictions = []
    for seed in seeds:
        noisy = add_noise(signal, snr, np.random.default_rng(seed))
        prediction = np.asarray(estimator.predict(noisy)).reshape(theta.shape)
        predictions.append(check_targets(prediction, "the estimator's prediction"))
    errors = wrapped_error(theta, np.stack(predictions), model.periods)
    bias, variance = errors.mean(axis=0), errors.var(axis=0, ddof=1)
    return BiasVariance(
        bias=bias,
        variance=variance,
        crb=cramer_rao_bound(model, theta, noise_std=1 / snr),
        squared_bias=bias**2 - variance / n_realizations,
        errors=errors,
    )


def _entropy(random_state):
    if random_state is None or isinstance(random_state, int | np.integer):
        return random_state
    return int(random_state.randint(2**31 - 1))
