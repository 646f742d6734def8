"""Limits and symmetries of multi-echo spin echoes; `tests/kernels` has the rest."""

import numpy as np
import pytest

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import SingularInformationWarning
from crbestim.models import MonoExponential, MultiEchoSpinEcho
from tests.models.conftest import MODELS, PROFILE, TE
from tests.reference import multi_echo as reference

N = 32
MANY_TE = 0.01 * np.arange(1, N + 1)


def test_pulses_of_180_degrees_leave_an_exponential_decay():
    theta = [[0.08, 0.7], [0.02, 2.0], [1.5, 1.0]]
    expected = MonoExponential(MANY_TE, signal="magnitude").signal(theta)
    s = MultiEchoSpinEcho(MANY_TE, b1=False).signal(theta)
    np.testing.assert_allclose(s, expected, rtol=1e-13)
    at_one = np.insert(theta, 1, 1.0, axis=1)
    s, jacobian = MultiEchoSpinEcho(MANY_TE).signal(at_one, jacobian=True)
    np.testing.assert_allclose(s, expected, rtol=1e-13)
    assert (jacobian[..., 1] == 0).all()
    unknown = MultiEchoSpinEcho(MANY_TE, t1=None, signal="complex")
    with pytest.warns(SingularInformationWarning, match="T1.*B1"):
        crb = cramer_rao_bound(unknown, [[0.08, 1.0, 1.0]])
    assert (np.isinf(crb[0]) == [False, True, True]).all()


def test_a_slice_profile_against_isochromats():
    model = MODELS["CPMG, slice profile"]()
    s = model.signal([[0.07, 0.9, 0.85, 3.0]])[0]
    exact = reference.echoes([0.07, 0.9, 0.85], TE, **PROFILE)[1]
    np.testing.assert_allclose(s, 3 * np.abs(exact), rtol=0, atol=1e-14)


def test_positions_that_are_alike_are_one():
    angles = np.linspace(2.8, 1.2, 12)
    one = MultiEchoSpinEcho(TE, refocusing=angles, excitation=1.4)
    three = MultiEchoSpinEcho(TE, refocusing=np.tile(angles, (3, 1)), excitation=[1.4] * 3)
    theta = [[0.08, 0.9, 1.0]]
    np.testing.assert_allclose(three.signal(theta), one.signal(theta), rtol=1e-14)


@pytest.mark.parametrize("refocusing", [np.pi, 3.0, np.full(12, 3.0)])
def test_both_sides_of_180_degrees_are_alike_and_one_is_looked_at(refocusing):
    model = MultiEchoSpinEcho(TE, refocusing=refocusing, t1=None)
    halfway, column = np.pi / np.max(refocusing), model.parameter_names.index("B1")
    assert model.bounds[column] == pytest.approx((0.6, halfway))
    theta = [[0.08, 1.0, b1, 1.0] for b1 in (halfway - 0.2, halfway + 0.2)]
    low, high = model.signal(theta)
    np.testing.assert_allclose(low / low[0], high / high[0], rtol=1e-12)
    if halfway == 1:
        np.testing.assert_allclose(low, high, rtol=1e-12)
    chosen = MultiEchoSpinEcho(TE, refocusing=refocusing, bounds={"B1": (0.5, 1.5)})
    assert chosen.bounds[1] == pytest.approx((0.5, 1.5))
    assert chosen.parameters[1].distribution.support() == (0.6, 1.3)


@pytest.mark.parametrize("refocusing", [2.0, np.linspace(3.0, 2.0, 12)])
def test_other_angles_tell_on_which_side_b1_is(refocusing):
    model = MultiEchoSpinEcho(TE, refocusing=refocusing)
    assert model.bounds[1] == pytest.approx((0.6, 1.4))


@pytest.fixture(scope="module")
def brain():
    """Return a model of known B1, and its fingerprints."""
    model = MultiEchoSpinEcho(TE, signal="complex").given("B1")
    return model, *make_fingerprints(model, 2000, snr=1e5, random_state=0)


def test_a_map_of_b1_may_be_on_either_side(brain):
    model, X, y, known = brain
    view = MultiEchoSpinEcho(TE, t1=None, signal="complex").compress(np.eye(12)[:, :6])
    assert view.bounds[2, 1] == 1
    for given in (view.given("B1"), view.fix(T1=1.0).given("B1")):
        assert given.known_parameters[0].bounds == (0.6, 1.4)
    chosen = MultiEchoSpinEcho(TE, bounds={"B1": (0.7, 0.9)}).given("B1")
    assert chosen.known_parameters[0].bounds == (0.7, 0.9)
    with pytest.raises(ValueError, match="'B1' is not a parameter; those of MultiEcho"):
        MultiEchoSpinEcho(TE, b1=False).given("B1")
    assert 0.6 <= known.min() < 0.7 and 1.2 < known.max() <= 1.3
    nlls = NLLSRegressor(model).fit(X, y, known=known)
    np.testing.assert_allclose(nlls.predict(X, known=known), y, rtol=1e-3)
    match = DictionaryRegressor(model).fit(X, y, known=known)
    rough = match.predict(X, known=known)
    fine = OneStepRegressor(match, model, n_steps=3).fit(X, y, known=known)
    step = np.abs(fine.predict(X, known=known) / y - 1)
    assert np.median(np.abs(rough / y - 1)) < 0.05 and np.median(step) < 1e-3


def test_the_bound_with_and_without_a_map():
    model, theta = MultiEchoSpinEcho(MANY_TE), [[0.08, 0.8, 1.0]]
    free = cramer_rao_bound(model, theta, noise_std=0.01)[0]
    known = cramer_rao_bound(model.given("B1").at([[0.8]]), [[0.08, 1.0]], noise_std=0.01)
    decay = MonoExponential(MANY_TE, signal="magnitude")
    assert known[0, 0] < free[0]
    # Without stimulated echoes the bound is that of a decay.
    at_one = MultiEchoSpinEcho(MANY_TE, b1=False)
    bounds = (cramer_rao_bound(m, [[0.08, 1.0]], noise_std=0.01) for m in (at_one, decay))
    np.testing.assert_allclose(*bounds, rtol=1e-10)
