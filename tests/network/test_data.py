"""Fresh noise of magnitudes, and precisions that do not scale with it."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, rice

from crbestim.network.data import Fingerprints
from crbestim.noise import RicianNoise


def magnitudes(n=20_000, **changes):
    """Return clean signals of amplitude 1, given less their reference."""
    parts = dict(
        signals=torch.full((n, 1), 0.25, dtype=torch.float64),
        targets=torch.zeros(n, 1),
        precision=torch.ones(n, 1),
        reference=torch.full((1,), 0.75, dtype=torch.float64),
        known=torch.zeros(n, 0),
        snr=torch.tensor([2.0], dtype=torch.float64),
        noise=RicianNoise(),
    )
    return Fingerprints(**{**parts, **changes})


def batch(data, n_realizations=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return data.batch(torch.arange(len(data)), generator, n_realizations)


def test_fresh_noise_is_rician():
    x = batch(magnitudes())[0].numpy().ravel() + 0.75
    assert kstest(x, rice(2.0, scale=0.5).cdf).pvalue > 0.01


def test_fresh_noise_is_that_of_the_generator():
    data = magnitudes(50)
    assert torch.equal(batch(data)[0], batch(data)[0])
    assert not torch.equal(batch(data)[0], batch(data, seed=1)[0])


def test_measured_magnitudes_get_no_noise():
    data = magnitudes(5, snr=None)
    assert torch.equal(batch(data)[0], data.signals)


@pytest.mark.parametrize("n_realizations", [1, 3])
def test_precision_is_interpolated_between_levels(n_realizations):
    """A precision that is linear in the ratio at unit noise is met exactly."""
    levels, n = torch.tensor([2.0, 3.0, 5.0, 8.0]), 500
    slopes = torch.arange(2.0 * n).reshape(n, 1, 2) + 1
    data = magnitudes(
        n,
        signals=torch.ones(n, 1),
        reference=torch.zeros(1),
        known=torch.zeros(n, 0),
        precision=slopes * levels[None, :, None],
        snr=torch.tensor([2.0, 8.0]),
        snr_is_range=True,
        scale_precision=True,
        levels=levels,
    )
    _, _, precision = batch(data, n_realizations)
    shared = precision / slopes[:, 0].repeat_interleave(n_realizations, dim=0)
    snr = shared[:, 0] ** (1 / 3)
    np.testing.assert_allclose(shared[:, 0], shared[:, 1], rtol=1e-5)
    assert 2 <= snr.min() < 2.1 and 7.9 < snr.max() <= 8.001
    groups = snr.reshape(n, n_realizations)
    np.testing.assert_allclose(groups, groups[:, :1].expand_as(groups), rtol=1e-5)


def test_one_level_is_taken_as_it_is():
    precision = torch.tensor([[[3.0, 0.0]], [[5.0, 1.0]]])
    options = dict(scale_precision=True, levels=torch.tensor([2.0]))
    found = batch(magnitudes(2, precision=precision, **options))[2]
    np.testing.assert_allclose(found, 4 * precision[:, 0])
