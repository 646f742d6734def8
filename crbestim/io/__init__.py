"""What leaves the machine and comes in: images and maps as NIfTI."""

from ._trained import describe, load, save
from .acquisition import Acquisition
from .bids import read_bids
from .bids_maps import write_bids
from .images import ImageSeries, open_images, read_images
from .maps import map_images
from .phantom import PhantomReport, phantom_report
from .voxels import Voxels

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
