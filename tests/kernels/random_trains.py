"""Random packed maps, and trains of them in plain NumPy."""

import numpy as np

from crbestim.kernels.lanes import LANES
from tests.kernels.voxels import STEP, unpacked

SOURCES = [6, 7, 12, 13]
COUPLINGS = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]


def random_ratio(seed, d):
    """Return ratios of the pools from 0 to 4, and derivatives, (1 + d, LANES)."""
    rng = np.random.default_rng(seed)
    return np.concatenate([[np.linspace(0, 4, LANES)], rng.standard_normal((d, LANES))])


def random_maps(seed, n_maps, d, r):
    """Return contractions with an offset, and derivatives, (n_maps, 1 + d, 14, LANES)."""
    maps = np.random.default_rng(seed).standard_normal((n_maps, 1 + d, 14, LANES))
    norms = np.linalg.norm(unpacked(maps[:, 0], r[0])[..., :4], ord=2, axis=(2, 3))
    maps[:, 0, COUPLINGS] *= 0.9 / norms.T[:, None]
    return maps


def each_derivative(f, maps, r):
    """Return f(matrices, 0) and its derivatives by complex steps, (1 + d, ...).

    f takes matrices of all repetitions, (LANES, N, 4, 5), and which derivative it is.
    """
    parts = [f(unpacked(maps[:, 0], r[0]), 0)]
    for p in range(1, len(r)):
        moved = unpacked(maps[:, 0] + 1j * STEP * maps[:, p], r[0] + 1j * STEP * r[p])
        parts.append(f(moved, p).imag / STEP)
    return np.array(parts)


def apply(matrices, states):
    """Apply affine maps (LANES, 4, 5) to states (LANES, 4)."""
    return np.einsum("lij,lj->li", matrices[..., :4], states) + matrices[..., 4]


def follow(matrices, states):
    """Return the states before and after each repetition, (LANES, N + 1, 4)."""
    path = [states]
    for i in range(matrices.shape[1]):
        path.append(apply(matrices[:, i], path[-1]))
    return np.stack(path, axis=1)


def periodic_state(matrices):
    """Return the state at echo 0 that comes back after repetitions 1, 2, .., 0."""
    order = [*range(1, matrices.shape[1]), 0]
    offset = follow(matrices[:, order], np.zeros((LANES, 4)))[:, -1]
    columns = [
        follow(matrices[:, order], np.tile(start, (LANES, 1)))[:, -1] - offset
        for start in np.eye(4)
    ]
    return np.linalg.solve(np.eye(4) - np.stack(columns, axis=-1), offset[..., None])[
        ..., 0
    ]
