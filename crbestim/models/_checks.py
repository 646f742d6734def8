"""What is wrong with the values of a parameter, in words."""

import warnings

import numpy as np

from ..exceptions import ImplausibleValueWarning

_UNIT_HINTS = ((1e3, "milli"), (1e6, "micro"))


def check_column(parameter, values, name="theta"):
    """Refuse values outside the domain of a parameter, warn of implausible ones.

    Parameters
    ----------
    parameter : Parameter
        The parameter.
    values : ndarray of shape (n_samples,)
        Its values, in SI units.
    name : str, default="theta"
        What the array is called in the error.

    Raises
    ------
    ValueError
        If a value is not finite or outside the domain.

    Warns
    -----
    ImplausibleValueWarning
        If a value suggests another unit, or a time in place of a rate.
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
