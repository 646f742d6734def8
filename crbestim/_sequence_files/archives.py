"""NumPy archives, ``.npz`` files: a zip archive with one ``.npy`` file for each array."""

import io
import math
import zipfile

import numpy as np

from ..exceptions import SequenceFileError
from .limits import check_once, check_size

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(file, names):
    """Return those arrays of a file that have one of the names, and all names in it."""
    arrays, found = {}, []
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            # Opened even if not wanted: a name is stored twice, and this compares both.
            with archive.open(member) as content:
                name = member.filename.removesuffix(".npy")
                if name in names:
                    check_once(name, arrays)
                    arrays[name] = _array(name, member, content)
                found.append(name)
    return arrays, found


def _array(name, member, content):
    if member.compress_type not in _METHODS:
        raise SequenceFileError(
            f"{name} is compressed by method {member.compress_type} of zip archives; "
            "save it with numpy.savez or numpy.savez_compressed"
        )
    check_size(name, member.file_size)
    # Given a number of bytes, zipfile decompresses no more; at the end it compares
    # checksums.
    return _from_npy(name, content.read(member.file_size))


def _from_npy(name, content):
    """Return the array of a ``.npy`` file, as `numpy.load` does if it is no pickle."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in _READ_HEADER:
        raise SequenceFileError(f"{name} is a .npy file of the unknown version {version}")
    shape, fortran_order, dtype = _READ_HEADER[version](stream)
    if dtype.kind not in "biufc":
        raise SequenceFileError(
            f"{name} is of type {dtype}; only plain arrays of numbers are read"
        )
    start = stream.tell()
    expected = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or expected != len(content) - start:
        raise SequenceFileError(
            f"{name} of shape {shape} and type {dtype} is not {len(content) - start} bytes"
        )
    array = np.frombuffer(content, dtype, offset=start)
    return array.reshape(shape, order="F" if fortran_order else "C")
