"""Known values, folds and pulses of the models of B1 and B0 maps."""

import numpy as np
import pytest

from crbestim import NLLSRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.exceptions import SingularInformationWarning
from crbestim.models import (
    ActualFlipAngle,
    BlochSiegert,
    DoubleAngle,
    FieldMap,
    MonoExponential,
)
from tests.reference import steady_states as reference

GAMMA = 2.6752218708e8
B1 = np.linspace(0.6, 1.4, 5)
TR = [0.02, 0.1]


def ratio(s):
    """Return the second image over the first."""
    return s[:, 1] / s[:, 0]


# Double angle


def test_images_of_both_angles_after_complete_recovery():
    s = DoubleAngle(0.9, signal="complex").signal(B1[:, None])
    np.testing.assert_allclose(s, np.sin(np.outer(B1, [0.9, 1.8])), rtol=1e-14)
    np.testing.assert_allclose(ratio(s), 2 * np.cos(0.9 * B1), rtol=1e-13)


def test_images_of_both_angles_are_steady_states():
    model = DoubleAngle(1.0, tr=0.3, t1=0.7, signal="complex")
    trains = [reference.spoiled(0.7, 0.9, [angle], [0.3])[0] for angle in (1.0, 2.0)]
    np.testing.assert_allclose(model.signal([[0.9]])[0], trains, rtol=1e-12)
    unknown = DoubleAngle(1.0, tr=0.3, t1=None, signal="complex")
    np.testing.assert_array_equal(unknown.signal([[0.7, 0.9]]), model.signal([[0.9]]))
    with pytest.warns(SingularInformationWarning, match="T1.*B1"):
        assert np.isinf(cramer_rao_bound(unknown, [[0.7, 0.9]])).all()
    # Much time is complete recovery.
    long = DoubleAngle(1.0, tr=10.0, t1=0.2).signal([[0.9, 1.0]])
    np.testing.assert_allclose(long, DoubleAngle(1.0).signal([[0.9, 1.0]]), rtol=1e-12)


def test_bound_of_two_images():
    # B1 = arccos(s2 / (2 s1)) / alpha by propagation of errors, whatever is known of M0.
    alpha, b1, sigma = 1.0, 0.9, 0.01
    s1, r = np.sin(alpha * b1), 2 * np.cos(alpha * b1)
    expected = sigma**2 * (1 + r**2) / (s1 * alpha * 2 * np.sin(alpha * b1)) ** 2
    for signal in ("complex", "magnitude"):
        model = DoubleAngle(alpha, signal=signal)
        crb = cramer_rao_bound(model, [[b1, 1.0][: model.n_parameters]], noise_std=sigma)
        assert crb[0, 0] == pytest.approx(expected, rel=1e-12)


# Actual flip angle imaging


def test_short_times_give_the_ratio_of_the_paper():
    model = ActualFlipAngle(1.0, [2e-3, 1e-2], t1=100.0, signal="complex")
    n, cos = 5.0, np.cos(B1)
    s = model.signal(B1[:, None])
    np.testing.assert_allclose(ratio(s), (1 + n * cos) / (n + cos), rtol=2e-4)


@pytest.mark.parametrize("t1", [0.3, 1.5])
def test_longer_times_are_a_steady_state(t1):
    model = ActualFlipAngle(1.0, TR, t1=t1)
    train = reference.spoiled(t1, 0.9, [1.0, 1.0], TR, 500)
    np.testing.assert_allclose(model.signal([[0.9, 1.0]])[0], train, rtol=1e-12)
    mapped = ActualFlipAngle(1.0, TR, t1=None).given("T1").at([[t1]])
    np.testing.assert_array_equal(
        mapped.signal([[0.9, 1.0]])[0], model.signal([[0.9, 1]])[0]
    )


# Folds


