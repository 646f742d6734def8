"""A signal model from a function."""

from contextlib import suppress

import numpy as np
from numba.extending import is_jitted

from .._arrays import as_reals
from .._options import check_by_name, check_choice, check_frozen, check_names
from .._representation import constructor_call
from ..parameters import Parameter
from ._amplitude import find_amplitude
from ._backends import by_numba, by_torch, differentiate_by_torch, is_vectorized
from ._checks import SIGNALS, check_noise, told_not_finite
from ._compiled_form import CompiledForm
from ._differences import setting
from ._magnitude import direction, magnitude
from ._user_forms import form_of_functions
from .base import SignalModel

_BACKENDS = ("auto", "numpy", "numba", "torch")
_DIFFERENCES = ("central", "none")
# Difference of signals, relative to them, that other versions of libraries may make.
_SAME = 1e-6
# Places all over the bounds at which a function is tried if it fails in the middle.
_N_PLACES = 8


class FunctionModel(SignalModel):
    """Signal model from a function of the parameters.

    Parameters
    ----------
    f : callable
        The signal, real or complex: of one sample, (n_parameters,) to (n_features,), or
        of many, (n_samples, n_parameters) to (n_samples, n_features). Use
        `functools.partial` or a closure for constants.
    parameter_names : sequence of str or of Parameter
        Names of the parameters, in the order in which `f` takes them; or
        :class:`~crbestim.parameters.Parameter` objects, which have their own bounds, units
        and distributions.
    bounds : array-like of shape (n_parameters, 2), default=None
        Lower and upper bound of each parameter; only with names.
    jacobian : callable, default=None
        Derivatives of `f`, called in the same way: (n_features, n_parameters) of one
        sample, or (n_samples, n_features, n_parameters) of many. By default automatic
        differentiation with torch, and otherwise differences.
    vectorized : bool or "auto", default="auto"
        Whether `f` takes many samples at a time. "auto" tries it out with NumPy, and
        means False with numba and torch.
    backend : {"auto", "numpy", "numba", "torch"}, default="auto"
        What `f` is written with. "auto" recognizes functions compiled by numba, which,
        if they take one sample, are called in a compiled loop in numba's threads; least
        squares then search in such a loop, too. It does not recognize functions of torch,
        which take and return tensors of double precision.
    difference : {"central", "none"}, default="central"
        What replaces a Jacobian that is neither given nor automatic: differences of
        fourth order, central except near the ends of the domain, or nothing.
    amplitude : str, default=None
        Name of the parameter that is the overall factor of a real signal. Estimators
        eliminate it, so that data may have any scale; its bounds may be (0, inf).
    distributions : dict, default=None
        SciPy frozen distributions by name, for `make_fingerprints`; only with names.
    signal : {"auto", "complex", "magnitude"}, default="auto"
        What is measured: the values of `f`, real or complex as they are; complex values,
        known up to a complex factor M0; or their magnitudes, whose amplitude, if it is
        unknown, is one of the parameters. `f` and `jacobian` are those of the signal before
        the magnitude is taken, which may change its sign, or of the magnitude itself.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        Noise that bounds and fits assume: "rician" is for magnitudes only.
    name : str, default=None
        Name of the model in errors; by default that of `f`.

    Raises
    ------
    TypeError
        If names or bounds are missing or of the wrong type, or `f` is not a function.
    ValueError
        If an option is unknown, `f` or `jacobian` returns an array of the wrong shape, the
        signal or a derivative is not finite in the middle of the bounds, or the signal is
        not proportional to its amplitude.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.bounds import cramer_rao_bound
    >>> from crbestim.models import FunctionModel
    >>> def decay(theta):
    ...     amplitude, rate = theta
    ...     return amplitude * np.exp(-rate * np.array([0.0, 0.01, 0.05]))
    >>> model = FunctionModel(decay, ["S0", "R2"], [(0.0, 2.0), (1.0, 100.0)])
    >>> model
    FunctionModel(decay, ['S0', 'R2'], bounds=[(0.0, 2.0), (1.0, 100.0)])
    >>> np.sqrt(cramer_rao_bound(model, [[1.0, 20.0]], noise_std=0.01)).round(4)
    array([[0.0086, 0.5727]])
    """

    def __init__(
        self,
        f,
        parameter_names,
        bounds=None,
        *,
        jacobian=None,
        vectorized="auto",
        backend="auto",
        difference="central",
        amplitude=None,
        distributions=None,
        signal="auto",
        noise="gaussian",
        name=None,
    ):
        if not callable(f):
            raise TypeError(f"f is {f!r}; give a function of the parameters.")
        if jacobian is not None and not callable(jacobian):
            raise TypeError(f"jacobian is {jacobian!r}; give a function, called as f is.")
        if not isinstance(name, str | None):
            raise TypeError(f"name is {name!r}; give text, or None for that of f.")
        self.f, self.jacobian = f, jacobian
        self.difference = check_choice("difference", difference, _DIFFERENCES)
        self.name = _name(f) if name is None else name
        check_choice("signal", signal, ("auto", *SIGNALS))
        self._options = {"vectorized": vectorized, "backend": backend, "signal": signal}
        if signal == "magnitude":
            self.is_magnitude = True
        self.parameters = _parameters(parameter_names, bounds, distributions)
        self.parameter_names = tuple(p.name for p in self.parameters)
        self.bounds = np.array([p.bounds for p in self.parameters], dtype=float)
        self.backend = self._choose_backend(backend)
        self.vectorized = self._choose_vectorized(vectorized)
        self._try_out()
        kind = "complex" if self.is_complex else "real"
        # Subclasses may have set both.
        self.noise = self.noise if noise == "gaussian" else noise
        check_noise(self.noise, self.is_magnitude, kind)
        self.amplitude = amplitude
        find_amplitude(self)

    def _choose_backend(self, backend):
        check_choice("backend", backend, _BACKENDS)
        compiled = is_jitted(self.f)
        if backend == "numba" and not compiled:
            raise TypeError(
                f"backend='numba' needs a function compiled by numba.njit, and f of "
                f"{self._label} is {self.f!r}; compile it, or leave backend out."
            )
        if backend == "auto":
            return "numba" if compiled else "numpy"
        return backend

    def _choose_vectorized(self, vectorized):
        if isinstance(vectorized, bool | np.bool_):
            return bool(vectorized)
        if not isinstance(vectorized, str) or vectorized != "auto":
            raise ValueError(f"vectorized={vectorized!r}; give True, False or 'auto'.")
        if self.backend != "numpy":
            return False
        low, high = self._finite_bounds.T
        n = self.n_parameters
        middle = np.random.default_rng(0).uniform(0.3, 0.7, (n + 2, n))
        try:
            return is_vectorized(self.f, low + (high - low) * middle)
        except ValueError as error:
            raise ValueError(f"f of {self._label} is unclear: {error}") from error

    def _try_out(self):
        """Find the number and type of the samples of a signal; check the Jacobian."""
        n, m = self.n_parameters, "n_features"
        # Two numbers of rows, because one may equal the number of samples.
        for n_rows in (n + 1, n + 2) if self.vectorized else (1,):
            theta = np.tile(self._finite_bounds.mean(axis=1), (n_rows, 1))
            signal = self._call("f", self.f, theta.copy())
            least = complex if self._options["signal"] == "complex" else float
            self._dtype = np.result_type(signal.dtype, least)
            if m == "n_features" and signal.ndim == 2:
                m = signal.shape[1]
            signal = self._checked("f", signal, theta, (m,))
            # By which a file tells whether the function is still the same.
            self._n_features, self._example = signal.shape[1], signal[0]
            if not self._n_features:
                raise ValueError(
                    f"f of {self._label} returned no samples; give one or more."
                )
            if self.jacobian is not None:
                # In Python, because a compiled loop checks only the number of values.
                jacobian = self._call("jacobian", self.jacobian, theta.copy())
                self._checked("jacobian", jacobian, theta, (m, n))
        self._refuse_nothing_finite(theta[:1], signal[0])

    def _refuse_nothing_finite(self, middle, signal):
        """Refuse a function whose samples, or their derivatives, are never finite."""
        told = self._told_not_finite(middle, signal)
        low, high = self._finite_bounds.T
        # Formulas may have gaps, such as in the middle, but not everywhere.
        strata = np.tile((np.arange(_N_PLACES) + 0.5) / _N_PLACES, (len(low), 1))
        shares = np.random.default_rng(0).permuted(strata, axis=1).T
        for theta in low + (high - low) * shares:
            if told is None:
                return
            signal = self._call("f", self.f, theta[None].copy())[0]
            told = self._told_not_finite(theta[None], signal)
        if told is not None:
            raise ValueError(
                f"{told}, as all over the bounds of {self._label}; mend the function, or "
                "move the bounds."
            )

    def _told_not_finite(self, theta, signal):
        """Say what is not finite, or return None; derivatives only if they are its own."""
        jacobian = None
        if self.jacobian is not None:
            jacobian = self._call("jacobian", self.jacobian, theta.copy())[0]
        elif self.backend == "torch":
            # What torch cannot differentiate fails where derivatives are needed.
            with suppress(RuntimeError):
                jacobian = differentiate_by_torch(self.f, theta, self.vectorized)[1][0]
        return told_not_finite(self.parameter_names, signal, jacobian)

    def _change(self):
        """Return how f differs from the function that the model was made with, or None."""
        if not hasattr(self, "_example"):
            return None
        theta = self._finite_bounds.mean(axis=1)[None]
        try:
            found = self._call("f", self.f, np.repeat(theta, 1 + self.vectorized, axis=0))[
                0
            ]
        except Exception as error:
            return f"fails with {type(error).__name__}: {error}"
        if found.shape != self._example.shape:
            return f"has {found.size} samples and not {self._example.size}"
        atol = _SAME**2 * np.nanmax(np.abs(self._example), initial=0.0)
        wrong = ~np.isclose(found, self._example, rtol=_SAME, atol=atol, equal_nan=True)
        if not wrong.any():
            return None
        i = int(np.argmax(wrong))
        return f"is {found[i]:.6g} and not {self._example[i]:.6g} in sample {i}"

    def _text(self, short=False):
        bare = ("f", "parameter_names")
        return constructor_call(self, short=short, bare=bare, **self._arguments)

    @property
    def _arguments(self):
        names, bounds = list(self.parameter_names), [p.bounds for p in self.parameters]
        drawn = {p.name: p.distribution for p in self.parameters if p.distribution}
        if self.parameters != tuple(_named(names, bounds, drawn)):
            names, bounds, drawn = list(self.parameters), None, None
        name = None if self.name == _name(self.f) else self.name
        given = {"parameter_names": names, "bounds": bounds, "distributions": drawn or None}
        signal = {"signal": "magnitude"} if self.is_magnitude else {}
        return given | {"name": name, "signal": "auto"} | self._options | signal

    @property
    def _label(self):
        return f"FunctionModel {self.name!r}"

    @property
    def n_features(self):
        """Number of samples of the signal."""
        return self._n_features

    @property
    def is_complex(self):
        """Whether the signal is complex, and so known up to a complex factor M0."""
        return self._dtype.kind == "c" and not self.is_magnitude

    @property
    def _has_own_jacobian(self):
        is_given = self.jacobian is not None or self.backend == "torch"
        return super()._has_own_jacobian and is_given

    def _simulate(self, theta, jacobian=False):
        if jacobian and self.jacobian is None and self.backend != "torch":
            values = self._of_f(theta)
            s = magnitude(values) if self.is_magnitude else values
            simulate = self._along(values)
            return s, self._jacobian_by_differences(simulate, theta, s)
        out = self._of_f(theta, jacobian)
        if not self.is_magnitude:
            return out
        return magnitude(*out) if jacobian else magnitude(out)

    def _of_f(self, theta, jacobian=False):
        """Return the values of f, and its own derivatives."""
        shapes = (self.n_features,), (self.n_features, self.n_parameters)
        if jacobian and self.jacobian is None and len(theta):
            both = differentiate_by_torch(self.f, theta.copy(), self.vectorized)
            parts = zip(both, shapes, strict=True)
            return tuple(self._checked("f", part, theta, shape) for part, shape in parts)
        s = self._values("f", self.f, theta, shapes[0])
        if not jacobian:
            return s
        return s, self._values("jacobian", self.jacobian, theta, shapes[1])

    def _along(self, values):
        """Return what has the derivatives of the signal where f has these values.

        Magnitudes have kinks at zero; the part along the sign or phase there has none.
        """
        if not self.is_magnitude:
            return self._of_f
        towards = direction(values)
        return lambda theta: (towards * self._of_f(theta)).real

    def _differences(self, simulate, theta, signal):
        if self.is_magnitude and self._hook is FunctionModel._simulate:
            simulate = self._along(self._of_f(theta))
        return super()._differences(simulate, theta, signal)

    def _compiled_form(self):
        is_own = self._hook is FunctionModel._simulate and self.has_jacobian
        is_compiled = self.backend == "numba" and not self.vectorized
        if not is_own or not is_compiled or not is_jitted(self.jacobian or self.f):
            return None
        n, step = self.n_parameters, self.difference_step
        return CompiledForm(
            form_of_functions(
                self.f, self.jacobian, self._dtype.kind == "c", self.is_magnitude
            ),
            np.array([setting(p, step) for p in self.parameters]),
            self.n_features,
            self.is_complex,
            np.zeros(n),
            np.arange(n),
            np.arange(0),
            is_costly=self.jacobian is None,
        )

    def _values(self, what, function, theta, shape):
        """Return the values of a function in the signal's type, a row per sample."""
        # A copy, because a function may change its argument.
        theta = np.array(theta, dtype=float, order="C")
        out = np.empty((len(theta), *shape), self._dtype)
        if not len(theta):
            return out
        if self.backend == "numba" and not self.vectorized and is_jitted(function):
            by_numba(function, theta, out)
            return out
        return self._checked(what, self._call(what, function, theta), theta, shape)

    def _call(self, what, function, theta):
        try:
            if self.backend == "torch":
                return by_torch(function, theta, self.vectorized)
            if self.vectorized:
                return np.asarray(function(theta))
            return np.stack([function(row) for row in theta])
        except Exception as error:
            shape = theta.shape if self.vectorized else theta.shape[1:]
            error.add_note(f"raised by {what} of {self._label} for theta of shape {shape}")
            raise

    def _checked(self, what, values, theta, shape):
        """Return values in the signal's type, if they have the right shape and type."""
        shapes = values.shape, theta.shape, (len(theta), *shape)
        if shapes[0] != shapes[2]:
            found, given, wanted = shapes if self.vectorized else (s[1:] for s in shapes)
            wanted = ", ".join(map(str, wanted))
            raise ValueError(
                f"{what} of {self._label} returned shape {found} for theta of shape "
                f"{given}; with vectorized={self.vectorized} it must return ({wanted})."
            )
        if values.dtype.kind not in "fciub":
            raise TypeError(
                f"{what} of {self._label} returned {values.dtype}; it must return numbers."
            )
        if values.dtype.kind == "c" and self._dtype.kind != "c":
            raise ValueError(
                f"{what} of {self._label} returned complex numbers, but the signal is real "
                "in the middle of the bounds; let f return complex numbers everywhere."
            )
        return values.astype(self._dtype, copy=False)


