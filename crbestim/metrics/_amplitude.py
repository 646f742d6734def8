"""What an estimator knows of an amplitude that all signals have in common.

Training data and test sets often have an amplitude of 1. Estimators of this library divide
it out. One that learns it knows more than data of any scale tell, and its errors hold for
this amplitude alone.
"""

import numpy as np

from .._warnings import all_ignored, warn
from ..parameters import wrapped_error

# Change of estimates, in standard deviations of the bound, from which on they depend on it.
_LARGE = 0.5
# Loss of an amplitude that is too low for estimators of data of any scale, and a number of
# errors by which chance does not explain it.
_TOO_LOW, _ERRORS = 0.25, 20


def warn_of_scale(noisy, estimator, name, n_signals=None, stacklevel=3):
    """Warn if all signals have one amplitude, and estimates do not follow another one.

    The first signals tell, by default all of them.
    """
    column = noisy.model._amplitude_column
    if not noisy.model.has_factor or not _is_same(noisy.theta, column):
        return
    X, factor = next(iter(noisy))[:n_signals], _factor(noisy, column)
    with all_ignored():
        here, there = (noisy.predict(estimator, x) for x in (X, factor * X))
        if column is not None:
            there[:, column] /= factor
        change = np.abs(wrapped_error(here, there, noisy.model.periods))
        change = np.nanmedian(change / np.sqrt(noisy.crb[: len(X)]), axis=0)
    if not (change > _LARGE).any():
        return
    names = ", ".join(np.array(noisy.model.parameter_names)[change > _LARGE])
    told, advice = _words(noisy, column)
    warn(
        f"{told}, and {name} depends on it: at {factor:g} times that, its estimates of "
        f"{names} change by more than half a standard deviation of the bound. Its errors "
        f"hold for this amplitude alone; {advice}",
        stacklevel=stacklevel,
    )


def warn_of_sure(noisy, quality, name, stacklevel=3):
    """Warn if all signals have one amplitude, and results are too sure of it."""
    column = noisy.model._amplitude_column
    if column is None or not _is_same(noisy.theta, column):
        return
    n_errors, loss = quality.n_realizations * len(quality.crb), quality.loss[column]
    if n_errors < _ERRORS or not loss < _TOO_LOW:
        return
    told, advice = _words(noisy, column)
    warn(
        f"{told}, and {name} seems to know it: its loss there is {loss:.2g}. Its errors "
        f"may hold for this amplitude alone; {advice}",
        stacklevel=stacklevel,
    )


def _is_same(theta, column):
    """Return whether the amplitude, if it is a column, is the same in all rows."""
    return column is None or (len(theta) > 0 and np.ptp(theta[:, column]) == 0)


def _factor(noisy, column):
    """Return a power of two, by which the amplitude stays inside its bounds if it can."""
    if column is None or 4 * noisy.theta[0, column] <= noisy.model.bounds[column, 1]:
        return 2.0
    return 0.5


def _words(noisy, column):
    """Return what the amplitude is, and what to do."""
    if column is None:
        return (
            "abs(M0) is 1 in all signals",
            "divide signals by their norm, in training too",
        )
    symbol, value = noisy.model.parameter_names[column], noisy.theta[0, column]
    return (
        f"{symbol} is {value:g} in all rows of theta",
        "train and test with a distribution of amplitudes, such as distributions="
        f"{{{symbol!r}: scipy.stats.loguniform({value / 2:g}, {value * 2:g})}}, or divide "
        "signals by their norm",
    )
