import numpy as np
import pytest
from numpy.polynomial import chebyshev
from scipy.linalg import expm

from crbestim.kernels import magnetization_transfer as kernel
from crbestim.models.saturation import ALPHA_MAX, TAU_RANGE, saturation_table
from tests.reference import magnetization_transfer as reference
from tests.reference.differences import derivative
from tests.reference.saturation import greens_function

TR = 3.5e-3
TABLE = saturation_table("super-lorentzian")
DOMAIN = np.array([*np.log(TAU_RANGE), ALPHA_MAX])
STEP = 1e-20  # of the complex-step derivatives
# What the reference's state (xf, yf, zf, xs, zs, 1) shares with the kernel's.
ROWS, COLUMNS = np.array([0, 1, 2, 4]), np.array([0, 1, 2, 4, 5])
# A change of this size in a parameter is one that matters.
SCALE = np.array([0.1, 1.0, 10.0, 20.0, 3.0, 1e-5, 500.0, 1.0])
LIMITS = np.array([[0, 1], [0, 50], [0, 500], [0, 500], [0, 50], [2e-6, 4e-5]])
LIMITS = np.concatenate([LIMITS, [[-5000, 5000], [0.01, 1.4]]])

# m0s, R1f, R2f, Rx, R1s, T2s, omega0, B1
THETAS = {
    "tissue": [0.15, 0.5, 13.0, 25.0, 3.0, 12e-6, 120.0, 0.95],
    "no semi-solid pool": [0.0, 0.3, 0.4, 25.0, 3.0, 12e-6, -300.0, 1.05],
    "no exchange": [0.2, 0.5, 13.0, 0.0, 3.0, 12e-6, 50.0, 1.0],
    "omega0 at pi/TR": [0.15, 0.5, 13.0, 25.0, 3.0, 8e-6, np.pi / TR, 0.6],
    "omega0 at -pi/TR": [0.35, 1.2, 25.0, 60.0, 6.0, 20e-6, -np.pi / TR, 1.4],
    "fast": [0.8, 20.0, 250.0, 500.0, 20.0, 5e-6, 10.0, 0.05],
}
PULSES = {
    "30 degrees": (np.pi / 6, 3e-4),
    "none": (0.0, 2e-4),
    "long": (-1.0, 1.2e-3),
    "short and strong": (np.pi, 1e-4),
    "backwards": (-np.pi, 5e-4),
}


def rho(tau, a):
    """Return the rate of the same table, by NumPy."""
    x = 2 * (np.log(tau) - DOMAIN[0]) / (DOMAIN[1] - DOMAIN[0]) - 1
    return chebyshev.chebval2d(x, 2 * (a / DOMAIN[2]) ** 2 - 1, TABLE)


def rate(theta, alpha, trf):
    return rho(trf / theta[5], theta[7] * abs(alpha)) / theta[5]


@pytest.fixture(params=THETAS, ids=lambda name: name.replace(" ", "_"))
def theta(request):
    return np.array(THETAS[request.param])


@pytest.fixture(params=PULSES, ids=lambda name: name.replace(" ", "_"))
def pulse(request):
    return PULSES[request.param]


def empty_maps(*shape, d=8):
    return np.zeros((*shape, 4, 5)), np.zeros((*shape, 4, 5, d))


def check_map(run, expected, theta):
    """Compare a map with matrices of the reference, and derivatives with both ways.

    run(theta) returns a map and its derivatives, expected(theta) the reference's
    matrix, for a complex theta too. Tolerances: see the test of `flow`; the generators
    change by at most 200 over SCALE.
    """
    value, jacobian = run(theta)
    np.testing.assert_allclose(
        value, expected(theta)[ROWS[:, None], COLUMNS], rtol=0, atol=1e-11
    )
    for k in range(8):
        shifted = theta.astype(complex)
        shifted[k] += 1j * STEP
        exact = expected(shifted)[ROWS[:, None], COLUMNS].imag / STEP * SCALE[k]
        np.testing.assert_allclose(
            jacobian[..., k] * SCALE[k], exact, rtol=1e-10, atol=1e-9
        )
        difference = SCALE[k] * derivative(
            lambda points: np.array([run(point)[0] for point in points]),
            theta,
            k,
            1e-3 * SCALE[k],
            LIMITS[k],
        )
        np.testing.assert_allclose(
            jacobian[..., k] * SCALE[k], difference, rtol=1e-7, atol=1e-8
        )


