"""Signals of given parameters under repeated noise."""

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._arrays import COMPLEX_TARGET
from .._simulations import check_memory, random_state_of
from .._validation import check_count, check_model
from .._warnings import ignored
from ..bounds import cramer_rao_bound, noise_of_signals
from ..exceptions import AtBoundWarning, LowSignalWarning
from ..noise import add_noise, check_snr, noise_of_data
from ..parameters import wrapped_error


class Realizations:
    """Signals (n_samples, n_features) of theta under repeated noise, the same each pass."""

    def __init__(self, model, theta, snr, n_realizations, random_state):
        check_model(model)
        n_realizations = check_count(n_realizations, "n_realizations", least=2)
        low, high = check_snr(snr)
        if low != high:
            raise ValueError(f"snr = {snr!r}; give one number, the same for all samples.")
        self.model, self.snr = model, low
        snr = low
        self.theta = model.check_theta(theta)
        check_memory(n_realizations, self.theta.size, "n_realizations")
        self.sigma = noise_of_signals(model, self.theta, 1 / snr)
        self.signal, self.periods = model.signal(self.theta), model.periods
        self.known = model.known
        self.noise = noise_of_data(model)
        self.crb = cramer_rao_bound(model, self.theta, noise_std=1 / snr)
        self.seeds = np.random.SeedSequence(_entropy(random_state)).spawn(n_realizations)

    def __iter__(self):
        for seed in self.seeds:
            rng = np.random.default_rng(seed)
            yield add_noise(self.signal, 1 / self.sigma, rng, noise=self.noise)

    def predict(self, estimator, X):
        """Return predictions for X as columns.

        X : signals of the first parameter sets, or of all of them again and again.
        """
        given = self.given(len(X))
        # Errors tell what bounds and bias do, in every realization.
        with ignored(AtBoundWarning, LowSignalWarning):
            prediction = np.asarray(predict_of(estimator)(X, **given))
        shape = len(X), self.theta.shape[1]
        if prediction.dtype.kind == "c":
            raise ValueError(
                f"{COMPLEX_TARGET}: {name_of(estimator)} predicts complex numbers; "
                "parameters are real."
            )
        if prediction.shape not in (shape, shape[:1] if shape[1] == 1 else shape):
            raise ValueError(
                f"{name_of(estimator)} predicts shape {prediction.shape}; the "
                f"model's parameters ask for {shape}. A parameter that is not estimated "
                "is a column of NaN."
            )
        return prediction.reshape(shape).astype(float)

    def given(self, n):
        """Return the known values of so many signals, as arguments of an estimator."""
        if self.known is None:
            return {}
        return {"known": np.resize(self.known, (n, self.known.shape[1]))}

    def errors(self, predictions):
        """Return errors of predictions, (n_realizations, n_samples, n_parameters)."""
        return wrapped_error(self.theta, predictions, self.periods)


def not_estimated(*results):
    """Return which parameters, along the last axis, are NaN throughout one of the results.

    They do not count, as those without a bound; where there are no others, all are lost.
    """
    axes = [tuple(range(result.ndim - 1)) for result in results]
    pairs = zip(results, axes, strict=True)
    absent = np.any([np.isnan(result).all(axis=axis) for result, axis in pairs], axis=0)
    return absent & (not absent.all())


def predict_of(estimator):
    """Return what estimates: the method ``predict``, or the estimator as a function."""
    return getattr(estimator, "predict", estimator)


def name_of(estimator):
    """Return what an estimator is called: a function by its name, others by their class."""
    return getattr(estimator, "__name__", type(estimator).__name__)


def check_estimator(estimator, name):
    """Refuse what cannot predict: a fitted object with ``predict`` can, or a function."""
    if isinstance(estimator, type) or not callable(predict_of(estimator)):
        raise TypeError(
            f"{name} is {estimator!r}; give a fitted estimator, an object with predict, or "
            "a function of X."
        )
    if hasattr(estimator, "fit") and hasattr(estimator, "__sklearn_tags__"):
        where = name.replace("%", "%%")
        message = f"{where} is a %(name)s that is not fitted; call its fit first."
        check_is_fitted(estimator, msg=message)


def _entropy(random_state):
    is_seed = isinstance(random_state, Integral) and random_state >= 0
    if random_state is None or is_seed:
        return random_state
    return int(random_state_of(random_state).randint(2**31 - 1))
