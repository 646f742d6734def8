r"""Decay during a spin lock, T1rho.

A spin lock of duration :math:`T_\mathrm{SL}` stores what is left of the longitudinal
magnetization, a pulse of flip angle :math:`\alpha` reads it out, and it recovers until the
next lock:

.. math:: s(T_\mathrm{SL}) = M_0 \sin\alpha\, \frac{D\,(1 - E)}{1 - D E \cos\alpha},
          \qquad D = e^{-T_\mathrm{SL} / T_{1\rho}},\;
          E = e^{-(T_R - T_\mathrm{SL}) / T_1}

(Sepponen et al., J. Comput. Assist. Tomogr. 1985, doi 10.1097/00004728-198511000-00002, in
the steady state of Ernst & Anderson, Rev. Sci. Instrum. 1966, doi 10.1063/1.1719961, of
which each lock keeps a share :math:`D`). After complete recovery :math:`E = 0`, and what
remains is the decay :math:`M_0 \sin\alpha\, D`.
"""

from dataclasses import replace

import numpy as np

from ..kernels.closed_forms import spin_lock
from ..parameters import truncated_normal
from ._checks import (
    SECONDS,
    check_different,
    check_flip_angle,
    check_for_each,
    check_relaxation,
    check_samples,
)
from ._closed_form import ClosedFormModel
from ._tissue import T1, T2

# Brains at 3 T have values near those of T2 (Watts et al., JMRI 2014, doi
# 10.1002/jmri.24358); the spread is a wide one, not a published one.
_T1RHO = replace(
    T2,
    name="T1rho",
    symbol=r"T_{1\rho}",
    distribution=truncated_normal(0.09, 0.025, 0.035, 0.25),
)
_LONGEST = 0.2  # that is of use, in s


class SpinLock(ClosedFormModel):
    """Decay with T1rho during spin locks of several durations.

    Parameters are T1rho; optionally T1; for magnitudes also M0.

    Parameters
    ----------
    tsl : array-like of shape (n_features,)
        Durations of the spin lock, in s.
    tr : float or array-like of shape (n_features,), default=None
        Repetition time, from the start of a lock to that of the next, in s: one for all
        samples, or one for each. By default the magnetization recovers completely before
        each lock.
    flip_angle : float, default=pi / 2
        Flip angle of the one excitation behind each lock, in rad, up to pi / 2. It matters
        with `tr`; without it, it is a factor of all samples.
    t1 : float or None, default=1.0
        T1, in s, which matters with `tr` alone. None makes it a parameter, behind T1rho;
        images of one `tr` and flip angle hardly determine both, so give a map,
        ``model.given("T1")``.
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
        If an option is unknown, or the flip angle or a time is not usable.

    Notes
    -----
    T1rho is that of one amplitude of the lock, which is not an argument, as it does not
    change the equation: compare maps of the same amplitude. Locks are on resonance, and
    pulses that tip the magnetization down and back are perfect and take no time.

    The time of recovery is ``tr - tsl``. Where it is the same for all samples,
    ``tr=tsl + recovery``, and the flip angle is 90 degrees, it is a factor of all of them,
    and T1 has no effect on T1rho.

    Examples
    --------
    >>> from crbestim.models import SpinLock
    >>> model = SpinLock([0.0, 0.02, 0.04, 0.08])
    >>> model.parameter_names
    ('T1rho', 'M0')
    >>> model.signal([[0.08, 1.0]]).round(3)
    array([[1.   , 0.779, 0.607, 0.368]])
    """

    @property
    def controls(self):
        """Acquisition settings that a design may change; see `SignalModel.controls`."""
        if self.tr is None:
            return {"tsl": (0.0, _LONGEST, "s")}
        longest = np.minimum(_LONGEST, self.tr)
        return {
            "tsl": (0.0, longest if longest.ndim else float(longest), "s"),
            "flip_angle": (0.05, np.pi / 2, "rad"),
        }

    def __init__(
        self,
        tsl,
        *,
        tr=None,
        flip_angle=np.pi / 2,
        t1=1.0,
        signal="magnitude",
        noise="gaussian",
        bounds=None,
    ):
        tsl = check_samples(tsl, "tsl", "s", usual=(1e-3, 2.0), advice=SECONDS)
        self.tsl = check_different(tsl, "tsl", "s", "durations")
        if tr is not None:
            n = len(self.tsl)
            each = np.broadcast_to(check_for_each(tr, "tr", n, "spin locks"), n)
            each = check_samples(each, "tr", "s", usual=(1e-2, 60.0), advice=SECONDS)
            tr = self._check_recovery(each if np.ndim(tr) else float(each[0]))
        self.tr = tr
        self.flip_angle = check_flip_angle(flip_angle)
        if tr is None and t1 is None:
            raise ValueError(
                "t1=None makes T1 a parameter, but without tr the recovery is complete and "
                "the signal does not depend on it; give tr in s, or leave t1 out."
            )
        self.t1 = None if t1 is None else check_relaxation(t1, "t1", T1)
        super().__init__([_T1RHO, *([T1] if t1 is None else [])], signal, noise, bounds)

    def _check_recovery(self, tr):
        """Return repetition times as given, one or one for each, if they hold the locks."""
        each = np.broadcast_to(tr, len(self.tsl))
        if not each.all():
            raise ValueError("tr is 0 s; give repetition times above 0 s, or None.")
        if (each < self.tsl).any():
            i = int(np.argmax(each < self.tsl))
            raise ValueError(
                f"tr = {each[i]:.4g} s ends before the spin lock of {self.tsl[i]:.4g} s, "
                f"tsl[{i}]; give a longer one{SECONDS.format('tr')}."
            )
        return tr

    @property
    def n_features(self):
        """Number of spin locks."""
        return len(self.tsl)

    def _formula(self):
        tr = np.inf if self.tr is None else self.tr
        settings = [self.tsl, tr, self.flip_angle]
        return spin_lock, settings, {"T1rho": 0.0, "T1": self.t1 or 0.0}
