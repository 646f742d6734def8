"""Transformers and estimators together, as users write them."""

import numpy as np
import pytest
import sklearn
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.metrics import efficiency_score, efficiency_scorer
from crbestim.subspace import ComplexToReal, SubspaceProjection
from tests.models.conftest import mt


@pytest.fixture(scope="module")
def model():
    """Return a model of four parameters that 40 pulses determine."""
    return mt(40).fix(omega0=50.0, T2s=1e-5, Rx=20.0)


@pytest.fixture(scope="module")
def data(model):
    """Return signals of high quality, parameters and bounds."""
    return make_fingerprints(model, 400, snr=200, random_state=0, return_crb=True)


def projection(model, n_components=8, **options):
    options = dict(max_iter=20, tol=1e-3, n_fingerprints=50, random_state=0) | options
    return SubspaceProjection(n_components, method="crb", model=model, **options)


def network(model=None, **options):
    options = dict(hidden_layer_sizes=(16, 16), max_iter=4, random_state=0) | options
    return CRBRegressor(model, noise_std=1 / 200, **options)


def test_a_network_behind_a_projection_with_the_bound_of_whole_signals(model, data):
    X, y, crb = data
    pipe = make_pipeline(projection(model), network(model)).fit(X, y)
    expected = cramer_rao_bound(model, y, noise_std=1 / 200)
    score = efficiency_score(y, pipe.predict(X), expected)
    assert pipe.score(X, y) == pytest.approx(score)
    np.testing.assert_allclose(pipe.predict(2j * X), pipe.predict(X), rtol=1e-4)


def test_grid_search_over_the_number_of_components_without_routing(model, data):
    X, y, _ = data
    pipe = make_pipeline(projection(model, max_iter=0), DictionaryRegressor(model))
    grid = {"subspaceprojection__n_components": [5, 12]}
    search = GridSearchCV(pipe, grid, cv=2).fit(X, y)
    few, many = search.cv_results_["mean_test_score"]
    # One yardstick for both, the bound of whole signals: what is lost tells.
    assert np.isfinite([few, many]).all() and few != many
    assert search.best_estimator_[0].components_.shape[0] in (5, 12)


def test_grid_search_with_routing(model, data):
    X, y, crb = data
    with sklearn.config_context(enable_metadata_routing=True):
        reg = network().set_fit_request(crb=True).set_score_request(crb=True)
        pipe = make_pipeline(projection(model, max_iter=0), reg)
        grid = {"subspaceprojection__n_components": [5, 12]}
        search = GridSearchCV(pipe, grid, cv=2).fit(X, y, crb=crb)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.best_estimator_[-1].fitted_with_crb_
        scores = cross_validate(pipe, X, y, cv=2, params={"crb": crb})["test_score"]
        assert (scores > 0).all()


def test_bounds_that_reach_fit_alone_are_told(model, data):
    """Without routing, bounds reach fit and not score."""
    X, y, crb = data
    pipe = make_pipeline(projection(model, max_iter=0), network())
    with pytest.warns(UserWarning, match="Scoring failed"):
        cross_validate(pipe, X, y, cv=2, params={"crbregressor__crb": crb})


def test_least_squares_and_a_step_with_the_compressed_model(model, data):
    X, y, _ = data
    learned = projection(model).fit(X, y)
    small = model.compress(learned.components_.T)
    coefficients = learned.transform(X)
    for reg in (NLLSRegressor(small), OneStepRegressor(model=small, n_steps=2)):
        reg = reg.set_params(noise_std=1 / 200).fit(coefficients, y)
        assert reg.score(coefficients[:100], y[:100]) > 0.5


@pytest.mark.parametrize(
    "reg",
    [
        KNeighborsRegressor(3, weights="distance"),
        MultiOutputRegressor(HistGradientBoostingRegressor(max_iter=20, random_state=0)),
    ],
    ids=["neighbors", "boosting"],
)
def test_regressors_of_scikit_learn_scored_by_efficiency(reg, model, data):
    X, y, crb = data
    steps = projection(model, max_iter=0), ComplexToReal(normalize=True)
    pipe = make_pipeline(*steps, reg)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = efficiency_scorer.set_score_request(crb=True)
        scores = cross_val_score(pipe, X, y, scoring=scorer, cv=2, params={"crb": crb})
    # The bound of so few pulses exceeds what is known beforehand, so 1 can be surpassed.
    assert (scores > 0.5).all()
    # Without routing, with bounds that are computed where they are needed.
    scorer = make_scorer(
        lambda y, estimate: efficiency_score(y, estimate, cramer_rao_bound(model, y, 0.005))
    )
    plain = cross_val_score(pipe, X, y, scoring=scorer, cv=2)
    np.testing.assert_allclose(plain, scores)
    pipe.fit(X, y)
    # Neighbours that are alike and splits of trees may change places by rounding.
    fresh, _ = make_fingerprints(model, 100, snr=200, random_state=1)
    same = np.isclose(pipe.predict(-1j * fresh), pipe.predict(fresh), rtol=1e-5)
    assert same.mean() > 0.9


def test_functions_as_steps(model, data):
    X, y, _ = data
    whole = make_pipeline(FunctionTransformer(), DictionaryRegressor(model)).fit(X, y)
    scaled = make_pipeline(
        FunctionTransformer(lambda X: 3j * X), DictionaryRegressor(model)
    )
    np.testing.assert_array_equal(scaled.fit(X, y).predict(X), whole.predict(X))
