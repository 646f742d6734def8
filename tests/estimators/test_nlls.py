"""NLLSRegressor: recovery, invariance, bounds, status, and scikit-learn's checks."""

import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.utils.estimator_checks import parametrize_with_checks

from crbestim import CRBRegressor, DictionaryRegressor, OneStepRegressor, _parallel
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.estimators import _start_values
from crbestim.estimators.nlls import NLLSRegressor, VoxelStatus
from crbestim.exceptions import AtBoundWarning, NoiseLevelWarning
from crbestim.models import MagnetizationTransfer, MonoExponential
from crbestim.parameters import Parameter
from crbestim.sequences import HybridStateSequence
from tests.estimators.decays import (
    Amplitude,
    Fragile,
    Periodic,
    Precession,
    draw,
    measured,
)


@parametrize_with_checks([NLLSRegressor()])
@pytest.mark.filterwarnings("ignore:.*neither a model nor crb.*:UserWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_recovers_parameters_without_noise():
    X, y = measured(20)
    start, _ = measured(500, seed=5)
    estimate = NLLSRegressor(Precession()).fit(start, draw(500, 5)).predict(X)
    width = np.diff(Precession.bounds, axis=1).ravel()
    assert (np.abs(estimate - y) / width).max() < 1e-6


def test_recovers_magnetization_transfer():
    i = np.arange(40)
    alpha = 0.4 + 0.35 * np.sin(i / 5) + 0.2 * np.sin(i / 1.7)
    trf = (3.0 + 2 * np.cos(i / 3)) * 1e-4
    alpha[0], trf[0] = np.pi, 5e-4
    model = MagnetizationTransfer(HybridStateSequence(alpha, trf, 3.5e-3))
    rng = np.random.default_rng(0)
    low, high = model.bounds.T
    y = low + (high - low) * rng.uniform(0.3, 0.7, (4, 7))
    near = np.clip(y + 0.02 * (high - low) * rng.standard_normal(y.shape), low, high)
    X = 3j * model.signal(y)
    reg = NLLSRegressor(model, initial=near).fit(X, y)
    fits = reg.fit_voxels(X)
    assert (np.abs(fits.theta - y) / (high - low)).max() < 1e-6
    np.testing.assert_allclose(fits.m0, 3j, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-9, -2.0, 3e6 * np.exp(2j)])
