"""Measures in units of the bound, against numbers worked out by hand."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.linear_model import LinearRegression

from crbestim.metrics import (
    crb_loss,
    efficiency_score,
    efficiency_scorer,
    wrapped_error,
)

TRUTH = np.array([[0.0, 10.0], [1.0, 20.0]])
ESTIMATE = np.array([[0.1, 11.0], [1.0, 23.0]])
CRB = np.array([[0.01, 1.0], [0.04, np.inf]])


def test_loss_by_hand():
    # Ratios are 1, 1, 0 and one that is left out: not counted as perfect.
    assert crb_loss(TRUTH, ESTIMATE, CRB) == pytest.approx(2 / 3)
    raw = crb_loss(TRUTH, ESTIMATE, CRB, multioutput="raw_values")
    np.testing.assert_allclose(raw, [0.5, 1.0])


def test_efficiency_is_the_inverse_of_the_loss():
    assert efficiency_score(TRUTH, ESTIMATE, CRB) == pytest.approx(1.5)
    raw = efficiency_score(TRUTH, ESTIMATE, CRB, multioutput="raw_values")
    np.testing.assert_allclose(raw, [2.0, 1.0])
    assert efficiency_score(TRUTH, TRUTH, CRB) == np.inf


def test_sample_weight():
    loss = crb_loss(TRUTH, ESTIMATE, CRB, sample_weight=[3.0, 1.0])
    assert loss == pytest.approx(6 / 7)


def test_huge_errors_count():
    assert crb_loss([[1.0], [1.0]], [[1e150], [1.0]], np.ones((2, 1))) > 1e299
    with np.errstate(over="ignore"):
        assert crb_loss([[1.0]], [[1e200]], [[1.0]]) == np.inf


def test_column_without_finite_bound_is_nan():
    raw = crb_loss(TRUTH, ESTIMATE, np.full((2, 2), np.inf), multioutput="raw_values")
    assert np.isnan(raw).all()


def test_errors_are_taken_modulo_the_period():
    error = wrapped_error([[0.9, 0.9]], [[-0.9, -0.9]], periods=[2.0, np.inf])
    np.testing.assert_allclose(error, [[0.2, -1.8]])
    loss = crb_loss([[0.9]], [[-0.9]], [[0.01]], periods=[2.0])
    assert loss == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("crb", "message"),
    [
        (np.array([[0.01, 0.0], [1, 1]]), r"crb\[0, 1\] = 0"),
        (np.array([[0.01, 1], [-1.0, 1]]), r"crb\[1, 0\] = -1"),
        (np.array([[0.01, 1], [np.nan, 1]]), r"crb\[1, 0\] = nan"),
        (np.ones((2, 3)), r"crb has shape \(2, 3\)"),
        (np.ones((2, 2)) * 1j, "Complex data not supported"),
    ],
)
def test_bad_bounds(crb, message):
    with pytest.raises(ValueError, match=message):
        crb_loss(TRUTH, ESTIMATE, crb)


def test_bad_arguments():
    with pytest.raises(ValueError, match="y_true has shape"):
        crb_loss(TRUTH, ESTIMATE[:, :1], CRB)
    with pytest.raises(ValueError, match="sample_weight has shape"):
        crb_loss(TRUTH, ESTIMATE, CRB, sample_weight=[1.0])
    with pytest.raises(ValueError, match="multioutput='sum'"):
        crb_loss(TRUTH, ESTIMATE, CRB, multioutput="sum")
    with pytest.raises(ValueError, match="NaN"):
        crb_loss(TRUTH, ESTIMATE * np.nan, CRB)


def test_scorer_takes_the_bound_as_metadata():
    X = np.array([[0.0], [1.0], [2.0]])
    reg = LinearRegression().fit(X, X)
    y = X + [[0.1], [-0.1], [0.1]]
    with config_context(enable_metadata_routing=True):
        score = efficiency_scorer(reg, X, y, crb=np.full((3, 1), 0.01))
    assert score == pytest.approx(1.0)
