"""A model seen through an orthonormal basis."""

import numpy as np

from .view import ModelView


class CompressedModel(ModelView):
    """Coefficients of a model's signal in an orthonormal basis.

    Parameters
    ----------
    model : SignalModel
        The model of the whole signal.
    basis : array-like of shape (n_features, n_components)
        Orthonormal columns, real or complex; the signal becomes ``basis^H signal``.

    Raises
    ------
    ValueError
        If the basis does not fit the model or is not orthonormal, or the noise of the model
        is Rician, which that of coefficients is not.

    Notes
    -----
    Coefficients of magnitudes are not magnitudes: their noise counts as Gaussian, which it
    is where the signal is well above it.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import MagnetizationTransfer
    >>> from crbestim.sequences import HybridStateSequence
    >>> sequence = HybridStateSequence([3.14, 0.5, 0.7, 0.5], [5e-4] * 4, 3.5e-3)
    >>> model = MagnetizationTransfer(sequence)
    >>> model.compress(np.eye(4)[:, :2]).n_features
    2
    """

    def __init__(self, model, basis):
        if model.noise == "rician":
            raise ValueError(
                f"{model!r} has Rician noise, and coefficients of its signal would have "
                "another; compress the complex signal, or a model with noise='gaussian'."
            )
        self.model = model
        basis = np.array(basis)
        if basis.ndim != 2 or basis.shape[0] != model.n_features or not basis.size:
            raise ValueError(
                f"basis has shape {basis.shape}; give ({model.n_features}, n_components), "
                "a row for each sample of the signal."
            )
        if basis.dtype.kind not in "fciu" or not np.isfinite(basis).all():
            raise ValueError("basis holds values that are not finite numbers.")
        error = np.abs(basis.conj().T @ basis - np.eye(basis.shape[1])).max()
        if not error < 1e-4:
            raise ValueError(
                f"basis is not orthonormal: basis^H basis differs from the identity by "
                f"up to {error:.1e}; orthonormalize it with numpy.linalg.qr."
            )
        self.basis = basis
        self.basis.flags.writeable = False

    @property
    def n_features(self):
        """Number of coefficients."""
        return self.basis.shape[1]

    @property
    def is_complex(self):
        """Whether the coefficients are complex."""
        return self.model.is_complex or self.basis.dtype.kind == "c"

    def __repr__(self):
        return f"{self.model!r}.compress(<basis of {self.n_features} components>)"

    def signal(self, theta, jacobian=False):
        """Simulate the coefficients.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units.
        jacobian : bool, default=False
            Whether to return the derivatives, too.

        Returns
        -------
        s : ndarray of shape (n_samples, n_components)
            Coefficients.
        J : ndarray of shape (n_samples, n_components, n_parameters)
            Their derivatives, only if `jacobian`.
        """
        return self.simulate(self.check_theta(theta), jacobian)

    def simulate(self, theta, jacobian=False):
        """Simulate theta that has been checked; see `SignalModel.simulate`."""
        return self.model.project(theta, self.basis, jacobian=jacobian)
