"""The interface of every signal model: parameters in, signal and Jacobian out."""

import inspect
from functools import cached_property

import numpy as np

from ..parameters import Parameter
from .columns import check_column
from .derivatives import Differentiable, with_differences


class SignalModel(Differentiable):
    """Signal as a function of tissue parameters, per unit of proton density.

    A subclass gives ``parameter_names``, ``bounds`` and ``signal(theta)``, nothing
    more; or, in place of the first two, ``parameters``, a tuple of
    :class:`~crbestim.parameters.Parameter`. A ``signal`` without the argument ``jacobian``
    gets it; its derivatives are then differences of fourth order.

    Attributes
    ----------
    parameter_names : tuple of str
        Names of the columns of theta.
    bounds : ndarray of shape (n_parameters, 2)
        Lower and upper bound of each parameter.
    n_parameters, n_features : int
        Number of parameters and of samples of the signal.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import SignalModel
    >>> class Decay(SignalModel):
    ...     parameter_names = ("R2",)
    ...     bounds = np.array([[1.0, 100.0]])
    ...     def signal(self, theta):
    ...         return np.exp(-theta * np.array([0.01, 0.02, 0.03])) + 0j
    >>> s, J = Decay().evaluate([[20.0]], jacobian=True)
    >>> s.shape, J.shape, Decay().n_features
    ((1, 3), (1, 3, 1), 3)
    """

    is_magnitude = False
    """Whether the signal is the magnitude of a complex one, and so never negative."""

    known_parameters = ()
    """Parameters whose values come with each sample; see :meth:`given`."""

    known = None
    """Their values, (n_samples, n_known), of a model :meth:`at` them."""

    noise = "gaussian"
    """Distribution of the noise, "gaussian", or of magnitudes also "rician"."""

    def __init_subclass__(cls, **kwargs):
        """Complete what a subclass leaves out."""
        super().__init_subclass__(**kwargs)
        if isinstance(vars(cls).get("bounds"), list | tuple):
            cls.bounds = np.array(cls.bounds, dtype=float)
        signal = vars(cls).get("signal")
        if signal and "jacobian" not in inspect.signature(signal).parameters:
            cls.signal = with_differences(signal)

    def __setattr__(self, name, value):
        is_list = name == "bounds" and isinstance(value, list | tuple)
        super().__setattr__(name, np.array(value, dtype=float) if is_list else value)

    @cached_property
    def parameters(self):
        """The parameters, a tuple of :class:`~crbestim.parameters.Parameter`."""
        names = self._require("parameter_names")
        bounds = np.asarray(self._require("bounds"), dtype=float)
        if bounds.shape != (len(names), 2):
            raise ValueError(
                f"bounds of {type(self).__name__} have shape {bounds.shape}; "
                f"give ({len(names)}, 2), a row (low, high) for each of {names}."
            )
        return tuple(
            Parameter(name, bounds=tuple(b)) for name, b in zip(names, bounds, strict=True)
        )

    def _require(self, name):
        """Return an attribute that a subclass gives in place of ``parameters``."""
        if getattr(type(self), name, None) is getattr(SignalModel, name):
            if name not in self.__dict__:
                raise TypeError(
                    f"{type(self).__name__} lacks {name}; define `parameter_names` and "
                    "`bounds`, or `parameters`."
                )
        return getattr(self, name)

    @cached_property
    def parameter_names(self):
        """Names of the columns of theta."""
        return tuple(p.name for p in self.parameters)

    @cached_property
    def bounds(self):
        """Bounds of the parameters, of shape (n_parameters, 2)."""
        return np.array([p.bounds for p in self.parameters])

    @property
    def known_names(self):
        """Names of the columns of known values."""
        return tuple(p.name for p in self.known_parameters)

    @property
    def whole(self):
        """The model of all parameters that are no constants."""
        return self

    @property
    def periods(self):
        """Periods of the parameters, (n_parameters,); infinite where there is none."""
        return np.array([p.period for p in self.parameters])

    @property
    def n_parameters(self):
        """Number of parameters."""
        return len(self.parameters)

    @property
    def _finite_bounds(self):
        """Bounds between which the model can be tried out."""
        low, high = self.bounds.T
        low = np.where(np.isinf(low), np.where(np.isinf(high), -0.5, high - 1), low)
        return np.column_stack([low, np.where(np.isinf(high), low + 1, high)])

    @cached_property
    def _centre_signal(self):
        return np.asarray(self.signal(self._finite_bounds.mean(axis=1)[None]))

    @property
    def n_features(self):
        """Number of samples of the signal."""
        return self._centre_signal.shape[1]

    @property
    def is_complex(self):
        """Whether the signal is complex, and so known up to a complex factor M0."""
        return self._centre_signal.dtype.kind == "c"

    def signal(self, theta, jacobian=False):
        """Simulate the signal; see the subclass.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units.
        jacobian : bool, default=False
            Whether to return the derivatives, too.

        Returns
        -------
        s : ndarray of shape (n_samples, n_features)
            Signal.
        J : ndarray of shape (n_samples, n_features, n_parameters)
            Derivatives, only if `jacobian`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} lacks signal(theta), which everything else calls; "
            "define it: (n_samples, n_parameters) to (n_samples, n_features)."
        )

    def evaluate(self, theta, jacobian=False):
        """Check theta and simulate, by differences where need be.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units.
        jacobian : bool, default=False
            Whether to return the derivatives, too.

        Returns
        -------
        s : ndarray of shape (n_samples, n_features)
            Signal.
        J : ndarray of shape (n_samples, n_features, n_parameters)
            Derivatives, only if `jacobian`.

        Raises
        ------
        ValueError
            If theta is not a finite array inside the model's domain.
        """
        return self.simulate(self.check_theta(theta), jacobian)

    def simulate(self, theta, jacobian=False):
        """Do what :meth:`evaluate` does for theta that has been checked.

        Parameters
        ----------
        theta : ndarray of shape (n_samples, n_parameters)
            What :meth:`check_theta` returned, or rows of it.
        jacobian : bool, default=False
            Whether to return the derivatives, too.

        Returns
        -------
        s : ndarray of shape (n_samples, n_features)
            Signal.
        J : ndarray of shape (n_samples, n_features, n_parameters)
            Derivatives, only if `jacobian`.
        """
        return self.signal(theta, jacobian=jacobian)

    def project(self, theta, basis, jacobian=False):
        """Simulate the signal and project it onto a basis, in blocks of samples.

        Parameters
        ----------
        theta : ndarray of shape (n_samples, n_parameters)
            What :meth:`check_theta` returned, or rows of it.
        basis : ndarray of shape (n_features, n_components)
            Orthonormal columns.
        jacobian : bool, default=False
            Whether to return the derivatives, too.

        Returns
        -------
        s : ndarray of shape (n_samples, n_components)
            Coefficients ``basis^H signal``.
        J : ndarray of shape (n_samples, n_components, n_parameters)
            Their derivatives, only if `jacobian`.
        """
        adjoint, blocks = basis.conj().T, []
        for first in range(0, max(len(theta), 1), 256):
            part = slice(first, first + 256)
            out = self.rows(part).simulate(theta[part], jacobian=jacobian)
            s, rest = (out[0], out[1:]) if jacobian else (out, ())
            # One product a row: that of a block may round by the number of its rows.
            rows = (s[:, None, :] @ adjoint.T)[:, 0]
            blocks.append([rows, *(adjoint @ part for part in rest)])
        parts = [np.concatenate(part) for part in zip(*blocks, strict=True)]
        return tuple(parts) if jacobian else parts[0]

    def compress(self, basis):
        """Return the same model seen through an orthonormal basis.

        Parameters
        ----------
        basis : array-like of shape (n_features, n_components)
            Orthonormal columns, real or complex.

        Returns
        -------
        CompressedModel
            Model of the coefficients ``basis^H signal``.

        Raises
        ------
        ValueError
            If the basis does not fit or is not orthonormal, or noise is Rician.
        """
        from .compressed import CompressedModel

        return CompressedModel(self, basis)

    def whiten(self, covariance):
        """Return the same model with its noise made white.

        Parameters
        ----------
        covariance : array-like
            Covariance of the noise: a variance, a variance for each feature, or a
            Hermitian matrix of shape (n_features, n_features).

        Returns
        -------
        WhitenedModel
            Model of ``L^-1 signal``, where ``L @ L^H = covariance``.

        Raises
        ------
        ValueError
            If the covariance does not fit or is not positive definite.
        """
        from .whitened import WhitenedModel

        return WhitenedModel(self, covariance)

    def fix(self, **values):
        """Return the same model with some parameters held at constants.

        Parameters
        ----------
        **values : float
            Constants by parameter name, in SI units.

        Returns
        -------
        GivenModel
            Model of the other parameters.

        Raises
        ------
        ValueError
            If there is no such parameter, or a value is outside its domain.

        Examples
        --------
        >>> from crbestim.models import MagnetizationTransfer
        >>> from crbestim.sequences import HybridStateSequence
        >>> model = MagnetizationTransfer(HybridStateSequence.default(), joint_r1=False)
        >>> model.fix(R1s=3.0).parameter_names
        ('m0s', 'R1f', 'R2f', 'Rx', 'T2s', 'omega0', 'B1')
        """
        from .given import GivenModel

        return GivenModel(self, constants=values)

    def given(self, *names):
        """Return the model of the other parameters, where maps of these are at hand.

        Parameters
        ----------
        *names : str
            Parameters whose values are measured otherwise, voxel by voxel: estimators
            take them as ``known``, (n_samples, n_known), in this order.

        Returns
        -------
        GivenModel
            Model of the other parameters, which knows its signals once it is :meth:`at`
            such values.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        from .given import GivenModel

        return GivenModel(self, known_names=names)

    def at(self, known):
        """Return the model at known values, one row a sample.

        Parameters
        ----------
        known : array-like of shape (n_samples, n_known)
            Values of `known_parameters`, in SI units.

        Returns
        -------
        SignalModel
            Model whose theta has as many rows.

        Raises
        ------
        ValueError
            If the model has no known parameters, or they have other values or shapes.
        """
        raise ValueError(
            f"known has values, but {self!r} is not given any parameter; name those that "
            "it holds, model.given('B1') for instance."
        )

    def rows(self, selection):
        """Return the model of some samples: the same, unless it is :meth:`at` values."""
        return self

    def check_theta(self, theta):
        """Return theta as a float64 array, or say what is wrong with it.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units; one sample may come as a vector.

        Returns
        -------
        ndarray of shape (n_samples, n_parameters)
            The same numbers.

        Raises
        ------
        ValueError
            If theta is complex, not finite, of another shape or outside the domain.

        Warns
        -----
        ImplausibleValueWarning
            If values lie so far outside the bounds that they suggest another unit, or a
            time in place of a rate.
        """
        theta = np.asarray(theta)
        if theta.dtype.kind == "c":
            raise ValueError("Complex data not supported: theta is complex; give reals.")
        theta = np.atleast_2d(theta.astype(np.float64))
        if theta.ndim != 2 or theta.shape[1] != self.n_parameters:
            raise ValueError(
                f"theta has shape {theta.shape}; give (n_samples, {self.n_parameters}) "
                f"with columns {', '.join(self.parameter_names)}."
            )
        for k, parameter in enumerate(self.parameters):
            check_column(parameter, theta[:, k])
        return theta
