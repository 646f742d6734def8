"""Rows of the constructors of models and of sequences."""

import numpy as np

from crbestim import models
from crbestim.io import load, save
from crbestim.models import FunctionModel, MagnetizationTransfer
from crbestim.sequences import HybridStateSequence
from tests.bad_inputs.lab import ALPHA, TE, THETA, TR, TRF, decay
from tests.bad_inputs.of_models import (
    GIVEN,
    HAS_UNIT,
    NOT_BOOL,
    NOT_MODELS,
    NOT_NUMBERS,
    NOT_PAIRS,
)
from tests.bad_inputs.rows import Subject, constant, every_option


def constructor(name, call=None, **options):
    """Return a subject of a constructor; the signal at some theta is what it gives."""
    kind, theta = getattr(models, name), options.pop("theta")
    clean = options.pop("clean")

    def make(lab, **arguments):
        return kind(**arguments).signal(theta)

    return Subject(name, make, clean, **options)


SUBJECTS = [
    constructor(
        "MonoExponential",
        clean=constant(te=TE),
        theta=[[0.1]],
        more={"te": ("negative",)},
        bad={
            "te": {
                "one": [0.01],
                "equal": [0.01] * 2,
                "no": [],
                "number": 0.01,
                "None": None,
            },
            "parameter": [None, "T3", 5, ["T2"], np.array(["T2", "T2"])],
            "signal": [None, "abs", 5, ["magnitude"], np.array(["magnitude"] * 2)],
            "noise": [None, "rice", 5, "rician"],
            "offset": NOT_BOOL,
            "bounds": {
                "number": 5,
                "text": "T2",
                "list": [(0.01, 1.0)],
                "array": np.array([[0.01, 1.0]]),
                "other name": {"x": (0.0, 1.0)},
                "number as name": {1: (0.0, 1.0)},
                **{f"T2 {name}": {"T2": pair} for name, pair in NOT_PAIRS.items()},
            },
        },
        says={"bounds": "bounds|T2"},
    ),
    constructor(
        "BiExponential",
        clean=constant(te=TE),
        theta=[[0.2, 0.02, 0.1]],
        more={"te": ("negative",)},
    ),
    constructor(
        "SpoiledGradientEcho",
        clean=constant(alpha=np.array([0.1, 0.2, 0.3]), tr=np.array([0.2, 0.3, 0.2])),
        theta=[[1.0]],
        more={"alpha": ("negative",), "tr": ("negative", "zero", "more rows")},
        bad={"b1": NOT_BOOL | {"number": 1.1}, "tr": NOT_NUMBERS | {"zero": 0.0}},
    ),
    constructor(
        "SpoiledGradientEcho",
        clean=lambda lab: {
            "alpha": np.array([0.1, 0.2, 0.3]),
            "tr": 0.1,
            "te": TE[:3],
            "signal": "magnitude",
        },
        theta=[[1.0, 0.05, 1.0]],
        arrays=("te",),
        more={"te": ("negative", "more rows")},
    ),
    constructor(
        "MultiEchoSpinEcho",
        clean=constant(
            te=np.array([0.01, 0.02, 0.03]),
            refocusing=np.array([[3.0, 2.5, 2.5], [2.0, 1.6, 1.6]]),
            excitation=np.array([1.5, 1.0]),
        ),
        theta=[[0.1, 0.9, 1.0]],
        more={
            "te": ("negative", "zero"),
            "refocusing": ("negative", "fewer columns", "fewer rows"),
            "excitation": ("negative", "fewer rows"),
        },
        bad={
            "te": {"one": [0.01], "no": [], "late": [0.02, 0.03, 0.04], "None": None},
            "refocusing": {"None": None, "degrees": 180.0, "zero": 0.0, "deep": [[[3.0]]]},
            "excitation": {"None": None, "degrees": 90.0, "zero": 0.0},
            "t1": GIVEN | {"zero": 0.0, "in ms": 900.0, "vector": [1.0, 1.0]},
            "b1": NOT_BOOL | {"number": 1.1},
        },
        free={"te": HAS_UNIT, "refocusing": HAS_UNIT, "excitation": HAS_UNIT},
        says={"refocusing": "refocusing|excitation"},
    ),
    every_option(
        "DoubleAngle",
        lambda lab, **v: models.DoubleAngle(**({"flip_angle": 1.0, "tr": 1.0} | v)),
        {
            "flip_angle": NOT_NUMBERS | {"zero": 0.0, "degrees": 60.0, "vector": [1.0]},
            "tr": GIVEN | {"zero": 0.0, "vector": [1.0]},
            "t1": GIVEN | {"zero": 0.0, "in ms": 900.0},
            "signal": [None, "abs", np.array(["magnitude"] * 2)],
        },
    ),
    constructor(
        "ActualFlipAngle",
        clean=constant(flip_angle=1.0, tr=np.array([0.02, 0.1])),
        theta=[[1.0, 1.0]],
        more={"tr": ("negative", "zero", "fewer rows")},
        bad={
            "flip_angle": NOT_NUMBERS | {"zero": 0.0, "degrees": 60.0},
            "tr": {"None": None, "number": 0.02, "three": [0.01, 0.02, 0.03]},
            "t1": GIVEN | {"zero": 0.0, "in ms": 900.0},
            "signal": [None, "abs", np.array(["magnitude"] * 2)],
        },
        free={"tr": HAS_UNIT},
    ),
    constructor(
        "BlochSiegert",
        clean=constant(
            b1_peak=1e-5, pulse=np.array([0.5, 1.0, 0.5]), duration=8e-3, offset=25e3
        ),
        theta=[[1.0]],
        bad={
            "b1_peak": NOT_NUMBERS | {"zero": 0.0},
            "kbs": GIVEN | {"zero": 0.0, "both": 74e8},
            "pulse": {"None": None, "number": 1.0, "zeros": [0.0, 0.0], "no": []},
            "duration": NOT_NUMBERS | {"zero": 0.0},
            "offset": NOT_NUMBERS | {"zero": 0.0, "in Hz": 4000.0},
        },
    ),
    constructor(
        "FieldMap",
        clean=constant(te=TE),
        theta=[[30.0]],
        more={"te": ("negative",)},
        bad={"te": {"one": [0.01], "None": None}, "r2s": NOT_BOOL | {"number": 1.1}},
    ),
    constructor(
        "MTsat",
        clean=constant(
            flip_angles=np.array([0.1, 0.2, 0.4]), tr=np.array([0.2, 0.3, 0.2]), te=TE[:3]
        ),
        theta=[[1.0, 0.01, 20.0, 1.0]],
        more={
            "flip_angles": ("negative", "fewer rows", "more rows"),
            "tr": ("negative", "zero", "more rows"),
            "te": ("negative",),
        },
        bad={
            "flip_angles": {
                "None": None,
                "number": 0.1,
                "degrees": [6.0, 6.0, 21.0],
                "two": {"MT": 0.1, "PD": 0.1},
                "words": {"MT": "a", "PD": "b", "T1": "c"},
            },
            "tr": NOT_NUMBERS | {"zero": 0.0, "other keys": {"a": 1.0}},
            "te": {
                "one": [0.01],
                "no": [],
                "number": 0.01,
                "text": "abc",
                "deep": [[TE]] * 3,
            },
            "b1": NOT_BOOL | {"number": 1.1},
            "b1_decrease": NOT_NUMBERS | {"negative": -0.1, "high": 0.9},
        },
    ),
    constructor(
        "SpoiledMagnetizationTransfer",
        clean=constant(
            offsets=np.array([1e3, -2e3, 5e3]),
            w1rms=np.array([300.0, 600.0, 900.0]),
            flip_angles=np.array([0.1, 0.2, 0.1]),
            tr=np.array([0.2, 0.3, 0.2]),
            pulse_duration=np.array([0.01, 0.02, 0.01]),
        ),
        theta=[[0.1, 0.9, 14.0, 25.0, 1e-5, 1.0]],
        more={
            "w1rms": ("negative", "fewer rows", "more rows"),
            "flip_angles": ("negative", "fewer rows"),
            "tr": ("negative", "zero", "more rows"),
            "pulse_duration": ("negative", "zero", "fewer rows"),
        },
        bad={
            "offsets": {
                "None": None,
                "number": 1e3,
                "no": [],
                "text": "abc",
                "far": [1e7] * 3,
            },
            "w1rms": NOT_NUMBERS,
            "flip_angles": NOT_NUMBERS | {"degrees": 7.0},
            "tr": NOT_NUMBERS | {"short": 0.015},
            "pulse_duration": NOT_NUMBERS | {"zero": 0.0},
            "delay": NOT_NUMBERS | {"negative": -0.01, "long": 1.0, "list": [0.0]},
            "excitation_duration": GIVEN | {"zero": 0.0, "list": [1e-3]},
            "lineshape": ["box", 5, ["gaussian"], {}],
            "joint_r1": NOT_BOOL,
            "off_resonance": NOT_BOOL,
            "b1": NOT_BOOL | {"number": 1.1},
        },
        free={"offsets": HAS_UNIT, "w1rms": HAS_UNIT},
        says={"pulse_duration": "pulse_duration|tr"},
    ),
    constructor(
        "PhaseCycledSSFP",
        clean=constant(
            flip_angle=np.array([0.3, 0.4, 0.5, 0.6]),
            tr=5e-3,
            phase_increments=np.array([0.0, 1.0, 2.0, 3.5]),
        ),
        theta=[[1.0, 0.1, 30.0]],
        more={
            "flip_angle": ("negative", "fewer rows"),
            "phase_increments": ("fewer rows",),
        },
        bad={
            "flip_angle": NOT_NUMBERS | {"zero": 0.0, "degrees": 30.0},
            "tr": NOT_NUMBERS | {"zero": 0.0, "vector": [5e-3] * 4},
            "phase_increments": {"None": None, "number": 1.0, "equal": [0.0] * 4},
            "te": GIVEN | {"negative": -1e-3, "late": 6e-3},
            "b1": NOT_BOOL | {"number": 1.1},
        },
        free={"flip_angle": HAS_UNIT, "phase_increments": HAS_UNIT},
        says={"phase_increments": "phase_increments|flip_angle"},
    ),
    constructor(
        "InversionRecovery",
        clean=constant(ti=np.array([0.1, 0.5, 1.0, 2.0])),
        theta=[[1.0, 0.9]],
        more={"ti": ("negative",)},
        bad={"tr": GIVEN | {"short": 0.2, "zero": 0.0}},
        says={"tr": "tr|ti"},
    ),
    constructor(
        "SaturationRecovery",
        clean=constant(ts=np.array([0.1, 0.5, 1.0, 2.0])),
        theta=[[1.0, 0.9]],
        more={"ts": ("negative",)},
        bad={"tr": GIVEN | {"short": 0.2, "zero": 0.0}},
        says={"tr": "tr|ts"},
    ),
    constructor(
        "SpinLock",
        clean=constant(tsl=np.array([0.01, 0.02, 0.04]), tr=np.array([0.5, 0.6, 0.5])),
        theta=[[0.08, 1.0]],
        more={"tsl": ("negative",), "tr": ("negative", "zero", "more rows")},
        bad={
            "tsl": {"one": [0.01], "equal": [0.01] * 2, "no": [], "None": None},
            "tr": GIVEN | {"short": 0.03, "zero": 0.0},
            "flip_angle": NOT_NUMBERS | {"zero": 0.0, "degrees": 20.0, "vector": [1.0]},
            "t1": GIVEN | {"zero": 0.0, "in ms": 900.0, "vector": [1.0, 1.0]},
        },
        says={"tsl": "tsl|tr", "tr": "tr|tsl"},
    ),
    constructor(
        "LookLocker",
        clean=lambda lab: {
            "ti": np.array([0.1, 0.5, 1.0, 2.0]),
            "tr_readout": 0.1,
            "flip_angle": 0.1,
        },
        theta=[[1.0, 0.9]],
        arrays=("ti",),
        more={"ti": ("negative",)},
        bad={
            "tr_readout": NOT_NUMBERS | {"zero": 0.0, "in ms": 10.0},
            "flip_angle": NOT_NUMBERS | {"zero": 0.0, "degrees": 5.0},
            "tr": GIVEN | {"short": 0.2, "zero": 0.0},
            "b1": NOT_BOOL | {"number": 1.1},
        },
        free={"ti": HAS_UNIT},
        says={"tr_readout": "tr_readout|ti", "tr": "tr|ti"},
    ),
    constructor(
        "MOLLI",
        clean=lambda lab: {
            "ti": np.array([0.2, 1.2, 0.3, 1.3]),
            "beats": np.array([0.5, 1.5, 4.5, 5.5]),
            "tr_readout": 3e-3,
            "flip_angle": 0.6,
            "n_excitations": 40,
        },
        theta=[[1.0, 0.9, 1.0]],
        arrays=("ti", "beats"),
        more={
            "ti": ("negative", "fewer rows"),
            "beats": ("negative", "fewer rows"),
        },
        bad={
            "tr_readout": NOT_NUMBERS | {"zero": 0.0, "in ms": 3.0},
            "flip_angle": NOT_NUMBERS | {"zero": 0.0, "degrees": 35.0},
            "n_excitations": NOT_NUMBERS | {"zero": 0, "half": 1.5, "three": (1, 2, 3)},
            "t2": GIVEN | {"zero": 0.0, "in ms": 45.0},
            "b1": NOT_BOOL | {"number": 1.1},
        },
        free={"ti": HAS_UNIT, "beats": HAS_UNIT},
        says={"ti": "ti|beats", "beats": "beats|ti", "tr_readout": "tr_readout|beats"},
    ),
    constructor(
        "MP2RAGE",
        clean=lambda lab: {
            "ti": np.array([0.8, 2.7]),
            "tr": 7e-3,
            "tr_mp2rage": 6.0,
            "flip_angles": np.array([0.07, 0.09]),
            "n_excitations": 160,
        },
        theta=[[1.0]],
        arrays=("ti", "flip_angles"),
        more={
            "ti": ("negative", "zero", "fewer rows"),
            "flip_angles": ("negative", "zero", "fewer rows"),
        },
        bad={
            "tr": NOT_NUMBERS | {"zero": 0.0, "in ms": 7.0},
            "tr_mp2rage": NOT_NUMBERS | {"zero": 0.0, "short": 3.0},
            "n_excitations": NOT_NUMBERS | {"zero": 0, "half": 1.5, "three": (1, 2, 3)},
            "efficiency": NOT_NUMBERS | {"zero": 0.0, "percent": 96.0},
            "signal": [None, "magnitude", 5, ["uni"]],
            "noise": [None, "rice", 5, "rician"],
            "b1": NOT_BOOL | {"number": 1.1},
        },
        free={"ti": HAS_UNIT, "flip_angles": HAS_UNIT},
        says={"ti": "ti|T1", "tr": "tr|ti", "tr_mp2rage": "tr_mp2rage"},
    ),
    constructor(
        "IntravoxelIncoherentMotion",
        clean=constant(b=np.array([5e7, 2e8, 5e8, 8e8])),
        theta=THETA["ivim"],
        more={"b": ("negative",)},
        free={"b": HAS_UNIT},
    ),
    constructor(
        "FISPFingerprinting",
        clean=constant(
            alpha=np.array([0.5, 0.8, 0.6]),
            tr=np.array([0.012, 0.013, 0.012]),
            te=np.array([0.005, 0.006, 0.005]),
            phase=np.array([0.0, 1.0, 2.0]),
        ),
        theta=THETA["fisp"],
        more={
            "tr": ("negative", "zero", "fewer rows"),
            "te": ("negative", "fewer rows"),
            "phase": ("fewer rows",),
        },
        bad={
            "alpha": {"None": None, "number": 0.5, "degrees": [90.0] * 3, "nothing": []},
            "tr": NOT_NUMBERS,
            "inversion_time": GIVEN | {"negative": -1.0},
            "n_states": GIVEN | {"zero": 0, "half": 1.5},
            "b1": NOT_BOOL | {"number": 1.1},
        },
    ),
    every_option(
        "MagnetizationTransfer",
        lambda lab, **v: MagnetizationTransfer(**({"sequence": lab.sequence} | v)),
        {
            "sequence": NOT_MODELS,
            "joint_r1": NOT_BOOL,
            "lineshape": ["box", 5, ["gaussian"], {}],
            "steady_state": [None, "none", 5, ["thermal"]],
            "bounds": [5, "m0s", [(0, 1)]],
        },
    ),
    every_option(
        "BalancedSteadyState",
        lambda lab, **v: models.BalancedSteadyState(**({"sequence": lab.sequence} | v)),
        {"sequence": NOT_MODELS, "steady_state": [None, "none"], "bounds": [5]},
    ),
    Subject(
        "FunctionModel",
        lambda lab, f=decay, parameter_names=("a", "b", "c"), **rest: (
            FunctionModel(f, parameter_names, **rest).bounds
        ),
        constant(bounds=np.array([[1.0, 200.0], [1.0, 9.0], [-50.0, 50.0]])),
        free={"bounds": ("infinite", *HAS_UNIT[1:])},
        more={"bounds": ("fewer rows", "more columns")},
        bad={
            "f": [None, 5, "decay", lambda v: "abc", lambda v: None, lambda v: []],
            "parameter_names": [
                None,
                5,
                "abc",
                {"a", "b", "c"},
                ["a", "a", "c"],
                [1, 2, 3],
                [["a"], "b", "c"],
                [],
            ],
            "bounds": [None, 5, [("a", "b")] * 3, [(2, 1)] * 3, [(0, 1j)] * 3],
            "jacobian": [5, "abc", np.ones(3)],
            "vectorized": [None, "yes", np.array([1, 0])],
            "backend": [None, "jax", np.array([1, 0])],
            "difference": [None, "forward", np.array([1, 0])],
            "amplitude": ["x", 5, ["a"], np.array(["a", "b"])],
            "signal": [None, "real", 5, np.array([1, 0])],
            "noise": [None, "rice", 5, "rician"],
            "distributions": [5, "normal", [1], {"x": None}, {1: None}, {"a": "normal"}],
            "name": [5, ["a"]],
        },
        says={"parameter_names": "parameter_names|names", "amplitude": "amplitude|M0"},
    ),
    Subject(
        "HybridStateSequence",
        lambda lab, **given: HybridStateSequence(**({"tr": TR} | given)).trains,
        constant(alpha=ALPHA, trf=TRF),
        more={"alpha": ("fewer rows",), "trf": ("negative", "zero", "fewer rows")},
        bad={
            "tr": NOT_NUMBERS | {"zero": 0.0, "negative": -1.0, "bool": True},
            "alpha": {
                "degrees": np.full(4, 90.0),
                "nothing": [],
                "number": 1.0,
                "None": None,
            },
        },
        says={"trf": "TRF", "tr": "TR"},
    ),
    every_option(
        "HybridStateSequence.from_file",
        lambda lab, path: HybridStateSequence.from_file(path),
        {"path": [None, 5, "nowhere.npz", 1.5]},
        says={"path": "path|file"},
    ),
    every_option(
        "io.load",
        lambda lab, path="nowhere", trusted=(): load(path, trusted=trusted),
        {"path": [None, 5, "nowhere"], "trusted": [None, "name", 5, [5], ["os"], True]},
        says={"path": "path|file"},
    ),
    every_option(
        "io.save",
        lambda lab, estimator=None, path="x", training_state=False: save(
            lab.mono if estimator is None else estimator,
            path,
            training_state=training_state,
        ),
        {"estimator": [5, "text"], "path": [None, 5], "training_state": [None, 1, "a"]},
    ),
    every_option(
        "HybridStateSequence.from_pulseq",
        lambda lab, path: HybridStateSequence.from_pulseq(path),
        {"path": [None, 5, "nowhere.seq", 1.5]},
        says={"path": "path|file"},
    ),
    every_option(
        "FISPFingerprinting.from_pulseq",
        lambda lab, path: models.FISPFingerprinting.from_pulseq(path),
        {"path": [None, 5, "nowhere.seq", 1.5]},
        says={"path": "path|file"},
    ),
]
ROWS = []
