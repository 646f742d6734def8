"""Checks of what users pass in; the one file that touches scikit-learn's private parts.

scikit-learn refuses complex data. Here complex X is native: its real and imaginary parts
are checked separately, while scikit-learn's own helpers keep names and numbers of features.
Complex targets are refused in scikit-learn's words.
"""

from numbers import Integral, Real

import numpy as np
from sklearn import get_config
from sklearn.base import _fit_context
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    _check_n_features,
    _num_samples,
    check_array,
)

from ._arrays import (
    COMPLEX_TARGET,
    as_array,
    as_reals,
    in_order,
)
from ._warnings import warn

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:
        """Stand-in for scikit-learn's mixin, without callbacks."""

        def _init_callback_context(self, **_):
            return _NoCallbacks()


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "JOBS",
    "StrOptions",
    "check_count",
    "check_crb",
    "check_features",
    "check_known",
    "check_model",
    "check_parameters",
    "check_sample_weight",
    "check_sigma",
    "check_targets",
    "feature_names_in",
    "fit_context",
    "counting",
    "has_signal",
    "have_samples",
    "n_samples_of",
    "refuse_covariances",
    "refuse_kind",
    "some_rows",
    "warn_of_negative",
    "warn_of_no_noise",
    "warn_of_unknown",
]

# Shares of a magnitude that may be negative, of voxels that may be more so, and of voxels
# whose known values may be outside their domains.
_NEGATIVE, _TOLERATED, _UNKNOWN = 0.1, 0.01, 0.05

JOBS = [
    None,
    Interval(Integral, 1, None, closed="left"),
    Interval(Integral, None, -1, closed="right"),
]
"""What scikit-learn's checks allow as `n_jobs`."""

feature_names_in = _check_feature_names_in
fit_context = _fit_context
n_samples_of = _num_samples
some_rows = _safe_indexing


class _NoCallbacks:
    """Context without callbacks, which never asks to stop."""

    def subcontext(self, **_):
        return self

    def call_on_fit_task_begin(self, **_):
        return self

    def call_on_fit_task_end(self, **_):
        return False


def check_features(estimator, X, *, reset, keep_single=False):
    """Return X, which may hold NaN, as a float64 or complex128 array of contiguous rows.

    With `reset`, as in ``fit``, the features are set, otherwise checked. With
    `keep_single`, single precision is kept and X is not copied.
    """
    kinds = [np.float64, np.float32] if keep_single else np.float64
    loose = dict(dtype=kinds, order="C", ensure_all_finite=False)
    _check_feature_names(estimator, X, reset=reset)
    array = as_array(X, "X")
    if array.dtype.kind != "c":
        array = check_array(array, estimator=estimator, input_name="X", **loose)
        _check_n_features(estimator, array, reset=reset)
        return array
    for part in (array.real, array.imag):
        check_array(part, estimator=estimator, input_name="X", **loose)
    _check_n_features(estimator, array, reset=reset)
    if keep_single and array.dtype == np.complex64:
        return np.ascontiguousarray(array)
    return np.ascontiguousarray(array, dtype=np.complex128)


def check_targets(y, name="y", names=None):
    """Return targets, which must be finite, as a float64 array (n_samples, n_outputs).

    The columns of a data frame are put in the order of `names`, if these are given.
    """
    y = as_array(in_order(y, names, name), name)
    if y.dtype.kind == "c":
        raise ValueError(f"{COMPLEX_TARGET}: {name} is complex; parameters are real.")
    y = check_array(y, ensure_2d=False, dtype=np.float64, order="C", input_name=name)
    if y.ndim > 2:
        raise ValueError(f"{name} has shape {y.shape}; give at most two dimensions.")
    return y.reshape(len(y), -1)


def check_model(model, *, optional=False):
    """Refuse what is no signal model; None is allowed if it is `optional`."""
    if model is None and optional:
        return
    if isinstance(model, type):
        raise TypeError(
            f"model is the class {model.__name__}; give an instance, {model.__name__}(...)."
        )
    if not callable(getattr(model, "check_theta", None)):
        raise TypeError(
            f"model is {model!r}; give a SignalModel{' or None' * optional}: one of "
            "crbestim.models, or FunctionModel(f, ...) of a function of yours."
        )


def check_parameters(estimator):
    """Check the parameters of an estimator anew: they may have changed since ``fit``."""
    constrained = hasattr(estimator, "_parameter_constraints")
    if constrained and not get_config()["skip_parameter_validation"]:
        estimator._validate_params()


