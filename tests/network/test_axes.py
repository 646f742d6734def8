"""Networks that see signals on a few axes: what is beside them has no effect."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from crbestim import CRBRegressor
from crbestim.datasets import make_fingerprints
from crbestim.metrics import crb_loss
from crbestim.models import MonoExponential
from crbestim.network.data import Fingerprints
from crbestim.network.inference import products
from crbestim.noise import GaussianNoise, RicianNoise

TE = 0.002 * np.arange(1, 101)
MODELS = {
    "complex": MonoExponential(TE),
    "gaussian": MonoExponential(TE, signal="magnitude", noise="gaussian"),
    "rician": MonoExponential(TE, signal="magnitude"),
}
OPTIONS = dict(snr=(30, 60), hidden_layer_sizes=(32, 32), max_iter=40, random_state=0)


@pytest.fixture(scope="module", params=MODELS)
def fitted(request):
    model = MODELS[request.param]
    options = dict(snr=(30, 60), return_crb=True)
    X, y, crb = make_fingerprints(model, 300, random_state=0, **options)
    reg = CRBRegressor(model, **OPTIONS).fit(X, y, crb=crb)
    return reg, *make_fingerprints(model, 300, random_state=1, **options)


def beside(axes, n, seed=0):
    """Return random signals that are orthogonal to axes."""
    x = np.random.default_rng(seed).normal(size=(n, len(axes)))
    return x - ((x @ axes.conj()) @ axes.T).real


def test_a_network_learns_on_few_axes(fitted):
    reg, X, y, crb = fitted
    axes = reg.network_.axes
    assert 3 <= axes.shape[1] <= 8
    np.testing.assert_allclose(axes.conj().T @ axes, np.eye(axes.shape[1]), atol=1e-12)
    assert reg.network_.reference.shape == axes.shape[1:]
    assert crb_loss(y, reg.predict(X), crb) < 1.5


def test_what_is_beside_the_axes_has_no_effect(fitted):
    reg, X, *_ = fitted
    found = reg.predict(X[:9])
    # So little that magnitudes stay positive.
    other = reg.predict(X[:9] + 0.01 * beside(reg.network_.axes, 9))
    np.testing.assert_allclose(other, found, rtol=1e-4)
    assert not np.allclose(reg.predict(X[:9] + 0.01 * TE / TE.max()), found, rtol=1e-3)


def test_signals_beside_all_axes_have_no_estimate(fitted):
    reg, X, *_ = fitted
    network = reg.network_
    axes = network.axes.copy()
    axes[0] = 0.0
    x = np.zeros_like(X[:3])
    x[:, 0] = 2.0
    x[1] = X[1]
    try:
        reg.network_ = replace(network, axes=axes)
        found, std = reg.predict(x, return_std=True, sigma=0.02)
    finally:
        reg.network_ = network
    np.testing.assert_array_equal(np.isfinite(found).all(axis=1), [False, True, False])
    np.testing.assert_array_equal(np.isfinite(std), np.isfinite(found))


@pytest.mark.parametrize("kind", [float, complex])
def test_products_of_rows_do_not_depend_on_the_others(kind):
    rng = np.random.default_rng(0)
    x, axes = rng.normal(size=(2, 70, 40)), rng.normal(size=(2, 40, 7))
    x, axes = ((a[0] + 1j * a[1] if kind is complex else a[0]) for a in (x, axes))
    found = products(x, axes)
    np.testing.assert_allclose(found, x @ axes.conj(), rtol=1e-12)
    np.testing.assert_array_equal(products(x[5:6], axes), found[5:6])
    many = products(np.tile(x, (9, 1)), axes)
    np.testing.assert_array_equal(many, np.tile(found, (9, 1)))
    assert products(x[:0], axes).shape == (0, 7)


@pytest.mark.parametrize("noise", [GaussianNoise(), RicianNoise()])
@pytest.mark.parametrize("kind", ["factor", "amplitude", "neither"])
def test_noise_on_axes_is_that_of_samples(noise, kind):
    """Noise that is drawn before signals are seen on axes, and white noise after that."""
    decay = np.exp(-TE / 0.1)[None]
    axes = np.linalg.qr(np.stack([decay[0], TE * decay[0], TE], axis=1))[0]
    if kind == "factor":
        if noise.depends_on_signal:
            pytest.skip("complex signals have no Rician noise")
        decay, axes = decay + 0j, axes + 0j
    reference = (decay @ axes.conj())[0]
    reference = reference / np.linalg.norm(reference) if kind != "neither" else reference

    def batch(signals, reference, seed, axes=None, noise=noise):
        data = Fingerprints(
            signals=torch.as_tensor(signals),
            targets=torch.ones(1, 1, dtype=torch.float64),
            precision=torch.ones(1, 1, dtype=torch.float64),
            known=torch.zeros(1, 0, dtype=torch.float64),
            reference=torch.as_tensor(reference),
            snr=torch.tensor([3.0], dtype=torch.float64),
            amplitude_column=0 if kind == "amplitude" else None,
            noise=noise,
            axes=axes,
        )
        generator = torch.Generator().manual_seed(seed)
        rows = torch.zeros(3000, dtype=torch.long)
        return [part.numpy() for part in data.batch(rows, generator)]

    seen = batch(decay, reference, 0, torch.as_tensor(axes))
    if noise.depends_on_signal:
        # The same noise on all samples, seen on the axes by hand.
        generator = np.random.default_rng(1)
        x = noise.draw(np.repeat(decay, 3000, axis=0), np.full((3000, 1), 1 / 3), generator)
        x = x @ axes
        size = np.linalg.norm(x, axis=1, keepdims=True) if kind == "amplitude" else 1.0
        expected = x / size - reference
    else:
        signals = decay @ axes.conj()
        signals = signals - reference if kind == "neither" else signals
        expected = batch(signals, reference, 1)[0]
    for a, b in zip(seen[0].T, expected.T, strict=True):
        if np.ptp(b) > 1e-9:
            assert ks_2samp(a, b).pvalue > 1e-3
