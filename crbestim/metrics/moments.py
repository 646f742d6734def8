"""Bias and variance of an estimator over repeated noise."""

from dataclasses import dataclass

import numpy as np

from .._arrays import as_reals
from .._validation import check_crb, check_targets
from .efficiency import divide
from .realizations import Realizations, check_estimator

_CHI2_MEDIAN = 0.45493642311957283


@dataclass(frozen=True)
class BiasVariance:
    """Bias and variance of an estimator at given parameters.

    Parameters
    ----------
    bias, variance, crb : ndarray of shape (n_samples, n_outputs)
        Mean error and variance over the noise, and the bound, at each parameter set.
    squared_bias : ndarray of shape (n_samples, n_outputs)
        Unbiased estimate of bias^2: the squared mean error minus the variance over the
        number of realizations. It can be negative by chance.
    errors : ndarray of shape (n_realizations, n_samples, n_outputs)
        All errors.
    """

    bias: np.ndarray
    variance: np.ndarray
    crb: np.ndarray
    squared_bias: np.ndarray
    errors: np.ndarray

    @classmethod
    def from_errors(cls, errors, crb):
        """Compute bias and variance from errors.

        Parameters
        ----------
        errors : ndarray of shape (n_realizations, n_samples, n_outputs)
            Finite errors, of at least two realizations.
        crb : ndarray of shape (n_samples, n_outputs)
            Cramér-Rao bounds.

        Returns
        -------
        BiasVariance
            Bias, variance and bound.
        """
        errors = as_reals(errors, "errors")
        if errors.ndim != 3 or len(errors) < 2:
            raise ValueError(
                f"errors have shape {errors.shape}; give (n_realizations, n_samples, "
                "n_outputs) of at least two realizations."
            )
        crb = check_crb(crb, errors.shape[1:])
        bias, variance = errors.mean(axis=0), errors.var(axis=0, ddof=1)
        return cls(
            bias=bias,
            variance=variance,
            crb=crb,
            squared_bias=bias**2 - variance / len(errors),
            errors=errors,
        )

    def _mean(self, values):
        finite = np.isfinite(self.crb)
        ratio = np.where(finite, values / np.where(finite, self.crb, 1.0), 0.0)
        return divide(ratio.sum(axis=0), finite.sum(axis=0))

    @property
    def bias_ratio(self):
        """Mean of bias^2/CRB over the samples, of shape (n_outputs,)."""
        return self._mean(self.squared_bias)

    @property
    def variance_ratio(self):
        """Mean of variance/CRB over the samples, of shape (n_outputs,)."""
        return self._mean(self.variance)

    @property
    def loss(self):
        """CRB loss, of shape (n_outputs,): the sum of the two ratios."""
        return self._mean((self.errors**2).mean(axis=0))

    @property
    def median_ratio(self):
        """Median of error^2/CRB over that of a chi-square variable; ideally 1."""
        medians = np.full(self.crb.shape[1], np.nan)
        for k, finite in enumerate(np.isfinite(self.crb).T):
            if finite.any():
                ratios = self.errors[:, finite, k] ** 2 / self.crb[finite, k]
                medians[k] = np.median(ratios) / _CHI2_MEDIAN
        return medians

    @property
    def outlier_share(self):
        """Share of errors beyond five standard deviations of the bound."""
        outliers = (np.abs(self.errors) > 5 * np.sqrt(self.crb)).mean(axis=0)
        finite = np.isfinite(self.crb)
        return divide((outliers * finite).sum(axis=0), finite.sum(axis=0))


def bias_variance(estimator, model, theta, snr, n_realizations=16, *, random_state=None):
    """Bias and variance of a fitted estimator over repeated noise.

    Parameters
    ----------
    estimator : object
        Fitted estimator with ``predict``.
    model : SignalModel
        Model that simulates the signals; one with known parameters holds their values,
        ``model.given("B1").at(known)``.
    theta : array-like of shape (n_samples, n_parameters)
        Parameters, in SI units.
    snr : float
        Signal-to-noise ratio abs(M0)/sigma.
    n_realizations : int, default=16
        Noise realizations per parameter set, at least two.
    random_state : int, RandomState instance or None, default=None
        Seed of noise and phase.

    Returns
    -------
    BiasVariance
        Bias, variance and bound, and their means in units of the bound.

    Raises
    ------
    ValueError
        If a number is out of range, or some voxels have no estimate (NaN);
        :func:`compare_estimators` counts these.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.metrics import bias_variance
    >>> from crbestim.models import SignalModel
    >>> class Line(SignalModel):
    ...     parameter_names = ("slope",)
    ...     bounds = np.array([[-10.0, 10.0]])
    ...     def signal(self, theta):
    ...         return theta * np.array([1.0, 2.0])
    >>> class LeastSquares:
    ...     def predict(self, X):
    ...         return X @ np.array([[1.0], [2.0]]) / 5
    >>> report = bias_variance(LeastSquares(), Line(), [[1.0], [2.0]], snr=10,
    ...                        n_realizations=2000, random_state=0)
    >>> bool(abs(report.loss - 1) < 0.05)
    True
    """
    check_estimator(estimator, "estimator")
    noisy = Realizations(model, theta, snr, n_realizations, random_state)
    predictions = [noisy.predict(estimator, X) for X in noisy]
    for prediction in predictions:
        check_targets(prediction, "the estimator's prediction")
    return BiasVariance.from_errors(noisy.errors(predictions), noisy.crb)
