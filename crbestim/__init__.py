"""Quantitative MRI at the Cramér-Rao bound, behind scikit-learn's interface.

Estimators, at the top of the package:

- :class:`CRBRegressor`, a network trained with the CRB loss;
- :class:`NLLSRegressor`, nonlinear least squares.

Modules, in the order in which they build on each other:

- :mod:`crbestim.sequences`: flip angles and pulse durations;
- :mod:`crbestim.models`: tissue parameters to signal and Jacobian;
- :mod:`crbestim.bounds`: Fisher information and the Cramér-Rao bound (CRB);
- :mod:`crbestim.metrics`: errors in units of the bound;
- :mod:`crbestim.datasets`: random fingerprints and a digital brain;
- :mod:`crbestim.estimators`: the estimators.
"""

from .estimators import CRBRegressor, NLLSRegressor

__all__ = ["CRBRegressor", "NLLSRegressor"]
__version__ = "0.1.0.dev0"
