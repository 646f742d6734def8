"""The fast simulator against dense exponentials, over the whole domain of the model."""

import warnings

import numpy as np
import pytest
from numpy.polynomial import chebyshev

from crbestim.exceptions import ImplausibleValueWarning
from crbestim.models import MagnetizationTransfer
from crbestim.models._saturation_table import (
    ALPHA_MAX,
    LINESHAPES,
    TAU_RANGE,
    saturation_table,
)
from crbestim.sequences import HybridStateSequence
from tests.reference import magnetization_transfer as dense

KERNEL_ORDER = ("m0s", "R1f", "R2f", "Rx", "R1s", "T2s", "omega0", "B1")


def train(n, trf, seed):
    """Return a train with pulses of 0, 180 and -180 degrees, the shortest and longest."""
    rng = np.random.default_rng(seed)
    alpha, durations = rng.uniform(-np.pi, np.pi, n), rng.uniform(*trf, n)
    alpha[:5] = np.pi, 0.0, np.pi, -np.pi, 0.0
    durations[1:5] = *trf, *trf[::-1]
    return alpha, durations


# The second allows T2s over all of its domain; pulses of the third fill up to all of TR.
SEQUENCES = {
    "one train": HybridStateSequence(*train(16, (1e-4, 5e-4), 0), 3.5e-3),
    "two trains": HybridStateSequence(
        *zip(train(9, (2e-4, 2.7e-4), 1), train(7, (2e-4, 2.7e-4), 2), strict=True), 4e-3
    ),
    "TRF = TR": HybridStateSequence(*train(14, (5e-5, 7e-4), 3), 7e-4),
}


def rates(lineshape):
    """Return rho(tau, a) of the shipped table, evaluated by NumPy.

    `test_saturation.py` compares the table with the reference, whose own rates would
    take ten times as long as all the rest here.
    """
    table, (low, high) = saturation_table(lineshape), np.log(TAU_RANGE)

    def rho(tau, a):
        x = 2 * (np.log(tau) - low) / (high - low) - 1
        return chebyshev.chebval2d(x, 2 * (a / ALPHA_MAX) ** 2 - 1, table)

    return rho


def draw(model, n, seed):
    """Return parameters, half of them from the domain, the others from the bounds.

    A quarter is at an end of its interval: no semi-solid pool, omega0 = +-pi/TR, ...
    """
    rng = np.random.default_rng(seed)
    domain = np.array([p.domain for p in model.parameters])
    unit = rng.random((n, model.n_parameters))
    unit = np.where(rng.random(unit.shape) < 0.25, unit.round(), unit)
    limits = np.where(np.arange(n)[:, None, None] % 2, domain, model.bounds)
    low, high = limits[..., 0], limits[..., 1]
    return np.clip(low + (high - low) * unit, low, high)


def as_dense(model, theta):
    """Return a row of theta in the order of the reference."""
    values = dict(zip(model.parameter_names, theta, strict=True))
    if model.joint_r1:
        values["R1f"] = values["R1s"] = values["R1"]
    return [values[name] for name in KERNEL_ORDER]


def dense_jacobian(model, theta, *arguments, **options):
    """Return the reference's Jacobian in the model's parameters."""
    jacobian = dense.jacobian(as_dense(model, theta), *arguments, **options)
    columns = dict(zip(KERNEL_ORDER, jacobian.T, strict=True))
    columns["R1"] = columns["R1f"] + columns["R1s"]
    return np.stack([columns[name] for name in model.parameter_names], axis=-1)


def smooth(n):
    """Return a train of so many similar pulses that their maps are interpolated."""
    x = np.linspace(0, 1, n)
    alpha = np.append(np.pi, np.pi * np.sin(2 * np.pi * x[1:]))
    return HybridStateSequence(alpha, 1e-4 + 4e-4 * np.cos(4 * x) ** 2, 3.5e-3)


def worst_errors(model, theta, n_jacobians, rounding):
    """Return the worst error of a signal, and of the derivatives by each parameter.

    The signal's is in units of the largest sample, a derivative's in units of its norm.
    Derivatives that vanish, as that by Rx without a semi-solid pool, have no norm to
    compare with: there, a fraction `rounding` of a signal that changes by its own size
    over the bounds of the parameter stands in.
    """
    sequence = model.sequence
    alpha, trf = zip(*sequence.trains, strict=True)
    arguments = alpha, trf, sequence.tr
    options = dict(steady_state=model.steady_state, rho=rates(model.lineshape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplausibleValueWarning)
        s, jacobian = model.signal(theta, jacobian=True)
    of_signal, of_jacobian = [], []
    for i, x in enumerate(theta):
        expected = dense.signal(as_dense(model, x), *arguments, **options)
        of_signal.append(np.abs(s[i] - expected).max() / np.abs(expected).max())
    for i in range(n_jacobians):
        expected = dense_jacobian(model, theta[i], *arguments, **options)
        whole = np.linalg.norm(s[i]) / [p.width for p in model.parameters]
        size = np.linalg.norm(expected, axis=0) + rounding * whole
        of_jacobian.append(np.linalg.norm(jacobian[i] - expected, axis=0) / size)
    return max(of_signal), np.max(of_jacobian, axis=0)


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize("steady_state", ["periodic", "thermal"])
@pytest.mark.parametrize("joint_r1", [True, False], ids=["R1", "R1f, R1s"])
@pytest.mark.parametrize("lineshape", LINESHAPES)
def test_every_pulse_simulated(sequence, steady_state, joint_r1, lineshape):
    """36 settings of 40 parameter sets each."""
    model = MagnetizationTransfer(
        sequence, joint_r1=joint_r1, steady_state=steady_state, lineshape=lineshape
    )
    theta = draw(model, 40, seed=len(lineshape) + joint_r1)
    of_signal, of_jacobian = worst_errors(model, theta, 10, rounding=1e-4)
    # Measured: 6e-10 and 9e-8. One map is good to 1e-14, but at the ends of the domain
    # magnetization lasts for 1000 s and adds up what many maps bring.
    assert of_signal < 1e-9
    assert of_jacobian.max() < 1e-7


@pytest.mark.parametrize("steady_state", ["periodic", "thermal"])
@pytest.mark.parametrize("lineshape", LINESHAPES)
def test_maps_interpolated(steady_state, lineshape):
    """Six settings of 170 parameter sets each."""
    model = MagnetizationTransfer(
        smooth(120),
        joint_r1=steady_state == "thermal",
        steady_state=steady_state,
        lineshape=lineshape,
    )
    theta = draw(model, 170, seed=len(lineshape))
    of_signal, of_jacobian = worst_errors(model, theta, 10, rounding=1e-5)
    # Required: 1e-6 and 1e-5. Measured: 1.3e-7 and 1.7e-7.
    assert of_signal < 1e-6
    assert of_jacobian.max() < 1e-5
