"""Every test of a kernel runs on its compiled form and on its Python body."""

import importlib
import pkgutil

import numba
import pytest
from threadpoolctl import threadpool_limits

from crbestim import kernels

FORMS = ["python"] if numba.config.DISABLE_JIT else ["compiled", "python"]


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    """Return a function that gives a kernel in the form to test.

    The Python form is Python all the way down, as with NUMBA_DISABLE_JIT=1: during the
    test, names of compiled functions in the kernel modules refer to their Python bodies.
    """
    if request.param == "compiled":
        return lambda kernel: kernel
    for info in pkgutil.iter_modules(kernels.__path__, "crbestim.kernels."):
        module = importlib.import_module(info.name)
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
    return lambda kernel: getattr(kernel, "py_func", kernel)


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread():
    """Keep BLAS threads from waiting for each other at every 6 x 6 matrix."""
    with threadpool_limits(1, user_api="blas"):
        yield
