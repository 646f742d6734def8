"""Texts of models: the call that makes the model, and a short form for messages."""

import functools

import numpy as np
import pytest
from scipy import stats

from crbestim.models import FunctionModel, MonoExponential, SignalModel
from crbestim.noise import Noise
from crbestim.parameters import Parameter
from tests.models.test_base import Decay


class Protocol(SignalModel):
    """A user's model with arguments, one of which it does not keep."""

    parameter_names = ("R2",)
    bounds = ((1.0, 100.0),)

    def __init__(self, te, *others, weight=1.0, unit="s", **options):
        self.te, self.weight = np.asarray(te), weight

    def signal(self, theta):
        return np.exp(-theta * self.te)


def test_the_text_of_a_users_model():
    assert repr(Decay()) == str(Decay()) == "Decay()"
    text = "Protocol(te=[0.01, 0.02], weight=2.0, unit=...)"
    assert repr(Protocol([0.01, 0.02], weight=np.float64(2.0))) == text
    assert str(Protocol(np.arange(20))) == "Protocol(te=<20 values>, unit=...)"

    class Named(Protocol):
        def __repr__(self):
            return "mine"

    assert str(Named([0.01])) == "mine"
    assert str(Named([0.01]).compress([[1.0]])) == "mine.compress(<basis of 1 components>)"


def test_the_text_of_a_shipped_model():
    bounds = {"M0": (10, 1e5)}
    model = MonoExponential([0.01, 0.05, 0.1], signal="magnitude", bounds=bounds)
    assert repr(model) == (
        "MonoExponential(te=[0.01, 0.05, 0.1], signal='magnitude', "
        "bounds={'M0': (10.0, 100000.0)})"
    )
    endless = MonoExponential([0.0, 0.1], signal="magnitude", bounds={"M0": (0, np.inf)})
    assert "bounds={'M0': (0.0, float('inf'))}" in repr(endless)
    assert eval(repr(endless)).bounds[1].tolist() == [0.0, np.inf]
    assert eval(repr(model)).parameters[1].usual == model.parameters[1].usual


# Functions


def power(exponent, x):
    return x**exponent * np.ones(3)


def decay(theta):
    return np.exp(-0.02 / theta) * np.ones(3)


def decay_slope(theta):
    return (0.02 / theta**2 * decay(theta))[..., None]


TEXTS = {
    "FunctionModel(decay, ['T2'], bounds=[(0.01, 1.0)])": {},
    "FunctionModel(decay, ['T2'], bounds=[(0.01, 1.0)], vectorized=False)": {
        "vectorized": False
    },
    "FunctionModel(decay, ['T2'], bounds=[(0.01, 1.0)], jacobian=decay_slope, "
    "difference='none', name='other')": {
        "jacobian": decay_slope,
        "difference": "none",
        "name": "other",
    },
    "FunctionModel(decay, ['T2'], bounds=[(0.01, 1.0)], "
    "distributions={'T2': stats.uniform(0.02, scale=0.1)})": {
        "distributions": {"T2": stats.uniform(0.02, scale=0.1)}
    },
}


@pytest.mark.parametrize(("text", "options"), TEXTS.items())
def test_the_text_can_be_pasted_back(text, options):
    model = FunctionModel(decay, ["T2"], [(0.01, 1.0)], **options)
    assert repr(model) == text == repr(eval(text)) == str(model)
    for part, value in zip(
        *(m.signal([[0.1]], True) for m in (eval(text), model)), strict=True
    ):
        np.testing.assert_array_equal(part, value)


def test_the_text_with_parameters_of_their_own():
    parameter = Parameter("T2", (0.01, 1.0), (0.0, 9.0), unit="s", period=2.0)
    text = (
        "FunctionModel(decay, [Parameter(name='T2', bounds=(0.01, 1.0), domain=(0.0, 9.0), "
        "unit='s', period=2.0)])"
    )
    assert repr(FunctionModel(decay, [parameter])) == text
    assert eval(text).parameters == (parameter,)


def test_the_text_of_a_function_with_constants_and_of_infinite_bounds():
    model = FunctionModel(functools.partial(power, 3), ["x"], [(0.0, np.inf)])
    text = "FunctionModel(partial(power, 3), ['x'], bounds=[(0.0, float('inf'))])"
    assert repr(model) == text


class Coils(Noise):
    """A user's noise with an argument."""

    def __init__(self, n_coils=1):
        self.n_coils = n_coils


def test_the_text_of_noise():
    assert repr(Coils()) == "Coils()" and repr(Coils(4)) == "Coils(n_coils=4)"
    model = MonoExponential([0.01, 0.02], signal="magnitude", noise=Coils(4))
    text = "MonoExponential(te=[0.01, 0.02], signal='magnitude', noise=Coils(n_coils=4))"
    assert repr(model) == text
    assert eval(text).noise.n_coils == 4
