"""Training on the axes of a network: the same features and noise as of all samples."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest

from crbestim.network.data import Fingerprints, _chi_square
from crbestim.network.modules import align, whitening_of
from crbestim.network.projection import Projection

N = 80
T2 = np.geomspace(0.02, 0.5, 200)
DECAYS = np.exp(-np.linspace(0.01, 0.3, N) / T2[:, None])
PHASE = np.exp(1j * np.random.default_rng(0).uniform(0, 6, N))
KINDS = {
    "complex": (DECAYS * PHASE, DECAYS.mean(axis=0) * PHASE, False),
    "real": (DECAYS - DECAYS.mean(axis=0), DECAYS.mean(axis=0), False),
    "amplitude": (DECAYS, DECAYS.mean(axis=0) / 9, True),
}
KNOWN = np.random.default_rng(1).normal(size=(len(T2), 1))


def directions(x, reference, has_amplitude, mean, whitening, known=KNOWN):
    """Return what the first layer of a network sees."""
    features = align(torch.as_tensor(x), torch.as_tensor(reference), has_amplitude)
    return (np.hstack([features.numpy(), known]) - mean) @ whitening


@pytest.fixture(params=KINDS)
def kind(request):
    """Signals, reference, whether they have an amplitude, mean and whitening."""
    signals, reference, has_amplitude = KINDS[request.param]
    features = align(torch.as_tensor(signals), torch.as_tensor(reference), has_amplitude)
    features = torch.hstack([features, torch.as_tensor(KNOWN)])
    mean, whitening = whitening_of(features, 1e-4, 1)
    return signals, reference, has_amplitude, mean.numpy(), whitening.numpy()


def test_the_network_sees_the_same(kind):
    signals, reference, has_amplitude, mean, whitening = kind
    noise = np.random.default_rng(2).normal(size=(2, *signals.shape)) / 30
    x = signals + noise[0] + (1j * noise[1] if np.iscomplexobj(signals) else 0)
    projection = Projection.of(whitening, reference)
    few = projection.signals(x)
    assert few.shape[1] == projection.basis.shape[1] + 1 < N / 4
    np.testing.assert_allclose(np.linalg.norm(few, axis=1), np.linalg.norm(x, axis=1))
    of_few = projection.inputs(mean[:, None])[:, 0], projection.inputs(whitening)
    reference_of_few = projection.signals(reference[None])[0]
    np.testing.assert_allclose(
        directions(few, reference_of_few, has_amplitude, *of_few),
        directions(x, reference, has_amplitude, mean, whitening),
        atol=1e-9,
    )


def test_noise_of_axes_is_that_of_all_samples(kind):
    signals, reference, has_amplitude, mean, whitening = kind
    projection = Projection.of(whitening, reference)

    def drawn(signals, reference, n_beside, seed):
        """Draw noise on one signal many times; return what a batch shows of it."""
        data = Fingerprints(
            signals=torch.as_tensor(signals[[50]]),
            targets=torch.zeros(1, 1),
            precision=torch.ones(1, 1, dtype=torch.float64),
            known=torch.zeros(1, 1, dtype=torch.float64),
            reference=torch.as_tensor(reference),
            snr=torch.tensor([3.0], dtype=torch.float64),
            amplitude_column=0 if has_amplitude else None,
            n_beside=n_beside,
        )
        generator = torch.Generator().manual_seed(seed)
        rows = torch.zeros(4000, dtype=torch.long)
        return [part.numpy() for part in data.batch(rows, generator)]

    x, _, weight = drawn(signals, reference, 0, 0)
    few, _, few_weight = drawn(
        projection.signals(signals),
        projection.signals(reference[None])[0],
        projection.n_beside,
        1,
    )
    seen = (x - mean) @ whitening
    few_seen = few - projection.inputs(mean[:, None])[:, 0]
    few_seen = few_seen @ projection.inputs(whitening)
    for a, b in zip(seen.T, few_seen.T, strict=True):
        if np.ptp(a) > 0:
            assert ks_2samp(a, b).pvalue > 1e-3
    if has_amplitude:
        # The precision of an amplitude grows with the squared norm.
        assert ks_2samp(weight[:, 0], few_weight[:, 0]).pvalue > 1e-3


def test_squared_norm_of_the_noise_beside():
    like = torch.zeros(20_000, 1, dtype=torch.float64)
    found = _chi_square(like, 30, torch.Generator().manual_seed(0)).numpy().ravel()
    assert kstest(found, "chi2", args=(30,)).pvalue > 0.01


def test_most_axes_or_little_noise_beside_are_not_projected(kind):
    signals, reference, _, _, whitening = kind
    n_inputs, n = len(whitening), len(reference)
    random = np.random.default_rng(0).normal(size=(n_inputs, n // 2))
    assert Projection.of(random, reference) is None
    axis = np.zeros((n_inputs, 1))
    axis[0] = 1.0
    is_complex = np.iscomplexobj(signals)
    few = axis[: 20 * (1 + is_complex)], reference[:20]
    assert (Projection.of(*few) is None) == (not is_complex)
