"""The objective of a design, worked out from bounds, and its gradient."""

import numpy as np
import pytest

from crbestim.bounds import cramer_rao_bound
from crbestim.design import bound_objective, optimize_sequence
from crbestim.design.objective import combine
from crbestim.models import (
    MP2RAGE,
    InversionRecovery,
    MonoExponential,
    MultiEchoSpinEcho,
    SpoiledGradientEcho,
)
from crbestim.models._controls import settings_of, with_settings
from tests.models.conftest import fisp, mt

WATER = np.array([[0.9, 0.07], [1.4, 0.1]])
TISSUES = np.array(
    [[0.1, 0.7, 13.0, 30.0, 1e-5, 0.0, 1.0], [0.2, 0.9, 15, 20, 1.2e-5, 90, 0.9]]
)


def test_of_trains_it_is_the_bound_times_the_duration():
    model, weights = mt(16), {"m0s": 1.0, "R1": 2.0, "omega0": 3.0}
    crb = cramer_rao_bound(model, TISSUES, noise_std=0.1)
    # omega0 has a period: its error is relative to the width of its bounds.
    scale = np.stack([TISSUES[:, 0], TISSUES[:, 1], np.full(2, np.ptp(model.bounds[5]))], 1)
    each = 16 * 3.5e-3 * (crb[:, [0, 1, 5]] / scale**2) @ [1.0, 2.0, 3.0]
    expected = {"mean": each.mean(), "mean_log": np.log(each).mean(), "max": each.max()}
    for objective, value in expected.items():
        options = dict(weights=weights, objective=objective, noise_std=0.1)
        found = bound_objective(model, TISSUES, **options)
        assert found[0] == pytest.approx(value, rel=1e-9)
        assert [part.shape for part in found[1:]] == [(16,), (16,)]


def test_off_resonance_and_transmit_field_have_no_weight_by_default():
    model = mt(16)
    weights = dict.fromkeys(("m0s", "R1", "R2f", "Rx", "T2s"), 1.0)
    by_default = bound_objective(model, TISSUES)[0]
    assert by_default == bound_objective(model, TISSUES, weights=weights)[0]
    assert by_default == bound_objective(model, TISSUES, weights=[1, 1, 1, 1, 1, 0, 0])[0]


def test_a_value_of_zero_is_relative_to_the_width_of_the_bounds():
    model = MonoExponential([0.01, 0.05, 0.1], offset=True)
    crb = cramer_rao_bound(model, [[0.08, 0.0]])[0, 1]
    value = bound_objective(model, [[0.08, 0.0]], weights={"offset": 1}, objective="mean")[
        0
    ]
    assert value == pytest.approx(3 * crb / 0.5**2, rel=1e-12)


MODELS = {
    "echo times": (MonoExponential([0.01, 0.04, 0.1]), [[0.08]]),
    "Rician": (
        MonoExponential([0.01, 0.04, 0.1], signal="magnitude", noise="rician"),
        [[0.08, 1.0], [0.05, 2.0]],
    ),
    "inversion times": (InversionRecovery([0.1, 0.4, 2.0], tr=3.0), [[1.0, 0.9]]),
    "angles": (SpoiledGradientEcho([0.05, 0.3], 0.02), [[1.0]]),
    "pulses": (mt(10), TISSUES),
    "fingerprints": (fisp(12), WATER),
    "known B1": (
        mt(10).fix(T2s=1e-5).given("B1").at([[1.0], [0.8]]),
        TISSUES[:, [0, 1, 2, 3, 5]],
    ),
    "a train of echoes": (
        MultiEchoSpinEcho(0.01 * np.arange(1, 9), refocusing=2.6),
        [[0.08, 0.9, 1.0]],
    ),
}


@pytest.mark.parametrize("objective", ["mean", "mean_log", "max"])
@pytest.mark.parametrize("name", MODELS)
def test_gradient_is_that_of_the_value(name, objective):
    model, theta = MODELS[name]
    options = dict(objective=objective, noise_std=0.02)
    _, *gradients = bound_objective(model, theta, **options)
    values = settings_of(model)[1]
    rng = np.random.default_rng(0)
    moves = {k: rng.standard_normal(v.shape) * np.abs(v) for k, v in values.items()}
    slope = sum((g * moves[k]).sum() for g, k in zip(gradients, values, strict=True))

    def value(step):
        moved = {k: v + step * moves[k] for k, v in values.items()}
        return bound_objective(with_settings(model, moved), theta, **options)[0]

    h = 1e-3
    near, far = value(h) - value(-h), value(2 * h) - value(-2 * h)
    differences = (8 * near - far) / (12 * h)
    size = sum(np.linalg.norm(g * moves[k]) for g, k in zip(gradients, values, strict=True))
    assert abs(slope - differences) < 1e-6 * size


