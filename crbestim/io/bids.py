"""Images of a BIDS data set: which files belong together, and how they were acquired."""

from pathlib import Path

import numpy as np

from .._options import check_choice
from .._warnings import told_to_caller
from ..exceptions import ImageFileError
from ._bids_names import check_root, folder_of, images_of, sidecar
from ._transmit_field import nominal_of
from .acquisition import SUFFIXES, Acquisition
from .images import open_images

# Entities that differ between the volumes of one series, in the order of volumes.
_VOLUMES = ("inv", "flip", "mt", "echo")
_PART = "part"
_UNITS = {
    1.0: ("1", "relative", "ratio", "normalized", "fraction", "dimensionless"),
    100.0: ("percent", "percentage", "%"),
    None: ("deg", "degree", "degrees", "°"),
}
# What sidecars of maps may say about the acquisition.
_ACQUISITION = (
    "EchoTime",
    "FlipAngle",
    "InversionTime",
    "RepetitionTime",
    "RepetitionTimeExcitation",
    "RepetitionTimePreparation",
    "MTState",
    "MagneticFieldStrength",
    "PulseSequenceType",
    "ScanningSequence",
    "SequenceVariant",
    "Manufacturer",
    "ManufacturersModelName",
    "ReceiveCoilName",
)
_LISTS = "EchoTime", "FlipAngle"


def read_bids(root, *, subject, suffix, session=None, mask=None, entities=None):
    """Read a series of images of a BIDS data set.

    Parameters
    ----------
    root : path
        Folder of the data set.
    subject : str
        Label of the subject, with or without ``sub-``.
    suffix : {"MESE", "MEGRE", "VFA", "IRT1", "MP2RAGE", "MTS", "TB1map"}
        What to read.
    session : str, default=None
        Label of the session, which is needed if there are several.
    mask : path or ndarray of bool, default=None
        Which voxels to read, as in :func:`read_images`.
    entities : dict, default=None
        Labels that files must have, such as ``{"acq": "fast", "run": "1"}``, where a
        subject has several series; ``{"part": "mag"}`` leaves phases out.

    Returns
    -------
    X : ndarray of shape (n_voxels, n_features)
        Signals, in the order of inversions, flip angles, magnetization transfer (off, on)
        and echoes. They are complex if there are phases or imaginary parts. A TB1map
        becomes relative, (n_voxels, 1): 1 is the nominal field.
    voxels : Voxels
        Where they come from.
    acquisition : Acquisition
        Echo times, flip angles and the like, from the sidecars.

    Raises
    ------
    ImageFileError
        If images or sidecars cannot be read or used, or several series fit.
    FileNotFoundError
        If there is no such subject, session or image.

    Warns
    -----
    UserWarning
        If the unit of a phase or of a TB1map is not in the sidecar, and values decide.

    Examples
    --------
    >>> import json, nibabel, numpy, pathlib, tempfile
    >>> from crbestim.io import read_bids
    >>> from crbestim.models import MonoExponential
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> (root / "sub-01" / "anat").mkdir(parents=True)
    >>> for k, te in enumerate([0.01, 0.05], 1):
    ...     image = nibabel.Nifti1Image(numpy.full((2, 2, 1), 10.0 / k), numpy.eye(4))
    ...     name = f"sub-01_echo-{k}_MESE"
    ...     image.to_filename(root / "sub-01" / "anat" / f"{name}.nii.gz")
    ...     sidecar = root / "sub-01" / "anat" / f"{name}.json"
    ...     _ = sidecar.write_text(json.dumps({"EchoTime": te}))
    >>> X, voxels, acquisition = read_bids(root, subject="01", suffix="MESE")
    >>> X[0], acquisition.te
    (array([10.,  5.]), array([0.01, 0.05]))
    >>> model = MonoExponential(acquisition.te, signal="magnitude")
    """
    with told_to_caller():
        images, acquisition = open_bids(
            root,
            subject=subject,
            suffix=suffix,
            session=session,
            mask=mask,
            entities=entities,
        )
        X = images.read()
        if suffix == "TB1map":
            X = X / _nominal(X, images.voxels.files[0], acquisition.sidecars[0])
    return X, images.voxels, acquisition


