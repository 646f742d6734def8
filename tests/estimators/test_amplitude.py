"""Data of any scale: the amplitude of real signals in all estimators, bounds and draws."""

import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import least_squares
from sklearn.exceptions import ConvergenceWarning

from crbestim import (
    CRBRegressor,
    DictionaryRegressor,
    NLLSRegressor,
    OneStepRegressor,
)
from crbestim.bounds import cramer_rao_bound, noise_of_signals
from crbestim.datasets import make_fingerprints
from crbestim.estimators import VoxelStatus
from crbestim.exceptions import LowSignalWarning
from crbestim.least_squares.box import search_box
from crbestim.metrics import bias_variance
from crbestim.models import (
    BiExponential,
    FunctionModel,
    IntravoxelIncoherentMotion,
    InversionRecovery,
    MonoExponential,
    SignalModel,
    SpoiledGradientEcho,
)
from crbestim.parameters import Parameter
from tests.estimators.siblings import ESTIMATORS

TE = 0.01 * np.arange(1, 13)
B = 1e6 * np.array([0, 10, 20, 50, 100, 200, 400, 800, 1000])
COVARIANCE = np.diag(np.linspace(1.0, 3.0, 12))
BASIS = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 5)))[0]
T2 = MonoExponential(TE, signal="magnitude")


class Decay(SignalModel):
    """A user's model that names its amplitude, which comes first."""

    parameter_names = ("S0", "R2")
    bounds = ((0.0, np.inf), (1.0, 100.0))
    amplitude = "S0"

    def signal(self, theta):
        return theta[:, :1] * np.exp(-TE * theta[:, 1:])


def decay(theta):
    return theta[1] * np.exp(-TE * theta[0])


MODELS = {
    "T2": lambda: T2,
    "T2, offset": lambda: MonoExponential(TE, offset=True, signal="magnitude"),
    "two T2": lambda: BiExponential(TE, signal="magnitude"),
    "T1": lambda: InversionRecovery([0.05, 0.2, 0.5, 1, 2, 4], tr=6.0, signal="magnitude"),
    "SPGR": lambda: SpoiledGradientEcho(
        np.deg2rad([2, 5, 10, 20, 40]), 0.02, signal="magnitude"
    ),
    "IVIM": lambda: IntravoxelIncoherentMotion(B),
    "user's": Decay,
    "function": lambda: FunctionModel(
        decay, ["R2", "A"], [(1.0, 100.0), (0.0, np.inf)], amplitude="A"
    ),
    "fixed offset": lambda: MODELS["T2, offset"]().fix(offset=0.1),
    "M0 alone": lambda: T2.fix(T2=0.08),
    "compressed": lambda: T2.compress(BASIS),
    "whitened": lambda: T2.whiten(COVARIANCE),
}


def network(model, **options):
    options = dict(hidden_layer_sizes=(16, 16), max_iter=3, random_state=0) | options
    return CRBRegressor(model, **options)


def noisy(model, n=40, scale=1.0, sd=0.01):
    """Return signals of an amplitude, in noise, and their parameters."""
    rng, column = np.random.default_rng(3), model._amplitude_column
    box = search_box(model, model.bounds)
    others = box.theta(rng.uniform(0.3, 0.7, (n, len(box.low))))
    theta = np.insert(others, column, scale, axis=1)
    signal = model.signal(theta)
    return signal + sd * scale * rng.standard_normal(signal.shape), theta


@pytest.mark.filterwarnings("ignore:standard deviations are rough")
@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("name", MODELS)
def test_estimates_follow_the_scale_of_the_data(name, kind):
    model = MODELS[name]()
    X, _ = noisy(model)
    reg = ESTIMATORS[kind](model).fit(X)
    y, std = reg.predict(X, return_std=True)
    assert np.isfinite(y).all()
    for c in (2.0**30, 2.0**-30, 1e9, 1e-9):
        factor = np.ones(model.n_parameters)
        factor[model._amplitude_column] = c
        tolerance = 0 if np.log2(c) % 1 == 0 else 1e-9
        scaled, scaled_std = reg.predict(c * X, return_std=True)
        np.testing.assert_allclose(scaled, y * factor, rtol=tolerance)
        # Differences with respect to the amplitude have other rounding errors.
        np.testing.assert_allclose(scaled_std, std * factor, rtol=max(tolerance, 1e-10))


