"""Estimators that know an amplitude which all signals have in common."""

import warnings

import numpy as np
import pytest

from crbestim.inspection import EfficiencyDisplay
from crbestim.metrics import bias_variance, compare_estimators, comparison
from crbestim.models import MonoExponential

TE = np.array([0.01, 0.05])
REAL, COMPLEX = MonoExponential(TE, signal="magnitude"), MonoExponential(TE)
THETA = np.array([[0.05, 1.0], [0.08, 1.0]])


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(comparison, "_LEAST_SECONDS", 0.0)


def follows(X):
    """Estimate T2 and M0 by two points."""
    X = np.abs(X)
    rate = np.log(X[:, 0] / X[:, 1]) / (TE[1] - TE[0])
    return np.stack([1 / rate, X[:, 0] * np.exp(TE[0] * rate)], axis=1)


def knows_m0(X):
    """Take M0 for 1, and estimate T2 by the first echo."""
    return np.stack([-TE[0] / np.log(np.abs(X[:, 0])), np.ones(len(X))], axis=1)


def has_no_m0(X):
    return follows(X) * [1.0, np.nan]


def clipped(X):
    """Depend on the amplitude as little as a fit that ends at a tolerance."""
    return follows(X) * [1.0 + 1e-6 * np.log(np.abs(X[:1, 0]).max()), 1.0]


def compare(estimator, model=REAL, theta=THETA, **options):
    options = {"random_state": 0, **options}
    return compare_estimators({"it": estimator}, model, theta, 50, **options)


def test_an_estimator_that_knows_the_amplitude_is_told():
    told = r"M0 is 1 in all rows of theta, and estimators\['it'\] depends on it: at 2 times"
    told += r" that, its estimates of T2, M0 change .* such as distributions=\{'M0': scipy"
    with pytest.warns(UserWarning, match=told) as caught:
        compare(knows_m0)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="M0 is 1 .* and knows_m0 depends on it"):
        bias_variance(knows_m0, REAL, THETA, 50)


def test_so_it_is_in_displays():
    pytest.importorskip("matplotlib")
    with pytest.warns(UserWarning, match="M0 is 1 .* and knows_m0 depends on it"):
        EfficiencyDisplay.from_estimator(knows_m0, REAL, THETA, 50)


def test_complex_signals_have_an_amplitude_too():
    def t2_of(estimator):
        return lambda X: estimator(X)[:, :1]

    told = r"abs\(M0\) is 1 in all signals, and .* estimates of T2 .* divide signals"
    with pytest.warns(UserWarning, match=told):
        compare(t2_of(knows_m0), COMPLEX, THETA[:, :1])
    compare(t2_of(follows), COMPLEX, THETA[:, :1])


def test_others_are_not():
    for estimator in (follows, has_no_m0, clipped):
        compare(estimator)
    # Of several amplitudes, the errors tell.
    compare(knows_m0, theta=THETA * [[1.0, 1.0], [1.0, 2.0]])


def test_the_second_amplitude_is_inside_the_bounds():
    model = MonoExponential(TE, signal="magnitude", bounds={"M0": (0.25, 1.5)})

    def inside(X):
        return np.clip(follows(X), 0.0, [np.inf, 1.5])

    compare(inside, model)
    with pytest.warns(UserWarning, match=r"at 0\.5 times that"):
        compare(knows_m0, model)


def test_results_that_exist_are_judged_by_their_error_of_the_amplitude():
    exact = np.tile(THETA, (10, 1, 1))
    several = THETA * [[1.0, 1.0], [1.0, 2.0]]
    for argument, result in (
        ("estimates", exact),
        ("published", (THETA, np.full((2, 2), 1e-4), 10)),
    ):
        told = rf"M0 is 1 in all rows .* {argument}\['a'\] seems to know it: its loss"
        with pytest.warns(UserWarning, match=told):
            compare_estimators(None, REAL, THETA, 50, **{argument: {"a": result}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Three errors may be small by chance.
        compare_estimators(None, REAL, THETA[:1], 50, estimates={"a": exact[:3, :1]})
        several = np.tile(several, (10, 1, 1))
        compare_estimators(None, REAL, several[0], 50, estimates={"a": several})
