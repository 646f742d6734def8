"""Bounds where features differ in noise, and where some are missing."""

import warnings

import numpy as np
import pytest

from crbestim import bounds
from crbestim.bounds import (
    covariance_from_jacobian,
    covariance_of_estimates,
    cramer_rao_bound,
    crb_from_jacobian,
    fisher_information,
    noise_of_signals,
    signal_and_bound,
)
from crbestim.exceptions import LowSignalWarning, SingularInformationWarning
from crbestim.models import (
    BiExponential,
    InversionRecovery,
    MonoExponential,
    SpoiledGradientEcho,
)
from crbestim.noise import Noise, add_noise
from tests.magnitudes import MagnitudeDecay

TE, TI = 0.015 * np.arange(1, 11), np.array([0.05, 0.1, 0.3, 0.6, 1.0, 1.6, 2.5, 4.0])
FLIP = np.radians([2.0, 5.0, 9.0, 14.0, 20.0, 30.0])
MAGNITUDE, RICIAN = {"signal": "magnitude"}, {"signal": "magnitude", "noise": "rician"}
# What makes a model of some of its samples, and parameters.
CASES = {
    "complex decay": (lambda t: MonoExponential(t, parameter="T2star"), TE, [0.06, 40.0]),
    "complex decays": (BiExponential, TE, [0.3, 0.015, 0.15]),
    "complex recovery": (InversionRecovery, TI, [0.9, 0.95]),
    "magnitudes": (lambda t: MonoExponential(t, offset=True, **MAGNITUDE), TE, [0.05, 0.1]),
    "magnitudes of recovery": (lambda t: InversionRecovery(t, **MAGNITUDE), TI, [1.1, 0.9]),
    "Rician decay": (lambda t: MonoExponential(t, **RICIAN), TE, [0.08]),
    "Rician echoes": (lambda a: SpoiledGradientEcho(a, 0.02, **RICIAN), FLIP, [1.2]),
    "Rician recovery": (lambda t: InversionRecovery(t, **RICIAN), TI, [0.7, 0.9]),
}


def case(name):
    """Return what makes a model, its samples, and parameters of three signals."""
    build, samples, theta = CASES[name]
    model = build(samples)
    theta = np.array([theta, theta, theta]) * [[1.0], [1.05], [0.9]]
    missing = model.n_parameters - theta.shape[1]
    return build, samples, np.hstack([theta, np.tile([[1.0], [2.0], [0.5]], missing)])


def bound(model, theta, noise_std, **options):
    """Bound without the warning of low magnitudes."""
    return signal_and_bound(model, theta, noise_std, **options)[1]


def noise_of_features(n, m, seed=0):
    return np.random.default_rng(seed).uniform(0.01, 0.1, (n, m))


@pytest.fixture
def jacobian():
    parts = np.random.default_rng(0).standard_normal((2, 4, 6, 3))
    return parts[0] + 1j * parts[1]


# Samples that do not count


@pytest.mark.parametrize("name", CASES)
def test_infinite_noise_leaves_a_feature_out(name):
    build, samples, theta = case(name)
    model = build(samples)
    for k in (0, 2, len(samples) - 1):
        left = np.delete(np.arange(len(samples)), k)
        sigma = noise_of_features(3, len(samples))
        sigma[:, k] = np.inf
        expected = bound(build(samples[left]), theta, sigma[:, left])
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(bound(model, theta, sigma), expected, rtol=1e-12)
        alike = np.where(np.isinf(sigma), np.inf, 0.05)
        expected = bound(build(samples[left]), theta, 0.05)
        np.testing.assert_allclose(bound(model, theta, alike), expected, rtol=1e-12)
        np.testing.assert_array_equal(
            bound(model, theta, alike[:1]), bound(model, theta, alike)
        )


@pytest.mark.parametrize("name", ["complex decay", "magnitudes", "Rician recovery"])
def test_other_features_may_be_missing_in_each_signal(name):
    build, samples, theta = case(name)
    sigma = noise_of_features(3, len(samples))
    sigma[[0, 1, 1], [1, 4, 0]] = np.inf
    found = bound(build(samples), theta, sigma, m0=[1.0, 2j, 0.5])
    for i, m0 in enumerate((1.0, 2.0, 0.5)):
        counts = np.isfinite(sigma[i])
        alone = build(samples[counts])
        expected = bound(alone, theta[i : i + 1], sigma[i : i + 1, counts], m0=m0)
        np.testing.assert_allclose(found[i], expected[0], rtol=1e-12)


