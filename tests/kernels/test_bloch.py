import numpy as np
import pytest
from scipy.linalg import expm, expm_frechet

from crbestim.kernels import bloch
from crbestim.kernels.lanes import LANES
from tests.reference.differences import derivative

# Positions of the couplings in the 6 x 6 matrix that acts on (x, y, z, s, w, 1).
ROWS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4])
COLUMNS = np.array([0, 1, 2, 0, 1, 0, 2, 3, 5, 2, 3, 5, 4, 3, 4])
# Around 1/2 and 1 the number of squarings changes; rho TRF / T2s of a pulse reaches 250.
# In one call, so that the lanes need between 0 and 9 squarings.
NORMS = np.array([1e-9, 0.1, 0.499, 0.501, 1.01, 3.0, 30.0, 250.0])


def generator_matrices(g):
    """Return generators (15, LANES) as matrices (LANES, 6, 6)."""
    matrices = np.zeros((g.shape[-1], 6, 6))
    matrices[:, ROWS, COLUMNS] = g.T
    return matrices


def map_matrices(a, last=0.0):
    """Return maps (30, LANES), or derivatives of them, as matrices (LANES, 6, 6)."""
    matrices = np.zeros((a.shape[-1], 6, 6))
    matrices[:, :5] = a.T.reshape(-1, 5, 6)
    matrices[:, 5, 5] = last
    return matrices


def random_maps(seed, d):
    return np.random.default_rng(seed).standard_normal((1 + d, 30, LANES))


def random_generators(seed, d, norms=NORMS):
    """Return generators of decaying flows of these norms, and derivatives as large."""
    g = np.random.default_rng(seed).standard_normal((1 + d, 15, LANES))
    for there, back in ((2, 5), (1, 3), (7, 9), (12, 13)):
        g[0, back] = -g[0, there]  # rotations
    diagonal = np.flatnonzero(ROWS == COLUMNS)
    g[0, diagonal] = -np.abs(g[0, diagonal])  # and decay
    return g * norms / np.abs(generator_matrices(g[0])).sum(axis=2).max(axis=1)


def run_flow(kernel, g):
    out = np.full((len(g), 30, LANES), np.nan)
    kernel(g.copy(), np.full_like(out, np.nan), out)
    return out


def run_compose(kernel, a, b):
    out = np.full_like(a, np.nan)
    kernel(a, b, out)
    return out


@pytest.mark.parametrize("d", [0, 1, 8])
def test_compose_is_the_product_of_matrices(form, d):
    a, b = random_maps(0, d), random_maps(1, d)
    kept = a.copy(), b.copy()
    out = run_compose(form(bloch.compose), a, b)
    first, second = map_matrices(a[0], 1.0), map_matrices(b[0], 1.0)
    np.testing.assert_allclose(map_matrices(out[0], 1.0), first @ second, atol=1e-14)
    for p in range(1, 1 + d):
        product_rule = map_matrices(a[p]) @ second + first @ map_matrices(b[p])
        np.testing.assert_allclose(map_matrices(out[p]), product_rule, atol=2e-14)
    np.testing.assert_array_equal((a, b), kept)


@pytest.mark.parametrize("d", [0, 8])
def test_identity_leaves_a_map_as_it_is(form, d):
    identity = np.full((1 + d, 30, LANES), np.nan)
    form(bloch._set_identity)(identity)
    a = random_maps(2, d)
    for first, second in ((identity, a), (a, identity)):
        np.testing.assert_array_equal(run_compose(form(bloch.compose), first, second), a)


@pytest.mark.parametrize("d", [0, 8])
@pytest.mark.parametrize("seed", [3, 4])
def test_flow_is_the_matrix_exponential(form, d, seed):
    g = random_generators(seed, d)
    out = run_flow(form(bloch.flow), g)
    matrices = generator_matrices(g[0])
    # Rounding only: the Taylor polynomial is far better for these generators than for
    # the worst of their norm. Measured: 5e-16 of the norm.
    error = np.abs(map_matrices(out[0], 1.0) - expm(matrices)).max(axis=(1, 2))
    assert (error < 1e-15 + 1e-14 * NORMS).all()
    for p in range(1, 1 + d):
        changes, result = generator_matrices(g[p]), map_matrices(out[p])
        for lane, change in enumerate(changes):
            expected = expm_frechet(matrices[lane], change, compute_expm=False)
            # Measured: 2e-15 of the norm.
            error = np.abs(result[lane] - expected).max()
            assert error < 2e-14 * np.abs(change).sum(axis=1).max()


def test_truncation_of_the_flow_is_bounded(form):
    # A rotation and a decay are the worst generators of their norm, and here it is
    # scaled to almost 1/2.
    norms = 0.999 * 2.0 ** np.arange(-2, 6)
    g = np.zeros((2, 15, LANES))
    g[:, bloch.XY], g[:, bloch.YX] = -norms, norms
    g[:, bloch.ZZ] = -norms
    out = run_flow(form(bloch.flow), g)
    expected = np.zeros_like(out)
    expected[0, [0, 7]] = np.cos(norms)
    expected[0, 6], expected[0, 1] = np.sin(norms), -np.sin(norms)
    expected[0, 14], expected[0, [21, 28]] = np.exp(-norms), 1
    expected[1, [0, 7]] = -norms * np.sin(norms)
    expected[1, 6], expected[1, 1] = norms * np.cos(norms), -norms * np.cos(norms)
    expected[1, 14] = -norms * np.exp(-norms)
    # As stated in the module: 1e-13 of the generator; 13 times more in the derivative of
    # its 13th power, and an error of the angle also turns the derivative. Measured:
    # 4e-14 of the norm, and 6e-13 of it in the slope, 13e-13 at the largest norm.
    error = np.abs(out - expected).max(axis=1)
    assert (error[0] < 1e-13 * norms).all()
    assert (error[1] < 1e-13 * norms * (13 + norms)).all()


