"""Units, labels and ranges in which parameters are drawn."""

from typing import NamedTuple

import numpy as np

# Shares of the distribution of a parameter that are below and above its range.
_TAIL = 0.01
# Distance of the ends of a range from the middle half of values, over its width.
_FENCE = 3.0
# Factors from SI units, and the units that people read.
_READ_AS = {"rad/s": (0.5 / np.pi, "Hz"), "m²/s": (1e9, "µm²/ms")}
# Times up to so many seconds, and what they are read as.
_TIMES = ((1e-3, 1e6, "µs"), (10.0, 1e3, "ms"), (np.inf, 1.0, "s"))


class Scale(NamedTuple):
    """A factor from SI units, and the label of an axis."""

    factor: float
    label: str


def scale_of(parameter):
    """Return the scale on which a parameter is drawn.

    Examples
    --------
    >>> from crbestim.inspection._units import scale_of
    >>> from crbestim.models import MonoExponential
    >>> scale_of(MonoExponential([0.0, 0.1]).parameters[0])
    Scale(factor=1000.0, label='$T_2$ (ms)')
    """
    symbol, unit = parameter.symbol or parameter.name, parameter.unit
    if unit == "s":
        typical = _typical(parameter)
        factor, unit = next(read for most, *read in _TIMES if typical <= most)
    else:
        factor, unit = _READ_AS.get(unit, (1.0, unit))
    if parameter.unit == "rad/s":
        symbol += r"/2\pi" if parameter.symbol else "/2π"
    symbol = f"${symbol}$" if parameter.symbol else symbol
    return Scale(factor, symbol if unit == "1" else f"{symbol} ({unit})")


def _typical(parameter):
    """Return a typical size: the median of the distribution, or the upper bound."""
    if parameter.distribution is not None:
        return abs(parameter.distribution.median())
    return np.abs(parameter.bounds).max()


def range_of(parameter, values):
    """Return the range of colours: most of the distribution, or the bounds, in SI units.

    Ends that are infinite follow the values, see `range_of_values`.
    """
    low, high = parameter.bounds
    if parameter.distribution is not None:
        low, high = np.clip(parameter.distribution.ppf([_TAIL, 1 - _TAIL]), low, high)
    least, most = range_of_values(values)
    low, high = (low if np.isfinite(low) else least), (high if np.isfinite(high) else most)
    return (low, high) if low < high else (low, low + 1.0)


def range_of_values(values):
    """Return a range of colours for values: from zero, or the least, to the largest.

    The least and largest are those but one in a hundred, no further from the middle half
    of the values than three times its width: air has an M0 of any size.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    least, first, third, most = np.quantile(finite, [_TAIL, 0.25, 0.75, 1 - _TAIL])
    if third > first:
        reach = _FENCE * (third - first)
        least, most = max(least, first - reach), min(most, third + reach)
    low = min(least, 0.0)
    return (low, most) if low < most else (low, low + 1.0)
