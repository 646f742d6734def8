"""Searches of voxels whose signal is a compiled function, in one loop over voxels."""

import numpy as np

from ..kernels.threads import in_threads
from ..kernels.voxel_residuals import Task, Voxels
from ..kernels.voxel_search import CONVERGED, FAILED, STALLED, Found, memory, search
from ..noise import likelihood_of
from .levenberg_marquardt import Expansion, Minima
from .variable_projection import SquaresObjective

# Voxels in a piece, so that an interrupt does not wait for long.
_PIECE = 1024
_NOTHING = np.empty((0, 0))


def compiled_squares(model, box, data, prior, limits):
    """Return the costs of voxels with a compiled search, or None if there is none."""
    if not has_compiled_search(model, prior):
        return None
    return CompiledSquares(model._shape._compiled_form(), model, box, data, limits=limits)


def has_compiled_search(model, prior):
    """Return whether a compiled loop can search for the minima of a model's squares."""
    if prior is not None or likelihood_of(model) is not None:
        return False
    return model._shape._compiled_form() is not None


class CompiledLoop:
    """The loop over voxels, of one model.

    Parameters
    ----------
    form : CompiledForm
        Signals of the model at an amplitude of 1.
    box : UnitBox
        Map of all variables to the unit box.
    limits : tuple of float or None
        Least and largest amplitude.
    has_factor : bool
        Whether the signal has an unknown factor.
    voxels : tuple of ndarray
        Data, weights or None, factors and norms of voxels, as in
        `kernels.voxel_residuals.Voxels`.
    law : Law, default=None
        The noise, if it is not Gaussian.
    """

    def __init__(self, form, box, limits, has_factor, voxels, law=None):
        self.form, self.is_costly, self.law = form.form, form.is_costly, law
        x, weights, factor, norm = voxels
        weights = _NOTHING if weights is None else weights
        known = np.empty((len(x), 0)) if form.known is None else form.known
        parts = x, weights, known, factor, norm
        self.voxels = Voxels(*(np.ascontiguousarray(part) for part in parts))
        self.task = Task(
            form.settings,
            form.values,
            form.columns,
            form.known_columns,
            _rows_of_box(box),
            np.array(limits or (0.0, np.inf), dtype=float),
            has_factor,
            form.is_complex,
        )

    def run(self, rows, start, most=-1, tol=1.0, data=_NOTHING):
        """Search with at most so many steps; negative numbers only compute the costs."""
        n, whole = len(rows), np.int64
        found = Found(
            np.empty(start.shape),
            np.empty(n),
            np.empty((n, 2)),
            np.empty(n, whole),
            np.empty(n, whole),
        )
        options = most, float(tol), self.is_costly
        common = self.form, self.task, self.voxels, rows, data, self.law, options
        common = *common, np.ascontiguousarray(start), found

        def piece(first, last):
            search(first, last, *common, *self.memory(start.shape[1]))

        in_threads(piece, n, per_piece=_PIECE)
        return found

    def memory(self, n_variables):
        """Return what a piece of the loop writes to."""
        return memory(n_variables, len(self.task.values), self.voxels.x.shape[1])


def minima_of(found, size):
    """Return what a loop found as :class:`Minima`, for costs of some sizes."""
    outcomes = (found.ends == end for end in (CONVERGED, STALLED, FAILED))
    return Minima(found.x, found.costs, size, *outcomes, found.counts)


class CompiledSquares(SquaresObjective):
    """Squares of residuals, as :class:`SquaresObjective`, with searches of their own.

    Parameters
    ----------
    form : CompiledForm
        Signals of the model at an amplitude of 1.
    model, box, data, limits
        As of :class:`SquaresObjective`.
    """

    def __init__(self, form, model, box, data, *, limits=None):
        super().__init__(model, box, data, limits=limits)
        n, kind = len(self.X), self.X.dtype
        factor, self.scaled = np.empty((n, 2)), np.empty(self.X.shape, kind)
        # Views of the same memory: what the kernels write is what others read.
        self.factor = factor.view(kind)[:, 0]
        self.norm = np.empty(n)
        voxels = _reals(self.scaled), self.weights, factor, self.norm
        self._loop = CompiledLoop(form, box, self.limits, self.has_factor, voxels)
        self._data = _reals(np.ascontiguousarray(self.X))

    def search(self, rows, start, max_iter, tol, begins):
        """Search for the minima of some voxels; return :class:`Minima`.

        If it `begins`, it first scales the data to M0 = 1 at the start.
        """
        data = self._data if begins else _NOTHING
        found = self._loop.run(rows, start, max_iter, tol, data)
        failed = np.flatnonzero(found.ends == FAILED)
        if failed.size:
            # Compiled code tells no errors of a function, but the model raises them.
            super().evaluate(rows[failed], start[failed], True)
        return minima_of(found, found.costs.copy())

    def evaluate(self, rows, fractions, derivatives):
        """Return the costs of some voxels; see `SquaresObjective.evaluate`."""
        if derivatives:
            return super().evaluate(rows, fractions, derivatives)
        cost = self._loop.run(rows, fractions).costs
        return Expansion(cost, cost, cost)

    def _ends(self, fractions):
        found = self._loop.run(np.arange(len(fractions)), fractions)
        m0 = found.factors.view(self.factor.dtype)[:, 0]
        return self.box.theta(fractions), m0, np.sqrt(2 * found.costs)


def _rows_of_box(box):
    """Return a box as the kernels want it: low, high, ratio, span, and where ends meet."""
    low, high, is_log = box.low, box.high, box.is_log
    ratio = np.where(is_log, high / np.where(is_log, low, 1.0), 0.0)
    span = np.where(is_log, np.log(np.where(is_log, ratio, 1.0)), high - low)
    return np.array([low, high, ratio, span, box.is_round], dtype=float)


def _reals(signals):
    """Return signals as rows of real numbers, of the same memory."""
    return signals.view(np.float64)
