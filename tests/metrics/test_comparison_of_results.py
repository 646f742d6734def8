"""Functions, several noise levels, and results that exist already."""

import numpy as np
import pytest

from crbestim.metrics import BiasVariance, bias_variance, compare_estimators, comparison
from tests.metrics.lines import Line, Scaled
from tests.metrics.test_comparison import THETA, TwoLines

STANDARD = ("crb_loss", "bias_ratio", "variance_ratio", "outlier_share")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(comparison, "_LEAST_SECONDS", 0.0)
    # Columns are dicts of lists, whether pandas is there or not.
    monkeypatch.setattr(comparison, "find_spec", lambda name: None)


def slope(X):
    return X @ np.array([[1.0], [2.0]]) / 5


def test_functions_are_estimators():
    both = {"object": Scaled(1.0), "function": slope}
    table = compare_estimators(both, Line(), THETA, 10, random_state=0)
    assert table["crb_loss"][0] == pytest.approx(table["crb_loss"][1], rel=1e-12)
    report = bias_variance(slope, Line(), THETA, 10, 8, random_state=0)
    assert report.loss[0] == table["crb_loss"][1]
    with pytest.raises(ValueError, match=r"<lambda> predicts shape \(2,\); the model's"):
        bias_variance(lambda X: X[:, 0], TwoLines(), [[1.0, 2.0], [1.0, 1.0]], 10)


def test_several_noise_levels():
    options = dict(n_realizations=4, random_state=0)
    table = compare_estimators({"it": Scaled(1.1)}, Line(), THETA, [5, 50], **options)
    assert list(table)[:3] == ["estimator", "snr", "parameter"]
    assert table["snr"] == [5.0, 50.0]
    for i, snr in enumerate((5, 50)):
        alone = compare_estimators({"it": Scaled(1.1)}, Line(), THETA, snr, **options)
        assert "snr" not in alone
        for name in (*STANDARD, "median_ratio", "lost_share"):
            assert table[name][i] == alone[name][0], name


