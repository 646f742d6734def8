"""Parameters as fractions of their bounds, in which searches are well scaled."""

from dataclasses import dataclass

import numpy as np

# Bounds that span more than this factor are divided on a logarithmic scale.
_WIDE = 3.0
# Bounds span a period if they miss no more than this share of it.
_MEET = 1e-4


@dataclass(frozen=True, eq=False)
class UnitBox:
    """Map between bounds and the unit box.

    Rates and times act by their ratios rather than by their differences: positive bounds
    that span more than a factor of three are divided on a logarithmic scale. Parameters
    that have a period are not.

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
    >>> from crbestim.estimators._unit_box import UnitBox
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
        """Choose the scales.

        Parameters
        ----------
        bounds : ndarray of shape (n_parameters, 2)
            Finite bounds.
        periods : ndarray of shape (n_parameters,), default=inf
            Periods; infinite for parameters that have none.

        Returns
        -------
        UnitBox
            The map.
        """
        low, high = np.array(bounds, dtype=float).T
        periods = np.broadcast_to(periods, low.shape)
        is_log = (low > 0) & (high > _WIDE * low) & np.isinf(periods)
        return cls(low, high, is_log, periods)

    @property
    def is_round(self):
        """Which parameters have bounds that span their period, so that both ends meet."""
        finite = np.isfinite(self.periods)
        period = np.where(finite, self.periods, 1.0)
        return finite & (np.abs(self.high - self.low - period) <= _MEET * period)

    def inside(self, theta):
        """Return parameters inside the bounds: modulo their period, or at a bound.

        Parameters
        ----------
        theta : ndarray of shape (n, n_parameters)
            Parameters.

        Returns
        -------
        ndarray of shape (n, n_parameters)
            Parameters inside the bounds; those that are inside stay as they are.
        """
        finite = np.isfinite(self.periods)
        period = np.where(finite, self.periods, 1.0)
        outside = finite & ((theta < self.low) | (theta > self.high))
        theta = np.where(outside, self.low + np.mod(theta - self.low, period), theta)
        return np.clip(theta, self.low, self.high)

    def theta(self, unit):
        """Return parameters, never outside the bounds.

        Parameters
        ----------
        unit : ndarray of shape (n, n_parameters)
            Fractions of the bounds.

        Returns
        -------
        ndarray of shape (n, n_parameters)
            Parameters.
        """
        ratio = np.where(self.is_log, self.high / self._safe_low, 1.0)
        theta = np.where(
            self.is_log,
            self._safe_low * ratio**unit,
            self.low + (self.high - self.low) * unit,
        )
        return np.clip(theta, self.low, self.high)

    def unit(self, theta):
        """Return fractions of the bounds.

        Parameters
        ----------
        theta : ndarray of shape (n, n_parameters)
            Parameters; those outside the bounds are first brought inside.

        Returns
        -------
        ndarray of shape (n, n_parameters)
            Numbers from 0 to 1.
        """
        theta = self.inside(theta)
        low, high = self._ends
        values = np.where(self.is_log, np.log(self._safe(theta)), theta)
        return (values - low) / (high - low)

    def turns(self, unit):
        """Return what to take from fractions so that no border lies close.

        Parameters
        ----------
        unit : ndarray of shape (n, n_parameters)
            Fractions of the bounds.

        Returns
        -------
        ndarray of shape (n, n_parameters)
            What brings parameters whose ends meet to the middle; zero for all others.
        """
        return np.where(self.is_round, unit - 0.5, 0.0)

    def turned(self, unit):
        """Return fractions from 0 to 1 for those that may have left by an end that meets.

        Parameters
        ----------
        unit : ndarray of shape (n, n_parameters)
            Fractions of the bounds, up to whole periods.

        Returns
        -------
        ndarray of shape (n, n_parameters)
            The same places.
        """
        return np.where(self.is_round, np.mod(unit, 1.0), unit)

    def slopes(self, theta):
        """Return the derivatives of parameters by their fractions.

        Parameters
        ----------
        theta : ndarray of shape (n, n_parameters)
            Parameters inside the bounds.

        Returns
        -------
        ndarray of shape (n, n_parameters)
            Derivatives.
        """
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
    """Return the bounds of a search.

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
        If they name no parameter, are not in order or finite, or leave the domain.
    """
    names, chosen = model.parameter_names, np.array(model.bounds, dtype=float)
    if isinstance(bounds, dict):
        unknown = [str(name) for name in bounds if name not in names]
        if unknown:
            raise ValueError(
                f"bounds name {', '.join(unknown)}; the parameters are {', '.join(names)}."
            )
        for name, limits in bounds.items():
            if np.shape(limits) != (2,):
                raise ValueError(f"bounds of {name} are {limits!r}; give (low, high).")
            chosen[names.index(name)] = limits
    elif bounds is not None:
        if np.shape(bounds) != chosen.shape:
            raise ValueError(
                f"bounds have shape {np.shape(bounds)}; give {chosen.shape}, a row (low, "
                f"high) for each of {', '.join(names)}, or a dict with some of them."
            )
        chosen = np.array(bounds, dtype=float)
    for parameter, (low, high) in zip(model.parameters, chosen, strict=True):
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(
                f"bounds of {parameter.name} are {low:g} to {high:g}; searches need finite "
                "ones, low < high."
            )
        if low < parameter.domain[0] or high > parameter.domain[1]:
            raise ValueError(
                f"bounds of {parameter.name}, {low:g} to {high:g}, leave the domain of the "
                f"model, {parameter.domain[0]:g} to {parameter.domain[1]:g}; narrow them."
            )
    return chosen
