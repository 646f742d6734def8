"""The unit box: parameters as fractions of their bounds, and steps that stay inside.

A step minimizes ``g^T step + step^T (H + damping D) step / 2`` inside the box, with the
gradient g, the curvature H and the scale D of the quadratic model.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats.qmc import Halton

from .._arrays import as_reals
from ..kernels.least_squares import steps_in_box
from ..kernels.voxel_search import LEAST_CURVATURE
from ..parameters import folded

# Positive bounds that span more than this factor have a logarithmic scale.
_WIDE = 3.0
# Bounds span a period if their width equals it up to this share.
_MEET = 1e-4
AT_BOUND = 1e-4
"""Share of the width of the bounds within which an estimate counts as at a bound."""


@dataclass(frozen=True, eq=False)
class UnitBox:
    """Map between bounds and the unit box.

    Ratios of rates and times matter more than their differences: positive bounds that
    span more than a factor of three have a logarithmic scale, except for parameters that
    have a period.

    Attributes
    ----------
    low, high : ndarray of shape (n_parameters,)
        The bounds.
    is_log : ndarray of bool, shape (n_parameters,)
        Which parameters have a logarithmic scale.
    periods : ndarray of shape (n_parameters,)
        Periods; infinite for parameters that have none.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.least_squares.box import UnitBox
    >>> box = UnitBox.from_bounds(np.array([[1.0, 100.0], [-1.0, 1.0]]))
    >>> box.theta(np.array([[0.5, 0.5]]))
    array([[10.,  0.]])
    """

    low: np.ndarray
    high: np.ndarray
    is_log: np.ndarray
    periods: np.ndarray

    @classmethod
    def from_bounds(cls, bounds, periods=np.inf):
        """Choose the scales for finite bounds, (n_parameters, 2), and periods."""
        bounds = as_reals(bounds, "bounds").copy()
        is_fine = bounds.ndim == 2 and bounds.shape[1] == 2 and np.isfinite(bounds).all()
        if not is_fine or not (bounds[:, 0] < bounds[:, 1]).all():
            raise ValueError(
                f"bounds are {bounds.tolist()}; give (n_parameters, 2), a row (low, high) "
                "of finite numbers for each, low < high."
            )
        low, high = bounds.T
        periods = np.broadcast_to(periods, low.shape)
        is_log = (low > 0) & (high > _WIDE * low) & np.isinf(periods)
        return cls(low, high, is_log, periods)

    @property
    def is_round(self):
        """Which parameters have bounds that span their period, so that both ends meet."""
        finite = np.isfinite(self.periods)
        period = np.where(finite, self.periods, 1.0)
        return finite & (np.abs(self.high - self.low - period) <= _MEET * period)

    def spread(self, n, n_more=0):
        """Return parameters that cover the box evenly: a low-discrepancy sequence.

        Parameters
        ----------
        n : int
            Number of points (Halton 1960, doi 10.1007/BF01386213), always the same ones.
        n_more : int, default=0
            Number of other columns.

        Returns
        -------
        theta : ndarray of shape (n, n_parameters)
            Parameters inside the bounds.
        others : ndarray of shape (n, n_more)
            Numbers between 0 and 1 that go with them.
        """
        n_columns = len(self.low) + n_more
        if not n_columns:
            return np.empty((n, 0)), np.empty((n, 0))
        # The first point of the sequence is a corner.
        points = Halton(n_columns, scramble=False).fast_forward(1).random(n)
        return self.theta(points[:, : len(self.low)]), points[:, len(self.low) :]

    def ends(self, theta):
        """Return which parameters are at a bound, to 1e-4 of the distance of the two."""
        places = self.fractions(theta)
        return ((places < AT_BOUND) | (places > 1 - AT_BOUND)) & ~self.is_round

    def with_share(self):
        """Return the box with one more variable, from 0 to 1."""
        ends = (
            (self.low, 0.0),
            (self.high, 1.0),
            (self.is_log, False),
            (self.periods, np.inf),
        )
        return UnitBox(*(np.append(values, end) for values, end in ends))

    def inside(self, theta):
        """Return parameters inside the bounds: modulo their period, or at a bound."""
        if np.isfinite(self.periods).any():
            theta = folded(theta, self.low, self.high, self.periods)
        return np.clip(theta, self.low, self.high)

    def theta(self, fractions):
        """Return the parameters, never outside the bounds, at fractions of the box."""
        ratio = np.where(self.is_log, self.high / self._safe_low, 1.0)
        theta = np.where(
            self.is_log,
            self._safe_low * ratio**fractions,
            self.low + (self.high - self.low) * fractions,
        )
        return np.clip(theta, self.low, self.high)

    def fractions(self, theta):
        """Return fractions, from 0 to 1, of parameters, which are first brought inside."""
        theta = self.inside(theta)
        low, high = self._ends
        values = np.where(self.is_log, np.log(self._safe(theta)), theta)
        return (values - low) / (high - low)

    def shift(self, fractions):
        """Return how far fractions are above the middle where both ends meet; else zero.

        A search that starts from ``fractions - shift`` starts far from both ends.
        """
        return np.where(self.is_round, fractions - 0.5, 0.0)

    def wrapped(self, fractions):
        """Return fractions, wrapped to 0 to 1 where both ends meet."""
        return np.where(self.is_round, np.mod(fractions, 1.0), fractions)

    def slopes(self, theta):
        """Return derivatives of parameters inside the bounds with respect to fractions."""
        low, high = self._ends
        return np.where(self.is_log, theta, 1.0) * (high - low)

    def _safe(self, values):
        return np.where(self.is_log, values, 1.0)

    @property
    def _safe_low(self):
        return self._safe(self.low)

    @property
    def _ends(self):
        """The bounds, or their logarithms."""
        return tuple(
            np.where(self.is_log, np.log(self._safe(end)), end)
            for end in (self.low, self.high)
        )


def resolve_bounds(model, bounds):
    """Return the bounds of a search; those of an amplitude may have an infinite end.

    Parameters
    ----------
    model : SignalModel
        The model, whose bounds are the default.
    bounds : dict, array-like or None
        (low, high) by parameter name, or for all parameters, (n_parameters, 2).

    Returns
    -------
    ndarray of shape (n_parameters, 2)
        The bounds.

    Raises
    ------
    ValueError
        If they name no parameter, are not finite and ascending, or leave the domain, or
        those of an amplitude are negative.
    """
    names, chosen = model.parameter_names, np.array(model.bounds, dtype=float)
    if isinstance(bounds, dict):
        unknown = [str(name) for name in bounds if name not in names]
        if unknown:
            raise ValueError(
                f"bounds name {', '.join(unknown)}; the parameters are {', '.join(names)}."
            )
        for name, limits in bounds.items():
            limits = as_reals(limits, f"bounds of {name}")
            if limits.shape != (2,):
                raise ValueError(f"bounds of {name} are {limits!r}; give (low, high).")
            chosen[names.index(name)] = limits
    elif bounds is not None:
        shape, chosen = chosen.shape, as_reals(bounds, "bounds")
        if chosen.shape != shape:
            raise ValueError(
                f"bounds have shape {chosen.shape}; give {shape}, a row (low, high) for "
                f"each of {', '.join(names)}, or a dict with some of them."
            )
    for k, (parameter, (low, high)) in enumerate(
        zip(model.parameters, chosen, strict=True)
    ):
        if k == model._amplitude_column:
            if not 0 <= low < high:
                raise ValueError(
                    f"bounds of the amplitude {parameter.name} are {low:g} to {high:g}; "
                    "give 0 <= low < high, such as (0, inf)."
                )
        elif not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(
                f"bounds of {parameter.name} are {low:g} to {high:g}; searches need finite "
                "ones, low < high. Only an amplitude may be endless, if the model names it "
                f"(amplitude={parameter.name!r})."
            )
        if low < parameter.domain[0] or high > parameter.domain[1]:
            raise ValueError(
                f"bounds of {parameter.name}, {low:g} to {high:g}, leave the domain of the "
                f"model, {parameter.domain[0]:g} to {parameter.domain[1]:g}; narrow them."
            )
    return chosen


def search_box(model, bounds):
    """Return the unit box of a model's parameters, without an amplitude, for bounds."""
    column = model._amplitude_column
    if column is not None:
        bounds = np.delete(bounds, column, axis=0)
    return UnitBox.from_bounds(bounds, model._shape.periods)


