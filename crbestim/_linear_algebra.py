"""Norms that do not overflow, whitening, and inverses of matrices close to singular.

Of information matrices C^T C a cheap inverse serves most. The others come from a triangular
factor of C itself, because C^T C has the square of its condition number.
"""

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from ._arrays import as_numbers, as_reals
from ._threads import one_blas_thread

# Below this eigenvalue of the information scaled to a unit diagonal, a combination of
# parameters counts as not determined: rounding alone makes eigenvalues of 1e-15.
_SINGULAR = 1e-13
# Up to this trace of its inverse, a matrix of unit diagonal is far from singular.
_DOUBTFUL = 1e6
# Precisions tried in turn on a doubtful matrix, each with the least pivot that it resolves,
# in units of its rounding error. Extended precision helps only if the Jacobian is accurate
# to better than _HIDES; its least pivot is the rounding error of the columns.
_STAGES = ((np.float64, 1e6), (np.longdouble, 1e3))
_HIDES = 1e-12
# In units of the accuracy of the Jacobian: the largest pivot of a column that depends on
# others, and the largest coefficients that count as zero, the last for columns left out.
_INDISTINCT, _LEANS, _LEANS_ON_NOTHING = 1e3, 32.0, 2.0
# Of a phase reference: rounds of its search, main directions and rows that it takes at
# most, and the square of a product with a signal of unit norm below which it is small.
_N_ROUNDS, _MOST_AXES, _MOST_ROWS, _SMALL_SHARE = 50, 32, 10_000, 1e-3


def norms(X):
    """Return the norms of rows, complex or real, whose squares may under- or overflow."""
    largest = np.maximum(np.abs(X.real), np.abs(X.imag)).max(axis=1, initial=0.0)
    largest = np.where(largest > 0, largest, 1.0)
    with np.errstate(over="ignore"):
        return largest * np.linalg.norm(X / largest[:, None], axis=1)


