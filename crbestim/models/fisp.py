"""Magnetic resonance fingerprinting with unbalanced steady-state free precession, FISP.

One pool of water after an optional inversion, with flip angles and repetition times that
vary from pulse to pulse (Jiang et al., MRM 2015, doi 10.1002/mrm.25559), simulated by
extended phase graphs (Weigel, JMRI 2015, doi 10.1002/jmri.24619). The equations stand with
the code, in ``crbestim/kernels/extended_phase_graph.py``.
"""

import numpy as np

from .._arrays import as_settings
from .._options import check_flag, check_number, check_path
from .._sequence_files import read_fisp
from .._validation import check_count
from ..kernels.extended_phase_graph import N_PARAMETERS, Pulses, simulate
from ..kernels.interpolation import ROWS
from ..kernels.lanes import LANES
from ..kernels.threads import in_threads
from ._compiled import CompiledModel
from ._tissue import T1, T2, transmit_field

_TRUNCATION = 1e-12
_LEVEL = 1.25
_PHASE_ERROR = 1e-12

_HIGHEST_B1 = 3.0


class FISPFingerprinting(CompiledModel):
    """Fingerprints of an inversion-prepared, unbalanced, gradient-spoiled pulse train.

    In each repetition, gradients dephase the magnetization of a voxel by at least one full
    turn. The signal is that at the echo, demodulated by the phase of its pulse. The
    inversion is complete, adiabatic and spoiled; pulses are instantaneous. Parameters are
    T1, T2 and, optionally, B1.

    Parameters
    ----------
    alpha : array-like of shape (n_pulses,)
        Nominal flip angles, in rad.
    tr : float or array-like of shape (n_pulses,)
        Repetition times, from each pulse to the next, in s.
    te : float or array-like of shape (n_pulses,)
        Echo times, at most `tr`, in s.
    phase : array-like of shape (n_pulses,), default=None
        Phases of the pulses, in rad; by default all the same. Phases that grow by the same
        amount from pulse to pulse have no effect. Additional steps of pi take no more time;
        other phases double the computation.
    inversion_time : float, default=None
        Time from an inversion of thermal equilibrium to the first pulse, in s; None means
        thermal equilibrium without inversion.
    b1 : bool, default=False
        Whether the transmit field B1 is a parameter.
    n_states : int, default=None
        Number of configuration orders that are simulated, from 0 on. By default those that
        can return to the echo before they decay: the others change no signal by more than
        1e-12 of M0.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

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

    @property
    def controls(self):
        """Flip angles and repetition times; see `SignalModel.controls`."""
        shortest = np.maximum(self.te, 1e-3)
        return {"alpha": (0.0, np.pi, "rad"), "tr": (shortest, 0.1, "s")}

    @property
    def _duration(self):
        return (self.inversion_time or 0.0) + self.tr.sum()

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
        self.alpha = _as_train(alpha, "alpha", None)
        n = len(self.alpha)
        self.tr, self.te = _as_train(tr, "tr", n), _as_train(te, "te", n)
        self.phase = None if phase is None else _as_train(phase, "phase", n)
        if inversion_time is not None:
            allowed = "a time in s, at least 0, or None for a train without inversion"
            check_number(inversion_time, "inversion_time", allowed, least=0)
        self.inversion_time = inversion_time
        self.b1 = check_flag("b1", b1)
        self.n_states = None if n_states is None else check_count(n_states, "n_states")
        self._check()
        parameters = (T1, T2, *([transmit_field(_HIGHEST_B1)] if b1 else []))
        self._choose_parameters(parameters, bounds)

    @classmethod
    def from_pulseq(cls, path, *, b1=False, n_states=None, bounds=None):
        """Build the model of a train of pulses in a Pulseq file of version 1.5.

        Pulses and their purpose are those of the file. Flip angles and phases are those of
        the integrals of the excitations, which have to be on resonance and to keep their
        axis; TR is from centre to centre, and TE from there to the sample that is closest
        to the centre of k-space. An inversion, adiabatic or by pi, may come before all.
        Whatever else a file plays, such as saturation or T2 preparation, has no model and
        is refused with the number of its block, as are gradients that are balanced or
        change from repetition to repetition. Slice profiles are not simulated.

        Parameters
        ----------
        path : str or path-like
            A ``.seq`` file, read by pypulseq: ``python -m pip install "crbestim[pulseq]"``.
        b1, n_states, bounds
            As of the class.

        Returns
        -------
        model : FISPFingerprinting
            The model. Its last TR, on which no sample depends, is that before it.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        SequenceFileError
            If the file cannot be read, or plays anything else.
        ImportError
            If pypulseq is not installed.

        Examples
        --------
        >>> from crbestim.models import FISPFingerprinting
        >>> FISPFingerprinting.from_pulseq("mrf.seq")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no sequence file mrf.seq
        """
        train = read_fisp(check_path(path))
        return cls(**train, b1=b1, n_states=n_states, bounds=bounds)

    def _check(self):
        _refuse(np.abs(self.alpha) > 2 * np.pi, "alpha", self.alpha, " rad",
                "give at most 2 pi; is it in degrees?")  # fmt: skip
        _refuse(self.tr <= 0, "tr", self.tr, " s", "give a positive time.")
        wrong = (self.te < 0) | (self.te > self.tr)
        _refuse(wrong, "te", self.te, " s", "give at least 0 and at most tr.")

    _own_accuracy = 1e-12
    """Some orders are left out."""

    @property
    def n_features(self):
        """Number of pulses, and so of samples."""
        return len(self.alpha)

    def _run(self, theta, basis, jacobian):
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
        """Return blocks of voxels, (n_blocks, LANES), and the number of orders of each."""
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
            # The last voxel fills up the last block: lanes do not affect each other.
            filled = np.minimum(np.arange(blocks * LANES), len(members) - 1)
            rows.append(members[filled].reshape(blocks, LANES))
            n_states += [levels[k]] * blocks
        return np.concatenate(rows), np.array(n_states, dtype=int)

    def _orders(self, theta):
        """Return the number of orders that change a signal by _TRUNCATION or more.

        Magnetization takes K repetitions in the transverse plane to reach order K, and as
        many to return. Let r = exp(-TR / T2) for the shortest TR, and weight magnetization
        of order k by r^-k. No step increases this weighted norm, except by recovery, so
        that it is at most V, the initial magnetization plus all that recovers. Therefore
        the magnetization of order K has at most the norm r^K V, and the sum over n
        repetitions is at most n^(1/2) r^K V. With the weights r^k it follows in the same
        way that at most r^K of it returns to an echo.
        """
        t1, t2 = theta[:, 0], theta[:, 1]
        largest = np.sqrt(self.n_features) * (1 + self.tr.sum() / t1)
        return np.ceil(t2 / (2 * self.tr.min()) * np.log(largest / _TRUNCATION))

    @property
    def _pulses(self):
        # Not stored: copies of a model for other processes should stay small.
        n = self.n_features
        sign, turn = self._frames()
        intervals, index = np.unique(np.append(self.tr, self.te), return_inverse=True)
        time = -1.0 if self.inversion_time is None else float(self.inversion_time)
        return Pulses(sign * self.alpha, sign, turn, index[:n], index[n:], intervals, time)

    def _frames(self):
        """Return signs of the pulses, and rotations of the frame before each, if any.

        A rotation by the same angle in every repetition only adds to the dephasing.
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


def _as_train(values, name, n):
    """Return finite numbers, one for each pulse; without `n`, any number of them."""
    values = as_settings(values, name)
    n = n or (len(values) if values.ndim else 0)
    if values.ndim > 1 or not n:
        raise ValueError(
            f"{name} has shape {values.shape}; give one real number for each pulse."
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
