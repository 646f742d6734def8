"""MATLAB files of versions 4 to 7, read strictly: arrays of numbers, and cells of them.

A variable is refused if any of its sizes contradict each other, if its compressed bytes do
not end where they should or their checksum is wrong, and if it is there twice. SciPy's
reader is compiled, reads on in such files, and can take the interpreter with it. Its arrays
are the same: of the type in which numbers are stored, which may be smaller than MATLAB's.

Formats: MathWorks, MAT-File Format, 2019. A file of version 5, which all of 5 to 7 write,
is a header of 128 bytes and elements: a type, a number of bytes, and these bytes. Elements
of type `_MATRIX` hold elements themselves: flags, shape, name and numbers.
"""

import math
import os
import struct
import zlib

import numpy as np

from ..exceptions import SequenceFileError
from .limits import check_once, check_size, check_trains

_ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
    13: "u8",
}  # fmt: skip
_CELL, _OPAQUE = 1, 17
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8",
    15: "u8",
}  # fmt: skip
_OTHERS = {2: "a struct", 3: "an object", 4: "text", 5: "sparse", 16: "a function"}
_COMPLEX = 0x800
_NUMBERS_4 = ("f8", "f4", "i4", "i2", "u2", "u1")
# The bytes of a variable, compressed or not, that hold its shape and name.
_HEAD, _HEAD_COMPRESSED = 1024, 4096


def read_matlab(path, names):
    """Return those arrays of a file that have one of the names, and all names in it."""
    arrays, found = {}, []
    with path.open("rb") as file:
        head = file.read(128)
        # Version 4 has no header; its first four bytes are a number up to 5000.
        is_4 = 0 in head[:4]
        if is_4:
            file.seek(0)
        elif head[124:] not in _ORDERS:
            raise SequenceFileError("it is no MATLAB file, or its header is damaged")
        size = os.fstat(file.fileno()).st_size
        while file.tell() < size:
            variable = _variable_4(file) if is_4 else _variable(file, _ORDERS[head[124:]])
            name, end, array = variable
            if end > size:
                raise SequenceFileError("it ends before its last variable does")
            if name in names:
                check_once(name, arrays)
                arrays[name] = array()
            found += [name] if name else []
            file.seek(end)
    return arrays, found


def _exactly(file, n_bytes):
    content = file.read(n_bytes)
    if len(content) < n_bytes:
        raise SequenceFileError("it ends before its last variable does")
    return content


