import numpy as np
import pytest

from crbestim.kernels import trains

STEP = 1e-20  # of the complex-step derivatives
SIZES = [(4, 8), (4, 0), (2, 3)]


def random_maps(rng, n_maps, n, d):
    """Return contractions with an offset, and their derivatives."""
    maps = rng.standard_normal((n_maps, n, n + 1))
    norms = np.linalg.norm(maps[:, :, :n], ord=2, axis=(1, 2))
    maps[:, :, :n] *= 0.9 / norms[:, None, None]
    return maps, rng.standard_normal((n_maps, n, n + 1, d))


def echoes(maps, index, thermal=None):
    """Return the states at all echoes, of a cycle that repeats or from a start."""
    a, b = maps[index, :, :-1], maps[index, :, -1]
    if thermal is None:
        matrix, offset = np.eye(a.shape[1]), np.zeros(a.shape[1])
        for i in (*range(1, len(index)), 0):
            matrix, offset = a[i] @ matrix, a[i] @ offset + b[i]
        states = [np.linalg.solve(np.eye(len(matrix)) - matrix, offset)]
    else:
        states = [a[0] @ thermal + b[0]]
    for i in range(1, len(index)):
        states.append(a[i] @ states[-1] + b[i])
    return np.array(states)


def derivatives_of_echoes(maps, dmaps, index):
    """Return them for maps that depend linearly on every parameter: (N, n, d)."""
    columns = [
        echoes(maps + 1j * STEP * dmaps[..., p], index).imag / STEP
        for p in range(dmaps.shape[-1])
    ]
    shape = (len(index), maps.shape[1], 0)
    return np.stack(columns, axis=-1) if columns else np.empty(shape)


@pytest.fixture(params=SIZES, ids=str)
def case(request):
    """Return maps, derivatives and a train of 13 repetitions of 5 different maps."""
    rng = np.random.default_rng(0)
    maps, dmaps = random_maps(rng, 5, *request.param)
    return maps, dmaps, rng.integers(0, 5, 13)


def test_step(form, case):
    maps, dmaps, _ = case
    rng = np.random.default_rng(1)
    n, d = maps.shape[1], dmaps.shape[3]
    x, t = rng.standard_normal(n), rng.standard_normal((n, d))
    x_new, t_new = np.full(n, np.nan), np.full((n, d), np.nan)
    form(trains.step)(maps[0], dmaps[0], x, t, x_new, t_new)
    a, b = maps[0, :, :-1], maps[0, :, -1]
    np.testing.assert_allclose(x_new, a @ x + b, atol=1e-14)
    expected = a @ t + np.einsum("ijp,j->ip", dmaps[0, :, :-1], x) + dmaps[0, :, -1]
    np.testing.assert_allclose(t_new, expected, atol=1e-14)


def test_step_by_the_identity_stands_still(form):
    x, t = np.arange(4.0), np.arange(12.0).reshape(4, 3)
    x_new, t_new = np.empty_like(x), np.empty_like(t)
    form(trains.step)(np.eye(4, 5), np.zeros((4, 5, 3)), x, t, x_new, t_new)
    np.testing.assert_array_equal(x_new, x)
    np.testing.assert_array_equal(t_new, t)


@pytest.mark.parametrize("length", [1, 2, 13])
def test_cycle_runs_from_echo_0_to_the_next_echo_0(form, case, length):
    maps, _, index = case
    index = index[:length]
    total = form(trains.cycle)(maps, index)
    for x in np.eye(maps.shape[1]):
        expected = x
        for i in (*range(1, length), 0):
            a = maps[index[i]]
            expected = a[:, :-1] @ expected + a[:, -1]
        np.testing.assert_allclose(total[:, :-1] @ x + total[:, -1], expected, atol=1e-14)


