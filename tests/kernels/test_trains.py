import numpy as np
import pytest
from numba import njit

from crbestim.kernels import trains
from crbestim.kernels.lanes import LANES, vectors
from tests.kernels.random_trains import (
    apply,
    each_derivative,
    follow,
    periodic_state,
    random_maps,
    random_ratio,
)
from tests.kernels.voxels import STEP, unpacked

D = [0, 3]
# Five nodes; repetitions 4, 5, .., 9 of a train, half of them interpolated.
INDEX, LOW, HIGH = np.array([0, 4, 2, 2, 1, -1, -1, 3, -1, 0]), 4, 10


@njit(cache=True)
def step_columns(m, r, columns):
    trains.step_columns(vectors(m), vectors(r)[0], vectors(columns))


@njit(cache=True)
def step_state(m, r, v):
    trains.step_state(vectors(m), vectors(r), vectors(v))


@njit(cache=True)
def invert(a):
    trains._invert(vectors(a))


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal((*shape, LANES))


def as_states(columns):
    """Return columns (5, 4, LANES) as an affine map (LANES, 4, 5)."""
    return columns.transpose(2, 1, 0)


def product(a, b):
    """Return the affine map of b and then a, (LANES, 4, 5)."""
    out = a[..., :4] @ b
    out[..., 4] += a[..., 4]
    return out


def problem(d, seed=0):
    """Return nodes, interpolated maps and the ratio of the pools."""
    r = random_ratio(seed, d)
    return random_maps(seed + 1, 5, d, r), random_maps(seed + 2, 8, d, r), r


def played(nodes, between, low=LOW, high=HIGH):
    """Return the maps of repetitions low to high - 1."""
    return np.array(
        [nodes[INDEX[i]] if INDEX[i] >= 0 else between[i - low] for i in range(low, high)]
    )


