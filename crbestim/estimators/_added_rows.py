"""Fingerprints between and next to those of a training set, for sets that are small."""

from itertools import permutations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ._linear_calibration import joined

# Neighbours of a fingerprint, and most fingerprints added for each that is given.
_N_NEIGHBOURS, _MOST_FOR_EACH = 4, 15
# How far beyond the ends of a value: as far as the value of this rank lies inside.
_RANK = 3


class AddedRows:
    """Places on the lines through rows of targets and their nearest neighbours.

    They lie between a row and a neighbour, or as far behind the row at most. The others of
    a distribution lie beyond the ends of a sample, too: the least of 500 rows is not the
    least of 5000. No value leaves its limits, or goes farther beyond an end than the fourth
    value from the end lies inside. A value that is at least another one in all rows, as one
    of two components has the longer time, is so in the new rows. Neighbours are those of
    the targets, with known values, in units of their standard deviations.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_outputs)
        Targets.
    known : ndarray of shape (n_samples, n_known) or None
        Known values.
    limits : ndarray of shape (2, n_outputs + n_known)
        Least and greatest values that are allowed.
    n_rows : int
        How many rows there should be, with the new ones. For each row that is given, 15 are
        added at most; none if all have the same values.
    seed : int
        Seed of neighbours and places.
    """

    def __init__(self, y, known, limits, n_rows, seed):
        values = joined(y, known)
        n, varies = len(y), np.ptp(values, axis=0) > 0
        n_new = max(0, min(n_rows - n, _MOST_FOR_EACH * n)) if varies.any() else 0
        rng = np.random.default_rng(seed)
        self.first = self.second = np.arange(n_new) % n
        self.share = np.zeros(n_new)
        if n_new:
            values, limits = values[:, varies], limits[:, varies]
            # Rows may share their values, and differ in noise.
            options = dict(axis=0, return_index=True, return_inverse=True)
            distinct, row_of, place_of = np.unique(values, **options)
            k = min(_N_NEIGHBOURS, len(distinct) - 1)
            search = NearestNeighbors(n_neighbors=k).fit(distinct / values.std(axis=0))
            near = row_of[search.kneighbors(return_distance=False)]
            places = place_of.ravel()[self.first]
            self.second = near[places, rng.integers(k, size=n_new)]
            behind = _behind(values, limits, self.first, self.second)
            self.share = rng.uniform(behind, 1.0)

    def __len__(self):
        return len(self.first)

    def joined(self, values):
        """Return values of the rows, then those of the new rows; or None for None."""
        return self._joined(values, self.share)

    def joined_inside(self, values):
        """Return the same, with what a row has for new rows behind it."""
        return self._joined(values, np.maximum(self.share, 0.0))

    def least(self, values):
        """Return the lesser of the values of the two rows on the line of each new one."""
        return np.minimum(values[self.first], values[self.second])

    def _joined(self, values, share):
        if values is None or not len(self):
            return values
        first, second = values[self.first], values[self.second]
        share = share.reshape(-1, *[1] * (values.ndim - 1))
        return np.concatenate([values, first + share * (second - first)])


def _behind(values, limits, first, second):
    """Return how far behind rows the places are, at most 1, as a negative share."""
    columns = range(values.shape[1])
    gaps = [values[:, a] - values[:, b] for a, b in permutations(columns, 2)]
    gaps = np.array([gap for gap in gaps if gap.min() >= 0]).reshape(-1, len(values)).T
    n_gaps = gaps.shape[1]
    ordered = np.sort(values, axis=0)
    inside = min(_RANK, len(values) - 1)
    low = np.maximum(2 * ordered[0] - ordered[inside], limits[0])
    high = np.minimum(2 * ordered[-1] - ordered[-1 - inside], limits[1])
    low = np.append(np.minimum(low, ordered[0]), np.zeros(n_gaps))
    high = np.append(np.maximum(high, ordered[-1]), np.full(n_gaps, np.inf))
    values = np.hstack([values, gaps])
    step = values[second] - values[first]
    room = values[first] - np.where(step > 0, low, high)
    share = np.full_like(step, -np.inf)
    np.divide(-room, step, out=share, where=step != 0)
    return np.maximum(share.max(axis=1), -1.0)
