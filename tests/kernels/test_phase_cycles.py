"""Balanced steady states against trains played pulse by pulse, and their limits."""

import numpy as np
import pytest

from crbestim.kernels.phase_cycles import phase_cycles
from tests.reference import steady_states as reference

INCREMENTS = 0.1 + 2 * np.pi * np.arange(5) / 5
TR, TE = 5e-3, 2e-3


def run(kernel, theta, alpha, tr=TR, increments=INCREMENTS, te=TE):
    """Return signal (n,) and derivatives (n, 4) by T1, T2, B1 and omega0, complex."""
    n, theta = len(increments), np.array(theta, dtype=float)
    rows = [np.broadcast_to(row, n) for row in (alpha, tr, increments, te, 0.0)]
    settings = np.array(rows, dtype=float)
    s, ds = np.full(2 * n, np.nan), np.full((4, 2 * n), np.nan)
    kernel(settings, theta, s, ds)
    alone = np.full_like(s, np.nan)
    kernel(settings, theta, alone, ds[:0])
    np.testing.assert_array_equal(alone, s)
    return s.view(complex), ds.view(complex).T


@pytest.fixture(scope="module")
def played():
    """Return voxels, flip angles, and signals and derivatives by trains."""
    voxels = np.array(
        [[0.4, 0.07, 0.9, 130.0], [0.3, 0.3, 1.4, -600.0], [0.25, 4e-3, 0.6, 0.0]]
    )
    out = []
    for voxel, alpha in zip(voxels, (0.6, 1.8, 0.2), strict=True):
        steady = reference.balanced_and_jacobian(voxel, alpha, TR, INCREMENTS, TE, 2500)
        out.append((voxel, alpha, *steady))
    return out


def test_a_train_ends_in_the_steady_state(form, played):
    for voxel, alpha, signal, jacobian in played:
        s, ds = run(form(phase_cycles), voxel, alpha)
        # What is left of the start is less than e^(-30).
        np.testing.assert_allclose(s, signal, rtol=0, atol=1e-12)
        size = np.linalg.norm(jacobian, axis=0)
        assert (np.linalg.norm(ds - jacobian, axis=0) < 1e-11 * size).all()


def test_limits(form):
    kernel = form(phase_cycles)
    # No pulse gives no signal, at any B1.
    s, ds = run(kernel, [1.0, 0.1, 1.0, 50.0], 0.0)
    assert (s == 0).all() and (ds == 0).all()
    s, ds = run(kernel, [1.0, 0.1, 1.0, 50.0], np.pi)
    assert np.abs(s).max() < 1e-15 < np.abs(ds[:, 2]).min()
    # Without transverse magnetization left, the echo is that of spoiled ones.
    spoiled = reference.spoiled(0.05, 1.0, [0.6], [TR], 400)
    s, _ = run(kernel, [0.05, 1e-4, 1.0, 0.0], 0.6, te=0.0)
    np.testing.assert_allclose(s, spoiled[0], rtol=1e-12)
    # In the pass band, with TR much shorter than T1 and T2.
    t1, t2, alpha = 1.0, 0.1, 0.7
    s, _ = run(kernel, [t1, t2, 1.0, 0.0], alpha, 1e-9, [np.pi], 0.0)
    ratio = t1 / t2
    expected = np.sin(alpha) / (1 + np.cos(alpha) + (1 - np.cos(alpha)) * ratio)
    np.testing.assert_allclose(s, expected, rtol=1e-7)
