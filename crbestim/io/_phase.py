"""Units of phase images, from their values."""

import numpy as np

from .._warnings import warn
from ..exceptions import ImageFileError

# Values of a full turn: degrees, thousandths of a radian, and whole numbers of scanners.
_TURNS = (360.0, 2000 * np.pi, 4096.0, 8192.0, 65536.0)
# Noise in air reaches this share of the range, and rounding goes beyond it by as much.
_FILLED, _ROUNDED = 0.99, 1.001


def turn_of(low, high, name, stacklevel):
    """Return the value of a full turn of a phase image with these ends; say what is odd."""
    if -np.pi * _ROUNDED <= low and high <= np.pi * _ROUNDED:
        return 2 * np.pi
    if low >= 0 and high <= 2 * np.pi * _ROUNDED:
        return 2 * np.pi
    for turn in _TURNS:
        end = turn if low >= 0 else turn / 2
        if _FILLED * end <= max(high, -low) <= _ROUNDED * end:
            warn(
                f"the phase of {name} goes from {low:.6g} to {high:.6g}: a full turn is "
                f"taken as {turn:.6g}. To say so, or otherwise, give turn.",
                UserWarning,
                stacklevel=stacklevel,
            )
            return turn
    raise ImageFileError(
        f"the phase of {name} goes from {low:.6g} to {high:.6g}, which are no radians, and "
        "does not fill the range of another unit; give turn, the value of a full turn: "
        "8192 for values of -4096 to 4095, 360 for degrees."
    )
