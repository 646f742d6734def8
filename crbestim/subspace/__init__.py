"""Transformers of signals: projection onto a subspace, complex to real, whitening."""

from .complex_to_real import ComplexToReal
from .projection import SubspaceProjection
from .whitening import Whitening

__all__ = ["ComplexToReal", "SubspaceProjection", "Whitening"]
