"""A model of magnitudes, for the tests of their noise."""

import numpy as np

from crbestim.models import SignalModel


class MagnitudeDecay(SignalModel):
    """Decay of a magnitude, with its exact Jacobian."""

    parameter_names = ("amplitude", "rate")
    bounds = np.array([[0.5, 1.5], [5.0, 40.0]])
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
