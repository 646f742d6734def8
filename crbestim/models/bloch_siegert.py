r"""B1 from the Bloch-Siegert shift of the phase.

Between excitation and echo, a pulse of an offset :math:`\omega_\mathrm{RF}` far from
resonance, of the shape :math:`b(t)` and of the peak :math:`B_1 B_{1,p}`, turns the
magnetization by

.. math:: \phi = K_\mathrm{BS} (B_1 B_{1,p})^2, \qquad
          K_\mathrm{BS} = \int \frac{(\gamma b(t))^2}{2 \omega_\mathrm{RF}}\, dt,

and one of the opposite offset by :math:`-\phi` (Sacolick et al., MRM 2010, doi
10.1002/mrm.22357):

.. math:: s_\pm = M_0 e^{\pm i \phi}.
"""

from collections.abc import Mapping

import numpy as np

from .._arrays import as_settings
from .._options import check_number
from ..kernels.field_maps import bloch_siegert
from ._checks import SECONDS, check_positive
from ._closed_form import ClosedFormModel
from ._tissue import folded_transmit_field

_GAMMA = 2.6752218708e8  # of protons, in rad/s/T
_TESLA = "; {0} is in tesla, for microtesla give 1e-6 * {0}"
_PER_TESLA = "; {0} is in rad/T^2, for rad/G^2 give 1e8 * {0}"
# Field over offset, in rad/s, above which the phase is off by more than 1 / 16.
_STRONGEST = 0.5


class BlochSiegert(ClosedFormModel):
    """Complex images of two opposite offsets of a pulse, whose phases tell B1.

    The parameter is B1. The two samples are the images of the phases ``+phi`` and
    ``-phi``; all other phase is common to both and part of M0. Give either `kbs`, or
    `pulse`, `duration` and `offset`.

    Parameters
    ----------
    b1_peak : float
        Nominal peak of the off-resonant pulse, in T.
    kbs : float, default=None
        Phase over the square of the peak, in rad/T^2: 1e8 times that in rad/G^2.
    pulse : array-like of shape (n_times,), default=None
        Shape of the pulse, at equal steps of time, in any unit. Its largest magnitude is
        the peak.
    duration : float, default=None
        Duration of the pulse, in s.
    offset : float, default=None
        Offset of its frequency from that of the protons, in rad/s.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Attributes
    ----------
    shift : float
        Phase at a B1 of 1, in rad.

    Raises
    ------
    ValueError
        If a number is not usable, if it is not clear which phase the pulse gives, or if it
        wraps at a B1 of 1.

    Warns
    -----
    ImplausibleValueWarning
        If the peak, `kbs` or the duration suggest another unit.

    Notes
    -----
    The difference of the phases, ``2 * shift * B1**2``, is known up to 2 pi. The default
    bounds of B1 end where it reaches that, at ``sqrt(pi / shift)``, if that is below 1.4;
    what has a higher B1 is taken for a lower one. A positive offset advances the phase if
    it counts clockwise, as in the paper; where it counts counterclockwise, a negative one
    does. Exchanged images give a wrong B1, not an error: in the right order, the phase of
    the first less that of the second is positive and grows with B1.

    The phase is the first term of a series, for fields and slopes of the pulse that are
    small beside the offset: it is too large by a fraction of about
    ``(gamma * peak / offset)**2 / 4``, 0.3 % for 10 uT at 4 kHz. An off-resonance of the
    tissue has no effect but one of second order in its ratio to the offset.

    Examples
    --------
    >>> from crbestim.models import BlochSiegert
    >>> model = BlochSiegert(10e-6, kbs=74e8)
    >>> model.parameter_names, round(model.shift, 6)
    (('B1',), 0.74)
    >>> model.signal([[1.0]]).round(3)
    array([[0.738+0.674j, 0.738-0.674j]])
    """

    def __init__(
        self, b1_peak, *, kbs=None, pulse=None, duration=None, offset=None, bounds=None
    ):
        self.b1_peak = check_positive(b1_peak, "b1_peak", "T", (1e-7, 1e-3), _TESLA)
        parts = {"kbs": kbs, "pulse": pulse, "duration": duration, "offset": offset}
        given = [name for name, part in parts.items() if part is not None]
        if given not in (["kbs"], ["pulse", "duration", "offset"]):
            raise ValueError(
                f"of kbs, pulse, duration and offset, {' and '.join(given) or 'none'} is "
                "given; give kbs alone, or the other three."
            )
        self.kbs, self.pulse, self.duration, self.offset = kbs, pulse, duration, offset
        if kbs is not None:
            self.kbs = check_positive(kbs, "kbs", "rad/T^2", (1e7, 1e12), _PER_TESLA)
        else:
            self.pulse = _check_pulse(pulse)
            self.duration = check_positive(duration, "duration", "s", (1e-5, 0.1), SECONDS)
            self.offset = self._check_offset(offset)
        field = folded_transmit_field(self._fold(bounds), bounds)
        super().__init__([field], "complex", "gaussian", bounds)

    def _check_offset(self, offset):
        advice = "; offset is in rad/s, for Hz give 2 * pi * offset"
        offset = check_number(offset, "offset", f"one number above 0{advice}", above=0)
        peak = _GAMMA * self.b1_peak
        if peak > _STRONGEST * offset:
            raise ValueError(
                f"offset = {offset:.4g} rad/s is not far from resonance for a b1_peak of "
                f"{peak:.4g} rad/s; give at least twice that{advice}."
            )
        return offset

    def _fold(self, bounds):
        """Return the B1 where the phases differ by 2 pi."""
        fold = np.sqrt(np.pi / self.shift)
        is_chosen = isinstance(bounds, Mapping) and "B1" in bounds
        if fold <= 1 and not is_chosen:
            raise ValueError(
                f"b1_peak = {self.b1_peak:.4g} T gives phases that differ by "
                f"{2 * self.shift:.4g} rad, more than 2 pi, and B1 is told up to "
                f"{fold:.3g} only; check the units, or give bounds of B1 in which they "
                "differ by less than 2 pi."
            )
        return fold

    @property
    def controls(self):
        """The peak, up to phases that differ by 2 pi; see `SignalModel.controls`."""
        return {"b1_peak": (1e-7, 0.99 * self.b1_peak * np.sqrt(np.pi / self.shift), "T")}

    @property
    def shift(self):
        """Phase at a B1 of 1, in rad."""
        kbs = self.kbs
        if kbs is None:
            power = np.mean((self.pulse / np.abs(self.pulse).max()) ** 2)
            kbs = _GAMMA**2 * power * self.duration / (2 * self.offset)
        return float(kbs * self.b1_peak**2)

    @property
    def n_features(self):
        """Number of images: two."""
        return 2

    def _formula(self):
        return bloch_siegert, [self.shift * np.array([1.0, -1.0])], {"B1": 1.0}


def _check_pulse(pulse):
    """Return the shape of a pulse as a read-only vector."""
    pulse = as_settings(pulse, "pulse")
    if pulse.ndim != 1 or not np.isfinite(pulse).all() or not pulse.any():
        raise ValueError(
            f"pulse has shape {pulse.shape}; give a vector of finite numbers, not all of "
            "them 0."
        )
    pulse.flags.writeable = False
    return pulse
