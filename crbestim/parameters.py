"""Parameters of a signal model: names, units, limits and where they lie in a brain."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

__all__ = ["Parameter", "truncated_normal"]


def truncated_normal(mean, sd, low, high):
    """Return a normal distribution cut off at an interval.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation before truncation.
    low, high : float
        The interval.

    Returns
    -------
    scipy.stats frozen distribution
        The truncated distribution.

    Examples
    --------
    >>> from crbestim.parameters import truncated_normal
    >>> float(truncated_normal(0.15, 0.10, 0.0, 0.35).mean().round(4))
    0.1583
    """
    return stats.truncnorm((low - mean) / sd, (high - mean) / sd, loc=mean, scale=sd)


@dataclass(frozen=True)
class Parameter:
    """One real parameter of a signal model, in SI units.

    Parameters
    ----------
    name : str
        Name, as in ``model.parameter_names``.
    bounds : tuple of float
        Interval in which estimators look for it.
    domain : tuple of float, default=(-inf, inf)
        Interval in which the model's equations hold; it contains the bounds.
    unit : str, default="1"
        SI unit.
    symbol : str, default=""
        LaTeX symbol for labels, without dollar signs; empty means the name.
    period : float, default=inf
        Period, for a parameter that is an angle or a frequency known modulo one.
    distribution : scipy.stats frozen distribution, default=None
        Distribution in the brain.
    fluid : scipy.stats frozen distribution, default=None
        Distribution in fluid, where it differs from tissue.
    usual : tuple of float, default=None
        Interval of usual values, far from which a unit is doubted; by default the bounds.

    Examples
    --------
    >>> from crbestim.parameters import Parameter
    >>> t2 = Parameter("T2", bounds=(0.01, 3.0), domain=(0.0, 100.0), unit="s")
    >>> t2.width
    2.99
    """

    name: str
    bounds: tuple
    domain: tuple = (-np.inf, np.inf)
    unit: str = "1"
    symbol: str = ""
    period: float = np.inf
    distribution: object = None
    fluid: object = None
    usual: tuple = None

    def __post_init__(self):
        """Check that the limits are in order."""
        low, high = self.bounds
        if not low < high:
            raise ValueError(
                f"bounds of {self.name} are {self.bounds}; give (low, high), low < high."
            )
        if low < self.domain[0] or high > self.domain[1]:
            raise ValueError(
                f"bounds of {self.name}, {self.bounds}, leave {self.domain}, where the "
                "model holds; narrow them."
            )

    @property
    def width(self):
        """Width of the bounds."""
        return self.bounds[1] - self.bounds[0]

    @property
    def label(self):
        """Symbol and unit for an axis."""
        symbol = f"${self.symbol}$" if self.symbol else self.name
        return symbol if self.unit == "1" else f"{symbol} ({self.unit})"

    def with_bounds(self, bounds):
        """Return the same parameter with other bounds.

        Parameters
        ----------
        bounds : tuple of float
            The new interval.

        Returns
        -------
        Parameter
            A copy.
        """
        bounds = tuple(float(b) for b in bounds)
        return replace(self, bounds=bounds, usual=self.usual or self.bounds)

    def holds(self, values):
        """Tell which values are inside the domain.

        Parameters
        ----------
        values : ndarray
            Values, in SI units.

        Returns
        -------
        ndarray of bool
            False for values outside, and for those that are not finite.
        """
        low, high = self.domain
        return (values >= low) & (values <= high) & np.isfinite(values)

    def is_implausible(self, values):
        """Tell which values of a positive parameter suggest another unit or quantity.

        Parameters
        ----------
        values : ndarray
            Values inside the domain.

        Returns
        -------
        ndarray of bool
            True where a value is below half or above twice of the usual and the bounds.
        """
        usual = self.usual or self.bounds
        low, high = min(usual[0], self.bounds[0]), max(usual[1], self.bounds[1])
        if low <= 0:
            return np.abs(values) > 2 * max(abs(low), abs(high))
        return (values < low / 2) | (values > 2 * high)
