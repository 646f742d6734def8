r"""Turn images into maps of a model's parameters and their standard deviations.

Images are 4-D files, or 3-D files in the order of the samples. Maps are written as NIfTI,
NAME.nii.gz and NAME_std.nii.gz, with a sidecar that has the unit; what is outside the mask
or cannot be estimated is NaN. All numbers are in SI units: seconds, radians.

    python -m crbestim map echoes.nii.gz --model MonoExponential --te 0.01 0.02 0.03 \
        --mask mask.nii.gz --out maps

The options of a model are listed by --model NAME --help. Times and flip angles that they
do not give come from the sidecars of dcm2niix, where each volume has one. For all subjects
of a BIDS data set, whose sidecars have them:

    python -m crbestim map --bids ROOT --model MonoExponential
"""

import sys
from pathlib import Path

import numpy as np

from .. import __version__
from ._bids_names import check_root, labels
from ._map_inputs import acquisition_of, estimator_of, maps_of, settings_of, sigma_for
from ._model_options import add_model_options, model_class, model_classes
from ._residual_map import ResidualMap
from ._usage import UsageError
from .acquisition import SUFFIXES
from .bids import mask_of, open_bids, transmit_field
from .bids_maps import write_bids
from .images import open_images
from .maps import mapped_blocks

_HELP_B1 = "map of B1, relative or in percent; TB1map means that of a BIDS data set"
_HELP_ESTIMATOR = "file of a trained estimator, in place of a model"
_HELP_RESIDUAL = "write residual.nii.gz, too: chi-square over its degrees of freedom"
_HELP_TRUST = "import paths of code of your own that this file needs"
_SUFFIX_OF = {
    "MonoExponential": "MESE",
    "BiExponential": "MESE",
    "MultiEchoSpinEcho": "MESE",
    "SpoiledGradientEcho": "VFA",
    "InversionRecovery": "IRT1",
}


def add_arguments(parser, arguments):
    """Add the options, and those of the model that the command line names."""
    parser.add_argument("images", nargs="*", metavar="IMAGES", help="image files")
    needed = parser.add_argument_group("needed")
    needed.add_argument("--model", metavar="NAME", help=", ".join(model_classes()))
    needed.add_argument("--estimator", metavar="FILE", help=_HELP_ESTIMATOR)
    needed.add_argument("--trust", nargs="+", default=[], metavar="PATH", help=_HELP_TRUST)
    needed.add_argument(
        "--out",
        metavar="DIR",
        help="folder for the maps; of a BIDS data set by default ROOT/derivatives/crbestim",
    )
    bids = parser.add_argument_group("BIDS, in place of IMAGES")
    bids.add_argument("--bids", metavar="ROOT", help="folder of a data set")
    bids.add_argument("--suffix", choices=SUFFIXES, help="what to read")
    bids.add_argument("--subject", nargs="+", metavar="LABEL", help="by default all")
    _add_data(parser.add_argument_group("data"))
    parser.add_argument(
        "--no-sidecars",
        action="store_true",
        help="take no times and angles from .json files",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="number of workers")
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings")
    add_model_options(parser, _named_model(arguments))


def _add_data(data):
    """Add the options of what goes with the images."""
    data.add_argument(
        "--mask", help="image of 0 and 1; of a BIDS data set a folder of derivatives"
    )
    data.add_argument("--phase", nargs="+", metavar="IMAGE", help="phase of the images")
    data.add_argument("--imaginary", nargs="+", metavar="IMAGE", help="imaginary parts")
    data.add_argument("--turn", type=float, help="value of a full turn of the phase")
    data.add_argument("--b1", metavar="B1MAP", help=_HELP_B1)
    data.add_argument(
        "--b1-nominal",
        type=float,
        metavar="VALUE",
        help="value of the map that means the nominal B1: 1, 100, or a flip angle",
    )
    data.add_argument(
        "--known",
        nargs="+",
        default=[],
        metavar="NAME=MAP",
        help="maps of other parameters",
    )
    data.add_argument("--sigma", metavar="S", help="noise of the images: a number or a map")
    data.add_argument("--residual", action="store_true", help=_HELP_RESIDUAL)


def _named_model(arguments):
    """Return the name behind --model, before the command line can be parsed."""
    for k, text in enumerate(arguments):
        if text == "--model" and k + 1 < len(arguments):
            return arguments[k + 1]
        if text.startswith("--model="):
            return text.removeprefix("--model=")
    return None