def test_a_data_frame_has_the_level_in_its_index(monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.undo()
    monkeypatch.setattr(comparison, "_LEAST_SECONDS", 0.0)
    table = compare_estimators({"it": Scaled(1.0)}, Line(), THETA, [5, 50])
    assert table.index.names == ["estimator", "snr", "parameter"]


def test_estimates_that_exist_are_judged_as_those_of_estimators():
    estimates = THETA + 0.1 * np.random.default_rng(0).standard_normal((2, 6, 2, 1))
    table = compare_estimators(
        None, Line(), THETA, [5, 50], estimates={"theirs": estimates}, standard_errors=True
    )
    for i, snr in enumerate((5, 50)):
        crb = np.full((2, 1), 1 / snr**2 / 5)
        quality = BiasVariance.from_errors(estimates[i] - THETA, crb)
        assert table["crb_loss"][i] == pytest.approx(quality.loss[0])
        assert table["bias_ratio"][i] == pytest.approx(quality.bias_ratio[0])
        assert table["outlier_share"][i] == quality.outlier_share[0]
        errors = quality.standard_errors()
        assert table["crb_loss_se"][i] == pytest.approx(errors["loss"][0])
    assert np.isnan(table["voxels_per_second"]).all()


def test_published_moments_by_hand():
    # The bound is 0.002: bias 0.1 and 0, variances 0.0025 and 0.01, of 100 realizations.
    published = {"paper": (THETA + [[0.1], [0.0]], [[0.05], [0.1]], 100)}
    table = compare_estimators(
        {}, Line(), THETA, 10, published=published, standard_errors=True
    )
    squares = np.array([0.01 - 0.0025 / 100, -0.01 / 100])
    variances = np.array([0.0025, 0.01])
    assert table["bias_ratio"] == pytest.approx([squares.mean() / 0.002])
    assert table["variance_ratio"] == pytest.approx([variances.mean() / 0.002])
    assert table["crb_loss"] == pytest.approx([(squares + variances).mean() / 0.002])
    error = np.sqrt((2 * variances**2 / 99 * 99 / 101).sum()) / 2 / 0.002
    assert table["variance_ratio_se"] == pytest.approx([error])
    assert np.isnan([table["median_ratio"], table["outlier_share"]]).all()
    assert table["lost_share"] == [0.0]


def test_parameters_that_were_not_estimated_do_not_count_as_lost():
    theta = np.array([[1.0, 2.0], [3.0, 2.0]])
    mean = np.array([[1.1, np.nan], [3.1, np.nan]])
    table = compare_estimators(
        None,
        TwoLines(),
        theta,
        10,
        published={
            "paper": (mean, np.full((2, 2), 0.1), 50),
            "none": (mean * np.nan,) * 2 + (9,),
        },
        estimates={"array": np.stack([mean, mean + 0.1])},
    )
    assert table["lost_share"] == [0, 0, 0, 0, 1, 1]
    assert np.isnan(table["crb_loss"]).tolist() == [False, True] * 2 + [True, True]
    assert table["variance_ratio"][2] == pytest.approx(0.01 / 0.01)


def first_of_two(X):
    return np.stack([X[:, 0], np.full(len(X), np.nan)], axis=1)


def test_so_it_is_with_what_an_estimator_does_not_estimate():
    theta = np.array([[1.0, 2.0], [3.0, 2.0]])
    options = dict(n_realizations=4, random_state=0)
    table = compare_estimators({"first": first_of_two}, TwoLines(), theta, 10, **options)
    assert table["lost_share"] == [0, 0]
    report = bias_variance(first_of_two, TwoLines(), theta, 10, 4, random_state=0)
    whole = bias_variance(lambda X: X, TwoLines(), theta, 10, 4, random_state=0)
    for loss in (table["crb_loss"], report.loss):
        np.testing.assert_array_equal(loss, [whole.loss[0], np.nan])
    assert np.isinf(report.crb[:, 1]).all() and np.isnan(report.bias[:, 1]).all()
    told = r"predicts shape \(2, 1\); .* ask for \(2, 2\). A parameter .* column of NaN"
    with pytest.raises(ValueError, match=told):
        compare_estimators({"a": lambda X: X[:, :1]}, TwoLines(), theta, 10)


@pytest.mark.parametrize("n", [2, 4, 8])
@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_standard_errors_are_those_of_repeated_experiments(n, bias):
    # Two realizations say nothing of tails; more may have Laplace errors.
    rng, crb = np.random.default_rng(0), np.full((100, 400), 0.01)
    draw = rng.normal if n == 2 else rng.laplace
    scale = 0.1 if n == 2 else 0.1 / np.sqrt(2)
    report = BiasVariance.from_errors(bias + draw(0, scale, (n, 100, 400)), crb)
    for name in ("loss", "bias_ratio", "variance_ratio"):
        truth = np.std(getattr(report, name))
        stated = np.sqrt(np.mean(report.standard_errors()[name] ** 2))
        assert stated == pytest.approx(truth, rel=0.2), name


def test_standard_errors_from_moments_and_of_outliers():
    rng = np.random.default_rng(0)
    errors, crb = rng.normal(0.1, 0.1, (400, 5, 1)), np.full((5, 1), 5e-4)
    whole = BiasVariance.from_errors(errors, crb)
    moments = BiasVariance.from_moments(
        errors.mean(axis=0), errors.std(axis=0, ddof=1), 400, crb
    )
    for name in ("loss", "bias_ratio", "variance_ratio"):
        assert getattr(moments, name) == pytest.approx(getattr(whole, name))
        found, wanted = (r.standard_errors()[name] for r in (moments, whole))
        assert found == pytest.approx(wanted, rel=0.1)
    share = whole.outlier_share[0]
    expected = np.sqrt(share * (1 - share) / 2000)
    assert whole.standard_errors()["outlier_share"] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, "estimators is None; give a dict"),
        ({"estimates": [1]}, TypeError, r"estimates is \[1\]; give a dict of results"),
        (
            {"estimates": {"a": THETA}},
            ValueError,
            r"estimates\['a'\] has shape \(2, 1\); give \(n_realizations, 2, 1\)",
        ),
        (
            {"published": {"a": (THETA, THETA)}},
            ValueError,
            r"published\['a'\] is a tuple of 2; give \(mean, std, n_realizations\)",
        ),
        (
            {"published": {"a": THETA}},
            ValueError,
            r"published\['a'\] is a ndarray; give \(mean, std, n_realizations\)",
        ),
        (
            {"estimates": np.zeros((40, 2, 1))},
            TypeError,
            r"^estimates is .{,60}; give a dict of results by name",
        ),
        (
            {"published": {"a": (THETA, THETA[:1], 9)}},
            ValueError,
            r"published\['a'\] has shape \(1, 1\); give \(2, 1\)",
        ),
        ({"published": {"a": (THETA, THETA, 1)}}, ValueError, "n_realizations = 1; give"),
        ({"published": {"a": (THETA, -THETA, 9)}}, ValueError, "std holds .* negative"),
        (
            {"snr": [5, 10], "published": {"a": (THETA, THETA, 9)}},
            ValueError,
            r"has shape \(2, 1\); give \(n_levels, 2, 1\) for 2 levels",
        ),
        ({"estimators": {"a": slope}, "snr": (5, 10)}, ValueError, "give one number"),
        (
            {"estimators": {"a": slope}, "standard_errors": 1},
            ValueError,
            "standard_errors = 1; give True or False",
        ),
        (
            {"estimators": {"a": slope}, "published": {"a": (THETA, THETA, 9)}},
            ValueError,
            "'a' names one of the estimators and a result of published; rename",
        ),
    ],
)
def test_results_that_do_not_fit(options, error, message):
    options = {"estimators": None, "model": Line(), "theta": THETA, "snr": 10} | options
    with pytest.raises(error, match=message):
        compare_estimators(**options)
