"""What the constructors of all shipped models accept and refuse."""

import inspect

import numpy as np
import pytest

from crbestim.exceptions import ImplausibleValueWarning
from crbestim.models import (
    ActualFlipAngle,
    BiExponential,
    BlochSiegert,
    DoubleAngle,
    FieldMap,
    IntravoxelIncoherentMotion,
    InversionRecovery,
    MonoExponential,
    MTsat,
    MultiEchoSpinEcho,
    PhaseCycledSSFP,
    SaturationRecovery,
    SpinLock,
    SpoiledGradientEcho,
)
from crbestim.models._checks import check_samples
from tests.models.conftest import (
    AFI,
    ALPHA,
    CYCLES,
    SPGR_TE,
    TE,
    TI,
    TRS,
    TS,
    TSL,
    WEIGHTED,
    WEIGHTED_TE,
    B,
    draw,
    mt,
    qmt,
    water,
)


def gradient_echoes(**options):
    return MonoExponential(TE, parameter="T2star", **options)


def shift(**options):
    return BlochSiegert(10e-6, **options)


def cycles(angle=0.5, increments=CYCLES, **options):
    return PhaseCycledSSFP(angle, 5e-3, increments, **options)


def multi_echo(**options):
    return SpoiledGradientEcho(ALPHA, TRS, te=SPGR_TE, b1=True, **options)


CLOSED_FORMS = {
    "T2": lambda **options: MonoExponential(TE, offset=True, **options),
    "T2*": gradient_echoes,
    "two T2": lambda **options: BiExponential(TE, **options),
    "T1": lambda **options: InversionRecovery(TI, tr=3.0, **options),
    "SR": lambda **options: SaturationRecovery(TS, tr=3.0, **options),
    "T1rho": lambda **options: SpinLock(TSL, tr=1.5, t1=None, **options),
    "CPMG": lambda **options: MultiEchoSpinEcho(TE, t1=None, **options),
    "SPGR": lambda **options: SpoiledGradientEcho(ALPHA, 0.02, **options),
    "SPGR, B1, T2*": multi_echo,
    "MTsat": lambda **options: MTsat(WEIGHTED, 0.025, **options),
    "MTsat, R2s": lambda **options: MTsat(WEIGHTED, 0.025, te=WEIGHTED_TE, **options),
    "qMT": lambda **options: qmt(b1=True, **options),
    "IVIM": lambda **options: IntravoxelIncoherentMotion(B, **options),
    "double angle": lambda **options: DoubleAngle(1.0, **options),
    "AFI": lambda **options: ActualFlipAngle(*AFI, t1=None, **options),
}
IN_COMPLEX = {
    "Bloch-Siegert": lambda **options: shift(kbs=74e8, **options),
    "B0": lambda **options: FieldMap(TE, r2s=True, **options),
    "phase cycles": lambda **options: cycles(b1=True, **options),
    "MT": mt,
    "bSSFP": water,
}
SHIPPED = CLOSED_FORMS | IN_COMPLEX

closed_form = pytest.mark.parametrize("make", CLOSED_FORMS.values(), ids=CLOSED_FORMS)
shipped = pytest.mark.parametrize("make", SHIPPED.values(), ids=SHIPPED)


@shipped
def test_bounds_can_be_chosen(make):
    model = make()
    first, (low, high) = model.parameter_names[0], model.bounds[0]
    middle = (0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high)
    narrow = make(bounds={first: middle})
    np.testing.assert_allclose(narrow.bounds[0], middle, rtol=1e-15)
    np.testing.assert_array_equal(narrow.bounds[1:], model.bounds[1:])
    # The signal does not change, nor does what the model can simulate.
    theta = draw(model, 3)
    np.testing.assert_array_equal(narrow.signal(theta), model.signal(theta))


@shipped
def test_bounds_of_unknown_parameters_are_refused(make):
    names = ", ".join(make().parameter_names)
    with pytest.raises(ValueError, match=f"bounds name Q, R9; the parameters are {names}."):
        make(bounds={"R9": (0, 1), "Q": (0, 1)})


