"""Signals of hybrid-state sequences, with derivatives, eight voxels at a time.

A block of eight voxels takes three steps:
  1. `node_maps` of `magnetization_transfer.py`: maps of the pulses that serve as nodes.
  2. `fill`: maps of CHUNK repetitions at a time as weighted sums of those.
  3. The sweeps of `trains.py` through these maps; samples are projected at once.

numba compiles a kernel anew for each literal number among its arguments, hence np.int64(1).
"""

from collections import namedtuple

import numpy as np

from ._compile import njit
from .interpolation import weighted_sums
from .lanes import LANES, spread, vectors, zeros
from .magnetization_transfer import M0S, N_PARAMETERS, node_maps
from .trains import (
    EVEN,
    N_ENTRIES,
    add_product,
    close_cycle,
    finish,
    step_state,
    sweep_columns,
    sweep_state,
)

CHUNK = 16

Pulses = namedtuple("Pulses", "nodes index weights starts tr thermal")
"""A sequence in the form that the kernels read.

nodes : (n_nodes, 3), flip angle, duration and whether it is the inversion pulse.
index : (N,), the node of each repetition; negative where its map is interpolated, never
    so for the first of a train.
weights : (n_chunks, 2, CHUNK, n), of the first n nodes, for even and odd entries of maps;
    n = 0 where nothing is interpolated. A chunk never holds parts of two trains.
starts : (n_trains + 1,), the first repetition of each train, and N.
tr, thermal : repetition time, and whether trains start from thermal equilibrium.
"""


@njit
def fill(weights, maps, low, high, out):
    """Write the interpolated maps of a chunk; weights : (2, CHUNK, n), even and odd.

    maps : (n_nodes, (1 + d) 14, LANES), of which orders `low` to `high` - 1 are wanted.
    """
    if weights.shape[2]:
        for first in range(low * N_ENTRIES, high * N_ENTRIES, N_ENTRIES):
            odd, last = first + EVEN, first + N_ENTRIES
            weighted_sums(weights[0], maps, out, first, odd, np.bool_(False))
            weighted_sums(weights[1], maps, out, odd, last, np.bool_(False))


@njit
def recall(values, between):
    """Copy the maps of a chunk, (CHUNK, 1, 14, LANES), to those with derivatives."""
    values, between = vectors(values), vectors(between)
    for k in range(CHUNK):
        for e in range(N_ENTRIES):
            between[k, 0, e] = values[k, 0, e]


@njit
def collect(basis, path, first, n, sums):
    """Add the samples of a chunk, projected onto its rows of the basis, to the sums.

    basis : (n_components, CHUNK), or (0, CHUNK) to store the n samples themselves in the
    sums, from row `first` on.
    """
    if basis.shape[0]:
        weighted_sums(basis, path, sums, np.int64(0), path.shape[1], np.bool_(True))
    else:
        path, sums = vectors(path), vectors(sums)
        for i in range(n):
            for e in range(path.shape[1]):
                sums[first + i, e] = path[i, e]


@njit
def initial_echo(theta, columns, closing, r, path_map, resolvent, thermal, start):
    """Write the state at echo 0 and, for a thermal start, its derivatives."""
    v, x = vectors(start), vectors(theta)
    if thermal:
        column = 1 + columns[M0S]
        v[0, 2], v[0, 3] = 1.0 - x[M0S], x[M0S]
        if column > 0:
            v[column, 2], v[column, 3] = spread(-1.0), spread(1.0)
        step_state(vectors(closing), vectors(r), v)
    else:
        close_cycle(closing, r, path_map, resolvent)
        add_product(path_map[4:], resolvent, start[:1])


