"""Rows of the Fisher information and the Cramér-Rao bound."""

import numpy as np

from crbestim import bounds
from crbestim.noise import RicianNoise
from tests.bad_inputs.judge import Flagged, Like
from tests.bad_inputs.lab import THETA
from tests.bad_inputs.of_models import NOT_MODELS, NOT_NUMBERS
from tests.bad_inputs.rows import Row, Subject, constant

J = np.array([[[1.0, 2.0], [3.0, 1.0], [1.0, 1.0]], [[2.0, 1.0], [1.0, 1.0], [4.0, 1.0]]])
S = np.array([[3.0, 2.0, 1.0], [5.0, 4.0, 2.0]])
COMPLEX_S = S * (1 - 0.3j) + 0.2j * S[:, ::-1]
LEVELS, SIGMA = np.array([1.0, 2.0]), np.array([[1.0, 2.0, 1.0], [2.0, 1.0, 3.0]])
PRECISION = np.array([[2.0, 0.5], [0.5, 1.0]])
CRB = np.array([[1.0, 2.0], [3.0, 1.0], [2.0, 1.0]])
# Derivatives and signals may be complex, and become NaN where they are not finite.
FREE = ("nan", "infinite", "complex", "complex list", "real")
WRONG_ROWS = ("more rows", "fewer rows", "fewer columns")
NOT_POSITIVE = ("zero", "negative", "more rows")
BAD_NOISE = NOT_NUMBERS | {"zero": 0.0, "negative": -1.0, "infinite": np.inf}


def of_jacobians(name, more_clean):
    """Return subjects of a function of derivatives."""
    function = getattr(bounds, name)

    def call(lab, jacobian=J, noise_std=1.0, **rest):
        return function(jacobian, noise_std=noise_std, **rest)

    def subject(what, options=None, **clean):
        return Subject(f"{name} {what}", call, constant(**clean), **(options or {}))

    return [
        Subject(
            name,
            call,
            constant(jacobian=J, noise_std=SIGMA, **more_clean),
            free={"jacobian": FREE, "m0": ("complex", "complex list", "infinite")},
            more={
                "noise_std": (*NOT_POSITIVE, "fewer columns"),
                "m0": ("zero", "more rows", "no rows"),
                "prior_precision": ("negative", "fewer rows", "fewer columns", "more rows"),
            },
            bad={
                "jacobian": {
                    "None": None,
                    "number": 1.0,
                    "vector": [1.0, 2.0],
                    "matrix": np.eye(2),
                    "without features": np.empty((1, 0, 2)),
                },
                "noise_std": BAD_NOISE | {"of three": [1.0, 1.0, 1.0]},
                "noise": [None, "rice", 5, RicianNoise],
                **of_m0_and_prior(more_clean),
            },
        ),
        subject("of complex", {"free": {"jacobian": FREE}}, jacobian=J * (1 + 0.5j)),
        subject("of levels", {"more": {"noise_std": NOT_POSITIVE}}, noise_std=LEVELS),
        Subject(
            f"{name} of magnitudes",
            lambda lab, signal: function(J, signal=signal, noise="rician"),
            constant(signal=S),
            free={"signal": ("nan", "infinite")},
            more={"signal": ("negative", *WRONG_ROWS)},
            bad={"signal": [None, 5.0, [1.0, 2.0, 3.0]]},
        ),
    ]


def of_m0_and_prior(more_clean):
    if not more_clean:
        return {}
    return {
        "m0": {"None": None, "text": "abc", "zero": 0.0, "nan": np.nan, "object": object()},
        "prior_precision": {
            "vector": [1.0, 2.0],
            "text": "abc",
            "indefinite": [[1.0, 2.0], [2.0, 1.0]],
            "asymmetric": [[1.0, 1.0], [0.0, 1.0]],
            "negative": -np.eye(2),
        },
        "accuracy": NOT_NUMBERS | {"negative": -1.0},
    }


