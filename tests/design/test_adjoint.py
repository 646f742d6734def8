from copy import copy

import numpy as np
import pytest

from crbestim.bounds import signal_and_bound
from crbestim.design import _adjoint
from crbestim.design._adjoint import supports, weighted_bound
from crbestim.models import (
    BalancedSteadyState,
    FISPFingerprinting,
    MagnetizationTransfer,
    MonoExponential,
)
from crbestim.sequences import HybridStateSequence

TR = 3.5e-3
TISSUE = dict(
    m0s=0.15, R1=0.8, R1f=0.5, R2f=15.0, Rx=30.0, R1s=3.0, T2s=1e-5, omega0=200.0, B1=1.0
)  # fmt: skip
WATER = dict(R1=0.8, R2=15.0, omega0=-300.0, B1=1.2)
T1T2 = dict(T1=0.9, T2=0.07, B1=0.9)


def train(n, seed=0):
    """Return a train with pulses of 0 and +-180 degrees, the shortest and longest."""
    rng = np.random.default_rng(seed)
    alpha, trf = rng.uniform(-1.0, 2.5, n), rng.uniform(1e-4, 5e-4, n)
    alpha[:5] = 3.0, 0.0, np.pi, -np.pi, 1e-4
    trf[:5] = 5e-4, 1e-4, 5e-4, 1e-4, 5e-4
    return alpha, trf


def transfer(*trains, **options):
    alphas, trfs = zip(*(trains or [train(16)]), strict=True)
    return MagnetizationTransfer(
        HybridStateSequence(list(alphas), list(trfs), TR), **options
    )


def fisp(n=40, **options):
    rng = np.random.default_rng(1)
    alpha, tr = rng.uniform(-1.2, 1.5, n), rng.uniform(10e-3, 14e-3, n)
    alpha[3] = 0.0
    options = {"inversion_time": 20e-3, **options}
    return FISPFingerprinting(alpha, tr, np.linspace(2e-3, 4e-3, n), **options)


def row(model, values):
    return np.array([values[name] for name in model.parameter_names])


def with_controls(model, changed):
    """Return the model with other controls, without the time that a constructor takes."""
    other = copy(model)
    if hasattr(model, "model"):
        other.model = with_controls(model.model, changed)
    elif isinstance(model, FISPFingerprinting):
        vars(other).update(changed)
    else:
        old, arrays = model.sequence, []
        for name in ("alpha", "trf"):
            values = changed.get(name, getattr(old, name))
            arrays.append(list(np.split(values, old.train_offsets[1:-1])))
        other.sequence = HybridStateSequence(*arrays, old.tr)
    return other


def differences(model, theta, coefficients, name, step):
    """Return differences of fourth order of the ordinary bound by one kind of control."""
    counts, inner = coefficients > 0, model
    while hasattr(inner, "model"):
        inner = inner.model
    values = getattr(
        inner if name == "tr" or hasattr(inner, "te") else inner.sequence, name
    )
    steps = step * (1.0 if name == "alpha" else values) * np.ones(len(values))

    def value(change):
        moved = with_controls(model, {name: values + change})
        crb = signal_and_bound(moved, theta[None])[1][0]
        return coefficients[counts] @ crb[counts]

    slopes = []
    for h, e in zip(steps, np.eye(len(values)), strict=True):
        ends = [value(k * h * e) for k in (-2, -1, 1, 2)]
        slopes.append((ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h))
    return np.array(slopes)


