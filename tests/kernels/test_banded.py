"""Equations of a band matrix against dense ones."""

import numpy as np
import pytest

from crbestim.kernels.banded import solve_banded


@pytest.mark.parametrize(
    "kernel", [solve_banded, getattr(solve_banded, "py_func", solve_banded)]
)
@pytest.mark.parametrize("width", [0, 1, 3])
def test_solutions_are_those_of_the_dense_matrix(kernel, width):
    rng = np.random.default_rng(width)
    n = 12
    lower = np.tril(np.triu(rng.standard_normal((n, n)), 0)[::-1, ::-1], 0)
    lower = np.where(np.subtract.outer(range(n), range(n)) > width, 0.0, np.tril(lower))
    matrix = lower @ lower.T + np.eye(n)
    band = np.zeros((width + 1, n))
    for i in range(n):
        for j in range(i, min(n, i + width + 1)):
            band[width + i - j, j] = matrix[i, j]
    sides = rng.standard_normal((n, 5))
    out = sides.copy()
    assert kernel(band, out)
    assert np.allclose(matrix @ out, sides, atol=1e-10)


def test_a_matrix_that_is_not_positive_is_refused():
    assert not solve_banded(np.array([[0.0, 2.0], [1.0, 1.0]]), np.ones((2, 1)))
