"""Rows of metrics, noise, parameters, sequences and parts of searches."""

from unittest import mock

import numpy as np

from crbestim import metrics, noise, parameters
from crbestim.models import MonoExponential
from crbestim.parameters import Parameter
from tests.bad_inputs.judge import Flagged, Like
from tests.bad_inputs.lab import THETA
from tests.bad_inputs.of_bounds import CRB, S
from tests.bad_inputs.of_models import NOT_MODELS, NOT_NUMBERS, NOT_PAIRS
from tests.bad_inputs.rows import NDARRAY, Row, Subject, constant, every_option

Y = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
Y_HAT = np.array([[1.5, 2.0], [3.0, 4.5], [5.0, 6.0]])
AIR = np.rint(np.hypot(*np.random.default_rng(0).normal(scale=20.0, size=(2, 80, 3))))
BAD_SNR = NOT_NUMBERS | {"zero": 0.0, "negative": -1.0}
BAD_COUNT = NOT_NUMBERS | {"zero": 0, "half": 2.5, "text number": "2"}
BAD_SEED = ["a", -1, 1.5, [1.5]]
SEED = {"random_state": "random_state|[Ss]eed"}
NOT_FINITE = ("nan", "infinite")
PARTS = ("more rows", "fewer columns")


def rng():
    return np.random.default_rng(0)


def judged(lab, estimator=None, **given):
    estimator = estimator or lab.fitted("dictionary", "magnitudes")
    return metrics.bias_variance(estimator, **given).errors


def compared(lab, estimators=None, **given):
    if estimators is None:
        estimators = {"a": lab.fitted("dictionary", "magnitudes")}
    with mock.patch.object(metrics.comparison, "_LEAST_SECONDS", 0.0):
        table = metrics.compare_estimators(estimators, **given)
    return np.asarray(table.drop(columns="voxels_per_second"), dtype=float)