@pytest.mark.parametrize(
    ("make", "angle", "last"),
    [
        (DoubleAngle, np.pi / 3, np.pi / 2),
        (DoubleAngle, np.pi / 2, np.pi / 2),
        (lambda angle, **kw: DoubleAngle(angle, tr=0.3, **kw), np.pi / 2, np.pi / 2),
        (lambda angle, **kw: ActualFlipAngle(angle, TR, **kw), np.pi / 3, np.arccos(-0.2)),
        (lambda angle, **kw: ActualFlipAngle(angle, TR, **kw), np.pi / 2, np.arccos(-0.2)),
    ],
)
def test_bounds_end_where_magnitudes_fold(make, angle, last):
    model = make(angle)
    fold, (low, high) = last / angle, model.bounds[0]
    assert (low, high) == pytest.approx((0.6, min(1.4, fold)))
    assert model.parameters[0].distribution.support() == pytest.approx(
        (0.6, min(1.3, high))
    )
    # Up to there the ratio falls.
    inside = np.linspace(0.3, fold, 200)
    pairs = np.column_stack([inside, np.ones(200)])
    assert (np.diff(ratio(model.signal(pairs))) < 0).all()
    in_complex = make(angle, signal="complex")
    assert in_complex.bounds[0] == pytest.approx((0.6, 1.4))
    inside = np.linspace(0.3, min(2.0, np.pi / angle), 200)[:, None]
    assert (np.diff(ratio(in_complex.signal(inside)).real) < 0).all()
    chosen = make(angle, bounds={"B1": (0.5, 1.6)})
    assert chosen.bounds[0] == pytest.approx((0.5, 1.6))


def test_double_angles_are_the_same_on_both_sides():
    fold = np.pi / 2
    pairs = DoubleAngle(1.0).signal([[fold - 0.3, 1.0], [fold + 0.3, 1.0]])
    np.testing.assert_allclose(pairs[0], pairs[1], rtol=1e-13)


@pytest.mark.parametrize(
    "model",
    [
        DoubleAngle(np.pi / 2),
        DoubleAngle(1.0, tr=0.3, signal="complex"),
        ActualFlipAngle(np.pi / 2, TR),
        ActualFlipAngle(1.0, TR, t1=None).given("T1"),
        BlochSiegert(10e-6, kbs=150e8),
    ],
    ids=str,
)
def test_least_squares_find_b1_all_over_its_bounds(model):
    b1 = np.linspace(*model.bounds[0], 202)[1:-1, None]
    theta = b1 if model.is_complex else np.column_stack([b1, np.full(200, 1500.0)])
    known = np.linspace(0.5, 4.0, 200)[:, None] if model.known_parameters else None
    X = (model if known is None else model.at(known)).signal(theta)
    found = NLLSRegressor(model).fit(X, known=known).predict(X, known=known)
    np.testing.assert_allclose(found, theta, rtol=1e-7)


# Bloch-Siegert shift


def test_the_phases_and_where_they_wrap():
    model = BlochSiegert(10e-6, kbs=150e8)
    assert model.shift == pytest.approx(1.5)
    s = model.signal(B1[:, None])
    np.testing.assert_allclose(s[:, 0], np.exp(1.5j * B1**2), rtol=1e-14)
    np.testing.assert_allclose(s[:, 1], s[:, 0].conj(), rtol=1e-14)
    fold = np.sqrt(np.pi / 1.5)
    assert BlochSiegert(10e-6, kbs=240e8).bounds[0, 1] == pytest.approx(
        np.sqrt(np.pi / 2.4)
    )
    np.testing.assert_allclose(ratio(model.signal([[fold]])), 1.0, rtol=1e-13)
    # sd(phase) = sigma / |s| of each image, of which the difference is 4 shift B1 dB1.
    crb = cramer_rao_bound(model, [[0.9]], noise_std=0.01)
    assert crb[0, 0] == pytest.approx(2e-4 / (4 * 1.5 * 0.9) ** 2, rel=1e-10)


def test_a_phase_that_wraps_needs_bounds():
    with pytest.raises(ValueError, match="differ by 7 rad, more .* up to 0.947 only; che"):
        BlochSiegert(10e-6, kbs=350e8)
    model = BlochSiegert(10e-6, kbs=350e8, bounds={"B1": (0.8, 1.2)})
    b1 = np.linspace(0.8, 1.2, 50)[:, None]
    found = NLLSRegressor(model).fit(model.signal(b1)).predict(model.signal(b1))
    np.testing.assert_allclose(found, b1, rtol=1e-6)