def test_does_not_depend_on_a_complex_factor(factor):
    X, y = measured(10, snr=50)
    reg = NLLSRegressor(Precession()).fit(X, y)
    one, other = reg.fit_voxels(X), reg.fit_voxels(factor * X)
    np.testing.assert_allclose(other.theta, one.theta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(other.m0, factor * one.m0, rtol=1e-9)
    np.testing.assert_allclose(other.relative_residual, one.relative_residual)
    np.testing.assert_allclose(other.cost, abs(factor) ** 2 * one.cost)


def test_a_factor_does_not_show_where_the_cost_is_flat(model):
    X, y = make_fingerprints(model, 10, snr=100, random_state=0)
    reg = NLLSRegressor(model, max_iter=8).fit(X, y)
    with pytest.warns(ConvergenceWarning):
        one, other = reg.predict(X), reg.predict((0.3 + 0.7j) * X)
    np.testing.assert_allclose(other, one, rtol=1e-12)


def test_residuals_are_those_of_the_estimate():
    X, y = measured(5, snr=20)
    fits = NLLSRegressor(Precession()).fit(X, y).fit_voxels(X)
    residual = X - fits.m0[:, None] * Precession().signal(fits.theta)
    norm = np.linalg.norm(residual, axis=1)
    np.testing.assert_allclose(fits.cost, norm**2 / 2)
    np.testing.assert_allclose(fits.relative_residual, norm / np.linalg.norm(X, axis=1))


def test_bounds_hold_and_are_reported():
    beyond = np.array([[120.0, 30.0], [50.0, 150.0], [50.0, 30.0]])
    X = Precession().signal(beyond)
    fits = NLLSRegressor(Precession()).fit(*measured(200)).fit_voxels(X)
    low, high = Precession.bounds.T
    assert ((fits.theta >= low) & (fits.theta <= high)).all()
    assert fits.at_bound.tolist() == [[True, False], [False, True], [False, False]]
    np.testing.assert_allclose(fits.theta[0, 0], 100.0, rtol=1e-3)


def test_same_result_for_every_n_jobs(model):
    X, y = make_fingerprints(model, 12, snr=200, random_state=0)
    one, two = (
        NLLSRegressor(model, max_iter=5, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2)
    )
    with pytest.warns(ConvergenceWarning):
        expected = one.fit_voxels(X)
    with pytest.warns(ConvergenceWarning):
        found = two.fit_voxels(X)
    for name in vars(expected):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_all_zero_voxel_is_nan_and_leaves_the_others_alone():
    X, y = measured(6, snr=100)
    reg = NLLSRegressor(Precession()).fit(X, y)
    alone = reg.predict(X)
    X[2] = 0
    fits = reg.fit_voxels(X)
    empty = np.arange(6) == 2
    assert np.isnan(fits.theta[2]).all() and np.isnan(fits.m0[2])
    assert (fits.status == np.where(empty, VoxelStatus.EMPTY, 0)).all()
    assert fits.n_iterations[2] == 0 and not fits.at_bound[2].any()
    np.testing.assert_array_equal(fits.theta[~empty], alone[~empty])
    estimate, std = reg.predict(X, return_std=True)
    assert np.isnan(std[2]).all() and np.isfinite(std[~empty]).all()


@pytest.mark.parametrize("wrong", ["signal", "jacobian"])
def test_failure_of_the_model_is_flagged(wrong):
    model = Fragile(wrong)
    start = np.array([[5.0, 0.0], [50.0, 0.0]])
    X = Precession().signal(start)
    reg = NLLSRegressor(model, initial=start[1:]).fit(X, start)
    reg.start_values_ = start
    reg.start_signals_ = X / np.linalg.norm(X, axis=1, keepdims=True)
    with pytest.warns(ConvergenceWarning, match="1 failed because the signal or a"):
        fits = reg.fit_voxels(X)
    assert fits.status.tolist() == [VoxelStatus.FAILED, VoxelStatus.CONVERGED]
    assert np.isnan(fits.theta[0]).all()
    np.testing.assert_allclose(fits.theta[1], start[1], atol=1e-6)


def test_start_signals_that_are_not_finite_match_nothing():
    X, y = measured(3)
    y[0, 0] = 5.0
    reg = NLLSRegressor(Fragile("signal")).fit(X, y)
    np.testing.assert_allclose(reg.predict(X[1:]), y[1:], atol=1e-5)


def test_real_model_keeps_its_amplitude():
    model = Amplitude()
    X, y = measured(8, model=model)
    reg = NLLSRegressor(model).fit(*measured(300, seed=7, model=model))
    fits = reg.fit_voxels(X)
    np.testing.assert_allclose(fits.theta, y, rtol=1e-5)
    np.testing.assert_array_equal(fits.m0, 1.0)
    doubled = reg.predict(2 * X[y[:, 0] < 4])
    np.testing.assert_allclose(doubled[:, 0], 2 * y[y[:, 0] < 4, 0], rtol=1e-5)


def test_all_zeros_are_data_for_a_real_model():
    model = Amplitude()
    X, y = measured(5, model=model)
    fits = NLLSRegressor(model).fit(X, y).fit_voxels(np.zeros((1, 12)))
    assert fits.status[0] == VoxelStatus.CONVERGED
    np.testing.assert_allclose(fits.theta[0, 0], 0.0, atol=1e-2)


def test_periodic_parameter_wraps():
    model = Periodic()
    truth = np.array([[20.0, 0.46 * model.period]])
    start = np.array([[20.0, -0.46 * model.period]])
    X = model.signal(truth)
    fits = NLLSRegressor(model, initial=start).fit(X, truth).fit_voxels(X)
    np.testing.assert_allclose(fits.theta, truth, rtol=1e-6)
    assert not fits.at_bound.any()

    class Bounded(Periodic):
        period = np.inf
        parameters = tuple(Parameter(p.name, p.bounds) for p in Periodic().parameters)

    fits = NLLSRegressor(Bounded(), initial=start).fit(X, truth).fit_voxels(X)
    assert fits.at_bound[0, 1]


def test_iteration_limit_is_flagged_and_warned_of_once():
    X, y = measured(4, snr=20)
    reg = NLLSRegressor(Precession(), initial="centre", max_iter=2).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="4 of 4 .* max_iter=2 ") as record:
        fits = reg.fit_voxels(X)
    assert len(record) == 1
    assert (fits.status == VoxelStatus.ITERATION_LIMIT).all()
    assert np.isfinite(fits.theta).all() and (fits.n_iterations == 2).all()


