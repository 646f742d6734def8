import numpy as np
from numpy.polynomial.chebyshev import chebder, chebval

from crbestim.kernels import hybrid_state_gradient as kernels
from crbestim.kernels.lanes import LANES

N, RATIO, DRATIO = 6, 0.2, 1.44
PLACES = np.array([3, 0, 5, 1, 4, 2])
UNUSED = np.empty(0)


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def problem():
    """Return maps of no physics, angles, a state, tangents, and weights of the echoes."""
    maps = 0.4 * draw(0, N, kernels.N_ROWS, LANES)
    maps[:, kernels.VALUES + 1, 6:] = 0.0
    return (
        maps,
        draw(1, N),
        draw(2, 4),
        draw(3, 4, LANES),
        draw(4, N, 2),
        draw(5, N, 2, LANES),
    )


def play(advance, maps, alpha, v, t):
    """Return the states and tangents before each repetition, and those at the end."""
    v, t = v.copy(), t.copy()
    states, tangents = np.empty((N, 4)), np.empty((N, 4, LANES))
    advance(0, N, maps, PLACES, alpha, RATIO, DRATIO, v, t, states, tangents)
    return states, tangents, v, t


def weighted_sum(advance, maps, alpha, v, t, g, h):
    """Return a sum of x and y of all echoes and of their tangents."""
    states, tangents, v, t = play(advance, maps, alpha, v, t)
    states, tangents = (
        np.concatenate([states[1:], [v]]),
        np.concatenate([tangents[1:], [t]]),
    )
    return (g * states[:, :2]).sum() + (h * tangents[:, :2]).sum()


def differences(f, x):
    """Return central differences of a polynomial of low degree."""
    out = np.empty_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-3
        close, wide = (f(x + k * step) - f(x - k * step) for k in (1, 2))
        out[i] = (8 * close - wide) / (12 * 1e-3)
    return out


def test_polynomials_against_numpy(form):
    rng = np.random.default_rng(0)
    points, slopes = rng.uniform(-1, 1, (5, 2)), rng.uniform(1, 2, (5, 2))
    pairs, out = np.argwhere(np.ones((4, 5))), np.empty((3, 5, 20))
    form(kernels.products)(points, slopes, 6, pairs, out)
    (u, w), (du, dw) = points.T, slopes.T
    for k, (i, j) in enumerate(pairs):
        first, second = np.eye(6)[i], np.eye(6)[j]
        values = chebval(u, first), chebval(w, second)
        np.testing.assert_allclose(out[0, :, k], values[0] * values[1], atol=1e-14)
        by_first = du * chebval(u, chebder(first)) * values[1]
        np.testing.assert_allclose(out[1, :, k], by_first, atol=1e-13)
        by_second = dw * chebval(w, chebder(second)) * values[0]
        np.testing.assert_allclose(out[2, :, k], by_second, atol=1e-13)


def test_affine_map_of_a_cycle(form):
    maps, alpha, v, t, *_ = problem()
    cycle = np.empty((4, LANES))
    form(kernels.transfer)(0, N, maps, PLACES, alpha, RATIO, cycle)
    end = play(form(kernels.advance), maps, alpha, v, t)[2]
    np.testing.assert_allclose(cycle[:, :4] @ v + cycle[:, 4], end, atol=1e-12)


def test_tangents_against_differences(form):
    maps, alpha, v, t, *_ = problem()
    advance, lane = form(kernels.advance), 3
    end = play(advance, maps, alpha, v, t)[3][:, lane]

    def moved(h):
        other = maps.copy()
        other[:, kernels.VALUES, :8] += h * maps[:, :8, lane]
        other[:, kernels.VALUES + 1, :6] += h * maps[:, 8:14, lane]
        return play(advance, other, alpha, v + h * t[:, lane], t)[2]

    slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
    np.testing.assert_allclose(end, slope, rtol=0, atol=1e-8 * np.abs(end).max())


def test_the_ratio_of_the_pools_has_a_tangent_by_m0s(form):
    maps, alpha, v, _, *_ = problem()
    advance, still = form(kernels.advance), maps.copy()
    still[:, :14] = 0.0

    def end(ratio):
        states, tangents = np.empty((N, 4)), np.empty((N, 4, LANES))
        state, t = v.copy(), np.zeros((4, LANES))
        run = (still, PLACES, alpha, ratio, DRATIO)
        advance(0, N, *run, state, t, states, tangents)
        return state, t

    slope = (end(RATIO + 1e-6)[0] - end(RATIO - 1e-6)[0]) / 2e-6
    tangents = end(RATIO)[1]
    np.testing.assert_allclose(tangents[:, 0], DRATIO * slope, rtol=1e-7)
    assert not tangents[:, 1:].any()


def test_reverse_mode_against_differences(form):
    maps, alpha, v, t, g, h = problem()
    advance, retreat = form(kernels.advance), form(kernels.retreat)
    states, tangents, *_ = play(advance, maps, alpha, v, t)
    by_map, by_alpha = maps.copy(), np.empty(N)
    by_v, by_t = np.zeros(4), np.zeros((4, LANES))
    run = (PLACES, alpha, RATIO, DRATIO, states, tangents, g, h)
    retreat(0, N, by_map, *run, by_v, by_t, by_alpha)

    def moved(some):
        return weighted_sum(advance, np.concatenate([some, maps[2:]]), alpha, v, t, g, h)

    found = differences(moved, maps[:2])
    found[:, kernels.VALUES + 1, 6:] = 0.0
    np.testing.assert_allclose(by_map[:2], found, atol=1e-8)
    slopes = differences(lambda x: weighted_sum(advance, maps, x, v, t, g, h), alpha)
    np.testing.assert_allclose(by_alpha, slopes, atol=1e-7)
    slopes = differences(lambda x: weighted_sum(advance, maps, alpha, x, t, g, h), v)
    np.testing.assert_allclose(by_v, slopes, atol=1e-8)
    slopes = differences(lambda x: weighted_sum(advance, maps, alpha, v, x, g, h), t)
    np.testing.assert_allclose(by_t, slopes, atol=1e-8)

    # Without slopes it leaves the maps as they are, and comes to the same adjoint.
    same_v, same_t, untouched = np.zeros(4), np.zeros((4, LANES)), maps.copy()
    retreat(0, N, untouched, *run, same_v, same_t, UNUSED)
    np.testing.assert_array_equal(untouched, maps)
    np.testing.assert_array_equal(same_v, by_v)
    np.testing.assert_array_equal(same_t, by_t)