# Short trains: the ordinary model simulates every one of their pulses.
CASES = {
    "joint": (transfer(), TISSUE),
    "thermal": (transfer(joint_r1=False, steady_state="thermal"), TISSUE),
    "two trains": (
        transfer(train(9, 1), train(11, 2), joint_r1=False, lineshape="gaussian"),
        TISSUE | {"B1": 1.39, "omega0": -800.0},
    ),
    "given": (
        transfer(train(12)).fix(T2s=1.2e-5).given("B1", "omega0").at([[1.1, 50.0]]),
        TISSUE,
    ),
    "lorentzian": (transfer(lineshape="lorentzian").given("B1").at([[0.7]]), TISSUE),
    "one pool": (BalancedSteadyState(HybridStateSequence(*train(12), TR)), WATER),
    "fisp": (fisp(), T1T2),
    "fisp with B1": (fisp(b1=True, inversion_time=None), T1T2),
    "fisp of few orders": (fisp(n_states=4, phase=np.pi * (np.arange(40) // 3)), T1T2),
    "fisp with phases": (fisp(b1=True, phase=np.arange(40.0) ** 2).fix(T1=1.1), T1T2),
}


@pytest.mark.parametrize("case", CASES)
def test_bounds_and_gradients_are_those_of_the_ordinary_model(case):
    model, values = CASES[case]
    theta = row(model, values)
    coefficients = 1 / theta**2
    value, crb, gradients = weighted_bound(model, theta, coefficients)
    expected = signal_and_bound(model, theta[None])[1][0]
    np.testing.assert_allclose(crb, expected, rtol=1e-7)
    assert value == pytest.approx(coefficients @ crb, rel=1e-12)
    for name, gradient in gradients.items():
        found = differences(model, theta, coefficients, name, 2e-3)
        error = np.linalg.norm(gradient - found)
        assert error < 1e-6 * np.linalg.norm(found), name


def test_a_long_train_needs_no_preparation():
    sequence = HybridStateSequence.default()
    model = MagnetizationTransfer(sequence)
    theta = row(model, TISSUE)
    coefficients = np.append(1 / theta[:5] ** 2, [0.0, 0.0])
    value, crb, gradients = weighted_bound(model, theta, coefficients)
    expected = signal_and_bound(model, theta[None])[1][0]
    np.testing.assert_allclose(crb, expected, rtol=2e-6)
    prepared = _adjoint._cell.cache_info().misses

    n = np.arange(sequence.n_pulses)
    for name, step in (("alpha", 1e-4), ("trf", 1e-8)):
        change = step * np.cos(0.02 * n)
        ends = [
            weighted_bound(model, theta, coefficients, {name: getattr(sequence, name) + c})[
                0
            ]
            for c in (change, -change)
        ]
        slope = (ends[0] - ends[1]) / 2
        assert gradients[name] @ change == pytest.approx(slope, rel=1e-5)
    assert _adjoint._cell.cache_info().misses == prepared


def test_bounds_without_weight_may_be_infinite():
    model = transfer(joint_r1=False)
    theta = row(model, TISSUE | {"m0s": 0.0, "omega0": 0.0})
    coefficients = np.zeros(8)
    coefficients[[0, 1, 2]] = 1.0, 2.0, 1e-3
    value, crb, gradients = weighted_bound(model, theta, coefficients)
    expected = signal_and_bound(model, theta[None])[1][0]
    np.testing.assert_allclose(crb, expected, rtol=1e-7)
    np.testing.assert_array_equal(np.isinf(crb), np.isin(np.arange(8), [3, 4, 5]))
    found = differences(model, theta, coefficients, "alpha", 2e-3)
    error = np.linalg.norm(gradients["alpha"] - found)
    assert error < 1e-6 * np.linalg.norm(found)

    value, _, gradients = weighted_bound(model, theta, np.ones(8))
    assert value == np.inf
    assert np.isnan(gradients["alpha"]).all() and np.isnan(gradients["trf"]).all()


def test_parameters_that_only_their_sum_shows():
    # One number less than unknowns: what depends on others is left out of the gradient.
    signal = np.exp(1j * np.arange(6.0))
    jacobian = np.random.default_rng(0).standard_normal((6, 3)) + 0j
    coefficients = np.array([1.0, 0.0, 0.0])

    def value(jacobian):
        twice = np.column_stack([jacobian[:, :2], 2 * jacobian[:, 1]])
        return _adjoint._differentiate(signal, twice, coefficients, 1e-12)

    _, crb, _, slopes = value(jacobian)
    np.testing.assert_array_equal(np.isinf(crb), [False, True, True])
    step = 1e-6 * np.random.default_rng(1).standard_normal((6, 3))
    ends = [value(jacobian + side * step)[0] for side in (1, -1)]
    # Both columns move together.
    move = np.column_stack([step[:, :2], 2 * step[:, 1]])
    assert (slopes.real * move).sum() == pytest.approx((ends[0] - ends[1]) / 2, rel=1e-6)


def test_controls_outside_the_domain_are_refused():
    model = transfer()
    theta = row(model, TISSUE)
    for changed in ({"alpha": np.full(16, 6.0)}, {"trf": np.full(16, 3e-5)}):
        with pytest.raises(ValueError, match="outside the domain"):
            weighted_bound(model, theta, np.ones(7), changed)


def test_what_is_supported():
    assert all(supports(model) for model, _ in CASES.values())
    model = transfer()
    for other in (
        model.compress(np.eye(16)[:, :12]),
        model.whiten(np.ones(16)),
        MonoExponential([0.01, 0.02]),
    ):
        assert not supports(other)

    class Own(MagnetizationTransfer):
        pass

    assert not supports(Own(model.sequence))
