r"""Magnetization transfer in spoiled echoes with pulsed off-resonance saturation.

Two pools, free water and semi-solid macromolecules, in the steady state of saturation
pulses, excitation and recovery (Sled & Pike, MRM 2001, doi 10.1002/mrm.1278). A pulse
saturates at the mean rate of its power while it lasts; a continuous wave of the same power
(Ramani et al., Magn. Reson. Imaging 2002, doi 10.1016/S0730-725X(02)00598-2) would
saturate all of the time. The equations stand with the code, in
``crbestim/kernels/saturated_echo.py`` and ``absorption.py``.
"""

import numpy as np

from .._arrays import as_settings
from .._options import check_choice, check_flag, check_number
from ..kernels.saturated_echo import saturated_echo
from ..parameters import Parameter, truncated_normal
from ._absorption import LOG_LINES, absorption_table
from ._checks import RADIANS, SECONDS, check_for_each, check_samples
from ._closed_form import ClosedFormModel
from ._tissue import M0S, R1, R1F, R1S, R2F, RX, semi_solid_t2, transmit_field

_T2S = semi_solid_t2(1e-6, 1e-4)
_OMEGA0 = Parameter(
    "omega0",
    bounds=(-1500.0, 1500.0),
    domain=(-1e4, 1e4),
    unit="rad/s",
    symbol=r"\omega_0",
    distribution=truncated_normal(0.0, 300.0, -1500.0, 1500.0),
)
_HERTZ = "; {0} is in hertz, for kilohertz give 1e3 * {0}"
_POWER = "; {0} is in rad/s, for tesla give 2.675e8 * {0}"
_A_TIME = "one time in s; for milliseconds give 1e-3 * {0}"
_OF_EACH = "w1rms", "flip_angles", "tr", "pulse_duration"
# In the order of the kernel; R1 is what both pools share.
_NAMES = "m0s", "R1", "R1f", "R2f", "Rx", "R1s", "T2s", "omega0", "B1"
_WITHOUT = dict.fromkeys(_NAMES, 0.0) | {"B1": 1.0}


