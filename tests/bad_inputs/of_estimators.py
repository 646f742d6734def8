"""Rows of what the estimators take as data, in each of their methods."""

import numpy as np

from crbestim import NLLSRegressor
from tests.bad_inputs.judge import Flagged, Like
from tests.bad_inputs.lab import DATA_OF
from tests.bad_inputs.of_models import NOT_BOOL, NOT_NUMBERS
from tests.bad_inputs.rows import FEW, Row, Subject, every_option

COLUMNS = {"magnitudes": {"y": ["T2", "M0"], "crb": ["T2", "M0"]}}
COLUMNS["offsets"] = {"known": ["b", "c"]}
SAYS = {"X": "X|features|input variables", "known": "known|b|c"}
SAYS |= {"y": "y|theta|T2|M0|R2|a|targets|input variables"}
SAYS |= {"return_std": "return_std", "sigma": "sigma"}
NOT_FINITE = ("nan", "infinite")
FREE = {"X": (*NOT_FINITE, "single"), "known": NOT_FINITE, "crb": ("infinite",)}
POSITIVE = ("more rows", "zero", "negative")
MORE = {
    "X": ("more columns",),
    "y": ("more rows",),
    "crb": POSITIVE,
    "known": ("more rows", "fewer columns"),
    "sigma": POSITIVE,
    "sample_weight": ("more rows", "negative"),
}
BAD_SIGMA = NOT_NUMBERS | {"zero": 0.0, "negative": -1.0, "two": [1.0, 2.0]}
BAD_SIGMA |= {"None in it": [None] * 6, "masked": np.ma.masked}
del BAD_SIGMA["None"]
BAD_X = {"None": None, "number": 5.0, "vector": np.ones(4), "one column": np.ones((6, 1))}
BAD_WEIGHT = {"zeros": np.zeros(6), "number": 1.0, "all nan": np.full(6, np.nan)}
BAD_RATE = [0, 1, "a", None, 1j, np.nan, np.array([0.1, 0.2])]
BAD_LEVEL = [0, 1, 95, "a", None, np.nan, np.array([0.9]), True]


def data_of(lab, name, rows=slice(6), *, y=1.0, **more):
    """Return some rows of data as arguments: X, known if there is any, and more."""
    data = getattr(lab, name)
    given = {"X": data.X[rows]} | more
    if data.known is not None:
        given["known"] = data.known[rows]
    return given | ({"y": data.y[rows] * y} if y else {})


def method(kind, name, what, *, y=0.0, **options):
    """Return the id and the call of a method of a fitted estimator, and its data."""

    def call(lab, **given):
        return getattr(lab.fitted(kind, name, **options), what)(**given)

    id = " ".join([f"{kind}.{what}", name, *map(str, options.values())])
    return id, call, lambda lab, **more: data_of(lab, name, y=y, **more)


def subject(kind, name, what, *, more_data=None, y=0.0, options=None, free=None, **rest):
    """Return a subject of a method of a fitted estimator."""
    id, call, clean = method(kind, name, what, y=y, **(options or {}))
    columns = COLUMNS.get(name, {})
    return Subject(
        id,
        call,
        lambda lab: clean(lab, **(more_data or {})),
        free=FREE | (free or {}),
        more=MORE,
        columns=columns,
        says=SAYS,
        **rest,
    )


def of_fit(kind, name, what="fit", **rest):
    """Return a subject of `fit`, which ends with a prediction."""

    def call(lab, **given):
        few = data_of(lab, name, slice(3), y=0)
        return getattr(lab.new(kind, getattr(lab, name)), what)(**given).predict(**few)

    return Subject(
        f"{kind}.{what} {name}",
        call,
        lambda lab: data_of(lab, name, slice(None), crb=getattr(lab, name).crb),
        # A model tells the width of X.
        more=MORE
        | {"X": ("more rows",) if name == "bare" else ("more rows", "more columns")},
        free=FREE,
        columns={} if kind == "crb" else COLUMNS.get(name, {}),
        says=SAYS,
        only=FEW,
        bad={"X": BAD_X} if name != "bare" else {},
        **rest,
    )


ONES = np.array([1.0, 2.0, 1.0, 2.0, 1.0, 2.0])
# What `fit` checks is the same for all, so the quickest tries it on most data.
SUBJECTS = [of_fit(kind, names[0]) for kind, names in DATA_OF.items()]
SUBJECTS += [of_fit("dictionary", name) for name in DATA_OF["dictionary"][1:]]
SUBJECTS += [
    of_fit("nlls", "bare"),
    of_fit("nlls", "offsets", arrays=("known",)),
    of_fit("crb", "networks", "partial_fit", arrays=("y",)),
]
for kind, names in DATA_OF.items():
    for name in names:
        # What all estimators share is tried in every kind of array with the quickest.
        is_quick = kind == "dictionary"
        some = {"only": () if is_quick and name == "magnitudes" else FEW}
        crb = {"crb": np.full((6, 1 if name in ("rates", "offsets") else 2), 1e-2)}
        scored = ("y", "crb", "known") if is_quick or kind == "mean" else ("y",)
        score = {"y": 1.01, "more_data": crb, "arrays": scored}
        SUBJECTS.append(subject(kind, name, "score", **score, **some))
        if kind != "mean":
            sigma = {"more_data": {"sigma": ONES}} if name != "bare" else {}
            SUBJECTS.append(subject(kind, name, "predict", **sigma, **some))
    if kind == "mean":
        continue
    data = names[0]
    SUBJECTS += [
        subject(kind, data, "predict", arrays=(), bad={"X": BAD_X, "sigma": BAD_SIGMA}),
        subject(
            kind,
            data,
            "predict",
            arrays=(),
            bad={"return_std": NOT_BOOL, "known": {"values": [[1.0]] * 6}},
        ),
        subject(kind, data, "residual", arrays=(), bad={"false_alarm_rate": BAD_RATE}),
        subject(kind, data, "score", y=1.01, arrays=(), bad={"sample_weight": BAD_WEIGHT}),
        every_option(
            f"{kind}.not fitted",
            lambda lab, method, kind=kind, data=data: getattr(
                lab.new(kind, getattr(lab, data)), method
            )(getattr(lab, data).X),
            {"method": ["predict", "residual"]},
            says={"method": "fitted"},
        ),
    ]
    if kind != "dictionary":
        SUBJECTS.append(
            subject(kind, data, "interval", arrays=(), bad={"level": BAD_LEVEL})
        )
