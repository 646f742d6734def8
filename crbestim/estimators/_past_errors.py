"""Errors that an estimator made before, as a guide to those it may make again."""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ..metrics import wrapped_error


@dataclass(frozen=True, eq=False)
class PastErrors:
    """Errors of an estimator at its training samples.

    Attributes
    ----------
    errors : ndarray of shape (n_samples, n_parameters)
        Estimates less truth, modulo periods.
    neighbors : NearestNeighbors
        Finds samples by their estimates, in fractions of the bounds.
    box : UnitBox
        Bounds of the parameters.
    """

    errors: np.ndarray
    neighbors: NearestNeighbors
    box: object

    @classmethod
    def learn(cls, y, estimates, box):
        """Take note of errors.

        Parameters
        ----------
        y, estimates : ndarray of shape (n_samples, n_parameters)
            Truth and estimates; those that are not finite are left out.
        box : UnitBox
            Bounds of the parameters.

        Returns
        -------
        PastErrors
            The errors.
        """
        known = np.isfinite(estimates).all(axis=1)
        y, estimates = y[known], estimates[known]
        neighbors = NearestNeighbors().fit(box.unit(estimates))
        return cls(wrapped_error(y, estimates, box.periods), neighbors, box)

    def alternatives(self, estimates, n):
        """Return where the truth may be, if the same errors were made again.

        Parameters
        ----------
        estimates : ndarray of shape (n_voxels, n_parameters)
            Estimates, finite.
        n : int
            How many alternatives, at most the number of samples.

        Returns
        -------
        ndarray of shape (n, n_voxels, n_parameters)
            Estimates less the errors at the most similar samples, inside the bounds.
        """
        rows = self.neighbors.kneighbors(self.box.unit(estimates), n, return_distance=False)
        return self.box.inside(estimates - self.errors[rows.T])
