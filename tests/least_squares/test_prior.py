"""Normal priors: of targets, given, and of what has a period."""

import numpy as np
import pytest

from crbestim.estimators._calibration import prior_precision
from crbestim.least_squares.prior import GaussianPrior, resolve_prior
from crbestim.models import SignalModel
from crbestim.parameters import Parameter


class Two(SignalModel):
    parameters = Parameter("a", (0.0, 1e-5)), Parameter("b", (-10.0, 10.0))


class Periodic(SignalModel):
    parameters = Parameter("a", (0.0, 1.0)), Parameter("b", (-1.0, 1.0), period=2.0)


def targets(n=500):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, n))
    return np.stack([5e-6 + 1e-6 * a, 2.0 + a + 3 * b], axis=1)


def test_the_precision_is_the_inverse_covariance():
    y = targets()
    covariance = np.cov(y.T, bias=True)
    precision = prior_precision(y, y.std(axis=0))
    np.testing.assert_allclose(precision @ covariance, np.eye(2), atol=1e-5)


def test_a_prior_of_many_targets_is_that_of_their_moments():
    y = targets(100_000)
    learned = resolve_prior("gaussian", Two(), y, Two().bounds)
    np.testing.assert_allclose(learned.mean, y.mean(axis=0), rtol=1e-4)
    deviations = learned.residual(y)
    np.testing.assert_allclose(np.cov(deviations.T, bias=True), np.eye(2), atol=2e-4)
    moments = y.mean(axis=0), np.cov(y.T, bias=True)
    given = resolve_prior(moments, Two(), y[:1], Two().bounds)
    np.testing.assert_allclose(given.residual(y), learned.residual(y), atol=2e-3)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_a_prior_of_few_or_equal_targets_is_wide(n):
    # One more target, spread evenly over the bounds, is the only one that varies.
    y = np.tile([[1e-6, 3.0]], (n, 1))
    prior = resolve_prior("gaussian", Two(), y, Two().bounds)
    variance = np.diag(np.linalg.inv(prior.precision))
    width = np.array([1e-5, 20.0])
    from_mean = n / (n + 1) ** 2 * (y[0] - [5e-6, 0.0]) ** 2
    np.testing.assert_allclose(variance, width**2 / 12 / (n + 1) + from_mean, rtol=1e-9)
    np.testing.assert_allclose(prior.mean, (n * y[0] + [5e-6, 0.0]) / (n + 1))


def test_what_has_a_period_has_no_prior():
    y = np.random.default_rng(0).uniform(0, 1, (5000, 2))
    bounds = Periodic().bounds
    learned = resolve_prior("gaussian", Periodic(), y, bounds)
    given = resolve_prior((y.mean(axis=0), np.cov(y.T)), Periodic(), y, bounds)
    for prior in (learned, given):
        assert (prior.root[:, 1] == 0).all() and prior.precision[0, 0] > 0
        np.testing.assert_allclose(prior.precision[0, 0], 1 / y[:, 0].var(), rtol=1e-2)
    flat = GaussianPrior.from_targets(y, bounds, np.ones(2, dtype=bool))
    assert (flat.root == 0).all()


def test_no_prior():
    assert resolve_prior(None, Two(), targets(), Two().bounds) is None


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ((np.zeros(3), np.eye(2)), r"give \(mean, covariance\) of shapes \(2,\) and"),
        ((np.zeros(2),), "prior has parts of shape"),
        ((np.zeros(2), -np.eye(2)), "not symmetric and positive definite"),
        ((np.zeros(2), np.ones((2, 2))), "not symmetric and positive definite"),
        ((np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]])), "not symmetric"),
        ((np.full(2, np.nan), np.eye(2)), "not finite"),
    ],
)
def test_wrong_priors(prior, message):
    with pytest.raises(ValueError, match=message):
        resolve_prior(prior, Two(), targets(), Two().bounds)
