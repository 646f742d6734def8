"""The code of the page "Your own signal model", which shows it piece by piece."""

# ruff: noqa: E402, I001
# begin function
import numpy as np

from crbestim.models import FunctionModel

te = 0.01 * np.arange(1, 33)  # s


def two_waters(theta):
    """Water between myelin sheets and other water, at each echo."""
    mwf, t2_my, t2_ie = theta
    return mwf * np.exp(-te / t2_my) + (1 - mwf) * np.exp(-te / t2_ie) + 0j


bounds = [(0.0, 0.5), (5e-3, 0.04), (0.05, 0.2)]
model = FunctionModel(two_waters, ["mwf", "T2my", "T2ie"], bounds)
# end function

# begin bound
from crbestim.bounds import cramer_rao_bound

tissue = [[0.15, 0.02, 0.08]]
print("standard deviations at SNR 500:")
print(np.sqrt(cramer_rao_bound(model, tissue, noise_std=1 / 500)))
# end bound

# begin estimators
from scipy.stats import uniform

from crbestim import CRBRegressor, NLLSRegressor, OneStepRegressor
from crbestim.datasets import make_fingerprints
from sklearn.frozen import FrozenEstimator

wide = {p.name: uniform(p.bounds[0], p.width) for p in model.parameters}
X, y, crb = make_fingerprints(
    model, 1000, snr=(300, 1000), distributions=wide, random_state=0, return_crb=True
)
network = CRBRegressor(model, hidden_layer_sizes=(32, 32), max_iter=20, random_state=0)
network.fit(X, y, crb=crb)
fit = NLLSRegressor(model).fit(X, y)
step = OneStepRegressor(FrozenEstimator(network), model).fit(X, y)
estimates = [e.predict(X[:50]) for e in (network, fit, step)]
# end estimators


# begin vectorized
def two_waters_of_many(theta):
    """Return the same for many voxels at a time."""
    mwf, t2_my, t2_ie = theta.T[:, :, None]
    return mwf * np.exp(-te / t2_my) + (1 - mwf) * np.exp(-te / t2_ie) + 0j


many = FunctionModel(two_waters_of_many, model.parameter_names, model.bounds)
# end vectorized

# begin parameters
from crbestim.parameters import Parameter

parameters = [
    Parameter("mwf", (0.0, 0.5), domain=(0.0, 1.0), distribution=uniform(0.0, 0.3)),
    Parameter("T2my", (5e-3, 0.04), domain=(1e-4, 1.0), unit="s", symbol="T_{2,my}"),
    Parameter("T2ie", (0.05, 0.2), domain=(1e-3, 5.0), unit="s", symbol="T_{2,ie}"),
]
with_units = FunctionModel(two_waters_of_many, parameters)
# end parameters

# begin magnitude
ti = np.array([0.05, 0.2, 0.5, 1.0, 3.0])  # s


def recovery(theta):
    """Return an inversion recovery, negative at first."""
    m0, t1 = theta
    return m0 * (1 - 2 * np.exp(-ti / t1))


magnitudes = FunctionModel(
    recovery,
    ["M0", "T1"],
    [(0.0, np.inf), (0.1, 5.0)],
    amplitude="M0",
    signal="magnitude",
    noise="rician",
)
print("standard deviations of magnitudes at SNR 50:")
print(np.sqrt(cramer_rao_bound(magnitudes, [[1.0, 0.9]], noise_std=1 / 50)))
# end magnitude

# begin numba
import numba

compiled = FunctionModel(numba.njit(two_waters), model.parameter_names, model.bounds)
# end numba

# begin torch
import torch

echoes = torch.from_numpy(te)


def two_waters_in_torch(theta):
    """Return the same as a tensor of complex numbers."""
    mwf, t2_my, t2_ie = theta
    s = mwf * torch.exp(-echoes / t2_my) + (1 - mwf) * torch.exp(-echoes / t2_ie)
    return torch.complex(s, torch.zeros_like(s))


automatic = FunctionModel(
    two_waters_in_torch, model.parameter_names, model.bounds, backend="torch"
)
# end torch

# begin class
from crbestim.models import SignalModel


class TwoWaters(SignalModel):
    """Two waters at echo times that are its own."""

    parameter_names = ("mwf", "T2my", "T2ie")
    bounds = ((0.0, 0.5), (5e-3, 0.04), (0.05, 0.2))

    def __init__(self, te):
        self.te = np.asarray(te)

    def signal(self, theta, jacobian=False):
        """Return the signal, (n, n_features), and (n, n_features, 3) derivatives."""
        mwf, t2_my, t2_ie = np.asarray(theta, dtype=float).T[:, :, None]
        my, ie = np.exp(-self.te / t2_my), np.exp(-self.te / t2_ie)
        s = mwf * my + (1 - mwf) * ie + 0j
        if not jacobian:
            return s
        d_my = mwf * my * self.te / t2_my**2
        d_ie = (1 - mwf) * ie * self.te / t2_ie**2
        return s, np.stack([my - ie, d_my, d_ie], axis=-1) + 0j


analytic = TwoWaters(te)
# end class

# begin error
print("estimated errors of derivatives by differences:", model.jacobian_error(tissue))
print("analytic derivatives against differences:", analytic.jacobian_error(tissue))
# end error
