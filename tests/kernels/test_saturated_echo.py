import numpy as np
import pytest
from scipy.integrate import quad

from crbestim.kernels.absorption import KNEE, absorption
from crbestim.kernels.saturated_echo import exponential, generator, saturated_echo, steps
from crbestim.models._absorption import LOG_LINES, absorption_table
from tests.conftest import ROOT
from tests.reference import saturated_echo as reference
from tests.reference.saturation import greens_function

EPG_X = ROOT.parent / "shared" / "data" / "external" / "sycomore_EPGX_GRE.mat"

# m0s, R1f, R2f, Rx, R1s, T2s, omega0, B1.
VOXELS = np.array(
    [
        [0.12, 0.9, 14.0, 25.0, 1.2, 11e-6, 0.0, 1.0],
        [0.30, 0.3, 2.0, 60.0, 5.0, 18e-6, 300.0, 0.7],
        [0.0, 0.25, 0.5, 10.0, 1.0, 8e-6, -500.0, 1.3],
        # Exchange at once, and pools alike.
        [0.5, 1.0, 50.0, 500.0, 1.0, 11e-6, 0.0, 1.0],
        # No exchange.
        [0.2, 1.0, 20.0, 0.0, 1.0, 11e-6, 0.0, 2.0],
    ]
)
ROWS = dict(
    alpha=[0.1, 0.5, 0.1, 1.5, 0.1, 0.2],
    tr=[0.03, 0.03, 0.05, 3.0, 0.03, 0.02],
    duration=[0.01, 0.01, 0.01, 0.02, 0.001, 0.0],
    delay=[2e-3, 2e-3, 0.0, 0.0, 1e-3, 0.0],
    omega=2 * np.pi * np.array([1.5e3, -4e3, 1e4, 2e3, 5e4, 2e3]),
    w1rms=[900.0, 500.0, 200.0, 700.0, 3e3, 0.0],
    energy=[0.0] * 6,
)
ECHOES = [
    dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)
]


def run(kernel, x, lineshape="super-lorentzian", rows=ROWS, derivatives=True):
    """Return signal and derivatives of one voxel of magnitudes, whose amplitude is 2."""
    rows = rows | {"w1rms": np.square(rows["w1rms"])}
    n = len(rows["tr"])
    table = absorption_table(lineshape, 60.0, multiple=n).reshape(-1, n)
    settings = np.array([*rows.values(), *table, np.zeros(n)])
    theta = np.array([x[0], 0.0, *x[1:], 2.0])
    s, ds = np.full(n, np.nan), np.full((len(theta) if derivatives else 0, n), np.nan)
    kernel(settings, theta, s, ds)
    return s, ds


@pytest.mark.parametrize("lineshape", LOG_LINES)
def test_echoes_against_matrix_exponentials(form, lineshape):
    for x in VOXELS:
        exact = np.array([reference.signal(x, e, lineshape) for e in ECHOES])
        slopes = np.array([reference.jacobian(x, e, lineshape) for e in ECHOES])
        s, ds = run(form(saturated_echo), x, lineshape)
        # The table of the line shape has an error of 6e-9, its slope of 1e-7.
        np.testing.assert_allclose(s, 2 * exact, rtol=1e-8)
        error = np.abs(np.delete(ds[:-1], 1, axis=0).T - 2 * slopes)
        size = np.abs(slopes).max(axis=0) + 0.1 * np.abs(exact).max() / np.maximum(x, 1e-2)
        assert (error < 1e-7 * size).all()
        np.testing.assert_allclose(ds[-1], exact, rtol=1e-8)
        # R1 is what both pools share.
        np.testing.assert_allclose(ds[1], ds[2] + ds[5], rtol=1e-14)


def test_pulses_of_excitation_saturate(form):
    # Off resonance, where the super-Lorentzian is finite.
    rows, x = ROWS | {"energy": [15.0] * 6}, VOXELS[0].copy()
    x[6] = -8000.0
    exact = [reference.signal(x, e | {"energy": 15.0}) for e in ECHOES]
    slopes = np.array([reference.jacobian(x, e | {"energy": 15.0}) for e in ECHOES])
    s, ds = run(form(saturated_echo), x, rows=rows)
    np.testing.assert_allclose(s / 2, exact, rtol=1e-8)
    error = np.abs(np.delete(ds[:-1], 1, axis=0).T / 2 - slopes)
    assert (error < 1e-7 * np.abs(slopes).max(axis=0)).all()
    assert (s < run(form(saturated_echo), x)[0]).all()


def test_rates_stand_for_the_bloch_equations_of_a_smooth_pulse():
    x = VOXELS[0]
    for offset, tolerance in ((1e3, 1e-2), (2e3, 3e-3), (5e3, 1e-3), (2e4, 1e-5)):
        echo = ECHOES[0] | {"omega": 2 * np.pi * offset}
        exact = reference.bloch(x, echo)
        assert reference.signal(x, echo) == pytest.approx(exact, rel=tolerance)


