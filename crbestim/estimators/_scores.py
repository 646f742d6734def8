"""What a score compares: errors of the estimates that there are, and bounds."""

import warnings

import numpy as np

from .._validation import check_crb
from ..bounds import cramer_rao_bound


def bound_of(estimator, y, crb, known=None, noise_std=None):
    """Return bounds for targets: given, from the model, or the targets' variance."""
    if crb is not None:
        return check_crb(crb, y.shape)
    if estimator.model is not None:
        model = estimator._model_at(known)
        noise_std = estimator.noise_std if noise_std is None else noise_std
        return cramer_rao_bound(model, y, noise_std=noise_std)
    if estimator.fitted_with_crb_:
        raise ValueError(
            f"{type(estimator).__name__} was fitted with crb but is scored without, and "
            "has no model to compute it: pass crb to score; inside a cross-validation, "
            "request it by metadata routing (set_score_request(crb=True))."
        )
    warnings.warn(
        f"{type(estimator).__name__} has neither a model nor crb: the variance of the "
        "training targets stands in for the Cramér-Rao bound",
        UserWarning,
        stacklevel=3,
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
        warnings.warn(f"{what}: score leaves them out", UserWarning, stacklevel=3)
    return found
