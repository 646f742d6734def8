"""Where searches start: from a dictionary, from given values, from another estimator."""

import inspect

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import get_routing_for_object

from ..bounds import crb_from_jacobian
from ._base import rows_of
from ._objective import unknowns
from ._simulation import simulate_rows
from .dictionary import DictionaryRegressor

# Matches between which a dictionary's start is interpolated.
_N_MATCHES = 20
# Known values at which start values are offered that come without any.
_N_LEVELS = 64
# Start values at which the model is asked whether it determines its parameters.
_N_PROBES = 64
# Draws of truncated distributions may miss the ends of bounds by a rounding error.
_SLACK = 1e-9


def is_estimator(value):
    """Tell whether a value can be fitted and predict."""
    return hasattr(value, "fit") and hasattr(value, "predict")


def fit_clone(estimator, X, y, crb, known=None):
    """Fit a copy of an estimator, with bounds and known values if it takes them.

    Parameters
    ----------
    estimator : estimator
        It stays as it is; a frozen one keeps what it has learned.
    X, y, crb, known : ndarray
        Training data; crb and known may be None.

    Returns
    -------
    estimator
        The fitted copy.

    Raises
    ------
    ValueError
        If these cannot reach an estimator inside of this one that takes them.
    """
    given = _taken(estimator, "fit", crb=crb, known=known)
    return clone(estimator).fit(X, y, **given)


def _taken(estimator, method, **metadata):
    """Return what a method takes of some metadata; refuse to drop it in silence."""
    given = {name: value for name, value in metadata.items() if value is not None}
    for name in list(given):
        if not _takes(estimator, method, name):
            _check_none_inside_takes(estimator, method, name)
            del given[name]
    return given


def _takes(estimator, method, name):
    """Whether a method takes metadata, or with metadata routing passes them on."""
    if _has_parameter(estimator, method, name):
        return True
    if not get_config()["enable_metadata_routing"]:
        return False
    if not hasattr(estimator, "get_metadata_routing"):
        return False
    return bool(get_routing_for_object(estimator).consumes(method, [name]))


def _has_parameter(estimator, method, name):
    method = getattr(estimator, method, None)
    return callable(method) and name in inspect.signature(method).parameters


def _check_none_inside_takes(estimator, method, name):
    is_frozen = isinstance(estimator, FrozenEstimator) and method == "fit"
    if is_frozen or not hasattr(estimator, "get_params"):
        return
    for path, part in estimator.get_params(deep=True).items():
        if _has_parameter(part, method, name):
            raise ValueError(
                f"{name} does not reach {type(part).__name__} ({path}) inside of "
                f"{type(estimator).__name__}; switch metadata routing on and call its "
                f"set_{method}_request({name}=True), or leave {name} out."
            )


def predict_columns(estimator, X, n_parameters, known=None):
    """Return an estimator's predictions as columns.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator.
    X : ndarray of shape (n_voxels, n_features)
        Signals.
    n_parameters : int
        How many columns there should be.
    known : ndarray of shape (n_voxels, n_known), default=None
        Known values, for an estimator that takes them.

    Returns
    -------
    ndarray of shape (n_voxels, n_parameters)
        Predictions.

    Raises
    ------
    ValueError
        If they have another shape.
    """
    given = _taken(estimator, "predict", known=known)
    values = np.asarray(estimator.predict(X, **given), dtype=float)
    if values.size != len(X) * n_parameters:
        raise ValueError(
            f"{type(estimator).__name__} predicts shape {values.shape}; a start needs "
            f"({len(X)}, {n_parameters})."
        )
    return values.reshape(len(X), n_parameters)


def interpolating_dictionary(model, X, y, known=None):
    """Return a fitted dictionary that interpolates between up to 20 matches.

    Parameters
    ----------
    model : SignalModel or None
        The model that simulates the atoms.
    X : ndarray of shape (n_samples, n_features)
        Signals; with a model they are only checked.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Parameters, in SI units.
    known : ndarray of shape (n_samples, n_known), default=None
        Known values.

    Returns
    -------
    DictionaryRegressor
        The dictionary; it takes the best match if there is one atom alone.
    """
    dictionary = DictionaryRegressor(model).fit(X, y, known=known)
    n_neighbors = min(_N_MATCHES, dictionary.partition_.n_choices)
    return dictionary.set_params(n_neighbors=n_neighbors, interpolate=n_neighbors > 1)


