"""Every test of a kernel runs on its compiled form and on its Python body."""

import numba
import pytest
from threadpoolctl import threadpool_limits

FORMS = ["python"] if numba.config.DISABLE_JIT else ["compiled", "python"]


@pytest.fixture(params=FORMS)
def form(request):
    """Return a function that gives a kernel in the form to test.

    The Python body calls the other kernels compiled, so one kernel at a time is tested;
    with NUMBA_DISABLE_JIT=1 it is Python all the way down.
    """
    if request.param == "compiled":
        return lambda kernel: kernel
    return lambda kernel: getattr(kernel, "py_func", kernel)


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread():
    """Keep threads from waiting for each other at every matrix of six rows."""
    with threadpool_limits(1, user_api="blas"):
        yield
