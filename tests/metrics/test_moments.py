"""Bias and variance over repeated noise."""

import numpy as np
import pytest

from crbestim.metrics import BiasVariance, bias_variance
from tests.metrics.lines import Line, Scaled


def test_bias_variance_of_an_unbiased_estimator():
    report = bias_variance(Scaled(1.0), Line(), [[1.0], [3.0]], 10, 4000, random_state=0)
    # Standard errors: variance ratio sqrt(2/4000/2), bias ratio about as small.
    assert report.variance_ratio == pytest.approx(1.0, abs=0.08)
    assert report.bias_ratio == pytest.approx(0.0, abs=0.003)
    assert report.loss == pytest.approx(1.0, abs=0.08)
    assert report.median_ratio == pytest.approx(1.0, abs=0.1)
    assert report.outlier_share == 0


def test_bias_variance_of_a_biased_estimator():
    # CRB = sigma^2/5 = 0.002; estimates are 1.1 times too large on truths 1 and 3.
    report = bias_variance(Scaled(1.1), Line(), [[1.0], [3.0]], 10, 4000, random_state=0)
    expected = (0.1**2 + 0.3**2) / 2 / 0.002
    assert report.bias_ratio == pytest.approx(expected, rel=0.02)
    assert report.variance_ratio == pytest.approx(1.21, abs=0.1)
    assert report.loss == pytest.approx(expected + 1.21, rel=0.02)
    assert 0.4 < report.outlier_share[0] < 0.6


def test_bias_variance_depends_on_the_seed_alone():
    args = (Scaled(1.0), Line(), [[1.0]], 10, 3)
    first, second = (bias_variance(*args, random_state=1).errors for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.any(first != bias_variance(*args, random_state=2).errors)


def test_bias_variance_needs_two_realizations():
    with pytest.raises(ValueError, match="n_realizations = 1"):
        bias_variance(Scaled(1.0), Line(), [[1.0]], 10, 1)


def test_measures_by_hand():
    # Two realizations of three samples, the last of which has an infinite bound.
    errors = np.array([[[1.0], [0.0], [9.0]], [[3.0], [-12.0], [9.0]]])
    report = BiasVariance.from_errors(errors, np.array([[1.0], [4.0], [np.inf]]))
    np.testing.assert_allclose(report.bias[:2], [[2.0], [-6.0]])
    np.testing.assert_allclose(report.variance[:2], [[2.0], [72.0]])
    # bias^2 - variance/2 is 3 and 0.
    assert report.bias_ratio == pytest.approx(3 / 2)
    assert report.variance_ratio == pytest.approx((2 + 72 / 4) / 2)
    assert report.loss == pytest.approx((5 + 72 / 4) / 2)
    # error^2/CRB is 1, 0, 9, 36: half of 1 + 9 over the median of chi-square.
    assert report.median_ratio == pytest.approx(5 / 0.4549364)
    assert report.outlier_share == pytest.approx(1 / 4)


def test_measures_without_a_finite_bound_are_nan():
    report = BiasVariance.from_errors(np.ones((2, 3, 1)), np.full((3, 1), np.inf))
    names = ("loss", "bias_ratio", "variance_ratio", "median_ratio", "outlier_share")
    assert np.isnan([getattr(report, name) for name in names]).all()


@pytest.mark.parametrize("snr", [0.0, -1.0, np.inf, np.nan, (10, 20)])
def test_bias_variance_needs_one_positive_snr(snr):
    with pytest.raises(ValueError, match="give (a positive|one) number"):
        bias_variance(Scaled(1.0), Line(), [[1.0]], snr)


class Answers:
    """Predict the same, whatever the signals."""

    def __init__(self, prediction):
        self.prediction = prediction

    def predict(self, X):
        return self.prediction


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (np.ones((3, 1)), r"Answers predicts shape \(3, 1\).* ask for \(2, 1\)"),
        (np.ones((1, 2)), r"Answers predicts shape \(1, 2\).* ask for \(2, 1\)"),
        (np.ones((2, 1)) * 1j, "Complex data not supported: Answers"),
        (np.array([[1.0], [np.nan]]), "the estimator's prediction contains NaN"),
    ],
)
def test_bias_variance_refuses_what_is_no_estimate(prediction, message):
    with pytest.raises(ValueError, match=message):
        bias_variance(Answers(prediction), Line(), [[1.0], [2.0]], 10)


def test_bias_variance_takes_a_vector_for_a_single_parameter():
    report = bias_variance(Answers(np.array([1.0, 5.0])), Line(), [[1.0], [2.0]], 10)
    np.testing.assert_allclose(report.bias, [[0.0], [3.0]])
