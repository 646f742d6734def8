"""Signals of B1 and B0 maps against trains played pulse by pulse."""

import numpy as np
import pytest

from crbestim.kernels.field_maps import actual_flip_angle, bloch_siegert, turning_echo
from tests.reference import steady_states as reference
from tests.reference.fisp import STEP


def run(kernel, settings, theta, n_parts):
    """Return signal (n_parts n,) and derivatives (n_theta, n_parts n) of one voxel."""
    n = max(np.size(row) for row in settings)
    rows = np.array([np.broadcast_to(row, n) for row in settings], dtype=float)
    s, ds = np.full(n_parts * n, np.nan), np.full((len(theta), n_parts * n), np.nan)
    kernel(rows, np.array(theta), s, ds)
    alone = np.full_like(s, np.nan)
    kernel(rows, np.array(theta), alone, ds[:0])
    np.testing.assert_array_equal(alone, s)
    return s, ds


@pytest.mark.parametrize("theta", [(1.2, 0.8), (0.3, 1.9), (0.02, 0.5), (5.0, 1.5)])
def test_actual_flip_angle_imaging_is_a_steady_state(form, theta):
    alpha, tr = 1.0, np.array([0.02, 0.1])

    def train(t1, b1):
        return reference.spoiled(t1, b1, [alpha, alpha], tr, 400)

    settings = [alpha, tr, tr[::-1], 0.0]
    s, ds = run(form(actual_flip_angle), settings, [*theta, 0.0], n_parts=2)
    np.testing.assert_allclose(s[::2], train(*theta), rtol=1e-12)
    slopes = reference.complex_steps(train, *theta).T
    np.testing.assert_allclose(ds[:2, ::2], slopes, rtol=1e-11, atol=1e-14)
    assert (s[1::2] == 0).all()


def test_small_angles_and_short_times_lose_no_digits(form):
    # To first order in both, the ratio is that of the mean steady state.
    alpha, tr = 1e-5, np.array([1e-6, 5e-6])
    s, _ = run(form(actual_flip_angle), [alpha, tr, tr[::-1], 0.0], [1.0, 1.0, 2.0], 1)
    mean = alpha / (1 + alpha**2 / tr.sum())
    np.testing.assert_allclose(s, 2 * mean, rtol=1e-5)


def test_both_phases_of_the_bloch_siegert_shift(form):
    shift, b1 = np.array([0.7, -0.7]), 1.2
    s, ds = run(form(bloch_siegert), [shift, 0.0], [b1, 0.0], n_parts=2)
    expected = np.exp(1j * shift * b1**2)
    np.testing.assert_allclose(s.view(complex), expected, rtol=1e-15)
    slopes = 2j * shift * b1 * expected
    np.testing.assert_allclose(ds[0].view(complex), slopes, rtol=1e-15)
    assert (ds[1] == 0).all()


def test_echoes_turn_and_decay(form):
    te, theta = np.array([0.0, 2e-3, 7e-3]), np.array([30.0, 400.0])
    s, ds = run(form(turning_echo), [te], theta, n_parts=2)
    expected = np.exp((1j * theta[1] - theta[0]) * te)
    np.testing.assert_allclose(s.view(complex), expected, rtol=1e-15)
    factors = np.array([-te, 1j * te])
    np.testing.assert_allclose(ds.view(complex), factors * expected, rtol=1e-15)
    # The same by complex steps.
    real = np.exp(-(theta[0] + 1j * STEP) * te) * np.cos(theta[1] * te)
    np.testing.assert_allclose(ds[0, ::2], real.imag / STEP, rtol=1e-12, atol=1e-18)
