"""Maps of estimates."""

import numpy as np

from .._arrays import as_array, as_reals
from .._options import check_by_name, check_flag, check_names
from .._validation import check_model
from ._panels import panels, pyplot_for
from ._units import range_of, range_of_values, scale_of

# Colour of voxels without an estimate.
_MISSING = "magenta"


class MapsDisplay:
    """Maps of estimates, one for each parameter, with units and colour bars.

    Use the class method `from_predictions`.

    Parameters
    ----------
    values : ndarray of shape (n_voxels, n_maps)
        Estimates of all voxels of the mask, in SI units.
    mask : ndarray of bool, of two or three axes
        Where the voxels are.
    parameters : sequence of Parameter
        One for each map.
    ranges : sequence of tuple of float
        Ends of the colour bars, in SI units.
    section : int, default=None
        The plane along the last axis that is drawn, if the mask has three.
    upright : bool, default=False
        Whether the first axis is drawn to the right and the second upwards.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, shape (n_maps,)
        One panel for each map.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.inspection import MapsDisplay
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.03, 0.06, 0.1])
    >>> mask = np.array([[False, True], [True, True]])
    >>> display = MapsDisplay.from_predictions([[0.08], [0.07], [np.nan]], mask, model)
    >>> display.axes_[0].get_title()
    '$T_2$ (ms)'
    """

    def __init__(self, values, mask, parameters, ranges, *, section=None, upright=False):
        self.values = values
        self.mask = mask
        self.parameters = tuple(parameters)
        self.ranges = tuple(ranges)
        self.section = section
        self.upright = upright

    @classmethod
    def from_predictions(
        cls,
        values,
        mask,
        model,
        *,
        names=None,
        ranges=None,
        section=None,
        upright=False,
        title=None,
        ax=None,
        **kwargs,
    ):
        """Draw maps of what an estimator has predicted.

        Parameters
        ----------
        values : array-like of shape (n_voxels, n_parameters) or (n_voxels,)
            Estimates, in SI units, one row for each voxel of the mask, in the order of
            ``images[mask]``.
        mask : array-like of bool, of two or three axes
            Where the voxels are.
        model : SignalModel
            Model with the parameters.
        names : sequence of str, default=None
            Names of the parameters to draw, by default all.
        ranges : dict or "values", default=None
            Ends of colour bars, (low, high) in SI units by parameter name. The others hold
            98 % of the parameter's distribution, or all of its bounds; infinite ones follow
            the values, but for outliers. "values" makes all follow them, for standard
            deviations for instance.
        section : int, default=None
            The plane along the last axis to draw, if the mask has three axes; by default
            the one with most voxels.
        upright : bool, default=False
            Whether to draw the first axis to the right and the second upwards, as those of
            NIfTI volumes mostly are; by default the first goes down, as in a matrix.
        title : str, default=None
            Title of the figure.
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw: axes to be divided, or one for each map. By default a new figure.
        **kwargs
            Options of the images, for ``Axes.imshow``.

        Returns
        -------
        MapsDisplay
            The display.

        Raises
        ------
        ValueError
            If values, mask and model do not fit each other, or a name is unknown.
        """
        check_model(model)
        mask, values = _check_mask(mask), as_reals(values, "values")
        if values.ndim == 1 and model.n_parameters == 1:
            values = values[:, None]
        if values.shape != (mask.sum(), model.n_parameters):
            raise ValueError(
                f"values have shape {values.shape}; give ({mask.sum()}, "
                f"{model.n_parameters}): a row for each voxel of the mask, with columns "
                f"{', '.join(model.parameter_names)}."
            )
        names = model.parameter_names if names is None else check_names(names, "names")
        check_by_name(dict.fromkeys(names), model.parameter_names, "names", "maps")
        usual = range_of
        if isinstance(ranges, str) and ranges == "values":
            ranges, usual = None, _range_of_values
        ranges = check_by_name(ranges, model.parameter_names, "ranges", "ranges")
        columns = [model.parameter_names.index(name) for name in names]
        parameters, values = [model.parameters[k] for k in columns], values[:, columns]
        ends = [
            _check_range(ranges[p.name], p.name) if p.name in ranges else usual(p, v)
            for p, v in zip(parameters, values.T, strict=True)
        ]
        section = _check_section(section, mask)
        options = dict(section=section, upright=check_flag("upright", upright))
        display = cls(values, mask, parameters, ends, **options)
        return display.plot(ax=ax, title=title, **kwargs)

    def plot(self, ax=None, *, title=None, **kwargs):
        """Draw the maps; voxels of the mask without a finite value are magenta.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw, as in `from_predictions`.
        title : str, default=None
            Title of the figure.
        **kwargs
            Options of the images, for ``Axes.imshow``.

        Returns
        -------
        MapsDisplay
            Itself.
        """
        figure, axes = panels(self, ax, len(self.parameters))
        rows = zip(axes, self.parameters, self.values.T, self.ranges, strict=True)
        for axis, parameter, values, (low, high) in rows:
            scale = scale_of(parameter)
            ends = {"vmin": scale.factor * low, "vmax": scale.factor * high}
            colours = {"cmap": "RdBu_r" if low < 0 < high else "viridis"}
            image = self._image(np.where(np.isfinite(values), values, np.nan))
            missing = self._image(~np.isfinite(values)) == 1
            options = {**ends, **colours, **kwargs}
            picture = axis.imshow(scale.factor * image, **options)
            if missing.any():
                self._mark(axis, missing)
            shown = values[np.isfinite(values)]
            extend = _EXTEND[bool((shown < low).any()), bool((shown > high).any())]
            figure.colorbar(picture, ax=axis, shrink=0.8, extend=extend)
            axis.set_title(scale.label)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        if title is not None:
            figure.suptitle(title)
        if ax is None:
            # Titles above images of a fixed aspect take a second round of the layout.
            figure.draw_without_rendering()
        self.axes_, self.figure_ = axes, figure
        return self

    def _image(self, values):
        """Put values of voxels back where they were, NaN outside of the mask."""
        image = np.full(self.mask.shape, np.nan)
        image[self.mask] = values
        image = image if self.section is None else image[..., self.section]
        return image.T[::-1] if self.upright else image

    def _mark(self, axis, missing):
        """Colour voxels without an estimate, and say how many they are."""
        colors = pyplot_for(self).matplotlib.colors
        picture = np.zeros((*missing.shape, 4))
        picture[missing] = colors.to_rgba(_MISSING)
        axis.imshow(picture)
        axis.set_xlabel(f"{missing.sum()} without estimate", color=_MISSING)


