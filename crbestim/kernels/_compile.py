"""How kernels are compiled: numba's `njit`, with a cache that is allowed to fail.

numba keeps compiled code in the first of these folders that it can write to: the one that
the environment variable NUMBA_CACHE_DIR names, ``__pycache__`` beside the source, and the
user's cache. Without any, ``numba.njit(cache=True)`` raises an error on import, and where
a folder cannot be written or read later, on the first call. Here kernels are compiled all
the same, and one warning per process says that they are not kept. It comes when the first
of them has been compiled, not on import: what compiles nothing has nothing to say, and if
warnings are errors, no module is left half imported and the next call works.

When compiling has taken _PATIENCE seconds of a process, a line on the error stream says
what is happening.
"""

import hashlib
import pickle
import sys
import time
import warnings
from functools import cache
from pathlib import Path

import numba
from numba.core import event
from numba.core.caching import FunctionCache, NullCache

_PATIENCE = 5.0
_has_warned = False


class _Announcer(event.Listener):
    """Says once per process that kernels are being compiled, if it takes long."""

    def __init__(self):
        self._open, self._since, self._before, self._has_said = [], 0.0, 0.0, False

    def on_start(self, event):
        """Start the clock at the first of nested kernels."""
        if not self._open:
            self._since = time.perf_counter()
        self._open.append(event.data["dispatcher"])
        self._tell()

    def on_end(self, event):
        """Stop the clock at the end of the first."""
        self._tell()
        if len(self._open) == 1 and self._is_ours():
            self._before += time.perf_counter() - self._since
        self._open.pop()

    def _is_ours(self):
        return str(self._open[0].py_func.__module__).startswith(__package__)

    def _tell(self):
        spent = self._before + time.perf_counter() - self._since
        if self._is_ours() and spent > _PATIENCE and not self._has_said:
            self._has_said = True
            print(
                "crbestim compiles its kernels, which are kept for the next time; this "
                "takes up to a minute ...",
                file=sys.stderr,
            )


event.register("numba:compile", _Announcer())


def njit(function=None, **options):
    """Compile a kernel with ``numba.njit``, keep it, and divide like NumPy."""
    if function is None:
        return lambda function: njit(function, **options)
    kernel = numba.njit(function, error_model="numpy", **options)
    if not numba.config.DISABLE_JIT:
        # What `enable_caching` does, with a cache of our own.
        kernel._cache = _cache_of(function)
    return kernel


def borrowing(function=None, **options):
    """Compile a kernel that makes no arrays, without counting references to those it uses.

    Counting costs more than the arithmetic of small arrays. Views are allowed.
    """
    if function is None:
        return lambda function: borrowing(function, **options)
    try:
        return njit(function, _nrt=False, **options)
    except KeyError:
        # A numba without this option, which is slower, but gives the same numbers.
        return njit(function, **options)


def _cache_of(function):
    try:
        return _Cache(function)
    except (RuntimeError, OSError) as error:
        return _NoCache(error)


@cache
def _digest():
    """Return a digest of the sources of all kernels."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


class _Cache(FunctionCache):
    """numba's cache on disk; what cannot be read is compiled anew.

    numba compares the file of a kernel alone, and would keep one that calls old code.
    """

    def __init__(self, function):
        super().__init__(function)
        index = self._cache_file
        index._source_stamp = index._source_stamp, _digest()

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            _warn(error)
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            _warn(error)


class _NoCache(NullCache):
    """No folder can be written to."""

    def __init__(self, problem):
        self._problem = problem

    def save_overload(self, sig, cres):
        _warn(self._problem)


def _warn(problem):
    """Say once per process that compiled code is not kept, and what to do."""
    global _has_warned
    if not _has_warned:
        _has_warned = True
        warnings.warn(
            f"compiled code cannot be kept ({problem}), so that every process compiles "
            "anew, which takes up to a minute; set the environment variable "
            "NUMBA_CACHE_DIR to a folder that can be written to",
            UserWarning,
            stacklevel=3,
        )
