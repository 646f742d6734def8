"""Magnitudes of signals, and their derivatives."""

import numpy as np


def direction(z):
    """Return the conjugate sign or phase of signals, zero where they are zero."""
    size = np.abs(z)
    return z.conj() / np.where(size == 0, 1.0, size)


def magnitude(z, dz=None):
    """Return magnitudes, with their derivatives if those of the signals are given.

    z : (n_samples, n_features), dz : (n_samples, n_features, n_parameters).

    Where a signal is zero, its magnitude has a kink. The derivative there is zero, the mean
    of those on both sides.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models._magnitude import magnitude
    >>> magnitude(np.array([[3.0 + 4.0j]]), np.array([[[1.0, 1.0j]]]))
    (array([[5.]]), array([[[0.6, 0.8]]]))
    """
    if dz is None:
        return np.abs(z)
    return np.abs(z), (direction(z)[..., None] * dz).real
