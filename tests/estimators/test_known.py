"""Known values of some parameters, for every estimator."""

import numpy as np
import pytest
import sklearn
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_validate
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from crbestim import (
    CRBRegressor,
    DictionaryRegressor,
    NLLSRegressor,
    OneStepRegressor,
)
from crbestim._measurements import Measurements
from crbestim.datasets import make_fingerprints
from crbestim.estimators._matching import BallTreeCells
from crbestim.metrics import bias_variance
from crbestim.models import SpoiledGradientEcho
from crbestim.noise import add_noise
from tests.estimators.decays import Periodic, Precession
from tests.models.conftest import mt, orthonormal

MODEL = Precession()
GIVEN = MODEL.given("omega")


def network(model=GIVEN, **options):
    options = dict(hidden_layer_sizes=(32, 32), max_iter=30, random_state=0) | options
    return CRBRegressor(model, noise_std=1 / 50, **options)


ESTIMATORS = {
    "network": network,
    "dictionary": lambda model=GIVEN: DictionaryRegressor(
        model, n_neighbors=5, interpolate=True, noise_std=1 / 50
    ),
    "NLLS": lambda model=GIVEN: NLLSRegressor(model, noise_std=1 / 50),
    "one step": lambda model=GIVEN: OneStepRegressor(
        model=model, n_steps=2, noise_std=1 / 50
    ),
}


def data(n, seed, snr=50):
    """Return noisy precessions, R2 and the omega that is known."""
    rng = np.random.default_rng(seed)
    low, high = MODEL.bounds.T
    theta = rng.uniform(0.9 * low + 0.1 * high, 0.1 * low + 0.9 * high, (n, 2))
    return add_noise(MODEL.signal(theta), snr, rng), theta[:, :1], theta[:, 1:]


@pytest.fixture(scope="module", params=ESTIMATORS.values(), ids=ESTIMATORS)
def fitted(request):
    X, y, known = data(2000, 0)
    return request.param().fit(X, y, known=known)


# Signals that do not fit what is known look noisy.
@pytest.mark.filterwarnings("ignore::crbestim.exceptions.NoiseLevelWarning")
def test_estimates_are_efficient_and_need_what_is_known(fitted):
    X, y, known = data(500, 1)
    score = fitted.score(X, y, known=known)
    assert score > (0.5 if isinstance(fitted, CRBRegressor | DictionaryRegressor) else 0.8)
    wrong = known + 20 * np.where(known > 0, -1, 1)
    assert fitted.score(X, y, known=wrong) < 0.7 * score


def test_one_known_parameter_may_come_as_a_vector(fitted):
    X, _, known = data(40, 2)
    expected = fitted.predict(X, known=known)
    np.testing.assert_array_equal(fitted.predict(X, known=known[:, 0]), expected)


def test_voxels_without_known_values_are_lost_alone(fitted):
    X, _, known = data(30, 3)
    expected, expected_std = fitted.predict(X, return_std=True, known=known)
    X[4] = 0
    known[7], known[9] = np.nan, np.inf
    y, std = fitted.predict(X, return_std=True, known=known)
    lost = np.isin(np.arange(30), [4, 7, 9])
    assert np.isnan(y[lost]).all() and np.isnan(std[lost]).all()
    np.testing.assert_array_equal(y[~lost], expected[~lost])
    np.testing.assert_array_equal(std[~lost], expected_std[~lost])


def test_standard_deviations_are_those_of_the_bound(fitted):
    X, y, known = data(400, 4)
    estimate, std = fitted.predict(X, return_std=True, known=known)
    ratio = np.abs(estimate - y) / std
    # A dictionary's spacing and a network's bias come on top.
    assert 0.5 < np.median(ratio) < 1.2
    residuals = fitted.residual(X, known=known, sigma=1 / 50)
    assert residuals.flag.mean() < 0.05


def test_bias_and_variance_at_known_values(fitted):
    X, y, known = data(50, 5)
    report = bias_variance(fitted, GIVEN.at(known), y, snr=50, random_state=0)
    assert 0.4 < report.median_ratio[0] < 2.5


