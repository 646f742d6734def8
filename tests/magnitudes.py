"""A model of magnitudes, for the tests of their noise."""

import numpy as np
from scipy.stats import uniform

from crbestim.models import SignalModel
from crbestim.parameters import Parameter


class MagnitudeDecay(SignalModel):
    """Decay of a magnitude, with its exact Jacobian."""

    parameters = (
        Parameter("amplitude", (0.5, 1.5), distribution=uniform(0.5, 1.0)),
        Parameter("rate", (5.0, 40.0), distribution=uniform(5.0, 35.0)),
    )
    is_magnitude = True
    times = 0.01 * np.arange(1, 13)

    def __init__(self, noise="gaussian"):
        self.noise = noise

    def __repr__(self):
        return f"MagnitudeDecay(noise={self.noise!r})"

    def signal(self, theta, jacobian=False):
        amplitude, rate = np.asarray(theta, dtype=float).T[:, :, None]
        decay = np.exp(-rate * self.times)
        if not jacobian:
            return amplitude * decay
        return amplitude * decay, np.stack([decay, -amplitude * self.times * decay], -1)
