"""Complex signals as real features, for estimators that take no others."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._validation import feature_names_in, fit_context
from ..kernels.products import row_products
from ._base import SignalTransformer, finite_rows
from ._spectrum import blocks, double, singular_vectors, unit_scale, with_fixed_phase

__all__ = ["ComplexToReal"]


class ComplexToReal(SignalTransformer):
    """Real and imaginary parts of complex features, side by side.

    It connects the transformers of this package to any estimator of real features.
    Real X passes unchanged.

    Parameters
    ----------
    normalize : bool, default=False
        Whether to remove the unknown complex factor M0 of complex signals: they are
        divided by their norm and their phase is set such that their component along the
        main direction of the training data is real and positive. Without it, neighbours
        in X need not have similar parameters.

    Attributes
    ----------
    is_complex_ : bool
        Whether X is complex.
    direction_ : ndarray of shape (n_features,)
        First right singular vector of the training data with rows scaled to norm 1; only
        for complex X and `normalize`.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, only if X has some.

    Examples
    --------
    >>> from crbestim.subspace import ComplexToReal
    >>> to_real = ComplexToReal()
    >>> to_real.fit_transform([[1 + 2j, 3 + 4j]])
    array([[1., 3., 2., 4.]])
    >>> to_real.get_feature_names_out().tolist()
    ['x0_real', 'x1_real', 'x0_imag', 'x1_imag']
    """

    _parameter_constraints = {"normalize": ["boolean"]}

    def __init__(self, *, normalize=False):
        self.normalize = normalize

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn whether X is complex, and its main direction if `normalize`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, real or complex.
        y : array-like, default=None
            Not used, but must not be complex.

        Returns
        -------
        self
            The fitted transformer.
        """
        X, finite = self._check_fit(X, y)
        vars(self).pop("direction_", None)
        if self.normalize and self.is_complex_:
            parts = (_normalized(double(X[p][finite[p]])) for p in blocks(len(X)))
            vectors = singular_vectors(parts)[1]
            self.direction_ = with_fixed_phase(vectors[:1])[0]
        return self

    def transform(self, X):
        """Return real features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, complex if those of ``fit`` were.

        Returns
        -------
        ndarray of shape (n_samples, 2 * n_features) or (n_samples, n_features)
            Real parts, then imaginary parts, NaN for rows with values that are not finite;
            or X as it is, if it is real.
        """
        X = self._check_transform(X)
        if not self.is_complex_:
            return X
        finite = finite_rows(X)
        if self.normalize:
            rows = _normalized(np.where(finite[:, None], X, 0))
            X = rows * _phase(row_products(rows, self.direction_.conj()[:, None])).conj()
        parts = np.concatenate([X.real, X.imag], axis=1)
        parts[~finite] = np.nan
        return parts

    def inverse_transform(self, X):
        """Return complex signals.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_out)
            Real features.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Complex signals, with `normalize` of norm 1 and without their factor; X if the
            data of ``fit`` were real.
        """
        check_is_fitted(self)
        n_columns = self.n_features_in_ * (2 if self.is_complex_ else 1)
        X = self._check_inverse(X, n_columns, is_complex=False)
        if not self.is_complex_:
            return X
        return X[:, : self.n_features_in_] + 1j * X[:, self.n_features_in_ :]

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features of X; by default those of ``fit``, or x0, x1, ...

        Returns
        -------
        ndarray of str objects
            Names with the endings "_real" and "_imag", or as they are for real X.
        """
        check_is_fitted(self)
        names = feature_names_in(self, input_features)
        if not self.is_complex_:
            return names
        parts = [[f"{name}_{part}" for name in names] for part in ("real", "imag")]
        return np.array(sum(parts, []), dtype=object)


def _normalized(rows):
    """Return rows scaled to norm 1; rows of zeros stay zero."""
    rows = rows * unit_scale(rows)[:, None]
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norm > 0, norm, 1).astype(norm.dtype)


def _phase(values):
    """Return factors of magnitude 1 with the phases of values, 1 for zeros."""
    size = np.abs(values)
    return np.where(size > 0, values, 1) / np.where(size > 0, size, 1)
