"""OneStepRegressor: an efficient estimate from a rough one, and never a worse fit."""

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.least_squares import fisher_scoring
from crbestim.models import SignalModel
from tests.estimators.decays import Amplitude, Fragile, Precession, draw, measured


class Rough(RegressorMixin, BaseEstimator):
    """Known truth, or what it is told, with an error of some standard deviations."""

    def __init__(self, truth=None, error=None):
        self.truth = truth
        self.error = error

    def fit(self, X, y, crb=None):
        self.fitted_, self.crb_ = True, crb
        return self

    def predict(self, X):
        return self.truth + self.error


def stack(X):
    return np.hstack([X.real, X.imag])


def relative_residual(model, X, theta):
    s = model.signal(theta)
    m0 = (s.conj() * X).sum(axis=1) / (np.abs(s) ** 2).sum(axis=1)
    return np.linalg.norm(X - m0[:, None] * s, axis=1) / np.linalg.norm(X, axis=1)


@parametrize_with_checks([OneStepRegressor(), OneStepRegressor(Ridge())])
@pytest.mark.filterwarnings("ignore:.*neither a model nor crb.*:UserWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def rough_start(n=2000, snr=200, size=3.0):
    """Return signals and truth, and a start whose errors are `size` standard deviations."""
    rng = np.random.default_rng(0)
    y = np.stack([rng.uniform(20, 50, n), rng.uniform(-50, 50, n)], axis=1)
    X = Precession().signal(y) * np.exp(2j * np.pi * rng.random((n, 1)))
    X = X + rng.standard_normal((n, 12, 2)).view(complex)[..., 0] / snr
    crb = cramer_rao_bound(Precession(), y, noise_std=1 / snr)
    return X, y, crb, size * np.sqrt(crb) * rng.standard_normal(y.shape)


@pytest.mark.parametrize("prior", ["gaussian", None])
def test_one_step_makes_a_rough_estimate_efficient(prior):
    X, y, crb, error = rough_start()
    reg = OneStepRegressor(Rough(y, error), Precession(), prior=prior).fit(X, y)
    before, after = (((e - y) ** 2 / crb).mean(axis=0) for e in (y + error, reg.predict(X)))
    # The mean of 2000 chi-square variables is 1 +- 0.03.
    assert (before > 8).all()
    np.testing.assert_allclose(after, 1.0, atol=0.1)


def test_steps_lead_to_the_least_squares_fit():
    X, y, _, error = rough_start(50, size=20.0)
    fit = NLLSRegressor(Precession(), tol=1e-12).fit(X, y).predict(X)
    distance = [
        np.abs(
            OneStepRegressor(Rough(y, error), Precession(), n_steps=n, prior=None)
            .fit(X, y)
            .predict(X)
            - fit
        ).max()
        for n in (1, 2, 6)
    ]
    assert distance[0] > 10 * distance[1] and distance[2] < 1e-3


@pytest.mark.parametrize("prior", ["gaussian", None])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_the_residual_never_increases(model, prior, n_steps):
    X, y = make_fingerprints(model, 300, snr=1000, random_state=0)
    train = make_fingerprints(model, 300, snr=1000, random_state=1)
    start = DictionaryRegressor(model).fit(*train)
    reg = OneStepRegressor(FrozenEstimator(start), model, n_steps=n_steps, prior=prior)
    estimate = reg.fit(*train).predict(X)
    before, after = (relative_residual(model, X, t) for t in (start.predict(X), estimate))
    # What rounding of the data to 12 decimals leaves undecided.
    assert (after <= before * (1 + 1e-10)).all() and (after < 0.99 * before).mean() > 0.5
    low, high = model.bounds.T
    assert ((estimate >= low) & (estimate <= high)).all()


def test_steps_that_are_too_long_are_damped(model, monkeypatch):
    X, y = make_fingerprints(model, 300, snr=1000, random_state=0)
    start = DictionaryRegressor(model).fit(X[200:], y[200:])
    reg = OneStepRegressor(FrozenEstimator(start), model, prior=None).fit(X, y)
    with_control = relative_residual(model, X, reg.predict(X))
    monkeypatch.setattr(fisher_scoring, "_DAMPINGS", (1e-10,))
    without = relative_residual(model, X, reg.predict(X))
    assert (with_control <= without).all()
    assert (with_control < 0.9 * without).mean() > 0.1


def test_a_step_leaves_a_perfect_estimate_alone():
    y = draw(20)
    X = 3j * Precession().signal(y)
    reg = OneStepRegressor(Rough(y, 0.0), Precession()).fit(X, y)
    np.testing.assert_allclose(reg.predict(X), y, rtol=1e-9)


def test_bounds_confine_steps_and_starts():
    X, y = measured(30)
    reg = OneStepRegressor(Rough(y, 1e3), Precession(), bounds={"R2": (20, 60)}, n_steps=9)
    estimate = reg.fit(X, y).predict(X)
    assert estimate[:, 0].min() >= 20 and estimate[:, 0].max() <= 60
    assert (np.abs(estimate[:, 1]) <= 100).all()


def test_the_prior_keeps_what_the_data_leave_open():
    class Blind(SignalModel):
        parameter_names = ("R2", "nothing")
        bounds = np.array([[1.0, 100.0], [0.0, 1.0]])

        def signal(self, theta):
            return np.exp(-theta[:, :1] * np.linspace(0, 0.1, 12)) + 0j

    X, y = measured(30, model=Blind())
    with pytest.raises(ValueError, match="does not determine nothing at any start value"):
        OneStepRegressor(Rough(y, 0.1), Blind(), prior=None).fit(X, y)
    estimate = OneStepRegressor(Rough(y, 0.1), Blind(), n_steps=3).fit(X, y).predict(X)
    np.testing.assert_allclose(estimate[:, 0], y[:, 0], rtol=1e-3)


def test_standard_deviation_is_that_of_the_posterior():
    X, y, crb, error = rough_start(300)
    for prior in ("gaussian", None):
        reg = OneStepRegressor(Rough(y, error), Precession(), prior=prior).fit(X, y)
        estimate, std = reg.predict(X, return_std=True)
        ratio = (estimate - y) / std
        assert 0.85 < ratio.std() < 1.15
        _, known = reg.predict(X, return_std=True, sigma=1 / 200)
        np.testing.assert_allclose(known, np.sqrt(crb), rtol=0.05)


def test_standard_deviation_leaves_out_a_prior_that_could_not_pull():
    # The residual of the best fit of the data can only rise.
    X, y, _, _ = rough_start(300, snr=5)
    prior = ([30.0, 0.0], np.diag([4.0, 1e6]))
    best = FrozenEstimator(NLLSRegressor(Precession()).fit(X, y))
    reg = OneStepRegressor(best, Precession(), prior=prior, n_steps=3).fit(X, y)
    estimate, std = reg.predict(X, return_std=True, sigma=0.2)
    inside = (estimate[:, 0] > 2) & (estimate[:, 0] < 99)
    assert np.std(((estimate - y) / std)[inside, 0]) < 1.5


def test_a_prior_only_fills_gaps_where_nothing_shows_the_noise():
    class Short(Precession):
        def signal(self, theta):
            return super().signal(theta)[:, [1, 9]]

    X, y = measured(30, snr=20, model=Short())
    start = Rough(y, 5.0)
    reg = OneStepRegressor(start, Short()).fit(X, y)
    with pytest.warns(UserWarning, match="the prior only fills what the data leave open"):
        unknown = reg.predict(X)
    quiet, loud = (reg.predict(X, sigma=sigma) for sigma in (1e-6, 10.0))
    np.testing.assert_allclose(unknown, quiet, rtol=1e-3)
    # Much noise, much weight of the prior.
    assert np.abs(loud - y.mean(axis=0)).mean() < np.abs(quiet - y.mean(axis=0)).mean()


def test_voxels_where_the_model_fails_are_nan():
    X, y = measured(6)
    start = y.copy()
    start[2, 0] = 5.0
    for wrong in ("signal", "jacobian"):
        reg = OneStepRegressor(Rough(start, 0.0), Fragile(wrong)).fit(X, y)
        assert np.isnan(reg.predict(X)).any(axis=1).tolist() == [i == 2 for i in range(6)]
    start[4] = np.nan
    reg = OneStepRegressor(Rough(start, 0.0), Precession()).fit(X, y)
    estimate, std = reg.predict(X, return_std=True)
    assert np.isnan(estimate).all(axis=1).tolist() == [i == 4 for i in range(6)]
    assert (np.isnan(std) == np.isnan(estimate)).all()


def test_a_real_model_keeps_its_amplitude():
    model = Amplitude()
    X, y = measured(100, model=model)
    reg = OneStepRegressor(model=model, n_steps=8).fit(X, y)
    X, y = measured(20, seed=4, model=model)
    np.testing.assert_allclose(reg.predict(X), y, rtol=1e-3)


def test_without_a_model_it_is_linear_calibration():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((200, 2))
    X = 1 + y @ rng.standard_normal((2, 6)) + 0.01 * rng.standard_normal((200, 6))
    linear = NLLSRegressor().fit(X, y).predict(X)
    step = OneStepRegressor(prior=None).fit(X, y).predict(X)
    np.testing.assert_allclose(step, linear, atol=1e-6)
    factor = np.exp(2j * np.pi * rng.random((200, 1)))
    shifted = OneStepRegressor().fit((X + 5) * factor, y).predict((X + 5) * 2 * factor)
    assert np.sqrt(np.mean((shifted - y) ** 2)) < 0.5 * y.std()


def test_the_estimator_is_a_clone_that_gets_crb_unless_it_is_frozen():
    X, y = measured(20, snr=100)
    crb = cramer_rao_bound(Precession(), y, noise_std=0.01)
    rough = Rough(y, 0.0)
    reg = OneStepRegressor(rough, Precession()).fit(X, y, crb=crb)
    assert not hasattr(rough, "fitted_")
    np.testing.assert_array_equal(reg.estimator_.crb_, crb)
    frozen = FrozenEstimator(DictionaryRegressor(Precession()).fit(X[:5], y[:5]))
    reg = OneStepRegressor(frozen, Precession()).fit(X, y)
    np.testing.assert_array_equal(reg.estimator_.predict(X), frozen.estimator.predict(X))
    with pytest.raises(NotFittedError):
        clone(OneStepRegressor(rough, Precession())).predict(X)


def test_a_model_inside_is_not_lost():
    """Without it, a linear model would be learned in its place."""
    X, y = measured(20)
    inside = DictionaryRegressor(Precession())
    for estimator in (inside, FrozenEstimator(inside.fit(X, y))):
        with pytest.raises(ValueError, match="its estimator has .* give the model to both"):
            OneStepRegressor(estimator).fit(X, y)
    OneStepRegressor(DictionaryRegressor()).fit(X, y)


@pytest.mark.filterwarnings("ignore:most estimates end at a bound")
def test_over_anything_that_predicts(model):
    X, y, crb = make_fingerprints(model, 200, snr=100, return_crb=True, random_state=0)
    stacked = FunctionTransformer(stack)
    for estimator in (
        make_pipeline(stacked, Ridge()),
        DictionaryRegressor(model),
        NLLSRegressor(model),
        OneStepRegressor(model=model),
    ):
        reg = OneStepRegressor(estimator, model).fit(X, y, crb=crb)
        assert np.isfinite(reg.predict(X[:20])).all()
        again = pickle.loads(pickle.dumps(reg))
        np.testing.assert_array_equal(again.predict(X[:20]), reg.predict(X[:20]))


def test_cross_validation_and_grid_search():
    X, y = measured(60, snr=100)
    reg = OneStepRegressor(model=Precession())
    scores = cross_validate(reg, X, y, cv=3, error_score="raise")["test_score"]
    assert np.isfinite(scores).all()
    grid = {"n_steps": [1, 4], "prior": [None, "gaussian"]}
    search = GridSearchCV(reg, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["n_steps"] == 4


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(n_steps=0), "'n_steps' parameter"),
        (dict(n_starts=0), "'n_starts' parameter"),
        (dict(estimator=3), "'estimator' parameter"),
        (dict(prior="flat"), "'prior' parameter"),
        (dict(prior=(1.0,)), "prior has parts of shape"),
        (dict(bounds={"T2": (0, 1)}), "bounds name T2"),
        (dict(noise_std=0.0), "'noise_std' parameter"),
        (dict(n_jobs="all"), "'n_jobs' parameter"),
        (dict(estimator=Rough(np.zeros(3), 0.0)), "predicts shape .* a start needs"),
    ],
)
def test_wrong_parameters(params, message):
    X, y = measured(4)
    with pytest.raises(ValueError, match=message):
        OneStepRegressor(model=Precession()).set_params(**params).fit(X, y).predict(X)


