"""Differences: their accuracy, their places, and what they say of their own error."""

import numpy as np
import pytest

from crbestim.bounds import cramer_rao_bound
from crbestim.exceptions import InexactJacobianWarning, SingularInformationWarning
from crbestim.models import FunctionModel, MagnetizationTransfer
from crbestim.models._differences import differentiate
from crbestim.parameters import Parameter
from crbestim.sequences import HybridStateSequence
from tests.models import functions
from tests.models.functions import biexponential


@pytest.mark.parametrize("place", [0.0, 1e-3, 3e-3, 0.5, 1 - 3e-3, 1 - 1e-3, 1.0])
@pytest.mark.parametrize("degree", range(6))
def test_exact_for_polynomials_of_degree_four(place, degree):
    x, parameter = np.array([[place]]), Parameter("x", (0.0, 1.0))
    found = differentiate(lambda x: x**degree, x, x**degree, [parameter], 2e-3)
    exact = degree * place ** max(degree - 1, 0)
    error = abs(found.jacobian[0, 0, 0] - exact)
    # Beyond degree four: the fifth derivative, 120, times step**4 / 5 at most.
    assert error < 1e-12 if degree < 5 else error < 120 * 2e-3**4 / 5 * 1.01
    assert error <= max(found.error[0, 0], 1e-12)


def test_the_estimated_error_is_that_of_noise():
    rng = np.random.default_rng(0)
    x, parameters = np.full((400, 1), 0.5), [Parameter("x", (-1.0, 1.0))]
    for place in (0.5, 1.0):
        x[:] = place
        found = differentiate(
            lambda x: x + 1e-9 * rng.standard_normal((400, 50)),
            x,
            x + 1e-9 * rng.standard_normal((400, 50)),
            parameters,
            1e-3,
        )
        error = np.linalg.norm(found.jacobian[:, :, 0] - 1, axis=1)
        # Mean squares of 20000 normal numbers, good to 1 %.
        ratio = np.mean(found.error**2) / np.mean(error**2)
        assert ratio == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("jump", [-3e-3, -1e-3, 0.0, 1e-3, 3e-3])
@pytest.mark.parametrize("f", [lambda x: np.abs(x), lambda x: 0.01 * (x > 0) + x])
def test_kinks_and_jumps_are_seen(f, jump):
    x, parameter = np.array([[jump]]), Parameter("x", (-1.0, 1.0))
    found = differentiate(f, x, f(x), [parameter], 1e-3)
    is_near = abs(jump) < 2 * 2e-3
    assert (found.error[0, 0] > 1e-2 * found.size[0, 0]) == is_near


def test_a_time_over_decades():
    """A step that is a share of the width would be 60 % of the shortest time."""

    def decay(theta):
        return np.exp(-np.array([0.5e-3, 1e-3, 4e-3]) / theta)

    theta = np.geomspace(1e-3, 3.0, 20)[:, None]
    model = FunctionModel(decay, ["T2"], [(1e-3, 3.0)], vectorized=True)
    _, jacobian = model.signal(theta, jacobian=True)
    exact = np.array([0.5e-3, 1e-3, 4e-3]) / theta**2 * decay(theta)
    # Rounding of a signal of size 1 over the step.
    assert np.abs(theta * (jacobian[:, :, 0] - exact)).max() < 1e-11
    assert (model.jacobian_error(theta) < 1e-7).all()


def test_steps_stay_inside_the_bounds():
    seen = []

    def root(theta):
        seen.append(theta)
        return np.sqrt(theta * (1 - theta)) * np.ones(3)

    model = FunctionModel(root, ["x"], [(0.0, 1.0)], vectorized=True)
    model.signal(np.linspace(0.05, 0.95, 11)[:, None], jacobian=True)
    model.difference_step = 0.2
    with pytest.warns(InexactJacobianWarning):
        model.signal([[0.0], [0.01], [0.7], [1.0]], jacobian=True)
    values = np.concatenate(seen)
    assert values.min() == 0.0 and values.max() == 1.0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s.astype(np.float16),
        lambda s: s.round(6),
        lambda s: s + 1e-6 * np.sin(1e9 * s),
    ],
    ids=["half precision", "six digits", "noise"],
)
def test_doubtful_derivatives_bring_a_warning(spoil):
    def rough(theta):
        return spoil(np.exp(-theta[1] * np.linspace(0, 0.1, 6)) + 0 * theta[0])

    model = FunctionModel(rough, ["idle", "R2"], [(0.0, 1.0), (1.0, 100.0)])
    message = "derivative of FunctionModel 'rough' with respect to R2 is uncertain by more"
    with pytest.warns(InexactJacobianWarning, match=message) as record:
        model.signal([[0.5, 20.0], [0.5, 30.0]], jacobian=True)
    assert len(record) == 1
    error = model.jacobian_error([[0.5, 20.0]])
    assert error.shape == (1, 2) and error[0, 1] > 1e-4


