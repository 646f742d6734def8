"""Files: trained estimators, and images in and maps out as NIfTI.

Everything about images is imported on first use: to describe a file takes neither numba nor
scikit-learn.
"""

import importlib

from ._trained import describe, load, save

_HOMES = {
    "Acquisition": "acquisition",
    "ImageSeries": "images",
    "PhantomReport": "phantom",
    "Voxels": "voxels",
    "map_images": "maps",
    "open_images": "images",
    "phantom_report": "phantom",
    "read_bids": "bids",
    "read_images": "images",
    "write_bids": "bids_maps",
}

__all__ = [
    "Acquisition",
    "ImageSeries",
    "PhantomReport",
    "Voxels",
    "describe",
    "load",
    "map_images",
    "open_images",
    "phantom_report",
    "read_bids",
    "read_images",
    "save",
    "write_bids",
]


def __getattr__(name):
    """Import a name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    """List what can be imported, loaded or not."""
    return __all__