@one_blas_thread
def phase_reference(X):
    """Return a vector whose inner product fixes the phases of signals.

    A phase that is fixed by a vanishing product is that of the noise, and jumps between
    signals that are alike. The main direction of signals, which maximizes the mean square
    of their products, can be orthogonal to some; the one here maximizes the mean
    logarithm of the squares, from there on.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), complex
        Signals; their complex factors have no effect, and rows of zeros do not count.

    Returns
    -------
    ndarray of shape (n_features,)
        The vector, of unit norm.
    """
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    rows = X / np.where(norm > 0, norm, 1.0)
    axes = np.linalg.eigh(rows.T @ rows.conj())[1][:, : -_MOST_AXES - 1 : -1]
    some = rows[:: 1 + len(rows) // _MOST_ROWS] @ axes.conj()
    vector = np.eye(1, axes.shape[1], dtype=complex)[0]
    for _ in range(_N_ROUNDS):
        products = some @ vector.conj()
        weight = 1 / (np.abs(products) ** 2 + _SMALL_SHARE)
        pull = (weight * products.conj()) @ some
        vector = vector + pull / (np.linalg.norm(pull) or 1.0)
        vector = vector / np.linalg.norm(vector)
    return axes @ vector


@one_blas_thread
def whitening_matrix(covariance, n_features):
    """Inverse of the lower Cholesky factor of a noise covariance.

    Parameters
    ----------
    covariance : array-like
        A variance, a vector of n_features variances, or a positive definite Hermitian
        matrix. For complex noise they are per real or imaginary channel,
        ``E[n n^H] / 2``: white noise of standard deviation sigma has ``sigma**2``.
    n_features : int
        Number of samples of the signal.

    Returns
    -------
    ndarray of shape (n_features, n_features)
        The matrix L^-1 with ``L @ L^H = covariance``.

    Raises
    ------
    ValueError
        If the covariance does not fit or is not positive definite.

    Examples
    --------
    >>> from crbestim._linear_algebra import whitening_matrix
    >>> whitening_matrix([0.25, 4.0], 2)
    array([[2. , 0. ],
           [0. , 0.5]])
    """
    covariance = as_numbers(covariance, "covariance")
    if not np.isfinite(covariance).all():
        raise ValueError("covariance holds values that are not finite numbers.")
    if covariance.shape not in ((), (n_features,), (n_features, n_features)):
        raise ValueError(
            f"covariance has shape {covariance.shape}; give a variance, {n_features} "
            f"variances, or a matrix of shape ({n_features}, {n_features})."
        )
    if covariance.ndim < 2:
        if covariance.dtype.kind == "c" or not (covariance > 0).all():
            raise ValueError("covariance holds variances that are not positive numbers.")
        return np.diag(np.broadcast_to(1 / np.sqrt(covariance), (n_features,)))
    error = np.abs(covariance - covariance.conj().T).max()
    if error > 1e-6 * np.abs(covariance).max():
        raise ValueError(
            f"covariance is not Hermitian: it differs from its conjugate transpose by up "
            f"to {error:.1e}."
        )
    try:
        factor = cholesky(covariance, lower=True)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(covariance).min()
        raise ValueError(
            f"covariance is not positive definite: its least eigenvalue is {least:.1e}; "
            "leave out features without noise, or estimate it from more samples."
        ) from None
    return solve_triangular(factor, np.eye(n_features), lower=True)


def root_of(precision, n):
    """Return a factor of a symmetric matrix without negative eigenvalues, root^T root."""
    precision = as_reals(precision, "prior_precision")
    if precision.shape != (n, n) or not np.isfinite(precision).all():
        raise ValueError(
            f"prior_precision has shape {precision.shape}; give a finite matrix of shape "
            f"({n}, {n}), the inverse of a covariance."
        )
    size = np.sqrt(np.abs(np.diag(precision)))
    safe = np.where(size > 0, size, 1.0)
    scaled = precision / safe / safe[:, None]
    values, vectors = np.linalg.eigh(scaled)
    if not np.allclose(scaled, scaled.T) or values.min(initial=0.0) < -1e-8:
        raise ValueError(
            "prior_precision is not symmetric, or has negative eigenvalues; give the "
            "inverse of a covariance."
        )
    return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * safe


def inverse_squares(columns, accuracy):
    """Return the inverses of C^T C for columns C, (n_samples, n_rows, n_columns).

    A column that depends on the others, within a thousand times the accuracy of the
    columns, has an infinite variance, and so have those that it depends on.
    """
    # What overflows is doubtful, and done again from scaled columns.
    with np.errstate(over="ignore", invalid="ignore"):
        inverse, doubtful = plain_inverses(np.swapaxes(columns, 1, 2) @ columns)
    rows = np.flatnonzero(doubtful)
    size = _sizes(columns[rows])
    scaled, outer = columns[rows] / size[:, None, :], size[:, :, None] * size[:, None, :]
    for dtype, digits in _STAGES:
        if not len(rows):
            break
        factor, order = _pivoted_factor(scaled.astype(dtype))
        least = digits * np.finfo(dtype).eps
        found = _from_triangular_factor(factor, order, accuracy, least)
        inverse[rows] = found / outer
        pivots = np.einsum("nii->ni", factor)
        # Extended precision cannot undo errors of the model.
        again = ((pivots > 0) & (pivots < least)).any(axis=1) & (accuracy < _HIDES)
        rows, scaled, outer = rows[again], scaled[again], outer[again]
    return inverse


def plain_inverses(information):
    """Return inverses of information matrices, and whether they are doubtful."""
    # Columns differ by 1e7 in scale, so the matrix is scaled to a unit diagonal first.
    norm = np.sqrt(np.einsum("nii->ni", information))
    safe = np.where(norm > 0, norm, 1.0)
    inverse = _inverses(information / (safe[:, :, None] * safe[:, None, :]))
    diagonal = np.einsum("nii->ni", inverse)
    # The trace of the inverse exceeds 1/(least eigenvalue) for positive matrices.
    doubtful = ~((diagonal > 0.5).all(axis=1) & (diagonal.sum(axis=1) < _DOUBTFUL))
    inverse = 0.5 * (inverse + np.swapaxes(inverse, 1, 2))
    with np.errstate(over="ignore"):
        return inverse / safe[:, :, None] / safe[:, None, :], doubtful


def _sizes(columns):
    """Return powers of two near the norms of columns, to divide by without rounding."""
    largest = np.abs(columns).max(axis=1, initial=0.0, keepdims=True)
    safe = np.where(largest > 0, largest, 1.0)
    norm = np.linalg.norm(columns / safe, axis=1)
    exponent = np.log2(safe[:, 0]) + np.log2(np.where(norm > 0, norm, 1.0))
    return np.exp2(np.round(np.nan_to_num(exponent)))


def _from_triangular_factor(r, order, accuracy, least):
    """Return the inverses of C^T C, where C P = Q R, from R and the order of the columns.

    A pivot is the norm that remains of a unit column once the columns before it are
    projected out. Up to a thousand times the accuracy, the column depends on these; up to
    `least`, the pivot is rounding error, and the column is left out.
    """
    n, p, _ = r.shape
    pivots = np.einsum("nii->ni", r).copy()
    depends = pivots <= max(_INDISTINCT * accuracy, least)
    is_out = pivots <= least
    r = np.where(is_out[:, None, :] & is_out[:, :, None], 0.0, r)
    r[:, range(p), range(p)] = np.where(is_out, 1.0, pivots)
    inverse = _inverse_triangles(r)
    # Column k of the inverse has the coefficients of column k on those before, over r_kk.
    coefficients = np.abs(inverse) * np.einsum("nii->ni", r)[:, None, :]
    spread = np.sqrt((np.where(depends[:, None, :], 0.0, inverse) ** 2).sum(axis=2))
    error = max(accuracy, np.finfo(r.dtype).eps)
    # A column that is left out adds no variance to what it depends on: be strict there.
    most = error * np.where(is_out, _LEANS_ON_NOTHING, _LEANS)[:, None, :]
    leans = depends[:, None, :] & (coefficients > most * spread[:, :, None])
    is_open = depends | leans.any(axis=2)
    inverse = np.where(is_out[:, None, :], 0.0, inverse)
    covariance = (inverse[:, :, None, :] * inverse[:, None, :, :]).sum(axis=3)
    covariance[is_open[:, :, None] | is_open[:, None, :]] = np.nan
    row, column = np.nonzero(is_open)
    covariance[row, column, column] = np.inf
    out = np.empty((n, p, p))
    out[np.arange(n)[:, None, None], order[:, :, None], order[:, None, :]] = covariance
    return out


def _pivoted_factor(columns):
    """Return R and the order of the columns in C P = Q R; C is overwritten."""
    n, _, p = columns.shape
    r, order = np.zeros((n, p, p), columns.dtype), np.tile(np.arange(p), (n, 1))
    every = np.arange(n)
    for k in range(p):
        pivot = k + (columns[:, :, k:] ** 2).sum(axis=1).argmax(axis=1)
        for array in (columns, r, order[:, None]):
            first, second = array[every, :, k].copy(), array[every, :, pivot].copy()
            array[every, :, pivot], array[every, :, k] = first, second
        size = np.sqrt((columns[:, :, k] ** 2).sum(axis=1))
        direction = columns[:, :, k, None] / np.where(size > 0, size, 1.0)[:, None, None]
        r[:, k, k] = size
        r[:, k, k + 1 :] = (direction * columns[:, :, k + 1 :]).sum(axis=1)
        columns[:, :, k + 1 :] -= direction * r[:, k, None, k + 1 :]
    return r, order


def _inverse_triangles(r):
    """Return the inverses of upper triangular matrices, in their own precision."""
    n, p, _ = r.shape
    inverse = np.zeros_like(r)
    for k in range(p):
        inverse[:, k, k] = 1 / r[:, k, k]
        for i in range(k - 1, -1, -1):
            rest = (r[:, i, i + 1 : k + 1] * inverse[:, i + 1 : k + 1, k]).sum(axis=1)
            inverse[:, i, k] = -rest / r[:, i, i]
    return inverse


def _inverses(matrices):
    """Return inverses, NaN where there is none; no matrix affects the others."""
    try:
        return np.linalg.inv(matrices)
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full(matrices.shape, np.nan)
        return np.concatenate([_inverses(matrix[None]) for matrix in matrices])


def pseudo_inverses(scaled):
    """Return covariances of matrices that are singular, or close to it."""
    values, vectors = np.linalg.eigh(scaled)
    null = values <= _SINGULAR * scaled.shape[1]
    weights = np.where(null, 0.0, 1 / np.where(null, 1.0, values))
    inverse = (vectors * weights[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    open_ = np.einsum("nij,nj->ni", vectors**2, null.astype(float)) > 1e-8
    inverse[open_[:, :, None] | open_[:, None, :]] = np.nan
    rows, columns = np.nonzero(open_)
    inverse[rows, columns, columns] = np.inf
    return inverse
