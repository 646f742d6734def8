"""Whether results are in the units of a model."""

import warnings

import numpy as np

from .._warnings import warn
from ..exceptions import ImplausibleValueWarning


def warn_of_units(parameters, values, name, stacklevel=3):
    """Warn of parameters whose median value is so far from the bounds as another unit is.

    values : (..., n_parameters); what is not finite does not count.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        medians = np.nanmedian(values, axis=tuple(range(values.ndim - 1)))
    told = []
    for parameter, median in zip(parameters, medians, strict=True):
        if parameter.is_implausible(np.array([median]))[0]:
            unit = "" if parameter.unit == "1" else f" {parameter.unit}"
            low, high = parameter.bounds
            told.append(
                f"{parameter.name} is {median:.3g}{unit} in the median, and its bounds are "
                f"{low:g} to {high:g}{unit}"
            )
    if told:
        warn(
            f"{name} seems to be in other units: {'; '.join(told)}. Give results in SI "
            "units, as theta",
            ImplausibleValueWarning,
            stacklevel=stacklevel,
        )
