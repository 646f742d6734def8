"""Noise models: likelihood, draws and information."""

import warnings

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import i0e, i1e, ive
from scipy.stats import kstest, norm, rice

from crbestim.bounds import cramer_rao_bound, signal_and_bound
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential
from crbestim.noise import (
    GaussianNoise,
    Noise,
    RatioNoise,
    RicianNoise,
    add_noise,
    get_noise,
)
from tests.magnitudes import MagnitudeDecay

THETA = np.array([[0.6, 35.0], [1.0, 20.0], [1.4, 6.0]])


def rician_information(a):
    return RicianNoise().information(a, 1.0)


# The likelihood

SIGNAL = np.array([[0.0, 0.3, 1.0, 2.0], [5.0, 40.0, 1e3, 3e3]])
LEVEL = np.array([[0.5], [2.0]])


def measured(noise, signal, seed=0):
    return noise.draw(signal, LEVEL, np.random.default_rng(seed))


def test_likelihood_of_gaussian_noise_is_scipys():
    noise = GaussianNoise()
    x = measured(noise, SIGNAL)
    expected = norm.logpdf(x, SIGNAL, LEVEL)
    np.testing.assert_allclose(noise.log_likelihood(x, SIGNAL, LEVEL), expected, rtol=1e-12)
    signal = SIGNAL * np.exp(0.7j)
    z = measured(noise, signal)
    parts = [
        norm.logpdf(getattr(z, k), getattr(signal, k), LEVEL) for k in ("real", "imag")
    ]
    np.testing.assert_allclose(
        noise.log_likelihood(z, signal, LEVEL), sum(parts), rtol=1e-12
    )


def test_likelihood_of_rician_noise_is_scipys():
    noise = RicianNoise()
    x = measured(noise, SIGNAL)
    expected = rice.logpdf(x, SIGNAL / LEVEL, scale=LEVEL)
    found = noise.log_likelihood(x, SIGNAL, LEVEL)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    # Also where exp(m * a) would overflow; a magnitude of zero has no density.
    assert np.isfinite(noise.log_likelihood(1e9, 1e9 + 1.0, 1.0))
    assert noise.log_likelihood(0.0, 1.0, 1.0) == -np.inf


@pytest.mark.parametrize("noise", [GaussianNoise(), RicianNoise()])
@pytest.mark.parametrize("phase", [None, 0.7])
def test_derivatives_of_the_likelihood(noise, phase):
    """By differences of fourth order; a product m * a of up to 2e6 included."""
    if phase is not None and noise.needs_magnitude:
        pytest.skip("magnitudes are real")
    signal = SIGNAL if phase is None else SIGNAL * np.exp(1j * phase)
    # At a signal of zero the derivative of a magnitude is one-sided.
    signal = np.maximum(signal, 0.01) if phase is None else signal
    x = measured(noise, signal)

    def slope(f, step):
        return (f(-2 * step) - 8 * f(-step) + 8 * f(step) - f(2 * step)) / (12 * step)

    def shifted(h, unit):
        return noise.log_likelihood(x, signal + unit * h, LEVEL)

    value, by_signal, by_sigma = noise.log_likelihood(x, signal, LEVEL, derivatives=True)
    np.testing.assert_array_equal(value, noise.log_likelihood(x, signal, LEVEL))
    expected = slope(lambda h: shifted(h, 1.0), 1e-3)
    if phase is not None:
        expected = expected + 1j * slope(lambda h: shifted(h, 1j), 1e-3)
    # Rounding of values of a few units over the step, and of m and a, 3e3, squared.
    np.testing.assert_allclose(by_signal, expected, rtol=1e-7, atol=1e-7)
    expected = slope(lambda h: noise.log_likelihood(x, signal, LEVEL + h), 1e-3)
    np.testing.assert_allclose(by_sigma, expected, rtol=1e-6, atol=1e-6)


# Draws


@pytest.mark.parametrize("dtype", [float, complex])
def test_gaussian_draws(dtype):
    signal = np.full((2, 20_000), 1.5, dtype)
    error = GaussianNoise().draw(signal, LEVEL, np.random.default_rng(0)) - signal
    assert error.dtype == dtype
    for i, sigma in enumerate(LEVEL[:, 0]):
        for part in (error[i].real, error[i].imag)[: 1 + (dtype is complex)]:
            assert kstest(part, norm(0, sigma).cdf).pvalue > 0.01


