"""Measurements as Gaussian noise would leave them: compiled, and of any noise."""

import numpy as np
import pytest

from crbestim._measurements import Measurements
from crbestim.estimators._completion import completed
from crbestim.noise import RicianNoise


class Same(RicianNoise):
    """Rician noise that is not known to be."""


@pytest.mark.parametrize("has_factor", [True, False])
@pytest.mark.parametrize("is_weighted", [True, False])
def test_compiled_magnitudes_are_those_of_the_noise_model(has_factor, is_weighted):
    rng = np.random.default_rng(0)
    atoms = np.exp(-0.2 * np.arange(8) * rng.uniform(0.2, 2, (50, 1)))
    X = 1e5 * np.hypot(atoms + 0.2 * rng.standard_normal(atoms.shape), 0.1)
    sigma = np.full(X.shape, 2e4)
    if is_weighted:
        X[rng.random(X.shape) < 0.1] = np.nan
        sigma *= rng.uniform(1, 2, X.shape)
    X[3], X[4, 2] = 0.0, 0.0
    data = Measurements.of(X, sigma if is_weighted else sigma[:, 0])
    atoms = atoms if has_factor else 1e5 * atoms
    matched = 0.9 * data.X
    found, expected = (
        completed(noise, data, matched, atoms, has_factor, 2)
        for noise in (RicianNoise(), Same())
    )
    usable = np.arange(50) != 3
    amplitude, signal, cost, level = zip(found, expected, strict=True)
    np.testing.assert_allclose(*amplitude, rtol=1e-13)
    np.testing.assert_allclose(*(s[usable] for s in signal), rtol=1e-10, atol=1e-7)
    # A constant of each voxel is left out: costs of other atoms differ by as much.
    other, expected = (
        completed(noise, data, matched, atoms**1.1, has_factor, 2)[2]
        for noise in (RicianNoise(), Same())
    )
    changes = other - cost[0], expected - cost[1]
    np.testing.assert_allclose(*(c[usable] for c in changes), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(*level)
