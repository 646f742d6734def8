"""Matching of signals with the atoms of a dictionary: ball trees, cells, interpolation.

Atoms lie in leaves of neighbours, each within a radius of its centre, and the triangle
inequality excludes most leaves from a search (ball tree; Omohundro 1989, ICSI report
TR-89-063). Long signals are compared by a few coefficients before they are in full.
Atoms with known values are first divided into cells of similar values.
"""

from dataclasses import dataclass

import numpy as np

from ..kernels.lanes import LANES
from ..kernels.matching import (
    WIDTH,
    nearest,
    unit_rows,
)
from ..kernels.screened_matching import nearest_screened
from ._low_rank import Basis

_TIE = 64 * np.finfo(float).eps
# Most splits per known value, and fewest atoms in a cell, so that each cell still samples
# the other parameters densely.
_LEVELS, _FEWEST_ATOMS = 3, 512
# Atoms that a signal is compared with in full although there is a basis are taken to fill
# this many leaves; measured at high noise, they lie in up to five.
_FULL_LEAVES = 8


@dataclass(frozen=True, eq=False)
class BallTree:
    """Atoms in leaves of neighbours, each within a radius of its centre.

    Attributes
    ----------
    leaves : ndarray of shape (n_leaves, n_rows, WIDTH)
        Signals of the atoms, as rows of real numbers, transposed and padded; with a basis,
        of shape (n_leaves, WIDTH / 8, n_rows, 8).
    members : ndarray of shape (n_leaves, WIDTH)
        Their numbers; -1 where there is none.
    centres : ndarray of shape (n_blocks, n_rows, WIDTH)
        Centres of the leaves, transposed and padded; with a basis, of coefficients.
    radii : ndarray of shape (n_leaves,)
        Largest distance of a leaf's atoms from its centre, with a margin for rounding.
    projective : bool
        Whether rows are complex signals of unit norm, known up to a phase.
    basis : Basis or None
        A basis that nearly spans the atoms, if that makes the search faster.
    coefficients : ndarray of shape (n_leaves, n_coefficients, WIDTH) or None
        Coefficients of the atoms in the basis, as `leaves`.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._matching import BallTree
    >>> atoms = np.arange(500.0)[:, None]
    >>> tree = BallTree.of(atoms, np.arange(500), projective=False)
    >>> numbers, squares = tree.nearest(np.array([[7.2]]), 2)
    >>> numbers, squares.round(2)
    (array([[7, 8]]), array([[0.04, 0.64]]))
    """

    leaves: np.ndarray
    members: np.ndarray
    centres: np.ndarray
    radii: np.ndarray
    projective: bool
    basis: Basis | None
    coefficients: np.ndarray | None

    @classmethod
    def of(cls, rows, numbers, *, projective):
        """Divide atoms, some `numbers` of all rows (n_atoms, n_rows), into leaves."""
        rows, groups = np.ascontiguousarray(rows), []
        basis = Basis.of(rows, numbers, projective)
        points = rows if basis is None else basis.points(rows, numbers)
        _divide(points, numbers, projective, groups)
        members = np.full((len(groups), WIDTH), -1)
        centres, radii = np.empty((len(groups), points.shape[1])), np.empty(len(groups))
        for i, group in enumerate(groups):
            members[i, : len(group)] = group
            centres[i] = _centre(points[group], projective)
            radii[i] = _distances(points[group], centres[i], projective).max()
        # The distance sqrt(1 - |<a, x>|^2) is exact to the root of a rounding error.
        radii = radii * (1 + 1e-9) + (1e-6 if projective else 0.0)
        parts = members, _transposed(centres), radii, projective, basis
        if basis is None:
            return cls(_leaves(rows, groups), *parts, None)
        return cls(_by_eights(rows, groups), *parts, _leaves(points, groups))

    @property
    def n_choices(self):
        """Number of atoms that a signal can match."""
        return int(np.sum(self.members >= 0))

    @property
    def n_numbers(self):
        """Most real numbers that a signal is compared with; with a basis, roughly."""
        if self.basis is None:
            return self.n_choices * self.leaves.shape[1]
        in_full = min(_FULL_LEAVES * WIDTH, self.n_choices) * self.leaves.shape[2]
        return self.n_choices * self.coefficients.shape[1] + in_full

    def groups(self, known, n):
        """Return the atoms that n signals may match, with the rows of these signals."""
        return [(np.sort(self.members[self.members >= 0]), np.arange(n))]

    def nearest(self, rows, n_neighbors, known=None):
        """Return numbers and squared distances of the nearest atoms, best first.

        rows : (n, n_rows) signals, in the form of the atoms; `known` is ignored.
        """
        atoms = np.empty((len(rows), n_neighbors), dtype=np.int64)
        squares = np.empty(atoms.shape)
        parts = (self.members, self.centres, self.radii, self.projective)
        options = *parts, _TIE * rows.shape[1], atoms, squares
        if self.basis is None:
            nearest(rows, self.leaves, *options)
        else:
            screen = self.basis.screen(rows)
            nearest_screened(rows, screen, self.leaves, self.coefficients, *options)
        return atoms, squares