@pytest.fixture(scope="module")
def fermi():
    """Return the shape of a pulse of 8 ms."""
    t = np.linspace(-4e-3, 4e-3, 2001)[:-1] + 2e-6
    shape = 1 / (1 + np.exp((np.abs(t) - 3e-3) / 0.16e-3))
    return shape / shape.max()


def test_a_pulse_shifts_the_phase(fermi):
    offset, errors = 2 * np.pi * 4e3, []
    for peak in (5e-6, 10e-6):
        model = BlochSiegert(peak, pulse=7 * fermi, duration=8e-3, offset=offset)
        kbs = GAMMA**2 * np.mean(fermi**2) * 8e-3 / (2 * offset)
        assert model.shift == pytest.approx(kbs * peak**2, rel=1e-12)
        # Counterclockwise, a positive offset sets the phase back.
        back, ahead = (
            reference.phase_after(GAMMA * peak * fermi, 8e-3, sign * offset)
            for sign in (1, -1)
        )
        assert ahead == pytest.approx(-back, rel=1e-10)
        errors.append(model.shift / ahead - 1)
    # The next terms of the series: the field over the offset, and the slope of the pulse.
    b = GAMMA * 10e-6 * fermi
    slope = np.sum(np.diff(b) ** 2) / (4e-6 * offset) ** 2 / np.sum(b**2)
    strength = np.sum(b**4) / np.sum(b**2) / (4 * offset**2)
    assert errors[1] == pytest.approx(strength - slope, rel=0.03)
    assert errors[0] == pytest.approx(strength / 4 - slope, abs=0.03 * strength)
    phases = [
        reference.phase_after(GAMMA * peak * fermi, 8e-3, sign * offset, omega0=600.0)
        for sign in (-1, 1)
    ]
    # To first order in an off-resonance of the tissue, it drops out of the difference.
    assert (phases[0] - phases[1]) / 2 == pytest.approx(ahead, rel=1e-3)


# Off-resonance


def test_phase_and_decay_of_a_field_map():
    te = np.array([0.002, 0.0045, 0.009])
    s = FieldMap(te, r2s=True).signal([[300.0, 25.0]])
    np.testing.assert_allclose(s[0], np.exp((300j - 25) * te), rtol=1e-14)
    by_time = MonoExponential(te, parameter="T2star").signal([[0.04, 300.0]])
    np.testing.assert_allclose(s, by_time, rtol=1e-14)
    np.testing.assert_allclose(FieldMap(te).signal([[300.0]])[0], np.exp(300j * te))


def test_range_and_period_follow_from_the_echo_times():
    even, uneven = FieldMap([0.001, 0.003, 0.007]), FieldMap([0.001, 0.003, 0.006])
    for model in (even, uneven):
        assert model.bounds[0] == pytest.approx((-np.pi / 0.002, np.pi / 0.002))
    assert even.periods[0] == pytest.approx(np.pi / 0.001)
    assert uneven.periods[0] == np.inf


@pytest.mark.parametrize(
    ("te", "end"),
    [([0.002, 0.004], None), ([0.001, 0.0023, 0.0053, 0.013, 0.025], 1e4)],
)
def test_least_squares_unwrap_all_over_the_bounds(te, end):
    model = FieldMap(te, bounds=end and {"omega0": (-end, end)})
    omega0 = np.linspace(*model.bounds[0], 402)[1:-1, None]
    X = 500j * model.signal(omega0)
    found = NLLSRegressor(model).fit(X).predict(X)
    np.testing.assert_allclose(found, omega0, rtol=0, atol=1e-6 * model.bounds[0, 1])


def test_the_bound_of_two_echoes():
    # The difference of two phases, each of the variance sigma**2.
    crb = cramer_rao_bound(FieldMap([0.002, 0.004]), [[100.0]], noise_std=0.01)
    assert crb[0, 0] == pytest.approx(2 * 0.01**2 / 0.002**2, rel=1e-10)
