"""Limits and known values of the models in closed form."""

import numpy as np
import pytest

from crbestim.bounds import cramer_rao_bound
from crbestim.exceptions import SingularInformationWarning
from crbestim.models import (
    BiExponential,
    IntravoxelIncoherentMotion,
    InversionRecovery,
    MonoExponential,
    SpoiledGradientEcho,
)
from tests.models.conftest import ALPHA, IRREGULAR_TE, TE, TI, B

# Decays


def test_decay_at_known_times():
    model = MonoExponential([0.0, 0.08, 0.16], offset=True)
    expected = [1.1, np.exp(-1) + 0.1, np.exp(-2) + 0.1]
    np.testing.assert_allclose(model.signal([[0.08, 0.1]])[0], expected, rtol=1e-15)


def test_nothing_has_decayed_at_once():
    s, jacobian = BiExponential([0.0, 0.1]).signal([[0.3, 0.01, 0.1]], jacobian=True)
    assert s[0, 0] == 1 and (jacobian[0, 0] == 0).all()


def test_a_decay_of_equal_times_or_of_one_fraction_is_mono_exponential():
    two, one = BiExponential(TE), MonoExponential(TE)
    for theta, t2 in (([0.3, 0.05, 0.05], 0.05), ([0.0, 0.02, 0.08], 0.08)):
        with_two, of_two = two.signal([theta], jacobian=True)
        np.testing.assert_allclose(with_two, one.signal([[t2]]), rtol=1e-14)
    # Without a short fraction, its T2 has no effect.
    assert (of_two[..., 1] == 0).all()


@pytest.mark.parametrize("theta", [[0.3, 0.04, 0.04], [0.0, 0.02, 0.08]])
def test_the_bound_is_infinite_where_fractions_cannot_be_told_apart(theta):
    with pytest.warns(SingularInformationWarning, match="T2short"):
        crb = cramer_rao_bound(BiExponential(TE), [theta])
    assert np.isinf(crb[0, 1])


@pytest.mark.parametrize("signal", ["complex", "magnitude"])
def test_bound_of_two_echoes(signal):
    # T2 = t / log(s1 / s2) by propagation of errors, whatever is known of M0.
    t, t2, sigma = 0.06, 0.08, 0.02
    model = MonoExponential([0.0, t], signal=signal)
    theta = [t2, 1.0][: model.n_parameters]
    expected = sigma**2 * t2**4 / t**2 * (1 + np.exp(2 * t / t2))
    crb = cramer_rao_bound(model, [theta], noise_std=sigma)
    assert crb[0, 0] == pytest.approx(expected, rel=1e-12)


def test_gradient_echoes_turn_counterclockwise():
    model = MonoExponential([0.0, 1e-3], parameter="T2star")
    s = model.signal([[0.05, np.pi / 2 / 1e-3]])
    np.testing.assert_allclose(s[0], [1, 1j * np.exp(-0.02)], rtol=1e-14)


def test_off_resonance_is_known_up_to_a_period_of_regular_echoes():
    model = MonoExponential(TE, parameter="T2star", offset=True)
    omega0 = model.parameters[-1]
    assert omega0.period == pytest.approx(2 * np.pi / 0.01)
    assert omega0.bounds == pytest.approx((-np.pi / 0.01, np.pi / 0.01))
    s = model.signal([[0.05, 0.1, -30.0]])
    turned = model.signal([[0.05, 0.1, -30.0 + omega0.period]])
    # A period turns all echoes by as much, which M0 takes up.
    np.testing.assert_allclose(turned, s * np.exp(1j * omega0.period * TE[0]), rtol=1e-13)
    irregular = MonoExponential(IRREGULAR_TE, parameter="T2star").parameters[-1]
    assert irregular.period == np.inf
    assert irregular.bounds[1] == pytest.approx(np.pi / 2e-3)


# Inversion recovery

ANY_EFFICIENCY = {"efficiency": (0.0, 1.0)}


def test_known_values_of_inversion_recovery():
    t1 = 0.8
    model = InversionRecovery([0.0, t1 * np.log(2), 50.0], bounds=ANY_EFFICIENCY)
    s = model.signal([[t1, 1.0], [t1, 0.9], [t1, 0.0]])
    # Inverted, zero at T1 log 2, relaxed; the second inverts less, the third saturates.
    expected = [[-1.0, 0.0, 1.0], [-0.9, 0.05, 1.0], [0.0, 0.5, 1.0]]
    np.testing.assert_allclose(s, expected, rtol=0, atol=1e-15)


def test_inversion_recovery_is_a_steady_state():
    t1, efficiency, tr = 1.2, 0.92, 2.0
    ti = TI[TI < tr]
    z = np.ones_like(ti)
    for _ in range(3):
        z = 1 + (-efficiency * z - 1) * np.exp(-ti / t1)
        # The readout leaves nothing, so that the second cycle repeats the first.
        readout, z = z, 1 - np.exp(-(tr - ti) / t1)
    s = InversionRecovery(ti, tr=tr).signal([[t1, efficiency]])
    np.testing.assert_allclose(s[0], readout, rtol=0, atol=1e-15)
    long = InversionRecovery(TI, tr=500.0).signal([[t1, efficiency]])
    endless = InversionRecovery(TI).signal([[t1, efficiency]])
    np.testing.assert_allclose(long, endless, rtol=0, atol=1e-15)


