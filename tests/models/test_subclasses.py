"""Models made from models by inheritance: one verb, checked once, in every generation."""

import abc
import functools
import gc
import pickle
import weakref

import numpy as np
import pytest
from joblib.externals.loky.backend.reduction import dumps

from crbestim import NLLSRegressor
from crbestim.bounds import cramer_rao_bound, crb_from_jacobian
from crbestim.exceptions import ImplausibleValueWarning
from crbestim.models import FunctionModel, GivenModel, MonoExponential, SignalModel
from crbestim.parameters import Parameter
from tests.models.conftest import draw, fisp, mt, orthonormal, water
from tests.models.test_base import TIMES, Decay, exact_jacobian


class Twice(Decay):
    """A user's model of a user's model, with derivatives."""

    def signal(self, theta, jacobian=False):
        out = super().signal(theta, jacobian)
        return (2 * out[0], 2 * out[1]) if jacobian else 2 * out


class Threefold(Twice):
    """The next generation, without derivatives of its own."""

    def signal(self, theta):
        return 3 * super().signal(theta)


class Half:
    """A mixin, which is not a model."""

    def signal(self, theta, *, jacobian=False):
        out = super().signal(theta, jacobian=jacobian)
        return (out[0] / 2, out[1] / 2) if jacobian else out / 2


class HalfDecay(Half, Decay):
    pass


class HalfThreefold(Half, Threefold):
    pass


THETA = np.array([[0.5, 3.0], [1.0, 20.0], [2.0, 100.0]])


@pytest.mark.parametrize(
    ("model", "factor"),
    [(Twice, 2), (Threefold, 6), (HalfDecay, 0.5), (HalfThreefold, 3)],
)
def test_generations_of_signals(model, factor):
    s, jacobian = model().signal(THETA, jacobian=True)
    np.testing.assert_allclose(s, factor * Decay().signal(THETA), rtol=1e-15)
    np.testing.assert_array_equal(model().signal(THETA), s)
    # Rounding of differences, as above.
    expected = factor * exact_jacobian(THETA)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-12, atol=factor * 4e-12)
    basis = np.eye(3)[:, :2]
    np.testing.assert_array_equal(model().compress(basis).signal(THETA), s[:, :2])
    assert (model().jacobian_error(THETA) < 1e-7).all()