def check_crb(crb, shape, names=None):
    """Return bounds, positive or infinite, as a float64 array of (n_samples, n_outputs).

    The columns of a data frame are put in the order of `names`, if these are given.
    """
    crb = as_reals(in_order(crb, names, "crb"), "crb")
    if crb.ndim == 1 and shape[1] == 1:
        crb = crb[:, None]
    if crb.shape != tuple(shape):
        raise ValueError(f"crb has shape {crb.shape}; y asks for {tuple(shape)}.")
    wrong = ~(crb > 0)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"crb[{row}, {column}] = {crb[row, column]:g}; bounds are variances, positive "
            "(or infinite where the data do not determine a parameter)."
        )
    return crb


def check_known(known, names=None):
    """Return known values, which may be NaN, as a float64 array (n_samples, n_known).

    A vector is one column. Columns of a data frame are selected by `names`; without names
    any number of columns is allowed.
    """
    known = as_reals(in_order(known, names, "known"), "known")
    if known.ndim == 1 and (names is None or len(names) == 1):
        known = known[:, None]
    n_known = known.shape[-1] if names is None and known.ndim else len(names or ())
    if known.ndim != 2 or known.shape[1] != n_known or not n_known:
        columns = "" if names is None else f", a column for each of {', '.join(names)}"
        raise ValueError(
            f"known has shape {known.shape}; give (n_samples, {n_known or 'n_known'})"
            f"{columns}."
        )
    return known


def check_count(value, name, least=1):
    """Return a whole number that is not less than `least` as an int."""
    is_whole = isinstance(value, Real) and not isinstance(value, bool) and value % 1 == 0
    if not (is_whole and value >= least):
        raise ValueError(f"{name} = {value!r}; give a whole number, {least} or more.")
    return int(value)


def check_sample_weight(sample_weight, n_samples):
    """Return weights, none negative and not all zero; ones if none are given."""
    if sample_weight is None:
        return np.ones(n_samples)
    weight = as_reals(sample_weight, "sample_weight")
    if weight.shape != (n_samples,):
        raise ValueError(f"sample_weight has shape {weight.shape}; give ({n_samples},).")
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"sample_weight[{row}] = {weight[row]:g}; weights are finite, and zero or more."
        )
    if not weight.any():
        raise ValueError("sample_weight is zero in all rows; give some a positive weight.")
    return weight


def check_sigma(sigma, X, usable=None):
    """Return noise levels, one a voxel or one a sample, or None if none are given.

    Parameters
    ----------
    sigma : float, array-like or None
        Noise per channel: a number, (n_voxels,), (n_voxels, n_features) or (1, n_features);
        the last two may be infinite where a sample does not count.
    X : ndarray of shape (n_voxels, n_features)
        Signals; the noise of samples that are not finite does not matter.
    usable : ndarray of bool, shape (n_voxels,), default=None
        Voxels whose noise matters; by default all.

    Returns
    -------
    ndarray of shape (n_voxels,) or (n_voxels, n_features), or None
        The same numbers.

    Raises
    ------
    ValueError
        If they are not positive, not finite for a whole voxel, or of another shape.
    """
    if sigma is None:
        return None
    values, (n, n_features) = as_reals(sigma, "sigma", missing=np.inf), X.shape
    if values.shape not in ((), (n,), (n, n_features), (1, n_features)):
        raise ValueError(
            f"sigma has shape {values.shape}; give a number, one a voxel, ({n},), or one a "
            f"sample, ({n}, {n_features}) or (1, {n_features})."
        )
    if values.ndim < 2:
        values = np.broadcast_to(values, (n,))
        wrong = ~(np.isfinite(values) & (values > 0))
    else:
        values = np.broadcast_to(values, X.shape)
        wrong = ~(values > 0) & np.isfinite(X)
    if usable is not None:
        wrong[~usable] = False
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = "row {}" if len(place) == 1 else "row {}, column {}"
        rule = "and finite" if len(place) == 1 else "(infinite: the sample does not count)"
        raise ValueError(
            f"sigma = {values[place]:g} in {where.format(*place)}; noise is positive "
            f"{rule}."
        )
    return values


def refuse_kind(X, is_complex, what):
    """Refuse real X where it should be complex, and the other way round."""
    if (X.dtype.kind == "c") == is_complex:
        return
    kinds = ("real", "complex") if is_complex else ("complex", "real")
    advice = ""
    if is_complex:
        advice = (
            "; give X + 0j if it is signed, or for magnitudes a model of them, with "
            "signal='magnitude' where there is such an option"
        )
    raise ValueError(f"X is {kinds[0]}, but {what.format(kinds[1])}{advice}.")