@pytest.mark.parametrize("noise", ["gaussian", "rician"])
def test_missing_features_with_a_prior(noise):
    signal, jacobian = MagnitudeDecay().signal([[1.0, 20.0], [0.7, 8.0]], jacobian=True)
    sigma = noise_of_features(2, 12)
    sigma[:, 3] = np.inf
    options = dict(noise=noise, prior_precision=[[25.0, 0.1], [0.1, 0.01]], m0=[1.0, 3.0])
    left = np.arange(12) != 3
    expected = covariance_from_jacobian(
        jacobian[:, left], signal[:, left], noise_std=sigma[:, left], **options
    )
    found = covariance_from_jacobian(jacobian, signal, noise_std=sigma, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_nothing_but_a_prior(jacobian):
    found = covariance_from_jacobian(
        jacobian,
        noise_std=np.full((1, 6), np.inf),
        prior_precision=np.diag([4.0, 1.0, 9.0]),
    )
    np.testing.assert_allclose(found, np.tile(np.diag([1 / 4, 1, 1 / 9]), (4, 1, 1)))


def test_too_few_features_are_infinite_bounds_with_one_warning():
    model, theta = MonoExponential(TE), np.full((3, 1), 0.05)
    sigma = np.full((3, 10), 0.01)
    sigma[0], sigma[1, 1:] = np.inf, np.inf
    with pytest.warns(SingularInformationWarning, match=r"T2 \(2 of 3 samples\)") as caught:
        crb = cramer_rao_bound(model, theta, sigma)
    assert len(caught) == 1
    np.testing.assert_array_equal(np.isinf(crb[:, 0]), [True, True, False])
    rician, theta = MonoExponential(TE, **RICIAN), np.array([[0.05, 1.0]] * 3)
    with pytest.warns(SingularInformationWarning, match=r"T2 .*, M0 \(2 of 3 samples\)"):
        crb = cramer_rao_bound(rician, theta, sigma)
    np.testing.assert_array_equal(np.isinf(crb), [[True] * 2, [True] * 2, [False] * 2])


def test_a_parameter_that_few_features_determine_keeps_its_bound():
    jacobian = np.array([[[1.0, 0.0], [1.0, 1.0]]])
    crb = crb_from_jacobian(jacobian, noise_std=[[0.1, np.inf]])
    np.testing.assert_allclose(crb, [[0.01, np.inf]])


# Noise that differs


@pytest.mark.parametrize(
    "name", ["complex decay", "complex decays", "complex recovery", "magnitudes"]
)
def test_bounds_are_those_of_the_whitened_model(name):
    build, samples, theta = case(name)
    model, sigma = build(samples), noise_of_features(1, len(samples))
    expected = bound(model.whiten(sigma[0] ** 2), theta, 1.0)
    np.testing.assert_allclose(bound(model, theta, sigma), expected, rtol=1e-11)


def test_information_at_the_noise_of_each_feature(jacobian):
    sigma = noise_of_features(4, 6)
    weighted = jacobian / sigma[:, :, None]
    expected = (weighted.conj().swapaxes(1, 2) @ weighted).real
    np.testing.assert_allclose(fisher_information(jacobian, sigma), expected, rtol=1e-13)


def test_rician_information_at_the_noise_of_each_feature():
    """Features are independent: their information adds up."""
    signal, jacobian = MagnitudeDecay().signal([[1.0, 20.0], [0.7, 8.0]], jacobian=True)
    sigma, options = 4 * noise_of_features(2, 12), dict(noise="rician")
    expected = sum(
        fisher_information(
            jacobian[:, k : k + 1], sigma[:, k], signal=signal[:, k : k + 1], **options
        )
        for k in range(12)
    )
    found = fisher_information(jacobian, sigma, signal=signal, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_equal_noise_gives_the_same_bits_in_every_shape(name):
    build, samples, theta = case(name)
    model, m = build(samples), len(samples)
    expected = bound(model, theta, 0.03)
    for shape in ((3,), (3, m), (1, m)):
        np.testing.assert_array_equal(bound(model, theta, np.full(shape, 0.03)), expected)


def test_a_vector_is_one_number_a_signal():
    jacobian = np.random.default_rng(0).standard_normal((3, 3, 2))
    sigma = np.array([0.1, 0.2, 0.4])
    each = fisher_information(jacobian, sigma)
    np.testing.assert_array_equal(
        each, fisher_information(jacobian, np.tile(sigma, (3, 1)).T)
    )


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e9, 1e150])
def test_noise_of_any_scale(jacobian, scale):
    sigma = noise_of_features(4, 6)
    with warnings.catch_warnings():
        # Squares of 1e-150 and 1e150 are just within the range of numbers.
        warnings.simplefilter("error")
        found = crb_from_jacobian(jacobian, noise_std=scale * sigma)
    expected = crb_from_jacobian(jacobian, noise_std=sigma)
    np.testing.assert_allclose(found / scale / scale, expected, rtol=1e-12)


