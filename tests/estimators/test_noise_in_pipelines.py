"""The noise of data and of the bound, in cross-validation, grid search and pipelines."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential
from crbestim.noise import add_noise
from tests.magnitudes import MagnitudeDecay

TE = 0.012 * np.arange(1, 11)
MODEL = MonoExponential(TE, signal="magnitude", noise="rician")
SCALE, SNR = 1500.0, 25.0
SIGMA = SCALE / SNR
ESTIMATORS = {
    "least squares": NLLSRegressor(MODEL, noise_std=1 / SNR),
    "step": OneStepRegressor(model=MODEL, prior=None, noise_std=1 / SNR),
    "matching": DictionaryRegressor(
        MODEL, n_neighbors=20, interpolate=True, noise_std=1 / SNR
    ),
}


@pytest.fixture(scope="module")
def data():
    """Return magnitudes in units of a scanner, and their parameters."""
    y = np.tile([[0.06, SCALE]], (240, 1))
    y[:, 0] = np.random.default_rng(1).permutation(np.linspace(0.05, 0.09, 240))
    X = SCALE * add_noise(
        MODEL.signal(y / [1, SCALE]), SNR, np.random.default_rng(0), noise="rician"
    )
    return X, y


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_cross_validation_needs_no_routing(kind, data):
    """The bound follows from noise_std, and the noise of data from each voxel."""
    X, y = data
    scores = cross_validate(ESTIMATORS[kind], X, y, cv=3)["test_score"]
    assert ((scores > 0.6) & (scores < 2)).all()


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("shape", ["voxels", "samples"])
def test_noise_is_routed_to_predictions_and_scores(kind, shape, data):
    X, y = data
    sigma = np.full(len(X), SIGMA)
    if shape == "samples":
        sigma = np.tile(np.where(TE < 0.1, SIGMA, 2 * SIGMA), (len(X), 1))
        X = X.copy()
        X[:, TE >= 0.1] = np.random.default_rng(1).rayleigh(2 * SIGMA, (240, 2))
    with config_context(enable_metadata_routing=True):
        reg = ESTIMATORS[kind]
        reg = reg.__class__(**reg.get_params(deep=False)).set_params(noise_std=0.9)
        reg.set_score_request(sigma=True)
        found = cross_validate(reg, X, y, cv=3, params={"sigma": sigma})["test_score"]
        rows = np.arange(160, 240)
        alone = reg.fit(X[:160], y[:160]).score(X[rows], y[rows], sigma=sigma[rows])
    assert found[2] == pytest.approx(alone)
    # Not of noise_std, with which all would be far too good.
    assert (found < 2).all()


@pytest.mark.parametrize("kind", ["least squares", "step"])
def test_a_score_at_unequal_noise_is_that_of_its_bound(kind, data):
    _, y = data
    sigma = np.where(np.arange(10) % 2, SIGMA, 3 * SIGMA)[None]
    clean = MODEL.signal(y)
    X = add_noise(clean, 1 / sigma, np.random.default_rng(2), noise="rician")
    reg = ESTIMATORS[kind].fit(X, y)
    found = reg.score(X, y, sigma=sigma)
    crb = cramer_rao_bound(MODEL, y, sigma / y[:, 1:])
    predicted = reg.predict(X, sigma=sigma)
    assert found == pytest.approx(1 / np.mean((predicted - y) ** 2 / crb), rel=1e-6)
    assert 0.8 < found < 1.2
    assert reg.score(X, y, crb=crb) < found


def test_grid_search_compares_noise_models(data):
    _, y = data
    rng = np.random.default_rng(3)
    y = y * [0.5, 1]
    X = add_noise(MODEL.signal(y), 20 / SCALE, rng, noise="rician")
    crb = cramer_rao_bound(MODEL, y, 1 / 20)
    models = [MonoExponential(TE, signal="magnitude"), MODEL]
    with config_context(enable_metadata_routing=True):
        reg = NLLSRegressor(MODEL).set_score_request(crb=True).set_fit_request(crb=False)
        search = GridSearchCV(reg, {"model": models}, cv=3).fit(X, y, crb=crb)
    assert search.best_params_["model"].noise == "rician"
    gaussian, rician = search.cv_results_["mean_test_score"]
    assert rician > 1.1 * gaussian


class InVolts(TransformerMixin, BaseEstimator):
    """Scale signals."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return np.asarray(X) / 1e3


def test_pipelines_pass_the_noise_on(data):
    X, y = data
    y = y / [1, 1e3]
    with config_context(enable_metadata_routing=True):
        reg = NLLSRegressor(MODEL).set_predict_request(sigma=True, return_std=True)
        reg.set_score_request(sigma=True)
        pipeline = make_pipeline(InVolts(), reg).fit(X, y)
        found = pipeline.predict(X, sigma=SIGMA / 1e3, return_std=True)
        score = pipeline.score(X, y, sigma=SIGMA / 1e3)
    alone = NLLSRegressor(MODEL).fit(X / 1e3, y)
    expected = alone.predict(X / 1e3, True, sigma=SIGMA / 1e3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert 0.8 < score < 1.2


@pytest.mark.parametrize("routing", [False, True])
def test_networks_of_rician_models_are_cross_validated(routing):
    model = MagnitudeDecay("rician")
    X, y, crb = make_fingerprints(model, 300, snr=10, return_crb=True, random_state=0)
    options = dict(hidden_layer_sizes=(16,), max_iter=2, random_state=0, noise_std=0.1)
    reg = CRBRegressor(model, **options)
    if not routing:
        scores = cross_validate(reg, X, y, cv=3)["test_score"]
    else:
        with config_context(enable_metadata_routing=True):
            reg.set_fit_request(crb=True).set_score_request(crb=True)
            scores = cross_validate(reg, X, y, cv=3, params={"crb": crb})["test_score"]
    assert (scores > 0).all() and (scores < 1.2).all()
