"""Signal models: tissue parameters to signal and Jacobian, one physics a file."""

from .balanced_steady_state import BalancedSteadyState
from .base import SignalModel
from .bi_exponential import BiExponential
from .fisp import FISPFingerprinting
from .function import FunctionModel
from .intravoxel_incoherent_motion import IntravoxelIncoherentMotion
from .inversion_recovery import InversionRecovery
from .magnetization_transfer import MagnetizationTransfer
from .mono_exponential import MonoExponential
from .spoiled_gradient_echo import SpoiledGradientEcho
from .views import CompressedModel, GivenModel, WhitenedModel

__all__ = [
    "BalancedSteadyState",
    "BiExponential",
    "CompressedModel",
    "FISPFingerprinting",
    "FunctionModel",
    "GivenModel",
    "IntravoxelIncoherentMotion",
    "InversionRecovery",
    "MagnetizationTransfer",
    "MonoExponential",
    "SignalModel",
    "SpoiledGradientEcho",
    "WhitenedModel",
]


def __dir__():
    """List the models, and not the files that they are in."""
    return __all__