@pytest.mark.parametrize("time", [0.0, 1.5e-3, 1.75e-3])
def test_free_precession(form, theta, time):
    def run(theta):
        out, dout = empty_maps()
        form(kernel.free_precession)(theta, time, out, dout)
        return out, dout

    check_map(run, lambda theta: reference.free_precession(theta, time), theta)


def test_excitation_pulse(form, theta, pulse):
    def run(theta):
        out, dout = empty_maps()
        form(kernel.excitation_pulse)(theta, *pulse, TABLE, DOMAIN, out, dout)
        return out, dout

    check_map(run, lambda theta: reference.pulse(theta, *pulse, rate(theta, *pulse)), theta)


def test_inversion_pulse(form, theta, pulse):
    def run(theta):
        out, dout = empty_maps()
        form(kernel.inversion_pulse)(theta, *pulse, TABLE, DOMAIN, out, dout)
        return out, dout

    check_map(
        run,
        lambda theta: reference.inversion(theta, *pulse, rate(theta, *pulse)),
        theta,
    )


def repetition(theta, alpha, trf, inversion):
    """Return the reference's matrix from echo to echo."""
    rotation = np.diag([-1.0, -1.0, 1.0, 1.0, 1.0, 1.0])
    play = reference.inversion if inversion else reference.pulse
    free = reference.free_precession(theta, TR / 2 if inversion else (TR - trf) / 2)
    return free @ play(theta, alpha, trf, rate(theta, alpha, trf)) @ rotation @ free


def echo_map(theta, alpha, trf, inversion, d=8, echo_map=kernel.echo_map):
    out, dout = empty_maps(d=d)
    echo_map(theta, alpha, trf, TR, inversion, TABLE, DOMAIN, out, dout)
    return out, dout


@pytest.mark.parametrize("inversion", [False, True])
def test_echo_map(form, theta, pulse, inversion):
    def run(theta):
        return echo_map(theta, *pulse, inversion, echo_map=form(kernel.echo_map))

    check_map(run, lambda theta: repetition(theta, *pulse, inversion), theta)


@pytest.mark.parametrize("inversion", [False, True])
def test_echo_map_without_derivatives_is_the_same(theta, pulse, inversion):
    alone, none = echo_map(theta, *pulse, inversion, d=0)
    np.testing.assert_array_equal(alone, echo_map(theta, *pulse, inversion)[0])
    assert none.size == 0


@pytest.mark.parametrize("first", [0, 2])
def test_longitudinal_generator(form, theta, first):
    g, dg = np.zeros((first + 3, first + 4)), np.zeros((first + 3, first + 4, 8))
    form(kernel.longitudinal_generator)(theta, first, TR, g, dg)
    expected = np.zeros_like(g)
    part = np.ix_([reference.ZF, reference.ZS], [reference.ZF, reference.ZS])
    rates = reference.rate_matrix(theta, 0.0, 0.0) * TR
    expected[first : first + 2, first : first + 2] = rates[part]
    expected[first : first + 2, -1] = rates[[reference.ZF, reference.ZS], reference.ONE]
    np.testing.assert_allclose(g, expected, rtol=1e-15)
    for k in range(8):
        shifted = theta.astype(complex)
        shifted[k] += 1j * STEP
        slope = reference.rate_matrix(shifted, 0.0, 0.0).imag / STEP * TR
        expected[first : first + 2, first : first + 2] = slope[part]
        expected[first : first + 2, -1] = slope[[reference.ZF, reference.ZS], reference.ONE]
        np.testing.assert_allclose(dg[..., k], expected, rtol=1e-14)


def test_equilibrium(form, theta):
    x, t = np.full(4, np.nan), np.full((4, 8), np.nan)
    form(kernel.equilibrium)(theta, x, t)
    np.testing.assert_array_equal(x, reference.thermal_equilibrium(theta)[ROWS])
    expected = np.zeros((4, 8))
    expected[[2, 3], 0] = -1, 1
    np.testing.assert_array_equal(t, expected)


def test_equilibrium_stays_without_a_pulse(theta):
    x = np.empty(4)
    kernel.equilibrium(theta, x, np.empty((4, 0)))
    out, _ = echo_map(theta, 0.0, 2e-4, False)
    np.testing.assert_allclose(out[:, :4] @ x + out[:, 4], x, rtol=0, atol=1e-11)


def test_a_pulse_of_zero_angle_is_free_precession(theta):
    out, dout = empty_maps()
    kernel.excitation_pulse(theta, 0.0, 5e-4, TABLE, DOMAIN, out, dout)
    free, dfree = empty_maps()
    kernel.free_precession(theta, 5e-4, free, dfree)
    np.testing.assert_allclose(out, free, rtol=0, atol=1e-11)
    # But for B1: it counts the flip angle in units of the nominal one, which is zero.
    np.testing.assert_allclose(dout * SCALE, dfree * SCALE, rtol=0, atol=1e-9)