SUBJECTS = [
    *[
        Subject(
            name,
            lambda lab, name=name, **given: getattr(metrics, name)(**given),
            constant(
                y_true=Y,
                y_pred=Y_HAT,
                crb=CRB,
                sample_weight=np.array([1.0, 2.0, 1.0]),
                periods=np.array([2.0, 3.0]),
            ),
            more={
                "y_true": ("more rows", "no rows", "fewer columns"),
                "y_pred": PARTS,
                "crb": (*PARTS, "zero", "negative"),
                "sample_weight": ("more rows", "negative"),
                "periods": ("more rows", "fewer rows", "zero", "negative"),
            },
            bad={
                "multioutput": [None, "mean", 5, [1.0, 2.0], np.array([1.0, 2.0])],
                "sample_weight": {
                    "zeros": np.zeros(3),
                    "number": 1.0,
                    "inf": [np.inf, 1, 1],
                },
                "periods": {"text": "T2"},
                "crb": {"number": 1.0, "None": None},
            },
            says={"y_true": "y_true|y"},
        )
        for name in ("crb_loss", "efficiency_score")
    ],
    Subject(
        "wrapped_error",
        lambda lab, **given: parameters.wrapped_error(**given),
        constant(y_true=Y, y_pred=Y_HAT, periods=np.array([2.0, 3.0])),
        free={"y_true": (*NOT_FINITE, "more axes"), "y_pred": (*NOT_FINITE, "more axes")},
        more={
            "y_true": PARTS,
            "y_pred": PARTS,
            "periods": ("more rows", "fewer rows", "zero", "negative"),
        },
        bad={"periods": ["T2"], "y_true": [None, 5.0]},
    ),
    Subject(
        "fold",
        lambda lab, values, period=1.0: parameters.fold(values, 0.0, 1.0, period),
        constant(values=np.array([0.25, 2.5])),
        only=NDARRAY,
        bad={"period": {"zero": 0.0, "negative": -1.0, "text": "a"}},
    ),
    *[
        Subject(
            name,
            lambda lab, f=f, **given: f(lab, **given),
            lambda lab: {
                "model": lab.mono,
                "theta": THETA["mono"],
                "snr": 50.0,
                "n_realizations": 2,
                "random_state": 0,
            },
            columns={"theta": ["T2", "M0"]},
            bad={
                "model": NOT_MODELS,
                "snr": BAD_SNR
                | {"infinite": np.inf, "range": (10, 100), "text number": "50"},
                "n_realizations": BAD_COUNT | {"one": 1, "huge": 1e200},
                "random_state": BAD_SEED,
            },
            says={"theta": "theta|T2", **SEED},
        )
        for name, f in {"bias_variance": judged, "compare_estimators": compared}.items()
    ],
    every_option(
        "bias_variance",
        lambda lab, estimator: metrics.bias_variance(
            estimator(lab), lab.mono, THETA["mono"], 50.0, 2
        ),
        {
            "estimator": {
                "None": lambda lab: None,
                "text": lambda lab: "abc",
                "class": lambda lab: type(lab.new("nlls", lab.magnitudes)),
                "not fitted": lambda lab: lab.new("nlls", lab.magnitudes),
                "of other data": lambda lab: lab.fitted("dictionary", "rates"),
            }
        },
        says={"estimator": "estimator|fitted|\\w+Regressor"},
    ),
    every_option(
        "compare_estimators",
        lambda lab, estimators: metrics.compare_estimators(
            estimators, lab.mono, THETA["mono"], 50.0, 2
        ),
        {"estimators": [None, {}, [1], {"a": None}, {"a": MonoExponential}]},
    ),
    every_option(
        "compare_estimators",
        lambda lab, **given: metrics.compare_estimators(
            None, lab.mono, THETA["mono"], 50.0, 2, **given
        ),
        {
            "estimates": [[1], "a", {"a": None}, {"a": 5.0}, {"a": "abc"}, {"a": [[1.0]]}],
            "published": [[1], {"a": None}, {"a": (1.0, 2.0)}, {"a": ("a", "b", 9)}],
            "limit": [True, 5, "a", [1]],
        },
    ),
    every_option(
        "compare_estimators",
        lambda lab, standard_errors: metrics.compare_estimators(
            {"a": lambda X: X[:, :2]},
            lab.mono,
            THETA["mono"],
            50.0,
            2,
            standard_errors=standard_errors,
        ),
        {"standard_errors": [None, 1, "yes"]},
    ),
    Subject(
        "BiasVariance.from_moments",
        lambda lab, **given: metrics.BiasVariance.from_moments(**given).loss,
        constant(bias=Y / 9, std=Y_HAT, n_realizations=9, crb=CRB),
        only=NDARRAY,
        bad={"n_realizations": BAD_COUNT | {"one": 1}, "std": {"negative": -Y}},
    ),
    every_option(
        "interval_coverage",
        lambda lab, estimator=None, levels=(0.5,), sigma_known=True: (
            metrics.interval_coverage(
                estimator or lab.fitted("nlls", "magnitudes"),
                lab.mono,
                THETA["mono"],
                50.0,
                levels,
                2,
                sigma_known=sigma_known,
            )
        ),
        {
            "estimator": ["abc", 5],
            "levels": ["a", 0.5, [0.0], [1.5], [], None],
            "sigma_known": [None, 1, "yes"],
        },
    ),
    every_option(
        "bayes_risk",
        lambda lab, **given: metrics.bayes_risk(
            **{"model": lab.mono, "theta": [[0.08, 1.0]], "snr": 50.0} | given
        ),
        {
            "model": NOT_MODELS,
            "theta": ["a", [[0.08]], [[np.nan, 1.0]], [[-1.0, 1.0]]],
            "snr": BAD_SNR | {"range": (10, 100)},
            "distributions": [5, {"T2": 1.0}, {"T3": None}],
            "n_draws": BAD_COUNT | {"few": 10},
            "least_ess": NOT_NUMBERS | {"zero": 0.0},
            "random_state": BAD_SEED,
            "n_jobs": [0, "two"],
        },
        says={"theta": "theta|T2", "distributions": "distributions|distribution", **SEED},
    ),
    Subject(
        "BiasVariance.from_errors",
        lambda lab, errors, crb: metrics.BiasVariance.from_errors(errors, crb).loss,
        constant(errors=np.stack([Y, Y_HAT, Y + 1]), crb=CRB),
        only=NDARRAY,
    ),
    Subject(
        "add_noise",
        lambda lab, signal, snr=5.0, noise="gaussian", rng=None: add(
            signal, snr, rng, noise
        ),
        constant(signal=S, snr=np.array([[5.0, 9.0, 7.0], [6.0, 8.0, 9.0]])),
        free={"signal": (*NOT_FINITE, "complex", "complex list")},
        more={"snr": ("more rows", "fewer columns", "negative")},
        bad={
            "signal": {"vector": S[0], "three axes": S[None], "number": 5.0, "None": None},
            "snr": NOT_NUMBERS | {"negative": -1.0},
            "noise": [None, "rice", 5],
            "rng": [0, "abc", np.random.default_rng],
        },
    ),
    Subject(
        "add_noise to magnitudes",
        lambda lab, signal, snr: add(signal, snr, None, "rician"),
        constant(signal=S, snr=np.array([5.0, 9.0])),
        free={"signal": NOT_FINITE},
        more={"signal": ("negative",), "snr": ("more rows", "negative")},
    ),
    Subject(
        "add_noise to complex",
        lambda lab, signal: add(signal, 5.0, None, "gaussian"),
        constant(signal=S * (1 + 1j)),
        free={"signal": (*NOT_FINITE, "real")},
    ),
    Subject(
        "check_snr",
        lambda lab, snr: noise.check_snr(snr),
        constant(snr=np.array([10.0, 100.0])),
        more={"snr": ("zero", "negative", "no rows")},
        bad={"snr": BAD_SNR | {"reversed": (100, 10), "three": (1, 2, 3), "inf": np.inf}},
    ),
    Subject(
        "estimate_sigma",
        lambda lab, magnitudes=AIR, **rest: noise.estimate_sigma(magnitudes, **rest),
        constant(magnitudes=AIR),
        free={"magnitudes": (*NOT_FINITE, "int8", "more axes")},
        more={"magnitudes": ("negative",)},
        bad={
            "magnitudes": {
                "None": None,
                "number": 5.0,
                "few": [1.0] * 5,
                "all nan": np.full(99, np.nan),
                "zeros": np.zeros(99),
            },
            "noise": [None, "rice", 5],
        },
    ),
    every_option(
        "get_noise",
        lambda lab, noise_: noise.get_noise(noise_),
        {"noise_": [None, "rice", 5, noise.RicianNoise, ["rician"]]},
        says={"noise_": "noise"},
    ),
    *[
        Subject(
            f"{name}.log_likelihood",
            lambda lab, name=name, **given: getattr(noise, name)().log_likelihood(
                **given, sigma=2.0, derivatives=True
            ),
            constant(x=S + 1, signal=S),
            only=("strided", "foreign"),
        )
        for name in ("GaussianNoise", "RicianNoise")
    ],
    Subject(
        "Parameter.check",
        lambda lab, values: repr(Parameter("T2", (1.0, 300.0), (0.0, 500.0)).check(values)),
        constant(values=np.array([10.0, 100.0])),
        only=(*NDARRAY[:6], "nan", "infinite", "masked", "complex"),
        more={"values": ("negative",)},
        says={"values": "values|theta|T2"},
    ),
    Subject(
        "Parameter.holds",
        lambda lab, values: Parameter("T2", (1.0, 300.0), (0.0, 500.0)).holds(values),
        constant(values=np.array([10.0, 600.0])),
        only=(*NDARRAY, "masked"),
    ),
    Subject(
        "Parameter",
        lambda lab, name="a", bounds=(0.5, 0.6), **rest: Parameter(name, bounds, **rest),
        constant(),
        bad={
            "name": [None, 5, ""],
            "bounds": NOT_PAIRS,
            "domain": NOT_PAIRS,
            "usual": {k: v for k, v in NOT_PAIRS.items() if v is not None},
            "period": NOT_NUMBERS | {"zero": 0.0, "negative": -1.0},
            "distribution": ["normal", 5],
            "fluid": ["normal", 5],
        },
    ),
    every_option(
        "Parameter.with_bounds",
        lambda lab, bounds: Parameter("a", (0.0, 1.0)).with_bounds(bounds),
        {"bounds": NOT_PAIRS},
    ),
    Subject(
        "truncated_normal",
        lambda lab, mean=0.0, sd=1.0, low=0.0, high=1.0: parameters.truncated_normal(
            mean, sd, low, high
        ).mean(),
        constant(),
        bad={
            "mean": NOT_NUMBERS,
            "sd": NOT_NUMBERS | {"zero": 0.0, "negative": -1.0},
            "low": NOT_NUMBERS | {"above": 2.0},
        },
    ),
]


