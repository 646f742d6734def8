"""Bias and variance of an estimator over repeated noise."""

from dataclasses import dataclass

import numpy as np

from .._arrays import as_reals
from .._validation import check_count, check_crb, check_targets
from ._amplitude import warn_of_scale
from ._units import warn_of_units
from .efficiency import divide
from .realizations import Realizations, check_estimator, name_of, not_estimated

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
    errors : ndarray of shape (n_realizations, n_samples, n_outputs) or None
        All errors, if they are known.
    n_realizations : int, default=None
        Number of realizations, by default that of the errors.
    """

    bias: np.ndarray
    variance: np.ndarray
    crb: np.ndarray
    squared_bias: np.ndarray
    errors: np.ndarray | None
    n_realizations: int | None = None

    def __post_init__(self):
        if self.n_realizations is None and self.errors is not None:
            object.__setattr__(self, "n_realizations", len(self.errors))

    @classmethod
    def from_errors(cls, errors, crb):
        """Compute bias and variance from errors.

        Parameters
        ----------
        errors : ndarray of shape (n_realizations, n_samples, n_outputs)
            Finite errors, of at least two realizations; any where the bound is infinite.
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
        bias, variance = errors.mean(axis=0), errors.var(axis=0, ddof=1)
        return cls._of(bias, variance, crb, len(errors), errors)

    @classmethod
    def from_moments(cls, bias, std, n_realizations, crb):
        """Compute the same from means and standard deviations, as publications give them.

        Parameters
        ----------
        bias : ndarray of shape (n_samples, n_outputs)
            Mean errors over the noise; finite.
        std : ndarray of shape (n_samples, n_outputs)
            Standard deviations over the noise, whose squares are unbiased estimates of the
            variance (``ddof=1``).
        n_realizations : int
            Number of realizations, at least two.
        crb : ndarray of shape (n_samples, n_outputs)
            Cramér-Rao bounds.

        Returns
        -------
        BiasVariance
            Bias, variance and bound; median and outliers are NaN, because they do not
            follow from moments.
        """
        bias, std = as_reals(bias, "bias"), as_reals(std, "std")
        n_realizations = check_count(n_realizations, "n_realizations", least=2)
        if bias.ndim != 2 or std.shape != bias.shape:
            raise ValueError(
                f"bias has shape {bias.shape} and std {std.shape}; give two arrays "
                "(n_samples, n_outputs)."
            )
        if not np.isfinite(bias).all() or not (std >= 0).all() or np.isinf(std).any():
            raise ValueError("bias or std holds values that are not finite, or negative.")
        return cls._of(bias, std**2, crb, n_realizations, None)

    @classmethod
    def _of(cls, bias, variance, crb, n, errors):
        return cls(
            bias=bias,
            variance=variance,
            crb=check_crb(crb, bias.shape),
            squared_bias=bias**2 - variance / n,
            errors=errors,
            n_realizations=n,
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
        if self.errors is None:
            return self._mean(self.squared_bias + self.variance)
        return self._mean((self.errors**2).mean(axis=0))

    @property
    def median_ratio(self):
        """Median of error^2/CRB over that of a chi-square variable; ideally 1."""
        medians = np.full(self.crb.shape[1], np.nan)
        if self.errors is None:
            return medians
        for k, finite in enumerate(np.isfinite(self.crb).T):
            if finite.any():
                ratios = self.errors[:, finite, k] ** 2 / self.crb[finite, k]
                medians[k] = np.median(ratios) / _CHI2_MEDIAN
        return medians

    @property
    def outlier_share(self):
        """Share of errors beyond five standard deviations of the bound."""
        if self.errors is None:
            return np.full(self.crb.shape[1], np.nan)
        finite = np.isfinite(self.crb)
        outliers = self._are_outliers.mean(axis=0)
        return divide((outliers * finite).sum(axis=0), finite.sum(axis=0))

    @property
    def _are_outliers(self):
        return np.abs(self.errors) > 5 * np.sqrt(self.crb)

    def standard_errors(self):
        r"""Monte Carlo standard errors of the means, from the spread over the noise.

        They hold for the given samples: that others could have been drawn does not count.
        Of n realizations of variance :math:`\sigma^2` and fourth cumulant :math:`\kappa`,
        the variance has the variance :math:`\kappa / n + 2 \sigma^4 / (n - 1)`, and
        squared_bias has :math:`4 b^2 \sigma^2 / n + 2 \sigma^4 / (n (n - 1))`. With fewer
        than four realizations, or moments alone, :math:`\kappa` is 0, as of normal errors.

        Returns
        -------
        dict of ndarray of shape (n_outputs,)
            Of ``loss``, ``bias_ratio``, ``variance_ratio`` and ``outlier_share``; NaN for
            the last without errors.
        """
        n, variance = self.n_realizations, self.variance
        cumulant = self._fourth_cumulant()
        fourth = (variance**2 - cumulant / n) * (n - 1) / (n + 1)
        of_variance = cumulant / n + 2 * fourth / (n - 1)
        pairs = 2 * fourth / (n * (n - 1))
        of_bias = 4 / n * (self.squared_bias * variance + pairs) + pairs
        if self.errors is None:
            # Of normal errors, mean and variance are independent.
            of_loss = of_bias + of_variance
            of_outliers = np.full(self.crb.shape, np.nan)
        else:
            of_loss = (self.errors**2).var(axis=0, ddof=1) / n
            of_outliers = self._are_outliers.var(axis=0, ddof=1) / n * self.crb**2
        return {
            "loss": self._error(of_loss),
            "bias_ratio": self._error(of_bias),
            "variance_ratio": self._error(of_variance),
            "outlier_share": self._error(of_outliers),
        }

    def _fourth_cumulant(self):
        """Return Fisher's k-statistic of fourth order, 0 of too few realizations."""
        n = self.n_realizations
        if self.errors is None or n < 4:
            return 0.0
        away = (self.errors - self.bias) ** 2
        second, fourth = away.mean(axis=0), (away**2).mean(axis=0)
        factor = n**2 / ((n - 1) * (n - 2) * (n - 3))
        return factor * ((n + 1) * fourth - 3 * (n - 1) * second**2)

    def _error(self, variances):
        """Return the standard error of a mean in units of the bound."""
        finite = np.isfinite(self.crb)
        squares = np.where(finite, variances / np.where(finite, self.crb, 1.0) ** 2, 0.0)
        total = np.maximum(squares.sum(axis=0), 0.0)
        return divide(np.sqrt(total), finite.sum(axis=0))


def bias_variance(estimator, model, theta, snr, n_realizations=16, *, random_state=None):
    """Bias and variance of a fitted estimator over repeated noise.

    Parameters
    ----------
    estimator : object or callable
        Fitted estimator with ``predict``, or a function of X that returns estimates.
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
        Bias, variance and bound, and their means in units of the bound. A parameter that
        is not estimated, NaN throughout, has an infinite bound there, and is left out.

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
    absent = not_estimated(np.array(predictions))
    for prediction in predictions:
        check_targets(prediction[:, ~absent], "the estimator's prediction")
    warn_of_units(model.parameters, np.array(predictions), name_of(estimator))
    warn_of_scale(noisy, estimator, name_of(estimator))
    crb = np.where(absent, np.inf, noisy.crb)
    return BiasVariance.from_errors(noisy.errors(predictions), crb)
