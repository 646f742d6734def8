"""Quantitative MRI at the Cramér-Rao bound, behind scikit-learn's interface.

Estimators, at the top of the package:

- :class:`CRBRegressor`, a network trained with the CRB loss;
- :class:`NLLSRegressor`, nonlinear least squares;
- :class:`DictionaryRegressor`, the best match in a dictionary;
- :class:`OneStepRegressor`, any of these refined by Fisher scoring.

Modules, in the order in which they build on each other:

- :mod:`crbestim.exceptions`: errors and warnings;
- :mod:`crbestim.parameters`: names, units, bounds and distributions of parameters;
- :mod:`crbestim.sequences`: flip angles and pulse durations;
- :mod:`crbestim.noise`: Gaussian and Rician noise;
- :mod:`crbestim.models`: tissue parameters to signal and Jacobian;
- :mod:`crbestim.bounds`: Fisher information and the Cramér-Rao bound (CRB);
- :mod:`crbestim.metrics`: errors in units of the bound;
- :mod:`crbestim.datasets`: random fingerprints and a digital brain;
- :mod:`crbestim.subspace`: transformers of signals, such as a basis that keeps the CRB;
- :mod:`crbestim.least_squares`: the search for the minimum, voxel by voxel;
- :mod:`crbestim.design`: sequences and protocols that are optimal by the bound;
- :mod:`crbestim.network`: losses, modules and training of networks;
- :mod:`crbestim.estimators`: the estimators;
- :mod:`crbestim.inspection`: pictures of bounds, estimators, training and maps.
- :mod:`crbestim.io`: trained estimators in files, images in, and maps out.
"""

import importlib

from ._version import __version__ as __version__

__all__ = [
    "CRBRegressor",
    "DictionaryRegressor",
    "NLLSRegressor",
    "OneStepRegressor",
]

_MODULES = (
    "bounds",
    "datasets",
    "design",
    "estimators",
    "exceptions",
    "inspection",
    "io",
    "least_squares",
    "metrics",
    "models",
    "network",
    "noise",
    "parameters",
    "sequences",
    "subspace",
)


def __getattr__(name):
    """Import a name on first use: scikit-learn alone takes a second."""
    if name in __all__:
        value = getattr(importlib.import_module(".estimators", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    """List what can be imported, loaded or not."""
    return sorted({*globals(), *__all__, *_MODULES})
