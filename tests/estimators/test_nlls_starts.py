"""NLLSRegressor: where searches start, and what bounds, priors and bad voxels do."""

from functools import partial

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim._measurements import Measurements
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.estimators.nlls import VoxelStatus
from crbestim.least_squares import driver
from crbestim.least_squares.levenberg_marquardt import levenberg_marquardt
from crbestim.models import FunctionModel, InversionRecovery, SignalModel
from crbestim.parameters import Parameter
from tests.estimators.decays import TIMES, Periodic, Precession, measured


class Guess(RegressorMixin, BaseEstimator):
    """Predict the first target of training, plus an offset."""

    def __init__(self, offset=0.0):
        self.offset = offset

    def fit(self, X, y, crb=None):
        self.first_, self.crb_ = y[0], crb
        return self

    def predict(self, X):
        return np.tile(self.first_ + self.offset, (len(X), 1))


class Slow(Periodic):
    """Slow decay makes side lobes, and so local minima in omega."""

    r2 = (1.0, 5.0)


def test_searches_start_at_what_an_estimator_predicts():
    X, y = measured(20, snr=100)
    plain = NLLSRegressor(Precession(), initial="centre", max_iter=3).fit(X, y)
    near = NLLSRegressor(Precession(), initial=Guess(), max_iter=3).fit(X[:1], y[:1])
    with pytest.warns(ConvergenceWarning):
        lost = plain.fit_voxels(X[:1])
    fits = near.fit_voxels(X[:1])
    assert fits.status[0] == VoxelStatus.CONVERGED
    assert lost.status[0] == VoxelStatus.ITERATION_LIMIT


def test_the_initial_estimator_is_a_clone_that_gets_crb_unless_it_is_frozen():
    X, y = measured(20, snr=100)
    crb = cramer_rao_bound(Precession(), y, noise_std=0.01)
    guess = Guess()
    reg = NLLSRegressor(Precession(), initial=guess).fit(X, y, crb=crb)
    assert not hasattr(guess, "first_")
    np.testing.assert_array_equal(reg._starts.first.crb_, crb)
    guess.fit(X[5:], y[5:])
    kept = NLLSRegressor(Precession(), initial=FrozenEstimator(guess)).fit(X, y, crb=crb)
    np.testing.assert_array_equal(
        kept._starts.find(Measurements(X))[0][0], np.tile(y[5], (20, 1))
    )


def test_predictions_outside_the_bounds_start_at_the_nearest():
    X, y = measured(20, snr=100)
    reg = NLLSRegressor(Precession(), initial=Guess(1e3)).fit(X, y)
    np.testing.assert_array_equal(
        reg._starts.find(Measurements(X))[0][0], np.full((20, 2), 100.0)
    )
    assert (reg.fit_voxels(X).status == VoxelStatus.CONVERGED).all()


def test_an_initial_estimator_must_predict_all_parameters():
    class Half(Guess):
        def predict(self, X):
            return super().predict(X)[:, :1]

    X, y = measured(5)
    with pytest.raises(ValueError, match=r"Half predicts shape \(5, 1\); a start needs"):
        NLLSRegressor(Precession(), initial=Half()).fit(X, y).predict(X)


def test_more_starts_find_lower_minima():
    model = Slow()
    X, y = measured(40, snr=100, model=model)
    _, targets = measured(12, seed=4, model=model)
    make = partial(NLLSRegressor, model, initial=targets)
    one, five = (make(n_starts=n).fit(X, y).fit_voxels(X) for n in (1, 5))
    assert (five.cost <= one.cost * (1 + 1e-9)).all() and (five.cost < 0.5 * one.cost).any()
    assert (five.n_iterations > one.n_iterations).all()


def test_starts_of_an_estimator_are_followed_by_matches():
    X, y = measured(10, snr=100)
    reg = NLLSRegressor(Precession(), initial=Guess(), n_starts=3).fit(X, y)
    starts, spare = reg._starts.find(Measurements(X))
    assert starts.shape == (3, 10, 2)
    np.testing.assert_array_equal(starts[0], np.tile(y[0], (10, 1)))
    dictionary = DictionaryRegressor(Precession()).fit(X, y)
    np.testing.assert_array_equal(starts[1], dictionary.predict(X))
    assert 0 < np.mean((spare == starts[1]).all(axis=1)) < 1
    signal = Precession().signal(spare)
    unit = signal / np.linalg.norm(signal, axis=1, keepdims=True)
    left = X - (unit.conj() * X).sum(axis=1, keepdims=True) * unit
    # Best among the values that cover the bounds, too.
    misfit = np.linalg.norm(left, axis=1) / np.linalg.norm(X, axis=1)
    assert (misfit <= dictionary.kneighbors(X)[0][:, 0] + 1e-9).all()


