"""Rows of simulated data, of losses, and of parts of searches."""

import numpy as np
import scipy.stats

from crbestim.datasets import make_brain_phantom, make_fingerprints
from crbestim.least_squares import GaussianPrior, UnitBox
from crbestim.network import BiasReducedLoss, CRBLoss
from tests.bad_inputs.judge import Like
from tests.bad_inputs.of_measures import BAD_COUNT, BAD_SEED, BAD_SNR, NOT_FINITE, SEED, Y
from tests.bad_inputs.of_models import GIVEN, NOT_BOOL, NOT_MODELS
from tests.bad_inputs.rows import NDARRAY, Row, Subject, constant, every_option

WEIGHTS = {"variance_weight": 0.5, "variance_limit": 0.0}
SUBJECTS = [
    Subject(
        "make_fingerprints",
        lambda lab, **v: make_fingerprints(
            **({"model": lab.mt, "n_samples": 2, "random_state": 0} | v)
        ),
        constant(),
        bad={
            "model": NOT_MODELS,
            "n_samples": BAD_COUNT | {"infinite": np.inf, "huge": 1e200},
            "snr": BAD_SNR | {"reversed": (9, 1)},
            "distributions": {
                "text": "abc",
                "number": 5,
                "list": [("m0s", 1)],
                "other name": {"x": scipy.stats.uniform()},
                "number as name": {1: scipy.stats.uniform()},
                "of two numbers": {"m0s": scipy.stats.multivariate_normal([0, 0])},
                "of no domain": {"m0s": scipy.stats.uniform(5, 1)},
            },
            "random_state": BAD_SEED,
            "n_jobs": [0, "a"],
            "return_crb": NOT_BOOL,
        },
        says={"distributions": "distributions|m0s", **SEED},
    ),
    Subject(
        "make_brain_phantom",
        lambda lab, **v: make_brain_phantom(**({"model": lab.mt, "shape": (16, 16)} | v)),
        constant(),
        bad={
            "model": NOT_MODELS,
            "shape": [
                None,
                16,
                (16,),
                (16, 15),
                (16.0, 16),
                "abc",
                (np.nan, 16),
                (-16, 16),
            ],
            "random_state": BAD_SEED,
        },
        says=SEED,
    ),
    Subject(
        "BrainPhantom.to_map",
        lambda lab, values: lab.phantom.to_map(values),
        lambda lab: {"values": np.arange(1.0, len(lab.phantom.theta) + 1)},
        more={"values": ("more rows", "no rows")},
        free={
            "values": (*NOT_FINITE, "complex", "complex list", "more axes", *NDARRAY[2:])
        },
        bad={"values": [None, 5.0, [1.0]]},
    ),
    every_option(
        "BrainPhantom.select",
        lambda lab, names: lab.phantom.select(names),
        {"names": [None, 5, "grey", ["cortex"]]},
        says={"names": "tissue"},
    ),
    Subject(
        "UnitBox.from_bounds",
        lambda lab, bounds: UnitBox.from_bounds(bounds).theta(np.full((1, 2), 0.5)),
        constant(bounds=np.array([[1.0, 100.0], [2.0, 9.0]])),
        only=("list", *NDARRAY[:4]),
        bad={
            "bounds": {
                "reversed": [(1.0, 0.0)] * 2,
                "nan": [(0.0, np.nan)] * 2,
                "infinite": [(0.0, np.inf)] * 2,
                "vector": [0.0, 1.0],
                "three": [(0.0, 1.0, 2.0)] * 2,
                "text": "abc",
            }
        },
    ),
    Subject(
        "GaussianPrior.from_moments",
        lambda lab, **given: GaussianPrior.from_moments(**given).residual(np.ones((1, 2))),
        constant(mean=np.array([1.0, 2.0]), covariance=np.array([[1.0, 0.5], [0.5, 2.0]])),
        only=NDARRAY[:4],
        bad={
            "covariance": {
                "negative": -np.eye(2),
                "of three": np.eye(3),
                "indefinite": np.array([[1.0, 2.0], [2.0, 1.0]]),
            }
        },
    ),
    Subject(
        "GaussianPrior.from_targets",
        lambda lab, y: GaussianPrior.from_targets(y, [[0.0, 9.0]] * 2).residual(Y),
        constant(y=Y),
        only=NDARRAY,
    ),
    every_option(
        "CRBLoss",
        lambda lab, huber_threshold: CRBLoss(huber_threshold),
        {"huber_threshold": ["abc", -1.0, np.nan, 1j]},
    ),
    every_option(
        "BiasReducedLoss",
        lambda lab, **v: BiasReducedLoss(
            **({"huber_threshold": None, "n_realizations": 4} | WEIGHTS | v)
        ),
        {
            "n_realizations": [1, "a", 2.5, None],
            "variance_weight": GIVEN | {"negative": -1.0},
            "variance_limit": GIVEN | {"negative": -1.0},
        },
    ),
]
ROWS = [
    Row(
        "make_fingerprints",
        "n_samples",
        "small integer",
        lambda lab: make_fingerprints(lab.mt, np.int8(2), random_state=0),
        Like(lambda lab: make_fingerprints(lab.mt, 2, random_state=0), "n_samples"),
    ),
]
