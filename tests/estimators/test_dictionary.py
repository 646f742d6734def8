"""DictionaryRegressor: exact, invariant, interpolating; and scikit-learn's checks."""

import pickle
import tracemalloc

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from crbestim import _parallel
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.estimators import _dictionary
from crbestim.estimators.dictionary import DictionaryRegressor
from crbestim.metrics import wrapped_error
from crbestim.models import SignalModel
from crbestim.noise import add_noise
from crbestim.parameters import Parameter

TIMES = np.linspace(0.0, 0.1, 12)
KINDS = pytest.mark.parametrize("kind", ["complex", "real"])


class Precession(SignalModel):
    """Decaying precession of a complex signal, periodic in its frequency."""

    period = 2 * np.pi / (TIMES[1] - TIMES[0])
    parameters = (
        Parameter("R2", (1.0, 100.0)),
        Parameter("omega", (-period / 2, period / 2), period=period),
    )
    parameter_names = SignalModel.parameter_names
    bounds = SignalModel.bounds

    def signal(self, theta):
        return np.exp((-theta[:, :1] + 1j * theta[:, 1:]) * TIMES)


class Amplitude(SignalModel):
    """Real decay, whose amplitude is a parameter."""

    parameter_names = ("amplitude", "rate")
    bounds = np.array([[0.0, 10.0], [1.0, 100.0]])

    def signal(self, theta):
        return theta[:, :1] * np.exp(-theta[:, 1:] * TIMES)


MODELS = {"complex": Precession(), "real": Amplitude()}


def draw(n, seed=0, kind="complex"):
    """Draw parameters inside the bounds."""
    low, high = MODELS[kind].bounds.T
    return low + (high - low) * np.random.default_rng(seed).random((n, len(low)))


def measured(n, snr=100.0, seed=0, kind="complex"):
    """Return noisy signals, with random factors if they are complex, and parameters."""
    y, rng = draw(n, seed, kind), np.random.default_rng(seed + 1)
    return add_noise(MODELS[kind].signal(y), snr, rng), y


def brute_force(atoms, X, k):
    """Return the k best of all atoms, in double precision."""
    if X.dtype.kind == "c":
        unit = atoms / np.linalg.norm(atoms, axis=1, keepdims=True)
        return (-np.abs(X @ unit.conj().T)).argsort(axis=1, kind="stable")[:, :k]
    squares = ((X[:, None] - atoms) ** 2).sum(axis=-1)
    return squares.argsort(axis=1, kind="stable")[:, :k]


@pytest.fixture(
    params=[
        {},
        {"n_neighbors": 7},
        {"n_neighbors": 7, "interpolate": True},
    ],
    ids=["best", "mean", "affine"],
)
def regressor(request):
    """Return an estimator of each kind."""
    return DictionaryRegressor(**request.param)


