"""Models of a few lines, and what is measured of them."""

import numpy as np

from crbestim.models import SignalModel
from crbestim.parameters import Parameter

TIMES = np.linspace(0.0, 0.1, 12)


class Precession(SignalModel):
    """Decaying precession of a complex signal, with its exact Jacobian."""

    parameter_names = ("R2", "omega")
    bounds = np.array([[1.0, 100.0], [-100.0, 100.0]])

    def signal(self, theta, jacobian=False):
        s = np.exp((-theta[:, :1] + 1j * theta[:, 1:]) * TIMES)
        if not jacobian:
            return s
        return s, np.stack([-TIMES * s, 1j * TIMES * s], axis=-1)


class Amplitude(SignalModel):
    """Real decay, whose amplitude is a parameter."""

    parameter_names = ("amplitude", "rate")
    bounds = np.array([[0.0, 10.0], [1.0, 100.0]])

    def signal(self, theta):
        return theta[:, :1] * np.exp(-theta[:, 1:] * TIMES)


class Periodic(Precession):
    """Precession sampled so that omega is known up to a period."""

    period = 2 * np.pi / (TIMES[1] - TIMES[0])
    r2 = (1.0, 100.0)

    @property
    def parameters(self):
        limits = (-self.period / 2, self.period / 2)
        r2 = Parameter("R2", self.r2)
        return r2, Parameter("omega", limits, period=self.period)

    parameter_names = SignalModel.parameter_names
    bounds = SignalModel.bounds


class Fragile(Precession):
    """Precession whose signal or Jacobian is NaN for slow decay."""

    def __init__(self, wrong):
        self.wrong = wrong

    def signal(self, theta, jacobian=False):
        bad = np.where(theta[:, :1] < 10.0, np.nan, 1.0)
        signal, derivatives = super().signal(theta, jacobian=True)
        if self.wrong == "signal":
            signal = signal * bad
        else:
            derivatives = derivatives * bad[..., None]
        return (signal, derivatives) if jacobian else signal


def draw(n, seed=0, model=None):
    """Draw parameters well inside the bounds."""
    low, high = (model or Precession()).bounds.T
    u = np.random.default_rng(seed).uniform(0.1, 0.9, (n, len(low)))
    return low + (high - low) * u


def measured(n, snr=np.inf, seed=0, model=None):
    """Return noisy signals with random factors, and their parameters."""
    model = model or Precession()
    rng = np.random.default_rng(seed + 1)
    y = draw(n, seed, model)
    X = model.signal(y)
    if model.is_complex:
        X = X * np.exp(2j * np.pi * rng.random((n, 1)))
        X = X + rng.standard_normal((*X.shape, 2)).view(complex)[..., 0] / snr
    return X, y
