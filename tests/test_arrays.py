"""The door for arrays: every kind of number in, float64 or complex128 out."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim._arrays import as_numbers, as_reals, in_order, is_complex
from crbestim.bounds import cramer_rao_bound, crb_from_jacobian
from crbestim.metrics import crb_loss
from crbestim.models import MonoExponential

VALUES = [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    "values",
    [
        VALUES,
        np.array(VALUES, dtype=np.int8),
        np.array(VALUES, dtype=np.float16),
        np.array(VALUES, dtype=np.longdouble),
        np.array(VALUES, dtype=">f4"),
        np.array(VALUES, order="F")[::-1][::-1],
        np.array(VALUES, dtype=object),
        [[Decimal(1), Fraction(2)], [3, 4]],
        pd.DataFrame(VALUES),
        pd.DataFrame(VALUES).convert_dtypes(),
        torch.tensor(VALUES),
        torch.tensor(VALUES, dtype=torch.int16),
    ],
)
def test_numbers_of_every_kind_are_the_same_numbers(values):
    array = as_numbers(values, "X")
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, VALUES)


@pytest.mark.parametrize(
    "values",
    [
        np.array([1j], dtype=np.complex64),
        np.array([1j], dtype=object),
        torch.tensor([1j]),
        pd.Series([1j]),
    ],
)
def test_complex_numbers_stay_complex_and_are_no_reals(values):
    assert as_numbers(values, "X").dtype == np.complex128
    assert is_complex(values)
    with pytest.raises(ValueError, match="Complex data not supported: crb is complex"):
        as_reals(values, "crb")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.ma.array([100, 2], mask=[0, 1], dtype=np.int8), [100, np.nan]),
        (np.ma.array([1.0, 2.0], mask=[0, 1], dtype=np.float32), [1, np.nan]),
        (pd.array([1, None], dtype="Int64"), [1, np.nan]),
        ([1, None], [1, np.nan]),
    ],
)
def test_what_is_masked_is_missing(values, expected):
    np.testing.assert_array_equal(as_numbers(values, "X"), expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "X is None; give numbers"),
        ("abc", "X holds values of type <U3"),
        ([["1"]], "X holds values of type <U1"),
        (np.array(["1"], dtype=object), "X holds values of type <U1"),
        (
            np.array(["2020-01-01"], dtype="M8[D]"),
            "X holds values of type datetime64",
        ),
        ([[1.0], [1.0, 2.0]], "X is ragged: its rows differ in length"),
        ((i for i in VALUES), "X is an object of type generator; give numbers"),
        ([10**400], "X holds an object of type int; give numbers"),
        (scipy.sparse.eye_array(2), r"X is a sparse matrix; give a dense one, X.toarray"),
        (scipy.sparse.eye_array(2) * 1j, "X is a sparse matrix"),
        (
            torch.ones(2, requires_grad=True),
            "X is a tensor with a gradient, .*detach",
        ),
    ],
)
def test_what_is_no_array_of_numbers(values, message):
    with pytest.raises((TypeError, ValueError, OverflowError), match=message):
        as_numbers(values, "X")


def test_an_array_that_is_right_is_not_copied():
    X = np.ones((2, 2))
    assert as_numbers(X, "X") is X


def test_columns_go_by_name():
    frame = pd.DataFrame(VALUES, columns=["M0", "T2"])
    assert in_order(frame, ("T2", "M0"), "y").columns.tolist() == ["T2", "M0"]
    assert in_order(frame, None, "y") is frame
    for columns in (["M0", "T1"], ["M0", "M0"], [0, 1]):
        with pytest.raises(ValueError, match="with .*; give the columns T2, M0"):
            in_order(frame.set_axis(columns, axis=1), ("T2", "M0"), "y")


MODEL = MonoExponential([0.01, 0.03, 0.06, 0.1], signal="magnitude")
Y = np.column_stack([np.linspace(0.04, 0.2, 40), np.linspace(90.0, 110.0, 40)])
X = MODEL.signal(Y) * (1 + 0.01 * np.random.default_rng(0).standard_normal((40, 4)))
CRB = cramer_rao_bound(MODEL, Y, 0.01)


def turned(values):
    """Return a frame whose columns are named, in another order than the model's."""
    return pd.DataFrame(values, columns=MODEL.parameter_names).iloc[:, ::-1]


def test_functions_take_columns_of_theta_by_name():
    np.testing.assert_array_equal(MODEL.signal(turned(Y)), MODEL.signal(Y))
    np.testing.assert_array_equal(cramer_rao_bound(MODEL, turned(Y), 0.01), CRB)
    other = 1.01 * Y
    loss = crb_loss(Y, other, CRB)
    named = pd.DataFrame(Y, columns=MODEL.parameter_names)
    assert crb_loss(named, turned(other), turned(CRB)) == loss


@pytest.mark.parametrize(
    "estimator",
    [
        CRBRegressor(MODEL, max_iter=1, random_state=0),
        CRBRegressor(random_state=0, max_iter=1),
        NLLSRegressor(MODEL),
        NLLSRegressor(),
        OneStepRegressor(model=MODEL),
        DictionaryRegressor(MODEL),
    ],
    ids=lambda e: f"{type(e).__name__}-{e.model is not None}",
)
@pytest.mark.filterwarnings("ignore:Maximum number of")
def test_estimators_take_columns_by_name(estimator):
    plain = estimator.fit(X, Y, crb=CRB)
    expected, score = plain.predict(X), plain.score(X, Y, crb=CRB)
    assert plain.score(X, turned(Y), crb=turned(CRB)) == score or estimator.model is None
    first = turned(Y) if estimator.model is not None else turned(Y).iloc[:, ::-1]
    named = estimator.fit(X, first, crb=turned(CRB))
    np.testing.assert_array_equal(named.predict(X), expected)
    # Without a model, the names are those of fit.
    assert named.score(X, turned(Y), crb=turned(CRB)) == score
    with pytest.raises(ValueError, match="y is a data frame with T1, M0; give the columns"):
        named.score(X, turned(Y).set_axis(["T1", "M0"], axis=1), crb=CRB)


def test_bounds_of_small_types():
    J = np.array([[[100], [120]]], dtype=np.int8)
    assert crb_from_jacobian(J)[0, 0] == pytest.approx(1 / 24400, rel=1e-12)
    assert crb_from_jacobian(J, m0=np.int8(-128)) == crb_from_jacobian(J, m0=128.0)