def test_bounds_confine_the_search():
    X, y = measured(30)
    reg = NLLSRegressor(Precession(), bounds={"R2": (20.0, 60.0)}).fit(X, y)
    fits = reg.fit_voxels(X)
    assert fits.theta[:, 0].min() == 20 and fits.theta[:, 0].max() == 60
    inside = (y[:, 0] > 20) & (y[:, 0] < 60)
    np.testing.assert_allclose(fits.theta[inside], y[inside], rtol=1e-5)
    assert (fits.at_bound[:, 0] == ~inside).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(initial=[[200.0, 5.0]]), "R2 = 200 in row 0 of initial is outside"),
        (
            dict(initial=[[90.0, 5.0]], bounds={"R2": (1, 50)}),
            "R2 = 90 in row 0 .* 1 to 50",
        ),
        (dict(bounds={"R2": (0.1, 0.2)}), "none of the training targets lies inside"),
        (dict(bounds={"T2": (0.1, 0.2)}), "bounds name T2; the parameters are R2, omega"),
        (dict(initial="centre", n_starts=2), "n_starts = 2, but initial gives only 1"),
        (dict(n_starts=30), "n_starts = 30, but initial gives only 21"),
        (dict(initial=Guess(), n_starts=30), "n_starts = 30, but initial gives only 21"),
        (dict(n_starts=0), "'n_starts' parameter"),
        (dict(prior="flat"), "'prior' parameter"),
        (dict(prior=(1.0, 2.0)), "prior has parts of shape"),
        (dict(bounds=3.0), "'bounds' parameter"),
        (dict(initial=[[np.nan, 5.0]]), "R2 = nan in row 0"),
    ],
)
def test_wrong_parameters(params, message):
    X, y = measured(20)
    with pytest.raises(ValueError, match=message):
        NLLSRegressor(Precession(), **params).fit(X, y)


class Blind(SignalModel):
    """Decay that a second parameter has no part in."""

    parameter_names = ("R2", "nothing")
    bounds = np.array([[1.0, 100.0], [0.0, 1.0]])

    def signal(self, theta):
        return np.exp(-theta[:, :1] * TIMES) + 0j


def test_a_parameter_without_effect_is_refused_unless_there_is_a_prior():
    X, y = measured(20, model=Blind())
    with pytest.raises(ValueError, match="does not determine nothing at any start value"):
        NLLSRegressor(Blind()).fit(X, y)
    X, _ = measured(20, snr=1000, model=Blind())
    prior = (np.array([50.0, 0.3]), np.diag([900.0, 0.01]))
    estimate = NLLSRegressor(Blind(), prior=prior).fit(X, y).predict(X)
    np.testing.assert_allclose(estimate[:, 0], y[:, 0], rtol=0.05)
    np.testing.assert_allclose(estimate[:, 1], 0.3, atol=1e-3)


def test_too_few_features_are_refused_unless_there_is_a_prior():
    class Short(Precession):
        def signal(self, theta):
            return super().signal(theta)[:, 4:5]

    X, y = measured(5, model=Short())
    with pytest.raises(ValueError, match="4 unknowns .* for 2 real numbers a voxel"):
        NLLSRegressor(Short()).fit(X, y)
    reg = NLLSRegressor(Short(), prior="gaussian").fit(X, y)
    with pytest.warns(UserWarning, match="the prior only fills what the data leave open"):
        assert np.isfinite(reg.predict(X)).all()


@pytest.mark.filterwarnings("ignore:sigma does not fit")
def test_a_prior_pulls_by_what_the_noise_allows():
    X, y = measured(40, snr=3)
    prior = (np.array([50.0, 0.0]), np.diag([1e-2, 1e6]))
    tight = NLLSRegressor(Precession(), prior=prior).fit(X, y)
    plain = NLLSRegressor(Precession()).fit(X, y)
    assert np.abs(tight.predict(X)[:, 0] - 50).max() < 1.0
    assert np.abs(plain.predict(X)[:, 0] - 50).max() > 20
    # A voxel without noise is not pulled, nor one that is said to have none.
    clean = Precession().signal(y)
    np.testing.assert_allclose(tight.predict(clean), y, rtol=1e-6)
    quiet = tight.predict(X, sigma=1e-6)
    np.testing.assert_allclose(quiet, plain.predict(X), rtol=1e-3, atol=1e-2)
    _, std = tight.predict(X, return_std=True)
    assert (std[:, 0] <= 0.1).all()