@pytest.mark.parametrize("name", ["T2", "T2, offset", "user's"])
def test_networks_follow_the_scale_of_the_data(name):
    model = MODELS[name]()
    X, y = noisy(model, 200)
    reg = network(model).fit(X, y)
    y, std = reg.predict(X, return_std=True)
    factor = np.ones(model.n_parameters)
    for c in (2.0**30, 1e9, 1e-9):
        factor[model._amplitude_column] = c
        tolerance = 0 if c == 2.0**30 else 1e-5
        scaled, scaled_std = reg.predict(c * X, return_std=True)
        np.testing.assert_allclose(scaled, y * factor, rtol=tolerance)
        np.testing.assert_allclose(scaled_std, std * factor, rtol=max(tolerance, 1e-10))


@pytest.mark.parametrize("resample_noise", [True, False])
def test_networks_learn_the_same_at_any_scale(resample_noise):
    X, y, crb = make_fingerprints(T2, 200, random_state=0, return_crb=True)
    factor = np.array([1.0, 1000.0])
    options = dict(resample_noise=resample_noise)
    one = network(T2, **options).fit(X, y, crb=crb)
    other = network(T2, **options).fit(1000 * X, y * factor, crb=crb * factor**2)
    expected = one.predict(X) * factor
    np.testing.assert_allclose(other.predict(1000 * X), expected, rtol=1e-5)
    assert one.best_loss_ == pytest.approx(other.best_loss_, rel=1e-5)


def test_a_network_estimates_the_amplitude():
    X, y = make_fingerprints(T2, 3000, snr=200, random_state=0)
    reg = network(T2, max_iter=30, snr=200.0).fit(X, y)
    X, y = make_fingerprints(T2, 300, snr=200, random_state=1)
    found = reg.predict(700 * X)[:, 1] / 700
    assert np.median(np.abs(found - y[:, 1])) < 0.02


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("dtype", [float, np.int16, np.float32])
def test_magnitudes_in_scanner_units(kind, dtype):
    X = (1500 * np.exp(-TE / np.array([[0.080], [0.045]]))).astype(dtype)
    expected = [
        least_squares(lambda p, x=x: p[1] * np.exp(-TE / p[0]) - x, [0.06, 1e3],
                      x_scale=[0.1, 1e3], xtol=1e-14, ftol=1e-14, gtol=1e-14).x
        for x in X.astype(float)
    ]  # fmt: skip
    y = ESTIMATORS[kind](T2).fit(X).predict(X)
    # Interpolation between atoms is not exact.
    np.testing.assert_allclose(y, expected, rtol=1e-6 if kind != "matching" else 1e-3)


# Bounds of the amplitude


@pytest.mark.parametrize("kind", ["least squares", "step"])
def test_an_amplitude_at_a_bound_is_the_bounded_minimum(kind):
    X, _ = noisy(T2, 5, scale=1.3)
    limits = {"M0": (0.5, 1.2)}
    make = dict(bounds=limits)
    reg = NLLSRegressor(T2, **make) if kind == "least squares" else OneStepRegressor(
        model=T2, n_steps=20, prior=None, **make)  # fmt: skip
    y = reg.fit(X).predict(X)
    for x, found in zip(X, y, strict=True):
        fit = least_squares(lambda p, x=x: T2.signal([p])[0] - x, [0.1, 1.0],
                            bounds=([1e-3, 0.5], [4.0, 1.2]), xtol=1e-12)  # fmt: skip
        np.testing.assert_allclose(found, fit.x, rtol=1e-4)
    assert (y[:, 1] == 1.2).all()


def test_an_amplitude_at_a_bound_is_flagged():
    X, _ = noisy(T2, 5, scale=1.3, sd=1e-3)
    X = X[[0, 0, 0, 0, 0]]
    fits = NLLSRegressor(T2, bounds={"M0": (0.5, 1.25)}).fit(X).fit_voxels(X)
    np.testing.assert_array_equal(fits.at_bound, [[False, True]] * 5)
    assert not NLLSRegressor(T2).fit(X).fit_voxels(1e6 * X).at_bound.any()


