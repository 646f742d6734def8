"""What a score compares: errors of the estimates that there are, and bounds."""

import numpy as np

from .._measurements import Measurements
from .._validation import (
    check_crb,
    check_features,
    check_sample_weight,
    check_sigma,
    check_targets,
)
from .._warnings import warn
from ..bounds import cramer_rao_bound
from ..metrics import efficiency_score
from ..noise import check_snr
from ._dictionary import rows_of
from ._residuals import relative_noise
from ._training import trained_outputs

_NOISE_STD = 0.01


def assumed_noise(estimator, implied_snr=None):
    """Return ``noise_std``, or that of ``snr``, of a range of implied ratios, or 0.01."""
    if estimator.noise_std is not None:
        return estimator.noise_std
    snr = getattr(estimator, "snr", None)
    if snr is not None:
        return 1 / _middle(snr)
    if implied_snr is None or np.isnan(implied_snr).any():
        return _NOISE_STD
    # Bounds of the same noise imply ratios that differ by less than the third digit.
    return 1 / float(f"{_middle(implied_snr):.3g}")


def _middle(snr):
    """Return the ratio at the root mean square of the noise of a uniform range."""
    low, high = check_snr(snr)
    return low if low == high else np.sqrt(low * high)


def bound_of(estimator, y, crb, known=None, noise_std=None, stacklevel=3):
    """Return bounds for targets: given, from the model, or the targets' variance."""
    if crb is not None:
        return check_crb(crb, y.shape)
    if estimator.model is not None:
        model = estimator._model_at(known)
        if noise_std is None:
            noise_std = assumed_noise(estimator, getattr(estimator, "snr_range_", None))
        return cramer_rao_bound(model, y, noise_std=noise_std)
    if estimator.fitted_with_crb_:
        raise ValueError(
            f"{type(estimator).__name__} was fitted with crb but is scored without, and "
            "has no model to compute it: pass crb to score; inside a cross-validation, "
            "request it by metadata routing (set_score_request(crb=True))."
        )
    warn(
        f"{type(estimator).__name__} has neither a model nor crb: the variance of the "
        "training targets stands in for the Cramér-Rao bound",
        UserWarning,
        stacklevel=stacklevel,
    )
    return np.broadcast_to(estimator.target_variance_, y.shape)


def found_estimates(predictions):
    """Return which voxels have an estimate; warn if some have none."""
    found = np.isfinite(predictions).all(axis=1)
    if not found.all():
        what = f"{np.sum(~found)} of {len(found)} voxels have no estimate, the first is "
        what += f"row {np.argmin(found)}"
        if not found.any():
            raise ValueError(f"{what}; none is left to score.")
        warn(f"{what}: score leaves them out", UserWarning, stacklevel=4)
    return found


def efficiency_of(estimator, X, predictions, y, sample_weight, crb, known, sigma):
    """Return the efficiency of the predictions that there are, which `score` is."""
    names = estimator._names_of_targets(y)
    y = check_targets(y, names=names)
    predictions = predictions.reshape(len(predictions), -1)
    if y.shape != predictions.shape:
        raise ValueError(f"y has shape {y.shape}; X requires {predictions.shape}.")
    if crb is not None:
        crb = check_crb(crb, y.shape, names)
    sample_weight = check_sample_weight(sample_weight, len(y))
    known = estimator._check_known(known, len(y), reset=False)
    found = found_estimates(predictions)
    y, crb, known = (rows_of(values, found) for values in (y, crb, known))
    noise_std = None
    if sigma is not None and crb is None:
        estimator._check_has_model("score with sigma")
        X = check_features(estimator, X, reset=False)
        data = Measurements.of(X[found], check_sigma(sigma, X, found)[found])
        noise_std = relative_noise(estimator._model_at(known), data, y)
    bound = bound_of(estimator, y, crb, known, noise_std, stacklevel=4)
    return efficiency_score(
        y,
        predictions[found],
        np.where(trained_outputs(estimator), bound, np.inf),
        sample_weight=sample_weight[found],
        periods=estimator._periods,
    )
