r"""Saturation recovery.

A saturation of efficiency :math:`\beta` changes the longitudinal magnetization z to
:math:`(1 - \beta) z`; after the saturation time a pulse that leaves nothing of it reads it
out, and it recovers until the end of the repetition time:

.. math:: s(T_S) = M_0 \left(1 - \beta e^{-T_S / T_1} - (1 - \beta) e^{-T_R / T_1}\right)

(Chow et al., MRM 2014, doi 10.1002/mrm.24878, and with a repetition time the inversion
recovery of Barral et al., MRM 2010, doi 10.1002/mrm.22497, of a flip angle :math:`\theta`
with :math:`\beta = 1 - \cos\theta`). Without a repetition time the recovery is complete.
"""

import numpy as np

from ..kernels.closed_forms import saturation_recovery
from ..parameters import Parameter, truncated_normal
from ._checks import SECONDS, check_samples, check_time
from ._closed_form import ClosedFormModel
from ._tissue import T1

# Of flip angles of 60 to 101 degrees; most pulses come closer to 90.
_EFFICIENCY = Parameter(
    "efficiency",
    bounds=(0.5, 1.2),
    domain=(0.0, 2.0),
    symbol=r"\beta",
    distribution=truncated_normal(0.98, 0.04, 0.8, 1.1),
)


class SaturationRecovery(ClosedFormModel):
    """Saturation recovery with an unknown saturation efficiency.

    Parameters are T1 and efficiency (1 saturates completely, less leaves a part of the
    magnetization, and more inverts a part of it); for magnitudes also M0.

    Parameters
    ----------
    ts : array-like of shape (n_features,)
        Saturation times, from saturation to readout, in s. An image without saturation is
        one of a long time, such as 30 s, without `tr`.
    tr : float, default=None
        Repetition time, from saturation to saturation, in s; by default long enough for
        complete recovery. After a complete saturation it has no effect.
    signal : {"complex", "magnitude"}, default="complex"
        Whether the complex signal is measured, up to a complex factor M0, or its
        magnitude, with the amplitude M0 as the last parameter.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        Distribution of the noise; Rician is for magnitudes.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name. Those of the
        efficiency are inside 0 to 2.

    Raises
    ------
    ValueError
        If an option is unknown, or the times are not usable.

    Notes
    -----
    ``model.fix(efficiency=1.0)`` is the fit of two parameters, which is more precise and
    wrong where the saturation is not complete.

    Examples
    --------
    >>> from crbestim.models import SaturationRecovery
    >>> model = SaturationRecovery([0.1, 0.5, 2.0])
    >>> model.parameter_names
    ('T1', 'efficiency')
    >>> model.signal([[1.0, 1.0], [1.0, 0.9]]).real.round(3)
    array([[0.095, 0.393, 0.865],
           [0.186, 0.454, 0.878]])
    """

    @property
    def controls(self):
        """Acquisition settings that a design may change; see `SignalModel.controls`."""
        return {"ts": (1e-3, 5.0 if self.tr is None else self.tr, "s")}

    def __init__(self, ts, *, tr=None, signal="complex", noise="gaussian", bounds=None):
        self.tr = None if tr is None else check_time(tr, "tr")
        high = np.inf if tr is None else self.tr
        self.ts = check_samples(
            ts, "ts", "s", high=high, usual=(1e-3, 60.0), advice=" (up to tr)" + SECONDS
        )
        super().__init__((T1, _EFFICIENCY), signal, noise, bounds)

    @property
    def n_features(self):
        """Number of saturation times."""
        return len(self.ts)

    def _formula(self):
        tr = np.inf if self.tr is None else self.tr
        return saturation_recovery, [self.ts, tr], {"T1": 0.0, "efficiency": 0.0}
