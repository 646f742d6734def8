"""Magnetization transfer between water and macromolecules in a hybrid-state sequence.

Generalized Bloch model with a linearized semi-solid relaxation rate (Assländer et al.,
MRM 2022, doi 10.1002/mrm.29071), in the balanced hybrid-state sequence with inversion
pulses (Assländer et al., MRM 2024, doi 10.1002/mrm.29951). The equations stand with the
code, in ``crbestim/kernels/magnetization_transfer.py``.
"""

from functools import cached_property

import numpy as np
from scipy import stats

from ..kernels.hybrid_state import simulate
from ..kernels.lanes import LANES
from ..kernels.magnetization_transfer import N_PARAMETERS
from ..kernels.threads import in_threads
from ..parameters import Parameter, truncated_normal
from ..sequences import HybridStateSequence
from .base import SignalModel
from .pulses import in_chunks, prepared_pulses, rates
from .saturation import ALPHA_MAX, TAU_RANGE, saturation_table

_KERNEL_ORDER = ("m0s", "R1f", "R2f", "Rx", "R1s", "T2s", "omega0", "B1")
_STEADY_STATES = ("periodic", "thermal")
_TRF_RANGE = 50e-6, 3e-3


def _parameters(tr, alpha, trf):
    """Parameters with bounds and brain distribution, by name."""
    # Above B1_max the table of saturation rates ends; outside t2s it does, too.
    b1_max = min(ALPHA_MAX / max(np.abs(alpha).max(), 1e-3), 3.0)
    b1_low = min(0.6, b1_max / 2)
    t2s = max(2e-6, trf.max() / TAU_RANGE[1]), min(40e-6, trf.min() / TAU_RANGE[0])
    nyquist = np.pi / tr
    rate = dict(unit="1/s", domain=(1e-3, 20.0))
    fluid = stats.uniform(0.2, 0.15)
    parameters = (
        Parameter("m0s", (0.0, 0.35), (0.0, 0.8), symbol="m_0^s",
                  distribution=truncated_normal(0.15, 0.10, 0.0, 0.35),
                  fluid=stats.uniform(0.0, 0.01)),
        Parameter("R1", (0.2, 1.5), symbol="R_1", fluid=fluid, **rate,
                  distribution=truncated_normal(0.75, 0.30, 0.2, 1.5)),
        Parameter("R1f", (0.1, 1.2), symbol="R_1^f", fluid=fluid, **rate,
                  distribution=truncated_normal(0.45, 0.20, 0.1, 1.2)),
        Parameter("R2f", (0.3, 25.0), (1e-3, 250.0), unit="1/s", symbol="R_2^f",
                  distribution=truncated_normal(13.0, 4.0, 0.4, 25.0),
                  fluid=stats.uniform(0.4, 1.6)),
        Parameter("Rx", (2.0, 60.0), (0.0, 500.0), unit="1/s", symbol="R_x",
                  distribution=truncated_normal(25.0, 12.0, 5.0, 60.0)),
        Parameter("R1s", (0.3, 6.0), symbol="R_1^s", **rate,
                  distribution=truncated_normal(3.0, 0.75, 0.5, 6.0)),
        Parameter("T2s", (max(5e-6, t2s[0]), min(20e-6, t2s[1])), t2s, unit="s",
                  symbol="T_2^s",
                  distribution=truncated_normal(
                      12e-6, 3e-6, max(6e-6, t2s[0]), min(18e-6, t2s[1]))),
        Parameter("omega0", (-nyquist, nyquist), (-1.5 * nyquist, 1.5 * nyquist),
                  unit="rad/s", symbol=r"\omega_0", period=2 * nyquist,
                  distribution=stats.uniform(-nyquist, 2 * nyquist)),
        Parameter("B1", (b1_low, min(1.4, b1_max)), (0.05, b1_max), symbol="B_1",
                  distribution=truncated_normal(0.95, 0.20, b1_low, min(1.3, b1_max))),
    )  # fmt: skip
    return {p.name: p for p in parameters}


class MagnetizationTransfer(SignalModel):
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
        Other bounds, (low, high) by parameter name.

    Raises
    ------
    TypeError
        If the sequence is of another kind.
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

    def __init__(
        self,
        sequence,
        *,
        joint_r1=True,
        lineshape="super-lorentzian",
        steady_state="periodic",
        bounds=None,
    ):
        if not isinstance(sequence, HybridStateSequence):
            raise TypeError(
                f"sequence is {type(sequence).__name__}; give a HybridStateSequence."
            )
        self.sequence = sequence
        self.joint_r1 = joint_r1
        self.lineshape = lineshape
        self.steady_state = steady_state
        if steady_state not in _STEADY_STATES:
            raise ValueError(
                f"steady_state={steady_state!r} is unknown; choose one of {_STEADY_STATES}."
            )
        saturation_table(lineshape)
        self._parameters = self._choose_parameters(bounds or {})

    def _choose_parameters(self, bounds):
        sequence = self.sequence
        shortest, longest = sequence.trf.min(), sequence.trf.max()
        if shortest < _TRF_RANGE[0] or longest > _TRF_RANGE[1]:
            wrong = shortest if shortest < _TRF_RANGE[0] else longest
            raise ValueError(
                f"TRF of {wrong:g} s is outside {_TRF_RANGE[0]:g} to {_TRF_RANGE[1]:g} s, "
                "where the linearized semi-solid relaxation is known."
            )
        if shortest / TAU_RANGE[0] <= longest / TAU_RANGE[1] + 5e-6:
            raise ValueError(
                f"TRF spans {shortest:g} to {longest:g} s; no T2s is short enough for the "
                "shortest and long enough for the longest pulse."
            )
        known = _parameters(sequence.tr, sequence.alpha, sequence.trf)
        left_out = {"R1f", "R1s"} if self.joint_r1 else {"R1"}
        chosen = {name: p for name, p in known.items() if name not in left_out}
        unknown = sorted(set(bounds) - set(chosen))
        if unknown:
            raise ValueError(
                f"bounds name {', '.join(unknown)}; the parameters are {', '.join(chosen)}."
            )
        if not self.joint_r1:
            chosen = {name: chosen[name] for name in _KERNEL_ORDER}
        return tuple(
            p.with_bounds(bounds[name]) if name in bounds else p
            for name, p in chosen.items()
        )

    def __repr__(self):
        return (
            f"MagnetizationTransfer({self.sequence!r}, joint_r1={self.joint_r1}, "
            f"lineshape={self.lineshape!r}, steady_state={self.steady_state!r})"
        )

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
            np.ascontiguousarray(theta[:, self._columns]),
            columns,
            self._pulses,
            rates(self.lineshape),
            in_chunks(basis.T, self.sequence.train_offsets),
            s,
            ds,
        )
        return (s, ds) if jacobian else s

    @cached_property
    def _columns(self):
        """Column of theta and of the Jacobian for each of the kernel's parameters."""
        shared = {"R1f": "R1", "R1s": "R1"} if self.joint_r1 else {}
        names = [shared.get(name, name) for name in _KERNEL_ORDER]
        return np.array([self.parameter_names.index(name) for name in names])

    @cached_property
    def _domain(self):
        """Limits of the kernel's parameters, by which its pulses are prepared."""
        known = _parameters(self.sequence.tr, self.sequence.alpha, self.sequence.trf)
        return tuple(known[name].domain for name in _KERNEL_ORDER)

    @property
    def _pulses(self):
        # Not kept here: copies of a model for other processes should stay small.
        return prepared_pulses(
            self.sequence, self.lineshape, self.steady_state, self._domain
        )
