"""Trains of pulses in Pulseq files, in the form that sequences and models take.

Whatever a file has that these do not is refused by its name and the number of its block.
"""

from pathlib import Path

import numpy as np

from .._optional import import_optional
from ..exceptions import SequenceFileError
from .pulseq import open_pulseq

_RASTER = 1e-6  # of times of pulses, in s
_ANGLE = 1e-3  # between phases that are the same, in rad
_INVERSION = 0.05  # by which the angle of a complete inversion may be off, in rad
_MOMENT = 1.0  # of balanced gradients, in 1/m: 2 degrees over 5 mm
_SPOILING = 0.01  # relative, between repetitions
_ECHO = 1e-5  # by which the echo of a balanced repetition may be off its middle, in s


def read_hybrid_state(path):
    """Return angles and durations of each train, TR, and whether inversions have a shape.

    An inversion of another shape than a rectangle is taken as one by pi.
    """
    file = open_pulseq(path)
    with _NamedErrors(path):
        _check_uses(file.pulses)
        first = file.pulses[0]
        if first.use != "inversion":
            raise SequenceFileError(
                f"{first} is the first; each train of a hybrid-state sequence begins with "
                "an inversion"
            )
        for pulse in file.pulses:
            if pulse.use == "excitation" and not pulse.is_rectangular:
                raise SequenceFileError(
                    f"{pulse} is not rectangular, the only shape that hybrid-state "
                    "sequences have"
                )
        tr = _equal_spacing(file)
        _check_balance(file)
        _check_echoes(file, tr)
        alpha = _signed(file.pulses)
        starts = [k for k, p in enumerate(file.pulses) if p.use == "inversion"]
    trf = np.array([p.duration for p in file.pulses])
    is_shaped = any(not file.pulses[k].is_rectangular for k in starts)
    return np.split(alpha, starts[1:]), np.split(trf, starts[1:]), tr, is_shaped


def read_fisp(path):
    """Return alpha, tr, te, phase and inversion_time of a train, by name."""
    file = open_pulseq(path)
    with _NamedErrors(path):
        _check_uses(file.pulses)
        time, train = _inversion_time(file.pulses)
        centres = np.array([p.time for p in train])
        te = _echo_times(file, train)
        tr = np.diff(np.append(centres, file.end)).round(9)
        if len(train) > 1:
            # No sample depends on what follows the last echo.
            tr[-1] = max(tr[-2], te[-1])
        _check_spoiling(file, train)
    phase = np.array([p.phase for p in train])
    alpha = np.array([p.angle for p in train])
    return dict(alpha=alpha, tr=tr, te=te, phase=phase, inversion_time=time)


def write_hybrid_state(path, trains, tr, system):
    """Write trains one after another; every repetition is a block."""
    pypulseq = import_optional("pypulseq", "to_pulseq", extra="pulseq")
    if Path(path).suffix != ".seq":
        raise ValueError(f"path is {str(path)!r}; give one that ends in .seq.")
    system = pypulseq.Opts() if system is None else system
    longest = max(trf.max() for _, trf in trains)
    # All centres are as far from the beginning of their block.
    centre = np.ceil(_steps(system.rf_dead_time + longest / 2)) / 1e6
    sequence = pypulseq.Sequence(system)
    # An angle of 0 is divided by its amplitude, and written as 0.
    with np.errstate(invalid="ignore"):
        for alpha, trf in trains:
            for k in range(len(alpha)):
                events = _repetition(pypulseq, system, k, alpha[k], trf[k], tr, centre)
                sequence.add_block(*events)
        _check_timing(path, sequence, tr)
        sequence.write(str(path))


def _steps(time):
    """Return a time in steps of the raster, as a whole number where it is one."""
    return round(time / _RASTER, 3)


def _check_timing(path, sequence, tr):
    """Refuse what a scanner would refuse."""
    step = sequence.system.block_duration_raster
    if abs(tr - step * round(tr / step)) > 1e-9:
        raise ValueError(
            f"TR = {tr:g} s is no multiple of {step:g} s, the raster of blocks; change it, "
            "or give a system of another raster"
        )
    longest = max(sequence.block_durations.values())
    if longest > tr + 1e-9:
        raise ValueError(
            f"a pulse and its echo take {longest:g} s with the dead times of the system, "
            f"longer than TR = {tr:g} s"
        )
    is_right, faults = sequence.check_timing()
    if not is_right:
        raise ValueError(
            f"{path} is not written, as pypulseq finds its timing wrong: {faults[0]}"
        )


