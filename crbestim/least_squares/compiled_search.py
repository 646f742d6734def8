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
        known, weights = form.known, self.weights
        self._voxels = Voxels(
            _reals(self.scaled),
            np.empty((0, 0)) if weights is None else np.ascontiguousarray(weights),
            np.empty((n, 0)) if known is None else np.ascontiguousarray(known),
            factor,
            self.norm,
        )
        self._data = _reals(np.ascontiguousarray(self.X))
        self._form, self._is_costly = form.form, form.is_costly
        self._task = Task(
            form.settings,
            form.values,
            form.columns,
            form.known_columns,
            _rows_of_box(box),
            np.array(self.limits or (0.0, np.inf), dtype=float),
            self.has_factor,
            form.is_complex,
        )

    def search(self, rows, start, max_iter, tol, begins):
        """Search for the minima of some voxels; return :class:`Minima`.

        If it `begins`, it first scales the data to M0 = 1 at the start.
        """
        found = self._run(rows, start, max_iter, tol, self._data if begins else _NOTHING)
        failed = np.flatnonzero(found.ends == FAILED)
        if failed.size:
            # Compiled code tells no errors of a function, but the model raises them.
            super().evaluate(rows[failed], start[failed], True)
        outcomes = (found.ends == end for end in (CONVERGED, STALLED, FAILED))
        return Minima(found.x, found.costs, found.costs.copy(), *outcomes, found.counts)

    def evaluate(self, rows, fractions, derivatives):
        """Return the costs of some voxels; see `SquaresObjective.evaluate`."""
        if derivatives:
            return super().evaluate(rows, fractions, derivatives)
        cost = self._run(rows, fractions).costs
        return Expansion(cost, cost, cost)

    def _ends(self, fractions):
        found = self._run(np.arange(len(fractions)), fractions)
        m0 = found.factors.view(self.factor.dtype)[:, 0]
        return self.box.theta(fractions), m0, np.sqrt(2 * found.costs)

    def _run(self, rows, start, most=-1, tol=1.0, data=_NOTHING):
        """Search with at most so many steps; negative numbers only compute the costs."""
        n, whole = len(rows), np.int64
        found = Found(
            np.empty(start.shape),
            np.empty(n),
            np.empty((n, 2)),
            np.empty(n, whole),
            np.empty(n, whole),
        )
        options = most, float(tol), self._is_costly
        common = self._form, self._task, self._voxels, rows, data, options
        common = *common, np.ascontiguousarray(start), found
        sizes = start.shape[1], len(self._task.values), self._voxels.x.shape[1]

        def piece(first, last):
            search(first, last, *common, *memory(*sizes))

        in_threads(piece, n, per_piece=_PIECE)
        return found


def _rows_of_box(box):
    """Return a box as the kernels want it: low, high, ratio, span, and where ends meet."""
    low, high, is_log = box.low, box.high, box.is_log
    ratio = np.where(is_log, high / np.where(is_log, low, 1.0), 0.0)
    span = np.where(is_log, np.log(np.where(is_log, ratio, 1.0)), high - low)
    return np.array([low, high, ratio, span, box.is_round], dtype=float)


def _reals(signals):
    """Return signals as rows of real numbers, of the same memory."""
    return signals.view(np.float64)
