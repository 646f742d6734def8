"""Least squares reach the bound where noise is low, whatever the model."""

import numpy as np
import pytest

from crbestim import NLLSRegressor
from crbestim.bounds import cramer_rao_bound, noise_of_signals
from crbestim.models import (
    MOLLI,
    MP2RAGE,
    ActualFlipAngle,
    BiExponential,
    BlochSiegert,
    DoubleAngle,
    FieldMap,
    InversionRecovery,
    LookLocker,
    MonoExponential,
    MTsat,
    MultiEchoSpinEcho,
    PhaseCycledSSFP,
    SpoiledMagnetizationTransfer,
)
from crbestim.noise import add_noise, noise_of_data

N = 4000
# At these signal-to-noise ratios standard deviations are 2 % of a parameter at most, or of
# the period of omega0.
CASES = {
    "two decays": (BiExponential(0.01 * np.arange(1, 33)), [0.12, 0.018, 0.08], 3271),
    "signed recovery": (
        InversionRecovery([0.05, 0.2, 0.5, 1.0, 2.0, 4.0], tr=6.0),
        [0.9, 0.9],
        90,
    ),
    "stimulated echoes": (
        MultiEchoSpinEcho(0.01 * np.arange(1, 33), refocusing=2.1, signal="complex"),
        [0.07, 0.8],
        128,
    ),
    "weighted echoes": (
        MTsat(np.deg2rad([6.0, 6.0, 21.0]), 0.025),
        [1.0, 0.015, 1.0],
        2805,
    ),
    "two pools": (
        SpoiledMagnetizationTransfer(
            np.tile([443, 1088, 2732, 6862, 17235], 2),
            np.repeat([316, 948], 5),
            np.deg2rad(7),
            0.025,
            0.0102,
        ).fix(R1=0.9),
        [0.12, 14.0, 25.0, 11e-6, 1.0],
        14657,
    ),
    "UNI image": (
        MP2RAGE([0.8, 2.7], 7e-3, 6.0, np.deg2rad([4, 5]), 160),
        [1.3],
        1480,
    ),
    "train of pulses": (
        LookLocker(0.02 + 0.15 * np.arange(20), 0.01, np.deg2rad(5), tr=4.0),
        [0.9, 0.95],
        985,
    ),
    "heart beats": (
        MOLLI(*MOLLI.schedule("5(3)3", 0.12, 0.9), 2.7e-3, np.deg2rad(35), 64),
        [1.2, 0.95, 1.0],
        590,
    ),
    "magnitudes": (
        MonoExponential(0.01 * np.arange(1, 13), signal="magnitude"),
        [0.07, 1.0],
        77,
    ),
    "double angle": (DoubleAngle(np.deg2rad(60)), [0.95, 1.0], 53),
    "actual flip angle": (
        ActualFlipAngle(np.deg2rad(60), [0.02, 0.1]),
        [0.95, 1.0],
        781,
    ),
    "Bloch-Siegert": (BlochSiegert(10e-6, kbs=74e8), [0.95], 26.5),
    "field map": (FieldMap([0.002, 0.0033, 0.0046], r2s=True), [300.0, 30.0], 1000),
    "phase cycles": (
        PhaseCycledSSFP(np.deg2rad(30), 5e-3, 2 * np.pi * np.arange(6) / 6),
        [0.9, 0.07, 30.0],
        3520,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_variance_is_the_bound(name):
    model, theta, snr = CASES[name]
    noise = noise_of_data(model)
    signals = np.repeat(model.signal([theta]), N, axis=0)
    sigma = noise_of_signals(model, np.array([theta]), 1 / snr)[0]
    X = add_noise(signals, 1 / sigma, np.random.default_rng(0), noise=noise)
    errors = NLLSRegressor(model).fit(X[:1]).predict(X) - theta
    crb = cramer_rao_bound(model, [theta], 1 / snr, noise=noise)[0]
    # Four standard deviations of a variance, and of a mean.
    np.testing.assert_allclose(errors.var(axis=0) / crb, 1.0, atol=4 * np.sqrt(2 / N))
    assert (np.abs(errors.mean(axis=0)) < 0.1 * np.sqrt(crb)).all()
