r"""Off-resonance from the phase of gradient echoes: a map of B0.

.. math:: s(T_E) = M_0 e^{(i \omega_0 - R_2^*) T_E}

(Schneider & Glover, MRM 1991, doi 10.1002/mrm.1910180203; of several echoes, Funai et al.,
IEEE TMI 2008, doi 10.1109/TMI.2008.923956).
"""

from dataclasses import replace

from .._options import check_flag
from ..kernels.field_maps import turning_echo
from ._checks import check_echo_times
from ._closed_form import ClosedFormModel, off_resonance_of
from ._tissue import R2S

# Echoes may not decay at all, or within a millisecond.
_R2S = replace(R2S, bounds=(0.0, 500.0), domain=(0.0, 1e4))


class FieldMap(ClosedFormModel):
    """Off-resonance from complex gradient echoes, unwrapped from echo to echo.

    Parameters are omega0, in rad/s, and optionally R2s, the rate of the decay.

    Parameters
    ----------
    te : array-like of shape (n_features,)
        Echo times, in s.
    r2s : bool, default=False
        Whether the echoes decay with the rate R2s = 1 / T2*, a parameter.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    ValueError
        If an option is unknown, or the echo times are not usable.

    See Also
    --------
    MonoExponential : With ``parameter="T2star"``, the same signal told by T2star.

    Notes
    -----
    The default bounds of omega0 are -pi and pi over the smallest difference of two echo
    times. If all differences are multiples of that, omega0 is periodic: a higher one is
    taken for one inside the bounds. Uneven echo times tell more; wider bounds,
    ``{"omega0": (-3000.0, 3000.0)}``, are searched as a whole.

    A positive omega0 turns the signal counterclockwise, its phase grows.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import FieldMap
    >>> model = FieldMap([0.002, 0.004])
    >>> model.parameter_names, model.bounds.round(1)
    (('omega0',), array([[-1570.8,  1570.8]]))
    >>> s = model.signal([[250.0]])
    >>> np.angle(s[:, 1] / s[:, 0]).round(3)
    array([0.5])
    """

    controls = {"te": (1e-4, 0.05, "s")}

    def __init__(self, te, *, r2s=False, bounds=None):
        self.te = check_echo_times(te)
        self.r2s = check_flag("r2s", r2s)
        parameters = off_resonance_of(self.te), *([_R2S] if r2s else [])
        super().__init__(parameters, "complex", "gaussian", bounds, te=self.te)

    @property
    def n_features(self):
        """Number of echoes."""
        return len(self.te)

    def _formula(self):
        return turning_echo, [], {"R2s": 0.0}
