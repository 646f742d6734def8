"""Pickles hold the version of the library, and say so if it differs."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import crbestim
from crbestim import NLLSRegressor
from crbestim.exceptions import VersionWarning
from crbestim.models import MonoExponential, SignalModel
from crbestim.subspace import SubspaceProjection

MODEL = MonoExponential([0.01, 0.03, 0.1])
X = MODEL.signal([[0.05], [0.08], [0.1]])


@pytest.mark.parametrize(
    "value", [MODEL, NLLSRegressor(MODEL).fit(X), SubspaceProjection(1).fit(X)], ids=str
)
def test_pickles_hold_the_version(value, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("crbestim._version.__version__", "0.0.9")
        old = pickle.dumps(value)
    name, now = type(value).__name__, crbestim.__version__
    with pytest.warns(VersionWarning) as told:
        twin = pickle.loads(old)
    text = f"{name} was stored by crbestim 0.0.9, and this is {now}"
    assert any(str(warning.message).startswith(text) for warning in told)
    assert {warning.filename for warning in told} == {__file__}
    assert "_crbestim_version" not in vars(twin)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pickle.loads(pickle.dumps(copy.deepcopy(twin)))
    assert repr(again) == repr(value)


class Slotted(SignalModel):
    """A model with a slot beside its attributes."""

    __slots__ = ("extra",)
    parameter_names, bounds = ("a",), ((0, 1),)

    def signal(self, theta):
        return theta * self.extra


def test_models_with_slots_are_copied():
    model = Slotted()
    model.extra, model.more = np.ones(3), 2
    for twin in (copy.copy(model), copy.deepcopy(model)):
        assert twin.more == 2 and twin.extra.tolist() == [1, 1, 1]
