import copy
import dataclasses
import pickle

import numpy as np
import pytest
from scipy import stats

from crbestim.parameters import Parameter, fold, truncated_normal, wrapped_error


def test_truncated_normal_is_the_conditional_distribution():
    mean, sd, low, high = 0.15, 0.1, 0.0, 0.35
    distribution = truncated_normal(mean, sd, low, high)
    whole = stats.norm(mean, sd)
    x = np.linspace(low, high, 11)
    mass = whole.cdf(high) - whole.cdf(low)
    np.testing.assert_allclose(distribution.pdf(x), whole.pdf(x) / mass, rtol=1e-12)
    np.testing.assert_allclose(
        distribution.cdf(x), (whole.cdf(x) - whole.cdf(low)) / mass, atol=1e-12
    )
    assert distribution.support() == (low, high)


def test_draws_stay_inside():
    distribution = truncated_normal(12e-6, 3e-6, 6e-6, 18e-6)
    draws = distribution.rvs(2000, random_state=0)
    assert 6e-6 <= draws.min() < 7e-6 and 17e-6 < draws.max() <= 18e-6
    # The standard error of the mean is sd / sqrt(n) = 6e-8.
    assert draws.mean() == pytest.approx(12e-6, abs=3e-7)


def test_a_name_and_bounds_are_enough():
    p = Parameter("T2", bounds=(0.01, 3.0))
    assert p.domain == (-np.inf, np.inf)
    assert (p.unit, p.symbol, p.period) == ("1", "", np.inf)
    assert p.distribution is None and p.fluid is None
    assert p.width == pytest.approx(2.99)


@pytest.mark.parametrize("bounds", [(1.0, 0.5), (1.0, 1.0), (np.nan, 1.0), (0.0, np.nan)])
def test_bounds_must_be_in_order(bounds):
    with pytest.raises(ValueError, match=r"bounds of T2 are \(.*\); give \(low, high\)"):
        Parameter("T2", bounds=bounds)


@pytest.mark.parametrize("bounds", [(-0.1, 1.0), (0.1, 3.0), (-1.0, 3.0)])
def test_bounds_must_lie_in_the_domain(bounds):
    with pytest.raises(ValueError, match=r"bounds of T2, .*leave \(0.0, 2.0\).*narrow"):
        Parameter("T2", bounds=bounds, domain=(0.0, 2.0))
    assert Parameter("T2", bounds=(0.0, 2.0), domain=(0.0, 2.0)).width == 2.0


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "m0s"),
        (dict(symbol="m_0^s"), "$m_0^s$"),
        (dict(unit="s"), "m0s (s)"),
        (dict(unit="1/s", symbol="R_1"), "$R_1$ (1/s)"),
    ],
)
def test_label(options, label):
    assert Parameter("m0s", (0.0, 1.0), **options).label == label


def test_other_bounds_leave_the_rest():
    p = Parameter("R1", (0.2, 1.5), (0.0, 20.0), unit="1/s", symbol="R_1", period=3.0)
    other = p.with_bounds([1, 2])
    assert other.bounds == (1.0, 2.0)
    assert all(isinstance(b, float) for b in other.bounds)
    assert dataclasses.replace(other, bounds=p.bounds, usual=None) == p
    assert p.bounds == (0.2, 1.5)
    with pytest.raises(ValueError, match="leave"):
        p.with_bounds((1.0, 30.0))


def test_it_cannot_be_changed():
    p = Parameter("R1", (0.2, 1.5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.name = "R2"


def test_implausible_values_of_a_positive_parameter():
    # A rate of 0.07 1/s for bounds of 0.3 to 25 is a T2 of 70 ms.
    p = Parameter("R2", (0.3, 25.0))
    values = np.array([0.07, 0.149, 0.151, 1.0, 49.9, 50.1, 70.0])
    expected = [True, True, False, False, False, True, True]
    assert p.is_implausible(values).tolist() == expected


def test_implausible_values_of_a_parameter_that_may_be_zero_or_negative():
    p = Parameter("m0s", (0.0, 0.35))
    assert p.is_implausible(np.array([0.0, 0.69, 0.71])).tolist() == [False, False, True]
    p = Parameter("omega0", (-100.0, 50.0))
    values = np.array([-201.0, -199.0, 0.0, 199.0, 201.0])
    assert p.is_implausible(values).tolist() == [True, False, False, False, True]


def test_what_differs_by_periods_is_as_plausible():
    p = Parameter("omega0", (-100.0, 100.0), period=200.0)
    assert not p.is_implausible(np.array([-1e4, 0.0, 350.0])).any()
    narrow = Parameter("omega0", (-10.0, 10.0), period=200.0)
    assert narrow.is_implausible(np.array([-205.0, 205.0, 250.0])).tolist() == [0, 0, 1]
    usual = Parameter("omega0", (-100.0, 100.0), period=200.0).with_bounds((-10.0, 10.0))
    assert not usual.is_implausible(np.array([205.0, 250.0])).any()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_draw_the_same(copied):
    p = Parameter("R1", (0.2, 1.5), distribution=truncated_normal(0.75, 0.3, 0.2, 1.5))
    twin = copied(p)
    assert (twin.name, twin.bounds) == (p.name, p.bounds)
    np.testing.assert_array_equal(
        twin.distribution.rvs(5, random_state=0), p.distribution.rvs(5, random_state=0)
    )


def test_values_are_folded_by_whole_periods():
    values = np.array([-3.5, -1.0, 0.3, 1.0, 1.2, 7.0])
    np.testing.assert_allclose(
        fold(values, -1.0, 1.0, 2.0), [0.5, -1.0, 0.3, 1.0, -0.8, -1]
    )
    # Ends and values inside stay, bit for bit.
    inside = np.linspace(-1, 1, 7)
    np.testing.assert_array_equal(fold(inside, -1.0, 1.0, 2.0), inside)


def test_only_parameters_with_a_period_are_folded():
    values = np.array([[5.0, 5.0], [-5.0, 0.25], [np.nan, np.inf]])
    low, high = np.array([0.0, 0.0]), np.array([1.0, 1.0])
    with np.errstate(invalid="ignore"):
        folded = fold(values, low, high, np.array([np.inf, 2.0]))
    np.testing.assert_array_equal(folded[:, 0], values[:, 0])
    # Bounds shorter than the period: a value may lie between them and its end.
    np.testing.assert_array_equal(folded[:2, 1], [1.0, 0.25])
    assert np.isnan(folded[2, 1])


def test_errors_are_folded_around_zero():
    true, found = np.array([[0.9, 0.9]]), np.array([[-0.9, -0.9]])
    error = wrapped_error(true, found, periods=[2.0, np.inf])
    np.testing.assert_allclose(error, [[0.2, -1.8]])


def test_the_text_can_be_pasted_back():
    p = Parameter("T2", (0.01, 3.0), (0.0, np.inf), unit="s")
    text = "Parameter(name='T2', bounds=(0.01, 3.0), domain=(0.0, float('inf')), unit='s')"
    assert repr(p) == text and eval(text) == p
