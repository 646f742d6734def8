"""Matching: against a comparison of all atoms, whatever the leaves; ties; weights."""

import numpy as np
import pytest

from crbestim.kernels import matching
from crbestim.kernels.lanes import LANES
from crbestim.kernels.matching import (
    WIDTH,
    affine_weights,
    nearest,
    squared_distances,
    unit_rows,
    weighted_parameters,
)

TIE = 1e-12
METRICS = pytest.mark.parametrize("projective", [False, True])


def random_rows(n, projective, n_rows=6, seed=0):
    """Return random rows, of unit norm if they stand for complex signals."""
    rows = np.random.default_rng(seed).standard_normal((n, n_rows))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) if projective else rows


def all_squares(x, atoms, projective):
    """Return squared distances between all rows."""
    if projective:
        return 1 - np.abs(x.view(complex) @ atoms.view(complex).conj().T) ** 2
    return ((x[:, None] - atoms) ** 2).sum(axis=-1)


def in_lanes(rows):
    """Return rows in blocks of WIDTH, transposed; the last is padded with zeros."""
    filled = np.zeros((-(-len(rows) // WIDTH) * WIDTH, rows.shape[1]))
    filled[: len(rows)] = rows
    blocks = filled.reshape(-1, WIDTH, rows.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(blocks).reshape(*blocks.shape[:2], -1, LANES)


def random_leaves(atoms, projective, seed=0):
    """Return leaves of atoms in random order: slow, but correct."""
    order = np.random.default_rng(seed).permutation(len(atoms))
    groups = [order[i : i + WIDTH] for i in range(0, len(order), WIDTH)]
    members = np.full((len(groups), WIDTH), -1)
    for i, group in enumerate(groups):
        members[i, : len(group)] = group
    leaves = np.concatenate([in_lanes(atoms[group]) for group in groups])
    centres = np.stack([atoms[group[0]] for group in groups])
    squares = [
        all_squares(atoms[group], atoms[group[:1]], projective).max() for group in groups
    ]
    radii = np.sqrt(np.maximum(squares, 0.0)) + 1e-6
    return leaves, members, in_lanes(centres), radii, projective


def match(form, x, atoms, k, projective, seed=0):
    numbers, squares = np.empty((len(x), k), dtype=np.int64), np.empty((len(x), k))
    parts = random_leaves(atoms, projective, seed)
    form(nearest)(x, *parts, TIE, numbers, squares)
    return numbers, squares


def test_rows_have_unit_norm(form):
    rows = random_rows(5, False)
    rows[2] = 0.0
    out = np.empty_like(rows)
    form(unit_rows)(rows, out)
    norm = np.where(np.arange(5) == 2, 1.0, np.linalg.norm(rows, axis=1))
    np.testing.assert_allclose(out, rows / norm[:, None], rtol=1e-14)


@pytest.mark.parametrize("factor", [1e-300, 1e300, 5e-324])
def test_no_row_overflows(form, factor):
    rows = factor * np.array([[1.0, -2.0, 2.0, 4.0]])
    out = rows.copy()
    form(unit_rows)(out, out)
    np.testing.assert_allclose(out, [[0.2, -0.4, 0.4, 0.8]], rtol=1e-14)


@METRICS
@pytest.mark.parametrize("n_rows", [2, 6, 26])
def test_distances(form, projective, n_rows):
    atoms = random_rows(WIDTH, projective, n_rows)
    x = random_rows(1, projective, n_rows, seed=1)
    out = np.empty((WIDTH // LANES, LANES))
    form(squared_distances)(in_lanes(atoms)[0], x[0], projective, out)
    expected = all_squares(x, atoms, projective)[0]
    # Sums of 26 products of numbers of order 1.
    np.testing.assert_allclose(out.ravel(), expected, rtol=1e-13, atol=1e-14)


@METRICS
@pytest.mark.parametrize("n_atoms", [1, 63, 64, 150])
@pytest.mark.parametrize("k", [1, 3, 20])
def test_nearest_are_those_of_a_comparison_with_all(form, projective, n_atoms, k):
    k = min(k, n_atoms)
    atoms, x = random_rows(n_atoms, projective), random_rows(7, projective, seed=1)
    numbers, squares = match(form, x, atoms, k, projective)
    expected = all_squares(x, atoms, projective)
    order = expected.argsort(axis=1)[:, :k]
    np.testing.assert_array_equal(numbers, order)
    sorted_squares = np.take_along_axis(expected, order, axis=1)
    np.testing.assert_allclose(squares, sorted_squares, rtol=1e-13, atol=1e-14)


@METRICS
def test_more_signals_than_a_batch_and_more_leaves_than_a_block(projective):
    n = 2 * matching.BATCH + 3
    atoms = random_rows(WIDTH * (WIDTH + 2), projective, seed=2)
    x = random_rows(n, projective, seed=3)
    numbers, _ = match(lambda kernel: kernel, x, atoms, 2, projective)
    expected = all_squares(x, atoms, projective).argsort(axis=1)[:, :2]
    np.testing.assert_array_equal(numbers, expected)


@METRICS
def test_leaves_change_nothing(form, projective):
    atoms, x = random_rows(150, projective), random_rows(5, projective, seed=1)
    one, other = (match(form, x, atoms, 4, projective, seed) for seed in (0, 1))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)


@METRICS
@pytest.mark.parametrize("k", [1, 3, 70])
def test_of_ties_the_lowest_numbers_win(form, projective, k):
    atoms = np.repeat(random_rows(2, projective), 100, axis=0)
    far, near = (np.arange(200) % 2 == i for i in (0, 1))
    if projective:  # the same signals but for their phases
        phases = np.exp(1j * np.arange(100))
        atoms = (atoms.view(complex) * np.tile(phases, 2)[:, None]).view(float)
    x = atoms[150:151].copy()
    swapped = np.empty_like(atoms)
    swapped[near], swapped[far] = atoms[100:], atoms[:100]
    numbers, _ = match(form, x, swapped, k, projective)
    np.testing.assert_array_equal(numbers[0], np.flatnonzero(near)[:k])


def test_a_tie_does_not_displace_what_is_nearer(form):
    atoms = np.array([[3.0], [1.0], [-3.0], [3.0 - 1e-14], [2.0], [9.0]])
    numbers, squares = match(form, np.zeros((1, 1)), atoms, 3, False)
    np.testing.assert_array_equal(numbers, [[1, 4, 0]])
    np.testing.assert_allclose(squares, [[1.0, 4.0, 9.0]])
    numbers, _ = match(form, np.zeros((1, 1)), atoms, 5, False)
    np.testing.assert_array_equal(numbers, [[1, 4, 0, 2, 3]])


def test_a_signal_that_is_infinitely_far_has_no_match(form):
    with np.errstate(over="ignore"):
        _, squares = match(form, np.array([[1e200], [0.0]]), np.zeros((3, 1)), 2, False)
    assert np.isinf(squares[0]).all() and (squares[1] == 0).all()


def weights_of(form, x, atoms, numbers, projective, regularization=1e-3):
    weights = np.empty(numbers.shape)
    form(affine_weights)(x, atoms, numbers, projective, regularization, weights)
    return weights


def test_weights_are_those_of_ridge_regression(form):
    # Saul and Roweis' weights predict what ridge regression among the neighbours does.
    atoms, x = random_rows(9, False), random_rows(1, False, seed=1)
    targets, numbers = np.arange(9.0) ** 2, np.arange(9)[None]
    weights = weights_of(form, x, atoms, numbers, False)
    assert abs(weights.sum() - 1) < 1e-12
    strength = 1e-3 * ((atoms - x) ** 2).sum()
    centred = atoms - atoms.mean(axis=0)
    normal = centred.T @ centred + strength * np.eye(6)
    slope = np.linalg.solve(normal, centred.T @ (targets - targets.mean()))
    expected = targets.mean() + (x[0] - atoms.mean(axis=0)) @ slope
    np.testing.assert_allclose(weights[0] @ targets, expected, rtol=1e-10)


def test_weights_rebuild_a_signal_between_neighbours(form):
    atoms = random_rows(3, True)
    x = random_rows(1, True, seed=1)
    numbers = np.array([[0, 1, 2]])
    aligned = atoms.view(complex).copy()
    products = aligned @ aligned[0].conj()
    aligned *= (products.conj() / np.abs(products))[:, None]
    truth = np.array([0.6, 0.3, 0.1])
    x = np.exp(2j) * (truth @ aligned)[None]
    weights = weights_of(form, x.view(float), atoms, numbers, True, 1e-9)
    # The signal is rounded to 6e-8 of its norm.
    np.testing.assert_allclose(weights[0], truth, atol=1e-6)


def test_phases_of_atoms_and_signals_change_no_weight(form):
    atoms, x = random_rows(20, True), random_rows(6, True, seed=1)
    numbers = np.arange(120).reshape(6, 20) % 20
    expected = weights_of(form, x, atoms, numbers, True)
    turned = (x.view(complex) * np.exp(1j * np.arange(6))[:, None]).view(float)
    np.testing.assert_array_equal(weights_of(form, turned, atoms, numbers, True), expected)
    turned = (atoms.view(complex) * np.exp(1j * np.arange(20))[:, None]).view(float)
    np.testing.assert_allclose(
        weights_of(form, x, turned, numbers, True), expected, atol=1e-6
    )


@METRICS
def test_equal_neighbours_have_equal_weights(form, projective):
    atoms = np.repeat(random_rows(1, projective), 4, axis=0)
    numbers = np.arange(4)[None]
    for x in (atoms[:1], random_rows(1, projective, seed=1)):
        weights = weights_of(form, x, atoms, numbers, projective)
        np.testing.assert_allclose(weights, 0.25, rtol=1e-12)


def test_orthogonal_rows_keep_their_phase(form):
    atoms = np.array([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    x = np.array([[0.6, 0, 0, 0.8]])
    weights = weights_of(form, x, atoms, np.array([[0, 1]]), True)
    assert np.isfinite(weights).all() and weights[0, 0] > 0.3


def mean_of(form, parameters, periods, numbers, weights):
    out = np.empty((len(numbers), len(periods)))
    form(weighted_parameters)(parameters, np.array(periods), numbers, weights, out)
    return out


def test_weighted_means(form):
    rng = np.random.default_rng(0)
    parameters, numbers = rng.random((30, 2)), rng.integers(30, size=(4, 5))
    weights = rng.dirichlet(np.ones(5), 4)
    out = mean_of(form, parameters, [np.inf, np.inf], numbers, weights)
    expected = (weights[..., None] * parameters[numbers]).sum(axis=1)
    np.testing.assert_allclose(out, expected, rtol=1e-13)


def test_means_of_a_periodic_parameter_take_the_shortest_way(form):
    parameters = np.array([[0.9], [-0.9]])
    numbers, weights = np.array([[0, 1], [1, 0]]), np.full((2, 2), 0.5)
    out = mean_of(form, parameters, [2.0], numbers, weights)
    np.testing.assert_allclose(out, [[1.0], [-1.0]])
    out = mean_of(form, parameters, [np.inf], numbers, weights)
    np.testing.assert_allclose(out, 0.0, atol=1e-15)


def test_means_stay_between_the_neighbours(form):
    parameters = np.array([[1.0], [2.0], [5.0]])
    numbers = np.array([[0, 1, 2]])
    for weights, expected in (([3.0, 0.0, -2.0], 1.0), ([-1.0, 0.0, 2.0], 5.0)):
        out = mean_of(form, parameters, [np.inf], numbers, np.array([weights]))
        assert out[0, 0] == expected


def test_one_neighbour_gives_its_own_parameters(form):
    parameters = np.random.default_rng(0).random((5, 3))
    numbers = np.array([[4], [2]])
    out = mean_of(form, parameters, [0.1, np.inf, 1.0], numbers, np.ones((2, 1)))
    np.testing.assert_array_equal(out, parameters[[4, 2]])
