"""A digital brain: one axial slice with its true parameters; needs no download."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from .._arrays import as_array, as_numbers
from .._simulations import random_state_of
from .._threads import one_blas_thread
from .._validation import check_model
from .._warnings import warn
from ..parameters import fold
from .anatomy import HALF_LENGTH, HALF_WIDTH, TISSUES, axial_slice

__all__ = ["BrainPhantom", "make_brain_phantom"]

# Lowest and highest value in each tissue at 3 T, in SI units; m0 is proton density.
_VALUES = {
    "cerebrospinal fluid": dict(
        m0=(0.97, 1), m0s=(0, 0.005), R1=(0.23, 0.27), R1f=(0.22, 0.26),
        R2f=(0.5, 1), Rx=(18, 26), R1s=(2.2, 2.8), T2s=(11e-6, 13e-6)),
    "cortex": dict(
        m0=(0.79, 0.85), m0s=(0.06, 0.085), R1=(0.5, 0.56), R1f=(0.38, 0.44),
        R2f=(10.6, 12.4), Rx=(20, 30), R1s=(2.2, 2.9), T2s=(11e-6, 13.5e-6)),
    "white matter": dict(
        m0=(0.67, 0.73), m0s=(0.125, 0.18), R1=(0.63, 0.77), R1f=(0.4, 0.5),
        R2f=(13.4, 16.6), Rx=(15, 25), R1s=(2.3, 3.1), T2s=(11.5e-6, 13e-6)),
    "caudate": dict(
        m0=(0.78, 0.82), m0s=(0.068, 0.08), R1=(0.56, 0.61), R1f=(0.41, 0.45),
        R2f=(11.5, 12.8), Rx=(20, 28), R1s=(2.2, 2.9), T2s=(11e-6, 13e-6)),
    "putamen": dict(
        m0=(0.77, 0.81), m0s=(0.07, 0.085), R1=(0.59, 0.64), R1f=(0.43, 0.47),
        R2f=(12.5, 14), Rx=(20, 28), R1s=(2.2, 2.9), T2s=(11e-6, 13e-6)),
    "pallidum": dict(
        m0=(0.7, 0.74), m0s=(0.1, 0.12), R1=(0.69, 0.75), R1f=(0.48, 0.53),
        R2f=(16.5, 19.5), Rx=(18, 26), R1s=(2.4, 3.1), T2s=(11e-6, 13e-6)),
    "thalamus": dict(
        m0=(0.74, 0.78), m0s=(0.085, 0.11), R1=(0.58, 0.66), R1f=(0.41, 0.47),
        R2f=(12, 14), Rx=(18, 26), R1s=(2.3, 3), T2s=(11e-6, 13e-6)),
    "lesion": dict(
        m0=(0.8, 0.86), m0s=(0.05, 0.08), R1=(0.5, 0.56), R1f=(0.38, 0.44),
        R2f=(8, 10), Rx=(16, 26), R1s=(2, 2.7), T2s=(10.5e-6, 12e-6)),
}  # fmt: skip
_NAMES = tuple(_VALUES["white matter"])
_FIELDS = ("omega0", "B1")


@dataclass(frozen=True, eq=False, repr=False)
class BrainPhantom:
    """One slice of a digital brain. Voxels are the pixels of its mask, row by row.

    Attributes
    ----------
    theta : ndarray of shape (n_voxels, n_parameters)
        True parameters, in SI units, columns in the order of `parameter_names`.
    m0 : ndarray of shape (n_voxels,), complex
        Proton density relative to water, with a smooth phase.
    mask : ndarray of bool, shape (ny, nx)
        Where the brain is; front at the top.
    tissue : ndarray of uint8, shape (ny, nx)
        Index into `tissue_names` of each pixel; 0 is the background.
    tissue_names : tuple of str
        Names of the tissues.
    parameter_names : tuple of str
        Names of the columns of theta.
    """

    theta: np.ndarray
    m0: np.ndarray
    mask: np.ndarray
    tissue: np.ndarray
    tissue_names: tuple
    parameter_names: tuple

    def __repr__(self):
        return f"BrainPhantom(shape={self.mask.shape}, n_voxels={len(self.theta)})"

    def to_map(self, values):
        """Put one value, or one row of values, per voxel back into the image.

        Parameters
        ----------
        values : array-like of shape (n_voxels,) or (n_voxels, n_values)
            Real or complex values, such as `theta` or what an estimator predicts.

        Returns
        -------
        ndarray of shape (ny, nx) or (ny, nx, n_values)
            The same values; NaN outside the mask.

        Raises
        ------
        ValueError
            If there is not one value, or one row, for every voxel.
        """
        values = as_array(values, "values")
        if values.dtype == object:
            values = as_numbers(values, "values")
        if values.shape[:1] != self.m0.shape:
            raise ValueError(
                f"values have shape {values.shape}; the phantom has {len(self.m0)} "
                "voxels, give one value or one row for each."
            )
        kind = np.result_type(values.dtype, np.float32)
        image = np.full(self.mask.shape + values.shape[1:], np.nan, dtype=kind)
        image[self.mask] = values
        return image

    def select(self, *names):
        """Return which voxels belong to the given tissues.

        Parameters
        ----------
        *names : str
            Names among `tissue_names`.

        Returns
        -------
        ndarray of bool, shape (n_voxels,)
            True for rows of theta in these tissues.

        Raises
        ------
        ValueError
            If there is no such tissue.
        """
        unknown = [
            str(name)
            for name in names
            if not isinstance(name, str) or name not in self.tissue_names
        ]
        if unknown:
            raise ValueError(
                f"no tissue is called {', '.join(unknown)}; the names are "
                f"{', '.join(self.tissue_names)}."
            )
        labels = [self.tissue_names.index(name) for name in names]
        return np.isin(self.tissue[self.mask], labels)


def make_brain_phantom(model, shape=(128, 128), *, random_state=None):
    """Make an axial slice of a digital brain at 3 T, with the parameters of a model.

    Anatomy is fixed: cortex, white matter with two lesions, deep nuclei, ventricles and
    fluid around the brain. Every voxel is of one tissue, the one at its centre: there
    are no partial volumes. Within a tissue, parameters vary smoothly and at random;
    the fields omega0 (strongest at the front) and B1 are fixed. The size of the image
    changes its resolution and nothing else.

    Parameters
    ----------
    model : SignalModel
        Model with parameters among m0s, R1, R1f, R2f, Rx, R1s, T2s, omega0 and B1.
    shape : tuple of int, default=(128, 128)
        Numbers of rows and columns (ny, nx), at least 16 each; pixels are square.
    random_state : int, RandomState instance or None, default=None
        Seed of the variation within tissues.

    Returns
    -------
    phantom : BrainPhantom
        True parameters and proton density of each voxel, mask and tissues.

    Raises
    ------
    ValueError
        If the phantom has no values for a parameter, or the shape is not that of an image.

    Warns
    -----
    UserWarning
        If values are beyond the model's bounds, and therefore clipped. A parameter with a
        period is first shifted into the bounds by whole periods.

    Examples
    --------
    >>> from crbestim.datasets.phantom import make_brain_phantom
    >>> from crbestim.models import MagnetizationTransfer
    >>> from crbestim.sequences import HybridStateSequence
    >>> sequence = HybridStateSequence([3.14, 0.5, 0.7, 0.5], [5e-4] * 4, 3.5e-3)
    >>> model = MagnetizationTransfer(sequence)
    >>> phantom = make_brain_phantom(model, shape=(64, 64), random_state=0)
    >>> phantom.theta.shape == (phantom.mask.sum(), model.n_parameters)
    True
    >>> phantom.to_map(phantom.theta).shape
    (64, 64, 7)
    """
    check_model(model)
    available = {*_NAMES, *_FIELDS} - {"m0"}
    missing = [name for name in model.parameter_names if name not in available]
    if missing:
        raise ValueError(
            f"the brain phantom has no values for {', '.join(missing)}; it has values "
            f"for {', '.join(sorted(available))}."
        )
    x, y = _coordinates(shape)
    tissue = axial_slice(x, y)
    mask = tissue > 0
    x, y = x[mask], y[mask]
    values = _tissue_values(tissue[mask], x, y, random_state_of(random_state))
    values["omega0"] = _off_resonance(x, y)
    values["B1"] = 1.2 - 0.5 * (x + 0.05) ** 2 - 0.34 * (y - 0.03) ** 2
    theta = np.empty((mask.sum(), model.n_parameters))
    for k, parameter in enumerate(model.parameters):
        theta[:, k] = _fit(parameter, values[parameter.name])
    phase = 0.8 + 0.9 * x - 1.1 * y + 0.7 * x * y + 0.6 * y**2
    m0 = values["m0"] * np.exp(1j * phase)
    return BrainPhantom(theta, m0, mask, tissue, TISSUES, tuple(model.parameter_names))


def _coordinates(shape):
    """Return x and y of the pixels, in half brain lengths."""
    sizes = tuple(shape) if np.iterable(shape) else (shape,)
    if len(sizes) != 2 or not all(isinstance(n, Integral) and n >= 16 for n in sizes):
        raise ValueError(f"shape is {shape}; give (ny, nx), two integers of at least 16.")
    ny, nx = sizes
    pixel = max(2 * HALF_LENGTH / ny, 2 * HALF_WIDTH / nx)
    y, x = np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")
    return (x - (nx - 1) / 2) * pixel, ((ny - 1) / 2 - y) * pixel


@one_blas_thread
def _tissue_values(labels, x, y, rng):
    """Return values by name, random waves within the range of each voxel's tissue."""
    # All are drawn, in a fixed order, so that no map depends on the model's parameters.
    values = {}
    for name in _NAMES:
        waves = rng.normal(scale=7.0, size=(2, 32))
        phases = rng.uniform(0, 2 * np.pi, size=32)
        field = np.cos(np.stack([x, y], axis=1) @ waves + phases).sum(axis=1) / 5
        ranges = [_VALUES.get(tissue, {}).get(name, (0, 0)) for tissue in TISSUES]
        low, high = np.array(ranges)[labels].T
        values[name] = low + (high - low) * (1 + np.tanh(field)) / 2
    return values


def _off_resonance(x, y):
    """Return omega0, in rad/s, strongest above the sinuses and near the ears."""
    front = 420.0 * np.exp(-(x**2 / 0.1 + (y - 1.0) ** 2 / 0.07))
    ears = -120.0 * np.exp(-((np.abs(x) - 0.85) ** 2 + (y + 0.1) ** 2) / 0.05)
    return front + ears + 45.0 * x - 60.0 * y**2 + 30.0 * x * y


def _fit(parameter, values):
    """Bring values into the bounds of a parameter."""
    low, high = parameter.bounds
    values = fold(values, low, high, parameter.period)
    if values.min() < low or values.max() > high:
        warn(
            f"{parameter.name} of the brain phantom is {values.min():.3g} to "
            f"{values.max():.3g}; clipped to the model's bounds {low:.3g} to {high:.3g}",
            stacklevel=3,
        )
    return values.clip(low, high)
