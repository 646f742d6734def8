"""A single pool of water in a balanced hybrid-state sequence.

The Bloch equation with finite pulses, in the balanced hybrid-state sequence (Assländer et
al., Commun. Phys. 2019, doi 10.1038/s42005-019-0174-0) with inversion pulses (Assländer
et al., MRM 2024, doi 10.1002/mrm.29951). It is the limit of two exchanging pools of which
the semi-solid one is empty, and uses the kernel of two pools. The parameters are relaxation
rates, as in that model, so that bounds and maps of both can be compared.
"""

from ._hybrid_state import HybridStateModel
from ._tissue import R1, R2, off_resonance, transmit_field


class BalancedSteadyState(HybridStateModel):
    """A single pool of water in a balanced hybrid-state sequence (bSSFP).

    Parameters are R1, R2, omega0 and B1. Unlike for two pools, the durations of the pulses
    are not limited.

    Parameters
    ----------
    sequence : HybridStateSequence
        Flip angles, pulse durations and repetition time. Pulse 0 of each train is its
        inversion pulse, between crushers.
    steady_state : {"periodic", "thermal"}, default="periodic"
        Whether each train repeats without a pause, or starts from thermal equilibrium.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    TypeError
        If the sequence is not a HybridStateSequence.
    ValueError
        If an option is unknown.

    Examples
    --------
    >>> from crbestim.models import BalancedSteadyState
    >>> from crbestim.sequences import HybridStateSequence
    >>> sequence = HybridStateSequence([3.14, 0.5, 0.7, 0.5], [5e-4] * 4, 3.5e-3)
    >>> model = BalancedSteadyState(sequence)
    >>> model.parameter_names
    ('R1', 'R2', 'omega0', 'B1')
    >>> s, J = model.signal([[0.7, 13, 0, 1]], jacobian=True)
    >>> s.shape, J.shape
    ((1, 4), (1, 4, 4))
    """

    # An empty pool without exchange has no effect; its relaxation only has to be finite.
    _kernel_arguments = (0.0, "R1", "R2", 0.0, 1.0, 1e-5, "omega0", "B1")

    def __init__(self, sequence, *, steady_state="periodic", bounds=None):
        super().__init__(sequence, steady_state)
        parameters = R1, R2, off_resonance(sequence.tr, reach=1.5), transmit_field()
        self._choose_parameters(parameters, bounds)
