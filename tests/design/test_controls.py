"""Settings that a design may change: every model of the list, and a user's own."""

import numpy as np
import pytest

from crbestim.design import Limits, bound_objective, optimize_sequence
from crbestim.models import (
    MOLLI,
    MP2RAGE,
    FunctionModel,
    IntravoxelIncoherentMotion,
    InversionRecovery,
    LookLocker,
    MTsat,
    SignalModel,
)
from crbestim.models._controls import duration_of, settings_of, with_settings
from crbestim.models.views import CompressedModel, GivenModel, WhitenedModel
from tests.models.conftest import MODELS, fisp, mt


class Echoes(SignalModel):
    """A user's own model with echo times as controls."""

    parameter_names = ("R2",)
    bounds = ((1.0, 100.0),)
    controls = {"te": (1e-3, 0.2, "s")}

    def __init__(self, te, *, power=1):
        self.te, self.power = np.asarray(te, dtype=float), power

    def signal(self, theta):
        return np.exp(-((theta * self.te) ** self.power)) + 0j


# Functions hold their settings themselves; those of torch take long to load.
DECLARING = {k: v for k, v in MODELS.items() if k not in ("numba", "torch")}


@pytest.fixture(scope="module", params=DECLARING.values(), ids=DECLARING)
def model(request):
    return request.param()


def test_a_model_is_made_again_with_other_settings(model):
    if isinstance(model, CompressedModel | WhitenedModel):
        with pytest.raises(ValueError, match="seen through a basis"):
            settings_of(model)
        return
    controls, values = settings_of(model)
    if not controls:
        return
    assert repr(with_settings(model, values)) == repr(model)
    for name, value in values.items():
        low, high = (np.broadcast_to(end, value.shape) for end in controls[name][:2])
        moved = np.clip(value, low, high)
        moved = moved + np.where(moved < (low + high) / 2, 1, -1) * 0.01 * (high - low)
        other = with_settings(model, {name: moved})
        assert np.allclose(settings_of(other)[1][name], moved, rtol=1e-12)
        assert other.parameter_names == model.parameter_names


def test_every_model_of_the_library_has_controls():
    library = {type(m()) for m in DECLARING.values()}
    library -= {CompressedModel, FunctionModel, GivenModel}
    bare = [
        kind.__name__
        for kind in library
        if kind.__module__.startswith("crbestim.models") and not kind.controls
    ]
    assert not bare, f"give {sorted(bare)} controls, see docs/guide/design.rst"


def test_given_parameters_stay_given():
    model = mt(12, joint_r1=False).fix(R1s=3.0).given("B1").at([[0.9], [1.1]])
    alpha = np.append(np.pi, np.full(11, 0.4))
    other = with_settings(model, {"alpha": alpha})
    assert other.known.tolist() == [[0.9], [1.1]] and other.constants == {"R1s": 3.0}
    assert other.model.sequence.alpha.tolist() == alpha.tolist()


@pytest.mark.parametrize(
    ("model", "seconds"),
    [
        (mt(20), 20 * 3.5e-3),
        (fisp(40), 20e-3 + fisp(40).tr.sum()),
        (InversionRecovery([0.1, 1.0, 2.0], tr=3.0), 9.0),
        (IntravoxelIncoherentMotion([0, 1e8, 9e8]), 3),
        (MP2RAGE([0.8, 2.7], 7e-3, 6.0, [0.07, 0.09], 160), 6.0),
        (MTsat([0.1, 0.1, 0.4], 0.025, te=[2e-3, 5e-3]), 0.075),
        (LookLocker([0.1, 0.2, 0.4], 0.1, 0.1, tr=4.0), 4.0),
        (LookLocker([0.1, 0.2, 0.4], 0.1, 0.1), 0.5),
        (MOLLI(*MOLLI.schedule("3(1)2", 0.1, 1.0), 3e-3, 0.6, 20), 5.0),
    ],
)
def test_duration(model, seconds):
    assert duration_of(model) == pytest.approx(seconds, rel=1e-14)


def test_a_users_model_is_designed():
    result = optimize_sequence(Echoes([0.01, 0.05]), [[20.0]])
    # Two echoes with an unknown M0 are best 1.11 T2 apart (exp(x) (x - 1) = exp(-x)).
    assert np.ptp(result.model.te) == pytest.approx(1.109 / 20, rel=2e-3)
    assert result.model.power == 1


def test_what_cannot_be_designed_says_why():
    class Bare(Echoes):
        controls = {}

    class Forgets(Echoes):
        def __init__(self, te, *, power=1):
            self.te = np.asarray(te, dtype=float)

        power = property()
        signal = SignalModel.signal

    with pytest.raises(TypeError, match=r"no controls; set the attribute `controls`"):
        bound_objective(Bare([0.01, 0.05]), [[20.0]])
    times = np.array([1.0, 2.0])
    model = FunctionModel(lambda theta: np.exp(-theta * times), ["R"], [(0.1, 1.0)])
    two = FunctionModel(
        lambda x: x[0] * np.exp(-x[1] * times), ["a", "R"], [(0.1, 1.0)] * 2
    )
    for view in (model, two.given("a").at([[0.5]])):
        message = "a function of the parameters has no acquisition to change. Write a sub"
        with pytest.raises(TypeError, match=message):
            bound_objective(view, [[0.5]])
    forgets = Forgets([0.01, 0.05])
    with pytest.raises(TypeError, match=r"argument power.* store it as self.power"):
        with_settings(forgets, {"te": [0.01]})
    with pytest.raises(
        ValueError, match="limits name b, foo; the controls of Echoes are te"
    ):
        optimize_sequence(
            Echoes([0.01, 0.05]), [[20.0]], limits=Limits(b=(0, 1), foo=(0, 1))
        )
