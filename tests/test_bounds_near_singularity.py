"""Bounds of Jacobians close to singular, against numbers of sixty digits."""

import mpmath
import numpy as np
import pytest

from crbestim.bounds import covariance_from_jacobian, cramer_rao_bound, crb_from_jacobian
from crbestim.exceptions import SingularInformationWarning
from crbestim.models import BiExponential, FunctionModel

TE = 0.01 * np.arange(1, 13)


def exact_covariance(jacobian):
    """Invert J^T J of one sample with sixty digits."""
    with mpmath.workdps(60):
        j = mpmath.matrix(jacobian.tolist())
        return np.array((j.T * j) ** -1).astype(float).reshape(2 * jacobian.shape[1:])


def near_collinear(seed, distance):
    """Return a Jacobian with columns that nearly depend on each other, of any scale."""
    rng = np.random.default_rng(seed)
    m, p = rng.integers(6, 40), rng.integers(3, 6)
    j = rng.standard_normal((m, p))
    kind = seed % 4
    if kind == 0:
        j[:, 1] = j[:, 0] + distance * j[:, 1]
    elif kind == 1:
        # The third column looks like the difference of the first two.
        j[:, 1] = j[:, 0] + distance * (j[:, 2] + 0.01 * rng.standard_normal(m))
    elif kind == 2:
        j[:, 2] = j[:, 0] - j[:, 1] + distance * rng.standard_normal(m)
    else:
        j[:, -1] = j[:, :-1] @ rng.standard_normal(p - 1) + distance * j[:, -1]
    return j * 10.0 ** rng.uniform(-6, 6, p)


@pytest.mark.parametrize("distance", 10.0 ** -np.arange(1, 11))
def test_near_collinear_columns_have_their_exact_bound(distance):
    for seed in range(12):
        j = near_collinear(seed, distance)
        crb, expected = crb_from_jacobian(j[None])[0], np.diag(exact_covariance(j))
        finite = np.isfinite(crb)
        assert finite.all() or np.linalg.cond(j / np.linalg.norm(j, axis=0)) > 1e11
        np.testing.assert_allclose(crb[finite], expected[finite], rtol=1e-4)


@pytest.mark.parametrize("distance", 10.0 ** -np.arange(11, 14))
def test_bounds_are_exact_or_infinite_but_never_too_low(distance):
    for seed in range(12):
        j = near_collinear(seed, distance)
        crb, expected = crb_from_jacobian(j[None])[0], np.diag(exact_covariance(j))
        finite = np.isfinite(crb)
        np.testing.assert_allclose(crb[finite], expected[finite], rtol=1e-3)


def test_covariances_of_near_collinear_columns():
    j = near_collinear(0, 1e-6)
    found = covariance_from_jacobian(j[None], noise_std=0.1)[0]
    np.testing.assert_allclose(found, 0.01 * exact_covariance(j), rtol=1e-6)


def test_a_column_that_looks_like_a_small_difference():
    """The information squares the condition number and loses the third column."""
    a, r, q = np.random.default_rng(0).standard_normal((3, 40))
    j = np.stack([a, a + 1e-6 * r, r + 0.01 * q], axis=1)
    assert crb_from_jacobian(j[None])[0, 2] == pytest.approx(294.5608, rel=1e-6)


def test_a_prior_counts_where_the_data_say_nothing():
    j = near_collinear(0, 1e-9)
    precision = np.diag(1 / np.arange(1.0, j.shape[1] + 1))
    with mpmath.workdps(60):
        columns = mpmath.matrix(j.tolist())
        inverse = (columns.T * columns + mpmath.matrix(precision.tolist())) ** -1
    expected = np.diag(np.array(inverse).astype(float).reshape(precision.shape))
    found = crb_from_jacobian(j[None], prior_precision=precision)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


DEGENERATE = {
    "a product": (lambda a, b, r: a * b * np.exp(-r * TE), "ab"),
    "a sum": (lambda a, b, r: np.exp(-(a + b) * 5 * TE) * r, "ab"),
    "powers": (lambda a, b, r: a**2 * b**3 * np.exp(-r * TE), "ab"),
    "a sine": (lambda a, b, r: a * np.sin(b) * np.exp(-r * TE), "ab"),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_models_that_are_degenerate_stay_so_by_differences(name):
    f, names = DEGENERATE[name]
    bounds = [(0.5, 1.5), (0.5, 1.5), (0.5, 30.0)]
    model = FunctionModel(lambda theta: f(*theta), ["a", "b", "r"], bounds)
    theta = np.random.default_rng(0).uniform(*model.bounds.T, size=(50, 3))
    with pytest.warns(SingularInformationWarning, match="determine a .50 of 50.*, b .50"):
        crb = cramer_rao_bound(model, theta)
    assert np.isinf(crb[:, :2]).all() and np.isfinite(crb[:, 2]).all()
    # What is not a part of the product has the bound of the model without it.
    alone = cramer_rao_bound(model.fix(b=1.0), theta[:, [0, 2]])
    if name == "a product":
        factor = theta[:, 1] ** 2
        np.testing.assert_allclose(crb[:, 2] * factor, alone[:, 1], rtol=1e-6)


def test_two_equal_decays_are_not_told_apart():
    """At equal times the fraction has no effect, and with it nothing but the sum."""
    model = BiExponential(TE, signal="magnitude", bounds={"T2long": (0.03, 3.0)})
    with pytest.warns(SingularInformationWarning):
        crb = cramer_rao_bound(model, [[0.2, 0.035, 0.035, 1.0]], noise_std=1e-9)
    assert np.isinf(crb[0, :3]).all()
    theta = [[0.2, 0.0345, 0.035, 1.0]]
    jacobian = model.signal(theta, jacobian=True)[1][0]
    expected = np.diag(exact_covariance(jacobian))
    crb = cramer_rao_bound(model, theta, noise_std=1e-9)[0] * 1e18
    np.testing.assert_allclose(crb, expected, rtol=1e-4)
