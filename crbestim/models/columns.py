"""Checks of the values of a parameter, which know what a wrong unit looks like."""

import warnings

import numpy as np

from ..exceptions import ImplausibleValueWarning

_UNIT_HINTS = ((1e3, "milli"), (1e6, "micro"))


def check_column(parameter, values, name="theta"):
    """Refuse values of a parameter that are not finite or outside the domain.

    Parameters
    ----------
    parameter : Parameter
        The parameter.
    values : ndarray of shape (n_samples,)
        Its column of theta.
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
        time in place of a rate.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models.columns import check_column
    >>> from crbestim.parameters import Parameter
    >>> check_column(Parameter("T1", (0.1, 5.0), (0.0, 10.0), "s"), np.array([1e3]))
    Traceback (most recent call last):
    ...
    ValueError: T1 = 1000 s in row 0 of theta is outside 0 to 10 s, where the model
    holds; it looks like milliseconds, give seconds.
    """
    low, high = parameter.domain
    outside = ~parameter.holds(values)
    unit = "" if parameter.unit == "1" else f" {parameter.unit}"
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(
            f"{parameter.name} = {values[row]:g}{unit} in row {row} of {name} is outside "
            f"{low:g} to {high:g}{unit}, where the model holds"
            f"{_unit_hint(parameter, values[row])}."
        )
    odd = parameter.is_implausible(values)
    if odd.any():
        row = int(np.argmax(odd))
        usual = f"{parameter.bounds[0]:g} to {parameter.bounds[1]:g}{unit}"
        hint = " Is it a time? The model wants a rate." if parameter.unit == "1/s" else ""
        warnings.warn(
            f"{parameter.name} = {values[row]:g}{unit} in row {row} of {name} is far from "
            f"the bounds {usual}.{hint}",
            ImplausibleValueWarning,
            stacklevel=4,
        )


def _unit_hint(parameter, value):
    for factor, prefix in _UNIT_HINTS:
        low, high = parameter.bounds
        if parameter.unit == "s" and low <= value / factor <= high:
            return f"; it looks like {prefix}seconds, give seconds"
    return ""
