"""Standard deviations, residuals, and the warning of other noise."""

import sys

import numpy as np
import pytest
from scipy.stats import kstest

from crbestim import CRBRegressor
from crbestim._measurements import Measurements
from crbestim._validation import check_sigma
from crbestim.bounds import crb_from_jacobian
from crbestim.datasets import make_fingerprints
from crbestim.estimators._residuals import Residuals, analyze_residuals
from crbestim.exceptions import NoiseLevelWarning
from crbestim.metrics import wrapped_error
from crbestim.models import BiExponential, SignalModel
from crbestim.noise import add_noise


def small(model=None, **changes):
    options = dict(hidden_layer_sizes=(16, 16), max_iter=3, random_state=0)
    return CRBRegressor(model, **{**options, **changes})


@pytest.fixture(scope="module")
def fitted(model, fingerprints):
    options = dict(hidden_layer_sizes=(32,) * 4, max_iter=200, n_iter_no_change=200)
    return small(model, validation_fraction=0.2, **options).fit(*fingerprints)


def noisy(model, theta, snr, seed=0):
    return add_noise(model.signal(theta), snr, np.random.default_rng(seed))


def test_no_estimate_needs_no_more_than_the_noise(model, fingerprints):
    """At the truth, the unexplained part is chi-square distributed with n_free."""
    theta = fingerprints[1][100:300]
    X = np.concatenate([noisy(model, theta, 1e3, seed) for seed in range(10)])
    explanation = analyze_residuals(model, Measurements(X), np.tile(theta, (10, 1)))
    assert (explanation.n_free == 2 * 8 - 7 - 2).all()
    chi_square = (explanation.unexplained * 1e3) ** 2
    assert kstest(chi_square, "chi2", args=(7,)).pvalue > 0.01


def test_small_errors_of_the_estimate_stay_explained(model, fingerprints):
    theta = fingerprints[1][:50]
    X = noisy(model, theta, 1e12)
    scale = np.diff(model.bounds, axis=1).ravel()
    wrong = np.clip(theta + 1e-5 * scale, *model.bounds.T)
    norm = np.linalg.norm(X, axis=1)
    unexplained = analyze_residuals(model, Measurements(X), wrong).unexplained
    moved = np.linalg.norm(model.signal(wrong) - model.signal(theta), axis=1)
    assert np.median(unexplained / moved) < 1e-3
    assert np.median(moved / norm) > 1e-6


def test_explanation_finds_m0(model, fingerprints):
    theta = fingerprints[1][:5]
    X = (3 - 4j) * model.signal(theta)
    np.testing.assert_allclose(analyze_residuals(model, Measurements(X), theta).m0, 3 - 4j)


def test_standard_deviation_by_hand(model, fingerprints, fitted):
    X = 2j * fingerprints[0][:4]
    estimate, std = fitted.predict(X, return_std=True, sigma=0.02)
    signal, jacobian = model.signal(estimate, jacobian=True)
    m0 = (signal.conj() * X).sum(axis=1) / (np.abs(signal) ** 2).sum(axis=1)
    variance = crb_from_jacobian(
        jacobian,
        signal,
        noise_std=0.02,
        m0=m0,
        prior_precision=fitted.prior_precision_,
    )
    snr = np.log(np.abs(m0) / 0.02)
    levels = np.log(fitted.std_factors_["snr"])
    factors = [np.interp(snr, levels, f) for f in fitted.std_factors_["factor"].T]
    np.testing.assert_allclose(std, np.sqrt(variance) * np.transpose(factors), rtol=1e-6)


@pytest.mark.parametrize("snr", [60.0, 100.0, 180.0])
def test_intervals_cover_what_they_say(model, fitted, snr):
    X, y = make_fingerprints(model, 3000, snr=snr, random_state=5)
    estimate, std = fitted.predict(X, return_std=True)
    ratio = np.abs(wrapped_error(y, estimate, model.periods)) / std
    # The factors come from 60 rows, which leaves 6 % of uncertainty in a coverage.
    assert (ratio < 1).mean(axis=0) == pytest.approx(0.68, abs=0.2)
    assert (ratio < 1).mean() == pytest.approx(0.68, abs=0.08)
    assert (ratio < 1.96).mean() == pytest.approx(0.95, abs=0.06)


