r"""B1 from actual flip angle imaging (AFI): equal pulses, by turns two times apart.

.. math:: s_1 = M_0 \sin\alpha\,
                \frac{1 - E_2 + (1 - E_1) E_2 \cos\alpha}{1 - E_1 E_2 \cos^2 \alpha},
          \quad
          s_2 = M_0 \sin\alpha\,
                \frac{1 - E_1 + (1 - E_2) E_1 \cos\alpha}{1 - E_1 E_2 \cos^2 \alpha}

with :math:`E_i = e^{-T_{R,i} / T_1}` and :math:`\alpha` the flip angle times B1 (Yarnykh,
MRM 2007, doi 10.1002/mrm.21120). For :math:`T_{R,i} \ll T_1` their ratio no longer depends
on T1: :math:`s_2 / s_1 = (1 + n \cos\alpha) / (n + \cos\alpha)`,
:math:`n = T_{R,2} / T_{R,1}`.
"""

import numpy as np

from .._options import check_choice
from ..kernels.field_maps import actual_flip_angle
from ._checks import SECONDS, SIGNALS, check_flip_angle, check_relaxation, check_samples
from ._closed_form import ClosedFormModel
from ._tissue import T1, folded_transmit_field


class ActualFlipAngle(ClosedFormModel):
    """Steady state of spoiled gradient echoes of two repetition times by turns (AFI).

    Parameters are optionally T1; B1; for magnitudes also M0. The two samples are the
    images of the pulses before the shorter and before the longer time. Spoiling is
    complete.

    Parameters
    ----------
    flip_angle : float
        Nominal flip angle of all pulses, in rad, up to pi / 2.
    tr : array-like of shape (2,)
        Times from each pulse to the next, the shorter first, in s.
    t1 : float or None, default=1.0
        T1, in s, which matters little where both times are much shorter. None makes it a
        parameter, before B1; two images do not determine both, so give a map,
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
    The second image changes its sign at a high B1, and magnitudes do not tell. The default
    bounds of B1 end where the longest T1 has that, at
    ``arccos(-tr[0] / tr[1]) / flip_angle``, if that is below 1.4. What has a higher B1 is
    taken for a lower one. Complex signals tell B1 up to ``pi / flip_angle``.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import ActualFlipAngle
    >>> model = ActualFlipAngle(np.pi / 3, [0.02, 0.1])
    >>> model.parameter_names
    ('B1', 'M0')
    >>> s = model.signal([[1.0, 1.0], [0.8, 1.0]])
    >>> (s[:, 1] / s[:, 0]).round(3)
    array([0.638, 0.767])
    """

    controls = {"flip_angle": (0.05, np.pi / 2, "rad")}

    def __init__(
        self,
        flip_angle,
        tr,
        *,
        t1=1.0,
        signal="magnitude",
        noise="gaussian",
        bounds=None,
    ):
        self.flip_angle = check_flip_angle(flip_angle)
        self.tr = check_samples(tr, "tr", "s", usual=(1e-3, 10.0), advice=SECONDS)
        if self.tr.shape != (2,) or not 0 < self.tr[0] < self.tr[1]:
            raise ValueError(
                f"tr is {self.tr.tolist()} s; give two different times above 0, the "
                "shorter first."
            )
        self.t1 = None if t1 is None else check_relaxation(t1, "t1", T1)
        is_magnitude = check_choice("signal", signal, SIGNALS) == "magnitude"
        last = np.arccos(-self.tr[0] / self.tr[1]) if is_magnitude else np.pi
        field = folded_transmit_field(last / self.flip_angle, bounds)
        super().__init__([*([T1] if t1 is None else []), field], signal, noise, bounds)

    @property
    def n_features(self):
        """Number of images: two."""
        return 2

    def _formula(self):
        settings = [self.flip_angle, self.tr, self.tr[::-1]]
        return actual_flip_angle, settings, {"T1": self.t1 or 0.0, "B1": 1.0}
