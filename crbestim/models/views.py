r"""Views of a model: its signal after a linear map, or some of its parameters given.

Noise n of covariance C = L L^H, with L lower triangular, is white after multiplication by
L^-1, and the signal s becomes L^-1 s. The information of the whitened signal in white noise
of standard deviation 1 is therefore Re(J^H C^-1 J), that of the signal in its own noise.
"""

from copy import copy
from functools import partial

import numpy as np

from .._arrays import as_numbers
from .._linear_algebra import whitening_matrix
from .._options import check_names
from .._representation import values_or
from .._threads import one_blas_thread
from .._validation import check_known, check_model
from ._checks import argument_for, check_constants, refuse_noise
from .base import SignalModel, with_amplitude


class ModelView(SignalModel):
    """A model made from another one, its attribute ``model``.

    A subclass returns in ``_step()`` the text of the method calls that make it.
    """

    def _text(self, short=False):
        return (str if short else repr)(self.model) + self._step(short)

    @property
    def n_features(self):
        """Number of samples of the signal."""
        return self.model.n_features

    @property
    def is_complex(self):
        """Whether the signal is complex."""
        return self.model.is_complex

    @property
    def difference(self):
        """What replaces a missing Jacobian of the model."""
        return self.model.difference

    @property
    def difference_step(self):
        """Step of differences of the model."""
        return self.model.difference_step

    @property
    def _own_accuracy(self):
        return self.model.jacobian_accuracy

    @property
    def _has_own_jacobian(self):
        return self.model._has_own_jacobian

    @property
    def _label(self):
        return self.model._label


class LinearView(ModelView):
    """Signals of another model after a linear map, with the same parameters."""

    @property
    def amplitude(self):
        """Name of the parameter that is the overall factor of a real signal, or None."""
        return None if self.is_complex else self.model.amplitude

    @property
    def _amplitude_column(self):
        return None if self.is_complex else self.model._amplitude_column

    def _amplitudes(self, theta):
        return self.model._amplitudes(theta)

    @property
    def noise(self):
        """The noise, which is Gaussian; see `SignalModel.noise`."""
        return self.model.noise

    @property
    def parameters(self):
        """The parameters of the model."""
        return self.model.parameters

    @property
    def parameter_names(self):
        """Names of the columns of theta."""
        return self.model.parameter_names

    @property
    def bounds(self):
        """Bounds of the parameters, of shape (n_parameters, 2)."""
        return self.model.bounds

    @property
    def known_parameters(self):
        """Parameters whose values are given with each sample."""
        return self.model.known_parameters

    @property
    def known(self):
        """Values of these, (n_samples, n_known), once the model is at them."""
        return self.model.known

    def fix(self, **values):
        """Hold some parameters at constants; see `SignalModel.fix`."""
        return self._of(self.model.fix(**values))

    def given(self, *names):
        """Take the values of some parameters as known; see `SignalModel.given`."""
        return self._of(self.model.given(*names))

    def at(self, known):
        """Return the model at known values; see `SignalModel.at`."""
        return self._of(self.model.at(known))

    def rows(self, selection):
        """Return the model of some samples; see `SignalModel.rows`."""
        return self._of(self.model.rows(selection)) if self.known_parameters else self

    @property
    def whole(self):
        """The model of all parameters that are not constants."""
        return self._of(self.model.whole) if self.known_parameters else self

    @property
    def _zeros_are_data(self):
        return not self.is_complex and self.model._zeros_are_data

    def _of(self, model):
        """Return the same view of another model."""
        view = copy(self)
        view.model = model
        return view


class ShapeModel(LinearView):
    """Signals of a real model at an amplitude of 1: the model of its other parameters.

    There may be no other.

    Parameters
    ----------
    model : SignalModel
        A model with an amplitude.

    Examples
    --------
    >>> from crbestim.models import MonoExponential
    >>> from crbestim.models.views import ShapeModel
    >>> shape = ShapeModel(MonoExponential([0.0, 0.1], signal="magnitude"))
    >>> shape.parameter_names
    ('T2',)
    >>> shape.signal([[0.1]]).round(3)
    array([[1.   , 0.368]])
    """

    amplitude = _amplitude_column = None

    def __init__(self, model):
        self.model = model

    @property
    def is_magnitude(self):
        """Whether the signal is the magnitude of a complex one."""
        return self.model.is_magnitude

    @property
    def parameters(self):
        """The parameters of the model without its amplitude."""
        return tuple(p for p in self.model.parameters if p.name != self.model.amplitude)

    @property
    def parameter_names(self):
        """Names of the columns of theta."""
        return tuple(p.name for p in self.parameters)

    @property
    def bounds(self):
        """Bounds of the parameters, of shape (n_parameters, 2)."""
        return np.delete(self.model.bounds, self.model._amplitude_column, axis=0)

    def _amplitudes(self, theta):
        return np.ones(len(theta))

    def _step(self, short):
        return " at an amplitude of 1"

    def _compiled_form(self):
        form = self.model._compiled_form()
        return None if form is None else form.holding({self.model._amplitude_column: 1.0})

    def _simulate(self, theta, jacobian=False):
        column = self.model._amplitude_column
        out = self.model._checked_signal(with_amplitude(theta, column, 1.0), jacobian)
        return (out[0], np.delete(out[1], column, axis=2)) if jacobian else out


