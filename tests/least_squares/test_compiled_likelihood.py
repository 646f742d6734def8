"""The compiled search of a likelihood and the general one: the same minima."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest

from crbestim._measurements import Measurements
from crbestim.kernels import threads
from crbestim.least_squares import compiled_search, driver
from crbestim.least_squares.box import amplitude_limits, resolve_bounds, search_box
from crbestim.least_squares.compiled_likelihood import compiled_likelihood
from crbestim.least_squares.driver import VoxelFitter, objective_of
from crbestim.least_squares.prior import GaussianPrior
from crbestim.models import FunctionModel, InversionRecovery, MonoExponential
from crbestim.models.base import with_amplitude
from crbestim.noise import RicianNoise

TE = 0.01 * np.arange(1, 13)
RICIAN = dict(signal="magnitude", noise="rician")


@numba.njit
def decay(theta):
    """Return echoes of T2 and M0; some T2 are refused."""
    if theta[0] > 1.5:
        raise IndexError
    return theta[1] * np.exp(-TE / theta[0])


class Magnitudes(FunctionModel):
    """A function whose values are magnitudes."""

    is_magnitude, noise = True, "rician"


NAMES = ["T2", "M0"]
FUNCTION = Magnitudes(decay, NAMES, [(0.01, 1.5), (0, np.inf)], amplitude="M0")
DECAY = MonoExponential(TE, **RICIAN)
RECOVERY = InversionRecovery([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2], **RICIAN)
CLIPPED = MonoExponential(TE, **RICIAN, bounds={"M0": (950.0, 1050.0)})
# Model, SNR, and the share of samples that are missing.
CASES = {
    "floor": (DECAY, 3, 0.0),
    "low": (DECAY, 8, 0.0),
    "decay": (DECAY, 25, 0.0),
    "precise": (DECAY, 1e4, 0.0),
    "missing": (DECAY, 8, 0.2),
    "clipped": (CLIPPED, 8, 0.0),
    "offset": (MonoExponential(TE, offset=True, **RICIAN), 25, 0.0),
    "recovery": (RECOVERY, 25, 0.1),
    "fixed amplitude": (DECAY.fix(M0=1000.0), 8, 0.1),
    "known amplitude": (DECAY.given("M0"), 8, 0.0),
    "function": (FUNCTION, 8, 0.0),
}
N = 300


def measured(name, *, per_sample=False):
    """Return a model, data of amplitudes near 1000, and starts."""
    model, snr, missing = CASES[name]
    rng = np.random.default_rng(0)
    if model.known_parameters:
        model = model.at(rng.uniform(800, 1200, (N, 1)))
    box = search_box(model, resolve_bounds(model, None))
    places = rng.uniform(0.4, 0.7, (N, len(box.low)))
    column = model._amplitude_column
    amplitude = rng.uniform(900, 1100, N)
    signal = model.signal(with_amplitude(box.theta(places), column, amplitude))
    noise = np.full(signal.shape, 1000.0 / snr)
    if per_sample:
        noise *= rng.uniform(0.5, 2.0, noise.shape)
    X = np.hypot(*(rng.standard_normal((2, *signal.shape)) * noise + [signal, 0 * signal]))
    X[rng.random(X.shape) < missing] = np.nan
    starts = places + 0.1 * (rng.random(places.shape) - 0.5)
    return model, Measurements.of(X, noise if per_sample else noise[:, 0]), box, starts


def fit(model, data, box, starts, *, general=False):
    """Fit with the compiled search, or with that of any model."""
    limits = amplitude_limits(model, resolve_bounds(model, None))
    fitter = VoxelFitter(model, box, 200, 1e-6, None, limits=limits)
    if not general:
        assert compiled_likelihood(model, box, data, None, limits) is not None
        return fitter.fit(data, box.theta(starts)[None])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "compiled_likelihood", lambda *args: None)
        return fitter.fit(data, box.theta(starts)[None])


def log_likelihoods(model, data, fits):
    """Return the logarithm of the likelihood of fits, without the library."""
    signal = model.signal(fits.theta)
    with np.errstate(divide="ignore"):
        noise = np.broadcast_to(data.noise().reshape(len(signal), -1), signal.shape)
    noise = np.where(data.counts, noise, 1.0)
    value = RicianNoise().log_likelihood(data.X, signal, noise)
    return np.where(data.counts, value, 0.0).sum(axis=1)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("per_sample", [False, True], ids=["even", "weighted"])
def test_both_searches_find_the_same_minima(name, per_sample):
    model, data, box, starts = measured(name, per_sample=per_sample)
    found, expected = (
        fit(model, data, box, starts, general=general) for general in (False, True)
    )
    one, other = (log_likelihoods(model, data, fits) for fits in (found, expected))
    size = np.maximum(data.counts.sum(axis=1) - model.n_unknowns, 1) / 2
    near = np.abs(one - other) <= 1e-9 * size + 1e-12 * np.abs(other)
    assert near.mean() > 0.99
    np.testing.assert_array_equal(found.status[near], expected.status[near])
    np.testing.assert_array_equal(found.at_bound[near], expected.at_bound[near])
    for field in ("theta", "sigma", "relative_residual", "cost"):
        one, other = (getattr(fits, field)[near] for fits in (found, expected))
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-9)
    assert np.mean(found.n_iterations != expected.n_iterations) < 0.02
    if name == "clipped":
        assert 0.2 < found.at_bound[:, 1].mean() < 0.9


@pytest.mark.parametrize("name", ["decay", "missing", "known amplitude"])
def test_costs_and_starts_are_those_of_the_general_objective(name):
    model, data, box, starts = measured(name)
    limits = amplitude_limits(model, resolve_bounds(model, None))
    ours = compiled_likelihood(model, box, data, None, limits)
    theirs = objective_of(model, box, data, None, limits)
    first, second = (objective.variables(starts) for objective in (ours, theirs))
    np.testing.assert_allclose(first, second, rtol=1e-9)
    rows, places = np.arange(N)[::-1], first[::-1]
    change = np.linspace(0.9, 1.1, N)[:, None]
    differences = [
        objective.evaluate(rows, change * places, False).cost
        - objective.evaluate(rows, places, False).cost
        for objective in (ours, theirs)
    ]
    np.testing.assert_allclose(*differences, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(ours.variables(starts[rows], rows), places)


def test_a_voxel_does_not_depend_on_others_pieces_or_threads(monkeypatch):
    model, data, box, starts = measured("missing")
    whole = fit(model, data, box, starts)
    alone = fit(model.rows([7]), data[[7]], box, starts[[7]])
    np.testing.assert_array_equal(alone.theta, whole.theta[[7]])
    monkeypatch.setattr(compiled_search, "_PIECE", 7)
    monkeypatch.setattr(threads, "numba", SimpleNamespace(get_num_threads=lambda: 3))
    pieces = fit(model, data, box, starts)
    for field in ("theta", "cost", "status", "n_iterations", "covariance"):
        np.testing.assert_array_equal(getattr(pieces, field), getattr(whole, field))


def test_estimates_scale_with_the_data_bit_for_bit():
    model, data, box, starts = measured("low")
    scale = 2.0**70
    scaled = Measurements(scale * data.X, scale * data.sigma)
    one, other = (fit(model, d, box, starts).theta for d in (data, scaled))
    np.testing.assert_array_equal(one * [1.0, scale], other)


def test_other_noise_priors_and_unknown_sigma_are_searched_by_the_general_driver():
    class Other(RicianNoise):
        """Noise that a user changed."""

    model, data, box, _ = measured("decay")
    unknown, prior = Measurements(data.X), GaussianPrior(np.zeros(2), np.eye(2))
    changed = MonoExponential(TE, signal="magnitude", noise=Other())
    squares = MonoExponential(TE, signal="magnitude")
    assert compiled_likelihood(model, box, data, None, None) is not None
    for arguments in (
        (model, box, unknown, None, None),
        (model, box, data, prior, None),
        (changed, box, data, None, None),
        (squares, box, data, None, None),
    ):
        assert compiled_likelihood(*arguments) is None


def test_voxels_whose_function_raises_tell_its_error():
    _, data, _, starts = measured("function")
    model = Magnitudes(decay, NAMES, [(0.01, 2.0), (0, np.inf)], amplitude="M0")
    box, starts[3] = search_box(model, resolve_bounds(model, None)), 0.99
    with pytest.raises(IndexError):
        fit(model, data, box, starts)
