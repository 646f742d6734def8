r"""Derivatives by differences of fourth order that estimate their own error.

A derivative is that of the polynomial through five equally spaced points. The derivative is
taken at the middle one, or nearer to an end of the interval where there is no room for two
points beyond (Fornberg, Math. Comp. 1988, doi 10.1090/S0025-5718-1988-0935077-0). The
fourth difference of the five values vanishes for polynomials of third degree. Noise and
rounding of standard deviation :math:`\varepsilon` give it a standard deviation of
:math:`\sqrt{70}\,\varepsilon`, from which their effect on the derivative follows; steps
that are too long, kinks and jumps make it larger.
"""

from dataclasses import dataclass

import numpy as np

from ..kernels.differences import WEIGHTS, places

_BINOMIAL = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
# Where a derivative vanishes, for instance by symmetry, differences consist of rounding
# errors. A column below this fraction of the signal over the scale of the parameter, and
# below so many times its estimated error, is zero.
_LEAST_COLUMN, _LEAST_ERRORS = 1e-4, 10


@dataclass(frozen=True)
class Differences:
    """Derivatives by differences, with the norms of their columns and estimated errors.

    A column of which only rounding errors would be left is zero. `error`, `norm` and `size`
    are of shape (n_samples, n_parameters). `size` is the norm, or a least size of columns
    that nearly vanish; `norm` has that only of columns that are zero.
    """

    jacobian: np.ndarray
    error: np.ndarray
    norm: np.ndarray
    size: np.ndarray


def differentiate(f, theta, values, parameters, fraction):
    """Differentiate with respect to each parameter, by four evaluations of each.

    A step is the `fraction` of the width of the bounds or, if they exclude zero, of the
    parameter's size where that is smaller. No step leaves the bounds or, for theta outside
    them, the domain.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models._differences import differentiate
    >>> from crbestim.parameters import Parameter
    >>> x, rate = np.array([[2.0]]), Parameter("rate", bounds=(0.0, 2.0))
    >>> found = differentiate(np.exp, x, np.exp(x), [rate], 1e-3)
    >>> bool(abs(found.jacobian[0, 0, 0] / np.exp(2.0) - 1) < 1e-11)
    True
    """
    n_samples, n_parameters = theta.shape
    dtype = np.result_type(values.dtype, float)
    jacobian = np.empty((*values.shape, n_parameters), dtype)
    error, norm, size = np.empty((3, n_samples, n_parameters))
    floor = _LEAST_COLUMN * np.linalg.norm(values, axis=1)
    for k, parameter in enumerate(parameters):
        step, scale, low, high = np.empty((4, n_samples))
        first = np.empty(n_samples, dtype=np.int64)
        places(theta[:, k], setting(parameter, fraction), step, first, scale, low, high)
        column, fourth = np.zeros((2, *values.shape), dtype)
        weights = WEIGHTS[first + 4]
        for j in range(4):
            place = first + j + (first + j >= 0)
            moved = theta.copy()
            moved[:, k] = np.clip(theta[:, k] + place * step, low, high)
            with np.errstate(invalid="ignore", over="ignore"):
                change = f(moved) - values
                column += weights[:, j, None] * change
                fourth += _BINOMIAL[place - first, None] * change
        jacobian[:, :, k] = column / step[:, None]
        noise = np.linalg.norm(fourth, axis=1) / np.linalg.norm(_BINOMIAL)
        gain = np.hypot(np.linalg.norm(weights, axis=1), weights.sum(axis=1))
        error[:, k] = gain * noise / step
        norm[:, k] = np.linalg.norm(jacobian[:, :, k], axis=1)
        size[:, k] = np.maximum(norm[:, k], floor / scale)
    is_zero = (norm < size) & (norm <= _LEAST_ERRORS * error)
    jacobian[np.broadcast_to(is_zero[:, None], jacobian.shape)] = 0.0
    norm, size = np.maximum([np.where(is_zero, size, norm), size], np.finfo(float).tiny)
    return Differences(jacobian, error, norm, size)


def setting(parameter, fraction):
    """Return what kernels know of a parameter, with the step as a fraction of its scale."""
    return np.array([*parameter.bounds, *parameter.domain, fraction], dtype=float)
