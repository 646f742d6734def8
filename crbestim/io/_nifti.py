"""Image files, which nibabel reads and writes: what is in them, and where it is."""

import os
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._optional import import_optional
from ..exceptions import ImageFileError

# Corners of two images that are the same may differ by this share of a voxel: quaternions
# of headers are stored in single precision.
_SAME_PLACE = 0.05
# Bytes that are read at once.
_PIECE = 2**22


def nibabel():
    """Return nibabel, which is imported where images are read or written."""
    return import_optional("nibabel", "Reading and writing images", extra="images")


@contextmanager
def _reading(name):
    """Tell which file cannot be read, whatever nibabel says."""
    nib = nibabel()
    broken = nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError
    try:
        # Damaged headers hold numbers that are none.
        with np.errstate(all="ignore"):
            yield
    except MemoryError as error:
        raise ImageFileError(f"{name} does not fit in memory: {error}.") from error
    except (*broken, OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise ImageFileError(
            f"{name} cannot be read as an image: {error}. Give complete NIfTI files, "
            ".nii or .nii.gz; dcm2niix makes them from DICOM."
        ) from error


@dataclass(frozen=True, eq=False)
class Space:
    """Where voxels are: the shape of a volume, its affine, and the file that says so."""

    shape: tuple
    affine: np.ndarray
    codes: tuple
    unit: str
    name: str

    def check(self, other):
        """Refuse another space, with what differs."""
        if self.shape != other.shape:
            raise ImageFileError(
                f"{other.name} has {_times(other.shape)} voxels and {self.name} "
                f"{_times(self.shape)}; give images of the same voxels, resampled if "
                "need be."
            )
        ends = np.array(np.meshgrid(*([-0.5, n - 0.5] for n in self.shape))).reshape(3, -1)
        corners = [s.affine[:3, :3] @ ends + s.affine[:3, 3:] for s in (self, other)]
        apart = np.linalg.norm(corners[1] - corners[0], axis=0).max()
        # A comparison that also refuses what is not a number.
        if not apart <= _SAME_PLACE * self.voxel_size.min():
            raise ImageFileError(
                f"{other.name} lies elsewhere than {self.name}: corners are up to "
                f"{apart:.3g} mm apart (voxels of {_times(other.voxel_size)} and "
                f"{_times(self.voxel_size)} mm, origins {_point(other.affine)} and "
                f"{_point(self.affine)} mm); resample one to the other."
            )

    @property
    def voxel_size(self):
        """Lengths of the edges of a voxel."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def image_of(self, volume):
        """Return a volume as an image in this place, with nothing else of its source."""
        nib = nibabel()
        image = nib.Nifti1Image(volume, self.affine)
        for code, put in zip(self.codes, (image.set_qform, image.set_sform), strict=True):
            put(self.affine if code else None, int(code))
        image.header.set_xyzt_units(xyz=self.unit)
        return image


def _times(numbers):
    return " x ".join(f"{n:.4g}" for n in numbers)


def _point(affine):
    return "(" + ", ".join(f"{x:.4g}" for x in affine[:3, 3]) + ")"


class Volumes:
    """The volumes of one image file, whose data stay on disk until they are asked for."""

    def __init__(self, source):
        nib = nibabel()
        spatial = nib.spatialimages.SpatialImage
        if isinstance(source, spatial):
            self.image, self.name = source, source.get_filename() or "an image in memory"
        else:
            self.name = os.fspath(check_path(source, "paths"))
            with _reading(self.name):
                self.image = nib.load(self.name)
                _check_sum(self.name)
        if not isinstance(self.image, spatial) or self.image.get_data_dtype().fields:
            raise ImageFileError(
                f"{self.name} is no volume of numbers; give 3-D or 4-D images."
            )
        shape = self.image.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) not in (2, 3, 4) or min(shape) < 1:
            raise ImageFileError(
                f"{self.name} has the shape {self.image.shape}; give 3-D or 4-D images."
            )
        self.n_volumes = shape[3] if len(shape) == 4 else 1
        self.space = self._space(shape[:3] + (1,) * (3 - len(shape)))
        self.dtype = self.image.get_data_dtype()

    def _space(self, shape):
        affine, header = self.image.affine, self.image.header
        if affine is None or not np.isfinite(affine).all():
            raise ImageFileError(f"{self.name} does not say where its voxels are (affine).")
        is_nifti = isinstance(header, nibabel().Nifti1Header)
        codes = (header["qform_code"], header["sform_code"]) if is_nifti else (1, 1)
        unit = header.get_xyzt_units()[0] if is_nifti else "mm"
        if not any(codes):
            codes = (0, 2)
        unit = "mm" if unit == "unknown" else unit
        return Space(shape, np.array(affine, dtype=float), codes, unit, self.name)

    def slab(self, start=0, stop=None):
        """Return voxels between two positions along the third axis, with volumes last."""
        with _reading(self.name):
            if len(self.image.shape) == 2:
                data = np.asanyarray(self.image.dataobj)[:, :, None][:, :, start:stop]
            else:
                data = np.asanyarray(self.image.dataobj[:, :, start:stop])
        kind = complex if data.dtype.kind == "c" else float
        return data.reshape(*data.shape[:3], self.n_volumes).astype(kind, copy=False)


def _check_sum(name):
    """Read a compressed file to its end, where the check sum is; images end before."""
    if not name.endswith((".nii", ".img", ".hdr", ".mgh")):
        with nibabel().openers.ImageOpener(name) as file:
            while file.read(_PIECE):
                pass


def check_path(path, what):
    """Return the path of a file that exists."""
    try:
        path = Path(path)
    except TypeError:
        raise TypeError(f"{what} holds {path!r}; give names of image files.") from None
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}.")
    if path.is_dir():
        raise ImageFileError(f"{path} is a folder; give the image files in it.")
    return path


def check_target(path):
    """Return the path of a NIfTI file to be written, and its sidecar's."""
    path = Path(path)
    for ending in (".nii.gz", ".nii"):
        if path.name.endswith(ending) and path.name != ending:
            return path, path.with_name(path.name.removesuffix(ending) + ".json")
    raise ValueError(f"path is {path}; give the name of a .nii or .nii.gz file.")


def as_stored(volume, dtype):
    """Return a volume in the type that a file has; refuse to lose numbers."""
    dtype = np.dtype(dtype)
    if volume.dtype.kind == "c" and dtype.kind == "f":
        dtype = np.result_type(dtype, np.complex64)
    if dtype.kind not in "iufc" or dtype.itemsize == 2 and dtype.kind == "f":
        raise ValueError(f"dtype is {dtype}; give a type that NIfTI has, such as float32.")
    if volume.dtype.kind == "c" and dtype.kind != "c":
        raise ValueError(f"values are complex; dtype={dtype} does not hold them.")
    with np.errstate(all="ignore"):
        stored = volume.astype(dtype)
        lost = stored != volume
    if dtype.kind in "fc":
        # Rounded is right; infinite, or zero throughout, is not.
        lost = np.isfinite(volume) & ~np.isfinite(stored)
        size = np.nanmax(np.abs(stored), initial=0.0)
        lost |= (np.abs(volume) > 0) & (size < np.finfo(dtype).tiny)
    if lost.any():
        raise ValueError(
            f"values such as {volume[lost][0]:g} are lost as {dtype}; give another dtype, "
            "np.float64 for instance."
        )
    return stored


def refuse_source(path, files):
    """Refuse to write over a file that was read."""
    if path.exists() and any(Path(f).exists() and path.samefile(f) for f in files):
        raise ValueError(f"path is {path}, which the voxels were read from; give another.")


def write(image, path):
    """Write an image whole or not at all."""
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        nibabel().save(image, draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
