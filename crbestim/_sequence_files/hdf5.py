"""MATLAB files of version 7.3, which are HDF5, read by h5py in a process of its own.

The HDF5 library is compiled and trusts files: damaged ones can end the interpreter, keep it
busy for ever, or take all memory. So it runs in `hdf5_process.py`, a script without
anything of this package, whose end is an error here.
"""

import io
import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .._optional import import_optional
from ..exceptions import SequenceFileError
from .archives import read_npz
from .limits import LARGEST, MOST_TRAINS

TIME_LIMIT = 120
_SCRIPT = Path(__file__).with_name("hdf5_process.py")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_INSTEAD = "save it in MATLAB with save(..., '-v7'), or as .npz"


def is_hdf5(path):
    """Return whether a MATLAB file is of version 7.3, which is HDF5 after 512 bytes."""
    with path.open("rb") as file:
        head = file.read(512 + len(_SIGNATURE))
    return head.startswith((b"MATLAB 7.3", _SIGNATURE)) or head.endswith(_SIGNATURE)


def read_hdf5(path, names):
    """Return those arrays of a file that have one of the names, and all names in it."""
    if find_spec("h5py") is None:
        import_optional("h5py", f"Reading {path}, a MATLAB 7.3 file,", extra="mat")
    answer, content = _answer(path, names)
    if "damaged" in answer:
        raise OSError(answer["damaged"])
    if "refused" in answer:
        raise SequenceFileError(answer["refused"])
    stored, _ = read_npz(io.BytesIO(content), answer["stored"])
    arrays = {name: stored[name] for name in names if name in stored}
    for name, members in answer["cells"].items():
        arrays[name] = np.empty(len(members), object)
        for i, member in enumerate(members):
            arrays[name][i] = stored[member]
    return arrays, answer["found"]


def _answer(path, names):
    """Return what the other process says, and the archive that it sends with it."""
    if not sys.executable or getattr(sys, "frozen", False):
        raise SequenceFileError(
            "version 7.3 is read in a second Python process, and there is no interpreter "
            f"to start (sys.executable is {sys.executable!r}); {_INSTEAD}"
        )
    # Not as arguments: both may be long, or not be text in the encoding of the other.
    request = {
        "file": os.fsencode(path).decode("latin1"),
        "names": names,
        "limit": LARGEST,
        "most_cells": MOST_TRAINS,
        "seconds": TIME_LIMIT,
        "path": [str(entry) for entry in sys.path],
    }
    try:
        process = subprocess.run(
            [sys.executable, "-I", str(_SCRIPT)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=TIME_LIMIT,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise SequenceFileError(f"reading it took more than {TIME_LIMIT} s") from error
    except OSError as error:
        raise SequenceFileError(_not_started(error)) from error
    started, _, rest = process.stdout.partition(b"\n")
    if started != b"reading":
        lines = process.stderr.decode(errors="replace").strip().splitlines()
        raise SequenceFileError(_not_started(lines[-1] if lines else "it says nothing"))
    if process.returncode:
        raise SequenceFileError(f"it is damaged: {_end(process.returncode)}")
    answer, _, content = rest.partition(b"\n")
    return json.loads(answer), content


def _not_started(reason):
    return (
        "version 7.3 is read in a second Python process, and "
        f"{sys.executable} does not start with h5py ({reason}); {_INSTEAD}"
    )


def _end(code):
    """Return how the other process ended."""
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"code {code}"
    return f"the HDF5 library stopped with {name}"