@pytest.mark.parametrize("sigma", [LEVEL, np.tile(LEVEL, 4) * np.arange(1, 5)])
def test_rician_draws(sigma):
    # SciPy's mean is infinite for the largest signals.
    signal = SIGNAL.clip(max=20.0)
    many = np.stack(
        [RicianNoise().draw(signal, sigma, np.random.default_rng(i)) for i in range(2000)]
    )
    scale = np.broadcast_to(sigma, signal.shape)
    expected = rice.mean(signal / scale, scale=scale)
    # Five standard deviations, at most sigma, of a mean of 2000.
    assert (np.abs(many.mean(axis=0) - expected) < 5 * scale / np.sqrt(2000)).all()
    # The mean square is that of the signal and of two channels.
    square, sd = signal**2 + 2 * scale**2, 2 * scale * np.sqrt(signal**2 + scale**2)
    assert (np.abs((many**2).mean(axis=0) - square) < 5 * sd / np.sqrt(2000)).all()


@pytest.mark.parametrize("low", [-0.5, -0.3, 0.0, 0.45])
def test_draws_of_a_ratio(low):
    """Those of a pair of images, whichever of them is the larger one."""
    signal, sigma = np.full((1, 20_000), low), np.array([[0.05]])
    drawn = RatioNoise().draw(signal, sigma, np.random.default_rng(0))[0]
    angle = np.pi / 2 - np.arcsin(2 * low) / 2
    parts = 0.05 * np.random.default_rng(1).standard_normal((2, 20_000, 2))
    first, second = np.cos(angle) + parts[0] @ [1, 1j], np.sin(angle) + parts[1] @ [1, 1j]
    product = (first * second.conj()).real
    expected = product / (np.abs(first) ** 2 + np.abs(second) ** 2)
    assert kstest(drawn, expected).pvalue > 0.01
    assert np.abs(drawn).max() <= 0.5
    if abs(low) < 0.4:
        information = RatioNoise().information(signal[:, :1], sigma)[0, 0]
        assert drawn.var() * information / 0.05**2 == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("phase", [None, 0.7])
@pytest.mark.parametrize("noise", [GaussianNoise(), RicianNoise(), RatioNoise()])
def test_drawn_noise_can_be_applied(noise, phase):
    if phase is not None and noise.depends_on_signal:
        pytest.skip("such signals are real")
    signal = SIGNAL if phase is None else SIGNAL * np.exp(1j * phase)
    # The order of the draws: for each sample its channels one after the other.
    n = noise.n_channels if phase is None else 2
    shape = signal.shape if n == 1 else (*signal.shape, n)
    drawn = np.random.default_rng(3).standard_normal(shape)
    channels = [drawn] if n == 1 else list(np.moveaxis(drawn, -1, 0))
    if phase is not None:
        channels = [channels[0] + 1j * channels[1]]
    channels = [LEVEL * channel for channel in channels]
    expected = measured(noise, signal, seed=3)
    np.testing.assert_allclose(noise.apply(signal, channels), expected, rtol=1e-15)
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(channel) for channel in channels]
    found = noise.apply(torch.from_numpy(signal), tensors, torch)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15)


# A noise model of a user


class TwoCoils(Noise):
    """Root of the sum of squares of two coils: four channels (a noncentral chi law)."""

    name = "two coils"
    depends_on_signal = needs_sigma = needs_magnitude = True
    n_channels = 4

    def draw(self, signal, sigma, rng):
        channels = sigma[:, :, None] * rng.standard_normal((*signal.shape, 4))
        channels[..., 0] += signal
        return np.linalg.norm(channels, axis=-1)

    def information(self, signal, sigma):
        a = np.asarray(signal / sigma)[..., None]
        m = np.maximum(a + np.linspace(-9.0, 9.0, 2001), 1e-9)
        density = m**2 / a * np.exp(-((m - a) ** 2) / 2) * ive(1, m * a)
        score = m * ive(2, m * a) / ive(1, m * a) - a
        return np.trapezoid(density * score**2, m, axis=-1)


