"""Estimators: assemble models, bounds and networks behind scikit-learn's interface."""

from ._linear_calibration import LinearCalibration, LinearModel
from ._matching import BallTree, BallTreeCells
from ._residuals import Residuals
from .crb import CRBRegressor
from .dictionary import DictionaryRegressor
from .nlls import NLLSRegressor, VoxelFits, VoxelStatus
from .one_step import OneStepRegressor, PastErrors

__all__ = [
    "BallTree",
    "BallTreeCells",
    "CRBRegressor",
    "DictionaryRegressor",
    "LinearCalibration",
    "LinearModel",
    "NLLSRegressor",
    "OneStepRegressor",
    "PastErrors",
    "Residuals",
    "VoxelFits",
    "VoxelStatus",
]
