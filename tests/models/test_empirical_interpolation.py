"""Empirical interpolation of the maps of a train."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from crbestim.models._empirical_interpolation import interpolation_weights

X = np.linspace(-1, 1, 200)


def exponentials(x, n=60):
    """Return smooth functions that span a space of about 20 dimensions."""
    return np.exp(np.outer(x, np.linspace(-2, 2, n)))


def test_weights_do_not_depend_on_the_number_of_threads():
    # Workers have other numbers of threads than the main process, and results must not
    # depend on who computes them.
    x = np.linspace(-1, 1, 1200)
    snapshots = np.exp(np.outer(x, np.linspace(-3, 3, 3000)))
    results = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            results.append(interpolation_weights(snapshots, 1e-11))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("rank", [1, 3, 12])
def test_a_space_of_few_dimensions_needs_as_many_nodes(rank):
    rng = np.random.default_rng(0)
    snapshots = rng.standard_normal((50, rank)) @ rng.standard_normal((rank, 80))
    nodes, weights = interpolation_weights(snapshots, 1e-10)
    assert nodes.shape == (rank,)
    assert weights.shape == (50, rank)
    np.testing.assert_allclose(weights @ snapshots[nodes], snapshots, atol=1e-11)


def test_nodes_are_rows_and_reproduce_themselves():
    nodes, weights = interpolation_weights(exponentials(X), 1e-12)
    assert nodes.dtype.kind == "i"
    assert (np.diff(nodes) > 0).all() and nodes[0] >= 0 and nodes[-1] < len(X)
    np.testing.assert_allclose(weights[nodes], np.eye(len(nodes)), rtol=0, atol=1e-9)


def test_functions_that_were_not_seen_are_interpolated():
    nodes, weights = interpolation_weights(exponentials(X), 1e-12)
    for f in (np.sin, np.cosh, lambda x: 1 + x**3, lambda x: np.exp(1.23 * x)):
        np.testing.assert_allclose(weights @ f(X[nodes]), f(X), rtol=0, atol=1e-9)


def test_weights_stay_small():
    # They multiply the errors of the maps at the nodes: pivoting bounds them.
    _, weights = interpolation_weights(exponentials(X), 1e-12)
    assert np.abs(weights).max() < 10


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_the_tolerance_bounds_the_error(tolerance):
    snapshots = exponentials(X)
    nodes, weights = interpolation_weights(snapshots, tolerance)
    error = np.abs(weights @ snapshots[nodes] - snapshots).max() / np.abs(snapshots).max()
    # Singular values are norms over all pulses and snapshots, errors are of one.
    assert error < 10 * tolerance
    assert len(nodes) < len(interpolation_weights(snapshots, tolerance / 100)[0])


def test_equal_pulses_get_equal_maps():
    twice = np.repeat(exponentials(X[::4]), 2, axis=0)
    nodes, weights = interpolation_weights(twice, 1e-10)
    maps = weights @ twice[nodes]
    np.testing.assert_allclose(maps[::2], maps[1::2], rtol=1e-13)


def test_few_pulses_are_all_nodes():
    snapshots = exponentials(X[::50])
    nodes, weights = interpolation_weights(snapshots, 1e-12)
    np.testing.assert_array_equal(nodes, np.arange(4))
    np.testing.assert_allclose(weights, np.eye(4), rtol=0, atol=1e-9)


def test_the_seed_decides():
    snapshots = exponentials(X)
    first, second = (interpolation_weights(snapshots, 1e-9) for _ in range(2))
    np.testing.assert_array_equal(first[1], second[1])
    other = interpolation_weights(snapshots, 1e-9, random_state=1)
    assert not np.array_equal(first[1], other[1])