@pytest.mark.filterwarnings("ignore:most estimates end at a bound")
def test_a_gaussian_prior_lowers_the_error_where_data_say_little(model):
    X, y, crb = make_fingerprints(model, 60, snr=30, random_state=2, return_crb=True)
    train = make_fingerprints(model, 500, snr=30, random_state=1)
    plain, prior = (
        NLLSRegressor(model, prior=p).fit(*train).fit_voxels(X) for p in (None, "gaussian")
    )
    loss = [(((f.theta - y) ** 2) / crb)[:, [0, 3, 4]].mean() for f in (plain, prior)]
    assert loss[1] < 0.5 * loss[0]
    assert prior.at_bound.sum() < 0.5 * plain.at_bound.sum()


@pytest.mark.parametrize("prior", [None, "gaussian"])
@pytest.mark.parametrize("kind", [NLLSRegressor, OneStepRegressor])
def test_bad_voxels_are_flagged_and_leave_the_others_alone(kind, prior):
    X, y = measured(30, snr=50)
    reg = kind(model=Precession(), prior=prior).fit(X, y)
    alone = reg.predict(X)
    bad = np.full((7, 12), 1.0 + 0j)
    bad[0, 3], bad[1], bad[2, 0], bad[3] = np.nan, 0.0, np.inf, 1e300
    bad[4], bad[5] = 1e-300, np.random.default_rng(0).standard_normal(12)
    rows = np.array([0, 4, 9, 17, 23, 30, 30])
    mixed = np.insert(X, rows, bad, axis=0)
    good = np.insert(np.ones(30, dtype=bool), rows, False)
    estimate = reg.predict(mixed)
    np.testing.assert_array_equal(estimate[good], alone)
    lost = np.isnan(estimate[~good]).all(axis=1)
    assert lost.tolist()[:3] == [True, True, True] and not lost[3:].any()
    if kind is NLLSRegressor:
        fits = reg.fit_voxels(mixed)
        codes = [VoxelStatus.INVALID, VoxelStatus.EMPTY, VoxelStatus.INVALID]
        assert fits.status[~good].tolist()[:3] == codes
        assert fits.relative_residual[~good][5] > 0.3
        assert np.isnan(fits.covariance[~good][:3]).all()
        assert np.isfinite(fits.covariance[good]).all()


def test_residual_tells_what_the_model_cannot_analyze_residuals():
    X, y = measured(100, snr=50)
    for reg in (NLLSRegressor(Precession()), OneStepRegressor(None, Precession())):
        X[7] = np.random.default_rng(1).standard_normal(12)
        X[8] = np.nan
        residuals = reg.fit(X[20:], y[20:]).residual(X)
        assert residuals.flag[[7, 8]].all() and residuals.flag.sum() <= 4
    with pytest.raises(ValueError, match="residual compares signals with a model's"):
        NLLSRegressor().fit(X[20:], y[20:]).residual(X)


def test_rows_of_training_data_that_are_not_finite_are_left_out():
    X, y = measured(20)
    X[3, 0] = np.nan
    with pytest.warns(UserWarning, match="in 1 of 20 rows, the first is row 3: fit leaves"):
        reg = NLLSRegressor(Precession()).fit(X, y)
    assert len(reg.start_values_) == 19 + 4096
    with pytest.raises(ValueError, match="none is left to learn from"):
        NLLSRegressor(Precession()).fit(X * np.nan, y)


def test_grid_search_over_starts():
    X, y = measured(30, snr=100)
    search = GridSearchCV(
        NLLSRegressor(Precession()), {"initial": ["centre", Guess()]}, cv=2
    )
    assert search.fit(X, y).best_score_ > 0.3
    assert clone(search.best_estimator_).get_params()["n_starts"] == 1


def test_a_wrong_jacobian_is_told():
    class Wrong(Precession):
        def signal(self, theta, jacobian=False):
            out = super().signal(theta, jacobian=True)
            return (out[0], -out[1]) if jacobian else out[0]

    X, y = measured(20, snr=50)
    reg = NLLSRegressor(Wrong(), initial="centre").fit(X, y)
    message = (
        r"20 stalled because no step lowered the cost \(the Jacobian is off by 2 there"
    )
    with pytest.warns(ConvergenceWarning, match=message):
        fits = reg.fit_voxels(X)
    assert (fits.status == VoxelStatus.STALLED).all()


