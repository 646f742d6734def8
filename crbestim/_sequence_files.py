"""Readers of sequence files: NumPy archives and MATLAB files of all versions.

They return the arrays as stored, cut into trains; whether these make a valid sequence is
checked where it is built.
"""

from pathlib import Path

import numpy as np
from scipy.io import loadmat, whosmat

from ._optional import import_optional
from .exceptions import SequenceFileError

_KEYS = {
    "alpha": ("alpha",),
    "trf": ("TRF", "trf"),
    "tr": ("TR", "tr"),
    "train_lengths": ("train_lengths",),
}
_NAMES = [name for names in _KEYS.values() for name in names]
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


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
                f"it holds {', '.join(sorted(found)) or 'nothing'}"
            )
        trains.append(_cut(path, _KEYS[key][0], fields[key], lengths))
    tr = fields.get("tr")
    return *trains, None if tr is None else np.squeeze(tr)


def _read(path):
    """Return the arrays of a file by the names in `_KEYS`, and all names in the file."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        reader = _read_npz
    elif suffix == ".mat":
        reader = _read_hdf5 if _is_hdf5(path) else _read_matlab
    else:
        raise SequenceFileError(f"{path} is neither a .npz nor a .mat file")
    try:
        arrays, found = reader(path)
    except ImportError:
        raise
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


def _read_npz(path):
    # NumPy leaves the file of a damaged archive open, so it is opened here. Pickled
    # arrays stay refused: loading one can run any code.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in _NAMES if name in archive}
        return arrays, archive.files


def _read_matlab(path):
    content = loadmat(path, variable_names=_NAMES)
    arrays = {name: content[name] for name in _NAMES if name in content}
    is_complete = all(set(_KEYS[key]) & set(arrays) for key in ("alpha", "trf"))
    # Errors list all variables, of which some, such as functions, may be unreadable.
    return arrays, arrays if is_complete else [name for name, _, _ in whosmat(path)]


def _is_hdf5(path):
    """Return whether a MATLAB file is of version 7.3, which is HDF5 after 512 bytes."""
    with path.open("rb") as file:
        head = file.read(512 + len(_HDF5_SIGNATURE))
    return head.startswith((b"MATLAB 7.3", _HDF5_SIGNATURE)) or head.endswith(
        _HDF5_SIGNATURE
    )


def _read_hdf5(path):
    h5py = import_optional("h5py", f"Reading {path}, a MATLAB 7.3 file,", extra="mat")
    with h5py.File(path, "r") as file:
        found = [name for name in file if not name.startswith("#")]
        return {n: _from_hdf5(file, file[n]) for n in _NAMES if n in found}, found


def _from_hdf5(file, dataset):
    """Return a MATLAB array, or an object array of the contents of a cell array."""
    if "MATLAB_empty" in dataset.attrs:
        return np.empty(0)
    if not hasattr(dataset, "dtype"):
        raise TypeError(f"{dataset.name} is a struct")
    values = dataset[()]
    if values.dtype != object:
        # MATLAB stores columns first, so its axes arrive in reverse.
        return values.T
    cells = np.empty(values.size, dtype=object)
    for i, reference in enumerate(values.flat):
        cells[i] = _from_hdf5(file, file[reference])
    return cells


def _cut(path, name, values, lengths):
    """Return the trains of one array as a list of vectors."""
    if values.dtype == object:
        return [_vector(path, f"{name}{{{i}}}", cell) for i, cell in _cells(values)]
    if lengths is not None:
        return _cut_at(path, _vector(path, name, values), np.ravel(lengths), name)
    if values.ndim == 2 and min(values.shape) > 1:
        return list(values.T)
    return [_vector(path, name, values)]


def _cut_at(path, flat, lengths, name):
    """Return the trains of a vector that holds them one after another."""
    whole = lengths.dtype.kind in "iuf" and np.all((lengths >= 1) & (lengths % 1 == 0))
    if not whole or lengths.sum() != flat.size:
        raise SequenceFileError(
            f"{path}: train_lengths {lengths.tolist()} are not whole numbers from 1 "
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
