"""What models of a hybrid-state sequence share: they all run the same kernel.

The equations stand with the code, in ``crbestim/kernels/magnetization_transfer.py``.
"""

from functools import cached_property

import numpy as np

from ..kernels.hybrid_state import simulate
from ..kernels.lanes import LANES
from ..kernels.magnetization_transfer import N_PARAMETERS
from ..kernels.threads import in_threads
from ..sequences import HybridStateSequence
from .base import SignalModel
from .options import check_choice
from .pulses import in_chunks, prepared_pulses, rates

STEADY_STATES = ("periodic", "thermal")


class HybridStateModel(SignalModel):
    """Model of tissue in a hybrid-state sequence.

    A subclass sets ``_parameters`` and says in ``_kernel_arguments`` what stands for
    m0s, R1f, R2f, Rx, R1s, T2s, omega0 and B1: the name of a parameter, or a number.

    Parameters
    ----------
    sequence : HybridStateSequence
        Flip angles, pulse durations and repetition time.
    steady_state : {"periodic", "thermal"}
        Whether each train repeats without a pause, or starts from thermal equilibrium.
    """

    lineshape = None
    """Line shape of the semi-solid pool; None if pulses do not saturate one."""

    def __init__(self, sequence, steady_state):
        if not isinstance(sequence, HybridStateSequence):
            raise TypeError(
                f"sequence is {type(sequence).__name__}; give a HybridStateSequence."
            )
        self.sequence = sequence
        self.steady_state = check_choice("steady_state", steady_state, STEADY_STATES)

    @property
    def parameters(self):
        """The parameters, in the order of the columns of theta."""
        return self._parameters

    @property
    def n_features(self):
        """Number of pulses, and so of samples."""
        return self.sequence.n_pulses

    @property
    def is_complex(self):
        """True: the signal is complex."""
        return True

    def signal(self, theta, jacobian=False):
        """Simulate the signal at all echoes.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units.
        jacobian : bool, default=False
            Whether to return the derivatives, too.

        Returns
        -------
        s : ndarray of shape (n_samples, n_pulses), complex
            Signal per unit of proton density.
        J : ndarray of shape (n_samples, n_pulses, n_parameters), complex
            Derivatives, only if `jacobian`.

        Raises
        ------
        ValueError
            If theta is not a finite array inside the model's domain.
        """
        return self.simulate(self.check_theta(theta), jacobian)

    def simulate(self, theta, jacobian=False):
        """Simulate theta that has been checked; see `SignalModel.simulate`."""
        return self._simulate(theta, np.empty((self.n_features, 0)), jacobian)

    def project(self, theta, basis, jacobian=False):
        """Simulate and project onto a basis on the way; see `SignalModel.project`."""
        if basis.dtype.kind != "c":
            real = np.ascontiguousarray(basis, dtype=np.float64)
            return self._simulate(theta, real, jacobian)
        # The kernel takes real bases: U^H s = Re(U)^T s - 1j Im(U)^T s.
        n = basis.shape[1]
        out = self._simulate(theta, np.hstack([basis.real, basis.imag]), jacobian)
        if jacobian:
            return tuple(part[:, :n] - 1j * part[:, n:] for part in out)
        return out[:, :n] - 1j * out[:, n:]

    def _simulate(self, theta, basis, jacobian):
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
        """Return the kernel's parameters, (n_samples, 8), with numbers that are fixed."""
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
        """Limits of the kernel's parameters, by which its pulses are prepared."""
        domains = {p.name: p.domain for p in self._parameters}
        return tuple(
            domains[a] if isinstance(a, str) else (a, a) for a in self._kernel_arguments
        )

    @property
    def _pulses(self):
        # Not kept here: copies of a model for other processes should stay small.
        return prepared_pulses(
            self.sequence, self.lineshape, self.steady_state, self._domain
        )