@pytest.mark.parametrize("model", [Decay, Twice, Threefold, HalfDecay, HalfThreefold])
def test_theta_is_checked_in_every_generation(model):
    with pytest.raises(
        ValueError, match=r"theta has shape \(1, 3\); give \(n_samples, 2\)"
    ):
        model().signal([[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="R2 = nan in row 0 of theta"):
        model().signal([[1.0, np.nan]])
    with pytest.raises(ValueError, match="Complex data not supported: theta is complex"):
        model().signal(THETA + 0j)
    assert model().signal([1, 20]).shape == (1, 3)
    assert not hasattr(model, "evaluate") and not hasattr(model, "simulate")


class Scaled:
    """A mixin that scales signals, before a shipped model."""

    factor = 5.0

    def signal(self, theta, jacobian=False):
        out = super().signal(theta, jacobian)
        return tuple(self.factor * part for part in out) if jacobian else self.factor * out


class Hook:
    """The same behind the checks, as the library's own models do it."""

    def _simulate(self, theta, jacobian=False):
        out = super()._simulate(theta, jacobian=jacobian)
        return tuple(5.0 * part for part in out) if jacobian else 5.0 * out


@pytest.mark.parametrize("mixin", [Scaled, Hook])
def test_a_mixin_before_a_shipped_model(mixin):
    class Mixed(mixin, MonoExponential):
        pass

    model, plain = Mixed(TIMES), MonoExponential(TIMES)
    theta = [[0.05], [0.1]]
    for part, value in zip(
        model.signal(theta, jacobian=True), plain.signal(theta, jacobian=True), strict=True
    ):
        np.testing.assert_array_equal(part, 5.0 * value)
    with pytest.raises(ValueError, match="T2 = 80 s .*like milliseconds"):
        model.signal([[80.0]])
    assert repr(model) == "Mixed(te=[0.01, 0.02, 0.05])"
    np.testing.assert_array_equal(
        model.compress(np.eye(3)).signal(theta), model.signal(theta)
    )


def test_a_shipped_model_with_one_more_parameter():
    class WithBackground(MonoExponential):
        """Its own theta has a column that the parent does not know."""

        def __init__(self, te):
            super().__init__(te, signal="magnitude")
            self.parameters += (Parameter("background", (0.0, 0.5), (0.0, 1.0)),)

        def signal(self, theta):
            return np.hypot(super().signal(theta[:, :-1]), theta[:, -1:])

    model = WithBackground(TIMES)
    s, jacobian = model.signal([[0.1, 1.0, 0.2]], jacobian=True)
    decay = np.exp(-TIMES / 0.1)
    np.testing.assert_allclose(s[0], np.hypot(decay, 0.2))
    np.testing.assert_allclose(jacobian[0, :, 2], 0.2 / s[0], rtol=1e-9)
    np.testing.assert_allclose(jacobian[0, :, 1], decay**2 / s[0], rtol=1e-9)
    with pytest.raises(ValueError, match="background = 2 in row 0 of theta"):
        model.signal([[0.1, 1.0, 2.0]])


def test_a_value_far_from_the_bounds_warns_once_in_every_generation():
    with pytest.warns(ImplausibleValueWarning) as record:
        Threefold().signal([[1.0, 400.0]], jacobian=True)
    assert [warning.filename for warning in record] == [__file__]


def test_a_signal_keeps_its_docstring():
    class Described(Decay):
        def signal(self, theta):
            """Decay of sodium."""
            return super().signal(theta)

    assert Described.signal.__doc__ == "Decay of sodium."
    assert Decay.signal.__doc__ == SignalModel.signal.__doc__


@pytest.mark.parametrize("by_value", [False, True])
def test_models_of_a_notebook_travel(by_value):
    class Local(Twice):
        def signal(self, theta):
            return super().signal(theta) + 1

    model = Local() if by_value else Threefold()
    twin = pickle.loads(dumps(model))
    for part, value in zip(
        twin.signal(THETA, jacobian=True), model.signal(THETA, jacobian=True), strict=True
    ):
        np.testing.assert_array_equal(part, value)
    with pytest.raises(ValueError, match="R2 = nan in row 0 of theta"):
        twin.signal([[1.0, np.nan]])


# What a class gets after it was made, and what decorators do


class Rate(SignalModel):
    """A decay whose rate is the parameter."""

    parameter_names = ("R2",)
    bounds = np.array([[1.0, 100.0]])

    def signal(self, theta):
        return np.exp(-theta * np.array([0.01, 0.02, 0.05])) + 0j


def halved(self, theta, jacobian=False):
    """Take twice the time for a decay."""
    out = Rate.signal(self, theta / 2, jacobian)
    return (out[0], out[1] / 2) if jacobian else out


def decay_of_one(theta):
    """Do what a Rate does, for one sample."""
    return np.exp(-theta * np.array([0.01, 0.02, 0.05])) + 0j


def by_decorator():
    def slower(cls):
        cls.signal = halved
        return cls

    @slower
    class Decorated(Rate):
        pass

    return Decorated


def by_assignment():
    class Assigned(Rate):
        pass

    Assigned.signal = halved
    return Assigned


def with_wraps():
    class Wrapping(Rate):
        @functools.wraps(Rate.signal)
        def signal(self, theta, jacobian=False):
            return halved(self, theta, jacobian)

    return Wrapping


def with_any_arguments():
    class Passing(Rate):
        def signal(self, theta, *args, **kwargs):
            out = super().signal(theta / 2, *args, **kwargs)
            return (out[0], out[1] / 2) if isinstance(out, tuple) else out

    return Passing


@pytest.mark.parametrize(
    "make", [by_decorator, by_assignment, with_wraps, with_any_arguments]
)
def test_the_signal_of_a_class_is_what_bounds_and_views_use(make):
    model, theta = make()(), np.array([[20.0]])
    s, jacobian = Rate().signal(theta / 2, jacobian=True)
    np.testing.assert_array_equal(model.signal(theta), s)
    np.testing.assert_array_equal(model.compress(np.eye(3)).signal(theta), s)
    expected = crb_from_jacobian(jacobian / 2, s)
    np.testing.assert_allclose(cramer_rao_bound(model, theta), expected, rtol=1e-8)


def test_a_signal_may_be_taken_from_another_class():
    class Same(Rate):
        signal = Rate.signal

    theta = np.array([[20.0]])
    np.testing.assert_array_equal(Same().signal(theta), Rate().signal(theta))
    assert np.isfinite(cramer_rao_bound(Same(), theta)).all()


def test_a_signal_cannot_be_set_on_an_instance():
    with pytest.raises(AttributeError, match="signal is a method of Rate; define it in a"):
        Rate().signal = halved


def test_helpers_of_a_user_may_have_any_name():
    class Helped(SignalModel):
        parameter_names = ("R2",)
        bounds = np.array([[1.0, 100.0]])

        def _simulate(self, rates):
            return np.exp(-rates * np.array([0.01, 0.02, 0.05])) + 0j

        def signal(self, theta):
            return self._simulate(theta)

    theta = np.array([[20.0]])
    np.testing.assert_array_equal(Helped().signal(theta), Rate().signal(theta))
    np.testing.assert_allclose(
        cramer_rao_bound(Helped(), theta), cramer_rao_bound(Rate(), theta)
    )


def test_helpers_of_a_subclass_may_have_any_name():
    """The user's own `signal` counts, whatever a child or a mixin adds."""

    class Helped(Rate):
        def _simulate(self, rates):
            return np.exp(-rates * np.array([0.01, 0.02, 0.05])) + 0j

        def signal(self, theta):
            return 2 * self._simulate(theta)

    class Slower(Helped):
        def _simulate(self, rates):
            return super()._simulate(rates / 2)

    class Mixed(Hook, Rate):
        pass

    theta = np.array([[20.0]])
    np.testing.assert_array_equal(Slower().signal(theta), 2 * Rate().signal(theta / 2))
    np.testing.assert_array_equal(Mixed().signal(theta), Rate().signal(theta))


class OfAFunction(Scaled, FunctionModel):
    pass


class OfAView(Scaled, GivenModel):
    pass


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        (OfAFunction(decay_of_one, ["R2"], [(1, 100)]), Rate()),
        (OfAView(Decay(), {"A": 1.0}), Decay().fix(A=1.0)),
    ],
    ids=["function", "view"],
)
def test_differences_of_a_parent_are_those_of_its_own_signal(model, plain):
    theta = np.array([[20.0], [50.0]])
    s, jacobian = plain.signal(theta, jacobian=True)
    found = model.signal(theta, jacobian=True)
    np.testing.assert_allclose(found[0], 5 * s, rtol=1e-14)
    np.testing.assert_allclose(found[1], 5 * jacobian, rtol=1e-9)


