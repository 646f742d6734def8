"""Objects as entries that JSON can hold, and back.

Every value that is no plain number or text has one entry, ``[kind, *parts]``, however
often it is used. A part is None, a bool, an int, a finite float, a text, or ``[number]``:
the value of an earlier entry. So nothing is nested, an object is made from what has been
made, and what was one object before is one object after. Instances of classes are made
first, and get their attributes by an entry behind those of the attributes.
"""

import copyreg

import numpy as np
from sklearn.base import BaseEstimator

from .._version import without_version
from ..estimators import CRBRegressor
from ..exceptions import SavedFileError
from ..models import FunctionModel, SignalModel
from ..sequences import HybridStateSequence
from ._arrays import can_store, from_bytes, to_bytes
from ._forms import FORMS, form_of
from ._names import find, is_free, path_of

_PLAIN = (bool, int, str, type(None))
# What further training starts from, and nothing else needs; who is told of a fit.
_TRAINING_STATE, _CALLBACKS = "optimizer_", "_skl_callbacks"
# What a file is described by.
_FIRSTS = dict(model=SignalModel, sequence=HybridStateSequence, network=CRBRegressor)
_ALLOWED = (
    "is neither data, nor of a class that is an object of this library, an estimator of "
    "scikit-learn or a class of your own, made of its attributes alone"
)


class Packer:
    """Make entries of an object and all that it holds.

    Attributes
    ----------
    entries : list of list
        The entries.
    blobs : list of bytes
        The bytes of its arrays.
    foreign : set of str
        Import paths that must be trusted.
    firsts : dict
        The first model, sequence and network.
    """

    def __init__(self, *, training_state):
        self.training_state = training_state
        self.entries, self.blobs = [], []
        self.foreign, self.firsts = set(), {}
        # What has a number is kept, as otherwise another object might get its id.
        self._numbers, self._kept, self._open, self._steps = {}, [], set(), []

    def part(self, value, step=None):
        """Return a value as a part of an entry; make its own entries if it needs them."""
        if type(value) in _PLAIN or (type(value) is float and np.isfinite(value)):
            return value
        key = id(value)
        if key not in self._numbers:
            if key in self._open:
                raise self._error(value, "holds itself")
            self._open.add(key)
            self._steps.append(step)
            self._kept.append(value)
            entry = self._entry(value)
            # An instance has its number already, before those of its attributes.
            self._numbers.setdefault(key, len(self.entries))
            self.entries.append(entry)
            self._steps.pop()
            self._open.remove(key)
        return [self._numbers[key]]

    def whole(self, value):
        """Return whether a value has entries; the last entry is then a list of it."""
        self.entries.append(["list", self.part(value)])
        return len(self.entries) > 1

    def _entry(self, value):
        """Return the entry of a value."""
        if isinstance(value, np.ndarray) and type(value) in (np.ndarray, np.memmap):
            if can_store(value.dtype):
                description, blob = to_bytes(value)
                self.blobs.append(blob)
                return ["array", *description]
        kind = form_of(value)
        if kind is not None:
            parts = FORMS[kind].parts(value)
            steps = (_step(kind, parts, i) for i in range(len(parts)))
            return [kind, *map(self.part, parts, steps)]
        if isinstance(value, np.ufunc) or hasattr(value, "__qualname__"):
            return ["name", self._path(value, value)]
        return self._instance(value)

    def _path(self, named, value):
        """Return the import path of a class or function, of which a value may be one."""
        path = path_of(named)
        if path is None:
            raise self._error(
                value, "cannot be found by an import; define it at the top of a module"
            )
        if not is_free(path):
            self.foreign.add(path)
            return path
        try:
            find(path, {})
        except SavedFileError as error:
            raise self._error(value, _ALLOWED) from error
        return path

    def _instance(self, value):
        """Return the entry of an object that is made of its class and attributes."""
        kind = type(value)
        for name, wanted in _FIRSTS.items():
            if isinstance(value, wanted):
                self.firsts.setdefault(name, value)
        try:
            make, arguments, state, *others = (*value.__reduce_ex__(2), None)[:5]
        except Exception as error:
            raise self._error(value, f"has no state to store ({error})") from error
        is_simple = make is copyreg.__newobj__ and arguments == (kind,) and not any(others)
        can_take = isinstance(state, dict | None) or hasattr(kind, "__setstate__")
        path = self._path(kind, value)
        if not is_simple or not can_take:
            raise self._error(value, _ALLOWED)
        state = without_version(state)
        if isinstance(value, BaseEstimator) and isinstance(state, dict):
            state.pop(_CALLBACKS, None)
            if isinstance(value, CRBRegressor) and not self.training_state:
                state.pop(_TRAINING_STATE, None)
        # Made without attributes, which may refer to it.
        self._numbers[id(value)] = len(self.entries)
        self.entries.append(["instance", path])
        return ["attributes", [self._numbers[id(value)]], self.part(state)]

    def _error(self, value, reason):
        steps = "".join(f"[{step!r}]" for step in self._steps if step is not None)
        text = getattr(value, "__qualname__", f"an object of {type(value).__name__}")
        where = f" at {steps}" if steps else ""
        return SavedFileError(f"{text}{where} {reason}; it cannot be saved")