def test_a_users_noise_in_a_model():
    noise = TwoCoils()
    model = MagnitudeDecay(noise)
    X, y = make_fingerprints(model, 3000, snr=3, random_state=0)
    s = MagnitudeDecay().signal(y)
    # The mean square adds four channels of 1/9; five standard deviations of 36,000 values.
    excess = X**2 - s**2
    assert abs(excess.mean() - 4 / 9) < 5 * excess.std() / np.sqrt(excess.size)
    bound = cramer_rao_bound(model, THETA, 0.3)
    # A coil without signal adds noise; at high signals all noise is Gaussian.
    assert (bound > cramer_rao_bound(MagnitudeDecay("rician"), THETA, 0.3)).all()
    gaussian = signal_and_bound(MagnitudeDecay(), THETA, 1e-4)[1]
    np.testing.assert_allclose(cramer_rao_bound(model, THETA, 1e-4), gaussian, rtol=1e-3)
    np.testing.assert_array_equal(
        cramer_rao_bound(MagnitudeDecay(), THETA, 0.3, noise=noise), bound
    )
    with pytest.raises(ValueError, match="has Two coils noise, which does not stay so"):
        model.compress(np.eye(12))


class UniformNoise(Noise):
    """Noise of another law, for a signal of any kind."""

    def draw(self, signal, sigma, rng):
        return signal + np.sqrt(3) * sigma * rng.uniform(-1, 1, signal.shape)


class HalfNoise(UniformNoise):
    """Noise whose samples say twice as much as those of Gaussian noise."""

    def information(self, signal, sigma):
        return np.full(np.shape(signal), 2.0)


@pytest.mark.parametrize("signal", ["complex", "magnitude"])
def test_only_gaussian_noise_of_magnitudes_is_compared_with_rician(signal):
    model = MonoExponential([0.01, 0.03, 0.06], signal=signal)
    theta = np.array([[0.05, 1.5]])[:, : model.n_parameters]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bound = cramer_rao_bound(model, theta, 0.1, noise=HalfNoise())
    gaussian = signal_and_bound(model, theta, 0.1)[1]
    np.testing.assert_allclose(bound, gaussian / 2, rtol=1e-12)


def test_magnitudes_have_the_noise_of_a_user():
    """Only magnitudes with Gaussian noise are drawn with Rician noise."""
    X, y = make_fingerprints(MagnitudeDecay(UniformNoise()), 100, snr=3, random_state=0)
    error = np.abs(X - MagnitudeDecay().signal(y))
    assert 0.99 < error.max() * 3 / np.sqrt(3) <= 1


def test_methods_that_a_noise_lacks_are_named():
    noise, s = UniformNoise(), np.ones((1, 2))
    with pytest.raises(NotImplementedError, match="UniformNoise lacks information; def"):
        noise.information(s, 1.0)
    with pytest.raises(NotImplementedError, match="UniformNoise lacks log_likelihood; d"):
        noise.log_likelihood(s, s, 1.0)
    with pytest.raises(NotImplementedError, match="UniformNoise lacks apply; define it"):
        noise.apply(s, [s])
    with pytest.raises(NotImplementedError, match="Noise lacks draw; define it"):
        add_noise(s, 1.0, np.random.default_rng(0), noise=Noise())


@pytest.mark.parametrize("noise", ["poisson", "Rician", None, 3, RicianNoise, ["rician"]])
def test_names_of_noise(noise):
    message = "is unknown; choose 'gaussian' or 'rician'.*, or give a Noise object"
    with pytest.raises(ValueError, match=message):
        get_noise(noise)
    assert get_noise("rician").name == "rician" and get_noise(get_noise("rician")).name


# The information about an amplitude


