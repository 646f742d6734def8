"""Warnings of this library, which the code that calls for them can hold back.

Python's own filters belong to the process: if two threads change and restore them in turns,
they stay changed. What is held back here is held back in one thread alone.
"""

import re
import threading
import warnings
from contextlib import contextmanager
from contextvars import ContextVar

_keepers = ContextVar("keepers", default=())
_lock = threading.RLock()


def warn(message, category=UserWarning, stacklevel=1):
    """Warn as `warnings.warn` does, unless the code around holds the warning back."""
    for keeps in reversed(_keepers.get()):
        if keeps(message, category):
            return
    warnings.warn(message, category, stacklevel=stacklevel + 1)


@contextmanager
def _kept(keeps):
    """Hold back the warnings for which a function of text and category is true."""
    token = _keepers.set((*_keepers.get(), keeps))
    try:
        yield
    finally:
        _keepers.reset(token)


def ignored(*categories, pattern=""):
    """Ignore warnings of some categories, whose text begins with a pattern."""
    return _kept(
        lambda text, category: issubclass(category, categories) and re.match(pattern, text)
    )


@contextmanager
def all_ignored():
    """Ignore all warnings, those of other code too; one thread at a time."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def collected():
    """Hold back warnings of this library, and give them as a list of text and category."""
    told = []
    with _kept(lambda *warning: told.append(warning) or True):
        yield told


@contextmanager
def told_to_caller(stacklevel=2):
    """Let warnings of what a method calls point to the line that called the method."""
    told = []
    with _kept(lambda *warning: told.append(warning) or True):
        yield
    for warning in told:
        # The frames of this function and of contextlib come first.
        warn(*warning, stacklevel=stacklevel + 2)
