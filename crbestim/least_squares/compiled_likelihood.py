"""Searches for the largest Rician likelihood of compiled signals, in one loop."""

from functools import cache

import numpy as np

from ..kernels import rician
from ..kernels.threads import in_threads
from ..kernels.voxel_likelihood import Law, start_amplitudes
from ..kernels.voxel_search import FAILED
from ..noise import RicianNoise, likelihood_of
from . import compiled_search
from .compiled_search import CompiledLoop, minima_of
from .levenberg_marquardt import Expansion
from .likelihood import LikelihoodObjective


def compiled_likelihood(model, box, data, prior, limits):
    """Return likelihoods of voxels with a compiled search, or None if there is none."""
    if data.sigma is None or not has_compiled_likelihood(model, prior):
        return None
    form = model._shape._compiled_form()
    return CompiledLikelihood(form, model, box, data, limits=limits)


def has_compiled_likelihood(model, prior):
    """Return whether a compiled loop can search a model's likelihood, of known noise."""
    if prior is not None or type(likelihood_of(model)) is not RicianNoise:
        return False
    return model._shape._compiled_form() is not None


class CompiledLikelihood(LikelihoodObjective):
    """Rician likelihood, as :class:`LikelihoodObjective`, with searches of its own.

    Parameters
    ----------
    form : CompiledForm
        Signals of the model at an amplitude of 1.
    model, box, data, limits
        As of :class:`LikelihoodObjective`; the data come with their noise.
    """

    def __init__(self, form, model, box, data, *, limits=None):
        super().__init__(model, box, data, RicianNoise(), limits=limits)
        # In units of the noise of each sample.
        weights = self.weights / self.level[:, None]
        x = np.where(self.counts, self.x * weights, 0.0)
        factor = np.column_stack([self.norm, np.zeros(len(x))])
        self._size = np.maximum(self.n_free, 1) / 2
        self._loop = CompiledLoop(
            form,
            self.box,
            self.limits,
            self.column is not None,
            (x, weights, factor, self.norm),
            Law(self.level, self._size, self.reach, polynomials()),
        )

    def search(self, rows, start, max_iter, tol, begins):
        """Search for the minima of some voxels; return :class:`Minima`."""
        found = self._loop.run(rows, start, max_iter, tol)
        failed = np.flatnonzero(found.ends == FAILED)
        if failed.size:
            # Compiled code tells no errors of a function, but the model raises them.
            super().evaluate(rows[failed], start[failed], True)
        return minima_of(found, self._size[rows])

    def evaluate(self, rows, variables, derivatives):
        """Return the costs of some voxels; see `LikelihoodObjective.evaluate`."""
        if derivatives:
            return super().evaluate(rows, variables, derivatives)
        cost = self._loop.run(rows, variables).costs
        return Expansion(cost, cost, self._size[rows])

    def variables(self, fractions, rows=None):
        """Return where searches start; see `LikelihoodObjective.variables`."""
        if self.column is None:
            return fractions
        rows = np.arange(len(self.x)) if rows is None else rows
        places = np.column_stack([fractions, np.empty(len(rows))])
        loop = self._loop
        common = loop.form, loop.task, loop.voxels, rows, loop.law, places

        def piece(first, last):
            start_amplitudes(first, last, *common, loop.memory(places.shape[1])[0])

        in_threads(piece, len(rows), per_piece=compiled_search._PIECE)
        return places


@cache
def polynomials():
    """Return the functions of Rician noise, of which `kernels.rician` has the signals."""
    noise = RicianNoise()
    return rician.tables(lambda signal: noise.information(signal, 1.0))