def test_a_subclass_that_passes_on_differences_is_as_accurate_as_these():
    class Passing(Rate):
        def signal(self, theta, jacobian=False):
            return super().signal(theta, jacobian)

    assert Passing().jacobian_accuracy == Rate().jacobian_accuracy == 1e-11
    assert MonoExponential(TIMES).jacobian_accuracy == 1e-15
    for model in (fisp(24), mt(24), mt(24).fix(B1=1.0)):

        class Weighted(type(model)):
            def signal(self, theta):
                return 2 * super().signal(theta)

        accuracy = model.jacobian_accuracy
        model.__class__ = Weighted
        assert model.jacobian_accuracy == max(accuracy, 1e-11)


def without_wraps(method):
    def inner(*args, **kwargs):
        return method(*args, **kwargs)

    return inner


class ByDecorator(Rate):
    @without_wraps
    def signal(self, theta):
        return Rate.signal(self, theta)


class Static(Rate):
    @staticmethod
    def signal(theta):
        return np.exp(-theta * np.array([0.01, 0.02, 0.05])) + 0j


class StaticWithJacobian(Rate):
    @staticmethod
    def signal(theta, jacobian=False):
        return Rate().signal(theta, jacobian)


@pytest.mark.parametrize("kind", [ByDecorator, Static, StaticWithJacobian])
def test_a_signal_may_be_decorated_or_static(kind):
    theta = np.array([[20.0]])
    np.testing.assert_array_equal(kind().signal(theta), Rate().signal(theta))
    bound = cramer_rao_bound(Rate(), theta)
    np.testing.assert_allclose(cramer_rao_bound(kind(), theta), bound, rtol=1e-9)
    with pytest.raises(ValueError, match="R2 = nan in row 0 of theta"):
        kind().signal([[np.nan]])


