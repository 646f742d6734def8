"""Images to rows of samples: 4-D or a list of 3-D files, in blocks or at once."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .._arrays import as_array
from .._options import check_number
from .._simulations import check_memory
from .._validation import check_count
from .._warnings import told_to_caller
from ..exceptions import ImageFileError
from ._nifti import Volumes, nibabel
from ._phase import turn_of
from .voxels import Voxels

# Numbers that are read at once, half a GiB, and voxels of a block.
_NUMBERS, _ROWS = 2**26, 50_000


class ImageSeries:
    """Images on disk, whose voxels are read block by block.

    It comes from :func:`open_images`.

    Attributes
    ----------
    voxels : Voxels
        Where the rows come from.
    n_features : int
        Number of volumes.
    is_complex : bool
        Whether the signals are complex. Set it to True for signed real images and a complex
        model.
    scale : tuple of float
        Slope and offset of real signals over the values of the files, by default (1, 0).
    """

    scale = 1.0, 0.0

    def __init__(self, parts, mask, turn):
        self._parts = parts
        files = [one for part in parts.values() for one in part]
        space = files[0].space
        for other in files[1:]:
            space.check(other.space)
        self.n_features = _count(parts)
        self.is_complex = len(parts) > 1 or any(f.dtype.kind == "c" for f in files)
        if len(parts) > 1 and any(f.dtype.kind == "c" for f in files):
            raise ImageFileError(
                f"{files[0].name} and its {' and '.join(list(parts)[1:])} hold complex "
                "numbers; give real ones, or complex images alone."
            )
        names = tuple(os.fspath(f.name) for f in files if f.image.get_filename())
        self.voxels = Voxels(_mask_of(mask, space), space, names)
        self._turn = _turn_of(parts.get("phase"), turn)

    def __repr__(self):
        return f"ImageSeries({self.n_features} volumes, {self.voxels})"

    def __len__(self):
        """Return the number of voxels."""
        return len(self.voxels)

    def read(self):
        """Return the signals of all voxels, (n_voxels, n_features)."""
        n = (2 if self.is_complex else 1) * self.n_features
        check_memory(len(self), n, "the number of voxels")
        X = np.empty((len(self), self.n_features), complex if self.is_complex else float)
        for rows, signals in self.blocks():
            X[rows] = signals
        return X

    def blocks(self, size=_ROWS):
        """Read the signals in blocks, which together have every row once.

        Parameters
        ----------
        size : int, default=50000
            Most voxels of a block. Files are read half a GiB at a time, or a slice.

        Yields
        ------
        rows : ndarray of int, shape (n,)
            Which rows of all these are.
        X : ndarray of shape (n, n_features)
            Their signals.
        """
        size, mask = check_count(size, "size"), self.voxels.mask
        numbers = np.cumsum(mask).reshape(mask.shape) - 1
        for start, stop in self._slabs():
            chosen = mask[:, :, start:stop]
            rows = numbers[:, :, start:stop][chosen]
            X = self._signals(start, stop, chosen) if len(rows) else None
            for first in range(0, len(rows), size):
                yield rows[first : first + size], X[first : first + size]

    def block_sizes(self, size=_ROWS):
        """Return the numbers of voxels of the blocks.

        Parameters
        ----------
        size : int, default=50000
            As in `blocks`.

        Returns
        -------
        list of int
            One number for each.
        """
        counts = [np.count_nonzero(self.voxels.mask[:, :, a:b]) for a, b in self._slabs()]
        return [min(size, n - first) for n in counts for first in range(0, n, size)]

    def range(self):
        """Return the lowest and the highest value of real images, and zero if it is beyond.

        Returns
        -------
        low, high : float
            As they are in the files.
        """
        ends = np.array([_ends(file) for file in self._parts["image"]])
        return float(ends.min()), float(ends.max())

    def _slabs(self):
        """Return the ends of what is read at once: slices, which lie together in a file."""
        shape = self.voxels.mask.shape
        step = _thickness(shape, _NUMBERS // self.n_features)
        return [(start, start + step) for start in range(0, shape[2], step)]

    def _signals(self, start, stop, chosen):
        """Return the signals of chosen voxels in some slices."""
        read = {
            part: np.concatenate([f.slab(start, stop)[chosen] for f in files], axis=1)
            for part, files in self._parts.items()
        }
        X = read["image"]
        if "phase" in read:
            return X * np.exp(1j * read["phase"] * (2 * np.pi / self._turn))
        if "imaginary" in read:
            return X + 1j * read["imaginary"]
        if self.scale != (1.0, 0.0):
            X = X * self.scale[0] + self.scale[1]
        return X.astype(complex if self.is_complex else float, copy=False)


def open_images(paths, mask=None, *, phase=None, imaginary=None, turn=None):
    """Open images that need not fit in memory.

    Parameters
    ----------
    paths, mask, phase, imaginary, turn
        As in :func:`read_images`.

    Returns
    -------
    ImageSeries
        Where the voxels are, and their signals in blocks.

    Raises
    ------
    ImageFileError
        If files cannot be read, or do not belong together.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import nibabel, numpy, tempfile
    >>> from crbestim import NLLSRegressor
    >>> from crbestim.io import open_images
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.05, 0.1], signal="magnitude")
    >>> echoes = model.signal([[0.05, 100.0], [0.1, 90.0]]).reshape(1, 1, 2, 3)
    >>> folder = tempfile.mkdtemp()
    >>> nibabel.Nifti1Image(echoes, numpy.eye(4)).to_filename(f"{folder}/echoes.nii")
    >>> images = open_images(f"{folder}/echoes.nii")
    >>> maps = numpy.empty((len(images), 2))
    >>> reg = NLLSRegressor(model).fit(next(images.blocks())[1])
    >>> for rows, X in images.blocks(size=1):
    ...     maps[rows] = reg.predict(X)
    >>> maps.round(4)
    array([[5.e-02, 1.e+02],
           [1.e-01, 9.e+01]])
    """
    parts = {"image": _volumes(paths, "paths")}
    if phase is not None and imaginary is not None:
        raise ValueError("phase and imaginary are both given; give one of them.")
    for name, more in (("phase", phase), ("imaginary", imaginary)):
        if more is not None:
            parts[name] = _volumes(more, name)
    if turn is not None:
        if phase is None:
            raise ValueError("turn is the unit of a phase; give phase, too.")
        turn = check_number(turn, "turn", "the value of a full turn, above 0", above=0)
    return ImageSeries(parts, mask, turn)


def read_images(paths, mask=None, *, phase=None, imaginary=None, turn=None):
    """Read images: one voxel a row, one volume a column.

    Parameters
    ----------
    paths : path or list of paths
        One 4-D image, or 3-D and 4-D images whose volumes are taken in the order given;
        NIfTI, compressed or not, or another format that nibabel reads. Images of nibabel
        may stand in place of paths.
    mask : path or ndarray of bool, default=None
        Which voxels to read: an image of 0 and not 0, NaN counts as 0. By default all.
    phase : path or list of paths, default=None
        Phases of the images, as many: X is then complex. They are in radians, or in units
        that fill their range, which a warning tells.
    imaginary : path or list of paths, default=None
        Imaginary parts; `paths` are then the real parts, and X is complex.
    turn : float, default=None
        Value of a full turn of the phase, 8192 for a scanner's -4096 to 4095. By default
        the values decide.

    Returns
    -------
    X : ndarray of shape (n_voxels, n_features)
        Signals, float64 or complex128, in the units of the file: scaled integers come
        scaled. Rows are in the order of ``image[mask]``.
    voxels : Voxels
        Where they come from, for maps of the same shape and place.

    Raises
    ------
    ImageFileError
        If files cannot be read, or differ in shape or place, or if the unit of a phase
        cannot be told.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the mask is empty, or the signals do not fit in memory; see :func:`open_images`.

    Warns
    -----
    UserWarning
        If a phase is not in radians.

    Examples
    --------
    >>> import nibabel, numpy, tempfile
    >>> from crbestim.io import read_images
    >>> folder = tempfile.mkdtemp()
    >>> for echo in (1, 2):
    ...     image = nibabel.Nifti1Image(numpy.full((4, 3, 2), 10.0 / echo), numpy.eye(4))
    ...     image.to_filename(f"{folder}/echo{echo}.nii.gz")
    >>> X, voxels = read_images([f"{folder}/echo1.nii.gz", f"{folder}/echo2.nii.gz"])
    >>> X.shape, X[0]
    ((24, 2), array([10.,  5.]))
    """
    with told_to_caller():
        images = open_images(paths, mask, phase=phase, imaginary=imaginary, turn=turn)
    return images.read(), images.voxels


def _volumes(paths, what):
    """Return the volumes of one file or of several."""
    is_one = isinstance(
        paths, str | Path | os.PathLike | nibabel().filebasedimages.FileBasedImage
    )
    if not is_one and (not isinstance(paths, Iterable) or isinstance(paths, bytes)):
        raise TypeError(f"{what} is {paths!r}; give the name of an image file, or a list.")
    files = [Volumes(path) for path in ([paths] if is_one else paths)]
    if not files:
        raise ValueError(f"{what} is an empty list; give at least one image file.")
    return files


def _count(parts):
    """Return the number of volumes, the same for all parts."""
    counts = {name: sum(f.n_volumes for f in files) for name, files in parts.items()}
    if len(set(counts.values())) > 1:
        found = " and ".join(f"{name} has {n}" for name, n in counts.items())
        raise ImageFileError(f"{found} volumes; give as many of both, in the same order.")
    return counts["image"]


def _mask_of(mask, space):
    """Return which voxels are in the mask, as an array of bool."""
    if mask is None:
        return np.ones(space.shape, dtype=bool)
    if isinstance(mask, str | os.PathLike | nibabel().filebasedimages.FileBasedImage):
        volumes = Volumes(mask)
        space.check(volumes.space)
        name = volumes.name
        if volumes.n_volumes > 1:
            raise ImageFileError(
                f"{name} has {volumes.n_volumes} volumes; give a mask of one."
            )
        values = volumes.slab()[..., 0]
    else:
        name, values = "mask", as_array(mask, "mask")
        if values.shape not in (space.shape, space.shape[:2] * (space.shape[2] == 1)):
            raise ValueError(
                f"mask has shape {values.shape} and {space.name} {space.shape}; they "
                "must agree."
            )
        values = values.reshape(space.shape)
    values = np.where(np.isnan(values), 0, values)
    broken = values[values != np.round(values)]
    if len(broken):
        raise ValueError(
            f"{name} holds {broken[0]:g}; give a mask of 0 and 1, a probability above a "
            "threshold for instance."
        )
    if not values.any():
        raise ValueError(
            f"{name} has no voxel that is not 0; give one of the images' voxels."
        )
    return values != 0


def _turn_of(files, turn):
    """Return the value of a full turn of a phase: the one given, or what values say."""
    if turn is not None or not files:
        return turn
    ends = np.array([end for file in files for end in _ends(file)])
    return turn_of(ends.min(), ends.max(), files[0].name, stacklevel=5)


def _ends(file):
    """Return the lowest and highest value of an image and zero, read in blocks."""
    low = high = 0.0
    step = _thickness(file.space.shape, _NUMBERS // file.n_volumes)
    for start in range(0, file.space.shape[2], step):
        slab = file.slab(start, start + step)
        finite = slab[np.isfinite(slab)]
        low, high = finite.min(initial=low), finite.max(initial=high)
    return low, high


def _thickness(shape, size):
    """Return how many slices have so many voxels, at least one."""
    return max(1, size // (shape[0] * shape[1]))
