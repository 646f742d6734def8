import numpy as np
import pytest

from crbestim.kernels.interpolation import (
    NODES_PER_SWEEP,
    PULSES_PER_SWEEP,
    interpolate,
)


def run(form, weights, values):
    out = np.full((weights.shape[0], values.shape[1]), np.nan)
    form(interpolate)(weights, values, out)
    return out


@pytest.mark.parametrize("n_sweeps", [1, 2, 6])
@pytest.mark.parametrize("n_pairs", [1, 7])
@pytest.mark.parametrize("n_entries", [1, 20, 160])
def test_it_is_the_matrix_product(form, n_sweeps, n_pairs, n_entries):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((PULSES_PER_SWEEP * n_pairs, NODES_PER_SWEEP * n_sweeps))
    values = rng.standard_normal((NODES_PER_SWEEP * n_sweeps, n_entries))
    # Both are sums of at most 48 products of numbers of order 1.
    np.testing.assert_allclose(
        run(form, weights, values), weights @ values, rtol=0, atol=1e-13
    )


def test_unit_weights_copy_the_nodes(form):
    values = np.random.default_rng(1).standard_normal((8, 20))
    np.testing.assert_array_equal(run(form, np.eye(8), values), values)


def test_padding_with_zeros_changes_nothing(form):
    rng = np.random.default_rng(2)
    weights, values = rng.standard_normal((4, 8)), rng.standard_normal((8, 20))
    padded = np.zeros((6, 16))
    padded[:4, :8] = weights
    more = np.concatenate([values, np.zeros((8, 20))])
    result = run(form, padded, more)
    np.testing.assert_array_equal(result[:4], run(form, weights, values))
    np.testing.assert_array_equal(result[4:], 0)


def test_a_row_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(3)
    weights, values = rng.standard_normal((8, 16)), rng.standard_normal((16, 40))
    whole = run(lambda kernel: kernel, weights, values)
    shuffled = run(lambda kernel: kernel, weights[::-1].copy(), values)
    np.testing.assert_array_equal(shuffled[::-1], whole)


def test_differences_of_the_result_are_the_weights(form):
    # The product is linear: its Jacobian with respect to a node is a column of weights.
    rng = np.random.default_rng(4)
    weights, values = rng.standard_normal((4, 8)), rng.standard_normal((8, 5))
    for node in range(8):
        moved = values.copy()
        moved[node] += 1
        change = run(form, weights, moved) - run(form, weights, values)
        expected = np.broadcast_to(weights[:, [node]], (4, 5))
        np.testing.assert_allclose(change, expected, rtol=0, atol=1e-13)
