"""Anatomy of the digital brain: one axial slice, drawn by formulas.

Everything is made of brush strokes, polylines whose radius varies along the way:
strokes of fluid are the sulci and ventricles, strokes of gray matter the deep nuclei.
Cortex lies within a few millimetres of the fluid outside. Lengths are in half
brain lengths (about 85 mm), with x to the side and y to the front.
"""

from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator

TISSUES = (
    "background",
    "cerebrospinal fluid",
    "cortex",
    "white matter",
    "caudate",
    "putamen",
    "pallidum",
    "thalamus",
    "lesion",
)
"""Names of the tissues; a label is an index into them."""

HALF_LENGTH, HALF_WIDTH = 1.06, 0.86
"""Half the extent of the brain, with a little space around it."""

_RIM, _CORTICAL_THICKNESS = 0.022, 0.041

# Strokes (x, y, radius) of the right side; the left one mirrors them.
_NUCLEI = {
    "caudate": [(0.15, 0.47, 0.04), (0.155, 0.38, 0.05), (0.16, 0.25, 0.02)],
    "putamen": [(0.265, 0.43, 0.035), (0.335, 0.29, 0.062), (0.345, 0.07, 0.015)],
    "pallidum": [(0.225, 0.32, 0.015), (0.25, 0.22, 0.042), (0.285, 0.10, 0.012)],
    "thalamus": [(0.06, 0.13, 0.025), (0.10, 0.04, 0.07), (0.15, -0.07, 0.085)],
}
_VENTRICLES = [
    [(0.03, 0.24, 0.01), (0.05, 0.37, 0.035), (0.09, 0.48, 0.038), (0.15, 0.57, 0.01)],
    [(0.21, -0.17, 0.015), (0.28, -0.27, 0.045), (0.28, -0.4, 0.035), (0.23, -0.6, 0)],
    [(0.0, 0.15, 0.012), (0.0, 0.02, 0.018), (0.0, -0.08, 0.01)],
]
_FISSURES = [
    [(0.0, 1.1, 0.02), (0.0, 0.67, 0.01)],
    [(0.0, -1.1, 0.02), (0.0, -0.43, 0.012), (0.04, -0.33, 0.01)],
    [(0.9, 0.31, 0.04), (0.61, 0.25, 0.02), (0.49, 0.32, 0.014), (0.44, 0.42, 0.008)],
    [(0.61, 0.25, 0.02), (0.49, 0.14, 0.01), (0.48, -0.03, 0.01), (0.55, -0.14, 0.008)],
    [(0.0, 0.86, 0.008), (0.08, 0.80, 0.009), (0.10, 0.70, 0.007)],
    [(0.0, -0.70, 0.01), (0.08, -0.66, 0.01), (0.15, -0.68, 0.008)],
]
_LESIONS = [[(0.24, 0.57, 0.026), (0.26, 0.53, 0.02)], [(-0.40, -0.26, 0.036)] * 2]


def _curve(points):
    """Lay a smooth curve through the points of a stroke."""
    n = len(points)
    return PchipInterpolator(range(n), points)(np.linspace(0, n - 1, 5 * n - 4))


def _stroke(x, y, points):
    """Return the signed distance to a stroke, negative inside."""
    distance = np.full(x.shape, np.inf)
    for (ax, ay, ar), (bx, by, br) in pairwise(points):
        ux, uy = bx - ax, by - ay
        length = max(ux**2 + uy**2, 1e-12)
        t = np.clip(((x - ax) * ux + (y - ay) * uy) / length, 0, 1)
        d = np.hypot(x - ax - t * ux, y - ay - t * uy) - (ar + t * (br - ar))
        np.minimum(distance, d, out=distance)
    return distance


def _outline(x, y):
    """Return a norm that is 1 on the egg-shaped outline of the brain."""
    half_width = 0.80 - 0.07 * y - 0.05 * y**2
    p = 2.15
    return (np.abs(x / half_width) ** p + np.abs(y) ** p) ** (1 / p)


def _sulci(n=18):
    """Yield the folds of the cortex, deep and shallow in turn, with sinusoidal bends."""
    for side in (-1, 1):
        for k in range(n):
            wobble = np.sin(2.4 * k + side)
            angle = np.pi * (k + 0.8 + 0.2 * wobble) / (n + 0.6)
            if abs(angle - 1.2) < 0.07:
                continue  # the Sylvian fissure takes this place
            depth = (0.29 if k % 2 else 0.17) + 0.05 * np.sin(4.1 * k + 2 * side)
            depth *= 1 - 0.5 * np.exp(-(((angle - 1.5) / 0.5) ** 2))
            direction = np.array([side * np.sin(angle), np.cos(angle)])
            start = direction / _outline(*direction)
            t = np.linspace(0, 1, 7)[:, None]
            across = 0.03 * np.sin((4 + wobble) * t + k) * [-direction[1], direction[0]]
            path = start - t * depth * direction + across
            yield np.hstack([path, 0.02 * (1 - t) ** 2 + 0.007])


def axial_slice(x, y):
    """Return the tissue at each point of an axial slice.

    Parameters
    ----------
    x, y : ndarray of shape (ny, nx)
        Coordinates, in half brain lengths.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
        Labels, indices into `TISSUES`.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.datasets.anatomy import TISSUES, axial_slice
    >>> labels = axial_slice(np.array([0.0, 0.1, 0.1]), np.array([1.2, 0.0, -0.25]))
    >>> [TISSUES[label] for label in labels]
    ['background', 'thalamus', 'white matter']
    """
    # A gentle warp keeps the two sides from being mirror images.
    x, y = (
        x + 0.016 * np.sin(6 * y + 1) + 0.008 * np.sin(13 * y - 4 * x),
        y + 0.016 * np.sin(7 * x + 2) + 0.008 * np.sin(15 * x + 5 * y),
    )
    side = np.abs(x)
    inside = 0.85 * (1 - _outline(x, y))
    pial = np.min([_stroke(side, y, _curve(points)) for points in _FISSURES], axis=0)
    for points in _sulci():
        np.minimum(pial, _stroke(x, y, points), out=pial)
    pial = np.minimum(pial, inside - _RIM)
    tissue = np.full(x.shape, TISSUES.index("white matter"), dtype=np.uint8)
    tissue[pial < _CORTICAL_THICKNESS] = TISSUES.index("cortex")
    for points in _LESIONS:
        tissue[_stroke(x, y, _curve(points)) < 0] = TISSUES.index("lesion")
    for name, points in _NUCLEI.items():
        tissue[_stroke(side, y, _curve(points)) < 0] = TISSUES.index(name)
    fluid = np.min([_stroke(side, y, _curve(points)) for points in _VENTRICLES], axis=0)
    tissue[(pial < 0) | (fluid < 0)] = TISSUES.index("cerebrospinal fluid")
    tissue[inside < 0] = TISSUES.index("background")
    return tissue
