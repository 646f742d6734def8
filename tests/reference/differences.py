"""Derivatives by seven-point differences of sixth order, one-sided at an end."""

import numpy as np


def derivative(f, x, k, step, limits=(-np.inf, np.inf)):
    """Derivative of `f` with respect to ``x[k]``.

    Parameters
    ----------
    f : callable
        Maps points of shape (7, n) to values of shape (7, ...).
    x : ndarray of shape (n,)
        Where to differentiate.
    k : int
        Which coordinate.
    step : float
        Distance of the points.
    limits : tuple of float
        Interval that the points must not leave: near one of its ends they lie on one
        side of ``x[k]``.

    Returns
    -------
    ndarray
        The derivative, of the shape of one value.
    """
    first = np.ceil((limits[0] - x[k]) / step - 1e-9)
    last = np.floor((limits[1] - x[k]) / step + 1e-9)
    offsets = np.clip(-3.0, first, last - 6) + np.arange(7)
    # Weights that are exact for polynomials of degree 6.
    powers = np.vander(offsets, increasing=True).T
    weights = np.linalg.solve(powers, np.eye(7)[1])
    points = np.tile(np.asarray(x, dtype=float), (7, 1))
    points[:, k] = np.clip(points[:, k] + offsets * step, *limits)
    return np.tensordot(weights, f(points), 1) / step