@pytest.mark.parametrize("kind", [*ESTIMATORS, "network"])
def test_bounds_of_the_model_hold_for_draws_and_estimates(kind):
    model = MonoExponential(TE, signal="magnitude", bounds={"M0": (10, 1e5)})
    X, y, crb = make_fingerprints(model, 300, return_crb=True, random_state=0)
    reg = network(model, max_iter=1) if kind == "network" else ESTIMATORS[kind](model)
    reg.fit(X, y, crb=crb)
    with warnings.catch_warnings():
        # What such a model leaves of these signals looks like noise.
        warnings.simplefilter("ignore", LowSignalWarning)
        assert reg.predict(X / 1e6)[:, 1].max() == 10
    if kind != "network":
        assert reg.score(X, y) == pytest.approx(reg.score(X, y, crb=crb), rel=1e-9)
        assert 0.8 < reg.score(X, y) < 1.3


# The noise of a signal of amplitude 1


@pytest.mark.parametrize("noise", ["gaussian", "rician"])
def test_the_bound_of_the_amplitude_grows_with_its_square(noise):
    model = MonoExponential(TE, signal="magnitude", noise=noise)
    theta = np.array([[0.08, 1.0], [0.08, 1500.0], [0.08, 1e-7]])
    crb = cramer_rao_bound(model, theta, noise_std=0.02)
    np.testing.assert_allclose(crb[:, 0], crb[0, 0], rtol=1e-9)
    np.testing.assert_allclose(crb[:, 1], crb[0, 1] * theta[:, 1] ** 2, rtol=1e-9)
    given = model.given("M0").at(theta[:, 1:])
    alone = cramer_rao_bound(given, theta[:, :1], noise_std=0.02)
    np.testing.assert_allclose(alone[1:], alone[[0, 0]], rtol=1e-9)
    fixed = cramer_rao_bound(model.fix(M0=1500.0), [[0.08]], noise_std=0.02)
    np.testing.assert_allclose(fixed, alone[:1], rtol=1e-9)


def test_the_noise_of_data_is_not_that_at_an_amplitude_of_1():
    with pytest.warns(LowSignalWarning, match="noise_std = 12 is larger than the signal"):
        cramer_rao_bound(T2, [[0.08, 1500.0]], noise_std=12.0)


def test_the_noise_of_draws_follows_the_amplitude():
    model = MonoExponential(TE, signal="magnitude", bounds={"M0": (10, 1e5)})
    X, y = make_fingerprints(model, 2000, snr=50, random_state=0)
    # Early echoes, far above the noise.
    squares = ((X - model.signal(y)) / y[:, 1:])[:, :4] ** 2
    low, high = (np.sqrt(squares[rows].mean()) for rows in (y[:, 1] < 100, y[:, 1] > 1e4))
    assert low == pytest.approx(0.02, rel=0.03)
    assert high == pytest.approx(0.02, rel=0.03)
    share = np.log(y[:, 1] / 10) / np.log(1e4)
    assert 0 <= share.min() < 0.01 < 0.99 < share.max() <= 1
    assert share.mean() == pytest.approx(0.5, abs=0.03)


def test_amplitudes_are_1_by_default():
    _, y = make_fingerprints(T2, 20, random_state=0)
    np.testing.assert_array_equal(y[:, 1], 1.0)
    below = MonoExponential(TE, signal="magnitude", bounds={"M0": (0, 50)})
    _, y = make_fingerprints(below, 500, random_state=0)
    assert 0.5 <= y[:, 1].min() < 0.55 < 45 < y[:, 1].max() <= 50


def test_the_score_and_the_bias_do_not_depend_on_the_scale():
    X, y = make_fingerprints(T2, 100, random_state=0)
    reg = NLLSRegressor(T2).fit(X)
    factor = np.array([1.0, 1500.0])
    assert reg.score(1500 * X, y * factor) == pytest.approx(reg.score(X, y), rel=1e-9)
    options = dict(snr=50.0, n_realizations=4, random_state=0)
    one = bias_variance(reg, T2, y[:20], **options)
    other = bias_variance(reg, T2, y[:20] * factor, **options)
    np.testing.assert_allclose(other.loss, one.loss, rtol=1e-8)