class CompressedModel(LinearView):
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
        is Rician: coefficients do not have Rician noise.

    Notes
    -----
    Coefficients of magnitudes are not magnitudes: their noise is taken as Gaussian, which
    is accurate where the signal is well above the noise.

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
        check_model(model)
        refuse_noise(model, "which does not stay so in a basis; compress")
        self.model = model
        basis = as_numbers(basis, "basis").copy()
        if basis.ndim != 2 or basis.shape[0] != model.n_features or not basis.size:
            raise ValueError(
                f"basis has shape {basis.shape}; give ({model.n_features}, n_components), "
                "a row for each sample of the signal."
            )
        if not np.isfinite(basis).all():
            raise ValueError("basis holds values that are not finite numbers.")
        with np.errstate(over="ignore", invalid="ignore"):
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

    def _step(self, short):
        size = f"basis of {self.n_features} components"
        return f".compress({values_or(size, self.basis, short)})"

    def _simulate(self, theta, jacobian=False):
        return self.model.project(theta, self.basis, jacobian=jacobian)


class WhitenedModel(LinearView):
    """Signals of a model, transformed so that their noise is white.

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
        check_model(model)
        refuse_noise(model, "which no linear map makes white; whiten")
        self.model = model
        self.covariance = as_numbers(covariance, "covariance").copy()
        self.whitening = whitening_matrix(covariance, model.n_features)
        self.whitening.flags.writeable = False
        if self.whitening.dtype.kind == "c" and not model.is_complex:
            raise ValueError(
                f"covariance is complex, but the signal of {model}, and so its noise, is "
                "real; give a real covariance."
            )

    @property
    def mixes_samples(self):
        """Whether a whitened sample comes from several measured ones."""
        return bool(np.any(self.whitening != np.diag(np.diag(self.whitening))))

    def _step(self, short):
        size = f"covariance of {self.n_features} features"
        return f".whiten({values_or(size, self.covariance, short)})"

    def _simulate(self, theta, jacobian=False):
        out = self.model._checked_signal(theta, jacobian)
        if not jacobian:
            return self._whiten(out[:, :, None])[:, :, 0]
        signal, derivatives = out
        return self._whiten(signal[:, :, None])[:, :, 0], self._whiten(derivatives)

    @one_blas_thread
    def _whiten(self, columns):
        return self.whitening @ columns


class GivenModel(ModelView):
    """Model of the remaining parameters, when the values of others are given.

    The given parameters are not part of the Fisher information, nor of the Cramér-Rao
    bound: the bound of the others assumes that the given values are exact.

    Parameters
    ----------
    model : SignalModel
        Model of all parameters.
    constants : dict of float, default=None
        Values by parameter name, in SI units, the same in all samples.
    known_names : sequence of str, default=()
        Parameters whose values are given with each sample, through :meth:`at`.

    Attributes
    ----------
    known : ndarray of shape (n_samples, n_known) or None
        Values of the known parameters, once the model is at them.

    Raises
    ------
    ValueError
        If there is no such parameter, it is given twice, none is left, or a constant is
        not a real number or outside its domain.

    Examples
    --------
    >>> from crbestim.bounds import cramer_rao_bound
    >>> from crbestim.models import MagnetizationTransfer
    >>> from crbestim.sequences import HybridStateSequence
    >>> model = MagnetizationTransfer(HybridStateSequence.default())
    >>> tissue = [[0.15, 0.8, 13.0, 25.0, 12e-6, 100.0, 0.95]]
    >>> unknown_b1 = cramer_rao_bound(model, tissue)
    >>> known_b1 = model.given("B1").at([[0.95]])
    >>> ratio = cramer_rao_bound(known_b1, [tissue[0][:-1]]) / unknown_b1[:, :-1]
    >>> bool((ratio < 1).all())
    True
    """

    def __init__(self, model, constants=None, known_names=()):
        check_model(model)
        self.model, self.known = model, None
        self.constants = check_constants(constants)
        known_names = check_names(known_names, "known_names")
        self._check_names([*self.constants, *known_names])
        by_name = {p.name: p for p in model.parameters}
        for name, value in self.constants.items():
            by_name[name].check(np.array([value]), "the constants")
        self.known_parameters = tuple(by_name[name] for name in known_names)
        taken = {*self.constants, *known_names}
        self.parameters = tuple(p for p in model.parameters if p.name not in taken)
        if not self.parameters:
            raise ValueError(f"all parameters of {model} are given; leave one to estimate.")

    def _check_names(self, given):
        names = self.model.parameter_names
        for i, name in enumerate(given):
            if not isinstance(name, str) or name not in names:
                raise ValueError(
                    f"{name!r} is not a parameter; those of {self.model} are "
                    f"{', '.join(names)}.{argument_for(self.model, name)}"
                )
            if name in given[:i]:
                raise ValueError(f"{name} is given twice; give it once.")

    @property
    def is_magnitude(self):
        """Whether the signal is the magnitude of a complex one."""
        return self.model.is_magnitude

    @property
    def amplitude(self):
        """Name of the parameter that is the overall factor of a real signal, or None."""
        name = self.model.amplitude
        return name if name in self.parameter_names else None

    @property
    def _amplitude_column(self):
        is_left = self.model._amplitude_column is not None and self.amplitude is not None
        return self.parameter_names.index(self.amplitude) if is_left else None

    def _amplitudes(self, theta):
        return self.model._amplitudes(self.join(theta))

    @property
    def noise(self):
        """The noise; see `SignalModel.noise`."""
        return self.model.noise

    @property
    def whole(self):
        """The model of all parameters that are not constants."""
        return GivenModel(self.model, self.constants) if self.constants else self.model

    def _step(self, short):
        text = ""
        if self.constants:
            constants = ", ".join(f"{k}={v!r}" for k, v in self.constants.items())
            text += f".fix({constants})"
        if self.known_parameters:
            text += f".given({', '.join(map(repr, self.known_names))})"
        if self.known is None:
            return text
        return f"{text}.at({values_or(f'{len(self.known)} samples', self.known, short)})"

    def fix(self, **values):
        """Hold more parameters at constants; see `SignalModel.fix`."""
        self._check_names([*self.constants, *self.known_names, *values])
        fixed = GivenModel(self.model, self.constants | values, self.known_names)
        return fixed._with(self.known)

    def given(self, *names):
        """Take the values of more parameters as known; see `SignalModel.given`."""
        model = self.model._knowing(names)
        return GivenModel(model, self.constants, (*self.known_names, *names))

    def at(self, known):
        """Return the model at known values; see `SignalModel.at`."""
        if not self.known_parameters:
            return super().at(known)
        known = check_known(known, self.known_names)
        for k, parameter in enumerate(self.known_parameters):
            parameter.check(known[:, k], "known")
        return self._with(known)

    def rows(self, selection):
        """Return the model of some samples; see `SignalModel.rows`."""
        if self.known is None:
            return self
        try:
            known = self.known[selection]
        except IndexError:
            known = None
        if np.ndim(known) != 2:
            raise ValueError(
                f"selection = {selection!r} selects no rows of {len(self.known)}; give a "
                "slice, a list of their numbers or a vector of True and False."
            )
        return self._with(known)

    def _with(self, known):
        twin = copy(self)
        twin.known = known
        return twin

    def _simulate(self, theta, jacobian=False):
        if jacobian and not self._has_own_jacobian:
            own = partial(GivenModel._simulate, self)
            s = own(theta)
            return s, self._jacobian_by_differences(own, theta, s)
        out = self.model._checked_signal(self.join(theta), jacobian)
        return self._own(out, jacobian)

    def project(self, theta, basis, jacobian=False):
        """Simulate and project onto a basis; see `SignalModel.project`."""
        whole = self.join(theta)
        if not jacobian or self._has_own_jacobian:
            return self._own(self.model.project(whole, basis, jacobian), jacobian)
        return super().project(theta, basis, jacobian)

    def _own(self, out, jacobian):
        """Leave out the derivatives with respect to given parameters."""
        if not jacobian:
            return out
        return out[0], np.ascontiguousarray(out[1][:, :, self._columns(self.parameters)])

    def _compiled_form(self):
        form = self.model._compiled_form()
        # Without known values there is no signal, and those of another view are its own.
        is_open = self.known is None and self.known_parameters
        if self._hook is not GivenModel._simulate or form is None or is_open:
            return None
        if form.known is not None:
            return None
        names = self.model.parameter_names
        constants = {names.index(name): value for name, value in self.constants.items()}
        return form.holding(constants, self._columns(self.known_parameters), self.known)

    def join(self, theta):
        """Return theta of the whole model, with the given values in their columns."""
        if self.known_parameters and self.known is None:
            raise ValueError(
                f"{self} needs the values of {', '.join(self.known_names)} in each "
                "sample: pass known to the estimator, or simulate model.at(known)."
            )
        if self.known is not None and len(self.known) != len(theta):
            raise ValueError(
                f"theta has {len(theta)} rows, but known values were given for "
                f"{len(self.known)}; they must agree."
            )
        whole = np.empty((len(theta), self.model.n_parameters))
        whole[:, self._columns(self.parameters)] = theta
        if self.known is not None:
            whole[:, self._columns(self.known_parameters)] = self.known
        for name, value in self.constants.items():
            whole[:, self.model.parameter_names.index(name)] = value
        return whole

    def _columns(self, parameters):
        names = self.model.parameter_names
        return [names.index(p.name) for p in parameters]
