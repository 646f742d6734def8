"""Start values of searches, from an estimate or from matches in a dictionary."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..datasets.distributions import can_draw, draw_parameters
from ..least_squares.box import resolve_bounds, search_box
from ..least_squares.driver import evenly_spaced
from ..models.base import with_amplitude, without_amplitude
from ._base import rows_of
from ._dictionary import N_MATCHES, Dictionary, in_blocks
from ._sub_estimators import fit_clone, predict_columns

# Limits of a dictionary: atoms, and samples of all atoms.
_MOST_ATOMS, _MOST_SAMPLES = 20_000, 5_000_000
# Number of known values at which start values without known values are simulated.
_N_LEVELS = 64
N_SPREAD = 4096
"""Largest number of start values that cover the bounds, beside those that are given."""
POOR = 0.5
"""Share of what the first candidates leave, below which others match much better."""
BLOCK = 8192
"""Voxels that are matched at a time."""
# Draws from truncated distributions may exceed the bounds by a rounding error.
_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Candidates:
    """Start values that all voxels choose from.

    Attributes
    ----------
    dictionary : Dictionary
        Start values with their signals.
    known : ndarray of shape (n_atoms, n_known) or None
        Known values of the atoms.
    n_values : int or None
        Number of different start values, if the atoms repeat them at other known values.
    """

    dictionary: Dictionary
    known: np.ndarray | None
    n_values: int | None = None

    @classmethod
    def of(cls, values, model, known, verbose=False):
        """Simulate start values at known values of their own."""
        return cls(Dictionary.of(None, values, model, known, verbose), known)

    @classmethod
    def at_all_known(cls, values, model, known, verbose=False):
        """Simulate each start value at up to _N_LEVELS of the known values."""
        if known is None:
            return cls.of(values, model, None, verbose)
        known, n_values = known[evenly_spaced(len(known), _N_LEVELS)], len(values)
        values = np.tile(values, (len(known), 1))
        known = np.repeat(known, n_values, 0)
        return cls(Dictionary.of(None, values, model, known, verbose), known, n_values)

    @property
    def n_choices(self):
        """Number of different start values of a voxel."""
        n_choices = self.dictionary.n_choices
        return n_choices if self.n_values is None else min(self.n_values, n_choices)

    @property
    def theta(self):
        """Start values, without an amplitude."""
        return without_amplitude(self.dictionary.parameters, self.dictionary.column)

    def interpolated(self, data, known):
        """Return start values between the best matches, without an amplitude."""
        n = min(N_MATCHES, self.dictionary.n_choices)
        found = self.dictionary.estimate(data, n, n > 1, known, amplitude=False)
        return without_amplitude(found, self.dictionary.column)

    def matches(self, data, n_matches, known):
        """Return the best matches, all different, of shape (n_matches, n_voxels, n)."""
        if self.n_values is None:
            return self.theta[self.dictionary.match(data, n_matches, known)[1].T]
        # A start value is among the atoms up to _N_LEVELS times, so this many matches hold
        # enough distinct ones.
        n_asked = 1 + _N_LEVELS * (n_matches - 1)
        n_asked = min(n_asked, self.dictionary.n_choices)
        found = self.dictionary.match(data, n_asked, known)[1] % self.n_values
        distinct = [list(dict.fromkeys(row))[:n_matches] for row in found.tolist()]
        rows = [row + row[:1] * (n_matches - len(row)) for row in distinct]
        return self.theta[np.array(rows).T]


class StartValues:
    """Start values of searches: the first estimate, then the best matches.

    Parameters
    ----------
    first : estimator, "interpolate" or None
        The first start: the estimate of a fitted estimator, the interpolation between the
        best matches, or neither: starts are the best matches.
    candidates : tuple of Candidates
        Where matches are found: in the first one, or where it matches poorly in another.
        Empty if an estimator is the only start.
    n_starts : int
        Number of starts of a voxel.
    box : UnitBox
        Bounds of the search, without an amplitude; starts are brought inside.
    column : int or None
        Column of an amplitude, which start values leave out.
    """

    def __init__(self, first, candidates, n_starts, box, column):
        self.first, self.candidates, self.n_starts = first, candidates, n_starts
        self.box, self.column = box, column

    @classmethod
    def learn(
        cls, initial, model, box, *, n_starts, n_atoms, interpolates, data, verbose=False
    ):
        """Choose what searches start from.

        Parameters
        ----------
        initial : {"dictionary", "centre"}, array-like or estimator
            The user's choice.
        model : SignalModel
            The model.
        box : UnitBox
            Bounds of the search, for the parameters without an amplitude.
        n_starts : int
            Number of starts of a voxel.
        n_atoms : int
            Maximum number of training targets in a dictionary.
        interpolates : bool
            Whether the first start lies between the best matches among those given, which
            saves steps, and costs more than those of cheap models. Otherwise starts are the
            best matches of all.
        data : tuple of ndarray
            Training signals, targets, bounds and known values; all but the first may be
            None. Without targets, draws from the model's distribution stand in for them.
        verbose : bool or int, default=False
            Whether to show the progress of simulations.

        Returns
        -------
        StartValues
            The starts.

        Raises
        ------
        ValueError
            If start values lie outside the bounds, or are fewer than `n_starts`.
        """
        first = fit_clone(initial, *data) if _is_estimator(initial) else None
        column = model._amplitude_column
        if first is not None and n_starts == 1:
            return cls(first, (), n_starts, box, column)
        _, y, _, known = data
        values, rows = _candidates(initial, model, box, y, n_atoms)
        if rows is None:
            candidates = (Candidates.at_all_known(values, model, known, verbose),)
        else:
            spread = spread_values(model, box, known, min(n_atoms, N_SPREAD))
            if known is not None:
                known = matched_rows(known, len(rows)) if y is None else known[rows]
            groups = [(values, known)] if len(values) else []
            groups.append(spread)
            if not interpolates:
                groups = [_joined(groups)]
            candidates = tuple(
                Candidates.of(values, model, known, verbose) for values, known in groups
            )
        if isinstance(initial, str) and initial == "dictionary" and interpolates:
            first = "interpolate"
        n_given = min(c.n_choices for c in candidates) + (first is not None)
        if n_given < n_starts:
            raise ValueError(
                f"n_starts = {n_starts}, but initial gives only {n_given} start values."
            )
        return cls(first, candidates, n_starts, box, column)

    def values(self):
        """Return all candidates, and their known values or None."""
        known = [c.known for c in self.candidates]
        theta = np.concatenate([c.dictionary.parameters for c in self.candidates])
        return theta, None if known[0] is None else np.concatenate(known)

    def find(self, data, known=None, verbose=False, n_jobs=None):
        """Return start values of voxels.

        Parameters
        ----------
        data : Measurements
            Signals that are not empty.
        known : ndarray of shape (n_voxels, n_known), default=None
            Known values.
        verbose : bool or int, default=False
            Whether to show the progress of matching.
        n_jobs : int, default=None
            Number of threads, on which the result does not depend.

        Returns
        -------
        starts : ndarray of shape (n_starts, n_voxels, n_parameters)
            Start values inside the bounds, the most promising first, without an amplitude.
        spare : ndarray of shape (n_voxels, n_parameters) or None
            The best match, for searches that end with a higher cost than it has.
        """
        starts = np.empty((self.n_starts, len(data), len(self.box.low)))
        spare = np.empty(starts.shape[1:])
        n_matches = self.n_starts - (self.first is not None)
        if self.first not in (None, "interpolate"):
            n_parameters = starts.shape[2] + (self.column is not None)
            found = predict_columns(self.first, data, n_parameters, known)
            starts[0] = without_amplitude(found, self.column)
            # Where it has no estimate, as of a voxel that lacks samples, the centre serves.
            lost = ~np.isfinite(starts[0]).all(axis=1)
            starts[0, lost] = self.box.theta(np.full(len(self.box.low), 0.5))

        def match(part):
            given = rows_of(known, part)
            # The last candidates cover the bounds.
            bare = self.candidates[-1].dictionary.without_floor(data[part], given)
            best, chosen = self._best_matches(bare, given)
            spare[part] = best
            if self.first is None and n_matches == 1:
                starts[0, part] = best
                return
            for i, candidates in enumerate(self.candidates):
                rows = np.flatnonzero(chosen == i)
                if not rows.size:
                    continue
                some, values = bare[rows], rows_of(given, rows)
                rows = rows + part.start
                if self.first == "interpolate":
                    starts[0, rows] = candidates.interpolated(some, values)
                if n_matches:
                    matches = candidates.matches(some, n_matches, values)
                    starts[-n_matches:, rows] = matches

        if not self.candidates:
            return self.box.inside(starts), None
        dictionaries = [candidates.dictionary for candidates in self.candidates]
        in_blocks(match, len(data), BLOCK, n_jobs, dictionaries, verbose)
        is_spare = self.first is not None or len(self.candidates) > 1
        return self.box.inside(starts), self.box.inside(spare) if is_spare else None

    def _best_matches(self, data, known):
        """Return the best of all matches, and whose candidates are chosen."""
        found = [c.dictionary.best(data, known) for c in self.candidates]
        theta = np.stack(
            [c.theta[k] for c, (k, _) in zip(self.candidates, found, strict=True)]
        )
        misfits = np.nan_to_num([misfit for _, misfit in found], nan=np.inf)
        best, every = misfits.argmin(axis=0), np.arange(len(data))
        is_poor = misfits[best, every] < POOR * misfits[0]
        return theta[best, every], np.where(is_poor, best, 0)


def most_atoms(n_features):
    """Return the largest number of atoms by default, fewer for long signals."""
    return max(min(_MOST_ATOMS, _MOST_SAMPLES // n_features), 1)


def drawn_values(model, n):
    """Return draws from a model's distribution, always the same; none if it has none."""
    if not can_draw(model):
        return np.empty((0, model.n_parameters))
    return draw_parameters(model, n, np.random.default_rng(0))