class StartValues:
    """Start values of searches: the first estimate, then the best matches.

    Parameters
    ----------
    first : estimator or None
        Fitted estimator whose estimates come first, if any.
    dictionary : DictionaryRegressor or None
        Fitted dictionary whose best matches come next, if any.
    n_starts : int
        How many starts a voxel has.
    box : UnitBox
        Bounds of the search, into which estimates are brought.
    known : ndarray of shape (n_atoms, n_known) or None
        Known values of the dictionary's atoms.
    n_values : int or None
        Number of start values that the atoms repeat at other known values.
    """

    def __init__(self, first, dictionary, n_starts, box, known=None, n_values=None):
        self.first, self.dictionary = first, dictionary
        self.n_starts, self.box, self.known = n_starts, box, known
        self.n_values = n_values

    @classmethod
    def learn(cls, initial, model, box, *, n_starts, n_atoms, data):
        """Find out what searches start from.

        Parameters
        ----------
        initial : {"dictionary", "centre"}, array-like or estimator
            What the user asks for.
        model : SignalModel
            The model.
        box : UnitBox
            Bounds of the search.
        n_starts : int
            How many starts a voxel has.
        n_atoms : int
            Most training targets in a dictionary.
        data : tuple of ndarray
            Training signals, targets, bounds and known values, the last two of which may
            be None.

        Returns
        -------
        StartValues
            The starts.

        Raises
        ------
        ValueError
            If start values lie outside the bounds, or are fewer than `n_starts`.
        """
        first = fit_clone(initial, *data) if is_estimator(initial) else None
        if first is not None and n_starts == 1:
            return cls(first, None, n_starts, box)
        X, y, _, known = data
        values, rows = _candidates(initial, model, box, y.reshape(len(y), -1), n_atoms)
        n_values, is_repeated = len(values), rows is None and known is not None
        if is_repeated:
            # Every candidate is offered at many of the known values.
            known = known[evenly_spaced(len(known), _N_LEVELS)]
            values, known = (
                np.tile(values, (len(known), 1)),
                np.repeat(known, len(values), 0),
            )
        elif rows is not None:
            known = rows_of(known, rows)
        # With a model the dictionary simulates its atoms; X is only checked.
        empty = np.zeros((len(values), X.shape[1]), X.dtype)
        dictionary = interpolating_dictionary(model, empty, values, known)
        if isinstance(initial, str) and initial == "dictionary":
            first = dictionary
        n_given = min(n_values, dictionary.partition_.n_choices) + (first is not None)
        if n_given < n_starts:
            raise ValueError(
                f"n_starts = {n_starts}, but initial gives only {n_given} start values."
            )
        n_values = n_values if is_repeated else None
        return cls(first, dictionary, n_starts, box, known, n_values)

    def find(self, X, known=None):
        """Return start values of voxels.

        Parameters
        ----------
        X : ndarray of shape (n_voxels, n_features)
            Signals, finite and if complex not zero throughout.
        known : ndarray of shape (n_voxels, n_known), default=None
            Known values.

        Returns
        -------
        ndarray of shape (n_starts, n_voxels, n_parameters)
            Start values inside the bounds, the most promising first.
        """
        starts = []
        if self.first is not None:
            starts.append(predict_columns(self.first, X, len(self.box.low), known))
        n_matches = self.n_starts - len(starts)
        if n_matches:
            matches = self._matches(X, n_matches, known)
            starts.extend(self.dictionary.parameters_[matches.T])
        return self.box.inside(np.stack(starts))

    def _matches(self, X, n_matches, known):
        """Return the best matches among different start values."""
        if self.n_values is None:
            return self.dictionary.kneighbors(X, n_matches, known=known)[1]
        # So many have that many different ones among them.
        n_asked = 1 + _N_LEVELS * (n_matches - 1)
        n_asked = min(n_asked, self.dictionary.partition_.n_choices)
        found = self.dictionary.kneighbors(X, n_asked, known=known)[1] % self.n_values
        distinct = [list(dict.fromkeys(row))[:n_matches] for row in found.tolist()]
        return np.array([row + row[:1] * (n_matches - len(row)) for row in distinct])


def _candidates(initial, model, box, y, n_atoms):
    """Return the start values that the user's choice offers to all voxels.

    And the rows of y that they are; None if they are none.
    """
    if isinstance(initial, str) and initial == "centre":
        return box.theta(np.full((1, len(box.low)), 0.5)), None
    if not isinstance(initial, str) and not is_estimator(initial):
        return _check_inside(model, box, model.check_theta(initial)), None
    slack = _SLACK * np.maximum(np.abs(box.low), np.abs(box.high))
    inside = ((y >= box.low - slack) & (y <= box.high + slack)).all(axis=1)
    if not inside.any():
        raise ValueError(
            "none of the training targets lies inside the bounds of the search; give "
            "wider bounds, or other start values."
        )
    rows = np.flatnonzero(inside)
    rows = rows[evenly_spaced(len(rows), n_atoms)]
    return np.clip(y[rows], box.low, box.high), rows


def evenly_spaced(n_rows, n_wanted):
    """Return up to so many rows, evenly spaced among all."""
    return np.linspace(0, n_rows - 1, min(n_rows, n_wanted)).round().astype(int)


def _check_inside(model, box, theta):
    outside = (theta < box.low) | (theta > box.high)
    if outside.any():
        row, k = np.argwhere(outside)[0]
        raise ValueError(
            f"{model.parameter_names[k]} = {theta[row, k]:g} in row {row} of initial is "
            f"outside the bounds {box.low[k]:g} to {box.high[k]:g} of the search; start "
            "inside them, or give wider bounds."
        )
    return theta


def check_determined(model, theta, name):
    """Refuse a model that does not determine its parameters at any start value.

    Parameters
    ----------
    model : SignalModel
        The model.
    theta : ndarray of shape (n, n_parameters)
        Start values.
    name : str
        Who asks, for the error.

    Raises
    ------
    ValueError
        If there are more unknowns than real numbers, or a parameter of infinite bound
        at every start value.
    """
    n_real, n_unknown = unknowns(model)
    if n_real < n_unknown:
        raise ValueError(
            f"{name} has {n_unknown} unknowns (with M0) for {n_real} real numbers a voxel; "
            "measure more, fix parameters, or give a prior."
        )
    rows = evenly_spaced(len(theta), _N_PROBES)
    signal, jacobian = simulate_rows(model.rows(rows), theta[rows], jacobian=True)
    finite = np.isfinite(signal).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))
    nuisance = signal[finite] if model.is_complex else None
    is_open = np.isinf(crb_from_jacobian(jacobian[finite], nuisance)).all(axis=0)
    if finite.any() and is_open.any():
        names = np.array(model.parameter_names)[is_open]
        raise ValueError(
            f"the signal does not determine {', '.join(names)} at any start value: the "
            f"Jacobian is singular there, and {name} cannot find a way; start elsewhere, "
            "fix parameters, or give a prior."
        )
