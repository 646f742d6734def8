"""Linear equations of a symmetric positive definite band matrix.

The matrix is in the upper form of `scipy.linalg`: entry (i, j), i <= j, is
``band[width + i - j, j]``. Many right-hand sides are solved at a time, side by side in
memory, which LAPACK does one after the other.
"""

import numpy as np

from ._compile import borrowing


@borrowing
def solve_banded(band, out):
    """Factor the matrix in place, A = U^T U, and solve A X = out in place.

    band : (width + 1, n); out : (n, n_sides). Returns whether the matrix was positive
    definite; if not, `out` is not the solution.
    """
    width, n = band.shape[0] - 1, band.shape[1]
    for j in range(n):
        first = max(0, j - width)
        for i in range(first, j):
            total = band[width + i - j, j]
            for k in range(max(first, i - width), i):
                total -= band[width + k - i, i] * band[width + k - j, j]
            band[width + i - j, j] = total / band[width, i]
        pivot = band[width, j]
        for k in range(first, j):
            pivot -= band[width + k - j, j] ** 2
        if not pivot > 0.0:
            return False
        band[width, j] = np.sqrt(pivot)
    m = out.shape[1]
    for j in range(n):
        for k in range(max(0, j - width), j):
            factor = band[width + k - j, j]
            for s in range(m):
                out[j, s] -= factor * out[k, s]
        for s in range(m):
            out[j, s] /= band[width, j]
    for j in range(n - 1, -1, -1):
        for s in range(m):
            out[j, s] /= band[width, j]
        for k in range(max(0, j - width), j):
            factor = band[width + k - j, j]
            for s in range(m):
                out[k, s] -= factor * out[j, s]
    return True
