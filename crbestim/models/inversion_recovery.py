r"""Inversion recovery.

An inversion of efficiency :math:`\eta` changes the longitudinal magnetization z to
:math:`-\eta z`; after the inversion time a pulse that saturates it reads it out, and it
recovers until the end of the repetition time:

.. math:: s(T_I) = M_0 \left(1 - (1 + \eta) e^{-T_I / T_1} + \eta e^{-T_R / T_1}\right)

(Barral et al., MRM 2010, doi 10.1002/mrm.22497, with :math:`\eta = -\cos\theta` of a flip
angle :math:`\theta`). Without a repetition time the recovery is complete.
"""

import numpy as np

from .._options import check_number
from ..kernels.closed_forms import inversion_recovery
from ._checks import SECONDS, check_samples
from ._closed_form import ClosedFormModel
from ._tissue import T1, efficiency_or_ratio


class InversionRecovery(ClosedFormModel):
    """Inversion recovery with an unknown inversion efficiency.

    Parameters are T1 and efficiency (1 inverts completely, 0 saturates); for magnitudes
    also M0. A magnitude has a kink at the inversion time at which the signal is zero:
    its derivatives are those of the signal on one side of it, their negatives on the other,
    and zero at the kink. For pulses that saturate there is :class:`SaturationRecovery`.

    Parameters
    ----------
    ti : array-like of shape (n_features,)
        Inversion times, in s.
    tr : float, default=None
        Repetition time, from inversion to inversion, in s; by default long enough for
        complete recovery.
    signal : {"complex", "magnitude"}, default="complex"
        Whether the complex signal is measured, up to a complex factor M0, or its
        magnitude, with the amplitude M0 as the last parameter.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        Distribution of the noise; Rician is for magnitudes.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name. Those of the
        efficiency are inside 0 to 1, unless they go beyond 1, up to 10.

    Raises
    ------
    ValueError
        If an option is unknown, or the times are not usable.

    Notes
    -----
    Bounds such as ``{"efficiency": (0.5, 3.0)}`` make it the fit of three parameters to
    recoveries that pulses disturb, ``A - B exp(-ti / T1star)`` with the apparent T1star in
    place of T1: the amplitude is A, and the efficiency is B / A - 1. The product of both
    parameters is then T1, if the inversion was complete (Deichmann & Haase, J. Magn. Reson.
    1992, doi 10.1016/0022-2364(92)90347-A). :class:`LookLocker` and :class:`MOLLI` model
    the pulses themselves.

    Examples
    --------
    >>> from crbestim.models import InversionRecovery
    >>> model = InversionRecovery([0.05, 0.5, 2.0], tr=5.0)
    >>> model.parameter_names
    ('T1', 'efficiency')
    >>> model.signal([[1.0, 1.0]]).real.round(3)
    array([[-0.896, -0.206,  0.736]])
    """

    @property
    def controls(self):
        """Acquisition settings that a design may change; see `SignalModel.controls`."""
        return {"ti": (1e-3, 5.0 if self.tr is None else self.tr, "s")}

    def __init__(self, ti, *, tr=None, signal="complex", noise="gaussian", bounds=None):
        if tr is not None:
            tr = check_number(tr, "tr", "one time above 0, in seconds", above=0)
        self.tr = tr
        high = np.inf if tr is None else self.tr
        self.ti = check_samples(
            ti, "ti", "s", high=high, usual=(1e-3, 60.0), advice=" (up to tr)" + SECONDS
        )
        super().__init__((T1, efficiency_or_ratio(bounds)), signal, noise, bounds)

    @property
    def n_features(self):
        """Number of inversion times."""
        return len(self.ti)

    def _formula(self):
        tr = np.inf if self.tr is None else self.tr
        return inversion_recovery, [self.ti, tr], {"T1": 0.0, "efficiency": 0.0}