@parametrize_with_checks([DictionaryRegressor()])
@pytest.mark.filterwarnings("ignore:.*neither a model nor crb.*:UserWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@KINDS
@pytest.mark.parametrize("snr", [2.0, 100.0, 1e6])
def test_matches_are_those_of_brute_force(kind, snr):
    atoms, y = measured(1000, np.inf, kind=kind)
    X, _ = measured(300, snr, seed=5, kind=kind)
    reg = DictionaryRegressor(n_neighbors=5).fit(atoms, y)
    expected = brute_force(atoms, X, 5)
    distances, indices = reg.kneighbors(X)
    np.testing.assert_array_equal(indices, expected)
    scale, factor = np.ones((300, 1)), np.ones((300, 5))
    if kind == "complex":
        products = (X[:, None] * atoms[expected].conj()).sum(axis=-1)
        factor = products / (np.abs(atoms[expected]) ** 2).sum(axis=-1)
        scale = np.linalg.norm(X, axis=1, keepdims=True)
    rest = np.linalg.norm(X[:, None] - factor[..., None] * atoms[expected], axis=-1)
    # Roots of rounding errors.
    np.testing.assert_allclose(distances, rest / scale, rtol=1e-6, atol=1e-7)
    plain = y[expected].mean(axis=1)
    np.testing.assert_allclose(reg.predict(X), plain, rtol=1e-12)
    best = DictionaryRegressor().fit(atoms, y)
    np.testing.assert_array_equal(best.predict(X), y[expected[:, 0]])
    np.testing.assert_array_equal(best.kneighbors(X, 2)[1], expected[:, :2])


def test_matches_of_magnetization_transfer_are_those_of_brute_force(model, fingerprints):
    X, y, _ = fingerprints
    reg = DictionaryRegressor(model, n_neighbors=3).fit(X, y)
    expected = brute_force(model.signal(y), X, 3)
    np.testing.assert_array_equal(reg.kneighbors(X)[1], expected)


@pytest.mark.parametrize("factor", [1e-150, 1e150, -3.7, 0.3 + 0.7j, 5e3 * np.exp(2j)])
def test_a_complex_factor_changes_no_bit(regressor, factor):
    atoms, y = measured(400, np.inf)
    # The same signals once more, with other factors and parameters: ties everywhere.
    phases = np.exp(1j * np.arange(400))[:, None] * np.linspace(0.1, 7, 400)[:, None]
    atoms, y = np.concatenate([atoms, phases * atoms]), np.concatenate([y, y + 1.0])
    X, _ = measured(2000, seed=5)
    regressor.fit(atoms, y)
    np.testing.assert_array_equal(regressor.predict(factor * X), regressor.predict(X))
    best = regressor.kneighbors(X, 1)[1]
    assert (best < 400).all()


def test_a_real_factor_counts():
    X, y = measured(500, np.inf, kind="real")
    reg = DictionaryRegressor().fit(X, y)
    np.testing.assert_array_equal(reg.predict(X), y)
    assert (reg.predict(2 * X[:5]) != y[:5]).any()
    # No signal is data for a model that carries its amplitude.
    assert reg.predict(np.zeros((1, 12)))[0, 0] < 0.5


@KINDS
def test_blocks_and_threads_change_no_bit(regressor, kind):
    X, y = measured(600, kind=kind)
    expected = regressor.fit(X, y).predict(X)
    for params in ({"block_size": 1}, {"block_size": 7}, {"block_size": 50, "n_jobs": 2}):
        found = clone(regressor).set_params(**params).fit(X, y).predict(X)
        np.testing.assert_array_equal(found, expected)
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            np.testing.assert_array_equal(regressor.fit(X, y).predict(X), expected)


def test_n_jobs_is_a_number_of_threads(monkeypatch):
    seen, parallel = [], _parallel.Parallel
    monkeypatch.setattr(
        _parallel, "Parallel", lambda **kw: seen.append(kw) or parallel(**kw)
    )
    X, y = measured(5)
    DictionaryRegressor(n_jobs=2).fit(X, y).predict(X)
    assert seen == [{"n_jobs": 2, "require": "sharedmem", "return_as": "generator"}]


def test_large_dictionaries_make_small_blocks(monkeypatch):
    X, y = measured(50)
    sizes = []
    monkeypatch.setattr(_dictionary, "_MOST_PRODUCTS", 10 * 50 * 24)
    reg = DictionaryRegressor().fit(X, y)
    match = _dictionary.Dictionary.match
    monkeypatch.setattr(
        _dictionary.Dictionary,
        "match",
        lambda self, data, *rest: sizes.append(len(data)) or match(self, data, *rest),
    )
    reg.predict(X), reg.kneighbors(X)
    assert sizes == 10 * [10]


def test_block_size_bounds_the_memory():
    X, y = measured(4000)
    peaks = []
    for block_size in (4000, 100):
        reg = DictionaryRegressor(n_neighbors=200, block_size=block_size).fit(X, y)
        tracemalloc.start()
        reg.predict(X)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Numbers, distances and weights of 4000 x 200 matches are 19 MB.
    assert peaks[0] > 15e6 and peaks[1] < 3e6


@KINDS
def test_interpolation_reduces_the_error(kind):
    train, y_train = measured(2000, np.inf, kind=kind)
    X, y = measured(500, 1e4, seed=5, kind=kind)
    periods = MODELS[kind].periods
    errors = []
    for reg in (
        DictionaryRegressor(MODELS[kind]),
        DictionaryRegressor(MODELS[kind], n_neighbors=10),
        DictionaryRegressor(MODELS[kind], n_neighbors=10, interpolate=True),
    ):
        estimate = reg.fit(train, y_train).predict(X)
        errors.append(np.median(np.abs(wrapped_error(y, estimate, periods)), axis=0))
    assert (errors[2] < 0.2 * errors[0]).all() and (errors[2] < 0.2 * errors[1]).all()


def test_interpolation_of_magnetization_transfer(model):
    # At this SNR the spacing of the atoms counts, not the noise.
    X, y, crb = make_fingerprints(model, 300, snr=1e5, return_crb=True, random_state=1)
    train = make_fingerprints(model, 3000, random_state=7)
    scores = [
        DictionaryRegressor(model, n_neighbors=k, interpolate=k > 1)
        .fit(*train)
        .score(X, y, crb=crb)
        for k in (1, 20)
    ]
    assert scores[1] > 2 * scores[0]


@pytest.mark.parametrize("interpolate", [False, True])
def test_estimates_stay_between_the_matches(interpolate):
    X, y = measured(200, 3.0)
    reg = DictionaryRegressor(n_neighbors=4, interpolate=interpolate).fit(X, y)
    new, _ = measured(300, 3.0, seed=5)
    estimate, matches = reg.predict(new), y[reg.kneighbors(new)[1]]
    assert (estimate >= matches.min(axis=1)).all()
    assert (estimate <= matches.max(axis=1)).all()


@pytest.mark.parametrize("interpolate", [False, True])
def test_periodic_parameters_wrap(interpolate):
    half = Precession.period / 2
    omega = np.array([half - 1.0, -half + 1.5])
    y = np.column_stack([[20.0, 20.0], omega])
    reg = DictionaryRegressor(Precession(), n_neighbors=2, interpolate=interpolate)
    truth = np.array([[20.0, -half + 0.25], [20.0, half - 0.5]])
    estimate = reg.fit(Precession().signal(y), y).predict(Precession().signal(truth))
    error = wrapped_error(truth, estimate, Precession().periods)
    assert np.abs(error[:, 1]).max() < (0.01 if interpolate else 0.8)
    assert (np.abs(estimate[:, 1]) <= half).all()


def test_with_a_model_atoms_are_clean():
    X, y = measured(1500, 5.0)
    reg, noisy = DictionaryRegressor(Precession()).fit(X, y), DictionaryRegressor()
    signal = Precession().signal(y)
    norm = np.linalg.norm(signal, axis=1, keepdims=True)
    np.testing.assert_allclose(reg.atoms_, signal / norm, rtol=1e-12)
    np.testing.assert_array_equal(reg.parameters_, y)
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(noisy.fit(X, y).atoms_, X / norm, rtol=1e-12)


def test_the_dictionary_is_a_copy():
    X, y = measured(20)
    reg = DictionaryRegressor().fit(X, y)
    expected, data = reg.predict(X), X.copy()
    X[:], y[:] = 0.0, 0.0
    np.testing.assert_array_equal(reg.predict(data), expected)


def test_atoms_without_signal_match_nothing():
    class Fragile(Precession):
        def signal(self, theta):
            bad = np.where(theta[:, :1] < 50.0, np.nan, 1.0)
            return bad * super().signal(theta)

    X, y = measured(200)
    X[::2] = 0
    best = DictionaryRegressor().fit(X, y).kneighbors(X[1::2])[1]
    np.testing.assert_array_equal(best[:, 0], np.arange(1, 200, 2))
    X, y = measured(200)
    reg = DictionaryRegressor(Fragile(), n_neighbors=3).fit(X, y)
    assert (reg.parameters_[reg.kneighbors(X)[1], 0] >= 50.0).all()
    y[:, 0] = 20.0
    with pytest.raises(ValueError, match="none of 200 atoms .* check y and the model"):
        reg.fit(X, y)
    with pytest.raises(ValueError, match="none of 200 atoms .* check X"):
        DictionaryRegressor().fit(0 * X, y)


def test_a_model_that_fails_at_an_estimate_leaves_the_others_alone():
    class Failing(Precession):
        def signal(self, theta, jacobian=False):
            if (theta[:, 0] < limit).any():
                raise ZeroDivisionError
            return super().signal(theta, jacobian)

    X, y = measured(20, snr=100)
    expected = DictionaryRegressor(Precession()).fit(X, y).predict(X, return_std=True)
    limit = 0.0
    reg = DictionaryRegressor(Failing()).fit(X, y)
    limit = np.sort(y[:, 0])[1]
    fails = y[:, 0] < limit
    estimate, std = reg.predict(X, return_std=True)
    np.testing.assert_array_equal(estimate, expected[0])
    np.testing.assert_allclose(std[~fails], expected[1][~fails], rtol=1e-6)
    assert not np.isfinite(std[fails]).any()
    flag = reg.residual(X, sigma=0.01).flag
    assert flag[fails].all() and not flag[~fails].any()


def test_voxels_without_signal_are_nan_and_leave_the_others_alone(regressor):
    X, y = measured(50)
    expected = regressor.fit(X, y).predict(X)
    lost = np.isin(np.arange(50), [0, 7, 8])
    X[0], X[7], X[8, 3] = 0, np.inf, np.nan
    estimate = regressor.predict(X)
    assert np.isnan(estimate[lost]).all()
    np.testing.assert_array_equal(estimate[~lost], expected[~lost])
    distances, indices = regressor.kneighbors(X)
    assert np.isnan(distances[lost]).all() and (indices[lost] == -1).all()
    assert np.isfinite(distances[~lost]).all() and (indices[~lost] >= 0).all()
    assert np.isnan(regressor.predict(X[lost])).all()


def test_real_voxels_that_are_infinitely_far_are_nan():
    X, y = measured(50, kind="real")
    X_new = np.where(np.arange(50)[:, None] == 3, 1e200, X)
    estimate = DictionaryRegressor().fit(X, y).predict(X_new)
    np.testing.assert_array_equal(np.isnan(estimate).any(axis=1), np.arange(50) == 3)


def test_standard_deviation_is_the_bound_at_the_estimate():
    X, y = measured(30)
    reg = DictionaryRegressor(Precession()).fit(X, y)
    estimate, std = reg.predict(X, return_std=True, sigma=0.02)
    s = Precession().signal(estimate)
    m0 = (s.conj() * X).sum(axis=1) / (np.abs(s) ** 2).sum(axis=1)
    expected = cramer_rao_bound(Precession(), estimate, noise_std=0.02, m0=m0)
    np.testing.assert_allclose(std, np.sqrt(expected))
    X = X + 0.05 * np.random.default_rng(0).standard_normal(X.shape)
    assert (reg.predict(X, return_std=True)[1] > 0).all()
    with pytest.raises(ValueError, match="give DictionaryRegressor a model"):
        DictionaryRegressor().fit(X, y).predict(X, return_std=True)


def test_cross_validation_and_pickle():
    X, y = measured(300)
    reg = DictionaryRegressor(Precession(), n_neighbors=8, interpolate=True)
    result = cross_validate(reg, X, y, cv=3, error_score="raise")
    assert (result["test_score"] > 0).all()
    reg.fit(X, y)
    again = pickle.loads(pickle.dumps(reg))
    np.testing.assert_array_equal(again.predict(X), reg.predict(X))


def test_one_output_as_a_vector():
    X, y = measured(40)
    reg = DictionaryRegressor(n_neighbors=2)
    assert reg.fit(X, y[:, 0]).predict(X).shape == (40,)
    assert reg.fit(X, y[:, :1]).predict(X).shape == (40, 1)


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    X, y = measured(40, kind="real")
    frame = pandas.DataFrame(X, columns=[f"t{i}" for i in range(12)])
    reg = DictionaryRegressor().fit(frame, pandas.DataFrame(y))
    assert list(reg.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(reg.predict(frame), y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_neighbors": 0}, "'n_neighbors' parameter .* must be an int"),
        ({"n_neighbors": 4}, "n_neighbors = 4, but the dictionary has 3 atoms"),
        ({"interpolate": "yes"}, "'interpolate' parameter .* must be"),
        ({"interpolate": True}, "n_neighbors = 1; give at least 2"),
        ({"block_size": 0}, "'block_size' parameter .* must be an int"),
        ({"noise_std": 0.0}, "'noise_std' parameter .* must be a float"),
        ({"n_jobs": "all"}, "'n_jobs' parameter .* must be"),
    ],
)
def test_wrong_parameters(params, message):
    X, y = measured(3)
    with pytest.raises(ValueError, match=message):
        DictionaryRegressor(**params).fit(X, y)


def test_wrong_data():
    X, y = measured(3)
    with pytest.raises(NotFittedError):
        DictionaryRegressor().predict(X)
    with pytest.raises(ValueError, match=r"crb\[0, 0\] = 0"):
        DictionaryRegressor().fit(X, y, crb=np.zeros_like(y))
    with pytest.raises(ValueError, match="X is real, but the signal of"):
        DictionaryRegressor(Precession()).fit(X.real, y)
    fitted = DictionaryRegressor().fit(X, y)
    with pytest.raises(ValueError, match="X is real, but DictionaryRegressor was fitted"):
        fitted.predict(X.real)
    for n_neighbors in (0, 1.5):
        with pytest.raises(ValueError, match="give a positive integer"):
            fitted.kneighbors(X, n_neighbors)
    with pytest.raises(ValueError, match="n_neighbors = 4, but the dictionary has 3"):
        fitted.kneighbors(X, 4)
    with pytest.raises(ValueError, match="n_neighbors = 5, but the dictionary has 3"):
        fitted.set_params(n_neighbors=5).predict(X)
