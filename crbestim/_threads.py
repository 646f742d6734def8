"""One thread for BLAS or torch while results are computed that depend on their number.

The last digits of a sum depend on how many threads share it. How many there are is a
setting of the whole process, so code in several threads of Python has to share the limit:
the first to enter notes the number, and the last to leave restores it. Meanwhile, what
other threads ask of the same library runs in one thread, too.
"""

import os
import sys
import threading
from contextlib import ContextDecorator, contextmanager

from threadpoolctl import ThreadpoolController


class SharedLimit(ContextDecorator):
    """One thread for some libraries, while any code of the process is inside.

    It is a context and a decorator. It may be entered again, by the same thread or another.

    Parameters
    ----------
    find : callable
        Returns the libraries: a dict of objects with ``num_threads`` and
        ``set_num_threads``. One with ``is_per_thread`` keeps a number for each thread of
        Python beside that of the process.

    Examples
    --------
    >>> from crbestim._threads import one_blas_thread
    >>> with one_blas_thread:
    ...     pass
    """

    def __init__(self, find):
        self._find = find
        self._before, self._n_inside = {}, 0
        self._reset()
        if hasattr(os, "register_at_fork"):
            # The lock of a forked process could be held by a thread that it does not have.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self):
        self._lock, self._of_thread = threading.Lock(), threading.local()

    def __enter__(self):
        with self._lock:
            self._n_inside += 1
            self._of_thread.depth = getattr(self._of_thread, "depth", 0) + 1
            for name, library in self._find().items():
                n = library.num_threads
                self._before.setdefault(name, (library, n))
                if n != 1 or _is_per_thread(library):
                    library.set_num_threads(1)

    def __exit__(self, *error):
        with self._lock:
            self._n_inside -= 1
            self._of_thread.depth -= 1
            for library, n in self._before.values():
                has_left = self._of_thread.depth == 0 and _is_per_thread(library)
                if has_left or not self._n_inside:
                    library.set_num_threads(n)
            if not self._n_inside:
                self._before = {}


def _is_per_thread(library):
    """Whether a library, here or of threadpoolctl, has a number for each thread."""
    is_openmp = getattr(library, "threading_layer", None) == "openmp"
    return is_openmp or getattr(library, "is_per_thread", False)


_blas = {"n_modules": None, "found": {}}


def _find_blas():
    """Return the BLAS libraries of the process by file."""
    # A search takes a millisecond. Libraries come with modules.
    if len(sys.modules) != _blas["n_modules"]:
        found = ThreadpoolController().select(user_api="blas").lib_controllers
        _blas["n_modules"] = len(sys.modules)
        _blas["found"] = {library.filepath: library for library in found}
    return _blas["found"]


class _Torch:
    """Torch as a library with a number of threads."""

    is_per_thread = True

    @property
    def num_threads(self):
        import torch

        return torch.get_num_threads()

    def set_num_threads(self, n):
        import torch

        torch.set_num_threads(n)


_torch = {"torch": _Torch()}
one_blas_thread = SharedLimit(_find_blas)
one_torch_thread = SharedLimit(lambda: _torch)


@contextmanager
def one_thread():
    """Limit numba and BLAS to one thread: voxels are the parallel part."""
    import numba

    # A setting of this thread alone.
    n_threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with one_blas_thread:
            yield
    finally:
        numba.set_num_threads(n_threads)
