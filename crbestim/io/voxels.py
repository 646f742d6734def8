"""Voxels of images: from rows back to volumes and files."""

from dataclasses import dataclass, field, replace

import numpy as np

from .._arrays import as_array, as_numbers
from ._bids_names import write_json
from ._nifti import Space, Volumes, as_stored, check_target, refuse_source, write

_DESCRIPTION = 79  # bytes of the header
# Percentiles of finite values between which viewers show a map.
_SHOWN = 2, 98


@dataclass(frozen=True, eq=False, repr=False)
class Voxels:
    """Where the rows of X come from: the voxels of a mask, in the order of ``image[mask]``.

    It comes from :func:`~crbestim.io.read_images` and :func:`~crbestim.io.open_images`.

    Attributes
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        The voxels.
    affine : ndarray of shape (4, 4)
        From indices of voxels to positions in the scanner, in mm.
    files : tuple of str
        Files that were read.
    metadata : dict
        What sidecars of their maps say about the acquisition.
    entities : dict
        What the names of files in a BIDS data set say: sub, ses and the like.
    root : str or None
        Folder of the BIDS data set.

    Examples
    --------
    >>> import nibabel, numpy, tempfile
    >>> from crbestim.io import read_images
    >>> folder = tempfile.mkdtemp()
    >>> echoes = numpy.arange(24.0).reshape(2, 3, 1, 4)
    >>> nibabel.Nifti1Image(echoes, numpy.eye(4)).to_filename(f"{folder}/echoes.nii.gz")
    >>> X, voxels = read_images(f"{folder}/echoes.nii.gz", mask=echoes[..., 0] > 5)
    >>> voxels
    Voxels(4 of 2 x 3 x 1)
    >>> voxels.to_volume(X[:, 0])[..., 0]
    array([[nan, nan,  8.],
           [12., 16., 20.]])
    >>> voxels.to_nifti(X[:, 0], f"{folder}/first.nii.gz", unit="1")
    >>> voxels.from_nifti(f"{folder}/first.nii.gz")
    array([ 8., 12., 16., 20.])
    """

    mask: np.ndarray
    space: Space
    files: tuple = ()
    metadata: dict = field(default_factory=dict)
    entities: dict = field(default_factory=dict)
    root: str | None = None

    def __repr__(self):
        shape = " x ".join(map(str, self.mask.shape))
        return f"Voxels({len(self)} of {shape})"

    def __len__(self):
        """Return the number of voxels."""
        return int(np.count_nonzero(self.mask))

    @property
    def affine(self):
        """From indices of voxels to positions in the scanner, in mm."""
        return self.space.affine

    def with_details(self, **details):
        """Return the same voxels with other `metadata`, `entities`, `root` or `files`."""
        return replace(self, **details)

    def to_volume(self, values):
        """Put one value, or one row of values, per voxel back into the volume.

        Parameters
        ----------
        values : array-like of shape (n_voxels,) or (n_voxels, n_values)
            Real or complex values, such as X or what an estimator predicts.

        Returns
        -------
        ndarray of shape (nx, ny, nz) or (nx, ny, nz, n_values)
            The same values; NaN outside the mask, and where an estimator has no estimate.

        Raises
        ------
        ValueError
            If there is not one value, or one row, for every voxel.
        """
        values = as_array(values, "values")
        if values.dtype == object:
            values = as_numbers(values, "values")
        if values.ndim not in (1, 2) or len(values) != len(self):
            raise ValueError(
                f"values have shape {values.shape} for {len(self)} voxels; give one value "
                "or one row for each."
            )
        kind = np.result_type(values.dtype, np.float32)
        volume = np.full(self.mask.shape + values.shape[1:], np.nan, dtype=kind)
        volume[self.mask] = values
        return volume

    def to_nifti(self, values, path, *, unit=None, sidecar=None, dtype=np.float32):
        """Write one map, or several as volumes of one file, in the place of the images.

        Parameters
        ----------
        values : array-like of shape (n_voxels,) or (n_voxels, n_values)
            Values; NaN where there is none, as outside the mask.
        path : str or path-like
            Name of the file, which ends with .nii or .nii.gz.
        unit : str, default=None
            Unit of the values, such as ``"s"``: part of the description in the header, and
            ``Units`` in a sidecar, a .json file beside the image.
        sidecar : dict, default=None
            What else the sidecar says. Without it and without `unit`, there is none.
        dtype : dtype, default=float32
            Type of the numbers in the file; complex values have the complex type of it.

        Raises
        ------
        ValueError
            If there is not one value, or one row, for every voxel, if the type loses
            numbers, or if the file is one of those that were read.
        """
        path, beside = check_target(path)
        refuse_source(path, self.files)
        volume = as_stored(self.to_volume(values), dtype)
        image = self.space.image_of(volume)
        name = beside.stem if unit is None else f"{beside.stem} ({unit})"
        if volume.dtype.kind != "c":
            image.header["cal_min"], image.header["cal_max"] = _shown(volume[self.mask])
        image.header["descrip"] = name.encode()[-_DESCRIPTION:]
        write(image, path)
        content = ({} if unit is None else {"Units": unit}) | dict(sidecar or {})
        if content:
            write_json(beside, content)

    def from_nifti(self, path):
        """Read values of these voxels from another image, such as a map of B1.

        Parameters
        ----------
        path : str, path-like or image of nibabel
            A 3-D or 4-D image of the same voxels.

        Returns
        -------
        ndarray of shape (n_voxels,) or (n_voxels, n_volumes)
            Its values, float64 or complex128.

        Raises
        ------
        ImageFileError
            If it cannot be read, or has other voxels or another place.
        FileNotFoundError
            If there is no such file.
        """
        other = Volumes(path)
        self.space.check(other.space)
        values = other.slab()[self.mask]
        return values[:, 0] if other.n_volumes == 1 else values


def _shown(values):
    """Return the range that viewers show, without outliers; 0 and 0 if there is none."""
    values = values[np.isfinite(values)].astype(float)
    low, high = np.percentile(values, _SHOWN) if values.size else (0.0, 0.0)
    fits = low < high and max(-low, high) < np.finfo(np.float32).max
    return (low, high) if fits else (0.0, 0.0)
