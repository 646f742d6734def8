"""Signals in a subspace, and the model of whole signals."""

import numpy as np
import pytest

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.metrics import efficiency_score
from tests.models.conftest import mt, orthonormal


@pytest.fixture(scope="module")
def compressed():
    """Return a model, and its signals in a subspace that is not told."""
    model = mt(24)
    X, y = make_fingerprints(model, 300, snr=100, random_state=0)
    return model, X @ orthonormal(24, 12), y


@pytest.mark.parametrize(
    "reg",
    [
        CRBRegressor(hidden_layer_sizes=(16,), max_iter=3, random_state=0),
        DictionaryRegressor(),
    ],
    ids=["network", "dictionary"],
)
def test_signals_as_given_and_the_bound_of_whole_signals(reg, compressed):
    model, X, y = compressed
    reg = reg.set_params(model=model).fit(X, y)
    crb = cramer_rao_bound(model, y, noise_std=0.01)
    expected = efficiency_score(y, reg.predict(X), crb, periods=model.periods)
    assert reg.score(X, y) == pytest.approx(expected)
    for call in (reg.residual, lambda X: reg.predict(X, return_std=True)):
        with pytest.raises(ValueError, match="X has 12 features and .* has 24; compress"):
            call(X)


def test_no_fresh_noise_without_the_basis(compressed):
    model, X, y = compressed
    options = dict(hidden_layer_sizes=(16,), max_iter=2, random_state=0)
    reg = CRBRegressor(model, **options).fit(X, y)
    same = CRBRegressor(model, resample_noise=False, **options).fit(X, y)
    assert reg.loss_curve_ == same.loss_curve_
    assert np.isnan(reg.snr_range_).all()


def test_least_squares_needs_the_basis(compressed):
    model, X, y = compressed
    with pytest.raises(ValueError, match="X has 12 features, .* 24 samples; compress"):
        NLLSRegressor(model).fit(X, y)
