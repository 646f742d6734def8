"""Bias and spread of an estimator over the range of each parameter."""

import numpy as np

from .._arrays import as_reals
from .._validation import check_count, check_crb, check_model, check_targets
from ..metrics import BiasVariance
from ..metrics.realizations import Realizations, check_estimator, name_of
from ..parameters import wrapped_error
from ._panels import legend, panels
from ._units import scale_of

# Values up to which an axis is linear; it is logarithmic above, if they are far above.
_LINEAR, _FAR = 2.0, 5.0


class EfficiencyDisplay:
    """Bias and spread of an estimator in units of the bound, over each parameter.

    An efficient unbiased estimator has a spread of 1 and no bias. Use the class methods
    `from_estimator` and `from_predictions`.

    Parameters
    ----------
    values : ndarray of shape (n_parameters, n_bins)
        Middle of each bin of true values, in SI units; NaN where a parameter has
        fewer bins.
    bias_ratio, variance_ratio : ndarray of shape (n_parameters, n_bins)
        Means of bias^2/CRB and variance/CRB over the samples of each bin. The first is an
        unbiased estimate, and can be negative by chance.
    parameters : sequence of Parameter
        The parameters.
    n_lost : int, default=0
        Number of samples without a finite estimate in every realization, left out.
    name : str, default=None
        Name of the estimator for the legend.

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
        self, values, bias_ratio, variance_ratio, parameters, *, n_lost=0, name=None
    ):
        self.values = values
        self.bias_ratio = bias_ratio
        self.variance_ratio = variance_ratio
        self.parameters = tuple(parameters)
        self.n_lost = n_lost
        self.name = name

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
            do not share counts as spread.
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
        check_model(model)
        n_bins = check_count(n_bins, "n_bins")
        truth = check_targets(y_true, "y_true", model.parameter_names)
        if truth.shape[1] != model.n_parameters:
            raise ValueError(
                f"y_true has {truth.shape[1]} columns; the model has "
                f"{', '.join(model.parameter_names)}."
            )
        crb = check_crb(crb, truth.shape, model.parameter_names)
        predictions = as_reals(y_pred, "y_pred")
        if predictions.shape[-len(truth.shape) :] == (len(truth),):
            predictions = predictions[:, None]
        if predictions.shape[-2:] != truth.shape or predictions.ndim not in (2, 3):
            raise ValueError(
                f"y_pred has shape {predictions.shape}; give {truth.shape}, as y_true, or "
                "n_realizations of these along a first axis."
            )
        errors = wrapped_error(truth, predictions, model.periods)
        repeated = errors if errors.ndim == 3 else errors[None]
        found = np.isfinite(repeated).all(axis=(0, 2))
        columns = [
            _binned(truth[found, k], repeated[:, found, k], crb[found, k], n_bins)
            for k in range(model.n_parameters)
        ]
        values, bias, variance = (
            np.array([column[i] for column in columns]) for i in range(3)
        )
        display = cls(
            values,
            bias,
            variance,
            model.parameters,
            n_lost=int((~found).sum()),
            name=name,
        )
        return display.plot(ax=ax, **kwargs)

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
        spread = np.sqrt(self.variance_ratio)
        bias = np.sqrt(np.maximum(self.bias_ratio, 0.0))
        rows = zip(axes, self.parameters, self.values, spread, bias, strict=True)
        title = "" if name is None else f"{name}, "
        for axis, parameter, values, high, low in rows:
            scale = scale_of(parameter)
            x = scale.factor * values
            options = {"marker": "o", "ms": 3, **kwargs}
            (line,) = axis.plot(x, high, label=f"{title}spread", **options)
            same = {"ls": ":", **options, "color": line.get_color()}
            axis.plot(x, low, label=f"{title}bias", **same)
            axis.axhline(1, color="black", lw=0.8, label="bound")
            axis.set_xlabel(scale.label)
            _limit(axis)
            place = axis.get_subplotspec()
            if place is None or place.is_first_col():
                axis.set_ylabel(r"error / $\sqrt{\mathrm{CRB}}$")
        legend(axes, figure)
        self.axes_, self.figure_ = axes, figure
        return self


def _binned(values, errors, crb, n_bins):
    """Return middles of bins, bias^2/CRB and variance/CRB; NaN fills bins left over."""
    out = np.full((3, n_bins), np.nan)
    distinct = np.unique(values)
    if len(distinct) > n_bins:
        distinct = np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)))[:-1]
    places = np.searchsorted(distinct, values, side="right") - 1
    for i in range(len(distinct)):
        rows = (places == i) & np.isfinite(crb)
        some, bounds = errors[:, rows, None], crb[rows, None]
        if len(errors) == 1:
            # Samples take the place of realizations, in units of their bounds.
            some, bounds = some[0, :, None] / np.sqrt(bounds)[:, None], np.ones((1, 1))
        if some.size and len(some) > 1:
            quality = BiasVariance.from_errors(some, bounds)
            ratios = quality.bias_ratio[0], quality.variance_ratio[0]
            out[:, i] = np.median(values[rows]), *ratios
    return out


def _limit(axis):
    """Show all values from zero on, those far above the bound on a logarithmic scale."""
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axis.get_lines()]
    drawn = np.concatenate(drawn)
    highest = drawn[np.isfinite(drawn)].max(initial=1.0)
    if highest > _FAR:
        axis.set_yscale("symlog", linthresh=_LINEAR, linscale=1.5)
        decades = 10.0 ** np.arange(np.ceil(np.log10(highest)) + 1)
        ticks = np.concatenate([[0, 0.5], np.outer(decades, [1, 2, 5]).ravel()])
        axis.set_yticks(ticks[ticks <= 1.15 * highest])
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
    axis.set_ylim(0, max(1.5, 1.15 * highest))
