"""Every estimator works with a function, and says so where derivatives are missing."""

import numpy as np
import pytest
from scipy.stats import uniform
from sklearn.frozen import FrozenEstimator

from crbestim import (
    CRBRegressor,
    DictionaryRegressor,
    NLLSRegressor,
    OneStepRegressor,
)
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import MissingJacobianError
from crbestim.metrics import efficiency_score
from crbestim.models import FunctionModel

TIMES = np.linspace(0.0, 0.1, 12)


def precession(theta):
    r2, omega = theta[:, :1], theta[:, 1:]
    return np.exp((-r2 + 1j * omega) * TIMES)


def model_of(**options):
    within = {"R2": uniform(10.0, 40.0), "omega": uniform(-20.0, 40.0)}
    bounds = [(5.0, 60.0), (-30.0, 30.0)]
    return FunctionModel(precession, within, bounds, distributions=within, **options)


@pytest.fixture(scope="module")
def data():
    return make_fingerprints(
        model_of(), 400, snr=(100, 200), return_crb=True, random_state=0
    )


def small(**options):
    options = {"hidden_layer_sizes": (16, 16), "max_iter": 30, **options}
    return CRBRegressor(model_of(), random_state=0, **options)


def test_least_squares(data):
    X, y, crb = data
    # 800 squares of standard normal numbers: a mean of 1, good to 0.05, four times which
    # leaves room for what is not linear.
    score = NLLSRegressor(model_of()).fit(X, y).score(X, y, crb=crb)
    assert score == pytest.approx(1, abs=0.2)


def test_dictionary(data):
    X, y, _ = data
    found = DictionaryRegressor(model_of()).fit(X, y)
    np.testing.assert_array_equal(found.predict(2j * precession(y)), y)


def test_network_and_one_step(data):
    X, y, crb = data
    network = small().fit(X, y, crb=crb)
    mean = np.broadcast_to(y.mean(axis=0), y.shape)
    # A step of Fisher scoring more than a network that has just begun to learn.
    guess, start = efficiency_score(y, mean, crb), network.score(X, y, crb=crb)
    step = OneStepRegressor(FrozenEstimator(network), model_of(), n_steps=3).fit(X, y)
    assert 10 * guess < start < step.score(X, y, crb=crb)
    assert step.score(X, y, crb=crb) == pytest.approx(1, abs=0.2)
    _, std = network.predict(X, return_std=True)
    assert (std > 0).all()


@pytest.mark.parametrize("kind", [NLLSRegressor, OneStepRegressor])
def test_who_needs_derivatives_says_so_in_fit(kind, data):
    X, y, _ = data
    reg = kind(model=model_of(difference="none"))
    message = f"{kind.__name__} needs a Jacobian; FunctionModel 'precession' has none and"
    with pytest.raises(MissingJacobianError, match=message):
        reg.fit(X, y)


def test_matching_needs_no_derivatives(data):
    X, y, crb = data
    reg = DictionaryRegressor(model_of(difference="none")).fit(X, y)
    assert reg.score(X[:10], y[:10], crb=crb[:10]) > 0
    with pytest.raises(MissingJacobianError, match="The Cramér-Rao bound needs a Jacob"):
        reg.score(X, y)
    with pytest.raises(MissingJacobianError, match="The residual or standard deviation"):
        reg.residual(X)


def test_a_network_needs_none_unless_it_is_trained_with_the_bound(data):
    X, y, _ = data
    bare = model_of(difference="none")
    with pytest.raises(MissingJacobianError, match="The Cramér-Rao bound needs a Jacob"):
        small(max_iter=2).set_params(model=bare).fit(X, y)
    reg = small(loss="mse").set_params(model=bare).fit(X, y)
    error = ((reg.predict(X) - y) ** 2).mean(axis=0)
    assert (error < y.var(axis=0) / 5).all()
