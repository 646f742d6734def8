r"""Turn images into maps of a model's parameters and their standard deviations.

Images are 4-D files, or 3-D files in the order of the samples. Maps are written as NIfTI,
NAME.nii.gz and NAME_std.nii.gz, with a sidecar that has the unit; what is outside the mask
or cannot be estimated is NaN. All numbers are in SI units: seconds, radians.

    python -m crbestim map echoes.nii.gz --model MonoExponential --te 0.01 0.02 0.03 \
        --mask mask.nii.gz --out maps

The options of a model are listed by --model NAME --help. For all subjects of a BIDS data
set, whose sidecars have the times and flip angles:

    python -m crbestim map --bids ROOT --model MonoExponential
"""

import sys
from pathlib import Path

import numpy as np

from .. import __version__
from ..estimators import NLLSRegressor
from ._bids_names import check_root, labels
from ._model_options import add_model_options, build_model, model_class, model_classes
from ._nifti import check_path
from ._transmit_field import nominal_of
from ._usage import UsageError
from .acquisition import SUFFIXES
from .bids import mask_of, open_bids, transmit_field
from .bids_maps import write_bids
from .images import open_images
from .maps import map_images

_HELP_B1 = "map of B1, relative or in percent; TB1map means that of a BIDS data set"
_SUFFIX_OF = {
    "MonoExponential": "MESE",
    "BiExponential": "MESE",
    "MultiEchoSpinEcho": "MESE",
    "SpoiledGradientEcho": "VFA",
    "InversionRecovery": "IRT1",
}
# Known values from which least squares takes its starts: no more, whatever the images.
_N_STARTS = 10_000


def add_arguments(parser, arguments, needs_model=True):
    """Add the options, and those of the model that the command line names."""
    parser.add_argument("images", nargs="*", metavar="IMAGES", help="image files")
    needed = parser.add_argument_group("needed")
    needed.add_argument(
        "--model", required=needs_model, metavar="NAME", help=", ".join(model_classes())
    )
    needed.add_argument(
        "--out",
        metavar="DIR",
        help="folder for the maps; of a BIDS data set by default ROOT/derivatives/crbestim",
    )
    bids = parser.add_argument_group("BIDS, in place of IMAGES")
    bids.add_argument("--bids", metavar="ROOT", help="folder of a data set")
    bids.add_argument("--suffix", choices=SUFFIXES, help="what to read")
    bids.add_argument("--subject", nargs="+", metavar="LABEL", help="by default all")
    data = parser.add_argument_group("data")
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
    parser.add_argument("--jobs", type=int, metavar="N", help="number of workers")
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings")
    add_model_options(parser, _named_model(arguments))


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
    if bool(options.images) == (options.bids is not None):
        raise UsageError("give IMAGES, or --bids ROOT, and not both.")
    if options.bids is not None:
        return _run_bids(options)
    if options.out is None:
        raise UsageError("the following arguments are required: --out")
    images = open_images(
        options.images,
        options.mask,
        phase=options.phase,
        imaginary=options.imaginary,
        turn=options.turn,
    )
    reg, maps, std = mapped(options, images, {}, options.b1)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "EstimationAlgorithm": f"{reg}, crbestim {__version__}",
        "Sources": [Path(name).name for name in (*images.voxels.files, *_maps_of(options))],
    }
    for k, parameter in enumerate(reg.model.parameters):
        for values, ending in ((maps[:, k], ""), (std[:, k], "_std")):
            path = folder / f"{parameter.name}{ending}.nii.gz"
            unit = _unit(parameter, reg.model)
            images.voxels.to_nifti(values, path, unit=unit, sidecar=about)
    _tell(options, f"maps are in {folder}")
    return 0


def _run_bids(options):
    """Map all subjects of a BIDS data set; those that fail do not stop the others."""
    root = check_root(options.bids)
    model_class(options.model)
    suffix = options.suffix or _SUFFIX_OF.get(options.model)
    if options.model == "MonoExponential" and options.model_parameter == "T2star":
        suffix = options.suffix or "MEGRE"
    if suffix is None:
        raise UsageError(f"{options.model} has no usual images; give --suffix.")
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
    settings = acquisition.arguments(model_class(options.model))
    reg, maps, std = mapped(options, images, settings, b1)
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


