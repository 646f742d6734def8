r"""Multi-echo spin echo: one excitation and a train of refocusing pulses (CPMG).

Behind refocusing pulses of 180 degrees the echoes are :math:`M_0 e^{-T_E / T_2}`. Others
store a part of the magnetization for a while, and stimulated echoes follow (Hennig, J.
Magn. Reson. 1988, doi 10.1016/0022-2364(88)90128-X). T2 is therefore fitted by extended
phase graphs (Prasloski et al., MRM 2012, doi 10.1002/mrm.23157). The equations stand with
the code, in ``crbestim/kernels/multi_echo.py``.
"""

from copy import copy

import numpy as np

from .._arrays import as_settings
from .._options import check_flag
from ..kernels.multi_echo import multi_echo
from ._checks import RADIANS, check_echo_times, check_relaxation
from ._closed_form import ClosedFormModel
from ._controls import arguments_of
from ._tissue import T1, T2, folded_transmit_field, transmit_field

_HIGHEST_ANGLE = 1.5 * np.pi
# Times in headers are rounded.
_ROUNDING = 1e-3
# Angles that differ by less are the same.
_SAME = 1e-9


class MultiEchoSpinEcho(ClosedFormModel):
    """Echoes of a Carr-Purcell-Meiboom-Gill train (CPMG), with stimulated echoes.

    Parameters are T2; optionally T1; B1, unless it is 1; for magnitudes also M0. Pulses are
    instantaneous, and those of refocusing have the phase of the magnetization that the
    excitation has tipped. Gradients around them spoil what they do not refocus. M0 includes
    what TR has left of the magnetization.

    Parameters
    ----------
    te : array-like of shape (n_echoes,)
        Echo times, in s, all of them from the first on: multiples of the first.
    refocusing : float or array-like, default=pi
        Nominal flip angles of the refocusing pulses, in rad: one for all, (n_echoes,), or
        (n_positions, n_echoes) at evenly spaced positions of the slice profile, of whose
        signals that of the voxel is the mean.
    excitation : float or array-like of shape (n_positions,), default=pi / 2
        Nominal flip angle of the excitation, in rad; with positions also one for each.
    t1 : float or None, default=1.0
        T1, in s, which matters little. None makes it a parameter, between T2 and B1,
        although the echoes hardly tell it: not at all at B1 = 1 and 180 degrees, where its
        bound is infinite, and from 32 echoes at M0 / sigma = 100 with a standard deviation
        of 1.3 to 11 times its value for a B1 of 0.6 to 0.95.
    b1 : bool, default=True
        Whether the relative transmit field B1, which scales all flip angles, is a
        parameter; otherwise it is 1.
    signal : {"complex", "magnitude"}, default="magnitude"
        Whether the complex signal is measured, up to a complex factor M0, or its
        magnitude, with the amplitude M0 as the last parameter.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        Distribution of the noise; Rician is for magnitudes.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    ValueError
        If an option is unknown, or echo times or flip angles are not usable.

    Notes
    -----
    Pulses of 180 degrees give the same signal at B1 and at 2 - B1, but for M0 if the
    excitation is not one of 90 degrees. So do others of one flip angle at B1 and at
    ``2 * pi / refocusing - B1``. The default bounds of B1 end halfway, at
    ``pi / refocusing``, if that is below 1.4: what is estimated is the lower of the two,
    and T2 is the same for both. Known values of B1 may be on either side.

    Angles that differ a little, as in a slice profile, make a little difference between
    both sides. Where noise is larger, least squares may find either; a B1 map, or bounds
    such as ``{"B1": (0.6, 1.0)}``, decide.

    Examples
    --------
    >>> from crbestim.models import MultiEchoSpinEcho
    >>> model = MultiEchoSpinEcho([0.01, 0.02, 0.03, 0.04])
    >>> model.parameter_names
    ('T2', 'B1', 'M0')
    >>> model.signal([[0.08, 1.0, 1.0], [0.08, 0.8, 1.0]]).round(3)
    array([[0.882, 0.779, 0.687, 0.607],
           [0.759, 0.75 , 0.603, 0.581]])
    """

    controls = {"te": (4e-3, 0.1, "s"), "refocusing": (0.1, np.pi, "rad")}

    def __init__(
        self,
        te,
        *,
        refocusing=np.pi,
        excitation=np.pi / 2,
        t1=1.0,
        b1=True,
        signal="magnitude",
        noise="gaussian",
        bounds=None,
    ):
        self.te = _check_train(check_echo_times(te))
        self.refocusing = _check_angles(refocusing, "refocusing")
        self.excitation = _check_angles(excitation, "excitation")
        self._check_shapes()
        self.t1 = None if t1 is None else check_relaxation(t1, "t1", T1)
        self.b1 = check_flag("b1", b1)
        parameters = [T2]
        if t1 is None:
            parameters.append(T1)
            self._refuse_t1_without_effect()
        if b1:
            parameters.append(folded_transmit_field(self._halfway, bounds))
        super().__init__(parameters, signal, noise, bounds)

    def _check_shapes(self):
        n, shape, excitation = len(self.te), np.shape(self.refocusing), self.excitation
        if shape not in ((), (n,)) and (len(shape) != 2 or shape[1] != n):
            raise ValueError(
                f"refocusing has shape {shape} for {n} echoes; give one flip angle, one "
                f"for each echo, ({n},), or for each position and echo, (n_positions, {n})."
            )
        if np.shape(excitation) not in ((), shape[:-1]):
            raise ValueError(
                f"excitation has shape {np.shape(excitation)} and refocusing {shape}; give "
                "one flip angle, or one for each position, with refocusing of shape "
                f"(n_positions, {n})."
            )

    def _refuse_t1_without_effect(self):
        if not self.b1 and np.isclose(self._halfway, 1.0, rtol=0, atol=_SAME):
            raise ValueError(
                "t1=None makes T1 a parameter, but with b1=False and all pulses of 180 "
                "degrees the signal does not depend on it; give t1 in s, or b1=True."
            )

    @property
    def _halfway(self):
        """The B1 at which all pulses are of 180 degrees; infinite if there is none."""
        angles = np.extract(self.refocusing, self.refocusing)
        return np.pi / angles.max() if np.ptp(angles) < _SAME else np.inf

    def _settings(self):
        # Of all echo times, the first one tells the others.
        return {"te": self.te[-1] / len(self.te), "refocusing": self.refocusing}

    def _with_settings(self, values):
        te = values.get("te", self.te[-1] / self.n_features)
        te = te * np.arange(1, self.n_features + 1)
        return type(self)(**arguments_of(self) | values | {"te": te})

    def _knowing(self, names):
        # A map may be on either side of 180 degrees.
        whole, chosen = transmit_field(), self._chosen_bounds
        is_folded = self.b1 and "B1" not in chosen and self._halfway < whole.bounds[1]
        if "B1" not in names or not is_folded:
            return self
        twin = copy(self)
        vars(twin).pop("bounds", None)
        parameters = (whole if p.name == "B1" else p for p in self.parameters)
        twin._choose_parameters(parameters, chosen | {"B1": whole.bounds})
        return twin

    @property
    def n_features(self):
        """Number of echoes."""
        return len(self.te)

    def _formula(self):
        n = self.n_features
        refocusing = np.atleast_2d(self.refocusing)
        excitation = np.broadcast_to(self.excitation, len(refocusing))
        settings = [self.te[-1] / n, *excitation, *refocusing]
        return multi_echo, settings, {"T2": 0.0, "T1": self.t1 or 0.0, "B1": 1.0}


def _check_train(te):
    """Return echo times, if they are the multiples of one spacing."""
    spacing = te[-1] / len(te)
    error = np.abs(te / spacing - np.arange(1, len(te) + 1)) if spacing else te
    if error.max() > _ROUNDING or not spacing:
        i = int(np.argmax(error > _ROUNDING))
        raise ValueError(
            f"te[{i}] = {te[i]:.6g} s does not fit {len(te)} echoes that end at "
            f"{te[-1]:.6g} s; give all multiples of one spacing from the first on. Echoes "
            "that were not measured may be NaN in the data, with nan_policy='omit'."
        )
    return te


def _check_angles(values, name):
    """Return flip angles as a float, or as a read-only array."""
    angles = as_settings(values, name)
    wrong = ~(np.isfinite(angles) & (angles >= 0) & (angles <= _HIGHEST_ANGLE))
    if wrong.any() or not angles.any():
        found = angles[wrong][0] if wrong.any() else 0.0
        raise ValueError(
            f"{name} holds {found:.4g} rad; give numbers of 0 to {_HIGHEST_ANGLE:.4g} rad, "
            f"not all of them 0{RADIANS.format(name)}."
        )
    angles.flags.writeable = False
    return angles if angles.ndim else float(angles)
