"""Loss of a network over its training."""

import numpy as np

from ..network.losses import LOSSES
from ._panels import legend, panels


class TrainingDisplay:
    """Training and validation loss of a network over its epochs.

    Use the class method `from_estimator`.

    Parameters
    ----------
    epochs : ndarray of shape (n_epochs,)
        Numbers of the epochs.
    loss : ndarray of shape (n_epochs,)
        Training loss.
    validation_loss : ndarray of shape (n_epochs,) or None
        Loss of held-out samples, if there are any.
    in_bounds : bool, default=True
        Whether the loss is a mean of squared errors in units of the bound, of which an
        ideal unbiased estimator has 1.
    name : str, default=None
        Name of the network for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> from crbestim import CRBRegressor
    >>> from crbestim.datasets import make_fingerprints
    >>> from crbestim.inspection import TrainingDisplay
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.03, 0.06, 0.1])
    >>> X, y = make_fingerprints(model, 200, random_state=0)
    >>> network = CRBRegressor(model, hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    >>> display = TrainingDisplay.from_estimator(network.fit(X, y))
    >>> display.epochs.tolist()
    [1, 2, 3]
    """

    def __init__(self, epochs, loss, validation_loss, *, in_bounds=True, name=None):
        self.epochs = epochs
        self.loss = loss
        self.validation_loss = validation_loss
        self.in_bounds = in_bounds
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, name=None, ax=None, **kwargs):
        """Draw the losses of a fitted network.

        Parameters
        ----------
        estimator : CRBRegressor or Pipeline
            Fitted network, or a pipeline that ends with one.
        name : str, default=None
            Name in the legend.
        ax : matplotlib Axes, default=None
            Where to draw, the ``ax_`` of another display for instance; by default a new
            figure.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        TrainingDisplay
            The display.

        Raises
        ------
        TypeError
            If the estimator has no history of a training.
        """
        network = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
        history = getattr(network, "history_", None)
        if not history or not hasattr(network, "loss"):
            raise TypeError(
                f"estimator is {estimator!r}, which has no history_; give a fitted "
                "CRBRegressor, or a pipeline that ends with one."
            )
        epochs = np.array([record["epoch"] for record in history])
        loss, held_out = (
            np.array([record.get(key, np.nan) for record in history], dtype=float)
            for key in ("loss", "validation_loss")
        )
        held_out = held_out if np.isfinite(held_out).any() else None
        kind = LOSSES.get(network.loss, network.loss)
        in_bounds = kind.uses_bound and kind.n_realizations == 1
        display = cls(epochs, loss, held_out, in_bounds=in_bounds, name=name)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the losses on a logarithmic scale.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        name : str, default=None
            Name in the legend.
        **kwargs
            Options of the lines, for ``Axes.plot``.

        Returns
        -------
        TrainingDisplay
            Itself.
        """
        figure, axes = panels(self, ax, 1)
        axis, name = axes[0], self.name if name is None else name
        title = "" if name is None else f"{name}, "
        (line,) = axis.plot(self.epochs, self.loss, label=f"{title}training", **kwargs)
        if self.validation_loss is not None:
            same = {"ls": "--", **kwargs, "color": line.get_color()}
            axis.plot(self.epochs, self.validation_loss, label=f"{title}validation", **same)
        if self.in_bounds:
            axis.axhline(1, color="black", lw=0.8, label="bound")
        axis.set(yscale="log", xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylabel("loss in units of the bound" if self.in_bounds else "loss")
        legend(axes, figure)
        self.ax_, self.figure_ = axis, figure
        return self
