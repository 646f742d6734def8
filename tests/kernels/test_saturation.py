import numpy as np
import pytest
from numpy.polynomial import chebyshev

from crbestim.kernels import saturation
from crbestim.models.saturation import ALPHA_MAX, TAU_RANGE, saturation_table
from tests.reference.differences import derivative

DOMAIN = np.array([*np.log(TAU_RANGE), ALPHA_MAX])
TRF = 500e-6
# T2s, B1 and alpha: the middle, and the corners of the table.
POINTS = [
    (12e-6, 1.0, 1.5),
    (12e-6, 0.9, -1.5),
    (TRF / TAU_RANGE[1], 1.0, 0.3),
    (TRF / TAU_RANGE[0], 0.7, 2.0),
    (20e-6, 1.4, np.pi),
    (5e-6, 1.4, -np.pi),
]


@pytest.fixture(scope="module")
def table():
    """Return the coefficients of no special function, and all of the same size."""
    table = np.random.default_rng(0).standard_normal((7, 5)) / 35
    table.flags.writeable = False  # as the shipped ones, or numba compiles once more
    return table


def expected_rate(table, t2s, trf, b1, alpha):
    x = 2 * (np.log(trf / t2s) - DOMAIN[0]) / (DOMAIN[1] - DOMAIN[0]) - 1
    v = 2 * (b1 * alpha / DOMAIN[2]) ** 2 - 1
    return chebyshev.chebval2d(x, v, table) / t2s


@pytest.mark.parametrize(("t2s", "b1", "alpha"), POINTS)
def test_rate_against_numpy(form, table, t2s, b1, alpha):
    rate, _, _ = form(saturation.saturation_rate)(t2s, TRF, b1, alpha, table, DOMAIN)
    # Both sum 35 terms of 1/35 / T2s.
    assert rate == pytest.approx(expected_rate(table, t2s, TRF, b1, alpha), abs=1e-14 / t2s)


@pytest.mark.parametrize(("t2s", "b1", "alpha"), POINTS)
def test_derivatives_against_differences(form, table, t2s, b1, alpha):
    _, d_t2s, d_b1 = form(saturation.saturation_rate)(t2s, TRF, b1, alpha, table, DOMAIN)
    limits = (TRF / TAU_RANGE[1], TRF / TAU_RANGE[0]), (0.0, ALPHA_MAX / abs(alpha))
    for k, (value, scale) in enumerate([(d_t2s, t2s), (d_b1, b1)]):
        expected = derivative(
            lambda x: expected_rate(table, x[:, 0], TRF, x[:, 1], alpha),
            np.array([t2s, b1]),
            k,
            1e-3 * scale,
            limits[k],
        )
        # Polynomials of degree 6 in log T2s, 8 in B1: one-sided errors of about 1e-9.
        assert value * scale == pytest.approx(expected * scale, rel=1e-7, abs=1e-8 / t2s)


@pytest.mark.parametrize("lineshape", ["super-lorentzian", "lorentzian", "gaussian"])
@pytest.mark.parametrize(("t2s", "b1", "alpha"), POINTS[:2] + POINTS[4:])
def test_shipped_table_and_its_derivatives(form, lineshape, t2s, b1, alpha):
    table = saturation_table(lineshape)
    rate, d_t2s, d_b1 = form(saturation.saturation_rate)(t2s, TRF, b1, alpha, table, DOMAIN)
    assert rate == pytest.approx(expected_rate(table, t2s, TRF, b1, alpha), rel=1e-13)
    for k, (value, scale) in enumerate([(d_t2s, t2s), (d_b1, b1)]):
        expected = derivative(
            lambda x: expected_rate(table, x[:, 0], TRF, x[:, 1], alpha),
            np.array([t2s, b1]),
            k,
            1e-3 * scale,
            (0.0, ALPHA_MAX / abs(alpha)) if k else (0.0, np.inf),
        )
        assert value * scale == pytest.approx(expected * scale, rel=1e-7, abs=1e-7 / t2s)


def test_rate_is_even_in_the_flip_angle(form):
    table = saturation_table("super-lorentzian")
    plus = form(saturation.saturation_rate)(12e-6, TRF, 0.8, 1.2, table, DOMAIN)
    minus = form(saturation.saturation_rate)(12e-6, TRF, 0.8, -1.2, table, DOMAIN)
    assert plus == minus


def test_without_a_pulse_the_rate_does_not_depend_on_b1(form):
    table = saturation_table("super-lorentzian")
    rate, _, d_b1 = form(saturation.saturation_rate)(12e-6, TRF, 0.8, 0, table, DOMAIN)
    other, _, _ = form(saturation.saturation_rate)(12e-6, TRF, 1.3, 0, table, DOMAIN)
    assert d_b1 == 0
    assert rate == other > 0


@pytest.mark.parametrize(("t2s", "b1", "alpha"), POINTS)
def test_lorentzian_pool_relaxes_at_1_over_t2s(form, t2s, b1, alpha):
    # An exponential memory is the linear model itself: rho = 1.
    rate, d_t2s, d_b1 = form(saturation.saturation_rate)(
        t2s, TRF, b1, alpha, saturation_table("lorentzian"), DOMAIN
    )
    # The table is good to 1e-9, its derivatives to 100 times less.
    assert rate * t2s == pytest.approx(1, abs=1e-9)
    assert d_t2s * t2s**2 == pytest.approx(-1, abs=1e-7)
    assert d_b1 * t2s == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("x", [-1.0, -0.3, 0.0, 0.999, 1.0])
@pytest.mark.parametrize("n", [2, 3, 64])
def test_chebyshev_polynomials_and_derivatives(form, x, n):
    t, dt = np.empty(n), np.empty(n)
    form(saturation._chebyshev)(x, t, dt)
    np.testing.assert_allclose(t, chebyshev.chebvander(x, n - 1)[0], atol=1e-13)
    derivatives = [
        chebyshev.chebval(x, chebyshev.chebder(row) if k else [0.0])
        for k, row in enumerate(np.eye(n))
    ]
    # The derivatives grow as n**2 = 4096 towards the ends.
    np.testing.assert_allclose(dt, derivatives, atol=1e-11)