@shipped
def test_every_parameter_has_a_symbol_and_a_distribution(make):
    model = make()
    for parameter in model.parameters:
        is_drawn = parameter.distribution is not None or parameter.name == model.amplitude
        assert parameter.symbol and is_drawn, parameter.name


@closed_form
def test_magnitudes_are_those_of_the_complex_signal(make):
    in_complex, magnitude = make(signal="complex"), make(signal="magnitude")
    names = [name for name in in_complex.parameter_names if name != "omega0"]
    assert magnitude.parameter_names[:-1] == tuple(names)
    assert magnitude.parameter_names[-1] in ("M0", "S0")
    theta = draw(in_complex, 10)
    s = in_complex.signal(theta)
    theta = np.column_stack([theta[:, : len(names)], np.linspace(0.1, 3.0, 10)])
    expected = theta[:, -1:] * np.abs(s)
    np.testing.assert_allclose(magnitude.signal(theta), expected, rtol=0, atol=1e-14)


@closed_form
def test_noise_of_magnitudes(make):
    assert make(signal="complex").noise == make(signal="magnitude").noise == "gaussian"
    assert not make(signal="complex").is_magnitude
    rician = make(signal="magnitude", noise="rician")
    assert (rician.is_magnitude, rician.noise) == (True, "rician")
    with pytest.raises(ValueError, match="noise='rician' is that of magnitudes.*give sig"):
        make(signal="complex", noise="rician")


@closed_form
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(signal="phase"), r"signal='phase' is unknown; choose one of \('complex', 'm"),
        (
            dict(noise="poisson"),
            "noise='poisson' is unknown; choose 'gaussian' or 'rician', or give",
        ),
    ],
)
def test_unknown_choices(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@closed_form
def test_the_text_of_a_model_shows_its_options(make):
    last = make(signal="magnitude").parameter_names[-1]
    options = dict(signal="magnitude", noise="rician", bounds={last: (2, 3)})
    model = make(**options)
    default = inspect.signature(type(model)).parameters["signal"].default
    ends = f"noise='rician', bounds={{'{last}': (2.0, 3.0)}})"
    for text in (str(model), repr(model)):
        assert text.startswith(type(model).__name__ + "(") and text.endswith(ends)
        assert ("signal='magnitude', " in text) == (default != "magnitude")
    times = [name for name in ("te", "b") if getattr(model, name, None) is not None]
    for name in times:
        counted = f"{name}=<{model.n_features} values>" in str(model)
        assert counted == (model.n_features > 8)
    assert "values>" not in repr(model)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: MonoExponential(TE), "T2"),
        (lambda: MonoExponential(TE, offset=True), "T2 offset"),
        (gradient_echoes, "T2star omega0"),
        (lambda: SpoiledGradientEcho(ALPHA, 0.02), "T1"),
        (lambda: SpoiledGradientEcho(ALPHA, 0.02, b1=True), "T1 B1"),
        (lambda: SpoiledGradientEcho(ALPHA, 0.02, te=SPGR_TE), "T1 T2star omega0"),
        (lambda: multi_echo(signal="magnitude"), "T1 B1 T2star M0"),
        (lambda: IntravoxelIncoherentMotion(B), "f D Dstar S0"),
        (water, "R1 R2 omega0 B1"),
        (lambda: MultiEchoSpinEcho(TE), "T2 B1 M0"),
        (lambda: MultiEchoSpinEcho(TE, b1=False, signal="complex"), "T2"),
        (lambda: MultiEchoSpinEcho(TE, t1=None), "T2 T1 B1 M0"),
        (lambda: SpinLock(TSL), "T1rho M0"),
        (lambda: SpinLock(TSL, tr=1.0, t1=None, signal="complex"), "T1rho T1"),
        (lambda: DoubleAngle(1.0), "B1 M0"),
        (lambda: DoubleAngle(1.0, tr=1.0, t1=None, signal="complex"), "T1 B1"),
        (lambda: ActualFlipAngle(*AFI), "B1 M0"),
        (lambda: ActualFlipAngle(*AFI, t1=None), "T1 B1 M0"),
        (lambda: shift(kbs=74e8), "B1"),
        (lambda: FieldMap(TE), "omega0"),
        (lambda: FieldMap(TE, r2s=True), "omega0 R2s"),
        (cycles, "T1 T2 omega0"),
        (lambda: cycles(b1=True), "T1 T2 omega0 B1"),
    ],
)
def test_options_choose_the_parameters(make, names):
    assert make().parameter_names == tuple(names.split())