def refuse_covariances(model):
    """Refuse a model of whitened samples that mix those measured, which may be missing."""
    while model is not None:
        if getattr(model, "mixes_samples", False):
            raise ValueError(
                f"nan_policy='omit' leaves samples out, but in {model} covariances mix "
                "samples: a missing one is part of several; leave such voxels out, or give "
                "variances."
            )
        model = getattr(model, "model", None)


def counting(X, sigma):
    """Return which samples are finite, or do not count because their noise is infinite."""
    if sigma is None:
        return np.isfinite(X)
    noise = as_reals(sigma, "sigma", missing=np.inf)
    fits = noise.shape in (X.shape, (1, X.shape[1]))
    return np.isfinite(X) | (np.isinf(noise) if fits else False)


def have_samples(counts, policy, n_needed=0):
    """Return which voxels have the samples that estimates need, under a `nan_policy`."""
    whole = counts.all(axis=1)
    if policy == "raise" and not whole.all():
        row = int(np.argmin(whole))
        raise ValueError(
            f"X has NaN or infinite values in {np.sum(~whole)} of {len(whole)} rows, "
            f"the first in row {row}, column {np.argmin(counts[row])}; leave these "
            "rows out, or give nan_policy='omit' or 'propagate'."
        )
    return counts.sum(axis=1) >= n_needed if policy == "omit" else whole


def has_signal(X, model, simulates_X):
    """Tell voxels with a signal: complex, not zero; magnitudes, positive somewhere."""
    if model is None:
        zeros_are_data, are_magnitudes = X.dtype.kind != "c", False
    else:
        # Coefficients of magnitudes may be negative.
        zeros_are_data = model._zeros_are_data
        are_magnitudes = model.is_magnitude and simulates_X
    return _shows(X, X > 0 if are_magnitudes else X != 0) | zeros_are_data


def _shows(X, is_signal):
    """Tell rows in which a finite sample is a signal."""
    return (is_signal & np.isfinite(X)).any(axis=1)


def warn_of_negative(X, have_no_sign, stacklevel):
    """Warn of magnitudes that are signed signals, or below zero where none can be."""
    has_any, is_below = _shows(X, X > 0), _shows(X, X < 0)
    n_positive, n_below = int(has_any.sum()), int((is_below & has_any).sum())
    if not n_below:
        return
    signs = np.nan_to_num(X[is_below & has_any], posinf=0.0, neginf=0.0)
    n_signed = int((signs.min(axis=1) < -_NEGATIVE * np.abs(signs).max(axis=1)).sum())
    if have_no_sign and n_below > _TOLERATED * n_positive >= n_signed:
        warn(
            f"X has negative values in {n_below} of {n_positive} voxels, which Rician "
            "magnitudes never are: they count as zero; filters and interpolation of images "
            "make them",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    if n_signed > _TOLERATED * n_positive:
        warn(
            f"X has large negative values in {n_signed} of {n_positive} voxels, and the "
            "model is of magnitudes, which have none; for signed data give a model with "
            "signal='complex', and X + 0j",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def warn_of_no_noise(model, data, follows, stacklevel):
    """Warn if some measurements have no more numbers than unknowns."""
    if not len(data) or model._free_numbers(data).all():
        return
    found = f"{model._label} has {model._counts}, which leaves none"
    if data.weights is not None:
        n_few = int((model._free_numbers(data) == 0).sum())
        found = (
            f"{n_few} of {len(data)} voxels have no more real numbers that count than "
            f"{model._label} has unknowns, and so none"
        )
    elif model.n_reals > model.n_unknowns:
        found = (
            "X without imaginary parts has no more real numbers a voxel than "
            f"{model._label} has unknowns, and so none"
        )
    warn(
        f"{found} to estimate the noise from: {follows}; give sigma",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def warn_of_unknown(known, parameters, stacklevel=3):
    """Warn of known values outside their domains, as if they had another unit."""
    for values, parameter in zip(known.T, parameters, strict=False):
        given = values[np.isfinite(values)]
        outside = ~parameter.holds(given)
        if outside.sum() > _UNKNOWN * len(given):
            low, high = parameter.domain
            unit = "a fraction" if parameter.unit == "1" else f"a value in {parameter.unit}"
            warn(
                f"known values of {parameter.name} are outside {low:g} to {high:g}, where "
                f"the model holds, in {outside.sum()} of {len(given)} voxels, which become "
                f"NaN: they are {given.min():.4g} to {given.max():.4g}, and {unit} is "
                "expected",
                UserWarning,
                stacklevel=stacklevel + 1,
            )
