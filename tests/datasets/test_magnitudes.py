"""Simulated magnitudes: their noise is Rician."""

import warnings

import numpy as np
import pytest
from scipy.stats import kstest, rice

from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import LowSignalWarning
from crbestim.metrics import bias_variance
from crbestim.noise import add_noise
from tests.magnitudes import MagnitudeDecay


@pytest.mark.parametrize("noise", ["gaussian", "rician"])
def test_magnitudes_are_never_negative(noise):
    """Whatever the model says of the noise, which is about the bound."""
    X, y = make_fingerprints(MagnitudeDecay(noise), 3000, snr=3, random_state=0)
    assert (X >= 0).all()
    amplitude = MagnitudeDecay().signal(y)
    # Standard deviations are at most 1/3; five of those of the mean of 3000.
    error = (X - rice.mean(3 * amplitude, scale=1 / 3)).mean(axis=0)
    np.testing.assert_allclose(error, 0, atol=5 / 3 / np.sqrt(3000))


@pytest.mark.parametrize("amplitude", [0.0, 1.0, 20.0])
def test_noise_has_the_rice_distribution(amplitude):
    clean, rng = np.full((100, 100), amplitude), np.random.default_rng(0)
    noisy = add_noise(clean, 2.0, rng, noise="rician")
    law = rice(2 * amplitude, scale=0.5)
    assert kstest(noisy.ravel(), law.cdf).pvalue > 0.01


def test_noise_is_that_of_each_row():
    clean, snr = np.zeros((2, 50_000)), np.array([1.0, 10.0])
    noisy = add_noise(clean, snr, np.random.default_rng(0), noise="rician")
    # Of noise alone the mean square is that of two channels.
    np.testing.assert_allclose((noisy**2).mean(axis=1), 2 / snr**2, rtol=0.03)


def test_bounds_are_those_of_the_noise():
    model, options = MagnitudeDecay("rician"), dict(snr=(2, 50), random_state=0)
    X, y, crb = make_fingerprints(model, 2000, return_crb=True, **options)
    plain = make_fingerprints(model, 2000, **options)
    np.testing.assert_allclose(plain[0], X, rtol=1e-12)
    low, high = cramer_rao_bound(model, y, 1 / 2), cramer_rao_bound(model, y, 1 / 50)
    assert (crb < low).all() and (crb > high).all()


def test_gaussian_bounds_warn_once():
    with pytest.warns(LowSignalWarning, match="in 20 of 20 samples") as caught:
        make_fingerprints(MagnitudeDecay(), 20, snr=2, return_crb=True, random_state=0)
    assert [w.filename for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_fingerprints(MagnitudeDecay(), 20, snr=2, random_state=0)
        make_fingerprints(MagnitudeDecay("rician"), 20, snr=2, return_crb=True)
        make_fingerprints(MagnitudeDecay(), 20, snr=200, return_crb=True)


def test_metrics_repeat_rician_noise():
    class Squares:
        """Keeps what it sees."""

        seen = []

        def predict(self, X):
            self.seen.append(X)
            return np.full((len(X), 2), [0.5, 40.0])

    theta = np.array([[0.5, 40.0]] * 200)
    report = bias_variance(Squares(), MagnitudeDecay("rician"), theta, 5, 10)
    seen = np.array(Squares.seen)
    assert (seen >= 0).all()
    expected = MagnitudeDecay().signal(theta[:1])[0] ** 2 + 2 / 5**2
    # 2000 squares a column.
    np.testing.assert_allclose((seen**2).mean(axis=(0, 1)), expected, rtol=0.15)
    np.testing.assert_array_equal(
        report.crb, cramer_rao_bound(MagnitudeDecay("rician"), theta, 1 / 5)
    )
