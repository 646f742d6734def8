from fractions import Fraction
from math import factorial

import numpy as np
import pytest
from numba import njit

from crbestim.kernels import bloch
from crbestim.kernels import magnetization_transfer as kernel
from crbestim.kernels.lanes import LANES, vectors
from tests.kernels.repetitions import (
    STATE,
    WITHOUT_W,
    expected_maps,
    expected_repetitions,
    generator_matrices,
    map_matrices,
    orders,
    run_echo,
    run_pulse,
    with_derivatives,
)
from tests.kernels.voxels import (
    ALL_COLUMNS,
    LANES_OF_VOXELS,
    LIMITS,
    NO_COLUMNS,
    PULSES,
    RATES,
    SCALE,
    SHARED_COLUMNS,
    STEP,
    THETAS,
    TR,
    VOXELS,
    column_sizes,
    only_compiled,
    rate,
    unpacked,
)
from tests.reference import magnetization_transfer as reference
from tests.reference.differences import derivative

CHOICES = {"all": ALL_COLUMNS, "none": NO_COLUMNS, "shared": SHARED_COLUMNS}
NODES = np.array([[*p, inverts] for p in PULSES.values() for inverts in (0, 1)])
LANE = {name: lane for lane, name in enumerate(THETAS)}


@njit(cache=True)
def exchange(theta, columns, time, g):
    kernel.exchange(vectors(theta), columns, time, vectors(g))


@njit(cache=True)
def irradiation(theta, columns, alpha, trf, rate, g, free):
    theta, rate, g = vectors(theta), vectors(rate), vectors(g)
    kernel.irradiation(theta, columns, alpha, trf, rate, g, free)


@njit(cache=True)
def rotate_and_forget(pulse):
    kernel.rotate_and_forget(vectors(pulse))


@pytest.fixture(params=PULSES, ids=lambda name: name.replace(" ", "_"))
def pulse(request):
    return PULSES[request.param]


@pytest.fixture(params=CHOICES)
def columns(request):
    return CHOICES[request.param]


def scales(columns):
    """Return 1 for the value, and the size of a significant change in each column."""
    return np.array([1.0, *column_sizes(columns)])[:, None, None, None]


def check_maps(result, expected, columns, atol=2e-13):
    """Compare all but w, derivatives times a significant change of their parameter.

    The flow errs by 1e-13 of its generator at most. Measured: 2e-14.
    """
    parts = np.ix_(range(len(result)), WITHOUT_W[:4], WITHOUT_W)
    error = np.abs(result[parts] - expected[parts]) * scales(columns)
    assert error.max() < atol


def run_exchange(form, columns, time, theta=LANES_OF_VOXELS):
    g = np.zeros((orders(columns), bloch.N_COUPLINGS, LANES))
    form(exchange)(theta, columns, time, g)
    return g


def run_free(form, columns, time, theta=LANES_OF_VOXELS):
    out = np.full((orders(columns), 30, LANES), np.nan)
    g = run_exchange(form, columns, time, theta)
    form(kernel.free_precession)(theta, columns, g, out)
    return map_matrices(out)


def test_generator_of_exchange(form, columns):
    g = generator_matrices(run_exchange(form, columns, TR))
    expected = expected_maps(lambda x: reference.rate_matrix(x, 0.0, 0.0) * TR, columns)
    assert (g[:, 4] == 0).all()
    np.testing.assert_allclose(g[:, :4], expected[:, :4], rtol=1e-14)


@pytest.mark.parametrize("time", [0.0, 1e-5, 1.5e-3, 1.75e-3, 0.1])
def test_free_precession(form, columns, time):
    expected = expected_maps(lambda x: reference.free_precession(x, time), columns)
    result = run_free(form, columns, time)
    # omega0 turns by 90 rad in 0.1 s, which amplifies rounding.
    check_maps(result, expected, columns, atol=2e-13 if time < 0.1 else 2e-12)
    assert (result[:, 4] == 0).all()
    assert (result[:, :, 4] == 0).all()


def time_of(q2, theta):
    """Return the time after which exchange and relaxation have this q^2."""
    rates = reference.rate_matrix(theta, 0.0, 0.0)
    zf, zs = reference.ZF, reference.ZS
    delta = (rates[zf, zf] - rates[zs, zs]) / 2
    return np.sqrt(q2 / (delta**2 + rates[zf, zs] * rates[zs, zf]))


