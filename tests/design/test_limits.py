"""Limits: what they hold, the nearest acquisition that keeps them, and contradictions."""

import numpy as np
import pytest

from crbestim.design import Limits, optimize_sequence
from crbestim.design._feasible import FeasibleSet, violation
from crbestim.design._interior_point import nearest
from crbestim.models import (
    BalancedSteadyState,
    InversionRecovery,
    MonoExponential,
    SpoiledGradientEcho,
)
from crbestim.models._controls import settings_of, with_settings
from crbestim.sequences import HybridStateSequence
from tests.models.conftest import fisp

GAMMA = 267.522e6


def trains(n=40, seed=0):
    """Return a model of two trains that keep few limits."""
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(0.0, 3.0, (2, n)), rng.uniform(1.5e-4, 6e-4, (2, n))]
    parts[0][:, 0], parts[1][:, 0] = np.pi, 5e-4
    return BalancedSteadyState(HybridStateSequence(*map(list, parts), 3.5e-3))


ALL = Limits(b1rms=2.2e-6, b1max=23.5e-6, trf=(1e-4, 4e-4), alpha_step=0.2)


def excesses(alpha, trf, tr, limits):
    """Return what each limit leaves, worked out for one train from its definition."""
    w1 = alpha / trf
    b1rms = np.sqrt((w1**2 * trf).sum() / (len(alpha) * tr)) / GAMMA
    return {
        "b1rms": b1rms / limits.b1rms - 1,
        "b1max": np.abs(w1).max() / GAMMA / limits.b1max - 1,
        "alpha": max(-alpha[1:].min(), alpha[1:].max() - limits.alpha[1]),
        "trf": max(limits.trf[0] - trf[1:].min(), trf[1:].max() - limits.trf[1]),
        "alpha_step": np.abs(np.diff(alpha[1:])).max() - limits.alpha_step,
    }


def test_the_nearest_sequence_keeps_all_limits():
    model = trains()
    inside = FeasibleSet(model, ALL)
    start = inside.space.shares(inside.space.start)
    x = nearest(inside, start)
    found = with_settings(model, inside.space.values(x)).sequence
    assert (
        violation(model, ALL) > 1
        and violation(with_settings(model, inside.space.values(x)), ALL) == 0
    )
    for (alpha, trf), (old_alpha, old_trf) in zip(
        found.trains, model.sequence.trains, strict=True
    ):
        left = excesses(alpha, trf, found.tr, ALL)
        assert max(left.values()) <= 0
        # Power is used up, because the start has far more.
        assert left["b1rms"] > -0.02
        assert (alpha[0], trf[0]) == (old_alpha[0], old_trf[0])
    # No allowed sequence is nearer: distances do not shrink towards others.
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = inside.interior() + 0.1 * rng.standard_normal(len(x))
        other = nearest(inside, other)
        assert (x - start) @ (other - x) > -2e-3 * np.linalg.norm(
            x - start
        ) * np.linalg.norm(other - x)


def test_what_keeps_the_limits_hardly_moves():
    inside = FeasibleSet(MonoExponential([0.02, 0.05]), Limits(te=(0.01, 0.1)))
    start = inside.space.shares(inside.space.start)
    assert np.abs(nearest(inside, start) - start).max() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_the_matrix_of_limits_is_the_second_derivative(seed):
    inside = FeasibleSet(trains(20, seed), ALL)
    x = inside.interior()
    rng = np.random.default_rng(seed)
    x = x + 0.02 * rng.random(len(x))
    c, sums = inside.slacks(x)
    weights, of_sums = rng.random(len(c)), rng.random(len(sums))
    band = inside.banded(x, weights, of_sums)
    width = len(band) - 1
    full = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        for j in range(i, min(i + width + 1, len(x))):
            full[i, j] = full[j, i] = band[width + i - j, j]
    dense = inside.G.toarray()
    expected = dense.T @ (weights[:, None] * dense)
    h = 1e-5
    for k, step in enumerate(h * np.eye(len(x))):
        change = inside.slopes(x + step) - inside.slopes(x - step)
        expected[k] += of_sums @ change / (2 * h)
    assert np.abs(full - expected).max() < 1e-7 * np.abs(full).max()
    for k, step in enumerate(h * np.eye(len(x))):
        change = inside.slacks(x + step)[1] - inside.slacks(x - step)[1]
        assert np.allclose(-change / (2 * h), inside.slopes(x)[:, k], rtol=1e-6, atol=1e-9)


def test_a_control_with_one_value_is_held():
    limits = Limits(trf=(3e-4, 3e-4), alpha=(0.1, 1.0))
    inside = FeasibleSet(trains(), limits)
    values = inside.space.values(inside.interior())
    assert set(values["trf"]) == {3e-4, 5e-4} and len(inside.space.free) == 78


