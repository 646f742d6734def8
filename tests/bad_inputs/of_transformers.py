"""Rows of the transformers."""

import numpy as np

from crbestim.subspace import ComplexToReal, SubspaceProjection, Whitening
from tests.bad_inputs.judge import Flagged
from tests.bad_inputs.lab import THETA
from tests.bad_inputs.of_models import GIVEN, NOT_MODELS
from tests.bad_inputs.rows import Row, Subject, constant, every_option

X = np.rint(np.abs(np.random.default_rng(0).normal(size=(8, 4)) * 20) + 1)
NOISE = np.random.default_rng(0).normal(size=(8, 4))
MAKERS = {
    "ComplexToReal": ComplexToReal,
    "ComplexToReal normalized": lambda: ComplexToReal(normalize=True),
    "SubspaceProjection": lambda: SubspaceProjection(2),
    "Whitening": lambda: Whitening([1.0, 2.0, 3.0, 4.0]),
}
# A row that is not finite is flagged, single precision is kept, and ``fit`` takes any kind.
FREE = {"X": ("nan", "infinite", "single")}
KINDS = ("complex", "complex list", "real")


def of_kind(name, make, X):
    """Return subjects of a transformer of real or complex signals."""
    kind = "complex" if X.dtype.kind == "c" else "real"

    def fitted(lab):
        return lab.once((name, kind), lambda: make().fit(X))

    output = make().fit(X).transform(X)
    return [
        Subject(
            f"{name}.fit {kind}",
            lambda lab, **given: make().fit(**given).transform(X),
            constant(X=X),
            free={"X": (*FREE["X"], *KINDS)},
            bad={"X": {"None": None, "number": 5.0, "vector": X[0], "all nan": X * np.nan}},
        ),
        Subject(
            f"{name}.transform {kind}",
            lambda lab, **given: fitted(lab).transform(**given),
            constant(X=X),
            free=FREE,
            more={"X": ("fewer columns", "more columns")},
        ),
        Subject(
            f"{name}.inverse_transform {kind}",
            lambda lab, **given: fitted(lab).inverse_transform(**given),
            constant(X=output),
            free={"X": (*FREE["X"], "real")},
            more={"X": ("fewer columns", "more columns")},
        ),
        every_option(
            f"{name}.not fitted",
            lambda lab, method: getattr(make(), method)(X),
            {"method": ["transform", "inverse_transform"]},
            says={"method": "fitted"},
        ),
    ]


def flagged(name, make, method, X):
    """Return a row of a transformer that gets NaN in one row of X."""
    one = make().fit(X)
    given = X if method == "transform" else one.transform(X)
    spoiled = given.copy()
    spoiled[2, 0] = np.nan
    return Row(
        f"{name}.{method} {X.dtype}",
        "X",
        "nan in a row",
        lambda lab: getattr(one, method)(spoiled),
        Flagged(lambda lab: getattr(one, method)(given), [2]),
    )


def on_magnitudes(lab, **options):
    data = lab.magnitudes
    options = {
        "n_components": 2,
        "method": "crb",
        "model": lab.mono,
        "max_iter": 0,
    } | options
    return SubspaceProjection(**options).fit(data.X, data.y)


SUBJECTS, ROWS = [], []
for name, make in MAKERS.items():
    for signals in (X, X * (1 + 1j)):
        SUBJECTS += of_kind(name, make, signals)
        methods = ("transform", "inverse_transform")
        if name.startswith("ComplexToReal"):
            # Real X passes as it is, and so does each sample on the way back.
            methods = methods[: signals.dtype.kind == "c"]
        ROWS += [flagged(name, make, method, signals) for method in methods]
SUBJECTS += [
    Subject(
        "Whitening",
        lambda lab, **given: Whitening(**given).fit(X).transform(X),
        constant(covariance=np.diag([1.0, 2.0, 3.0, 4.0])),
        more={"covariance": ("fewer rows",)},
        bad={"covariance": GIVEN | {"zero": 0.0, "negative": -1.0}},
    ),
    Subject(
        "Whitening of noise",
        lambda lab, **given: Whitening(**given).fit(X).covariance_,
        constant(noise=NOISE),
        more={"noise": ("fewer columns",)},
        free={"noise": ("masked integers",)},
        bad={"noise": {"few rows": NOISE[:2], "number": 5.0, "vector": NOISE[0]}},
    ),
    Subject(
        "SubspaceProjection of bounds",
        lambda lab, y: (
            SubspaceProjection(2, method="crb", model=lab.function, max_iter=0)
            .fit(lab.function.signal(np.repeat(THETA["function"], 2, axis=0)), y)
            .crb_ratio_
        ),
        constant(y=np.repeat(THETA["function"], 2, axis=0)),
        more={"y": ("more rows", "fewer columns")},
        columns={"y": ["a", "b", "c"]},
        says={"y": "y|theta|a|input variables"},
    ),
    every_option(
        "SubspaceProjection",
        on_magnitudes,
        {
            "n_components": [None, 0, -1, 1.5, "a", np.nan],
            "method": [None, "pca", 5],
            "model": NOT_MODELS,
            "weights": {
                "text": "abc",
                "list": [1],
                "other name": {"x": 1.0},
                "text in it": {"T2": "abc"},
                "None in it": {"T2": None},
                "complex in it": {"T2": 1j},
                "vector in it": {"T2": [1.0, 2.0]},
                "negative": {"T2": -1.0},
                "zeros": {"T2": 0.0, "M0": 0.0},
            },
            "energy_weight": [None, -1.0, "a", np.nan],
            "real_basis": [None, "no", 5],
            "n_fingerprints": [None, 0, 1.5],
            "max_iter": [None, -1, 1.5],
            "tol": [None, -1.0, "a"],
            "random_state": ["a", -1, 1.5],
        },
    ),
    every_option(
        "ComplexToReal",
        lambda lab, **option: ComplexToReal(**option).fit(X),
        {"normalize": ["no", None, 5]},
    ),
]
