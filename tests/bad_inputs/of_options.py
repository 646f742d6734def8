"""Rows of the parameters of estimators, in their constructors and after `set_params`."""

import numpy as np

from crbestim import NLLSRegressor
from crbestim.models import BiExponential, MonoExponential
from tests.bad_inputs.lab import TE
from tests.bad_inputs.of_models import NOT_BOOL, NOT_MODELS, NOT_PAIRS
from tests.bad_inputs.rows import NDARRAY, Subject, constant, every_option

NOT_POSITIVE = [0, -1.0, "a", np.nan, None]
NOT_COUNT = [0, 1.5, "a"]
POLICY = [None, "ignore", 5]
BOUNDS = {
    "list of one": [(0, 1)],
    "number": 5,
    "other name": {"x": (0.0, 1.0)},
    "outside": {"T2": (-1.0, 1.0)},
    **{f"T2 {name}": {"T2": pair} for name, pair in NOT_PAIRS.items()},
}
PRIOR = {
    "text": "normal",
    "number": 5,
    "one part": ([1.0, 1.0],),
    "Nones": (None, None),
    "words": (["a", "b"], np.eye(2)),
    "complex": (np.array([1j, 1.0]), np.eye(2)),
    "negative": ([0.1, 1.0], -np.eye(2)),
    "masked": ([0.1, 1.0], np.ma.array(np.eye(2), mask=np.eye(2) > 0)),
}
INITIAL = {
    "None": None,
    "number": 5,
    "text": "zeros",
    "class": NLLSRegressor,
    "dictionary": {"a": 1},
    "words": [["a", "b"]],
    "complex": [[0.05 + 1j, 1.0]],
    "outside": [[-1.0, 1.0]],
    "nothing": np.empty((0, 2)),
}
OUTPUT_WEIGHTS = {
    "text": "abc",
    "words": ["a", "b"],
    "one": [1.0],
    "negative": [1.0, -1.0],
    "zeros": [0.0, 0.0],
    "nan": [np.nan, 1.0],
    "complex": np.array([1j, 1.0]),
    "masked": np.ma.array([1.0, 2.0], mask=[True, False]),
    "other name": {"x": 1.0},
    "text in it": {"T2": "a"},
    "complex in it": {"T2": 1j},
}
SNR = {
    "zero": 0.0,
    "text": "abc",
    "reversed": (9, 1),
    "complex": [1j],
    "words": (1, "a"),
    "three": (1, 2, 3),
    "masked": np.ma.array([1.0, 2.0], mask=[True, False]),
}
LAYERS = {
    "number": 5,
    "zero": (0,),
    "half": (1.5,),
    "text": "ab",
    "None": None,
    "nested": [[4]],
}
OPTIONS = {
    "nlls": {
        "model": {k: v for k, v in NOT_MODELS.items() if v is not None},
        "initial": INITIAL,
        "bounds": BOUNDS,
        "n_starts": NOT_COUNT,
        "n_atoms": [*NOT_COUNT, None],
        "max_iter": [*NOT_COUNT, None],
        "tol": [0, 2, "a", np.nan],
        "prior": PRIOR,
        "loss": [None, "square", 5],
        "f_scale": NOT_POSITIVE,
        "nan_policy": POLICY,
        "noise_std": NOT_POSITIVE,
        "n_jobs": [0, 1.5, "a"],
        "verbose": ["no"],
    },
    "dictionary": {
        "model": {k: v for k, v in NOT_MODELS.items() if v is not None},
        "n_neighbors": [*NOT_COUNT, None, 99],
        "interpolate": NOT_BOOL,
        "nan_policy": POLICY,
        "block_size": [*NOT_COUNT, None],
        "noise_std": NOT_POSITIVE,
        "n_jobs": [0, 1.5, "a"],
        "verbose": ["no"],
    },
    "one_step": {
        "model": {k: v for k, v in NOT_MODELS.items() if v is not None},
        "estimator": {"text": "nlls", "class": NLLSRegressor, "number": 5},
        "n_steps": [*NOT_COUNT, None],
        "n_starts": [*NOT_COUNT, 99],
        "bounds": {name: BOUNDS[name] for name in ("list of one", "other name", "T2 nan")},
        "prior": {name: PRIOR[name] for name in ("text", "one part", "words")},
        "nan_policy": POLICY,
        "noise_std": NOT_POSITIVE,
        "n_jobs": [0, "a"],
        "verbose": ["no"],
    },
    "crb": {
        "model": {k: v for k, v in NOT_MODELS.items() if v is not None},
        "loss": [None, "huber", 5],
        "huber_threshold": NOT_POSITIVE[:4],
        "n_realizations": [1, "a"],
        "variance_weight": [-1.0, "a"],
        "variance_limit": [-1.0, "a"],
        "output_weights": OUTPUT_WEIGHTS,
        "hidden_layer_sizes": LAYERS,
        "activation": [None, "sine"],
        "noise_std": [value for value in NOT_POSITIVE if value is not None],
        "snr": SNR,
        "resample_noise": NOT_BOOL,
        "alpha": [-1.0, "a"],
        "batch_size": [*NOT_COUNT, "all"],
        "learning_rate_init": [0, "a"],
        "learning_rate": ["fast"],
        "max_iter": [*NOT_COUNT, None],
        "max_time": [0, "a"],
        "early_stopping": NOT_BOOL,
        "validation_fraction": [0, 1, "a"],
        "n_iter_no_change": [0],
        "tol": [-1.0, "a"],
        "warm_start": NOT_BOOL,
        "device": ["tpu", None],
        "dtype": ["float16", np.float32],
        "n_jobs": [0, 1.5, "a"],
        "random_state": ["a", -1, 1.5],
        "verbose": ["no"],
    },
}
SAYS = {"initial": "initial|theta|T2", "bounds": "bounds|T2", "model": "model|features"}
OTHER_MODELS = {
    "None": lambda lab: None,
    "bi-exponential": lambda lab: BiExponential(TE, signal="magnitude"),
    "complex": lambda lab: lab.rate,
    "shorter": lambda lab: MonoExponential(TE[:3], signal="magnitude"),
}


