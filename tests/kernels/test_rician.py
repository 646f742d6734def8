"""Terms of the Rician likelihood against SciPy's Bessel functions and the noise model."""

import numpy as np
import pytest
from scipy.special import i0e, i1e

from crbestim.kernels import rician
from crbestim.least_squares.compiled_likelihood import polynomials
from crbestim.noise import RicianNoise

SIZES = np.concatenate([[0.0], np.logspace(-9, 9, 37), np.linspace(0.1, 12, 40)])


def test_terms_are_those_of_the_noise_model(form):
    log_likelihood, terms = form(rician.log_likelihood), form(rician.slope_and_information)
    for m in (0.0, 1e-3, 0.7, 3.0, 40.0, 1e7):
        for a in [*SIZES, -0.3, -7.0]:
            z = m * a
            expected = np.log(i0e(z)) - (m - a) ** 2 / 2
            found = log_likelihood(np.array([m]), np.array([a]), 1.0, polynomials())
            assert found == pytest.approx(expected, rel=4e-15, abs=2e-14)
            slope, information = terms(m, a, polynomials())
            rounding = 1e-15 * (m + abs(a))
            assert slope == pytest.approx(m * i1e(z) / i0e(z) - a, rel=0, abs=rounding)
            of_noise = float(RicianNoise().information(a, 1.0))
            # As good as the series of the noise model.
            assert information == pytest.approx(of_noise, rel=1e-10, abs=1e-300)


def test_products_of_many_bessel_functions_do_not_underflow(form):
    m = np.full(500, 1e5)
    found = form(rician.log_likelihood)(m, m, 1.0, polynomials())
    assert found == pytest.approx(500 * np.log(i0e(1e10)), rel=1e-13)


def test_what_is_not_finite_stays_so(form):
    log_likelihood, terms = form(rician.log_likelihood), form(rician.slope_and_information)
    one = np.ones(2)
    assert np.isnan(log_likelihood(one, np.array([1.0, np.nan]), 1.0, polynomials()))
    assert log_likelihood(one, one, np.inf, polynomials()) == -np.inf
    for m, a in ((1.0, np.nan), (1.0, np.inf), (np.inf, 1.0)):
        assert not np.isfinite(terms(m, a, polynomials())[0])


@pytest.mark.parametrize("weights", [np.empty((0, 0)), np.array([[1.0, 0.5, 0.0]] * 3)])
def test_magnitudes_are_completed_by_their_expected_parts(form, weights):
    x = np.array([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0], [2.0, 1.0, 4.0]])
    atoms = np.array([[0.8, 0.5, 0.1], [0.8, 0.5, 0.1], [np.nan, np.nan, np.nan]])
    sigma, (factors, costs), found = np.full(3, 0.5), np.empty((2, 3)), np.empty((3, 3))
    form(rician.complete)(
        x, 2 * atoms, weights, sigma, atoms, True, polynomials(), factors, found, costs,
        np.empty((2, 3)),
    )  # fmt: skip
    np.testing.assert_allclose(factors, [2.0, 2.0, 0.0], rtol=1e-14)
    unit = 2.0 * (weights[0] if len(weights) else np.ones(3))
    z = x[0] * 2 * atoms[0] * unit**2
    expected = np.where(unit > 0, x[0] * i1e(z) / i0e(z), x[0])
    np.testing.assert_allclose(found[0], expected, rtol=1e-13)
    # Without signal, and without a match, the data stay as they are.
    np.testing.assert_array_equal(found[1:], x[1:])
    logs = np.log(i0e(z)) - ((x[0] - 2 * atoms[0]) * unit) ** 2 / 2
    assert costs[0] == pytest.approx(-logs.sum(), rel=1e-13) and costs[2] == np.inf
