import numpy as np
import pytest
from scipy.linalg import expm, expm_frechet

from crbestim.kernels import affine

SIZES = [(2, 0), (2, 3), (4, 8), (5, 8)]


def square(a):
    """Return maps (n, n + 1, ...) as square matrices whose last row is zero."""
    n = a.shape[0]
    m = np.zeros((n + 1, *a.shape[1:]))
    m[:n] = a
    return m


def as_matrix(a):
    """Return a map as a matrix that acts on (x, 1)."""
    m = square(a)
    m[-1, -1] = 1
    return m


def random_map(rng, n, d):
    return rng.standard_normal((n, n + 1)), rng.standard_normal((n, n + 1, d))


def random_generator(rng, n, d, norm):
    """Return a generator that does not grow, of about this norm, and derivatives."""
    g, dg = random_map(rng, n, d)
    g[:, :n] -= g[:, :n].T.copy()  # rotations
    g[np.diag_indices(n)] = -rng.random(n)  # and decay
    scale = norm / np.abs(g).sum(axis=1).max()
    return g * scale, dg * scale


def outputs(n, d):
    """Return output arrays that hold no numbers yet."""
    return np.full((n, n + 1), np.nan), np.full((n, n + 1, d), np.nan)


def run_flow(kernel, g, dg):
    out, dout = outputs(*dg.shape[::2])
    kernel(g.copy(), dg.copy(), np.empty_like(g), np.empty_like(dg), out, dout)
    return out, dout


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_compose_is_the_product_of_matrices(form, n, d):
    rng = np.random.default_rng(0)
    (a, da), (b, db) = random_map(rng, n, d), random_map(rng, n, d)
    out, dout = outputs(n, d)
    form(affine.compose)(a, da, b, db, out, dout)
    np.testing.assert_allclose(as_matrix(out), as_matrix(a) @ as_matrix(b), atol=1e-14)
    for p in range(d):
        product_rule = square(da[:, :, p]) @ as_matrix(b) + as_matrix(a) @ square(
            db[:, :, p]
        )
        np.testing.assert_allclose(square(dout[:, :, p]), product_rule, atol=1e-14)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_identity_leaves_a_map_as_it_is(form, n, d):
    identity = outputs(n, d)
    form(affine.set_identity)(*identity)
    a = random_map(np.random.default_rng(1), n, d)
    for first, second in ((identity, a), (a, identity)):
        out = outputs(n, d)
        affine.compose(*first, *second, *out)
        np.testing.assert_array_equal(out[0], a[0])
        np.testing.assert_array_equal(out[1], a[1])


# 0.35 is where squaring begins; rho TRF / T2s of a pulse reaches 250.
@pytest.mark.parametrize("norm", [1e-9, 0.1, 0.349, 0.351, 0.7, 3.0, 30.0, 250.0])
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_flow_is_the_matrix_exponential(form, n, d, norm):
    rng = np.random.default_rng(2)
    g, dg = random_generator(rng, n, d, norm)
    out, dout = run_flow(form(affine.flow), g, dg)
    # The first term left out is 0.35**10 / 10! = 8e-12, and 0.35**9 / 9! = 2e-10 of the
    # norm of the derivative; flows that do not grow keep it that small. Measured: 1e-12
    # and 2e-11.
    np.testing.assert_allclose(as_matrix(out), expm(square(g)), rtol=0, atol=8e-12)
    for p in range(d):
        change = square(dg[:, :, p])
        expected = expm_frechet(square(g), change, compute_expm=False)
        error = np.abs(square(dout[:, :, p]) - expected).max()
        assert error < 2e-10 * np.abs(change).sum(axis=1).max()


def test_derivative_of_flow_against_differences(form):
    rng = np.random.default_rng(3)
    g, dg = random_generator(rng, 5, 8, 2.0)
    _, dout = run_flow(form(affine.flow), g, dg)
    none, step = np.empty((5, 6, 0)), 1e-3
    for p in range(8):
        # Weights of sixth order; their truncation is step**6 / 140, rounding 1e-13.
        difference = sum(
            weight * run_flow(affine.flow, g + k * step * dg[:, :, p], none)[0]
            for k, weight in zip(
                (-3, -2, -1, 1, 2, 3), (-1, 9, -45, 45, -9, 1), strict=True
            )
        ) / (60 * step)
        np.testing.assert_allclose(dout[:, :, p], difference, atol=1e-11)


def test_flow_over_zero_time_is_the_identity(form):
    zero = np.zeros((4, 5)), np.zeros((4, 5, 2))
    out, dout = run_flow(form(affine.flow), *zero)
    np.testing.assert_array_equal(out, np.eye(4, 5))
    np.testing.assert_array_equal(dout, 0)


def test_flow_of_a_constant_drift_is_a_shift(form):
    g, dg = np.zeros((3, 4)), np.zeros((3, 4, 1))
    g[:, 3], dg[:, 3, 0] = [1.0, -20.0, 300.0], [1.0, 2.0, 3.0]
    out, dout = run_flow(form(affine.flow), g, dg)
    np.testing.assert_allclose(out, np.eye(3, 4) + g, rtol=1e-15)
    np.testing.assert_allclose(dout, dg, rtol=1e-15)


def test_flow_over_two_halves_is_flow_over_the_whole(form):
    g, dg = random_generator(np.random.default_rng(4), 5, 8, 7.0)
    whole = run_flow(form(affine.flow), g, dg)
    half = run_flow(form(affine.flow), g / 2, dg / 2)
    twice = outputs(5, 8)
    affine.compose(*half, *half, *twice)
    np.testing.assert_allclose(twice[0], whole[0], atol=1e-12)
    np.testing.assert_allclose(twice[1], whole[1], atol=1e-11)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_taylor_polynomial_of_a_small_generator(form, n, d):
    g, dg = random_generator(np.random.default_rng(5), n, d, 0.1)
    out, dout = outputs(n, d)
    form(affine._taylor)(g, dg, np.empty_like(g), np.empty_like(dg), out, dout)
    # The first term left out is norm**10 / 10!, its derivative norm**9 / 9!.
    np.testing.assert_allclose(as_matrix(out), expm(square(g)), rtol=0, atol=1e-15)
    for p in range(d):
        expected = expm_frechet(square(g), square(dg[:, :, p]), compute_expm=False)
        np.testing.assert_allclose(square(dout[:, :, p]), expected, atol=1e-14)
