"""Small models, data and fitted estimators, which all rows of the table share."""

import warnings
from functools import cached_property
from types import SimpleNamespace

import numpy as np

from crbestim import (
    CRBRegressor,
    DictionaryRegressor,
    NLLSRegressor,
    OneStepRegressor,
)
from crbestim.datasets import make_brain_phantom
from crbestim.estimators import BoundedRegressor
from crbestim.models import (
    BalancedSteadyState,
    BiExponential,
    FISPFingerprinting,
    FunctionModel,
    IntravoxelIncoherentMotion,
    InversionRecovery,
    MagnetizationTransfer,
    MonoExponential,
    SpoiledGradientEcho,
)
from crbestim.sequences import HybridStateSequence

TE = np.array([0.01, 0.03, 0.06, 0.1])
ALPHA, TRF, TR = np.array([np.pi, 0.5, 0.7, 0.5]), np.full(4, 5e-4), 3.5e-3
THETA = {
    "mono": np.array([[0.05, 100.0], [0.08, 90.0]]),
    "rate": np.array([[12.0], [20.0]]),
    "compressed": np.array([[12.0], [20.0]]),
    "whitened": np.array([[12.0], [20.0]]),
    "bi": np.array([[0.2, 0.02, 0.1, 100.0], [0.3, 0.02, 0.1, 90.0]]),
    "spgr": np.array([[1.0, 1.0], [2.0, 0.9]]),
    "recovery": np.array([[1.0, 0.95, 100.0], [2.0, 0.9, 90.0]]),
    "ivim": np.array([[0.1, 1e-9, 1e-8, 100.0], [0.2, 1.1e-9, 2e-8, 90.0]]),
    "mt": np.array([[0.1, 0.7, 13.0, 30.0, 1e-5, 0.0, 1.0]]),
    "bssfp": np.array([[1.0, 12.0, 0.0, 1.0], [0.8, 10.0, 9.0, 0.9]]),
    "fisp": np.array([[1.0, 0.1], [2.0, 0.2]]),
    "function": np.array([[100.0, 3.0, 5.0], [90.0, 2.0, 1.0]]),
    "fixed": np.array([[100.0, 3.0], [90.0, 2.0]]),
    "at_known": np.array([[100.0], [90.0]]),
}
"""Parameters of two samples, or one, for the models of that name."""
NAMES = {
    "mono": ["T2", "M0"],
    "rate": ["R2"],
    "compressed": ["R2"],
    "whitened": ["R2"],
    "bi": ["fraction", "T2short", "T2long", "M0"],
    "spgr": ["T1", "B1"],
    "recovery": ["T1", "efficiency", "M0"],
    "ivim": ["f", "D", "Dstar", "S0"],
    "mt": ["m0s", "R1", "R2f", "Rx", "T2s", "omega0", "B1"],
    "bssfp": ["R1", "R2", "omega0", "B1"],
    "fisp": ["T1", "T2"],
    "function": ["a", "b", "c"],
    "fixed": ["a", "b"],
    "at_known": ["a"],
}
"""Names of these parameters."""
DATA_OF = {
    "nlls": ["magnitudes", "offsets", "bare"],
    "dictionary": ["magnitudes", "rates", "offsets", "bare"],
    "one_step": ["magnitudes"],
    "crb": ["networks"],
    "mean": ["offsets"],
}
"""The data of the `Lab` that each kind of estimator is tried on."""


def decay(theta):
    """Return an amplitude times an exponential, plus an offset: three parameters."""
    amplitude, rate, offset = theta
    return amplitude * np.exp(-rate * np.arange(6.0)) + offset


def rotating(theta):
    """Return complex signals of one parameter, a rate."""
    return np.exp(-(1 + 1j) * theta * TE)


class Mean(BoundedRegressor):
    """The estimator of a user, which predicts the mean of its targets."""

    def __init__(self, model=None, *, noise_std=0.01):
        self.model = model
        self.noise_std = noise_std

    def fit(self, X, y, crb=None, known=None):
        X, y, crb, known = self._check_fit(X, y, crb, known)
        self.mean_ = y.mean(axis=0)
        return self

    def predict(self, X, *, known=None):
        X, known, usable = self._check_predict(X, known)
        return self._shape_like_targets(np.where(usable[:, None], self.mean_, np.nan))


def set_of(model, y, known=None, scale=1.0):
    """Return targets and their signals without noise, a set to fit and to predict with."""
    X = scale * (model if known is None else model.at(known)).signal(y)
    crb = np.tile([[1e-4, 2e-4, 3e-4][: y.shape[1]]], (len(y), 1))
    return SimpleNamespace(model=model, X=X, y=y, crb=crb, known=known)


