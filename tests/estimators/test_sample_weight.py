"""Weights of fingerprints in the training of networks."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.model_selection import cross_validate

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential

MODEL = MonoExponential(0.01 * np.arange(1, 9))
SMALL = dict(hidden_layer_sizes=(8,), max_iter=3, random_state=0, noise_std=1 / 30)
NETWORKS = {
    "model": dict(model=MODEL),
    "measured": dict(model=MODEL, resample_noise=False),
    "no model": {},
    "squares": dict(model=MODEL, loss="mse"),
    "bias": dict(model=MODEL, loss="bias-reduced", n_realizations=2),
    "no rows held out": dict(model=MODEL, early_stopping=False),
}


@pytest.fixture(scope="module")
def data():
    """Return signals, targets, bounds, and weights that are 0 to 3."""
    X, y, crb = make_fingerprints(MODEL, 80, snr=30, return_crb=True, random_state=0)
    return X, y, crb, np.random.default_rng(0).integers(0, 4, 80)


def same_fits(one, two):
    for name in one.weights_:
        np.testing.assert_array_equal(one.weights_[name], two.weights_[name])
    assert one.loss_curve_ == two.loss_curve_
    np.testing.assert_equal(
        [r["validation_loss"] for r in one.history_],
        [r["validation_loss"] for r in two.history_],
    )
    for name, value in one.std_factors_.items():
        np.testing.assert_array_equal(value, two.std_factors_[name])
    np.testing.assert_array_equal(one.target_variance_, two.target_variance_)


@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_are_repetitions_and_zero_leaves_out(kind, data):
    X, y, crb, weight = data
    reg = [CRBRegressor(**SMALL, **NETWORKS[kind]) for _ in range(4)]
    some, many = weight > 0, np.repeat(np.arange(80), weight)
    reg[0].fit(X, y, crb, sample_weight=weight)
    reg[1].fit(X[many], y[many], crb[many])
    same_fits(reg[0], reg[1])
    # Only zeros: rows that are left out, in the order of the others.
    reg[2].fit(X, y, crb, sample_weight=2.5 * some)
    reg[3].fit(X[some], y[some], crb[some])
    same_fits(reg[2], reg[3])
    assert reg[0].loss_curve_ != reg[2].loss_curve_


def test_rows_without_weight_may_hold_anything(data):
    X, y, crb, weight = data
    spoiled, wrong, none = X.copy(), y.copy(), weight == 0
    spoiled[none], wrong[none] = np.nan, np.nan
    one = CRBRegressor(MODEL, **SMALL).fit(spoiled, wrong, sample_weight=weight)
    same_fits(one, CRBRegressor(MODEL, **SMALL).fit(X, y, sample_weight=weight))


def test_weights_follow_rows_that_are_not_finite(data):
    X, y, _, weight = data
    spoiled, lost = X.copy(), np.arange(80) % 7 == 0
    spoiled[lost] = np.nan
    with pytest.warns(UserWarning, match="fit leaves them out"):
        one = CRBRegressor(MODEL, **SMALL).fit(spoiled, y, sample_weight=weight + 1)
    two = CRBRegressor(MODEL, **SMALL)
    same_fits(one, two.fit(X[~lost], y[~lost], sample_weight=(weight + 1)[~lost]))


def test_heavy_rows_are_learned(data):
    order = np.argsort(data[1][:, 0])
    X, y, crb = (values[order] for values in data[:3])
    heavy = np.where(np.arange(80) < 40, 1.0, 1e-9)
    ends = [
        CRBRegressor(MODEL, **(SMALL | dict(max_iter=20, early_stopping=False)))
        .fit(X, y, crb, sample_weight=w)
        .score(X[:40], y[:40], crb=crb[:40])
        for w in (heavy, heavy[::-1])
    ]
    assert ends[0] > 10 * ends[1]


def test_partial_fit_warm_start_and_frames(data):
    X, y, crb, weight = data
    rows = np.repeat(np.arange(80), weight)
    pair = [CRBRegressor(MODEL, warm_start=True, **SMALL) for _ in range(2)]
    for _ in range(2):
        pair[0].fit(X, y, crb, sample_weight=list(weight))
        pair[1].fit(X[rows], y[rows], crb[rows])
    pair[0].partial_fit(X, y, crb, sample_weight=pd.Series(weight))
    pair[1].partial_fit(X[rows], y[rows], crb[rows])
    same_fits(*pair)
    frame = pd.DataFrame(X.real, index=np.arange(80)[::-1])
    one = CRBRegressor(**SMALL).fit(frame, y, crb, sample_weight=weight)
    same_fits(one, CRBRegressor(**SMALL).fit(X.real, y, crb, sample_weight=weight))


def test_weights_are_routed(data):
    X, y, crb, weight = data
    with config_context(enable_metadata_routing=True):
        reg = CRBRegressor(MODEL, **SMALL).set_fit_request(sample_weight=True)
        reg.set_score_request(sample_weight=True)
        params = {"sample_weight": weight}
        found = cross_validate(reg, X, y, cv=2, params=params)["test_score"]
    rows, held = np.arange(40, 80), np.arange(40)
    reg = CRBRegressor(MODEL, **SMALL).fit(X[rows], y[rows], sample_weight=weight[rows])
    assert found[0] == reg.score(X[held], y[held], sample_weight=weight[held])


def test_wrong_weights_are_refused(data):
    X, y, _, weight = data
    reg = CRBRegressor(MODEL, **SMALL)
    with pytest.raises(ValueError, match=r"sample_weight has shape \(79,\); give \(80,\)"):
        reg.fit(X, y, sample_weight=weight[1:])
    with pytest.raises(ValueError, match="zero"):
        reg.fit(X, y, sample_weight=0 * weight)
    for other in (NLLSRegressor, DictionaryRegressor, OneStepRegressor):
        with pytest.raises(TypeError, match="unexpected keyword argument 'sample_weight'"):
            other().fit(X, y, sample_weight=weight)
