"""The process that reads MATLAB files of version 7.3, without the rest of this package.

It is asked in JSON on standard input. It answers on standard output: a line when it is
ready to read, a line of JSON, and the arrays as a NumPy archive.
"""

import io
import json
import os
import sys


class Refused(Exception):
    """What is in the file is not what is read from files."""


def main():
    """Answer one request."""
    # Whatever libraries print belongs to standard error, which nobody sees.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    sys.path[:] = request["path"]
    # What is imported later would count against the limits.
    import h5py  # noqa: F401
    import numpy  # noqa: F401

    _limit(request["seconds"])
    output.write(b"reading\n")
    output.flush()
    archive = io.BytesIO()
    try:
        answer = _read(request, archive)
    except Refused as error:
        answer = {"refused": str(error)}
    except Exception as error:
        answer = {"damaged": f"{type(error).__name__}: {error}"}
    output.write(json.dumps(answer).encode() + b"\n" + archive.getbuffer())
    output.close()


def _limit(seconds):
    """Bound memory and time where the system can, and leave no memory dump behind."""
    try:
        import resource
    except ImportError:
        return
    for kind, wanted in (("AS", 2**32), ("CPU", seconds), ("CORE", 0)):
        limit = getattr(resource, f"RLIMIT_{kind}")
        _, most = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY:
            wanted = min(wanted, most)
        resource.setrlimit(limit, (wanted, most))


def _read(request, archive):
    """Write arrays into an archive, and return the names of arrays, cells and all."""
    import h5py
    import numpy as np

    stored, cells = {}, {}
    with h5py.File(request["file"].encode("latin1"), "r") as file:
        found = [name for name in file if not name.startswith("#")]
        for name in request["names"]:
            if name not in found:
                continue
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise Refused(f"{name} is a link to another place")
            arrays, is_cell = _contents(file, name, request["limit"], request["most_cells"])
            labels = [f"{name}{{{i}}}" for i in range(1, len(arrays) + 1)]
            cells |= {name: labels} if is_cell else {}
            stored |= zip(labels if is_cell else [name], arrays, strict=True)
    np.savez(archive, **stored)
    return {"found": found, "stored": list(stored), "cells": cells}


def _contents(file, name, limit, most_cells):
    """Return a list with the array of a name, or those of its cells, and which it is."""
    import h5py

    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise Refused(f"{name} is a struct")
    if h5py.check_ref_dtype(dataset.dtype) is not h5py.Reference:
        return [_numbers(dataset, name, limit)[0]], False
    arrays = []
    if dataset.size > most_cells:
        raise Refused(f"{name} has {dataset.size} trains; at most {most_cells} are read")
    _check(dataset, name, limit)
    for i, reference in enumerate(dataset[()].flat, start=1):
        # Many cells can refer to the same numbers, so their sum is what is limited.
        array, limit = _numbers(file[reference], f"{name}{{{i}}}", limit)
        arrays.append(array)
    return arrays, True


def _numbers(dataset, name, limit):
    """Return an array with MATLAB's axes, and what its size leaves of a limit."""
    import h5py
    import numpy as np

    if not isinstance(dataset, h5py.Dataset):
        raise Refused(f"{name} is a struct")
    if "MATLAB_empty" in dataset.attrs:
        return np.empty(0), limit
    if dataset.dtype.kind not in "biuf":
        raise Refused(f"{name} is of type {dataset.dtype}; only numbers are read")
    n_bytes = _check(dataset, name, limit)
    # MATLAB stores columns first, so its axes arrive in reverse.
    return dataset[()].T, limit - n_bytes


def _check(dataset, name, limit):
    """Return the number of bytes of an array that is not too large and in the file."""
    n_bytes = (dataset.size or 0) * dataset.dtype.itemsize
    if n_bytes > limit:
        raise Refused(f"{name} takes {n_bytes} bytes, more than the {limit} that are read")
    if dataset.external or dataset.is_virtual:
        raise Refused(f"{name} is stored in another file")
    return n_bytes


if __name__ == "__main__":
    main()
