"""Products of rows with a matrix, in which a row of the result depends on its row alone.

Libraries of linear algebra choose other code for one row than for many, for the last rows
of a block and for other numbers of threads, and round otherwise. Here the terms of a sum
are added one after the other, whatever the place of the row.
"""

import numpy as np

from ._compile import njit
from .threads import in_threads

BLOCK = 64
"""Rows of a block, the least that a thread takes."""


def row_products(X, matrix):
    """Return ``X @ matrix`` in the precision of X.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows, real or complex, in single or double precision.
    matrix : ndarray of shape (n_features, n_columns)
        Matrix, real or complex.

    Returns
    -------
    ndarray of shape (n_samples, n_columns)
        Products; the same bits for a row alone and among others.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.kernels.products import row_products
    >>> row_products(np.array([[1.0, 2.0]]), np.array([[1.0, 1j], [0.0, 1.0]]))
    array([[1.+0.j, 2.+1.j]])
    """
    real = np.float32 if X.dtype in (np.float32, np.complex64) else np.float64
    is_complex = "c" in (X.dtype.kind, matrix.dtype.kind)
    kind = np.result_type(real, np.complex64) if is_complex else real
    rows = np.ascontiguousarray(X, dtype=kind).view(real)
    if is_complex:
        matrix = _as_reals(matrix)
    matrix = np.ascontiguousarray(matrix, dtype=real)
    out = np.zeros((len(rows), matrix.shape[1]), dtype=real)
    in_threads(add_products, -(-len(rows) // BLOCK), rows, matrix, out)
    return out.view(kind)


def _as_reals(matrix):
    """Return the matrix that does the same to alternating real and imaginary parts."""
    n, m = matrix.shape
    reals = np.empty((n, 2, m, 2), dtype=matrix.real.dtype)
    reals[:, 0, :, 0] = reals[:, 1, :, 1] = matrix.real
    reals[:, 0, :, 1] = matrix.imag
    reals[:, 1, :, 0] = -matrix.imag
    return reals.reshape(2 * n, 2 * m)


@njit(nogil=True)
def add_products(first, last, rows, matrix, out):
    """Add products of blocks of rows with a matrix, blocks `first` to `last`.

    rows : (n, n_rows), matrix : (n_rows, n_columns), out : (n, n_columns). Four rows read
    the matrix once; the terms of a row have the same order as those of one alone.
    """
    n_rows, n_columns = matrix.shape
    begin, end = first * BLOCK, min(last * BLOCK, rows.shape[0])
    fours = end - (end - begin) % 4
    for i in range(begin, fours, 4):
        for j in range(0, n_rows - 1, 2):
            a0, a1, a2, a3 = rows[i, j], rows[i + 1, j], rows[i + 2, j], rows[i + 3, j]
            b0, b1 = rows[i, j + 1], rows[i + 1, j + 1]
            b2, b3 = rows[i + 2, j + 1], rows[i + 3, j + 1]
            for k in range(n_columns):
                a, b = matrix[j, k], matrix[j + 1, k]
                out[i, k] = out[i, k] + a0 * a + b0 * b
                out[i + 1, k] = out[i + 1, k] + a1 * a + b1 * b
                out[i + 2, k] = out[i + 2, k] + a2 * a + b2 * b
                out[i + 3, k] = out[i + 3, k] + a3 * a + b3 * b
        if n_rows % 2:
            for r in range(i, i + 4):
                for k in range(n_columns):
                    out[r, k] += rows[r, n_rows - 1] * matrix[n_rows - 1, k]
    for i in range(fours, end):
        for j in range(n_rows):
            for k in range(n_columns):
                out[i, k] += rows[i, j] * matrix[j, k]
