"""Bases that nearly span the atoms of a dictionary of long signals.

Signals that depend smoothly on a few parameters lie close to a space of few dimensions
(McGivney et al. 2014, doi 10.1109/TMI.2014.2337321). Here its coefficients only exclude
atoms: bounds on what they leave out hold with a margin for rounding, and what remains is
compared in full, see ``kernels/screened_matching.py``.
"""

from dataclasses import dataclass

import numpy as np

from .._threads import one_blas_thread
from ..kernels.matching import unit_rows
from ..kernels.screened_matching import Screen

# The largest part of an atom outside the span, as a share of the largest norm.
_OUTSIDE = 1e-5
# Fewest atoms and fewest features of which a basis is made, the features that each of its
# vectors must stand for, and the most vectors.
_FEWEST_ATOMS, _FEWEST_FEATURES, _FEATURES_PER_VECTOR, _MOST = 512, 64, 4, 256
# Larger bases are tried if this many times the most vectors would do at the rate so far.
_FASTER = 4
# Size of the first basis that is tried, and atoms that are worked on at a time.
_FIRST, _AT_A_TIME = 64, 1024
# Rounding errors, of sums of n products as of a distance, are below this share of the
# squared norms, times n.
_SLACK = 64 * np.finfo(float).eps
# Norms whose squares neither over- nor underflow.
_LOWEST, _HIGHEST = 1e-100, 1e100


@dataclass(frozen=True, eq=False)
class Basis:
    """Orthonormal vectors that nearly span the atoms of a dictionary.

    Attributes
    ----------
    vectors : ndarray of shape (n_features, n_vectors)
        The vectors, complex if signals are.
    outside : float
        The largest norm of the part of an atom that is out of their span.
    largest : float
        The largest norm of an atom.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._low_rank import Basis
    >>> rates = np.linspace(1.0, 20.0, 1000)[:, None]
    >>> atoms = np.exp(-rates * np.linspace(0.0, 0.5, 200))
    >>> basis = Basis.of(atoms, np.arange(1000), projective=False)
    >>> basis.vectors.shape[1] < 10, bool(basis.outside < 1e-4)
    (True, True)
    """

    vectors: np.ndarray
    outside: float
    largest: float

    @classmethod
    def of(cls, rows, numbers, projective):
        """Return a basis of atoms, some `numbers` of all rows, or None if it is no help."""
        signals = rows.view(complex) if projective else rows
        n_features = signals.shape[1]
        if len(numbers) < _FEWEST_ATOMS or n_features < _FEWEST_FEATURES:
            return None
        starts = range(0, len(numbers), _AT_A_TIME)
        parts = [numbers[first : first + _AT_A_TIME] for first in starts]
        with np.errstate(all="ignore"):
            largest = max(np.linalg.norm(signals[part], axis=1).max() for part in parts)
        if not _LOWEST < largest < _HIGHEST:
            return None
        vectors = _principal_vectors(signals, parts, _OUTSIDE * largest)
        if vectors is None:
            return None
        outside = _largest_outside(signals, parts, vectors)
        return cls(vectors, outside + _SLACK * n_features * largest, largest)

    @property
    def _is_projective(self):
        return self.vectors.dtype.kind == "c"

    def points(self, rows, numbers):
        """Return coefficients of some rows, as real numbers; if complex, of unit norm."""
        found = self._coefficients(rows[numbers])
        if self._is_projective:
            unit_rows(found, found)
        points = np.full((len(rows), found.shape[1]), np.nan)
        points[numbers] = found
        return points

    def screen(self, rows):
        """Return what bounds the distances of signals from atoms."""
        points = self._coefficients(rows)
        with np.errstate(all="ignore"):
            squares, inside = (np.einsum("ij,ij->i", r, r) for r in (rows, points))
            slack = _SLACK * rows.shape[1] * (squares + self.largest**2)
            outside = np.maximum(squares - inside, 0.0) + slack
        if self._is_projective:
            unit_rows(points, points)
        # Where squares overflow, nothing is excluded.
        lost = ~np.isfinite(slack)
        slack[lost], inside[lost], outside[lost], points[lost] = np.inf, 0.0, 0.0, 0.0
        return Screen(points, np.sqrt(inside), np.sqrt(outside), slack, self.outside)

    @one_blas_thread
    def _coefficients(self, rows):
        signals = rows.view(self.vectors.dtype)
        with np.errstate(all="ignore"):
            return (signals @ self.vectors.conj()).view(np.float64)


def _principal_vectors(signals, parts, tolerance):
    """Return the fewest principal vectors that leave little of any atom, or None.

    parts : numbers of the atoms, those of each part worked on at a time.
    """
    most = min(signals.shape[1] // _FEATURES_PER_VECTOR, _MOST)
    size = min(_FIRST, most)
    while True:
        vectors, left = _principal(signals, parts, size)
        enough = np.flatnonzero(left <= tolerance**2)
        if enough.size:
            return np.ascontiguousarray(vectors[:, : enough[0] + 1])
        # What is left falls by a factor from vector to vector, and later faster.
        half = size // 2
        log_half, log_left = np.log(left[[half - 1, -1]])
        fall = (log_half - log_left) / (size - half) * (_FASTER * most - size)
        if size == most or log_left - fall > 2 * np.log(tolerance):
            return None
        size = min(2 * size, most)


@one_blas_thread
def _principal(signals, parts, size):
    """Return principal vectors of atoms, and the largest square that the first ones leave.

    They come from the span of random mixtures of the atoms (Halko, Martinsson and Tropp
    2011, doi 10.1137/090771806).
    """
    generator, mixtures, squares = np.random.default_rng(0), 0.0, []
    for part in parts:
        rows = signals[part]
        mixtures = mixtures + generator.standard_normal((size, len(part))) @ rows
        squares.append(np.linalg.norm(rows, axis=1) ** 2)
    vectors = np.linalg.qr(mixtures.T)[0]
    coefficients = np.concatenate([signals[part] @ vectors.conj() for part in parts])
    # In the order of what they explain.
    turn = np.linalg.eigh(coefficients.conj().T @ coefficients)[1][:, ::-1]
    explained = (np.abs(coefficients @ turn) ** 2).cumsum(axis=1)
    left = (np.concatenate(squares)[:, None] - explained).max(axis=0)
    return vectors @ turn.conj(), left


@one_blas_thread
def _largest_outside(signals, parts, vectors):
    """Return the largest norm of the part of an atom that is out of the span of vectors."""
    largest = 0.0
    for part in parts:
        rows = signals[part]
        rest = rows - (rows @ vectors.conj()) @ vectors.T
        largest = max(largest, np.linalg.norm(rest, axis=1).max())
    return largest