@njit
def play(train, theta, columns, maps, kept, between, r, pulses, basis, out):
    """Add the samples of one train and their derivatives to `out`.

    train : first repetition, end, and first chunk. kept : (n, CHUNK, 1, 14, LANES), space
    for maps of all chunks, or of one without derivatives. out : (n_rows, 1 + d, 2, LANES),
    the second-to-last axis for real and imaginary part.
    """
    first, last, chunk = train
    n_orders, n_nodes, n_rows = maps.shape[1], maps.shape[0], out.shape[0]
    d = n_orders - 1
    flat = maps.reshape(n_nodes, n_orders * N_ENTRIES, LANES)
    filled = between.reshape(CHUNK, n_orders * N_ENTRIES, LANES)
    path, dpath = zeros((CHUNK, 10, LANES)), zeros((CHUNK, 2 * d, LANES))
    sums, dsums = zeros((n_rows, 10, LANES)), zeros((n_rows, 2 * d, LANES))
    path_map, resolvent = zeros((5, 4, LANES)), zeros((4, 4, LANES))
    start, v = zeros((n_orders, 4, LANES)), zeros((n_orders, 4, LANES))
    closing = maps[pulses.index[first]]
    for j in range(4):
        for lane in range(LANES):
            path_map[j, j, lane] = 1.0
    for low in range(first, last, CHUNK):
        c, high = chunk + (low - first) // CHUNK, min(low + CHUNK, last)
        values = kept[(c - chunk) % len(kept)]
        plain = values.reshape(CHUNK, N_ENTRIES, LANES)
        fill(pulses.weights[c], flat, np.int64(0), np.int64(1), plain)
        sweep_columns(maps, values, pulses.index, low, high, first, r, path_map, path)
        collect(basis[c], path, low - first, high - low, sums)
    initial_echo(theta, columns, closing, r, path_map, resolvent, pulses.thermal, start)
    if d:
        for j in range(4):
            for lane in range(LANES):
                v[0, j, lane] = start[0, j, lane]
        for low in range(first, last, CHUNK):
            c, high = chunk + (low - first) // CHUNK, min(low + CHUNK, last)
            recall(kept[c - chunk], between)
            fill(pulses.weights[c], flat, np.int64(1), n_orders, filled)
            sweep_state(maps, between, pulses.index, low, high, first, r, v, dpath)
            collect(basis[c], dpath, low - first, high - low, dsums)
        if not pulses.thermal:
            step_state(vectors(closing), vectors(r), vectors(v))
            add_product(v[1:], resolvent, start[1:])
    finish(sums, dsums, start, out)


@njit
def load(theta, first, columns, lanes, r):
    """Spread eight rows of theta over the lanes; write the pools' ratio with derivatives.

    lanes : (8, LANES), r : (1 + d, LANES). The last block repeats its last voxel.
    """
    for lane in range(LANES):
        v = min(first + lane, theta.shape[0] - 1)
        for k in range(N_PARAMETERS):
            lanes[k, lane] = theta[v, k]
        m0f = 1 - theta[v, M0S]
        r[0, lane] = theta[v, M0S] / m0f
        if columns[M0S] >= 0:
            r[1 + columns[M0S], lane] = 1 / m0f**2


@njit
def store(out, first, s, ds):
    """Write the samples of a block to its rows of the signals, and reset `out` to zero."""
    for lane in range(min(LANES, s.shape[0] - first)):
        v = first + lane
        for i in range(s.shape[1]):
            s[v, i] = complex(out[i, 0, 0, lane], out[i, 0, 1, lane])
            for p in range(1, out.shape[1]):
                ds[v, i, p - 1] = complex(out[i, p, 0, lane], out[i, p, 1, lane])
    out = vectors(out)
    for i in range(out.shape[0]):
        for p in range(out.shape[1]):
            out[i, p, 0] = out[i, p, 1] = spread(0.0)


@njit(nogil=True)
def simulate(first, last, theta, columns, pulses, rates, basis, s, ds):
    """Fill signals (n, m) and derivatives (n, m, d) of the blocks `first` to `last` - 1.

    theta : (n, 8); basis : (n_chunks, n_components, CHUNK), n_components a multiple of 8,
    or 0 for the samples themselves; the first m are kept.
    """
    n_orders, n_rows = 1 + ds.shape[2], max(basis.shape[1], s.shape[1])
    lanes, r = zeros((N_PARAMETERS, LANES)), zeros((n_orders, LANES))
    maps = zeros((len(pulses.nodes), n_orders, N_ENTRIES, LANES))
    between = zeros((CHUNK, n_orders, N_ENTRIES, LANES))
    longest = np.diff(pulses.starts).max() if n_orders > 1 else np.int64(1)
    kept = zeros(((longest + CHUNK - 1) // CHUNK, CHUNK, 1, N_ENTRIES, LANES))
    out = zeros((n_rows, n_orders, 2, LANES))
    for b in range(first, last):
        load(theta, b * LANES, columns, lanes, r)
        node_maps(lanes, columns, pulses.nodes, pulses.tr, rates, maps)
        chunk = np.int64(0)
        for k in range(pulses.starts.size - 1):
            low, high = pulses.starts[k], pulses.starts[k + 1]
            rows = out if basis.shape[1] else out[low:high]
            train = low, high, chunk
            play(train, lanes, columns, maps, kept, between, r, pulses, basis, rows)
            chunk += (high - low + CHUNK - 1) // CHUNK
        store(out, b * LANES, s, ds)
