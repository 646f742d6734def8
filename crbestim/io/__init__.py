"""What leaves the machine and comes in: images and maps as NIfTI."""

from ._trained import describe, load, save
from .images import ImageSeries, open_images, read_images
from .voxels import Voxels

__all__ = [
    "ImageSeries",
    "Voxels",
    "describe",
    "load",
    "open_images",
    "read_images",
    "save",
]
