"""Files: trained estimators and models."""

from ._trained import describe, load, save

__all__ = ["describe", "load", "save"]
