r"""Spoiled gradient echoes of variable flip angle, repetition time or echo time.

.. math:: s = M_0 \sin(B_1 \alpha)\,
              \frac{1 - E_1}{1 - E_1 \cos(B_1 \alpha)}\, e^{-T_E / T_2^*},
          \qquad E_1 = e^{-T_R / T_1}

(Ernst & Anderson, Rev. Sci. Instrum. 1966, doi 10.1063/1.1719961). Small flip angles
determine :math:`B_1^2 T_1`, not both factors (Helms et al., MRM 2008, doi
10.1002/mrm.21542).
"""

import numpy as np

from .._options import check_flag
from ..kernels.closed_forms import spoiled_echo
from ._checks import (
    ECHO_TIMES,
    RADIANS,
    SECONDS,
    check_echo_times,
    check_for_each,
    check_samples,
)
from ._closed_form import ClosedFormModel
from ._tissue import T1, T2STAR, transmit_field


class SpoiledGradientEcho(ClosedFormModel):
    """Steady state of spoiled gradient echoes (SPGR, FLASH), by Ernst's formula.

    Parameters are T1; optionally B1; with echo times T2star; for magnitudes also M0, and
    for complex signals with echo times the off-resonance omega0.

    Parameters
    ----------
    alpha : array-like of shape (n_features,)
        Nominal flip angles, in rad.
    tr : float or array-like of shape (n_features,)
        Repetition time, in s: one for all samples, or one for each.
    te : array-like of shape (n_features,), default=None
        Echo times, in s. By default all samples have the same, and M0 includes the decay.
    b1 : bool, default=False
        Whether the relative transmit field B1 is a parameter; otherwise it is 1. Small
        flip angles, however many, do not separate B1 from T1: the bounds of both are huge.
        A flip angle of 90 degrees or more does; see
        :func:`~crbestim.bounds.cramer_rao_bound`.
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
        If an option is unknown, or flip angles or times are not usable.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import SpoiledGradientEcho
    >>> model = SpoiledGradientEcho(np.deg2rad([3, 10, 20]), 0.02, signal="magnitude")
    >>> model.parameter_names
    ('T1', 'M0')
    >>> model.signal([[1.0, 1.0]]).round(4)
    array([[0.049 , 0.0991, 0.0858]])
    """

    controls = {"alpha": (0.0, np.pi, "rad"), "te": ECHO_TIMES}

    def __init__(
        self,
        alpha,
        tr,
        *,
        te=None,
        b1=False,
        signal="complex",
        noise="gaussian",
        bounds=None,
    ):
        self.alpha = check_samples(alpha, "alpha", "rad", high=np.pi, advice=RADIANS)
        tr, te = self._for_each(tr, "tr"), self._for_each(te, "te")
        self.tr = check_samples(tr, "tr", "s", usual=(1e-3, 10.0), advice=SECONDS)
        if not self.tr.all():
            raise ValueError("tr is 0 s; give repetition times above 0 s.")
        self.te = None if te is None else check_echo_times(te)
        self.b1 = check_flag("b1", b1)
        parameters = [T1]
        if b1:
            parameters.append(transmit_field())
        if te is not None:
            parameters.append(T2STAR)
        super().__init__(parameters, signal, noise, bounds, te=self.te)

    def _for_each(self, times, name):
        """Return one time for each flip angle, or None."""
        if times is None:
            return None
        n = len(self.alpha)
        return np.broadcast_to(check_for_each(times, name, n, "flip angles"), n)

    @property
    def n_features(self):
        """Number of flip angles."""
        return len(self.alpha)

    def _formula(self):
        te = 0.0 if self.te is None else self.te
        without = {"T1": 0.0, "B1": 1.0, "T2star": np.inf}
        return spoiled_echo, [self.alpha, self.tr, te], without
