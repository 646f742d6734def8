"""The compiled search and the general one: one algorithm, the same minima."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest

from crbestim import NLLSRegressor
from crbestim._measurements import Measurements
from crbestim.kernels import threads
from crbestim.least_squares import compiled_search, driver
from crbestim.least_squares.box import amplitude_limits, resolve_bounds, search_box
from crbestim.least_squares.compiled_search import has_compiled_search
from crbestim.least_squares.driver import VoxelFitter
from crbestim.least_squares.prior import GaussianPrior
from crbestim.models import (
    ActualFlipAngle,
    BiExponential,
    BlochSiegert,
    DoubleAngle,
    FieldMap,
    FunctionModel,
    IntravoxelIncoherentMotion,
    InversionRecovery,
    MonoExponential,
    MTsat,
    MultiEchoSpinEcho,
    PhaseCycledSSFP,
    SaturationRecovery,
    SpinLock,
    SpoiledGradientEcho,
    SpoiledMagnetizationTransfer,
)
from crbestim.models.base import with_amplitude

TE = 0.01 * np.arange(1, 9)
TI = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
TSL = np.array([0.0, 0.01, 0.02, 0.04, 0.06, 0.1])
B = 1e6 * np.array([0, 10, 20, 40, 60, 80, 100, 150, 200, 400, 600, 800, 1000.0])
ALPHA = np.deg2rad([3, 8, 15, 25, 90])
SPOILED = SpoiledGradientEcho(ALPHA, 0.02, b1=True, signal="magnitude")
SATURATED = SpoiledMagnetizationTransfer(
    np.tile([1e3, 2e3, 5e3, 2e4], 2), np.repeat([300, 900], 4), 0.12, 0.03, 0.01
)
DECAY = MonoExponential(TE, signal="magnitude")


@numba.njit
def decay(theta):
    """Return echoes of T2 and M0; some T2 are refused."""
    if theta[0] > 1.5:
        raise ZeroDivisionError
    if theta[0] > 1.4:
        raise IndexError
    return theta[1] * np.exp(-TE / theta[0])


@numba.njit
def slopes_of_decay(theta):
    """Return the derivatives."""
    slopes, signal = np.empty((len(TE), 2)), np.exp(-TE / theta[0])
    slopes[:, 0], slopes[:, 1] = theta[1] * signal * TE / theta[0] ** 2, signal
    return slopes


@numba.njit
def plain_decay(theta):
    return np.exp(-2 * TE / theta[0])


@numba.njit
def partial_slopes(theta):
    """Return the derivative of plain decay, which is lost at long T2."""
    slope = 2 * TE / theta[0] ** 2 * np.exp(-2 * TE / theta[0])
    return (slope if theta[0] < 0.4 else np.nan * slope).reshape(-1, 1)


@numba.njit
def turning(theta):
    """Return complex echoes, and spoil the argument."""
    signal = np.exp(-TE * (1 / theta[0] - 1j * theta[1]))
    theta[0] = 0.0
    return signal


OF_DECAY = dict(
    parameter_names=["T2", "M0"], bounds=[(0.01, 2.0), (0, np.inf)], amplitude="M0"
)
FUNCTION = FunctionModel(decay, **OF_DECAY)
MODELS = {
    "function": FUNCTION,
    "function_with_jacobian": FunctionModel(decay, jacobian=slopes_of_decay, **OF_DECAY),
    "complex_function": FunctionModel(turning, ["T2", "omega"], [(0.01, 2), (-50, 50)]),
    "decay": DECAY,
    "offset": MonoExponential(TE, offset=True, signal="magnitude"),
    "complex": MonoExponential(TE),
    "turning": MonoExponential(TE, parameter="T2star", offset=True),
    "clipped": MonoExponential(TE, signal="magnitude", bounds={"M0": (950.0, 1050.0)}),
    "two": BiExponential(TE, signal="magnitude"),
    "recovery": InversionRecovery(TI, signal="magnitude"),
    "repeated": InversionRecovery(TI, tr=5.0),
    "saturated": SaturationRecovery(TI, tr=5.0),
    "locked": SpinLock(TSL, tr=0.8, flip_angle=0.5, t1=None).given("T1"),
    "motion": IntravoxelIncoherentMotion(B),
    "spin_echoes": MultiEchoSpinEcho(TE, refocusing=2.6),
    "weighted": MTsat(ALPHA[1:4], 0.02, te=TE[:3]),
    "two_pools": SATURATED.fix(R1=0.9),
    "spoiled": SPOILED,
    "double_angle": DoubleAngle(1.0),
    "actual_flip_angle": ActualFlipAngle(1.0, [0.2, 1.0]),
    "shift": BlochSiegert(10e-6, kbs=74e8),
    "field": FieldMap(TE, r2s=True),
    "cycles": PhaseCycledSSFP(0.5, 5e-3, np.arange(8.0), b1=True).given("B1"),
    "known": SPOILED.given("B1"),
    "fixed": SPOILED.fix(B1=1.05),
    "fixed_amplitude": DECAY.fix(M0=1000.0),
    "known_amplitude": DECAY.given("M0"),
    "echoes": SpoiledGradientEcho(ALPHA, 0.02, te=TE[:5]),
}
N = 60


def measurements(model, noise, seed=0):
    """Return signals of amplitude 1000 as (model at known values, data, starts)."""
    rng = np.random.default_rng(seed)
    if model.known_parameters:
        one = {"B1": (0.8, 1.2), "M0": (800, 1200), "T1": (0.8, 1.2)}[model.known_names[0]]
        model = model.at(rng.uniform(*one, (N, 1)))
    box = search_box(model, resolve_bounds(model, None))
    places = rng.uniform(0.15, 0.85, (3, N, len(box.low)))
    places[1:] = places[0] + 0.1 * (places[1:] - 0.5)
    column = model._amplitude_column
    theta = with_amplitude(box.theta(places[0]), column, 1000.0)
    signal = model.signal(theta)
    scale = 1000.0 if model.is_complex else 1.0
    n = rng.standard_normal((2, *signal.shape))
    n = n[0] + 1j * n[1] if model.is_complex else n[0]
    X = scale * signal + noise * n
    return model, X, box.theta(places[1:])


def fit(model, data, starts, *, general=False, **options):
    """Fit with the compiled search, or with that of any model."""
    bounds = resolve_bounds(model, None)
    box, limits = search_box(model, bounds), amplitude_limits(model, bounds)
    fitter = VoxelFitter(model, box, 200, 1e-6, None, limits=limits, **options)
    if not general:
        assert has_compiled_search(model, None)
        return fitter.fit(data, starts[:1], starts[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "compiled_squares", lambda *args: None)
        return fitter.fit(data, starts[:1], starts[1])


def assert_same_minima(found, expected, data, share=0.95):
    """Check that costs agree, but for few searches that end in another minimum."""
    level = 1e-20 * (np.abs(data.weighted) ** 2).sum(axis=1)
    near = np.abs(found.cost - expected.cost) <= 1e-9 * expected.cost + level
    assert near.mean() >= share
    # Without noise, what is left is rounding errors.
    has_noise = np.median(expected.relative_residual) > 1e-6
    for name in ("theta", "m0", "sigma") if has_noise else ("theta", "m0"):
        one, other = getattr(found, name)[near], getattr(expected, name)[near]
        scale = np.abs(other).max(axis=0)
        np.testing.assert_allclose(one / scale, other / scale, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found.status[near], expected.status[near])
    np.testing.assert_array_equal(found.at_bound[near], expected.at_bound[near])
    assert np.median(np.abs(found.n_iterations - expected.n_iterations)) <= 1


@pytest.mark.parametrize("noise", [0.0, 10.0])
@pytest.mark.parametrize("name", MODELS)
def test_both_searches_find_the_same_minima(name, noise):
    model, X, starts = measurements(MODELS[name], noise)
    data = Measurements(X)
    found, expected = (fit(model, data, starts, general=g) for g in (False, True))
    assert_same_minima(found, expected, data)


@pytest.mark.parametrize("name", ["decay", "turning", "clipped", "known"])
def test_samples_weigh_as_much_in_both(name):
    model, X, starts = measurements(MODELS[name], 10.0)
    sigma = np.where(np.arange(X.shape[1]) == 2, np.inf, 10.0 + np.arange(X.shape[1]))
    X[::3, 0] = np.nan
    data = Measurements.of(X, np.tile(sigma, (N, 1)))
    found, expected = (fit(model, data, starts, general=g) for g in (False, True))
    assert_same_minima(found, expected, data)


def test_functions_have_the_derivatives_of_their_model():
    for name in ("function", "function_with_jacobian", "complex_function"):
        model = MODELS[name]
        theta = model.bounds[:, 0] + [[0.03, 2.0], [0.2, 30.0], [0.0, 0.0]]
        found = model._compiled_form().simulate(theta, True)
        expected = model.signal(theta, jacobian=True)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_voxels_whose_function_cannot_compute_fail_and_other_errors_are_raised():
    _, X, starts = measurements(FUNCTION, 10.0)
    for T2 in (1.9, 1.45):
        starts[:, 3, 0] = T2
        if T2 < 1.5:
            with pytest.raises(IndexError):
                fit(FUNCTION, Measurements(X), starts)
        else:
            fits = fit(FUNCTION, Measurements(X), starts)
            assert fits.status[3] == 3 and (np.delete(fits.status, 3) == 0).all()


def test_functions_in_python_are_searched_by_the_general_driver():
    for model in (
        FunctionModel(decay.py_func, **OF_DECAY),
        FunctionModel(decay, jacobian=slopes_of_decay.py_func, **OF_DECAY),
        FunctionModel(decay, difference="none", **OF_DECAY),
    ):
        assert not has_compiled_search(model, None)


def test_limits_of_the_amplitude_hold_and_are_told():
    model, X, starts = measurements(MODELS["clipped"], 0.0)
    fits = fit(model, Measurements(1.2 * X), starts)
    assert (fits.theta[:, 1] == 1050).all() and fits.at_bound[:, 1].all()


@pytest.mark.parametrize("name", ["decay", "turning", "known"])
def test_a_voxel_does_not_depend_on_others_pieces_or_threads(name, monkeypatch):
    model, X, starts = measurements(MODELS[name], 10.0)
    whole = fit(model, Measurements(X), starts)
    alone = fit(model.rows([7]), Measurements(X[[7]]), starts[:, [7]])
    np.testing.assert_array_equal(alone.theta, whole.theta[[7]])
    monkeypatch.setattr(compiled_search, "_PIECE", 7)
    monkeypatch.setattr(threads, "numba", SimpleNamespace(get_num_threads=lambda: 3))
    pieces = fit(model, Measurements(X), starts)
    for field in ("theta", "m0", "cost", "status", "n_iterations"):
        np.testing.assert_array_equal(getattr(pieces, field), getattr(whole, field))


def test_estimates_scale_with_the_data_bit_for_bit():
    model, X, starts = measurements(DECAY, 10.0)
    one, other = (fit(model, Measurements(c * X), starts).theta for c in (1.0, 2.0**70))
    np.testing.assert_array_equal(one * [1.0, 2.0**70], other)


def test_a_prior_or_another_signal_is_searched_by_the_general_driver():
    class Doubled(MonoExponential):
        def signal(self, theta, jacobian=False):
            s, ds = super().signal(theta, jacobian=True)
            return (2 * s, 2 * ds) if jacobian else 2 * s

    prior = GaussianPrior(np.zeros(2), np.eye(2))
    assert has_compiled_search(DECAY, None)
    assert not has_compiled_search(DECAY, prior)
    others = (
        Doubled(TE),
        MonoExponential(TE, signal="magnitude", noise="rician"),
        MonoExponential(TE).compress(np.eye(8)[:, :4]),
        DECAY.given("M0"),
        Doubled(TE, offset=True).fix(offset=0.1),
    )
    assert not any(has_compiled_search(model, None) for model in others)


def test_searches_that_fail_or_are_cut_short_say_so():
    model, X, starts = measurements(MODELS["two"], 10.0)
    bounds = resolve_bounds(model, None)
    box, limits = search_box(model, bounds), amplitude_limits(model, bounds)
    fitter = VoxelFitter(model, box, 1, 1e-6, None, limits=limits)
    fits = fitter.fit(Measurements(X), starts[:1])
    assert set(fits.status) <= {0, 1, 5} and (fits.status == 1).sum() > N / 2
    X[3] = np.inf
    assert fitter.fit(Measurements(X), starts[:1]).status[3] == 3


def test_steps_to_where_derivatives_are_lost_are_shortened():
    model = FunctionModel(plain_decay, ["T2"], [(0.005, 2.0)], jacobian=partial_slopes)
    assert has_compiled_search(model, None)
    truth = np.array([[0.3], [0.38], [0.2]])
    X = model.signal(truth)
    found = NLLSRegressor(model, initial=[[0.01]]).fit(X).predict(X)
    np.testing.assert_allclose(found, truth, rtol=1e-6)