def test_a_stall_with_a_right_jacobian_is_no_fault_of_it(monkeypatch):
    def stalled(*args):
        found = levenberg_marquardt(*args)
        found.stalled[:], found.converged[:] = True, False
        return found

    X, y = measured(20, snr=50)
    reg = NLLSRegressor(Precession()).fit(X, y)
    monkeypatch.setattr(driver, "levenberg_marquardt", stalled)
    message = (
        r"20 stalled because no step lowered the cost \(the best so far is kept; raise"
    )
    with pytest.warns(ConvergenceWarning, match=message):
        assert (reg.fit_voxels(X).status == VoxelStatus.STALLED).all()


def test_a_minimum_beside_ends_that_nearly_meet_is_found():
    class Nearly(SignalModel):
        """Times are 1 % too short for the period, so that the signal jumps at its ends."""

        parameters = (
            Parameter("R2", (1.0, 100.0)),
            Parameter("omega", (-50.0, 50.0), period=100.0),
        )
        parameter_names, bounds = SignalModel.parameter_names, SignalModel.bounds
        times = 0.99 * 2 * np.pi / 100 * np.arange(1, 9)

        def signal(self, theta, jacobian=False):
            s = np.exp((-theta[:, :1] + 1j * theta[:, 1:]) * self.times)
            slopes = -self.times * s, 1j * self.times * s
            return (s, np.stack(slopes, axis=-1)) if jacobian else s

    model = Nearly()
    # The signal of a frequency just beyond the upper end, where the lower end is far off.
    X = np.exp((-2.0 + 50.1j) * model.times)[None]
    reg = NLLSRegressor(model, initial=[[3.0, 49.0]]).fit(X, [[3.0, 49.0]])
    fits = reg.fit_voxels(X)
    assert fits.status.tolist() == [VoxelStatus.CONVERGED]
    np.testing.assert_allclose(fits.theta, [[2.0, 50.0]], atol=0.05)


@pytest.mark.parametrize("size", [1e-11, 1e9])
def test_the_size_of_the_models_signal_does_not_matter(size):
    class Scaled(Precession):
        def signal(self, theta):
            return size * super().signal(theta)

    X, y = measured(20, snr=50)
    for kind in (NLLSRegressor, OneStepRegressor):
        expected, std = kind(model=Precession()).fit(X, y).predict(X, return_std=True)
        found = kind(model=Scaled()).fit(X, y).predict(X, return_std=True)
        np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(found[1], std, rtol=1e-3)


def test_the_noise_of_a_prior_is_that_of_the_best_start():
    model = Slow()
    X, y = measured(60, snr=100, model=model)
    prior = (y.mean(axis=0), np.diag([1.0, 1e6]))
    lost, right = (
        NLLSRegressor(model, initial=FrozenEstimator(Known(t)), n_starts=n, prior=prior)
        for t, n in ((np.roll(y, 7, axis=0), 3), (y, 1))
    )
    good = right.fit(X, y).fit_voxels(X)
    found = lost.fit(X, y).fit_voxels(X)
    same = np.abs(found.theta - good.theta)[:, 1] < 1
    assert same.mean() > 0.9
    ratio = np.einsum("nii->ni", found.covariance / good.covariance)[same]
    np.testing.assert_allclose(ratio, 1.0, rtol=0.25)


class Known(Guess):
    """Predict what it was given."""

    def __init__(self, values=None):
        self.values = values

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.values[: len(X)]


