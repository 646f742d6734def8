"""Text of an object: the call of its constructor, which can be pasted back."""

import inspect
import math
from functools import partial

import numpy as np

# Arrays with more values than these are shown by their size, in the long and short form.
_MOST, _MOST_IN_SHORT = 1000, 8


def constructor_call(obj, *, short=False, bare=(), **arguments):
    """Return the call that makes an object, without arguments that are at their default.

    An argument is the attribute of the same name, unless `arguments` holds its value; it is
    shown as ``...`` if the object keeps neither. Names in `bare` are left out.
    """
    parts = []
    for name, parameter in inspect.signature(type(obj)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        value = arguments[name] if name in arguments else vars(obj).get(name, ...)
        if text_of(value) != text_of(parameter.default):
            text = text_of(value, short)
            parts.append(text if name in bare else f"{name}={text}")
    return f"{type(obj).__name__}({', '.join(parts)})"


def text_of(value, short=False):
    """Return the Python expression of a value, or a short text of it for messages.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim._representation import text_of
    >>> text_of({"te": np.array([0.01, np.inf])})
    "{'te': [0.01, float('inf')]}"
    >>> text_of(np.arange(12.0), short=True)
    '<12 values>'
    """
    again = partial(text_of, short=short)
    most = _MOST_IN_SHORT if short else _MOST
    if isinstance(value, np.ndarray | np.generic):
        return f"<{value.size} values>" if value.size > most else again(value.tolist())
    if isinstance(value, list | tuple):
        if len(value) > most:
            return f"<{len(value)} values>"
        text = ", ".join(map(again, value))
        if isinstance(value, list):
            return f"[{text}]"
        return f"({text},)" if len(value) == 1 else f"({text})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{again(k)}: {again(v)}" for k, v in value.items()) + "}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if value is ...:
        return "..."
    return _text_of_object(value, again, short)


def values_or(size, array, short):
    """Return the values of an array, or its size where they are many or a text is short."""
    return f"<{size}>" if short or array.size > _MOST else text_of(array)


def _text_of_object(value, again, short):
    """Return the text of a function, a distribution or any other object."""
    if isinstance(value, partial):
        return _text_of_call("partial", (value.func, *value.args), value.keywords, again)
    if hasattr(value, "dist") and hasattr(value, "kwds"):
        return _text_of_call(f"stats.{value.dist.name}", value.args, value.kwds, again)
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    return str(value) if short and not isinstance(value, str) else repr(value)


def _text_of_call(name, args, kwargs, again):
    """Return the text of a call."""
    named = (f"{key}={again(value)}" for key, value in kwargs.items())
    return f"{name}({', '.join([*map(again, args), *named])})"