def test_messages(fitted):
    X, y, known = data(30, 6)
    name = type(fitted).__name__
    needs = f"{name} needs the known values of omega: pass known"
    for call in (
        lambda: fitted.predict(X),
        lambda: fitted.score(X, y),
        lambda: fitted.residual(X),
        lambda: sklearn.clone(fitted).fit(X, y),
    ):
        with pytest.raises(ValueError, match=needs):
            call()
    with pytest.raises(ValueError, match=r"known has shape \(30, 2\); give .* omega"):
        fitted.predict(X, known=np.hstack([known, known]))
    with pytest.raises(ValueError, match=r"known has shape \(9, 1\); X and fit req"):
        fitted.predict(X, known=known[:9])
    with pytest.raises(ValueError, match="known is complex"):
        fitted.predict(X, known=known + 0j)
    whole = sklearn.clone(fitted).set_params(model=MODEL)
    with pytest.raises(ValueError, match="not given any parameter"):
        whole.fit(X, np.hstack([y, known]), known=known)


def test_training_rows_without_known_values_are_left_out():
    X, y, known = data(60, 7)
    known[3] = np.nan
    with pytest.warns(UserWarning, match="known has NaN .* in 1 of 60 rows, .* row 3"):
        reg = NLLSRegressor(GIVEN).fit(X, y, known=known)
    assert len(reg.start_values_) == 59 + 4096


@pytest.mark.parametrize("name", ESTIMATORS)
def test_without_a_model_known_values_are_whatever_helps(name):
    """Signals whose offset is known: linear ones, so that all can learn them."""
    rng = np.random.default_rng(0)
    y, known = rng.uniform(0, 1, (3000, 1)), rng.uniform(-0.5, 0.5, (3000, 1))
    X = (y + known) * np.array([1.0, 1.0, 1.0]) + 0.01 * rng.standard_normal((3000, 3))
    reg = ESTIMATORS[name](model=None)
    crb = np.full(y.shape, 0.01**2 / 3)
    half = slice(0, 2000), slice(2000, 3000)
    fit, test = ((X[h], y[h], known[h], crb[h]) for h in half)
    reg.fit(*fit[:2], known=fit[2], crb=fit[3])
    error = np.abs(reg.predict(test[0], known=test[2]) - test[1])
    # Without the offset, errors are 0.2 in the mean. In a dictionary, offsets vary by a
    # quarter of their range within a cell.
    assert error.mean() < (0.15 if name == "dictionary" else 0.03)
    with pytest.raises(ValueError, match="needs the known values of the 1 columns of fit"):
        reg.predict(test[0])


@pytest.mark.parametrize(
    "initial", ["dictionary", "centre", np.array([[20.0], [60.0]]), "estimator"]
)
def test_starts_of_least_squares(initial):
    X, y, known = data(300, 8)
    if isinstance(initial, str) and initial == "estimator":
        initial = FrozenEstimator(network().fit(*data(500, 0)[:2], known=data(500, 0)[2]))
    reg = NLLSRegressor(GIVEN, initial=initial).fit(X, y, known=known)
    fits = reg.fit_voxels(X, known=known)
    assert (fits.status == 0).all()
    expected = NLLSRegressor(GIVEN, n_starts=3).fit(X, y, known=known)
    np.testing.assert_allclose(
        fits.theta, expected.predict(X, known=known), rtol=1e-3, atol=1e-3
    )


def test_a_known_parameter_with_a_period_is_an_input_modulo_it():
    model = Periodic().given("omega")
    X, y, known = make_fingerprints_of(model, 300)
    reg = network(model, max_iter=3).fit(X, y, known=known)
    np.testing.assert_allclose(
        reg.network_.known_inputs.inputs(known),
        reg.network_.known_inputs.inputs(known + Periodic.period),
    )


def make_fingerprints_of(model, n):
    rng = np.random.default_rng(0)
    theta = rng.uniform(*model.bounds.T, (n, 1))
    known = rng.uniform(-Periodic.period / 2, Periodic.period / 2, (n, 1))
    return model.at(known).signal(theta), theta, known


