"""Confidence intervals of estimates."""

from numbers import Real

import numpy as np
from scipy.stats import norm, t

from .._linear_algebra import norms
from .._measurements import Measurements
from .._validation import check_features
from .._warnings import ignored, told_to_caller
from ..least_squares.likelihood import best_sigma, with_density
from ..noise import likelihood_of
from ._dictionary import rows_of
from ._reports import ROUGH


class IntervalMixin:
    """Adds `interval` to an estimator whose `predict` returns standard deviations."""

    def interval(self, X, level=0.95, *, sigma=None, known=None):
        """Confidence intervals, symmetric about the estimates.

        Parameters
        ----------
        X : array-like of shape (n_voxels, n_features)
            Signals, real or complex.
        level : float, default=0.95
            Share of intervals that hold the truth where standard deviations are a small
            share of the estimate, so that the signal is linear over the interval.
        sigma : float or array-like, default=None
            Noise of X per channel, as in `predict`. Without it each voxel's is estimated,
            and intervals are wider, with the quantiles of Student's t distribution in place
            of those of the normal distribution.
        known : array-like of shape (n_voxels, n_known), default=None
            Values of the parameters that the model is given, as in `predict`.

        Returns
        -------
        low, high : ndarray of shape (n_voxels,) or (n_voxels, n_outputs)
            Ends of the intervals, in SI units; NaN for voxels that cannot be estimated or
            whose noise nothing shows. They may lie outside the bounds of a parameter.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1, or `predict` refuses the rest.

        Examples
        --------
        >>> import numpy as np
        >>> from crbestim import NLLSRegressor
        >>> from crbestim.models import MonoExponential
        >>> echo_times = np.array([0.01, 0.03, 0.06, 0.1])
        >>> model = MonoExponential(echo_times, signal="magnitude")
        >>> X = 1500 * np.exp(-echo_times[None] / 0.08)
        >>> low, high = NLLSRegressor(model).fit(X).interval(X, sigma=15.0)
        >>> [end[0, 0].round(4).item() for end in (low, high)]
        [0.0758, 0.0842]
        """
        if not (isinstance(level, Real) and 0 < level < 1):
            raise ValueError(f"level = {level!r}; give a share between 0 and 1.")
        # Student's t makes up for noise that few numbers show.
        with told_to_caller(), ignored(UserWarning, pattern=ROUGH):
            y, std = self.predict(X, return_std=True, sigma=sigma, known=known)
        quantile = norm.ppf((1 + level) / 2)
        if sigma is None and getattr(self, "model_", self.model) is not None:
            n_free = self._freedom(X, known, y.reshape(len(y), -1))
            quantile = t.ppf((1 + level) / 2, n_free).reshape(-1, *[1] * (y.ndim - 1))
        return y - quantile * std, y + quantile * std

    def _freedom(self, X, known, y):
        """Return the degrees of freedom of the noise that each voxel shows."""
        found = np.isfinite(y).all(axis=1)
        known = self._check_known(known, len(y), reset=False)
        n_free = np.ones(len(y))
        if found.any():
            model = self._model_at(rows_of(known, found))
            data = Measurements.of(check_features(self, X, reset=False)[found])
            n_free[found] = freedom(model, data, y[found])
        return n_free


def freedom(model, data, y):
    """Return degrees of freedom at estimates, at least one.

    Of noise that is not Gaussian, samples with little signal have more or less than one.
    """
    n_free, noise = np.maximum(model._free_numbers(data), 1), likelihood_of(model)
    if noise is None:
        return n_free
    size, signal = norms(data.weighted)[:, None], model._simulate_voxels(y)[0]
    scaled, counts = (with_density(noise, data.X / size), signal / size), data.counts
    sigma = (
        best_sigma(noise, *scaled, np.ones(signal.shape), counts, n_free)[:, None] * size
    )
    shares = np.where(counts, noise.freedom(signal, sigma) - 1, 0.0)
    return np.maximum(n_free + shares.sum(axis=1), 1)
