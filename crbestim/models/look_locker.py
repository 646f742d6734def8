r"""Look-Locker: a train of small flip angles that reads out the recovery of one inversion.

Between the pulses, which come every :math:`T_R`, the longitudinal magnetization z recovers,
and each pulse leaves :math:`z \cos\alpha` of it. At the pulses it therefore follows

.. math:: z = z^* - (z^* - z_0)\, e^{-(t - t_0) / T_1^*}, \qquad
          \frac{1}{T_1^*} = \frac{1}{T_1} - \frac{\ln \cos\alpha}{T_R}, \qquad
          z^* = \frac{1 - e^{-T_R / T_1}}{1 - \cos\alpha\, e^{-T_R / T_1}}

(Look & Locker, Rev. Sci. Instrum. 1970, doi 10.1063/1.1684482; Deichmann & Haase, J. Magn.
Reson. 1992, doi 10.1016/0022-2364(92)90347-A). Before the first pulse, at :math:`t_0`, it
has recovered with T1 from :math:`-\eta`.
"""

import numpy as np

from .._arrays import as_reals
from .._options import check_flag
from ..kernels.inversion_trains import look_locker
from ._checks import SECONDS, check_flip_angle, check_samples, check_time
from ._closed_form import ClosedFormModel
from ._tissue import INVERSION_EFFICIENCY, T1, transmit_field

# Times in headers are rounded.
_ROUNDING = 1e-3
_LARGEST = np.pi / 2


class LookLocker(ClosedFormModel):
    """Look-Locker recovery, read out by a train of spoiled pulses of a small flip angle.

    Parameters are T1 and the efficiency of the inversion (1 inverts completely); optionally
    B1; for magnitudes also M0. Pulses begin at the first inversion time and end at the last
    one. Magnitudes have a kink where the signal is zero, as those of
    :class:`InversionRecovery`.

    Parameters
    ----------
    ti : array-like of shape (n_features,)
        Inversion times of the images, in s, increasing: of the first pulse, and of others
        that are multiples of `tr_readout` later.
    tr_readout : float
        Time between the pulses, in s. All of them are played, those between images too.
    flip_angle : float
        Nominal flip angle of the pulses, in rad.
    tr : float, default=None
        Repetition time, from inversion to inversion, in s; by default long enough for
        complete recovery.
    b1 : bool, default=False
        Whether the relative transmit field B1, which scales the flip angle, is a
        parameter; otherwise it is 1. The recovery tells T1star and one ratio, and so T1
        and either B1 or the efficiency: give a map, ``model.given("B1")``, or fix the
        other, ``model.fix(efficiency=1)``.
    signal : {"complex", "magnitude"}, default="complex"
        Whether the complex signal is measured, up to a complex factor M0, or its
        magnitude, with the amplitude M0 as the last parameter.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        Distribution of the noise; Rician is for magnitudes.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    ValueError
        If an option is unknown, or times or the flip angle are not usable.

    Notes
    -----
    Where the flip angle is not known, three parameters are fitted, ``A - B exp(-ti /
    T1star)``, and T1 is about ``T1star * (B / A - 1)`` if the inversion is complete. That
    is :class:`InversionRecovery` with bounds of its efficiency, B / A - 1, beyond 1. Where
    it is known, :meth:`corrected_t1` turns T1star into T1.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import LookLocker
    >>> model = LookLocker([0.02, 0.52, 1.02, 2.02], 0.01, np.deg2rad(5))
    >>> model.parameter_names
    ('T1', 'efficiency')
    >>> (model.signal([[1.0, 1.0]]).real / np.sin(np.deg2rad(5))).round(3)
    array([[-0.96 , -0.12 ,  0.302,  0.619]])
    >>> model.apparent_t1([1.0]).round(3)
    array([0.724])
    >>> model.corrected_t1([0.724]).round(3)
    array([1.])
    """

    controls = {"flip_angle": (0.01, _LARGEST, "rad")}

    def __init__(
        self,
        ti,
        tr_readout,
        flip_angle,
        *,
        tr=None,
        b1=False,
        signal="complex",
        noise="gaussian",
        bounds=None,
    ):
        self.tr_readout = check_time(tr_readout, "tr_readout")
        self.flip_angle = check_flip_angle(flip_angle, _LARGEST)
        self.tr = None if tr is None else check_time(tr, "tr")
        self.ti = self._check_train(
            check_samples(ti, "ti", "s", usual=(1e-2, 60.0), advice=SECONDS)
        )
        self.b1 = check_flag("b1", b1)
        parameters = [T1, INVERSION_EFFICIENCY, *([transmit_field()] if b1 else [])]
        super().__init__(parameters, signal, noise, bounds)

    def _check_train(self, ti):
        """Return inversion times, if they are those of pulses."""
        steps = (ti - ti[0]) / self.tr_readout
        wrong = np.abs(steps - steps.round()) > _ROUNDING * np.maximum(1.0, steps)
        wrong[1:] |= np.diff(steps.round()) < 1
        if wrong.any():
            i = int(np.argmax(wrong))
            raise ValueError(
                f"ti[{i}] = {ti[i]:.6g} s is not at a pulse: give increasing times, "
                f"multiples of tr_readout = {self.tr_readout:g} s behind the first, "
                f"{ti[0]:g} s."
            )
        end = ti[-1] + self.tr_readout
        if self.tr is not None and self.tr < end:
            raise ValueError(
                f"tr = {self.tr:g} s ends before the pulses, at {end:.4g} s; give a longer "
                "one, or None for complete recovery."
            )
        return ti

    @property
    def _duration(self):
        return self.ti[-1] + self.tr_readout if self.tr is None else self.tr

    @property
    def n_features(self):
        """Number of images."""
        return len(self.ti)

    def _formula(self):
        tr = np.inf if self.tr is None else self.tr
        settings = [self.ti, self.tr_readout, self.flip_angle, tr]
        return look_locker, settings, {"T1": 0.0, "B1": 1.0, "efficiency": 0.0}

    def apparent_t1(self, t1, b1=1.0):
        """Return the apparent T1 of the recovery, T1star, which pulses make shorter.

        Parameters
        ----------
        t1 : array-like
            T1, in s.
        b1 : array-like, default=1.0
            Relative transmit field.

        Returns
        -------
        ndarray
            T1star, in s.
        """
        t1 = as_reals(t1, "t1")
        return 1 / (1 / t1 + self._rate_of_pulses(b1))

    def corrected_t1(self, apparent_t1, b1=1.0):
        """Return T1 of an apparent one, by the flip angle.

        Parameters
        ----------
        apparent_t1 : array-like
            T1star, in s, from a fit of three parameters for instance.
        b1 : array-like, default=1.0
            Relative transmit field.

        Returns
        -------
        ndarray
            T1, in s; NaN where T1star is longer than the pulses leave it for any T1.
        """
        rate = 1 / as_reals(apparent_t1, "apparent_t1") - self._rate_of_pulses(b1)
        return 1 / np.where(rate > 0, rate, np.nan)

    def _rate_of_pulses(self, b1):
        """Return the rate at which pulses saturate, in 1/s; infinite from 90 degrees on."""
        cosine = np.cos(self.flip_angle * as_reals(b1, "b1"))
        with np.errstate(divide="ignore"):
            return -np.log(np.maximum(cosine, 0.0)) / self.tr_readout