def test_few_held_out_rows_do_not_set_the_calibration():
    """The noise that twelve echoes show varies by a factor of two, of three voxels less."""
    model = BiExponential(0.01 * np.arange(1, 13))
    X, y, crb = make_fingerprints(model, 300, snr=100, return_crb=True, random_state=2)
    for seed in range(3):
        options = dict(validation_fraction=0.01, random_state=seed)
        low, high = small(model, **options).fit(X, y, crb=crb).apparent_snr_range_
        assert high > 1.6 * low


def test_prior_adds_to_the_information():
    jacobian = np.ones((1, 4, 1))
    # Information 4 / 0.5^2 = 16, plus 9.
    variance = crb_from_jacobian(jacobian, noise_std=0.5, prior_precision=[[9.0]])
    np.testing.assert_allclose(variance, 1 / 25)


def test_prior_is_the_spread_of_the_targets(fitted, fingerprints):
    covariance = np.cov(fingerprints[1].T, bias=True)
    np.testing.assert_allclose(
        fitted.prior_precision_ @ covariance, np.eye(7), atol=1e-6 * 1e3
    )


@pytest.mark.filterwarnings("ignore:sigma does not fit the data")
def test_standard_deviation_follows_noise_and_scale(fitted, fingerprints):
    X = fingerprints[0][:20]
    one = fitted.predict(X, return_std=True, sigma=1e-4)[1]
    b1 = fitted.model.parameter_names.index("B1")
    more = fitted.predict(X, return_std=True, sigma=2e-4)[1]
    assert 1.5 < np.median((more / one)[:, b1]) < 2.1
    scaled = fitted.predict(5 * X, return_std=True, sigma=5e-4)[1]
    np.testing.assert_allclose(scaled, one, rtol=1e-4)
    each = fitted.predict(X, return_std=True, sigma=np.full(20, 1e-4))[1]
    np.testing.assert_array_equal(each, one)


def test_noise_is_estimated_from_what_is_unexplained(fitted, fingerprints, model):
    theta = np.repeat(fingerprints[1][:1], 400, axis=0)
    theta[:, :3] = [0.12, 0.8, 14.0]
    X = noisy(model, theta, 100.0)
    estimated = fitted.predict(X, return_std=True)[1]
    given = fitted.predict(X, return_std=True, sigma=0.01)[1]
    assert np.median(estimated / given, axis=0) == pytest.approx(1, abs=0.15)


@pytest.mark.filterwarnings("ignore:sigma does not fit the data")
def test_without_signal_all_that_is_left_is_the_prior(model, fingerprints, fitted):
    std = fitted.predict(fingerprints[0][:3], return_std=True, sigma=1e6)[1]
    covariance = np.linalg.inv(fitted.prior_precision_)
    expected = np.sqrt(np.diag(covariance)) * np.broadcast_to(
        fitted.std_factors_["factor"][0], std.shape
    )
    np.testing.assert_allclose(std, expected, rtol=1e-3)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, np.inf, [0.1, 0.2]])
def test_bad_sigma(fitted, fingerprints, sigma):
    with pytest.raises(ValueError, match="sigma"):
        fitted.predict(fingerprints[0], return_std=True, sigma=sigma)


def test_no_noise_level_without_a_sigma():
    assert check_sigma(None, 3) is None


def test_what_needs_a_model(fingerprints):
    X, y, crb = fingerprints
    reg = small().fit(X, y, crb=crb)
    with pytest.raises(ValueError, match="return_std compares signals with a model's"):
        reg.predict(X, return_std=True)
    with pytest.raises(ValueError, match="residual compares signals with a model's"):
        reg.residual(X)


