r"""A model seen through the inverse root of a noise covariance.

Noise n of covariance C = L L^H, with L lower triangular, becomes white as L^-1 n, and the
signal s becomes L^-1 s. The information of the whitened signal in white noise of standard
deviation 1 is therefore Re(J^H C^-1 J), that of the signal in its own noise.
"""

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from .view import ModelView


def whitening_matrix(covariance, n_features):
    """Inverse of the lower Cholesky factor of a noise covariance.

    Parameters
    ----------
    covariance : array-like
        A variance, a vector of n_features variances, or a positive definite Hermitian
        matrix. For complex noise they are per real or imaginary channel,
        ``E[n n^H] / 2``: white noise of standard deviation sigma has ``sigma**2``.
    n_features : int
        Number of samples of the signal.

    Returns
    -------
    ndarray of shape (n_features, n_features)
        The matrix L^-1 with ``L @ L^H = covariance``.

    Raises
    ------
    ValueError
        If the covariance does not fit or is not positive definite.

    Examples
    --------
    >>> from crbestim.models.whitened import whitening_matrix
    >>> whitening_matrix([0.25, 4.0], 2)
    array([[2. , 0. ],
           [0. , 0.5]])
    """
    covariance = np.asarray(covariance)
    if covariance.dtype.kind not in "fciu" or not np.isfinite(covariance).all():
        raise ValueError("covariance holds values that are not finite numbers.")
    if covariance.shape not in ((), (n_features,), (n_features, n_features)):
        raise ValueError(
            f"covariance has shape {covariance.shape}; give a variance, {n_features} "
            f"variances, or a matrix of shape ({n_features}, {n_features})."
        )
    if covariance.ndim < 2:
        if covariance.dtype.kind == "c" or not (covariance > 0).all():
            raise ValueError("covariance holds variances that are not positive numbers.")
        return np.diag(np.broadcast_to(1 / np.sqrt(covariance), (n_features,)))
    error = np.abs(covariance - covariance.conj().T).max()
    if error > 1e-6 * np.abs(covariance).max():
        raise ValueError(
            f"covariance is not Hermitian: it differs from its conjugate transpose by up "
            f"to {error:.1e}."
        )
    try:
        factor = cholesky(covariance, lower=True)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(covariance).min()
        raise ValueError(
            f"covariance is not positive definite: its least eigenvalue is {least:.1e}; "
            "leave out features without noise, or estimate it from more samples."
        ) from None
    return solve_triangular(factor, np.eye(n_features), lower=True)


class WhitenedModel(ModelView):
    """Signals of a model after their noise was made white.

    Its bounds at ``noise_std=1`` are those of the model's signals in noise of the given
    covariance. White noise stays white in an orthonormal basis, so whitening comes before
    compression: ``model.whiten(covariance).compress(basis)``. To whiten coefficients,
    ``model.compress(basis).whiten(...)``, the covariance is that of the coefficients,
    ``basis^H covariance basis``.

    Parameters
    ----------
    model : SignalModel
        The model of the signal.
    covariance : array-like
        Covariance of the noise: a variance, a variance for each feature, or a Hermitian
        matrix of shape (n_features, n_features); per real or imaginary channel,
        ``E[n n^H] / 2``, if the signal is complex.

    Raises
    ------
    ValueError
        If the covariance does not fit the model or is not positive definite, if it is
        complex and the signal real, or the noise of the model is Rician.

    Examples
    --------
    >>> from crbestim.models import MagnetizationTransfer
    >>> from crbestim.sequences import HybridStateSequence
    >>> sequence = HybridStateSequence([3.14, 0.5, 0.7, 0.5], [5e-4] * 4, 3.5e-3)
    >>> model = MagnetizationTransfer(sequence)
    >>> theta = [[0.1, 0.7, 13, 30, 1e-5, 0, 1]]
    >>> (model.whiten([1, 1, 1, 4]).signal(theta) / model.signal(theta)).real.round(6)
    array([[1. , 1. , 1. , 0.5]])
    """

    def __init__(self, model, covariance):
        if model.noise == "rician":
            raise ValueError(
                f"{model!r} has Rician noise, which no linear map makes white; whiten the "
                "complex signal, or a model with noise='gaussian'."
            )
        self.model = model
        self.whitening = whitening_matrix(covariance, model.n_features)
        self.whitening.flags.writeable = False
        if self.whitening.dtype.kind == "c" and not model.is_complex:
            raise ValueError(
                f"covariance is complex, but the signal of {model!r} and so its noise is "
                "real; give a real covariance."
            )

    @property
    def n_features(self):
        """Number of samples of the signal."""
        return self.model.n_features

    @property
    def is_complex(self):
        """Whether the signal is complex."""
        return self.model.is_complex

    def __repr__(self):
        return f"{self.model!r}.whiten(<covariance of {self.n_features} features>)"

    def signal(self, theta, jacobian=False):
        """Simulate the whitened signal.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units.
        jacobian : bool, default=False
            Whether to return the derivatives, too.

        Returns
        -------
        s : ndarray of shape (n_samples, n_features)
            Signal ``L^-1 s``.
        J : ndarray of shape (n_samples, n_features, n_parameters)
            Its derivatives, only if `jacobian`.
        """
        return self.simulate(self.check_theta(theta), jacobian)

    def simulate(self, theta, jacobian=False):
        """Simulate theta that has been checked; see `SignalModel.simulate`."""
        out = self.model.simulate(theta, jacobian=jacobian)
        if not jacobian:
            return self._whiten(out[:, :, None])[:, :, 0]
        signal, derivatives = out
        return self._whiten(signal[:, :, None])[:, :, 0], self._whiten(derivatives)

    def _whiten(self, columns):
        return self.whitening @ columns
