"""Whitening of signals whose noise is correlated, or stronger in some features."""

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils.validation import check_is_fitted

from .._arrays import as_numbers
from .._linear_algebra import whitening_matrix
from .._threads import one_blas_thread
from .._validation import fit_context
from ._base import SignalTransformer, times

__all__ = ["Whitening"]


class Whitening(OneToOneFeatureMixin, SignalTransformer):
    """Signals in which noise is white and of standard deviation 1.

    The Cramér-Rao bound, least squares and singular values all assume white noise.
    If it is not white, X becomes ``L^-1 x`` row by row, with ``L @ L^H`` the covariance of
    the noise, and the model of X becomes ``model.whiten(covariance)``. Whitening comes
    before projection onto a subspace.

    Parameters
    ----------
    covariance : float or array-like, default=None
        Covariance of the noise: a variance, a variance for each feature, or a positive
        definite Hermitian matrix of shape (n_features, n_features). For complex noise n it
        is ``E[n n^H] / 2``, per real or imaginary channel. By default it is estimated from
        `noise`; without either, noise is taken to be white, of variance 1.
    noise : array-like of shape (n_noise, n_features), default=None
        Samples of noise without signal and of mean zero, at least as many as features,
        from which the covariance is estimated.

    Attributes
    ----------
    covariance_ : float or ndarray
        The covariance given or estimated, as `model.whiten` takes it.
    whitening_ : ndarray of shape (n_features, n_features)
        The lower triangular matrix L^-1.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, only if X has some.

    See Also
    --------
    crbestim.models.SignalModel.whiten : The model of whitened signals.

    Examples
    --------
    >>> from crbestim.subspace import Whitening
    >>> Whitening([1.0, 4.0]).fit_transform([[3.0, 6.0]])
    array([[3., 3.]])
    """

    _parameter_constraints = {
        "covariance": "no_validation",
        "noise": "no_validation",
    }

    def __init__(self, covariance=None, *, noise=None):
        self.covariance = covariance
        self.noise = noise

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the covariance, and check that it fits.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals; only their shape and whether they are complex matter.
        y : array-like, default=None
            Not used, but must not be complex.

        Returns
        -------
        self
            The fitted transformer.

        Raises
        ------
        ValueError
            If covariance or noise do not fit X, or both are given.
        """
        X, _ = self._check_fit(X, y)
        if self.covariance is not None and self.noise is not None:
            raise ValueError("covariance and noise are both given; give one of them.")
        covariance = 1.0 if self.covariance is None else self.covariance
        if self.noise is not None:
            covariance = _covariance_of(as_numbers(self.noise, "noise"), X)
        whitening = whitening_matrix(covariance, X.shape[1])
        if whitening.dtype.kind == "c" and not self.is_complex_:
            raise ValueError("covariance is complex, but X is real; give a real one.")
        self.covariance_, self.whitening_ = covariance, whitening
        return self

    def transform(self, X):
        """Return whitened signals.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, complex if those of ``fit`` were.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            ``L^-1 x`` for each row x; NaN for rows with values that are not finite.
        """
        return times(self._check_transform(X), self.whitening_.T)

    def inverse_transform(self, X):
        """Return the signals that were whitened.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Whitened signals.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            ``L x`` for each row x; NaN for rows with values that are not finite.
        """
        check_is_fitted(self)
        X = self._check_inverse(X, self.n_features_in_)
        with one_blas_thread:
            return times(X, np.linalg.inv(self.whitening_).T)


@one_blas_thread
def _covariance_of(noise, X):
    """Estimate the covariance, per real or imaginary channel, from samples of noise."""
    if noise.ndim != 2 or noise.shape[1] != X.shape[1]:
        raise ValueError(f"noise has shape {noise.shape}; X asks for (n, {X.shape[1]}).")
    if not np.isfinite(noise).all():
        raise ValueError("noise holds values that are not finite; leave such rows out.")
    if (noise.dtype.kind == "c") != (X.dtype.kind == "c"):
        kinds = ("complex", "real") if noise.dtype.kind == "c" else ("real", "complex")
        raise ValueError(f"noise is {kinds[0]}, but X is {kinds[1]}.")
    if len(noise) < X.shape[1]:
        raise ValueError(
            f"noise has {len(noise)} samples, from which the covariance of {X.shape[1]} "
            "features is singular; give at least as many samples as features."
        )
    channels = 2 if noise.dtype.kind == "c" else 1
    return noise.T @ noise.conj() / (len(noise) * channels)
