"""Sequences of Pulseq files, written and read by pypulseq."""

import sys
from pathlib import Path

import numpy as np
import pytest

from crbestim.exceptions import ImplausibleValueWarning, SequenceFileError
from crbestim.models import FISPFingerprinting
from crbestim.sequences import HybridStateSequence

pp = pytest.importorskip("pypulseq")
OPENMRF = Path(__file__).parents[2] / "shared/data/external/openmrf_cardiac.seq"


def saved(sequence, folder):
    """Write a sequence of pypulseq whose timing is right, and return its path."""
    is_right, faults = sequence.check_timing()
    assert is_right, faults
    sequence.write(str(folder / "s.seq"))
    return folder / "s.seq"


def rect(angle=0.3, duration=0.4e-3, use="excitation", **options):
    return pp.make_block_pulse(angle, duration=duration, use=use, **options)


def hybrid(folder, pulses, tr=3.5e-3, extra=()):
    """Write blocks of one pulse each, with centres as far from their beginning."""
    sequence = pp.Sequence()
    for k, pulse in enumerate(pulses):
        pulse.delay = round(0.3e-3 - pulse.center, 6)
        wait = pp.make_delay(tr[k] if isinstance(tr, list) else tr)
        sequence.add_block(pulse, wait, *(extra if k else ()))
    return saved(sequence, folder)


def adiabatic(duration=8e-3):
    return pp.make_adiabatic_pulse(
        "hypsec", duration=duration, use="inversion", adiabaticity=4
    )


def fisp(folder, n=6, change=None, before=(), spoil=400.0, samples=16, phase_cycle=0.0):
    """Write a slice-selective train with a Cartesian line, spoiled along z.

    `change` takes the number of a repetition and its events by name, and may change them.
    """
    sequence = pp.Sequence()
    for events in before:
        sequence.add_block(*events)
    for k in range(n):
        rf, gz, gz_back = pp.make_sinc_pulse(
            np.deg2rad(10 + 5 * k),
            duration=1e-3,
            slice_thickness=5e-3,
            phase_offset=phase_cycle * k,
            use="excitation",
            return_gz=True,
        )
        gx = pp.make_trapezoid("x", flat_area=samples / 0.2, flat_time=1.6e-3)
        events = dict(
            rf=rf,
            gz=gz,
            back=[gz_back, pp.make_trapezoid("x", area=-gx.area / 2, duration=1e-3)],
            gx=gx,
            adc=pp.make_adc(
                samples,
                duration=1.6e-3,
                delay=gx.rise_time,
                phase_offset=phase_cycle * k,
            ),
            end=[
                pp.make_trapezoid("x", area=-gx.area / 2, duration=2e-3),
                pp.make_trapezoid("z", area=spoil, duration=2e-3),
                pp.make_delay(3e-3 + 1e-4 * k),
            ],
        )
        if change:
            change(k, events)
        sequence.add_block(events["rf"], events["gz"])
        sequence.add_block(*events["back"])
        sequence.add_block(*[events[name] for name in ("gx", "adc") if name in events])
        sequence.add_block(*events["end"])
    return saved(sequence, folder)


def test_the_default_train_comes_back(tmp_path):
    path = tmp_path / "default.seq"
    sequence = HybridStateSequence.default()
    sequence.to_pulseq(path)
    again = HybridStateSequence.from_pulseq(path)
    np.testing.assert_allclose(again.alpha, sequence.alpha, rtol=0, atol=1e-5)
    np.testing.assert_allclose(again.trf, sequence.trf, rtol=0, atol=0.5001e-6)
    assert again.tr == sequence.tr and again.train_lengths == (1000,)
    other = pp.Sequence()
    other.read(str(path))
    assert other.check_timing() == (True, [])
    # Samples are where the model has them.
    _, pulses, *_ = other.rf_times()
    assert other.duration()[0] == pytest.approx(3.5)
    first = other.get_block(1)
    middle = first.adc.delay + first.adc.num_samples * first.adc.dwell / 2
    assert middle - first.rf.delay - first.rf.center == pytest.approx(sequence.tr / 2)


