import numpy as np
import pytest

from crbestim.kernels import extended_phase_graph_gradient as kernels

N, N_STATES = 7, 3
TE = np.linspace(1e-3, 4e-3, N)


def run(form, theta, alpha, tr, turns, d):
    """Return what both kernels take, and the echoes with their tangents."""
    rates, parts = np.array([1 / theta[0], 1 / theta[1], theta[2]]), 2 if turns.any() else 1
    angle = theta[2] * alpha
    columns = alpha, np.sin(angle), np.cos(angle), np.exp(-tr * rates[0])
    columns += np.exp(-tr * rates[1]), tr, np.exp(-TE * rates[1]), TE
    settings = np.stack(columns, axis=1)
    shape = 1 + d, parts, 3, N_STATES + 3
    states, kept = np.zeros((kernels.CHUNK + 1, *shape)), np.empty((1, *shape))
    states[0, 0, 0, 2, 0] = 0.6
    echoes = np.empty((N, 1 + d, parts))
    train = settings, rates, turns, N_STATES
    form(kernels.forward)(*train, states, kept, echoes)
    return (*train, states, kept), echoes


@pytest.mark.parametrize("turns", [np.zeros(N), np.linspace(0.0, 4.0, N)])
@pytest.mark.parametrize("d", [2, 3])
def test_against_differences(form, turns, d):
    rng = np.random.default_rng(0)
    theta, alpha, tr = (
        np.array([0.5, 0.05, 0.8]),
        rng.uniform(-2, 2, N),
        rng.uniform(1, 2, N),
    )
    alpha[2], tr = 0.0, 1e-2 * tr
    train, echoes = run(form, theta, alpha, tr, turns, d)
    for k in range(d):
        h = 1e-5 * theta * np.eye(3)[k]
        ends = (run(form, theta + s * h, alpha, tr, turns, d)[1][:, 0] for s in (1, -1))
        slope = np.subtract(*ends) / (2 * h[k])
        np.testing.assert_allclose(echoes[:, 1 + k], slope, atol=1e-8 * np.abs(slope).max())

    weights = rng.standard_normal(echoes.shape)
    by_alpha, by_tr = np.empty(N), np.empty(N)
    adjoint = np.zeros(train[4].shape[1:])
    form(kernels.backward)(*train, weights, adjoint, by_alpha, by_tr)

    def slopes(step, controls):
        def value(*controls):
            return (weights * run(form, theta, *controls, turns, d)[1]).sum()

        return [
            (value(*controls(step * e)) - value(*controls(-step * e))) / (2 * step)
            for e in np.eye(N)
        ]

    found = slopes(1e-5, lambda e: (alpha + e, tr))
    np.testing.assert_allclose(by_alpha, found, atol=1e-7 * np.abs(found).max())
    found = slopes(1e-7, lambda e: (alpha, tr + e))
    np.testing.assert_allclose(by_tr, found, atol=1e-7 * np.abs(found).max())