def test_an_acquisition_cannot_be_changed():
    te = TE.copy()
    model = MonoExponential(te)
    te[0] = 9.0
    assert model.te[0] == TE[0]
    with pytest.raises(ValueError, match="read-only"):
        model.te[0] = 9.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MonoExponential(0.1), r"te has shape \(\); give a vector, one number fo"),
        (lambda: BiExponential([]), r"te has shape \(0,\); give a vector"),
        (lambda: BiExponential([TE, TE]), r"te has shape \(2, 12\); give a vector"),
        (lambda: BiExponential(TE + 0j), "te is complex; give reals"),
        (lambda: BiExponential(["a"]), "te holds values of type <U1; give numbers"),
        (lambda: BiExponential([0.1, -0.2]), r"te\[1\] = -0.2 s; give numbers of 0 or mor"),
        (lambda: BiExponential([np.nan, 0]), r"te\[0\] = nan s; give numbers of 0 or more"),
        (lambda: BiExponential([0.1, np.inf]), r"te\[1\] = inf s; give numbers of 0 or m"),
        (
            lambda: BiExponential([0.1, 0.1]),
            "te is 0.1 s in all samples.*two different ech",
        ),
        (
            lambda: MonoExponential(TE, parameter="R2"),
            r"parameter='R2' is unknown; choose one of \('T2', 'T2star'\)",
        ),
        (
            lambda: InversionRecovery([1.0, 4.0], tr=3.0),
            r"ti\[1\] = 4 s; give numbers of 0 to 3 s \(up to tr\); ti is in seconds",
        ),
        (lambda: InversionRecovery(TI, tr=0), "tr = 0; give one time above 0, in seco"),
        (lambda: InversionRecovery(TI, tr=TI), "tr = array.*; give one time above 0"),
        (lambda: InversionRecovery(TI, tr=np.nan), "tr = nan; give one time above 0"),
        (
            lambda: SpoiledGradientEcho([3.0, 20.0], 0.02),
            r"alpha\[1\] = 20 rad; give numbers of 0 to 3.142 rad; .* np.deg2rad\(alpha\)",
        ),
        (
            lambda: SpoiledGradientEcho(ALPHA, [0.02, 0.03]),
            r"tr has shape \(2,\) for 6 flip angles; give one number, or one for each",
        ),
        (lambda: SpoiledGradientEcho([0.1, 0.2], [0, 0.1]), "tr is 0 s; give repetition"),
        (
            lambda: SpoiledGradientEcho(ALPHA, "a"),
            "tr holds values of type <U1; give numbers",
        ),
        (
            lambda: SpoiledGradientEcho(ALPHA, 0.02, te=TE),
            r"te has shape \(12,\) for 6 flip angles; give one number, or one for each",
        ),
        (
            lambda: SpoiledGradientEcho(ALPHA, 0.02, te=2e-3),
            "te is 0.002 s in all samples, from which decay and M0 cannot both be fou",
        ),
        (
            lambda: MultiEchoSpinEcho(TE[1:]),
            r"te\[0\] = 0.02 s does not fit 11 echoes that end at 0.12 s; give all mul",
        ),
        (
            lambda: MultiEchoSpinEcho([0.0, 0.01]),
            r"te\[0\] = 0 s does not fit 2 echoes that end at 0.01 s",
        ),
        (
            lambda: MultiEchoSpinEcho(TE, refocusing=180.0),
            r"refocusing holds 180 rad; give numbers of 0 to 4.712 rad, .*np.deg2rad\(re",
        ),
        (
            lambda: MultiEchoSpinEcho(TE, excitation=0.0),
            "excitation holds 0 rad; give numbers of .*not all of them 0",
        ),
        (
            lambda: MultiEchoSpinEcho(TE, refocusing=[np.pi, 2.0]),
            r"refocusing has shape \(2,\) for 12 echoes; give one .*\(n_positions, 12\)",
        ),
        (
            lambda: MultiEchoSpinEcho(TE, excitation=[1.5, 1.2]),
            r"excitation has shape \(2,\) and refocusing \(\); give one flip angle, or one",
        ),
        (
            lambda: MultiEchoSpinEcho(TE, t1=900.0),
            "t1 = 900; give one time of 0.001 to 100 s, or None .*give 1e-3 \\* t1",
        ),
        (
            lambda: MultiEchoSpinEcho(TE, t1=None, b1=False),
            "t1=None makes T1 a parameter, but .* does not depend on it; give t1 in s, or",
        ),
        (
            lambda: IntravoxelIncoherentMotion([0.0, -1e9]),
            r"b\[1\] = -1e\+09 s/m²; give numbers of 0 or more, finite",
        ),
        (
            lambda: SaturationRecovery([1.0, 4.0], tr=3.0),
            r"ts\[1\] = 4 s; give numbers of 0 to 3 s \(up to tr\); ts is in seconds",
        ),
        (lambda: SaturationRecovery(TS, tr=0), "tr = 0; give one time above 0, in seconds"),
        (lambda: SpinLock([0.02] * 2), "tsl is 0.02 s in all samples.*two different durat"),
        (lambda: SpinLock([0.0, 0.1], tr=[0, 1.0]), "tr is 0 s; give repetition times abo"),
        (
            lambda: SpinLock([0.02, 0.3], tr=0.2),
            r"tr = 0.2 s ends before the spin lock of 0.3 s, tsl\[1\]; give a longer one",
        ),
        (
            lambda: SpinLock(TSL, tr=[1.0, 2.0]),
            r"tr has shape \(2,\) for 6 spin locks; give one number, or one for each, \(6,",
        ),
        (
            lambda: SpinLock(TSL, flip_angle=20.0),
            "flip_angle = 20; give one angle above 0, up to 1.571 rad",
        ),
        (
            lambda: SpinLock(TSL, tr=1.0, t1=900.0),
            "t1 = 900; give one time of 0.001 to 100 s, or None",
        ),
        (lambda: SpinLock(TSL, t1=None), "without tr the recovery is complete and the sig"),
        (
            lambda: DoubleAngle(60.0),
            "flip_angle = 60; give one angle above 0, up to 1.571 rad",
        ),
        (
            lambda: DoubleAngle(1.0, tr=0.0),
            "tr = 0.0; give one number above 0, or None for",
        ),
        (lambda: DoubleAngle(1.0, t1=None), "without tr the recovery is complete and the"),
        (
            lambda: ActualFlipAngle(1.0, [0.1, 0.02]),
            r"tr is \[0.1, 0.02\] s; give two different times above 0, the shorter first",
        ),
        (lambda: ActualFlipAngle(1.0, 0.02), r"tr has shape \(\); give a vector"),
        (shift, "of kbs, pulse, .* offset, none is given; give kbs alone, or the other th"),
        (
            lambda: shift(kbs=74e8, offset=25e3),
            "of kbs, .* offset, kbs and offset is given; give kbs alone",
        ),
        (
            lambda: shift(pulse=[1, 1], duration=8e-3, offset=4e3),
            "offset = 4000 rad/s is not far from .* a b1_peak of 2675 rad/s; .*2 \\* pi",
        ),
        (
            lambda: shift(pulse=[0, 0], duration=8e-3, offset=25e3),
            r"pulse has shape \(2,\); give a vector of finite numbers, not all of them 0",
        ),
        (
            lambda: cycles(increments=[0.0, 1.0, 2.0, 1.0 + 2 * np.pi]),
            "phase_increments has 3 different angles; give at least 4 modulo 2 pi",
        ),
        (lambda: cycles(increments=[CYCLES]), r"phase_increments has shape \(1, 6\); give"),
        (lambda: cycles(30.0), r"flip_angle\[0\] = 30 rad; give numbers of 0 to 3.142 rad"),
        (lambda: cycles([0.1, 0.2]), r"flip_angle has shape \(2,\) for 6 phase increments"),
        (lambda: cycles(0.0), "flip_angle is 0 rad; give angles above 0"),
        (lambda: cycles(te=6e-3), "te = 0.006 s and tr = 0.005 s; give one time from 0 to"),
    ],
)
def test_acquisitions_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BiExponential(1e3 * TE), "the largest te is 120 s, .* give 1e-3 \\* te"),
        (lambda: MonoExponential(1e3 * TE), "the largest te is 120 s, outside the usual"),
        (lambda: MonoExponential(1e-6 * TE), "largest te is 1.2e-07 s, outside the usual"),
        (lambda: MultiEchoSpinEcho(1e3 * TE), "the largest te is 120 s, .* give 1e-3"),
        (lambda: InversionRecovery(1e3 * TI), "largest ti is 3000 s, .* give 1e-3 \\* ti"),
        (lambda: IntravoxelIncoherentMotion(1e-6 * B), "b is 1000 s/m², .* give 1e6 \\* b"),
        (lambda: SpoiledGradientEcho(ALPHA, 20.0), "largest tr is 20 s, .*1e-3 \\* tr"),
        (lambda: SpoiledGradientEcho(ALPHA, 0.1, te=1e3 * SPGR_TE), "largest te is 20 s"),
        (lambda: SaturationRecovery(1e3 * TS), "largest ts is 2000 s, .* give 1e-3 \\* ts"),
        (lambda: SpinLock(1e3 * TSL), "the largest tsl is 100 s, .* give 1e-3 \\* tsl"),
        (lambda: SpinLock(TSL, tr=5e3), "the largest tr is 5000 s, .* give 1e-3 \\* tr"),
        (lambda: DoubleAngle(1.0, tr=5e3), "largest tr is 5000 s, .* give 1e-3 \\* tr"),
        (lambda: ActualFlipAngle(1.0, [20.0, 100.0]), "largest tr is 100 s"),
        (
            lambda: BlochSiegert(10.0, kbs=1e7, bounds={"B1": (0.9, 1.1)}),
            "b1_peak is 10 T, .* give 1e-6 \\* b1_peak",
        ),
        (lambda: shift(kbs=74.0), "kbs is 74 rad/T.2, .* give 1e8 \\* kbs"),
        (lambda: FieldMap([2.0, 4.0]), "the largest te is 4 s"),
        (lambda: PhaseCycledSSFP(0.5, 5.0, CYCLES), "largest tr is 5 s, .*1e-3 \\* tr"),
    ],
)
def test_acquisitions_in_another_unit_bring_a_warning(make, message):
    with pytest.warns(ImplausibleValueWarning, match=message) as record:
        make()
    assert record[0].filename == __file__


