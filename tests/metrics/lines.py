"""A model of one parameter, and an estimator that is efficient for it."""

import numpy as np

from crbestim.models import SignalModel


class Line(SignalModel):
    """Two samples of a line through the origin."""

    parameter_names = ("slope",)
    bounds = np.array([[-10.0, 10.0]])

    def signal(self, theta):
        return theta * np.array([1.0, 2.0])


class Scaled:
    """Least squares times a factor: unbiased for factor 1."""

    def __init__(self, factor):
        self.factor = factor

    def predict(self, X):
        return self.factor * X @ np.array([[1.0], [2.0]]) / 5
