"""The version of the library, which pickles of its objects hold."""

from ._warnings import warn
from .exceptions import VersionWarning

__version__ = "0.1.0.dev0"

_KEY = "_crbestim_version"


class Versioned:
    """An object whose pickles hold the version of the library, and say if it differs."""

    def __getstate__(self):
        state = super().__getstate__()
        # With slots, the state is a tuple.
        return state if isinstance(state, tuple) else {**(state or {}), _KEY: __version__}

    def __setstate__(self, state):
        state, slots = state if isinstance(state, tuple) else (state, {})
        state = dict(state or {})
        warn_of_version(type(self).__name__, state.pop(_KEY, __version__), stacklevel=2)
        if hasattr(super(), "__setstate__"):
            super().__setstate__(state)
        else:
            vars(self).update(state)
        for name, value in slots.items():
            setattr(self, name, value)


def without_version(state):
    """Return the state of an object without the version of the library."""
    if not isinstance(state, dict):
        return state
    return {name: value for name, value in state.items() if name != _KEY}


def warn_of_version(what, version, stacklevel=1):
    """Warn if something was stored by another version of the library."""
    if version != __version__:
        warn(
            f"{what} was stored by crbestim {version}, and this is {__version__}: it may "
            "fail, or give other numbers; fit it anew, or install that version",
            VersionWarning,
            stacklevel=stacklevel + 1,
        )
