import numpy as np
import pytest
from numpy.polynomial import chebyshev

from crbestim.kernels.lanes import LANES
from crbestim.kernels.saturation import saturation_rate
from crbestim.models import _saturation_table
from crbestim.models._pulses import rates
from crbestim.models._saturation_table import (
    ALPHA_MAX,
    LINESHAPES,
    TAU_RANGE,
    compute_table,
    exact_saturation,
    linear_saturation,
    saturation_table,
)
from tests.reference import saturation as reference

DOMAIN = np.array([*np.log(TAU_RANGE), ALPHA_MAX])
# The shortest and longest pulses for which the model is used, and some between.
TAUS = [TAU_RANGE[0], 7.0, 12.0, 40.0, 115.0, TAU_RANGE[1]]
ANGLES = np.array([0.0, 0.2, 1.0, 2.0, np.pi, 1.2 * np.pi, ALPHA_MAX])


def rho(lineshape, tau, alpha):
    """Return the rate that the simulator uses, in units of 1/T2s."""
    table, t2s = rates(lineshape), 1e-5
    tau, alpha = np.broadcast_arrays(tau, alpha)
    values, out = [], np.zeros((3, LANES))
    for t, a in zip(tau.flat, alpha.flat, strict=True):
        saturation_rate(np.full(LANES, t2s), np.ones(LANES), a, t * t2s, table, out)
        values.append(out[0, 0] * t2s)
    return np.reshape(values, tau.shape)


def expected_rho(lineshape, tau, alpha):
    """Return the rate of the slow reference, with more nodes for the longest pulses."""
    more = dict(n_nodes=96, n_quadrature=160) if tau > 140 else {}
    v = reference._exact_v(tau, alpha, lineshape, **more)
    return reference._match(v, np.float64(tau), alpha)


def test_rates_against_the_values_of_the_project(shared_data):
    with np.load(shared_data / "reference" / "saturation_reference.npz") as arrays:
        tau, alpha, expected = arrays["tau"], arrays["alpha"], arrays["rho"]
        kappa, greens = arrays["kappa"], arrays["greens"]
    error = rho("super-lorentzian", tau[:, None], alpha) - expected
    # Required: 1e-7. Measured: 1e-11.
    assert np.abs(error).max() < 1e-9
    np.testing.assert_allclose(LINESHAPES["super-lorentzian"](kappa), greens, rtol=1e-10)


@pytest.mark.parametrize("lineshape", LINESHAPES)
@pytest.mark.parametrize("tau", TAUS)
def test_rates_against_the_slow_reference(lineshape, tau):
    expected = expected_rho(lineshape, tau, ANGLES)
    # The table's goal is 1e-9. Measured: 1e-9 for the longest pulse and a Gaussian pool
    # (see the test of `exact_saturation`), 3e-10 elsewhere.
    np.testing.assert_allclose(rho(lineshape, tau, ANGLES), expected, rtol=2e-9)


@pytest.mark.parametrize("lineshape", LINESHAPES)
def test_greens_functions_against_the_slow_reference(lineshape):
    kappa = np.concatenate([[0.0], np.geomspace(1e-3, TAU_RANGE[1], 30)])
    expected = reference.greens_function(kappa, lineshape)
    np.testing.assert_allclose(LINESHAPES[lineshape](kappa), expected, atol=1e-12)


@pytest.mark.parametrize("lineshape", LINESHAPES)
@pytest.mark.parametrize("tau", [7.0, 40.0, 115.0])
def test_linear_model_ends_where_the_exact_one_does(lineshape, tau):
    exact = exact_saturation(lineshape, tau, ANGLES)
    linear = [
        linear_saturation(rate, tau, a)
        for rate, a in zip(rho(lineshape, tau, ANGLES), ANGLES, strict=True)
    ]
    np.testing.assert_allclose(linear, exact, rtol=0, atol=1e-11)