def test_noise_so_large_that_it_does_not_count(jacobian):
    sigma = noise_of_features(4, 6)
    expected = crb_from_jacobian(jacobian, noise_std=np.where(sigma < 0.09, sigma, np.inf))
    found = crb_from_jacobian(jacobian, noise_std=np.where(sigma < 0.09, sigma, 1e300))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_near_singularity_the_bound_comes_from_the_jacobian():
    """A column that all but depends on another, whose square has no digits left."""
    rng = np.random.default_rng(0)
    j = rng.standard_normal((1, 8, 3))
    j[:, :, 2] = j[:, :, 1] + 1e-9 * j[:, :, 2]
    sigma = noise_of_features(1, 8)
    found = crb_from_jacobian(j, noise_std=np.where(np.arange(8) == 2, np.inf, sigma))
    left = np.arange(8) != 2
    weighted = j[:, left] / sigma[:, left, None]
    np.testing.assert_allclose(found, crb_from_jacobian(weighted), rtol=1e-6)
    assert np.isfinite(found).all()


def test_a_noise_model_of_users_never_sees_infinite_noise():
    class Uneven(Noise):
        name = "uneven"

        def information(self, signal, sigma):
            assert np.isfinite(sigma).all()
            return sigma / sigma

    sigma = np.full((2, 3), 0.1)
    sigma[0], sigma[1, 2] = np.inf, np.inf
    information = fisher_information(np.ones((2, 3, 1)), sigma, noise=Uneven())
    np.testing.assert_allclose(information.ravel(), [0.0, 200.0])


# Amplitudes, and estimates of voxels


def test_noise_of_signals_has_a_column_for_each_feature():
    model, theta = MonoExponential(TE, **MAGNITUDE), np.array([[0.08, 3.0], [0.05, 100.0]])
    sigma = np.full((1, 10), 0.01)
    sigma[0, 4] = np.inf
    found = noise_of_signals(model, theta, sigma)
    np.testing.assert_allclose(found, [[3.0], [100.0]] * sigma)
    np.testing.assert_array_equal(
        noise_of_signals(model, theta, np.tile(sigma, (2, 1))), found
    )
    assert noise_of_signals(model, theta, 0.01).shape == (2,)


def test_bounds_follow_the_amplitude():
    model = MonoExponential(TE, **RICIAN)
    theta, sigma = np.array([[0.08, 1.0], [0.08, 1500.0]]), noise_of_features(1, 10)
    crb = cramer_rao_bound(model, theta, sigma)
    np.testing.assert_allclose(crb[1], crb[0] * [1, 1500**2], rtol=1e-12)


@pytest.mark.parametrize("model", [MonoExponential(TE), MonoExponential(TE, **RICIAN)])
def test_estimates_of_voxels(model):
    theta = np.tile([[0.06, 1.0]], (5, 1))[:, : model.n_parameters]
    signal, jacobian = model.signal(theta, jacobian=True)
    sigma = np.full((5, 10), 0.02)
    sigma[1, 3], sigma[2, 3], sigma[3], sigma[4] = np.inf, np.nan, np.inf, 0.0
    found = covariance_of_estimates(model, signal, jacobian, noise_std=sigma)
    each = covariance_of_estimates(model, signal, jacobian, noise_std=[0.02] * 4 + [0.0])
    np.testing.assert_array_equal(found[[0, 4]], each[[0, 4]])
    left = np.arange(10) != 3
    expected = covariance_from_jacobian(
        jacobian[1:2, left], signal[1:2, left], noise_std=0.02, noise=model.noise
    )
    np.testing.assert_allclose(found[1], expected[0], rtol=1e-12)
    assert np.isnan(found[2]).all()
    assert np.isinf(np.diag(found[3])).all()
    np.testing.assert_array_equal(
        covariance_of_estimates(model, signal, jacobian, noise_std=0.02)[0], found[0]
    )
    alike = covariance_of_estimates(model, signal, jacobian, noise_std=sigma[1:2])
    np.testing.assert_array_equal(alike, np.broadcast_to(found[1], alike.shape))


# Warnings


def test_low_magnitudes_are_compared_at_their_own_noise(monkeypatch):
    monkeypatch.setattr(bounds, "_MOST_COMPARED", 2)
    model, theta = MonoExponential(TE, **MAGNITUDE), np.tile([[0.08, 1.0]], (4, 1))
    sigma = np.full((4, 10), 0.001)
    # Rows 0 and 2 are compared.
    sigma[2] = 0.5
    with pytest.warns(LowSignalWarning, match="noise in 1 of 2 samples"):
        cramer_rao_bound(model, theta, sigma)
    with pytest.warns(LowSignalWarning, match="noise in 2 of 2 samples"):
        cramer_rao_bound(model, theta, np.full((1, 10), 0.5))
    sigma[2], sigma[:, 7:] = 0.001, np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cramer_rao_bound(model, theta, sigma)