def test_a_signal_is_a_method():
    with pytest.raises(TypeError, match=r"signal is a property; define it as a method, s"):

        class Wrong(Rate):
            @property
            def signal(self):
                return 1.0


def test_an_abstract_signal_stays_abstract():
    class Abstract(Rate, abc.ABC):
        @abc.abstractmethod
        def signal(self, theta):
            pass

    class Concrete(Abstract):
        def signal(self, theta):
            return Rate.signal(self, theta)

    with pytest.raises(TypeError, match="abstract"):
        Abstract()
    theta = [[20.0]]
    np.testing.assert_array_equal(Concrete().signal(theta), Rate().signal(theta))


def test_a_class_that_is_no_longer_used_is_forgotten():
    class Local(Rate):
        def signal(self, theta):
            return super().signal(theta)

    reference = weakref.ref(Local)
    del Local
    gc.collect()
    assert reference() is None


def test_derivatives_of_fewer_columns_are_refused():
    class WithBackground(Rate):
        parameter_names = ("R2", "background")
        bounds = np.array([[1.0, 100.0], [0.0, 1.0]])

        def signal(self, theta, jacobian=False):
            return super().signal(theta[:, :1], jacobian)

    assert WithBackground().signal([[20.0, 0.1]]).shape == (1, 3)
    with pytest.raises(ValueError, match="got 1 of the 2 columns of theta"):
        WithBackground().signal([[20.0, 0.1]], jacobian=True)


def test_further_arguments_reach_the_signal():
    class Scaled(Rate):
        def signal(self, theta, jacobian=False, *, scale=1.0):
            out = super().signal(theta, jacobian)
            return tuple(scale * part for part in out) if jacobian else scale * out

    theta = [[20.0]]
    np.testing.assert_array_equal(
        Scaled().signal(theta, scale=2.0), 2 * Rate().signal(theta)
    )


@pytest.mark.parametrize("make", [mt, fisp, water], ids=["MT", "FISP", "bSSFP"])
def test_a_subclass_of_a_compiled_model_is_seen_through_a_basis(make):
    """Their kernels project onto a basis, and know nothing of a subclass."""
    model = make(24)

    class Weighted(type(model)):
        def signal(self, theta, jacobian=False):
            weights = np.linspace(1, 2, self.n_features)
            out = super().signal(theta, jacobian)
            if not jacobian:
                return weights * out
            return weights * out[0], weights[:, None] * out[1]

    model.__class__ = Weighted
    theta, basis = draw(model, 4), orthonormal(24, 5)
    for jacobian in (False, True):
        whole = model.signal(theta, jacobian)
        small = model.compress(basis).signal(theta, jacobian)
        pairs = zip(whole, small, strict=True) if jacobian else [(whole, small)]
        for full, seen in pairs:
            expected = np.tensordot(full, basis, axes=([1], [0]))
            expected = np.moveaxis(expected, -1, 1)
            np.testing.assert_allclose(seen, expected, atol=1e-12 * np.abs(full).max())


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int16])
def test_signals_of_any_type_are_in_double_precision(kind):
    class Coarse(SignalModel):
        parameter_names = ("R2",)
        bounds = ((1.0, 100.0),)

        def signal(self, theta, jacobian=False):
            s = (900 * np.exp(-theta * TIMES)).astype(kind)
            ds = (-900 * TIMES * np.exp(-theta * TIMES)).astype(kind)[:, :, None]
            return (s, ds) if jacobian else s

    s, ds = Coarse().signal([[20.0]], jacobian=True)
    assert s.dtype == ds.dtype == np.float64
    assert cramer_rao_bound(Coarse(), [[20.0]]) == pytest.approx(1 / (ds**2).sum())
    reg = NLLSRegressor(Coarse(), initial="centre").fit(Coarse().signal([[30.0], [50.0]]))
    assert reg.predict(s)[0, 0] == pytest.approx(20.0, rel=1e-2)
