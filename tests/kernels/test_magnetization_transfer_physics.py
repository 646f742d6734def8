"""Properties of pulses and repetitions that hold without solving their equations."""

import numpy as np
import pytest
from scipy.linalg import expm

from crbestim.kernels import magnetization_transfer as kernel
from crbestim.kernels.lanes import LANES
from tests.kernels.repetitions import STATE, run_echo, run_pulse
from tests.kernels.voxels import (
    ALL_COLUMNS,
    LANES_OF_VOXELS,
    NO_COLUMNS,
    THETAS,
    TR,
    VOXELS,
)
from tests.reference import magnetization_transfer as reference
from tests.reference.saturation import greens_function

LANE = {name: lane for lane, name in enumerate(THETAS)}
EQUILIBRIUM = np.array([reference.thermal_equilibrium(x)[STATE] for x in VOXELS]).T


def apply(matrices, states):
    """Apply maps (5, 6, LANES) to states (6, LANES)."""
    return np.einsum("ijl,jl->il", matrices, states)


def test_equilibrium_stays_without_a_pulse(form):
    out = run_echo(form, NO_COLUMNS, 0.0, 2e-4, False)
    np.testing.assert_allclose(
        apply(out[0], EQUILIBRIUM), EQUILIBRIUM[:5], rtol=0, atol=1e-15
    )


def test_a_pulse_of_zero_angle_is_free_precession(form):
    out = run_echo(form, ALL_COLUMNS, 0.0, 5e-4, False)
    for lane, theta in enumerate(VOXELS):
        free = reference.free_precession(theta, TR)[STATE[:5, None], STATE]
        free[:, :2] *= -1  # the phase of the pulse
        free[:, 4] = 0
        np.testing.assert_allclose(out[0, ..., lane], free, rtol=0, atol=1e-14)
    # B1 scales the nominal flip angle, which is zero.
    assert (out[[1 + kernel.T2S, 1 + kernel.B1]] == 0).all()


def test_without_exchange_the_pools_are_alone(form):
    out = run_echo(form, NO_COLUMNS, 1.0, 5e-4, False)[0]
    for name in ("no exchange", "no exchange, equal rates"):
        assert (out[:3, 3, LANE[name]] == 0).all()
        assert (out[3, :3, LANE[name]] == 0).all()


def test_without_semi_solid_pool_it_is_the_bloch_equation(form):
    lane, (alpha, trf) = LANE["no semi-solid pool"], (1.0, 5e-4)
    _, r1, r2, _, _, _, omega0, b1 = VOXELS[lane]
    out = run_echo(form, ALL_COLUMNS, alpha, trf, False)[..., lane]

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
    water = [0, 1, 2, 5]
    np.testing.assert_allclose(out[0, :3][:, water], expected[:3], rtol=0, atol=1e-14)
    assert (out[0, 3, water] == 0).all()
    # The empty pool does not act on the water, whatever its parameters.
    for k in (kernel.RX, kernel.R1S, kernel.T2S):
        assert (out[1 + k, :4][:, water] == 0).all()


def test_an_inversion_of_pi_inverts_the_water(form):
    theta = LANES_OF_VOXELS.copy()
    theta[kernel.B1] = 1.0
    theta[[kernel.R1F, kernel.R2F, kernel.RX, kernel.R1S]] = 0.0
    theta[kernel.OMEGA0] = np.linspace(-900, 900, LANES)
    for alpha in (np.pi, -np.pi):
        out = run_echo(form, NO_COLUMNS, alpha, 4e-4, True, theta)[0]
        # The rotation by pi about z, and one by pi about x: precession before the pulse
        # is undone after it.
        np.testing.assert_allclose(
            out[:3, :3], np.diag([-1.0, 1.0, -1.0])[..., None] + np.zeros(LANES), atol=1e-14
        )


def test_one_pulse_of_180_degrees(form):
    theta = np.repeat(
        [[0.1], [1.0], [15.0], [30.0], [6.5], [1e-5], [0.0], [1.0]], 8, axis=1
    )
    rates = np.zeros((3, LANES))
    rates[0] = 1e5
    out = run_pulse(form, NO_COLUMNS, np.pi, 500e-6, theta, rates)[0]
    state = np.repeat(reference.thermal_equilibrium(theta[:, 0])[STATE, None], 8, axis=1)
    # Computed once, to 13 decimals.
    expected = [0.0010647535813, 0.0, -0.8957848274535, 0.0812200714211]
    for lane in range(LANES):
        result = apply(out, state)[:4, lane]
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


def exact_pulse(theta, alpha, trf, state, n_steps=1500):
    """Solve the integro-differential equation of the coupled pools for one pulse.

    By the implicit trapezoidal rule, also for the memory of the semi-solid pool.
    """
    step, w1 = trf / n_steps, theta[7] * alpha / trf
    rates = reference.rate_matrix(theta, w1, 0.0)
    linear, offset = rates[np.ix_(STATE[:4], STATE[:4])], rates[STATE[:4], reference.ONE]
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
    lane = LANE["tissue"]
    out = run_pulse(lambda kernel: kernel, NO_COLUMNS, alpha, trf)[0]
    state = EQUILIBRIUM[:, lane]
    exact = exact_pulse(VOXELS[lane], alpha, trf, state[:4])
    assert abs(exact[3] - state[3]) > 1e-3  # the pulse does saturate the pool
    result = apply(out, EQUILIBRIUM)[:4, lane]
    np.testing.assert_allclose(result, exact, rtol=0, atol=1e-4)
