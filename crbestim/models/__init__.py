"""Signal models: tissue parameters to signal and Jacobian, one physics a file."""

from ._closed_form import ClosedFormModel
from ._compiled import CompiledModel
from ._hybrid_state import HybridStateModel
from .actual_flip_angle import ActualFlipAngle
from .balanced_steady_state import BalancedSteadyState
from .base import SignalModel
from .bi_exponential import BiExponential
from .bloch_siegert import BlochSiegert
from .double_angle import DoubleAngle
from .field_map import FieldMap
from .fisp import FISPFingerprinting
from .function import FunctionModel
from .intravoxel_incoherent_motion import IntravoxelIncoherentMotion
from .inversion_recovery import InversionRecovery
from .look_locker import LookLocker
from .magnetization_transfer import MagnetizationTransfer
from .molli import MOLLI
from .mono_exponential import MonoExponential
from .mp2rage import MP2RAGE
from .mtsat import MTsat
from .multi_echo_spin_echo import MultiEchoSpinEcho
from .phase_cycled_ssfp import PhaseCycledSSFP
from .saturation_recovery import SaturationRecovery
from .spin_lock import SpinLock
from .spoiled_gradient_echo import SpoiledGradientEcho
from .spoiled_magnetization_transfer import SpoiledMagnetizationTransfer
from .views import CompressedModel, GivenModel, LinearView, ModelView, WhitenedModel

__all__ = [
    "ActualFlipAngle",
    "BalancedSteadyState",
    "BiExponential",
    "BlochSiegert",
    "CompressedModel",
    "DoubleAngle",
    "FISPFingerprinting",
    "FieldMap",
    "FunctionModel",
    "GivenModel",
    "IntravoxelIncoherentMotion",
    "InversionRecovery",
    "MTsat",
    "LookLocker",
    "MOLLI",
    "MP2RAGE",
    "MagnetizationTransfer",
    "MonoExponential",
    "MultiEchoSpinEcho",
    "PhaseCycledSSFP",
    "SaturationRecovery",
    "SignalModel",
    "SpinLock",
    "SpoiledGradientEcho",
    "SpoiledMagnetizationTransfer",
    "WhitenedModel",
]

# What the models above share: help() names these classes, and so they can be imported.
for _base in (ClosedFormModel, CompiledModel, HybridStateModel, LinearView, ModelView):
    _base.__module__ = __name__


def __dir__():
    """List the models, and not the files that they are in."""
    return __all__
