"""Maps as a derivative data set of BIDS."""

import os
import re
from pathlib import Path

import numpy as np

from .. import __version__
from .._arrays import is_frame
from ._bids_names import read_json, write_json
from ._nifti import refuse_source

_VERSION = "1.11.1"
_README = """Maps of parameters that crbestim has estimated from MR images. Files with
desc-std are their standard deviations, as the Cramér-Rao bound predicts them at the
estimate. A voxel is NaN where it is outside the mask or could not be estimated. Units,
sources and the algorithm are in the sidecar of each map.
"""
_HOME = "crbestim"
# Suffixes of BIDS, with their units, and the parameters of models that they are for.
_SUFFIXES = {
    "T1map": "s",
    "R1map": "1/s",
    "T2map": "s",
    "R2map": "1/s",
    "T2starmap": "s",
    "R2starmap": "1/s",
    "MTsat": "arbitrary",
    "M0map": "arbitrary",
    "S0map": "arbitrary",
    "MWFmap": "1",
    "PDmap": "arbitrary",
}
_OF_PARAMETER = {suffix.removesuffix("map"): suffix for suffix in _SUFFIXES}
# Units of parameters that have no suffix in BIDS.
_UNITS = {
    "m0s": "1",
    "PSR": "1",
    "R1f": "1/s",
    "R2f": "1/s",
    "R1s": "1/s",
    "Rx": "1/s",
    "T2s": "s",
    "T2short": "s",
    "T2long": "s",
    "omega0": "rad/s",
    "B1": "1",
    "fraction": "1",
    "offset": "1",
    "efficiency": "1",
    "f": "1",
    "D": "m^2/s",
    "Dstar": "m^2/s",
}
# Entities of the images that names of maps keep, in the order of BIDS.
_KEPT = ("sub", "ses", "acq", "ce", "rec", "run", "chunk")


def write_bids(
    root, maps, voxels, *, std=None, subject=None, session=None, algorithm=None, units=None
):
    """Write maps as a derivative data set of BIDS.

    A map that BIDS has a suffix for is ``sub-01_T1map.nii.gz``, and its standard deviation
    ``sub-01_desc-std_T1map.nii.gz``. Others, such as m0s, are ``sub-01_m0smap.nii.gz``, and
    ``.bidsignore`` names them. What is outside the mask, or has no estimate, is NaN.

    Parameters
    ----------
    root : path
        Folder of the derivative data set, new or with other maps of this library.
    maps : dict or data frame
        Values of each voxel, (n_voxels,), by the name of the parameter: T1, R1, T2, R2,
        T2star, R2star, MTsat, M0, S0, MWF, PD, with or without ``map``, or any other name.
    voxels : Voxels
        Where they are: from :func:`read_bids`, which also knows subject, sources and
        acquisition, or from another reader.
    std : dict or data frame, default=None
        Standard deviations, for some of the maps.
    subject, session : str, default=None
        Labels, where `voxels` do not come from a BIDS data set.
    algorithm : str or estimator, default=None
        What has made the maps, for the sidecars.
    units : dict, default=None
        SI units of parameters that the library does not know, by name.

    Returns
    -------
    list of Path
        The images that were written.

    Raises
    ------
    ValueError
        If maps and voxels do not fit, the unit of a parameter is not known, or the folder
        holds something else.

    Examples
    --------
    >>> import nibabel, numpy, tempfile
    >>> from crbestim.io import read_images, write_bids
    >>> root = tempfile.mkdtemp()
    >>> _, voxels = read_images(nibabel.Nifti1Image(numpy.ones((2, 2, 2)), numpy.eye(4)))
    >>> t1 = numpy.full(8, 1.2)
    >>> files = write_bids(root, {"T1": t1}, voxels, std={"T1": t1 / 50}, subject="01")
    >>> [file.name for file in files]
    ['sub-01_T1map.nii.gz', 'sub-01_desc-std_T1map.nii.gz']
    """
    root = Path(root)
    entities = _entities(voxels, subject, session)
    maps, std, units = _columns(maps, "maps"), _columns(std, "std"), dict(units or {})
    if not maps:
        raise ValueError("maps is empty; give at least one.")
    if not std.keys() <= maps.keys():
        raise ValueError(
            f"std has {', '.join(std.keys() - maps.keys())}, and maps have not."
        )
    known = {name: _suffix_and_unit(name, units) for name in maps}
    about = _about(root, voxels, algorithm)
    folder = root.joinpath(*(f"{k}-{entities[k]}" for k in ("sub", "ses") if k in entities))
    tasks = []
    for name, (suffix, unit) in known.items():
        for values, desc in ((maps[name], None), (std.get(name), "std")):
            if values is not None:
                named = entities | ({"desc": desc} if desc else {})
                stem = "_".join([*(f"{k}-{v}" for k, v in named.items()), suffix])
                path = folder / "anat" / f"{stem}.nii.gz"
                _refuse_others(path, voxels, about)
                what = (
                    f"{'Standard deviation of ' if desc else ''}{name}; NaN is no estimate"
                )
                voxels.to_volume(values)
                tasks.append((values, path, unit, about | {"Description": what}))
    _describe(root, voxels)
    _ignore(root, [suffix for suffix, _ in known.values() if suffix not in _SUFFIXES])
    (folder / "anat").mkdir(parents=True, exist_ok=True)
    for values, path, unit, sidecar in tasks:
        voxels.to_nifti(values, path, unit=unit, sidecar=sidecar)
    return [path for _, path, *_ in tasks]


