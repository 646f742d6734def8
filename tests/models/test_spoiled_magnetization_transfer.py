"""Two pools behind saturation pulses; `tests/kernels` has the rest."""

import numpy as np
import pytest

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.models import MTsat, SpoiledMagnetizationTransfer
from tests.models.conftest import WEIGHTED, qmt
from tests.reference import saturated_echo as reference

OFFSETS = np.tile([1e3, 2e3, 4e3, 8e3, 16e3], 2)
PROTOCOL = dict(
    offsets=OFFSETS,
    w1rms=np.repeat([300.0, 900.0], 5),
    flip_angles=np.deg2rad(7.0),
    tr=0.03,
    pulse_duration=0.01,
)
TISSUE = [0.12, 0.9, 14.0, 25.0, 11e-6]


def test_the_settings_arrive():
    model = qmt(joint_r1=False, delay=2e-3, b1=True, off_resonance=True, signal="complex")
    theta = np.array([0.12, 0.8, 14.0, 25.0, 2.0, 11e-6, -400.0, 0.9])
    for i, s in enumerate(model.signal([theta])[0]):
        echo = dict(
            alpha=model.flip_angles[i],
            tr=model.tr[i],
            duration=model.pulse_duration[i],
            delay=2e-3,
            omega=2 * np.pi * model.offsets[i],
            w1rms=model.w1rms[i],
            energy=0.0,
        )
        assert s == pytest.approx(reference.signal(theta, echo), rel=1e-8)


def test_one_rate_is_two_alike():
    joint, apart = qmt(), qmt(joint_r1=False)
    assert apart.parameter_names == ("m0s", "R1f", "R2f", "Rx", "R1s", "T2s", "M0")
    s = apart.signal([[0.12, 0.9, 14.0, 25.0, 0.9, 11e-6, 1.0]])
    np.testing.assert_array_equal(joint.signal([[*TISSUE, 1.0]]), s)


def test_excitation_saturates_the_more_the_shorter_its_pulses():
    s = [
        qmt(excitation_duration=duration).signal([[*TISSUE, 1.0]])[0]
        for duration in (None, 1e-2, 1e-3, 1e-4)
    ]
    assert (np.diff(s, axis=0) < 0).all()
    np.testing.assert_allclose(s[1], s[0], rtol=0.03)


def test_mtsat_of_two_pools():
    pulses = [900.0, 0.0, 0.0], WEIGHTED, 0.025, [0.01, 0.0, 0.0]
    echoes = SpoiledMagnetizationTransfer([2e3] * 3, *pulses)
    s = echoes.signal([[m0s, 0.9, 14.0, 25.0, 11e-6, 1.0] for m0s in (0.0, 0.06, 0.12)])
    r1, mtsat, m0 = NLLSRegressor(MTsat(WEIGHTED, 0.025)).fit(s).predict(s, sigma=1e-6).T
    # The free pool relaxes for both; alone it is saturated by w1^2 t R2f / omega^2.
    np.testing.assert_allclose(m0, [1.0, 0.94, 0.88], rtol=1e-3)
    np.testing.assert_allclose(r1, 0.9 / m0, rtol=1e-2)
    assert mtsat[0] == pytest.approx(900**2 * 0.01 * 14 / (2 * np.pi * 2e3) ** 2, rel=1e-2)
    assert 0.01 < mtsat[1] < mtsat[2] < 0.03


def test_r1_is_told_by_other_flip_angles():
    model = SpoiledMagnetizationTransfer(**PROTOCOL)
    free = cramer_rao_bound(model, [[*TISSUE, 1.0]], noise_std=1e-6)[0]
    known = model.given("R1").at([[0.9]])
    bound = cramer_rao_bound(known, [[*np.delete(TISSUE, 1), 1.0]], noise_std=1e-6)[0]
    assert free[0] > 30**2 * bound[0]
    more = {
        "offsets": [*OFFSETS, 1e3, 1e3],
        "w1rms": [*PROTOCOL["w1rms"], 0.0, 0.0],
        "flip_angles": np.deg2rad([7.0] * 10 + [3.0, 25.0]),
        "pulse_duration": [0.01] * 10 + [0.0] * 2,
    }
    whole = SpoiledMagnetizationTransfer(**PROTOCOL | more)
    bound = cramer_rao_bound(whole, [[*TISSUE, 1.0]], noise_std=1e-6)[0]
    assert free[0] > 30**2 * bound[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(offsets=2e3), r"offsets has shape \(\); give a vector"),
        (
            dict(offsets=[np.inf] * 10),
            r"offsets\[0\] = inf Hz; give numbers of 0 to 1e\+06",
        ),
        (dict(w1rms=[1.0, 2.0]), r"w1rms has shape \(2,\) for 10 offsets; give one number"),
        (dict(w1rms=-1.0), r"w1rms\[0\] = -1 rad/s"),
        (
            dict(pulse_duration=0.0),
            r"pulse_duration\[0\] is 0 s, w1rms\[0\] 300 rad/s; give",
        ),
        (
            dict(delay=0.02),
            r"tr\[0\] = 0.03 s is not above pulse_duration and delay, 0.03 s",
        ),
        (dict(delay=-1.0), "delay = -1.0; give one time in s"),
        (dict(excitation_duration=0), "excitation_duration = 0; give one time in s.* None"),
        (dict(lineshape="box"), "lineshape='box' is unknown; choose one of"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SpoiledMagnetizationTransfer(**PROTOCOL | options)


def test_estimators_take_a_map_of_r1():
    model = SpoiledMagnetizationTransfer(**PROTOCOL).given("R1")
    X, y, known = make_fingerprints(model, 1000, snr=1e6, random_state=0)
    nlls = NLLSRegressor(model).fit(X[:1], known=known[:1])
    error = np.abs(nlls.predict(X, known=known) / y - 1)
    assert (np.median(error, axis=0) < 2e-3).all()
    match = DictionaryRegressor(model).fit(X, y, known=known)
    step = OneStepRegressor(match, model, n_steps=5).fit(X, y, known=known)
    error = np.abs(step.predict(X, known=known) / y - 1)
    assert (np.median(error, axis=0) < 0.05).all()
