"""Recoveries that pulses disturb: their apparent T1, schedules, and what is refused."""

import numpy as np
import pytest

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import SingularInformationWarning
from crbestim.models import MOLLI, InversionRecovery, LookLocker
from tests.models.conftest import HEART, TI, TRAIN

THREE = {"efficiency": (0.5, 3.0)}


@pytest.mark.parametrize("b1", [1.0, 0.7])
def test_pulses_make_t1_shorter(b1):
    model = LookLocker(*TRAIN, b1=True)
    t1 = np.array([0.3, 1.0, 3.0])
    apparent = model.apparent_t1(t1, b1)
    np.testing.assert_allclose(model.corrected_t1(apparent, b1), t1, rtol=1e-12)
    assert np.isnan(model.corrected_t1([5.0])).all()
    s = model.signal(np.column_stack([t1, np.ones(3), np.full(3, b1)]))
    fits = NLLSRegressor(InversionRecovery(model.ti, bounds=THREE)).fit(s).fit_voxels(s)
    # An exponential of exactly this time; M0 is A.
    np.testing.assert_allclose(fits.theta[:, 0], apparent, rtol=1e-6)
    assert fits.relative_residual.max() < 1e-9
    # The first pulse is 20 ms late.
    np.testing.assert_allclose(fits.theta.prod(axis=1), t1, rtol=0.02)


def test_a_ratio_beyond_1_is_for_who_asks_for_it():
    usual = InversionRecovery(TI)
    assert usual.parameters[1].domain == (0.0, 1.0)
    assert (
        InversionRecovery(TI, bounds={"efficiency": (0.1, 1)}).parameters[1].domain[1] == 1
    )
    with pytest.raises(ValueError, match=r"efficiency = 1\.5 in row 0 .* 0 to 1, where"):
        usual.signal([[1.0, 1.5]])
    three = InversionRecovery(TI, bounds=THREE)
    expected = 1 - 2.5 * np.exp(-TI / 0.8)
    np.testing.assert_allclose(three.signal([[0.8, 1.5]])[0], expected, atol=1e-15)
    assert make_fingerprints(three, 200, random_state=0)[1][:, 1].max() > 1.5
    with pytest.raises(ValueError, match=r"efficiency, \(0.5, 11.0\), leave \(0.0, 10.0\)"):
        InversionRecovery(TI, bounds={"efficiency": (0.5, 11.0)})
    with pytest.raises(ValueError, match="bounds of efficiency are"):
        InversionRecovery(TI, bounds={"efficiency": "01"})


def test_schedules():
    ti, beats = MOLLI.schedule("4(1)3(1)2", 0.1, 0.8)
    assert beats.round(9).tolist() == [0, 0.8, 1.6, 2.4, 4.0, 4.8, 5.6, 7.2, 8.0]
    assert ti.round(9).tolist() == [0.1, 0.9, 1.7, 2.5, 0.1, 0.9, 1.7, 0.1, 0.9]
    # In seconds: 7 beats of 0.8 s last 5 s, 4 beats 3 s.
    ti, beats = MOLLI.schedule("5s(3s)3s", (0.1, 0.2), 0.8)
    assert len(ti) == 11 and beats[7] == pytest.approx(8.8) and ti[7] == 0.2
    for wrong in ("5-3-3", "5(3", 533, "5(3)"):
        with pytest.raises(ValueError, match="scheme = .*'5s"):
            MOLLI.schedule(wrong, 0.1, 0.8)
    with pytest.raises(ValueError, match="3 values and 5.* 2 inversions"):
        MOLLI.schedule("5(3)3", (0.1, 0.2, 0.3), 0.8)


def test_images_may_come_in_any_order():
    model, order = MOLLI(*HEART), np.argsort(HEART[0])
    shuffled = MOLLI(HEART[0][order], HEART[1][order] + 40.0, *HEART[2:])
    theta = [[1.2, 0.95, 2.0]]
    np.testing.assert_allclose(
        shuffled.signal(theta), model.signal(theta)[:, order], rtol=1e-12
    )


def test_the_usual_correction_is_too_low_and_the_model_is_not():
    model = MOLLI(*HEART)
    X = model.signal([[1.2, 1.0, 1.0]])
    three = InversionRecovery(HEART[0], signal="magnitude", bounds=THREE)
    t1, ratio, _ = NLLSRegressor(three).fit(X).predict(X)[0]
    assert 0.9 < t1 * ratio / 1.2 < 0.98
    assert NLLSRegressor(model).fit(X).predict(X)[0, 0] == pytest.approx(1.2, rel=1e-6)


