from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from crbestim.kernels import hybrid_state
from crbestim.kernels import magnetization_transfer as kernel
from crbestim.kernels.hybrid_state import CHUNK, Pulses, simulate
from crbestim.kernels.lanes import LANES
from tests.kernels.random_trains import (
    each_derivative,
    follow,
    periodic_state,
    random_maps,
    random_ratio,
)
from tests.kernels.voxels import (
    ALL_COLUMNS,
    LANES_OF_VOXELS,
    NO_COLUMNS,
    RATES,
    SCALE,
    SHARED_COLUMNS,
    STEP,
    TR,
    VOXELS,
    column_sizes,
    combined,
    rho,
)
from tests.reference import magnetization_transfer as reference

CHOICES = {"all": ALL_COLUMNS, "none": NO_COLUMNS, "shared": SHARED_COLUMNS}
# The inversion pulse comes last: interpolation uses the first nodes.
NODES = np.array(
    [[0.5, 3e-4, 0.0], [-0.7, 2e-4, 0.0], [1.2, 5e-4, 0.0], [np.pi, 4e-4, 1.0]]
)
# Trains of a full chunk and one pulse, of fewer than a chunk, and of one pulse.
STARTS = np.array([0, 17, 20, 21])


def compiled(kernel):
    return kernel


@pytest.fixture(params=CHOICES)
def columns(request):
    return CHOICES[request.param]


@pytest.fixture(params=[False, True], ids=["periodic", "thermal"])
def thermal(request):
    return request.param


def in_chunks(numbers, starts):
    """Return numbers of repetitions (N, n) as (n_chunks, CHUNK, n), zeros for none."""
    chunks = []
    for first, last in pairwise(starts):
        for low in range(first, last, CHUNK):
            chunk = np.zeros((CHUNK, numbers.shape[1]))
            chunk[: min(low + CHUNK, last) - low] = numbers[low : min(low + CHUNK, last)]
            chunks.append(chunk)
    return np.array(chunks)