def test_a_longer_step_is_the_remedy_for_noise():
    def noisy(theta):
        s = np.exp(-theta * np.linspace(0, 0.1, 6))
        return s + 1e-7 * np.sin(1e9 * s)

    model = FunctionModel(noisy, ["R2"], [(1.0, 100.0)])
    with pytest.warns(InexactJacobianWarning):
        model.signal([[20.0]], jacobian=True)
    model.difference_step = 0.02
    model.signal([[20.0]], jacobian=True)
    assert model.jacobian_error([[20.0]])[0, 0] < 1e-4


def test_no_warning_for_derivatives_that_vanish():
    def even(theta):
        return np.cos(theta * np.array([1.0, 2.0])) + np.pi

    model = FunctionModel(even, ["omega"], [(-1.0, 1.0)])
    _, jacobian = model.signal([[0.0]], jacobian=True)
    np.testing.assert_allclose(jacobian, 0, atol=1e-11)
    assert model.jacobian_error([[0.0]])[0, 0] < 1e-6


def test_a_signal_that_is_zero_has_no_error():
    model = FunctionModel(lambda theta: theta * np.zeros(3), ["a"], [(0.0, 1.0)])
    assert model.jacobian_error([[0.5]]).tolist() == [[0.0]]


@pytest.mark.parametrize("compress", [False, True])
def test_a_wrong_jacobian_is_found(compress):
    def wrong(theta):
        return functions.jacobian_of_one(theta) * np.array([1.0, 1.01, 1.0])

    theta = functions.draw(4)[:3]
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 6)))[0]
    right, wrong = (
        biexponential(functions.of_one, jacobian=jacobian)
        for jacobian in (functions.jacobian_of_one, wrong)
    )
    if compress:
        right, wrong = right.compress(basis), wrong.compress(basis)
    # Differences of a fast decay at few samples keep nine digits.
    assert (right.jacobian_error(theta) < 1e-8).all()
    error = wrong.jacobian_error(theta)
    np.testing.assert_allclose(error[:, 1], 0.01, rtol=1e-5)
    assert (error[:, [0, 2]] < 1e-8).all()


def test_the_error_of_an_analytic_model():
    alpha = np.append(np.pi, np.full(9, 0.6))
    model = MagnetizationTransfer(HybridStateSequence(alpha, np.full(10, 4e-4), 3.5e-3))
    error = model.jacobian_error([[0.1, 0.7, 13, 30, 1e-5, 10, 1]])
    # The signal is good to 1e-8 of its size, and ten pulses determine little.
    assert error.shape == (1, 7) and (error < 1e-4).all()


TIMES = np.linspace(0.0, 2.0, 10)


def with_floor(theta):
    """Return a decay above a floor, whose derivative by the floor vanishes at 0."""
    amplitude, rate, power, floor = theta
    return amplitude * np.hypot(np.exp(-((TIMES * rate) ** power)), floor)


def test_a_vanishing_column_of_rounding_errors_is_zero_and_its_bound_infinite():
    names = ["amplitude", "rate", "power", "floor"]
    model = FunctionModel(with_floor, names, [(0.0, 2.0), (0.1, 3), (0.3, 1), (0.0, 0.2)])
    rng = np.random.default_rng(0)
    theta = rng.uniform([0.5, 0.3, 0.5, 0.0], [1.5, 2.0, 0.95, 0.0], (50, 4))
    with pytest.warns(SingularInformationWarning, match=r"floor \(50 of 50 samples\)"):
        crb = cramer_rao_bound(model, theta, noise_std=0.03)
    assert (model.signal(theta, jacobian=True)[1][:, :, 3] == 0).all()
    # That of the others is the same as if the floor were known.
    known = cramer_rao_bound(model.fix(floor=0.0), theta[:, :3], noise_std=0.03)
    np.testing.assert_allclose(crb[:, :3], known, rtol=1e-12)
    # Further away it counts, and the bounds of all are continuous.
    far, further = (
        cramer_rao_bound(model, theta + [0, 0, 0, floor]) for floor in (1e-5, 1e-4)
    )
    np.testing.assert_allclose(far[:, :3], further[:, :3], rtol=1e-3)


def test_columns_are_judged_by_their_own_norm():
    model = FunctionModel(
        with_floor, list("arpf"), [(0.0, 2.0), (0.1, 3), (0.3, 1), (0.0, 0.2)]
    )
    theta = [[1.0, 1.0, 0.7, 1e-9]]
    with pytest.warns(InexactJacobianWarning, match="with respect to f is uncertain"):
        model.signal(theta, jacobian=True)
    assert 1e-3 < model.jacobian_error(theta)[0, 3] < 0.1
