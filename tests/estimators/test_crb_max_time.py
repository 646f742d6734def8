"""What CRBRegressor counts as its time: simulation, training and calibration."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from crbestim import CRBRegressor, _deadline
from crbestim.bounds import cramer_rao_bound
from crbestim.models import SignalModel

TIMES = np.linspace(0.01, 0.1, 6)
# Seconds that simulation takes a row, with derivatives.
COST = 1e-3


class Clock:
    """A clock that runs a little with each look, and with all that is simulated."""

    def __init__(self):
        self.seconds, self.rows = 0.0, 0

    def perf_counter(self):
        self.seconds += 2e-3
        return self.seconds


class Decay(SignalModel):
    """A model whose simulation takes the time of a clock."""

    parameter_names = ("R2",)
    bounds = np.array([[1.0, 50.0]])
    clock = Clock()

    def signal(self, theta, jacobian=False):
        s = np.exp(-theta * TIMES) + 0j
        if not jacobian:
            return s
        self.clock.seconds += COST * len(theta)
        self.clock.rows += len(theta)
        return s, (-TIMES * s)[:, :, None]


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(Decay, "clock", Clock())
    monkeypatch.setattr(_deadline, "time", SimpleNamespace(perf_counter=look))
    return Decay.clock


def look():
    return Decay.clock.perf_counter()


@pytest.fixture(scope="module")
def data():
    theta = np.random.default_rng(0).uniform(2, 40, (6000, 1))
    s = Decay().signal(theta)
    snr = np.linspace(20, 80, len(s))[:, None]
    noise = np.random.default_rng(1).standard_normal((*s.shape, 2)) @ [1, 1j]
    crb = cramer_rao_bound(Decay(), theta, noise_std=1.0) / snr**2
    return s + noise / snr, theta, crb


def small(**changes):
    options = dict(hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    return CRBRegressor(Decay(), **{**options, **changes})


def test_all_of_fit_is_counted(clock, data):
    X, y, crb = data
    free = small(max_iter=20).fit(X, y, crb=crb)
    assert clock.seconds > 6000 * COST and clock.rows > 6000
    clock.seconds = clock.rows = 0
    with pytest.warns(ConvergenceWarning, match="simulate .* of 6000 rows.*raise max_time"):
        short = small(max_time=6.0, max_iter=10**6).fit(X, y, crb=crb)
    assert 4.0 < clock.seconds < 6.3
    assert 1024 <= clock.rows < 6000
    assert 3 < short.n_iter_ < 10**6
    assert np.isfinite(short.std_factors_["factor"]).all()
    ratio = short.std_factors_["factor"] / free.std_factors_["factor"]
    assert ((ratio > 0.3) & (ratio < 3)).all()


def test_a_long_time_changes_nothing(clock, data):
    X, y, crb = data
    free = small().fit(X, y, crb=crb)
    rows = clock.rows
    long = small(max_time=1e100).fit(X, y, crb=crb)
    # Little more is simulated, to see how long it takes.
    assert clock.rows < 2.2 * rows
    for name, weights in free.weights_.items():
        np.testing.assert_array_equal(long.weights_[name], weights)
    np.testing.assert_array_equal(long.std_factors_["factor"], free.std_factors_["factor"])


@pytest.mark.parametrize("early_stopping", [True, False])
def test_no_time_at_all_is_told(clock, data, early_stopping):
    X, y, crb = (part[:500] for part in data)
    reg = small(max_time=1e-6, early_stopping=early_stopping)
    with pytest.warns(ConvergenceWarning, match="max_time=1e-06 is over before training"):
        reg.fit(X, y, crb=crb)
    assert reg.n_iter_ == 1
    # All rows, none between them after two trials of 16, half of which count twice, and 64
    # at three levels of noise, after trials of 16.
    assert clock.rows <= 500 + 2 * 24 + 3 * (16 + 16 + 64)
    found, std = reg.predict(X, return_std=True)
    assert np.isfinite(found).all() and np.isfinite(std).all()


def test_partial_fit_is_counted_too(clock, data):
    X, y, crb = data
    with pytest.warns(ConvergenceWarning, match="of 6000 rows"):
        small(max_time=6.0).partial_fit(X, y, crb=crb)
    assert clock.seconds < 6.3


def test_given_noise_and_errors_without_bounds_need_no_derivatives(clock, data):
    X, y, crb = data
    small(loss="mse", snr=(20.0, 80.0)).fit(X, y, crb=crb)
    # Only voxels that calibrate standard deviations, at three levels of noise.
    assert clock.rows <= 3 * 600


def test_rows_that_can_be_afforded(clock):
    def work(k):
        clock.seconds += 0.01 + 1e-3 * k
        done.append(k)

    for n, seconds, least, low, high in [
        (50, 1e-9, 64, 50, 50),
        (10**6, np.inf, 64, 10**6, 10**6),
        (10_000, 20.0, 64, 10_000, 10_000),
        (10_000, 5.0, 64, 4000, 5000),
        (10_000, 1e-6, 64, 64, 64),
    ]:
        done, before = [], clock.seconds
        found = _deadline.affordable(work, n, seconds, least)
        assert low <= found <= high
        assert clock.seconds - before < max(0.2 * seconds, 0.1)


def test_bounds_that_are_not_given_fit_in_time_too(clock, data):
    with pytest.warns(ConvergenceWarning, match="of 6000 rows"):
        small(max_time=4.0).fit(*data[:2])
    assert clock.seconds < 4.3
