"""Confidence intervals hold the truth as often as they say."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm, t

from crbestim import NLLSRegressor, OneStepRegressor
from crbestim.bounds import signal_and_bound
from crbestim.exceptions import LowSignalWarning
from crbestim.models import InversionRecovery, MonoExponential
from crbestim.noise import add_noise
from tests.models.conftest import MODELS, RICIAN

CLOSED = [
    name for name in MODELS if name.startswith(("T1", "T2", "two T2", "SPGR", "IVIM"))
]
TYPICAL = {
    "T1": 1.0,
    "T2": 0.07,
    "T2star": 0.04,
    "T2short": 0.02,
    "T2long": 0.12,
    "efficiency": 0.9,
    "offset": 0.2,
    "fraction": 0.4,
    "f": 0.3,
    "D": 1e-9,
    "Dstar": 2e-8,
    "B1": 0.95,
}
N = 2000
# Three standard errors of the share of N intervals.
SLACK = 3 * np.sqrt(0.95 * 0.05 / N)


def signals(model, share, seed=0):
    """Return typical parameters, signals at which the worst is known to a share, sigma."""
    theta = np.array([[TYPICAL.get(name, 1.0) for name in model.parameter_names]])
    _, bound = signal_and_bound(model, theta, 1.0, noise="gaussian")
    sigma = share / (np.sqrt(bound) / np.abs(theta)).max()
    clean = model.signal(np.repeat(theta, N, axis=0))
    X = add_noise(clean, 1 / sigma, np.random.default_rng(seed), noise=model.noise)
    return theta, X, sigma


def held(interval, theta):
    low, high = interval
    return ((low <= theta) & (theta <= high)).mean(axis=0)


@pytest.mark.parametrize("name", CLOSED)
def test_intervals_hold_the_truth(name):
    model = MODELS[name]()
    theta, X, sigma = signals(model, 0.04)
    reg = NLLSRegressor(model).fit(X)
    for known in (sigma, None):
        with warnings.catch_warnings():
            # Noise is drawn as the model has it.
            warnings.simplefilter("ignore", LowSignalWarning)
            share = held(reg.interval(X, sigma=known), theta)
        np.testing.assert_allclose(share, 0.95, atol=SLACK)


@pytest.mark.parametrize("noise", ["gaussian", "rician"])
def test_few_degrees_of_freedom_need_wider_intervals(noise):
    """1.96 standard deviations hold 86 % with three of them."""
    model = MonoExponential(0.02 * np.arange(1, 6), signal="magnitude", noise=noise)
    theta, X, _ = signals(model, 0.03)
    reg = NLLSRegressor(model).fit(X)
    with pytest.warns(UserWarning, match="rough: .* 3 real numbers .* 0.34 to 1.6 times"):
        y, std = reg.predict(X, return_std=True)
    np.testing.assert_allclose(held(reg.interval(X), theta), 0.95, atol=SLACK)
    narrow = held((y - 1.96 * std, y + 1.96 * std), theta)
    np.testing.assert_allclose(narrow, 0.855, atol=0.025)


def test_steps_have_intervals():
    model = InversionRecovery([0.05, 0.2, 0.5, 1.0, 2.0, 4.0], tr=6.0, **RICIAN)
    theta, X, sigma = signals(model, 0.03)
    reg = OneStepRegressor(model=model).fit(X)
    for known in (sigma, None):
        np.testing.assert_allclose(
            held(reg.interval(X, sigma=known), theta), 0.95, atol=SLACK
        )


def test_ends_are_quantiles_of_estimates():
    model = MonoExponential(0.02 * np.arange(1, 6), signal="magnitude")
    _, X, sigma = signals(model, 0.03)
    X = X[:4].copy()
    X[1, 2], X[2] = np.nan, np.nan
    reg = NLLSRegressor(model, nan_policy="omit").fit(X)
    with pytest.warns(UserWarning, match="rough"):
        y, std = reg.predict(X, return_std=True)
    low, high = reg.interval(X, level=0.8)
    quantiles = t.ppf(0.9, [3, 2, 3, 3])[:, None]
    np.testing.assert_allclose(high - y, quantiles * std)
    np.testing.assert_allclose(y - low, quantiles * std)
    assert np.isnan(low[2]).all()
    y, std = reg.predict(X, return_std=True, sigma=sigma)
    np.testing.assert_allclose(
        reg.interval(X, 0.5, sigma=sigma)[1] - y, norm.ppf(0.75) * std
    )


def test_one_output_keeps_the_shape_of_targets():
    model = MonoExponential(0.02 * np.arange(1, 6))
    theta, X, _ = signals(model, 0.03)
    low, high = NLLSRegressor(model).fit(X[:5], np.repeat(theta[0], 5)).interval(X[:5])
    assert low.shape == high.shape == (5,) and (low < theta[0]).any()


def test_a_linear_model_knows_its_noise():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((200, 1))
    X = y @ [[1.0, 2.0, -1.0]] + 0.1 * rng.standard_normal((200, 3))
    reg = NLLSRegressor(noise_std=0.1).fit(X, y)
    assert held(reg.interval(X), y) == pytest.approx(0.95, abs=0.05)


@pytest.mark.parametrize("level", [0, 1, 95, -0.1, np.nan, "most", [0.9]])
def test_levels_are_shares(level):
    model = MonoExponential(0.02 * np.arange(1, 6))
    _, X, _ = signals(model, 0.03)
    reg = NLLSRegressor(model).fit(X[:2])
    with pytest.raises(ValueError, match="level = .* give a share between 0 and 1"):
        reg.interval(X[:2], level)
