"""How the `signal` that a subclass defines becomes the one that users call.

The public ``signal(theta, jacobian=False)`` checks theta and runs a hook: a user's own
method, made to take the argument `jacobian`, or the ``_simulate`` of a model here.
"""

import inspect
from functools import partial, wraps

import numpy as np

from .._arrays import as_numbers
from .._options import check_flag


def checked(source, hook, described):
    """Return a public `signal`, described as its source: the checks, then the hook."""

    def signal(self, theta, jacobian=False, **options):
        check_flag("jacobian", jacobian)
        # Called as super().signal, theta has been checked and may have fewer columns.
        if type(self).signal is signal:
            theta = self.check_theta(theta)
        else:
            theta = np.atleast_2d(np.asarray(theta, dtype=float))
        return hook(self, theta, jacobian=jacobian, **options)

    signal.__doc__ = source.__doc__ or described
    signal.__module__ = hook.__module__
    signal.__qualname__ = f"{hook.__qualname__.rpartition('.')[0]}.signal".lstrip(".")
    signal.__isabstractmethod__ = getattr(source, "__isabstractmethod__", False)
    signal._runs = signal, hook
    return signal


def as_hook(signal):
    """Return a method ``signal(theta)``, or one with `jacobian`, as one with `jacobian`."""
    if not callable(signal):
        raise TypeError(
            f"signal is a {type(signal).__name__}; define it as a method, "
            "signal(self, theta)."
        )
    takes_jacobian = "jacobian" in inspect.signature(signal).parameters
    if not inspect.isfunction(signal):
        signal = _as_method(signal)
    signal = _in_double(signal)
    return signal if takes_jacobian else _with_differences(signal)


def _as_method(function):
    """Return a static method, or another callable that takes no `self`, as a method."""

    def signal(self, theta, **options):
        return function(theta, **options)

    return signal


def _in_double(signal):
    """Return a method whose signal, and derivatives, are in double precision."""

    @wraps(signal)
    def simulate(self, theta, **options):
        out = signal(self, theta, **options)
        if not isinstance(out, tuple):
            return as_numbers(out, "the signal")
        names = "the signal", "its Jacobian"
        return tuple(as_numbers(part, name) for part, name in zip(out, names, strict=True))

    return simulate


def _with_differences(signal):
    """Give a method ``signal(theta)`` the argument ``jacobian``."""

    @wraps(signal)
    def simulate(self, theta, jacobian=False, **options):
        s = signal(self, theta, **options)
        if not jacobian:
            return s
        # Of this signal, even if a subclass overrides it and calls it as super().signal.
        own = partial(signal, self, **options)
        return s, self._jacobian_by_differences(own, theta, s)

    simulate.differentiates = True
    return simulate
