"""Bounds of magnitudes: Rician noise, and the warning of the bound of Gaussian noise."""

import warnings

import numpy as np
import pytest
from scipy.special import i0e, i1e
from scipy.stats import rice

from crbestim import bounds
from crbestim.bounds import (
    cramer_rao_bound,
    crb_from_jacobian,
    fisher_information,
    signal_and_bound,
)
from crbestim.exceptions import LowSignalWarning
from tests.estimators.decays import Amplitude, Precession
from tests.magnitudes import MagnitudeDecay

THETA = np.array([[0.6, 35.0], [1.0, 20.0], [1.4, 6.0]])


def test_information_of_a_model_at_low_signal():
    """At 0.3 to 3 sigma: the integral of scores by differences of the log-likelihood."""
    model, theta, sigma = MagnitudeDecay(), THETA[1], 0.3
    step = np.array([1e-5, 1e-4])
    m = np.linspace(1e-6, 4.0, 4001)[:, None]

    def log_density(theta):
        return rice.logpdf(m, model.signal(theta[None]) / sigma, scale=sigma)

    scores = np.stack(
        [(log_density(theta + d) - log_density(theta - d)) / 2 for d in np.diag(step)]
    )
    scores /= step[:, None, None]
    products = scores[:, None] * scores * np.exp(log_density(theta))
    expected = np.trapezoid(products.sum(axis=-1), m.ravel(), axis=-1)
    signal, jacobian = model.signal(theta[None], jacobian=True)
    found = fisher_information(jacobian, sigma, signal=signal, noise="rician")
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_maximum_likelihood_reaches_the_bound():
    """At 20 sigma and less, where the Gaussian bound is 3 % lower already."""
    model, sigma, n = MagnitudeDecay("rician"), 0.05, 4000
    truth = np.tile([1.0, 10.0], (n, 1))
    channels = sigma * np.random.default_rng(0).standard_normal((2, n, 12))
    X = np.hypot(model.signal(truth) + channels[0], channels[1])
    theta = truth
    for _ in range(8):
        s, jacobian = model.signal(theta, jacobian=True)
        z = X * s / sigma**2
        score = np.einsum("nij,ni->nj", jacobian, X * i1e(z) / i0e(z) - s) / sigma**2
        information = fisher_information(jacobian, sigma, signal=s, noise="rician")
        step = np.linalg.solve(information, score[:, :, None])[:, :, 0]
        theta = theta + step
    assert np.abs(step).max() < 1e-6
    bound = cramer_rao_bound(model, truth[:1], sigma)[0]
    # Four standard deviations of a variance from so many samples.
    np.testing.assert_allclose(theta.var(axis=0), bound, rtol=4 * np.sqrt(2 / n))


def test_high_signal_is_gaussian_and_low_signal_worse():
    model = MagnitudeDecay()
    ratio = [
        cramer_rao_bound(model, THETA, s, noise="rician")
        / signal_and_bound(model, THETA, s)[1]
        for s in (1e-5, 0.01, 0.1, 1.0)
    ]
    np.testing.assert_allclose(ratio[0], 1, atol=1e-5)
    assert (np.diff(ratio, axis=0) > 0).all()


@pytest.mark.parametrize(
    ("snr", "factors"),
    [(3, (1.56, 2.65)), (5, (1.27, 1.75)), (10, (1.10, 1.25)), (20, (1.03, 1.07))],
)
def test_figures_of_the_user_guide(snr, factors):
    theta = np.column_stack([np.ones(1001), np.linspace(5, 40, 1001)])
    gaussian = signal_and_bound(MagnitudeDecay(), theta, 1 / snr)[1]
    rician = cramer_rao_bound(MagnitudeDecay("rician"), theta, 1 / snr)
    found = np.median(rician / gaussian, axis=0)
    # Half of the last digit given.
    np.testing.assert_allclose(found, factors, rtol=0, atol=0.005)


def test_noise_alone_tells_the_square_of_the_signal():
    """Far below the noise a bound grows with its fourth power."""
    low, lower = (cramer_rao_bound(MagnitudeDecay("rician"), THETA, s) for s in (1e3, 1e4))
    np.testing.assert_allclose(lower / low, 1e4, rtol=1e-5)


def test_samples_without_signal_tell_nothing():
    jacobian, signal = np.ones((1, 2, 1)), np.array([[0.0, 1e6]])
    information = fisher_information(jacobian, signal=signal, noise="rician")
    np.testing.assert_allclose(information, [[[1.0]]])
    nothing = crb_from_jacobian(jacobian, np.zeros((1, 2)), noise="rician")
    assert np.isinf(nothing).all()


