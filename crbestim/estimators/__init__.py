"""Estimators: assemble models, bounds and networks behind scikit-learn's interface."""

from .crb import CRBRegressor
from .dictionary import DictionaryRegressor
from .nlls import NLLSRegressor, VoxelFits, VoxelStatus
from .one_step import OneStepRegressor

__all__ = [
    "CRBRegressor",
    "DictionaryRegressor",
    "NLLSRegressor",
    "OneStepRegressor",
    "VoxelFits",
    "VoxelStatus",
]
