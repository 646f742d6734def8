"""Signal models: tissue parameters to signal and Jacobian, one physics a file."""

from .balanced_steady_state import BalancedSteadyState
from .base import SignalModel
from .compressed import CompressedModel
from .given import GivenModel
from .magnetization_transfer import MagnetizationTransfer

__all__ = [
    "BalancedSteadyState",
    "CompressedModel",
    "GivenModel",
    "MagnetizationTransfer",
    "SignalModel",
]
