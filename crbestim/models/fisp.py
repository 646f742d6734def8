"""Magnetic resonance fingerprinting with unbalanced steady-state free precession, FISP.

One pool of water after an optional inversion, with flip angles and repetition times that
vary from pulse to pulse (Jiang et al., MRM 2015, doi 10.1002/mrm.25559), simulated by
extended phase graphs (Weigel, JMRI 2015, doi 10.1002/jmri.24619). The equations stand with
the code, in ``crbestim/kernels/extended_phase_graph.py``.
"""

import numpy as np
from scipy import stats

from ..kernels.extended_phase_graph import N_PARAMETERS, Pulses, simulate
from ..kernels.interpolation import ROWS
from ..kernels.lanes import LANES
from ..kernels.threads import in_threads
from ..parameters import Parameter, truncated_normal
from .base import SignalModel

_TRUNCATION = 1e-12
_LEVEL = 1.25
_PHASE_ERROR = 1e-12

# Brain at 3 T: Wansapura et al., JMRI 1999 and Stanisz et al., MRM 2005,
# doi 10.1002/mrm.20605; fluid has long ones.
_PARAMETERS = (
    Parameter("T1", (0.1, 5.0), (1e-3, 20.0), unit="s", symbol="T_1",
              distribution=truncated_normal(1.15, 0.35, 0.4, 2.5),
              fluid=stats.uniform(3.5, 1.0)),
    Parameter("T2", (0.01, 2.5), (1e-3, 10.0), unit="s", symbol="T_2",
              distribution=truncated_normal(0.085, 0.02, 0.03, 0.2),
              fluid=stats.uniform(1.0, 1.0)),
    Parameter("B1", (0.6, 1.4), (0.05, 3.0), symbol="B_1",
              distribution=truncated_normal(0.95, 0.20, 0.6, 1.3)),
)  # fmt: skip


