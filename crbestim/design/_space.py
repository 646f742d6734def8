"""The controls of a model as a vector: what is free, what is held, and their intervals."""

import numpy as np

from ..models._controls import has_duration, settings_of, with_settings
from .limits import DEFAULTS

# Gyromagnetic ratio of protons, rad/s/T.
GAMMA = 267.522e6
# Excess of an inversion pulse that is no reason to refuse it.
_ALLOWED = 1e-9


class ControlSpace:
    """Vectors x of the controls that are free, each as a share of its interval.

    Those of one sample stand side by side. Pulse 0 of each train is held, and what limits
    hold at one value.

    Attributes
    ----------
    names : list of str
        Controls.
    sequence : HybridStateSequence or None
        The sequence of the model.
    trains : list of tuple of int
        First and end of the samples of each train.
    start, low, high : ndarray of shape (n_values,)
        All values of the model, and the ends of their intervals.
    free : ndarray of int
        Places of the values that change, in the order of x.
    """

    def __init__(self, model, limits):
        self.model, self.limits = model, limits
        declared, values = settings_of(model)
        self._check_names(declared)
        self.names = list(values)
        self._shapes = [v.shape for v in values.values()]
        self.cuts = np.cumsum([0, *(v.size for v in values.values())])
        self.start = self.join(values)
        self.sequence = sequence_of(model)
        ends = [0, model.n_features]
        if self.sequence is not None:
            ends = self.sequence.train_offsets
        self.trains = list(zip(ends[:-1], ends[1:], strict=True))
        self._check_inversions()
        self.low, self.high = self._ends(declared)
        held, inversions = self.low == self.high, np.empty(0, dtype=int)
        if self.sequence is not None:
            firsts = np.array([first for first, _ in self.trains])
            inversions = np.add.outer(self.cuts[:-1], firsts).ravel()
        held[inversions] = False
        self.start[held] = self.low[held]
        held[inversions] = True
        samples = np.concatenate([np.arange(n) for n in np.diff(self.cuts)])
        kinds = np.repeat(np.arange(len(values)), np.diff(self.cuts))
        order = np.lexsort((kinds, samples))
        self.free = order[~held[order]]
        if not len(self.free):
            raise ValueError("limits hold all controls at one value; leave one to change.")
        self.scale = (self.high - self.low)[self.free]

    def _check_names(self, declared):
        limits, label = self.limits, type(self.model).__name__
        unknown = sorted(
            name
            for name, ends in limits.controls.items()
            if name not in declared and ends != DEFAULTS.get(name)
        )
        if unknown:
            raise ValueError(
                f"limits name {', '.join(unknown)}; the controls of {label} are "
                f"{', '.join(declared)}."
            )
        for name in ("b1rms", "b1max"):
            rf_field = getattr(limits, name)
            if "trf" not in declared and rf_field not in (None, DEFAULTS[name]):
                raise ValueError(
                    f"{name} = {rf_field:g} T cannot be kept: {label} has no durations of "
                    "pulses; leave it out, and limit alpha."
                )
        if limits.alpha_step is not None and "alpha" not in declared:
            raise ValueError(f"alpha_step is given, but {label} has no flip angles alpha.")
        if limits.duration is not None and not has_duration(self.model):
            raise ValueError(f"duration is given, but {label} has no repetition time.")

    def _check_inversions(self):
        """Refuse pulses 0 that exceed the peak, which stay as they are."""
        if self.sequence is None or self.limits.b1max is None:
            return
        for k, (alpha, trf) in enumerate(self.sequence.trains):
            peak = abs(alpha[0]) / trf[0] / GAMMA
            if peak > self.limits.b1max * (1 + _ALLOWED):
                raise ValueError(
                    f"b1max = {self.limits.b1max:g} T cannot be kept: pulse 0"
                    f"{self.label_of(k)}, which stays as it is, has {peak:.4g} T; raise "
                    "b1max, or start from a longer inversion pulse."
                )

    def label_of(self, train):
        """Return what errors call a train, nothing if it is the only one."""
        return f" of train {train}" if len(self.trains) > 1 else ""

    def _ends(self, declared):
        """Return the ends of the interval of each value."""
        ends = []
        for name, shape in zip(self.names, self._shapes, strict=True):
            low, high, _ = declared[name]
            given = self.limits.controls.get(name)
            if given is not None:
                # What users give may be wider than what is of use, but for each sample
                # there may be an end that nothing crosses, as an echo time that of TR.
                is_default = given == DEFAULTS.get(name)
                floor = low if np.ndim(low) or is_default else -np.inf
                top = high if np.ndim(high) or is_default else np.inf
                low, high = np.maximum(given[0], floor), np.minimum(given[1], top)
            if (np.asarray(low) > high).any():
                raise ValueError(
                    f"{name} = {given} leaves nothing of {declared[name][:2]}, what "
                    f"{type(self.model).__name__} allows; widen it."
                )
            ends.append([np.broadcast_to(end, shape).ravel() for end in (low, high)])
        return (np.concatenate(part).astype(float) for part in zip(*ends, strict=True))

    def check_model(self, theta):
        """Refuse limits that allow sequences for which the model does not hold."""
        if self.sequence is None:
            return
        u = self.start.copy()
        long = np.arange(len(self.free)) % 4 > 1
        u[self.free] = self.low[self.free] + long * self.scale
        alpha = self.place("alpha", np.arange(self.sequence.n_pulses))
        largest = np.maximum(np.abs(self.low), np.abs(self.high))[alpha]
        u[alpha] = np.where(np.isin(alpha, self.free), largest, u[alpha])
        try:
            with_settings(self.model, self.values(self.shares(u))).check_theta(theta)
        except ValueError as error:
            raise ValueError(
                f"limits allow sequences for which the model does not hold: {error} Narrow "
                f"alpha = {self.limits.alpha} rad or trf = {self.limits.trf} s."
            ) from error

    def place(self, name, samples):
        """Return the places of a control of some samples among all values."""
        return self.cuts[self.names.index(name)] + np.asarray(samples)

    def places_of(self, name):
        """Return the places of all values of a control."""
        k = self.names.index(name)
        return np.arange(self.cuts[k], self.cuts[k + 1])

    def join(self, values):
        """Return all values as one vector."""
        return np.concatenate([np.ravel(values[k]) for k in self.names]).astype(float)

    def values(self, x):
        """Return the whole acquisition, a dict of arrays by control."""
        parts = np.split(self.complete(x), self.cuts[1:-1])
        return {
            name: part.reshape(shape)
            for name, part, shape in zip(self.names, parts, self._shapes, strict=True)
        }

    def complete(self, x):
        """Return all values as one vector."""
        u = self.start.copy()
        u[self.free] = self.low[self.free] + self.scale * x
        return u

    def shares(self, u):
        """Return x of all values."""
        return (u[self.free] - self.low[self.free]) / self.scale

    def gradient(self, by_name):
        """Return derivatives by x from derivatives by the values, a dict of arrays."""
        return self.join(by_name)[self.free] * self.scale


def sequence_of(model):
    """Return the sequence of a model behind given parameters, or None if it has none."""
    while not hasattr(model, "sequence") and hasattr(model, "model"):
        model = model.model
    return getattr(model, "sequence", None)
