"""Estimators inside another one: fitted to the same data, predicting the same columns."""

import inspect
from contextlib import contextmanager

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import get_routing_for_object

from .._warnings import ignored
from ..exceptions import AtBoundWarning, LowSignalWarning


def learns_from(estimator, X):
    """Whether X matters for a fit: with a model, only for an estimator inside."""
    inner = getattr(estimator, "estimator", None) or getattr(estimator, "initial", None)
    model = estimator.model
    simulates = model is not None and X.shape[1] == model.n_features
    return not simulates or hasattr(inner, "fit")


@contextmanager
def silent_reports(of_data=False):
    """Leave warnings of estimates, and of data, to the method that uses them."""
    of_values = (UserWarning,) if of_data else ()
    with ignored(AtBoundWarning, LowSignalWarning):
        with ignored(UserWarning, pattern="sigma does not fit"):
            with ignored(*of_values, pattern="X (has .*negative|is exactly 0|is real and)"):
                yield


def fit_clone(estimator, X, y, crb=None, known=None):
    """Fit a copy of an estimator, with bounds and known values if it takes them.

    A frozen one keeps what it has learned. Bounds and known values are refused if they
    cannot reach an estimator inside this one that takes them.
    """
    given = _taken(estimator, "fit", crb=crb, known=known)
    return clone(estimator).fit(X, y, **given)


def predict_columns(estimator, data, n_parameters, known=None):
    """Return predictions as columns, (n_voxels, n_parameters); refuse any other number.

    Known values go to an estimator that takes them, and so does the noise of measurements.
    Missing samples are NaN, or have infinite noise if the estimator can do without.
    """
    given, X = _taken(estimator, "predict", known=known), data.X
    takes_noise = data.sigma is not None and _takes(estimator, "predict", "sigma")
    does_without = takes_noise and _does_without(estimator)
    if takes_noise:
        given["sigma"] = data.noise() if does_without else data.sigma
    if data.weights is not None and not does_without:
        X = np.where(data.counts, X, np.nan)
    with silent_reports(of_data=True):
        values = np.asarray(estimator.predict(X, **given), dtype=float)
    if values.size != len(X) * n_parameters:
        raise ValueError(
            f"{type(estimator).__name__} predicts shape {values.shape}; a start needs "
            f"({len(X)}, {n_parameters})."
        )
    return values.reshape(len(X), n_parameters)


def _does_without(estimator):
    """Whether an estimator, or one inside it, has an option for missing samples."""
    names = estimator.get_params() if hasattr(estimator, "get_params") else ()
    return any(name.rpartition("__")[2] == "nan_policy" for name in names)


def _taken(estimator, method, **metadata):
    """Return the metadata that a method takes; refuse to drop any that a part takes."""
    given = {name: value for name, value in metadata.items() if value is not None}
    for name in list(given):
        if not _takes(estimator, method, name):
            _check_none_inside_takes(estimator, method, name)
            del given[name]
    return given


def _takes(estimator, method, name):
    """Whether a method takes metadata, or passes them on by metadata routing."""
    if _has_parameter(estimator, method, name):
        return True
    if not get_config()["enable_metadata_routing"]:
        return False
    if not hasattr(estimator, "get_metadata_routing"):
        return False
    return bool(get_routing_for_object(estimator).consumes(method, [name]))


def _has_parameter(estimator, method, name):
    method = getattr(estimator, method, None)
    return callable(method) and name in inspect.signature(method).parameters


def _check_none_inside_takes(estimator, method, name):
    is_frozen = isinstance(estimator, FrozenEstimator) and method == "fit"
    if is_frozen or not hasattr(estimator, "get_params"):
        return
    for path, part in estimator.get_params(deep=True).items():
        if _has_parameter(part, method, name):
            raise ValueError(
                f"{name} does not reach {type(part).__name__} ({path}) inside "
                f"{type(estimator).__name__}; switch metadata routing on and call its "
                f"set_{method}_request({name}=True), or leave {name} out."
            )


def refuse_lost_model(estimator, name):
    """Refuse to learn a linear model if the estimator inside has a signal model."""
    model = getattr(estimator, "model", None)
    if model is not None:
        raise ValueError(
            f"{name} has no model and would learn a linear one, but its estimator has "
            f"{model}; give the model to both, {name}(estimator, model)."
        )
