"""The amplitude of real signals: the parameter that they are proportional to."""

import numpy as np

# Error of a signal of twice the amplitude, over its norm, that rounding explains.
_ROUNDING = 1e-9


def find_amplitude(model):
    """Return the column of a model's amplitude in theta, or None if it has none.

    Raises
    ------
    ValueError
        If the amplitude is not a parameter, may be negative, or is not the overall factor
        of a real signal.
    """
    name = model.amplitude
    if name is None:
        return None
    label = f"amplitude = {name!r} of {model._label}"
    if not isinstance(name, str) or name not in model.parameter_names:
        raise ValueError(
            f"{label} is none of its parameters, {', '.join(model.parameter_names)}; name "
            "the overall factor of the signal, or leave it out."
        )
    if model.is_complex:
        raise ValueError(
            f"{label} is for real signals, and this one is complex, known up to a complex "
            "factor M0; leave that parameter out."
        )
    column = model.parameter_names.index(name)
    if not 0 <= model.bounds[column, 0] < np.inf:
        raise ValueError(
            f"{label} has bounds from {model.bounds[column, 0]:g}; an amplitude is not "
            "negative: give bounds such as (0, inf)."
        )
    _check_proportional(model, column, label)
    return column


def _check_proportional(model, column, label):
    """Refuse an amplitude that is not the overall factor of the signal."""
    low, high = model._finite_bounds.T
    theta = np.stack([low + share * (high - low) for share in (0.3, 0.5, 0.5)])
    theta[1:, column] *= 0.5, 1.0
    ratio = theta[2, column] / theta[1, column]
    signal = model._checked_signal(theta)
    error = np.abs(signal[2] - ratio * signal[1]).max()
    # A model that fails in the middle of its bounds says so where it is used.
    if error > _ROUNDING * np.abs(signal[2]).max():
        raise ValueError(
            f"{label} is not the overall factor of the signal, which is not proportional "
            "to it; name another parameter, or leave it out."
        )