def test_routing_through_pipelines_and_cross_validation():
    X, y, known = data(400, 9)
    plain = NLLSRegressor(GIVEN, noise_std=1 / 50)
    with sklearn.config_context(enable_metadata_routing=True):
        reg = plain.set_fit_request(known=True).set_score_request(known=True)
        reg = reg.set_predict_request(known=True)
        pipe = make_pipeline(FunctionTransformer(), reg)
        scores = cross_validate(pipe, X, y, cv=3, params={"known": known})["test_score"]
        assert (scores > 0.7).all()
        pipe.fit(X, y, known=known)
        assert np.isfinite(pipe.predict(X, known=known)).all()
    # Without routing nothing reaches score; it says so in place of guessing.
    with pytest.warns(UserWarning, match="Scoring failed"):
        cross_validate(NLLSRegressor(GIVEN), X, y, cv=3, params={"known": known})


def test_known_values_reach_inner_estimators_or_are_refused():
    X, y, known = data(300, 10)
    reg = OneStepRegressor(DictionaryRegressor(GIVEN), GIVEN).fit(X, y, known=known)
    assert reg.estimator_.n_known_ == 1
    assert np.isfinite(reg.predict(X, known=known)).all()
    hidden = make_pipeline(FunctionTransformer(), DictionaryRegressor(GIVEN))
    with pytest.raises(ValueError, match="known does not reach DictionaryRegressor"):
        OneStepRegressor(hidden, GIVEN).fit(X, y, known=known)
    # An estimator that does not take them serves as a start.
    real = make_pipeline(
        FunctionTransformer(lambda X: np.hstack([X.real, X.imag])), KNeighborsRegressor(1)
    )
    reg = OneStepRegressor(real, GIVEN).fit(X, y, known=known)
    assert np.isfinite(reg.predict(X, known=known)).all()


def test_models_with_known_values_need_fingerprints_with_them():
    model = Periodic().given("omega")
    X, y, known = make_fingerprints_of(model, 20)
    with pytest.raises(ValueError, match="Periodic has no distribution for"):
        make_fingerprints(model, 3)
    assert NLLSRegressor(model).fit(X, y, known=known).score(X, y, known=known) > 1


def test_cells_hold_what_belongs_to_them():
    """Also where values are few, so that many are equal."""
    rng = np.random.default_rng(0)
    known = np.column_stack(
        [rng.choice([1.0, 1.2], 8000, p=[0.7, 0.3]), rng.normal(size=8000)]
    )
    known[0, 0] = 1.0001
    atoms = rng.normal(size=(8000, 2))
    cells = BallTreeCells.of(atoms, np.arange(8000), known, projective=False)
    places, sizes = cells.cells_of(known), []
    for i, cell in enumerate(cells.cells):
        members = np.sort(cell.members[cell.members >= 0])
        np.testing.assert_array_equal(members, np.flatnonzero(places == i))
        sizes.append(len(members))
    assert min(sizes) >= 512 and len(sizes) > 8
    # No cell mixes the two values that matter.
    known, places = known[1:], places[1:]
    assert all(np.ptp(known[places == i, 0]) == 0 for i in range(len(sizes)))


def test_known_values_of_two_kinds_do_not_mix():
    X, y, known = data(8000, 11)
    known = np.where(known > 0, 30.0, -30.0)
    X = MODEL.signal(np.hstack([y, known]))
    reg = DictionaryRegressor(GIVEN).fit(X, y, known=known)
    same = DictionaryRegressor(MODEL.fix(omega=30.0))
    same.fit(X[known[:, 0] > 0], y[known[:, 0] > 0])
    X_test = MODEL.fix(omega=30.0).signal(y[:50] + 0.01)
    found = reg.predict(X_test, known=np.full(50, 30.0))
    np.testing.assert_array_equal(found, same.predict(X_test))


