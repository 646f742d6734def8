"""Pulse sequences: flip angles, pulse durations and repetition time. Data, no physics.

Angles are in rad and durations in s. A sequence is one train of pulses, or several trains
that are played in separate cycles; pulse 0 of each train is its inversion pulse.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

from ._arrays import as_settings
from ._options import check_number, check_path
from ._representation import constructor_call
from ._sequence_files import read_hybrid_state, read_sequence_file, write_hybrid_state
from ._warnings import warn
from .exceptions import ImplausibleValueWarning, SequenceFileError

__all__ = ["HybridStateSequence"]

_PLAUSIBLE_TR = (5e-4, 0.1)
_PLAUSIBLE_TRF = (1e-6, 0.02)


class HybridStateSequence:
    """Flip angles, pulse durations and repetition time of a hybrid-state sequence.

    The object cannot be changed: its arrays are read-only, so models can share it.

    Parameters
    ----------
    alpha : array-like of shape (n_pulses,), or list of such arrays
        Nominal flip angles, in rad; a list of arrays holds one train each. They may be
        negative (a pulse of opposite phase) and are at most 2 pi in magnitude.
    trf : array-like of shape (n_pulses,), or list of such arrays
        Durations of the pulses, in s, in the form of `alpha`.
    tr : float
        Repetition time, in s.

    Attributes
    ----------
    alpha, trf : ndarray of shape (n_pulses,)
        The trains one after the other; read-only float64.
    tr : float
        Repetition time, in s.
    train_lengths : tuple of int
        Number of pulses of each train.

    Raises
    ------
    ValueError
        If the values cannot be a sequence: not real, not finite, no pulses, numbers of
        pulses that differ, flip angles in degrees, pulses longer than the repetition
        time. The message names the first value that is wrong.

    Warns
    -----
    ImplausibleValueWarning
        If a duration is possible but suggests another unit.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.sequences import HybridStateSequence
    >>> alpha = np.deg2rad([180, 60, 30, 45])
    >>> sequence = HybridStateSequence(alpha, np.full(4, 0.5e-3), tr=3.5e-3)
    >>> HybridStateSequence(alpha.round(3), sequence.trf, sequence.tr)
    HybridStateSequence(alpha=[3.142, 1.047, 0.524, 0.785],
        trf=[0.0005, 0.0005, 0.0005, 0.0005], tr=0.0035)
    >>> two = HybridStateSequence([alpha, alpha[:2]], [sequence.trf] * 2, tr=3.5e-3)
    Traceback (most recent call last):
    ...
    ValueError: alpha[1] has 2 pulses and TRF[1] has 4; each pulse needs both
    """

    def __init__(self, alpha, trf, tr):
        alphas, trfs = _as_trains(alpha, "alpha"), _as_trains(trf, "TRF")
        if len(alphas) != len(trfs):
            raise ValueError(
                f"alpha holds {len(alphas)} trains and TRF {len(trfs)}; "
                "give one array of each for every train"
            )
        self._tr = _check_tr(tr)
        for i, (a, t) in enumerate(zip(alphas, trfs, strict=True)):
            _check_train(a, t, self._tr, f"[{i}]" if len(alphas) > 1 else "")
        self._train_lengths = tuple(len(a) for a in alphas)
        self._alpha, self._trf = np.concatenate(alphas), np.concatenate(trfs)
        self._freeze()
        _warn_implausible("TR", np.array([self._tr]), _PLAUSIBLE_TR)
        _warn_implausible("TRF", self._trf, _PLAUSIBLE_TRF)

    def _freeze(self):
        self._alpha.flags.writeable = False
        self._trf.flags.writeable = False

    @classmethod
    def default(cls):
        """Return the sequence that ships with the library.

        One train of smooth flip angles and pulse durations after an inversion pulse,
        generated from a few control points, with short ramps of the flip angle on both
        sides of the inversion.

        Returns
        -------
        sequence : HybridStateSequence
            1000 pulses with a repetition time of 3.5 ms.

        Examples
        --------
        >>> from crbestim.sequences import HybridStateSequence
        >>> print(HybridStateSequence.default())
        HybridStateSequence(alpha=<1000 values>, trf=<1000 values>, tr=0.0035)
        """
        return cls(*_default_train(), tr=3.5e-3)

    @classmethod
    def from_file(cls, path, tr=None):
        """Read a sequence from a NumPy or MATLAB file.

        The file holds flip angles ``alpha`` in rad, pulse durations ``TRF`` (or
        ``trf``) in s and, unless `tr` is given, the repetition time ``TR`` (or ``tr``)
        in s. A row or column vector is one train; a matrix has one train per
        column; a MATLAB cell array one per cell. Trains of unequal length in a NumPy
        file follow one another, and ``train_lengths`` holds their numbers of pulses.

        A file may come from anywhere: nothing in it is executed, and what is damaged is
        refused where it shows. ``.npz`` files and compressed ``.mat`` files hold
        checksums; in others a changed digit of a number cannot be known.

        Parameters
        ----------
        path : str or path-like
            A ``.npz`` file, or a ``.mat`` file of any MATLAB version. Version 7.3
            needs h5py, which runs in a second Python process.
        tr : float, default=None
            Repetition time, in s. By default that of the file; if given, it replaces
            the file's.

        Returns
        -------
        sequence : HybridStateSequence
            The sequence.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        SequenceFileError
            If the file cannot be read, does not hold a sequence, or holds one of more
            than 64 MiB or 65536 trains.
        ImportError
            If the file is of MATLAB version 7.3 and h5py is not installed.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from crbestim.sequences import HybridStateSequence
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "sequence.npz")
        ...     np.savez(path, alpha=[3.14, 0.5, 0.7], TRF=[5e-4, 3e-4, 4e-4])
        ...     HybridStateSequence.from_file(path, tr=3.5e-3)
        HybridStateSequence(alpha=[3.14, 0.5, 0.7], trf=[0.0005, 0.0003, 0.0004], tr=0.0035)
        """
        alpha, trf, file_tr = read_sequence_file(check_path(path))
        if tr is None and file_tr is None:
            raise SequenceFileError(f"{path} has no TR; give tr, in seconds")
        tr = file_tr if tr is None else tr
        try:
            return cls(alpha, trf, tr)
        except ValueError as error:
            raise SequenceFileError(f"{path}: {error}") from error

    @classmethod
    def from_pulseq(cls, path):
        """Read a sequence from a Pulseq file of version 1.5.

        Pulses and their purpose are those of the file: each inversion begins a train, and
        excitations are its other pulses, which have to be rectangular and on resonance,
        with one TR between all centres, phases that differ by multiples of pi, and
        balanced gradients. A phase that alternates gives positive flip angles; an opposite
        one, negative ones. A rectangular inversion has the angle of its integral; any other
        is adiabatic and has pi. What else a file plays has no model and is refused, with
        the number of its block. Samples are not needed; those that follow a pulse must have
        their echo at TR/2. The model has a sample of every pulse, also where the file has
        none.

        Parameters
        ----------
        path : str or path-like
            A ``.seq`` file, read by pypulseq: ``python -m pip install "crbestim[pulseq]"``.

        Returns
        -------
        sequence : HybridStateSequence
            The sequence.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        SequenceFileError
            If the file cannot be read, or plays anything else.
        ImportError
            If pypulseq is not installed.

        Warns
        -----
        ImplausibleValueWarning
            If an inversion is not rectangular: the saturation of a semi-solid pool by it is
            then that of a rectangle of the same duration.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from crbestim.sequences import HybridStateSequence
        >>> sequence = HybridStateSequence([3.14, 0.5, 0.7], [5e-4, 3e-4, 4e-4], tr=3.5e-3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sequence.to_pulseq(Path(folder, "train.seq"))
        ...     again = HybridStateSequence.from_pulseq(Path(folder, "train.seq"))
        >>> again.alpha.round(5), again.trf, again.tr
        (array([3.14, 0.5 , 0.7 ]), array([0.0005, 0.0003, 0.0004]), 0.0035)
        """
        alpha, trf, tr, is_shaped = read_hybrid_state(check_path(path))
        if is_shaped:
            warn(
                f"{path}: an inversion is not rectangular; it is taken as one by pi of its "
                "duration, whose saturation of a semi-solid pool is another",
                ImplausibleValueWarning,
                stacklevel=2,
            )
        try:
            return cls(alpha, trf, tr)
        except ValueError as error:
            raise SequenceFileError(f"{path}: {error}") from error

    def to_pulseq(self, path, *, system=None):
        """Write the sequence to a Pulseq file of version 1.5.

        Each repetition is a block with a rectangular pulse, whose phase alternates, and
        four samples around the echo, TR/2 after its centre. Pulse 0 of a train is an
        inversion, by its ``use``. Trains follow one another. Gradients are not part of the
        sequence: add those of readout and slab, and the crushers around inversions.
        Durations are rounded to 1 us, and angles kept to six digits.

        Parameters
        ----------
        path : str or path-like
            The file, which ends in ``.seq``.
        system : pypulseq.Opts, default=None
            Dead times and rasters of the scanner; by default those of pypulseq.

        Raises
        ------
        ValueError
            If pypulseq finds the timing impossible, or TR is no multiple of its raster,
            by default 10 us.
        ImportError
            If pypulseq is not installed: ``python -m pip install "crbestim[pulseq]"``.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from crbestim.sequences import HybridStateSequence
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     HybridStateSequence.default().to_pulseq(Path(folder, "default.seq"))
        """
        write_hybrid_state(check_path(path), self.trains, self.tr, system)

    @property
    def alpha(self):
        """Nominal flip angles of all trains, in rad, read-only."""
        return self._alpha

    @property
    def trf(self):
        """Pulse durations of all trains, in s, read-only."""
        return self._trf

    @property
    def tr(self):
        """Repetition time, in s."""
        return self._tr

    @property
    def train_lengths(self):
        """Number of pulses of each train."""
        return self._train_lengths

    @property
    def train_offsets(self):
        """Where each train begins in `alpha`, and the end: (n_trains + 1,) integers."""
        return np.cumsum((0, *self._train_lengths), dtype=np.int64)

    @property
    def n_pulses(self):
        """Number of pulses, and so of samples, of all trains together."""
        return len(self._alpha)

    @property
    def n_trains(self):
        """Number of trains."""
        return len(self._train_lengths)

    @property
    def trains(self):
        """The trains, as a tuple of pairs (alpha, trf) of read-only arrays."""
        cuts = self.train_offsets[1:-1]
        alphas, trfs = np.split(self._alpha, cuts), np.split(self._trf, cuts)
        return tuple(zip(alphas, trfs, strict=True))

    def __repr__(self):
        return self._text()

    def __str__(self):
        return self._text(short=True)

    def _text(self, short=False):
        alpha, trf = self._alpha, self._trf
        if self.n_trains > 1:
            alpha, trf = map(list, zip(*self.trains, strict=True))
        return constructor_call(self, short=short, alpha=alpha, trf=trf, tr=self._tr)

    def __eq__(self, other):
        if not isinstance(other, HybridStateSequence):
            return NotImplemented
        return (
            self._tr == other._tr
            and self._train_lengths == other._train_lengths
            and np.array_equal(self._alpha, other._alpha)
            and np.array_equal(self._trf, other._trf)
        )

    def __hash__(self):
        return hash((self._tr, self._train_lengths, *self._alpha[:8]))

    def __setstate__(self, state):
        self.__dict__.update(state)
        # Compiled loops write a sample for each pulse of each train, wherever that is.
        lengths, n = self._train_lengths, sum(self._train_lengths)
        shapes = {array.shape for array in (self._alpha, self._trf)}
        if shapes != {(n,)} or not n or min(lengths) < 1:
            raise ValueError(
                f"trains of {lengths} pulses do not fit arrays of the shapes {shapes}"
            )
        # NumPy forgets on the way through pickle that an array is read-only.
        self._freeze()


def _as_trains(values, name):
    """Return a list of float64 vectors, one per train."""
    several = isinstance(values, list | tuple) or (
        isinstance(values, np.ndarray) and values.dtype == object
    )
    if several and len(values) and all(map(_has_axes, values)):
        if len(values) == 1:
            return [_as_vector(values[0], name)]
        return [_as_vector(train, f"{name}[{i}]") for i, train in enumerate(values)]
    return [_as_vector(values, name)]


def _has_axes(train):
    """Return whether one of several values is a train, and not a number."""
    return isinstance(train, list | tuple) or np.ndim(train) > 0


def _as_vector(values, name):
    """Return a float64 copy of a vector of finite numbers."""
    array = as_settings(values, name)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}; a train is one-dimensional. For several "
            "trains give a list of arrays: list(array.T) if they are columns"
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty; a train has at least one pulse")
    _refuse(~np.isfinite(array), array, name, "", "give finite numbers")
    return array


def _refuse(wrong, values, name, unit, advice):
    """Raise an error on the first value that is wrong."""
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(f"{name}[{i}] = {values[i]:.4g}{unit}; {advice}")


def _check_tr(tr):
    """Return the repetition time as a float."""
    return check_number(tr, "TR", "one finite time above 0, in seconds", above=0)


def _check_train(alpha, trf, tr, label):
    """Check the values of one train; label is its index, "" if it is the only one."""
    if len(alpha) != len(trf):
        raise ValueError(
            f"alpha{label} has {len(alpha)} pulses and TRF{label} has {len(trf)}; "
            "each pulse needs both"
        )
    # A flip angle of 360 degrees passes, even if it was rounded to single precision.
    degrees = np.abs(alpha) > 2 * np.pi * (1 + 1e-6)
    advice = (
        "more than 2 pi: flip angles are in radians; for degrees give np.deg2rad(alpha)"
    )
    _refuse(degrees, alpha, f"alpha{label}", " rad", advice)
    _refuse(trf <= 0, trf, f"TRF{label}", " s", "a pulse lasts longer than 0 s")
    if (trf > tr).any():
        i = int(np.argmax(trf > tr))
        raise ValueError(
            f"TRF{label}[{i}] = {trf[i]:.4g} s is longer than TR = {tr:.4g} s; "
            f"{_unit_advice(trf.max(), tr)}"
        )


def _unit_advice(longest, tr):
    """Return what to do about a pulse that is longer than the repetition time."""
    for unit, factor in (("milliseconds", 1e-3), ("microseconds", 1e-6)):
        # Real pulses are not a hundred times shorter than the repetition time.
        if 0.01 * tr < longest * factor <= tr:
            return f"both are in seconds; for {unit} give {factor:g} * trf"
    return "shorten the pulse or lengthen TR; both are in seconds"


def _warn_implausible(name, values, limits):
    """Warn of the first duration outside what sequences have."""
    low, high = limits
    outside = (values < low) | (values > high)
    if outside.any():
        warn(
            f"a {name} of {values[np.argmax(outside)]:.4g} s is outside the usual "
            f"{low:g} to {high:g} s; times are in seconds",
            ImplausibleValueWarning,
            stacklevel=3,
        )


# Pulse number with flip angle in degrees, and with pulse duration in ms.
_ANGLES = (
    (1, 11), (40, 5), (80, 86), (120, 32), (160, 11), (200, 35), (250, 53), (300, 6),
    (350, 5), (400, 5), (450, 5), (500, 4), (550, 4), (600, 12), (650, 86), (700, 87),
    (750, 9), (800, 27), (850, 27), (900, 7), (950, 5), (999, 5),
)  # fmt: skip
_DURATIONS = (
    (1, 0.46), (100, 0.14), (250, 0.13), (400, 0.46), (550, 0.24), (700, 0.46),
    (850, 0.46), (999, 0.46),
)  # fmt: skip
# Flip angles in degrees after the inversion, and mirrored before it. The pair lowers
# the bound of m0s; one alone makes off-resonant spins oscillate beyond any short basis.
_RAMP = (90, 54, 26, 10, 4)


def _default_train():
    """Return flip angles in rad and pulse durations in s of the library's own train."""
    pulses = np.arange(1, _ANGLES[-1][0] + 1)
    degrees = PchipInterpolator(*np.transpose(_ANGLES))(pulses)
    milliseconds = PchipInterpolator(*np.transpose(_DURATIONS))(pulses)
    ramp = np.zeros(pulses.size)
    ramp[: len(_RAMP)] = _RAMP
    degrees = np.maximum(degrees, np.maximum(ramp, ramp[::-1]))
    return (
        np.append(np.pi, np.deg2rad(degrees)),
        np.append(0.5e-3, 1e-3 * milliseconds),
    )