@pytest.mark.parametrize("length", [1, 2, 13])
def test_periodic_state_and_its_derivatives(form, case, length):
    maps, dmaps, index = case
    index, n, d = index[:length], maps.shape[1], dmaps.shape[3]
    x, t = np.full(n, np.nan), np.full((n, d), np.nan)
    form(trains.periodic_state)(maps, dmaps, index, x, t)
    # I - A is far from singular here, since every map shrinks by 0.9 at least.
    np.testing.assert_allclose(x, echoes(maps, index)[0], rtol=1e-12, atol=1e-13)
    expected = derivatives_of_echoes(maps, dmaps, index)[0]
    np.testing.assert_allclose(t, expected, rtol=1e-12, atol=1e-12)


def test_periodic_state_is_what_many_cycles_lead_to(form, case):
    maps, dmaps, index = case
    x, t = np.empty(maps.shape[1]), np.empty((maps.shape[1], dmaps.shape[3]))
    form(trains.periodic_state)(maps, dmaps, index, x, t)
    # After 30 cycles of 13 maps the start has shrunk to 0.9**390 = 1e-18.
    iterated = echoes(maps, np.tile(index, 30), thermal=np.zeros(len(x)))[-13]
    np.testing.assert_allclose(x, iterated, rtol=0, atol=1e-13)


def test_derivatives_of_periodic_state_against_differences(form):
    rng = np.random.default_rng(2)
    maps, dmaps = random_maps(rng, 5, 4, 3)
    index, none = rng.integers(0, 5, 13), np.empty((5, 4, 5, 0))
    x, t = np.empty(4), np.empty((4, 3))
    form(trains.periodic_state)(maps, dmaps, index, x, t)
    for p in range(3):
        ends = []
        for sign in (1, -1):
            end = np.empty(4)
            moved = maps + sign * 1e-5 * dmaps[..., p]
            trains.periodic_state(moved, none, index, end, np.empty((4, 0)))
            ends.append(end)
        # Central differences: step**2 = 1e-10, rounding 1e-16 / 1e-5.
        np.testing.assert_allclose(t[:, p], (ends[0] - ends[1]) / 2e-5, rtol=1e-7)


def played(form, case, basis, s, ds):
    maps, dmaps, index = case
    n, d = maps.shape[1], dmaps.shape[3]
    x, t = np.empty(n), np.empty((n, d))
    trains.periodic_state(maps, dmaps, index, x, t)
    form(trains.play)(maps, dmaps, index, x, t, basis, s, ds)


def test_play_stores_every_sample(form, case):
    maps, dmaps, index = case
    s, ds = np.full((2, 13), np.nan), np.full((2, 13, dmaps.shape[3]), np.nan)
    played(form, case, np.empty((13, 0)), s, ds)
    expected = echoes(maps, index)[:, :2].T
    np.testing.assert_allclose(s, expected, rtol=1e-12, atol=1e-13)
    expected = np.swapaxes(derivatives_of_echoes(maps, dmaps, index)[:, :2], 0, 1)
    np.testing.assert_allclose(ds, expected, rtol=1e-12, atol=1e-12)


def test_play_adds_the_projection_onto_a_basis(form, case):
    _, dmaps, _ = case
    d = dmaps.shape[3]
    basis = np.random.default_rng(3).standard_normal((13, 4))
    all_s, all_ds = np.empty((2, 13)), np.empty((2, 13, d))
    played(form, case, np.empty((13, 0)), all_s, all_ds)
    s, ds = np.ones((2, 4)), np.ones((2, 4, d))
    played(form, case, basis, s, ds)
    np.testing.assert_allclose(s, 1 + all_s @ basis, rtol=1e-12, atol=1e-12)
    expected = 1 + np.einsum("ikp,kc->icp", all_ds, basis)
    np.testing.assert_allclose(ds, expected, rtol=1e-12, atol=1e-11)


def test_a_train_of_one_repetition(form, case):
    maps, dmaps, index = case
    n, d = maps.shape[1], dmaps.shape[3]
    x, t = np.arange(1.0, n + 1), np.ones((n, d))
    s, ds = np.empty((2, 1)), np.empty((2, 1, d))
    form(trains.play)(maps, dmaps, index[:1], x, t, np.empty((1, 0)), s, ds)
    np.testing.assert_array_equal(s, [[1.0], [2.0]])
    np.testing.assert_array_equal(ds, 1.0)
