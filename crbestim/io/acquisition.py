"""What sidecars say about an acquisition, in SI units."""

import inspect
from dataclasses import dataclass

import numpy as np

from .._warnings import warn
from ..exceptions import ImageFileError, ImplausibleValueWarning

_TR = "RepetitionTimeExcitation", "RepetitionTime"
_FIELDS = {
    "te": ("EchoTime",),
    "ti": ("InversionTime",),
    "tr": _TR,
    "alpha": ("FlipAngle",),
    "mt": ("MTState",),
}
# Of these, the repetition time is that from inversion to inversion.
_INVERSIONS = {
    "IRT1": ("RepetitionTimePreparation", "RepetitionTime", "RepetitionTimeExcitation"),
    "MP2RAGE": ("RepetitionTimePreparation", "RepetitionTime"),
}
_NEEDED = {
    "MESE": ("te",),
    "MEGRE": ("te",),
    "VFA": ("alpha", "tr"),
    "IRT1": ("ti",),
    "MP2RAGE": ("ti",),
    "MTS": ("mt", "alpha", "tr"),
    "TB1map": (),
}
SUFFIXES = tuple(_NEEDED)
# The longest times, in s, and the smallest flip angle, in degrees, that are usual.
_USUAL = {"te": (0, 2), "ti": (0, 60), "tr": (0, 60), "alpha": (1, 360)}


@dataclass(frozen=True, eq=False)
class Acquisition:
    """How images were acquired, one value for each volume, in SI units.

    It comes from :func:`~crbestim.io.read_bids`. What sidecars do not say is None.

    Attributes
    ----------
    te, ti, tr : ndarray of shape (n_features,) or None
        Echo times, inversion times and repetition times, in s.
    alpha : ndarray of shape (n_features,) or None
        Flip angles, in rad.
    mt : ndarray of bool, shape (n_features,), or None
        Whether a pulse has saturated macromolecules.
    sidecars : tuple of dict
        All that the sidecars say, as it is there, one of each volume.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.io import Acquisition
    >>> from crbestim.models import SpoiledGradientEcho
    >>> found = Acquisition(alpha=np.deg2rad([4, 20]), tr=np.array([0.02, 0.02]))
    >>> SpoiledGradientEcho(**found.arguments(SpoiledGradientEcho)).n_features
    2
    """

    te: np.ndarray | None = None
    ti: np.ndarray | None = None
    tr: np.ndarray | None = None
    alpha: np.ndarray | None = None
    mt: np.ndarray | None = None
    sidecars: tuple = ()

    @classmethod
    def of(cls, suffix, sidecars, names):
        """Return the acquisition of the volumes, or say which field is missing or odd."""
        found = {}
        for name, fields in _FIELDS.items():
            fields = _INVERSIONS.get(suffix, fields) if name == "tr" else fields
            needed = name in _NEEDED.get(suffix, ())
            values = [
                _field(s, fields, n, needed) for s, n in zip(sidecars, names, strict=True)
            ]
            if all(value is not None for value in values):
                found[name] = _checked(name, fields[0], np.array(values), names)
        return cls(**found, sidecars=tuple(sidecars))

    def arguments(self, model):
        """Return the arguments that the constructor of a model takes from here.

        Parameters
        ----------
        model : type
            A model's class.

        Returns
        -------
        dict
            Arguments by name. A repetition time that is the same in all volumes is one
            number; other settings that do not vary are left out where the model does not
            need them.
        """
        found = {}
        for name, parameter in inspect.signature(model).parameters.items():
            values = getattr(self, name, None) if name in _FIELDS else None
            if values is None:
                continue
            varies = values.min() < values.max()
            if name == "tr":
                found[name] = values if varies else float(values[0])
            elif varies or parameter.default is inspect.Parameter.empty:
                found[name] = values
        return found


def _field(content, fields, name, needed):
    """Return a number of a sidecar, which may have one of several names."""
    for field in fields:
        if field in content:
            value = content[field]
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if isinstance(value, bool) if field == "MTState" else is_number:
                return value
            raise ImageFileError(f"{field} of {name} is {value!r}; it must be one value.")
    if needed:
        raise ImageFileError(f"the sidecars of {name} have no {' or '.join(fields)}.")
    return None


def _checked(name, field, values, names):
    """Return values in SI units; warn of those that look like another unit."""
    if name not in _USUAL:
        return values
    values = values.astype(float)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ImageFileError(f"{field} of {names[0]} is {values.min():g}.")
    low, high = _USUAL[name]
    if not low <= values.max() <= high:
        unit = "degrees" if name == "alpha" else "s"
        warn(
            f"{field} of {names[0]} and others is up to {values.max():g} {unit}; is it in "
            f"{'radians' if name == 'alpha' else 'milliseconds'}?",
            ImplausibleValueWarning,
            stacklevel=6,
        )
    return np.deg2rad(values) if name == "alpha" else values
