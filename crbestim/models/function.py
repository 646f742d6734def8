"""A signal model from a function."""

import numpy as np
from numba.extending import is_jitted

from ..parameters import Parameter
from .base import SignalModel
from .batches import by_numba, by_torch, differentiate_by_torch, is_vectorized

_BACKENDS = ("auto", "numpy", "numba", "torch")
_DIFFERENCES = ("central", "none")


class FunctionModel(SignalModel):
    """Signal model from a function of the parameters.

    Parameters
    ----------
    f : callable
        The signal, real or complex: of one sample, (n_parameters,) to (n_features,), or
        of many, (n_samples, n_parameters) to (n_samples, n_features). Constants go into
        it by `functools.partial` or a closure.
    parameter_names : sequence of str or of Parameter
        Names of the parameters, in the order in which `f` takes them; or parameters,
        which have bounds, units and distributions of their own.
    bounds : array-like of shape (n_parameters, 2), default=None
        Lower and upper bound of each parameter; for names only.
    jacobian : callable, default=None
        Derivatives of `f`, called as `f` is: (n_features, n_parameters) of one sample,
        or (n_samples, n_features, n_parameters). By default they are automatic with
        torch, and otherwise differences.
    vectorized : bool or "auto", default="auto"
        Whether `f` takes many samples at a time. By default tried out with NumPy, and
        False with numba and torch.
    backend : {"auto", "numpy", "numba", "torch"}, default="auto"
        What `f` is written with. A function compiled by numba is recognized; as one of
        one sample it is called in a compiled loop, in numba's threads. One of torch is
        not: it takes and returns tensors of double precision.
    difference : {"central", "none"}, default="central"
        What stands in for a Jacobian that is neither given nor automatic: differences
        of fourth order, central but near the ends of the domain, or nothing.
    distributions : dict, default=None
        SciPy frozen distributions by name, for `make_fingerprints`; for names only.
    name : str, default=None
        What errors call the model; by default the name of `f`.

    Raises
    ------
    TypeError
        If names or bounds are missing or of another kind, or `f` is not a function.
    ValueError
        If an option is unknown, or what `f` or `jacobian` returns has another shape.

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
    FunctionModel(decay, S0, R2)
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
        distributions=None,
        name=None,
    ):
        if not callable(f):
            raise TypeError(f"f is {f!r}; give a function of the parameters.")
        self.f, self.jacobian, self.difference = f, jacobian, difference
        self.name = _name(f) if name is None else name
        self.parameters = _parameters(parameter_names, bounds, distributions or {})
        self.parameter_names = tuple(p.name for p in self.parameters)
        self.bounds = np.array([p.bounds for p in self.parameters], dtype=float)
        self.backend = self._choose_backend(backend)
        if difference not in _DIFFERENCES:
            raise ValueError(
                f"difference={difference!r} is unknown; choose one of {_DIFFERENCES}."
            )
        self.vectorized = self._choose_vectorized(vectorized)
        self._try_out()

    def _choose_backend(self, backend):
        if backend not in _BACKENDS:
            raise ValueError(f"backend={backend!r} is unknown; choose one of {_BACKENDS}.")
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
        if vectorized in (True, False):
            return bool(vectorized)
        if vectorized != "auto":
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
        """Learn how many numbers of which type a signal has, and check the Jacobian."""
        n = self.n_parameters
        theta = np.tile(self._finite_bounds.mean(axis=1), (n + 1, 1))
        if not self.vectorized:
            theta = theta[:1]
        signal = self._call("f", self.f, theta.copy())
        self._dtype = np.result_type(signal.dtype, float)
        m = signal.shape[1] if signal.ndim == 2 else "n_features"
        self._n_features = self._checked("f", signal, theta, (m,)).shape[1]
        if self.jacobian is not None:
            # As Python calls it: a compiled loop counts numbers, and sees no shapes.
            jacobian = self._call("jacobian", self.jacobian, theta.copy())
            self._checked("jacobian", jacobian, theta, (m, n))

    def __repr__(self):
        return f"FunctionModel({self.name}, {', '.join(self.parameter_names)})"

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
        return self._dtype.kind == "c"

    @property
    def _has_own_jacobian(self):
        return self.jacobian is not None or self.backend == "torch"

    def signal(self, theta, jacobian=False):
        """Call the function.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters.
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
        MissingJacobianError
            If derivatives are wanted and there are none.
        ValueError
            If theta is not a finite array inside the domain, or the function returns
            something of another shape.
        """
        return self.simulate(self.check_theta(theta), jacobian)

    def simulate(self, theta, jacobian=False):
        """Simulate theta that has been checked; see `SignalModel.simulate`."""
        shapes = (self.n_features,), (self.n_features, self.n_parameters)
        if jacobian and self.jacobian is None and self.backend == "torch" and len(theta):
            both = differentiate_by_torch(self.f, theta.copy(), self.vectorized)
            parts = zip(both, shapes, strict=True)
            return tuple(self._checked("f", part, theta, shape) for part, shape in parts)
        s = self._values("f", self.f, theta, shapes[0])
        if not jacobian:
            return s
        if self.jacobian is None:
            return s, self._central_differences(theta, s)
        return s, self._values("jacobian", self.jacobian, theta, shapes[1])

    def _values(self, what, function, theta, shape):
        """Values of a function, of the signal's type, in a row for each sample."""
        # A copy: a function may change its argument.
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
        """Values as the signal's type, or an error that says what is wrong with them."""
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
        if values.dtype.kind == "c" and not self.is_complex:
            raise ValueError(
                f"{what} of {self._label} returned complex numbers, but the signal is real "
                "in the middle of the bounds; let f return complex numbers everywhere."
            )
        return values.astype(self._dtype, copy=False)


def _name(f):
    """Name of a function, or of that which a `functools.partial` holds."""
    f = getattr(f, "func", f)
    return getattr(f, "__name__", type(f).__name__)


def _parameters(names, bounds, distributions):
    """Parameters from names and bounds, or as they are given."""
    if isinstance(names, str):
        raise TypeError(f"parameter_names is {names!r}; give a sequence, ({names!r},).")
    names = tuple(names)
    ready = [name for name in names if isinstance(name, Parameter)]
    if ready and (len(ready) < len(names) or bounds is not None or distributions):
        raise TypeError(
            "parameter_names holds Parameter objects, which have bounds and distributions "
            "of their own; give nothing but such objects, and leave the others out."
        )
    if not ready:
        ready = _named(names, bounds, distributions)
    labels = [p.name for p in ready]
    if len(set(labels)) < len(labels) or not labels:
        raise ValueError(f"parameter_names are {labels}; give names that differ.")
    return tuple(ready)


def _named(names, bounds, distributions):
    if bounds is None:
        raise TypeError("bounds are missing; give a row (low, high) for each parameter.")
    try:
        bounds = np.asarray(bounds, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"bounds are {bounds!r}; give a row (low, high) of numbers for each of {names}."
        ) from error
    if bounds.shape != (len(names), 2):
        raise ValueError(
            f"bounds have shape {bounds.shape}; give ({len(names)}, 2), a row (low, high) "
            f"for each of {names}."
        )
    unknown = sorted(set(distributions) - set(names))
    if unknown:
        raise ValueError(
            f"distributions name {', '.join(unknown)}; the parameters are "
            f"{', '.join(names)}."
        )
    return [
        Parameter(name, bounds=tuple(row.tolist()), distribution=distributions.get(name))
        for name, row in zip(names, bounds, strict=True)
    ]
