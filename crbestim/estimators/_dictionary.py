"""Dictionaries of signals: best matches of measurements, and what lies between them."""

from dataclasses import dataclass

import numpy as np
from joblib import delayed

from .._linear_algebra import norms
from .._parallel import in_parallel
from .._progress import with_progress
from .._threads import one_blas_thread
from ..kernels.matching import affine_weights, unit_rows, weighted_parameters
from ..models.base import m0_by_projection, with_amplitude, without_amplitude
from ..noise import likelihood_of
from ..parameters import folded
from ._completion import completed
from ._matching import BallTree, BallTreeCells

_TINY = np.finfo(float).tiny
# Atoms simulated at a time, and distances of weighted signals computed at a time.
_SIMULATED, _COMPARED = 1024, 2_000_000
# Numbers of all atoms times signals in a block: a second of matching at most, since Ctrl-C
# waits for the end of a block.
_MOST_PRODUCTS = 2_000_000_000
_REGULARIZATION = 1e-3
# Rounds of matching signals without their noise floor, and the change of an amplitude, as a
# share, that ends them.
_MOST_ROUNDS, _CHANGE = 50, 1e-3
# Samples below this many sigma are mostly floor.
_LOW = 3.0
N_MATCHES = 20
"""Matches between which estimates are interpolated by default."""


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Atoms with their parameters, and the tree that finds the best matches.

    Attributes
    ----------
    atoms : ndarray of shape (n_atoms, n_features)
        Signals, of unit norm if known up to a factor; NaN where one cannot be matched.
    parameters : ndarray of shape (n_atoms, n_outputs)
        Their parameters, in SI units.
    tree : BallTree or BallTreeCells
        Finds the atoms that are nearest to a signal.
    bounds, periods : ndarray of shape (n_outputs, 2) and (n_outputs,)
        Bounds and periods of the parameters; infinite where there are none.
    known_parameters : tuple of Parameter
        The known parameters, some of which may have a period.
    noise : Noise or None
        Noise of simulated signals, if it is not Gaussian.
    n_unknowns : int
        Number of unknowns of a signal.
    column : int, default=None
        Column of an amplitude, if there is one.
    amplitudes : ndarray of shape (n_atoms,), default=None
        Amplitudes at which the atoms have unit norm.
    """

    atoms: np.ndarray
    parameters: np.ndarray
    tree: object
    bounds: np.ndarray
    periods: np.ndarray
    known_parameters: tuple
    noise: object
    n_unknowns: int
    column: int | None = None
    amplitudes: np.ndarray | None = None

    @classmethod
    def of(cls, atoms, parameters, model=None, known=None, verbose=False):
        """Make a dictionary of signals; with None, of those that the model simulates."""
        column = None if model is None else model._amplitude_column
        parameters, noise = parameters.copy(), None
        if atoms is None:
            noise = likelihood_of(model)
            if column is not None:
                parameters[:, column] = 1.0
            at_known = model if known is None else model.at(known)
            atoms = _simulated(at_known, parameters, verbose)
        atoms = np.array(atoms, order="C")
        atoms[~np.isfinite(atoms).all(axis=1)] = np.nan
        usable, rows = np.isfinite(atoms[:, 0]), atoms.view(np.float64)
        is_complex, amplitudes = atoms.dtype.kind == "c", None
        if is_complex or column is not None:
            usable &= atoms.any(axis=1)
            if not is_complex:
                with np.errstate(all="ignore"):
                    amplitudes = parameters[:, column] / norms(atoms)
            unit_rows(rows, rows)
        if not usable.any():
            raise ValueError(
                f"none of {len(atoms)} atoms has a finite, nonzero signal; check "
                f"{'X' if model is None else 'y and the model'}."
            )
        numbers, options = np.flatnonzero(usable), dict(projective=is_complex)
        known_parameters = () if model is None else model.known_parameters
        if known is None:
            tree = BallTree.of(rows, numbers, **options)
        else:
            known = _folded(known, known_parameters)
            tree = BallTreeCells.of(rows, numbers, known, **options)
        n = parameters.shape[1]
        bounds = np.tile([-np.inf, np.inf], (n, 1)) if model is None else model.bounds
        periods = np.full(n, np.inf) if model is None else model.periods
        column = None if amplitudes is None else column
        n_unknowns = n if model is None else model.n_unknowns
        fields = bounds, periods, known_parameters, noise, n_unknowns, column, amplitudes
        return cls(atoms, parameters, tree, *fields)

    @property
    def n_choices(self):
        """Number of atoms that a signal can match; with cells, the least."""
        return self.tree.n_choices

    @property
    def has_factor(self):
        """Whether signals are known up to a factor."""
        return self.atoms.dtype.kind == "c" or self.column is not None

    def match(self, data, n_neighbors, known=None):
        """Return signals as real rows, and numbers and squared distances of best matches.

        data : Measurements with a signal in every voxel. The numbers are -1 where the
        distances are not finite. Rows have unit norm if signals are known up to a factor,
        and what is left after the best factor counts as distance.
        """
        rows = np.ascontiguousarray(data.weighted).view(np.float64)
        if self.has_factor:
            signals, rows = rows, np.empty_like(rows)
            unit_rows(signals, rows)
        known = _folded(known, self.known_parameters)
        numbers, squares = self.tree.nearest(rows, n_neighbors, known)
        numbers[~np.isfinite(squares[:, -1])] = -1
        if self.column is not None:
            # For unit vectors at a distance d, the squared sine is d^2 (1 - d^2 / 4).
            squares = np.where(squares < 2, squares * (1 - squares / 4), 1.0)
        if data.weights is not None:
            uneven = (data.weights != 1).any(axis=1)
            some = None if known is None else known[uneven]
            groups = self.tree.groups(some, int(uneven.sum()))
            found = nearest_weighted(self, data[uneven], groups, n_neighbors)
            numbers[uneven], squares[uneven] = found
        return rows, numbers, squares

    def best(self, data, known=None):
        """Return the best atom of each signal, and the share of the norm that it leaves."""
        _, numbers, squares = self.match(data, 1, known)
        misfit = np.sqrt(np.maximum(squares[:, 0], 0.0))
        if not self.has_factor:
            misfit = misfit / np.maximum(norms(data.weighted), _TINY)
        return numbers[:, 0], misfit

    def estimate(self, data, n_neighbors, interpolate, known=None, *, amplitude=True):
        """Return parameters from the best matches: their mean, or interpolated.

        NaN for signals so far from any atom that the distance is not finite. Without
        `amplitude`, that column is the one of the atoms.
        """
        rows, numbers, _ = self.match(data, n_neighbors, known)
        finite = numbers[:, 0] >= 0
        rows, numbers, some = rows[finite], numbers[finite], data[finite]
        weights = np.full(numbers.shape, 1 / n_neighbors)
        if interpolate:
            atoms, is_complex = self.atoms.view(np.float64), self.atoms.dtype.kind == "c"
            affine_weights(rows, atoms, numbers, is_complex, _REGULARIZATION, weights)
            self._interpolate_weighted(rows, some, numbers, weights)
        found = np.empty((len(rows), len(self.periods)))
        weighted_parameters(self.parameters, self.periods, numbers, weights, found)
        for k in np.flatnonzero(np.isfinite(self.periods)):
            low, high = self.bounds[k]
            inside = folded(found[:, k], low, high, self.periods[k])
            found[:, k] = np.minimum(inside, high)
        if self.column is not None and amplitude:
            scale = norms(some.weighted)
            amplitude = scale * self._projected(rows, some.weights, numbers, weights)
            found[:, self.column] = np.clip(amplitude, *self.bounds[self.column])
        y = np.full((len(data), len(self.periods)), np.nan)
        y[finite] = found
        return y

    def without_floor(self, data, known=None):
        """Return measurements as Gaussian noise would leave them, for matching.

        Other noise shifts signals: the mean of a Rician magnitude is above its amplitude.
        A match a of signals ``a + sigma^2 d log p(x | a) / d a`` is at least as likely as
        the match from which these are computed, because the likelihood of the data exceeds
        that of their complete signals only by an entropy (expectation-maximization,
        Dempster, Laird and Rubin 1977, doi 10.1111/j.2517-6161.1977.tb01600.x). It is
        repeated until the match stays.
        """
        shows_noise = (self._free_numbers(data) > 0) | (data.sigma is not None)
        rows = np.flatnonzero(shows_noise)
        if self.noise is None or not rows.size:
            return data
        signals, some, given = data.X.copy(), data[rows], rows_of(known, rows)
        found, cost, level = self._settled(some, some.X, given)
        # Late samples that are mostly floor can hold a search at too slow a decay.
        bare = self.noise.without_floor(some.X, some.noise(level).reshape(len(some), -1))
        low = (some.X < _LOW * level[:, None]).any(axis=1) & bare.any(axis=1)
        low &= (bare != some.X).any(axis=1)
        if low.any():
            other = self._settled(some[low], bare[low], rows_of(given, low))
            better = other[1] < cost[low]
            found[np.flatnonzero(low)[better]] = other[0][better]
        signals[rows] = found
        return data.replace_signals(signals)

    def _settled(self, data, start, known):
        """Return completed signals that match themselves, their cost and their noise."""
        signals, rows = start.copy(), np.arange(len(data))
        last, cost, level = (
            np.zeros((len(data), 2)),
            np.zeros(len(data)),
            np.zeros(len(data)),
        )
        for _ in range(_MOST_ROUNDS):
            some, last_signals = data[rows], signals[rows]
            now = some.replace_signals(last_signals), 1, rows_of(known, rows)
            number = self.match(*now)[1][:, 0]
            amplitude, *out = completed(
                self.noise,
                some,
                last_signals,
                self.atoms[number],
                self.has_factor,
                self.n_unknowns,
            )
            signals[rows], cost[rows], level[rows] = out
            place = np.column_stack([number, amplitude])
            change = np.abs(place - last[rows])
            last[rows] = place
            moved = (change[:, 0] > 0) | (change[:, 1] > _CHANGE * np.abs(amplitude))
            rows = rows[moved]
            if not rows.size:
                break
        return signals, cost, level

    def _free_numbers(self, data):
        return data.counts.sum(axis=1) - self.n_unknowns

    def _interpolate_weighted(self, rows, data, numbers, weights):
        """Write the weights of matches of signals whose samples do not count alike."""
        if data.weights is None:
            return
        uneven = np.flatnonzero((data.weights != 1).any(axis=1))
        is_complex, k = self.atoms.dtype.kind == "c", numbers.shape[1]
        for i in uneven:
            atoms = data.weights[i] * self.atoms[numbers[i]]
            atoms, part = np.ascontiguousarray(atoms).view(np.float64), np.empty((1, k))
            if self.has_factor:
                unit_rows(atoms, atoms)
            every = np.arange(k)[None]
            affine_weights(rows[i, None], atoms, every, is_complex, _REGULARIZATION, part)
            weights[i] = part

    def _projected(self, rows, shares, numbers, weights):
        """Return amplitudes of signals of unit norm, projected onto weighted matches."""
        matched = np.zeros_like(rows)
        for k in range(numbers.shape[1]):
            matched += weights[:, k, None] * self.atoms[numbers[:, k]]
        if shares is not None:
            matched *= shares
        energy = (matched**2).sum(axis=1)
        share = (matched * rows).sum(axis=1) / np.where(energy > 0, energy, 1.0)
        return share * (weights * self.amplitudes[numbers]).sum(axis=1)


def rows_of(values, rows):
    """Return some rows of an array that may be None."""
    return None if values is None else values[rows]


def nearest_weighted(dictionary, data, groups, n_neighbors):
    """Return the best matches of signals whose samples do not count alike, best first.

    Every signal is compared with all atoms of its group, numbers and rows of `groups`. The
    distance is that of weighted signals; where they are known up to a factor, it is the
    sine of the angle between them.
    """
    atoms = np.empty((len(data), n_neighbors), dtype=np.int64)
    squares = np.empty(atoms.shape)
    for numbers, members in groups:
        signals = dictionary.atoms[numbers]
        step = max(_COMPARED // len(numbers), 1)
        for first in range(0, len(members), step):
            rows = members[first : first + step]
            found = _weighted_squares(data[rows], signals, dictionary.has_factor)
            best = np.argpartition(found, n_neighbors - 1, axis=1)[:, :n_neighbors]
            best.sort(axis=1)
            # Sums of the row alone: products of matrices depend on the other rows.
            some = _weighted_squares(data[rows], signals[best], dictionary.has_factor)
            order = some.argsort(axis=1, kind="stable")
            atoms[rows] = numbers[np.take_along_axis(best, order, axis=1)]
            squares[rows] = np.take_along_axis(some, order, axis=1)
    return atoms, squares


@one_blas_thread
def _weighted_squares(data, atoms, has_factor):
    """Squared distances of weighted signals from atoms, (n_voxels, n_atoms).

    atoms : (n_atoms, n_features), or (n_voxels, n_atoms, n_features) if each has its own.
    """
    squared = data.weights**2
    energy = (np.abs(data.weighted) ** 2).sum(axis=1, keepdims=True)
    if atoms.ndim == 2:
        products = (squared * data.X) @ atoms.conj().T
        of_atoms = squared @ (np.abs(atoms) ** 2).T
    else:
        products = ((squared * data.X)[:, None] * atoms.conj()).sum(axis=2)
        of_atoms = (squared[:, None] * np.abs(atoms) ** 2).sum(axis=2)
    if not has_factor:
        return energy - 2 * products + of_atoms
    norm = np.sqrt(np.maximum(energy * of_atoms, _TINY))
    is_complex = atoms.dtype.kind == "c"
    share = np.abs(products) if is_complex else np.maximum(products, 0.0)
    return np.maximum(1.0 - (share / norm) ** 2, 0.0)


def amplitude_by_projection(model, data, theta):
    """Return theta with the amplitudes, inside their bounds, that fit real signals."""
    column, X = model._amplitude_column, data.weighted
    others = without_amplitude(theta, column)
    signal, size = model._shape._simulate_voxels(others)[0], norms(X)
    amplitude = size * m0_by_projection(X / size[:, None], data.weigh(signal))
    return with_amplitude(others, column, np.clip(amplitude, *model.bounds[column]))


def in_blocks(task, n_voxels, block_size, n_jobs, dictionaries, verbose=False):
    """Run a task on slices of all voxels, in threads: kernels release the GIL.

    Slices have at most `block_size` voxels, and fewer if they are matched with
    dictionaries that are large.
    """
    n_numbers = sum(d.tree.n_numbers for d in dictionaries)
    block_size = max(min(block_size, _MOST_PRODUCTS // n_numbers), 1)
    starts = range(0, n_voxels, block_size)
    tasks = (delayed(task)(slice(first, first + block_size)) for first in starts)
    sizes = [min(block_size, n_voxels - first) for first in starts]
    done = in_parallel(tasks, n_jobs, require="sharedmem")
    for _ in with_progress(done, sizes, "matching", verbose):
        pass


def _simulated(model, parameters, verbose):
    """Return clean signals of parameters that have been checked."""
    starts = range(0, len(parameters), _SIMULATED)
    parts = [slice(first, first + _SIMULATED) for first in starts]
    signals = (model.rows(part)._simulate_voxels(parameters[part])[0] for part in parts)
    sizes = [len(parameters[part]) for part in parts]
    return np.concatenate(list(with_progress(signals, sizes, "atoms", verbose)))


def _folded(known, parameters):
    """Bring known values that have a period into one period."""
    if known is None:
        return None
    known = known.copy()
    for k, parameter in enumerate(parameters):
        known[:, k] = folded(known[:, k], *parameter.bounds, parameter.period)
    return known