@pytest.mark.parametrize("a", [0.01, 0.3, 1.0, 2.0, 3.5, 5.0, 8.0, 15.0, 40.0])
def test_information_is_the_mean_square_of_the_score(a):
    """The density is SciPy's; its logarithm is differentiated numerically."""
    step = 1e-4 * max(a, 0.1)

    def integrand(m):
        score = (rice.logpdf(m, a + step) - rice.logpdf(m, a - step)) / (2 * step)
        return rice.pdf(m, a) * score**2

    expected, _ = quad(integrand, max(a - 10, 1e-9), a + 10, limit=200)
    # Differences: 1e-8 by their step, and rounding of the logarithm over it.
    np.testing.assert_allclose(rician_information(a), expected, rtol=1e-6)


@pytest.mark.parametrize("a", np.geomspace(1e-3, 300, 23))
def test_information_is_that_of_adaptive_quadrature(a):
    def integrand(m):
        score = m * i1e(m * a) / i0e(m * a) - a
        return m * np.exp(-((m - a) ** 2) / 2) * i0e(m * a) * score**2

    expected, _ = quad(integrand, max(a - 12, 0), a + 12, epsabs=0, epsrel=1e-12, limit=200)
    np.testing.assert_allclose(rician_information(a), expected, rtol=1e-9)


def test_limits_of_the_information():
    small, large = np.geomspace(1e-150, 1e-4, 20), np.geomspace(30.0, 1e150, 50)
    assert rician_information(0.0) == 0.0
    np.testing.assert_allclose(rician_information(small), small**2, rtol=1e-7)
    # The next term of the series is 1/(4 a^4).
    np.testing.assert_allclose(
        rician_information(large), 1 - 1 / (2 * large**2), atol=0.3 / 30**4
    )


def test_information_grows_with_the_amplitude():
    information = rician_information(np.linspace(0, 60, 20_001))
    assert (np.diff(information) > 0).all()
    assert information[-1] < 1


# Noise of users in bounds and views


class Laplace(GaussianNoise):
    """Additive noise of which every sample carries twice the information."""

    name = "laplace"

    def information(self, signal, sigma):
        return np.full(1, 2.0)[:, None] * np.ones((len(sigma), 1))


class Drift(GaussianNoise):
    """Gaussian noise with an offset."""

    name = "drift"

    def draw(self, signal, sigma, rng):
        return super().draw(signal, sigma, rng) + 100.0


class Quantized(Noise):
    """Noise that depends on the signal, of real signals of any sign."""

    name = "quantized"
    depends_on_signal = True


@pytest.mark.parametrize("kind", ["complex", "magnitude"])
def test_information_of_a_users_noise(kind):
    te = np.array([0.01, 0.03, 0.07])
    gaussian, laplace = (
        MonoExponential(te, signal=kind, noise=noise) for noise in ("gaussian", Laplace())
    )
    theta = [[0.05]] if kind == "complex" else [[0.05, 1.0]]
    expected = cramer_rao_bound(gaussian, theta, noise_std=1e-3) / 2
    found = cramer_rao_bound(laplace, theta, noise_std=1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_subclass_of_gaussian_noise_stays_what_it_is():
    model = MonoExponential([0.01, 0.05], signal="magnitude", noise=Drift())
    X, _ = make_fingerprints(model, 10, random_state=0)
    assert X.min() > 90


def test_views_keep_gaussian_noise_and_refuse_any_other():
    te, basis = [0.01, 0.03, 0.07], np.eye(3)[:, :2]
    drift = MonoExponential(te, noise=Drift())
    assert drift.compress(basis).noise is drift.noise
    odd = MonoExponential(te, signal="magnitude", noise=Quantized())
    for view in (lambda: odd.compress(basis), lambda: odd.whiten(1.0)):
        with pytest.raises(ValueError, match="has Quantized noise, .* noise='gaussian'"):
            view()


def test_noise_that_depends_on_the_signal_is_for_real_signals():
    model = MonoExponential([0.01, 0.03], noise=Quantized())
    with pytest.raises(ValueError, match="'quantized' depends on the signal .* complex"):
        cramer_rao_bound(model, [[0.05]])


def test_a_noise_without_a_name_is_called_by_its_class():
    class Strange(Noise):
        depends_on_signal = True

    with pytest.raises(ValueError, match="noise='Strange' depends on the signal"):
        cramer_rao_bound(MonoExponential([0.01, 0.03], noise=Strange()), [[0.05]])
