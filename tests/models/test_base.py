import copy
import pickle

import numpy as np
import pytest

from crbestim.exceptions import ImplausibleValueWarning
from crbestim.models import SignalModel
from crbestim.parameters import Parameter

TIMES = np.array([0.01, 0.02, 0.05])


class Decay(SignalModel):
    """The least that a model needs."""

    parameter_names = ("A", "R2")
    bounds = np.array([[0.1, 2.0], [1.0, 100.0]])

    def signal(self, theta):
        amplitude, rate = theta.T[:, :, None]
        return amplitude * np.exp(-(rate + 30j) * TIMES)


class DecayInUnits(SignalModel):
    """The same with units and limits, which it gets when it is made."""

    def __init__(self, low=1.0):
        self.parameters = (
            Parameter("R2", bounds=(low, 100.0), domain=(0.0, 500.0), unit="1/s"),
            Parameter("TE", bounds=(5e-3, 50e-3), domain=(1e-3, 0.1), unit="s"),
        )

    def signal(self, theta):
        return np.exp(-theta[:, :1] * (theta[:, 1:] + TIMES))


def exact_jacobian(theta):
    amplitude, rate = theta.T[:, :, None]
    decay = np.exp(-(rate + 30j) * TIMES)
    return np.stack([decay, -amplitude * TIMES * decay], axis=-1)


def test_three_things_make_a_model():
    model = Decay()
    assert model.parameter_names == ("A", "R2")
    assert (model.n_parameters, model.n_features, model.is_complex) == (2, 3, True)
    assert [p.name for p in model.parameters] == ["A", "R2"]
    assert [p.bounds for p in model.parameters] == [(0.1, 2.0), (1.0, 100.0)]
    assert np.isinf(model.periods).all()


def test_central_differences():
    model = Decay()
    theta = np.array([[0.5, 3.0], [1.0, 20.0], [2.0, 100.0], [0.1, 1.0]])
    s, jacobian = model.signal(theta, jacobian=True)
    np.testing.assert_array_equal(s, model.signal(theta))
    # The fifth derivative times step**4 / 5 at an end, (0.02 * 0.05)**4 / 5 = 2e-13, and
    # rounding, six times 1e-16 of the signal over the step, 2e-4.
    np.testing.assert_allclose(jacobian, exact_jacobian(theta), rtol=1e-12, atol=4e-12)


def test_the_step_of_differences_can_be_chosen():
    model = Decay()
    model.difference_step = 0.05
    theta = np.array([[1.0, 40.0]])
    error = model.signal(theta, jacobian=True)[1] - exact_jacobian(theta)
    # A step of 0.05 * 40 1/s, R2 being less than the width of its bounds, and an error of
    # (step * 0.05)**4 / 30 at the last sample.
    assert np.abs(error[0, 2, 1] / exact_jacobian(theta)[0, 2, 1]) == pytest.approx(
        (2 * 0.05) ** 4 / 30, rel=1e-2
    )


def test_differences_stay_in_the_domain():
    seen = []

    class Watched(DecayInUnits):
        def signal(self, theta):
            seen.append(theta)
            return super().signal(theta)

    model = Watched()
    ends = np.array([[0.0, 1e-3], [500.0, 0.1]])
    with pytest.warns(ImplausibleValueWarning):
        _, jacobian = model.signal(ends, jacobian=True)
    for k, parameter in enumerate(model.parameters):
        values = np.concatenate(seen)[:, k]
        assert parameter.domain[0] <= values.min() < values.max() <= parameter.domain[1]
    # Fourth order also on one side: (0.1 * 0.1)**4 / 5 at most, and rounding.
    with pytest.warns(ImplausibleValueWarning):
        s = model.signal(ends)
    expected = np.stack([-(ends[:, 1:] + TIMES) * s, -ends[:, :1] * s], axis=-1)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-8, atol=1e-11)


def test_a_jacobian_of_its_own_is_used():
    class Exact(Decay):
        def signal(self, theta, jacobian=False):
            s = super().signal(theta)
            return (s, exact_jacobian(theta)) if jacobian else s

    theta = np.array([[1.0, 20.0]])
    _, jacobian = Exact().signal(theta, jacobian=True)
    np.testing.assert_array_equal(jacobian, exact_jacobian(theta))


@pytest.mark.parametrize("form", [list, tuple, np.array])
def test_bounds_and_names_of_any_kind(form):
    class Same(Decay):
        parameter_names = form(["A", "R2"])
        bounds = form([[0.1, 2], [1, 100]])

    assert [p.bounds for p in Same().parameters] == [(0.1, 2.0), (1.0, 100.0)]
    s, _ = Same().signal([[1, 20]], jacobian=True)
    np.testing.assert_array_equal(s, Decay().signal([[1.0, 20.0]]))
    assert Same().n_features == 3


class Nameless(SignalModel):
    bounds = np.array([[0.0, 1.0]])