def test_without_exchange_the_pools_are_alone():
    theta = np.array(THETAS["no exchange"])
    out, _ = echo_map(theta, 1.0, 5e-4, False)
    np.testing.assert_array_equal(out[:3, 3], 0)
    np.testing.assert_array_equal(out[3, :3], 0)


def test_without_semi_solid_pool_it_is_the_bloch_equation():
    theta = np.array(THETAS["no semi-solid pool"])
    _, r1, r2, rx, _, _, omega0, b1 = theta
    alpha, trf = 1.0, 5e-4
    out, dout = echo_map(theta, alpha, trf, False)

    def bloch(w1, time):
        rates = [
            [-r2, -omega0, w1, 0],
            [omega0, -r2, 0, 0],
            [-w1, 0, -r1, r1],
            [0, 0, 0, 0],
        ]
        return expm(np.array(rates) * time)

    free = bloch(0.0, (TR - trf) / 2)
    phase = np.diag([-1, -1, 1, 1])
    expected = free @ bloch(b1 * alpha / trf, trf) @ phase @ free
    np.testing.assert_allclose(out[:3, [0, 1, 2, 4]], expected[:3], rtol=0, atol=1e-11)
    assert (out[3, [0, 1, 2, 4]] == 0).all()
    # The empty pool does not act on the water, whatever its parameters.
    for k in (kernel.RX, kernel.R1S, kernel.T2S):
        assert (dout[:, [0, 1, 2, 4], k] == 0).all()


def test_one_pulse_of_180_degrees(form):
    # A value given in PHYSICS.md, for R2sl = 1e5: here T2s = 1e-5 and rho = 1.
    theta = np.array([0.1, 1.0, 15.0, 30.0, 6.5, 1e-5, 0.0, 1.0])
    table = np.array([[1.0, 0.0], [0.0, 0.0]])
    table.flags.writeable = False  # as the shipped ones, or numba compiles once more
    out, dout = empty_maps()
    form(kernel.excitation_pulse)(theta, np.pi, 500e-6, table, DOMAIN, out, dout)
    x = np.empty(4)
    kernel.equilibrium(theta, x, np.empty((4, 0)))
    expected = [0.0010647535813, 0.0, -0.8957848274535, 0.0812200714211]
    # Given with 13 decimals; the Taylor polynomial is good to 1e-11.
    np.testing.assert_allclose(out[:, :4] @ x + out[:, 4], expected, rtol=0, atol=1e-11)


def exact_pulse(theta, alpha, trf, state, n_steps=1500):
    """Solve the integro-differential equation of the coupled pools for one pulse.

    Implicit trapezoidal rule, for the memory of the semi-solid pool too.
    """
    step, w1 = trf / n_steps, theta[7] * alpha / trf
    rates = reference.rate_matrix(theta, w1, 0.0)
    linear, offset = rates[np.ix_(ROWS, ROWS)], rates[ROWS, reference.ONE]
    times = step * np.arange(n_steps + 1)
    memory = w1**2 * step * greens_function(times / theta[5])
    implicit = np.eye(4) - step / 2 * linear
    implicit[3, 3] += step / 2 * memory[0] / 2
    history, slope = np.zeros(n_steps + 1), linear @ state + offset
    history[0] = state[3]
    for k in range(1, n_steps + 1):
        # The integral without its newest node, which is part of the implicit matrix.
        past = memory[k:0:-1] @ history[:k] - memory[k] * history[0] / 2
        right = state + step / 2 * (slope + offset)
        right[3] -= step / 2 * past
        state = np.linalg.solve(implicit, right)
        history[k] = state[3]
        slope = linear @ state + offset
        slope[3] -= past + memory[0] / 2 * state[3]
    return state


@pytest.mark.parametrize(("alpha", "trf"), [(np.pi, 5e-4), (1.0, 2e-4), (0.5, 5e-4)])
def test_the_linear_pulse_is_close_to_the_exact_equation(alpha, trf):
    theta = np.array(THETAS["tissue"])
    out, dout = empty_maps(d=0)
    kernel.excitation_pulse(theta, alpha, trf, TABLE, DOMAIN, out, dout)
    x = np.empty(4)
    kernel.equilibrium(theta, x, np.empty((4, 0)))
    exact = exact_pulse(theta, alpha, trf, x)
    assert abs(exact[3] - x[3]) > 1e-3  # the pulse does saturate the pool
    np.testing.assert_allclose(out[:, :4] @ x + out[:, 4], exact, rtol=0, atol=1e-4)


