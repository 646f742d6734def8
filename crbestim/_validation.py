"""Checks of what users pass in; the one file that touches scikit-learn's private parts.

scikit-learn refuses complex data. Here complex X is native, so it is checked in its real
and imaginary part, while names and numbers of features are kept by scikit-learn's own
helpers. Complex targets are refused in scikit-learn's words.
"""

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    _check_n_features,
    check_array,
    validate_data,
)

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:
        """Stand in for scikit-learn's mixin: there are no callbacks to call."""

        def _init_callback_context(self, **_):
            return _NoCallbacks()


__all__ = [
    "COMPLEX_TARGET",
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_crb",
    "check_features",
    "check_targets",
    "feature_names_in",
    "fit_context",
    "is_complex",
]

feature_names_in = _check_feature_names_in
fit_context = _fit_context


class _NoCallbacks:
    """Context without callbacks, whose answer is never to stop."""

    def subcontext(self, **_):
        return self

    def call_on_fit_task_begin(self, **_):
        return self

    def call_on_fit_task_end(self, **_):
        return False


COMPLEX_TARGET = "Complex data not supported"


def is_complex(X):
    """Whether an array or data frame holds complex numbers.

    Parameters
    ----------
    X : array-like
        Data.

    Returns
    -------
    bool
        True for complex numbers.
    """
    dtype = getattr(X, "dtype", None)
    if dtype is not None:
        return dtype.kind == "c"
    dtypes = getattr(X, "dtypes", None)
    if dtypes is not None:
        return any(getattr(d, "kind", "") == "c" for d in dtypes)
    if isinstance(X, list | tuple):
        return np.asarray(X).dtype.kind == "c"
    return False


def check_features(estimator, X, *, reset, keep_single=False):
    """Return X as a float64 or complex128 array; set or check its features.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and ``feature_names_in_`` if `reset`.
    X : array-like of shape (n_samples, n_features)
        Data, real or complex; voxels may have NaN or infinite values.
    reset : bool
        True in ``fit``, False afterwards.
    keep_single : bool, default=False
        Whether single precision stays what it is, and X is not copied.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        The same numbers.

    Raises
    ------
    ValueError
        If X is empty, not two-dimensional or has other features than in ``fit``.
    """
    kinds = [np.float64, np.float32] if keep_single else np.float64
    loose = dict(dtype=kinds, ensure_all_finite=False)
    if not is_complex(X):
        return validate_data(estimator, X, reset=reset, **loose)
    _check_feature_names(estimator, X, reset=reset)
    array = np.asarray(X)
    for part in (array.real, array.imag):
        check_array(part, estimator=estimator, input_name="X", **loose)
    _check_n_features(estimator, array, reset=reset)
    if keep_single and array.dtype == np.complex64:
        return array
    return np.ascontiguousarray(array, dtype=np.complex128)


def check_targets(y, name="y"):
    """Return targets as a finite float64 array of two dimensions.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    name : str, default="y"
        What to call them in errors.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        The same numbers.

    Raises
    ------
    ValueError
        If they are complex, empty or not finite.
    """
    if is_complex(y):
        raise ValueError(f"{COMPLEX_TARGET}: {name} is complex; parameters are real.")
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name=name)
    if y.ndim > 2:
        raise ValueError(f"{name} has shape {y.shape}; give at most two dimensions.")
    return y.reshape(len(y), -1)


def check_crb(crb, shape):
    """Return bounds as a float64 array; infinite entries are allowed.

    Parameters
    ----------
    crb : array-like
        Cramér-Rao bounds.
    shape : tuple of int
        (n_samples, n_outputs) that they must have; one output may come as a vector.

    Returns
    -------
    ndarray of that shape
        The same numbers.

    Raises
    ------
    ValueError
        If they are complex, NaN, not positive, or of another shape.
    """
    if is_complex(crb):
        raise ValueError(f"{COMPLEX_TARGET}: crb is complex; bounds are variances.")
    crb = np.asarray(crb, dtype=np.float64)
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
