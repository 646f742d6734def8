"""Acquisitions that are optimal by the Cramér-Rao bound: sequences and protocols."""

from .limits import Limits
from .objective import bound_objective
from .optimize import optimize_sequence
from .result import DesignResult

__all__ = ["DesignResult", "Limits", "bound_objective", "optimize_sequence"]
