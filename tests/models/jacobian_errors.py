"""Errors of the Jacobian of every model in the list against differences of sixth order.

``python -m tests.models.jacobian_errors`` prints the largest of each model.
"""

import numpy as np

from tests.models.conftest import MODELS, draw, limits
from tests.reference.differences import derivative


def points(model):
    """Return random parameters, and middles of the bounds with one parameter at an end."""
    ends = np.tile(limits(model).mean(axis=1), (2 * model.n_parameters, 1))
    for k, bounds in enumerate(limits(model)):
        ends[2 * k : 2 * k + 2, k] = bounds
    return np.concatenate([draw(model, 4, seed=1), ends])


def relative_errors(model, theta):
    """Return norms of errors over norms of derivatives, (n_samples, n_parameters).

    Derivatives may vanish. To each norm is therefore added a tenth of the signal's per
    width of the bounds of the parameter: a derivative that hardly changes the signal.
    """
    s, jacobian = model.signal(theta, jacobian=True)
    errors = np.empty(theta.shape)
    for k, width in enumerate(np.ptp(limits(model), axis=1)):
        least = 0.1 * np.linalg.norm(s, axis=1) / width
        for i, x in enumerate(theta):
            expected, smooth = _differences(model, x, k)
            difference = (jacobian[i, :, k] - expected)[smooth]
            size = np.linalg.norm(expected[smooth]) + least[i]
            errors[i, k] = np.linalg.norm(difference) / size
    return errors


def _differences(model, x, k):
    """Return a derivative, and at which samples there is one to be had by differences."""
    parameter, values = model.parameters[k], []
    low, high = limits(model)[k]
    step = 3e-5 * (high - low)
    if low > 0:
        # A time near the lower end of wide bounds.
        step = min(step, 0.01 * x[k])

    def watched(theta):
        values.append(model.signal(theta))
        return values[-1]

    expected = derivative(watched, x, k, step, parameter.domain)
    if not model.is_magnitude:
        return expected, np.ones(len(expected), dtype=bool)
    # A magnitude has a kink where it is zero. It may be zero between two points if it is
    # no larger than what it changes by.
    return expected, values[0].min(axis=0) >= np.ptp(values[0], axis=0)


def main():
    """Print the largest error of each model, and the parameter that has it."""
    print(f"{'model':26}{'largest error':>13}  of")
    for name, make in MODELS.items():
        model = make()
        error = relative_errors(model, points(model)).max(axis=0)
        print(f"{name:26}{error.max():13.1e}  {model.parameter_names[error.argmax()]}")


if __name__ == "__main__":
    main()