def test_tolerance_decides_how_long_the_search_takes():
    X, y = measured(10, snr=20)
    coarse, fine = (
        NLLSRegressor(Precession(), initial="centre", tol=tol).fit(X, y).fit_voxels(X)
        for tol in (1e-2, 1e-10)
    )
    assert coarse.n_iterations.sum() < fine.n_iterations.sum()
    assert (coarse.theta != fine.theta).any()


def test_initial_values(monkeypatch):
    X, y = measured(50)
    model = Precession()
    first = NLLSRegressor(model).fit(X, y)
    np.testing.assert_array_equal(first.start_values_[:50], y)
    # The others cover the bounds: as many in each tenth of their logarithms, or of them.
    spread = first.start_values_[50:]
    assert len(spread) == 4096
    for k, edges in enumerate((np.geomspace(1, 100, 11), np.linspace(-100, 100, 11))):
        assert (np.abs(np.histogram(spread[:, k], edges)[0] - 409.6) < 5).all()
    centre = NLLSRegressor(model, initial="centre").fit(X, y)
    # R2 spans a factor of 100: its centre is that of the logarithms.
    np.testing.assert_allclose(centre.start_values_, [[10.0, 0.0]])
    given = NLLSRegressor(model, initial=[[90.0, 5.0]]).fit(X, y)
    np.testing.assert_array_equal(given.start_values_, [[90.0, 5.0]])
    few = NLLSRegressor(model, n_atoms=2).fit(X, y)
    np.testing.assert_array_equal(few.start_values_[:2], y[[0, -1]])
    assert len(few.start_values_) == 4
    monkeypatch.setattr(_start_values, "_MOST_SAMPLES", 30 * 12)
    auto = NLLSRegressor(model).fit(X, y)
    assert len(auto.start_values_) == 60


def test_dictionary_starts_where_the_centre_gets_lost():
    # Slow decay makes side lobes, and so local minima in omega.
    class Slow(Periodic):
        r2 = (1.0, 5.0)

    model = Slow()
    X, y = measured(30, snr=100, model=model)
    fits = {k: NLLSRegressor(model, initial=k).fit(X, y) for k in ("dictionary", "centre")}
    cost = {"dictionary": fits["dictionary"].fit_voxels(X).cost}
    with pytest.warns(AtBoundWarning, match="most .* R2 at its upper bound 5 in 25 of 30"):
        cost["centre"] = fits["centre"].fit_voxels(X).cost
    assert (cost["dictionary"] < 1.01 * cost["centre"]).all()
    assert (cost["dictionary"] < 0.1 * cost["centre"]).any()