def _variable_4(file):
    """Return name, end and a function that reads the array of a variable of version 4."""
    head = _exactly(file, 20)
    order = "<" if 0 <= struct.unpack("<i", head[:4])[0] <= 5000 else ">"
    kind, *shape, is_complex, n_name = struct.unpack(f"{order}5i", head)
    machine, zero, number, form = (kind // 10**digit % 10 for digit in (3, 2, 1, 0))
    known = machine == (order == ">") and zero == 0 and number < 6 and form < 3
    if not known or min(shape) < 0 or is_complex not in (0, 1) or not 0 < n_name <= _HEAD:
        raise SequenceFileError("the header of a variable is damaged")
    name = _exactly(file, n_name).strip(b"\0").decode("latin1")
    dtype = np.dtype(order + _NUMBERS_4[number])
    n_bytes = math.prod(shape) * dtype.itemsize

    def array():
        if form or is_complex:
            raise SequenceFileError(f"{name} is {('complex', 'text', 'sparse')[form]}")
        check_size(name, n_bytes)
        values = np.frombuffer(_exactly(file, n_bytes), dtype)
        return values.reshape(shape, order="F")

    return name, file.tell() + n_bytes * (1 + is_complex), array


def _variable(file, order):
    """Return name, end and a function that reads the array of a variable of version 5."""
    kind, n_bytes = struct.unpack(f"{order}II", _exactly(file, 8))
    start = file.tell()
    if kind not in (_MATRIX, _COMPRESSED):
        raise SequenceFileError(f"what should be a variable is of type {kind}")
    head, n_matrix = file.read(min(n_bytes, _HEAD_COMPRESSED)), n_bytes
    if kind == _COMPRESSED:
        head = zlib.decompressobj().decompress(head, _HEAD)
        inner, n_matrix = struct.unpack_from(f"{order}II", head)
        if inner != _MATRIX:
            raise SequenceFileError(f"what should be a variable is of type {inner}")
        head = head[8:]
    name = _Elements(head, order).header()[-1]

    def array():
        check_size(name, max(n_bytes, n_matrix))
        file.seek(start)
        content = _exactly(file, n_bytes)
        if kind == _COMPRESSED:
            content = _decompressed(name, content, 8 + n_matrix)[8:]
        return _matrix(name, _Elements(content, order))

    return name, start + n_bytes, array


def _decompressed(name, content, n_bytes):
    """Return bytes of a known number; zlib compares checksums where they end."""
    decompressor = zlib.decompressobj()
    result = decompressor.decompress(content, n_bytes + 1)
    if len(result) != n_bytes or not decompressor.eof or decompressor.unused_data:
        raise SequenceFileError(f"{name} does not decompress to the {n_bytes} bytes it has")
    return result


class _Elements:
    """The elements that follow one another in some bytes."""

    def __init__(self, content, order):
        self._content, self._position, self.order = content, 0, order

    @property
    def n_left(self):
        return max(len(self._content) - self._position, 0)

    def next(self):
        """Return type and bytes of the next element."""
        form = f"{self.order}II"
        kind, n_bytes = struct.unpack_from(form, self._content, self._position)
        start = self._position + 8
        if kind > 0xFFFF:
            # Up to four bytes share eight with their type and number.
            kind, n_bytes = kind & 0xFFFF, kind >> 16
            self._position, start = start, start - 4
            is_whole = n_bytes <= 4
        else:
            self._position = start + n_bytes + -n_bytes % 8
            is_whole = start + n_bytes <= len(self._content)
        if not is_whole:
            raise SequenceFileError("a variable ends before its data do")
        return kind, self._content[start : start + n_bytes]

    def header(self):
        """Return class, flags, shape and name of a matrix."""
        flags, _ = struct.unpack(f"{self.order}II", self.next()[1])
        shape = ()
        if flags & 0xFF != _OPAQUE:
            content = self.next()[1]
            shape = struct.unpack(f"{self.order}{len(content) // 4}i", content)
        if min(shape, default=0) < 0:
            raise SequenceFileError(f"a variable has the shape {shape}")
        return flags & 0xFF, flags, shape, self.next()[1].decode("latin1")


def _matrix(name, elements, in_cell=False):
    """Return the array of numbers, or object array of cells, that elements make up."""
    kind, flags, shape, _ = elements.header()
    if kind == _CELL and not in_cell:
        array = _cells(name, elements, math.prod(shape))
    elif kind in _CLASSES and not flags & _COMPLEX:
        array = _numbers(name, elements, np.dtype(_CLASSES[kind]), math.prod(shape))
    else:
        found = "complex" if kind in _CLASSES else _OTHERS.get(kind, "of another class")
        found = "a cell" if kind == _CELL else found
        raise SequenceFileError(f"{name} is {found}; only plain arrays of numbers are read")
    if elements.n_left:
        raise SequenceFileError(f"{name} has more bytes than its shape {shape}")
    return array.reshape(shape, order="F")


def _cells(name, elements, n_cells):
    check_trains(name, n_cells)
    if 8 * n_cells > elements.n_left:
        raise SequenceFileError(f"{name} has fewer bytes than its {n_cells} cells")
    cells = np.empty(n_cells, object)
    for i in range(n_cells):
        kind, content = elements.next()
        label = f"{name}{{{i + 1}}}"
        if kind != _MATRIX:
            raise SequenceFileError(f"what should be {label} is of type {kind}")
        inside = _Elements(content, elements.order)
        # MATLAB writes a cell that was never filled without anything in it.
        cells[i] = _matrix(label, inside, in_cell=True) if content else np.empty(0)
    return cells


def _numbers(name, elements, dtype, n):
    """Return numbers of a class of MATLAB, which may be stored in a smaller type."""
    kind, content = elements.next()
    stored = np.dtype(elements.order + _NUMBERS[kind]) if kind in _NUMBERS else None
    fits = (
        stored is not None
        and stored.itemsize <= dtype.itemsize
        and stored.kind in "iu" + dtype.kind
    )
    if not fits or len(content) != n * stored.itemsize:
        raise SequenceFileError(
            f"{name}, {n} numbers of type {dtype}, is stored as {len(content)} bytes of "
            f"type {stored if kind in _NUMBERS else kind}"
        )
    return np.frombuffer(content, stored)
