"""Fractions of bounds, and the bounds that users may ask for."""

import numpy as np
import pytest

from crbestim.least_squares.box import UnitBox, resolve_bounds
from crbestim.models import SignalModel
from crbestim.parameters import Parameter

BOUNDS = np.array([[1.0, 100.0], [1.0, 3.0], [0.0, 10.0], [-5.0, 5.0], [1.0, 50.0]])
PERIODS = np.array([np.inf, np.inf, np.inf, np.inf, 49.0])


class Five(SignalModel):
    parameters = tuple(
        Parameter(name, tuple(b), domain=(-20.0, 200.0), period=p)
        for name, b, p in zip("abcde", BOUNDS, PERIODS, strict=True)
    )


def test_only_wide_positive_bounds_without_a_period_are_logarithmic():
    box = UnitBox.from_bounds(BOUNDS, PERIODS)
    assert box.is_log.tolist() == [True, False, False, False, False]


def test_there_and_back():
    box = UnitBox.from_bounds(BOUNDS, PERIODS)
    fractions = np.random.default_rng(0).uniform(0, 1, (20, 5))
    np.testing.assert_allclose(box.fractions(box.theta(fractions)), fractions, atol=1e-14)
    np.testing.assert_allclose(box.theta(np.eye(5))[0, 0], 100.0)
    assert (box.theta(np.zeros((1, 5))) == BOUNDS[:, 0]).all()


def test_slopes_against_differences():
    box = UnitBox.from_bounds(BOUNDS, PERIODS)
    fractions = np.random.default_rng(1).uniform(0.1, 0.9, (20, 5))
    step = 1e-6
    slopes = (box.theta(fractions + step) - box.theta(fractions - step)) / (2 * step)
    np.testing.assert_allclose(box.slopes(box.theta(fractions)), slopes, rtol=1e-8)


def test_bounds_are_never_left():
    box = UnitBox.from_bounds(BOUNDS)
    theta = box.theta(np.array([[-0.1] * 5, [1.1] * 5, [1 + 1e-15] * 5]))
    assert ((theta >= BOUNDS[:, 0]) & (theta <= BOUNDS[:, 1])).all()
    assert (box.fractions(np.full((1, 5), 1e9)) == 1).all()


def test_bounds_by_name_or_for_all():
    np.testing.assert_array_equal(resolve_bounds(Five(), None), BOUNDS)
    named = resolve_bounds(Five(), {"b": (1.5, 2.0)})
    np.testing.assert_array_equal(named[1], [1.5, 2.0])
    np.testing.assert_array_equal(named[[0, 2, 3, 4]], BOUNDS[[0, 2, 3, 4]])
    np.testing.assert_array_equal(resolve_bounds(Five(), BOUNDS / 2), BOUNDS / 2)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"f": (0, 1)}, "bounds name f; the parameters are a, b, c, d, e"),
        (np.zeros((2, 2)), r"bounds have shape \(2, 2\); give \(5, 2\)"),
        ({"a": (3.0, 2.0)}, "bounds of a are 3 to 2; searches need finite ones"),
        ({"a": (3.0, np.inf)}, "bounds of a are 3 to inf"),
        ({"a": (np.nan, 1.0)}, "bounds of a are nan to 1"),
        ({"d": (-30.0, 1.0)}, "bounds of d, -30 to 1, leave the domain of the"),
    ],
)
def test_wrong_bounds(bounds, message):
    with pytest.raises(ValueError, match=message):
        resolve_bounds(Five(), bounds)
