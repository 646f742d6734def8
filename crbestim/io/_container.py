r"""Files of stored objects: bytes that a checksum covers, before anything reads them.

A file is

1. a line of text, ``crbestim object, format 1``;
2. a line with the SHA-256 of all other bytes, in hexadecimal digits;
3. a line of JSON: the summary, and the sizes of the next part, stored and in full;
4. the entries that make the object, as JSON;
5. the bytes of its arrays, one after the other.

What is stored in fewer bytes than it has is compressed by zlib. Nothing grows by more than
`_MOST_GROWTH` when it is read, so that memory is bounded by the size of the file.
"""

import hashlib
import json
import os
import re
import zlib
from pathlib import Path

from .._version import __version__
from ..exceptions import SavedFileError

FORMAT = 1
_FIRST_LINE = re.compile(rb"crbestim object, format (\d{1,6})\n")
_DIGEST_LINE = re.compile(rb"[0-9a-f]{64}\n")
_LONGEST_FIRST_LINE = 31
_MOST_GROWTH = 20
# Bytes of the summary, and of the entries in full.
_LONGEST_SUMMARY, _LONGEST_ENTRIES = 2**20, 2**26
_FOREIGN = {
    b"\x80": "a pickle, which runs code when it is loaded",
    b"PK": "a zip archive, as of numpy.savez, torch.save or skops",
    b"\x1f\x8b": "a gzip file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"MATLAB": "a MATLAB file",
}


def pack(content):
    """Return bytes compressed, or as they are if that is not good for them."""
    packed = zlib.compress(content, 6)
    is_good = len(packed) < len(content) <= _MOST_GROWTH * len(packed)
    return packed if is_good else content


def unpack(stored, n_bytes):
    """Return the bytes that `pack` got, of which there must be so many."""
    if n_bytes == len(stored):
        return bytes(stored)
    if not len(stored) < n_bytes <= _MOST_GROWTH * len(stored):
        raise SavedFileError(f"it holds {n_bytes} bytes in {len(stored)}")
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(stored, n_bytes)
    if len(content) != n_bytes or unpacker.decompress(unpacker.unconsumed_tail, 1):
        raise SavedFileError(f"it holds other than {n_bytes} bytes in {len(stored)}")
    if not unpacker.eof or unpacker.unused_data:
        raise SavedFileError("a part does not end where it should")
    return content


def write(path, summary, entries, blobs):
    """Write a summary, entries that JSON can hold, and the bytes of arrays.

    A file of that name is replaced once the new one is complete.
    """
    content = json.dumps(entries, separators=(",", ":"), allow_nan=False).encode()
    if len(content) > _LONGEST_ENTRIES:
        raise SavedFileError(
            f"there are {len(entries)} objects beside arrays, too many to be stored; keep "
            "large lists as arrays of numbers"
        )
    stored = pack(content)
    sizes = {"entries": [len(stored), len(content)]}
    line = json.dumps(summary | sizes).encode() + b"\n"
    first = b"crbestim object, format %d\n" % FORMAT
    parts = [line, stored, *blobs]
    digest = _digest(first, *parts).encode() + b"\n"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.writelines([first, digest, *parts])
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path):
    """Return the summary of a file, its entries in JSON, and the bytes of its arrays.

    A file that is not as it was written ends in an error before any of it is used.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with path.open("rb") as file:
        first = file.read(_LONGEST_FIRST_LINE + 2)
        found = _FIRST_LINE.match(first)
        if not found:
            raise SavedFileError(
                f"it was not written by crbestim.io.save, or is damaged: {_kind(first)}"
            )
        file.seek(found.end())
        rest = memoryview(file.read())
    first, digest = found[0], bytes(rest[:65])
    number, rest = int(found[1]), rest[65:]
    is_whole = (
        _DIGEST_LINE.fullmatch(digest) and _digest(first, rest) == digest[:-1].decode()
    )
    if not is_whole:
        raise SavedFileError(
            "it is damaged or incomplete: its checksum is not that of its bytes; get it "
            "anew from where it was saved"
        )
    end = bytes(rest[:_LONGEST_SUMMARY]).find(b"\n") + 1
    summary = json.loads(bytes(rest[:end]))
    if number != FORMAT:
        raise SavedFileError(
            f"it is of format {number}, written by crbestim {summary.get('crbestim')}; "
            f"this is crbestim {__version__}, which reads format {FORMAT}: update it"
        )
    n_stored, n_bytes = summary.pop("entries")
    if not 0 <= n_stored <= len(rest) - end or not n_bytes <= _LONGEST_ENTRIES:
        raise SavedFileError("its parts have impossible sizes")
    entries = rest[end : end + n_stored]
    return summary, lambda: json.loads(unpack(entries, n_bytes)), rest[end + n_stored :]


def _digest(*parts):
    """Return the SHA-256 of some bytes in hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _kind(first):
    """Return what a file seems to be, by its first bytes."""
    if not first:
        return "it is empty"
    for beginning, kind in _FOREIGN.items():
        if first.startswith(beginning):
            return f"it looks like {kind}"
    return f"it begins with {first[:16]!r}"


def as_path(path):
    """Return a path that may be text."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path is {path!r}; give the path of a file, as text or a Path.")
    return Path(path)
