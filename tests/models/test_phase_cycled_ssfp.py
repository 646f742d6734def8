"""Limits and symmetries of phase-cycled SSFP; `tests/kernels` has the rest."""

import numpy as np
import pytest

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import SingularInformationWarning
from crbestim.models import BalancedSteadyState, PhaseCycledSSFP
from crbestim.sequences import HybridStateSequence
from tests.models.conftest import CYCLES, draw

THETA = np.array([[0.9, 0.07, 40.0], [0.4, 0.1, -500.0]])
TR, ALPHA = 5e-3, 0.5


@pytest.mark.parametrize("omega0", [0.0, 40.0, -300.0])
def test_an_increment_of_180_degrees_is_that_of_balanced_trains(omega0):
    t1, t2, b1, n = 0.7, 0.07, 0.9, 3000
    trf = np.full(n, 1e-6)
    train = HybridStateSequence(np.append(np.pi, np.full(n - 1, ALPHA)), trf, TR)
    balanced = BalancedSteadyState(train, steady_state="thermal")
    expected = balanced.signal([[1 / t1, 1 / t2, omega0, b1]])[0, -1]
    model = PhaseCycledSSFP(ALPHA, TR, CYCLES, b1=True)
    s = model.signal([[t1, t2, omega0, b1]])[0, 3]
    # What pulses of 1 us do while they last.
    assert s == pytest.approx(expected, rel=1e-4)


def test_signals_lie_on_an_ellipse():
    many = PhaseCycledSSFP(ALPHA, TR, np.linspace(0, 6.2, 40), te=0.0).signal(THETA)
    for s in many:
        x, y = s.real / np.abs(s).max(), s.imag / np.abs(s).max()
        conic = np.column_stack([x**2, x * y, y**2, x, y, np.ones(40)])
        # Five numbers make a conic; its sixth is zero.
        u = np.linalg.svd(conic, compute_uv=False)
        assert u[-1] < 1e-13 * u[0] < u[-2]


def test_off_resonance_is_known_up_to_a_period():
    model = PhaseCycledSSFP(ALPHA, TR, CYCLES)
    period = model.periods[2]
    assert period == pytest.approx(2 * np.pi / TR)
    turned = model.signal(THETA + [0, 0, period])
    # Half of TR later, the phase has changed by 180 degrees.
    np.testing.assert_allclose(turned, -model.signal(THETA), rtol=0, atol=1e-14)
    # An increment that follows the off-resonance hides it, but for the phase at the echo.
    ahead = PhaseCycledSSFP(ALPHA, TR, CYCLES + 40.0 * TR).signal(THETA[:1])
    at_rest = model.signal([[0.9, 0.07, 0.0]])
    np.testing.assert_allclose(ahead, at_rest * np.exp(40j * TR / 2), rtol=1e-12)


def test_echo_times_decay_and_turn():
    first, last = (PhaseCycledSSFP(ALPHA, TR, CYCLES, te=te) for te in (0.0, TR))
    factor = np.exp((1j * THETA[:, 2:] - 1 / THETA[:, 1:2]) * TR)
    np.testing.assert_allclose(last.signal(THETA), factor * first.signal(THETA), rtol=1e-12)
    half = PhaseCycledSSFP(ALPHA, TR, CYCLES, te=TR / 2)
    default = PhaseCycledSSFP(ALPHA, TR, CYCLES)
    np.testing.assert_array_equal(half.signal(THETA), default.signal(THETA))
    assert half.te == TR / 2 and default.te is None


def test_several_flip_angles_tell_b1_and_one_does_not():
    several = PhaseCycledSSFP(np.repeat([0.3, 1.0], 6), TR, np.tile(CYCLES, 2), b1=True)
    theta = np.insert(THETA, 3, [0.9, 1.1], axis=1)
    assert several.parameter_names == ("T1", "T2", "omega0", "B1")
    low = PhaseCycledSSFP(0.3 * 0.9, TR, CYCLES).signal(THETA[:1])
    np.testing.assert_allclose(several.signal(theta[:1])[:, :6], low, rtol=1e-12)
    assert np.isfinite(cramer_rao_bound(several, theta)).all()
    one = PhaseCycledSSFP(ALPHA, TR, CYCLES, b1=True)
    with pytest.warns(SingularInformationWarning, match="T1.*B1"):
        crb = cramer_rao_bound(one, theta)
    assert (np.isinf(crb) == [True, False, False, True]).all()
    mapped = one.given("B1").at(theta[:, 3:])
    exact = PhaseCycledSSFP(ALPHA * 0.9, TR, CYCLES)
    bounds = (cramer_rao_bound(m, THETA[[0]]) for m in (mapped.rows([0]), exact))
    np.testing.assert_allclose(*bounds, rtol=1e-10)


def test_least_squares_find_the_signal_all_over_the_bounds():
    model = PhaseCycledSSFP(ALPHA, TR, CYCLES)
    X = 100j * model.signal(draw(model, 400))
    back = model.signal(NLLSRegressor(model).fit(X).predict(X))
    m0 = (back.conj() * X).sum(axis=1) / (np.abs(back) ** 2).sum(axis=1)
    left = np.linalg.norm(X - m0[:, None] * back, axis=1) / np.linalg.norm(X, axis=1)
    assert (left < 1e-4).all()


def test_maps_of_b1_and_off_resonance_are_taken():
    model = PhaseCycledSSFP(ALPHA, TR, CYCLES, b1=True).given("B1", "omega0")
    X, y, known = make_fingerprints(model, 1000, snr=1e5, random_state=0)
    # A field map has no period of 1 / TR.
    known[:, 1] += model.known_parameters[1].period * (np.arange(1000) % 5 - 2)
    learn, rest = (X[:900], y[:900]), slice(900, None)

    def error(estimator):
        estimator.fit(*learn, known=known[:900])
        found = estimator.predict(X[rest], known=known[rest])
        return np.median(np.abs(found / y[rest] - 1))

    match = DictionaryRegressor(model)
    assert error(NLLSRegressor(model)) < 2e-3
    assert error(OneStepRegressor(match, model, n_steps=3)) < 2e-3 < error(match) < 0.3
