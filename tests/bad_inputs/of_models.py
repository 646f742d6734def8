"""Rows of models: their signals, views and constructors."""

import numpy as np

from crbestim import models
from crbestim.models import MonoExponential
from tests.bad_inputs.judge import Like
from tests.bad_inputs.lab import NAMES, THETA
from tests.bad_inputs.rows import Row, Subject, constant, every_option

NOT_NUMBERS = {
    "None": None,
    "text": "abc",
    "complex": 1j,
    "object": object(),
    "nan": np.nan,
    "words": ["a", "b"],
}
GIVEN = {name: value for name, value in NOT_NUMBERS.items() if value is not None}
NOT_MODELS = {"None": None, "text": "abc", "class": MonoExponential, "number": 1.0}
NOT_PAIRS = {
    "None": None,
    "number": 5.0,
    "one number": (0.0,),
    "text": "01",
    "words": ("a", "b"),
    "complex": (0.0, 1j),
    "reversed": (0.6, 0.5),
    "nan": (0.5, np.nan),
    "table": np.eye(2),
    "masked": np.ma.array([0.5, 0.6], mask=[True, False]),
}
NOT_BOOL = {"text": "no", "nan": np.nan, "vector": np.array([True, False])}
TO_FEW = ("fewer columns", "more columns")
HAS_UNIT = ("half", "int8", "uint8", "int16")


SUBJECTS = [
    *[
        Subject(
            f"{name}.signal",
            lambda lab, theta, name=name: getattr(lab, name).signal(theta, jacobian=True),
            constant(theta=theta),
            more={"theta": TO_FEW},
            columns={"theta": NAMES[name]},
            says={"theta": "|".join(["theta", *NAMES[name]])},
        )
        for name, theta in THETA.items()
    ],
    Subject(
        "SignalModel.signal",
        lambda lab, theta, **rest: lab.mono.signal(theta, **rest),
        constant(theta=THETA["mono"]),
        arrays=(),
        bad={
            "theta": {
                "None": None,
                "number": 5.0,
                "nothing": [],
                "dictionary": {},
                "negative": [[-1.0, 1.0]],
                "in ms": [[50.0, 1.0]],
                "huge": [[1e200, 1.0]],
            },
            "jacobian": NOT_BOOL,
        },
        says={"theta": "theta|T2"},
    ),
    Subject(
        "SignalModel.check_theta",
        lambda lab, theta: lab.function.check_theta(theta),
        constant(theta=THETA["function"]),
        columns={"theta": NAMES["function"]},
        says={"theta": "theta|a"},
    ),
    Subject(
        "SignalModel.jacobian_error",
        lambda lab, theta: lab.mono.jacobian_error(theta),
        constant(theta=THETA["mono"]),
        columns={"theta": NAMES["mono"]},
        says={"theta": "theta|T2"},
    ),
    Subject(
        "SignalModel.project",
        lambda lab, theta, basis: lab.mono.project(theta, basis),
        constant(theta=THETA["mono"], basis=np.eye(4)[:, :2]),
        only=("strided", "foreign"),
    ),
    Subject(
        "SignalModel.compress",
        lambda lab, basis: lab.mono.compress(basis).signal(THETA["mono"]),
        constant(basis=np.eye(4)[:, :2]),
        more={"basis": ("fewer rows",)},
        free={"basis": ("complex", "complex list", "masked integers", *HAS_UNIT)},
        bad={
            "basis": {
                "None": None,
                "number": 1.0,
                "not orthonormal": np.ones((4, 2)),
                "without columns": np.empty((4, 0)),
                "huge": np.eye(4)[:, :2] * 1e200,
            }
        },
    ),
    Subject(
        "SignalModel.whiten",
        lambda lab, covariance: lab.rate.whiten(covariance).signal(THETA["rate"]),
        constant(covariance=np.diag([1.0, 2.0, 3.0, 4.0])),
        more={"covariance": ("fewer rows",)},
        bad={
            "covariance": {
                **NOT_NUMBERS,
                "zero": 0.0,
                "negative": -1.0,
                "singular": np.ones((4, 4)),
                "asymmetric": np.eye(4) + np.eye(4, k=1),
            }
        },
    ),
    Subject(
        "SignalModel.whiten by variances",
        lambda lab, covariance: lab.rate.whiten(covariance).signal(THETA["rate"]),
        constant(covariance=np.array([1.0, 2.0, 3.0, 4.0])),
        more={"covariance": ("zero", "negative", "fewer rows")},
    ),
    Subject(
        "SignalModel.at",
        lambda lab, known: lab.function.given("b", "c").at(known).signal([[9.0], [8.0]]),
        constant(known=np.array([[3.0, 5.0], [2.0, 1.0]])),
        more={"known": TO_FEW},
        columns={"known": ["b", "c"]},
        bad={"known": {"None": None, "number": 1.0, "rows": [[3.0, 5.0]]}},
        says={"known": "known|b|c"},
    ),
    Subject(
        "SignalModel.fix",
        lambda lab, a: lab.function.fix(a=a).signal([[3.0, 5.0]]),
        constant(),
        bad={"a": NOT_NUMBERS | {"list": [1.0], "bool": True, "masked": np.ma.masked}},
    ),
    Subject(
        "SignalModel.given",
        lambda lab, names: lab.function.given(*names),
        constant(),
        bad={
            "names": [("x",), (None,), (5,), (["a"],), (np.array(["a", "b"]),), ("a", "a")]
        },
        says={"names": "parameter|twice"},
    ),
    Subject(
        "SignalModel.rows",
        lambda lab, selection: lab.at_known.rows(selection),
        constant(),
        bad={"selection": {"text": "abc", "too far": [7], "real": [0.5], "number": 0}},
        says={"selection": "selection|rows"},
    ),
    *[
        every_option(
            name,
            lambda lab, name=name, rest=rest, **v: getattr(models, name)(**(rest | v)),
            bad,
        )
        for name, rest, bad in (
            ("CompressedModel", {"basis": np.eye(4)}, {"model": NOT_MODELS}),
            ("WhitenedModel", {"covariance": 1.0}, {"model": NOT_MODELS}),
            ("GivenModel", {"known_names": ("a",)}, {"model": NOT_MODELS}),
        )
    ],
    every_option(
        "GivenModel of a function",
        lambda lab, **option: models.GivenModel(lab.function, **option),
        {
            "constants": {"list": [1], "text": "abc", "number": 5.0},
            "known_names": {"None": None, "number": 5, "text": "b"},
        },
    ),
]
ROWS = [
    Row(
        "SignalModel.signal",
        "theta",
        "one sample",
        lambda lab: lab.mono.signal(THETA["mono"][0]),
        Like(lambda lab: lab.mono.signal(THETA["mono"][:1]), "theta"),
    ),
    Row(
        "SignalModel.signal",
        "theta",
        "no rows",
        lambda lab: lab.mono.signal(np.empty((0, 2))),
        Like(lambda lab: np.empty((0, 4)), "theta"),
    ),
    Row(
        "SignalModel.fix",
        "a",
        "half precision",
        lambda lab: lab.function.fix(c=np.float16(2.5)).signal([[9.0, 3.0]]),
        Like(lambda lab: lab.function.fix(c=2.5).signal([[9.0, 3.0]]), "c"),
    ),
]