def mapped(options, images, settings, b1):
    """Return the estimator of a series of images, its maps and standard deviations."""
    _tell(options, f"{len(images)} voxels of {images.n_features} volumes")
    model, known = _model_of(options, images, settings, b1)
    reg = NLLSRegressor(model, n_jobs=options.jobs)
    sigma = _sigma_of(options.sigma, images.voxels)
    maps, std = estimate(reg, images, known, sigma, options)
    if not np.isfinite(maps).any():
        raise ValueError("no voxel could be estimated; see the mask and the images.")
    for k, parameter in enumerate(model.parameters):
        unit = _unit(parameter, model)
        _tell(options, _summary(parameter.name, unit, maps[:, k], std[:, k]))
    return reg, maps, std


def estimate(reg, images, known, sigma, options):
    """Fit least squares to a series of images, and return maps and standard deviations."""
    kind = complex if reg.model.is_complex else float
    some = None
    if known is not None:
        usable = known[np.isfinite(known).all(axis=1)]
        if not len(usable):
            raise ValueError(
                f"no voxel has a known value of {', '.join(reg.model.known_names)}."
            )
        some = usable[:: -(-len(usable) // _N_STARTS)]
    n = 1 if some is None else len(some)
    # Without targets, signals give nothing but their kind and width.
    reg.fit(np.full((n, images.n_features), np.nan, dtype=kind), known=some)
    images.is_complex = reg.model.is_complex
    verbose = not options.quiet and sys.stderr.isatty()
    return map_images(reg, images, sigma=sigma, known=known, verbose=verbose)


def _model_of(options, images, settings, b1):
    """Return the model, and the known values of the voxels."""
    given = dict(_pair(text) for text in options.known)
    if b1 is not None:
        given["B1"] = b1
    settings = settings | {"signal": "complex" if images.is_complex else "magnitude"}
    if "B1" in given:
        settings["b1"] = True
    model = build_model(options.model, options, **settings)
    if model.n_features != images.n_features:
        raise UsageError(
            f"the images have {images.n_features} volumes, and {options.model} is given "
            f"the settings of {model.n_features}; give them for each volume, in this order."
        )
    if images.is_complex and not model.is_complex:
        raise UsageError(f"the images are complex and {model} is of magnitudes.")
    for name in given:
        if name not in model.parameter_names:
            raise UsageError(
                f"{name} is no parameter of {model}; its parameters are "
                f"{', '.join(model.parameter_names)}."
            )
    if not given:
        return model, None
    known = [_known(name, path, images.voxels, options) for name, path in given.items()]
    return model.given(*given), np.stack(known, axis=1)


def _maps_of(options):
    """Return the names of all maps that the command line gives, but for the noise."""
    given = [options.mask, options.b1, *(_pair(text)[1] for text in options.known)]
    return [name for name in given if name is not None]


def _pair(text):
    name, equals, path = text.partition("=")
    if not equals:
        raise UsageError(f"--known has {text!r}; give NAME=MAP.")
    return name, path


def _known(name, path, voxels, options):
    """Return the values of a map; those of B1 as relative ones."""
    if not isinstance(path, str):
        return path
    values = _values(path, voxels)
    if name != "B1":
        return values
    nominal = options.b1_nominal
    if nominal is None:
        nominal = nominal_of(values, path, stacklevel=1)
    elif not nominal > 0:
        raise UsageError(f"--b1-nominal is {nominal:g}; give a number above 0.")
    return values / nominal


def _values(path, voxels):
    values = voxels.from_nifti(path)
    if values.ndim > 1 or values.dtype.kind == "c":
        raise ValueError(f"{path} is no map of one real value a voxel.")
    return values


def _sigma_of(text, voxels):
    """Return the noise, one number or one for each voxel."""
    if text is None:
        return None
    try:
        sigma = float(text)
    except ValueError:
        return _values(check_path(text, "--sigma"), voxels)
    if not 0 < sigma < np.inf:
        raise UsageError(f"--sigma is {sigma:g}; give a number above 0.")
    return sigma


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
