"""Signals of given parameters under repeated noise."""

import numpy as np

from .._validation import COMPLEX_TARGET
from ..bounds import cramer_rao_bound
from ..datasets.noise import add_noise
from .efficiency import wrapped_error


class Realizations:
    """Signals of given parameters under repeated noise, the same at every pass.

    Parameters
    ----------
    model : SignalModel
        Model that simulates the signals; if some of its parameters are known, at their
        values, which ``predict`` is told as ``known``.
    theta : array-like of shape (n_samples, n_parameters)
        Parameters, in SI units.
    snr : float
        Signal-to-noise ratio abs(M0)/sigma.
    n_realizations : int
        Noise realizations per parameter set, at least two.
    random_state : int, RandomState instance or None
        Seed of noise and phase.

    Raises
    ------
    ValueError
        If a number is not allowed, or theta does not fit the model.
    """

    def __init__(self, model, theta, snr, n_realizations, random_state):
        if n_realizations < 2:
            raise ValueError(
                f"n_realizations = {n_realizations}; a variance needs at least 2."
            )
        if np.ndim(snr) or not 0 < snr < np.inf:
            raise ValueError(f"snr = {snr!r}; give one positive number.")
        self.theta, self.snr = model.check_theta(theta), snr
        self.signal, self.periods = model.evaluate(self.theta), model.periods
        self.known = model.known
        self.is_magnitude = model.is_magnitude
        self.crb = cramer_rao_bound(model, self.theta, noise_std=1 / snr)
        self.seeds = np.random.SeedSequence(_entropy(random_state)).spawn(n_realizations)

    def __iter__(self):
        for seed in self.seeds:
            rng = np.random.default_rng(seed)
            yield add_noise(self.signal, self.snr, rng, is_magnitude=self.is_magnitude)

    def predict(self, estimator, X):
        """Return an estimator's predictions as columns.

        Parameters
        ----------
        estimator : object
            Fitted estimator with ``predict``.
        X : ndarray of shape (n_samples, n_features)
            Noisy signals of all parameter sets, or of the first of them.

        Returns
        -------
        ndarray of shape (n_samples, n_parameters)
            Predictions, which may be NaN.

        Raises
        ------
        ValueError
            If they are complex or of another shape.
        """
        given = {} if self.known is None else {"known": self.known[: len(X)]}
        prediction = np.asarray(estimator.predict(X, **given))
        shape = len(X), self.theta.shape[1]
        if prediction.dtype.kind == "c":
            raise ValueError(
                f"{COMPLEX_TARGET}: {type(estimator).__name__} predicts complex numbers; "
                "parameters are real."
            )
        if prediction.shape not in (shape, shape[:1] if shape[1] == 1 else shape):
            raise ValueError(
                f"{type(estimator).__name__} predicts shape {prediction.shape}; the "
                f"model's parameters ask for {shape}."
            )
        return prediction.reshape(shape).astype(float)

    def errors(self, predictions):
        """Return errors of the predictions of all realizations.

        Parameters
        ----------
        predictions : array-like of shape (n_realizations, n_samples, n_parameters)
            Predictions, one realization after the other.

        Returns
        -------
        ndarray of shape (n_realizations, n_samples, n_parameters)
            Errors, those of periodic parameters modulo their period.
        """
        return wrapped_error(self.theta, predictions, self.periods)


def _entropy(random_state):
    if random_state is None or isinstance(random_state, int | np.integer):
        return random_state
    return int(random_state.randint(2**31 - 1))
