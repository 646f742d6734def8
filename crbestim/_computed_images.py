"""Images that a scanner computes from others, such as the UNI image of MP2RAGE.

Their noise is that of the images behind them, and depends on the parameters; their values
have an end. A model of such images has a true attribute ``computes_image``. What it says of
them holds for its views as well, but for one that is whitened, whose noise is given.
"""

import numpy as np

from ._warnings import warn

# Values beyond the ends by rounding errors, and such as no computed image has.
_ROUNDING, _NOT_AN_IMAGE = 1e-9, 1.0
# Share of voxels without an estimate, because of the bounds alone, that is not told.
_TOLERATED = 0.01


def computed_image(model):
    """Return the model of computed images behind views, or None if it has no such."""
    while hasattr(model, "_step") and not hasattr(model, "whitening"):
        model = model.model
    return model if getattr(model, "computes_image", False) else None


def noise_scale(model, theta):
    """Return what multiplies sigma in the noise of samples, a number or one a row."""
    image = computed_image(model)
    if image is None:
        return 1.0
    while model is not image:
        theta = model.join(theta) if hasattr(model, "join") else theta
        model = model.model
    return image._noise_scale(theta)


def check_scale(model, X):
    """Refuse values that computed images cannot have, such as a scanner's integers."""
    image = computed_image(model)
    if image is None:
        return
    largest = np.abs(np.where(np.isfinite(X), X, 0.0)).max(initial=0.0)
    if largest > _NOT_AN_IMAGE:
        raise ValueError(f"X reaches {largest:.6g}; {image._scale_of_values}.")


def reached(model, X):
    """Return which rows of X a model can have, up to rounding.

    Raises
    ------
    ValueError
        If values of computed images have another scale.

    Warns
    -----
    UserWarning
        If several values are exactly 0, which measured ones hardly ever are, or if more
        than 1 % are beyond the end of the bounds, but not beyond that of the images.
    """
    image = computed_image(model)
    if image is None:
        return np.ones(len(X), dtype=bool)
    check_scale(model, X)
    n_empty = np.count_nonzero(~X.any(axis=1))
    if n_empty > 1:
        warn(
            f"X is exactly 0 in {n_empty} voxels, as masks leave them; 0 is also the value "
            "of a tissue, and they get its estimate: leave voxels without signal out",
            UserWarning,
            stacklevel=4,
        )
    finite = np.where(np.isfinite(X), X, 0.0)
    low, high = _ends(model, image, len(X))
    above = finite >= low - _ROUNDING
    _warn_of_bounds(model, image, (~above & (finite >= image._range[0])).any(axis=1))
    return (above & (finite <= high + _ROUNDING)).all(axis=1)


def _warn_of_bounds(model, image, lost):
    """Warn of values that the bounds leave without an estimate, such as those of fluid."""
    n = np.count_nonzero(lost)
    if n <= _TOLERATED * len(lost):
        return
    name, unit = image.parameters[0].name, image.parameters[0].unit
    low, high = image.bounds[0]
    known = f" at their {', '.join(model.known_names)}" if model.known_names else ""
    warn(
        f"in {n} of {len(lost)} voxels X belongs to none, or to two, of the {name} from "
        f"{low:.3g} to {high:.3g} {unit}{known}, and they have no estimate: other bounds "
        f"of {name} may reach them",
        UserWarning,
        stacklevel=5,
    )


def _ends(model, image, n):
    """Return the least and the largest values of voxels, as columns."""
    is_open = model.known_names and model.known is None
    if is_open or model.parameter_names != (image.parameter_names[0],):
        return image._range
    theta = (np.full((n, 1), end) for end in image._reach)
    ends = [model._simulate_voxels(values)[0].real for values in theta]
    return np.minimum(*ends), np.maximum(*ends)
