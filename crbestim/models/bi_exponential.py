r"""Decay of two kinds of water, for instance of myelin water and other water.

.. math:: s(T_E) = M_0 \left(f e^{-T_E / T_2^\mathrm{short}}
                   + (1 - f) e^{-T_E / T_2^\mathrm{long}}\right)

(MacKay et al., MRM 1994, doi 10.1002/mrm.1910310614; the brain distribution follows
Whittall et al., MRM 1997, doi 10.1002/mrm.1910370107). Where both times are equal, or the
fraction is 0, some parameters are not determined and their bound is infinite.
"""

from dataclasses import replace

from scipy import stats

from ..kernels.closed_forms import bi_exponential
from ..parameters import Parameter, truncated_normal
from ._checks import ECHO_TIMES, check_echo_times
from ._closed_form import ClosedFormModel
from ._tissue import T2

_FRACTION = Parameter(
    "fraction",
    bounds=(0.0, 0.5),
    domain=(0.0, 1.0),
    symbol="f",
    distribution=truncated_normal(0.10, 0.06, 0.0, 0.3),
    fluid=stats.uniform(0.0, 0.01),
)
_SHORT = replace(
    T2,
    name="T2short",
    bounds=(5e-3, 0.04),
    symbol=r"T_2^\mathrm{short}",
    distribution=truncated_normal(0.015, 0.004, 8e-3, 0.03),
    fluid=None,
)
_LONG = replace(T2, name="T2long", bounds=(0.04, 3.0), symbol=r"T_2^\mathrm{long}",
                distribution=truncated_normal(0.085, 0.02, 0.05, 0.2))  # fmt: skip


class BiExponential(ClosedFormModel):
    """Bi-exponential decay of spin echoes: a fraction with T2short, the rest with T2long.

    Parameters are fraction, T2short and T2long; for magnitudes also M0.

    Parameters
    ----------
    te : array-like of shape (n_features,)
        Echo times, in s.
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
    >>> import numpy as np
    >>> from crbestim.models import BiExponential
    >>> model = BiExponential(0.01 * np.arange(1, 33))
    >>> model.parameter_names
    ('fraction', 'T2short', 'T2long')
    >>> model.signal([[0.1, 0.015, 0.08]]).shape
    (1, 32)
    """

    controls = {"te": ECHO_TIMES}

    def __init__(self, te, *, signal="complex", noise="gaussian", bounds=None):
        self.te = check_echo_times(te)
        super().__init__((_FRACTION, _SHORT, _LONG), signal, noise, bounds)

    @property
    def n_features(self):
        """Number of echoes."""
        return len(self.te)

    def _formula(self):
        return (
            bi_exponential,
            [self.te],
            dict.fromkeys(("fraction", "T2short", "T2long"), 0.0),
        )
