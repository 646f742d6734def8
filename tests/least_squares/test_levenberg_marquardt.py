"""Many small least-squares problems: against SciPy, and each for itself."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from crbestim.least_squares import levenberg_marquardt as module
from crbestim.least_squares.levenberg_marquardt import sum_of_squares

T = np.linspace(0.0, 3.0, 25)


def levenberg_marquardt(evaluate, *args, **options):
    """Minimize half the squared norm of residuals."""

    def costs(rows, x, derivatives):
        return sum_of_squares(*evaluate(rows, x, derivatives))

    return module.levenberg_marquardt(costs, *args, **options)


def curve(x):
    """Return two decaying exponentials of four variables, and their derivatives."""
    a, b, c, d = (x[:, k, None] for k in range(4))
    slow, fast = np.exp(-(0.2 + c) * T), np.exp(-(1.5 + 4 * d) * T)
    values = a * slow + b * fast
    slopes = [slow, fast, -T * a * slow, -4 * T * b * fast]
    return values, np.stack(slopes, axis=-1)


def problems(n, noise, seed=0):
    """Return an objective, start values and the data of n curves."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 0.8, (n, 4))
    data = curve(truth)[0] + noise * rng.standard_normal((n, len(T)))

    def evaluate(rows, x, jacobian):
        values, slopes = curve(x)
        return values - data[rows], slopes if jacobian else None

    return evaluate, np.full((n, 4), 0.5), truth


def scipy_cost(evaluate, row, start):
    result = least_squares(
        lambda x: evaluate(np.array([row]), x[None], False)[0][0],
        start,
        jac=lambda x: evaluate(np.array([row]), x[None], True)[1][0],
        bounds=(0.0, 1.0),
        ftol=1e-14,
        xtol=1e-14,
        gtol=1e-14,
        max_nfev=2000,
    )
    return result.cost


# At 0.3 many minima lie at sides of the box.
@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_minima_are_those_of_scipy(noise):
    evaluate, start, _ = problems(60, noise)
    found = levenberg_marquardt(evaluate, start, 500, 1e-10)
    expected = [scipy_cost(evaluate, row, x) for row, x in enumerate(start)]
    assert found.converged.all()
    # A few end in another local minimum, better or worse.
    same = np.abs(found.cost / expected - 1) < 1e-6
    assert same.mean() >= 0.95
    assert ((found.x >= 0) & (found.x <= 1)).all()
    if noise > 0.1:
        assert ((found.x == 0) | (found.x == 1)).any()


def test_data_without_noise_are_explained():
    evaluate, start, truth = problems(40, 0.0)
    found = levenberg_marquardt(evaluate, start, 500, 1e-12)
    np.testing.assert_allclose(found.x, truth, atol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours():
    evaluate, start, _ = problems(30, 0.05)
    whole = levenberg_marquardt(evaluate, start, 100, 1e-8)
    some = np.array([17, 3, 29])
    part = levenberg_marquardt(
        lambda rows, *point: evaluate(some[rows], *point), start[some], 100, 1e-8
    )
    for name in vars(whole):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[some])


def test_cost_belongs_to_the_point():
    evaluate, start, _ = problems(10, 0.05)
    found = levenberg_marquardt(evaluate, start, 6, 1e-8)
    residual, _ = evaluate(np.arange(10), found.x, False)
    np.testing.assert_allclose(found.cost, (residual**2).sum(axis=1) / 2, rtol=1e-13)
    first, _ = evaluate(np.arange(10), start, False)
    assert (found.cost <= (first**2).sum(axis=1) / 2).all()


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_iterations_are_limited(limit):
    evaluate, start, _ = problems(8, 0.05)
    found = levenberg_marquardt(evaluate, start, limit, 1e-14)
    assert (found.n_iterations == limit).all() and not found.converged.any()


def test_a_tighter_tolerance_takes_longer_and_ends_lower():
    evaluate, start, _ = problems(20, 0.05)
    coarse, fine = (levenberg_marquardt(evaluate, start, 500, t) for t in (1e-2, 1e-10))
    assert coarse.n_iterations.sum() < fine.n_iterations.sum()
    assert (fine.cost <= coarse.cost).all() and (fine.cost < coarse.cost).any()


@pytest.mark.parametrize("where", ["residual", "jacobian"])
def test_a_row_that_is_not_finite_fails_alone(where):
    evaluate, start, _ = problems(5, 0.05)

    def broken(rows, x, wants_jacobian):
        residual, jacobian = evaluate(rows, x, wants_jacobian)
        bad = np.where(rows == 2, np.nan, 1.0)
        if where == "residual":
            return residual * bad[:, None], jacobian
        return residual, jacobian * bad[:, None, None] if wants_jacobian else None

    found = levenberg_marquardt(broken, start, 100, 1e-8)
    expected = levenberg_marquardt(evaluate, start, 100, 1e-8)
    assert found.failed.tolist() == [False, False, True, False, False]
    others = ~found.failed
    np.testing.assert_array_equal(found.x[others], expected.x[others])