def amplitude_limits(model, bounds):
    """Return the bounds of an amplitude, or None if the model has none."""
    column = model._amplitude_column
    return None if column is None else tuple(bounds[column])


def at_limits(amplitude, limits):
    """Return which amplitudes are at one of two limits, to 1e-4 of it."""
    return np.any([np.isclose(amplitude, end, AT_BOUND, 0.0) for end in limits], axis=0)


def normal_equations(residual, jacobian):
    """Return gradients J^T r and curvatures J^T J of many sums of squares.

    residual : (n, m), jacobian : (n, m, n_variables).
    """
    transposed = np.swapaxes(jacobian, 1, 2)
    return times(transposed, residual), transposed @ jacobian


def damped_steps(x, g, h, damping):
    """Return the steps in the box that minimize the quadratic model, D being H's diagonal.

    x, g : (n, n_variables) points and gradients, h : (n, n_variables, n_variables),
    damping : (n,).
    """
    steps = np.empty_like(x)
    steps_in_box(x, g, h, damping[:, None] * scale_of(diagonal(h)), steps)
    return steps


def foreseen_gain(g, h, step):
    """Return by how much steps lower the quadratic model: ``-(g + h step / 2)^T step``."""
    return -((g + 0.5 * times(h, step)) * step).sum(axis=1)


def scale_of(curvature):
    """Return D from diagonals (n, n_variables), positive even without any effect."""
    largest = curvature.max(axis=1, keepdims=True, initial=0.0)
    return np.maximum(curvature, np.where(largest > 0, LEAST_CURVATURE * largest, 1.0))


def diagonal(matrices):
    """Return the diagonal of each matrix, as a copy."""
    return np.einsum("nii->ni", matrices).copy()


def times(matrices, vectors):
    """Return the product of each matrix with its vector."""
    return (matrices @ vectors[:, :, None])[:, :, 0]