WHOLE = {"more_data": {"sigma": ONES}, "only": FEW}
EACH = {"more_data": {"sigma": np.full((6, 4), 2.0)}, "arrays": ("sigma",)}
# A sample whose noise is masked does not count.
EACH["free"] = {"sigma": ("masked", "masked integers")}
WEIGHT = {"more_data": {"sample_weight": ONES}, "arrays": ("sample_weight",)}
OMIT = {"options": {"nan_policy": "omit"}, "only": FEW}
SUBJECTS += [
    subject("dictionary", "magnitudes", "predict", **EACH),
    subject("dictionary", "magnitudes", "score", y=1.01, **WEIGHT),
    subject("dictionary", "magnitudes", "score", y=1.01, arrays=("X", "sigma"), **WHOLE),
    subject("nlls", "magnitudes", "residual", **WHOLE),
    subject("nlls", "magnitudes", "interval", **WHOLE),
    subject("nlls", "magnitudes", "fit_voxels", **WHOLE),
    subject("dictionary", "magnitudes", "kneighbors", **WHOLE),
    subject("nlls", "magnitudes", "predict", **OMIT),
    subject("dictionary", "magnitudes", "predict", **OMIT),
    subject(
        "dictionary",
        "magnitudes",
        "kneighbors",
        arrays=(),
        bad={"n_neighbors": [0, 99, 1.5, "a", True]},
    ),
    every_option(
        "nlls.fit needs",
        lambda lab, y=None, known=None: NLLSRegressor(
            lab.offsets.model if y is not None else None
        ).fit(lab.offsets.X, y, known=known),
        {"y": [None]},
    ),
    every_option(
        "nlls.fit of offsets",
        lambda lab, known: lab.new("nlls", lab.offsets).fit(lab.offsets.X, known=known),
        {"known": {"None": None, "number": 1.0, "text": "abc"}},
    ),
]


def flagged(kind, name, argument, value):
    """Return a row of a prediction where one row of an argument is not finite."""
    id, call, clean = method(kind, name, "predict")

    def spoiled(lab):
        given = clean(lab)
        given[argument] = given[argument].copy()
        given[argument][2, 0] = value
        return call(lab, **given)

    warns = "a network needs all samples" if kind == "crb" and argument == "X" else ""
    plain = Flagged(lambda lab: call(lab, **clean(lab)), [2], warns)
    return Row(id, argument, f"{value} in a row", spoiled, plain)


NOT_NUMBER = (np.nan, np.inf)
ROWS = [
    flagged(kind, name, argument, value)
    for kind, names in DATA_OF.items()
    for name in names
    for argument in ("X", "known")[: 2 if name == "offsets" else 1]
    for value in NOT_NUMBER
]
ROWS += [
    *[
        Row(
            f"{kind}.predict",
            "sigma",
            "masked",
            lambda lab, kind=kind: lab.fitted(kind, "magnitudes").predict(
                lab.magnitudes.X[:3], sigma=np.ma.masked_equal([[1.0, 1.0, 3.0, 1.0]], 3.0)
            ),
            Like(
                lambda lab, kind=kind: lab.fitted(kind, "magnitudes").predict(
                    lab.magnitudes.X[:3], sigma=[[1.0, 1.0, np.inf, 1.0]]
                ),
                "sigma",
            ),
        )
        for kind in ("nlls", "dictionary", "one_step")
    ],
    flagged("nlls", "offsets", "X", 1e200),
    Row(
        "nlls.predict",
        "sigma",
        "half precision",
        lambda lab: lab.fitted("nlls", "magnitudes").predict(
            lab.magnitudes.X[:3], return_std=True, sigma=np.float16(2.0)
        ),
        Like(
            lambda lab: lab.fitted("nlls", "magnitudes").predict(
                lab.magnitudes.X[:3], return_std=True, sigma=2.0
            ),
            "sigma",
        ),
    ),
    Row(
        "nlls.predict",
        "X",
        "huge",
        lambda lab: lab.fitted("nlls", "magnitudes").predict(
            lab.magnitudes.X[:3] * 2.0**600
        ),
        Like(
            lambda lab: (
                lab.fitted("nlls", "magnitudes").predict(lab.magnitudes.X[:3])
                * np.array([1.0, 2.0**600])
            ),
            "X",
        ),
    ),
]