def _step(kind, parts, i):
    """Return where a part is, for errors: a key of a dict, a place in a list."""
    if kind == "dict":
        return parts[i - 1] if i % 2 else None
    return i if kind in ("list", "tuple") else None


class Unpacker:
    """Make an object from entries and bytes.

    Parameters
    ----------
    entries : list of list
        The entries.
    content : memoryview
        The bytes of the arrays.
    trusted : dict
        What may be used beside the free names, by path.
    """

    def __init__(self, entries, content, trusted):
        self.entries, self.content, self.trusted = entries, content, trusted
        self._made, self._bare, self._place = [], set(), 0

    def value(self):
        """Return the object, the one in the list of the last entry."""
        self._check_names()
        for entry in self.entries:
            self._made.append(self._make(*entry))
        if self._place != len(self.content) or not self._made:
            raise SavedFileError(
                f"{len(self.content) - self._place} of its bytes are unused"
            )
        (value,) = self._made[-1]
        return value

    def changes(self):
        """Return what functions of models do now that they did not when they were saved."""
        models = [made for made in self._made if isinstance(made, FunctionModel)]
        unique = {id(model): (model, model._change()) for model in models}.values()
        return [
            f"the signal of {model._label} {change}" for model, change in unique if change
        ]

    def _check_names(self):
        """Refuse all names that are not trusted, before anything is imported."""
        names = [entry[1] for entry in self.entries if entry[0] in ("name", "instance")]
        unknown = sorted({n for n in names if not is_free(n) and n not in self.trusted})
        if unknown:
            raise SavedFileError(
                f"it needs {', '.join(unknown)}, which loading imports and so runs; if you "
                f"trust what is there, load(path, trusted={unknown})" + self._like(unknown)
            )

    def _like(self, unknown):
        """Return what errors say of trusted objects that have another import path."""
        ends = {name.rpartition(".")[2] for name in unknown}
        others = [name for name in self.trusted if name.rpartition(".")[2] in ends]
        if not others:
            return ""
        return f". {', '.join(others)} in trusted is another import path, and not the same"

    def _part(self, part):
        if not isinstance(part, list):
            return part
        (number,) = part
        if type(number) is not int or not 0 <= number < len(self._made):
            raise SavedFileError(f"it refers to entry {number!r}, which is not there yet")
        return self._made[number]

    def _make(self, kind, *parts):
        parts = [self._part(part) for part in parts]
        if kind == "array":
            return self._array(*parts)
        if kind == "name":
            return find(*parts, self.trusted)
        if kind == "instance":
            return self._instance(*parts)
        if kind == "attributes":
            return self._with_attributes(*parts)
        return FORMS[kind].make(*parts)

    def _array(self, dtype, shape, order, is_fixed, n_stored):
        end = self._place + n_stored
        if type(n_stored) is not int or not self._place <= end <= len(self.content):
            raise SavedFileError(f"it holds an array of {n_stored!r} bytes")
        blob, self._place = self.content[self._place : end], end
        return from_bytes(blob, dtype, shape, order, is_fixed)

    def _instance(self, path):
        kind = find(path, self.trusted)
        if not isinstance(kind, type):
            raise SavedFileError(f"it has an object of {path}, which is no class")
        made = kind.__new__(kind)
        self._bare.add(id(made))
        return made

    def _with_attributes(self, made, state):
        # Once, and only what was made here.
        self._bare.remove(id(made))
        if state is not None and hasattr(type(made), "__setstate__"):
            made.__setstate__(state)
        elif state is not None:
            vars(made).update(state)