def test_steps_around_a_hole_go_on():
    # Not finite beyond 0.7, where the first step leads; the minimum is at 0.69.
    def evaluate(rows, x, jacobian):
        residual = np.where(x < 0.7, 3 * x**3 - 3 * 0.69**3, np.nan)
        return residual, 9 * x[:, :, None] ** 2

    found = levenberg_marquardt(evaluate, np.array([[0.3]]), 200, 1e-12)
    np.testing.assert_allclose(found.x, 0.69, atol=1e-6)


def test_wrong_derivatives_stall():
    evaluate, start, _ = problems(20, 0.05)

    def misled(rows, x, jacobian):
        residual, slopes = evaluate(rows, x, jacobian)
        return residual, None if slopes is None else -slopes

    found = levenberg_marquardt(misled, start, 500, 1e-8)
    assert found.stalled.all() and not found.converged.any() and not found.failed.any()
    assert not levenberg_marquardt(evaluate, start, 500, 1e-8).stalled.any()


def test_a_variable_without_effect_stays():
    def evaluate(rows, x, jacobian):
        slopes = np.zeros((len(x), 2, 2))
        slopes[:, 0, 0] = 1.0
        return np.stack([x[:, 0] - 0.25, np.ones(len(x))], axis=1), slopes

    found = levenberg_marquardt(evaluate, np.array([[0.9, 0.4]]), 50, 1e-10)
    np.testing.assert_allclose(found.x, [[0.25, 0.4]], atol=1e-8)
    assert found.converged.all()


def test_the_side_of_the_box_stops_one_variable_only():
    # The minimum without a box is (1.5, 0.2); on its side, at x = 1, it is (1, 0.4).
    def evaluate(rows, x, jacobian):
        a, b = x[:, 0] - 1.5, x[:, 1] - 0.2
        residual = np.stack([a + b, 3 * b + a], axis=1)
        return residual, np.tile(np.array([[1.0, 1.0], [1.0, 3.0]]), (len(x), 1, 1))

    found = levenberg_marquardt(evaluate, np.array([[0.1, 0.9]]), 100, 1e-12)
    # Of (a + b)^2 + (a + 3 b)^2 with a = -1/2: b = -4 a / 10.
    np.testing.assert_allclose(found.x, [[1.0, 0.2 + 0.2]], atol=1e-6)


def test_curvature_of_the_residual_saves_steps(monkeypatch):
    # Large residuals of a strongly bent curve, where J^T J is a poor Hessian.
    def evaluate(rows, x, jacobian):
        z = 4 * x - 2
        values = np.concatenate(
            [z[:, :1] - 1.9, z[:, :1] ** 2 + 2.0, 0.1 * z[:, 1:]], axis=1
        )
        slopes = np.zeros((len(x), 3, 2))
        slopes[:, 0, 0], slopes[:, 1, 0], slopes[:, 2, 1] = 4.0, 8 * z[:, 0], 0.4
        return values, slopes

    start = np.random.default_rng(0).uniform(0.3, 0.9, (20, 2))
    with_it = levenberg_marquardt(evaluate, start, 500, 1e-10)
    monkeypatch.setattr(module, "_updated_bend", lambda bend, *_: np.zeros_like(bend))
    without = levenberg_marquardt(evaluate, start, 500, 1e-10)
    np.testing.assert_allclose(with_it.cost, without.cost, rtol=1e-8)
    assert with_it.n_iterations.sum() < 0.7 * without.n_iterations.sum()


def test_steps_tried_with_derivatives_are_the_same():
    evaluate, start, _ = problems(40, 0.01)
    places = {True: 0, False: 0}

    def counted(rows, x, derivatives):
        places[derivatives] += len(rows)
        return evaluate(rows, x, derivatives)

    found = levenberg_marquardt(counted, start, 200, 1e-10)
    before = places.copy()
    same = levenberg_marquardt(counted, start, 200, 1e-10, at_once=True)
    np.testing.assert_array_equal(same.x, found.x)
    np.testing.assert_array_equal(same.n_iterations, found.n_iterations)
    # Few steps are bad, so that far fewer places are evaluated twice.
    assert places[False] - before[False] < 0.5 * before[False]
    assert places[True] - before[True] < 1.3 * before[True]