def test_cells_know_of_periods():
    model = Periodic().given("omega")
    X, y, known = make_fingerprints_of(model, 4000)
    reg = DictionaryRegressor(model).fit(X, y, known=known)
    expected = reg.predict(X[:100], known=known[:100])
    np.testing.assert_array_equal(
        reg.predict(X[:100], known=known[:100] - Periodic.period), expected
    )


def test_starts_among_given_values_differ():
    X, y, known = data(300, 12)
    starts = np.array([[5.0], [20.0], [60.0]])
    reg = NLLSRegressor(GIVEN, initial=starts, n_starts=3).fit(X, y, known=known)
    found = reg._starts.find(Measurements(X), known)[0][..., 0]
    np.testing.assert_array_equal(np.sort(found, axis=0)[:, 0], starts[:, 0])
    assert (np.sort(found, axis=0) == starts).all()
    with pytest.raises(ValueError, match="n_starts = 4, but initial gives only 3"):
        reg.set_params(n_starts=4).fit(X, y, known=known)


def test_columns_of_data_frames_go_by_their_names():
    pandas = pytest.importorskip("pandas")
    model = mt(24).given("B1", "R1")
    values = np.array([[0.9, 0.8], [1.1, 0.6]])
    frame = pandas.DataFrame(values[:, ::-1], columns=["R1", "B1"])
    np.testing.assert_array_equal(model.at(frame).known, values)
    with pytest.raises(
        ValueError, match="known is a data frame with R1, T1; give the columns B1, R1"
    ):
        model.at(frame.rename(columns={"B1": "T1"}))
    with pytest.raises(ValueError, match="known holds .*U.*; give numbers"):
        model.at([["a", "b"]])
    with pytest.raises(ValueError, match=r"known has shape \(\)"):
        model.at(1.0)


def test_voxels_with_unusable_known_values_leave_the_score(fitted):
    X, y, known = data(20, 1)
    expected = fitted.score(X[1:], y[1:], known=known[1:])
    known = known.copy()
    known[0] = np.nan
    with pytest.warns(UserWarning, match="1 of 20 voxels have no estimate.* row 0: score"):
        assert fitted.score(X, y, known=known) == pytest.approx(expected, rel=1e-5)


def test_many_rows_under_two_views():
    whole = mt(24)
    model = whole.whiten(np.ones(24)).compress(orthonormal(24, 10)).given("B1")
    y = np.tile(model.bounds.mean(axis=1), (600, 1))
    known = np.linspace(0.8, 1.2, 600)
    s, jacobian = model.at(known).signal(y, jacobian=True)
    for row in (0, 299, 599):
        part = model.at(known[row : row + 1]).signal(y[:1], jacobian=True)
        np.testing.assert_allclose(s[row], part[0][0], rtol=1e-10)
        np.testing.assert_allclose(jacobian[row], part[1][0], rtol=1e-6, atol=1e-12)
    fixed = model.at(known).fix(R1=0.8)
    assert fixed.known is not None and len(fixed.known) == 600


def test_fingerprints_draw_known_values_themselves():
    model = mt(24).given("B1")
    with pytest.raises(ValueError, match="is at known values, but fingerprints draw them"):
        make_fingerprints(model.at(np.ones(5)), 5)


def test_a_map_in_percent_is_told():
    angles = np.deg2rad([3.0, 8.0, 15.0, 60.0])
    model = SpoiledGradientEcho(angles, 0.02, b1=True, signal="magnitude").given("B1")
    b1 = np.linspace(0.8, 1.2, 40)[:, None]
    X = model.at(b1).signal(np.column_stack([np.full(40, 1.2), np.full(40, 500.0)]))
    reg = NLLSRegressor(model).fit(X, known=b1)
    message = "values of B1 are outside 0.05 to 2, .* in 40 of 40 voxels, .* 80 to 120, and"
    with pytest.warns(UserWarning, match=message):
        assert np.isnan(reg.predict(X, known=100 * b1)).all()
    b1[0] = 100.0
    assert np.isnan(reg.predict(X, known=b1)).any(axis=1).sum() == 1