def _entities(voxels, subject, session):
    """Return what names of maps say, in the order of BIDS."""
    found = dict(voxels.entities)
    for key, label in (("sub", subject), ("ses", session)):
        if label is not None:
            found[key] = str(label).removeprefix(f"{key}-")
            if not found[key].isalnum():
                raise ValueError(f"{key} is {label!r}; give a label of letters and digits.")
    if "sub" not in found:
        raise ValueError(
            "voxels come from no BIDS data set, and subject is missing; give it."
        )
    return {key: found[key] for key in _KEPT if key in found}


def _columns(maps, what):
    """Return values by name."""
    if maps is None:
        return {}
    if not (is_frame(maps) or hasattr(maps, "keys")):
        raise TypeError(f"{what} is {type(maps).__name__}; give a dict of values by name.")
    return {str(name): np.asarray(maps[name]) for name in maps.keys()}


def _suffix_and_unit(name, units):
    """Return the suffix of a parameter, and its unit."""
    suffix = _OF_PARAMETER.get(name, name)
    if suffix in _SUFFIXES:
        return suffix, units.get(name, _SUFFIXES[suffix])
    if not re.fullmatch("[A-Za-z0-9]+", name):
        raise ValueError(f"maps has {name!r}; give names of letters and digits.")
    unit = units.get(name, _UNITS.get(name))
    if unit is None:
        raise ValueError(f"the unit of {name} is not known; give units={{{name!r}: ...}}.")
    return f"{name}map", unit


def _about(root, voxels, algorithm):
    """Return what all sidecars say."""
    about = {
        "SkullStripped": not voxels.mask.all(),
        "Sources": [_source(file, voxels.root) for file in voxels.files],
        "EstimationAlgorithm": str(algorithm or f"crbestim {__version__}"),
    }
    return about | voxels.metadata


def _source(file, root):
    """Return the name of a file inside its data set, or alone."""
    file = Path(file)
    if root is None:
        return file.name
    return f"bids:raw:{file.relative_to(root).as_posix()}"


def _refuse_others(path, voxels, about):
    """Refuse to write over an image that was read, or a map of other images."""
    refuse_source(path, voxels.files)
    beside = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
    if beside.exists() and read_json(beside).get("Sources") != about["Sources"]:
        raise ValueError(
            f"{path} is there already, from other images; give another root, or delete it."
        )


def _describe(root, voxels):
    """Write the description of the data set, or add to it; refuse one of something else."""
    path = root / "dataset_description.json"
    content = read_json(path) if path.exists() else {}
    makers = [maker.get("Name") for maker in content.get("GeneratedBy", ())]
    if content and (content.get("DatasetType") != "derivative" or _HOME not in makers):
        raise ValueError(
            f"{root} is a data set of something else; give a folder of its own, such as "
            f"{root / 'derivatives' / _HOME}."
        )
    if not content:
        content = {
            "Name": "Maps of crbestim",
            "BIDSVersion": _VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": _HOME, "Version": __version__}],
        }
    if voxels.root is not None:
        links = content.setdefault("DatasetLinks", {})
        link = Path(os.path.relpath(voxels.root, root)).as_posix()
        if links.setdefault("raw", link) != link:
            raise ValueError(
                f"{root} has maps of the data set {links['raw']}, and these are of {link}; "
                "give a folder of its own."
            )
    root.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
    if not (root / "README").exists():
        (root / "README").write_text(_README, encoding="utf-8")


def _ignore(root, suffixes):
    """Tell validators about files whose suffix BIDS does not have."""
    path = root / ".bidsignore"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    new = [line for line in (f"*_{suffix}.*" for suffix in suffixes) if line not in lines]
    if new:
        path.write_text("\n".join([*lines, *new]) + "\n", encoding="utf-8")
