"""The bound over a parameter."""

import numpy as np

from .._arrays import as_reals, as_theta
from .._options import check_choice
from .._validation import check_count, check_model
from .._warnings import ignored
from ..bounds import cramer_rao_bound
from ..exceptions import SingularInformationWarning
from ..noise import check_snr
from ._panels import legend, panels
from ._units import scale_of

# Largest over least standard deviation, from which on the axis is logarithmic.
_MANY = 20.0


class BoundDisplay:
    """Least standard deviation of each parameter over the values of one of them.

    Use the class method `from_model`.

    Parameters
    ----------
    values : ndarray of shape (n_points,)
        Values of the parameter on the horizontal axis, in SI units.
    std : ndarray of shape (n_samples, n_points, n_parameters)
        Square roots of the Cramér-Rao bound, in SI units; infinite where the data do not
        determine a parameter, which leaves a gap.
    over : Parameter
        The parameter on the horizontal axis.
    parameters : sequence of Parameter
        The parameters of the bounds.
    labels : sequence of str, default=None
        One for each sample, for the legend.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, shape (n_parameters,)
        One panel for each parameter.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> from crbestim.inspection import BoundDisplay
    >>> from crbestim.models import MultiEchoSpinEcho
    >>> model = MultiEchoSpinEcho([0.01, 0.02, 0.03, 0.04], signal="magnitude")
    >>> model.parameter_names
    ('T2', 'B1', 'M0')
    >>> display = BoundDisplay.from_model(model, [0.08, 0.9, 1.0], over="B1", n_points=9)
    >>> display.std.shape
    (1, 9, 3)
    """

    def __init__(self, values, std, over, parameters, *, labels=None):
        self.values = values
        self.std = std
        self.over = over
        self.parameters = tuple(parameters)
        self.labels = labels

    @classmethod
    def from_model(
        cls,
        model,
        theta,
        over,
        *,
        snr=100.0,
        values=None,
        n_points=50,
        labels=None,
        ax=None,
        **kwargs,
    ):
        """Compute the bound over a parameter, and draw it.

        Parameters
        ----------
        model : SignalModel
            The model.
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units, one curve a row; one sample may be a vector. The column
            of `over` does not matter.
        over : str
            Name of a parameter, or of the only known one of ``model.given(name)``.
        snr : float, default=100.0
            Signal-to-noise ratio abs(M0)/sigma.
        values : array-like of shape (n_points,), default=None
            Values of that parameter, by default all of its bounds.
        n_points : int, default=50
            Number of points, if `values` are not given.
        labels : sequence of str, default=None
            One for each row of theta, for the legend.
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw: axes to be divided, or one for each parameter, as ``axes_`` of
            another display. By default a new figure.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        BoundDisplay
            The display.

        Raises
        ------
        ValueError
            If there is no such parameter, its bounds are infinite and no values are given,
            or a number is out of range.
        """
        check_model(model)
        is_known = over in model.known_names if isinstance(over, str) else False
        if is_known and len(model.known_names) > 1:
            raise ValueError(
                f"over={over!r} is one of several known parameters, "
                f"{', '.join(model.known_names)}; give all but one a value with fix."
            )
        check_choice("over", over, model.parameter_names + model.known_names)
        every = (*model.parameters, *model.known_parameters)
        parameter = next(p for p in every if p.name == over)
        low, high = check_snr(snr)
        if low != high:
            raise ValueError(f"snr = {snr!r}; give one number.")
        values = _values_of(parameter, values, check_count(n_points, "n_points", least=2))
        theta = as_theta(theta, model.parameter_names)
        if labels is not None and len(labels) != len(theta):
            raise ValueError(
                f"labels has {len(labels)} entries; theta has {len(theta)} rows."
            )
        std = []
        for row in theta:
            rows = np.tile(row, (len(values), 1))
            if is_known:
                view = model.at(values[:, None])
            else:
                view, rows[:, model.parameter_names.index(over)] = model, values
            # The gap of a curve says that the bound is infinite.
            with ignored(SingularInformationWarning):
                std.append(np.sqrt(cramer_rao_bound(view, rows, noise_std=1 / low)))
        display = cls(values, np.array(std), parameter, model.parameters, labels=labels)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the least standard deviations, one panel for each parameter.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw, as in `from_model`.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        BoundDisplay
            Itself.
        """
        figure, axes = panels(self, ax, len(self.parameters))
        over = scale_of(self.over)
        labels = self.labels or [None] * len(self.std)
        std = np.where(np.isfinite(self.std), self.std, np.nan)
        for k, (axis, parameter) in enumerate(zip(axes, self.parameters, strict=True)):
            scale = scale_of(parameter)
            for label, curve in zip(labels, std[:, :, k], strict=True):
                x, y = over.factor * self.values, scale.factor * curve
                axis.plot(x, y, **{"label": label, **kwargs})
            axis.set(xlabel=over.label, ylabel=f"least sd of {scale.label}")
            _limit(axis, scale.factor * std[:, :, k])
        if axes[0].get_legend_handles_labels()[1]:
            legend(axes, figure)
        self.axes_, self.figure_ = axes, figure
        return self


def _limit(axis, drawn):
    """Show all from zero on, or on a logarithmic scale what grows many times."""
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    if drawn.size and drawn.max() > _MANY * drawn.min():
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)


def _values_of(parameter, values, n_points):
    """Return the values that were given, or points all over the bounds."""
    if values is not None:
        values = as_reals(values, "values")
        if values.ndim != 1 or not np.isfinite(values).all() or not values.size:
            raise ValueError(
                f"values have shape {values.shape}, or are not finite; give (n_points,) "
                f"values of {parameter.name}, in SI units."
            )
        return values
    if not np.isfinite(parameter.bounds).all():
        raise ValueError(
            f"{parameter.name} has the bounds {parameter.bounds}; give values, because "
            "these are not finite."
        )
    return np.linspace(*parameter.bounds, n_points)