def _repetition(pypulseq, system, k, alpha, trf, tr, centre):
    """Return a pulse and the samples of its echo, with phases that alternate."""
    duration = max(round(trf / _RASTER), 1) / 1e6
    delay = np.floor(_steps(centre - duration / 2)) / 1e6
    phase = np.pi * ((k + (alpha < 0)) % 2)
    # pypulseq stores pulses that are equal but for their use as one, of the first use.
    phase = phase - 2 * np.pi if k == 0 else phase
    pulse = pypulseq.make_block_pulse(
        abs(alpha),
        duration=duration,
        delay=delay,
        phase_offset=phase,
        system=system,
        use="excitation" if k else "inversion",
    )
    n, dwell = system.adc_samples_divisor, 25 * system.adc_raster_time
    adc = pypulseq.make_adc(
        n,
        dwell=dwell,
        delay=round(_steps(centre + tr / 2 - n * dwell / 2)) / 1e6,
        phase_offset=np.pi * (k % 2),
        system=system,
    )
    return pulse, adc, pypulseq.make_delay(tr)


class _NamedErrors:
    """Say in errors of which file they speak."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is SequenceFileError:
            raise SequenceFileError(f"{self.path}: {error}") from error


def _check_uses(pulses):
    """Refuse pulses that are neither excitations nor inversions, on resonance."""
    for pulse in pulses:
        if pulse.use == "undefined":
            raise SequenceFileError(f"{pulse} does not say what it is for; set its use")
        if pulse.use not in ("excitation", "inversion"):
            raise SequenceFileError(
                f"{pulse} has no model; only excitation and inversion have one"
            )
        if pulse.is_off_resonance:
            raise SequenceFileError(f"{pulse} is off resonance, which has no model")
        if pulse.use == "excitation" and pulse.turns:
            raise SequenceFileError(
                f"{pulse} changes its phase as it plays; its integral is no flip angle, "
                "so it has no model"
            )


def _equal_spacing(file):
    """Return the time between all pulses, rounded to the raster."""
    pulses = file.pulses
    if len(pulses) < 2:
        raise SequenceFileError(f"{pulses[0]} is the only one, so there is no TR")
    steps = np.diff([p.time for p in pulses])
    tr = round(float(np.median(steps)) / _RASTER) / 1e6
    # The centre of a pulse of an odd number of steps lies half a step off the raster.
    wrong = np.abs(steps - tr) > 1.001 * _RASTER
    if wrong.any():
        k = int(np.argmax(wrong))
        raise SequenceFileError(
            f"{pulses[k + 1]} comes {steps[k]:.6g} s after the one before, others "
            f"{tr:g} s; hybrid-state sequences have one TR"
        )
    pause = file.end - pulses[-1].time
    if pause > tr + _RASTER:
        raise SequenceFileError(
            f"{pulses[-1]} is followed by a pause of {pause:.6g} s, longer than TR = "
            f"{tr:g} s, which has no model"
        )
    return tr


def _spans(file, train):
    """Return pairs of neighbours without an inversion, and moments between them."""
    pairs = [
        (a, b)
        for a, b in zip(train, train[1:], strict=False)
        if "inversion" not in (a.use, b.use)
    ]
    before, after = [file.moments([pair[i].time for pair in pairs]) for i in (0, 1)]
    return pairs, after - before


def _check_balance(file):
    pairs, moments = _spans(file, file.pulses)
    sizes = np.sqrt((moments**2).sum(axis=1))
    if (sizes > _MOMENT).any():
        k = int(np.argmax(sizes > _MOMENT))
        raise SequenceFileError(
            f"the gradients after {pairs[k][0]} are not balanced, {sizes[k]:.4g} 1/m until "
            "the next; repetitions of a hybrid-state sequence are"
        )


def _check_spoiling(file, train):
    pairs, moments = _spans(file, train)
    if not pairs:
        return
    size = np.sqrt((moments[0] ** 2).sum())
    if size <= _MOMENT:
        raise SequenceFileError(
            f"the gradients after {pairs[0][0]} are balanced; FISP is spoiled by gradients"
        )
    off = np.sqrt(((moments - moments[0]) ** 2).sum(axis=1))
    if (off > _SPOILING * size).any():
        k = int(np.argmax(off > _SPOILING * size))
        raise SequenceFileError(
            f"the gradients after {pairs[k][0]} dephase otherwise than those after "
            f"{pairs[0][0]}, by {off[k]:.4g} of {size:.4g} 1/m; the model has the same in "
            "each repetition"
        )


def _readouts_after(file, pulses):
    """Return the readouts between each pulse and the next."""
    times = np.array([p.time for p in pulses])
    groups = [[] for _ in pulses]
    for readout in file.readouts:
        k = int(np.searchsorted(times, readout.times[0])) - 1
        if k >= 0:
            groups[k].append(readout)
    return groups


def _check_echoes(file, tr):
    for pulse, readouts in zip(
        file.pulses, _readouts_after(file, file.pulses), strict=True
    ):
        for readout in readouts:
            te = file.echo(readout, pulse.time) - pulse.time
            if pulse.use == "excitation" and abs(te - tr / 2) > _ECHO:
                raise SequenceFileError(
                    f"the echo of block {readout.block} comes {te:.6g} s after its pulse; "
                    f"that of a hybrid-state sequence after TR/2 = {tr / 2:g} s"
                )


def _inversion_time(pulses):
    """Return the time from an inversion, or None, and the pulses after it."""
    first, *rest = pulses
    for pulse in rest:
        if pulse.use == "inversion":
            raise SequenceFileError(
                f"{pulse} comes after other pulses; the model has one inversion, before all"
            )
    if first.use != "inversion":
        return None, pulses
    if not rest:
        raise SequenceFileError(f"{first} is the only pulse; there is no train")
    if not first.turns and abs(first.angle - np.pi) > _INVERSION:
        raise SequenceFileError(
            f"{first} flips by {first.angle:.4g} rad; the model's inversion is complete"
        )
    return round(rest[0].time - first.time, 9), rest


def _echo_times(file, train):
    """Return the time from each pulse to its echo."""
    te, phases = [], []
    for pulse, readouts in zip(train, _readouts_after(file, train), strict=True):
        if len(readouts) != 1:
            found = ", ".join(str(r.block) for r in readouts) or "none"
            raise SequenceFileError(
                f"{pulse} is followed by {len(readouts)} blocks with samples ({found}); "
                "the model has one echo a pulse"
            )
        echo = file.echo(readouts[0], pulse.time)
        turn = 2 * np.pi * readouts[0].frequency * (echo - readouts[0].times[0])
        te.append(round(echo - pulse.time, 9))
        phases.append(readouts[0].phase + turn - pulse.phase)
    off = np.abs(np.angle(np.exp(1j * (np.array(phases) - phases[0]))))
    if (off > _ANGLE).any():
        k = int(np.argmax(off > _ANGLE))
        raise SequenceFileError(
            f"{train[k]} and its samples differ in phase by {off[k]:.4g} rad more than the "
            "first and its samples; the model's signals have the phase of their pulse"
        )
    return np.array(te)


def _signed(pulses):
    """Return flip angles, negative where a phase is opposite to alternating ones."""
    ordinary = [p for p in pulses if p.use == "excitation" and p.angle > 0]
    common = ordinary[0].phase % np.pi if ordinary else 0.0
    common -= np.pi * (common > np.pi - _ANGLE)
    alpha, k = np.empty(len(pulses)), 0
    for i, pulse in enumerate(pulses):
        is_inversion = pulse.use == "inversion"
        k = 0 if is_inversion else k + 1
        sign = np.cos(pulse.phase - common - np.pi * k)
        is_aligned = abs(sign) > np.cos(_ANGLE)
        if is_inversion and not pulse.is_rectangular:
            alpha[i] = np.pi
        elif not (is_aligned or is_inversion or pulse.angle == 0):
            raise SequenceFileError(
                f"{pulse} has a phase of {pulse.phase:.4g} rad; those of a hybrid-state "
                "sequence are the same but for multiples of pi"
            )
        else:
            alpha[i] = -pulse.angle if is_aligned and sign < 0 else pulse.angle
    # Not -0.0, where the axis of no rotation happens to point.
    return alpha + 0.0