@pytest.mark.parametrize("q2", [1e-12, 1e-4, 0.0099, 0.0101, 0.1, 2.0])
@pytest.mark.parametrize("name", ["tissue", "fast", "slow", "no exchange"])
def test_series_and_closed_form_of_exchange(form, name, q2):
    theta = np.array(THETAS[name])
    time = time_of(q2, theta)
    lanes = np.repeat(theta[:, None], LANES, axis=1)
    result = run_free(form, ALL_COLUMNS, time, lanes)[:, 2:4, 2:, 0]
    expected = with_derivatives(
        lambda x: reference.free_precession(x, time)[STATE[:5, None], STATE], theta[None]
    )[:, 2:4, 2:, 0]
    error = np.abs(result - expected)
    largest = np.abs(expected[1:]).max(axis=(1, 2))
    # Rounding, of numbers up to 1; derivatives grow with time. Measured: 3e-15, and 1e-14
    # of the derivative just above the threshold, where its closed form subtracts numbers
    # that agree to q^2 / 3.
    assert error[0].max() < 1e-14
    assert (error[1:].max(axis=(1, 2)) < 1e-15 + 3e-14 * largest).all()


def test_exchange_is_continuous_where_the_series_ends(form):
    theta = LANES_OF_VOXELS.copy()
    tissue = VOXELS[LANE["tissue"]]
    theta[:] = tissue[:, None]
    time = time_of(kernel._SERIES, tissue)
    below, above = (
        run_free(form, ALL_COLUMNS, time * x, theta) for x in (1 - 1e-13, 1 + 1e-13)
    )
    np.testing.assert_allclose(below, above, rtol=1e-12, atol=1e-15)


def exact_terms(q2):
    """Return cosh q, sinh q / q and the derivative of the latter by q^2, as series."""
    q2 = Fraction(q2)
    cosh = sum(q2**n / factorial(2 * n) for n in range(30))
    sinh = sum(q2**n / factorial(2 * n + 1) for n in range(30))
    slope = sum(n * q2 ** (n - 1) / factorial(2 * n + 1) for n in range(1, 30))
    return [float(cosh), float(sinh), float(slope)]


def test_terms_of_exchange(form):
    q2 = np.array([0.0, 1e-300, 1e-8, 0.00999999, 0.01, 0.01000001, 0.3, 20.0])
    g, terms = np.zeros((1, bloch.N_COUPLINGS, LANES)), np.full((3, LANES), np.nan)
    mean, half = np.linspace(-1, 0, LANES), np.sqrt(q2) / 2
    g[0, bloch.ZZ], g[0, bloch.SS] = mean + half, mean - half
    g[0, bloch.ZS], g[0, bloch.SZ] = q2 / 2, 1.5
    form(kernel.exchange_terms)(g, terms)
    expected = np.array([exact_terms(x) for x in q2]).T * np.exp(mean)
    # Measured: 3e-16, and 4e-14 by the closed form just above the threshold.
    np.testing.assert_allclose(terms[:2], expected[:2], rtol=1e-15)
    np.testing.assert_allclose(terms[2], expected[2], rtol=1e-13)