class Pair(SignalModel):
    """Two complex samples of two parameters: nothing is left for noise."""

    parameter_names = ("R2", "omega0")
    bounds = np.array([[1.0, 50.0], [-100.0, 100.0]])

    def signal(self, theta):
        r2, omega0 = theta.T[:, :, None]
        return np.exp((1j * omega0 - r2) * np.array([0.005, 0.02]))


def test_too_few_samples_to_estimate_noise():
    y = np.random.default_rng(0).uniform([1, -50], [40, 50], (60, 2))
    X = noisy(Pair(), y, 100.0)
    reg = small(Pair()).fit(X, y)
    with pytest.warns(UserWarning, match="leaves none to estimate the noise from"):
        assert np.isnan(reg.predict(X, return_std=True)[1]).all()
    assert np.isfinite(reg.predict(X, return_std=True, sigma=0.01)[1]).all()
    with pytest.raises(ValueError, match="it can explain any signal, and there is no"):
        reg.residual(X, sigma=0.01)
    found = analyze_residuals(Pair(), Measurements(X), y, prior_precision=np.eye(2))
    assert np.isnan(found.std).all() and np.isfinite(found.m0).all()


@pytest.mark.filterwarnings("ignore:sigma does not fit the data")
@pytest.mark.parametrize("scale", [1e-150, 1e200])
def test_signals_of_any_size(fitted, fingerprints, scale):
    X = fingerprints[0][:20]
    expected = fitted.predict(X, return_std=True, sigma=1e-3)
    scaled = fitted.predict(scale * X, return_std=True, sigma=1e-3 * scale)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)


class Gap(Pair):
    """A model without signal, and one that is not finite, at some parameters."""

    def signal(self, theta):
        r2 = theta[:, :1]
        return np.where(r2 > 40, np.nan, np.where(r2 > 30, 0, super().signal(theta)))


def test_a_model_that_fails_at_an_estimate_stops_no_other_voxel():
    theta = np.array([[10.0, 5.0], [35.0, 5.0], [45.0, 5.0]])
    X = noisy(Pair(), theta, 100.0)
    data, prior = Measurements(X, np.full(3, 0.01)), np.eye(2)
    seen = analyze_residuals(Gap(), data, theta, prior_precision=prior)
    alone = analyze_residuals(Gap(), data[:1], theta[:1], prior_precision=prior)
    np.testing.assert_array_equal(seen.std[0], alone.std[0])
    np.testing.assert_allclose(seen.std[1:], 1.0)


class RealLine(SignalModel):
    """A real model, whose scale is a parameter."""

    parameter_names = ("slope",)
    bounds = np.array([[0.0, 2.0]])

    def signal(self, theta):
        return theta * np.array([1.0, 2.0, 3.0])


def test_real_models():
    rng = np.random.default_rng(0)
    y = rng.uniform(0.5, 2, (2000, 1))
    X = RealLine().signal(y) + 0.01 * rng.standard_normal((2000, 3))
    explanation = analyze_residuals(RealLine(), Measurements(X), y)
    assert (explanation.n_free == 2).all()
    assert (explanation.unexplained**2).mean() == pytest.approx(2e-4, rel=0.1)
    np.testing.assert_allclose(explanation.snr, np.sqrt(2) / explanation.unexplained)
    data = Measurements(X, np.full(2000, 0.01))
    std = analyze_residuals(RealLine(), data, y, prior_precision=[[0.0]]).std
    np.testing.assert_allclose(std, 0.01 / np.sqrt(14))


def truth(model, X, theta, sigma=None, false_alarm_rate=1e-2):
    """Residuals of voxels at the truth, in place of a network's estimate."""
    usable = (X != 0).any(axis=1)
    data = Measurements(X, None if sigma is None else np.full(len(X), sigma))[usable]
    return Residuals.of_voxels(model, data, usable, theta, false_alarm_rate)


@pytest.mark.parametrize("rate", [0.1, 0.01])
@pytest.mark.parametrize("sigma", [None, 0.01])
def test_false_alarms(model, fingerprints, rate, sigma):
    theta = np.tile(fingerprints[1], (20, 1))
    X = noisy(model, theta, 100.0)
    residuals = truth(model, X, theta, false_alarm_rate=rate, sigma=sigma)
    spread = np.sqrt(rate / len(X))
    assert residuals.flag.mean() == pytest.approx(rate, abs=5 * spread)


