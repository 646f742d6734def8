"""Least squares for each voxel: box, cost, search, single steps, and what they return.

Arrays and a model in, results out; :class:`~crbestim.NLLSRegressor` and
:class:`~crbestim.OneStepRegressor` put these parts together.
"""

from .box import UnitBox
from .prior import GaussianPrior

__all__ = ["GaussianPrior", "UnitBox"]