def test_what_a_wrong_t2_does_to_t1_is_as_the_notes_say():
    schedule = MOLLI.schedule("5(3)3", first_ti=(0.12, 0.2), rr=0.9)

    def heart(t2):
        return MOLLI(*schedule, 2.7e-3, np.deg2rad(35), 64, t2=t2)

    def error(model, images, t1):
        reg = NLLSRegressor(model).fit(images)
        return 100 * (reg.predict(images, sigma=1.0)[0, 0] / t1 - 1)

    muscle = heart(0.045).signal([[1.2, 0.95, 800.0]])
    for t2, free, fixed in ((0.03, 28.5, 3.9), (0.04, 6.2, 1.1), (0.05, -4.5, -0.9)):
        assert error(heart(t2), muscle, 1.2) == pytest.approx(free, abs=0.3)
        model = heart(t2).fix(efficiency=0.95)
        assert error(model, muscle, 1.2) == pytest.approx(fixed, abs=0.3)
    other = heart(0.045).signal([[1.2, 0.9, 800.0]])
    found = error(heart(0.045).fix(efficiency=0.95), other, 1.2)
    assert found == pytest.approx(-5.6, abs=0.3)
    blood = heart(0.25).signal([[1.6, 0.95, 800.0]])
    assert error(heart(0.045), blood, 1.6) == pytest.approx(50, abs=1)


@pytest.mark.parametrize(
    "model",
    [
        LookLocker(*TRAIN, tr=4.0, b1=True).given("B1"),
        MOLLI(*HEART, signal="complex", t2=None).given("T2"),
    ],
    ids=["Look-Locker", "MOLLI"],
)
def test_maps_match_and_steps(model):
    X, y, crb, known = make_fingerprints(
        model, 400, snr=2000, return_crb=True, random_state=0
    )
    nlls = NLLSRegressor(model).fit(X, known=known)
    assert 0.9 < nlls.score(X, y, crb=crb, known=known) < 1.3
    match = DictionaryRegressor(model).fit(X, known=known)
    step = OneStepRegressor(match, model, n_steps=3).fit(X, y, known=known)
    assert np.median(np.abs(step.predict(X, known=known)[:, 0] / y[:, 0] - 1)) < 0.03


def test_the_recovery_tells_t1_and_one_more():
    model = LookLocker(*TRAIN, b1=True)
    known = cramer_rao_bound(model.fix(efficiency=0.96), [[1.0, 1.0]], 1e-3)
    assert np.sqrt(known).max() < 0.1
    with pytest.warns(SingularInformationWarning, match="T1.*efficiency.*B1"):
        assert np.isinf(cramer_rao_bound(model, [[1.0, 0.96, 1.0]], 1e-3)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ti": [0.02, 0.055]}, r"ti\[1\] = 0\.055 s is not at a pulse"),
        ({"ti": [0.02, 0.02]}, r"ti\[1\] = 0\.02 s is not at a pulse"),
        ({"ti": [0.5, 0.02]}, r"ti\[1\] = 0\.02 s is not at a pulse"),
        ({"tr": 0.9}, r"tr = 0\.9 s ends before the pulses, at 0\.98 s"),
        ({"flip_angle": 5.0}, r"flip_angle = 5; .*radians"),
        ({"tr_readout": 0.0}, "tr_readout = 0"),
    ],
)
def test_trains_that_are_none(change, message):
    names = "ti", "tr_readout", "flip_angle"
    with pytest.raises(ValueError, match=message):
        LookLocker(**dict(zip(names, TRAIN, strict=True)) | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ti": HEART[0][:-1]}, "ti has 7 values and beats 8"),
        ({"n_excitations": 400}, r"beats = 0 s, ti = 0\.12 s, does not fit"),
        ({"beats": HEART[1] * 0.1}, "does not fit behind what comes before it"),
        ({"t2": 45.0}, "t2 = 45; .*seconds"),
        ({"flip_angle": 35.0}, r"flip_angle = 35; .*radians"),
    ],
)
def test_images_that_are_none(change, message):
    names = "ti", "beats", "tr_readout", "flip_angle", "n_excitations"
    with pytest.raises(ValueError, match=message):
        MOLLI(**dict(zip(names, HEART, strict=True)) | change)
