"""Coverage of confidence intervals."""

import numpy as np

from ..metrics import interval_coverage
from ._panels import legend, panels

_LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95, 0.99)


class CalibrationDisplay:
    """Share of confidence intervals that hold the truth, over the share that should.

    Use the class method `from_estimator`.

    Parameters
    ----------
    levels : ndarray of shape (n_levels,)
        Nominal shares.
    coverage : ndarray of shape (n_levels, n_parameters)
        Shares of intervals that hold the truth.
    parameters : sequence of Parameter
        The parameters.
    n_intervals : ndarray of shape (n_parameters,)
        Number of intervals of each parameter.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim import NLLSRegressor
    >>> from crbestim.inspection import CalibrationDisplay
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.03, 0.06, 0.1])
    >>> theta = np.linspace(0.05, 0.12, 200)[:, None]
    >>> fit = NLLSRegressor(model).fit(model.signal(theta))
    >>> display = CalibrationDisplay.from_estimator(fit, model, theta, snr=100,
    ...                                             levels=[0.5, 0.95], random_state=0)
    >>> bool(abs(display.coverage[:, 0] - display.levels).max() < 0.05)
    True
    """

    def __init__(self, levels, coverage, parameters, n_intervals):
        self.levels = levels
        self.coverage = coverage
        self.parameters = tuple(parameters)
        self.n_intervals = n_intervals

    @classmethod
    def from_estimator(
        cls,
        estimator,
        model,
        theta,
        snr,
        *,
        levels=_LEVELS,
        n_realizations=4,
        sigma_known=True,
        random_state=None,
        ax=None,
        **kwargs,
    ):
        """Compute confidence intervals of simulated voxels, and draw their coverage.

        Unlike scikit-learn's display of this name, which takes X and y, it takes a model
        and true parameters and simulates the data: coverage needs the truth and repeated
        noise.

        Parameters
        ----------
        estimator : object
            Fitted estimator with ``interval``.
        model : SignalModel
            Model that simulates the signals.
        theta : array-like of shape (n_samples, n_parameters)
            True parameters, in SI units.
        snr : float
            Signal-to-noise ratio abs(M0)/sigma.
        levels : array-like of shape (n_levels,)
            Nominal shares, between 0 and 1.
        n_realizations : int, default=4
            Noise realizations per parameter set, at least two.
        sigma_known : bool, default=True
            Whether the estimator is given the noise, or has to estimate it.
        random_state : int, RandomState instance or None, default=None
            Seed of noise and phase.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        CalibrationDisplay
            The display.
        """
        levels = np.array(levels, dtype=float)
        coverage, n_intervals = interval_coverage(
            estimator,
            model,
            theta,
            snr,
            levels,
            n_realizations,
            sigma_known=sigma_known,
            random_state=random_state,
        )
        return cls(levels, coverage, model.parameters, n_intervals).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw a line for each parameter, and where calibrated intervals lie.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        CalibrationDisplay
            Itself.
        """
        figure, axes = panels(self, ax, 1)
        axis = axes[0]
        for parameter, shares in zip(self.parameters, self.coverage.T, strict=True):
            label = f"${parameter.symbol}$" if parameter.symbol else parameter.name
            axis.plot(
                self.levels, shares, **{"marker": "o", "ms": 4, **kwargs}, label=label
            )
        nominal = np.linspace(0, 1, 101)
        chance = 2 * np.sqrt(nominal * (1 - nominal) / max(self.n_intervals.min(), 1))
        axis.fill_between(
            nominal,
            nominal - chance,
            nominal + chance,
            color="0.85",
            zorder=0,
            label="calibrated, two standard errors",
        )
        axis.plot([0, 1], [0, 1], color="black", lw=0.8, zorder=1)
        axis.set(xlabel="nominal level", ylabel="share of intervals that hold the truth")
        axis.set(xlim=(max(0, self.levels.min() - 0.05), 1))
        axis.set_ylim(max(0, min(self.levels.min(), np.nanmin(self.coverage)) - 0.05), 1)
        legend(axes, figure)
        self.ax_, self.figure_ = axis, figure
        return self
