"""What predict says of estimates that are not what they seem."""

import re
import warnings

import numpy as np
import pytest

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim._warnings import ignored
from crbestim.exceptions import AtBoundWarning, LowSignalWarning, NoiseLevelWarning
from crbestim.metrics import bias_variance
from crbestim.models import (
    InversionRecovery,
    MonoExponential,
    MultiEchoSpinEcho,
    SpoiledGradientEcho,
)

TE = 0.012 * np.arange(1, 9)
MODEL = MonoExponential(TE, signal="magnitude")
FITS = {
    "least squares": NLLSRegressor,
    "step": lambda model, **k: OneStepRegressor(model=model, **k),
}


def decays(t2, sigma=15.0, seed=0):
    noise = np.random.default_rng(seed).standard_normal((len(t2), 8))
    return np.abs(1500 * np.exp(-TE / np.asarray(t2)[:, None]) + sigma * noise)


def said(action, category):
    """Return the texts of warnings of a category, which point to the caller's line."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        action()
    found = [w for w in record if issubclass(w.category, category)]
    assert all(w.filename == __file__ for w in found)
    return [str(w.message) for w in found]


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("sigma", [15.0, None])
def test_bounds_that_stop_an_estimate_are_told_once_with_counts(kind, sigma):
    X = decays([0.05, 0.08, 0.3, 0.35, 0.02, 0.06])
    reg = FITS[kind](MODEL, bounds={"T2": (0.04, 0.1)}).fit(X)
    texts = said(lambda: reg.predict(X, sigma=sigma), AtBoundWarning)
    assert len(texts) == 1
    assert "T2 at its upper bound 0.1 s in 2 of 6 voxels" in texts[0]
    assert "T2 at its lower bound 0.04 s in 1 of 6 voxels" in texts[0]
    assert "give wider bounds" in texts[0]
    inside = X[[0, 1, 5]]
    assert said(lambda: reg.predict(inside, sigma=sigma), AtBoundWarning) == []


def test_of_many_voxels_at_a_bound_some_are_judged_for_all():
    X = np.tile(decays([0.05, 0.3, 0.3, 0.3]), (500, 1))
    reg = NLLSRegressor(MODEL, bounds={"T2": (0.04, 0.1)}).fit(X)
    (text,) = said(lambda: reg.predict(X, sigma=15.0), AtBoundWarning)
    assert "T2 at its upper bound 0.1 s in about 1500 of 2000 voxels" in text


@pytest.mark.parametrize("kind", FITS)
def test_amplitudes_at_finite_limits_are_told(kind):
    X = decays([0.05, 0.08, 0.06])
    for limits in ((1600.0, np.inf), (0.0, 1400.0), (1600.0, 1e5)):
        reg = FITS[kind](MODEL, bounds={"M0": limits}).fit(X)
        texts = said(lambda reg=reg: reg.predict(X, sigma=15.0), AtBoundWarning)
        assert len(texts) == 1 and "M0 at its" in texts[0] and "3 of 3" in texts[0]


def test_what_the_data_do_not_determine_is_not_told():
    X = decays([1.0], sigma=1500.0) * 0.01
    reg = NLLSRegressor(MODEL).fit(X)
    fits = reg.fit_voxels(np.full((1, 8), 10.0), sigma=200.0)
    assert fits.at_bound[0, 0]
    assert (
        said(lambda: reg.predict(np.full((1, 8), 10.0), sigma=200.0), AtBoundWarning) == []
    )


def test_networks_tell_of_bounds(monkeypatch):
    model = MonoExponential(TE, signal="magnitude", bounds={"T2": (0.04, 0.1)})
    y = np.column_stack([np.linspace(0.04, 0.1, 60), np.ones(60)])
    options = dict(hidden_layer_sizes=(8,), max_iter=1, random_state=0)
    reg = CRBRegressor(model, **options).fit(model.signal(y), y)
    outside = np.array([[0.3, 1500.0], [0.07, 1500.0]])
    monkeypatch.setattr(type(reg.network_), "estimate", lambda *_: outside)
    texts = said(lambda: reg.predict(decays([0.3, 0.07])), AtBoundWarning)
    assert len(texts) == 1 and "T2 at its upper bound 0.1 s in 1 of 2" in texts[0]


@pytest.mark.parametrize("kind", FITS)
def test_low_magnitudes_are_told_with_counts(kind):
    rng = np.random.default_rng(0)
    clean = 1500 * np.exp(-TE / 0.03)
    parts = rng.standard_normal((2, 40, 8)) * np.where(np.arange(40) < 10, 150, 5)[:, None]
    X = np.hypot(clean + parts[0], parts[1])
    sigma = np.where(np.arange(40) < 10, 150.0, 5.0)
    reg = FITS[kind](MODEL).fit(X)
    texts = said(lambda: reg.predict(X, sigma=sigma), LowSignalWarning)
    assert len(texts) == 1 and "below 5 sigma in 10 of 40 voxels" in texts[0]
    assert said(lambda: reg.predict(X[10:], sigma=5.0), LowSignalWarning) == []


@pytest.mark.parametrize("kind", FITS)
def test_other_methods_point_to_the_line_of_the_caller(kind):
    X = decays([0.05, 0.3, 0.06])
    reg = FITS[kind](MODEL, bounds={"T2": (0.04, 0.1)}).fit(X)
    assert len(said(lambda: reg.interval(X, sigma=15.0), AtBoundWarning)) == 1
    two = MonoExponential(TE[:2], signal="magnitude")
    reg = FITS[kind](two, prior=None).fit(X[:, :2])
    texts = said(lambda: reg.interval(X[:, :2]), UserWarning)
    assert len(texts) == 1 and "none to estimate the noise from" in texts[0]
    signed = X * [1, 1, 1, -1, 1, 1, 1, 1]
    reg = FITS[kind](MODEL).fit(X)
    for action in (
        lambda: reg.score(signed, np.full((3, 2), [0.06, 1500.0])),
        lambda: reg.residual(signed, sigma=15.0),
    ):
        texts = [text for text in said(action, UserWarning) if "negative" in text]
        assert len(texts) == 1


def test_nothing_lies_beyond_the_domain_of_a_parameter():
    model = InversionRecovery([0.05, 0.2, 0.5, 1.0, 2.0, 4.0], tr=6.0, signal="magnitude")
    noise = 5 * np.random.default_rng(0).standard_normal((40, 6))
    X = np.abs(model.signal(np.tile([[1.0, 1.0, 900.0]], (40, 1))) + noise)
    reg = NLLSRegressor(model).fit(X)
    assert reg.fit_voxels(X, sigma=5.0).at_bound[:, 1].any()
    assert said(lambda: reg.predict(X, sigma=5.0), AtBoundWarning) == []
    reg = NLLSRegressor(model, bounds={"efficiency": (0.5, 0.99)}).fit(X)
    texts = said(lambda: reg.predict(X, sigma=5.0), AtBoundWarning)
    assert len(texts) == 1 and "efficiency at its upper bound 0.99" in texts[0]


def test_repeated_noise_is_judged_without_a_flood():
    reg = NLLSRegressor(MODEL, bounds={"T2": (0.04, 0.06)}).fit(decays([0.05]))
    theta = np.tile([[0.1, 1.0]], (4, 1))
    texts = said(lambda: bias_variance(reg, MODEL, theta, 100.0, 3), UserWarning)
    assert texts == []


VFA = SpoiledGradientEcho(np.deg2rad([4.0, 12.0, 25.0]), 0.02, signal="magnitude")


def angles(n=40, sigma=5.0):
    rng = np.random.default_rng(0)
    X = VFA.signal(np.column_stack([np.linspace(0.8, 1.6, n), np.full(n, 5e3)]))
    return X + sigma * rng.standard_normal(X.shape)


@pytest.mark.parametrize("kind", [*FITS, "dictionary"])
def test_deviations_of_noise_that_few_numbers_show_are_rough(kind):
    X = angles()
    reg = (FITS | {"dictionary": DictionaryRegressor})[kind](VFA).fit(X)
    (text,) = said(lambda: reg.predict(X, return_std=True), UserWarning)
    assert "1 real number that is left" in text and "0.063 to 2 times" in text
    assert said(lambda: reg.predict(X), UserWarning) == []
    assert said(lambda: reg.predict(X, return_std=True, sigma=5.0), UserWarning) == []
    if kind in FITS:
        assert said(lambda: reg.interval(X), UserWarning) == []
    enough = decays([0.05] * 40)
    reg = NLLSRegressor(MODEL).fit(enough)
    assert said(lambda: reg.predict(enough, return_std=True), UserWarning) == []


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("sigma", [0.015, 3.0, 75.0])
def test_a_sigma_of_another_unit_is_told(kind, sigma):
    X = decays(np.linspace(0.05, 0.1, 100))
    reg = FITS[kind](MODEL).fit(X)
    (text,) = said(lambda: reg.predict(X, sigma=sigma), NoiseLevelWarning)
    assert f"times the noise of sigma = {sigma:.3g} in" in text, text
    found = float(re.search(r"of them is ([\d.e+-]+) times", text)[1])
    assert found == pytest.approx(15 / sigma, rel=0.1)
    assert said(lambda: reg.predict(X, sigma=15.0), UserWarning) == []
    # Without noise, sigma is what the user thinks of.
    clean = decays(np.linspace(0.05, 0.1, 100), sigma=0.0)
    assert said(lambda: reg.predict(clean, sigma=15.0), UserWarning) == []


@pytest.mark.parametrize("kind", [NLLSRegressor, DictionaryRegressor])
def test_magnitudes_without_their_signs_are_told(kind):
    model = InversionRecovery([0.05, 0.15, 0.35, 0.6, 0.9, 1.4, 2.2, 3.5], tr=5.0)
    signed = model.signal(np.column_stack([np.linspace(0.6, 1.8, 60), np.full(60, 0.95)]))
    reg = kind(model).fit(signed)
    (text,) = said(lambda: reg.predict(np.abs(signed) + 0j)[0], UserWarning)[:1]
    assert "real and nowhere negative" in text and "change their sign" in text
    assert said(lambda: reg.predict(signed), UserWarning) == []
    # With a phase that is the same everywhere, it is not certain that signs are lost.
    turned = np.abs(signed) * np.exp(0.3j)
    assert not any("sign:" in t for t in said(lambda: reg.predict(turned), UserWarning))


def test_most_voxels_at_a_bound_are_told_whatever_the_data_determine():
    rng = np.random.default_rng(0)
    air = np.hypot(*rng.normal(scale=12.0, size=(2, 300, 8)))
    reg = NLLSRegressor(MODEL).fit(air)
    (text,) = said(lambda: reg.predict(air, sigma=12.0), AtBoundWarning)
    assert "most estimates end at a bound: T2 at its upper bound 4 s in 171 of 300" in text
    assert "a mask is missing" in text
    # At a bound, voxels without a given sigma are not looked at.
    many = np.tile(air, (5, 1))
    with pytest.warns(LowSignalWarning, match=r"of \d{3} voxels looked at"):
        with ignored(AtBoundWarning):
            reg.predict(many)
    few = np.concatenate([air[:60], decays([0.06] * 200, sigma=12.0)])
    assert not any("most" in t for t in said(lambda: reg.predict(few), AtBoundWarning))


def test_a_nominal_b1_is_no_bound_that_most_voxels_must_not_reach():
    model = MultiEchoSpinEcho(TE)
    rng = np.random.default_rng(1)
    truth = np.column_stack([np.linspace(0.05, 0.1, 300), np.ones(300), np.full(300, 1e3)])
    X = model.signal(truth) + 10 * rng.standard_normal((300, 8))
    reg = NLLSRegressor(model).fit(X)
    ends = reg.fit_voxels(X, sigma=10.0).at_bound[:, 1]
    X = np.concatenate([X, X[ends]])
    assert 2 * ends.sum() > 0.6 * len(X)
    assert not any(
        "most" in t for t in said(lambda: reg.predict(X, sigma=10.0), UserWarning)
    )
