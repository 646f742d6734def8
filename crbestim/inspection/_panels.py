"""Axes for displays of one panel or several."""

import numpy as np

from .._optional import import_optional

# Most panels side by side, and the size of one, in inches.
_COLUMNS, _SIZE = 4, (3.2, 2.7)


def pyplot_for(display):
    """Return matplotlib's pyplot, or say what needs it."""
    return import_optional("matplotlib.pyplot", type(display).__name__, extra="plot")


def panels(display, ax, n):
    """Return a figure, and an array of axes for so many panels.

    `ax` is None for a new figure, axes, which several panels share as a grid, or a sequence
    of axes, one for each panel, as the ``axes_`` of a display.
    """
    plt = pyplot_for(display)
    n_columns = min(n, _COLUMNS) if n not in (5, 6) else 3
    n_rows = -(-n // n_columns)
    if ax is None:
        size = (_SIZE[0] * n_columns, _SIZE[1] * n_rows)
        size = size if n > 1 else (5.0, 4.0)
        figure = plt.figure(figsize=size, layout="constrained")
        grid = figure.add_gridspec(n_rows, n_columns)
    elif not isinstance(ax, plt.Axes):
        axes = np.ravel(np.array(ax, dtype=object))
        if len(axes) != n or not all(isinstance(one, plt.Axes) for one in axes):
            raise ValueError(
                f"ax holds {len(axes)} objects; {type(display).__name__} draws {n} panels: "
                f"give {n} matplotlib axes, one to be divided, or None."
            )
        return axes[0].figure, axes
    elif n == 1:
        return ax.figure, np.array([ax], dtype=object)
    else:
        figure, grid = ax.figure, ax.get_subplotspec()
        if grid is None:
            raise ValueError(
                f"ax is not part of a grid, and {type(display).__name__} draws {n} panels; "
                "give axes of pyplot.subplots, or one for each panel."
            )
        ax.set_axis_off()
        grid = grid.subgridspec(n_rows, n_columns)
    axes = [figure.add_subplot(grid[divmod(k, n_columns)]) for k in range(n)]
    return figure, np.array(axes, dtype=object)


def line_style(ls):
    """Return a handle for the legend that stands for a style of lines of any colour."""
    lines = import_optional("matplotlib.lines", "A display", extra="plot")
    return lines.Line2D([], [], color="0.4", ls=ls)


def legend(axes, figure, styles=None):
    """Draw what is labelled in the first panel, and styles that all lines share.

    It is inside the panel, or above several panels.
    """
    handles, labels = axes[0].get_legend_handles_labels()
    # Displays drawn on the same axes share what does not differ.
    unique = dict(zip(labels, handles, strict=True))
    for label, handle in (styles or {}).items():
        unique.setdefault(label, handle)
    if "bound" in unique:
        unique["bound"] = unique.pop("bound")
    if len(axes) == 1:
        axes[0].legend(unique.values(), unique.keys(), frameon=False)
        return
    for old in list(figure.legends):
        old.remove()
    options = dict(loc="outside upper center", ncols=min(len(unique), 4), frameon=False)
    figure.legend(unique.values(), unique.keys(), **options)
