"""Arrays as bytes, and back.

Bytes of equal significance come one after the other, as those of signs and exponents
resemble each other and compress well.
"""

import math
import re

import numpy as np

from ..exceptions import SavedFileError
from ._container import pack, unpack

_DTYPE = re.compile(r"[<>|=][biufcSUmM]\d{1,9}(\[\d{0,9}[a-zA-Z]{1,2}\])?")
_SHAPE = re.compile(r"(\d{1,15}(x\d{1,15}){0,31})?")


def checked_dtype(text):
    """Return the type of numbers or text that a string names."""
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise SavedFileError(f"it holds an array of type {text!r}")
    return np.dtype(text)


def can_store(dtype):
    """Return whether arrays of a type are plain bytes."""
    return dtype.fields is None and bool(_DTYPE.fullmatch(dtype.str))


def to_bytes(array):
    """Return what describes an array, and its bytes."""
    is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    order = "F" if is_fortran else "C"
    content = array.tobytes(order)
    blob = pack(_sorted(content, array.dtype))
    shape, is_fixed = "x".join(map(str, array.shape)), not array.flags.writeable
    return (array.dtype.str, shape, order, is_fixed, len(blob)), blob


def from_bytes(blob, text, shape, order, is_fixed):
    """Return the array of some bytes, of type, shape, order and kind as described."""
    dtype = checked_dtype(text)
    if not _SHAPE.fullmatch(shape) or order not in ("C", "F"):
        raise SavedFileError(f"it holds an array of shape {shape!r} and order {order!r}")
    shape = tuple(int(n) for n in shape.split("x") if n)
    n_bytes = math.prod(shape) * dtype.itemsize
    content = unpack(blob, n_bytes)
    if n_bytes:
        # Into an array of its own, which may be written to.
        content = bytearray(_sorted(content, dtype, back=True))
        array = np.frombuffer(content, dtype).reshape(shape, order=order)
    else:
        array = np.zeros(shape, dtype, order)
    array.flags.writeable = not is_fixed
    return array


def _sorted(content, dtype, back=False):
    """Return bytes sorted by their place in a number, or in order again."""
    size = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    if size < 2 or not content:
        return content
    table = np.frombuffer(content, np.uint8)
    table = table.reshape(size, -1) if back else table.reshape(-1, size)
    return table.T.tobytes()
