"""Errors made before: kept modulo periods, found by similar estimates."""

import numpy as np

from crbestim.estimators.one_step import PastErrors
from crbestim.least_squares.box import UnitBox

BOUNDS = np.array([[0.0, 1.0], [-1.0, 1.0]])
PERIODS = np.array([np.inf, 2.0])


def learned(y, estimates):
    return PastErrors.learn(y, estimates, UnitBox.from_bounds(BOUNDS, PERIODS))


def test_alternatives_undo_the_errors_of_similar_samples():
    y = np.array([[0.5, 0.0], [0.5, 0.9], [0.1, 0.1]])
    past = learned(y, np.array([[0.6, 0.1], [0.5, -0.9], [np.nan, 0.1]]))
    np.testing.assert_allclose(past.errors, [[0.1, 0.1], [0.0, 0.2]], atol=1e-12)
    found = past.alternatives(np.array([[0.6, 0.2], [0.5, -0.95]]), 2)
    np.testing.assert_allclose(found[0], [[0.5, 0.1], [0.5, 0.85]], atol=1e-12)
    np.testing.assert_allclose(found[1], [[0.6, 0.0], [0.4, 0.95]], atol=1e-12)


def test_alternatives_stay_inside_the_bounds():
    rng = np.random.default_rng(0)
    y = rng.uniform(*BOUNDS.T, (50, 2))
    past = learned(y, y + 0.5 * rng.standard_normal((50, 2)))
    found = past.alternatives(rng.uniform(*BOUNDS.T, (20, 2)), 9)
    assert found.shape == (9, 20, 2)
    assert ((found >= BOUNDS[:, 0]) & (found <= BOUNDS[:, 1])).all()