def of_models(name):
    """Return subjects of a function of a model."""
    function = getattr(bounds, name)
    return [
        Subject(
            name,
            lambda lab, model, theta, noise_std, **rest: function(
                model, theta, noise_std, **rest
            ),
            lambda lab: {
                "model": lab.rician,
                "theta": THETA["mono"],
                "noise_std": np.full((2, 4), 0.01),
            },
            more={
                "theta": ("fewer columns", "negative"),
                "noise_std": (*NOT_POSITIVE, "fewer columns"),
            },
            columns={"theta": ["T2", "M0"]},
            bad={
                "model": NOT_MODELS,
                "noise_std": BAD_NOISE,
                "noise": ["rice", 5],
                "theta": {"amplitude of zero": [[0.05, 0.0]] * 2},
            },
            says={"theta": "theta|T2"},
        ),
        Subject(
            f"{name} of levels",
            lambda lab, noise_std: function(lab.rician, THETA["mono"], noise_std),
            constant(noise_std=LEVELS / 100),
            more={"noise_std": NOT_POSITIVE},
        ),
        Subject(
            f"{name} of complex",
            lambda lab, m0=1.0, **rest: function(lab.rate, THETA["rate"], m0=m0, **rest),
            constant(m0=np.array([1.0, 2.0])),
            free={"m0": ("complex", "complex list", "infinite")},
            more={"m0": ("zero", "more rows")},
            bad={"noise": ["rician"], "m0": [None, "abc", 0.0]},
        ),
        Subject(
            f"{name} without known values",
            lambda lab, theta: function(lab.spgr.given("B1"), theta),
            constant(),
            bad={"theta": [[[1.0]]]},
            says={"theta": "B1"},
        ),
    ]


SUBJECTS = [
    *of_jacobians("fisher_information", {}),
    *of_models("cramer_rao_bound"),
    *of_models("signal_and_bound"),
    Subject(
        "covariance_from_information",
        lambda lab, information: bounds.covariance_from_information(information),
        constant(
            information=np.array([[[4.0, 1.0], [1.0, 2.0]], [[3.0, 0.0], [0.0, 1.0]]])
        ),
        free={"information": ("nan", "infinite")},
        bad={
            "information": {
                "None": None,
                "matrix": np.eye(2),
                "not square": np.ones((1, 2, 3)),
                "negative": np.array([[[-1.0]]]),
                "asymmetric": np.array([[[1.0, 5.0], [0.0, 1.0]]]),
            }
        },
    ),
    Subject(
        "implied_snr",
        lambda lab, reference, crb, default=50.0: bounds.implied_snr(
            reference, crb, default
        ),
        constant(reference=CRB * 100, crb=CRB),
        free={"reference": ("nan", "infinite"), "crb": ("nan", "infinite")},
        more={"reference": WRONG_ROWS, "crb": (*WRONG_ROWS, "zero", "negative")},
        bad={"default": NOT_NUMBERS | {"negative": -1.0}},
    ),
]
ROWS = []
for name in ("crb_from_jacobian", "covariance_from_jacobian"):
    f = getattr(bounds, name)
    SUBJECTS += of_jacobians(name, {"m0": LEVELS, "prior_precision": PRECISION})
    SUBJECTS.append(
        Subject(
            f"{name} of complex signals",
            lambda lab, signal, f=f: f(J * (1 + 1j), signal=signal),
            constant(signal=COMPLEX_S),
            free={"signal": FREE},
            more={"signal": WRONG_ROWS},
            bad={"signal": [5.0, "abc", [1.0, 2.0, 3.0]]},
        )
    )
    ROWS += [
        Row(
            name,
            "m0",
            "most negative integer",
            lambda lab, f=f: f(J, m0=np.full(2, -128, "i1")),
            Like(lambda lab, f=f: f(J, m0=128.0), "m0"),
        ),
        Row(
            name,
            "noise_std",
            "missing feature",
            lambda lab, f=f: f(J, noise_std=[[1.0, np.inf, 1.0]]),
            Like(lambda lab, f=f: f(J[:, [0, 2]]), "noise_std"),
        ),
        Row(
            name,
            "noise_std",
            "half precision",
            lambda lab, f=f: f(J, noise_std=np.float16(0.5)),
            Like(lambda lab, f=f: f(J, noise_std=0.5), "noise_std"),
        ),
        *[
            Row(
                name,
                "jacobian",
                f"{value} in a row",
                lambda lab, f=f, value=value: f(np.where(J == 4, value, J)),
                Flagged(lambda lab, f=f: f(J), [1]),
            )
            for value in (np.nan, np.inf)
        ],
    ]
for name in ("cramer_rao_bound", "signal_and_bound"):
    f = getattr(bounds, name)
    ROWS.append(
        Row(
            name,
            "noise_std",
            "integers",
            lambda lab, f=f: f(
                lab.mono, THETA["mono"], np.ones((2, 4), int), noise="rician"
            ),
            Like(
                lambda lab, f=f: f(
                    lab.mono, THETA["mono"], np.ones((2, 4)), noise="rician"
                ),
                "noise_std",
            ),
        )
    )
