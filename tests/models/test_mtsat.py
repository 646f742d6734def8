"""MT-, PD- and T1-weighted echoes: the steady state, and the formulas of the field."""

import numpy as np
import pytest

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.models import MTsat, SpoiledGradientEcho
from tests.models.conftest import WEIGHTED, WEIGHTED_TE

TR = 0.025


def helms(s, flip_angles, tr):
    """Return R1, MTsat and M0 by the closed formulas for small angles and short TR."""
    mt, pd, t1 = s.T
    a_mt, a_pd, a_t1 = flip_angles
    m0 = pd * t1 * (a_t1 / a_pd - a_pd / a_t1) / (t1 * a_t1 - pd * a_pd)
    r1 = (t1 * a_t1 - pd * a_pd) / (pd / a_pd - t1 / a_t1) / (2 * tr)
    return r1, (m0 * a_mt / mt - 1) * r1 * tr - a_mt**2 / 2, m0


def test_it_is_the_steady_state_of_saturation_and_excitation():
    r1, mtsat, b1, m0 = 1.1, 0.03, 0.8, 2.0
    share = mtsat * b1**2 * (1 - 0.4 * b1) / 0.6
    z = np.ones(3)
    for _ in range(3000):
        z = 1 + (z * np.cos(b1 * WEIGHTED) - 1) * np.exp(-r1 * TR)
        z[0] *= 1 - share
    s = MTsat(WEIGHTED, TR, b1=True).signal([[r1, mtsat, b1, m0]])
    np.testing.assert_allclose(s[0], m0 * z * np.sin(b1 * WEIGHTED), rtol=1e-12)


def test_without_saturation_it_is_ernsts_formula():
    model = MTsat(WEIGHTED, TR, te=WEIGHTED_TE, b1=True)
    s = model.signal([[1.25, 0.0, 25.0, 0.9, 2.0]])
    counts = [len(te) for te in WEIGHTED_TE]
    alpha, te = np.repeat(WEIGHTED, counts), np.concatenate(WEIGHTED_TE)
    ernst = SpoiledGradientEcho(alpha, TR, te=te, b1=True, signal="magnitude")
    np.testing.assert_allclose(s, ernst.signal([[0.8, 0.9, 0.04, 2.0]]), rtol=1e-14)


def test_the_formulas_of_the_field_are_its_limit():
    theta, angles = np.array([[1.0, 0.02, 3.0]]), WEIGHTED / 5
    s = MTsat(angles, TR / 25).signal(theta * [1, 1 / 25, 1])
    found = np.transpose(helms(s, angles, TR / 25)) * [1, 25, 1]
    np.testing.assert_allclose(found, theta, rtol=2e-3)


def test_how_far_the_formulas_of_the_field_are_from_it():
    # The guide.
    r1, mtsat = np.meshgrid([0.6, 0.8, 1.0, 1.2], [0.005, 0.01, 0.015, 0.02])
    theta = np.stack([r1.ravel(), mtsat.ravel(), np.ones(16)], axis=1)
    found = helms(MTsat(WEIGHTED, TR).signal(theta), WEIGHTED, TR)
    ends = [(ratio.min(), ratio.max()) for ratio in found / theta.T]
    np.testing.assert_allclose(
        ends, [(0.986, 0.991), (1.005, 1.03), (1.002, 1.004)], atol=6e-4
    )


def test_b1_acts_as_the_usual_correction_says():
    # From maps with nominal angles, MTsat is multiplied by (1 - C) / (1 - C B1).
    for decrease in (0.4, 0.0):
        model = MTsat(WEIGHTED, TR, b1=True, b1_decrease=decrease)
        for b1 in (0.8, 1.2):
            found = helms(model.signal([[1.0, 0.015, b1, 1.0]]), WEIGHTED, TR)[1]
            found *= (1 - decrease) / (1 - decrease * b1)
            assert found == pytest.approx(0.015, rel=0.03)


@pytest.mark.parametrize("signal", ["magnitude", "complex"])
def test_ways_to_give_the_weightings(signal):
    keys, options = ("PD", "T1", "MT"), dict(signal=signal)
    order = [1, 2, 0]
    angles, trs = dict(zip(keys, WEIGHTED[order], strict=True)), [0.03, 0.025, 0.02]
    trains = {key: WEIGHTED_TE[i] for key, i in zip(keys, order, strict=True)}
    model = MTsat(WEIGHTED, trs, te=WEIGHTED_TE, **options)
    by_key = dict(zip(("MT", "PD", "T1"), trs, strict=True))
    assert repr(MTsat(angles, by_key, te=trains, **options)) == repr(model)
    assert model.n_features == 6
    same = MTsat(WEIGHTED, trs, te=[2e-3, 4e-3], **options)
    theta = [[1.0, 0.02, 20.0, 1.0]]
    each = MTsat(WEIGHTED, trs, te=[[2e-3, 4e-3]] * 3, **options)
    np.testing.assert_array_equal(same.signal(theta), each.signal(theta))
    assert each.parameter_names[2:] == ("R2s", "omega0" if signal == "complex" else "M0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(flip_angles=[0.1, 0.2]),
            r"flip_angles has shape \(2,\); give one number for",
        ),
        (
            dict(flip_angles={"MT": 0.1, "PD": 0.1}),
            r"flip_angles has the keys \['MT', 'PD'",
        ),
        (dict(flip_angles=[6, 6, 21]), "is in radians, for degrees give np.deg2rad"),
        (dict(tr=[0.02, 0.0, 0.02]), r"tr is 0 s in a weighting; give"),
        (dict(te=[[0.01], [0.01], [0.01]]), "give at least two different echo times"),
        (dict(b1_decrease=0.6), "b1_decrease = 0.6; give one number from 0 to 0.5"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MTsat(**dict(flip_angles=WEIGHTED, tr=TR) | options)


def test_every_estimator_takes_a_map_of_b1():
    model = MTsat(WEIGHTED, TR, b1=True).given("B1")
    X, y, known = make_fingerprints(model, 1000, snr=1e5, random_state=0)
    # Three unknowns of three numbers leave nothing to estimate the noise from.
    given = dict(known=known, sigma=1e-5)
    nlls = NLLSRegressor(model).fit(X[:1], known=known[:1])
    np.testing.assert_allclose(nlls.predict(X, **given)[:, 0], y[:, 0], rtol=0.05)
    match = DictionaryRegressor(model).fit(X, y, known=known)
    step = OneStepRegressor(match, model, n_steps=3).fit(X, y, known=known)
    error = np.abs(step.predict(X, **given) - y)
    assert (np.median(error, axis=0) < [1e-3, 1e-4, 1e-3]).all()
    options = dict(hidden_layer_sizes=(32,), max_iter=20, noise_std=1e-3, random_state=0)
    network = CRBRegressor(model, **options)
    error = np.abs(network.fit(X, y, known=known).predict(X, known=known) - y)
    assert (np.median(error, axis=0) < 0.5 * y.std(axis=0))[0]
    bound = cramer_rao_bound(model.at([[0.9]]), [[1.0, 0.015, 1.0]], noise_std=1e-3)
    assert np.isfinite(bound).all()
