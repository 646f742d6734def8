"""Data to train and test with: fingerprints and a digital brain."""

from .fingerprints import make_fingerprints
from .phantom import BrainPhantom, make_brain_phantom

__all__ = ["BrainPhantom", "make_brain_phantom", "make_fingerprints"]
