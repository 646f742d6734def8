r"""Report on a phantom: each sphere beside reference values and the bound.

IMAGES are maps of T1 or T2 in seconds, which their names say, such as maps/T2.nii.gz;
standard deviations are those beside them, T2_std.nii.gz. Several maps of a parameter are
repetitions. With --model, IMAGES are 4-D series, each a repetition, which are mapped first
with the options of ``map``. The report is report.csv and report.png.

    python -m crbestim phantom maps/T2.nii.gz --rois spheres.nii.gz \
        --reference nist-mncl2-3T --out report
"""

import re
from pathlib import Path

import numpy as np

from . import _map_command
from ._nifti import check_path
from ._references import REFERENCES
from ._usage import UsageError
from .images import open_images, read_images
from .phantom import phantom_report

_IN_PYTHON = (
    "give descending=True if they are, or False to insist",
    "give --order descending if they are, or --order ascending to insist",
)
_NAME = re.compile(r"(?<![A-Za-z0-9])(T1|T2)(map)?(?![A-Za-z0-9])")


def add_arguments(parser, arguments):
    """Add the options, and those of mapping."""
    _map_command.add_arguments(parser, arguments)
    group = parser.add_argument_group("phantom")
    group.add_argument("--rois", required=True, help="image of the numbers of spheres")
    group.add_argument(
        "--reference", required=True, help=f"{', '.join(REFERENCES)}, or a CSV file"
    )
    group.add_argument("--map-of", choices=("T1", "T2"), help="if no name says it")
    group.add_argument(
        "--order",
        choices=("ascending", "descending"),
        help="whether sphere 1 has the shortest times, as by default, or the longest",
    )


def run(options):
    """Write a report; return the exit code."""
    if not options.images or options.bids is not None or options.out is None:
        raise UsageError("give IMAGES and --out.")
    labels, voxels = read_images(check_path(options.rois, "--rois"))
    keep = labels[:, 0] > 0
    if not keep.any() or labels.shape[1] > 1:
        raise ValueError(f"{options.rois} is no image with one number of a sphere a voxel.")
    read = _of_series if options.model or options.estimator else _of_maps
    maps, std = read(options, voxels, keep)
    descending = {None: None, "ascending": False, "descending": True}[options.order]
    try:
        report = phantom_report(
            maps, labels[keep, 0], options.reference, std=std, descending=descending
        )
    except ValueError as error:
        raise ValueError(str(error).replace(*_IN_PYTHON)) from error
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    report.to_csv(folder / "report.csv")
    report.plot().savefig(folder / "report.png", dpi=120)
    if not options.quiet:
        _print(report)
        print(f"report.csv and report.png are in {folder}")
    return 0


def _of_maps(options, voxels, keep):
    """Return the values of maps in spheres, and standard deviations if all have them."""
    maps, std = {}, {}
    for path in map(Path, options.images):
        if path.name.endswith(("_std.nii.gz", "_std.nii")) or "desc-std" in path.name:
            continue
        match = _NAME.search(path.name)
        name = options.map_of or (match and match[1])
        if not name:
            raise UsageError(f"{path.name} does not say T1 or T2; give --map-of.")
        maps.setdefault(name, []).append(_values(path, voxels)[keep])
        beside = _std_of(path)
        std.setdefault(name, []).append(beside and _values(beside, voxels)[keep])
    if not maps:
        raise UsageError("IMAGES are standard deviations only; give the maps.")
    complete = {k: np.array(v) for k, v in std.items() if not any(x is None for x in v)}
    return {name: np.array(values) for name, values in maps.items()}, complete


def _values(path, voxels):
    values = voxels.from_nifti(path)
    if values.ndim > 1:
        raise ValueError(
            f"{path} has {values.shape[1]} volumes; a map has one. For a series give "
            "--model."
        )
    return values


def _std_of(path):
    """Return the file of standard deviations beside a map, or None."""
    stem, dot, ending = path.name.partition(".nii")
    *start, suffix = stem.split("_")
    names = f"{stem}_std", "_".join([*start, "desc-std", suffix])
    found = (path.with_name(name + dot + ending) for name in names)
    return next((file for file in found if file.is_file()), None)


def _of_series(options, voxels, keep):
    """Map series, each a repetition; return maps and standard deviations in spheres."""
    inside = np.zeros(len(keep), dtype=bool)
    inside[keep] = True
    mask = inside.reshape(voxels.mask.shape)
    maps, std = {}, {}
    for path in options.images:
        images = open_images(path, mask)
        voxels.space.check(images.voxels.space)
        found = _map_command.mapped(options, images, None, options.b1)
        reg, estimates, deviations = found[:3]
        for k, name in enumerate(reg.model.parameter_names):
            if name in ("T1", "T2"):
                maps.setdefault(name, []).append(estimates[:, k])
                std.setdefault(name, []).append(deviations[:, k])
    if not maps:
        raise UsageError(
            f"{options.model or options.estimator} has neither T1 nor T2, which the "
            "references have."
        )
    return ({k: np.array(v) for k, v in columns.items()} for columns in (maps, std))


def _print(report):
    """Print the columns that matter at a glance."""
    missing = False
    print("      sphere  voxels   reference        mean      bias  sd/bound  repeat/bound")
    for row in report.rows():
        times = (f"{1e3 * row[name]:.4g} ms" for name in ("reference", "mean"))
        ratios = (row[name] for name in ("sd_over_bound", "sd_between_over_bound"))
        texts = ["-" if np.isnan(ratio) else f"{ratio:.2f}" for ratio in ratios]
        print(
            f"{row['parameter']:4} {row['sphere']:7} {row['n_voxels']:7} "
            + "".join(f"{text:>12}" for text in times)
            + f"{row['bias_percent']:+8.1f} %{texts[0]:>10}{texts[1]:>14}"
        )
        missing |= "-" in texts
    if missing:
        print(
            "-: sd/bound needs a map of standard deviations beside each map, and "
            "repeat/bound several maps, too"
        )
