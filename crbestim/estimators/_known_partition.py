"""Atoms of a dictionary in cells of similar known values."""

from dataclasses import dataclass

import numpy as np

from ._partition import Partition

# Finer cells than these would leave fewer atoms for the parameters that are not known.
_MOST_CELLS, _FEWEST_ATOMS = 8, 512


@dataclass(frozen=True, eq=False)
class KnownPartition:
    """Cells of atoms with similar known values, each with leaves of its own.

    Cells come from halving the atoms again and again at the median of the known value that
    spreads most, in units of its spread over all atoms.

    Attributes
    ----------
    cells : tuple of Partition
        Leaves of the atoms of each cell.
    splits : ndarray of shape (n_splits, 2)
        Column of the known values and limit of each split, in the order of a heap: the
        halves of split i are split by 2 i + 1 and 2 i + 2, or are cells.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._known_partition import KnownPartition
    >>> atoms, known = np.arange(2000.0)[:, None] % 50, np.arange(2000.0)[:, None]
    >>> cells = KnownPartition.of(atoms, np.arange(2000), known, projective=False)
    >>> numbers, _ = cells.nearest(np.array([[7.2]]), 1, np.array([[1600.0]]))
    >>> len(cells.cells), bool(numbers[0, 0] >= 1000)
    (2, True)
    """

    cells: tuple
    splits: np.ndarray

    @classmethod
    def of(cls, rows, numbers, known, *, projective):
        """Divide atoms into cells.

        Parameters
        ----------
        rows : ndarray of shape (n_atoms, n_rows)
            Signals of all atoms, as the kernels take them.
        numbers : ndarray of shape (n,)
            Numbers of the atoms to use.
        known : ndarray of shape (n_atoms, n_known)
            Known values of all atoms.
        projective : bool
            Whether rows are complex signals of unit norm, known up to a phase.

        Returns
        -------
        KnownPartition
            The cells.
        """
        spread = known[numbers].std(axis=0)
        n_levels = _n_levels(len(numbers), np.sum(spread > 0))
        scaled = known / np.where(spread > 0, spread, 1.0)
        groups, splits = [numbers], []
        for _ in range(n_levels):
            halves = []
            for group in groups:
                column = scaled[group].std(axis=0).argmax()
                limit = np.median(known[group, column])
                order = np.argsort(known[group, column], kind="stable")
                half = len(group) // 2
                halves += [np.sort(group[order[:half]]), np.sort(group[order[half:]])]
                splits.append((column, limit))
            groups = halves
        cells = tuple(Partition.of(rows, group, projective=projective) for group in groups)
        return cls(cells, np.array(splits).reshape(-1, 2))

    @property
    def n_choices(self):
        """Least number of atoms that a signal has the choice of."""
        return min(cell.n_choices for cell in self.cells)

    def nearest(self, rows, n_neighbors, known):
        """Return the nearest atoms in the cells of voxels; see `Partition.nearest`.

        Parameters
        ----------
        rows : ndarray of shape (n, n_rows)
            Signals, as the atoms.
        n_neighbors : int
            How many; at most `n_choices`.
        known : ndarray of shape (n, n_known)
            Known values.

        Returns
        -------
        atoms : ndarray of shape (n, n_neighbors)
            Numbers of the atoms.
        squares : ndarray of shape (n, n_neighbors)
            Squared distances.
        """
        atoms = np.empty((len(rows), n_neighbors), dtype=np.int64)
        squares, cells = np.empty(atoms.shape), self._cells_of(known)
        for i in np.unique(cells):
            inside = cells == i
            atoms[inside], squares[inside] = self.cells[i].nearest(
                rows[inside], n_neighbors
            )
        return atoms, squares

    def _cells_of(self, known):
        places = np.zeros(len(known), dtype=int)
        for _ in range(int(np.log2(len(self.cells)))):
            column, limit = self.splits[places, 0].astype(int), self.splits[places, 1]
            is_high = known[np.arange(len(known)), column] >= limit
            places = 2 * places + 1 + is_high
        return places - len(self.splits)


def _n_levels(n_atoms, n_known):
    """How often atoms are halved."""
    levels = int(np.log2(_MOST_CELLS)) * n_known
    return max(min(levels, int(np.log2(max(n_atoms / _FEWEST_ATOMS, 1)))), 0)