class FISPFingerprinting(SignalModel):
    """Fingerprints of an inversion-prepared, unbalanced, gradient-spoiled pulse train.

    Gradients dephase each repetition by at least one full turn in a voxel. The signal is
    that at the echo, demodulated by the phase of its pulse. An inversion is complete,
    adiabatic and spoiled; pulses are instantaneous.

    Parameters
    ----------
    alpha : array-like of shape (n_pulses,)
        Nominal flip angles, in rad.
    tr : float or array-like of shape (n_pulses,)
        Repetition times, from each pulse to the next, in s.
    te : float or array-like of shape (n_pulses,)
        Echo times, at most `tr`, in s.
    phase : array-like of shape (n_pulses,), default=None
        Phases of the pulses, in rad; by default all alike. Phases that grow by the same
        amount from pulse to pulse make no difference, and those that are off by pi no
        more work; others double it.
    inversion_time : float, default=None
        From an inversion of thermal equilibrium to the first pulse, in s; None stands for
        thermal equilibrium without inversion.
    b1 : bool, default=False
        Whether the transmit field is a parameter, too.
    n_states : int, default=None
        Number of configuration orders that are followed, from 0 on. By default as many as
        can return to the echo, but for those that relax before: leaving these out changes
        no signal by more than 1e-12 of M0.
    bounds : dict, default=None
        Other bounds, (low, high) by parameter name.

    Raises
    ------
    ValueError
        If the sequence is impossible or an option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import FISPFingerprinting
    >>> alpha = np.deg2rad(10 + 50 * np.sin(np.arange(400) * np.pi / 200) ** 2)
    >>> model = FISPFingerprinting(alpha, tr=12e-3, te=3e-3, inversion_time=20e-3)
    >>> model.parameter_names
    ('T1', 'T2')
    >>> s, J = model.signal([[0.9, 0.07], [1.4, 0.1]], jacobian=True)
    >>> s.shape, J.shape
    ((2, 400), (2, 400, 2))
    """

    def __init__(
        self,
        alpha,
        tr,
        te,
        *,
        phase=None,
        inversion_time=None,
        b1=False,
        n_states=None,
        bounds=None,
    ):
        self.alpha = _as_train(alpha, "alpha", np.ndim(alpha) and len(alpha))
        n = len(self.alpha)
        self.tr, self.te = _as_train(tr, "tr", n), _as_train(te, "te", n)
        self.phase = None if phase is None else _as_train(phase, "phase", n)
        self.inversion_time = inversion_time
        self.b1 = b1
        self.n_states = n_states
        self._check()
        self._parameters = self._choose_parameters(bounds or {})

    def _check(self):
        _refuse(np.abs(self.alpha) > 2 * np.pi, "alpha", self.alpha, " rad",
                "give at most 2 pi; is it in degrees?")  # fmt: skip
        _refuse(self.tr <= 0, "tr", self.tr, " s", "give a positive time.")
        wrong = (self.te < 0) | (self.te > self.tr)
        _refuse(wrong, "te", self.te, " s", "give at least 0 and at most tr.")
        time, n_states = self.inversion_time, self.n_states
        if time is not None and not (_is_real(time) and 0 <= time < np.inf):
            raise ValueError(
                f"inversion_time={time!r}; give a time in s, at least 0, or None for a "
                "train without inversion."
            )
        is_count = _is_real(n_states) and n_states >= 1 and float(n_states).is_integer()
        if n_states is not None and not is_count:
            raise ValueError(
                f"n_states={n_states!r}; give a whole number, at least 1, or None for all "
                "that count."
            )

    def _choose_parameters(self, bounds):
        chosen = _PARAMETERS if self.b1 else _PARAMETERS[:2]
        names = [p.name for p in chosen]
        unknown = sorted(set(bounds) - set(names))
        if unknown:
            raise ValueError(
                f"bounds name {', '.join(unknown)}; the parameters are {', '.join(names)}."
            )
        return tuple(
            p.with_bounds(bounds[p.name]) if p.name in bounds else p for p in chosen
        )

    def __repr__(self):
        return (
            f"FISPFingerprinting(n_pulses={self.n_features}, "
            f"inversion_time={self.inversion_time}, b1={self.b1}, n_states={self.n_states})"
        )

    @property
    def parameters(self):
        """The parameters, in the order of the columns of theta."""
        return self._parameters

    @property
    def n_features(self):
        """Number of pulses, and so of samples."""
        return len(self.alpha)

    @property
    def is_complex(self):
        """True: the signal is complex."""
        return True

    def signal(self, theta, jacobian=False):
        """Simulate the signal at all echoes.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            T1 and T2 in s, and B1 if it is a parameter.
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
            return self._simulate(theta, basis, jacobian)
        # The kernel takes real bases: U^H s = Re(U)^T s - 1j Im(U)^T s.
        n = basis.shape[1]
        out = self._simulate(theta, np.hstack([basis.real, basis.imag]), jacobian)
        if jacobian:
            return tuple(part[:, :n] - 1j * part[:, n:] for part in out)
        return out[:, :n] - 1j * out[:, n:]

    def _simulate(self, theta, basis, jacobian):
        n, m = len(theta), basis.shape[1] or self.n_features
        d = self.n_parameters if jacobian else 0
        filled = np.zeros((-(-basis.shape[1] // ROWS) * ROWS, self.n_features))
        filled[: basis.shape[1]] = basis.T
        full = np.ones((n, N_PARAMETERS))
        full[:, : theta.shape[1]] = theta
        columns = np.arange(N_PARAMETERS)
        columns[d:] = -1
        rows, n_states = self._blocks(theta)
        s, ds = np.empty((n, m), dtype=complex), np.empty((n, m, d), dtype=complex)
        in_threads(
            simulate, len(rows), full, rows, n_states, columns, self._pulses, filled, s, ds
        )
        return (s, ds) if jacobian else s

    def _blocks(self, theta):
        """Return voxels (n_blocks, LANES) that keep as many orders, and these numbers."""
        most = (self.n_features + 1) // 2  # in the middle, on the way out and back
        levels = np.full(1, min(self.n_states or most, most))
        if self.n_states is None:
            exponents = np.arange(np.log(most) // np.log(_LEVEL) + 1)
            levels = np.unique(np.ceil(most / _LEVEL**exponents).astype(int))
        needed = np.minimum(self._orders(theta), levels[-1])
        level = np.searchsorted(levels, needed)
        rows, n_states = [np.empty((0, LANES), dtype=int)], []
        for k in np.unique(level)[::-1]:
            members = np.flatnonzero(level == k)
            blocks = -(-len(members) // LANES)
            # A voxel of its own fills up the last block: neighbours make no difference.
            filled = np.minimum(np.arange(blocks * LANES), len(members) - 1)
            rows.append(members[filled].reshape(blocks, LANES))
            n_states += [levels[k]] * blocks
        return np.concatenate(rows), np.array(n_states, dtype=int)

    def _orders(self, theta):
        """Return the numbers of orders without which a signal changes by _TRUNCATION.

        Magnetization takes K repetitions in the transverse plane to reach order K, and as
        many to return. With r = exp(-TR / T2) for the shortest TR, let magnetization of
        order k count r^-k times on the way out: no step enlarges its norm, but for what
        recovers, so it is at most V, what was there and recovered. The norm of all that
        leaves by order K in n repetitions is at most r^K V, too, its sum n^(1/2) times
        that. Weights r^k show in the same way that r^K of it can be seen in an echo.
        """
        t1, t2 = theta[:, 0], theta[:, 1]
        largest = np.sqrt(self.n_features) * (1 + self.tr.sum() / t1)
        return np.ceil(t2 / (2 * self.tr.min()) * np.log(largest / _TRUNCATION))

    @property
    def _pulses(self):
        # Not kept: copies of a model for other processes should stay small.
        n = self.n_features
        sign, turn = self._frames()
        intervals, index = np.unique(np.append(self.tr, self.te), return_inverse=True)
        time = -1.0 if self.inversion_time is None else float(self.inversion_time)
        return Pulses(sign * self.alpha, sign, turn, index[:n], index[n:], intervals, time)

    def _frames(self):
        """Signs of the pulses, and by what the frame turns before each, if it does.

        A turn by the same angle in every repetition is one more dephasing of all orders.
        """
        n = self.n_features
        sign, turn = np.ones(n), np.zeros(n)
        if self.phase is None or n < 3:
            return sign, np.empty(0)
        steps = np.diff(self.phase)
        turn[2:] = steps[1:] - steps[0]
        if np.abs(np.sin(turn)).max() > _PHASE_ERROR:
            return sign, turn
        return np.cumprod(np.sign(np.cos(turn))), np.empty(0)


def _is_real(value):
    value = np.asarray(value)
    return value.ndim == 0 and value.dtype.kind in "iuf"


def _as_train(values, name, n):
    """Return finite numbers, one for each pulse, or say what is wrong with them."""
    values = np.asarray(values)
    if values.dtype.kind not in "iuf" or values.ndim > 1 or not n:
        raise ValueError(
            f"{name} is an array of {values.dtype} and shape {values.shape}; give one real "
            "number for each pulse."
        )
    if values.ndim == 1 and len(values) != n:
        raise ValueError(f"{name} has {len(values)} values for {n} pulses; give {n}.")
    train = np.array(np.broadcast_to(values, n), dtype=float)
    _refuse(~np.isfinite(train), name, train, "", "give finite numbers.")
    return train


def _refuse(wrong, name, values, unit, advice):
    """Raise an error about the first value that is wrong."""
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(f"{name}[{i}] = {values[i]:g}{unit}; {advice}")
