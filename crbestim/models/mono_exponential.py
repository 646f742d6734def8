r"""Mono-exponential decay of spin echoes or gradient echoes.

.. math:: s(T_E) = M_0 \left(e^{-T_E / T_2} + \mathrm{offset}\right)

(Meiboom & Gill, Rev. Sci. Instrum. 1958, doi 10.1063/1.1716296). For gradient echoes
:math:`T_2^*` takes the place of :math:`T_2`, and the complex signal has the phase factor
:math:`e^{i \omega_0 T_E}`.
"""

from scipy import stats

from .._options import check_choice, check_flag
from ..kernels.closed_forms import mono_exponential
from ..parameters import Parameter
from ._checks import ECHO_TIMES, check_echo_times
from ._closed_form import ClosedFormModel
from ._tissue import T2, T2STAR

_DECAYS = {"T2": T2, "T2star": T2STAR}
_OFFSET = Parameter(
    "offset",
    bounds=(0.0, 0.5),
    domain=(0.0, 10.0),
    symbol=r"\mathrm{offset}",
    distribution=stats.uniform(0.0, 0.1),
)


class MonoExponential(ClosedFormModel):
    """Mono-exponential decay with T2 or T2*.

    Parameters are T2 or T2star, and optionally offset; for magnitudes also M0, and for
    complex gradient echoes (T2star) also the off-resonance omega0.

    Parameters
    ----------
    te : array-like of shape (n_features,)
        Echo times, in s.
    parameter : {"T2", "T2star"}, default="T2"
        Whether echoes are spin echoes, or gradient echoes.
    offset : bool, default=False
        Whether the signal has a part that does not decay, given in units of M0.
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
        If an option is unknown, or the echo times are not usable.

    Examples
    --------
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.05, 0.1], signal="magnitude")
    >>> model.parameter_names
    ('T2', 'M0')
    >>> model.signal([[0.1, 2.0]]).round(3)
    array([[1.81 , 1.213, 0.736]])
    """

    controls = {"te": ECHO_TIMES}

    def __init__(
        self,
        te,
        *,
        parameter="T2",
        offset=False,
        signal="complex",
        noise="gaussian",
        bounds=None,
    ):
        self.te = check_echo_times(te)
        self.parameter = check_choice("parameter", parameter, tuple(_DECAYS))
        self.offset = check_flag("offset", offset)
        parameters = [_DECAYS[parameter], *([_OFFSET] if offset else [])]
        turning = self.te if parameter == "T2star" else None
        super().__init__(parameters, signal, noise, bounds, te=turning)

    @property
    def n_features(self):
        """Number of echoes."""
        return len(self.te)

    def _formula(self):
        return mono_exponential, [self.te], {self.parameter: 0.0, "offset": 0.0}
