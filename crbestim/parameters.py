"""Parameters of a signal model: names, units, limits and distribution in the brain."""

from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from scipy import stats

from ._arrays import as_reals
from ._options import check_number
from ._representation import constructor_call
from ._warnings import warn
from .exceptions import ImplausibleValueWarning

__all__ = ["Parameter", "fold", "truncated_normal", "wrapped_error"]

# Factors from seconds to the units in which times are given by mistake.
_PREFIXES = ((1e3, "milli"), (1e6, "micro"))


def truncated_normal(mean, sd, low, high):
    """Return a normal distribution truncated to an interval.

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
    mean = check_number(mean, "mean", "one finite number")
    sd = check_number(sd, "sd", "one number above 0", above=0)
    low, high = _interval((low, high), "low and high")
    return stats.truncnorm((low - mean) / sd, (high - mean) / sd, loc=mean, scale=sd)


def fold(values, low, high, period):
    """Shift values outside an interval into it by multiples of their period.

    Parameters
    ----------
    values : ndarray
        Values.
    low, high, period : float or ndarray that broadcasts to the values
        The interval, and the period; infinite for values without a period.

    Returns
    -------
    ndarray
        Values in the period that begins at `low`; values inside the interval, and those
        without a period, do not change.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.parameters import fold
    >>> fold(np.array([0.25, 2.5]), 0.0, 1.0, 1.0)
    array([0.25, 0.5 ])
    """
    values, period = as_reals(values, "values"), as_reals(period, "period")
    if not (period > 0).all():
        raise ValueError(f"period = {period}; give positive ones, or inf for none.")
    return folded(values, low, high, period)


def folded(values, low, high, period):
    """Do as `fold`, without checks."""
    finite = np.isfinite(period)
    period, low = np.where(finite, period, 1.0), np.where(finite, low, 0.0)
    outside = finite & ((values < low) | (values > high))
    return np.where(outside, low + np.mod(values - low, period), values)


def wrapped_error(y_true, y_pred, periods=None):
    """Error of an estimate, modulo the period of periodic parameters.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, n_outputs)
        Truth.
    y_pred : array-like of shape (..., n_samples, n_outputs)
        Estimates, one or repeated ones.
    periods : array-like of shape (n_outputs,), default=None
        Periods; infinite for parameters without one.

    Returns
    -------
    ndarray of the shape of y_pred
        ``y_pred - y_true``, between minus and plus half a period.

    Raises
    ------
    ValueError
        If shapes disagree, or a period is not positive.

    Examples
    --------
    >>> from crbestim.parameters import wrapped_error
    >>> wrapped_error([[0.9]], [[-0.9]], periods=[2.0]).round(6)
    array([[0.2]])
    """
    y_true, y_pred = as_reals(y_true, "y_true"), as_reals(y_pred, "y_pred")
    if not y_true.ndim or y_pred.shape[-y_true.ndim :] != y_true.shape:
        raise ValueError(
            f"y_true has shape {y_true.shape} and y_pred {y_pred.shape}; they must agree, "
            "but for axes of repetitions that come first in y_pred."
        )
    error = y_pred - y_true
    if periods is None:
        return error
    periods = as_reals(periods, "periods")
    if periods.shape != error.shape[-1:]:
        raise ValueError(
            f"periods has shape {periods.shape}; give one for each of the "
            f"{error.shape[-1]} outputs, inf for those without."
        )
    if not (periods > 0).all():
        raise ValueError(f"periods = {periods}; give positive ones, or inf for none.")
    finite = np.isfinite(periods)
    period = np.where(finite, periods, 1.0)
    return np.where(finite, error - period * np.round(error / period), error)


def _interval(ends, what):
    """Return the two numbers of an interval as floats; they may be infinite."""
    try:
        values = as_reals(ends, what)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (2,) or not values[0] < values[1]:
        raise ValueError(f"{what} are {ends!r}; give (low, high), low < high.")
    return float(values[0]), float(values[1])


@dataclass(frozen=True, repr=False)
class Parameter:
    """One real parameter of a signal model, in SI units.

    Parameters
    ----------
    name : str
        Name, as in ``model.parameter_names``.
    bounds : tuple of float
        Interval in which estimators look for it.
    domain : tuple of float, default=(-inf, inf)
        Interval in which the model is valid; it contains the bounds.
    unit : str, default="1"
        SI unit.
    symbol : str, default=""
        LaTeX symbol for labels, without dollar signs; empty means the name.
    period : float, default=inf
        Period, if values that differ by it are equivalent, as of an angle.
    distribution : scipy.stats frozen distribution, default=None
        Distribution in the brain.
    fluid : scipy.stats frozen distribution, default=None
        Distribution in fluid, where it differs from tissue.
    usual : tuple of float, default=None
        Interval of usual values; values far outside it suggest another unit. By default
        the bounds.

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
    usual: tuple | None = None

    def __post_init__(self):
        """Check what it is made of, and that the limits are in order."""
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name is {self.name!r}; give text that is not empty.")
        low, high = _interval(self.bounds, f"bounds of {self.name}")
        lowest, highest = _interval(self.domain, f"domain of {self.name}")
        if self.usual is not None:
            _interval(self.usual, f"usual values of {self.name}")
        if not (isinstance(self.period, Real) and self.period == np.inf):
            what = f"period of {self.name}"
            check_number(self.period, what, "a number above 0, or inf for none", above=0)
        for kind in ("distribution", "fluid"):
            frozen = getattr(self, kind)
            if frozen is not None and not callable(getattr(frozen, "rvs", None)):
                raise TypeError(
                    f"{kind} of {self.name} is {frozen!r}; give a SciPy frozen "
                    "distribution such as scipy.stats.uniform(0, 1)."
                )
        if low < lowest or high > highest:
            raise ValueError(
                f"bounds of {self.name}, {self.bounds}, leave {self.domain}, where the "
                "model holds; narrow them."
            )

    def __repr__(self):
        return constructor_call(self)

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
        if np.shape(bounds) == (2,) and np.asarray(bounds).dtype.kind in "biuf":
            bounds = tuple(float(b) for b in bounds)
        return replace(self, bounds=bounds, usual=self.usual or self.bounds)

    def holds(self, values):
        """Return which values are finite and inside the domain.

        Parameters
        ----------
        values : ndarray
            Values, in SI units.

        Returns
        -------
        ndarray of bool
            False for values outside, and for those that are not finite.
        """
        (low, high), values = self.domain, as_reals(values, "values")
        return (values >= low) & (values <= high) & np.isfinite(values)

    def is_implausible(self, values):
        """Return which values are so far from the bounds that they suggest another unit.

        Parameters
        ----------
        values : ndarray
            Values inside the domain.

        Returns
        -------
        ndarray of bool
            True where a value is less than half or more than twice any usual value and
            bound; if these include zero or negative values, more than twice the largest in
            magnitude. What differs by periods is the same.
        """
        usual = self.usual or self.bounds
        low, high = min(usual[0], self.bounds[0]), max(usual[1], self.bounds[1])
        values = folded(values, low, high, self.period)
        if low <= 0:
            return np.abs(values) > 2 * max(abs(low), abs(high))
        return (values < low / 2) | (values > 2 * high)

    def check(self, values, name="theta"):
        """Refuse values that are not finite or outside the domain.

        Parameters
        ----------
        values : ndarray of shape (n_samples,)
            A column of theta.
        name : str, default="theta"
            What the array is called in errors.

        Raises
        ------
        ValueError
            If a value is not allowed.

        Warns
        -----
        ImplausibleValueWarning
            If values lie so far outside the bounds that they suggest another unit, or a
            time instead of a rate.

        Examples
        --------
        >>> import numpy as np
        >>> from crbestim.parameters import Parameter
        >>> Parameter("T1", (0.1, 5.0), (0.0, 10.0), "s").check(np.array([1e3]))
        Traceback (most recent call last):
        ...
        ValueError: T1 = 1000 s in row 0 of theta is outside 0 to 10 s, where the model
        holds; it looks like milliseconds, give seconds.
        """
        (low, high), values = self.domain, as_reals(values, name)
        outside = ~self.holds(values)
        unit = "" if self.unit == "1" else f" {self.unit}"
        if outside.any():
            row = int(np.argmax(outside))
            raise ValueError(
                f"{self.name} = {values[row]:g}{unit} in row {row} of {name} is outside "
                f"{low:g} to {high:g}{unit}, where the model holds"
                f"{self._unit_hint(values[row])}."
            )
        odd = self.is_implausible(values)
        if odd.any():
            row = int(np.argmax(odd))
            usual = f"{self.bounds[0]:g} to {self.bounds[1]:g}{unit}"
            hint = " Is it a time? The model wants a rate." if self.unit == "1/s" else ""
            warn(
                f"{self.name} = {values[row]:g}{unit} in row {row} of {name} is far from "
                f"the bounds {usual}.{hint}",
                ImplausibleValueWarning,
                stacklevel=4,
            )

    def _unit_hint(self, value):
        low, high = self.bounds
        for factor, prefix in _PREFIXES:
            if self.unit == "s" and low <= value / factor <= high:
                return f"; it looks like {prefix}seconds, give seconds"
        return ""