@pytest.mark.parametrize("lineshape", LINESHAPES)
@pytest.mark.parametrize("tau", [TAU_RANGE[0], 40.0, TAU_RANGE[1]])
def test_exact_saturation_against_the_slow_reference(lineshape, tau):
    z = exact_saturation(lineshape, tau, ANGLES)
    more = dict(n_nodes=96, n_quadrature=160) if tau > 140 else {}
    v = reference._exact_v(tau, ANGLES, lineshape, **more)
    # The memory of a Gaussian pool is so short in the longest pulse that it costs both
    # a digit: 5e-12. Elsewhere they agree to 1e-13.
    np.testing.assert_allclose(z, 1 - ANGLES**2 * v, rtol=0, atol=2e-11)
    assert z[0] == 1


@pytest.mark.parametrize("alpha", ANGLES)
def test_linear_saturation_without_relaxation_is_a_rotation(alpha):
    assert linear_saturation(0.0, 40.0, alpha) == pytest.approx(np.cos(alpha), abs=1e-14)


@pytest.mark.parametrize("rate", [0.05, 0.4, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 1.0, ALPHA_MAX])
def test_linear_saturation_against_the_slow_reference(rate, alpha):
    v = reference._linear_v(np.float64(rate * 40.0 / 2), np.float64(alpha))
    z = linear_saturation(rate, 40.0, alpha)
    assert z == pytest.approx(1 - alpha**2 * v, abs=1e-12)


def test_linear_saturation_where_its_square_root_vanishes():
    # rho = 2 Om: critical damping, z = exp(-Om tau) (1 + Om tau).
    assert linear_saturation(0.1, 40.0, 2.0) == pytest.approx(3 * np.exp(-2), abs=1e-12)


def test_lorentzian_line_is_linear():
    alpha, tau = np.meshgrid(ANGLES, TAUS)
    np.testing.assert_allclose(rho("lorentzian", tau, alpha), 1, rtol=0, atol=1e-9)


@pytest.mark.parametrize("lineshape", ["lorentzian", "gaussian"])
def test_shipped_tables_can_be_computed_anew(monkeypatch, lineshape):
    # Fewer coefficients than ship, from the same functions: the table has converged.
    monkeypatch.setattr(_saturation_table, "_TABLE_SHAPE", (40, 24))
    coarse, shipped = compute_table(lineshape), saturation_table(lineshape)
    assert coarse.shape == (40, 24)
    grid = np.linspace(-1, 1, 21)
    error = chebyshev.chebgrid2d(grid, grid, coarse) - chebyshev.chebgrid2d(
        grid, grid, shipped
    )
    # Measured: 2e-10 and, for the longest pulse and a Gaussian pool, 1e-9.
    assert np.abs(error).max() < 2e-9


@pytest.mark.parametrize("tau", [7.0, 100.0])
def test_rates_of_the_shipped_super_lorentzian_table_anew(tau):
    # Its whole table takes half a minute: here are two of its rows.
    z = exact_saturation("super-lorentzian", tau, ANGLES[1:])
    start = rho("super-lorentzian", tau, ANGLES[1:]) * 1.01
    anew = [
        _saturation_table._match(z[i], tau, a, start[i]) for i, a in enumerate(ANGLES[1:])
    ]
    # 1 - z, of which rho is a function, has 12 digits at 0.2 rad.
    np.testing.assert_allclose(anew, start / 1.01, rtol=1e-9)


@pytest.mark.parametrize("lineshape", LINESHAPES)
def test_tables_have_converged(lineshape):
    table = saturation_table(lineshape)
    assert table.shape == _saturation_table._TABLE_SHAPE
    # The last coefficients are as large as those that are left out.
    assert np.abs(table[-3:]).max() < 1e-9
    assert np.abs(table[:, -3:]).max() < 1e-9


def test_tables_are_shared_and_read_only():
    table = saturation_table("gaussian")
    assert table is saturation_table("gaussian")
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 1


def test_unknown_line_shape():
    known = r"\['gaussian', 'lorentzian', 'super-lorentzian'\]"
    with pytest.raises(ValueError, match=f"'voigt' is unknown; choose one of {known}"):
        saturation_table("voigt")


def test_the_file_that_ships_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(_saturation_table, "_TABLE_FILE", tmp_path / "tables.npz")
    monkeypatch.setattr(
        _saturation_table, "compute_table", lambda name: np.array([len(name)])
    )
    _saturation_table.main()
    with np.load(tmp_path / "tables.npz") as tables:
        assert {name: int(tables[name][0]) for name in tables} == {
            name: len(name) for name in LINESHAPES
        }
