"""Transformers of signals: projection onto a subspace, complex to real, whitening."""

from ._base import SignalTransformer
from .complex_to_real import ComplexToReal
from .projection import SubspaceProjection
from .whitening import Whitening

__all__ = ["ComplexToReal", "SubspaceProjection", "Whitening"]

# help() names this class, and so it can be imported.
SignalTransformer.__module__ = __name__
