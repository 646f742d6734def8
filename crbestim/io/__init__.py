"""What leaves the machine and comes in: images and maps as NIfTI."""

from ._trained import describe, load, save
from .images import ImageSeries, open_images, read_images
from .maps import map_images
from .voxels import Voxels

__all__ = [
    "ImageSeries",
    "Voxels",
    "describe",
    "load",
    "map_images",
    "open_images",
    "read_images",
    "save",
]
