import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from crbestim import NLLSRegressor, OneStepRegressor
from crbestim._measurements import Measurements
from crbestim.least_squares.box import resolve_bounds, search_box
from crbestim.least_squares.profiles import wavy_parameters
from crbestim.least_squares.variable_projection import SquaresObjective
from crbestim.models import BalancedSteadyState
from crbestim.sequences import HybridStateSequence

N_PULSES = 120
# R1, R2, omega0, B1: fluid outlives the train, tissue does not.
FLUID = np.array([[0.3, 0.5, w, 1.0] for w in (-500.0, -214.0, 71.0, 357.0)])
TISSUE = FLUID + [0.5, 24.5, 0.0, 0.0]
# A little off in all, and in omega0 by more than one turn.
OFF = [0.02, 0.1, 15.0, 0.02]


class Given(RegressorMixin, BaseEstimator):
    def __init__(self, values):
        self.values = values

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return self.values[: len(X)]


@pytest.fixture(scope="module")
def model():
    turns = 6 * np.pi * np.arange(N_PULSES - 1) / N_PULSES
    alpha = np.append(np.pi, 0.5 + 0.4 * np.sin(turns))
    return BalancedSteadyState(HybridStateSequence(alpha, np.full(N_PULSES, 5e-4), 5e-3))


def wavy(model, theta):
    """Return along which parameters the signals of tissues are found to turn over."""
    box = search_box(model, resolve_bounds(model, None))
    objective = SquaresObjective(model, box, Measurements(model.signal(theta)))
    return wavy_parameters(objective, np.arange(len(theta)), box.fractions(theta))


def test_signals_turn_over_along_omega0_in_fluid_only(model):
    assert wavy(model, FLUID)[:, 2].all()
    assert not wavy(model, TISSUE).any()


def test_searches_find_the_lowest_minimum_along_omega0(model):
    X = model.signal(FLUID)
    reg = NLLSRegressor(model, initial=Given(FLUID + OFF)).fit(X, FLUID)
    np.testing.assert_allclose(reg.predict(X), FLUID, rtol=1e-4)


@pytest.mark.parametrize("prior", [None, "gaussian"])
def test_steps_begin_in_the_lowest_minimum_along_omega0(model, prior):
    X = model.signal(FLUID)
    reg = OneStepRegressor(Given(FLUID + OFF), model, n_steps=3, prior=prior)
    np.testing.assert_allclose(reg.fit(X, FLUID).predict(X)[:, 2], FLUID[:, 2], atol=0.5)


def test_omega0_beside_the_end_of_its_period_is_found_beyond_it(model):
    end = model.bounds[2, 1]
    theta = np.array([[0.3, 0.5, end - 5.0, 1.0]])
    start = theta + [0.02, 0.1, 15.0 - model.periods[2], 0.02]
    X = model.signal(theta)
    reg = NLLSRegressor(model, initial=Given(start)).fit(X, theta)
    np.testing.assert_allclose(reg.predict(X), theta, rtol=1e-4)


def test_profiles_stay_inside_narrow_bounds(model):
    X, bounds = model.signal(FLUID[:1]), {"omega0": (-495.0, -470.0)}
    reg = NLLSRegressor(model, initial=Given(FLUID[:1] + OFF), bounds=bounds)
    assert -495.0 <= reg.fit(X, FLUID[:1]).predict(X)[0, 2] <= -470.0


def test_a_voxel_does_not_depend_on_others(model):
    theta = np.concatenate([FLUID, TISSUE])
    X = model.signal(theta)
    X = X + 1e-3 * np.random.default_rng(0).standard_normal(X.shape)
    for reg in (
        NLLSRegressor(model, initial=Given(theta + OFF)),
        OneStepRegressor(Given(theta + OFF), model),
    ):
        whole = reg.fit(X, theta).predict(X)
        for n in (1, 3):
            np.testing.assert_array_equal(reg.predict(X[:n]), whole[:n])
