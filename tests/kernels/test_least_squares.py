"""Steps in a box: against all combinations of sides, and at their limits."""

from itertools import product

import numpy as np
import pytest

from crbestim.kernels.least_squares import decrements, steps_in_box


def problems(n_rows, n, seed=0, spread=1.0):
    """Return points in the unit box, some on its sides, gradients and matrices."""
    rng = np.random.default_rng(seed)
    x = np.clip(rng.uniform(-0.2, 1.2, (n_rows, n)), 0.0, 1.0)
    factors = rng.standard_normal((n_rows, n + 2, n)) * 10.0 ** rng.uniform(
        -spread, spread, (n_rows, 1, n)
    )
    h = np.swapaxes(factors, 1, 2) @ factors
    g = (np.swapaxes(factors, 1, 2) @ rng.standard_normal((n_rows, n + 2, 1)))[..., 0]
    return x, g, h


def steps(form, x, g, h, damping):
    out = np.full_like(x, np.nan)
    form(steps_in_box)(x, g, h, np.broadcast_to(damping, x.shape).copy(), out)
    return out


def value(g, a, p):
    return g @ p + 0.5 * p @ a @ p


def best_of_all_sides(x, g, a):
    """Minimize over all choices of variables at the low side, the high side or between."""
    n, best, least = len(x), None, np.inf
    for choice in product((0, 1, None), repeat=n):
        free = np.array([side is None for side in choice])
        p = np.array([0.0 if s is None else s for s in choice]) - np.where(free, 0, x)
        pull = g[free] + a[np.ix_(free, ~free)] @ p[~free]
        p[free] = -np.linalg.solve(a[np.ix_(free, free)], pull)
        inside = ((x + p > -1e-12) & (x + p < 1 + 1e-12)).all()
        if inside and value(g, a, p) < least:
            best, least = p, value(g, a, p)
    return best


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_step_is_the_best_of_all_sides(form, n):
    x, g, h = problems(40, n)
    found = steps(form, x, g, h, 1e-9)
    for row in range(len(x)):
        a = h[row] + 1e-9 * np.eye(n)
        expected = best_of_all_sides(x[row], g[row], a)
        np.testing.assert_allclose(found[row], expected, atol=1e-7)
    sides = (x + found == 0) | (x + found == 1)
    assert sides.any() and not sides.all()


def test_steps_inside_are_newtons(form):
    x, g, h = problems(20, 4, seed=1)
    x[:] = 0.5
    g *= 1e-6
    expected = -np.linalg.solve(h + 0.1 * np.eye(4), g[..., None])[..., 0]
    np.testing.assert_allclose(steps(form, x, g, h, 0.1), expected, rtol=1e-7)


def test_compiled_and_python_agree_on_unequal_scales():
    x, g, h = problems(200, 7, seed=2, spread=4.0)
    damping = 1e-6 * np.einsum("nii->ni", h)
    compiled = steps(lambda kernel: kernel, x, g, h, damping)
    assert ((x + compiled >= -1e-15) & (x + compiled <= 1 + 1e-15)).all()
    lower = [value(g[r], h[r] + np.diag(damping[r]), compiled[r]) for r in range(200)]
    assert (np.array(lower) <= 0).all()


def test_much_damping_leads_downhill(form):
    x, g, h = problems(10, 3, seed=3)
    x[:] = 0.5
    found = steps(form, x, g, h, 1e9)
    np.testing.assert_allclose(found, -g / 1e9, rtol=1e-4)


def test_damping_grows_until_the_matrix_is_positive(form):
    x, g = np.full((1, 2), 0.5), np.array([[1e-3, 1e-3]])
    h = np.array([[[1.0, 0.0], [0.0, -5.0]]])
    # 0.01, 0.1, 1 and then 10 exceed 5.
    expected = [[-1e-3 / 11, -1e-3 / 5]]
    np.testing.assert_allclose(steps(form, x, g, h, 0.01), expected)


def test_numbers_that_are_not_finite_lead_nowhere(form):
    x, g = np.full((2, 2), 0.5), np.full((2, 2), 1e-3)
    h = np.tile(np.eye(2), (2, 1, 1))
    h[0, 1, 1] = np.nan
    found = steps(form, x, g, h, 1e-9)
    np.testing.assert_array_equal(found[0], 0.0)
    np.testing.assert_allclose(found[1], -1e-3, rtol=1e-6)


def test_decrement_is_what_newtons_step_gains(form):
    x, g, h = problems(30, 4, seed=4)
    out = np.empty(30)
    form(decrements)(x, g, h, np.zeros_like(x), out)
    for row in range(30):
        held = ((x[row] == 0) & (g[row] >= 0)) | ((x[row] == 1) & (g[row] <= 0))
        free = ~held
        part = h[row][np.ix_(free, free)]
        expected = 0.5 * g[row][free] @ np.linalg.solve(part, g[row][free])
        np.testing.assert_allclose(out[row], expected, rtol=1e-8)


def test_decrement_of_a_singular_matrix_is_infinite(form):
    out = np.empty(1)
    form(decrements)(
        np.full((1, 2), 0.5), np.ones((1, 2)), np.zeros((1, 2, 2)), np.zeros((1, 2)), out
    )
    assert np.isinf(out[0])