@pytest.mark.parametrize("signal", ["magnitude", "complex"])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_score_at_the_noise_of_the_data(kind, signal):
    model = MonoExponential(TE, signal=signal)
    X, y = make_fingerprints(model, 300, snr=50, random_state=0)
    scale = np.random.default_rng(0).uniform(100, 3000, (300, 1))
    scaled = y.copy()
    scaled[:, 1:] *= scale
    reg = ESTIMATORS[kind](model).fit(X)
    expected = reg.set_params(noise_std=1 / 50).score(X, y)
    reg.set_params(noise_std=0.7)
    found = reg.score(scale * X, scaled, sigma=scale[:, 0] / 50)
    # A complex factor is estimated at the truth, and sigma weighs the prior of a step.
    tolerance = 0.02 if signal == "complex" else 1e-3 if kind == "step" else 1e-8
    assert found == pytest.approx(expected, rel=tolerance)
    assert 0.8 < found < 1.2


def test_the_residual_does_not_depend_on_the_scale():
    X, _ = noisy(T2, 200)
    reg = NLLSRegressor(T2).fit(X)
    X[:10] += 0.3 + 0.3 * np.cos(np.arange(12))
    one, other = reg.residual(X), reg.residual(1500 * X)
    assert one.flag[:10].all()
    np.testing.assert_array_equal(one.flag, other.flag)
    np.testing.assert_allclose(other.sigma, 1500 * one.sigma, rtol=1e-9)


def test_distances_are_shares_of_the_norm():
    X, _ = noisy(T2, 6, scale=900.0)
    reg = DictionaryRegressor(T2).fit(X)
    distances, rows = reg.kneighbors(X, 2)
    atoms = reg.atoms_[rows]
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    cosine = (atoms * unit[:, None]).sum(axis=2)
    np.testing.assert_allclose(distances, np.sqrt(1 - cosine**2), rtol=1e-7)


# Networks of amplitudes that are fixed, known, or never 1


@pytest.mark.parametrize("view", ["fixed", "fixed and whitened", "known"])
def test_networks_draw_noise_in_units_of_the_amplitude(view):
    found = []
    for m0 in (1.0, 1000.0):
        model = T2.given("M0") if view == "known" else T2.fix(M0=m0)
        model = model.whiten(COVARIANCE) if "whitened" in view else model
        X, y, *known = make_fingerprints(model, 1000, snr=30, random_state=0)
        given = {}
        if known:
            X, given["known"] = m0 * X, m0 * known[0]
        reg = network(model, max_iter=40, noise_std=1 / 30).fit(X, y, **given)
        factor, (low, high) = reg.std_factors_["factor"][0, 0], reg.apparent_snr_range_
        found.append([reg.score(X, y, **given), reg.best_loss_, factor, low, high])
    # Rounding in single precision makes training differ.
    np.testing.assert_allclose(found[1], found[0], rtol=0.2)


class Bright(Decay):
    """Amplitudes around a thousand; the model does not hold at 1."""

    parameters = (
        Parameter("S0", (100.0, 1e4), (50.0, 1e5)),
        Parameter("R2", (5.0, 50.0), distribution=stats.uniform(5.0, 45.0)),
    )
    parameter_names, bounds = SignalModel.parameter_names, SignalModel.bounds


@pytest.mark.parametrize("resample_noise", [True, False])
def test_a_network_of_amplitudes_that_are_never_1(resample_noise):
    X, y = make_fingerprints(Bright(), 1000, random_state=0)
    reg = network(Bright(), max_iter=10, resample_noise=resample_noise).fit(X, y)
    assert np.median(np.abs(reg.predict(X)[:, 0] / y[:, 0] - 1)) < 0.05
    assert reg.predict(1e-6 * X)[:, 0].max() == 100


# Amplitudes of users' models


def test_a_user_may_draw_amplitudes():
    given = {"M0": stats.uniform(500.0, 100.0)}
    _, y = make_fingerprints(T2, 50, random_state=0, distributions=given)
    assert 500 <= y[:, 1].min() and y[:, 1].max() <= 600
    model = FunctionModel(
        decay,
        ["R2", "A"],
        [(1.0, 100.0), (0.0, np.inf)],
        amplitude="A",
        distributions={"R2": stats.uniform(5, 40), "A": stats.uniform(500.0, 100.0)},
    )
    _, y = make_fingerprints(model, 50, random_state=0)
    assert 500 <= y[:, 1].min() and y[:, 1].max() <= 600


