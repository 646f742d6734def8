"""The arrays of a file as stored, cut into trains.

Whether these make a valid sequence is checked where it is built.
"""

from pathlib import Path

import numpy as np

from ..exceptions import SequenceFileError
from .archives import read_npz
from .hdf5 import is_hdf5, read_hdf5
from .limits import check_trains
from .matlab import read_matlab

_KEYS = {
    "alpha": ("alpha",),
    "trf": ("TRF", "trf"),
    "tr": ("TR", "tr"),
    "train_lengths": ("train_lengths",),
}
_NAMES = [name for names in _KEYS.values() for name in names]


def read_sequence_file(path):
    """Return lists of flip angles and durations, a vector per train, and TR or None."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no sequence file {path}")
    fields, found = _read(path)
    lengths = fields.get("train_lengths")
    trains = []
    for key in ("alpha", "trf"):
        if key not in fields:
            raise SequenceFileError(
                f"{path} has no {' or '.join(_KEYS[key])}; "
                f"it holds {_listed(found) or 'nothing'}"
            )
        trains.append(_cut(path, _KEYS[key][0], fields[key], lengths))
    tr = fields.get("tr")
    return *trains, None if tr is None else np.squeeze(tr)


def _read(path):
    """Return the arrays of a file by the names in `_KEYS`, and all names in the file."""
    if path.suffix.lower() not in _READERS:
        raise SequenceFileError(f"{path} is neither a .npz nor a .mat file")
    try:
        arrays, found = _READERS[path.suffix.lower()](path, _NAMES)
    except ImportError:
        raise
    except SequenceFileError as error:
        raise SequenceFileError(f"{path} cannot be read: {error}") from error
    except Exception as error:
        # On damaged files the parsers raise a dozen kinds of error, none of which
        # names the file.
        raise SequenceFileError(
            f"{path} cannot be read: it is damaged or does not hold plain arrays "
            f"({type(error).__name__}: {error})"
        ) from error
    fields = {
        key: arrays[name]
        for key, names in _KEYS.items()
        for name in names
        if name in arrays
    }
    return fields, found


def _read_mat(path, names):
    return (read_hdf5 if is_hdf5(path) else read_matlab)(path, names)


_READERS = {".npz": read_npz, ".mat": _read_mat}


def _listed(names):
    """Return some names as text, without characters that cannot be printed."""
    shown = [name if name.isprintable() else ascii(name) for name in sorted(names)]
    return ", ".join(shown[:20] + ["..."] * (len(shown) > 20))


def _cut(path, name, values, lengths):
    """Return the trains of one array as a list of vectors."""
    if values.dtype == object:
        check_trains(f"{path}: {name}", values.size)
        return [_vector(path, f"{name}{{{i}}}", cell) for i, cell in _cells(values)]
    if lengths is not None:
        return _cut_at(path, _vector(path, name, values), np.ravel(lengths), name)
    if values.ndim == 2 and min(values.shape) > 1:
        check_trains(f"{path}: {name}", values.shape[1])
        return list(values.T)
    return [_vector(path, name, values)]


def _cut_at(path, flat, lengths, name):
    """Return the trains of a vector that holds them one after another."""
    check_trains(f"{path}: {name}", lengths.size)
    # Each is at most the sum, which could otherwise overflow.
    whole = lengths.dtype.kind in "iuf" and np.all(
        (lengths >= 1) & (lengths <= flat.size) & (lengths % 1 == 0)
    )
    if not whole or lengths.sum() != flat.size:
        shown = np.array2string(lengths, separator=", ", threshold=20)
        raise SequenceFileError(
            f"{path}: train_lengths {shown} are not whole numbers from 1 "
            f"that add up to the {flat.size} pulses of {name}"
        )
    return np.split(flat, np.cumsum(lengths)[:-1].astype(int))


def _cells(values):
    """Return the cells and their numbers, counted from 1 and down the columns."""
    return enumerate(values.ravel(order="F"), start=1)


def _vector(path, name, values):
    """Return a row or column vector as a one-dimensional array."""
    if values.ndim > 2 or (values.ndim == 2 and min(values.shape) > 1):
        raise SequenceFileError(
            f"{path}: {name} has shape {values.shape}; a train is a vector"
        )
    return values.ravel()