_EXTEND = {
    (False, False): "neither",
    (True, False): "min",
    (False, True): "max",
    (True, True): "both",
}


def _range_of_values(parameter, values):
    return range_of_values(values)


def _check_mask(mask):
    """Return a mask of two or three axes that holds some voxels."""
    mask = as_array(mask, "mask")
    if mask.dtype.kind != "b" or mask.ndim not in (2, 3) or not mask.any():
        raise ValueError(
            f"mask has shape {mask.shape}, type {mask.dtype}; give an array of True and "
            "False with two or three axes, True in some voxels."
        )
    return mask


def _check_range(ends, name):
    """Return the two ends of a colour bar."""
    pair = as_reals(ends, f"ranges[{name!r}]")
    if pair.shape != (2,) or not np.isfinite(pair).all() or not pair[0] < pair[1]:
        raise ValueError(f"ranges[{name!r}] = {ends!r}; give (low, high), low < high.")
    return tuple(pair.tolist())


def _check_section(section, mask):
    """Return the plane to draw, or None of a plane mask."""
    if mask.ndim == 2:
        if section is not None:
            raise ValueError(f"section = {section!r}, but the mask has only two axes.")
        return None
    if section is None:
        return int(mask.sum(axis=(0, 1)).argmax())
    if isinstance(section, bool) or section not in range(mask.shape[2]):
        raise ValueError(
            f"section = {section!r}; give a whole number from 0 to {mask.shape[2] - 1}."
        )
    return int(section)