def test_n_jobs_and_verbose_reach_joblib_and_the_progress_bar(monkeypatch, capsys):
    seen, parallel = [], _parallel.Parallel
    monkeypatch.setattr(_parallel, "Parallel", lambda **kw: seen.append(kw) or parallel())
    X, y = measured(3)
    NLLSRegressor(Precession(), n_jobs=2).fit(X, y).predict(X)
    # Matches of start values are found in this process, searches by workers.
    assert [options["n_jobs"] for options in seen] == [1, 2]
    assert "prefer" not in seen[-1]
    # Compiled searches share the memory of the process.
    seen.clear()
    decay = MonoExponential([0.01, 0.02, 0.04], signal="magnitude")
    echoes = decay.signal([[0.05, 1.0], [0.1, 1.0]])
    NLLSRegressor(decay, n_jobs=2).fit(echoes).predict(echoes)
    assert [options["n_jobs"] for options in seen] == [2, 2]
    assert seen[-1]["prefer"] == "threads"
    assert capsys.readouterr().err == ""
    NLLSRegressor(Precession(), verbose=True).fit(X, y).predict(X)
    assert "3/3" in capsys.readouterr().err


def test_standard_deviation_is_the_bound_at_the_estimate():
    X, y = measured(5, snr=1000)
    reg = NLLSRegressor(Precession()).fit(X, y)
    with pytest.warns(NoiseLevelWarning, match="0.0448 times the noise of sigma = 0.06"):
        estimate, std = reg.predict(3 * X, return_std=True, sigma=0.06)
    expected = cramer_rao_bound(Precession(), estimate, noise_std=0.02)
    np.testing.assert_allclose(std, np.sqrt(expected), rtol=2e-3)
    fits = reg.fit_voxels(X)
    residual = np.sqrt(2 * fits.cost / (24 - 4))
    own = cramer_rao_bound(Precession(), estimate, noise_std=residual, m0=fits.m0)
    np.testing.assert_allclose(reg.predict(X, return_std=True)[1], np.sqrt(own), rtol=2e-3)
    np.testing.assert_allclose(
        np.einsum("nii->ni", fits.covariance), own, rtol=4e-3, err_msg="covariance"
    )


class Short(Precession):
    """Two complex samples for two parameters and M0: nothing shows the noise."""

    def signal(self, theta, jacobian=False):
        out = super().signal(theta, jacobian=True)
        s, ds = (part[:, [0, 11]] for part in out)
        return (s, ds) if jacobian else s


@pytest.mark.parametrize(
    "make",
    [
        lambda: NLLSRegressor(Short()),
        lambda: DictionaryRegressor(Short()),
        lambda: OneStepRegressor(model=Short()),
        lambda: CRBRegressor(Short(), hidden_layer_sizes=(8,), max_iter=1, random_state=0),
    ],
    ids=["NLLS", "dictionary", "one step", "network"],
)
def test_no_standard_deviation_from_nothing(make):
    y = np.random.default_rng(0).uniform([10, 5], [40, 20], (30, 2))
    X = 5 * Short().signal(y)
    reg = make().fit(X, y)
    with pytest.warns(UserWarning, match="4 unknowns .* for 4 real numbers .*; give sigma"):
        estimate, std = reg.predict(X, return_std=True)
    assert np.isfinite(estimate).all() and np.isnan(std).all()
    given, std = reg.predict(X, return_std=True, sigma=1e-5)
    np.testing.assert_allclose(given, estimate, rtol=1e-3)
    assert np.isfinite(std).all() and (std > 0).all()


def test_standard_deviation_of_given_noise_without_numbers_to_spare():
    model, y = Short(), np.array([[30.0, 10.0]])
    X = 5 * model.signal(y)
    estimate, std = NLLSRegressor(model).fit(X, y).predict(X, return_std=True, sigma=0.1)
    expected = cramer_rao_bound(model, estimate, noise_std=0.02)
    np.testing.assert_allclose(std, np.sqrt(expected), rtol=1e-6)


def test_efficient_at_high_snr():
    # 400 voxels of two parameters: the mean of 800 chi-square variables is 1 +- 0.05.
    theta = np.tile([[30.0, 20.0]], (400, 1))
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((400, 12, 2)).view(complex)[..., 0]
    X = (Precession().signal(theta) + noise / 100) * np.exp(1j)
    reg = NLLSRegressor(Precession(), noise_std=0.01).fit(X, theta)
    assert 0.85 < reg.score(X, theta) < 1.15