@pytest.mark.parametrize("objective", ["mean", "mean_log", "max"])
def test_tissues_are_combined_with_their_derivatives(objective):
    each, sharpness = np.array([1.0, 3.0, 2.5]), 7.0
    value, shares = combine(each, objective, sharpness)
    for k, h in enumerate(1e-6 * np.eye(3)):
        up, down = (combine(each + s * h, objective, sharpness)[0] for s in (1, -1))
        assert shares[k] == pytest.approx((up - down) / 2e-6, abs=1e-8)
    if objective == "max":
        assert 3.0 < value < 3.0 * 3 ** (1 / sharpness)
        assert combine(each, objective)[0] == 3.0


def test_bounds_without_weight_may_be_infinite():
    # Without macromolecules, nothing determines Rx and T2s.
    theta = [[0.0, 0.7, 13.0, 30.0, 1e-5, 0.0, 1.0]]
    value, *gradients = bound_objective(mt(16), theta, weights={"R1": 1.0})
    assert np.isfinite([value, *(g.sum() for g in gradients)]).all()
    two = np.concatenate([TISSUES[:1], theta])
    with pytest.raises(ValueError, match="bound of Rx is infinite in row 1 of theta"):
        bound_objective(mt(16), two)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(weights={"T1": 1}), r"weights name T1; the parameters are T2"),
        (dict(weights={"T2": -1}), r"the weight of T2 = -1; give a number of 0 or more"),
        (dict(weights={"T2": 0}), r"all weights are 0; give one above 0 for some of T2"),
        (dict(weights=[1, 2]), r"weights have shape \(2,\); give 1 numbers, for T2"),
        (dict(objective="median"), r"objective='median' is unknown"),
        (dict(noise_std=0), r"noise_std = 0; give one number above 0"),
        (dict(theta=np.empty((0, 1))), r"theta has no rows"),
        (dict(theta=[[-1.0]]), r"T2 = -1 s in row 0"),
        (dict(model=3), r"model"),
        (
            dict(model=MonoExponential([0.01, 0.05]).compress(np.eye(2)[:, :1])),
            r"compress the model of the design",
        ),
    ],
)
def test_errors_say_what_was_given(changed, message):
    arguments = dict(model=MonoExponential([0.01, 0.05]), theta=[[0.08]]) | changed
    with pytest.raises((TypeError, ValueError), match=message):
        bound_objective(**arguments)


def test_noise_of_computed_images_follows_the_acquisition():
    model = MP2RAGE([0.8, 2.7], 7e-3, 6.0, [0.07, 0.09], 160)
    slopes = bound_objective(model, [[1.1]], objective="mean")[1]
    for k, h in ((0, 1e-5 * np.array([1, 0])), (1, 1e-5 * np.array([0, 1]))):
        ends = [
            with_settings(model, {"flip_angles": [0.07, 0.09] + s * h}) for s in (-1, 1)
        ]
        low, high = (bound_objective(m, [[1.1]], objective="mean")[0] for m in ends)
        assert slopes[k] == pytest.approx((high - low) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("design", [bound_objective, optimize_sequence])
def test_rician_noise_must_be_given(design):
    """The best acquisition depends on it, unlike with Gaussian noise, or that of ratios."""
    model = MonoExponential([0.01, 0.05], signal="magnitude", noise="rician")
    message = (
        "noise_std is not given, and with rician noise the best acquisition depends on"
    )
    with pytest.raises(ValueError, match=message):
        design(model, [[0.08, 1.0]])
    for other in (
        MonoExponential([0.01, 0.05], signal="magnitude"),
        MP2RAGE([0.8, 2.7], 7e-3, 6.0, [0.07, 0.09], 160),
    ):
        theta = [[1.1, 1.0][: other.n_parameters]]
        values = [bound_objective(other, theta, noise_std=n)[0] for n in (None, 1.0, 0.1)]
        assert values[0] == values[1]
        assert values[2] == pytest.approx(values[1] + np.log(0.01))
