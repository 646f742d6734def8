"""Bias and spread of an estimator over the range of each parameter."""

from functools import partial

import numpy as np

from .._arrays import as_reals
from .._validation import check_count, check_crb, check_model, check_targets
from ..metrics import BiasVariance
from ..metrics._amplitude import warn_of_scale
from ..metrics._units import warn_of_units
from ..metrics.realizations import Realizations, check_estimator, name_of, not_estimated
from ..parameters import wrapped_error
from ._panels import legend, line_style, panels
from ._units import scale_of

# Values up to which an axis is linear; it is logarithmic above, if they are far above.
_LINEAR, _FAR = 2.0, 5.0
# Decades up to which ticks are at 1, 2 and 5; with more, at 1 only.
_FEW_DECADES = 2


class EfficiencyDisplay:
    """Bias and spread of an estimator in units of the bound, over each parameter.

    An efficient unbiased estimator has a spread of 1 and no bias. Bands are two Monte Carlo
    standard errors wide on either side: a bias whose band reaches zero may be none. Use the
    class methods `from_estimator`, `from_predictions` and `from_moments`.

    Parameters
    ----------
    values : ndarray of shape (n_parameters, n_bins)
        Middle of each bin of true values, in SI units; NaN where a parameter has
        fewer bins.
    bias_ratio, variance_ratio : ndarray of shape (n_parameters, n_bins)
        Means of bias^2/CRB and variance/CRB over the samples of each bin. The first is an
        unbiased estimate, and can be negative by chance.
    parameters : sequence of Parameter
        The parameters; the class methods leave out those with a single true value, unless
        all have one.
    n_lost : int, default=0
        Number of samples without a finite estimate in every realization, left out.
    name : str, default=None
        Name of the estimator for the legend.
    bias_ratio_se, variance_ratio_se : ndarray of shape (n_parameters, n_bins), default=None
        Monte Carlo standard errors of the two ratios, as
        :meth:`BiasVariance.standard_errors <crbestim.metrics.BiasVariance.standard_errors>`
        gives them. Without them there are no bands.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, shape (n_parameters,)
        One panel for each parameter.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim import NLLSRegressor
    >>> from crbestim.inspection import EfficiencyDisplay
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.03, 0.06, 0.1])
    >>> theta = np.linspace(0.05, 0.12, 40)[:, None]
    >>> fit = NLLSRegressor(model).fit(model.signal(theta))
    >>> display = EfficiencyDisplay.from_estimator(fit, model, theta, snr=100, n_bins=4,
    ...                                            random_state=0)
    >>> display.variance_ratio.shape
    (1, 4)
    """

    def __init__(
        self,
        values,
        bias_ratio,
        variance_ratio,
        parameters,
        *,
        n_lost=0,
        name=None,
        bias_ratio_se=None,
        variance_ratio_se=None,
    ):
        self.values = values
        self.bias_ratio = bias_ratio
        self.variance_ratio = variance_ratio
        self.parameters = tuple(parameters)
        self.n_lost = n_lost
        self.name = name
        self.bias_ratio_se = bias_ratio_se
        self.variance_ratio_se = variance_ratio_se

    @classmethod
    def from_estimator(
        cls,
        estimator,
        model,
        theta,
        snr,
        *,
        n_realizations=16,
        n_bins=8,
        random_state=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Simulate noisy signals, estimate their parameters, and draw the errors.

        Parameters
        ----------
        estimator : object or callable
            Fitted estimator with ``predict``, or a function of X.
        model : SignalModel
            Model that simulates the signals.
        theta : array-like of shape (n_samples, n_parameters)
            True parameters, in SI units, spread over the ranges to be drawn.
        snr : float
            Signal-to-noise ratio abs(M0)/sigma.
        n_realizations : int, default=16
            Noise realizations per parameter set, at least two.
        n_bins : int, default=8
            Bins of each parameter, with equal numbers of samples; if it has no more values
            than that, each is a bin.
        random_state : int, RandomState instance or None, default=None
            Seed of noise and phase.
        name : str, default=None
            Name in the legend, by default that of the class or function.
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw: axes to be divided, or one for each parameter, as ``axes_`` of
            another display. By default a new figure.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        EfficiencyDisplay
            The display.
        """
        check_estimator(estimator, "estimator")
        noisy = Realizations(model, theta, snr, n_realizations, random_state)
        predictions = np.array([noisy.predict(estimator, X) for X in noisy])
        name = name_of(estimator) if name is None else name
        warn_of_scale(noisy, estimator, name)
        return cls.from_predictions(
            noisy.theta,
            predictions,
            noisy.crb,
            model,
            n_bins=n_bins,
            name=name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls, y_true, y_pred, crb, model, *, n_bins=8, name=None, ax=None, **kwargs
    ):
        """Draw the errors of estimates that exist already.

        Parameters
        ----------
        y_true : array-like of shape (n_samples, n_parameters)
            True parameters, in SI units.
        y_pred : array-like of shape (n_realizations, n_samples, n_parameters)
            Estimates for repeated noise, or one for each sample, (n_samples, n_parameters):
            the bias is then that which the samples of a bin have in common, and what they
            do not share counts as spread. A parameter that was not estimated is NaN
            throughout, and its panel stays empty.
        crb : array-like of shape (n_samples, n_parameters)
            Cramér-Rao bounds at the noise of the estimates; infinite entries are left out.
        model : SignalModel
            Model with the parameters.
        n_bins : int, default=8
            Bins of each parameter.
        name : str, default=None
            Name in the legend.
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw, as in `from_estimator`.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        EfficiencyDisplay
            The display.
        """
        truth, crb = _check_truth(y_true, crb, model)
        predictions = as_reals(y_pred, "y_pred")
        if predictions.shape[-len(truth.shape) :] == (len(truth),):
            predictions = predictions[:, None]
        if predictions.shape[-2:] != truth.shape or predictions.ndim not in (2, 3):
            raise ValueError(
                f"y_pred has shape {predictions.shape}; give {truth.shape}, as y_true, or "
                "n_realizations of these along a first axis."
            )
        warn_of_units(model.parameters, predictions, "y_pred" if name is None else name)
        absent = not_estimated(predictions)
        crb = np.where(absent, np.inf, crb)
        errors = wrapped_error(truth, predictions, model.periods)
        repeated = errors if errors.ndim == 3 else errors[None]
        found = np.isfinite(repeated[:, :, ~absent]).all(axis=(0, 2))
        quality = partial(_quality_of_errors, repeated)
        display = cls._of(truth, found, crb, quality, model, n_bins, name)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_moments(
        cls,
        y_true,
        mean,
        std,
        n_realizations,
        crb,
        model,
        *,
        n_bins=8,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Draw means and standard deviations over the noise, as publications give them.

        Parameters
        ----------
        y_true : array-like of shape (n_samples, n_parameters)
            True parameters, in SI units.
        mean, std : array-like of shape (n_samples, n_parameters)
            Mean and standard deviation of the estimates over the noise. A sample with an
            entry that is not finite is lost; a parameter that was not estimated is NaN
            throughout, and its panel stays empty.
        n_realizations : int
            Number of noise realizations behind them, at least two.
        crb : array-like of shape (n_samples, n_parameters)
            Cramér-Rao bounds at the noise of the estimates; infinite entries are left out.
        model : SignalModel
            Model with the parameters.
        n_bins : int, default=8
            Bins of each parameter.
        name : str, default=None
            Name in the legend.
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw, as in `from_estimator`.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        EfficiencyDisplay
            The display.

        Raises
        ------
        ValueError
            If shapes do not fit together, or there are fewer than two realizations.
        """
        truth, crb = _check_truth(y_true, crb, model)
        moments = as_reals(mean, "mean"), as_reals(std, "std")
        for part, what in zip(moments, ("mean", "std"), strict=True):
            if part.shape != truth.shape:
                raise ValueError(
                    f"{what} has shape {part.shape}; give {truth.shape}, as y_true."
                )
        absent = np.isnan(moments).all(axis=1).any(axis=0)
        found = (np.isfinite(moments).all(axis=0) | absent).all(axis=1)
        bias = wrapped_error(truth, moments[0], model.periods)
        quality = partial(_quality_of_moments, bias, moments[1], n_realizations)
        crb = np.where(absent, np.inf, crb)
        display = cls._of(truth, found, crb, quality, model, n_bins, name)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def _of(cls, truth, found, crb, quality, model, n_bins, name):
        """Return the display of what varies; `quality` returns that of some rows."""
        n_bins = check_count(n_bins, "n_bins")
        varies = (truth != truth[:1]).any(axis=0)
        columns = np.flatnonzero(varies) if varies.any() else range(truth.shape[1])
        parts = [
            _binned(truth[:, k], found, crb[:, k], quality, k, n_bins) for k in columns
        ]
        values, bias, variance, bias_se, variance_se = np.array(parts).transpose(1, 0, 2)
        return cls(
            values,
            bias,
            variance,
            [model.parameters[k] for k in columns],
            n_lost=int((~found).sum()),
            name=name,
            bias_ratio_se=bias_se,
            variance_ratio_se=variance_se,
        )

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw bias and spread, one panel for each parameter.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw, as in `from_estimator`.
        name : str, default=None
            Name in the legend.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        EfficiencyDisplay
            Itself.
        """
        name = self.name if name is None else name
        figure, axes = panels(self, ax, len(self.parameters))
        lines = (
            ("-", self.variance_ratio, self.variance_ratio_se),
            (":", self.bias_ratio, self.bias_ratio_se),
        )
        for k, (axis, parameter) in enumerate(zip(axes, self.parameters, strict=True)):
            scale, color = scale_of(parameter), None
            x = scale.factor * self.values[k]
            for ls, ratio, error in lines:
                options = {"marker": "o", "ms": 3, "ls": ls, "color": color, **kwargs}
                label = ("spread" if name is None else name) if ls == "-" else "_bias"
                (line,) = axis.plot(x, _root(ratio[k]), label=label, **options)
                color = line.get_color()
                if error is not None:
                    ends = (_root(ratio[k] + sign * 2 * error[k]) for sign in (-1, 1))
                    axis.fill_between(x, *ends, color=color, alpha=0.15, lw=0)
            axis.axhline(1, color="black", lw=0.8, label="bound")
            axis.set_xlabel(scale.label)
            _limit(axis)
            place = axis.get_subplotspec()
            if place is None or place.is_first_col():
                axis.set_ylabel(r"error / $\sqrt{\mathrm{CRB}}$")
        styles = {label: line_style(ls) for label, ls in (("spread", "-"), ("bias", ":"))}
        legend(axes, figure, styles)
        self.axes_, self.figure_ = axes, figure
        return self


def _check_truth(y_true, crb, model):
    """Return true parameters and bounds, one column for each parameter of the model."""
    check_model(model)
    truth = check_targets(y_true, "y_true", model.parameter_names)
    if truth.shape[1] != model.n_parameters:
        raise ValueError(
            f"y_true has {truth.shape[1]} columns; the model has "
            f"{', '.join(model.parameter_names)}."
        )
    return truth, check_crb(crb, truth.shape, model.parameter_names)


def _quality_of_errors(errors, rows, k, crb):
    """Return bias and variance of column k in some rows, None of too few errors."""
    some, bounds = errors[:, rows, k, None], crb[:, None]
    if len(errors) == 1:
        # Samples take the place of realizations, in units of their bounds.
        some, bounds = some[0, :, None] / np.sqrt(bounds)[:, None], np.ones((1, 1))
    return BiasVariance.from_errors(some, bounds) if some.size and len(some) > 1 else None


def _quality_of_moments(bias, std, n_realizations, rows, k, crb):
    """Return bias and variance of column k in some rows, None of no rows."""
    parts = bias[rows, k, None], std[rows, k, None], n_realizations, crb[:, None]
    return BiasVariance.from_moments(*parts) if rows.any() else None


def _binned(values, found, crb, quality, k, n_bins):
    """Return middles of bins, two ratios and their standard errors; NaN fills bins left."""
    out = np.full((5, n_bins), np.nan)
    distinct = np.unique(values[found])
    if len(distinct) > n_bins:
        ends = np.quantile(values[found], np.linspace(0, 1, n_bins + 1))
        distinct = np.unique(ends)[:-1]
    places = np.searchsorted(distinct, values, side="right") - 1
    for i in range(len(distinct)):
        rows = (places == i) & found & np.isfinite(crb)
        of_bin = quality(rows, k, crb[rows])
        if of_bin is not None:
            errors = of_bin.standard_errors()
            out[:, i] = (
                np.median(values[rows]),
                *(of_bin.bias_ratio[0], of_bin.variance_ratio[0]),
                *(errors["bias_ratio"][0], errors["variance_ratio"][0]),
            )
    return out


def _root(values):
    """Return roots, zero of what is negative by chance."""
    return np.sqrt(np.maximum(values, 0.0))


def _limit(axis):
    """Show all values from zero on, those far above the bound on a logarithmic scale."""
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axis.get_lines()]
    drawn = np.concatenate(drawn)
    highest = drawn[np.isfinite(drawn)].max(initial=1.0)
    if highest > _FAR:
        axis.set_yscale("symlog", linthresh=_LINEAR, linscale=1.5)
        decades = 10.0 ** np.arange(np.ceil(np.log10(highest)) + 1)
        steps = [1, 2, 5] if highest <= 10.0**_FEW_DECADES else [1]
        ticks = np.concatenate([[0, 0.5], np.outer(decades, steps).ravel()])
        axis.set_yticks(ticks[ticks <= 1.15 * highest])
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
    axis.set_ylim(0, max(1.5, 1.15 * highest))