def add(signal, snr, rng_, name):
    return noise.add_noise(signal, snr, rng() if rng_ is None else rng_, noise=name)


ROWS = [
    Row(
        "crb_loss",
        "crb",
        "infinite",
        lambda lab: metrics.crb_loss(Y[:, :1], Y_HAT[:, :1], [[1.0], [np.inf], [2.0]]),
        Like(
            lambda lab: metrics.crb_loss(Y[::2, :1], Y_HAT[::2, :1], [[1.0], [2.0]]), "crb"
        ),
    ),
    Row(
        "add_noise",
        "snr",
        "zero",
        lambda lab: noise.add_noise(S, [5.0, 0.0], rng()),
        Flagged(lambda lab: noise.add_noise(S, [5.0, 1.0], rng()), [1]),
    ),
    Row(
        "add_noise",
        "signal",
        "nan",
        lambda lab: noise.add_noise(np.where([[False], [True]], np.nan, S), 5.0, rng()),
        Flagged(lambda lab: noise.add_noise(S, 5.0, rng()), [1]),
    ),
    Row(
        "estimate_sigma",
        "magnitudes",
        "missing",
        lambda lab: noise.estimate_sigma(np.append(AIR, [np.nan, np.inf, 0.0])),
        Like(lambda lab: noise.estimate_sigma(AIR), "magnitudes"),
    ),
]
