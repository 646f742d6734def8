import numpy as np
import pytest
from numpy.polynomial import chebyshev

from crbestim.kernels import saturation
from crbestim.kernels.lanes import LANES
from crbestim.kernels.saturation import Rates
from crbestim.models._saturation_table import (
    ALPHA_MAX,
    LINESHAPES,
    TAU_RANGE,
    saturation_table,
)
from tests.reference.differences import derivative

DOMAIN = np.array([*np.log(TAU_RANGE), ALPHA_MAX])
TRF = 500e-6
# Eight voxels, in the middle and at the ends of the table.
T2S = np.array([12e-6, 8e-6, *TRF / np.array(TAU_RANGE), 20e-6, 5e-6, 9e-6, 13e-6])
B1 = np.array([1.0, 0.9, 1.2, 0.7, 1.4, 1.4, 0.05, 0.0])
ANGLES = [0.3, -1.5, 2.0, np.pi, -np.pi]
# Random coefficients of equal size, and the tables that the library ships.
RANDOM_TABLE = np.random.default_rng(0).standard_normal((8, 5)) / 40
TABLES = {"random": RANDOM_TABLE}
TABLES |= {name: np.array(saturation_table(name)) for name in LINESHAPES}


@pytest.fixture(params=TABLES)
def table(request):
    return TABLES[request.param]


def rate_of_kernel(form, table, alpha, t2s=T2S, b1=B1):
    out = np.full((3, LANES), np.nan)
    form(saturation.saturation_rate)(t2s, b1, alpha, TRF, Rates(table, DOMAIN), out)
    return out


def scaled(t2s, b1, alpha):
    """Return the arguments of the table's polynomials, and dx / dlog T2s."""
    slope = 2 / (DOMAIN[1] - DOMAIN[0])
    x = slope * (np.log(TRF / t2s) - DOMAIN[0]) - 1
    return x, 2 * (b1 * alpha / DOMAIN[2]) ** 2 - 1, -slope


def expected_rate(table, t2s, b1, alpha):
    x, v, _ = scaled(t2s, b1, alpha)
    return chebyshev.chebval2d(x, v, table) / t2s


def expected_derivatives(table, t2s, b1, alpha):
    """Return derivatives by T2s and B1, from the derivatives of the polynomials."""
    x, v, slope = scaled(t2s, b1, alpha)
    rho = chebyshev.chebval2d(x, v, table)
    by_x = chebyshev.chebval2d(x, v, chebyshev.chebder(table, axis=0))
    by_v = chebyshev.chebval2d(x, v, chebyshev.chebder(table, axis=1))
    dv_db1 = 4 * b1 * (alpha / DOMAIN[2]) ** 2
    return (slope * by_x - rho) / t2s**2, dv_db1 * by_v / t2s


@pytest.mark.parametrize("alpha", ANGLES)
def test_rate_against_numpy(form, table, alpha):
    rate = rate_of_kernel(form, table, alpha)[0]
    # Sums of terms whose sizes add up to 1. Measured: 1e-15.
    error = np.abs(rate - expected_rate(table, T2S, B1, alpha)) * T2S
    assert (error < 1e-14).all()


@pytest.mark.parametrize("alpha", ANGLES)
def test_derivatives_against_numpy(form, table, alpha):
    _, by_t2s, by_b1 = rate_of_kernel(form, table, alpha)
    expected = expected_derivatives(table, T2S, B1, alpha)
    # Derivatives of polynomials of high degree, whose coefficients are small. Measured:
    # 2e-15.
    error = np.abs(by_t2s - expected[0]) * T2S**2
    assert (error < 2e-14).all()
    error = np.abs(by_b1 - expected[1]) * T2S
    assert (error < 2e-14).all()


@pytest.mark.parametrize("alpha", ANGLES)
@pytest.mark.parametrize("lane", [0, 1, 2, 4, 5])
def test_derivatives_against_differences(form, lane, alpha):
    t2s, b1 = T2S[lane], B1[lane]
    derivatives = rate_of_kernel(form, RANDOM_TABLE, alpha)[1:, lane]
    limits = (TRF / TAU_RANGE[1], TRF / TAU_RANGE[0]), (0.0, ALPHA_MAX / abs(alpha))
    for k, (value, scale) in enumerate(zip(derivatives, [t2s, b1], strict=True)):
        expected = derivative(
            lambda x: expected_rate(RANDOM_TABLE, x[:, 0], x[:, 1], alpha),
            np.array([t2s, b1]),
            k,
            1e-3 * scale,
            limits[k],
        )
        # Polynomials of degree 7 in log T2s, 8 in B1: one-sided errors of about 1e-9.
        assert value * scale == pytest.approx(expected * scale, rel=1e-7, abs=1e-8 / t2s)


def test_rate_is_even_in_the_flip_angle(form, table):
    plus, minus = (rate_of_kernel(form, table, alpha) for alpha in (1.2, -1.2))
    np.testing.assert_array_equal(plus, minus)


def test_without_a_pulse_the_rate_does_not_depend_on_b1(form):
    table = TABLES["super-lorentzian"]
    rate, _, by_b1 = rate_of_kernel(form, table, 0.0)
    np.testing.assert_array_equal(by_b1, 0)
    other = rate_of_kernel(form, table, 0.0, b1=B1[::-1].copy())[0]
    np.testing.assert_array_equal(rate, other)
    assert (rate > 0).all()


@pytest.mark.parametrize("alpha", ANGLES)
def test_lorentzian_pool_relaxes_at_1_over_t2s(form, alpha):
    # An exponential memory is the linear model itself: rho = 1.
    rate, by_t2s, by_b1 = rate_of_kernel(form, TABLES["lorentzian"], alpha)
    # The table is accurate to 1e-9, its derivatives to 1e-7.
    np.testing.assert_allclose(rate * T2S, 1, rtol=0, atol=1e-9)
    np.testing.assert_allclose(by_t2s * T2S**2, -1, rtol=0, atol=1e-7)
    np.testing.assert_allclose(by_b1 * T2S, 0, rtol=0, atol=1e-7)


def test_lanes_do_not_see_each_other(form, table):
    order = np.random.default_rng(1).permutation(LANES)
    out = rate_of_kernel(form, table, 1.1)
    permuted = rate_of_kernel(form, table, 1.1, T2S[order], B1[order])
    np.testing.assert_array_equal(permuted, out[:, order])


@pytest.mark.parametrize("n", [2, 3, 64])
def test_chebyshev_polynomials_and_derivatives(form, n):
    x = np.array([-1.0, -0.7, -0.3, 0.0, 0.2, 0.9, 0.999, 1.0])
    t = np.zeros((n, 2, LANES))
    form(saturation._chebyshev)(x, t)
    np.testing.assert_allclose(t[:, 0], chebyshev.chebvander(x, n - 1).T, atol=1e-13)
    derivatives = [
        chebyshev.chebval(x, chebyshev.chebder(row) if k else [0.0])
        for k, row in enumerate(np.eye(n))
    ]
    # The derivatives grow as n**2 = 4096 towards the ends.
    np.testing.assert_allclose(t[:, 1], derivatives, atol=1e-11)
