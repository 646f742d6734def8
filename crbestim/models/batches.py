"""Functions of one sample, or of many, called for many samples.

What is here knows nothing of signal models: it turns functions written with NumPy, numba or
torch into values with a row for each sample.
"""

import warnings
from functools import lru_cache

import numba
import numpy as np

from .._optional import import_optional
from ..kernels.threads import in_threads


def is_vectorized(f, rows):
    """Tell whether a function takes many samples at a time, if that can be told.

    It does if it returns a row for each sample of two batches, neither of which has as many
    samples as a sample has numbers, and if a row does not depend on the others.

    Parameters
    ----------
    f : callable
        Function of many samples, shape (n, p), or of one, (p,).
    rows : ndarray of shape (p + 2, p)
        Samples that differ.

    Returns
    -------
    bool
        True if it takes many samples, False if one.

    Raises
    ------
    ValueError
        If it takes neither, or both with different results.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models.batches import is_vectorized
    >>> rows = np.random.default_rng(0).random((3, 1))
    >>> is_vectorized(lambda theta: np.exp(-theta * np.arange(4)), rows)
    True
    >>> is_vectorized(lambda theta: np.exp(-theta[0] * np.arange(4)), rows)
    False
    """
    batch, fewer = _attempt(f, rows), _attempt(f, rows[:0:-1])
    takes_many = np.ndim(batch) == 2 and len(batch) == len(rows)
    takes_many = takes_many and _agree(fewer, batch[:0:-1])
    single = _attempt(f, rows[-1])
    takes_one = np.ndim(single) == 1
    if takes_many and takes_one and not _agree(single, batch[-1]):
        raise ValueError(
            f"for theta of shape {rows.shape} it returns a row for each sample, and for "
            f"theta of shape {rows[-1].shape} something else than the row of that sample; "
            "give vectorized=True or False."
        )
    if not takes_many and not takes_one:
        raise ValueError(
            f"for theta of shape {rows.shape}, many samples, it {_describe(batch)}; for "
            f"theta of shape {rows[-1].shape}, one sample, it {_describe(single)}. It must "
            "return (n_samples, n_features) or (n_features,); vectorized=True or False "
            "tells which."
        )
    return takes_many


def _attempt(f, theta):
    """Return what a function returns, or the exception that it raises."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return np.asarray(f(theta.copy()))
        except Exception as error:
            return error


def _agree(a, b):
    # Single precision is allowed.
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-4, equal_nan=True)


def _describe(outcome):
    if isinstance(outcome, Exception):
        return f"raises {type(outcome).__name__}: {outcome}"
    return f"returns shape {outcome.shape}"


def by_numba(f, theta, out):
    """Call a compiled function of one sample in a compiled loop, in numba's threads.

    Parameters
    ----------
    f : numba dispatcher
        Function of one sample.
    theta : ndarray of shape (n_samples, p)
        Samples.
    out : C-contiguous ndarray of shape (n_samples, ...)
        Gets the values.

    Raises
    ------
    ValueError
        If values have another size than a row of `out`.

    Examples
    --------
    >>> import numba
    >>> import numpy as np
    >>> from crbestim.models.batches import by_numba
    >>> square, out = numba.njit(lambda x: x**2), np.empty((3, 1))
    >>> by_numba(square, np.array([[1.0], [2.0], [3.0]]), out)
    >>> out[:, 0]
    array([1., 4., 9.])
    """
    flat = out.reshape(len(out), -1)
    in_threads(_loop(f), len(theta), theta, flat, per_piece=64)


# By function and not by model: copies of a model share it, and pickles leave it out.
@lru_cache(maxsize=64)
def _loop(f):
    @numba.njit(nogil=True)
    def loop(first, last, theta, out):
        for i in range(first, last):
            # Number by number: assignments of slices take seconds to compile.
            values = np.asarray(f(theta[i])).ravel()
            if len(values) != out.shape[1]:
                raise ValueError("a compiled function returns arrays of several sizes")
            for j in range(len(values)):
                out[i, j] = values[j]

    return loop


def by_torch(f, theta, vectorized):
    """Call a torch function.

    Parameters
    ----------
    f : callable
        Function of one sample, a float64 tensor of shape (p,), or of many.
    theta : ndarray of shape (n_samples, p)
        Samples.
    vectorized : bool
        Whether it takes many samples at a time.

    Returns
    -------
    ndarray of shape (n_samples, ...)
        Values.
    """
    torch = _torch()
    samples = torch.from_numpy(theta)
    return (f(samples) if vectorized else torch.func.vmap(f)(samples)).numpy(force=True)


def differentiate_by_torch(f, theta, vectorized):
    """Call a torch function and differentiate it automatically, in forward mode.

    Parameters
    ----------
    f : callable
        Function of one sample, a float64 tensor of shape (p,), or of many.
    theta : ndarray of shape (n_samples, p)
        Samples.
    vectorized : bool
        Whether it takes many samples at a time.

    Returns
    -------
    values : ndarray of shape (n_samples, m)
        Values.
    jacobian : ndarray of shape (n_samples, m, p)
        Derivatives.
    """
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