def _name(f):
    """Return the name of a function, also of that in a `functools.partial`."""
    f = getattr(f, "func", f)
    return getattr(f, "__name__", type(f).__name__)


def _parameters(names, bounds, distributions):
    """Return the parameters, made from names and bounds unless they are given."""
    ready = []
    if isinstance(names, list | tuple):
        ready = [name for name in names if isinstance(name, Parameter)]
    if ready and (len(ready) < len(names) or bounds is not None or distributions):
        raise TypeError(
            "parameter_names holds Parameter objects, which have bounds and distributions "
            "of their own; give only such objects, and leave out bounds and distributions."
        )
    if ready:
        names = [p.name for p in ready]
    names = check_names(names, "parameter_names")
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"parameter_names are {list(names)}; give names that differ.")
    return tuple(ready or _named(names, bounds, distributions))


def _named(names, bounds, distributions):
    """Return parameters made from names, bounds and distributions."""
    if bounds is None:
        raise TypeError("bounds are missing; give a row (low, high) for each parameter.")
    bounds = as_reals(bounds, "bounds")
    if bounds.shape != (len(names), 2):
        raise ValueError(
            f"bounds have shape {bounds.shape}; give ({len(names)}, 2), a row (low, high) "
            f"for each of {names}."
        )
    what = "distributions"
    distributions = check_by_name(distributions, names, what, "SciPy frozen distributions")
    for name, frozen in distributions.items():
        check_frozen(frozen, f"{what}[{name!r}]")
    return [
        Parameter(name, bounds=tuple(row.tolist()), distribution=distributions.get(name))
        for name, row in zip(names, bounds, strict=True)
    ]
