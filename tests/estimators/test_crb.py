"""CRBRegressor as a user meets it."""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from crbestim import CRBRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.metrics import efficiency_score
from crbestim.models import SignalModel

STAND_IN = "ignore:CRBRegressor has neither a model nor crb"


def small(model=None, **changes):
    options = dict(hidden_layer_sizes=(16, 16), max_iter=3, random_state=0)
    return CRBRegressor(model, **{**options, **changes})


@pytest.fixture(scope="module")
def fitted(model, fingerprints):
    X, y, crb = fingerprints
    return small(model).fit(X, y, crb=crb)


@pytest.mark.filterwarnings(STAND_IN)
@parametrize_with_checks([CRBRegressor()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_training_lowers_the_loss(model, fingerprints):
    X, y, crb = fingerprints
    reg = small(model, max_iter=60, batch_size=32, n_iter_no_change=60).fit(X, y, crb=crb)
    assert reg.loss_curve_[-1] < reg.loss_curve_[0] / 5
    assert reg.n_iter_ == len(reg.history_) == 60
    assert reg.best_loss_ == min(r["validation_loss"] for r in reg.history_)


@pytest.mark.parametrize("factor", [1e-12, -1.0, 3e5j, 2 - 7j])
def test_exact_invariance_to_a_complex_factor(fitted, fingerprints, model, factor):
    X = fingerprints[0]
    error = fitted.predict(factor * X) - fitted.predict(X)
    np.testing.assert_allclose(error / fitted.network_.scale, 0, atol=1e-12)


def test_estimates_stay_inside_the_bounds(model, fingerprints, fitted):
    noise = np.random.default_rng(0).standard_normal((500, 8)) + 0j
    low, high = model.bounds.T
    estimate = fitted.predict(noise)
    assert (estimate >= low).all() and (estimate <= high).all()
    assert ((estimate == low) | (estimate == high)).any()


def test_zero_voxels_are_nan_and_stop_no_other(fitted, fingerprints):
    X = fingerprints[0][:5].copy()
    X[2] = 0
    estimate, std = fitted.predict(X, return_std=True)
    assert np.isnan(estimate[2]).all() and np.isnan(std[2]).all()
    assert np.isfinite(std[[0, 1, 3, 4]]).all()
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(estimate[others], fitted.predict(X[others]))
    assert np.isnan(fitted.predict(0 * X)).all()


def test_score_is_the_efficiency(fitted, fingerprints, model):
    X, y, crb = fingerprints
    expected = efficiency_score(y, fitted.predict(X), crb, periods=model.periods)
    assert fitted.score(X, y, crb=crb) == expected
    own = cramer_rao_bound(model, y, noise_std=0.01)
    assert fitted.score(X, y) == fitted.score(X, y, crb=own)
    weight = np.arange(len(X))
    assert fitted.score(X, y, sample_weight=weight, crb=crb) != expected


def test_reproducible_and_seeded(model, fingerprints):
    X, y, crb = fingerprints
    first, second = (small(model).fit(X, y, crb=crb).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = small(model, random_state=1).fit(X, y, crb=crb).predict(X)
    assert np.any(first != other)


def test_snr_comes_from_the_bound(model, fingerprints):
    X, y, crb = fingerprints
    low, high = small(model).fit(X, y, crb=crb).snr_range_
    assert 50 <= low < 55 and 195 < high <= 200
    assert small(model).fit(X, y).snr_range_ == (100.0, 100.0)
    assert small(model, snr=(20, 30)).fit(X, y).snr_range_ == (20.0, 30.0)
    as_given = small(model, resample_noise=False).fit(X, y, crb=crb)
    assert np.isnan(as_given.snr_range_).all()


def test_infinite_bounds_have_no_weight(model, fingerprints):
    X, y, crb = fingerprints
    crb = crb.copy()
    crb[:, 3] = np.inf
    spoilt = y.copy()
    spoilt[:, 3] = model.bounds[3].mean()
    options = dict(resample_noise=False, early_stopping=False)
    one = small(model, **options).fit(X, y, crb=crb).loss_curve_
    two = small(model, **options).fit(X, spoilt, crb=crb).loss_curve_
    np.testing.assert_allclose(one, two, rtol=1e-6)


CHANGES = {
    "loss": "mse",
    "huber_threshold": None,
    "hidden_layer_sizes": (16,),
    "activation": "relu",
    "snr": 20.0,
    "resample_noise": False,
    "alpha": 1.0,
    "batch_size": 50,
    "learning_rate_init": 2e-2,
    "max_iter": 4,
    "early_stopping": False,
    "validation_fraction": 0.5,
    "random_state": 1,
}


@pytest.mark.parametrize("name", CHANGES)
def test_parameter_changes_the_estimates(model, fingerprints, fitted, name):
    X, y, crb = fingerprints
    changed = small(model, **{name: CHANGES[name]}).fit(X, y, crb=crb)
    assert np.any(changed.predict(X) != fitted.predict(X))


def test_noise_std_changes_training_and_score(model, fingerprints):
    X, y, _ = fingerprints
    reference = small(model).fit(X, y)
    assert small(model, noise_std=0.005).fit(X, y).snr_range_ == (200.0, 200.0)
    score = reference.score(X, y)
    reference.set_params(noise_std=0.005)
    assert reference.score(X, y) == pytest.approx(score / 4)


@pytest.mark.parametrize(
    ("options", "noise"),
    [
        ({}, 0.01),
        ({"snr": 20}, 1 / 20),
        ({"snr": (5, 80)}, 1 / 20),
        ({"snr": 20, "noise_std": 0.3}, 0.3),
        ({"snr": 20, "resample_noise": False}, 1 / 20),
    ],
)
def test_score_takes_its_noise_from_snr_unless_it_is_given(
    model, fingerprints, options, noise
):
    X, y, _ = fingerprints
    reg = small(model, max_iter=1, **options).fit(X, y)
    crb = cramer_rao_bound(model, y, noise_std=noise)
    assert reg.score(X, y) == pytest.approx(reg.score(X, y, crb=crb))
    assert clone(reg).get_params()["noise_std"] == options.get("noise_std")


def test_score_takes_its_noise_from_the_bounds_that_fit_was_given(model, fingerprints):
    X, y, _ = fingerprints
    crb = cramer_rao_bound(model, y, noise_std=1 / 20)
    reg = small(model).fit(X, y, crb=crb)
    assert reg.score(X, y) == pytest.approx(reg.score(X, y, crb=crb))
    # A later fit starts from its own arguments alone.
    again = reg.fit(X, y)
    assert again.snr_range_ == (100.0, 100.0)


def test_held_out_rows_are_judged_at_the_noise_of_snr(model):
    X, y = make_fingerprints(model, 300, snr=20, random_state=0)
    own, given = (small(model, snr=20, noise_std=n).fit(X, y) for n in (None, 1 / 20))
    assert own.best_loss_ == given.best_loss_


def test_stopping_parameters(model, fingerprints):
    X, y, crb = fingerprints
    options = dict(max_iter=60, n_iter_no_change=2)
    early = small(model, tol=1e12, **options).fit(X, y, crb=crb)
    late = small(model, **options).fit(X, y, crb=crb)
    assert early.n_iter_ == 3 + 2 < late.n_iter_
    assert small(model, max_iter=10**6, max_time=1.0).fit(X, y, crb=crb).n_iter_ < 10**6


def test_verbose(model, fingerprints, capsys):
    X, y, crb = fingerprints
    small(model, verbose=True).fit(X, y, crb=crb)
    assert "training" in capsys.readouterr().err


def test_n_jobs_sets_the_threads_of_training(model, fingerprints, monkeypatch):
    import torch

    from crbestim.network import arrays

    seen, real = [], arrays.pool

    def spy(n_threads):
        seen.append(n_threads)
        return real(n_threads)

    monkeypatch.setattr(arrays, "pool", spy)
    before = torch.get_num_threads()
    for n_jobs in (None, 2):
        small(model, n_jobs=n_jobs).fit(*fingerprints[:2])
    assert sorted(set(seen)) == [1, 2] and seen.count(2) == 1
    assert torch.get_num_threads() == before


def test_device(model, fingerprints):
    import torch

    X, y, crb = fingerprints
    on_cpu = small(model, device="cpu").fit(X, y, crb=crb).predict(X)
    if not torch.cuda.is_available():
        np.testing.assert_array_equal(on_cpu, small(model).fit(X, y, crb=crb).predict(X))
        with pytest.raises(RuntimeError, match="device='cuda' needs a GPU"):
            small(model, device="cuda").fit(X, y, crb=crb)


def test_clone_and_pickle(fitted, fingerprints):
    X = fingerprints[0]
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict(X), fitted.predict(X))
    assert all(isinstance(w, np.ndarray) for w in fitted.weights_.values())
    fresh = clone(fitted)
    assert not hasattr(fresh, "weights_")
    assert fresh.get_params()["hidden_layer_sizes"] == (16, 16)


def test_data_frames(model, fingerprints):
    pandas = pytest.importorskip("pandas")
    X, y, crb = fingerprints
    names = [f"coefficient {i}" for i in range(X.shape[1])]
    frame = pandas.DataFrame(X, columns=names)
    targets = pandas.DataFrame(y, columns=model.parameter_names)
    reg = small(model).fit(frame, targets, crb=crb)
    assert list(reg.feature_names_in_) == names
    expected = small(model).fit(X, y, crb=crb).predict(X)
    np.testing.assert_array_equal(reg.predict(frame), expected)
    with pytest.raises(ValueError, match="feature names"):
        reg.predict(frame[names[::-1]])


def test_one_output_keeps_its_shape():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    reg = small().fit(X, y, crb=np.ones(50))
    assert reg.predict(X).shape == (50,)
    assert reg.fit(X, y[:, None], crb=np.ones((50, 1))).predict(X).shape == (50, 1)


class RealLine(SignalModel):
    """A real model: scale matters."""

    parameter_names = ("slope",)
    bounds = np.array([[0.0, 2.0]])

    def signal(self, theta):
        return theta * np.array([1.0, 2.0, 3.0])


def test_real_model_is_not_invariant():
    rng = np.random.default_rng(0)
    y = rng.uniform(0, 2, (500, 1))
    X = RealLine().signal(y) + 0.01 * rng.standard_normal((500, 3))
    reg = small(RealLine(), max_iter=60).fit(X, y)
    assert np.abs(reg.predict(X) - y).mean() < 0.05
    assert np.abs(reg.predict(X / 2) - y / 2).mean() < 0.05


def test_pipeline(model, fingerprints):
    X, y, crb = fingerprints
    pipe = make_pipeline(FunctionTransformer(np.conj), small(model, resample_noise=False))
    direct = small(model, resample_noise=False).fit(X.conj(), y)
    np.testing.assert_array_equal(pipe.fit(X, y).predict(X), direct.predict(X.conj()))
    assert pipe.score(X, y) == direct.score(X.conj(), y)


def test_cross_validation_and_grid_search_without_routing(model, fingerprints):
    X, y, _ = fingerprints
    scores = cross_validate(small(model), X, y, cv=2, error_score="raise")["test_score"]
    half = len(X) // 2
    by_hand = small(model).fit(X[half:], y[half:])
    crb = cramer_rao_bound(model, y[:half], noise_std=0.01)
    estimate = by_hand.predict(X[:half])
    expected = efficiency_score(y[:half], estimate, crb, periods=model.periods)
    assert scores[0] == pytest.approx(expected)
    grid = GridSearchCV(small(model), {"loss": ["crb", "mse"]}, cv=2, error_score="raise")
    grid.fit(X, y)
    assert grid.cv_results_["split0_test_score"][0] == scores[0]
    assert grid.best_score_ == max(grid.cv_results_["mean_test_score"])


def test_cross_validation_with_routing(model, fingerprints):
    X, y, crb = fingerprints
    with config_context(enable_metadata_routing=True):
        reg = small(model).set_fit_request(crb=True).set_score_request(crb=True)
        options = dict(cv=2, params={"crb": crb}, error_score="raise")
        routed = cross_validate(reg, X, y, **options)["test_score"]
        grid = GridSearchCV(reg, {"alpha": [0.0, 0.1]}, cv=2, error_score="raise")
        grid.fit(X, y, crb=crb)
        pipe = make_pipeline(FunctionTransformer(np.conj), reg)
        piped = cross_validate(pipe, X.conj(), y, **options)["test_score"]
    np.testing.assert_array_equal(routed, piped)
    half = len(X) // 2
    by_hand = small(model).fit(X[half:], y[half:], crb=crb[half:])
    assert routed[0] == by_hand.score(X[:half], y[:half], crb=crb[:half])


def test_bound_that_reaches_fit_but_not_score_is_an_error(fingerprints):
    X, y, crb = fingerprints
    with pytest.raises(ValueError, match="fitted with crb but is scored without"):
        cross_validate(small(), X, y, cv=2, params={"crb": crb}, error_score="raise")


def test_targets_stand_in_for_the_bound_with_a_warning(fingerprints):
    X, y, _ = fingerprints
    with pytest.warns(UserWarning, match="variance of the training targets"):
        reg = small().fit(X, y)
    with pytest.warns(UserWarning, match="variance of the training targets"):
        score = reg.score(X, y)
    crb = np.broadcast_to(y.var(axis=0), y.shape)
    assert score == pytest.approx(efficiency_score(y, reg.predict(X), crb))
