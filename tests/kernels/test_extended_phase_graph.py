import numpy as np
import pytest

from crbestim.kernels.extended_phase_graph import B1, CHUNK, T1, T2, Pulses, simulate
from crbestim.kernels.lanes import LANES
from tests.reference import fisp as reference

# T1, T2 and B1: sizes of significant changes.
SCALE = np.array([1.0, 0.1, 1.0])
VOXELS = np.array(
    [
        [1.0, 0.08, 1.0],
        [0.3, 0.03, 0.7],
        [4.5, 2.0, 1.2],
        [1.2, 1.2, 1.0],
        [0.1, 0.01, 0.05],
        [0.2, 0.9, 1.0],
        [1e-3, 1e-3, 1.5],
        [20.0, 10.0, 3.0],
        [1.5, 0.1, 0.9],
    ]
)
COLUMNS = {
    "none": np.array([-1, -1, -1]),
    "T1 and T2": np.array([0, 1, -1]),
    "T2": np.array([-1, 0, -1]),
    "all": np.array([0, 1, 2]),
    "another order": np.array([2, 0, 1]),
}
# Two chunks and a part of one; long trains have more orders than a tile.
N = 2 * CHUNK + 5
N_LONG = 200


@pytest.fixture(params=COLUMNS)
def columns(request):
    return COLUMNS[request.param]


def train(n, turning=False, inversion=True, seed=0):
    """Return the arguments of the reference, and the same sequence for the kernel."""
    rng = np.random.default_rng(seed)
    alpha, tr = rng.uniform(-0.5, 1.6, n), rng.uniform(11e-3, 15e-3, n)
    te, turn = rng.choice([2e-3, 5e-3], n), rng.uniform(-3, 3, n)
    turn[0] = 0.0
    time = 0.02 if inversion else None
    sequence = dict(alpha=alpha, tr=tr, te=te, inversion_time=time)
    if turning:
        sequence["phase"] = np.cumsum(turn)
    intervals, index = np.unique(np.append(tr, te), return_inverse=True)
    pulses = Pulses(
        alpha, np.ones(n), turn if turning else np.empty(0), index[:n], index[n:],
        intervals, time if inversion else -1.0,
    )  # fmt: skip
    return sequence, pulses


def in_blocks(n):
    """Return blocks of consecutive voxels; the last is padded with its last voxel."""
    blocks = -(-n // LANES)
    return np.minimum(np.arange(blocks * LANES), n - 1).reshape(blocks, LANES)


def run(form, theta, columns, pulses, n_states=None, basis=None, n_components=0):
    n, n_pulses = len(theta), len(pulses.alpha)
    rows, d = in_blocks(n), columns.max() + 1
    orders = np.full(len(rows), n_states or n_pulses)
    m = n_components or n_pulses
    basis = np.empty((0, n_pulses)) if basis is None else basis
    s, ds = np.full((n, m), np.nan, complex), np.full((n, m, d), np.nan, complex)
    form(simulate)(0, len(rows), theta, rows, orders, columns, pulses, basis, s, ds)
    return s, ds


def exact(theta, **sequence):
    return np.array([reference.signal(x, **sequence) for x in theta])


@pytest.mark.parametrize("turning", [False, True])
@pytest.mark.parametrize("inversion", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, CHUNK, N])
def test_signal_against_isochromats(form, columns, turning, inversion, n):
    sequence, pulses = train(n, turning, inversion)
    theta = VOXELS if n <= 3 else VOXELS[:LANES]
    s, _ = run(form, theta, columns, pulses)
    # Some hundred roundings each. Measured: 1e-15.
    np.testing.assert_allclose(s, exact(theta, **sequence), rtol=0, atol=2e-14)


@pytest.mark.parametrize("turning", [False, True])
@pytest.mark.parametrize("name", COLUMNS)
def test_signal_of_a_long_train_against_isochromats(name, turning):
    sequence, pulses = train(2 * N_LONG, turning)
    s, _ = run(lambda kernel: kernel, VOXELS, COLUMNS[name], pulses)
    np.testing.assert_allclose(s, exact(VOXELS, **sequence), rtol=0, atol=5e-14)