def test_what_the_model_cannot_explain_is_flagged(model, fingerprints):
    theta = fingerprints[1]
    X = noisy(model, theta, 100.0)
    fat = np.arange(0, 300, 10)
    rng = np.random.default_rng(1)
    X[fat] += 0.3 * (rng.standard_normal((30, 8)) + 1j * rng.standard_normal((30, 8)))
    residuals = truth(model, X, theta)
    assert residuals.flag[fat].all()
    assert np.delete(residuals.flag, fat).mean() < 0.05
    assert np.delete(residuals.sigma, fat) == pytest.approx(0.01, rel=0.1)


def test_residual_of_an_estimator(fitted, fingerprints):
    X = fingerprints[0].copy()
    X[7] = 0
    residuals = fitted.residual(X)
    assert residuals.flag[7] and np.isnan(residuals.unexplained[7])
    others = np.arange(300) != 7
    assert ((residuals.unexplained[others] > 0) & (residuals.unexplained[others] < 1)).all()
    lenient = fitted.residual(X, false_alarm_rate=1e-9)
    assert lenient.limit > residuals.limit
    assert lenient.flag.sum() <= residuals.flag.sum()
    known = fitted.residual(X, sigma=1.0)
    np.testing.assert_array_equal(np.flatnonzero(known.flag), [7])
    np.testing.assert_allclose(
        np.sqrt(known.chi_square[others]),
        known.unexplained[others] * np.linalg.norm(X[others], axis=1),
    )
    assert fitted.residual(0 * X[:3]).flag.all()


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, np.nan])
def test_bad_false_alarm_rate(fitted, fingerprints, rate):
    with pytest.raises(ValueError, match="false_alarm_rate"):
        fitted.residual(fingerprints[0], false_alarm_rate=rate)


@pytest.fixture(scope="module")
def clear(model, fingerprints):
    """Return an estimator for signals well above the noise."""
    options = dict(hidden_layer_sizes=(32,) * 4, max_iter=100, n_iter_no_change=100)
    return small(model, snr=(500, 2000), **options).fit(*fingerprints)


def test_more_noise_is_noticed(model, fingerprints, clear):
    X = noisy(model, fingerprints[1], 20.0)
    with pytest.warns(NoiseLevelWarning, match="much noisier .*true ratios 500 to 2000"):
        clear.predict(X)


def test_more_noise_of_a_few_voxels_is_noticed(model, fingerprints, clear):
    X = noisy(model, fingerprints[1], 2.0)
    for n in (5, 20):
        with pytest.warns(NoiseLevelWarning, match="much noisier"):
            clear.predict(X[:n])


def test_a_trained_network_needs_no_torch(model, fingerprints, clear, monkeypatch):
    X = noisy(model, fingerprints[1], 1000.0)
    expected = clear.predict(X)
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_array_equal(clear.predict(X), expected)


def test_less_noise_is_noticed(model, fingerprints, fitted):
    X = noisy(model, fingerprints[1], 1e6)
    with pytest.warns(NoiseLevelWarning, match="much less noisy .*true ratios 50.* to 199"):
        fitted.predict(X)


@pytest.mark.parametrize("snr", [500.0, 1000.0, 2000.0])
def test_trained_noise_is_fine(model, fingerprints, clear, snr, recwarn):
    clear.predict(noisy(model, fingerprints[1], snr))
    assert [w for w in recwarn if w.category is NoiseLevelWarning] == []
    low, high = clear.apparent_snr_range_
    assert 20 < low < 1000 < high < 4000


def test_noise_as_given_is_not_judged(model, fingerprints):
    reg = small(model, resample_noise=False).fit(*fingerprints)
    assert np.isnan(reg.apparent_snr_range_).all()
    assert (reg.std_factors_["factor"] == 1).all()
