"""Estimators: assemble models, bounds and networks behind scikit-learn's interface."""

from .crb import CRBRegressor
from .nlls import NLLSRegressor, VoxelFits, VoxelStatus

__all__ = ["CRBRegressor", "NLLSRegressor", "VoxelFits", "VoxelStatus"]
