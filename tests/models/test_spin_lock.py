"""Spin locks: decay, steady state, and what T1 does to T1rho."""

import numpy as np
import pytest

from crbestim import NLLSRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential, SpinLock, SpoiledGradientEcho
from tests.models.conftest import TSL


def test_after_complete_recovery_it_is_a_decay():
    model = SpinLock([0.0, 0.08, 0.16], flip_angle=np.pi / 6)
    expected = [0.5 * 2.0, 0.5 * 2.0 * np.exp(-1), 0.5 * 2.0 * np.exp(-2)]
    np.testing.assert_allclose(model.signal([[0.08, 2.0]])[0], expected, rtol=1e-14)
    decay = MonoExponential(TSL, signal="magnitude")
    for theta in ([0.04, 1.0], [2.5, 7.0]):
        parts = (model.signal([theta], jacobian=True) for model in (SpinLock(TSL), decay))
        for locked, decayed in zip(*parts, strict=True):
            np.testing.assert_allclose(locked, decayed, rtol=1e-14, atol=1e-16)


def test_it_is_the_steady_state_of_lock_excitation_and_recovery():
    t1rho, t1, tr, angle = 0.06, 1.3, np.linspace(0.15, 0.9, TSL.size), 0.7
    z = np.ones_like(TSL)
    for _ in range(300):
        locked = z * np.exp(-TSL / t1rho)
        z = 1 + (locked * np.cos(angle) - 1) * np.exp(-(tr - TSL) / t1)
    s = SpinLock(TSL, tr=tr, flip_angle=angle, t1=t1).signal([[t1rho, 3.0]])
    np.testing.assert_allclose(s[0], 3.0 * locked * np.sin(angle), rtol=1e-13)


def test_without_a_lock_it_is_ernsts_formula():
    s = SpinLock([0.0, 0.05], tr=0.3, flip_angle=0.5, t1=None).signal([[0.05, 0.9, 2.0]])
    ernst = SpoiledGradientEcho([0.5], 0.3, signal="magnitude").signal([[0.9, 2.0]])
    assert s[0, 0] == pytest.approx(ernst[0, 0], rel=1e-14)


def test_a_long_repetition_time_is_none():
    endless, long = SpinLock(TSL, flip_angle=1.0), SpinLock(TSL, tr=60.0, flip_angle=1.0)
    for theta in ([0.03, 1.0], [0.3, 2.0]):
        parts = (model.signal([theta], jacobian=True) for model in (endless, long))
        for one, other in zip(*parts, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-16)


def test_t1_has_no_effect_if_the_time_of_recovery_is_one_and_nothing_is_left():
    model = SpinLock(TSL, tr=TSL + 0.5, t1=None)
    s, jacobian = model.signal([[0.07, 0.8, 1.0], [0.07, 2.4, 1.0]], jacobian=True)
    np.testing.assert_allclose(s / s[:, :1], np.exp(-TSL / 0.07)[None] + 0 * s, rtol=1e-12)
    shape = jacobian[..., 1] / s
    np.testing.assert_allclose(shape, shape[:, :1] + 0 * s, rtol=1e-10)


def test_with_a_small_angle_a_decay_depends_on_t1():
    # The guide.
    decay, found = NLLSRegressor(MonoExponential(TSL, signal="magnitude")), []
    for t1 in (0.8, 1.5):
        model = SpinLock(TSL, tr=TSL + 0.5, flip_angle=0.3, t1=t1)
        X = model.signal([[0.07, 1.0]])
        found.append(decay.fit(X).predict(X)[0, 0])
        right = NLLSRegressor(model).fit(X).predict(X)
        np.testing.assert_allclose(right, [[0.07, 1.0]], rtol=1e-6)
    np.testing.assert_allclose(found, [0.044, 0.033], atol=5e-4)


def test_a_map_of_t1_is_taken():
    t1 = np.linspace(0.5, 2.5, 5)[:, None]
    model = SpinLock(TSL, tr=0.4, flip_angle=0.4, t1=None).given("T1")
    theta = np.column_stack([np.linspace(0.03, 0.15, 5), np.full(5, 900.0)])
    X = model.at(t1).signal(theta)
    found = NLLSRegressor(model).fit(X, known=t1).predict(X, known=t1)
    np.testing.assert_allclose(found, theta, rtol=1e-6)


def test_two_durations_reach_the_bound_of_propagated_errors():
    t, t1rho, sigma = 0.05, 0.08, 0.02
    crb = cramer_rao_bound(SpinLock([0.0, t]), [[t1rho, 1.0]], noise_std=sigma)
    expected = sigma**2 * t1rho**4 / t**2 * (1 + np.exp(2 * t / t1rho))
    assert crb[0, 0] == pytest.approx(expected, rel=1e-12)


def test_least_squares_are_efficient():
    model = SpinLock(TSL, tr=1.0, flip_angle=1.2)
    X, y, crb = make_fingerprints(model, 1000, snr=200, random_state=0, return_crb=True)
    assert NLLSRegressor(model).fit(X, y).score(X, y, crb=crb) == pytest.approx(1, abs=0.1)
