"""NLLSRegressor without a model: classical calibration, linear and inverted."""

import numpy as np
import pytest

from crbestim.estimators.nlls import NLLSRegressor


@pytest.mark.parametrize("n_features", [1, 3, 8])
def test_linear_calibration_recovers_a_linear_signal(n_features):
    rng = np.random.default_rng(0)
    y = rng.standard_normal((50, 1)) * 1e-6
    X = 1e3 + y * 1e6 @ rng.standard_normal((1, n_features))
    np.testing.assert_allclose(NLLSRegressor().fit(X, y).predict(X), y, rtol=1e-6)


def test_linear_calibration_survives_lack_of_rank():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((50, 3))
    X = y @ rng.standard_normal((3, 2))
    reg = NLLSRegressor().fit(X, y)
    estimate, std = reg.predict(X, return_std=True)
    refit = estimate @ np.linalg.lstsq(y, X, rcond=None)[0]
    np.testing.assert_allclose(refit, X, atol=1e-10)
    assert np.isinf(std).all()


def test_linear_calibration_does_not_depend_on_complex_factors():
    rng = np.random.default_rng(0)
    y = 0.1 * rng.standard_normal((200, 2))
    base, slope = (rng.standard_normal((n, 6, 2)).view(complex)[..., 0] for n in (1, 2))
    X = base + y @ slope
    factor = rng.uniform(0.5, 2, (200, 1)) * np.exp(2j * np.pi * rng.random((200, 1)))
    one = NLLSRegressor().fit(X, y).predict(X)
    other = NLLSRegressor().fit(factor * X, y).predict(3j * factor * X)
    np.testing.assert_allclose(other, one, atol=1e-8)
    # What is left is the curvature of the division, of second order in y.
    assert np.sqrt(np.mean((one - y) ** 2)) < 0.3 * y.std()
    X[3] = 0
    assert np.isnan(NLLSRegressor().fit(X, y).predict(X)[3]).all()


def test_linear_standard_deviation_is_that_of_repeated_noise():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((100, 2))
    slope = rng.standard_normal((2, 5))
    reg = NLLSRegressor(noise_std=0.1).fit(y @ slope, y)
    noisy = y[:1] @ slope + 0.1 * rng.standard_normal((4000, 5))
    estimate, std = reg.predict(noisy, return_std=True)
    np.testing.assert_allclose(estimate.std(axis=0), std[0], rtol=0.05)