@dataclass(frozen=True, eq=False)
class BallTreeCells:
    """Cells of atoms with similar known values, each with a ball tree of its own.

    Atoms are split up to three times per known value, each time near the median of the
    known value with the largest spread, in units of its spread over all atoms.

    Attributes
    ----------
    cells : tuple of BallTree
        The ball tree of each cell.
    columns : ndarray of int, shape (n_splits,)
        Column of the known values that each split compares.
    limits : ndarray of shape (n_splits,)
        Values below it go to the first side.
    sides : ndarray of int, shape (n_splits, 2)
        What comes next on either side: the number of a split, or -1 - i for cell i.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._matching import BallTreeCells
    >>> atoms, known = np.arange(2000.0)[:, None] % 50, np.arange(2000.0)[:, None]
    >>> cells = BallTreeCells.of(atoms, np.arange(2000), known, projective=False)
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
        """Divide some of the atoms, by number, into cells of similar known values."""
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
        cells = tuple(BallTree.of(rows, group, projective=projective) for group in groups)
        table = np.array(splits).reshape(-1, 4)
        return cls(cells, table[:, 0].astype(int), table[:, 1], table[:, 2:].astype(int))

    @property
    def n_choices(self):
        """Least number of atoms that a signal can match."""
        return min(cell.n_choices for cell in self.cells)

    @property
    def n_numbers(self):
        """Number of real numbers that signals are compared with, in all cells."""
        return sum(cell.n_numbers for cell in self.cells)

    def nearest(self, rows, n_neighbors, known):
        """Return the nearest atoms in the cells of voxels; see `BallTree.nearest`."""
        atoms = np.empty((len(rows), n_neighbors), dtype=np.int64)
        squares, cells = np.empty(atoms.shape), self.cells_of(known)
        for i in np.unique(cells):
            inside = cells == i
            atoms[inside], squares[inside] = self.cells[i].nearest(
                rows[inside], n_neighbors
            )
        return atoms, squares

    def groups(self, known, n):
        """Return the atoms of each cell, with the rows of the signals that belong there."""
        cells = self.cells_of(known)
        return [
            (self.cells[i].groups(None, 0)[0][0], np.flatnonzero(cells == i))
            for i in np.unique(cells)
        ]

    def cells_of(self, known):
        """Return the numbers of the cells that known values belong to."""
        places = np.full(len(known), 0 if len(self.limits) else -1)
        while (at_split := np.flatnonzero(places >= 0)).size:
            split = places[at_split]
            is_high = known[at_split, self.columns[split]] >= self.limits[split]
            places[at_split] = self.sides[split, is_high.astype(int)]
        return -1 - places


def _divide(rows, numbers, projective, groups):
    """Halve the atoms, between two that are far apart, until they fit into leaves."""
    if len(numbers) <= WIDTH:
        groups.append(numbers)
        return
    signals = rows[numbers]
    one = signals[_distances(signals, signals[0], projective).argmax()]
    to_one = _distances(signals, one, projective)
    to_other = _distances(signals, signals[to_one.argmax()], projective)
    # All leaves are full but one.
    half = WIDTH * (-(-len(numbers) // WIDTH) // 2)
    order = np.argpartition(to_one**2 - to_other**2, half)
    del signals, to_one, to_other
    _divide(rows, numbers[order[:half]], projective, groups)
    _divide(rows, numbers[order[half:]], projective, groups)


def _distances(rows, centre, projective):
    """Return the distances of rows from a centre, up to rounding errors."""
    if not projective:
        return np.linalg.norm(rows - centre, axis=1)
    products = np.abs(rows.view(complex).conj() @ centre.view(complex))
    return np.sqrt(np.maximum(1.0 - products**2, 0.0))


def _centre(rows, projective):
    """Return the mean of rows; if complex, with the phase of the first and unit norm."""
    if not projective:
        return rows.mean(axis=0)
    signals = rows.view(complex)
    factors = signals.conj() @ signals[0]
    mean = (np.where(factors != 0, factors, 1.0) @ signals).view(float)[None]
    unit_rows(mean, mean)
    return mean[0]


def _leaves(rows, groups):
    """Return groups of rows, each transposed and padded."""
    leaves = np.zeros((len(groups), rows.shape[1], WIDTH))
    for i, group in enumerate(groups):
        leaves[i, :, : len(group)] = rows[group].T
    return _in_lanes(leaves)


def _by_eights(rows, groups):
    """Return groups of rows, padded, of which eight at a time are transposed."""
    n_rows = rows.shape[1]
    leaves = np.zeros((len(groups), WIDTH // LANES, n_rows, LANES))
    for i, group in enumerate(groups):
        leaf = np.zeros((WIDTH, n_rows))
        leaf[: len(group)] = rows[group]
        leaves[i] = leaf.reshape(-1, LANES, n_rows).swapaxes(1, 2)
    return leaves


def _transposed(rows):
    """Return rows in blocks of WIDTH, each transposed, the last padded with zeros."""
    filled = np.zeros((-(-len(rows) // WIDTH) * WIDTH, rows.shape[1]))
    filled[: len(rows)] = rows
    blocks = filled.reshape(-1, WIDTH, rows.shape[1])
    return _in_lanes(blocks.transpose(0, 2, 1))


def _in_lanes(blocks):
    """Return blocks (n_blocks, n_rows, WIDTH) with WIDTH divided into lanes."""
    return np.ascontiguousarray(blocks).reshape(*blocks.shape[:2], -1, LANES)


def _cut(known, spread):
    """Return column and limit of the most even cut, or None if cells would be too small."""
    column = int((known.std(axis=0) / spread).argmax())
    values = np.sort(known[:, column])
    # Equal values stay together: cuts are where values differ.
    cuts = np.flatnonzero(np.diff(values)) + 1
    cuts = cuts[(cuts >= _FEWEST_ATOMS) & (cuts <= len(values) - _FEWEST_ATOMS)]
    if not cuts.size:
        return None
    cut = cuts[np.abs(cuts - len(values) / 2).argmin()]
    return column, values[cut]
