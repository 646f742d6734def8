"""A model some of whose parameters are given: constants, or known in each voxel."""

from copy import copy

import numpy as np

from .base import SignalModel
from .columns import check_column
from .derivatives import DifferentiableView


class GivenModel(DifferentiableView, SignalModel):
    """A model of the parameters that are left, when others are given.

    What is given leaves the Fisher information, and with it the Cramér-Rao bound: the bound
    of the others is that of a perfect knowledge of the values given.

    Parameters
    ----------
    model : SignalModel
        Model of all parameters.
    constants : dict of float, default=None
        Values by parameter name, in SI units, the same in all samples.
    known_names : sequence of str, default=()
        Parameters whose values come with each sample, through :meth:`at`.

    Attributes
    ----------
    known : ndarray of shape (n_samples, n_known) or None
        Values of the known parameters, once the model is at them.

    Raises
    ------
    ValueError
        If there is no such parameter, it is given twice, none is left, or a constant is no
        real number or outside its domain.

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
        self.model, self.known = model, None
        self.constants = {name: _number(name, v) for name, v in (constants or {}).items()}
        self._check_names([*self.constants, *known_names])
        by_name = {p.name: p for p in model.parameters}
        for name, value in self.constants.items():
            check_column(by_name[name], np.array([value]), "the constants")
        self.known_parameters = tuple(by_name[name] for name in known_names)
        taken = {*self.constants, *known_names}
        self.parameters = tuple(p for p in model.parameters if p.name not in taken)
        if not self.parameters:
            raise ValueError(
                f"all parameters of {model!r} are given; leave one to estimate."
            )

    def _check_names(self, given):
        names = self.model.parameter_names
        for i, name in enumerate(given):
            if name not in names:
                raise ValueError(
                    f"{name!r} is no parameter; those of {self.model!r} are "
                    f"{', '.join(names)}."
                )
            if name in given[:i]:
                raise ValueError(f"{name} is given twice; give it once.")

    @property
    def n_features(self):
        """Number of samples of the signal."""
        return self.model.n_features

    @property
    def is_complex(self):
        """Whether the signal is complex."""
        return self.model.is_complex

    @property
    def is_magnitude(self):
        """Whether the signal is the magnitude of a complex one."""
        return self.model.is_magnitude

    @property
    def noise(self):
        """Distribution of the noise."""
        return self.model.noise

    @property
    def whole(self):
        """The model of all parameters that are no constants."""
        return GivenModel(self.model, self.constants) if self.constants else self.model

    def __repr__(self):
        text = repr(self.model)
        if self.constants:
            constants = ", ".join(f"{k}={v:g}" for k, v in self.constants.items())
            text += f".fix({constants})"
        if self.known_parameters:
            text += f".given({', '.join(map(repr, self.known_names))})"
        return text if self.known is None else f"{text}.at(<{len(self.known)} samples>)"

    def fix(self, **values):
        """Hold more parameters at constants; see `SignalModel.fix`."""
        self._check_names([*self.constants, *self.known_names, *values])
        fixed = GivenModel(self.model, self.constants | values, self.known_names)
        return fixed._with(self.known)

    def given(self, *names):
        """Take the values of more parameters as known; see `SignalModel.given`."""
        return GivenModel(self.model, self.constants, (*self.known_names, *names))

    def at(self, known):
        """Return the model at known values; see `SignalModel.at`."""
        if not self.known_parameters:
            return super().at(known)
        known = check_known(known, self.known_names)
        for k, parameter in enumerate(self.known_parameters):
            check_column(parameter, known[:, k], "known")
        return self._with(known)

    def rows(self, selection):
        """Return the model of some samples; see `SignalModel.rows`."""
        return self if self.known is None else self._with(self.known[selection])

    def _with(self, known):
        twin = copy(self)
        twin.known = known
        return twin

    def signal(self, theta, jacobian=False):
        """Simulate the signal.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters that are left, in SI units; with known ones as many rows as those.
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
            If theta does not fit the model or its known values, or these are missing.
        """
        return self.simulate(self.check_theta(theta), jacobian)

    def simulate(self, theta, jacobian=False):
        """Simulate theta that has been checked; see `SignalModel.simulate`."""
        if jacobian and not self._has_own_jacobian:
            s = self.simulate(theta)
            return s, self._central_differences(theta, s)
        return self._own(self.model.simulate(self.join(theta), jacobian), jacobian)

    def project(self, theta, basis, jacobian=False):
        """Simulate and project onto a basis; see `SignalModel.project`."""
        whole = self.join(theta)
        if not jacobian or self._has_own_jacobian:
            return self._own(self.model.project(whole, basis, jacobian), jacobian)
        return super().project(theta, basis, jacobian)

    def _own(self, out, jacobian):
        """Leave out derivatives by what is given."""
        if not jacobian:
            return out
        return out[0], np.ascontiguousarray(out[1][:, :, self._columns(self.parameters)])

    def join(self, theta):
        """Return theta of the whole model, with the values given in their columns."""
        if self.known_parameters and self.known is None:
            raise ValueError(
                f"{self!r} needs the values of {', '.join(self.known_names)} in each "
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


def _number(name, value):
    """Return a constant, or say that it is no real number."""
    number = np.asarray(value)
    if number.ndim or number.dtype.kind not in "iuf":
        raise ValueError(
            f"{name} = {value!r} is no real number; give one number, the same in all "
            f"samples, or name the parameter, model.given({name!r}), if its value varies."
        )
    return float(number)


def check_known(known, names=None):
    """Return known values as an array, one row a sample.

    Parameters
    ----------
    known : array-like of shape (n_samples, n_known) or, of one parameter, (n_samples,)
        Values, in SI units; they may be NaN. Columns of a data frame go by their names.
    names : sequence of str, default=None
        What they belong to; by default any number of columns will do.

    Returns
    -------
    ndarray of shape (n_samples, n_known)
        The same numbers.

    Raises
    ------
    ValueError
        If they are complex or of another shape.
    """
    columns = getattr(known, "columns", None)
    if names is not None and columns is not None:
        if set(columns) != set(names) or len(columns) != len(names):
            raise ValueError(
                f"known has the columns {', '.join(map(str, columns))}; give "
                f"{', '.join(names)}."
            )
        known = known[list(names)]
    known = np.asarray(known)
    if known.dtype.kind == "c":
        raise ValueError("Complex data not supported: known is complex; give reals.")
    if known.dtype.kind not in "biuf":
        raise ValueError(f"known holds {known.dtype}; give numbers.")
    if known.ndim == 1 and (names is None or len(names) == 1):
        known = known[:, None]
    n_known = known.shape[-1] if names is None and known.ndim else len(names or ())
    if known.ndim != 2 or known.shape[1] != n_known or not n_known:
        columns = "" if names is None else f", a column for each of {', '.join(names)}"
        raise ValueError(
            f"known has shape {known.shape}; give (n_samples, {n_known or 'n_known'})"
            f"{columns}."
        )
    return known.astype(float)