def run(options):
    """Map the images of a command line; return the exit code."""
    if (options.model is None) == (options.estimator is None):
        raise UsageError("give --model NAME, or --estimator FILE, and not both.")
    if bool(options.images) == (options.bids is not None):
        raise UsageError("give IMAGES, or --bids ROOT, and not both.")
    if options.bids is not None:
        return _run_bids(options)
    if options.out is None:
        raise UsageError("the following arguments are required: --out")
    if options.residual and options.sigma is None:
        raise UsageError("--residual compares with noise; give --sigma, too.")
    images = open_images(
        options.images,
        options.mask,
        phase=options.phase,
        imaginary=options.imaginary,
        turn=options.turn,
    )
    acquisition = acquisition_of(images.voxels.files, images.n_features)
    reg, maps, std, left = mapped(options, images, acquisition, options.b1)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "EstimationAlgorithm": f"{reg}, crbestim {__version__}",
        "Sources": [Path(name).name for name in (*images.voxels.files, *maps_of(options))],
    }
    if options.sigma is not None:
        about["Sigma"] = options.sigma
    for k, parameter in enumerate(reg.model.parameters):
        for values, ending in ((maps[:, k], ""), (std[:, k], "_std")):
            path = folder / f"{parameter.name}{ending}.nii.gz"
            unit = _unit(parameter, reg.model)
            images.voxels.to_nifti(values, path, unit=unit, sidecar=about)
    if options.residual:
        images.voxels.to_nifti(left, folder / "residual.nii.gz", unit="1", sidecar=about)
    _tell(options, f"maps are in {folder}")
    return 0


def _run_bids(options):
    """Map all subjects of a BIDS data set; those that fail do not stop the others."""
    root = check_root(options.bids)
    if options.model is not None:
        model_class(options.model)
    suffix = options.suffix or _SUFFIX_OF.get(options.model)
    if options.model == "MonoExponential" and options.model_parameter == "T2star":
        suffix = options.suffix or "MEGRE"
    if suffix is None:
        raise UsageError(f"{options.model or 'this'} has no usual images; give --suffix.")
    found = [
        dict(subject=subject, session=session)
        for subject in options.subject or labels(root, "sub")
        for session in labels(root / f"sub-{subject}", "ses") or [None]
    ]
    n_failed = 0
    for which in found:
        who = " ".join(filter(None, which.values()))
        _tell(options, f"subject {who}")
        try:
            _map_subject(options, root, suffix, which)
        except (ValueError, OSError, UsageError) as error:
            print(f"crbestim: subject {who}: {error}", file=sys.stderr)
            n_failed += 1
    if not found:
        raise ValueError(f"{root} has no subject.")
    _tell(
        options, f"maps of {len(found) - n_failed} of {len(found)} are in {_out(options)}"
    )
    return 1 if n_failed else 0


def _map_subject(options, root, suffix, which):
    """Map the images of one subject and session."""
    mask = None if options.mask is None else mask_of(options.mask, **which)
    images, acquisition = open_bids(root, suffix=suffix, mask=mask, **which)
    b1 = options.b1
    if b1 == "TB1map":
        b1, file = transmit_field(root, images.voxels, **which)
        files = *images.voxels.files, file
        images.voxels = images.voxels.with_details(files=files)
    reg, maps, std, _ = mapped(options, images, acquisition, b1)
    write_bids(
        _out(options),
        dict(zip(reg.model.parameter_names, maps.T, strict=True)),
        images.voxels,
        std=dict(zip(reg.model.parameter_names, std.T, strict=True)),
        algorithm=f"{reg}, crbestim {__version__}",
        units={p.name: _unit(p, reg.model) for p in reg.model.parameters},
    )


def _out(options):
    return Path(options.out or Path(options.bids, "derivatives", "crbestim"))


def _unit(parameter, model):
    return "arbitrary" if parameter.name == model.amplitude else parameter.unit


def mapped(options, images, acquisition, b1):
    """Return the estimator of a series of images, its maps, deviations and residuals."""
    _tell(options, f"{len(images)} voxels of {images.n_features} volumes")
    settings = settings_of(options, acquisition)
    if settings:
        _tell(options, f"from sidecars: {', '.join(settings)}")
    reg, known = estimator_of(options, images, settings, b1)
    model = reg.model
    sigma = sigma_for(model, options.sigma, images.voxels)
    verbose = not options.quiet and sys.stderr.isatty()
    left = ResidualMap(reg, len(images), sigma, known)
    maps, std = mapped_blocks(reg, images, sigma, known, verbose, left.look)
    left.tell()
    if not np.isfinite(maps).any():
        raise ValueError("no voxel could be estimated; see the mask and the images.")
    for k, parameter in enumerate(model.parameters):
        unit = _unit(parameter, model)
        _tell(options, _summary(parameter.name, unit, maps[:, k], std[:, k]))
    return reg, maps, std, left.values


def _summary(name, unit, values, std):
    """Return a line about a map."""
    there = values[np.isfinite(values)]
    if not there.size:
        return f"{name}: no estimate"
    low, median, high = np.percentile(there, [5, 50, 95])
    text = f"{name:8} median {median:.4g} (5 to 95 %: {low:.4g} to {high:.4g}) {unit}"
    if np.isfinite(std).any():
        text += f", standard deviation {np.nanmedian(std):.2g}"
    lost = len(values) - there.size
    return text + (f", {lost} voxels without estimate" if lost else "")


def _tell(options, text):
    if not options.quiet:
        print(text)