def test_cross_validation_takes_crb():
    X, y = measured(30, snr=100)
    crb = cramer_rao_bound(Precession(), y, noise_std=0.01)
    reg = NLLSRegressor(Precession())
    result = cross_validate(reg, X, y, params={"crb": crb}, cv=3, error_score="raise")
    assert (result["test_score"] > 0.5).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"initial": "random"}, "'initial' parameter .* must be a str among"),
        ({"n_atoms": 0}, "'n_atoms' parameter .* must be a str among"),
        ({"max_iter": 0}, "'max_iter' parameter .* must be an int"),
        ({"tol": 0.0}, "'tol' parameter .* must be a float"),
        ({"noise_std": 0.0}, "'noise_std' parameter .* must be a float"),
        ({"n_jobs": "all"}, "'n_jobs' parameter .* must be"),
        ({"initial": [[1.0, 2.0, 3.0]]}, r"theta has shape \(1, 3\)"),
    ],
)
def test_wrong_parameters(params, message):
    X, y = measured(3)
    with pytest.raises(ValueError, match=message):
        clone(NLLSRegressor(Precession())).set_params(**params).fit(X, y)


def test_wrong_data():
    X, y = measured(3)
    model = Precession()
    with pytest.raises(NotFittedError):
        NLLSRegressor(model).fit_voxels(X)
    with pytest.raises(ValueError, match="Complex data not supported"):
        NLLSRegressor(model).fit(X, y + 0j)
    with pytest.raises(ValueError, match="requires y to be passed"):
        NLLSRegressor().fit(X, None)
    with pytest.raises(ValueError, match=r"crb\[0, 0\] = 0"):
        NLLSRegressor(model).fit(X, y, crb=np.zeros_like(y))
    with pytest.raises(ValueError, match="X is real, but the signal of"):
        NLLSRegressor(model).fit(X.real, y)
    fitted = NLLSRegressor(model).fit(X, y)
    with pytest.raises(ValueError, match="X is real, but NLLSRegressor was fitted to"):
        fitted.predict(X.real)
    with pytest.raises(ValueError, match="give NLLSRegressor a model"):
        NLLSRegressor().fit(X, y).fit_voxels(X)
    with pytest.raises(ValueError, match="X is zero everywhere"):
        NLLSRegressor().fit(0 * X, y)


def test_bounds_must_be_finite():
    class Open(Precession):
        bounds = np.array([[1.0, np.inf], [-100.0, 100.0]])
        n_features, is_complex = 12, True

    X, y = measured(3)
    with pytest.raises(ValueError, match="bounds of R2 are 1 to inf; searches need finite"):
        NLLSRegressor(Open()).fit(X, y)


@pytest.mark.parametrize("kind", [NLLSRegressor, OneStepRegressor, DictionaryRegressor])
def test_a_failed_fit_changes_nothing(kind):
    X, y = measured(20)
    reg = kind(model=Precession()).fit(X, y)
    expected, before = reg.predict(X), dict(vars(reg))
    with pytest.raises(ValueError, match="X has 2 features|y has 4 columns"):
        reg.fit(X[:, :2], np.hstack([y, y]))
    assert vars(reg) == before
    np.testing.assert_array_equal(reg.predict(X), expected)


TE = 0.01 * np.arange(1, 9)


