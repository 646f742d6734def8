"""Tell what is in a file: an image, or a trained estimator."""

import json
from importlib import import_module

import numpy as np

from ._nifti import Volumes, check_path
from .images import open_images

_IMAGES = (".nii", ".img", ".hdr", ".mgh", ".mgz", ".mnc", ".par", ".PAR")


def add_arguments(parser, arguments):
    """Add the options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files")


def run(options):
    """Print what is in files; return the exit code."""
    for k, path in enumerate(options.files):
        if k:
            print()
        path = check_path(path, "FILE")
        # Whatever is no image has been saved by this library, or is refused there.
        is_image = path.name.removesuffix(".gz").endswith(_IMAGES)
        tell = describe_image if is_image else import_module(__package__).describe
        for name, value in tell(path).items():
            print(f"{name + ':':13} {value}")
    return 0


def describe_image(path):
    """Return what is in an image, as text by name."""
    volumes = Volumes(path)
    image, space = volumes.image, volumes.space
    found = {
        "file": path,
        "voxels": " x ".join(map(str, space.shape)),
        "volumes": volumes.n_volumes,
        "voxel size": " x ".join(f"{s:.4g}" for s in space.voxel_size) + f" {space.unit}",
        "origin": ", ".join(f"{x:.4g}" for x in space.affine[:3, 3]),
        "numbers": image.get_data_dtype(),
    }
    slope = getattr(image.dataobj, "slope", 1)
    if slope not in (1, None):
        found["scaled by"] = f"{slope:g}, plus {image.dataobj.inter:g}"
    found |= _range(path)
    if "descrip" in getattr(image.header, "keys", list)():
        text = bytes(image.header["descrip"]).rstrip(b"\0").decode("utf-8", "replace")
        found |= {"description": text} if text else {}
    beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    if beside.is_file():
        found["sidecar"] = ", ".join(json.loads(beside.read_text("utf-8")))
    return found


def _range(path):
    """Return the range of finite values, and how many are not finite."""
    low, high, lost, n = np.inf, -np.inf, 0, 0
    for _, X in open_images(path).blocks():
        values = np.abs(X) if X.dtype.kind == "c" else X
        finite = values[np.isfinite(values)]
        low, high = finite.min(initial=low), finite.max(initial=high)
        lost, n = lost + values.size - finite.size, n + values.size
    if lost == n:
        return {"range": "no finite number"}
    found = {"range": f"{low:.6g} to {high:.6g}"}
    return found | ({"not finite": f"{lost} of {n}"} if lost else {})
