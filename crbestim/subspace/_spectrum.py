"""Singular vectors of data that are never copied whole."""

import numpy as np

BLOCK = 2048
"""Rows that are converted to double precision at a time."""


def blocks(n_samples, size=BLOCK):
    """Cut rows into slices.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    size : int, default=BLOCK
        Rows of a slice.

    Yields
    ------
    slice
        The next rows.
    """
    for first in range(0, n_samples, size):
        yield slice(first, min(first + size, n_samples))


def double(rows, real=False):
    """Return rows in double precision.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Real or complex rows.
    real : bool, default=False
        Whether to stack the imaginary below the real parts: the right singular vectors
        of these are the best real ones.

    Returns
    -------
    ndarray of shape (n_samples, n_features) or (2 * n_samples, n_features)
        float64 or complex128.
    """
    if real and rows.dtype.kind == "c":
        rows = np.concatenate([rows.real, rows.imag])
    return rows.astype(np.result_type(rows.dtype, np.float64), copy=False)


def singular_vectors(parts):
    """Singular values and right singular vectors of rows that come in parts.

    The triangular factor of all rows so far and the next part have one of their own, so
    that only n_features rows are kept. Unlike a sum of ``X^H X`` it does not square the
    condition number: values down to rounding, 1e-16 of the largest, keep their vectors.

    Parameters
    ----------
    parts : iterable of ndarray of shape (n_rows, n_features)
        Rows.

    Returns
    -------
    values : ndarray of shape (min(n_samples, n_features),)
        Singular values, the largest first.
    vectors : ndarray of shape (min(n_samples, n_features), n_features)
        Orthonormal rows v, for which ``X = u @ diag(values) @ vectors``.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.subspace._spectrum import singular_vectors
    >>> X = np.diag([3.0, 2.0])
    >>> singular_vectors([X[:1], X[1:]])[0]
    array([3., 2.])
    """
    factor = None
    for part in parts:
        rows = part if factor is None else np.concatenate([factor, part])
        factor = np.linalg.qr(rows, mode="r") if len(rows) > rows.shape[1] else rows
    return np.linalg.svd(factor, full_matrices=False)[1:]


def with_fixed_phase(vectors):
    """Turn each row such that its largest entry is positive.

    Parameters
    ----------
    vectors : ndarray of shape (n_vectors, n_features)
        Rows, real or complex.

    Returns
    -------
    ndarray of shape (n_vectors, n_features)
        The same rows, up to their signs or phases.
    """
    largest = np.abs(vectors).argmax(axis=1)[:, None]
    entry = np.take_along_axis(vectors, largest, axis=1)
    return vectors * (entry.conj() / np.abs(entry))