@pytest.mark.parametrize("kind", [NLLSRegressor, OneStepRegressor])
def test_estimates_beyond_one_border_lead_inside_the_other(kind):
    model = Periodic()
    truth = np.array([[20.0, -0.45 * model.period]] * 3)
    X = model.signal(truth)
    start = FrozenEstimator(Known(truth + [[0.0, model.period - 2.0]]))
    options = {"initial": start} if kind is NLLSRegressor else {"estimator": start}
    if kind is OneStepRegressor:
        options["n_steps"] = 5
    found = kind(model=model, **options).fit(X, truth).predict(X)
    np.testing.assert_allclose(found, truth, rtol=1e-4)
    # Bounds that span the period elsewhere.
    shifted = kind(model=model, bounds={"omega": (0.0, model.period)}, **options)
    expected = truth + [[0.0, model.period]]
    np.testing.assert_allclose(shifted.fit(X, truth).predict(X), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", [NLLSRegressor, OneStepRegressor, DictionaryRegressor])
def test_a_model_that_raises_for_some_parameters_stops_no_other(kind):
    class Raising(Precession):
        def signal(self, theta, jacobian=False):
            if (theta[:, 0] < 5).any():
                raise FloatingPointError("slow decay")
            return super().signal(theta, jacobian)

    X, y = measured(30, snr=100)
    y[4, 0] = 2.0
    estimate = kind(model=Raising()).fit(X, y).predict(X[10:])
    assert np.isfinite(estimate).all()


class TakesBounds(Guess):
    seen = []

    def fit(self, X, y, crb=None):
        self.seen.append(crb)
        return super().fit(X, y)


def test_crb_reaches_an_estimator_in_a_pipeline_with_metadata_routing():
    X, y = measured(20, snr=100)
    crb = cramer_rao_bound(Precession(), y, noise_std=0.01)
    with config_context(enable_metadata_routing=True):
        start = make_pipeline(TakesBounds().set_fit_request(crb=True))
        for reg in (
            NLLSRegressor(Precession(), initial=start),
            OneStepRegressor(start, Precession()),
        ):
            TakesBounds.seen.clear()
            reg.fit(X, y, crb=crb)
            np.testing.assert_array_equal(TakesBounds.seen[0], crb)
    with pytest.raises(ValueError, match="crb does not reach TakesBounds .takesbounds."):
        NLLSRegressor(Precession(), initial=start).fit(X, y, crb=crb)
    frozen = FrozenEstimator(start.fit(X, y))
    NLLSRegressor(Precession(), initial=frozen).fit(X, y, crb=crb)


def test_an_initial_estimator_is_validated_and_gets_y_as_it_came():
    X, y = measured(20, snr=100, model=Single())
    with pytest.raises(ValueError, match="'n_neighbors' parameter of DictionaryRegressor"):
        NLLSRegressor(Single(), initial=DictionaryRegressor(n_neighbors=-3)).fit(X, y)
    seen = Shape()
    NLLSRegressor(Single(), initial=seen).fit(X, y.ravel())
    assert Shape.shapes == [(20,)]


class Single(SignalModel):
    parameter_names = ("R2",)
    bounds = np.array([[1.0, 100.0]])

    def signal(self, theta):
        return np.exp(-theta * TIMES) + 0j


class Shape(Guess):
    shapes = []

    def fit(self, X, y):
        self.shapes.append(y.shape)
        return self


def test_noise_of_voxels_without_signal_does_not_matter():
    X, y = measured(10, snr=50)
    X[3] = 0
    sigma = np.where(np.arange(10) == 3, np.nan, 0.02)
    reg = NLLSRegressor(Precession()).fit(X[4:], y[4:])
    assert np.isfinite(
        np.delete(reg.predict(X, return_std=True, sigma=sigma)[1], 3, 0)
    ).all()
    sigma[5] = np.inf
    with pytest.raises(ValueError, match="sigma = inf in row 5"):
        reg.predict(X, sigma=sigma)


def test_searches_of_one_parameter_end_at_the_lowest_minimum():
    # Magnitudes of an inversion recovery have several minima.
    model = InversionRecovery([0.1, 0.4, 1.2, 3.0], signal="magnitude").fix(efficiency=0.95)
    rng = np.random.default_rng(0)
    theta = np.column_stack([rng.uniform(0.1, 3.0, 1000), np.full(1000, 1000.0)])
    X = np.abs(model.signal(theta) + 20 * rng.standard_normal((1000, 4)))
    grid = model.signal(
        np.column_stack([np.geomspace(*model.bounds[0], 20_000), np.ones(20_000)])
    )
    grid /= np.linalg.norm(grid, axis=1, keepdims=True)
    lowest = ((X**2).sum(axis=1) - (X @ grid.T).max(axis=1) ** 2) / 2
    fits = NLLSRegressor(model).fit(X).fit_voxels(X)
    assert (fits.cost <= 1.001 * lowest).mean() > 0.998


def test_starts_are_dense_enough_for_signals_that_turn():
    te = np.random.default_rng(0).uniform(0.0, 0.1, 24)
    model = FunctionModel(
        lambda theta: np.exp(1j * theta * te),
        ["omega"],
        [(-2e4, 2e4)],
        jacobian=lambda theta: (1j * te * np.exp(1j * theta * te))[:, :, None],
        vectorized=True,
    )
    y = np.linspace(-19_000.0, 19_000.0, 200)[:, None]
    X = model.signal(y)
    np.testing.assert_allclose(NLLSRegressor(model).fit(X).predict(X), y, rtol=1e-6)