class SpoiledMagnetizationTransfer(ClosedFormModel):
    """Two exchanging pools in spoiled gradient echoes with off-resonance saturation pulses.

    Parameters are m0s, R1 (or R1f), R2f, Rx, (R1s,) T2s; optionally omega0 and B1; for
    magnitudes also M0, which includes the decay until the echo. Rates of exchange are
    Rx m0s from the free to the semi-solid pool, and Rx (1 - m0s) back.

    Parameters
    ----------
    offsets : array-like of shape (n_features,)
        Frequency of each saturation pulse, in Hz from the resonance of water; below it the
        frequency is negative.
    w1rms : float or array-like of shape (n_features,)
        Nominal amplitude of the saturation pulses, in rad/s: the root of the mean square
        over their duration. 0 is an echo without a saturation pulse. See Notes.
    flip_angles : float or array-like of shape (n_features,)
        Nominal flip angles of the excitation, in rad.
    tr : float or array-like of shape (n_features,)
        Repetition times, in s.
    pulse_duration : float or array-like of shape (n_features,)
        Durations of the saturation pulses, in s.
    delay : float, default=0.0
        Time from the end of a saturation pulse to the next excitation, in s.
    excitation_duration : float, default=None
        Duration of excitation pulses, in s, which saturate the semi-solid pool like
        rectangular ones. None is for pulses that do not.
    lineshape : {"super-lorentzian", "lorentzian", "gaussian"}, default="super-lorentzian"
        Line shape of the semi-solid pool.
    joint_r1 : bool, default=True
        Whether both pools share one longitudinal relaxation rate R1; otherwise parameters
        are m0s, R1f, R2f, Rx, R1s, T2s. Such echoes hardly tell R1s:
        ``model.fix(R1s=1.0)``.
    off_resonance : bool, default=False
        Whether the off-resonance omega0 of water is a parameter; otherwise it is 0.
    b1 : bool, default=False
        Whether the relative transmit field B1, which scales flip angles and amplitudes, is
        a parameter; otherwise it is 1.
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
        If an option is unknown, or offsets, amplitudes, angles or times are not usable.

    Notes
    -----
    A pulse of flip angle a and shape b(t) has
    ``w1rms = a / pulse_duration * sqrt(mean(b**2)) / mean(b)``, where the last factor is 1
    for a rectangle and 1.225 for a Hann window; a root mean square of B1 in tesla is
    multiplied by 2.675e8 rad/s/T.

    The free pool is saturated by the Lorentzian line of R2f. That holds for pulses that
    begin and end smoothly, from about 1 kHz on; nearer to resonance they turn it as well.
    The super-Lorentzian, infinite on resonance, is continued smoothly below an offset of
    0.01 / T2s, 1 kHz at a T2s of 10 us. Excitation pulses see that part of it.

    Echoes of one flip angle and TR hardly tell R1, and standard deviations are about a
    hundred times as large as with R1 known. Measure R1 and give it, ``model.given("R1")``,
    or add echoes of other flip angles without saturation pulses. B1 and omega0 are for maps
    as well, ``model.given("R1", "B1")``.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import SpoiledMagnetizationTransfer
    >>> model = SpoiledMagnetizationTransfer(
    ...     [2e3, 5e3, 20e3], w1rms=600.0, flip_angles=0.12, tr=0.03, pulse_duration=0.01
    ... )
    >>> model.parameter_names
    ('m0s', 'R1', 'R2f', 'Rx', 'T2s', 'M0')
    >>> model.signal([[0.12, 0.9, 14.0, 25.0, 11e-6, 1.0]]).round(4)
    array([[0.0627, 0.0713, 0.0848]])
    """

    def __init__(
        self,
        offsets,
        w1rms,
        flip_angles,
        tr,
        pulse_duration,
        *,
        delay=0.0,
        excitation_duration=None,
        lineshape="super-lorentzian",
        joint_r1=True,
        off_resonance=False,
        b1=False,
        signal="magnitude",
        noise="gaussian",
        bounds=None,
    ):
        self.offsets = as_settings(offsets, "offsets")
        size = np.abs(self.offsets)
        check_samples(size, "offsets", "Hz", high=1e6, usual=(50.0, 2e5), advice=_HERTZ)
        self.offsets.flags.writeable = False
        w1rms, flip_angles, tr, pulse_duration = map(
            self._for_each, (w1rms, flip_angles, tr, pulse_duration), _OF_EACH
        )
        self.w1rms = check_samples(w1rms, "w1rms", "rad/s", usual=(10, 1e5), advice=_POWER)
        self.flip_angles = check_samples(
            flip_angles, "flip_angles", "rad", high=np.pi, advice=RADIANS
        )
        self.tr = check_samples(tr, "tr", "s", usual=(1e-3, 10.0), advice=SECONDS)
        self.pulse_duration = check_samples(
            pulse_duration, "pulse_duration", "s", advice=SECONDS
        )
        self.delay = check_number(delay, "delay", _A_TIME.format("delay"), least=0)
        self.excitation_duration = _check_excitation(excitation_duration)
        self._check_times()
        self.lineshape = check_choice("lineshape", lineshape, sorted(LOG_LINES))
        self.joint_r1 = check_flag("joint_r1", joint_r1)
        self.off_resonance = check_flag("off_resonance", off_resonance)
        self.b1 = check_flag("b1", b1)
        joint, apart = (M0S, R1, R2F, RX, _T2S), (M0S, R1F, R2F, RX, R1S, _T2S)
        parameters = list(joint if joint_r1 else apart)
        if off_resonance:
            parameters.append(_OMEGA0)
        if b1:
            parameters.append(transmit_field())
        super().__init__(parameters, signal, noise, bounds)

    def _for_each(self, values, name):
        """Return one number for each offset."""
        n = len(self.offsets)
        return np.broadcast_to(check_for_each(values, name, n, "offsets"), n)

    def _check_times(self):
        """Refuse pulses that have no duration, or that do not fit into TR."""
        wrong = (self.w1rms > 0) & (self.pulse_duration == 0)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise ValueError(
                f"pulse_duration[{i}] is 0 s, w1rms[{i}] {self.w1rms[i]:.4g} rad/s; give "
                "the duration of the saturation pulse, or w1rms = 0 for none."
            )
        busy = self.pulse_duration + self.delay
        if (self.tr <= busy).any():
            i = int(np.argmax(self.tr <= busy))
            raise ValueError(
                f"tr[{i}] = {self.tr[i]:.4g} s is not above pulse_duration and delay, "
                f"{busy[i]:.4g} s; give a longer tr{SECONDS.format('tr')}."
            )

    @property
    def controls(self):
        """Offsets, amplitudes where there is a pulse, and flip angles of the echoes."""
        strongest = np.where(self.pulse_duration > 0, 3000.0, 0.0)
        return {
            "offsets": (300.0, 1e5, "Hz"),
            "w1rms": (0.0, strongest, "rad/s"),
            "flip_angles": (0.01, np.pi / 2, "rad"),
        }

    @property
    def n_features(self):
        """Number of echoes."""
        return len(self.offsets)

    def _formula(self):
        n, omega = self.n_features, 2 * np.pi * self.offsets
        # Without a duration, excitation pulses do not saturate.
        energy = self.flip_angles**2 / (self.excitation_duration or np.inf)
        highest = (np.abs(omega).max() + _OMEGA0.domain[1]) * _T2S.domain[1]
        table = absorption_table(self.lineshape, highest, multiple=n)
        power = self.w1rms**2
        pulses = [self.pulse_duration, self.delay, omega, power, energy]
        settings = [self.flip_angles, self.tr, *pulses, *table.reshape(-1, n)]
        return saturated_echo, settings, _WITHOUT


def _check_excitation(duration):
    """Return the duration of excitation pulses, in s, or None."""
    if duration is None:
        return None
    allowed = _A_TIME.format("excitation_duration") + "; or None, for no saturation by it"
    return check_number(duration, "excitation_duration", allowed, above=0)