@pytest.mark.parametrize(
    "make",
    [
        NLLSRegressor,
        DictionaryRegressor,
        lambda model: OneStepRegressor(model=model),
        lambda model: CRBRegressor(
            model, hidden_layer_sizes=(8,), max_iter=1, random_state=0
        ),
    ],
    ids=["NLLS", "dictionary", "one step", "network"],
)
def test_magnitudes_without_signal_are_empty(make):
    """Zero throughout, or never positive: there is no amplitude to speak of."""
    model = MonoExponential(TE, signal="magnitude", noise="rician")
    X, y = make_fingerprints(model, 200, snr=50, random_state=0)
    reg = make(model).fit(X, y)
    alone = reg.predict(X[:3])
    odd = np.concatenate([X[:2], np.zeros((1, 8)), -X[:1], X[2:3]])
    found = reg.predict(odd)
    assert np.isnan(found[2:4]).all()
    np.testing.assert_allclose(found[[0, 1, 4]], alone, rtol=1e-5)
    if isinstance(reg, NLLSRegressor):
        status = reg.fit_voxels(odd).status
        assert (status[2:4] == VoxelStatus.EMPTY).all()
        assert (status[[0, 1, 4]] == VoxelStatus.CONVERGED).all()


@pytest.mark.parametrize("view", ["compressed", "whitened"])
def test_magnitudes_of_zero_are_empty_behind_a_view(view):
    model = MonoExponential(TE, signal="magnitude")
    if view == "compressed":
        signals = model.signal(np.column_stack([np.linspace(0.02, 0.2, 50), np.ones(50)]))
        model = model.compress(np.linalg.svd(signals)[2][:4].T)
    else:
        model = model.whiten(4 * np.eye(8))
    X, y = make_fingerprints(model, 50, random_state=0)
    reg, odd = NLLSRegressor(model).fit(X, y), np.stack([X[0], 0 * X[0]])
    fits = reg.fit_voxels(odd)
    assert fits.status.tolist() == [VoxelStatus.CONVERGED, VoxelStatus.EMPTY]
    assert np.isnan(fits.theta[1]).all()


@pytest.mark.parametrize("prior", [None, "gaussian"])
def test_what_follows_without_a_sigma_is_said_where_the_user_calls(prior):
    model = MonoExponential([0.01, 0.05], signal="magnitude")
    X, y = make_fingerprints(model, 50, random_state=0)
    reg = NLLSRegressor(model, prior=prior).fit(X, y)
    for call, std in (
        (reg.predict, False),
        (partial(reg.predict, return_std=True), True),
        (reg.fit_voxels, True),
    ):
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            call(X)
        said = [str(w.message) for w in record if "to estimate the noise" in str(w.message)]
        assert len(said) == (std or prior is not None)
        assert all(w.filename == __file__ for w in record)
        for text in said:
            assert "2 unknowns for 2 real numbers a voxel" in text
            assert ("standard deviations are NaN" in text) == std
            assert ("the prior only fills" in text) == (prior is not None)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call(X, sigma=0.01)


def test_voxels_without_an_estimate_leave_the_score():
    X, y = measured(20, snr=100)
    reg = NLLSRegressor(Precession()).fit(X, y)
    weight = np.linspace(1, 2, 20)
    expected = reg.score(X[2:], y[2:], sample_weight=weight[2:])
    X = X.copy()
    X[0], X[1, 3] = 0, np.nan
    with pytest.warns(UserWarning, match="2 of 20 voxels have no estimate.* row 0: score"):
        found = reg.score(X, y, sample_weight=weight)
    assert found == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="2 of 2 voxels .*; none is left to score"):
        reg.score(X[:2], y[:2])
    with pytest.raises(ValueError, match=r"sample_weight has shape \(19,\); give \(20,\)"):
        reg.score(X, y, sample_weight=weight[1:])


def test_a_missing_voxel_does_not_stop_a_cross_validation():
    X, y = measured(30, snr=100)
    X = X.copy()
    X[5] = np.nan
    with pytest.warns(UserWarning, match="leaves? them out"):
        result = cross_validate(NLLSRegressor(Precession()), X, y, cv=3)
    assert np.isfinite(result["test_score"]).all()


def test_signed_data_of_a_complex_model_are_told_what_to_do():
    X, y = measured(5)
    with pytest.raises(ValueError, match="X is real, but .* give X . 0j if it is signed"):
        NLLSRegressor(Precession()).fit(X.real, y)