@pytest.mark.parametrize("turning", [False, True])
@pytest.mark.parametrize("n", [1, 2, N, N_LONG])
def test_derivatives_against_isochromats(turning, n):
    sequence, pulses = train(n, turning)
    expected = np.array([reference.jacobian(x, **sequence) for x in VOXELS])
    for columns in COLUMNS.values():
        _, ds = run(lambda kernel: kernel, VOXELS, columns, pulses)
        for k in (T1, T2, B1):
            if columns[k] >= 0:
                size = np.abs(expected[..., k]).max(axis=1, keepdims=True)
                error = np.abs(ds[..., columns[k]] - expected[..., k])
                # Sums of hundreds of products, some of which cancel.
                assert (error <= 1e-12 * size + 1e-13 / SCALE[k]).all()


@pytest.mark.parametrize("turning", [False, True])
def test_derivatives_of_the_python_body(form, columns, turning):
    _, pulses = train(CHUNK + 3, turning)
    got = run(form, VOXELS, columns, pulses, n_states=7)
    expected = run(lambda kernel: kernel, VOXELS, columns, pulses, n_states=7)
    # Products and sums are rounded once or twice. T = 1 ms: derivatives of order 1e2.
    np.testing.assert_allclose(got[0], expected[0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-11, atol=1e-12)


def test_values_do_not_depend_on_derivatives(form):
    _, pulses = train(N)
    alone, _ = run(form, VOXELS[:LANES], COLUMNS["none"], pulses)
    for columns in COLUMNS.values():
        s, _ = run(form, VOXELS[:LANES], columns, pulses)
        np.testing.assert_array_equal(s, alone)


def test_derivatives_do_not_depend_on_each_other():
    _, pulses = train(N_LONG)
    _, ds = run(lambda kernel: kernel, VOXELS, COLUMNS["all"], pulses)
    for columns in COLUMNS.values():
        _, others = run(lambda kernel: kernel, VOXELS, columns, pulses)
        for k in (T1, T2, B1):
            if columns[k] >= 0:
                np.testing.assert_allclose(
                    others[..., columns[k]], ds[..., k], rtol=1e-13, atol=1e-15
                )


@pytest.mark.parametrize("n", [1, 9, 16])
def test_voxels_do_not_depend_on_blocks(n):
    _, pulses = train(N)
    theta = np.tile(VOXELS, (2, 1))[:n]
    s, ds = run(lambda kernel: kernel, theta, COLUMNS["all"], pulses)
    assert np.isfinite(s).all()
    assert np.isfinite(ds).all()
    for i in range(n):
        alone = run(lambda kernel: kernel, theta[[i]], COLUMNS["all"], pulses)
        np.testing.assert_array_equal(alone[0], s[[i]])
        np.testing.assert_array_equal(alone[1], ds[[i]])


@pytest.mark.parametrize("turning", [False, True])
def test_half_of_the_orders_is_all(turning):
    # Magnetization at an order above the middle cannot return to order 0 in time.
    _, pulses = train(N, turning)
    all_of_them = run(lambda kernel: kernel, VOXELS, COLUMNS["all"], pulses)
    half = run(lambda kernel: kernel, VOXELS, COLUMNS["all"], pulses, n_states=(N + 1) // 2)
    for part, expected in zip(half, all_of_them, strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("n_states", [1, 2, 10, 60])
def test_truncation_against_a_dense_state(n_states):
    # The textbook's matrices, on all orders from -K + 1 to K - 1.
    sequence, pulses = train(N_LONG)
    s, _ = run(lambda kernel: kernel, VOXELS, COLUMNS["none"], pulses, n_states)
    for x, got in zip(VOXELS, s, strict=True):
        expected = textbook(x, n_states, **sequence)
        np.testing.assert_allclose(got, expected, rtol=0, atol=5e-14)


def textbook(theta, n_states, alpha, tr, te, inversion_time):
    """Echoes by complex rotation matrices and shifts of the orders."""
    t1, t2, b1 = theta
    f = np.zeros((3, n_states), dtype=complex)  # F_k, conj(F_-k), Z_k
    f[2, 0] = 1 - 2 * np.exp(-inversion_time / t1)
    echoes = []
    for a, repetition, echo in zip(b1 * alpha, tr, te, strict=True):
        c, s = np.cos(a / 2) ** 2, np.sin(a / 2) ** 2
        half = np.sin(a) / 2
        f = np.array([[c, -s, 2 * half], [-s, c, 2 * half], [-half, -half, c - s]]) @ f
        echoes.append(f[0, 0] * np.exp(-echo / t2))
        e1, e2 = np.exp(-repetition / t1), np.exp(-repetition / t2)
        f = np.array([[e2], [e2], [e1]]) * f
        f[2, 0] += 1 - e1
        f[0, 1:], f[1, :-1], f[1, -1] = f[0, :-1].copy(), f[1, 1:].copy(), 0
        f[0, 0] = f[1, 0].conj()
    return np.array(echoes)


@pytest.mark.parametrize("turning", [False, True])
def test_coefficients_are_the_projected_samples(form, columns, turning):
    _, pulses = train(N, turning)
    basis = np.random.default_rng(1).standard_normal((8, N))
    s, ds = run(form, VOXELS[:LANES], columns, pulses)
    c, dc = run(form, VOXELS[:LANES], columns, pulses, basis=basis, n_components=5)
    # Sums of 37 samples, and of derivatives of up to 1e2 where times are 1 ms.
    np.testing.assert_allclose(c, s @ basis[:5].T, rtol=0, atol=1e-13)
    expected = np.einsum("nmp,cm->ncp", ds, basis[:5])
    np.testing.assert_allclose(dc, expected, rtol=0, atol=1e-11)


def test_without_flip_angles_there_is_no_signal(form):
    _, pulses = train(N)
    pulses = pulses._replace(alpha=np.zeros(N))
    s, ds = run(form, VOXELS, np.array([0, 1, -1]), pulses)
    assert (s == 0).all()
    assert (ds == 0).all()


def test_without_relaxation_the_magnetization_remains():
    # Isochromats of length 1: an echo is at most 1, and that of one pulse is its sine.
    sequence, pulses = train(N, inversion=False)
    theta = np.array([[1e12, 1e12, 1.0]])
    s, _ = run(lambda kernel: kernel, theta, COLUMNS["none"], pulses)
    assert np.abs(s).max() <= 1
    np.testing.assert_allclose(s[0, 0], np.sin(sequence["alpha"][0]), rtol=1e-11)
    np.testing.assert_allclose(s, exact(theta, **sequence), rtol=0, atol=2e-14)


def test_two_equal_pulses_make_a_spin_echo_at_the_third():
    # The orders of three pulses by hand, without relaxation: order 1 returns to order 0
    # as conj(F) (1 - cos) / 2 after two repetitions, as the textbook has it.
    a, n = 0.7, 3
    intervals, zero = np.array([1e-6]), np.zeros(n, dtype=int)
    pulses = Pulses(np.full(n, a), np.ones(n), np.empty(0), zero, zero, intervals, -1.0)
    s, _ = run(lambda kernel: kernel, np.array([[1e9, 1e9, 1.0]]), COLUMNS["none"], pulses)
    c, sine = np.cos(a), np.sin(a)
    refocused = -(sine * (1 - c) / 2)  # after pulse 1, in order -1
    # Before pulse 2: order 0 holds `refocused` and z = cos^2.
    expected = [sine, sine * c, refocused * (1 + c) / 2 - refocused * (1 - c) / 2]
    expected[2] += sine * c**2
    np.testing.assert_allclose(s[0], expected, rtol=0, atol=1e-12)


def test_a_complete_inversion_changes_the_sign_of_the_first_echo(form):
    sequence, pulses = train(N)
    s, _ = run(form, VOXELS[:1], COLUMNS["none"], pulses._replace(inversion_time=0.0))
    first = -np.sin(sequence["alpha"][0]) * np.exp(-sequence["te"][0] / VOXELS[0, T2])
    np.testing.assert_allclose(s[0, 0], first, rtol=1e-14)


def test_of_order_0_nothing_but_a_spoiled_sequence_is_left(form):
    # One order: all transverse magnetization is lost, and z follows on its own.
    sequence, pulses = train(N)
    s, _ = run(form, VOXELS[:1], COLUMNS["none"], pulses, n_states=1)
    t1, t2, _ = VOXELS[0]
    z, expected = 1 - 2 * np.exp(-0.02 / t1), []
    for a, tr, te in zip(sequence["alpha"], sequence["tr"], sequence["te"], strict=True):
        expected.append(np.sin(a) * z * np.exp(-te / t2))
        z = 1 + (np.cos(a) * z - 1) * np.exp(-tr / t1)
    np.testing.assert_allclose(s[0], expected, rtol=0, atol=1e-14)