def test_a_subclass_may_have_no_amplitude():
    class Absolute(MonoExponential):
        amplitude = None

    model = Absolute(TE, signal="magnitude", bounds={"M0": (0.1, 10.0)})
    assert not model.has_factor and T2.has_factor
    X = T2.signal([[0.08, 2.0]])
    y = NLLSRegressor(model).fit(X).predict(X)
    np.testing.assert_allclose(y, [[0.08, 2.0]], rtol=1e-5)
    own = Decay()
    assert own.has_factor
    own.amplitude = None
    assert not own.has_factor


def test_a_search_without_an_amplitude_has_not_converged():
    class Recovery(Decay):
        parameter_names = ("S0", "R1")
        bounds = ((0.0, np.inf), (0.2, 10.0))

        def signal(self, theta):
            return theta[:, :1] * (1 - 2 * np.exp(-theta[:, 1:] * 20 * TE))

    X = Recovery().signal([[1.0, 0.3]])
    reg = NLLSRegressor(Recovery(), initial=[[1.0, 9.0]]).fit(X)
    with pytest.warns(ConvergenceWarning, match="1 stalled"):
        assert reg.fit_voxels(X).status == VoxelStatus.STALLED
    np.testing.assert_allclose(
        NLLSRegressor(Recovery()).fit(X).predict(X), [[1.0, 0.3]], rtol=1e-6
    )


# What is refused


@pytest.mark.parametrize(
    ("name", "bounds", "options", "text"),
    [
        ("R2", (0.0, np.inf), {}, "'R2' .* is not the overall factor of the signal"),
        ("M0", (0.0, np.inf), {}, "'M0' .* none of its parameters, R2, A; name"),
        ("A", (-1.0, 1.0), {}, "'A' .* has bounds from -1; .* is not negative"),
        ("A", (0.0, 1.0), {"complex": True}, "'A' .* is for real signals, and this one"),
    ],
)
def test_an_amplitude_that_is_none_is_refused(name, bounds, options, text):
    def f(theta):
        return decay(theta) + 0j if options else decay(theta)

    with pytest.raises(ValueError, match=text):
        FunctionModel(f, ["R2", "A"], [(1.0, 100.0), bounds], amplitude=name)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_subclass_with_a_wrong_amplitude_is_refused(kind):
    class Wrong(Decay):
        amplitude = "M0"

    with pytest.raises(ValueError, match="is none of its parameters, S0, R2"):
        ESTIMATORS[kind](Wrong()).fit(np.ones((2, 12)))


def test_no_amplitude_no_noise():
    with pytest.raises(ValueError, match="amplitude is 0 in row 1 of theta, where noise"):
        noise_of_signals(T2, np.array([[0.08, 1.0], [0.08, 0.0]]), 0.01)
    X, y = make_fingerprints(T2, 40, random_state=0)
    y[3, 1] = 0
    with pytest.raises(ValueError, match="M0 = 0 in row 3 of y: a signal without ampl"):
        network(T2).fit(X, y)


def test_bounds_of_an_amplitude():
    X, _ = noisy(T2, 3)
    with pytest.raises(ValueError, match="bounds of the amplitude M0 are 2 to 1; give 0"):
        NLLSRegressor(T2, bounds={"M0": (2, 1)}).fit(X)
    assert NLLSRegressor(T2, bounds={"M0": (1, np.inf)}).fit(X).bounds_[1, 1] == np.inf


def test_a_prior_of_the_amplitude_has_no_effect():
    X, _ = noisy(T2, 5)
    covariance = np.diag([0.01**2, 1e-6])
    priors = [((0.08, m0), covariance) for m0 in (1.0, 50.0)]
    one, other = (NLLSRegressor(T2, prior=p).fit(X).predict(X) for p in priors)
    free = NLLSRegressor(T2).fit(X).predict(X)
    np.testing.assert_allclose(one, other, rtol=1e-12)
    assert (np.abs(one[:, 0] - 0.08) < np.abs(free[:, 0] - 0.08)).all()
