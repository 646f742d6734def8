"""Atoms of a dictionary in cells of similar known values."""

from dataclasses import dataclass

import numpy as np

from ._partition import Partition

# Finer cells than these would leave fewer atoms for the parameters that are not known.
_LEVELS, _FEWEST_ATOMS = 3, 512


@dataclass(frozen=True, eq=False)
class KnownPartition:
    """Cells of atoms with similar known values, each with leaves of its own.

    Atoms are halved up to three times a known value, each time between two values near the
    median of the one that spreads most, in units of its spread over all atoms.

    Attributes
    ----------
    cells : tuple of Partition
        Leaves of the atoms of each cell.
    columns : ndarray of int, shape (n_splits,)
        Column of the known values that each split compares.
    limits : ndarray of shape (n_splits,)
        Values below it go to the first side.
    sides : ndarray of int, shape (n_splits, 2)
        What comes next on either side: a split, or of cell i the number -1 - i.

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
    columns: np.ndarray
    limits: np.ndarray
    sides: np.ndarray

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
        spread = np.where(spread > 0, spread, 1.0)
        groups, splits = [], []

        def divide(group, n_levels):
            cut = _cut(known[group], spread) if n_levels else None
            if cut is None:
                groups.append(group)
                return -len(groups)
            place, is_low = len(splits), known[group, cut[0]] < cut[1]
            splits.append(cut)
            parts = group[is_low], group[~is_low]
            splits[place] = *cut, *(divide(part, n_levels - 1) for part in parts)
            return place

        divide(numbers, _LEVELS * known.shape[1])
        cells = tuple(Partition.of(rows, group, projective=projective) for group in groups)
        table = np.array(splits).reshape(-1, 4)
        return cls(cells, table[:, 0].astype(int), table[:, 1], table[:, 2:].astype(int))

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
        squares, cells = np.empty(atoms.shape), self.cells_of(known)
        for i in np.unique(cells):
            inside = cells == i
            atoms[inside], squares[inside] = self.cells[i].nearest(
                rows[inside], n_neighbors
            )
        return atoms, squares

    def cells_of(self, known):
        """Return the numbers of the cells that known values belong to.

        Parameters
        ----------
        known : ndarray of shape (n, n_known)
            Known values.

        Returns
        -------
        ndarray of int, shape (n,)
            The numbers.
        """
        places = np.full(len(known), 0 if len(self.limits) else -1)
        while (at_split := np.flatnonzero(places >= 0)).size:
            split = places[at_split]
            is_high = known[at_split, self.columns[split]] >= self.limits[split]
            places[at_split] = self.sides[split, is_high.astype(int)]
        return -1 - places


def _cut(known, spread):
    """Return column and limit of the most even cut, or None where cells get too small."""
    column = int((known.std(axis=0) / spread).argmax())
    values = np.sort(known[:, column])
    # Equal values stay together: cuts are where values differ.
    cuts = np.flatnonzero(np.diff(values)) + 1
    cuts = cuts[(cuts >= _FEWEST_ATOMS) & (cuts <= len(values) - _FEWEST_ATOMS)]
    if not cuts.size:
        return None
    cut = cuts[np.abs(cuts - len(values) / 2).argmin()]
    return column, values[cut]
