"""Pulses of a hybrid-state sequence: a few to simulate, and weights for the others.

The map of a repetition depends on its pulse only through flip angle and duration, and
smoothly. The maps of all pulses therefore follow from those of a few nodes by
interpolation, with weights that do not depend on the tissue (see
`_empirical_interpolation.py`). The entries of a map are even or odd functions of the flip
angle; odd ones become even when they are divided by the angle.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np

from ..kernels.hybrid_state import CHUNK, Pulses
from ..kernels.interpolation import ROWS
from ..kernels.lanes import LANES
from ..kernels.magnetization_transfer import node_maps
from ..kernels.saturation import Rates
from ..kernels.trains import EVEN, N_ENTRIES
from ._empirical_interpolation import interpolation_weights
from ._saturation_table import ALPHA_MAX, TAU_RANGE, saturation_table

_TOLERANCE = 1e-10
_LEAST_PULSES = 64
_LEAST_ANGLE = 1e-5
_N_SNAPSHOTS = 32
_LEAST_COEFFICIENT = 1e-13


@lru_cache
def rates(lineshape):
    """Return the table of saturation rates without tiny coefficients; zeros for None."""
    domain = np.array([*np.log(TAU_RANGE), ALPHA_MAX])
    if lineshape is None:
        return Rates(np.zeros((ROWS, 2)), domain)
    table = saturation_table(lineshape)
    counts = np.abs(table) > _LEAST_COEFFICIENT
    n_x = _round_up(1 + np.flatnonzero(counts.any(axis=1)).max(), ROWS)
    n_v = max(2, 1 + np.flatnonzero(counts.any(axis=0)).max())
    return Rates(np.array(table[:n_x, :n_v]), domain)


def in_chunks(rows, train_offsets):
    """Cut rows, (n_rows, n_pulses), into chunks of pulses of one train, filled with zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models._pulses import in_chunks
    >>> in_chunks(np.ones((13, 20)), np.array([0, 2, 20])).shape
    (3, 16, 16)
    """
    n_rows, trains = _round_up(len(rows), ROWS), []
    for first, last in pairwise(train_offsets):
        padded = np.zeros((n_rows, _round_up(last - first, CHUNK)))
        padded[: len(rows), : last - first] = rows[:, first:last]
        chunks = padded.reshape(n_rows, padded.shape[1] // CHUNK, CHUNK)
        trains.append(chunks.swapaxes(0, 1))
    return np.ascontiguousarray(np.concatenate(trains))


@lru_cache(maxsize=16)
def prepared_pulses(sequence, lineshape, steady_state, ranges):
    """Return nodes to simulate, and weights that give the maps of all repetitions.

    `ranges` holds the domain (low, high) of each parameter of the kernel. Interpolation is
    used only if it at least halves the number of pulses. The result is cached for the
    process, so that copies of a model share it.
    """
    inverts = np.zeros(sequence.n_pulses, dtype=bool)
    inverts[sequence.train_offsets[:-1]] = True
    every = np.stack([sequence.alpha, sequence.trf, inverts], axis=1)
    few = _interpolation(sequence, lineshape, every[~inverts, :2], ranges)
    if few is None:
        nodes, index = np.unique(every, axis=0, return_inverse=True)
        weights = np.empty((2, 0, sequence.n_pulses))
    else:
        chosen, ordinary_weights = few
        inversions, which = np.unique(every[inverts], axis=0, return_inverse=True)
        index = np.full(sequence.n_pulses, -1)
        index[inverts] = len(chosen) + which.ravel()
        nodes = np.concatenate([chosen, inversions])
        weights = np.zeros((2, len(chosen), sequence.n_pulses))
        weights[:, :, ~inverts] = ordinary_weights.swapaxes(1, 2)
    chunks = [
        np.swapaxes(in_chunks(w, sequence.train_offsets)[:, : len(w)], 1, 2)
        for w in weights
    ]
    return Pulses(
        nodes,
        index.ravel(),
        np.ascontiguousarray(np.stack(chunks, axis=1)),
        sequence.train_offsets,
        sequence.tr,
        steady_state == "thermal",
    )


def _interpolation(sequence, lineshape, pulses, ranges):
    """Return nodes (n, 3) and weights (2, n_pulses, n), or None if it does not pay."""
    alpha, trf = pulses.T
    # In place of an angle of zero, one whose cosine differs from 1 by less than 1e-10.
    even = np.stack([np.maximum(np.abs(alpha), _LEAST_ANGLE), trf], axis=1)
    distinct, index = np.unique(even, axis=0, return_inverse=True)
    if len(distinct) < _LEAST_PULSES:
        return None
    candidates = np.concatenate([distinct, np.zeros((len(distinct), 1))], axis=1)
    snapshots = _snapshots(sequence.tr, lineshape, candidates, np.array(ranges))
    chosen, weights = interpolation_weights(snapshots, _TOLERANCE)
    if 2 * len(chosen) > len(distinct):
        return None
    weights = weights[index.ravel()]
    odd = alpha[:, None] * weights / candidates[chosen, 0]
    return candidates[chosen], np.stack([weights, odd])


def _snapshots(tr, lineshape, pulses, ranges):
    """Return even entries of maps and derivatives, scaled to 1, at random parameters.

    Some of the draws are at the ends of the domain, where the functions bend most.
    """
    low, high = ranges.T
    rng = np.random.default_rng(0)
    fractions = rng.random((_N_SNAPSHOTS, len(ranges)))
    ends = rng.random(fractions.shape) < 0.3
    fractions = np.where(ends, fractions.round(), fractions)
    theta = np.reshape(low + (high - low) * fractions, (-1, LANES, len(ranges)))
    free = low < high
    columns, d = np.where(free, np.cumsum(free) - 1, -1), free.sum()
    maps = np.empty((len(theta), len(pulses), 1 + d, N_ENTRIES, LANES))
    for lanes, out in zip(theta.swapaxes(1, 2), maps, strict=True):
        lanes = np.ascontiguousarray(lanes)
        node_maps(lanes, columns, pulses, tr, rates(lineshape), out)
    maps[:, :, :, EVEN:] /= pulses[:, 0, None, None, None]
    maps /= np.abs(maps).max(axis=(0, 1, 3, 4), keepdims=True)
    return np.swapaxes(maps, 0, 1).reshape(len(pulses), -1)


def _round_up(n, multiple):
    return -(-n // multiple) * multiple