def refit(lab, kind, options):
    data = lab.networks if kind == "crb" else lab.magnitudes
    return lab.new(kind, data, **options).fit(data.X, data.y).predict(data.X[:2])


def after(kind, bad):
    """Return a subject of `predict` after `set_params`."""

    def call(lab, **params):
        data = lab.magnitudes
        params = {k: v(lab) if k == "model" else v for k, v in params.items()}
        one = lab.new(kind, data).fit(data.X, data.y).set_params(**params)
        return one.predict(data.X[:2])

    says = {"model": "model|fit|features|complex"}
    return every_option(f"{kind}.set_params", call, bad, says=says)


SUBJECTS = [
    every_option(kind, lambda lab, kind=kind, **v: refit(lab, kind, v), options, says=SAYS)
    for kind, options in OPTIONS.items()
]
SUBJECTS += [
    after("nlls", {"model": OTHER_MODELS, "max_iter": [-1, "a"], "nan_policy": ["ignore"]}),
    after("dictionary", {"model": OTHER_MODELS, "n_neighbors": [0], "block_size": [0]}),
    after("one_step", {"model": OTHER_MODELS, "n_steps": [0]}),
    Subject(
        "nlls of an array",
        lambda lab, **v: (
            NLLSRegressor(lab.mono, n_atoms=9, **v).fit(lab.magnitudes.X).bounds_
        ),
        constant(bounds=np.array([[0.01, 1.0], [5.0, 200.0]])),
        free={"bounds": NDARRAY[4:]},
        more={"bounds": ("fewer rows", "more rows", "fewer columns")},
        says=SAYS,
    ),
    Subject(
        "nlls of an array",
        lambda lab, **v: NLLSRegressor(lab.mono, **v).fit(lab.magnitudes.X).start_values_,
        constant(initial=np.array([[0.05, 100.0], [0.08, 90.0]])),
        more={"initial": ("fewer columns", "no rows")},
        columns={"initial": ["T2", "M0"]},
        free={"initial": ("list",)},
        says=SAYS,
    ),
]
ROWS = []
