"""Robust losses: against SciPy, with outliers, and what they refuse."""

import warnings

import numpy as np
import pytest
from scipy.optimize import least_squares

from crbestim import NLLSRegressor
from crbestim.exceptions import LowSignalWarning
from crbestim.least_squares.robust import WEIGHTS
from crbestim.models import InversionRecovery, MonoExponential

TE = 0.012 * np.arange(1, 11)
MODEL = MonoExponential(TE, signal="magnitude")


def measured(n=20, n_bad=1):
    """Return decays with outliers."""
    rng = np.random.default_rng(0)
    X = 1500 * np.exp(-TE / 0.06) + 15 * rng.standard_normal((n, 10))
    bad = rng.random((n, 10)).argsort(axis=1)[:, :n_bad]
    np.put_along_axis(X, bad, np.take_along_axis(X, bad, 1) + 600, axis=1)
    return X


@pytest.mark.parametrize("loss", WEIGHTS)
@pytest.mark.parametrize("f_scale", [1.0, 2.5])
def test_minima_are_those_of_scipy(loss, f_scale):
    X = measured()
    fits = NLLSRegressor(MODEL, loss=loss, f_scale=f_scale, tol=1e-10).fit(X)
    found = fits.predict(X, sigma=15.0)
    for row, y in zip(X, found, strict=True):
        best = least_squares(
            lambda p, row=row: (row - p[1] * 1500 * np.exp(-TE / p[0])) / 15,
            y / [1, 1500],
            loss=loss,
            f_scale=f_scale,
            x_scale=[0.06, 1.0],
            **dict.fromkeys(["ftol", "xtol", "gtol"], 1e-14),
        ).x
        np.testing.assert_allclose(y, best * [1, 1500], rtol=1e-4)


@pytest.mark.parametrize("loss", WEIGHTS)
@pytest.mark.parametrize("sigma", [15.0, None])
def test_an_outlier_counts_less(loss, sigma):
    X = measured(300)
    with warnings.catch_warnings():
        # Outliers look like noise.
        warnings.simplefilter("ignore", LowSignalWarning)
        plain = NLLSRegressor(MODEL).fit(X).predict(X)
        robust = NLLSRegressor(MODEL, loss=loss).fit(X).predict(X, sigma=sigma)
    errors = [np.sqrt(np.mean((y[:, 0] - 0.06) ** 2)) for y in (plain, robust)]
    assert errors[1] < 0.2 * errors[0]


def test_few_deviations_change_little():
    X = measured(n_bad=0)
    plain = NLLSRegressor(MODEL).fit(X).predict(X)
    found = NLLSRegressor(MODEL, loss="huber", f_scale=10.0).fit(X).predict(X, sigma=15.0)
    np.testing.assert_array_equal(found, plain)


def test_estimates_follow_the_scale_and_not_their_neighbours():
    X = measured()
    reg = NLLSRegressor(MODEL, loss="cauchy").fit(X)
    y = reg.predict(X)
    np.testing.assert_array_equal(reg.predict(2.0**30 * X), y * [1, 2.0**30])
    np.testing.assert_allclose(reg.predict(1e9 * X), y * [1, 1e9], rtol=1e-7)
    np.testing.assert_array_equal(reg.predict(X[[7, 3]]), y[[7, 3]])


def test_complex_signals_and_missing_samples():
    model = InversionRecovery([0.05, 0.15, 0.4, 0.8, 1.5, 2.5, 4.0], tr=8.0)
    rng = np.random.default_rng(1)
    clean = 900 * np.exp(0.4j) * model.signal(np.tile([[1.0, 0.95]], (100, 1)))
    X = clean + 9 * rng.standard_normal((100, 7, 2)).view(complex)[..., 0]
    X[:, 3] += 500j
    X[:50, 6] = np.nan
    reg = NLLSRegressor(model, loss="cauchy", nan_policy="omit").fit(X)
    fits = reg.fit_voxels(X)
    np.testing.assert_allclose(np.median(fits.theta, axis=0), [1.0, 0.95], rtol=0.03)
    assert np.isnan(fits.covariance).all()
    without = NLLSRegressor(model).fit(X[50:]).predict(X[50:])
    assert abs(np.median(without[:, 0]) - 1) > 3 * abs(np.median(fits.theta[50:, 0]) - 1)


def test_what_does_not_go_together_is_refused():
    X = measured()
    rician = MonoExponential(TE, signal="magnitude", noise="rician")
    for reg in (NLLSRegressor(rician, loss="huber"), NLLSRegressor(loss="huber")):
        with pytest.raises(ValueError, match="loss='huber' does not go with"):
            reg.fit(X, np.ones((20, 2)))
    with pytest.raises(ValueError, match="does not go with a prior"):
        NLLSRegressor(MODEL, loss="huber", prior="gaussian").fit(X)
    for wrong in ({"loss": "square"}, {"f_scale": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            NLLSRegressor(MODEL, **wrong).fit(X)