def test_several_trains_signs_and_no_angle_come_back(tmp_path):
    alpha = [[-3.0, 0.5, -3.0, 0.0, 3.0], [np.pi, -0.5, np.pi]]
    trf = [np.full(5, 0.4e-3), [0.5e-3, 0.313e-3, 0.5e-3]]
    sequence = HybridStateSequence(alpha, trf, tr=4e-3)
    system = pp.Opts(rf_dead_time=100e-6, rf_ringdown_time=30e-6, adc_dead_time=20e-6)
    sequence.to_pulseq(tmp_path / "two.seq", system=system)
    again = HybridStateSequence.from_pulseq(str(tmp_path / "two.seq"))
    assert again.train_lengths == (5, 3) and again.tr == 4e-3
    np.testing.assert_allclose(again.alpha, sequence.alpha, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(again.trf, sequence.trf)


def test_what_cannot_be_written_is_said(tmp_path):
    sequence = HybridStateSequence([3.14, 0.5], [5e-4, 3e-4], tr=3.5e-3)
    with pytest.raises(ValueError, match=r"'s\.txt'; give one that ends in \.seq"):
        sequence.to_pulseq("s.txt")
    with pytest.raises(TypeError, match="path is 3"):
        sequence.to_pulseq(3)
    odd = HybridStateSequence(sequence.alpha, sequence.trf, tr=3.503e-3)
    with pytest.raises(ValueError, match=r"TR = 0.003503 s is no multiple of 1e-05 s"):
        odd.to_pulseq(tmp_path / "s.seq")
    slow = pp.Opts(rf_ringdown_time=3.2e-3)
    with pytest.raises(ValueError, match=r"echo take 0\.0037 s with the dead times"):
        sequence.to_pulseq(tmp_path / "s.seq", system=slow)
    assert not (tmp_path / "s.seq").exists()


def test_pypulseq_is_named_where_it_is_missing(tmp_path, monkeypatch):
    path = hybrid(tmp_path, [rect(np.pi, use="inversion"), rect()])
    monkeypatch.setitem(sys.modules, "pypulseq", None)
    with pytest.raises(ImportError, match=r'needs pypulseq.*"crbestim\[pulseq\]"'):
        HybridStateSequence.from_pulseq(path)


def test_a_common_phase_and_its_opposite_are_signs(tmp_path):
    pulses = [rect(3.0, use="inversion", phase_offset=0.4)]
    pulses += [rect(0.2, phase_offset=1 + np.pi * k) for k in (1, 2, 4)]
    sequence = HybridStateSequence.from_pulseq(hybrid(tmp_path, pulses))
    np.testing.assert_allclose(sequence.alpha, [3.0, 0.2, 0.2, -0.2], atol=1e-5)


def test_an_adiabatic_inversion_is_known_by_its_use(tmp_path):
    inversion = adiabatic()
    integral = 2 * np.pi * abs(inversion.signal.sum()) * 1e-6
    assert abs(integral - np.pi) > 1
    sequence = pp.Sequence()
    sequence.add_block(inversion, pp.make_delay(14e-3))
    for k in (1, 2):
        pulse = rect(0.2, phase_offset=np.pi * k, delay=round(inversion.center - 0.2e-3, 6))
        sequence.add_block(pulse, pp.make_delay(14e-3))
    path = saved(sequence, tmp_path)
    with pytest.warns(ImplausibleValueWarning, match="an inversion is not rectangular"):
        found = HybridStateSequence.from_pulseq(path)
    np.testing.assert_allclose(found.alpha, [np.pi, 0.2, 0.2], atol=1e-5)
    np.testing.assert_allclose(found.trf, [8e-3, 0.4e-3, 0.4e-3])


INVERSION = dict(angle=np.pi, use="inversion")
SPOILER = pp.make_trapezoid("z", area=100.0, duration=1e-3, delay=1e-3)


@pytest.mark.parametrize(
    ("pulses", "options", "message"),
    [
        ([{}, {}], {}, "excitation pulse of block 1 is the first; each train"),
        ([INVERSION], {}, "block 1 is the only one, so there is no TR"),
        (
            [INVERSION, {}, dict(angle=1.0, use="saturation")],
            {},
            "saturation pulse of block 3 has no",
        ),
        ([INVERSION, dict(use="refocusing")], {}, "refocusing pulse of block 2 has no"),
        ([INVERSION, dict(use="undefined")], {}, "block 2 does not say what it is for"),
        ([INVERSION, dict(freq_offset=100.0)], {}, "block 2 is off resonance"),
        ([INVERSION, dict(freq_ppm=1.0)], {}, "block 2 is off resonance"),
        ([INVERSION, {}, dict(phase_offset=1.0)], {}, "block 3 has a phase of 1 rad"),
        ([INVERSION, {}, {}], dict(tr=[3e-3, 4e-3, 3e-3]), "others|comes 0.003 s after"),
        ([INVERSION, {}, {}], dict(tr=[3e-3, 3e-3, 1.0]), "pause of 0.9997 s, longer"),
        ([INVERSION, {}, {}], dict(extra=[SPOILER]), "block 2 are not balanced, 100 1/m"),
        (
            [INVERSION, {}, {}],
            dict(extra=[pp.make_adc(10, dwell=1e-5, delay=1e-3)]),
            "echo of block 2 comes 0.00075 s after its pulse; .* 0.00175 s",
        ),
    ],
)
def test_what_a_hybrid_state_sequence_does_not_have(tmp_path, pulses, options, message):
    path = hybrid(tmp_path, [rect(**pulse) for pulse in pulses], **options)
    with pytest.raises(SequenceFileError, match=rf"s\.seq: .*({message})"):
        HybridStateSequence.from_pulseq(path)


def test_shaped_excitations_have_no_hybrid_state(tmp_path):
    pulses = [rect(**INVERSION), pp.make_gauss_pulse(0.3, duration=4e-4, use="excitation")]
    with pytest.raises(SequenceFileError, match="block 2 is not rectangular"):
        HybridStateSequence.from_pulseq(hybrid(tmp_path, pulses))


def test_a_fisp_train_is_read(tmp_path):
    inversion = adiabatic()
    before = [(inversion,), (pp.make_delay(10e-3),)]
    path = fisp(tmp_path, before=before, phase_cycle=np.deg2rad(33))
    model = FISPFingerprinting.from_pulseq(path, b1=True)
    np.testing.assert_allclose(model.alpha, np.deg2rad(10 + 5 * np.arange(6)), rtol=2e-6)
    np.testing.assert_allclose(model.phase, np.deg2rad(33) * np.arange(6), atol=2e-5)
    assert model.parameter_names == ("T1", "T2", "B1")
    sequence = pp.Sequence()
    sequence.read(str(path))
    durations = list(sequence.block_durations.values())
    np.testing.assert_allclose(
        model.tr[:5], np.reshape(durations[2:], (6, 4)).sum(axis=1)[:5], atol=1e-9
    )
    assert model.tr[5] == model.tr[4]
    rf, line = sequence.get_block(3).rf, sequence.get_block(5)
    te = sum(durations[2:4]) - rf.delay - rf.center + line.gx.rise_time + 0.8e-3
    np.testing.assert_allclose(model.te, te, atol=1e-9)
    time = durations[0] - inversion.delay - inversion.center + durations[1]
    assert model.inversion_time == pytest.approx(time + rf.delay + rf.center, abs=1e-9)


def test_the_echo_is_in_the_centre_of_k_space(tmp_path):
    def centre_out(k, events):
        events["back"] = events["back"][:1]
        events["end"][0] = pp.make_trapezoid("x", area=-events["gx"].area, duration=2e-3)

    model = FISPFingerprinting.from_pulseq(fisp(tmp_path, n=3, change=centre_out))
    first, whole = model.te[0], FISPFingerprinting.from_pulseq(fisp(tmp_path, n=3)).te[0]
    # The lines differ by 15 steps in half, and the short rewinder by its duration.
    assert whole - first == pytest.approx(0.75e-3 + 0.5e-3, abs=1e-9)


def silent(k, events):
    if k == 2:
        del events["adc"]


def turned(k, events):
    events["adc"].phase_offset += 0.5 * (k == 4)


def unequal(k, events):
    if k == 1:
        events["end"][1] = pp.make_trapezoid("z", area=500.0, duration=2e-3)


def second_echo(k, events):
    if k == 0:
        events["end"].append(pp.make_adc(10, dwell=1e-5))


def composite(k, events):
    if k == 3:
        shape = np.where(np.arange(1000) < 500, 1, 1j)
        events["rf"] = pp.make_arbitrary_rf(shape, 0.4, use="excitation")
        events["rf"].delay = 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(change=silent), r"block 9 is followed by 0 blocks with samples \(none\)"),
        (dict(change=second_echo), r"block 1 is followed by 2 .* samples \(3, 4\)"),
        (dict(change=turned), "block 17 and its samples differ in phase by 0.5 rad"),
        (dict(change=unequal), "after the excitation pulse of block 5 dephase otherwise"),
        (dict(change=composite), "block 13 changes its phase as it plays"),
        (
            dict(before=[(rect(np.pi / 2, use="preparation"),)]),
            "the preparation pulse of block 1 has no model",
        ),
        (dict(before=[(rect(2.5, use="inversion"),)]), "flips by 2.5 rad"),
        (dict(before=[(adiabatic(),), (adiabatic(),)]), "block 2 comes after other"),
    ],
)
def test_what_fisp_does_not_have(tmp_path, options, message):
    path = fisp(tmp_path, **options)
    with pytest.raises(SequenceFileError, match=message):
        FISPFingerprinting.from_pulseq(path)


