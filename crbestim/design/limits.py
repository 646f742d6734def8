"""Limits of a design: RF power, angles, durations and other settings of an acquisition."""

import numpy as np

from .._options import check_number
from .._representation import text_of

# Larger values are in another unit: RF fields of scanners are below 100 uT.
_LARGEST_FIELD = 1e-3
_NUMBERS = {
    "b1rms": "T, above 0; for uT give 1e-6 * b1rms",
    "b1max": "T, above 0; for uT give 1e-6 * b1max",
    "alpha_step": "rad, above 0",
    "duration": "s, above 0",
}


class Limits:
    """Limits that every design keeps, in SI units.

    A limit of None does not count. Pulse 0 of a train, the inversion, stays as it is: it
    counts for `b1rms` and has to keep `b1max`; the others are those of the pulses that
    change. For models without pulse durations, RF power does not count.

    Parameters
    ----------
    b1rms : float, default=2e-6
        Largest root of the mean square of the RF field over a cycle, of each train, in T.
    b1max : float, default=23.5e-6
        Largest RF field of a pulse, alpha / trf / gamma, in T.
    alpha : tuple of float, default=(0, pi)
        Least and largest flip angle, in rad.
    trf : tuple of float, default=(1e-4, 5e-4)
        Least and largest duration of a pulse, in s.
    alpha_step : float, default=None
        Largest difference of the flip angles of neighbouring pulses, in rad.
    tr : tuple of float, default=None
        Least and largest repetition time, in s, where it is a control.
    duration : float, default=None
        Longest duration of the measurement, in s.
    **controls : tuple of float
        Least and largest value of other controls of a model by name, such as ``te`` or
        ``b``. By default they are those of ``model.controls``. Where both are the same,
        the control is held there.

    Raises
    ------
    ValueError
        If a limit is not a positive number, or no interval (low, high).

    Examples
    --------
    >>> from crbestim.design import Limits
    >>> Limits(b1rms=2.5e-6, alpha_step=0.26)
    Limits(b1rms=2.5e-06, alpha_step=0.26)
    >>> Limits(trf=(0.1, 0.5), b1max=23.5)
    Traceback (most recent call last):
    ...
    ValueError: b1max = 23.5; give one number in T, above 0; for uT give 1e-6 * b1max, or
    None for no limit.
    """

    def __init__(
        self,
        *,
        b1rms=2e-6,
        b1max=23.5e-6,
        alpha=(0, np.pi),
        trf=(1e-4, 5e-4),
        alpha_step=None,
        tr=None,
        duration=None,
        **controls,
    ):
        self.b1rms = _check_field(b1rms, "b1rms")
        self.b1max = _check_field(b1max, "b1max")
        self.alpha_step = _check_positive(alpha_step, "alpha_step")
        self.duration = _check_positive(duration, "duration")
        given = {"alpha": alpha, "trf": trf, "tr": tr, **controls}
        self.controls = {
            name: _check_interval(ends, name)
            for name, ends in given.items()
            if ends is not None
        }
        if np.abs(self.controls.get("alpha", 0.0)).max() > 2 * np.pi:
            raise ValueError(
                f"alpha = {alpha!r} is more than 2 pi; flip angles are in radians, for "
                "degrees give np.deg2rad(alpha)."
            )

    @property
    def alpha(self):
        """Least and largest flip angle, in rad, or None."""
        return self.controls.get("alpha")

    @property
    def trf(self):
        """Least and largest duration of a pulse, in s, or None."""
        return self.controls.get("trf")

    @property
    def tr(self):
        """Least and largest repetition time, in s, or None."""
        return self.controls.get("tr")

    def __repr__(self):
        found = {name: getattr(self, name) for name in DEFAULTS} | self.controls
        changed = (
            f"{name}={text_of(value)}"
            for name, value in found.items()
            if value != DEFAULTS.get(name)
        )
        return f"Limits({', '.join(changed)})"


DEFAULTS = {
    "b1rms": 2e-6,
    "b1max": 23.5e-6,
    "alpha": (0.0, np.pi),
    "trf": (1e-4, 5e-4),
    "alpha_step": None,
    "tr": None,
    "duration": None,
}


def check_limits(limits):
    """Return limits, by default those of `Limits()`."""
    if limits is None:
        return Limits()
    if not isinstance(limits, Limits):
        raise TypeError(f"limits is {limits!r}; give crbestim.design.Limits(...).")
    return limits


def _check_positive(value, name):
    if value is None:
        return None
    allowed = f"one number in {_NUMBERS[name]}, or None for no limit"
    return check_number(value, name, allowed, above=0)


def _check_field(value, name):
    value = _check_positive(value, name)
    if value is not None and value > _LARGEST_FIELD:
        allowed = f"one number in {_NUMBERS[name]}, or None for no limit"
        raise ValueError(f"{name} = {value!r}; give {allowed}.")
    return value


def _check_interval(ends, name):
    """Return the ends of an interval as floats."""
    what = f"(low, high) of {name}, low <= high, finite, or None"
    try:
        low, high = ends
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} = {ends!r}; give {what}.") from error
    low, high = (check_number(end, name, what) for end in (low, high))
    if low > high:
        raise ValueError(f"{name} = {ends!r}; give {what}.")
    return low, high