def test_negative_angles_have_power_too():
    limits = Limits(alpha=(-1.0, 1.0), b1max=23.5e-6)
    model = trains()
    alpha = np.tile(np.append(np.pi, np.tile([-2.0, 2.0], 20)[:39]), 2)
    inside = FeasibleSet(with_settings(model, {"alpha": alpha}), limits)
    x = nearest(inside, inside.space.shares(inside.space.start))
    values = inside.space.values(x)
    assert values["alpha"][1] < 0 < values["alpha"][2]
    assert violation(with_settings(model, values), limits) == 0


def test_repetition_times_are_not_below_echo_times():
    model, limits = fisp(12), Limits(tr=(1e-3, 0.02), duration=0.1)
    inside = FeasibleSet(model, limits)
    x = nearest(inside, inside.space.shares(inside.space.start))
    found = with_settings(model, inside.space.values(x))
    assert found.tr.min() >= 3e-3 and found.tr.sum() + 20e-3 <= 0.1
    assert violation(found, limits) == 0 and violation(model, limits) == pytest.approx(
        (model.tr.sum() + 20e-3) / 0.1 - 1
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(b1rms=2.0), r"b1rms = 2.0; give one number in T, above 0; for uT give 1e-6"),
        (dict(b1max=0), r"b1max = 0; give one number in T"),
        (dict(alpha=(0, 180)), r"alpha = \(0, 180\) is more than 2 pi"),
        (dict(alpha=1.0), r"alpha = 1.0; give \(low, high\) of alpha"),
        (dict(trf=(5e-4, 1e-4)), r"trf = \(0.0005, 0.0001\); give \(low, high\) of trf"),
        (dict(te=(0.01, np.inf)), r"te = .*; give \(low, high\) of te"),
        (dict(alpha_step=-1), r"alpha_step = -1; give one number in rad"),
        (dict(duration=True), r"duration = True; give one number in s"),
    ],
)
def test_limits_refuse_what_is_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        Limits(**arguments)


def test_limits_are_shown_as_they_are_made():
    limits = Limits(b1rms=3e-6, te=(0.01, 0.1), alpha=None)
    assert repr(limits) == "Limits(b1rms=3e-06, alpha=None, te=(0.01, 0.1))"
    assert repr(eval(repr(limits))) == repr(limits)
    assert repr(Limits()) == "Limits()"


TE = MonoExponential([0.01, 0.05])


@pytest.mark.parametrize(
    ("model", "limits", "message"),
    [
        (trains(), dict(b1rms=5e-7), r"b1rms = 5e-07 T cannot be kept: pulse 0 of train 0"),
        (trains(), dict(b1max=2e-5), r"b1max = 2e-05 T .* pulse 0 of train 0.*2.349e-05 T"),
        (
            trains(),
            dict(alpha=(2.8, 3.0), trf=(1e-4, 4e-4), b1rms=None),
            r"b1max = .* raise b1max or trf",
        ),
        (trains(), dict(tr=(3e-3, 5e-3)), r"limits name tr; the controls .* alpha, trf"),
        (trains(), dict(duration=0.1), r"duration = 0.1 s cannot be kept: .* take 0.28 s"),
        (trains(), dict(alpha=(1, 1), trf=(3e-4, 3e-4)), r"hold all controls at one value"),
        (fisp(), dict(b1rms=3e-6), r"b1rms = 3e-06 T cannot be kept: FISP.* no durations"),
        (fisp(), dict(tr=(1e-3, 2e-3)), r"tr = \(0.001, 0.002\) leaves nothing"),
        (TE, dict(alpha_step=0.1), r"alpha_step is given, but MonoExponential has no flip"),
        (TE, dict(duration=1.0), r"duration is given, but MonoExponential has no repet"),
        (TE, "2 uT", r"limits is '2 uT'; give crbestim.design.Limits"),
    ],
)
def test_contradictions_name_what_was_given(model, limits, message):
    limits = Limits(**limits) if isinstance(limits, dict) else limits
    theta = model._finite_bounds.mean(axis=1)[None]
    with pytest.raises((TypeError, ValueError), match=message):
        optimize_sequence(model, theta, limits=limits)


def test_durations_of_models_with_a_fixed_tr_are_checked():
    model = InversionRecovery([0.1, 1.0], tr=3.0)
    inside = FeasibleSet(model, Limits(duration=6.5))
    assert inside.slacks(inside.interior())[1] == pytest.approx(0.5 / 6.5)
    assert violation(SpoiledGradientEcho([0.1, 0.2], 0.02), Limits(duration=0.05)) == 0
    assert settings_of(model)[0] == {"ti": (1e-3, 3.0, "s")}
