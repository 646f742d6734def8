"""Likelihoods of voxels: derivatives, the noise that fits best, and the amplitude."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from crbestim._measurements import Measurements
from crbestim.least_squares import GaussianPrior
from crbestim.least_squares.box import amplitude_limits, resolve_bounds, search_box
from crbestim.least_squares.driver import VoxelFitter
from crbestim.least_squares.likelihood import LikelihoodObjective, best_sigma
from crbestim.models import InversionRecovery, MonoExponential
from crbestim.noise import GaussianNoise, RicianNoise

TE = 0.01 * np.arange(1, 9)
MODEL = MonoExponential(TE, signal="magnitude", noise="rician")
RECOVERY = InversionRecovery(
    [0.05, 0.2, 0.5, 1.0, 2.0, 4.0], tr=6.0, signal="magnitude", noise="rician"
)
ROWS = np.arange(4)


def measured(model, theta, sigma, n=4, seed=0):
    """Return Rician magnitudes."""
    signal = model.signal(np.tile(theta, (n, 1)))
    parts = np.random.default_rng(seed).standard_normal((2, *signal.shape)) * sigma
    return np.hypot(signal + parts[0], parts[1])


def objective_of(model, data, noise=None, bounds=None, prior=None):
    bounds = resolve_bounds(model, bounds)
    options = dict(prior=prior, limits=amplitude_limits(model, bounds))
    noise = RicianNoise() if noise is None else noise
    return LikelihoodObjective(model, search_box(model, bounds), data, noise, **options)


WEIGHTS = np.array([[1.0, 0.5, 1.0, 0.0, 1.0, 0.7, 1.0, 1.0]]).repeat(4, 0)
PRIOR = GaussianPrior.from_moments(
    np.array([0.05, 1.0]), np.diag([4e-4, 1.0]), np.array([False, True])
)


@pytest.mark.parametrize("sigma", [0.2, None])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize("bounds", [None, {"M0": (0.5, 4.0)}], ids=["free", "limited"])
@pytest.mark.parametrize("prior", [None, PRIOR], ids=["alone", "prior"])
def test_gradient_is_that_of_the_cost(sigma, weights, bounds, prior):
    level = None if sigma is None else np.full(4, sigma)
    data = Measurements(measured(MODEL, [0.06, 1.0], 0.2), level, weights)
    objective = objective_of(MODEL, data, bounds=bounds, prior=prior)
    place = np.random.default_rng(1).uniform(0.3, 0.8, (4, 2))
    found = objective.evaluate(ROWS, place, True)
    for k, step in enumerate(1e-5 * np.eye(2)):
        above, below = (
            objective.evaluate(ROWS, place + s * step, False).cost for s in (1, -1)
        )
        np.testing.assert_allclose(
            (above - below) / 2e-5, found.gradient[:, k], rtol=2e-5, atol=1e-6
        )
    np.testing.assert_array_equal(found.cost, objective.evaluate(ROWS, place, False).cost)


def test_curvature_is_the_variance_of_the_gradient():
    """The Fisher information, for the noise of the data."""
    data = Measurements(measured(MODEL, [0.06, 1.0], 0.3, n=20_000), np.full(20_000, 0.3))
    objective = objective_of(MODEL, data)
    size = np.linalg.norm(MODEL.signal([[0.06, 1.0]]))
    place = np.column_stack(
        [objective.inner.fractions(np.full((20_000, 1), 0.06)), size / objective.norm]
    )
    found = objective.evaluate(np.arange(20_000), place, True)
    # In units of the data's norm, which differs between voxels.
    gradient = found.gradient * [1.0, 1.0]
    gradient[:, 1] /= objective.norm
    curvature = found.curvature.copy()
    curvature[:, 1] /= objective.norm[:, None]
    curvature[:, :, 1] /= objective.norm[:, None]
    spread = np.einsum("ni,nj->ij", gradient, gradient) / 20_000
    np.testing.assert_allclose(spread, curvature.mean(axis=0), rtol=0.05)


@pytest.mark.parametrize("noise", [RicianNoise(), GaussianNoise()], ids=["rice", "gauss"])
@pytest.mark.parametrize("level", [1e-3, 0.1, 0.5])
def test_best_sigma_has_the_largest_likelihood(noise, level):
    rng = np.random.default_rng(0)
    signal = rng.uniform(0, 1, (6, 8))
    x = np.hypot(signal + level * rng.standard_normal((6, 8)), level * 0.3)
    x, signal = (v / np.linalg.norm(x, axis=1, keepdims=True) for v in (x, signal))
    weights = rng.uniform(0.5, 1, (6, 8))
    counts = rng.random((6, 8)) < 0.9
    n_free = counts.sum(axis=1) - 2
    found = best_sigma(noise, x, signal, weights, counts, n_free)
    for i in range(6):

        def cost(t, i=i):
            value = noise.log_likelihood(x[i], signal[i], np.exp(t) / weights[i])
            return -value[counts[i]].sum() - 2 * t

        best = minimize_scalar(
            cost, bracket=(np.log(found[i]) - 1, np.log(found[i]) + 0.9), tol=1e-12
        )
        assert found[i] == pytest.approx(np.exp(best.x), rel=1e-6)


def test_best_sigma_of_gaussian_noise_divides_by_degrees_of_freedom():
    x = np.array([[0.6, 0.8, 0.1]])
    signal, ones = np.full((1, 3), 0.5), np.ones((1, 3))
    found = best_sigma(GaussianNoise(), x, signal, ones, ones > 0, np.array([2]))
    np.testing.assert_allclose(found, np.sqrt(((x - signal) ** 2).sum() / 2), rtol=1e-9)


@pytest.mark.parametrize("sigma", [0.05, None])
def test_gaussian_likelihood_has_the_minimum_of_squares(sigma):
    """Where the amplitude is searched as where it is projected out."""
    model = MonoExponential(TE, signal="magnitude")
    X = measured(model, [0.06, 1500.0], 75.0)
    level = None if sigma is None else np.full(4, 75.0)
    data = Measurements(X, level)
    box = search_box(model, resolve_bounds(model, None))
    squares = VoxelFitter(model, box, 200, 1e-12, None, limits=(0.0, np.inf))
    expected = squares.fit(data, np.full((1, 4, 1), 0.05))
    objective = objective_of(model, data, GaussianNoise())
    start = objective.variables(box.fractions(np.full((4, 1), 0.05)))
    found = squares._search(objective, start)
    theta = objective.at(found.x)[0]
    np.testing.assert_allclose(theta, expected.theta, rtol=1e-6)
    np.testing.assert_allclose(
        objective.noise_at(found.x, None) * objective.norm, expected.sigma, rtol=1e-6
    )


def test_starts_have_the_best_amplitude():
    data = Measurements(measured(MODEL, [0.06, 1.0], 0.3), np.full(4, 0.3))
    objective = objective_of(MODEL, data)
    place = objective.variables(np.full((4, 1), 0.5))
    assert (np.abs(objective.evaluate(ROWS, place, True).gradient[:, 1]) < 1e-3).all()


def test_parameters_are_those_of_several_columns():
    """The amplitude comes after the others in the search, wherever the model has it."""
    theta = np.array([[1.0, 0.9, 1500.0]])
    data = Measurements(measured(RECOVERY, theta, 1e-6), np.full(4, 1e-6))
    objective = objective_of(RECOVERY, data)
    start = objective.variables(objective.inner.fractions(np.tile(theta[:, :2], (4, 1))))
    np.testing.assert_allclose(objective.at(start)[0], np.tile(theta, (4, 1)), rtol=1e-6)
    assert (objective.at(start)[2] < 1e-6).all()
