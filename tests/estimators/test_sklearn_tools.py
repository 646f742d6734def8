"""The tools of scikit-learn, each with all four estimators, on complex and real signals."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential
from crbestim.subspace import ComplexToReal, SubspaceProjection

TE = 0.012 * np.arange(1, 8)
MODELS = {
    "complex": MonoExponential(TE),
    "real": MonoExponential(TE, signal="magnitude"),
}
ESTIMATORS = {
    "network": lambda model=None: CRBRegressor(
        model, hidden_layer_sizes=(8,), max_iter=2, noise_std=1 / 30, random_state=0
    ),
    "least squares": lambda model=None: NLLSRegressor(model, noise_std=1 / 30),
    "matching": lambda model=None: DictionaryRegressor(model, noise_std=1 / 30),
    "step": lambda model=None: OneStepRegressor(model=model, noise_std=1 / 30),
}
SEARCHED = {
    "network": ("batch_size", [8, 16]),
    "least squares": ("max_iter", [1, 50]),
    "matching": ("n_neighbors", [1, 5]),
    "step": ("n_steps", [1, 3]),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:among:sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:X is much:crbestim.exceptions.NoiseLevelWarning"),
]
CV = KFold(2)


@pytest.fixture(scope="module", params=MODELS)
def data(request):
    """Return a model, signals, targets and bounds of 60 fingerprints."""
    model = MODELS[request.param]
    return model, *make_fingerprints(model, 60, snr=30, return_crb=True, random_state=0)


@pytest.fixture(params=ESTIMATORS)
def kind(request):
    return request.param


@pytest.fixture
def reg(kind, data):
    return ESTIMATORS[kind](data[0])


def by_hand(reg, X, y, fit=None, score=None):
    """Return scores and predictions of held-out rows, without a tool."""
    scores, found = [], np.empty_like(y)
    for train, test in CV.split(X):
        one = clone(reg).fit(
            X[train], y[train], **{k: v[train] for k, v in (fit or {}).items()}
        )
        scores.append(
            one.score(X[test], y[test], **{k: v[test] for k, v in (score or {}).items()})
        )
        found[test] = one.predict(X[test]).reshape(len(test), *y.shape[1:])
    return np.array(scores), found


def test_cross_validation_and_curves(reg, kind, data):
    _, X, y, _ = data
    scores, found = by_hand(reg, X, y)
    np.testing.assert_array_equal(cross_val_predict(reg, X, y, cv=CV), found)
    np.testing.assert_array_equal(cross_val_score(reg, X, y, cv=CV), scores)
    np.testing.assert_array_equal(cross_validate(reg, X, y, cv=CV)["test_score"], scores)
    _, _, test = learning_curve(reg, X, y, cv=CV, train_sizes=[30])
    np.testing.assert_array_equal(test[0], scores)
    name, values = SEARCHED[kind]
    expected = [by_hand(clone(reg).set_params(**{name: v}), X, y)[0] for v in values]
    _, test = validation_curve(reg, X, y, cv=CV, param_name=name, param_range=values)
    np.testing.assert_array_equal(test, expected)
    best = values[int(np.argmax(np.mean(expected, axis=1)))]
    searches = [
        GridSearchCV(reg, {name: values}, cv=CV),
        RandomizedSearchCV(reg, {name: values}, n_iter=2, cv=CV, random_state=0),
        HalvingGridSearchCV(
            reg, {name: values}, cv=CV, factor=2, min_resources=60, random_state=1
        ),
    ]
    for search in searches:
        search.fit(X, y)
        means = search.cv_results_["mean_test_score"]
        order = [p[name] for p in search.cv_results_["params"]]
        whole = [m for m, v in sorted(zip(means, order, strict=True), key=lambda p: p[1])]
        # Halving draws rows in another order, which the training of a network depends on.
        if kind != "network" or not isinstance(search, HalvingGridSearchCV):
            np.testing.assert_allclose(whole[:2], np.mean(expected, axis=1), rtol=1e-12)
        assert search.best_params_[name] == best
        one = clone(reg).set_params(**{name: best}).fit(X, y)
        np.testing.assert_array_equal(search.predict(X), one.predict(X))


def test_metadata_reach_fit_and_score_by_routing(kind, data):
    model, X, y, crb = data
    sigma = np.linspace(0.02, 0.05, len(X))
    if "amplitude" in vars(type(model)) and model.amplitude:
        sigma = sigma * y[:, list(model.parameter_names).index(model.amplitude)]
    weight = np.arange(1.0, 61.0)
    with config_context(enable_metadata_routing=True):
        reg = ESTIMATORS[kind](model).set_fit_request(crb=True)
        reg.set_score_request(crb=True, sample_weight=True)
        given = {"crb": crb, "sample_weight": weight}
        fit = {"crb": crb}
        if kind == "network":
            reg.set_fit_request(crb=True, sample_weight=True)
            reg.set_partial_fit_request(crb=True, sample_weight=True)
            fit = given
        expected = by_hand(reg, X, y, fit, given)[0]
        found = cross_validate(reg, X, y, cv=CV, params=given)["test_score"]
        np.testing.assert_array_equal(found, expected)
        curve = learning_curve(reg, X, y, cv=CV, train_sizes=[30], params=given)[2][0]
        np.testing.assert_array_equal(curve, expected)
        search = GridSearchCV(reg, {"noise_std": [1 / 30]}, cv=CV).fit(X, y, **given)
        assert search.best_score_ == expected.mean()
        if kind != "network":
            reg = ESTIMATORS[kind](model).set_score_request(sigma=True)
            expected = by_hand(reg, X, y, None, {"sigma": sigma})[0]
            found = cross_validate(reg, X, y, cv=CV, params={"sigma": sigma})["test_score"]
            np.testing.assert_array_equal(found, expected)


def test_known_values_reach_every_step_by_routing(kind):
    model = MODELS["complex"]
    X, y = make_fingerprints(model, 60, snr=30, random_state=0)
    known = np.random.default_rng(0).normal(size=(60, 1))
    reg = ESTIMATORS[kind]()
    with config_context(enable_metadata_routing=True):
        crb = np.ones_like(y)
        reg.set_fit_request(known=True, crb=True).set_score_request(known=True, crb=True)
        given = {"known": known, "crb": crb}
        found = cross_val_score(reg, X, y, cv=CV, params=given)
        for train, test in CV.split(X):
            one = clone(reg).fit(X[train], y[train], crb=crb[train], known=known[train])
            score = one.score(X[test], y[test], crb=crb[test], known=known[test])
            assert score in found


def test_a_learning_curve_tells_what_to_request(data):
    """It routes to `partial_fit` as well, whether it calls it or not."""
    model, X, y, crb = data
    with config_context(enable_metadata_routing=True):
        reg = ESTIMATORS["network"](model).set_fit_request(crb=True)
        reg.set_score_request(crb=True)
        with pytest.raises(UnsetMetadataPassedError, match="set_partial_fit_request"):
            learning_curve(reg, X, y, cv=CV, params={"crb": crb})
        reg.set_partial_fit_request(crb=True)
        options = dict(cv=CV, train_sizes=[20, 30], exploit_incremental_learning=True)
        found = learning_curve(reg, X, y, params={"crb": crb}, **options)[2]
        for k, (train, test) in enumerate(CV.split(X)):
            one = clone(reg)
            for i, rows in enumerate((train[:20], train[20:])):
                one.partial_fit(X[rows], y[rows], crb=crb[rows])
                assert found[i, k] == one.score(X[test], y[test], crb=crb[test])


def test_estimators_of_estimators(reg, data):
    _, X, y, _ = data
    column = y[:, 0] if y.shape[1] == 1 else None
    many = MultiOutputRegressor(ESTIMATORS["matching"]()).fit(X, y)
    alone = [ESTIMATORS["matching"]().fit(X, t).predict(X) for t in y.T]
    np.testing.assert_array_equal(many.predict(X), np.column_stack(alone))
    twice = TransformedTargetRegressor(
        ESTIMATORS["least squares"](), func=np.log, inverse_func=np.exp
    ).fit(X, y)
    by_log = ESTIMATORS["least squares"]().fit(X, np.log(y)).predict(X)
    np.testing.assert_allclose(twice.predict(X), np.exp(by_log), rtol=1e-12)
    if column is None:
        return
    one = clone(reg).fit(X, column).predict(X)
    other = ESTIMATORS["matching"](reg.model)
    voting = VotingRegressor([("a", reg), ("b", other)]).fit(X, column)
    both = np.mean([one, clone(other).fit(X, column).predict(X)], axis=0)
    np.testing.assert_allclose(voting.predict(X), both, rtol=1e-12)
    stack = StackingRegressor([("a", reg), ("b", other)], LinearRegression(), cv=CV)
    folds = [cross_val_predict(r, X, column, cv=CV) for r in (reg, other)]
    final = LinearRegression().fit(np.column_stack(folds), column)
    parts = [clone(r).fit(X, column).predict(X) for r in (reg, other)]
    expected = final.predict(np.column_stack(parts))
    np.testing.assert_allclose(stack.fit(X, column).predict(X), expected, rtol=1e-9)


def test_cached_pipelines(reg, data, tmp_path):
    model, X, y, _ = data
    steps = SubspaceProjection(4), ESTIMATORS["matching"]()
    expected = make_pipeline(*map(clone, steps)).fit(X, y).predict(X)
    cached = make_pipeline(*steps, memory=str(tmp_path))
    for _ in range(2):
        np.testing.assert_array_equal(cached.fit(X, y).predict(X), expected)
    whole = make_pipeline(FunctionTransformer(), reg, memory=str(tmp_path)).fit(X, y)
    np.testing.assert_array_equal(whole.predict(X), clone(reg).fit(X, y).predict(X))


def test_tools_that_refuse_complex_data_get_them_as_real_features(reg, data):
    """The inverse of ComplexToReal is the first step; real signals pass unchanged."""
    _, X, y, _ = data
    y = y.ravel() if y.shape[1] == 1 else y
    to_real = ComplexToReal().fit(X)
    pairs = to_real.transform(X)
    pipe = make_pipeline(FunctionTransformer(to_real.inverse_transform), reg)
    bag = BaggingRegressor(pipe, n_estimators=2, random_state=0).fit(pairs, y)
    expected = np.mean(
        [
            clone(e[-1]).fit(X[rows], y[rows]).predict(X)
            for e, rows in zip(bag.estimators_, bag.estimators_samples_, strict=True)
        ],
        axis=0,
    )
    np.testing.assert_allclose(bag.predict(pairs), expected, rtol=1e-12)
    pipe.fit(pairs, y)
    found = permutation_importance(pipe, pairs, y, n_repeats=1, random_state=0)
    score, alone = clone(reg).fit(X, y).score, pairs.copy()
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max + 1)
    order = np.arange(len(X))
    np.random.RandomState(seed).shuffle(order)
    alone[:, 2] = alone[order, 2]
    drop = score(X, y) - score(to_real.inverse_transform(alone), y)
    assert found.importances[2, 0] == pytest.approx(drop)


def test_chains_append_estimates_to_the_features(data):
    _, X, y, _ = data
    pairs, y = ComplexToReal().fit_transform(X), np.column_stack([y[:, 0], y[:, 0] ** 2])
    chain = RegressorChain(ESTIMATORS["least squares"]()).fit(pairs, y)
    first = ESTIMATORS["least squares"]().fit(pairs, y[:, 0])
    second = ESTIMATORS["least squares"]().fit(np.column_stack([pairs, y[:, 0]]), y[:, 1])
    found = first.predict(pairs)
    expected = [found, second.predict(np.column_stack([pairs, found]))]
    np.testing.assert_allclose(chain.predict(pairs), np.column_stack(expected), rtol=1e-9)