class Locks(MonoExponential):
    """A subclass whose constructor checks its times behind a method and a function."""

    def __init__(self, te):
        super().__init__(self._times(te))

    def _times(self, te):
        return locks_of(te)


def locks_of(te):
    return check_samples(te, "te", "s", usual=(1e-3, 2.0))


class Recoveries(SaturationRecovery):
    """A subclass that leaves the check to its parent."""

    def __init__(self, ts):
        super().__init__(ts)


@pytest.mark.parametrize("kind", [Locks, Recoveries, SaturationRecovery])
def test_the_warning_points_to_the_line_that_made_the_model(kind):
    with pytest.warns(ImplausibleValueWarning) as record:
        kind(1e3 * TE)
    here = inspect.currentframe()
    assert {(w.filename, w.lineno) for w in record} == {(__file__, here.f_lineno - 2)}


@pytest.mark.parametrize(
    ("model", "theta", "message"),
    [
        (MonoExponential(TE), [80.0], "T2 = 80 s in row 0 .*like milliseconds, give sec"),
        (InversionRecovery(TI), [900.0, 1.0], "T1 = 900 s in row 0 .*like milliseconds"),
        (IntravoxelIncoherentMotion(B), [0.1, 1e-3, 1e-2, 1.0], "D = 0.001 m²/s in row 0"),
    ],
)
def test_parameters_in_another_unit_are_refused(model, theta, message):
    with pytest.raises(ValueError, match=message):
        model.signal([theta])