def test_step_of_columns_is_the_product_of_matrices(form):
    r = random_ratio(0, 0)
    m, columns = random_maps(1, 1, 0, r)[0, 0], normal(2, 5, 4)
    expected = product(unpacked(m, r[0]), as_states(columns))
    form(step_columns)(m, r, columns)
    np.testing.assert_allclose(as_states(columns), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("d", [0, 1, 8])
def test_step_of_a_state_and_its_derivatives(form, d):
    r = random_ratio(3, d)
    maps, v = random_maps(4, 1, d, r), normal(5, 1 + d, 4)
    expected = [apply(unpacked(maps[0, 0], r[0]), v[0].T).T]
    for p in range(1, 1 + d):
        moved = unpacked(maps[0, 0] + 1j * STEP * maps[0, p], r[0] + 1j * STEP * r[p])
        expected.append(apply(moved, (v[0] + 1j * STEP * v[p]).T).imag.T / STEP)
    form(step_state)(maps[0], r, v)
    np.testing.assert_allclose(v, expected, rtol=0, atol=3e-14)


def test_step_by_the_identity_stands_still(form):
    m, r = np.zeros((1, 14, LANES)), np.ones((1, LANES))
    m[0, [trains.XX, trains.YY, trains.ZZ, trains.SS]] = 1
    v, columns = normal(6, 1, 4), normal(7, 5, 4)
    kept = v.copy(), columns.copy()
    form(step_state)(m, r, v)
    form(step_columns)(m[0], r, columns)
    np.testing.assert_array_equal(v, kept[0])
    np.testing.assert_array_equal(columns, kept[1])


def run_sweep(sweep, nodes, between, r, moved, low=LOW, high=HIGH, first=0):
    """Return `moved` and the path after a sweep; the path is NaN before."""
    rows = 10 if moved.shape[:2] == (5, 4) else 2 * len(moved) - 2
    moved, path = moved.copy(), np.full((len(between), rows, LANES), np.nan)
    sweep(nodes, between, INDEX, low, high, first, r, moved, path)
    return moved, path


@pytest.mark.parametrize("d", D)
def test_sweep_of_columns(form, d):
    nodes, between, r = problem(d)
    columns = normal(8, 5, 4)
    end, path = run_sweep(form(trains.sweep_columns), nodes, between, r, columns)
    total = as_states(columns)
    matrices = unpacked(played(nodes, between)[:, 0], r[0])
    for k in range(HIGH - LOW):
        total = product(matrices[:, k], total)
        kept = path[k].T.reshape(LANES, 5, 2)
        np.testing.assert_allclose(kept, total[:, :2].swapaxes(1, 2), rtol=0, atol=3e-14)
    np.testing.assert_allclose(as_states(end), total, rtol=0, atol=3e-14)
    assert np.isnan(path[HIGH - LOW :]).all()


@pytest.mark.parametrize("d", D)
def test_sweep_of_the_state(form, d):
    nodes, between, r = problem(d)
    v = normal(9, 1 + d, 4)
    v[1:] = 0  # the start does not depend on the parameters
    end, path = run_sweep(form(trains.sweep_state), nodes, between, r, v)
    maps = played(nodes, between)
    expected = each_derivative(lambda a, p: follow(a, v[0].T)[:, 1:], maps, r)
    np.testing.assert_allclose(
        end, expected[:, :, -1].transpose(0, 2, 1), rtol=0, atol=1e-13
    )
    kept = path[: HIGH - LOW].reshape(HIGH - LOW, d, 2, LANES)
    np.testing.assert_allclose(
        kept, expected[1:, ..., :2].transpose(2, 0, 3, 1), rtol=0, atol=1e-13
    )
    assert np.isnan(path[HIGH - LOW :]).all()


@pytest.mark.parametrize("which", ["columns", "state"])
def test_sweeps_begin_after_the_first_repetition(form, which):
    # Its map leads to echo 0, where the sweeps begin.
    nodes, between, r = problem(2)
    sweep = form(trains.sweep_columns if which == "columns" else trains.sweep_state)
    moved = normal(10, *((5, 4) if which == "columns" else (3, 4)))
    end, path = run_sweep(sweep, nodes, between, r, moved, 4, 5, first=4)
    np.testing.assert_array_equal(end, moved)
    kept = moved if which == "columns" else moved[1:]
    np.testing.assert_array_equal(path[0], kept[:, :2].reshape(-1, LANES))


@pytest.mark.parametrize("which", ["columns", "state"])
def test_two_sweeps_are_one(form, which):
    nodes, between, r = problem(2)
    sweep = form(trains.sweep_columns if which == "columns" else trains.sweep_state)
    moved = normal(11, *((5, 4) if which == "columns" else (3, 4)))
    whole, path = run_sweep(sweep, nodes, between, r, moved)
    middle, first = run_sweep(sweep, nodes, between, r, moved, LOW, 7)
    end, second = run_sweep(sweep, nodes, between[3:], r, middle, 7, HIGH)
    np.testing.assert_array_equal(end, whole)
    np.testing.assert_array_equal(first[:3], path[:3])
    np.testing.assert_array_equal(second[:3], path[3:6])


def test_lanes_do_not_see_each_other(form):
    nodes, between, r = problem(2)
    order = np.random.default_rng(12).permutation(LANES)
    permuted = [np.ascontiguousarray(a[..., order]) for a in (nodes, between, r)]
    for sweep, moved in (
        (trains.sweep_columns, normal(13, 5, 4)),
        (trains.sweep_state, normal(13, 3, 4)),
    ):
        end, path = run_sweep(form(sweep), nodes, between, r, moved)
        other = run_sweep(form(sweep), *permuted, np.ascontiguousarray(moved[..., order]))
        np.testing.assert_array_equal(other[0], end[..., order])
        np.testing.assert_array_equal(other[1], path[..., order])


def test_inverse_of_matrices(form):
    a = normal(14, 4, 4)
    a *= 0.9 / np.linalg.norm(a, ord=2, axis=(0, 1))
    a = np.eye(4)[..., None] - a
    inverse = a.copy()
    form(invert)(inverse)
    identity = np.einsum("ijl,jkl->lik", a, inverse)
    # Singular values of the matrices are between 0.1 and 1.9.
    np.testing.assert_allclose(identity, [np.eye(4)] * LANES, rtol=0, atol=1e-14)


def cycle(form, maps, r, length):
    """Return columns and resolvent of a cycle, by the kernels alone."""
    columns, resolvent = np.zeros((5, 4, LANES)), np.full((4, 4, LANES), np.nan)
    columns[range(4), range(4)] = 1
    index, path = np.arange(length), np.empty((length, 10, LANES))
    form(trains.sweep_columns)(maps, maps[:1], index, 0, length, 0, r, columns, path)
    form(trains.close_cycle)(maps[0], r, columns, resolvent)
    return columns, resolvent


@pytest.mark.parametrize("length", [1, 2, 13])
def test_closed_cycle_runs_from_echo_0_to_the_next_echo_0(form, length):
    r = random_ratio(15, 2)
    maps = random_maps(16, length, 2, r)
    columns, resolvent = cycle(form, maps, r, length)
    matrices = unpacked(maps[:, 0], r[0])
    order = [*range(1, length), 0]
    for j, column in enumerate(np.eye(5)):
        start = np.tile(column[:4], (LANES, 1))
        expected = follow(matrices[:, order], start)[:, -1]
        offset = columns[4].T if j < 4 else 0.0
        np.testing.assert_allclose(columns[j].T + offset, expected, rtol=0, atol=1e-14)
    # Transposed, to multiply rows.
    shrinks = np.eye(4) - as_states(columns)[..., :4]
    inverse = np.linalg.inv(shrinks).transpose(2, 1, 0)
    np.testing.assert_allclose(resolvent, inverse, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("length", [1, 2, 13])
def test_periodic_state_is_a_fixed_point(form, length):
    r = random_ratio(17, 0)
    maps = random_maps(18, length, 0, r)
    columns, resolvent = cycle(form, maps, r, length)
    state = np.zeros((1, 4, LANES))
    form(trains.add_product)(columns[4:], resolvent, state)
    matrices = unpacked(maps[:, 0], r[0])
    np.testing.assert_allclose(state[0].T, periodic_state(matrices), rtol=0, atol=1e-13)
    # After 400 maps any start has shrunk to 0.9**400 = 5e-19.
    order = [*range(1, length), 0] * (400 // length + 1)
    end = follow(matrices[:, order], np.zeros((LANES, 4)))[:, -1]
    np.testing.assert_allclose(state[0].T, end, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n_rows", [0, 1, 8])
def test_rows_times_a_matrix_are_added(form, n_rows):
    rows, matrix, out = normal(19, n_rows, 4), normal(20, 4, 4), normal(21, n_rows, 4)
    expected = out + np.einsum("ikl,kjl->ijl", rows, matrix)
    form(trains.add_product)(rows, matrix, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("d", [0, 1, 8])
@pytest.mark.parametrize("n", [1, 5])
def test_finish_puts_both_sweeps_together(form, d, n):
    sums, dsums = normal(22, n, 10), normal(23, n, 2 * d)
    start, out = normal(24, 1 + d, 4), normal(25, n, 1 + d, 2)
    columns = sums.reshape(n, 5, 2, LANES)
    expected = out + np.einsum("njcl,pjl->npcl", columns[:, :4], start)
    expected[:, 0] += columns[:, 4]
    expected[:, 1:] += dsums.reshape(n, d, 2, LANES)
    form(trains.finish)(sums, dsums, start, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-14)