NODES = np.array(
    [[np.pi, 4e-4, 1.0], [0.5, 3e-4, 0.0], [-0.7, 2e-4, 0.0], [1.2, 5e-4, 0.0]]
)


def maps_at_nodes(theta, d):
    results = [echo_map(theta, a, t, inverts == 1, d) for a, t, inverts in NODES]
    return tuple(np.array(part) for part in zip(*results, strict=True))


@pytest.mark.parametrize("d", [0, 8])
def test_pulse_maps_of_nodes_alone(form, d):
    theta = np.array(THETAS["tissue"])
    maps, dmaps = empty_maps(4, d=d)
    form(kernel.pulse_maps)(theta, NODES, np.empty((0, 0)), TR, TABLE, DOMAIN, maps, dmaps)
    expected = maps_at_nodes(theta, d)
    np.testing.assert_array_equal(maps, expected[0])
    np.testing.assert_array_equal(dmaps, expected[1])


@pytest.mark.parametrize("d", [0, 8])
def test_pulse_maps_are_interpolated(form, d):
    theta = np.array(THETAS["tissue"])
    weights = np.zeros((6, 8))
    weights[:, :4] = np.random.default_rng(0).standard_normal((6, 4))
    maps, dmaps = empty_maps(6, d=d)
    form(kernel.pulse_maps)(theta, NODES, weights, TR, TABLE, DOMAIN, maps, dmaps)
    expected = maps_at_nodes(theta, d)
    product = np.tensordot(weights[:, :4], expected[0], 1)
    np.testing.assert_allclose(maps, product, rtol=0, atol=1e-14)
    product = np.tensordot(weights[:, :4], expected[1], 1) * SCALE[:d]
    np.testing.assert_allclose(dmaps * SCALE[:d], product, rtol=1e-13, atol=1e-13)


def test_all_maps_are_those_of_each_voxel(form):
    thetas = np.array(list(THETAS.values()))
    maps, dmaps = empty_maps(len(thetas), 4)
    form(kernel.all_maps)(thetas, NODES, TR, TABLE, DOMAIN, maps, dmaps)
    for i, theta in enumerate(thetas):
        expected = maps_at_nodes(theta, 8)
        np.testing.assert_array_equal(maps[i], expected[0])
        np.testing.assert_array_equal(dmaps[i], expected[1])


# Two trains, of five and of three repetitions.
INDEX, STARTS = np.array([0, 1, 2, 3, 1, 0, 3, 2]), np.array([0, 5, 8])
ALPHA, TRF = ([NODES[part, i] for part in (INDEX[:5], INDEX[5:])] for i in (0, 1))


@pytest.mark.parametrize("thermal", [False, True])
@pytest.mark.parametrize("d", [0, 8])
@pytest.mark.parametrize("n_components", [0, 2])
def test_fingerprint_and_simulate(form, thermal, d, n_components):
    thetas = np.array(list(THETAS.values()))
    basis = np.random.default_rng(1).standard_normal((8, n_components))
    n = n_components or 8
    s, ds = np.empty((len(thetas), n), complex), np.empty((len(thetas), n, d), complex)
    form(kernel.simulate)(
        thetas, NODES, np.empty((0, 0)), INDEX, STARTS, TR, TABLE, DOMAIN, thermal,
        basis, s, ds,
    )  # fmt: skip
    options = dict(steady_state="thermal" if thermal else "periodic", rho=rho)
    project = basis.T if n_components else np.eye(8)
    for i, theta in enumerate(thetas):
        expected = project @ reference.signal(theta, ALPHA, TRF, TR, **options)
        # Eight maps, each good to 1e-11.
        np.testing.assert_allclose(s[i], expected, rtol=0, atol=1e-10)
        part, dpart = np.zeros((2, n)), np.zeros((2, n, d))
        maps, dmaps = maps_at_nodes(theta, d)
        form(kernel.fingerprint)(
            theta, maps, dmaps, INDEX, STARTS, thermal, basis, part, dpart
        )
        np.testing.assert_allclose(part[0] + 1j * part[1], s[i], rtol=0, atol=1e-14)
        if d:
            expected = project @ reference.jacobian(theta, ALPHA, TRF, TR, **options)
            np.testing.assert_allclose(ds[i] * SCALE, expected * SCALE, atol=1e-8)
            dpart = (dpart[0] + 1j * dpart[1]) * SCALE
            np.testing.assert_allclose(dpart, ds[i] * SCALE, rtol=0, atol=1e-13)
