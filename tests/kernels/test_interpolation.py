import numpy as np
import pytest

from crbestim.kernels.interpolation import (
    ENTRIES,
    ROWS,
    four_at_a_time,
    sixteen_at_a_time,
    weighted_sums,
)
from crbestim.kernels.lanes import LANES


def random_problem(seed, n_rows, n, n_entries):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((n_rows, n))
    return weights, rng.standard_normal((n, n_entries, LANES))


def run(form, weights, values, out=None, low=0, high=None, add=False):
    """Return `out` after the call; by default it is NaN before."""
    if out is None:
        out = np.full((len(weights), *values.shape[1:]), np.nan)
    out = out.copy()
    high = values.shape[1] if high is None else high
    form(weighted_sums)(weights, values, out, low, high, add)
    return out


@pytest.mark.parametrize("n_rows", [ROWS, 3 * ROWS])
@pytest.mark.parametrize("n", [1, 8, 19])
@pytest.mark.parametrize("n_entries", [ENTRIES, 14])
def test_it_is_the_matrix_product(form, n_rows, n, n_entries):
    weights, values = random_problem(0, n_rows, n, n_entries)
    # Both are sums of at most 19 products of numbers of order 1.
    expected = np.tensordot(weights, values, 1)
    np.testing.assert_allclose(run(form, weights, values), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("add", [False, True])
def test_the_sums_do_not_depend_on_the_registers(add):
    weights, values = random_problem(4, 2 * ROWS, 31, 14)
    out = np.random.default_rng(5).standard_normal((len(weights), *values.shape[1:]))
    wide, narrow = out.copy(), out.copy()
    sixteen_at_a_time(weights, values, wide, 0, 14, add)
    four_at_a_time(weights, values, narrow, 0, 14, add)
    np.testing.assert_array_equal(wide, narrow)


def test_sums_of_many_maps():
    weights, values = random_problem(1, 10 * ROWS, 48, 9 * 14)
    expected = np.tensordot(weights, values, 1)
    result = run(lambda kernel: kernel, weights, values)
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-13)


@pytest.mark.parametrize("n", [1, 8, 19])
def test_sums_are_added(form, n):
    weights, values = random_problem(2, 2 * ROWS, n, 6)
    out = np.random.default_rng(3).standard_normal((2 * ROWS, 6, LANES))
    expected = out + np.tensordot(weights, values, 1)
    result = run(form, weights, values, out, add=True)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


def test_a_sum_of_nothing_is_zero(form):
    weights, values = random_problem(4, ROWS, 0, 4)
    out = np.random.default_rng(5).standard_normal((ROWS, 4, LANES))
    np.testing.assert_array_equal(run(form, weights, values, out), 0)
    np.testing.assert_array_equal(run(form, weights, values, out, add=True), out)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0, 8), (8, 14), (3, 5), (4, 4)])
def test_other_entries_stay_as_they_are(form, low, high, add):
    weights, values = random_problem(6, 2 * ROWS, 5, 14)
    out = np.random.default_rng(7).standard_normal((2 * ROWS, 14, LANES))
    result = run(form, weights, values, out, low, high, add)
    expected = out.copy()
    # The order of a sum does not depend on what else is summed.
    expected[:, low:high] = run(form, weights, values, out, add=add)[:, low:high]
    np.testing.assert_array_equal(result, expected)


def test_only_the_first_values_count(form):
    weights, values = random_problem(8, ROWS, 5, 4)
    more = np.concatenate([values, np.full((3, 4, LANES), np.nan)])
    np.testing.assert_array_equal(run(form, weights, more), run(form, weights, values))


def test_unit_weights_copy_the_nodes(form):
    _, values = random_problem(9, ROWS, ROWS, 20)
    np.testing.assert_array_equal(run(form, np.eye(ROWS), values), values)


def test_padding_with_zeros_changes_nothing(form):
    weights, values = random_problem(10, ROWS, 8, 20)
    padded = np.zeros((2 * ROWS, 11))
    padded[:ROWS, :8] = weights
    more = np.concatenate([values, np.ones((3, 20, LANES))])
    result = run(form, padded, more)
    np.testing.assert_array_equal(result[:ROWS], run(form, weights, values))
    np.testing.assert_array_equal(result[ROWS:], 0)


def test_nothing_depends_on_its_neighbours(form):
    # Neither on those in the registers (rows, entries), nor on those in a vector (lanes).
    weights, values = random_problem(11, 2 * ROWS, 5, 6)
    whole, rng = run(form, weights, values), np.random.default_rng(12)
    rows, entries, lanes = (rng.permutation(n) for n in whole.shape)
    permuted = run(
        form, weights[rows], np.ascontiguousarray(values[:, entries][..., lanes])
    )
    np.testing.assert_array_equal(permuted, whole[rows][:, entries][..., lanes])


def test_differences_of_the_result_are_the_weights(form):
    # The product is linear: its Jacobian with respect to a node is a column of weights.
    weights, values = random_problem(13, ROWS, 4, 2)
    for node in range(4):
        moved = values.copy()
        moved[node] += 1
        change = run(form, weights, moved) - run(form, weights, values)
        expected = np.broadcast_to(weights[:, node, None, None], change.shape)
        np.testing.assert_allclose(change, expected, rtol=0, atol=1e-14)
