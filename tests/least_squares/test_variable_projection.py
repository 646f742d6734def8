"""Variable projection: exact derivatives of many voxels at once."""

import numpy as np
import pytest

from crbestim._measurements import Measurements
from crbestim.least_squares.box import UnitBox
from crbestim.least_squares.variable_projection import SquaresObjective

ROWS = np.arange(3)


@pytest.fixture
def objective(model):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3, model.n_features, 2)).view(complex)[..., 0]
    box = UnitBox.from_bounds(model.bounds, model.periods)
    objective = SquaresObjective(model, box, Measurements(X))
    objective.begin(np.full((3, 7), 0.5))
    return objective


def residual(objective, place):
    return objective.evaluate(ROWS, place, True).residual


def test_jacobian_against_differences(objective):
    # The part of the derivatives along s is left out; X is far from every signal, so that
    # it would count.
    place = np.random.default_rng(1).uniform(0.2, 0.8, (3, 7))
    jacobian = objective.evaluate(ROWS, place, True).jacobian
    s = objective.model.signal(objective.box.theta(place))
    along = np.stack([np.hstack([u.real, u.imag]) for u in (s, 1j * s)], axis=-1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    for k, step in enumerate(1e-5 * np.eye(7)):
        above, below = (residual(objective, place + sign * step) for sign in (1, -1))
        slope = (above - below) / 2e-5
        slope = slope - (along @ (along.mT @ slope[:, :, None]))[:, :, 0]
        error = np.linalg.norm(slope - jacobian[:, :, k], axis=1)
        assert (error < 1e-5 * np.linalg.norm(jacobian[:, :, k], axis=1)).all()


def test_residual_is_orthogonal_to_the_signal(objective):
    place = np.full((3, 7), 0.4)
    real, imaginary = np.split(residual(objective, place), 2, axis=1)
    s = objective.model.signal(objective.box.theta(place))
    overlap = np.abs((s.conj() * (real + 1j * imaginary)).sum(axis=1))
    assert (overlap < 1e-12 * np.linalg.norm(s, axis=1)).all()


def test_rows_name_the_voxels(objective):
    place = np.random.default_rng(2).uniform(0.2, 0.8, (3, 7))
    whole = objective.evaluate(ROWS, place, True).rows(np.array([2, 0]))
    part = objective.evaluate(np.array([2, 0]), place[[2, 0]], True)
    for name, values in vars(part).items():
        np.testing.assert_array_equal(values, getattr(whole, name))


def test_parameters_never_leave_their_bounds(objective):
    low, high = objective.model.bounds.T
    for value in (0.0, 1.0, 1 + 1e-15):
        theta = objective.box.theta(np.full((3, 7), value))
        assert ((theta >= low) & (theta <= high)).all()


def test_the_signal_where_a_search_ends_is_known(objective, monkeypatch):
    rng = np.random.default_rng(2)
    places = rng.uniform(0.3, 0.7, (4, 3, 7))
    expected = [objective.at(place) for place in places]
    costs = np.array([objective.evaluate(ROWS, place, False).cost for place in places])
    simulated, simulate = [], objective._simulate

    def counted(rows, *args, **options):
        simulated.extend(rows)
        return simulate(rows, *args, **options)

    monkeypatch.setattr(objective, "_simulate", counted)
    best = costs.argmin(axis=0)
    for i, place in enumerate(places):
        for value, known in zip(expected[i], objective.at(place), strict=True):
            np.testing.assert_array_equal(value, known)
        assert simulated == list(np.flatnonzero(best != i))
        simulated.clear()