def test_the_kink_of_a_magnitude():
    null = 0.8 * np.log(2)
    times = [null - 1e-6, null, null + 1e-6]
    in_complex = InversionRecovery(times).signal([[0.8, 1.0]], jacobian=True)[1].real
    theta = [[0.8, 1.0, 2.0]]
    s, jacobian = InversionRecovery(times, signal="magnitude").signal(theta, jacobian=True)
    # The slope changes its sign with the signal, 2e-6 s apart, and the size stays.
    for k in (0, 1):
        assert in_complex[0, 0, k] * in_complex[0, 2, k] > 0
        assert jacobian[0, 0, k] == pytest.approx(-2 * in_complex[0, 0, k], rel=1e-12)
        assert jacobian[0, 2, k] == pytest.approx(2 * in_complex[0, 2, k], rel=1e-12)
    np.testing.assert_allclose(jacobian[..., 2], s / 2, rtol=1e-15)
    # Exactly at zero, here the start of a saturation recovery, the derivative is zero.
    start = InversionRecovery([0.0, 1.0], signal="magnitude", bounds=ANY_EFFICIENCY)
    s, jacobian = start.signal([[0.8, 0.0, 2.0]], jacobian=True)
    assert s[0, 0] == 0 and (jacobian[0, 0] == 0).all()


# Spoiled gradient echoes


def test_the_textbook_signal_at_the_ernst_angle():
    t1, tr = 1.1, 0.02
    e1 = np.exp(-tr / t1)
    model = SpoiledGradientEcho([np.arccos(e1), np.pi / 2, 0.0], tr, b1=True)
    s, jacobian = model.signal([[t1, 1.0]], jacobian=True)
    expected = [np.sqrt((1 - e1) / (1 + e1)), 1 - e1, 0.0]
    # E1 is 1 - 0.02, so that 1 - E1 in this test loses two digits.
    np.testing.assert_allclose(s[0], expected, rtol=1e-13)
    # The Ernst angle gives the most signal; without a flip angle there is none.
    assert abs(jacobian[0, 0, 1]) < 1e-12
    assert (jacobian[0, 2] == 0).all()


def test_spoiled_gradient_echoes_are_a_steady_state():
    t1, b1, tr = 0.5, 0.9, np.array([0.05, 0.1, 0.2])
    alpha, z = np.deg2rad([10.0, 40.0, 100.0]), np.ones(3)
    for _ in range(500):
        z = 1 + (z * np.cos(b1 * alpha) - 1) * np.exp(-tr / t1)
    s = SpoiledGradientEcho(alpha, tr, b1=True).signal([[t1, b1]])
    np.testing.assert_allclose(s[0], z * np.sin(b1 * alpha), rtol=1e-12)


def test_echo_times_only_decay_and_turn():
    te = np.linspace(0.0, 0.02, 6)
    model = SpoiledGradientEcho(ALPHA, 0.03, te=te, b1=True)
    s = model.signal([[1.0, 1.1, 0.04, 50.0]])
    factor = np.exp((-1 / 0.04 + 50j) * te)
    steady = SpoiledGradientEcho(ALPHA, 0.03, b1=True).signal([[1.0, 1.1]])
    np.testing.assert_allclose(s, factor * steady, rtol=1e-14)


def test_a_field_of_two_is_twice_the_flip_angle():
    twice = SpoiledGradientEcho(2 * ALPHA[:4], 0.02).signal([[1.0]])
    s = SpoiledGradientEcho(ALPHA[:4], 0.02, b1=True).signal([[1.0, 2.0]])
    np.testing.assert_array_equal(s, twice)


def test_small_flip_angles_do_not_tell_b1_from_t1():
    small, large = np.deg2rad([1.0, 2.0, 4.0, 8.0]), np.deg2rad([3.0, 15.0, 60.0, 140.0])
    bound = {}
    for name, alpha in (("small", small), ("large", large)):
        model = SpoiledGradientEcho(alpha, 0.03, b1=True)
        bound[name] = cramer_rao_bound(model, [[1.0, 1.0]], noise_std=1e-3)[0]
    # The standard deviations at small angles exceed the values; at large, they do not.
    assert (bound["small"] > 1).all() and (bound["large"] < 0.15**2).all()
    known = SpoiledGradientEcho(small, 0.03)
    assert cramer_rao_bound(known, [[1.0]], noise_std=1e-3)[0, 0] < 0.1**2


# Intravoxel incoherent motion


def test_known_values_of_incoherent_motion():
    f, d, dstar, s0 = 0.1, 1e-9, 2e-8, 1.7
    model = IntravoxelIncoherentMotion([0.0, 1e9, 1e3])
    s = model.signal([[f, d, dstar, s0]])[0] / s0
    assert s[0] == 1
    assert s[1] == pytest.approx(0.1 * np.exp(-20) + 0.9 * np.exp(-1), rel=1e-14)
    # The slope at b = 0; the curvature adds b**2 dstar**2.
    assert 1 - s[2] == pytest.approx(1e3 * (f * dstar + (1 - f) * d), rel=1e-4)
    tissue = model.signal([[0.0, d, dstar, s0]], jacobian=True)
    np.testing.assert_allclose(tissue[0][0], s0 * np.exp(-model.b * d), rtol=1e-15)
    assert (tissue[1][..., 2] == 0).all()


def test_motion_in_complex_signals_lacks_only_the_amplitude():
    complex_model = IntravoxelIncoherentMotion(B, signal="complex")
    assert complex_model.parameter_names == ("f", "D", "Dstar")
    s = complex_model.signal([[0.1, 1e-9, 2e-8]])
    assert s.dtype == complex and s[0, 0] == 1
