"""Signals and derivatives that are not finite: where, and of what, is said."""

import numpy as np
import pytest

from crbestim import NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.models import FunctionModel, SignalModel

B = np.array([0.0, 0.5, 1.0, 2.0])
NAMES, BOUNDS = ["D", "alpha"], [(0.1, 3.0), (0.3, 1.0)]
OF_ALPHA = r"the derivative by alpha is not finite at feature 0 \(nan\); the signal is"


def stretched(theta):
    D, alpha = theta
    return np.exp(-((B * D) ** alpha))


def wrong_jacobian(theta):
    D, alpha = theta
    x = B * D
    slope = -stretched(theta)[:, None] * x[:, None] ** alpha
    with np.errstate(all="ignore"):
        # By alpha it is 0 log(0) at the first sample.
        return slope * np.stack([np.full(4, alpha / D), np.log(x)], axis=1)


class Stretched(SignalModel):
    """Its derivative by alpha is not finite where it has samples at 0."""

    parameter_names, bounds = tuple(NAMES), np.array(BOUNDS)

    def signal(self, theta, jacobian=False):
        s = np.stack([stretched(row) for row in theta])
        if not jacobian:
            return s
        return s, np.stack([wrong_jacobian(row) for row in theta])


def test_a_function_is_tried_when_the_model_is_made():
    told = "of FunctionModel 'stretched'; mend the function"
    with pytest.raises(ValueError, match=f"{OF_ALPHA}, as all over .*{told}"):
        FunctionModel(stretched, NAMES, BOUNDS, jacobian=wrong_jacobian)
    with pytest.raises(ValueError, match=r"the signal is not finite at feature 2 \(nan\)"):
        FunctionModel(lambda theta: np.where(B == 1, np.nan, B * theta[0]), NAMES, BOUNDS)


def test_so_is_a_function_of_tensors():
    torch = pytest.importorskip("torch")

    def of_tensor(theta):
        D, alpha = theta
        return torch.exp(-((torch.from_numpy(B) * D) ** alpha))

    with pytest.raises(ValueError, match=OF_ALPHA.replace("alpha", "D, alpha")):
        FunctionModel(of_tensor, NAMES, BOUNDS, backend="torch")


def test_a_gap_in_the_middle_is_allowed():
    def two_rates(theta):
        first, second = theta
        with np.errstate(all="ignore"):
            return (np.exp(-B * first) - np.exp(-B * second)) / (first - second)

    model = FunctionModel(two_rates, ["first", "second"], [(0.0, 2.0), (0.0, 2.0)])
    assert model.n_features == 4


def test_the_bound_says_what_is_not_finite_and_where():
    told = rf"Stretched: {OF_ALPHA}, for row 1 of theta, \[1\. +0\.7\]; leave such rows"
    model = FunctionModel(stretched, NAMES, BOUNDS)
    crb = cramer_rao_bound(model, [[2.0, 0.7]], noise_std=0.01)
    assert np.isfinite(crb).all()

    class Partly(Stretched):
        def signal(self, theta, jacobian=False):
            out = super().signal(theta, jacobian)
            if jacobian:
                out[1][theta[:, 0] == 2.0] = model.signal([[2.0, 0.7]], jacobian=True)[1]
            return out

    told = told.replace("Stretched", "Partly")
    with pytest.raises(ValueError, match=told):
        cramer_rao_bound(Partly(), [[2.0, 0.7], [1.0, 0.7]])


@pytest.mark.parametrize("kind", [NLLSRegressor, OneStepRegressor])
def test_estimators_say_it_too(kind):
    theta = np.array([[1.0, 0.7], [2.0, 0.8], [0.5, 0.5]])
    told = f"{OF_ALPHA}: so it is at all start values, and {kind.__name__} cannot search"
    with pytest.raises(ValueError, match=told):
        kind(model=Stretched()).fit(Stretched().signal(theta), theta)
