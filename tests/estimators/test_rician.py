"""Rician noise is fitted as Rician noise, by every estimator that fits signals."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import t

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim._warnings import ignored
from crbestim.bounds import cramer_rao_bound
from crbestim.exceptions import LowSignalWarning, NoiseLevelWarning
from crbestim.models import InversionRecovery, MonoExponential, SignalModel
from crbestim.noise import Noise, RicianNoise
from tests.estimators.siblings import ESTIMATORS
from tests.reference import rician

TE = 0.01 * np.arange(1, 13)
T2 = 0.025
MODEL = MonoExponential(TE, signal="magnitude", noise="rician")
GAUSSIAN = MonoExponential(TE, signal="magnitude")
FITS = {
    "least squares": NLLSRegressor(MODEL),
    "step": OneStepRegressor(model=MODEL, prior=None),
}


def decays(times):
    return np.exp(-TE / times[:, None])


def measured(snr, n, seed=0, t2=T2, scale=1500.0):
    """Return magnitudes of decays, and their noise."""
    parts = np.random.default_rng(seed).standard_normal((2, n, len(TE))) / snr
    X = scale * np.hypot(np.exp(-TE / t2) + parts[0], parts[1])
    return X, scale / snr


@pytest.fixture(scope="module", params=[5, 8, 20, 50], ids="SNR {}".format)
def exact(request):
    """Return magnitudes, their noise, and what exact maximum likelihood finds."""
    X, sigma = measured(request.param, 100, seed=request.param)
    found = rician.maximum_likelihood(X, decays, MODEL.bounds[0], sigma)
    return X, sigma, *found


@pytest.mark.parametrize("kind", FITS)
def test_estimates_are_those_of_exact_maximum_likelihood(kind, exact):
    X, sigma, times, amplitudes = exact
    y = FITS[kind].fit(X).predict(X, sigma=sigma)

    def value(times, amplitudes):
        signals = amplitudes[:, None] * decays(times)
        return rician.log_likelihood(X, signals, sigma).sum(axis=1)

    assert (value(*y.T) > value(times, amplitudes) - 1e-4).all()
    errors, best = y[:, 0] - T2, times - T2
    assert np.mean(errors**2) <= 1.02 * np.mean(best**2)


@pytest.mark.parametrize("kind", FITS)
def test_estimates_are_efficient_where_they_are_precise(kind):
    """At 8 % precision: median, scatter and coverage, sigma known and not."""
    X, sigma = measured(20, 2000, t2=0.06)
    bound = cramer_rao_bound(MODEL, [[0.06, 1.0]], 1 / 20) * [1, 1500.0**2]
    # By an independent integral, too.
    shape = np.exp(-TE / 0.06)
    by_hand = rician.bound(np.stack([shape * TE / 0.06**2, shape], 1), shape, 1 / 20)
    np.testing.assert_allclose(bound[0], by_hand * [1, 1500.0**2], rtol=1e-6)
    assert np.sqrt(bound[0, 0]) / 0.06 < 0.1
    reg = FITS[kind].fit(X)
    y = reg.predict(X, sigma=sigma)
    np.testing.assert_allclose(np.median(y, axis=0), [0.06, 1500], rtol=0.02)
    ratio = ((y - [0.06, 1500]) ** 2).mean(axis=0) / bound[0]
    assert ((ratio > 0.9) & (ratio < 1.1)).all()
    low, high = reg.interval(X, sigma=sigma)
    share = ((low < [0.06, 1500]) & ([0.06, 1500] < high)).mean(axis=0)
    np.testing.assert_allclose(share, 0.95, atol=3 * np.sqrt(0.95 * 0.05 / 2000))
    y, std = reg.predict(X, return_std=True)
    np.testing.assert_allclose(np.median(y, axis=0), [0.06, 1500], rtol=0.02)
    np.testing.assert_allclose(np.sqrt((std**2).mean(0)), y.std(axis=0), rtol=0.08)


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("is_known", [True, False])
def test_the_noise_floor_is_no_slow_decay(kind, is_known):
    X, sigma = measured(8, 1000)
    level = sigma if is_known else None
    y = ESTIMATORS[kind](MODEL).fit(X).predict(X, sigma=level)
    np.testing.assert_allclose(np.median(y, axis=0), [T2, 1500], rtol=0.06)
    reg = ESTIMATORS[kind](GAUSSIAN).fit(X)
    with pytest.warns(LowSignalWarning, match="5 sigma in .* of 1000 .* noise='rician'"):
        assert np.median(reg.predict(X, sigma=level)[:, 0]) > 1.8 * T2


def test_a_step_refines_an_estimate_of_any_origin():
    """Not only that of a dictionary, which follows the noise itself."""

    class Truth(NLLSRegressor):
        def predict(self, X, known=None):
            return np.tile([1.1 * T2, 1500.0], (len(X), 1))

    X, sigma = measured(8, 500)
    reg = OneStepRegressor(Truth(MODEL), MODEL, prior=None, n_steps=3).fit(X)
    exact = NLLSRegressor(MODEL, tol=1e-12).fit(X).predict(X, sigma=sigma)
    found = reg.predict(X, sigma=sigma)
    # A percent of the standard deviation; three steps from 10 % away leave 1e-3.
    assert np.median(np.abs(found / exact - 1)) < 2e-3


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_estimates_follow_the_scale(kind):
    X, _ = measured(8, 30)
    reg = ESTIMATORS[kind](MODEL).fit(X)
    has_std = kind != "matching"
    y = np.atleast_3d(reg.predict(X, has_std))
    for c in (2.0**20, 1e9, 1e-9):
        scaled = np.atleast_3d(reg.predict(c * X, has_std))
        factor = np.array([1, c]) if has_std else np.array([[1], [c]])
        tolerance = 0 if c == 2.0**20 else 1e-9
        np.testing.assert_allclose(scaled, y * factor, rtol=tolerance)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_voxel_depends_on_itself_alone(kind):
    X, sigma = measured(6, 1100)
    reg = ESTIMATORS[kind](MODEL).fit(X)
    rows = [3, 1050, 7]
    for level in (sigma, None):
        whole = reg.predict(X, sigma=level)
        np.testing.assert_array_equal(reg.predict(X[rows], sigma=level), whole[rows])
    sigmas = np.full(len(X), sigma)
    np.testing.assert_array_equal(reg.predict(X, sigma=sigmas), reg.predict(X, sigma=sigma))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_signals_without_noise_are_found(kind):
    y = np.array([[0.03, 2.0], [0.08, 1500.0], [0.2, 1e-6]])
    X = MODEL.signal(y)
    np.testing.assert_allclose(ESTIMATORS[kind](MODEL).fit(X).predict(X), y, rtol=1e-3)
    if kind != "matching":
        std = ESTIMATORS[kind](MODEL).fit(X).predict(X, return_std=True)[1]
        assert (std < 1e-3 * y).all()


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_zeros_among_magnitudes_are_small_magnitudes(kind):
    """Integers round down to zero, where the density of a magnitude vanishes."""
    X, sigma = measured(10, 300, scale=30.0)
    X = np.round(X)
    assert (X == 0).any(axis=1).sum() > 20
    y = ESTIMATORS[kind](MODEL).fit(X).predict(X, sigma=sigma)
    np.testing.assert_allclose(np.median(y, axis=0), [T2, 30], rtol=0.05)


def test_given_and_fixed_amplitudes():
    X, sigma = measured(8, 300)
    fixed = NLLSRegressor(MODEL.fix(M0=1500.0), tol=1e-12).fit(X)
    known = np.full((300, 1), 1500.0)
    given = NLLSRegressor(MODEL.given("M0"), tol=1e-12).fit(X, known=known)
    y = fixed.predict(X, sigma=sigma)
    assert np.median(y) == pytest.approx(T2, rel=0.03)
    np.testing.assert_allclose(given.predict(X, sigma=sigma, known=known), y, rtol=1e-6)
    alone = NLLSRegressor(MODEL).fit(X).predict(X, sigma=sigma)
    assert y.std() < alone[:, 0].std()


def test_limits_of_the_amplitude_hold():
    X, sigma = measured(8, 200)
    reg = NLLSRegressor(MODEL, bounds={"M0": (1400.0, 1600.0)}).fit(X)
    fits = reg.fit_voxels(X, sigma=sigma)
    assert (fits.theta[:, 1] >= 1400).all() and (fits.theta[:, 1] <= 1600).all()
    at_end = np.isin(fits.theta[:, 1], [1400, 1600])
    assert 20 < at_end.sum() < 190
    np.testing.assert_array_equal(fits.at_bound[:, 1] & at_end, at_end)


def test_a_prior_pulls_by_what_the_noise_allows():
    X, sigma = measured(5, 300)
    prior = ([0.05, 1.0], np.diag([0.005**2, 1.0]))
    reg = NLLSRegressor(MODEL, prior=prior).fit(X)
    pulled, std = reg.predict(X, return_std=True, sigma=sigma)
    assert abs(np.median(pulled[:, 0]) - 0.05) < 0.01
    assert (std[:, 0] < 0.005).all()
    precise, level = measured(500, 20)
    np.testing.assert_allclose(reg.predict(precise, sigma=level)[:, 0], T2, rtol=0.02)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_too_few_samples_to_show_the_noise_are_fitted_as_they_are(kind):
    model = MonoExponential(TE[[0, 4]], signal="magnitude", noise="rician")
    y = np.array([[0.05, 100.0]])
    reg = ESTIMATORS[kind](model).fit(model.signal(y))
    if kind == "step":
        reg.set_params(prior=None).fit(model.signal(y))
    np.testing.assert_allclose(reg.predict(model.signal(y)), y, rtol=1e-3)
    if kind != "matching":
        with pytest.warns(
            UserWarning, match="none to estimate the noise from: standard de"
        ):
            std = reg.predict(model.signal(y), return_std=True)[1]
        assert np.isnan(std).all()


@pytest.mark.parametrize("snr", [5, 8, 30])
@pytest.mark.parametrize("is_known", [True, False])
def test_false_alarms_of_the_residual(snr, is_known):
    X, level = measured(snr, 3000, t2=0.06)
    reg = NLLSRegressor(MODEL).fit(X)
    sigma = level if is_known else None
    found = reg.residual(X, sigma=sigma, false_alarm_rate=0.05)
    # Without sigma, fits of few sigma follow their noise too closely.
    slack = 0.02 if is_known or snr > 5 else 0.06
    assert found.flag.mean() == pytest.approx(0.05, abs=slack)
    np.testing.assert_allclose(found.sigma, level, rtol=0.05)
    if snr == 30:
        X[:50, 4] *= 3
        assert reg.residual(X[:50], sigma=level).flag.all()


def test_sigma_of_fits_is_given_or_the_voxels_own():
    X, sigma = measured(15, 2000, t2=0.06)
    reg = NLLSRegressor(MODEL).fit(X)
    assert (reg.fit_voxels(X, sigma=sigma).sigma == pytest.approx(sigma)) is True
    own = reg.fit_voxels(X).sigma
    assert np.sqrt(np.mean(own**2)) == pytest.approx(sigma, rel=0.03)


def test_other_magnitudes_with_several_parameters():
    model = InversionRecovery(
        [0.05, 0.1, 0.3, 0.6, 1.0, 1.6, 2.4, 4.0],
        tr=6.0,
        signal="magnitude",
        noise="rician",
    )
    theta = np.tile([[1.0, 0.9, 1500.0]], (1000, 1))
    parts = np.random.default_rng(0).standard_normal((2, 1000, 8)) * 150
    X = np.hypot(model.signal(theta) + parts[0], parts[1])
    reg = NLLSRegressor(model).fit(X)
    y = reg.predict(X, sigma=150.0)
    np.testing.assert_allclose(np.median(y, axis=0), theta[0], rtol=0.03)
    plain = InversionRecovery(model.ti, tr=6.0, signal="magnitude")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowSignalWarning)
        biased = NLLSRegressor(plain).fit(X).predict(X, sigma=150.0)
    bias, before = (np.abs(np.median(e, axis=0) - theta[0])[1] for e in (y, biased))
    assert bias < 0.5 * before


class StudentNoise(Noise):
    """A user's noise: Student's t of four degrees of freedom, with its outliers."""

    name = "student"

    def draw(self, signal, sigma, rng):
        return signal + rng.standard_t(4, signal.shape) * sigma / np.sqrt(2)

    def information(self, signal, sigma):
        return 2 * 5 / 7

    def log_likelihood(self, x, signal, sigma, derivatives=False):
        scale = sigma / np.sqrt(2)
        z = (x - signal) / scale
        value = t.logpdf(z, 4) - np.log(scale)
        if not derivatives:
            return value
        score = 5 * z / (4 + z**2)
        return value, score / scale, (z * score - 1) / sigma


class Line(SignalModel):
    """A real line through the origin."""

    parameter_names = ("slope",)
    bounds = ((0.0, 5.0),)

    t = np.linspace(1, 2, 9)

    def __init__(self, noise):
        self.noise = noise

    def signal(self, theta):
        return theta * self.t


@pytest.mark.parametrize("sigma", [0.3, None])
def test_a_noise_model_of_the_user_is_followed(sigma):
    model, rng = Line(StudentNoise()), np.random.default_rng(0)
    X = model.noise.draw(model.signal(np.full((300, 1), 2.0)), 0.3, rng)
    found, std = NLLSRegressor(model).fit(X).predict(X, return_std=True, sigma=sigma)
    plain = NLLSRegressor(Line("gaussian")).fit(X).predict(X)
    if sigma is not None:
        expected = [
            minimize_scalar(
                lambda s, x=x: -t.logpdf((x - s * model.t) / 0.3 * np.sqrt(2), 4).sum(),
                bracket=(1.9, 2.1),
            ).x
            for x in X
        ]
        np.testing.assert_allclose(found[:, 0], expected, atol=0.01 * std.mean())
    assert np.std(found) < 0.95 * np.std(plain)
    assert np.std(found) == pytest.approx(np.sqrt(np.mean(std**2)), rel=0.1)


def test_noise_without_a_likelihood_is_said_to_be_fitted_as_gaussian():
    class Unknown(Noise):
        name = "unknown"

    X = Line("gaussian").signal([[2.0]])
    for kind in ESTIMATORS.values():
        with pytest.warns(UserWarning, match="noise 'unknown' has no log_likelihood"):
            reg = kind(Line(Unknown())).fit(X)
        np.testing.assert_allclose(reg.predict(X), [[2.0]], rtol=1e-3)


def test_means_and_floors_of_magnitudes():
    noise, rng = RicianNoise(), np.random.default_rng(0)
    for signal in (0.0, 1.0, 4.0):
        m = np.hypot(signal + rng.standard_normal(10**6), rng.standard_normal(10**6))
        mean = noise.mean(np.array([signal]), 1.0)[0]
        assert mean == pytest.approx(m.mean(), rel=3e-3)
        assert (m**2).mean() - 2 == pytest.approx(signal**2, abs=0.03)
    np.testing.assert_allclose(noise.without_floor(np.array([1.0, 3.0]), 1.0), [0, 7**0.5])
    assert DictionaryRegressor(MODEL).fit(X := measured(5, 3)[0]).predict(X).shape == (3, 2)


class Ramp(Line):
    """A signed line whose factor is its amplitude, and its curvature."""

    parameter_names = ("bend", "A")
    bounds = ((-0.5, 0.5), (0.0, np.inf))
    amplitude = "A"

    def signal(self, theta):
        bend, amplitude = theta.T[:, :, None]
        return -amplitude * (1 + bend * self.t)


@pytest.mark.parametrize("kind", FITS)
def test_signed_samples_of_other_noise_keep_their_sign(kind):
    """And outliers may leave a signal larger than the data."""
    model, y = Ramp(StudentNoise()), np.tile([[0.2, 3.0]], (200, 1))
    X = model.noise.draw(model.signal(y), 0.05, np.random.default_rng(0))
    X[:, :3] = 0.0
    sigma = np.full((1, 9), 0.05)
    reg = type(FITS[kind])(model=model, prior=None).fit(X)
    found = reg.predict(X, sigma=sigma * np.where(np.arange(9) < 3, 40.0, 1.0))
    np.testing.assert_allclose(np.median(found, axis=0), y[0], rtol=0.05)
    if kind == "least squares":
        # A single step from a match that the outlier spoils does not lead there.
        bad = model.signal(y[:5])
        bad[:, 4] = 0.0
        with ignored(NoiseLevelWarning):
            found = reg.predict(bad, sigma=0.01)
        np.testing.assert_allclose(found, y[:5], rtol=2e-2)