def test_balanced_gradients_are_no_fisp(tmp_path):
    def balanced(k, events):
        area = -events["gz"].area / 2 - events["back"][0].area
        events["end"][1] = pp.make_trapezoid("z", area=area - events["gz"].area / 2 + 1e-9)

    path = fisp(tmp_path, change=balanced)
    with pytest.raises(SequenceFileError, match="block 1 are balanced; FISP is spoiled"):
        FISPFingerprinting.from_pulseq(path)


@pytest.mark.skipif(not OPENMRF.is_file(), reason="the file is not there")
def test_preparations_of_a_cardiac_file_are_refused():
    message = r"the saturation pulse of block 346 has no model"
    with pytest.raises(SequenceFileError, match=message):
        FISPFingerprinting.from_pulseq(OPENMRF)


def damaged(text):
    """Return texts of files that are not what they seem, and what is said of each."""
    return [
        ("", "no version"),
        ("nothing of the kind", "no version"),
        (text.replace("minor 5", "minor 4"), r"of version 1\.4; only 1\.5 is read"),
        (text[: len(text) // 3], "damaged|no block has a pulse"),
        (text.replace("\n2 350 ", "\n2 350 77 "), "damaged"),
        (text.replace("num_samples 2", "num_samples 999999999999"), "its shapes takes"),
        (text.replace("[SHAPES]", "[FORMS]"), "damaged"),
    ]


@pytest.mark.parametrize("case", range(7))
def test_damaged_files_are_refused(tmp_path, case):
    path = hybrid(tmp_path, [rect(**INVERSION), rect()])
    text, message = damaged(path.read_text())[case]
    path.write_text(text)
    with pytest.raises(SequenceFileError, match=f"cannot be read: .*({message})"):
        HybridStateSequence.from_pulseq(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no sequence file .*gone\.seq"):
        HybridStateSequence.from_pulseq(tmp_path / "gone.seq")
    with pytest.raises(TypeError, match="path is None"):
        FISPFingerprinting.from_pulseq(None)
