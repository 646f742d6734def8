"""Images that a scanner computes from others, such as the UNI image of MP2RAGE.

Their noise is that of the images behind them, and depends on the parameters; their values
have an end. A model of such images has a true attribute ``computes_image``. What it says of
them holds for its views as well, but for one that is whitened, whose noise is given.
"""

import numpy as np

from ._warnings import warn

# Values beyond the ends by rounding errors, and such as no computed image has.
_ROUNDING, _NOT_AN_IMAGE = 1e-9, 1.0


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
        If several values are exactly 0, which measured ones hardly ever are.
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
    return ((finite >= low - _ROUNDING) & (finite <= high + _ROUNDING)).all(axis=1)


def _ends(model, image, n):
    """Return the least and the largest values of voxels, as columns."""
    is_open = model.known_names and model.known is None
    if is_open or model.parameter_names != (image.parameter_names[0],):
        return image._range
    theta = (np.full((n, 1), end) for end in image._reach)
    ends = [model._simulate_voxels(values)[0].real for values in theta]
    return np.minimum(*ends), np.maximum(*ends)
