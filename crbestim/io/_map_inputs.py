"""What options of a command line give for a series of images: estimator, known values."""

from importlib import import_module
from pathlib import Path

import numpy as np

from .._computed_images import computed_image
from .._warnings import warn
from ..estimators import NLLSRegressor
from ..exceptions import ImageFileError
from ..models import SignalModel
from ._bids_names import read_json
from ._model_options import build_model, model_class, signal_of
from ._nifti import check_path
from ._transmit_field import nominal_of
from ._usage import UsageError
from .acquisition import Acquisition

# Known values from which least squares takes its starts: no more, whatever the images.
_N_STARTS = 10_000
# Medians that maps of relative B1 may have.
_RELATIVE = 0.3, 2.0
# Largest values of UNI images that are a scanner's integers, and what 0 to 4095 mean.
_LARGEST, _INTEGERS = (2048, 4096), (1 / 4095, -0.5)
# Noise of UNI images, over M0, beyond which it has another unit.
_TOO_NOISY = 0.2


def settings_of(options, acquisition):
    """Return the arguments of the model that sidecars have."""
    if acquisition is None or options.no_sidecars or options.estimator is not None:
        return {}
    return acquisition.arguments(model_class(options.model))


def acquisition_of(files, n_volumes):
    """Return what sidecars beside files say; None unless each volume has one."""
    paths = [Path(name) for name in files[:n_volumes]]
    beside = [p.with_name(p.name.partition(".nii")[0] + ".json") for p in paths]
    if len(paths) != n_volumes or not all(path.is_file() for path in beside):
        return None
    try:
        return Acquisition.of(None, [read_json(path) for path in beside], files)
    except ImageFileError:
        # They are no part of the command line.
        return None


def estimator_of(options, images, measured, b1):
    """Return the fitted estimator of a command line, and the known values of the voxels.

    `measured` are settings from sidecars, and `b1` is the name or the values of a map.
    """
    given = dict(_pair(text) for text in options.known)
    if b1 is not None:
        given["B1"] = b1
    if options.estimator is not None:
        reg = _loaded(options, images, given)
        known = [_known(n, given[n], images.voxels, options) for n in reg.model.known_names]
    else:
        model = _model_of(options, images, measured, given)
        reg = NLLSRegressor(model, n_jobs=options.jobs)
        known = [_known(name, path, images.voxels, options) for name, path in given.items()]
    known = np.stack(known, axis=1) if known else None
    _refuse_magnitudes(options, images, reg.model)
    if not hasattr(reg, "n_features_in_"):
        _fit(reg, images, known)
    images.is_complex = reg.model.is_complex
    if computed_image(reg.model) is not None:
        _convert_integers(images)
    return reg, known


def _convert_integers(images):
    """Take a scanner's integers for the UNI values that they mean, and say so."""
    low, high = images.range()
    if low >= 0 and _LARGEST[0] < high <= _LARGEST[1]:
        images.scale = _INTEGERS
        warn(
            f"values of {low:g} to {high:g} are taken as a scanner's 0 to 4095 of UNI "
            "images, which are then X / 4095 - 0.5",
            UserWarning,
        )


def _refuse_magnitudes(options, images, model):
    """Refuse real images for a complex model, unless the user says that they are signed."""
    if model.is_complex and not images.is_complex:
        if getattr(options, "model_signal", None) != "complex":
            raise UsageError(
                f"{model} is of complex signals and the images are real; give --phase or "
                "--imaginary, or --signal complex if the model has it and the images are "
                "signed."
            )


def _loaded(options, images, given):
    """Return the estimator of a file, for images and known values that fit."""
    reg = import_module(__package__).load(options.estimator, trusted=tuple(options.trust))
    model = getattr(reg, "model", None)
    if not isinstance(model, SignalModel):
        raise ValueError(f"{options.estimator} holds no estimator with a model.")
    if model.n_features != images.n_features:
        raise ValueError(
            f"the images have {images.n_features} volumes, and {options.estimator} is for "
            f"{model.n_features}."
        )
    if images.is_complex and not model.is_complex:
        raise ValueError(f"the images are complex and {model} is of magnitudes.")
    if given.keys() != set(model.known_names):
        needed = ", ".join(model.known_names) or "none"
        raise UsageError(f"the estimator needs maps of: {needed}; give --b1 or --known.")
    return reg


def _fit(reg, images, known):
    """Fit least squares, which asks of images for nothing but their kind and width."""
    some = None
    if known is not None:
        usable = known[np.isfinite(known).all(axis=1)]
        if not len(usable):
            raise ValueError(
                f"no voxel has a known value of {', '.join(reg.model.known_names)}."
            )
        some = usable[:: -(-len(usable) // _N_STARTS)]
    n, kind = 1 if some is None else len(some), complex if reg.model.is_complex else float
    reg.fit(np.full((n, images.n_features), np.nan, dtype=kind), known=some)


def _model_of(options, images, measured, given):
    """Return the model of the parameters that are not given."""
    signal = signal_of(options.model, is_complex=images.is_complex)
    settings = {"signal": signal} | ({"b1": True} if "B1" in given else {})
    model = build_model(options.model, options, measured, **settings)
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
    return model.given(*given) if given else model


def maps_of(options):
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
        try:
            return values / nominal_of(values, path, stacklevel=1)
        except ImageFileError as error:
            raise ImageFileError(f"{error} The option is --b1-nominal.") from error
    if not nominal > 0:
        raise UsageError(f"--b1-nominal is {nominal:g}; give a number above 0.")
    there = values[np.isfinite(values) & (values != 0)]
    median = np.median(there) / nominal if there.size else 1.0
    if not _RELATIVE[0] <= median <= _RELATIVE[1]:
        raise UsageError(
            f"{path} divided by --b1-nominal {nominal:g} has a median of {median:.3g}, and "
            "relative B1 is about 1; check the unit of the map."
        )
    return values / nominal


def _values(path, voxels):
    values = voxels.from_nifti(path)
    if values.ndim > 1 or values.dtype.kind == "c":
        raise ValueError(f"{path} is no map of one real value a voxel.")
    return values


def sigma_for(model, text, voxels):
    """Return the noise, one number or one for each voxel, in units that the model has."""
    sigma = sigma_of(text, voxels)
    if sigma is not None and computed_image(model) is not None:
        level = np.nanmedian(sigma)
        if level > _TOO_NOISY:
            raise UsageError(
                f"--sigma is {level:g}; of UNI images it is the noise of both images over "
                "M0, such as 0.001."
            )
    return sigma


def sigma_of(text, voxels):
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
