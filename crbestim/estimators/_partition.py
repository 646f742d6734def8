"""Atoms of a dictionary in leaves of neighbours, in which matching leaves most out."""

from dataclasses import dataclass

import numpy as np

from ..kernels.lanes import LANES
from ..kernels.matching import WIDTH, nearest, unit_rows

_TIE = 64 * np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class Partition:
    """Atoms in leaves of neighbours, each within a radius of its centre.

    Attributes
    ----------
    leaves : ndarray of shape (n_leaves, n_rows, WIDTH)
        Signals of the atoms, as rows of real numbers, transposed and filled up.
    members : ndarray of shape (n_leaves, WIDTH)
        Their numbers; -1 where there is none.
    centres : ndarray of shape (n_blocks, n_rows, WIDTH)
        Centres of the leaves, transposed and filled up.
    radii : ndarray of shape (n_leaves,)
        Largest distance of a leaf's atoms from its centre, and what rounding may add.
    projective : bool
        Whether rows are complex signals of unit norm, known up to a phase.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._partition import Partition
    >>> atoms = np.arange(500.0)[:, None]
    >>> partition = Partition.of(atoms, np.arange(500), projective=False)
    >>> numbers, squares = partition.nearest(np.array([[7.2]]), 2)
    >>> numbers, squares.round(2)
    (array([[7, 8]]), array([[0.04, 0.64]]))
    """

    leaves: np.ndarray
    members: np.ndarray
    centres: np.ndarray
    radii: np.ndarray
    projective: bool

    @classmethod
    def of(cls, rows, numbers, *, projective):
        """Divide atoms into leaves.

        Parameters
        ----------
        rows : ndarray of shape (n_atoms, n_rows)
            Signals of all atoms, as the kernels take them.
        numbers : ndarray of shape (n,)
            Numbers of the atoms to use.
        projective : bool
            Whether rows are complex signals of unit norm, known up to a phase.

        Returns
        -------
        Partition
            The leaves.
        """
        rows, groups = np.ascontiguousarray(rows), []
        _divide(rows, numbers, projective, groups)
        members = np.full((len(groups), WIDTH), -1)
        leaves = np.zeros((len(groups), rows.shape[1], WIDTH))
        centres, radii = np.empty((len(groups), rows.shape[1])), np.empty(len(groups))
        for i, group in enumerate(groups):
            members[i, : len(group)] = group
            leaves[i, :, : len(group)] = rows[group].T
            centres[i] = _centre(rows[group], projective)
            radii[i] = _distances(rows[group], centres[i], projective).max()
        # A distance that is the root of 1 - |<a, x>|^2 ends where that is a rounding error.
        radii = radii * (1 + 1e-9) + (1e-6 if projective else 0.0)
        return cls(_in_lanes(leaves), members, _transposed(centres), radii, projective)

    @property
    def n_choices(self):
        """Number of atoms that a signal has the choice of."""
        return int(np.sum(self.members >= 0))

    def nearest(self, rows, n_neighbors, known=None):
        """Return numbers and squared distances of the nearest atoms, best first.

        Parameters
        ----------
        rows : ndarray of shape (n, n_rows)
            Signals, as the atoms.
        n_neighbors : int
            How many; at most the number of atoms.
        known : None
            There is nothing known.

        Returns
        -------
        atoms : ndarray of shape (n, n_neighbors)
            Their numbers.
        squares : ndarray of shape (n, n_neighbors)
            Squared distances.
        """
        atoms = np.empty((len(rows), n_neighbors), dtype=np.int64)
        squares = np.empty(atoms.shape)
        parts = (self.leaves, self.members, self.centres, self.radii, self.projective)
        nearest(rows, *parts, _TIE * rows.shape[1], atoms, squares)
        return atoms, squares


def _divide(rows, numbers, projective, groups):
    """Halve atoms between two that are far apart until they fit into leaves."""
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
    """Return the distances of rows from one, up to rounding errors."""
    if not projective:
        return np.linalg.norm(rows - centre, axis=1)
    products = np.abs(rows.view(complex).conj() @ centre.view(complex))
    return np.sqrt(np.maximum(1.0 - products**2, 0.0))


def _centre(rows, projective):
    """Return the mean of rows, of the phase of the first and of unit norm if complex."""
    if not projective:
        return rows.mean(axis=0)
    signals = rows.view(complex)
    factors = signals.conj() @ signals[0]
    mean = (np.where(factors != 0, factors, 1.0) @ signals).view(float)[None]
    unit_rows(mean, mean)
    return mean[0]


def _transposed(rows):
    """Return rows in blocks of WIDTH, each transposed, the last filled up with zeros."""
    filled = np.zeros((-(-len(rows) // WIDTH) * WIDTH, rows.shape[1]))
    filled[: len(rows)] = rows
    blocks = filled.reshape(-1, WIDTH, rows.shape[1])
    return _in_lanes(blocks.transpose(0, 2, 1))


def _in_lanes(blocks):
    """Return blocks (n_blocks, n_rows, WIDTH) with WIDTH in lanes."""
    return np.ascontiguousarray(blocks).reshape(*blocks.shape[:2], -1, LANES)
