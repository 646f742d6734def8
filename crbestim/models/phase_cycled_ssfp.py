r"""Balanced steady states of several phase increments of the pulses.

.. math:: s = M_0 e^{(i \omega_0 - 1 / T_2) T_E} \sin\alpha\,
              \frac{(1 - E_1) (1 - E_2 e^{-i \theta})}
              {1 - E_1 \cos\alpha - E_2^2 (E_1 - \cos\alpha)
              - E_2 (1 - E_1) (1 + \cos\alpha) \cos\theta}

with :math:`E_i = e^{-T_R / T_i}`, :math:`\alpha` the flip angle times B1, and
:math:`\theta = \omega_0 T_R - \phi` for an increment :math:`\phi` (Freeman & Hill, J. Magn.
Reson. 1971, doi 10.1016/0022-2364(71)90026-0). The signals of all increments lie on an
ellipse (Xiang & Hoff, MRM 2014, doi 10.1002/mrm.25098), which tells T1, T2 and omega0
(Shcherbakova et al., MRM 2018, doi 10.1002/mrm.26717).
"""

import numpy as np

from .._arrays import as_settings
from .._options import check_flag, check_number
from ..kernels.phase_cycles import phase_cycles
from ._checks import RADIANS, SECONDS, check_for_each, check_positive, check_samples
from ._closed_form import ClosedFormModel
from ._tissue import T1, T2, off_resonance, transmit_field

# Increments that differ by less are the same, in rad.
_SAME = 1e-6
_FEWEST = 4


class PhaseCycledSSFP(ClosedFormModel):
    """Balanced steady-state free precession (bSSFP) with several phase increments.

    Parameters are T1, T2, omega0 and optionally B1; the signal is complex. Pulses are
    instantaneous; :class:`BalancedSteadyState` has trains of finite ones. The receiver has
    the phase of the pulse before.

    Parameters
    ----------
    flip_angle : float or array-like of shape (n_features,)
        Nominal flip angle, in rad: one for all samples, or one for each.
    tr : float
        Repetition time, in s.
    phase_increments : array-like of shape (n_features,)
        Phase of each pulse less that of the pulse before, in rad, for each sample; at least
        four different ones.
    te : float, default=None
        Echo time, in s, up to `tr`; by default half of it.
    b1 : bool, default=False
        Whether the relative transmit field B1 is a parameter; otherwise it is 1. One flip
        angle does not separate it from T1, so that both have an infinite bound: give a
        map, ``model.given("B1")``, or use several flip angles.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    ValueError
        If an option is unknown, or angles or times are not usable.

    Notes
    -----
    omega0 is known up to ``2 * pi / tr``, its period. A positive one turns the signal
    counterclockwise; an increment of ``omega0 * tr`` follows it, so that the spins seem
    to be on resonance, in the dark band.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import PhaseCycledSSFP
    >>> increments = 2 * np.pi * np.arange(4) / 4
    >>> model = PhaseCycledSSFP(np.deg2rad(30), 5e-3, increments)
    >>> model.parameter_names
    ('T1', 'T2', 'omega0')
    >>> np.abs(model.signal([[1.0, 0.08, 0.0]])).round(3)
    array([[0.009, 0.136, 0.141, 0.136]])
    """

    controls = {
        "flip_angle": (0.01, np.pi / 2, "rad"),
        "phase_increments": (-2 * np.pi, 2 * np.pi, "rad"),
    }

    def __init__(self, flip_angle, tr, phase_increments, *, te=None, b1=False, bounds=None):
        self.phase_increments = _check_increments(phase_increments)
        self.flip_angle = self._check_angles(flip_angle)
        self.tr = check_positive(tr, "tr", "s", (1e-3, 0.1), SECONDS)
        self.te = None if te is None else self._check_te(te)
        self.b1 = check_flag("b1", b1)
        field = [transmit_field()] if b1 else []
        parameters = T1, T2, off_resonance(self.tr), *field
        super().__init__(parameters, "complex", "gaussian", bounds)

    def _check_angles(self, flip_angle):
        n = len(self.phase_increments)
        angles = check_for_each(flip_angle, "flip_angle", n, "phase increments")
        each = np.broadcast_to(angles, n)
        check_samples(each, "flip_angle", "rad", high=np.pi, advice=RADIANS)
        if not each.all():
            raise ValueError("flip_angle is 0 rad; give angles above 0.")
        angles.flags.writeable = False
        return angles if angles.ndim else float(angles)

    def _check_te(self, te):
        allowed = "one time from 0 to tr, or None for half of it" + SECONDS.format("te")
        te = check_number(te, "te", allowed, least=0)
        if te > self.tr:
            raise ValueError(f"te = {te:.4g} s and tr = {self.tr:.4g} s; give {allowed}.")
        return te

    @property
    def n_features(self):
        """Number of phase increments."""
        return len(self.phase_increments)

    def _formula(self):
        te = self.tr / 2 if self.te is None else self.te
        settings = [self.flip_angle, self.tr, self.phase_increments, te]
        return phase_cycles, settings, {"T1": 0.0, "T2": 0.0, "B1": 1.0}


def _check_increments(increments):
    """Return phase increments as a read-only vector, enough of them different."""
    increments = as_settings(increments, "phase_increments")
    if increments.ndim != 1 or not np.isfinite(increments).all():
        raise ValueError(
            f"phase_increments has shape {increments.shape}; give a vector of finite "
            "numbers, in rad."
        )
    turned = np.sort(np.mod(increments + _SAME, 2 * np.pi))
    n = len(turned) and 1 + np.sum(np.diff(turned) > 2 * _SAME)
    if n < _FEWEST:
        raise ValueError(
            f"phase_increments has {n} different angles; give at least {_FEWEST} modulo "
            f"2 pi{RADIANS.format('phase_increments')}."
        )
    increments.flags.writeable = False
    return increments
