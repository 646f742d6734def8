"""Estimators: assemble models, bounds and networks behind scikit-learn's interface."""

from ._base import BoundedRegressor
from ._blocks import predict_blocks
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
    "BoundedRegressor",
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
    "predict_blocks",
]

# help() and pickles name these classes by what users import.
for _one in (BallTree, BallTreeCells, BoundedRegressor, LinearCalibration, LinearModel):
    _one.__module__ = __name__
PastErrors.__module__ = Residuals.__module__ = __name__