def test_a_single_pool_follows_ernsts_formula(form):
    x = np.array([0.0, 0.8, 10.0, 30.0, 1.0, 1e-5, 0.0, 1.0])
    s, _ = run(form(saturated_echo), x, rows=ROWS | {"w1rms": [0.0] * 6})
    e1, alpha = np.exp(-0.8 * np.array(ROWS["tr"])), np.array(ROWS["alpha"])
    expected = 2 * np.sin(alpha) * (1 - e1) / (1 - e1 * np.cos(alpha))
    np.testing.assert_allclose(s, expected, rtol=1e-13)


def test_values_do_not_depend_on_derivatives(form):
    for x in VOXELS:
        both = run(form(saturated_echo), x)[0]
        alone = run(form(saturated_echo), x, derivatives=False)[0]
        np.testing.assert_array_equal(alone, both)


# Against another program


@pytest.fixture(scope="module")
def epg_x():
    """Return longitudinal magnetization behind 200 pulses of 10 degrees, by EPG-X."""
    if not EPG_X.is_file():
        pytest.skip(f"there is no {EPG_X}")
    from scipy.io import loadmat

    return loadmat(EPG_X)


def theta_of(m0s, rx, r1f, r1s):
    return np.array([m0s, 0.0, r1f, 0.0, rx, r1s, 1e-5, 0.0, 1.0])


def test_exchange_and_saturation_against_epg_x(form, epg_x):
    states, alpha, tr = epg_x["Znmt"][0].real, np.deg2rad(10), 5e-3
    m0s, gamma, b1, g = 0.117, 267.5221e6, 13e-6, 15.1e-6
    free = form(generator)(theta_of(m0s, 4.3 / m0s, 1 / 0.779, 1 / 0.779), 0.0, 0.0)
    decay = form(exponential)(free, tr)
    # The semi-solid pool has no transverse magnetization that comes back.
    kept = np.exp(-np.pi * (gamma * b1) ** 2 * alpha / (gamma * b1) * g)
    m, none = (1 - m0s, m0s), form(exponential)(free, 0.0)
    tipped = np.cos(alpha), kept
    np.testing.assert_allclose(states[0], np.multiply(m, tipped), rtol=1e-8)
    after = np.array(
        [form(steps)(z, (1.0, 1.0), decay, none, none, m, m)[3] for z in states]
    )
    np.testing.assert_allclose(after[:-1, 1] * kept, states[1:, 1], rtol=1e-8)
    # Of the free pool, it comes back from the third pulse on.
    assert after[0, 0] * tipped[0] == pytest.approx(states[1, 0], rel=1e-8)


def test_exchange_of_unlike_pools_against_epg_x(form, epg_x):
    states, alpha = epg_x["Znx"][0].real, np.deg2rad(10)
    free = form(generator)(theta_of(0.2, 2.0 / 0.2, 1.0, 2.0), 0.0, 0.0)
    decay, none, m = form(exponential)(free, 5e-3), form(exponential)(free, 0.0), (0.8, 0.2)
    after = form(steps)(tuple(states[0]), (1.0, 1.0), decay, none, none, m, m)[3]
    np.testing.assert_allclose(np.cos(alpha) * np.array(after), states[1], rtol=1e-8)


# Line shapes


@pytest.mark.parametrize("lineshape", ["lorentzian", "gaussian"])
def test_line_shapes_are_transforms_of_the_memory(form, lineshape):
    table = absorption_table(lineshape, 10.0)
    for x in (0.0, 0.02, 0.7, 3.0):
        line = quad(lambda k: greens_function(k, lineshape), 0, 60, weight="cos", wvar=x)[0]
        assert form(absorption)(table, x / 1e-5, 1e-5)[0] == pytest.approx(1e-5 * line)


def test_the_super_lorentzian_has_the_area_of_a_line(form):
    # The value of its memory at once, G(0) = 1, is 2 / pi times the area, of which 3 % are
    # in the way to infinity at x = 0.
    table = absorption_table("super-lorentzian", 30.0)
    area = quad(lambda x: form(absorption)(table, x, 1.0)[0], 0, 20, limit=200)[0]
    assert area == pytest.approx(0.97 * np.pi / 2, rel=0.002)


@pytest.mark.parametrize("lineshape", LOG_LINES)
def test_derivatives_of_a_line_at_and_around_the_knee(form, lineshape):
    table, t2s, kernel = absorption_table(lineshape, 10.0), 1e-5, form(absorption)
    for x in (0.0, KNEE / 3, KNEE, 0.3, 4.0):
        omega, h = x / t2s, 1.0
        _, by_omega, by_t2s = kernel(table, omega, t2s)
        up, down = (kernel(table, omega + k * h, t2s)[0] for k in (1, -1))
        assert by_omega == pytest.approx((up - down) / 2 / h, rel=1e-5, abs=1e-20)
        up, down = (kernel(table, omega, t2s + k * 1e-10)[0] for k in (1, -1))
        assert by_t2s == pytest.approx((up - down) / 2e-10, rel=1e-5)
    # It falls from the resonance on, and is even.
    line = [kernel(table, x / t2s, t2s)[0] for x in np.linspace(0, 5, 50)]
    assert (np.diff(line) < 0).all()
    assert kernel(table, -0.3 / t2s, t2s)[0] == kernel(table, 0.3 / t2s, t2s)[0]