class Boundless(SignalModel):
    parameter_names = ("a",)


class Silent(SignalModel):
    parameter_names = ("a",)
    bounds = np.array([[0.0, 1.0]])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (SignalModel, "SignalModel lacks parameter_names; define `parameter_names` and"),
        (Nameless, "Nameless lacks parameter_names"),
        (Boundless, "Boundless lacks bounds; define `parameter_names` and `bounds`, or"),
    ],
)
def test_parts_that_are_missing_are_named(model, message):
    with pytest.raises(TypeError, match=message):
        list(model().parameters)
    with pytest.raises(TypeError, match=message):
        model().signal([[0.5]])


@pytest.mark.parametrize("jacobian", [False, True])
def test_a_missing_signal_is_named(jacobian):
    with pytest.raises(
        NotImplementedError, match=r"Silent lacks signal\(theta\), .*define"
    ):
        Silent().signal([[0.5]], jacobian=jacobian)


@pytest.mark.parametrize("bounds", [[1.0, 100.0], [[1.0, 100.0]] * 3, [[1.0], [2.0]]])
def test_bounds_of_another_shape(bounds):
    class Wrong(Decay):
        pass

    Wrong.bounds = np.array(bounds)
    message = r"bounds of Wrong have shape .*; give \(2, 2\), a row .* of \('A', 'R2'\)"
    with pytest.raises(ValueError, match=message):
        list(Wrong().parameters)


def test_bounds_in_the_wrong_order():
    class Wrong(Decay):
        bounds = np.array([[0.1, 2.0], [100.0, 1.0]])

    with pytest.raises(ValueError, match=r"bounds of R2 are \(.*100.*1.*\); give \(low"):
        list(Wrong().parameters)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_parameters_given_to_one_model_go_with_its_copies(copied):
    model = DecayInUnits(low=2.0)
    theta = np.array([[20.0, 0.01]])
    s = model.signal(theta)
    assert model.n_features == 3
    twin = copied(model)
    assert twin.parameter_names == ("R2", "TE")
    assert twin.bounds[0].tolist() == [2.0, 100.0]
    np.testing.assert_array_equal(twin.signal(theta), s)


def test_one_sample_may_be_a_vector():
    assert Decay().signal([1.0, 20.0]).shape == (1, 3)


def test_values_that_are_far_from_the_bounds_bring_a_warning():
    with pytest.warns(
        ImplausibleValueWarning,
        match="R2 = 0.05 1/s in row 1 of theta is far from the bounds 1 to 100 1/s. Is it",
    ) as record:
        DecayInUnits().check_theta([[20.0, 0.01], [0.05, 0.01]])
    assert len(record) == 1
    with pytest.warns(ImplausibleValueWarning, match="A = 50 in row 0 .* 0.1 to 2.$"):
        Decay().check_theta([[50.0, 20.0]])


@pytest.mark.parametrize(("value", "unit"), [(12.0, "milli"), (12e3, "micro")])
def test_times_in_another_unit(value, unit):
    with pytest.raises(ValueError, match=f"TE = .*; it looks like {unit}seconds, give s"):
        DecayInUnits().check_theta([[20.0, value]])


def test_no_hint_where_no_unit_fits():
    with pytest.raises(ValueError, match="0.001 to 0.1 s, where the model holds.$"):
        DecayInUnits().check_theta([[20.0, 0.5]])
    with pytest.raises(ValueError, match="0 to 500 1/s, where the model holds.$"):
        DecayInUnits().check_theta([[-20.0, 0.01]])


def test_text_is_no_theta():
    with pytest.raises(ValueError, match="theta holds values of type <U3"):
        Decay().check_theta([["one", "two"]])


@pytest.mark.parametrize("n", [0, 1, 256, 600])
@pytest.mark.parametrize("jacobian", [False, True])
def test_projection_in_blocks_is_projection(n, jacobian):
    model, basis = Decay(), np.eye(3)[:, 1:]
    theta = np.linspace([0.5, 5.0], [1.5, 60.0], n).reshape(n, 2)
    parts = model.project(theta, basis, jacobian=jacobian)
    s, derivatives = model.signal(theta, jacobian=True)
    np.testing.assert_array_equal(parts[0] if jacobian else parts, s[:, 1:])
    if jacobian:
        np.testing.assert_array_equal(parts[1], derivatives[:, 1:])


def test_signal_without_jacobian_gets_one():
    class Squares(SignalModel):
        parameter_names = ("a",)

        def __init__(self):
            self.bounds = [(0.0, 2.0)]

        def signal(self, theta):
            return theta**2 * np.array([1.0, 3.0])

    s, J = Squares().signal([[1.5]], jacobian=True)
    np.testing.assert_allclose(s, [[2.25, 6.75]])
    np.testing.assert_allclose(J, [[[3.0], [9.0]]], rtol=1e-9)
    assert Squares().bounds.shape == (1, 2)
