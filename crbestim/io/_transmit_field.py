"""Units of maps of B1, from their values or from what a sidecar says."""

import numpy as np

from .._warnings import warn
from ..exceptions import ImageFileError

_RELATIVE, _PERCENT = 1.0, 100.0
# Medians of maps, in units of the nominal field.
_USUAL = 0.7, 1.3
# Two units are told apart if the median fits one so much better, as a ratio.
_CLEARLY = 1.4


def nominal_of(values, name, *, flip_angle=None, missing=None, stacklevel=2):
    """Return the value of a map of B1 that means the nominal field; say what is odd.

    Parameters
    ----------
    values : ndarray
        Values of the map.
    name : str
        The map, for messages.
    flip_angle : float, default=None
        Nominal flip angle in degrees, which the map may hold, if it is known.
    missing : str, default=None
        What a sidecar does not say; it is then always told how the map is taken.
    stacklevel : int, default=2
        As in `warnings.warn`.

    Returns
    -------
    float
        1 for relative values, 100 for percent, or the flip angle in degrees.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.io._transmit_field import nominal_of
    >>> nominal_of(np.array([0.0, 0.9, 1.1]), "b1.nii")
    1.0
    """
    there = values[np.isfinite(values) & (values > 0)]
    units = {_RELATIVE: "relative", _PERCENT: "percent"}
    if flip_angle:
        units[float(flip_angle)] = f"flip angles in degrees, of nominally {flip_angle:g}"
    if not there.size:
        raise ImageFileError(f"{name} has no value above 0 in these voxels.")
    median = np.median(there)
    ratios = sorted((max(median / unit, unit / median), unit) for unit in units)
    usual = [unit for unit in units if _USUAL[0] <= median / unit <= _USUAL[1]]
    if not usual or ratios[1][0] < _CLEARLY * ratios[0][0]:
        raise ImageFileError(
            f"{name} has a median of {median:.4g}, from which the unit of B1 cannot be "
            "told; say which value means the nominal field: 1, 100, or the nominal flip "
            "angle."
        )
    nominal = ratios[0][1]
    if nominal != _RELATIVE or missing:
        because = f"{missing}, and " if missing else ""
        warn(
            f"{because}{name} has a median of {median:.4g}: it is taken as "
            f"{units[nominal]}",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    return nominal