def test_noise_larger_than_the_signal():
    model, theta = MonoExponential(TE, **RICIAN), np.tile([[0.08, 1.0]], (2, 1))
    sigma = np.full((2, 10), 20.0)
    with pytest.warns(LowSignalWarning, match="noise_std = 15 is larger than the signal"):
        cramer_rao_bound(model, theta, np.append(sigma[:, 1:], [[15.0], [12.0]], axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Some features may be noisier than the signal.
        sigma[:, :5] = 0.01
        cramer_rao_bound(model, theta, sigma)
        cramer_rao_bound(model, theta[:0], sigma[:0])
        cramer_rao_bound(model, theta[:0], np.empty(0))


# What is refused


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, -np.inf])
def test_noise_that_is_not_positive(value, jacobian):
    sigma = np.full((4, 6), 0.1)
    sigma[2, 5] = value
    message = (
        rf"noise_std = {value:g} in row 2, column 5; it must be positive, or inf for a"
    )
    model, theta = MonoExponential(TE[:6]), np.full((4, 1), 0.05)
    for function in (fisher_information, lambda j, s: crb_from_jacobian(j, noise_std=s)):
        with pytest.raises(ValueError, match=message):
            function(jacobian, sigma)
    for function in (cramer_rao_bound, signal_and_bound, noise_of_signals):
        with pytest.raises(ValueError, match=message):
            function(model, theta, sigma)
    with pytest.raises(ValueError, match=r"noise_std = .* in row 0, column 5; it must be"):
        fisher_information(jacobian, sigma[2:3])


def test_noise_of_whole_signals_is_finite(jacobian):
    message = "noise_std = inf in row 1; it must be positive and finite"
    with pytest.raises(ValueError, match=message):
        fisher_information(jacobian, [0.1, np.inf, 0.1, 0.1])


@pytest.mark.parametrize("shape", [(6,), (4, 1), (4, 5), (6, 4), (1, 1), (1, 4, 6)])
def test_noise_of_another_shape(shape, jacobian):
    message = (
        r"noise_std has shape .*; give a number or one per sample, \(4,\), or per sample "
        r"and feature, \(4, 6\) or \(1, 6\)"
    )
    with pytest.raises(ValueError, match=message):
        fisher_information(jacobian, np.full(shape, 0.1))
    with pytest.raises(ValueError, match=message):
        cramer_rao_bound(
            MonoExponential(TE[:6]), np.full((4, 1), 0.05), np.full(shape, 0.1)
        )


def test_m0_is_one_number_a_signal(jacobian):
    with pytest.raises(ValueError, match=r"one per sample, \(4,\)\.$"):
        crb_from_jacobian(jacobian, m0=np.ones((4, 6)))


# Simulated noise


@pytest.mark.parametrize(("noise", "is_complex"), [("gaussian", True), ("rician", False)])
def test_simulated_noise_of_each_feature(noise, is_complex):
    n = 20_000
    clean = np.full((n, 3), 50.0 + 0j if is_complex else 50.0)
    snr = np.array([[10.0, 0.0, 1000.0]])
    noisy = add_noise(clean, snr, np.random.default_rng(0), noise=noise)
    assert noisy.dtype == clean.dtype
    np.testing.assert_array_equal(np.isnan(noisy), [[False, True, False]] * n)
    # Magnitudes at 50 with noise of 0.1: Gaussian to 1e-6. Five standard deviations.
    std = np.abs(noisy[:, [0, 2]]).std(axis=0)
    np.testing.assert_allclose(std * [10, 1000], 1.0, rtol=5 / np.sqrt(2 * n))
    each = add_noise(clean, np.tile(snr, (n, 1)), np.random.default_rng(0), noise=noise)
    np.testing.assert_array_equal(each, noisy)
    alike = add_noise(clean, np.full((1, 3), 7.0), np.random.default_rng(0), noise=noise)
    once = add_noise(clean, 7.0, np.random.default_rng(0), noise=noise)
    np.testing.assert_array_equal(alike, once)


def test_simulated_noise_that_is_refused():
    clean, rng = np.ones((2, 3)), np.random.default_rng(0)
    with pytest.raises(
        ValueError, match="snr = -1 in row 0, column 1; it must be positive"
    ):
        add_noise(clean, [[1.0, -1.0, 1.0]], rng)
    with pytest.raises(
        ValueError, match="snr = nan; it must be positive, or 0 for missing"
    ):
        add_noise(clean, np.nan, rng)
    with pytest.raises(ValueError, match=r"snr has shape \(3,\); give a number or one per"):
        add_noise(clean, [1.0, 2.0, 3.0], rng)
    assert np.isnan(add_noise(clean, [0.0, 1.0], rng)).all(axis=1).tolist() == [True, False]
    assert add_noise(clean[:0], 1.0, rng).shape == (0, 3)
