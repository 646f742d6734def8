"""Measured signals with their noise, and with samples that may be missing."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Measurements:
    """Signals of voxels, some samples of which may be missing or noisier than others.

    Attributes
    ----------
    X : ndarray of shape (n_voxels, n_features)
        Signals, complex or real; zero where a sample does not count.
    sigma : ndarray of shape (n_voxels,) or None
        Noise per channel of samples of weight 1, or None where it is not known.
    weights : ndarray of shape (n_voxels, n_features) or None
        Inverse noise of the samples, at most 1, and 0 for those that do not count; None
        means that all samples count alike.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim._measurements import Measurements
    >>> some = Measurements.of(np.array([[3.0, np.nan, 1.0]]), np.array([[0.1, 0.1, 0.2]]))
    >>> some.X, some.sigma, some.weights
    (array([[3., 0., 1.]]), array([0.1]), array([[1. , 0. , 0.5]]))
    """

    X: np.ndarray
    sigma: np.ndarray | None = None
    weights: np.ndarray | None = None

    @classmethod
    def of(cls, X, sigma=None):
        """Divide noise into a level for each voxel and weights.

        Parameters
        ----------
        X : ndarray of shape (n_voxels, n_features)
            Signals; samples that are not finite are missing.
        sigma : ndarray of shape (n_voxels,) or (n_voxels, n_features), default=None
            Noise per channel, one a voxel or one a sample; infinite for samples that do not
            count.

        Returns
        -------
        Measurements
            The same signals.
        """
        counts = np.isfinite(X)
        if sigma is not None and sigma.ndim == 2:
            counts &= np.isfinite(sigma)
            level = np.where(counts, sigma, np.inf).min(axis=1, initial=np.inf)
            level = np.where(np.isfinite(level), level, 1.0)
            weights = np.where(counts, level[:, None] / np.where(counts, sigma, 1.0), 0.0)
            if (weights == 1).all():
                return cls(X, level)
            return cls(np.where(counts, X, 0), level, weights)
        if counts.all():
            return cls(X, sigma)
        return cls(np.where(counts, X, 0), sigma, counts.astype(float))

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        """Return some of the voxels."""
        parts = (self.X, self.sigma, self.weights)
        return Measurements(*(None if part is None else part[rows] for part in parts))

    @property
    def counts(self):
        """Which samples count, of shape (n_voxels, n_features)."""
        return np.ones(self.X.shape, bool) if self.weights is None else self.weights > 0

    @property
    def divisors(self):
        """Weights, and 1 where a sample does not count, to divide by."""
        if self.weights is None:
            return np.ones(self.X.shape)
        return np.where(self.weights > 0, self.weights, 1.0)

    def weigh(self, values):
        """Return values of samples times their weights, (n_voxels, n_features)."""
        return values if self.weights is None else self.weights * values

    @property
    def weighted(self):
        """Signals times their weights: data whose noise is the same in all samples."""
        return self.weigh(self.X)

    def replace_signals(self, X):
        """Return other signals with the same noise."""
        return Measurements(X, self.sigma, self.weights)

    def noise(self, sigma=None):
        """Return the noise of each sample that goes with a level for each voxel.

        Parameters
        ----------
        sigma : ndarray of shape (n_voxels,), default=None
            Noise of samples of weight 1, by default that of the data.

        Returns
        -------
        ndarray of shape (n_voxels,) or (n_voxels, n_features)
            One number a voxel if all samples count alike.
        """
        sigma = self.sigma if sigma is None else sigma
        if self.weights is None or sigma is None:
            return sigma
        with np.errstate(divide="ignore"):
            return sigma[:, None] / self.weights
