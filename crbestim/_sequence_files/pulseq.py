"""Pulses and samples of a Pulseq file, as pypulseq reads it.

What a pulse is for is taken from its ``use``, which files have since version 1.5; nothing
is guessed from angles. Format: https://pulseq.github.io/specification.pdf. Of models and
their trains this file knows nothing: see `pulseq_trains.py`.
"""

import re
import traceback
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._optional import import_optional
from .._warnings import all_ignored
from ..exceptions import SequenceFileError
from .limits import check_size

_CONSTANT = 1e-4  # of the largest amplitude; files hold six digits
_DIGITS = 9  # times in s, rounded to a nanosecond


class Pulse(NamedTuple):
    """A pulse; times and duration in s, angle and phase in rad.

    `start` and `time` are those of its first sample and of its centre. `angle` is what its
    integral flips on resonance, and `phase` the axis in the centre. A pulse with `turns`
    changes its axis as it plays, so that its integral is no flip angle.
    """

    block: int
    use: str
    start: float
    time: float
    duration: float
    angle: float
    phase: float
    turns: bool
    is_rectangular: bool
    is_off_resonance: bool

    def __str__(self):
        return f"the {self.use} pulse of block {self.block}"


class Readout(NamedTuple):
    """Samples of a block: their times, and phase at the first in rad, frequency in Hz."""

    block: int
    times: np.ndarray
    phase: float
    frequency: float


class PulseqFile:
    """What a file plays.

    Attributes
    ----------
    pulses : list of Pulse
    readouts : list of Readout
        Those after the first pulse.
    end : float
        Duration, in s.
    """

    def __init__(self, path):
        sequence = _read(Path(path))
        self.pulses, self.readouts, self.end = [], [], 0.0
        n_samples = 0
        for number in sequence.block_events:
            block = sequence.get_block(number)
            if block.rf is not None:
                has_gradient = any(g is not None for g in (block.gx, block.gy, block.gz))
                pulse = _pulse(number, block.rf, self.end, has_gradient)
                self.pulses.append(pulse)
            if block.adc is not None and self.pulses:
                n_samples += int(block.adc.num_samples)
                check_size("what is sampled", 8 * n_samples)
                self.readouts.append(_readout(number, block.adc, self.end))
            self.end += float(block.block_duration)
        if not self.pulses:
            raise SequenceFileError("no block has a pulse")
        self._moments = [
            None if gradient is None else gradient.antiderivative()
            for gradient in sequence.get_gradients()
        ]

    def moments(self, times):
        """Return the integral of the gradients up to some times, (n, 3), in 1/m."""
        found = np.zeros((len(times), 3))
        for axis, moment in enumerate(self._moments[:3]):
            if moment is not None:
                found[:, axis] = moment(np.clip(times, moment.x[0], moment.x[-1]))
        return found

    def echo(self, readout, since):
        """Return when a readout is closest to the centre of k-space, left at `since`.

        That is the middle of the samples that are equally close.
        """
        away = self.moments(readout.times) - self.moments([since])
        distance = np.sqrt((away**2).sum(axis=1))
        close = distance <= distance.min() + 1e-6 * (1 + distance.max())
        return round(float(readout.times[close].mean()), _DIGITS)


def open_pulseq(path):
    """Return the content of a file, or raise an error that names the file."""
    try:
        return PulseqFile(path)
    except (ImportError, FileNotFoundError):
        raise
    except SequenceFileError as error:
        raise SequenceFileError(f"{path} cannot be read: {error}") from error
    except Exception as error:
        # On damaged files the parser raises any kind of error, and leaves the file open.
        with all_ignored():
            traceback.clear_frames(error.__traceback__)
        raise SequenceFileError(
            f"{path} cannot be read: it is damaged or no Pulseq file "
            f"({type(error).__name__}: {error})"
        ) from error


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(f"there is no sequence file {path}")
    pypulseq = import_optional("pypulseq", f"{path}, a Pulseq file,", extra="pulseq")
    check_size("the file", path.stat().st_size)
    text = path.read_text(encoding="utf-8")
    version = re.search(r"^\[VERSION\]\s+major +(\d+)\s+minor +(\d+)", text, re.MULTILINE)
    if version is None:
        raise SequenceFileError("it has no version, so it is no Pulseq file")
    if tuple(map(int, version.groups())) != (1, 5):
        raise SequenceFileError(
            f"it is of version {'.'.join(version.groups())}; only 1.5 is read, as earlier "
            "files do not say what a pulse is for; write it anew with a toolbox of that "
            "version"
        )
    sizes = re.findall(r"^num_samples +(\d+)", text, re.MULTILINE | re.IGNORECASE)
    check_size("its shapes", 8 * sum(map(int, sizes)))
    sequence = pypulseq.Sequence()
    sequence.read(str(path), remove_duplicates=False)
    return sequence


def _pulse(number, rf, begin, has_gradient):
    """Return a pulse of a block that begins at some time."""
    weights = _weights(rf.t)
    integral = 2 * np.pi * np.sum(rf.signal * weights)
    axis = np.angle(integral)
    along = rf.signal * np.exp(-1j * axis)
    largest = np.abs(rf.signal).max()
    start = begin + float(rf.delay)
    frequency = float(rf.freq_offset)
    phase = axis + float(rf.phase_offset) + 2 * np.pi * frequency * float(rf.center)
    return Pulse(
        number,
        rf.use,
        round(start, _DIGITS),
        round(start + float(rf.center), _DIGITS),
        round(float(rf.shape_dur), _DIGITS),
        float(np.abs(integral)),
        float(phase),
        bool(np.abs(along.imag).max() > _CONSTANT * largest),
        bool(np.abs(along - largest).max() <= _CONSTANT * largest),
        # With a gradient, a frequency moves the slice.
        bool((frequency != 0 and not has_gradient) or rf.freq_ppm != 0),
    )


def _weights(times):
    """Return the weights of samples in an integral."""
    # In the middles of a raster; else corners of lines, which begin at 0.
    if times[0] > 0:
        return np.full(len(times), 2 * times[0])
    steps = np.diff(times)
    return (np.append(steps, 0) + np.append(0, steps)) / 2


def _readout(number, adc, begin):
    """Return the samples of a block that begins at some time."""
    times = begin + float(adc.delay) + float(adc.dwell) * (np.arange(adc.num_samples) + 0.5)
    return Readout(number, times, float(adc.phase_offset), float(adc.freq_offset))
