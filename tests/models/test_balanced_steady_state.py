"""A single pool in a hybrid-state sequence, against the Bloch equation and limits."""

import numpy as np
import pytest

from crbestim.models import BalancedSteadyState, MagnetizationTransfer
from crbestim.sequences import HybridStateSequence
from tests.models.conftest import draw, mt, smooth, train, water
from tests.reference import bloch

TR = 3.5e-3


@pytest.mark.parametrize("steady_state", ["periodic", "thermal"])
def test_against_the_bloch_equation(steady_state):
    # Pulses that two pools refuse: of 10 microseconds, and nearly as long as TR.
    alpha, trf = train(20, seed=3)
    trf[3:6] = 1e-5, 3.4e-3, TR
    sequence = HybridStateSequence(alpha, trf, TR)
    model = BalancedSteadyState(sequence, steady_state=steady_state)
    theta = draw(model, 6)
    s = model.signal(theta)
    for row, values in zip(s, theta, strict=True):
        expected = bloch.signal(*values, sequence, steady_state)
        # Twenty maps, each good to 1e-12.
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("pair", "tolerance"),
    [
        (lambda: (water(), mt(joint_r1=False)), 1e-13),
        # Each model interpolates with nodes of its own.
        (lambda: (smooth(kind=BalancedSteadyState), smooth()), 1e-7),
    ],
    ids=["pulse by pulse", "interpolated"],
)
def test_it_is_the_limit_of_two_pools(pair, tolerance):
    single, two = pair()
    values = dict(zip(single.parameter_names, draw(single, 6).T, strict=True))
    tissue = values | {name: values["R1"] for name in ("R1f", "R1s")}
    tissue |= dict(m0s=0.0, R2f=values["R2"], Rx=20.0, T2s=1e-5)
    theta = np.transpose(np.broadcast_arrays(*(tissue[n] for n in two.parameter_names)))
    s, jacobian = single.signal(np.transpose(list(values.values())), jacobian=True)
    expected, all_columns = two.signal(theta, jacobian=True)
    np.testing.assert_allclose(s, expected, rtol=0, atol=tolerance * np.abs(s).max())
    r1 = "R1" if "R1" in two.parameter_names else "R1f"
    columns = [two.parameter_names.index(name) for name in (r1, "R2f", "omega0", "B1")]
    atol = 10 * tolerance * np.abs(jacobian).max(axis=(0, 1))
    error = np.abs(jacobian - all_columns[..., columns]).max(axis=(0, 1))
    assert (error <= atol).all()


def test_a_constant_flip_angle_reaches_the_textbook_steady_state():
    # Of hard pulses with alternating phase, on resonance, halfway between two of them.
    n, alpha, r1, r2 = 1200, 0.7, 2.0, 20.0
    angles = np.append(0.0, np.full(n - 1, alpha))
    sequence = HybridStateSequence(angles, np.full(n, 1e-6), TR)
    bounds = {"R1": (0.2, 3.0)}
    model = BalancedSteadyState(sequence, steady_state="thermal", bounds=bounds)
    s = model.signal([[r1, r2, 0.0, 1.0]])[0, -1]
    e1, e2 = np.exp(-r1 * TR), np.exp(-r2 * TR)
    expected = np.sqrt(e2) * np.sin(alpha) * (1 - e1)
    expected /= 1 - (e1 - e2) * np.cos(alpha) - e1 * e2
    # The transient decays with R1 cos^2(alpha/2) + R2 sin^2(alpha/2) = 4/s, to 4e-8 after
    # 4.2 s; relaxation during pulses of 1e-6 s changes the signal by 1e-6 / TR at most.
    assert abs(s) == pytest.approx(expected, rel=3e-4)


def test_fewer_derivatives_than_of_two_pools():
    s, jacobian = water().signal([[0.7, 13.0, 100.0, 1.0]], jacobian=True)
    assert jacobian.shape == (1, 20, 4)
    # None of the kernel's columns for an empty pool is asked for.
    assert water()._columns.tolist() == [-1, 0, 1, -1, -1, -1, 2, 3]


def test_steady_state_matters():
    theta = [[0.7, 13.0, 100.0, 1.0]]
    s, other = water().signal(theta), water(steady_state="thermal").signal(theta)
    assert np.abs(s - other).max() > 1e-3 * np.abs(s).max()


def test_bounds_of_b1_do_not_depend_on_the_flip_angles():
    b1 = water().parameters[-1]
    assert (b1.bounds, b1.domain) == ((0.6, 1.4), (0.05, 2.0))


@pytest.mark.parametrize("kind", [BalancedSteadyState, MagnetizationTransfer])
def test_anything_but_a_sequence_is_refused(kind):
    with pytest.raises(TypeError, match="sequence is list; give a HybridStateSequence"):
        kind([0.1, 0.2])