class Lobes(SignalModel):
    """Precession for so long that the residual has many minima along omega."""

    parameter_names = ("R2", "omega")
    bounds = np.array([[0.1, 5.0], [-100.0, 100.0]])
    times = np.linspace(0.0, 1.0, 40)

    def signal(self, theta):
        return np.exp((-theta[:, :1] + 1j * theta[:, 1:]) * self.times)


def test_more_starts_find_the_right_minimum():
    rng = np.random.default_rng(0)
    y = np.stack([rng.uniform(0.5, 2, 300), rng.uniform(-80, 80, 300)], axis=1)
    X = Lobes().signal(y) * np.exp(1j)
    sign = np.where(rng.random(300) < 0.5, 1.0, -1.0)
    wrong = np.stack([0 * sign, 9 * sign], axis=1)
    one, five = (
        OneStepRegressor(Rough(y, wrong), Lobes(), n_steps=3, n_starts=n).fit(X, y)
        for n in (1, 5)
    )
    missed = [np.abs(reg.predict(X) - y)[:, 1] > 1 for reg in (one, five)]
    assert missed[0].mean() > 0.9 and missed[1].mean() < 0.1
    with pytest.raises(ValueError, match="n_starts = 400, but there are only 300 training"):
        five.set_params(n_starts=400).fit(X, y)