def open_bids(root, *, subject, suffix, session=None, mask=None, entities=None):
    """Open what `read_bids` reads: return an `ImageSeries` and the acquisition."""
    check_choice("suffix", suffix, SUFFIXES)
    root = check_root(root)
    subject, session = _label(subject, "sub"), _label(session, "ses")
    folder = folder_of(root, subject, session)
    found = images_of(folder, suffix)
    wanted = {key: str(label) for key, label in (entities or {}).items()}
    chosen = [name for name in found if wanted.items() <= name.entities.items()]
    if not chosen:
        there = ", ".join(name.path.name for name in found) or "none at all"
        raise FileNotFoundError(
            f"{folder} has no image {suffix} {wanted or ''}; there is {there}."
        )
    _refuse_several(chosen, suffix)
    parts = _parts(chosen, suffix)
    sidecars = [sidecar(root, name) for name in parts["image"]]
    names = [name.path.name for name in parts["image"]]
    units = {sidecar(root, name).get("Units") for name in parts.get("phase", ())}
    images = open_images(
        [name.path for name in parts["image"]],
        mask,
        phase=_paths(parts, "phase"),
        imaginary=_paths(parts, "imaginary"),
        turn=2 * np.pi if units == {"rad"} else None,
    )
    if images.n_features != len(names):
        raise ImageFileError(
            f"{', '.join(names)} have {images.n_features} volumes; BIDS has a file for "
            "each."
        )
    acquisition = Acquisition.of(suffix, sidecars, names)
    first = chosen[0].entities
    images.voxels = images.voxels.with_details(
        metadata=_metadata(sidecars),
        entities={k: v for k, v in first.items() if k not in (*_VOLUMES, _PART)},
        root=str(root),
    )
    return images, acquisition


def transmit_field(root, voxels, **which):
    """Return the relative B1 of voxels from the TB1map of their subject, and its file."""
    images, acquisition = open_bids(root, suffix="TB1map", **which)
    voxels.space.check(images.voxels.space)
    X = images.read()[voxels.mask.ravel()]
    file = images.voxels.files[0]
    return X[:, 0] / _nominal(X, file, acquisition.sidecars[0]), file


def mask_of(root, *, subject, session=None):
    """Return the one mask of a subject in a (derivative) data set."""
    folder = folder_of(check_root(root), subject, session)
    found = [name.path for name in images_of(folder, "mask")]
    if len(found) != 1:
        raise ImageFileError(f"{folder} has {len(found)} images *_mask; there must be one.")
    return found[0]


def _label(label, key):
    """Return a label as text, without its key."""
    if label is None:
        return None
    if not isinstance(label, str) or not label.removeprefix(f"{key}-").isalnum():
        raise ValueError(
            f"{key} is {label!r}; give a label of letters and digits, as text."
        )
    return label.removeprefix(f"{key}-")


def _refuse_several(names, suffix):
    """Refuse files of several series, which other entities tell apart."""
    series = {}
    for name in names:
        key = {k: v for k, v in name.entities.items() if k not in (*_VOLUMES, _PART)}
        series.setdefault(tuple(key.items()), name)
    if len(series) > 1:
        listed = "; ".join(" ".join("-".join(pair) for pair in key) for key in series)
        raise ImageFileError(
            f"{len(series)} series of {suffix} fit: {listed}. Give entities, such as "
            '{"run": "1"}.'
        )


def _parts(names, suffix):
    """Return the files of real and imaginary parts, magnitudes and phases, in order."""
    parts = {}
    for name in names:
        parts.setdefault(name.entities.get(_PART, "mag"), []).append(name)
    for part in parts.values():
        part.sort(key=_order)
    kind = {"real": "imag", "mag": "phase"}
    for first, second in kind.items():
        if first in parts:
            found = {"image": parts[first]}
            if second in parts:
                found["imaginary" if first == "real" else "phase"] = parts[second]
            elif first == "real":
                break
            _refuse_gaps(found)
            return found
    raise ImageFileError(
        f"images of {suffix} are {', '.join(parts)}; magnitudes, with phases or without, "
        "or real and imaginary parts are needed."
    )


def _order(name):
    """Return numbers that sort volumes: echo 10 comes after echo 2."""
    indices = (name.entities.get(key, "") for key in _VOLUMES)
    return [(int(index), "") if index.isdigit() else (-1, index) for index in indices]


def _refuse_gaps(parts):
    """Refuse two parts of different volumes."""
    orders = [[_order(name) for name in part] for part in parts.values()]
    if orders[0] != orders[-1]:
        raise ImageFileError(
            f"{parts['image'][0].path.name} and {list(parts.values())[-1][0].path.name} "
            "are parts of different volumes; give both parts of each."
        )


def _paths(parts, part):
    return [name.path for name in parts[part]] if part in parts else None


def _metadata(sidecars):
    """Return what is the same for all volumes, and lists of what is not."""
    found = {}
    for key in _ACQUISITION:
        values = [content[key] for content in sidecars if key in content]
        if not values or len(values) < len(sidecars):
            continue
        if all(value == values[0] for value in values):
            found[key] = values[0]
        else:
            # A sidecar has several numbers only in some fields.
            found[key if key in _LISTS else f"{key}s"] = values
    return found


def _nominal(X, file, content):
    """Return the value of a TB1map that means the nominal field."""
    name = Path(file).name
    unit, flip_angle = str(content.get("Units", "")).lower(), content.get("FlipAngle")
    for nominal, words in _UNITS.items():
        if unit in words:
            if nominal is None and not flip_angle:
                raise ImageFileError(f"{name} is in {unit}, but has no FlipAngle.")
            return flip_angle if nominal is None else nominal
    missing = f"Units is {unit!r}" if unit else "Units is missing"
    return nominal_of(X, name, flip_angle=flip_angle, missing=missing)
