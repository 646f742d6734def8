"""Calls of functions of one sample, or of many, for many samples.

The functions are written with NumPy, numba or torch, and the values have a row per sample.
This file does not depend on signal models.
"""

from functools import lru_cache

import numba
import numpy as np

from .._optional import import_optional
from .._warnings import all_ignored
from ..kernels.threads import in_threads


def is_vectorized(f, rows):
    """Return whether a function takes many samples at a time.

    It does if it returns a row for each sample of two batches, and if no row depends on the
    others. The batches differ in size from the number of parameters, so that the axes of
    theta cannot be confused.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models._backends import is_vectorized
    >>> rows = np.random.default_rng(0).random((3, 1))
    >>> is_vectorized(lambda theta: np.exp(-theta * np.arange(4)), rows)
    True
    >>> is_vectorized(lambda theta: np.exp(-theta[0] * np.arange(4)), rows)
    False
    """
    batch, fewer = _attempt(f, rows), _attempt(f, rows[:0:-1])
    takes_many = _ndim(batch) == 2 and len(batch) == len(rows)
    takes_many = takes_many and _agree(fewer, batch[:0:-1])
    single = _attempt(f, rows[-1])
    takes_one = _ndim(single) == 1
    if takes_many and takes_one and not _agree(single, batch[-1]):
        raise ValueError(
            f"for theta of shape {rows.shape} it returns a row for each sample, and for "
            f"theta of shape {rows[-1].shape} something other than the row of that sample; "
            "give vectorized=True or False."
        )
    if not takes_many and not takes_one:
        raise ValueError(
            f"for theta of shape {rows.shape}, many samples, it {_describe(batch)}; for "
            f"theta of shape {rows[-1].shape}, one sample, it {_describe(single)}. It must "
            "return (n_samples, n_features) or (n_features,); choose between them by "
            "vectorized=True or False."
        )
    return takes_many


def _attempt(f, theta):
    """Return the result of a function, or the exception that it raises."""
    with all_ignored(), np.errstate(all="ignore"):
        try:
            return np.asarray(f(theta.copy()))
        except Exception as error:
            return error


def _ndim(outcome):
    """Return the number of dimensions of a result; an exception may have an `ndim`, too."""
    return -1 if isinstance(outcome, Exception) else outcome.ndim


def _agree(a, b):
    # To single precision.
    return (
        _ndim(a) == _ndim(b)
        and np.shape(a) == np.shape(b)
        and np.allclose(a, b, rtol=1e-4, equal_nan=True)
    )


def _describe(outcome):
    if isinstance(outcome, Exception):
        return f"raises {type(outcome).__name__}: {outcome}"
    return f"returns shape {outcome.shape}"


def by_numba(f, theta, out):
    """Call a compiled function of one sample for all rows, in a compiled loop."""
    flat = out.reshape(len(out), -1)
    in_threads(_loop(f), len(theta), theta, flat, per_piece=64)


# Cached by function and not in the model: copies share it, and pickles do not hold it.
@lru_cache(maxsize=64)
def _loop(f):
    @numba.njit(nogil=True)
    def loop(first, last, theta, out):
        for i in range(first, last):
            # One value at a time: assignments of slices take seconds to compile.
            values = np.asarray(f(theta[i])).ravel()
            if len(values) != out.shape[1]:
                raise ValueError("a compiled function returns arrays of several sizes")
            for j in range(len(values)):
                out[i, j] = values[j]

    return loop


def by_torch(f, theta, vectorized):
    """Call a torch function of one sample, or of many if it is vectorized."""
    torch = _torch()
    samples = torch.from_numpy(theta)
    return (f(samples) if vectorized else torch.func.vmap(f)(samples)).numpy(force=True)


def differentiate_by_torch(f, theta, vectorized):
    """Return values and derivatives of a torch function, in forward mode."""
    torch = _torch()

    def in_reals(sample):
        # jacfwd takes no complex values.
        value = f(sample[None])[0] if vectorized else f(sample)
        if value.is_complex():
            value = torch.stack([value.real, value.imag])
        return value, value

    both = torch.func.vmap(torch.func.jacfwd(in_reals, has_aux=True))
    jacobian, values = (part.numpy(force=True) for part in both(torch.from_numpy(theta)))
    if values.ndim == 3:
        return values[:, 0] + 1j * values[:, 1], jacobian[:, 0] + 1j * jacobian[:, 1]
    return values, jacobian


def _torch():
    return import_optional("torch", "FunctionModel with backend='torch'")
