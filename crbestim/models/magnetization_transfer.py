"""Magnetization transfer between water and macromolecules in a hybrid-state sequence.

Generalized Bloch model with a linearized semi-solid relaxation rate (Assländer et al.,
MRM 2022, doi 10.1002/mrm.29071), in the balanced hybrid-state sequence with inversion
pulses (Assländer et al., MRM 2024, doi 10.1002/mrm.29951). The equations stand with the
code, in ``crbestim/kernels/magnetization_transfer.py``.
"""

import numpy as np

from .._options import check_choice, check_flag
from ._hybrid_state import HybridStateModel
from ._saturation_table import ALPHA_MAX, LINESHAPES, TAU_RANGE
from ._tissue import (
    M0S,
    R1,
    R1F,
    R1S,
    R2F,
    RX,
    off_resonance,
    semi_solid_t2,
    transmit_field,
)


def _parameters(tr, alpha, trf):
    """Return the parameters of all options, with bounds and brain distribution."""
    # The table of saturation rates ends at b1_max, and at the limits t2s.
    b1_max = min(ALPHA_MAX / max(np.abs(alpha).max(), 1e-3), 3.0)
    t2s = max(2e-6, trf.max() / TAU_RANGE[1]), min(40e-6, trf.min() / TAU_RANGE[0])
    return (
        M0S,
        R1,
        R1F,
        R2F,
        RX,
        R1S,
        semi_solid_t2(*t2s),
        off_resonance(tr, reach=1.5),
        transmit_field(b1_max),
    )


class MagnetizationTransfer(HybridStateModel):
    """Two exchanging pools, water and macromolecules, in a hybrid-state sequence.

    Parameters
    ----------
    sequence : HybridStateSequence
        Flip angles, pulse durations and repetition time. Pulse 0 of each train is its
        inversion pulse, between crushers.
    joint_r1 : bool, default=True
        Whether both pools share one longitudinal relaxation rate R1, so that the
        parameters are m0s, R1, R2f, Rx, T2s, omega0, B1; otherwise m0s, R1f, R2f, Rx,
        R1s, T2s, omega0, B1.
    lineshape : {"super-lorentzian", "lorentzian", "gaussian"}, default="super-lorentzian"
        Line shape of the semi-solid pool.
    steady_state : {"periodic", "thermal"}, default="periodic"
        Whether each train repeats without a pause, or starts from thermal equilibrium.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    TypeError
        If the sequence is not a HybridStateSequence.
    ValueError
        If an option is unknown, or the pulses are too short or too long for the model.

    Examples
    --------
    >>> from crbestim.models import MagnetizationTransfer
    >>> from crbestim.sequences import HybridStateSequence
    >>> sequence = HybridStateSequence([3.14, 0.5, 0.7, 0.5], [5e-4] * 4, 3.5e-3)
    >>> model = MagnetizationTransfer(sequence)
    >>> model.parameter_names
    ('m0s', 'R1', 'R2f', 'Rx', 'T2s', 'omega0', 'B1')
    >>> s, J = model.signal([[0.1, 0.7, 13, 30, 1e-5, 0, 1]], jacobian=True)
    >>> s.shape, J.shape
    ((1, 4), (1, 4, 7))
    """

    _shortest, _longest = 50e-6, 3e-3

    def __init__(
        self,
        sequence,
        *,
        joint_r1=True,
        lineshape="super-lorentzian",
        steady_state="periodic",
        bounds=None,
    ):
        super().__init__(sequence, steady_state)
        self.joint_r1 = check_flag("joint_r1", joint_r1)
        self.lineshape = check_choice("lineshape", lineshape, sorted(LINESHAPES))
        self._check_durations()
        left_out = ("R1f", "R1s") if joint_r1 else ("R1",)
        parameters = _parameters(sequence.tr, sequence.alpha, sequence.trf)
        chosen = (p for p in parameters if p.name not in left_out)
        self._choose_parameters(chosen, bounds)

    def _check_durations(self):
        """Refuse pulses for which the saturation rate is not tabulated."""
        shortest, longest = self.sequence.trf.min(), self.sequence.trf.max()
        if shortest < self._shortest or longest > self._longest:
            wrong = shortest if shortest < self._shortest else longest
            raise ValueError(
                f"TRF of {wrong:g} s is outside {self._shortest:g} to {self._longest:g} s, "
                "where the linearized semi-solid relaxation is known."
            )
        if shortest / TAU_RANGE[0] <= longest / TAU_RANGE[1] + 5e-6:
            raise ValueError(
                f"TRF spans {shortest:g} to {longest:g} s; no T2s is short enough for the "
                "shortest and long enough for the longest pulse."
            )

    @property
    def _kernel_arguments(self):
        of_free, of_bound = ("R1", "R1") if self.joint_r1 else ("R1f", "R1s")
        return "m0s", of_free, "R2f", "Rx", of_bound, "T2s", "omega0", "B1"
