"""What holds for every model: the list is in `conftest.py`."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from crbestim import models
from crbestim.exceptions import ImplausibleValueWarning
from crbestim.models import FISPFingerprinting
from crbestim.models._hybrid_state import HybridStateModel
from crbestim.sequences import HybridStateSequence
from tests.models import functions
from tests.models.conftest import Biexponential, Recovery, limits, orthonormal
from tests.models.jacobian_errors import points, relative_errors


class Holder(BaseEstimator):
    """An estimator with a model as its parameter."""

    def __init__(self, model=None):
        self.model = model


TEXT_NAMES = vars(models) | vars(functions)
TEXT_NAMES |= {k.__name__: k for k in (HybridStateSequence, Biexponential, Recovery)}


def relative(model, jacobian):
    """Return derivatives with respect to parameters in units of their bounds."""
    return jacobian * np.ptp(limits(model), axis=1)


def test_shapes_and_types(model, theta):
    s, jacobian = model.signal(theta, jacobian=True)
    n, p = model.n_features, model.n_parameters
    assert s.shape == (6, n)
    assert jacobian.shape == (6, n, p)
    assert s.dtype == jacobian.dtype == (np.complex128 if model.is_complex else float)
    assert np.isfinite(s).all() and np.isfinite(jacobian).all()


def test_parameters_are_described(model):
    p = model.n_parameters
    assert isinstance(model.parameter_names, tuple)
    assert len(model.parameter_names) == len(set(model.parameter_names)) == p
    assert model.bounds.shape == (p, 2) and model.bounds.dtype == np.float64
    assert (model.bounds[:, 0] < model.bounds[:, 1]).all()
    assert model.periods.shape == (p,) and (model.periods > 0).all()
    for parameter, name in zip(model.parameters, model.parameter_names, strict=True):
        assert parameter.name == name
        for distribution in (parameter.distribution, parameter.fluid):
            if distribution is not None:
                low, high = distribution.support()
                # Estimators look for tissue, and for fluid, where it is.
                assert parameter.bounds[0] <= low + 1e-12 * abs(low)
                assert high - 1e-12 * abs(high) <= parameter.bounds[1]


def test_signal_does_not_depend_on_whether_the_jacobian_is_wanted(model, theta):
    alone, (both, _) = model.signal(theta), model.signal(theta, jacobian=True)
    np.testing.assert_allclose(alone, both, rtol=0, atol=1e-14 * np.abs(both).max())


def test_rows_do_not_depend_on_each_other(model, theta):
    s, jacobian = model.signal(theta, jacobian=True)
    for i, row in enumerate(theta):
        s_i, jacobian_i = model.signal(row[None], jacobian=True)
        np.testing.assert_allclose(s_i[0], s[i], rtol=0, atol=1e-14 * np.abs(s).max())
        scaled = relative(model, jacobian)
        np.testing.assert_allclose(
            relative(model, jacobian_i)[0],
            scaled[i],
            rtol=0,
            atol=1e-13 * np.abs(scaled).max(),
        )


def test_no_rows(model):
    s, jacobian = model.signal(np.empty((0, model.n_parameters)), jacobian=True)
    assert s.shape == (0, model.n_features)
    assert jacobian.shape == (0, model.n_features, model.n_parameters)


def test_jacobian_against_differences(model):
    """Inside the bounds, and for each parameter at both ends of them."""
    error = relative_errors(model, points(model))
    # Differences lose 5 digits of 15 or 16, and a periodic steady state one or two more,
    # which adds up the rounding of many cycles; central ones of a user's model are good
    # to (1e-5)**2 of the third derivative.
    assert error.max() < 1e-7, dict(zip(model.parameter_names, error.max(0), strict=True))


@pytest.mark.parametrize(
    "copied",
    [
        lambda model: pickle.loads(pickle.dumps(model)),
        copy.deepcopy,
        copy.copy,
        lambda model: clone(Holder(model)).model,
        lambda model: pickle.loads(pickle.dumps(Holder(model))).model,
    ],
    ids=["pickle", "deepcopy", "copy", "clone", "pickled estimator"],
)
def test_copies_are_the_same_model(model, theta, copied):
    expected = model.signal(theta, jacobian=True)
    twin = copied(model)
    assert type(twin) is type(model) and twin is not model
    assert twin.parameter_names == model.parameter_names
    np.testing.assert_array_equal(twin.bounds, model.bounds)
    assert (twin.n_features, twin.is_complex) == (model.n_features, model.is_complex)
    for part, value in zip(twin.signal(theta, jacobian=True), expected, strict=True):
        np.testing.assert_array_equal(part, value)


def test_the_text_can_be_pasted_back(model, theta):
    text = repr(model)
    if ".compress(" in text:
        # A basis is not shown.
        assert text == repr(model.model) + text[text.index(".compress(") :]
        return
    twin = eval(text, TEXT_NAMES)
    assert repr(twin) == text
    np.testing.assert_array_equal(twin.bounds, model.bounds)
    for part, value in zip(
        twin.signal(theta, jacobian=True), model.signal(theta, jacobian=True), strict=True
    ):
        np.testing.assert_array_equal(part, value)


def test_the_short_text_is_that_of_messages(model):
    assert len(str(model)) < 400
    if isinstance(model, FISPFingerprinting | HybridStateModel):
        assert f"alpha=<{model.n_features} values>" in str(model) or "[<14 v" in str(model)


def test_there_is_one_verb(model):
    assert not hasattr(model, "evaluate") and not hasattr(model, "simulate")


def test_pickles_do_not_grow_with_use(model, theta):
    model.signal(theta[:1], jacobian=True)
    before = len(pickle.dumps(copy.deepcopy(model)))
    model.signal(theta, jacobian=True)
    assert len(pickle.dumps(model)) <= before


def test_theta_of_any_real_kind(model, theta):
    expected = model.signal(theta)
    kept = theta.copy()
    for form in (np.asfortranarray(theta), theta.tolist(), theta[::-1][::-1]):
        np.testing.assert_array_equal(model.signal(form), expected)
    np.testing.assert_array_equal(model.signal(theta[2]), model.signal(theta[2:3]))
    np.testing.assert_array_equal(theta, kept)
    checked = model.check_theta(theta.astype(np.float32))
    assert checked.dtype == np.float64


def test_complex_theta_is_refused(model, theta):
    with pytest.raises(ValueError, match="Complex data not supported: theta"):
        model.signal(theta + 0j)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_theta_that_is_not_finite_is_refused(model, theta, value):
    for k, name in enumerate(model.parameter_names):
        wrong = theta.copy()
        wrong[3, k] = value
        with pytest.raises(ValueError, match=rf"{name} = -?(nan|inf).* in row 3"):
            model.signal(wrong)


def test_wrong_number_of_columns_is_refused(model, theta):
    names = ", ".join(model.parameter_names)
    expected = rf"give \(n_samples, {model.n_parameters}\) with columns {names}"
    for wrong in (theta[:, 1:], np.hstack([theta, theta]), theta[None], theta[0, 1:]):
        with pytest.raises(ValueError, match=rf"theta has shape \(.*{expected}"):
            model.signal(wrong)


def test_theta_outside_the_domain_is_refused(model, theta):
    for k, parameter in enumerate(model.parameters):
        unit = "" if parameter.unit == "1" else f" {parameter.unit}"
        for end, sign in zip(parameter.domain, (-1, 1), strict=True):
            if np.isfinite(end):
                wrong = theta.copy()
                wrong[4, k] = end + sign * (0.01 * np.ptp(limits(model)[k]))
                ends = "{:g} to {:g}".format(*parameter.domain)
                message = rf"{parameter.name} = .*{unit} in row 4 .* {ends}{unit}, wh"
                with pytest.raises(ValueError, match=message):
                    model.signal(wrong)


def test_ends_of_the_domain_are_allowed(model, theta):
    for k, parameter in enumerate(model.parameters):
        for end in parameter.domain:
            if np.isfinite(end):
                x = theta[:1].copy()
                x[0, k] = end
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ImplausibleValueWarning)
                    s, jacobian = model.signal(x, jacobian=True)
                assert np.isfinite(s).all() and np.isfinite(jacobian).all()


def test_corners_of_the_domain_give_finite_signals(model):
    domain = np.array([p.domain for p in model.parameters])
    # Where the domain has no end, the bounds have one.
    low, high = np.where(np.isfinite(domain), domain, limits(model)).T
    ends = np.random.default_rng(0).random((64, model.n_parameters)) < 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplausibleValueWarning)
        s, jacobian = model.signal(np.where(ends, high, low), jacobian=True)
    assert np.isfinite(s).all() and np.isfinite(jacobian).all()


def test_magnitudes_are_what_they_say(model, theta):
    assert model.noise in (("gaussian", "rician") if model.is_magnitude else ("gaussian",))
    if model.is_magnitude:
        s = model.signal(theta)
        assert not model.is_complex and (s >= 0).all()


@pytest.fixture
def compressible(model):
    """Return models whose coefficients have Gaussian noise."""
    if model.noise == "rician":
        with pytest.raises(ValueError, match="Rician noise, which does not stay so"):
            model.compress(orthonormal(model.n_features, 2))
        pytest.skip("coefficients of magnitudes have no Rician noise")
    return model


@pytest.mark.parametrize("dtype", [float, complex])
def test_compressing_is_projecting(compressible, theta, dtype):
    model = compressible
    n = min(4, model.n_features)
    basis = orthonormal(model.n_features, n, seed=3, dtype=dtype)
    small = model.compress(basis)
    assert (small.n_features, small.parameter_names) == (n, model.parameter_names)
    assert small.is_complex == (model.is_complex or dtype is complex)
    s, jacobian = model.signal(theta, jacobian=True)
    coefficients, derivatives = small.signal(theta, jacobian=True)
    expected = s @ basis.conj()
    size = 1e-14 * model.n_features
    np.testing.assert_allclose(coefficients, expected, atol=size * np.abs(s).max())
    expected = relative(model, np.einsum("kc,nkp->ncp", basis.conj(), jacobian))
    np.testing.assert_allclose(
        relative(model, derivatives), expected, atol=size * np.abs(expected).max()
    )
    np.testing.assert_allclose(
        small.signal(theta), coefficients, atol=size * np.abs(s).max()
    )


def test_a_complete_basis_loses_nothing(compressible, theta):
    model = compressible
    basis = orthonormal(model.n_features, model.n_features, seed=4)
    back = model.compress(basis).signal(theta) @ basis.T
    s = model.signal(theta)
    np.testing.assert_allclose(back, s, rtol=0, atol=1e-13 * np.abs(s).max() * len(basis))


def test_a_basis_that_does_not_fit_is_refused(compressible):
    model = compressible
    n = model.n_features
    with pytest.raises(ValueError, match="not orthonormal.* up to 3"):
        model.compress(2 * orthonormal(n, 2))
    with pytest.raises(ValueError, match=rf"shape \({n + 1}, 2\); give \({n}, n_comp"):
        model.compress(orthonormal(n + 1, 2))
