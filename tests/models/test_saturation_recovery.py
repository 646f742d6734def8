"""Saturation recovery: known values, steady state, and what imperfect pulses do."""

import numpy as np
import pytest

from crbestim import NLLSRegressor
from crbestim.datasets import make_fingerprints
from crbestim.models import InversionRecovery, SaturationRecovery
from tests.models.conftest import TS


def test_known_values():
    t1 = 0.8
    model = SaturationRecovery([0.0, t1 * np.log(2), 50.0])
    s = model.signal([[t1, 1.0], [t1, 0.9], [t1, 1.2]])
    # Saturated, half way at T1 log 2, relaxed; the second keeps, the third inverts a part.
    expected = [[0.0, 0.5, 1.0], [0.1, 0.55, 1.0], [-0.2, 0.4, 1.0]]
    np.testing.assert_allclose(s, expected, rtol=0, atol=1e-15)


def test_it_is_a_steady_state():
    t1, efficiency, tr = 1.2, 0.85, 2.5
    z = np.ones_like(TS)
    for _ in range(3):
        z = 1 + ((1 - efficiency) * z - 1) * np.exp(-TS / t1)
        # The readout leaves nothing, so that the second cycle repeats the first.
        readout, z = z, 1 - np.exp(-(tr - TS) / t1)
    s = SaturationRecovery(TS, tr=tr).signal([[t1, efficiency]])
    np.testing.assert_allclose(s[0], readout, rtol=0, atol=1e-15)


def test_it_continues_inversion_recovery():
    saturated = SaturationRecovery(TS, tr=2.5, bounds={"efficiency": (0.5, 2.0)})
    inverted = InversionRecovery(TS, tr=2.5, bounds={"efficiency": (0.0, 1.0)})
    parts = (
        saturated.signal([[0.9, 1.1], [0.9, 1.9]], jacobian=True),
        inverted.signal([[0.9, 0.1], [0.9, 0.9]], jacobian=True),
    )
    for one, other in zip(*parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-14)


def test_after_complete_saturation_the_repetition_time_has_no_effect():
    theta = [[0.9, 1.0]]
    short, endless = SaturationRecovery(TS, tr=2.0), SaturationRecovery(TS)
    np.testing.assert_allclose(short.signal(theta), endless.signal(theta), atol=1e-15)


def test_two_parameters_are_wrong_where_the_saturation_is_not_complete():
    model = SaturationRecovery([*TS, 30.0], signal="magnitude")
    X = model.signal([[1.2, 0.95, 800.0]])
    found = NLLSRegressor(model).fit(X).predict(X)
    np.testing.assert_allclose(found, [[1.2, 0.95, 800.0]], rtol=1e-6)
    two = model.fix(efficiency=1.0)
    assert NLLSRegressor(two).fit(X).predict(X)[0, 0] < 0.95 * 1.2


def test_least_squares_are_efficient():
    model = SaturationRecovery(TS, tr=2.5)
    X, y, crb = make_fingerprints(model, 1000, snr=1000, random_state=0, return_crb=True)
    assert NLLSRegressor(model).fit(X, y).score(X, y, crb=crb) == pytest.approx(1, abs=0.1)
