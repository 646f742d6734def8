"""Results in other units than those of the model."""

import warnings

import numpy as np
import pytest

from crbestim.exceptions import ImplausibleValueWarning
from crbestim.inspection import EfficiencyDisplay
from crbestim.metrics import bias_variance, compare_estimators, comparison
from crbestim.models import MonoExponential

TE = np.array([0.01, 0.05])
MODEL = MonoExponential(TE, signal="magnitude")
THETA = np.array([[0.05, 1.0], [0.08, 2.0], [0.1, 1.5]])
TOLD = (
    r"seems to be in other units: T2 is 80 s in the median, and its bounds are 0\.001 to 4"
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(comparison, "_LEAST_SECONDS", 0.0)


def in_milliseconds(X):
    return np.resize(THETA * [1e3, 1.0], (len(X), 2))


def without_amplitude(X):
    return np.resize(THETA * [1.0, np.nan], (len(X), 2))


def test_functions_estimates_and_moments():
    estimates = np.tile(THETA * [1e3, 1.0], (2, 1, 1))
    for argument, result in (
        ("estimators", in_milliseconds),
        ("estimates", estimates),
        ("published", (estimates[0], 0.1 * estimates[0], 9)),
    ):
        given = {"estimators": None} | {argument: {"a": result}}
        with pytest.warns(ImplausibleValueWarning, match=TOLD) as caught:
            compare_estimators(model=MODEL, theta=THETA, snr=50, **given)
        assert [warning.filename for warning in caught] == [__file__]
        assert f"{argument}['a']" in str(caught[0].message)


def test_one_estimator():
    with pytest.warns(ImplausibleValueWarning, match=f"in_milliseconds {TOLD}"):
        bias_variance(in_milliseconds, MODEL, THETA, 50)


def test_displays():
    pytest.importorskip("matplotlib")
    with pytest.warns(ImplausibleValueWarning, match=f"in_milliseconds {TOLD}"):
        EfficiencyDisplay.from_estimator(in_milliseconds, MODEL, THETA, 50)
    with pytest.warns(ImplausibleValueWarning, match=f"y_pred {TOLD}"):
        crb = np.full(THETA.shape, 1e-4)
        EfficiencyDisplay.from_predictions(THETA, THETA * [1e3, 1.0], crb, MODEL)


def test_single_failures_and_what_is_not_estimated_are_no_other_unit():
    one_fails = np.tile(THETA, (2, 1, 1))
    one_fails[:, 0, 0] = 1e3
    estimates = {"one fails": one_fails, "none": np.full((2, 3, 2), np.nan)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare_estimators(
            {"partly": without_amplitude}, MODEL, THETA, 50, estimates=estimates
        )
