"""The noise level of air, of images with air, and of residuals."""

import numpy as np
import pytest

from crbestim.noise import Noise, estimate_sigma


def magnitudes(signal, sigma=10.0, seed=0):
    """Return magnitudes of signals."""
    parts = np.random.default_rng(seed).normal(scale=sigma, size=(2, *np.shape(signal)))
    return np.hypot(signal + parts[0], parts[1])


def tissue(n, seed=1):
    return np.random.default_rng(seed).uniform(50, 2000, n)


AIR = magnitudes(np.zeros(20_000))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.8])
def test_tissue_beside_air_does_not_count(share):
    n = int(share * 20_000)
    signal = np.concatenate([np.zeros(20_000 - n), tissue(n)])
    assert estimate_sigma(magnitudes(signal)) == pytest.approx(10, rel=0.03)


def test_echoes_of_an_image_are_samples_like_others():
    signal = np.concatenate([np.zeros(2000), tissue(3000)])[:, None]
    decay = np.exp(-0.01 * np.arange(1, 9) / np.linspace(0.03, 0.1, 5000)[:, None])
    assert estimate_sigma(magnitudes(signal * decay)) == pytest.approx(10, rel=0.04)


@pytest.mark.parametrize("sigma", [2.6, 3.0, 4.2, 7.0, 20.0, 300.0])
def test_integers_are_magnitudes(sigma):
    X = np.round(magnitudes(np.zeros(20_000), sigma)).astype(np.int16)
    assert estimate_sigma(X) == pytest.approx(sigma, rel=0.05)


def test_masked_missing_and_cut_out_samples_do_not_count():
    X = np.concatenate([AIR, np.zeros(9000), np.full(50, np.nan), np.full(9, np.inf)])
    assert estimate_sigma(X) == estimate_sigma(AIR)
    both = np.ma.masked_greater(np.concatenate([AIR, np.full(90_000, 400.0)]), 300.0)
    assert estimate_sigma(both) == estimate_sigma(AIR)


def test_noise_follows_the_scale():
    assert estimate_sigma(2.0**-70 * AIR) == 2.0**-70 * estimate_sigma(AIR)
    assert estimate_sigma(1e200 * AIR) == pytest.approx(1e200 * estimate_sigma(AIR))


def test_residuals_and_complex_samples():
    rng = np.random.default_rng(0)
    residuals = rng.normal(scale=10.0, size=(3000, 6))
    assert estimate_sigma(residuals, noise="gaussian") == pytest.approx(10, rel=0.03)
    outliers = np.concatenate([residuals.ravel(), rng.normal(scale=300.0, size=4000)])
    assert estimate_sigma(outliers, noise="gaussian") == pytest.approx(10, rel=0.05)
    pairs = residuals.view(complex)
    assert estimate_sigma(pairs, noise="gaussian") == pytest.approx(10, rel=0.03)


@pytest.mark.parametrize(
    "signal",
    [
        np.full(5000, 200.0),
        tissue(5000),
        2000 * np.exp(-np.linspace(0, 3, 5000)),
        100 * np.random.default_rng(2).lognormal(0.0, 0.6, 30_000),
    ],
    ids=["even", "tissue", "decays", "wide"],
)
def test_signals_without_air_are_refused(signal):
    with pytest.raises(ValueError, match="less than a tenth of the .* region of air"):
        estimate_sigma(magnitudes(signal))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (AIR[:10], "10 samples that count, finite and not zero; give at least 20"),
        (np.zeros(100), "0 samples that count"),
        (AIR - 5, "negative values, which are none; .* noise='gaussian'"),
        (AIR + 1j, "complex values, which are none"),
        (np.full(100, 5.0), "less than a tenth"),
    ],
)
def test_what_is_no_noise_is_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        estimate_sigma(samples)


def test_noise_of_a_user_has_its_channels():
    class Pairs(Noise):
        n_channels = 2

    assert estimate_sigma(AIR, noise=Pairs()) == estimate_sigma(AIR)
