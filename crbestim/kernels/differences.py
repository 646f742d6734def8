"""Where differences of fourth order are taken, and how they weigh."""

import numpy as np

from ._compile import borrowing

# Weights of the four neighbours of x in the derivative there. In row k the first of the
# five points lies 4 - k steps below x. The value at x is subtracted from the others and
# needs no weight.
WEIGHTS = np.array(
    [
        [1 / 4, -4 / 3, 3, -4],
        [-1 / 12, 1 / 2, -3 / 2, 1 / 4],
        [1 / 12, -2 / 3, 2 / 3, -1 / 12],
        [-1 / 4, 3 / 2, -1 / 2, 1 / 12],
        [4, -3, 4 / 3, -1 / 4],
    ]
)
LOW, HIGH, DOMAIN_LOW, DOMAIN_HIGH, FRACTION = range(5)
"""What is known of a parameter: its bounds, its domain, and the step as a fraction of its
scale."""


@borrowing
def limits_of(x, parameter):
    """Return the interval that no step leaves: the bounds, or outside them the domain."""
    if parameter[LOW] <= x <= parameter[HIGH]:
        return parameter[LOW], parameter[HIGH]
    return min(parameter[DOMAIN_LOW], x), max(parameter[DOMAIN_HIGH], x)


@borrowing
def scale_of(x, parameter):
    """Return the change of a parameter that counts as large."""
    low, high = parameter[LOW], parameter[HIGH]
    width = high - low
    if low > 0 or high < 0:
        # A parameter that is never zero, such as a time, may span decades.
        return min(width, max(abs(x), min(abs(low), abs(high))))
    return width if np.isfinite(width) else max(abs(x), 1.0)


@borrowing
def stencil(x, parameter):
    """Return the step and the place of the first of five points inside the limits."""
    low, high = limits_of(x, parameter)
    step = min(parameter[FRACTION] * scale_of(x, parameter), (high - low) / 4)
    # The distance to a number that has a floating-point representation.
    step = (x + step) - x
    first = max(-2.0, np.ceil((low - x) / step))
    first = min(first, np.floor((high - x) / step) - 4)
    # At x that is NaN any place will do: the derivative is NaN.
    if not np.isfinite(first):
        first = -2.0
    return step, int(min(max(first, -4.0), 0.0))


@borrowing
def places(x, parameter, steps, firsts, scales, lows, highs):
    """Write steps, first places, scales and limits for many values of a parameter."""
    for i in range(x.size):
        steps[i], firsts[i] = stencil(x[i], parameter)
        scales[i] = scale_of(x[i], parameter)
        lows[i], highs[i] = limits_of(x[i], parameter)
