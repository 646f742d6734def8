"""The base of all transformers: checks of data, and rows that are not finite."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._arrays import COMPLEX_TARGET, as_array, as_numbers, is_complex
from .._documentation import Documented
from .._validation import check_features
from .._warnings import warn
from ..kernels.products import row_products
from ._spectrum import blocks


class SignalTransformer(Documented, TransformerMixin, BaseEstimator):
    """Transformer of real or complex signals, one voxel a row.

    Single precision is kept. Rows that are not finite are left out of ``fit``, with a
    warning, and become NaN in ``transform``.
    """

    def _check_fit(self, X, y):
        """Return X as an array, and which of its rows are finite; store its kind."""
        if is_complex(y):
            raise ValueError(f"{COMPLEX_TARGET}: y is complex; parameters are real.")
        X = check_features(self, X, reset=True, keep_single=True)
        self.is_complex_ = X.dtype.kind == "c"
        finite = finite_rows(X)
        if finite.all():
            return X, finite
        found = (
            f"X has NaN or infinite values in {np.sum(~finite)} of {len(X)} rows, the "
            f"first is row {np.argmin(finite)}"
        )
        if not finite.any():
            raise ValueError(f"{found}; none is left to learn from.")
        warn(f"{found}: fit leaves them out", UserWarning, stacklevel=3)
        return X, finite

    def _check_transform(self, X):
        """Return new data as an array of the kind of the data of ``fit``."""
        check_is_fitted(self)
        X = check_features(self, X, reset=False, keep_single=True)
        if (X.dtype.kind == "c") != self.is_complex_:
            kinds = ("real", "complex") if self.is_complex_ else ("complex", "real")
            raise ValueError(
                f"X is {kinds[0]}, but {type(self).__name__} was fitted to {kinds[1]} X."
            )
        return X

    def _check_inverse(self, X, n_features, is_complex=True):
        """Return the output of ``transform`` as a two-dimensional array."""
        X = as_array(X, "X")
        if X.dtype not in (np.float32, np.complex64):
            X = as_numbers(X, "X")
        if X.dtype.kind == "c" and not (self.is_complex_ and is_complex):
            raise ValueError(f"X is complex; {type(self).__name__} gives real columns.")
        if X.ndim != 2 or X.shape[1] != n_features:
            raise ValueError(
                f"X has shape {X.shape}; {type(self).__name__} gives {n_features} "
                "columns, and its inverse takes as many."
            )
        return X

    def __sklearn_tags__(self):
        """Allow NaN; complex X is allowed, too, but scikit-learn has no tag for it."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def finite_rows(X):
    """Return which rows are finite, a bool array of shape (n_samples,)."""
    finite = [np.isfinite(X[part]).all(axis=1) for part in blocks(len(X))]
    return np.concatenate(finite)


def times(X, matrix):
    """Return X @ matrix in the precision of X, NaN for rows that are not finite."""
    products = row_products(X, matrix)
    products[~finite_rows(X)] = np.nan
    return products