class Lab:
    """Models, data and fitted estimators, each made when a row first asks for it."""

    @cached_property
    def mono(self):
        return MonoExponential(TE, signal="magnitude")

    @cached_property
    def rician(self):
        return MonoExponential(TE, signal="magnitude", noise="rician")

    @cached_property
    def rate(self):
        """Complex signals of one parameter, whose values are integers."""
        return FunctionModel(rotating, ["R2"], [(1.0, 120.0)])

    @cached_property
    def bi(self):
        return BiExponential(TE, signal="magnitude")

    @cached_property
    def spgr(self):
        return SpoiledGradientEcho([0.05, 0.1, 0.2, 0.3], 0.02, b1=True)

    @cached_property
    def recovery(self):
        return InversionRecovery([0.1, 0.5, 1.0, 2.0, 3.0], signal="magnitude")

    @cached_property
    def ivim(self):
        return IntravoxelIncoherentMotion(np.array([0.0, 5e7, 2e8, 5e8, 8e8]))

    @cached_property
    def sequence(self):
        return HybridStateSequence(ALPHA, TRF, TR)

    @cached_property
    def mt(self):
        return MagnetizationTransfer(self.sequence)

    @cached_property
    def bssfp(self):
        return BalancedSteadyState(self.sequence)

    @cached_property
    def fisp(self):
        return FISPFingerprinting([0.5, 0.8, 0.6, 0.4], 0.012, 0.005, inversion_time=0.01)

    @cached_property
    def function(self):
        return FunctionModel(decay, ["a", "b", "c"], [(1, 200), (1, 9), (-50, 50)])

    @cached_property
    def compressed(self):
        return self.rate.compress(self.basis)

    @cached_property
    def whitened(self):
        return self.rate.whiten([1, 2, 1, 2])

    @cached_property
    def fixed(self):
        return self.function.fix(c=2.0)

    @cached_property
    def at_known(self):
        return self.function.given("b", "c").at([[3.0, 5.0], [2.0, 1.0]])

    @cached_property
    def basis(self):
        return np.linalg.qr(np.random.default_rng(0).normal(size=(4, 3)))[0]

    @cached_property
    def magnitudes(self):
        """Two parameters, T2 and the amplitude, in scanner units."""
        rng = np.random.default_rng(0)
        y = np.column_stack([rng.uniform(0.04, 0.2, 12), rng.uniform(90, 110, 12)])
        return set_of(self.mono, y)

    @cached_property
    def rates(self):
        """One parameter of complex signals: targets are integers."""
        y = np.arange(10.0, 34.0, 2)[:, None]
        return set_of(self.rate, y, scale=100j)

    @cached_property
    def angles(self):
        """One parameter, with one known, of complex signals."""
        rng = np.random.default_rng(0)
        known = rng.uniform(0.9, 1.1, (12, 1))
        return set_of(self.spgr.given("B1"), rng.uniform(0.5, 2, (12, 1)), known, 100.0)

    @cached_property
    def offsets(self):
        """One parameter, with two known, of real signals; all are integers."""
        rng = np.random.default_rng(0)
        known = np.column_stack([rng.integers(2, 5, 12), rng.integers(1, 9, 12)]) * 1.0
        y = rng.integers(50, 100, (12, 1)) * 1.0
        return set_of(self.function.given("b", "c"), y, known)

    @cached_property
    def bare(self):
        """Two targets without a model, of real signals; the targets are integers."""
        rng = np.random.default_rng(0)
        y = rng.integers(1, 50, (24, 2)) * 1.0
        return SimpleNamespace(
            model=None,
            X=y @ np.array([[1.0, 2.0, 0.0, 1.0], [0.0, 1.0, 1.0, 3.0]]),
            y=y,
            crb=np.tile([1.0, 4.0], (24, 1)),
            known=None,
        )

    @cached_property
    def networks(self):
        """As `magnitudes`, of fifty rows."""
        rng = np.random.default_rng(0)
        y = np.column_stack([rng.uniform(0.04, 0.2, 50), rng.uniform(90, 110, 50)])
        return set_of(self.mono, y)

    def new(self, name, data, **options):
        """Return an unfitted estimator of a kind, for the model of some data."""
        model = options.pop("model", data.model)
        if name == "nlls":
            return NLLSRegressor(model, **({"n_atoms": 50} | options))
        if name == "dictionary":
            return DictionaryRegressor(model, **options)
        if name == "one_step":
            return OneStepRegressor(model=model, **options)
        if name == "mean":
            return Mean(model, **options)
        small = dict(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
        return CRBRegressor(model, **(small | options))

    def fitted(self, name, data_name, **options):
        """Return a fitted estimator, from a store."""
        key = name, data_name, *sorted(options.items())
        if key not in self._store:
            data = getattr(self, data_name)
            given = {} if data.known is None else {"known": data.known}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                one = self.new(name, data, **options).fit(data.X, data.y, **given)
            self._store[key] = one
        return self._store[key]

    @cached_property
    def _store(self):
        return {}

    @cached_property
    def phantom(self):
        return make_brain_phantom(self.mt, (16, 16), random_state=0)

    def once(self, key, make):
        """Return what is made when it is first asked for."""
        if key not in self._store:
            self._store[key] = make()
        return self._store[key]

    def with_model(self, model):
        """Return `magnitudes` with another model."""
        return SimpleNamespace(**(vars(self.magnitudes) | {"model": model}))
