"""BallTree: every atom in one leaf, near its centre."""

import numpy as np
import pytest

from crbestim.estimators._matching import BallTree
from crbestim.kernels.matching import WIDTH


@pytest.mark.parametrize("projective", [False, True])
@pytest.mark.parametrize("n", [1, WIDTH, WIDTH + 1, 1000])
def test_every_atom_is_in_one_leaf_and_near_its_centre(projective, n):
    rows = np.random.default_rng(0).standard_normal((n, 8))
    if projective:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    partition = BallTree.of(rows, np.arange(n), projective=projective)
    members = partition.members
    np.testing.assert_array_equal(np.sort(members[members >= 0]), np.arange(n))
    assert len(members) == -(-n // WIDTH)
    blocks = partition.centres.reshape(-1, rows.shape[1], WIDTH).transpose(0, 2, 1)
    centres = np.ascontiguousarray(blocks.reshape(-1, rows.shape[1]))
    for group, centre, radius in zip(members, centres, partition.radii, strict=False):
        signals = rows[group[group >= 0]]
        if projective:
            products = np.abs(signals.view(complex).conj() @ centre.view(complex))
            distances = np.sqrt(np.maximum(1 - products**2, 0))
        else:
            distances = np.linalg.norm(signals - centre, axis=1)
        assert (distances <= radius).all() and radius < distances.max() + 2e-6
