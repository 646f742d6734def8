"""Base of the models of a hybrid-state sequence, which all run the same kernel.

The equations stand with the code, in ``crbestim/kernels/magnetization_transfer.py``.
"""

from functools import cached_property

import numpy as np

from .._options import check_choice
from ..kernels.hybrid_state import simulate
from ..kernels.lanes import LANES
from ..kernels.magnetization_transfer import N_PARAMETERS
from ..kernels.threads import in_threads
from ..sequences import HybridStateSequence
from ._compiled import CompiledModel
from ._controls import arguments_of
from ._pulses import in_chunks, prepared_pulses, rates

STEADY_STATES = ("periodic", "thermal")


class HybridStateModel(CompiledModel):
    """Model of tissue in a hybrid-state sequence.

    A subclass sets ``parameters`` and, in ``_kernel_arguments``, what the kernel takes as
    m0s, R1f, R2f, Rx, R1s, T2s, omega0 and B1: the name of a parameter, or a number.
    """

    _own_accuracy = 1e-10
    """Maps of pulses are interpolated."""

    lineshape = None
    """Line shape of the semi-solid pool; None if pulses do not saturate one."""

    @property
    def controls(self):
        """Flip angles and durations of pulses; see `SignalModel.controls`."""
        return {
            "alpha": (-np.pi, np.pi, "rad"),
            "trf": (self._shortest, min(self._longest, self.sequence.tr), "s"),
        }

    _shortest, _longest = 1e-5, np.inf
    """Limits of the durations of pulses, in s."""

    def __init__(self, sequence, steady_state):
        if not isinstance(sequence, HybridStateSequence):
            raise TypeError(
                f"sequence is {type(sequence).__name__}; give a HybridStateSequence."
            )
        self.sequence = sequence
        self.steady_state = check_choice("steady_state", steady_state, STEADY_STATES)

    def _settings(self):
        return {"alpha": self.sequence.alpha, "trf": self.sequence.trf}

    @property
    def _duration(self):
        return self.sequence.n_pulses * self.sequence.tr

    def _with_settings(self, values):
        cuts = self.sequence.train_offsets[1:-1]
        values = self._settings() | values
        alpha, trf = (np.split(values[name], cuts) for name in ("alpha", "trf"))
        sequence = HybridStateSequence(alpha, trf, self.sequence.tr)
        return type(self)(**arguments_of(self) | {"sequence": sequence})

    @property
    def n_features(self):
        """Number of pulses, and so of samples."""
        return self.sequence.n_pulses

    def _run(self, theta, basis, jacobian):
        n, m = len(theta), basis.shape[1] or self.n_features
        columns = self._columns if jacobian else np.full(N_PARAMETERS, -1)
        s = np.empty((n, m), dtype=complex)
        ds = np.empty((n, m, columns.max() + 1), dtype=complex)
        in_threads(
            simulate,
            -(-n // LANES),
            self._complete(theta),
            columns,
            self._pulses,
            rates(self.lineshape),
            in_chunks(basis.T, self.sequence.train_offsets),
            s,
            ds,
        )
        return (s, ds) if jacobian else s

    def _complete(self, theta):
        """Return the kernel's parameters, (n_samples, 8), including fixed numbers."""
        fixed = [0.0 if isinstance(a, str) else a for a in self._kernel_arguments]
        complete = np.tile(fixed, (len(theta), 1))
        free = self._columns >= 0
        complete[:, free] = theta[:, self._columns[free]]
        return complete

    @cached_property
    def _columns(self):
        """Column of theta and of the Jacobian for each of the kernel's parameters."""
        names = self.parameter_names
        return np.array(
            [names.index(a) if isinstance(a, str) else -1 for a in self._kernel_arguments]
        )

    @cached_property
    def _domain(self):
        """Limits of the kernel's parameters, for which its pulses are prepared."""
        domains = {p.name: p.domain for p in self.parameters}
        return tuple(
            domains[a] if isinstance(a, str) else (a, a) for a in self._kernel_arguments
        )

    @property
    def _pulses(self):
        # Not stored here: copies of a model for other processes should stay small.
        return prepared_pulses(
            self.sequence, self.lineshape, self.steady_state, self._domain
        )
