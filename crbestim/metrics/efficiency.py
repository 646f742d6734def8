"""The CRB loss of estimates, and its inverse, the efficiency."""

import numpy as np
from sklearn.metrics import make_scorer

from .._arrays import is_frame
from .._options import check_choice
from .._validation import check_crb, check_sample_weight, check_targets
from ..parameters import wrapped_error


def _ratios(y_true, y_pred, crb, periods):
    """Return squared errors over the bound, NaN where the bound is infinite."""
    names = tuple(y_true.columns) if is_frame(y_true) else None
    y_true = check_targets(y_true, "y_true")
    y_pred = check_targets(y_pred, "y_pred", names)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true has shape {y_true.shape} and y_pred {y_pred.shape}; they must agree."
        )
    crb = check_crb(crb, y_true.shape, names)
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
        Cramér-Rao bounds; infinite entries are left out of the average.
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
        If shapes disagree, values are not finite, a bound is not positive, a weight is
        negative, all weights are zero, or data frames have other columns than `y_true`.

    Examples
    --------
    >>> from crbestim.metrics import crb_loss
    >>> crb_loss([[1.0], [2.0]], [[1.5], [2.0]], [[0.25], [0.25]])
    0.5
    """
    check_choice("multioutput", multioutput, ("uniform_average", "raw_values"))
    ratios = _ratios(y_true, y_pred, crb, periods)
    weight = check_sample_weight(sample_weight, len(ratios))
    counts = ~np.isnan(ratios)
    weights = np.where(counts, weight[:, None], 0.0)
    sums = (weights * np.where(counts, ratios, 0.0)).sum(axis=0)
    if multioutput == "raw_values":
        return divide(sums, weights.sum(axis=0))
    return float(divide(sums.sum(), weights.sum()))


def divide(numerator, denominator):
    """Return the quotient of arrays, NaN where the denominator is not positive."""
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
        Cramér-Rao bounds; infinite entries are left out of the average.
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
is the efficiency, computes ``crb`` if it is not given, and respects periods."""
