r"""B1 from images of a flip angle and of twice that (double angle).

.. math:: s_k = M_0 \sin(k B_1 \alpha)\,
                \frac{1 - E_1}{1 - E_1 \cos(k B_1 \alpha)},
          \qquad E_1 = e^{-T_R / T_1},\; k = 1, 2

(Insko & Bolinger, J. Magn. Reson. A 1993, doi 10.1006/jmra.1993.1133; Stollberger & Wach,
MRM 1996, doi 10.1002/mrm.1910350217). After complete recovery :math:`E_1 = 0`, and
:math:`s_2 / s_1 = 2 \cos(B_1 \alpha)`.
"""

import numpy as np

from .._options import check_choice
from ..kernels.closed_forms import spoiled_echo
from ._checks import SECONDS, SIGNALS, check_flip_angle, check_positive, check_relaxation
from ._closed_form import ClosedFormModel
from ._tissue import T1, folded_transmit_field

# After 1 s nothing is left of what recovers with this T1, in s.
_COMPLETE = 1e-3


class DoubleAngle(ClosedFormModel):
    """Gradient echoes of a flip angle and of twice that, which tell B1.

    Parameters are optionally T1; B1; for magnitudes also M0. The two samples are images of
    the nominal angles `flip_angle` and ``2 * flip_angle``, otherwise alike.

    Parameters
    ----------
    flip_angle : float
        The lower nominal flip angle, in rad, up to pi / 2.
    tr : float, default=None
        Repetition time of spoiled gradient echoes in their steady state, in s. By default
        the magnetization recovers completely between excitations.
    t1 : float or None, default=1.0
        T1, in s, which matters with `tr` alone. None makes it a parameter, before B1; two
        images do not determine both, so give a map, ``model.given("T1")``.
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
    Magnitudes do not tell whether ``B1 * flip_angle`` is below or above 90 degrees: the
    default bounds of B1 end there, at ``pi / (2 * flip_angle)``, if that is below 1.4.
    What has a higher B1 is taken for a lower one. Complex signals do tell, up to twice
    that B1.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import DoubleAngle
    >>> model = DoubleAngle(np.pi / 3)
    >>> model.parameter_names
    ('B1', 'M0')
    >>> model.signal([[1.0, 1.0], [0.8, 1.0]]).round(3)
    array([[0.866, 0.866],
           [0.743, 0.995]])
    """

    controls = {"flip_angle": (0.05, np.pi / 2, "rad")}

    def __init__(
        self,
        flip_angle,
        *,
        tr=None,
        t1=1.0,
        signal="magnitude",
        noise="gaussian",
        bounds=None,
    ):
        self.flip_angle = check_flip_angle(flip_angle)
        if tr is not None:
            otherwise = ", or None for complete recovery"
            tr = check_positive(tr, "tr", "s", (1e-3, 10.0), SECONDS, otherwise)
        if tr is None and t1 is None:
            raise ValueError(
                "t1=None makes T1 a parameter, but without tr the recovery is complete and "
                "the signal does not depend on it; give tr in s, or leave t1 out."
            )
        self.tr, self.t1 = tr, None if t1 is None else check_relaxation(t1, "t1", T1)
        is_magnitude = check_choice("signal", signal, SIGNALS) == "magnitude"
        fold = np.pi / self.flip_angle / (2 if is_magnitude else 1)
        parameters = [*([T1] if t1 is None else []), folded_transmit_field(fold, bounds)]
        super().__init__(parameters, signal, noise, bounds)

    @property
    def n_features(self):
        """Number of images: two."""
        return 2

    def _formula(self):
        alpha = self.flip_angle * np.array([1.0, 2.0])
        tr, t1 = (1.0, _COMPLETE) if self.tr is None else (self.tr, self.t1 or 0.0)
        return spoiled_echo, [alpha, tr, 0.0], {"T1": t1, "B1": 1.0, "T2star": np.inf}
