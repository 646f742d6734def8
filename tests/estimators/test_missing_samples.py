"""Missing samples, and samples that are noisier than others."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.estimators.nlls import VoxelStatus
from crbestim.models import BiExponential, InversionRecovery, MonoExponential

TE = 0.012 * np.arange(1, 9)
TI = np.array([0.05, 0.15, 0.4, 0.8, 1.5, 2.5, 4.0, 6.0])
KINDS = {
    "least squares": NLLSRegressor,
    "matching": lambda m, **k: DictionaryRegressor(
        m, n_neighbors=20, interpolate=True, **k
    ),
    "step": lambda m, **k: OneStepRegressor(model=m, prior=None, **k),
}


def with_times(times, is_complex, noise):
    """Return a model of decays or recoveries at some of the times."""
    signal = "complex" if is_complex else "magnitude"
    options = {} if is_complex else {"noise": noise}
    if len(times) and times[-1] > 1:
        return InversionRecovery(times, tr=8.0, signal=signal, **options)
    return MonoExponential(times, signal=signal, **options)


MODELS = {
    "magnitude": (TE, False, "gaussian"),
    "Rician": (TE, False, "rician"),
    "complex": (TE, True, "gaussian"),
    "recovery": (TI, True, "gaussian"),
}


def measured(times, is_complex, noise, n=12):
    """Return the model, its signals at a signal-to-noise ratio of 50, and the noise."""
    model = with_times(times, is_complex, noise)
    theta = np.array([[1.0, 0.95]] if times is TI else [[0.06, 1.0]])
    clean = 1500 * model.signal(np.tile(theta[:, : model.n_parameters], (n, 1)))
    parts = 30.0 * np.random.default_rng(0).standard_normal((n, len(times), 2))
    X = clean + (parts.view(complex)[..., 0] if is_complex else parts[..., 0])
    return model, X if is_complex else np.abs(X)


@pytest.fixture(scope="module", params=MODELS)
def data(request):
    return MODELS[request.param], *measured(*MODELS[request.param])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [30.0, None])
def test_a_missing_sample_is_as_if_it_had_not_been_measured(kind, sigma, data):
    (times, *options), model, X = data
    broken = X.copy()
    broken[:5, 3] = np.nan
    reg = KINDS[kind](model, nan_policy="omit").fit(broken)
    is_known = sigma is not None or kind != "matching" or options[-1] != "rician"
    found = reg.predict(broken, return_std=is_known, sigma=sigma)
    other = with_times(np.delete(times, 3), *options)
    without = KINDS[kind](other).fit(np.delete(X, 3, axis=1))
    some = np.delete(X[:5], 3, axis=1)
    expected = without.predict(some, return_std=is_known, sigma=sigma)
    whole = KINDS[kind](model).fit(X).predict(X[5:], return_std=is_known, sigma=sigma)
    if not is_known:
        found, expected, whole = [found], [expected], [whole]
    # Dictionaries of other samples choose other matches to interpolate between.
    rtol = 2e-3 if kind == "matching" else 1e-5
    for part, few, many in zip(found, expected, whole, strict=True):
        np.testing.assert_allclose(part[:5], few, rtol=rtol)
        np.testing.assert_array_equal(part[5:], many)


@pytest.mark.parametrize("kind", KINDS)
def test_infinite_noise_is_a_missing_sample(kind, data):
    _, model, X = data
    broken = X.copy()
    broken[:, 3] = np.nan
    omitted = KINDS[kind](model, nan_policy="omit").fit(X)
    expected = omitted.predict(broken, return_std=True, sigma=30.0)
    sigma = np.full((1, X.shape[1]), 30.0)
    sigma[0, 3] = np.inf
    outlier = X.copy()
    outlier[:, 3] = 1e6
    found = KINDS[kind](model).fit(X).predict(outlier, return_std=True, sigma=sigma)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_may_differ_between_samples(kind, data):
    """Equal noise for each sample is one for each voxel; twice the noise counts less."""
    _, model, X = data
    reg = KINDS[kind](model).fit(X)
    plain = reg.predict(X, return_std=True, sigma=30.0)
    even = reg.predict(X, return_std=True, sigma=np.full(X.shape, 30.0))
    np.testing.assert_array_equal(even, plain)
    sigma = np.where(np.arange(X.shape[1]) < 4, 30.0, 90.0)[None]
    y, std = reg.predict(X, return_std=True, sigma=sigma)
    assert not np.array_equal(y, plain[0]) and (std >= plain[1]).all()
    if not model.is_complex:
        expected = np.sqrt(cramer_rao_bound(model, y, sigma / y[:, 1:]))
        np.testing.assert_allclose(std, expected, rtol=1e-6)


def test_weights_are_those_of_the_best_unbiased_estimate():
    """With noise that differs, knowing it leads to the bound, and ignoring it does not."""
    model, sigma = MonoExponential(TE), np.array([[5.0, 5, 5, 60, 60, 5, 60, 5]])
    noise = np.random.default_rng(1).standard_normal((2000, 8, 2)).view(complex)[..., 0]
    X = 1500 * model.signal(np.full((2000, 1), 0.06)) + sigma * noise
    reg = NLLSRegressor(model).fit(X)
    bound = cramer_rao_bound(model, [[0.06]], sigma / 1500)[0, 0]
    errors = [reg.predict(X, sigma=s)[:, 0] - 0.06 for s in (sigma, None)]
    weighted, plain = (np.mean(error**2) / bound for error in errors)
    assert weighted == pytest.approx(1.0, abs=0.1) and plain > 2


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_samples_than_unknowns_are_no_estimate(kind, data):
    _, model, X = data
    few = model.n_unknowns // (2 if model.is_complex else 1)
    X = X[:4].copy()
    X[1, few:] = np.nan
    X[2, max(few - 1, 1) :] = np.nan
    X[3] = np.nan
    reg = KINDS[kind](model, nan_policy="omit").fit(X)
    with warnings.catch_warnings():
        # The second voxel has a sample for each unknown, and nothing shows its noise.
        warnings.simplefilter("ignore")
        y = reg.predict(X)
    enough = few * (2 if model.is_complex else 1) >= model.n_unknowns
    assert np.isfinite(y).all(axis=1).tolist() == [True, enough, False, False]
    if kind == "least squares":
        status = reg.fit_voxels(X, sigma=30.0).status
        assert (status[2:] == VoxelStatus.INVALID).all()


@pytest.mark.parametrize("kind", KINDS)
def test_policies(kind, data):
    _, model, X = data
    X = X.copy()
    X[4, 2] = np.inf
    make = KINDS[kind]
    y = make(model).fit(X).predict(X)
    assert np.isnan(y[4]).all() and np.isfinite(np.delete(y, 4, axis=0)).all()
    reg = make(model, nan_policy="raise").fit(X)
    with pytest.raises(ValueError, match=r"in 1 of 12 rows, the first in row 4, column 2;"):
        reg.predict(X)
    np.testing.assert_array_equal(reg.predict(X[:4]), y[:4])
    with pytest.raises(ValueError, match="nan_policy"):
        make(model, nan_policy="drop").fit(X)


def test_training_data_with_gaps_are_refused_on_request(data):
    _, model, X = data
    y = np.full((12, model.n_parameters), np.nan)
    y[:] = np.mean(np.where(np.isfinite(model.bounds), model.bounds, 1.0), axis=1)
    X = X.copy()
    X[4, 2] = np.nan
    with pytest.raises(ValueError, match="in 1 of 12 rows, the first in row 4, column 2;"):
        NLLSRegressor(model, nan_policy="raise").fit(X, y)


def test_coefficients_may_be_missing_but_not_behind_covariances():
    model = BiExponential(TE)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 6)))[0]
    small = model.compress(basis)
    X = small.signal(np.tile([[0.3, 0.02, 0.1]], (3, 1)))
    X[0, 2] = np.nan
    y = NLLSRegressor(small, nan_policy="omit").fit(X).predict(X)
    np.testing.assert_allclose(y, np.tile([[0.3, 0.02, 0.1]], (3, 1)), rtol=1e-3)
    white = model.whiten(np.full(8, 4.0))
    NLLSRegressor(white, nan_policy="omit").fit(white.signal([[0.3, 0.02, 0.1]]))
    mixed = model.whiten(np.eye(8) + 0.3).compress(basis)
    for kind in KINDS.values():
        with pytest.raises(ValueError, match="nan_policy='omit'.* covariances mix samples"):
            kind(mixed, nan_policy="omit").fit(mixed.signal([[0.3, 0.02, 0.1]]))


def test_a_linear_model_needs_all_samples():
    X, y = np.random.default_rng(0).standard_normal((2, 30, 3))
    with pytest.raises(ValueError, match="nan_policy='omit' .* give a model"):
        NLLSRegressor(nan_policy="omit").fit(X, y[:, :2])


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (np.ones(8), r"shape \(8,\); give a number, one a voxel, \(12,\), or one a sample"),
        (np.full((12, 8), -1.0), r"sigma = -1 in row 0, column 0; noise is positive \(inf"),
        (np.full(12, np.inf), "sigma = inf in row 0; noise is positive and finite"),
        (np.full((1, 8), np.nan), "sigma = nan in row 0, column 0"),
    ],
)
def test_wrong_noise_is_refused(sigma, message):
    model, X = measured(*MODELS["magnitude"])
    with pytest.raises(ValueError, match=message):
        NLLSRegressor(model).fit(X).predict(X, sigma=sigma)


def test_a_voxel_without_any_sample_that_counts_is_no_estimate():
    model, X = measured(*MODELS["magnitude"])
    sigma = np.full(X.shape, 30.0)
    sigma[3] = np.inf
    y = NLLSRegressor(model).fit(X).predict(X, sigma=sigma)
    assert np.isnan(y[3]).all() and np.isfinite(np.delete(y, 3, axis=0)).all()


def test_residuals_have_the_freedom_of_their_samples():
    model = MonoExponential(TE)
    noise = np.random.default_rng(1).standard_normal((4000, 8, 2)).view(complex)[..., 0]
    X = 1500 * model.signal(np.full((4000, 1), 0.06)) + 30 * noise
    X[::2, 4:6] = np.nan
    reg = NLLSRegressor(model, nan_policy="omit").fit(X)
    for sigma in (30.0, None):
        residual = reg.residual(X, sigma=sigma, false_alarm_rate=0.05)
        assert residual.n_free[:2].tolist() == [9, 13]
        assert residual.flag[::2].mean() == pytest.approx(0.05, abs=0.015)
        assert residual.flag[1::2].mean() == pytest.approx(0.05, abs=0.015)
        np.testing.assert_allclose(residual.sigma, 30.0, rtol=0.03)


def test_a_network_says_once_which_voxels_have_gaps():
    model, X = measured(*MODELS["complex"], n=40)
    y = np.full((40, 1), 0.06) + 0.01 * np.linspace(-1, 1, 40)[:, None]
    reg = CRBRegressor(model, hidden_layer_sizes=(8,), max_iter=1, random_state=0)
    reg.fit(X, y)
    X = X.copy()
    X[3, 2], X[7] = np.nan, np.nan
    with pytest.warns(UserWarning, match="in some samples of 1 of 40 voxels") as record:
        found = reg.predict(X)
    assert len(record) == 1
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [3, 7]
    sigma = np.full((1, 8), 30.0)
    std = reg.predict(X[:2], return_std=True, sigma=sigma)[1]
    np.testing.assert_array_equal(std, reg.predict(X[:2], return_std=True, sigma=30.0)[1])
    sigma[0, 2] = np.inf
    with pytest.raises(ValueError, match="sigma is infinite for some samples"):
        reg.predict(X[:2], return_std=True, sigma=sigma)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["propagate", "raise"])
def test_samples_that_do_not_count_may_be_nan(kind, policy, data):
    _, model, X = data
    sigma = np.full(X.shape, 30.0)
    sigma[:, 3] = np.inf
    reg = KINDS[kind](model, nan_policy=policy).fit(X)
    expected = reg.predict(X, sigma=sigma)
    broken = X.copy()
    broken[:, 3] = np.nan
    np.testing.assert_array_equal(reg.predict(broken, sigma=sigma), expected)
    broken[2, 5] = np.nan
    if policy == "propagate":
        assert np.isnan(reg.predict(broken, sigma=sigma)).any(axis=1).sum() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_masked_values_are_missing(kind, data):
    _, model, X = data
    reg = KINDS[kind](model, nan_policy="omit").fit(X)
    mask = np.zeros(X.shape, dtype=bool)
    mask[:5, 3] = True
    masked = np.ma.masked_array(np.where(mask, 9e5, X), mask)
    expected = reg.predict(masked.filled(np.nan), sigma=30.0)
    np.testing.assert_array_equal(reg.predict(masked, sigma=30.0), expected)
    sigma = np.ma.masked_array(np.full(X.shape, 30.0), mask)
    np.testing.assert_array_equal(reg.predict(X, sigma=sigma), expected)
    strict = KINDS[kind](model).fit(X)
    assert np.isnan(strict.predict(masked)[:5]).all()


def test_masked_known_values_and_integers_are_missing():
    model = MonoExponential(TE, signal="magnitude").given("M0")
    X = np.round(1500 * np.exp(-TE / np.full((3, 1), 0.06))).astype(np.int16)
    known = np.ma.masked_array(np.full((3, 1), 1500.0), [[0], [1], [0]])
    reg = NLLSRegressor(model, nan_policy="omit").fit(X, known=np.full((3, 1), 1500.0))
    assert np.isnan(reg.predict(X, known=known)[:, 0]).tolist() == [False, True, False]
    masked = np.ma.masked_array(X, np.arange(8) == 2 * np.ones((3, 1)))
    found = reg.predict(masked, known=np.full((3, 1), 1500.0))
    np.testing.assert_allclose(found, 0.06, rtol=1e-3)


def test_real_samples_of_complex_signals_are_one_number_each():
    model = InversionRecovery(TI, tr=8.0)
    X = 900 * model.signal(np.tile([[1.0, 0.95]], (2, 1)))
    assert not X.imag.any()
    X[0, 2:], X[1, 3:] = np.nan, np.nan
    reg = NLLSRegressor(model, nan_policy="omit").fit(X)
    with pytest.warns(UserWarning, match="real numbers that count"):
        found = reg.predict(X, return_std=True)[0]
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


def test_training_signals_with_gaps_are_not_used_with_a_model(data):
    _, model, X = data
    y = np.zeros((12, model.n_parameters))
    y[:] = np.mean(np.where(np.isfinite(model.bounds), model.bounds, 1.0), axis=1)
    y[:, 0] *= np.linspace(0.2, 1, 12)
    gaps = X.copy()
    gaps[:, 2] = np.nan
    found = NLLSRegressor(model, nan_policy="omit").fit(gaps, y)
    expected = NLLSRegressor(model).fit(X, y)
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))


def test_networks_inside_see_missing_samples_as_missing():
    model, X = measured(*MODELS["magnitude"], n=40)
    y = np.column_stack([np.linspace(0.05, 0.07, 40), np.ones(40)])
    network = CRBRegressor(model, hidden_layer_sizes=(8,), max_iter=1, random_state=0)
    X[3, 2] = np.nan
    step = OneStepRegressor(network, model, nan_policy="omit")
    with pytest.warns(UserWarning, match="fit leaves them out"):
        step.fit(X, y)
    with pytest.warns(UserWarning, match="in some samples of 1 of 40 voxels"):
        found = step.predict(X, sigma=30.0)
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [3]
    with pytest.warns(UserWarning, match="fit leaves them out"):
        fit = NLLSRegressor(model, initial=network, nan_policy="omit").fit(X, y)
    with pytest.warns(UserWarning, match="in some samples of 1 of 40 voxels"):
        found = fit.predict(X, sigma=30.0)
    np.testing.assert_allclose(found[3], [0.06, 1500], rtol=0.3)


def test_estimators_inside_learn_from_whole_rows(data):
    """Others than those of this library refuse NaN."""
    _, model, X = data
    if model.is_complex:
        pytest.skip("scikit-learn's own estimators refuse complex data")
    y = np.column_stack([np.linspace(0.05, 0.07, 12), np.linspace(1400, 1600, 12)])
    X = X.copy()
    X[4, 2] = np.nan
    step = OneStepRegressor(LinearRegression(), model, nan_policy="omit")
    with pytest.warns(UserWarning, match="in 1 of 12 rows, the first is row 4: fit leaves"):
        step.fit(X, y)
    assert np.isfinite(step.predict(X[:4], sigma=30.0)).all()
