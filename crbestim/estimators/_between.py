"""Fingerprints between those of a training set, for sets that are small."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ._linear_calibration import joined

# Neighbours of a fingerprint, and most fingerprints between them for each that is given.
_N_NEIGHBOURS, _MOST_FOR_EACH = 4, 3
# Values that vary, from which on a few hundred fingerprints leave gaps: along one or two,
# they are close, and those between would take weight from those at the ends.
_LEAST_VALUES = 3


class Between:
    """Places on the lines between rows of targets and their nearest neighbours.

    What rows have in common, such as the order of two components, those between them have,
    too, where it is convex; and none is outside their range. Neighbours are those of the
    targets, with known values, in units of their standard deviations.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_outputs)
        Targets.
    known : ndarray of shape (n_samples, n_known) or None
        Known values.
    n_rows : int
        How many rows there should be, with those between them. They are fewer if that is
        more than four times as many as are given, and none are added if a single row is
        given, or fewer than three of the targets and known values vary.
    seed : int
        Seed of neighbours and places.
    """

    def __init__(self, y, known, n_rows, seed):
        values = joined(y, known)
        values = values[:, np.ptp(values, axis=0) > 0]
        n, has_gaps = len(y), values.shape[1] >= _LEAST_VALUES
        n_new = max(0, min(n_rows - n, _MOST_FOR_EACH * n)) if has_gaps else 0
        rng = np.random.default_rng(seed)
        self.first = np.arange(n_new) % n
        self.second, self.share = self.first, rng.random(n_new)
        if n_new:
            k = min(_N_NEIGHBOURS, n - 1)
            search = NearestNeighbors(n_neighbors=k).fit(values / values.std(axis=0))
            near = search.kneighbors(return_distance=False)
            self.second = near[self.first, rng.integers(k, size=n_new)]

    def __len__(self):
        return len(self.first)

    def joined(self, values):
        """Return values of the rows, then those of the rows between; or None for None."""
        if values is None or not len(self):
            return values
        first, second = values[self.first], values[self.second]
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        return np.concatenate([values, first + share * (second - first)])

    def least(self, values):
        """Return the lesser of the values of the two rows that each is between."""
        return np.minimum(values[self.first], values[self.second])
