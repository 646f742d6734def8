r"""MT-, PD- and T1-weighted spoiled gradient echoes, for maps of MTsat.

A saturation pulse directly before the excitation, which leaves the share
:math:`1 - \delta` of the longitudinal magnetization, makes of Ernst's formula

.. math:: s = M_0 \sin(B_1 \alpha)\,
              \frac{(1 - \delta)(1 - E_1)}{1 - (1 - \delta) E_1 \cos(B_1 \alpha)}\,
              e^{-R_2^* T_E}, \qquad E_1 = e^{-R_1 T_R},

the dual excitation of Helms et al. (MRM 2008, doi 10.1002/mrm.21732, erratum MRM 2010) with
both pulses next to each other. The PD- and the T1-weighted echo have no such pulse,
:math:`\delta = 0`. Power grows as :math:`B_1^2`, and the saturation by it a little less
(Weiskopf et al., Front. Neurosci. 2013, doi 10.3389/fnins.2013.00095):

.. math:: \delta = \mathrm{MTsat}\; B_1^2\, \frac{1 - C B_1}{1 - C}, \qquad C = 0.4 .
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import stats

from .._arrays import as_settings
from .._options import check_flag, check_number
from ..kernels.closed_forms import saturation_weighted
from ..parameters import Parameter, truncated_normal
from ._checks import RADIANS, SECONDS, check_echo_times, check_samples
from ._closed_form import ClosedFormModel
from ._tissue import R1, R2S, transmit_field

_WEIGHTINGS = ("MT", "PD", "T1")
_R1 = replace(R1, bounds=(0.15, 5.0))
_MTSAT = Parameter(
    "MTsat",
    bounds=(0.0, 0.1),
    domain=(0.0, 0.25),
    symbol=r"\mathrm{MT}_\mathrm{sat}",
    distribution=truncated_normal(0.013, 0.006, 0.0, 0.04),
    fluid=stats.uniform(0.0, 0.002),
)


class MTsat(ClosedFormModel):
    """Spoiled gradient echoes with MT, PD and T1 weighting, in this order.

    Parameters are R1 and MTsat, the share of the longitudinal magnetization that one
    saturation pulse takes at a B1 of 1; with echo times R2s; optionally B1; for magnitudes
    also M0, the amplitude of proton density; for complex signals with echo times omega0.

    Parameters
    ----------
    flip_angles : array-like of shape (3,) or dict
        Nominal flip angles of the MT-, PD- and T1-weighted echoes, in rad, or a dict with
        the keys "MT", "PD" and "T1".
    tr : float, array-like of shape (3,) or dict
        Repetition times, in s: one for all, or one for each weighting.
    te : array-like, sequence of three array-likes, or dict, default=None
        Echo times, in s: the same for all weightings, (n_echoes,), or those of each. All
        echoes of a weighting come before those of the next. By default each has one echo,
        at the same time, and M0 includes the decay.
    b1 : bool, default=False
        Whether the relative transmit field B1, which scales flip angles and saturation, is
        a parameter; otherwise it is 1. Three weightings do not tell it: give a map,
        ``model.given("B1")``.
    b1_decrease : float, default=0.4
        C above, 0 to 0.5: how far the saturation stays behind the power. It was found for
        one pulse at 3 T; 0 is a saturation that grows as the power.
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
        If an option is unknown, or flip angles or times are not usable.

    Notes
    -----
    MTsat is a share, not a percentage: 0.02 is a map's 2 p.u. The field's closed formulas
    expand the signal for small flip angles and short TR, and differ from this model as
    :ref:`the guide <mtsat-guide>` shows.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import MTsat
    >>> model = MTsat(np.deg2rad([6, 6, 21]), 0.025)
    >>> model.parameter_names
    ('R1', 'MTsat', 'M0')
    >>> model.signal([[1.0, 0.015, 1.0]]).round(4)
    array([[0.057 , 0.0859, 0.0989]])
    """

    controls = {"flip_angles": (0.01, np.pi / 2, "rad"), "tr": (5e-3, 0.2, "s")}

    def __init__(
        self,
        flip_angles,
        tr,
        *,
        te=None,
        b1=False,
        b1_decrease=0.4,
        signal="magnitude",
        noise="gaussian",
        bounds=None,
    ):
        flip_angles = _for_each(flip_angles, "flip_angles")
        self.flip_angles = check_samples(
            flip_angles, "flip_angles", "rad", high=np.pi, advice=RADIANS
        )
        tr = _for_each(tr, "tr")
        self.tr = check_samples(tr, "tr", "s", usual=(1e-3, 10.0), advice=SECONDS)
        if not self.tr.all():
            raise ValueError("tr is 0 s in a weighting; give repetition times above 0 s.")
        self.te = every = None
        if te is not None:
            trains = _trains(te)
            every = check_echo_times(np.concatenate(trains * (3 // len(trains))))
            self.te = trains[0] if len(trains) == 1 else trains
        self.b1 = check_flag("b1", b1)
        self.b1_decrease = check_number(
            b1_decrease, "b1_decrease", "one number from 0 to 0.5", least=0
        )
        if b1_decrease > 0.5:
            raise ValueError(f"b1_decrease = {b1_decrease}; give one number from 0 to 0.5.")
        parameters = [_R1, _MTSAT]
        if te is not None:
            parameters.append(R2S)
        if b1:
            parameters.append(transmit_field())
        super().__init__(parameters, signal, noise, bounds, te=every)

    @property
    def _duration(self):
        return float(np.sum(np.broadcast_to(self.tr, 3)))

    @property
    def n_features(self):
        """Number of echoes of all weightings."""
        return sum(map(len, self._trains))

    @property
    def _trains(self):
        """Echo times of each weighting; one of 0 s if M0 includes the decay."""
        if self.te is None:
            return [np.zeros(1)] * 3
        return self.te if isinstance(self.te, list) else [self.te] * 3

    def _formula(self):
        trains = self._trains
        rows = np.array([self.flip_angles, self.tr, [1.0, 0.0, 0.0]])
        rows = np.repeat(rows, [len(te) for te in trains], axis=1)
        without = {"R1": 0.0, "MTsat": 0.0, "R2s": 0.0, "B1": 1.0}
        settings = [*rows, self.b1_decrease, np.concatenate(trains)]
        return saturation_weighted, settings, without


def _in_order(values, name):
    """Return values in the order of the weightings, if they are a dict."""
    if not isinstance(values, Mapping):
        return values
    if set(values) != set(_WEIGHTINGS):
        raise ValueError(f"{name} has the keys {list(values)}; give MT, PD and T1.")
    return [values[key] for key in _WEIGHTINGS]


def _for_each(values, name):
    """Return one number for each weighting."""
    values = as_settings(_in_order(values, name), name)
    if values.ndim == 0 and name == "tr":
        return np.full(3, values)
    if values.shape != (3,):
        raise ValueError(
            f"{name} has shape {values.shape}; give one number for each of the weightings "
            "MT, PD and T1, in this order, or a dict of them."
        )
    return values


def _trains(te):
    """Return a list of echo times: of each weighting, or once for all of them."""
    te = _in_order(te, "te")
    parts = (
        list(te) if isinstance(te, list | tuple | np.ndarray) and np.shape(te[:1]) else []
    )
    if len(parts) == 3 and all(np.ndim(part) == 1 for part in parts):
        parts = [as_settings(part, "te") for part in parts]
        for part in parts:
            part.flags.writeable = False
        return parts
    return [np.atleast_1d(as_settings(te, "te"))]
