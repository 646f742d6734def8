"""Several estimators on one test set, against numbers worked out by hand."""

import sys
import warnings

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from crbestim import NLLSRegressor
from crbestim.metrics import bias_variance, compare_estimators, comparison
from crbestim.models import SignalModel
from tests.metrics.lines import Line, Scaled

THETA = np.array([[1.0], [3.0]])
MEASURES = [
    "crb_loss",
    "median_ratio",
    "outlier_share",
    "bias_ratio",
    "variance_ratio",
    "lost_share",
    "voxels_per_second",
]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Time no more than the realizations, but for tests of the speed."""
    monkeypatch.setattr(comparison, "_LEAST_SECONDS", 0.0)


@pytest.fixture
def without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)


class Offset:
    """Add numbers to the truths 1 and 3, realization after realization."""

    def __init__(self, *offsets):
        self.offsets, self.calls = offsets, 0

    def predict(self, X):
        # The first call is not timed, and the last ones only tell the speed.
        realization = min(max(self.calls - 1, 0), len(self.offsets) - 1)
        self.calls += 1
        found = THETA + np.reshape(self.offsets[realization], (-1, 1))
        return np.resize(found, (len(X), 1))


class TwoLines(SignalModel):
    """Each parameter has its own sample; the second is not determined where it is zero."""

    parameter_names = ("slope", "square")
    bounds = np.array([[-10.0, 10.0], [-10.0, 10.0]])

    def signal(self, theta):
        return np.stack([theta[:, 0], theta[:, 1] ** 2], axis=1)


class Square:
    """Take the square root of the second sample."""

    def predict(self, X):
        return np.stack([X[:, 0], np.sqrt(np.abs(X[:, 1]))], axis=1)


def compare(estimators, n_realizations=2, **options):
    options = {"random_state": 0, **options}
    return compare_estimators(estimators, Line(), THETA, 10, n_realizations, **options)


def test_measures_by_hand(without_pandas):
    # The bound is sigma^2/5 = 0.002; errors are 0.1, 0.1 and then 0.1, -0.3.
    table = compare({"offset": Offset([0.1, 0.1], [0.1, -0.3])})
    expected = {
        "estimator": ["offset"],
        "parameter": ["slope"],
        "crb_loss": [(3 * 0.01 + 0.09) / 4 / 0.002],
        # Ratios 5, 5, 5 and 45.
        "median_ratio": [5 / 0.4549364],
        "outlier_share": [1 / 4],
        # Squared means 0.01 and 0.01, less half of the variances 0 and 0.08.
        "bias_ratio": [(0.01 + 0.01 - 0.04) / 2 / 0.002],
        "variance_ratio": [0.08 / 2 / 0.002],
        "lost_share": [0.0],
    }
    assert table.pop("voxels_per_second")[0] > 0
    assert list(table) == list(expected)
    assert table.pop("estimator") == expected.pop("estimator")
    assert table.pop("parameter") == expected.pop("parameter")
    for name, values in expected.items():
        assert table[name] == pytest.approx(values), name


@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_lost_fingerprints_leave_the_averages_and_are_counted(without_pandas, nothing):
    table = compare({"lost": Offset([0.1, nothing], [0.1, 0.1]), "all": Scaled(nothing)})
    assert table["lost_share"] == [0.5, 1.0]
    assert table["crb_loss"] == pytest.approx([0.01 / 0.002, np.nan], nan_ok=True)
    for name in set(MEASURES) - {"lost_share", "voxels_per_second"}:
        assert np.isnan(table[name]).tolist() == [False, True]


def test_an_estimate_that_lacks_one_parameter_is_lost(without_pandas):
    class HalfLost(Square):
        def predict(self, X):
            values = super().predict(X)
            values[1, 1] = np.nan
            return values

    theta = [[1.0, 2.0], [3.0, 2.0]]
    table = compare_estimators({"half": HalfLost()}, TwoLines(), theta, 10, random_state=0)
    assert table["lost_share"] == [0.5, 0.5]
    whole = bias_variance(Square(), TwoLines(), theta, 10, 8, random_state=0)
    expected = (whole.errors[:, 0] ** 2).mean(axis=0) / whole.crb[0]
    assert table["crb_loss"] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore::crbestim.exceptions.SingularInformationWarning")
def test_infinite_bounds_leave_the_averages(without_pandas):
    table = compare_estimators(
        {"square": Square()}, TwoLines(), [[1.0, 0.0], [3.0, 0.0]], 10, random_state=0
    )
    assert np.isnan(table["crb_loss"]).tolist() == [False, True]
    assert np.isnan(table["outlier_share"]).tolist() == [False, True]
    assert table["lost_share"] == [0.0, 0.0]


def test_data_frame():
    pytest.importorskip("pandas")
    table = compare({"good": Scaled(1.0), "bad": Scaled(1.1)}, 8)
    assert table.index.names == ["estimator", "parameter"]
    assert list(table.index) == [("good", "slope"), ("bad", "slope")]
    assert list(table.columns) == MEASURES
    good, bad = table["crb_loss"]
    assert good < bad


def test_the_table_is_the_same_with_and_without_pandas(monkeypatch):
    pytest.importorskip("pandas")
    frame = compare({"good": Scaled(1.0), "bad": Scaled(1.1)}, 8).reset_index()
    monkeypatch.setitem(sys.modules, "pandas", None)
    columns = compare({"good": Scaled(1.0), "bad": Scaled(1.1)}, 8)
    assert list(columns) == list(frame.columns)
    for name in set(columns) - {"voxels_per_second"}:
        assert columns[name] == frame[name].tolist()


def test_all_estimators_see_the_data_that_bias_variance_sees(without_pandas):
    seed = np.random.RandomState(3)
    table = compare({"a": Scaled(1.1), "b": Scaled(1.1)}, 5, random_state=seed)
    seed = np.random.RandomState(3)
    report = bias_variance(Scaled(1.1), Line(), THETA, 10, 5, random_state=seed)
    for name in ("median_ratio", "outlier_share", "bias_ratio", "variance_ratio"):
        assert table[name] == [getattr(report, name)[0]] * 2
    assert table["crb_loss"] == [report.loss[0]] * 2


def test_without_a_seed_estimators_still_share_the_data(without_pandas):
    table = compare({"a": Scaled(1.0), "b": Scaled(1.0)}, random_state=None)
    assert table["crb_loss"][0] == table["crb_loss"][1]


class Clocked(Scaled):
    """Its calls take a fixed time and a time per voxel by a false clock, the first more."""

    def __init__(self, clock, fixed, per_voxel):
        super().__init__(1.0)
        self.clock, self.fixed, self.per_voxel, self.rows = clock, fixed, per_voxel, []

    def predict(self, X):
        self.clock[0] += self.fixed + self.per_voxel * len(X) + (0 if self.rows else 100.0)
        self.rows.append(len(X))
        return super().predict(X)


@pytest.mark.parametrize(
    ("fixed", "per_voxel", "speed"),
    [(5e-3, 1e-5, 1e5), (1e-4, 2e-7, 5e6), (0.1, 0.01, 16 / 0.26), (0.0, 0.2, 5.0)],
)
def test_speed_is_that_of_calls_whose_fixed_cost_does_not_count(
    without_pandas, monkeypatch, fixed, per_voxel, speed
):
    clock = [0.0]
    monkeypatch.setattr(comparison, "_LEAST_SECONDS", 0.2)
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: clock[0])
    estimator = Clocked(clock, fixed, per_voxel)
    found = compare({"clocked": estimator}, 4)["voxels_per_second"]
    assert found == pytest.approx([speed], rel=0.03)
    # The first call is not timed; further ones are bounded.
    assert clock[0] < 100 + 5 * (fixed + 2 * per_voxel) + 1.5
    assert max(estimator.rows) <= comparison._MOST_NUMBERS / 2


def test_known_values_are_repeated_with_the_signals(without_pandas, monkeypatch):
    monkeypatch.setattr(comparison, "_LEAST_SECONDS", np.inf)
    monkeypatch.setattr(comparison, "_MOST_NUMBERS", 2 * 7)
    rows = []

    class Known(Scaled):
        def predict(self, X, known):
            np.testing.assert_array_equal(known[:, 0], np.resize([0.0, 1.0], len(X)))
            rows.append(len(X))
            return super().predict(X)

    class Shifted(Line):
        known = np.array([[0.0], [1.0]])

    table = compare_estimators({"known": Known(1.0)}, Shifted(), THETA, 10, random_state=0)
    assert table["voxels_per_second"][0] > 0


def test_warnings_of_the_first_call_do_not_come_twice(without_pandas):
    class Warns(Scaled):
        def predict(self, X):
            warnings.warn("too noisy", UserWarning, stacklevel=2)
            return super().predict(X)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compare({"warns": Warns(1.0)}, 3)
    assert [str(warning.message) for warning in caught] == ["too noisy"] * 3


def test_pipelines_and_frozen_estimators(without_pandas):
    y = np.linspace(-5, 5, 20)[:, None]
    fit = NLLSRegressor(Line(), initial="centre").fit(Line().signal(y), y)
    estimators = {
        "fit": fit,
        "frozen": FrozenEstimator(fit),
        "pipeline": make_pipeline("passthrough", fit),
    }
    assert compare(estimators, 40)["crb_loss"] == pytest.approx([1.0] * 3, abs=0.35)


@pytest.mark.parametrize("name", ["fit", "5 % noise"])
def test_an_estimator_that_is_not_fitted(name):
    message = rf"estimators\['{name}'\] is a NLLSRegressor that is not fitted; call its"
    with pytest.raises(NotFittedError, match=message):
        compare({name: NLLSRegressor(Line())})


@pytest.mark.parametrize("estimators", [{}, [Scaled(1.0)], Scaled(1.0)])
def test_estimators_come_in_a_dict(estimators):
    with pytest.raises(TypeError, match="give a dict of fitted estimators by name"):
        compare(estimators)


@pytest.mark.parametrize("estimator", [None, Scaled, "fit"])
def test_estimators_predict(estimator):
    with pytest.raises(TypeError, match=r"estimators\['it'\] is .* object with predict"):
        compare({"it": estimator})


def test_bad_numbers():
    with pytest.raises(ValueError, match="n_realizations = 1"):
        compare({"it": Scaled(1.0)}, 1)
    with pytest.raises(ValueError, match="theta has shape"):
        compare_estimators({"it": Scaled(1.0)}, Line(), [[1.0, 2.0]], 10)
    with pytest.raises(ValueError, match="snr = -3; give a positive number"):
        compare_estimators({"it": Scaled(1.0)}, Line(), [[1.0]], -3)
