"""Matching by coefficients first: to the bit what a comparison with all atoms gives."""

import numpy as np
import pytest

from crbestim.kernels import matching
from crbestim.kernels.lanes import LANES
from crbestim.kernels.matching import WIDTH, nearest, squared_distances
from crbestim.kernels.screened_matching import Screen, distances_of_group, nearest_screened
from tests.kernels.test_matching import METRICS, TIE, in_lanes, random_leaves, random_rows

N_ROWS, N_VECTORS = 12, 2
# More than any rounding error of squares here, relative to those of norms.
SLACK = 1e-12


def near_a_span(n, outside, projective, seed=0):
    """Return vectors, and rows that lie out of their span by a share of their norm."""
    rng = np.random.default_rng(seed)
    kind = complex if projective else float
    square = random_rows(N_ROWS, False, N_ROWS * (1 + projective), seed=9).view(kind)
    vectors = np.linalg.qr(square.T)[0][:, :N_VECTORS]
    numbers = (N_VECTORS + vectors.shape[0]) * (1 + projective)
    parts = rng.standard_normal((n, numbers)).view(kind)
    rows = parts[:, :N_VECTORS] @ vectors.T + outside * parts[:, N_VECTORS:]
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return vectors, (rows / norms if projective else rows).view(float)


def coefficients_of(rows, vectors):
    """Return coefficients, of unit norm if complex, and the norms inside and outside."""
    signals = rows.view(vectors.dtype)
    points = signals @ vectors.conj()
    inside = np.linalg.norm(points, axis=1)
    outside = np.linalg.norm(signals - points @ vectors.T, axis=1)
    if vectors.dtype.kind == "c":
        points = points / inside[:, None]
    return points.view(float), inside, outside


def in_eights(leaves):
    """Return leaves with eight atoms side by side."""
    return np.ascontiguousarray(leaves.swapaxes(1, 2))


def parts_of(x, atoms, vectors, seed=0):
    """Return what `nearest` and what `nearest_screened` take of signals and atoms."""
    projective = vectors.dtype.kind == "c"
    of_atoms, _, beside = coefficients_of(atoms, vectors)
    points, inside, outside = coefficients_of(x, vectors)
    slack = SLACK * ((x**2).sum(axis=1) + (atoms**2).sum(axis=1).max())
    screen = Screen(points, inside, outside + slack, slack, beside.max() + slack.min())
    leaves, *full = random_leaves(atoms, projective, seed)
    # The same atoms are in each leaf.
    coefficients, *screened = random_leaves(of_atoms, projective, seed)
    return (leaves, *full), (screen, in_eights(leaves), coefficients, *screened)


def found_by(kernel, x, parts, k, tie=TIE):
    numbers, squares = np.empty((len(x), k), dtype=np.int64), np.empty((len(x), k))
    kernel(x, *parts, tie, numbers, squares)
    return numbers, squares


def match_both(form, x, atoms, vectors, k, tie=TIE):
    """Return the matches of `nearest`, and those of `nearest_screened`."""
    full, screened = parts_of(x, atoms, vectors)
    one = found_by(form(nearest), x, full, k, tie)
    return one, found_by(form(nearest_screened), x, screened, k, tie)


@METRICS
@pytest.mark.parametrize("n_rows", [2, 6, 128])
def test_distances_of_eight_atoms_are_those_of_a_leaf(form, projective, n_rows):
    leaf = in_lanes(random_rows(WIDTH, projective, n_rows))
    x = random_rows(1, projective, n_rows, seed=1)[0]
    expected, found = np.empty((WIDTH // LANES, LANES)), np.empty((1, LANES))
    form(squared_distances)(leaf[0], x, projective, expected)
    for group, squares in zip(in_eights(leaf)[0], expected, strict=True):
        form(distances_of_group)(group, x, projective, found)
        np.testing.assert_array_equal(found[0], squares)


@METRICS
@pytest.mark.parametrize("of_atoms", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("k", [1, 70])
def test_matches_are_those_of_all_atoms_to_the_bit(form, projective, of_atoms, k):
    vectors, atoms = near_a_span(150, of_atoms, projective)
    for of_signals in (0.01, 1.0, 1e3):
        _, x = near_a_span(2, of_signals, projective, seed=1)
        x = np.concatenate([x, atoms[:2]])
        for tie in (TIE, 0.01):
            both = match_both(form, x, atoms, vectors, k, tie)
            for one, other in zip(*both, strict=True):
                np.testing.assert_array_equal(one, other)


@METRICS
def test_more_signals_than_a_batch_and_more_leaves_than_a_block(projective):
    vectors, atoms = near_a_span(WIDTH * (WIDTH + 2), 1e-3, projective)
    _, x = near_a_span(2 * matching.BATCH + 3, 0.3, projective, seed=1)
    both = match_both(lambda kernel: kernel, x, atoms, vectors, 2)
    for one, other in zip(*both, strict=True):
        np.testing.assert_array_equal(one, other)


@METRICS
@pytest.mark.parametrize("k", [1, 3, 70])
def test_of_ties_the_lowest_numbers_win(form, projective, k):
    vectors, rows = near_a_span(3, 1e-3, projective)
    atoms = np.tile(rows, (100, 1))
    if projective:  # the same signals but for their phases
        phases = np.exp(1j * np.arange(300))[:, None]
        atoms = (atoms.view(complex) * phases).view(float)
    _, x = near_a_span(3, 0.1, projective, seed=1)
    full, screened = match_both(form, np.concatenate([rows, x]), atoms, vectors, k)
    np.testing.assert_array_equal(screened[0], full[0])
    np.testing.assert_array_equal(screened[1], full[1])
    np.testing.assert_array_equal(screened[0][1], np.arange(1, 300, 3)[:k])


@METRICS
def test_what_coefficients_exclude_is_not_read(form, projective):
    vectors, atoms = near_a_span(WIDTH, 1e-6, projective)
    _, others = near_a_span(1, 1.0, projective, seed=1)
    kind = vectors.dtype
    beside = others.view(kind) - others.view(kind) @ vectors.conj() @ vectors.T
    x = atoms[:1] + beside.view(float)
    x /= np.linalg.norm(x) if projective else 1.0
    screen, groups, *others = parts_of(x, atoms, vectors)[1]
    expected = found_by(form(nearest_screened), x, (screen, groups, *others), 1)
    holds_match = (others[1].reshape(1, -1, LANES) == 0).any(axis=-1)
    # Were another group read, it would match.
    groups[~holds_match] = x.T
    found = found_by(form(nearest_screened), x, (screen, groups, *others), 1)
    assert holds_match.sum() == 1 and found[0][0, 0] == 0
    np.testing.assert_array_equal(found[1], expected[1])


@METRICS
def test_what_is_out_of_the_span_may_decide(form, projective):
    # The coefficients of atom 0 are those of the signal, the rest of atom 1 is nearer.
    kind = complex if projective else float
    vectors = np.eye(3, dtype=kind)[:, :2]
    near = np.array([[1.0, 0.0, -0.1], [0.85, 0.53, 0.1]], dtype=kind)
    atoms = np.concatenate([near, np.tile([[0.0, 1.0, 0.0]], (3 * WIDTH, 1))]).astype(kind)
    x = np.array([[1.0, 0.0, 1.0]], dtype=kind)
    if projective:
        x, atoms = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, atoms))
    full, screened = match_both(form, x.view(float), atoms.view(float), vectors, 1)
    assert full[0][0, 0] == screened[0][0, 0] == 1