@pytest.mark.parametrize("free", [False, True])
def test_generator_of_irradiation(form, columns, pulse, free):
    alpha, trf = pulse
    rates = with_derivatives(lambda x: np.array(rate(x, alpha, trf)))
    rates = rates[[0, 1 + kernel.T2S, 1 + kernel.B1]]
    g = np.zeros((orders(columns), bloch.N_COUPLINGS, LANES))
    form(irradiation)(LANES_OF_VOXELS, columns, alpha, trf, rates, g, free)

    def expected(theta):
        w1 = theta[7] * alpha / trf
        irradiated = reference.rate_matrix(theta, w1, rate(theta, alpha, trf))
        matrix = (irradiated - reference.rate_matrix(theta, 0.0, 0.0)) * trf
        if not free:
            matrix[:3, :3] = 0
        return matrix

    matrices = expected_maps(expected, columns)
    sizes = scales(columns)
    np.testing.assert_allclose(
        generator_matrices(g) * sizes, matrices * sizes, rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("alpha", [0.0, 1.0, np.pi, -np.pi])
def test_inversion_of_the_free_pool(form, columns, alpha):
    out = np.random.default_rng(0).standard_normal((orders(columns), 30, LANES))
    out[:, [1, 2, 6, 8, 12, 13, 14, 0, 7]] = 0
    kept = out.copy()
    form(kernel.invert_free_pool)(LANES_OF_VOXELS, columns, alpha, out)
    matrices = expected_maps(lambda x: reference.inversion(x, alpha, 1e-4, 0.0), columns)
    result = map_matrices(out)[:, :3, :3]
    np.testing.assert_allclose(result, matrices[:, :3, :3], rtol=0, atol=1e-15)
    others = np.setdiff1d(range(30), [0, 7, 14])
    np.testing.assert_array_equal(out[:, others], kept[:, others])


def test_rotation_before_a_pulse_and_w_after_it(form):
    pulse = np.random.default_rng(1).standard_normal((3, 30, LANES))
    expected = map_matrices(pulse).copy()
    expected[:, :, :2] *= -1
    expected[:, :, 4] = expected[:, 4] = 0
    form(rotate_and_forget)(pulse)
    np.testing.assert_array_equal(map_matrices(pulse), expected)


def test_pulse(form, columns, pulse):
    alpha, trf = pulse
    expected = expected_maps(
        lambda x: reference.pulse(x, alpha, trf, rate(x, alpha, trf)), columns
    )
    result = run_pulse(form, columns, alpha, trf)
    check_maps(result, expected, columns)
    # The transverse magnetization of the semi-solid pool, too.
    error = np.abs(result[:, 4] - expected[:, 4]) * scales(columns)[..., 0]
    assert error.max() < 5e-13  # measured: 7e-14


@pytest.mark.parametrize("inverts", [False, True])
def test_echo_map(form, columns, pulse, inverts):
    expected = expected_repetitions(*pulse, inverts, columns)
    result = run_echo(form, columns, *pulse, inverts)
    check_maps(result, expected, columns)
    assert (result[:, 4] == 0).all()  # w is forgotten
    assert (result[:, :, 4] == 0).all()


@only_compiled
@pytest.mark.parametrize("inverts", [False, True])
@pytest.mark.parametrize("lane", range(LANES))
def test_derivatives_of_echo_map_against_differences(pulse, inverts, lane):
    derivatives = run_echo(lambda kernel: kernel, ALL_COLUMNS, *pulse, inverts)

    def values(points):
        theta = np.concatenate([points, points[:1]]).T.copy()
        maps = run_echo(lambda kernel: kernel, NO_COLUMNS, *pulse, inverts, theta)
        return np.moveaxis(maps[0, ..., :7], -1, 0)

    for k, scale in enumerate(SCALE):
        x = VOXELS[lane]
        expected = scale * derivative(values, x, k, 1e-3 * scale, LIMITS[k])
        error = np.abs(scale * derivatives[1 + k, ..., lane] - expected)
        # Rounding is 1e-16 / 1e-3; truncation is largest at the ends of the domain, where
        # differences are one-sided. Measured: 4e-11, but 9e-10 for B1.
        assert error.max() < (1e-8 if k == kernel.B1 else 5e-10)


def test_packed_maps_and_the_symmetry_of_a_repetition(form, columns):
    maps = run_nodes(form, LANES_OF_VOXELS, columns)
    m0s = LANES_OF_VOXELS[0]
    for k, (alpha, trf, inverts) in enumerate(NODES):
        expected = expected_repetitions(alpha, trf, inverts == 1, columns)
        result = [unpacked(maps[k, 0], m0s / (1 - m0s))]
        for p in range(1, orders(columns)):
            # The ratio of the pools is a function of m0s alone.
            step = STEP * (p == 1 + columns[kernel.M0S])
            ratio = (m0s + 1j * step) / (1 - m0s - 1j * step)
            moved = unpacked(maps[k, 0] + 1j * STEP * maps[k, p], ratio)
            result.append(moved.imag / STEP)
        error = np.moveaxis(result, 1, -1) - expected[:, :4][:, :, WITHOUT_W]
        assert np.abs(error * scales(columns)).max() < 2e-13  # measured: 2e-14


def run_nodes(form, theta, columns):
    maps = np.full((len(NODES), orders(columns), 14, LANES), np.nan)
    theta = np.ascontiguousarray(theta)
    form(kernel.node_maps)(theta, columns, NODES, TR, RATES, maps)
    return maps


def test_values_do_not_depend_on_derivatives(form):
    alone = run_nodes(form, LANES_OF_VOXELS, NO_COLUMNS)
    maps = run_nodes(form, LANES_OF_VOXELS, ALL_COLUMNS)
    np.testing.assert_array_equal(alone[:, 0], maps[:, 0])


def test_lanes_do_not_see_each_other(form):
    maps = run_nodes(form, LANES_OF_VOXELS, ALL_COLUMNS)
    order = [3, 0, 7, 5, 1, 6, 2, 4]
    permuted = run_nodes(form, LANES_OF_VOXELS[:, order], ALL_COLUMNS)
    np.testing.assert_array_equal(permuted, maps[..., order])


@pytest.mark.parametrize("lane", range(LANES))
def test_a_voxel_alone_gives_the_same(lane):
    maps = run_nodes(lambda kernel: kernel, LANES_OF_VOXELS, ALL_COLUMNS)
    theta = np.repeat(LANES_OF_VOXELS[:, [lane]], LANES, axis=1)
    alone = run_nodes(lambda kernel: kernel, theta, ALL_COLUMNS)
    np.testing.assert_array_equal(alone, np.repeat(maps[..., [lane]], LANES, axis=-1))