def test_derivative_by_every_coupling(form):
    norms = np.full(LANES, 0.7)
    g = np.concatenate([random_generators(5, 0, norms), np.zeros((15, 15, LANES))])
    g[1:] = np.eye(15)[:, :, None]
    out = run_flow(form(bloch.flow), g)
    matrices = generator_matrices(g[0])
    for p in range(1, 16):
        changes, result = generator_matrices(g[p]), map_matrices(out[p])
        for lane in range(LANES):
            expected = expm_frechet(matrices[lane], changes[lane], compute_expm=False)
            np.testing.assert_allclose(result[lane], expected, rtol=0, atol=1e-14)


def test_derivative_of_flow_against_differences():
    g = random_generators(6, 8, np.full(LANES, 2.0))
    out = run_flow(bloch.flow, g)
    for p in range(1, 9):

        def values(points, p=p):
            return [run_flow(bloch.flow, g[:1] + x * g[p])[0] for x in points[:, 0]]

        # Truncation is step**6 / 140 of a seventh derivative; rounding 1e-16 / step.
        difference = derivative(values, np.zeros(1), 0, 1e-3)
        np.testing.assert_allclose(out[p], difference, rtol=0, atol=1e-12)


@pytest.mark.parametrize("d", [0, 8])
def test_what_a_lane_gives_does_not_depend_on_its_neighbours(form, d):
    g = random_generators(7, d)
    out = run_flow(form(bloch.flow), g)
    for order in (np.arange(LANES)[::-1], [3, 0, 7, 5, 1, 6, 2, 4]):
        permuted = run_flow(form(bloch.flow), g[..., order])
        np.testing.assert_array_equal(permuted, out[..., order])
    for lane in (0, 3, 7):  # of the least norm, a middle one and the largest
        alone = run_flow(form(bloch.flow), np.repeat(g[..., [lane]], LANES, axis=-1))
        expected = np.repeat(out[..., [lane]], LANES, axis=-1)
        np.testing.assert_array_equal(alone, expected)


def test_values_do_not_depend_on_derivatives(form):
    g = random_generators(8, 8)
    alone = run_flow(form(bloch.flow), g[:1])
    np.testing.assert_array_equal(alone[0], run_flow(form(bloch.flow), g)[0])


def test_generators_are_scaled_by_powers_of_two(form):
    g = random_generators(9, 8)
    g[:, :, 0] = 0.0
    g[0, bloch.XY, 0] = 0.5  # just small enough
    scaled, squarings = g.copy(), np.full(LANES, -1)
    assert form(bloch._scale)(scaled, squarings) == (0, 9)
    np.testing.assert_array_equal(squarings, [0, 0, 0, 1, 2, 3, 6, 9])
    np.testing.assert_array_equal(scaled * 2.0**squarings, g)
    norms = np.abs(generator_matrices(scaled[0])).sum(axis=2).max(axis=1)
    assert (norms <= 0.5).all()


@pytest.mark.parametrize("coupling", range(15))
def test_every_row_counts_in_the_norm(form, coupling):
    g = np.zeros((1, 15, LANES))
    g[0, coupling] = -3.0
    squarings = np.zeros(LANES, dtype=np.int64)
    assert form(bloch._scale)(g, squarings) == (3, 3)


@pytest.mark.parametrize("d", [0, 2])
def test_flow_over_zero_time_is_the_identity(form, d):
    out = run_flow(form(bloch.flow), np.zeros((1 + d, 15, LANES)))
    np.testing.assert_array_equal(map_matrices(out[0], 1.0), [np.eye(6)] * LANES)
    np.testing.assert_array_equal(out[1:], 0)


def test_flow_of_a_constant_drift_is_a_shift(form):
    g = np.zeros((2, 15, LANES))
    g[0, bloch.Z1], g[0, bloch.S1] = np.linspace(0, 300, LANES), -20.0
    g[1, bloch.Z1], g[1, bloch.S1] = 3.0, np.linspace(-1, 1, LANES)
    out = run_flow(form(bloch.flow), g)
    expected = np.zeros_like(out)
    expected[0, [0, 7, 14, 21, 28]] = 1
    expected[:, 17], expected[:, 23] = g[:, bloch.Z1], g[:, bloch.S1]
    np.testing.assert_allclose(out, expected, rtol=1e-15)


def test_flow_over_two_halves_is_flow_over_the_whole(form):
    g = random_generators(10, 8)
    whole = run_flow(form(bloch.flow), g)
    half = run_flow(form(bloch.flow), g / 2)
    twice = run_compose(form(bloch.compose), half, half)
    # Errors of the flow grow with the norm. Measured: 1e-15 of it.
    error = np.abs(twice - whole).max(axis=1)
    assert (error < 1e-15 + 1e-14 * NORMS).all()