def matched_rows(known, n):
    """Return n of the given known values, evenly spaced, or again and again."""
    return known[np.arange(n) * len(known) // max(n, 1)]


def values_without_targets(model, known, n):
    """Return parameters for n atoms, drawn and all over the bounds, and known values."""
    box, drawn = search_box(model, resolve_bounds(model, None)), drawn_values(model, n // 2)
    spread, others = spread_values(model, box, known, n - len(drawn))
    values = np.concatenate([drawn, spread])
    if known is None:
        return values, None
    return values, np.concatenate([matched_rows(known, len(drawn)), others])


def values_or_spread(model, box, y, known):
    """Return targets and known values; without targets, values that cover the box."""
    return (y, known) if y is not None else spread_values(model, box, known, N_SPREAD)


def spread_values(model, box, known, n):
    """Return n sets of parameters that cover a box, and known values that go with them.

    The latter are None, or rows of those given. An amplitude is 1.
    """
    theta, places = box.spread(n, n_more=int(known is not None))
    theta = with_amplitude(theta, model._amplitude_column, 1.0)
    if known is None:
        return theta, None
    return theta, known[(places[:, 0] * len(known)).astype(int)]


def _is_estimator(value):
    """Whether a value has `fit` and `predict`."""
    return hasattr(value, "fit") and hasattr(value, "predict")


def _joined(groups):
    """Join groups of start values and known values to one."""
    values, known = zip(*groups, strict=True)
    return np.concatenate(values), None if known[0] is None else np.concatenate(known)


def _candidates(initial, model, box, y, n_atoms):
    """Return the start values that all voxels choose from, and their rows in y.

    The rows are None if the start values do not come from y.
    """
    column = model._amplitude_column
    full = partial(with_amplitude, column=column, amplitude=1.0)
    if isinstance(initial, str) and initial == "centre":
        return full(box.theta(np.full((1, len(box.low)), 0.5))), None
    if not isinstance(initial, str) and not _is_estimator(initial):
        theta = without_amplitude(model.check_theta(initial), column)
        if not len(theta):
            raise ValueError("initial has no rows; give one or more start values.")
        return full(_check_inside(model, box, theta)), None
    is_given = y is not None
    y = y.reshape(len(y), -1) if is_given else drawn_values(model, min(n_atoms, N_SPREAD))
    y = without_amplitude(y, column)
    slack = _SLACK * np.maximum(abs(box.low), abs(box.high))
    inside = ((y >= box.low - slack) & (y <= box.high + slack)).all(axis=1)
    if is_given and not inside.any():
        raise ValueError(
            "none of the training targets lies inside the bounds of the search; give "
            "wider bounds, or other start values."
        )
    rows = np.flatnonzero(inside)
    rows = rows[evenly_spaced(len(rows), n_atoms)]
    return full(np.clip(y[rows], box.low, box.high)), rows


def _check_inside(model, box, theta):
    outside = (theta < box.low) | (theta > box.high)
    if outside.any():
        row, k = np.argwhere(outside)[0]
        name = model._shape.parameter_names[k]
        raise ValueError(
            f"{name} = {theta[row, k]:g} in row {row} of initial is outside the bounds "
            f"{box.low[k]:g} to {box.high[k]:g} of the search; start inside them, or give "
            "wider bounds."
        )
    return theta
