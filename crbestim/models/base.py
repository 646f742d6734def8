"""The interface of every signal model: parameters in, signal and Jacobian out."""

from functools import cached_property

import numpy as np

from .._arrays import as_theta
from .._representation import constructor_call
from .._threads import one_blas_thread
from .._version import Versioned
from .._warnings import warn
from ..exceptions import InexactJacobianWarning, MissingJacobianError
from ..parameters import Parameter
from ._amplitude import find_amplitude
from ._checks import choose_parameters
from ._differences import differentiate
from ._hooks import as_hook, checked
from ._html import parameter_table

# Errors of derivatives above this fraction of the norm of a column raise a warning.
_INEXACT = 1e-4
# Error of a column by differences over its norm, where the signal is smooth.
_ACCURACY_OF_DIFFERENCES = 1e-11
_BLOCK = 256


class SignalModel(Versioned):
    """Signal as a function of tissue parameters, per unit of proton density.

    A subclass defines ``parameter_names``, ``bounds`` and ``signal(theta)``, nothing more.
    Instead of the first two it may define ``parameters``, a tuple of
    :class:`~crbestim.parameters.Parameter`. A real signal that is proportional to one of
    the parameters names it in ``amplitude``: estimators eliminate it, so that data may have
    any scale. If its ``signal`` takes the argument
    ``jacobian``, it also returns the derivatives; otherwise they are computed by
    differences of fourth order. theta is checked before it reaches the ``signal`` of a
    subclass, as a float64 array of shape (n_samples, n_parameters).

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
    >>> s, J = Decay().signal([[20.0]], jacobian=True)
    >>> s.shape, J.shape, Decay().n_features
    ((1, 3), (1, 3, 1), 3)
    """

    is_magnitude = False
    """Whether the signal is the magnitude of a complex signal, and so never negative."""

    amplitude = None
    """Name of the parameter that is the overall factor of a real signal, or None."""

    controls = {}
    """What :mod:`crbestim.design` may change of the acquisition: by argument of the
    constructor, ``(low, high, unit)``, the range that is of use. A number may be an array
    of one for each sample, or the argument a number for all."""

    known_parameters = ()
    """Parameters whose values are given with each sample; see :meth:`given`."""

    known = None
    """Values of these, (n_samples, n_known), once the model is :meth:`at` them."""

    noise = "gaussian"
    """The noise: "gaussian", "rician" (magnitudes only) or a `crbestim.noise.Noise`."""

    difference = "central"
    """What replaces a missing Jacobian: "central" differences, or "none"."""

    difference_step = 2e-4
    """Step of differences, as a fraction of the width of the bounds or, if they exclude
    zero, of the size of the parameter where that is smaller."""

    @property
    def jacobian_accuracy(self):
        """Error of a column of the Jacobian over its norm, by which bounds judge it."""
        # A subclass with its own Jacobian may still pass on differences of its parent.
        hooks = (_hook_of(vars(kind).get("signal")) for kind in type(self).__mro__)
        by_differences = any(hasattr(hook, "differentiates") for hook in hooks)
        if self._has_own_jacobian and not by_differences:
            return self._own_accuracy
        return max(self._own_accuracy, _ACCURACY_OF_DIFFERENCES)

    _own_accuracy = 1e-15
    """The same for the model's own Jacobian: rounding, unless a model says more."""

    _chosen_bounds = None

    def __init_subclass__(cls, **kwargs):
        """Put what computes the signal of a subclass behind the checks of the base."""
        super().__init_subclass__(**kwargs)
        if isinstance(vars(cls).get("bounds"), list | tuple):
            cls.bounds = np.array(cls.bounds, dtype=float)
        described = SignalModel.signal.__doc__
        for parent in cls.__mro__:
            if "signal" in vars(parent):
                own = vars(parent)["signal"]
                if _hook_of(own) is None:
                    cls.signal = checked(own, as_hook(own), described)
                break
            # A user's own `signal` counts, and not a helper of that name.
            is_hook = getattr(_hook_of(cls.signal), "__name__", None) == "_simulate"
            if is_hook and "_simulate" in vars(parent):
                hook = vars(parent)["_simulate"]
                cls.signal = checked(SignalModel.signal, hook, described)
                break

    def __setattr__(self, name, value):
        if name == "signal":
            raise AttributeError(
                f"signal is a method of {type(self).__name__}; define it in a class, or "
                "store this value under another name."
            )
        if name == "amplitude":
            vars(self).pop("_amplitude_column", None)
        is_list = name == "bounds" and isinstance(value, list | tuple)
        super().__setattr__(name, np.array(value, dtype=float) if is_list else value)

    def __repr__(self):
        return self._text()

    _repr_html_ = parameter_table

    def __str__(self):
        # For messages: short, unless a subclass has a text of its own.
        is_own = type(self).__repr__ is not SignalModel.__repr__
        return repr(self) if is_own else self._text(short=True)

    def _text(self, short=False):
        """Return the call that makes the model."""
        return constructor_call(self, short=short, **self._arguments)

    @property
    def _arguments(self):
        """Arguments of the constructor that are not attributes of the same name."""
        chosen = self._chosen_bounds
        return {} if chosen is None else {"bounds": chosen or None}

    def _choose_parameters(self, parameters, bounds):
        """Set the parameters, and the bounds that the user chose by name."""
        self.parameters = choose_parameters(parameters, bounds)
        chosen = [p for p in self.parameters if p.name in (bounds or {})]
        self._chosen_bounds = {p.name: p.bounds for p in chosen}

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
        """Return an attribute that a subclass defines instead of ``parameters``."""
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
        """The model of all parameters that are not constants."""
        return self

    @property
    def periods(self):
        """Periods of the parameters, (n_parameters,); infinite for those without one."""
        return np.array([p.period for p in self.parameters])

    @property
    def n_parameters(self):
        """Number of parameters."""
        return len(self.parameters)

    @property
    def _finite_bounds(self):
        """Bounds with finite values in place of infinite ones, to try the model out."""
        low, high = self.bounds.T
        low = np.where(np.isinf(low), np.where(np.isinf(high), -0.5, high - 1), low)
        return np.column_stack([low, np.where(np.isinf(high), low + 1, high)])

    @cached_property
    def _centre_signal(self):
        return np.asarray(self._checked_signal(self._finite_bounds.mean(axis=1)[None]))

    @property
    def n_features(self):
        """Number of samples of the signal."""
        return self._centre_signal.shape[1]

    @property
    def is_complex(self):
        """Whether the signal is complex, and so known up to a complex factor M0."""
        return self._centre_signal.dtype.kind == "c"

    @cached_property
    def _amplitude_column(self):
        """Column of the amplitude in theta, or None if there is none."""
        return find_amplitude(self)

    def _amplitudes(self, theta):
        """Return the amplitude of each sample, given or in theta; 1 if there is none."""
        column = self._amplitude_column
        return np.ones(len(theta)) if column is None else theta[:, column]

    @property
    def _shape(self):
        """The model of the other parameters at an amplitude of 1; itself without one."""
        from .views import ShapeModel

        return self if self._amplitude_column is None else ShapeModel(self)

    @property
    def has_factor(self):
        """Whether signals are known up to a factor: complex M0, or a real amplitude."""
        return self.is_complex or self._amplitude_column is not None

    def signal(self, theta, jacobian=False):
        """Simulate the signal.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units.
        jacobian : bool, default=False
            Whether to return the derivatives as well.

        Returns
        -------
        s : ndarray of shape (n_samples, n_features)
            Signal; a complex one is per unit of M0.
        J : ndarray of shape (n_samples, n_features, n_parameters)
            Derivatives, only if `jacobian`.

        Raises
        ------
        ValueError
            If theta is not a finite array inside the model's domain.
        MissingJacobianError
            If derivatives are asked for and the model has none.
        """
        return self._simulate(self.check_theta(theta), jacobian)

    def _simulate(self, theta, jacobian=False):
        """Do what `signal` does for checked theta: the hook of models of this library."""
        raise NotImplementedError(
            f"{type(self).__name__} lacks signal(theta), which everything else calls; "
            "define it: (n_samples, n_parameters) to (n_samples, n_features)."
        )

    @property
    def _hook(self):
        """What computes the signal: a user's own `signal`, or `_simulate`."""
        signal = type(self).signal
        # A `signal` assigned to a class after its definition has no wrapper.
        return _hook_of(signal) or as_hook(signal)

    def _checked_signal(self, theta, jacobian=False):
        """Do what `signal` does, for theta that has been checked."""
        return self._hook(self, theta, jacobian=jacobian)

    def _compiled_form(self):
        """Return what a compiled loop over voxels simulates, or None if there is none."""
        return None

    def _simulate_voxels(self, theta, jacobian=False):
        """Return signals and derivatives (or None), NaN where the model fails."""
        try:
            out = self._checked_signal(theta, jacobian)
            return out if jacobian else (out, None)
        except (ArithmeticError, np.linalg.LinAlgError):
            if len(theta) > 1:
                parts = [
                    self.rows([i])._simulate_voxels(row[None], jacobian)
                    for i, row in enumerate(theta)
                ]
                s, ds = zip(*parts, strict=True)
                return np.concatenate(s), np.concatenate(ds) if jacobian else None
        s = np.full((1, self.n_features), np.nan, complex if self.is_complex else float)
        return s, np.repeat(s[:, :, None], theta.shape[1], axis=2) if jacobian else None

    def project(self, theta, basis, jacobian=False):
        """Simulate the signal and project it onto a basis, in blocks of samples.

        Parameters
        ----------
        theta : ndarray of shape (n_samples, n_parameters)
            Result of :meth:`check_theta`, or rows of it.
        basis : ndarray of shape (n_features, n_components)
            Orthonormal columns.
        jacobian : bool, default=False
            Whether to return the derivatives as well.

        Returns
        -------
        s : ndarray of shape (n_samples, n_components)
            Coefficients ``basis^H signal``.
        J : ndarray of shape (n_samples, n_components, n_parameters)
            Their derivatives, only if `jacobian`.
        """
        adjoint, blocks = basis.conj().T, []
        for first in range(0, max(len(theta), 1), _BLOCK):
            part = slice(first, first + _BLOCK)
            out = self.rows(part)._checked_signal(theta[part], jacobian)
            s, rest = (out[0], out[1:]) if jacobian else (out, ())
            # One product a row, because the rounding of a block may depend on its size.
            with one_blas_thread:
                rows = (s[:, None, :] @ adjoint.T)[:, 0]
                blocks.append([rows, *(adjoint @ part for part in rest)])
        parts = [np.concatenate(part) for part in zip(*blocks, strict=True)]
        return tuple(parts) if jacobian else parts[0]

    @property
    def n_reals(self):
        """Number of real numbers in a signal: two a sample if it is complex."""
        return self.n_features * (2 if self.is_complex else 1)

    def _real_numbers(self, data):
        """Return the number of real numbers in measurements, and whether all are real.

        Imaginary parts that are zero throughout a voxel were not measured.
        """
        n, X = len(data), data.X
        is_real = ~X.imag.any(axis=1) if self.is_complex else np.zeros(n, dtype=bool)
        counts = data.counts.sum(axis=1)
        return counts * np.where(is_real | (not self.is_complex), 1, 2), is_real

    def _free_numbers(self, data):
        """Return how many more real numbers than unknowns each voxel has, or none."""
        n_reals, is_real = self._real_numbers(data)
        # The factor M0 of real signals has one unknown less.
        return np.maximum(n_reals - self.n_unknowns + is_real, 0)

    @property
    def n_unknowns(self):
        """Number of real unknowns of a signal: the parameters, and M0 if it is complex."""
        return self.n_parameters + (2 if self.is_complex else 0)

    @property
    def _counts(self):
        """What errors say of the unknowns of a voxel, and of its numbers."""
        m0 = " (with M0)" if self.is_complex else ""
        unknowns, numbers = self.n_unknowns, self.n_reals
        return (
            f"{unknowns} unknown{'s' * (unknowns > 1)}{m0} for {numbers} real "
            f"number{'s' * (numbers > 1)} a voxel"
        )

    @property
    def _zeros_are_data(self):
        """Whether a voxel of zeros is a signal like any other, and not an empty voxel."""
        return not (self.has_factor or self.is_magnitude)

    @property
    def _label(self):
        """What errors call the model."""
        return type(self).__name__

    @property
    def _has_own_jacobian(self):
        return not hasattr(self._hook, "differentiates")

    @property
    def has_jacobian(self):
        """Whether there are derivatives, the model's own or by differences."""
        return self._has_own_jacobian or self.difference != "none"

    def require_jacobian(self, needed_by):
        """Refuse a model without derivatives where they are needed.

        Parameters
        ----------
        needed_by : str
            What needs them: the first words of the error.

        Raises
        ------
        MissingJacobianError
            If the model has none, and ``difference`` is "none".
        """
        if not self.has_jacobian:
            raise MissingJacobianError(
                f"{needed_by} needs a Jacobian; {self._label} has none and "
                "difference='none'. Give one, or set difference='central'."
            )

    def jacobian_error(self, theta, *, own=True):
        """Estimate the error of the Jacobian, the model's own or that by differences.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units.
        own : bool, default=True
            Whether the model's own Jacobian is judged, if it has one; otherwise that by
            differences.

        Returns
        -------
        ndarray of shape (n_samples, n_parameters)
            Estimated norm of the error of each column of the Jacobian, divided by the norm
            of the column. For differences it is estimated from noise, kinks and the length
            of the step; for the model's own derivatives, it is their distance from
            differences plus the error of these. Here, and of differences that are zero
            because only rounding errors would be left, a column counts as no smaller than
            1e-4 times the signal divided by the scale of the parameter.

        Raises
        ------
        ValueError
            If theta is not a finite array inside the model's domain.
        """
        theta = self.check_theta(theta)
        found = self._differences(self._checked_signal, theta, self._checked_signal(theta))
        if not own or not self._has_own_jacobian:
            return found.error / found.norm
        jacobian = self._checked_signal(theta, jacobian=True)[1]
        error = found.error + np.linalg.norm(jacobian - found.jacobian, axis=1)
        return error / found.size

    def _differences(self, simulate, theta, signal):
        return differentiate(simulate, theta, signal, self.parameters, self.difference_step)

    def _jacobian_by_differences(self, simulate, theta, signal):
        """Differentiate `simulate`, with a warning if the result is doubtful."""
        self.require_jacobian("signal(theta, jacobian=True)")
        if theta.shape[1] != self.n_parameters:
            raise ValueError(
                f"super().signal got {theta.shape[1]} of the {self.n_parameters} columns "
                "of theta, and differences need all; call it without jacobian, and let the "
                f"signal of {self._label} be differentiated as a whole."
            )
        found = self._differences(simulate, theta, signal)
        doubtful = (found.error > _INEXACT * found.norm).any(axis=0)
        if doubtful.any():
            names = ", ".join(np.array(self.parameter_names)[doubtful])
            # Without values in the text, Python does not repeat it for every voxel.
            warn(
                f"the derivative of {self._label} with respect to {names} is uncertain by "
                f"more than {_INEXACT:g} of its norm: the signal is noisy, of low "
                "precision or not smooth. Compute it in double precision, give a Jacobian, "
                "or choose another difference_step by jacobian_error(theta)",
                InexactJacobianWarning,
                stacklevel=4,
            )
        return found.jacobian

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
        from .views import CompressedModel

        return CompressedModel(self, basis)

    def whiten(self, covariance):
        """Return the same model, transformed so that its noise is white.

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
        from .views import WhitenedModel

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
        from .views import GivenModel

        return GivenModel(self, constants=values)

    def given(self, *names):
        """Return the model of the other parameters, for data with maps of these.

        Parameters
        ----------
        *names : str
            Parameters whose values are known voxel by voxel, from other measurements:
            estimators take them as ``known``, (n_samples, n_known), in this order.

        Returns
        -------
        GivenModel
            Model of the other parameters; :meth:`at` known values it can simulate signals.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        from .views import GivenModel

        return GivenModel(self._knowing(names), known_names=names)

    def _knowing(self, names):
        """Return the model where these are known, which may allow them other values."""
        return self

    def at(self, known):
        """Return the model at known values, one row per sample.

        Parameters
        ----------
        known : array-like of shape (n_samples, n_known)
            Values of `known_parameters`, in SI units.

        Returns
        -------
        SignalModel
            Model whose theta must have as many rows.

        Raises
        ------
        ValueError
            If the model has no known parameters, or the values do not fit them.
        """
        raise ValueError(
            f"known has values, but {self} is not given any parameter; name those that "
            "it holds, for instance model.given('B1')."
        )

    def rows(self, selection):
        """Return the model of some samples.

        Parameters
        ----------
        selection : slice or array-like
            Rows of theta, as an index of NumPy.

        Returns
        -------
        SignalModel
            Model at the known values of these rows; itself if it has no known values.
        """
        return self

    def check_theta(self, theta):
        """Return theta as a float64 array, or raise an error that says what is wrong.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units; one sample may be a vector.

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
            time instead of a rate.
        """
        theta = as_theta(theta, self.parameter_names)
        if theta.ndim != 2 or theta.shape[1] != self.n_parameters:
            raise ValueError(
                f"theta has shape {theta.shape}; give (n_samples, {self.n_parameters}) "
                f"with columns {', '.join(self.parameter_names)}."
            )
        for k, parameter in enumerate(self.parameters):
            parameter.check(theta[:, k])
        return theta


def m0_by_projection(x, s):
    """Return the factor M0 of each sample, ``s^H x / s^H s``; NaN where s is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (s.conj() * x).sum(axis=1) / (np.abs(s) ** 2).sum(axis=1)


def with_amplitude(theta, column, amplitude):
    """Return theta with the amplitude in its column, after the others are moved."""
    return theta if column is None else np.insert(theta, column, amplitude, axis=1)


def without_amplitude(values, column):
    """Return columns of the other parameters, along the second axis."""
    return values if column is None else np.delete(values, column, axis=1)


def _hook_of(signal):
    """Return what a public `signal` runs, or None if it is a user's own method."""
    owner, hook = getattr(signal, "_runs", (None, None))
    # functools.wraps copies attributes to other functions.
    return hook if owner is signal else None


SignalModel.signal._runs = SignalModel.signal, SignalModel._simulate