def test_m0_and_noise_enter_by_their_ratio():
    model = MagnitudeDecay("rician")
    bound = cramer_rao_bound(model, THETA, 0.2)
    np.testing.assert_allclose(cramer_rao_bound(model, THETA, 0.4, m0=2j), bound)
    each = cramer_rao_bound(model, THETA, [0.2, 0.4, 0.6], m0=[1, 2, 3])
    np.testing.assert_allclose(each, bound)


def test_a_prior_adds_to_the_information():
    signal, jacobian = MagnitudeDecay().signal(THETA, jacobian=True)
    prior, options = np.diag([25.0, 0.01]), dict(noise_std=0.2, noise="rician")
    information = fisher_information(jacobian, 0.2, signal=signal, noise="rician")
    expected = np.linalg.inv(information + prior)
    found = crb_from_jacobian(jacobian, signal, prior_precision=prior, **options)
    np.testing.assert_allclose(found, np.einsum("nii->ni", expected))


def test_a_model_says_which_noise_it_has():
    expected = cramer_rao_bound(MagnitudeDecay(), THETA, 0.2, noise="rician")
    np.testing.assert_array_equal(
        cramer_rao_bound(MagnitudeDecay("rician"), THETA, 0.2), expected
    )
    gaussian = signal_and_bound(MagnitudeDecay("rician"), THETA, 0.2, noise="gaussian")[1]
    assert (gaussian < expected).all()


# What is refused


@pytest.mark.parametrize("model", [Precession(), Amplitude()])
def test_only_magnitudes_have_rician_noise(model):
    with pytest.raises(ValueError, match=r"is not one \(is_magnitude is False\); choose"):
        cramer_rao_bound(model, [[2.0, 3.0]], noise="rician")


def test_noise_has_two_names():
    for model in (MagnitudeDecay("poisson"), MagnitudeDecay()):
        noise = "poisson" if model.noise == "gaussian" else None
        with pytest.raises(
            ValueError, match="noise='poisson' is unknown; choose 'gaussian' or"
        ):
            cramer_rao_bound(model, THETA, noise=noise)
    with pytest.raises(
        ValueError, match="noise='poisson' is unknown; choose 'gaussian' or"
    ):
        fisher_information(np.ones((1, 2, 1)), noise="poisson")


@pytest.mark.parametrize("signal", [[[1.0, -1.0]], [[1j, 1.0]]])
def test_magnitudes_are_real_and_not_negative(signal):
    with pytest.raises(ValueError, match=r"complex or negative; give abs\(signal\)"):
        fisher_information(np.ones((1, 2, 1)), signal=signal, noise="rician")


def test_rician_information_needs_the_signal():
    with pytest.raises(ValueError, match="noise='rician' needs the signal"):
        crb_from_jacobian(np.ones((1, 2, 1)), noise="rician")


def test_coefficients_of_rician_magnitudes_are_refused():
    with pytest.raises(ValueError, match="which does not stay so in a basis"):
        MagnitudeDecay("rician").compress(np.eye(12)[:, :3])
    assert not MagnitudeDecay().compress(np.eye(12)[:, :3]).is_magnitude


# The warning


def test_gaussian_bounds_of_low_magnitudes_warn():
    sigma = np.array([0.1, 1e-4, 0.8])
    gaussian = signal_and_bound(MagnitudeDecay(), THETA, sigma)[1]
    rician = cramer_rao_bound(MagnitudeDecay("rician"), THETA, sigma)
    factor = np.median((rician / gaussian)[[0, 2]].max(axis=1))
    message = f"noise in 2 of 3 samples: .* factor of {factor:.3g} .* noise='rician'"
    with pytest.warns(LowSignalWarning, match=message) as caught:
        np.testing.assert_array_equal(
            cramer_rao_bound(MagnitudeDecay(), THETA, sigma), gaussian
        )
    assert [w.filename for w in caught] == [__file__]


def test_m0_counts_for_the_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cramer_rao_bound(MagnitudeDecay(), THETA, 1.0, m0=1e4)
        cramer_rao_bound(MagnitudeDecay(), THETA[0], 1e-4)
        cramer_rao_bound(MagnitudeDecay(), np.empty((0, 2)))


def test_of_many_samples_some_are_compared(monkeypatch):
    monkeypatch.setattr(bounds, "_MOST_COMPARED", 4)
    theta = np.repeat(THETA[:1], 10, axis=0)
    with pytest.warns(LowSignalWarning, match="in 4 of 4 samples"):
        cramer_rao_bound(MagnitudeDecay(), theta, np.full(10, 0.1), m0=1j)