def basis_in_chunks(basis, starts):
    """Return a basis (N, n_components) as the kernel reads it, padded with zeros."""
    filled = np.zeros((len(basis), -(-basis.shape[1] // 8) * 8))
    filled[:, : basis.shape[1]] = basis
    return np.ascontiguousarray(in_chunks(filled, starts).swapaxes(1, 2))


def direct_pulses(thermal, starts=STARTS, nodes=NODES, seed=0):
    """Return a sequence in which every repetition has a node."""
    index = np.random.default_rng(seed).integers(0, len(nodes) - 1, starts[-1])
    index[starts[:-1]] = len(nodes) - 1
    weights = np.zeros((len(in_chunks(np.zeros((starts[-1], 0)), starts)), 2, CHUNK, 0))
    return Pulses(nodes, index, weights, starts, TR, thermal)


def interpolated(pulses, even, odd):
    """Return a sequence with all but inversions interpolated by weights (N, n)."""
    index = np.where(pulses.index == len(pulses.nodes) - 1, pulses.index, -1)
    weights = np.stack([in_chunks(w, pulses.starts) for w in (even, odd)], axis=1)
    return pulses._replace(index=index, weights=np.ascontiguousarray(weights))


def run_simulate(form, theta, columns, pulses, basis=None, blocks=None):
    """Return signals and derivatives, NaN outside the blocks."""
    n, d, n_pulses = len(theta), columns.max() + 1, pulses.starts[-1]
    basis = np.empty((n_pulses, 0)) if basis is None else basis
    m = basis.shape[1] or n_pulses
    s, ds = np.full((n, m), np.nan, complex), np.full((n, m, d), np.nan, complex)
    chunks = basis_in_chunks(basis, pulses.starts)
    for first, last in blocks or [(0, -(-n // LANES))]:
        form(simulate)(first, last, theta, columns, pulses, RATES, chunks, s, ds)
    return s, ds


def many_voxels(n, seed=0):
    """Return VOXELS, and random voxels between them."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.ones(len(VOXELS)), n)
    return np.concatenate([VOXELS, share @ VOXELS])[:n]


@cache
def expected_signal(thermal):
    """Return signal (n, N) and its derivatives (8, n, N) by the reference."""
    pulses = direct_pulses(thermal)
    order = [pulses.index[first:last] for first, last in pairwise(STARTS)]
    alpha, trf = ([NODES[part, i] for part in order] for i in (0, 1))
    options = dict(steady_state="thermal" if thermal else "periodic", rho=rho)
    s = [reference.signal(x, alpha, trf, TR, **options) for x in VOXELS]
    ds = [reference.jacobian(x, alpha, trf, TR, **options) for x in VOXELS]
    return np.array(s), np.moveaxis(ds, -1, 0)


@pytest.mark.parametrize("n_components", [0, 3])
def test_signal_against_the_reference(form, columns, thermal, n_components):
    basis = np.random.default_rng(1).standard_normal((STARTS[-1], n_components))
    s, ds = run_simulate(form, VOXELS, columns, direct_pulses(thermal), basis)
    project = basis if n_components else np.eye(STARTS[-1])
    expected, slopes = expected_signal(thermal)
    # Errors of maps, 2e-14, add up over the repetitions that a voxel remembers, all of
    # them in a cycle of the slow one. Measured: 2e-13 and 4e-12.
    assert np.abs(s - expected @ project).max() < 1e-12
    slopes = np.moveaxis(combined(slopes @ project, columns), 0, -1)
    error = np.abs(ds - slopes) * column_sizes(columns)
    assert error.max(initial=0) < 2e-11


def test_values_do_not_depend_on_derivatives(form, thermal):
    pulses = direct_pulses(thermal)
    with_them, _ = run_simulate(form, VOXELS, ALL_COLUMNS, pulses)
    alone, none = run_simulate(form, VOXELS, NO_COLUMNS, pulses)
    np.testing.assert_array_equal(alone, with_them)
    assert none.size == 0


@pytest.mark.parametrize("n", [1, 7, 8, 9, 19])
@pytest.mark.parametrize("n_components", [0, 3])
def test_voxels_do_not_depend_on_blocks_or_neighbours(thermal, n, n_components):
    def run(theta, blocks=None):
        return run_simulate(compiled, theta, ALL_COLUMNS, pulses, basis, blocks)

    theta, pulses = many_voxels(n), direct_pulses(thermal)
    basis = np.random.default_rng(2).standard_normal((STARTS[-1], n_components))
    s, ds = run(theta)
    assert np.isfinite(s).all()
    assert np.isfinite(ds).all()
    n_blocks = -(-n // LANES)
    pieces = [[(b, b + 1) for b in reversed(range(n_blocks))], [(0, 1), (1, n_blocks)]]
    for blocks in pieces:
        in_pieces = run(theta, blocks)
        np.testing.assert_array_equal(in_pieces[0], s)
        np.testing.assert_array_equal(in_pieces[1], ds)
    for i in range(n):
        alone = run(theta[[i]])
        np.testing.assert_array_equal(alone[0], s[[i]])
        np.testing.assert_array_equal(alone[1], ds[[i]])


def test_other_blocks_stay_as_they_are(form):
    theta, pulses = many_voxels(20), direct_pulses(False)
    s, ds = run_simulate(form, theta, SHARED_COLUMNS, pulses, blocks=[(1, 2)])
    inside = np.zeros(20, dtype=bool)
    inside[LANES : 2 * LANES] = True
    np.testing.assert_array_equal(np.isfinite(s), np.tile(inside[:, None], s.shape[1]))
    assert np.isfinite(ds[inside]).all()
    assert np.isnan(ds[~inside]).all()
    nothing, _ = run_simulate(form, theta, SHARED_COLUMNS, pulses, blocks=[(1, 1)])
    assert np.isnan(nothing).all()


def test_an_empty_pool_has_no_effect(form, thermal):
    theta, parameters = VOXELS.copy(), [kernel.RX, kernel.R1S, kernel.T2S]
    theta[:, kernel.M0S] = 0.0
    s, ds = run_simulate(form, theta, ALL_COLUMNS, direct_pulses(thermal))
    assert (ds[..., parameters] == 0).all()
    theta[:, parameters] = theta[::-1, parameters]
    other, _ = run_simulate(form, theta, NO_COLUMNS, direct_pulses(thermal))
    # Its generators are rounded differently. Measured: 3e-14; tolerance as above.
    np.testing.assert_allclose(other, s, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_components", [1, 8, 11])
def test_coefficients_are_the_projected_samples(form, thermal, n_components):
    basis = np.random.default_rng(3).standard_normal((STARTS[-1], n_components))
    pulses = direct_pulses(thermal)
    s, ds = run_simulate(form, VOXELS, SHARED_COLUMNS, pulses)
    c, dc = run_simulate(form, VOXELS, SHARED_COLUMNS, pulses, basis)
    # Sums of 21 samples, taken before the projection or after it. Measured: 2e-15 and
    # 7e-15.
    np.testing.assert_allclose(c, s @ basis, rtol=0, atol=1e-13)
    error = np.abs(dc - np.einsum("nmp,mc->ncp", ds, basis)) * column_sizes(SHARED_COLUMNS)
    assert error.max() < 1e-12


def test_interpolation_by_unit_weights_is_none(form, columns, thermal):
    pulses = direct_pulses(thermal)
    selection = np.eye(len(NODES))[pulses.index][:, :-1]
    s, ds = run_simulate(form, VOXELS, columns, interpolated(pulses, selection, selection))
    direct = run_simulate(form, VOXELS, columns, pulses)
    np.testing.assert_array_equal(s, direct[0])
    np.testing.assert_array_equal(ds, direct[1])


def test_the_opposite_angle_changes_the_sign_of_odd_entries(form, thermal):
    pulses = direct_pulses(thermal)
    signs = np.random.default_rng(4).choice([-1.0, 1.0], STARTS[-1])
    selection = np.eye(len(NODES))[pulses.index][:, :-1]
    by_weights = interpolated(pulses, selection, signs[:, None] * selection)
    nodes = np.concatenate([NODES[:-1], NODES[:-1] * [-1, 1, 1], NODES[-1:]])
    shift = np.where(pulses.index == len(NODES) - 1, 3, 3 * (signs < 0))
    direct = pulses._replace(nodes=nodes, index=pulses.index + shift)
    s, ds = run_simulate(form, VOXELS, ALL_COLUMNS, by_weights)
    expected = run_simulate(form, VOXELS, ALL_COLUMNS, direct)
    # Maps of opposite pulses are rounded alike.
    np.testing.assert_allclose(s, expected[0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(ds * SCALE, expected[1] * SCALE, rtol=0, atol=1e-12)


def random_train(n, d, thermal):
    """Return nodes, ratio and a train of n repetitions, most interpolated; its maps."""
    r = random_ratio(5, d)
    nodes, rng = random_maps(6, 5, d, r), np.random.default_rng(7)
    index = rng.integers(-3, 5, n).clip(-1)
    index[0] = 4
    # Small weights, so that sums of contractions are contractions, too.
    weights = rng.uniform(-0.2, 0.2, (2, n, 3))
    even, odd = weights
    maps = np.tensordot(even, nodes[:3], 1)
    maps[:, :, 8:] = np.tensordot(odd, nodes[:3, :, 8:], 1)
    maps[index >= 0] = nodes[index[index >= 0]]
    starts = np.array([0, n])
    weights = np.stack([in_chunks(w, starts) for w in weights], axis=1)
    return nodes, r, Pulses(NODES, index, weights, starts, TR, thermal), maps


@pytest.mark.parametrize("n_components", [0, 8])
@pytest.mark.parametrize("d", [0, 3])
@pytest.mark.parametrize("n", [1, 2, 16, 17, 40])
def test_play_of_random_maps(form, thermal, n, d, n_components):
    nodes, r, pulses, maps = random_train(n, d, thermal)
    columns = np.full(8, -1)
    columns[0] = d - 1  # of m0s, which moves the thermal start
    rng = np.random.default_rng(8)
    basis = rng.standard_normal((n, n_components))
    out = rng.standard_normal((n_components or n, 1 + d, 2, LANES))
    added, between = -out, np.full((CHUNK, 1 + d, 14, LANES), np.nan)
    kept = np.full((-(-n // CHUNK) if d else 1, CHUNK, 1, 14, LANES), np.nan)
    chunks = basis_in_chunks(basis, pulses.starts)
    space = kept, between
    form(hybrid_state.play)(
        (0, n, 0), LANES_OF_VOXELS, columns, nodes, *space, r, pulses, chunks, out
    )
    added += out

    def samples(matrices, p):
        if not thermal:
            return follow(matrices[:, 1:], periodic_state(matrices))[..., :2]
        m0s = LANES_OF_VOXELS[0] + (1j * STEP if p == d > 0 else 0)
        start = np.stack([0 * m0s, 0 * m0s, 1 - m0s, m0s], axis=1)
        return follow(matrices, start)[:, 1:, :2]

    expected = each_derivative(samples, maps, r).transpose(2, 0, 3, 1)
    if n_components:
        expected = np.tensordot(basis.T, expected, 1)
    # Sums of up to 40 numbers of order 10. Measured: 9e-14.
    np.testing.assert_allclose(added, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("first", "present"), [(0, 8), (8, 8), (16, 3)])
def test_voxels_of_a_block(form, columns, first, present):
    theta = many_voxels(19)
    lanes, r = np.full((8, LANES), np.nan), np.zeros((2 + columns.max(), LANES))
    form(hybrid_state.load)(theta, first, columns, lanes, r)
    # Spare lanes repeat the last voxel.
    rows = theta[[*range(first, first + present), *[18] * (LANES - present)]]
    np.testing.assert_array_equal(lanes, rows.T)
    m0s = rows[:, kernel.M0S]
    np.testing.assert_allclose(r[0], m0s / (1 - m0s), rtol=1e-15)
    expected = np.zeros_like(r[1:])
    if columns[kernel.M0S] >= 0:
        step = 1j * STEP
        expected[columns[kernel.M0S]] = ((m0s + step) / (1 - m0s - step)).imag / STEP
    np.testing.assert_allclose(r[1:], expected, rtol=1e-15)


@pytest.mark.parametrize("d", [0, 2])
@pytest.mark.parametrize(("first", "present"), [(0, 8), (16, 3)])
def test_results_of_a_block(form, d, first, present):
    out = np.random.default_rng(9).standard_normal((8, 1 + d, 2, LANES))
    s, ds = np.full((19, 5), np.nan, complex), np.full((19, 5, d), np.nan, complex)
    expected = (out[:5, :, 0] + 1j * out[:5, :, 1]).transpose(2, 0, 1)[:present]
    form(hybrid_state.store)(out, first, s, ds)
    rows = slice(first, first + present)
    np.testing.assert_array_equal(s[rows], expected[..., 0])
    np.testing.assert_array_equal(ds[rows], expected[..., 1:])
    others = np.delete(np.arange(19), rows)
    assert np.isnan(s[others]).all()
    assert np.isnan(ds[others]).all()
    assert (out == 0).all()  # for the next block


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 3), (1, 3)])
def test_maps_of_a_chunk(form, low, high):
    rng = np.random.default_rng(9)
    weights, maps = rng.standard_normal((2, CHUNK, 4)), rng.standard_normal((5, 42, LANES))
    out = np.full((CHUNK, 42, LANES), np.nan)
    form(hybrid_state.fill)(weights, maps, low, high, out)
    expected = np.tensordot(weights[0], maps[:4], 1).reshape(CHUNK, 3, 14, LANES)
    odd = np.tensordot(weights[1], maps[:4], 1).reshape(CHUNK, 3, 14, LANES)
    expected[:, :, 8:] = odd[:, :, 8:]
    result = out.reshape(CHUNK, 3, 14, LANES)
    wanted = slice(low, high)
    np.testing.assert_allclose(result[:, wanted], expected[:, wanted], rtol=0, atol=1e-14)
    assert np.isnan(np.delete(result, wanted, axis=1)).all()


def test_nothing_to_interpolate(form):
    out = np.full((CHUNK, 14, LANES), np.nan)
    form(hybrid_state.fill)(np.empty((2, CHUNK, 0)), np.ones((3, 14, LANES)), 0, 1, out)
    assert np.isnan(out).all()


def test_samples_are_kept_without_a_basis(form):
    path = np.random.default_rng(10).standard_normal((CHUNK, 6, LANES))
    sums = np.full((20, 6, LANES), np.nan)
    form(hybrid_state.collect)(np.empty((0, CHUNK)), path, 4, 5, sums)
    np.testing.assert_array_equal(sums[4:9], path[:5])
    assert np.isnan(np.delete(sums, range(4, 9), axis=0)).all()


def test_samples_are_added_to_coefficients(form):
    rng = np.random.default_rng(11)
    path, basis = rng.standard_normal((CHUNK, 6, LANES)), rng.standard_normal((8, CHUNK))
    sums = rng.standard_normal((8, 6, LANES))
    expected = sums + np.tensordot(basis, path, 1)
    form(hybrid_state.collect)(basis, path, 4, 5, sums)
    np.testing.assert_allclose(sums, expected, rtol=0, atol=1e-13)
