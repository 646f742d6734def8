"""Networks that see signals on a few axes, and the norm of what is beside them."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest

from crbestim import CRBRegressor
from crbestim.datasets import make_fingerprints
from crbestim.estimators import _training_data
from crbestim.metrics import crb_loss
from crbestim.models import (
    BiExponential,
    FISPFingerprinting,
    FunctionModel,
    MonoExponential,
)
from crbestim.network.arrays import seen
from crbestim.network.data import Fingerprints, _chi_square
from crbestim.network.inference import products
from crbestim.noise import GaussianNoise, RicianNoise

TE = 0.002 * np.arange(1, 101)
MODELS = {
    "complex": MonoExponential(TE),
    "gaussian": MonoExponential(TE, signal="magnitude", noise="gaussian"),
    "rician": MonoExponential(TE, signal="magnitude"),
}
pytestmark = pytest.mark.filterwarnings("ignore:the signal of magnitudes is too close")
OPTIONS = dict(snr=(8, 16), hidden_layer_sizes=(32, 32), max_iter=40, random_state=0)


@pytest.fixture(scope="module", params=MODELS)
def fitted(request):
    model = MODELS[request.param]
    options = dict(snr=(8, 16), return_crb=True)
    X, y, crb = make_fingerprints(model, 300, random_state=0, **options)
    reg = CRBRegressor(model, **OPTIONS).fit(X, y, crb=crb)
    return reg, *make_fingerprints(model, 300, random_state=1, **options)


def test_a_network_learns_on_few_axes(fitted):
    reg, X, y, crb = fitted
    axes = reg.network_.axes
    n = axes.shape[1]
    assert 3 <= n <= 8
    np.testing.assert_allclose(axes.conj().T @ axes, np.eye(n), atol=1e-12)
    assert reg.network_.reference.shape == (n + 1,)
    assert crb_loss(y, reg.predict(X), crb) < 1.5


@pytest.mark.filterwarnings("ignore:X is much noisier", "ignore:sigma does not fit")
def test_signals_with_little_noise_are_seen_without_the_norm():
    """Signals beside all axes then have no estimate."""
    model = MODELS["complex"]
    X, y, crb = make_fingerprints(model, 200, snr=500, return_crb=True, random_state=0)
    reg = CRBRegressor(model, **OPTIONS | dict(snr=500.0)).fit(X, y, crb=crb)
    network = reg.network_
    assert not network.sees_norm and len(network.reference) == network.axes.shape[1]
    axes = network.axes.copy()
    axes[0] = 0.0
    x = np.zeros_like(X[:3])
    x[:, 0] = 2.0
    x[1] = X[1]
    reg.network_ = replace(network, axes=axes)
    found, std = reg.predict(x, return_std=True, sigma=2e-3)
    np.testing.assert_array_equal(np.isfinite(found).all(axis=1), [False, True, False])
    np.testing.assert_array_equal(np.isfinite(std), np.isfinite(found))
    assert np.isnan(reg.predict(x[:1])).all()


def test_of_what_is_beside_the_axes_only_the_norm_counts(fitted):
    reg, X, *_ = fitted
    network = reg.network_
    inside = products(X[:9], network.axes) @ network.axes.T
    rng = np.random.default_rng(0)

    def estimates(size):
        beside = rng.normal(size=inside.shape) * inside.dtype.type(1)
        beside -= products(beside, network.axes) @ network.axes.T
        beside *= size / np.linalg.norm(beside, axis=1, keepdims=True)
        seen = network.seen(inside + beside)
        np.testing.assert_allclose(seen[:, -1], size, rtol=1e-6)
        whole = np.linalg.norm(inside + beside, axis=1)
        np.testing.assert_allclose(np.linalg.norm(seen, axis=1), whole, rtol=1e-12)
        return network.estimate(reg.weights_, inside + beside, None, None)

    found = estimates(0.3)
    np.testing.assert_allclose(estimates(0.3), found, rtol=1e-4)
    assert not np.allclose(estimates(3.0), found, rtol=1e-2)


def test_what_is_seen_of_signals():
    rng = np.random.default_rng(0)
    x, axes = rng.normal(size=(5, 70)), np.linalg.qr(rng.normal(size=(70, 3)))[0]
    assert seen(x, None, True) is x
    np.testing.assert_allclose(seen(x, axes, False), x @ axes, rtol=1e-12)
    # No square under- or overflows.
    for scale in (1e-300, 1e300):
        expected = scale * seen(x, axes, True)
        np.testing.assert_allclose(seen(scale * x, axes, True), expected, rtol=1e-9)


def test_fingerprints_that_miss_a_parameter_are_seen_too():
    """Without the short component there is no T2short, and T2long is long."""
    rng = np.random.default_rng(0)
    model = BiExponential(0.005 * np.arange(1, 101))
    y = np.column_stack([rng.uniform(low, high, 200) for low, high in model.bounds])
    y[:, 0] = np.arange(200) % 2 * y[:, 0]
    y[::2, 2] = 2.0
    X = model.signal(y)
    axes = _training_data.telling_axes(model, y, 2e-5)
    inside = np.linalg.norm(X @ axes.conj(), axis=1) / np.linalg.norm(X, axis=1)
    assert inside.min() > 0.999


def test_axes_are_those_at_known_values():
    rng = np.random.default_rng(0)
    alpha = np.deg2rad(10 + 40 * np.sin(np.arange(70) / 10) ** 2)
    model = FISPFingerprinting(alpha, 0.012, 0.003, inversion_time=0.02, b1=True).given(
        "B1"
    )
    y = np.column_stack([rng.uniform(0.5, 2, 150), rng.uniform(0.04, 0.2, 150)])
    shares = []
    for low, high in ((0.6, 1.4), (1.0, 1.0 + 1e-9)):
        known = rng.uniform(low, high, (150, 1))
        X = model.at(known).signal(y)
        reg = CRBRegressor(model, snr=50, max_iter=1, random_state=0).fit(X, y, known=known)
        wide = model.at(np.full((150, 1), 0.6))
        shares.append(_training_data.share_on(reg.network_.axes, wide, y))
    assert shares[0] > 0.99 > shares[1]


def test_a_signal_of_zero_does_no_harm(recwarn):
    t = np.linspace(0, 1, 80)
    bounds = [(-5.0, 5.0), (-5.0, 5.0)]
    line = FunctionModel(lambda p: p[0] * t + p[1], ["slope", "offset"], bounds)
    rng = np.random.default_rng(0)
    y = rng.uniform(-2, 2, (200, 2))
    y[7] = 0.0
    X = line.signal(y) + 0.01 * rng.normal(size=(200, 80))
    reg = CRBRegressor(line, max_iter=1, random_state=0).fit(X, y)
    assert reg.network_.axes.shape == (80, 2)
    assert not recwarn


@pytest.mark.parametrize("goes_on", ["fit", "partial_fit"])
def test_further_data_that_the_axes_do_not_hold_are_told(goes_on):
    model = MonoExponential(TE)
    rng = np.random.default_rng(0)
    y = rng.uniform(0.2, 2.0, (200, 1))
    options = dict(snr=50, max_iter=1, warm_start=True, random_state=0)
    reg = CRBRegressor(model, **options).fit(model.signal(y), y)
    again = rng.uniform(0.3, 1.0, (200, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(reg, goes_on)(model.signal(again), again)
    other = rng.uniform(0.005, 0.02, (200, 1))
    with pytest.warns(UserWarning, match="sees .*% of these signals.* fit anew") as told:
        getattr(reg, goes_on)(model.signal(other), other)
    assert told[0].filename == __file__


def test_a_first_part_needs_as_many_rows_as_there_are_inputs():
    model = MonoExponential(TE)
    y = np.linspace(0.05, 0.5, 40)[:, None]
    CRBRegressor(model, random_state=0).partial_fit(model.signal(y), y)
    with pytest.raises(ValueError, match="n_samples = 5 samples for .* real inputs"):
        CRBRegressor(model, random_state=0).partial_fit(model.signal(y[:5]), y[:5])


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


KINDS = {
    "complex": (True, True, GaussianNoise()),
    "complex, no norm": (True, False, GaussianNoise()),
    "amplitude": (True, True, GaussianNoise()),
    "centred": (False, False, GaussianNoise()),
    "rician": (True, True, RicianNoise()),
    "rician, no norm": (True, False, RicianNoise()),
    "rician, centred": (False, False, RicianNoise()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_noise_on_axes_is_that_of_samples(kind):
    """Noise drawn for all samples, for batches to see on axes, and on these right away."""
    has_factor, sees_norm, noise = KINDS[kind]
    is_complex = kind.startswith("complex")
    decay = np.exp(-TE / 0.1)[None]
    axes = np.linalg.qr(np.stack([decay[0], TE * decay[0], TE], axis=1))[0]
    if is_complex:
        decay, axes = decay + 0j, axes + 0j
    on_axes = seen(decay, axes, sees_norm)
    reference = on_axes[0] / (np.linalg.norm(on_axes) if has_factor else 1.0)

    def batch(signals, seed, **options):
        data = Fingerprints(
            signals=torch.as_tensor(signals),
            targets=torch.ones(1, 1, dtype=torch.float64),
            precision=torch.ones(1, 1, dtype=torch.float64),
            known=torch.zeros(1, 0, dtype=torch.float64),
            reference=torch.as_tensor(reference),
            snr=torch.tensor([3.0], dtype=torch.float64),
            amplitude_column=0 if has_factor and not is_complex else None,
            noise=noise,
            **options,
        )
        generator = torch.Generator().manual_seed(seed)
        rows = torch.zeros(3000, dtype=torch.long)
        return np.hstack(data.batch(rows, generator))

    found = batch(decay, 0, axes=torch.as_tensor(axes))
    if noise.depends_on_signal:
        rng = np.random.default_rng(1)
        x = noise.draw(np.repeat(decay, 3000, axis=0), np.full((3000, 1), 1 / 3), rng)
        x = seen(x, axes, sees_norm)
        size = np.ones((3000, 1))
        if has_factor:
            size = np.linalg.norm(x, axis=1, keepdims=True)
        expected = np.hstack([x / size - reference, 1 / size, size**2])
    else:
        n_beside = (len(TE) - 3 - 1) * (2 if is_complex else 1) if sees_norm else 0
        expected = batch(on_axes if has_factor else 0 * on_axes, 1, n_beside=n_beside)
    for a, b in zip(found.T, expected.T, strict=True):
        if np.ptp(b) > 1e-9:
            assert ks_2samp(a, b).pvalue > 1e-3


def test_squared_norm_of_the_noise_beside():
    like = torch.zeros(20_000, 1, dtype=torch.float64)
    found = _chi_square(like, 30, torch.Generator().manual_seed(0)).numpy().ravel()
    assert kstest(found, "chi2", args=(30,)).pvalue > 0.01
