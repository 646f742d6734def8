"""Classes and functions by their import paths, and which of them a file may name.

A file may name classes of this library, estimators of scikit-learn, and functions of NumPy
and SciPy that compute arrays from arrays. All else must be trusted by name, because its
module is imported, and that runs code.
"""

import importlib
import pkgutil
import re
import sys

import numpy as np
import scipy.special
from sklearn.base import BaseEstimator

from ..exceptions import SavedFileError

# Of scikit-learn beside estimators: what metadata routing and trained networks hold.
_PARTS_OF_SKLEARN = {
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "sklearn.utils._metadata_requests.MetadataRequest",
}
_FUNCTIONS = {f"numpy.{name}": getattr(np, name) for name in ("angle", "imag", "real")}
_NUMBERS = {
    f"{kind.__module__}.{kind.__name__}": kind
    for kind in (bool, int, float, complex, str, object, np.bool_, np.int32, np.int64)
    + (np.float32, np.float64, np.complex64, np.complex128)
}
_PATH = re.compile(r"(crbestim|sklearn)(\.[A-Za-z_]\w*){0,6}", re.ASCII)
_NO_PARTS = {"tests", "conftest", "datasets", "experimental", "externals"}


def path_of(value):
    """Return the import path of a class or function, or None if there is none."""
    for path, known in (_FUNCTIONS | _NUMBERS).items():
        if value is known:
            return path
    if isinstance(value, np.ufunc):
        for module in (np, scipy.special):
            if getattr(module, value.__name__, None) is value:
                return f"{module.__name__}.{value.__name__}"
        return None
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not name:
        return None
    if _resolved(module, name) is not value:
        # Compiled functions keep the name of the function that was compiled.
        others = vars(sys.modules.get(module, sys)).items()
        name = next((other for other, found in others if found is value), None)
        if name is None:
            return None
    if not is_free(module):
        return f"{module}.{name}"
    # As users import it, because files move.
    parts = module.split(".")
    parents = (".".join(parts[:n]) for n in range(1, len(parts)))
    public = (parent for parent in parents if _resolved(parent, name) is value)
    return f"{next(public, module)}.{name}"


def _resolved(module, name):
    """Return what a module that is loaded has under a name, or None."""
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def is_free(path):
    """Return whether a path may be looked for without being trusted."""
    root = path.partition(".")[0]
    return (
        root in ("crbestim", "sklearn")
        or path in _FUNCTIONS | _NUMBERS
        or (root in ("numpy", "scipy") and isinstance(_ufunc(path), np.ufunc))
    )


def _ufunc(path):
    module, _, name = path.rpartition(".")
    places = {"numpy": np, "scipy.special": scipy.special}
    return getattr(places.get(module), name, None)


def find(path, trusted):
    """Return the class or function of a path, if it is free or trusted."""
    if path in trusted:
        value = trusted[path]
        return _imported(path) if isinstance(value, str) else value
    if path in _FUNCTIONS | _NUMBERS:
        return (_FUNCTIONS | _NUMBERS)[path]
    if isinstance(_ufunc(path), np.ufunc):
        return _ufunc(path)
    module, _, name = path.rpartition(".")
    parts = set(module.split("."))
    is_clean = not parts & _NO_PARTS and not any(part.startswith("__") for part in parts)
    if _PATH.fullmatch(module) and is_clean:
        try:
            value = getattr(importlib.import_module(module), name, None)
        except ImportError:
            value = None
        if _is_ours(value) or _is_of_sklearn(path, value):
            return value
    raise SavedFileError(
        f"it names {path}, which is no class of this library and no estimator of the "
        "scikit-learn that is installed"
    )


def _is_ours(value):
    is_class = isinstance(value, type) and not issubclass(value, BaseException)
    return is_class and value.__module__.partition(".")[0] == "crbestim"


def _is_of_sklearn(path, value):
    if not isinstance(value, type) or value.__module__.partition(".")[0] != "sklearn":
        return False
    return issubclass(value, BaseEstimator) or path in _PARTS_OF_SKLEARN


def _imported(path):
    """Return what a trusted path names."""
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise SavedFileError(
            f"it names {path}, which cannot be imported ({error}); what it needs must have "
            f"this import path here: put a file {path.partition('.')[0]}.py with it where "
            "Python finds modules. An object of the same name in another module, passed in "
            "trusted, does not stand for it"
        ) from error


def as_trusted(trusted):
    """Return what a user trusts, by path: paths, or classes and functions themselves."""
    if isinstance(trusted, str) or not isinstance(trusted, list | tuple | set | frozenset):
        raise TypeError(
            f"trusted is {trusted!r}; give a list of import paths, such as "
            "['my_module.my_function'], or of the functions and classes themselves."
        )
    found = {}
    for value in trusted:
        path = value if isinstance(value, str) else path_of(value) or ""
        if not re.fullmatch(r"\w+(\.\w+)+", path):
            raise TypeError(
                f"trusted holds {value!r}; give import paths, or functions and classes."
            )
        found[path] = value
    return found
