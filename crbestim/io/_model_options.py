"""Models from options of a command line: arguments of a constructor by their names."""

import argparse
import inspect
import re
import warnings
from pathlib import Path

import numpy as np

from .. import models
from ..exceptions import ImplausibleValueWarning
from ..models import ClosedFormModel, CompiledModel
from ..sequences import HybridStateSequence
from ._usage import UsageError

# Other names of options, as technicians know them.
_ALIASES = {
    "alpha": "flip-angles",
    "b": "b-values",
    "te": "echo-times",
    "ti": "inversion-times",
    "tr": "repetition-time",
}
# Times on a command line and in a sidecar are the same up to this.
_ROUNDED = 0.01
# Names of options that the data have.
_TAKEN = {"phase"}
# What models say of degrees.
_IN_PYTHON = r"for degrees give np\.deg2rad\(\w+\)"
_BOUNDS, _SEQUENCE, _B1 = "bounds", "sequence", "b1"


def model_classes():
    """Return the models that options can build, by name."""
    found = {name: getattr(models, name) for name in models.__all__}
    kinds = ClosedFormModel, CompiledModel
    return {name: model for name, model in found.items() if issubclass(model, kinds)}


def model_class(name):
    """Return a model of this name, or say which there are."""
    classes = model_classes()
    if name not in classes:
        raise UsageError(f"there is no model {name}; choose one of {', '.join(classes)}.")
    return classes[name]


def signal_of(name, *, is_complex):
    """Return which signal of a model images are: its default one, if that is real, too."""
    usual = inspect.signature(model_class(name)).parameters.get("signal")
    if is_complex:
        return "complex"
    return "magnitude" if usual is None or usual.default == "complex" else usual.default


def add_model_options(parser, name):
    """Add the arguments of a model's constructor as options."""
    classes = model_classes()
    if name not in classes:
        return
    group = parser.add_argument_group(f"options of {name}")
    described = _descriptions(classes[name])
    for parameter in _parameters(classes[name]):
        flags = [_flag(parameter.name)]
        if parameter.name in _ALIASES:
            flags.append(f"--{_ALIASES[parameter.name]}")
        options = {"dest": f"model_{parameter.name}", "help": described.get(parameter.name)}
        default = parameter.default
        usual = signal_of(name, is_complex=False) if parameter.name == "signal" else default
        options["help"] = _with_default(options["help"], usual)
        if isinstance(default, bool):
            if parameter.name == _B1:
                flags = ["--fit-b1"]
                options["help"] = _with_default("whether B1 is a parameter", default)
            group.add_argument(*flags, action=argparse.BooleanOptionalAction, **options)
        elif isinstance(default, str) or parameter.name == _SEQUENCE:
            group.add_argument(*flags, metavar="NAME", **options)
        else:
            metavar = "NAME=LOW:HIGH" if parameter.name == _BOUNDS else "NUMBER"
            group.add_argument(*flags, nargs="+", metavar=metavar, **options)


def _with_default(text, default):
    """Return a help with the default of an option, if it has one."""
    if default is None or default is inspect.Parameter.empty:
        return text
    shown = {True: "yes", False: "no"}.get(default) if isinstance(default, bool) else None
    shown = f"{default:.4g}" if isinstance(default, float) else shown or str(default)
    return f"{text or ''} (default: {shown})".strip()


def build_model(name, options, measured, **settings):
    """Return a model of the given options.

    What sidecars say, `measured`, and other settings hold where there is no option, and
    options must not contradict sidecars.
    """
    cls, arguments, settings = model_class(name), {}, settings | measured
    for parameter in _parameters(cls):
        value = getattr(options, f"model_{parameter.name}", None)
        if value is None and parameter.name in settings:
            arguments[parameter.name] = settings[parameter.name]
        elif value is not None:
            arguments[parameter.name] = _value(parameter.name, value)
            _check_measured(parameter.name, arguments, measured)
        elif parameter.default is inspect.Parameter.empty:
            raise UsageError(f"{name} needs {_flag(parameter.name)}.")
    try:
        with warnings.catch_warnings():
            # What looks like milliseconds or degrees would make wrong maps.
            warnings.simplefilter("error", ImplausibleValueWarning)
            return cls(**arguments)
    except (ValueError, TypeError, ImplausibleValueWarning) as error:
        text = re.sub(
            _IN_PYTHON, "for degrees write deg behind the number, as 20deg", str(error)
        )
        raise UsageError(f"{name}: {text}") from error


def _check_measured(name, arguments, measured):
    """Refuse an option that the sidecars contradict, such as echoes in another order."""
    given, found = arguments[name], measured.get(name)
    if given is None or found is None or np.size(found) not in (1, np.size(given)):
        return
    wrong = np.atleast_1d(~np.isclose(given, found, rtol=_ROUNDED, atol=0))
    if wrong.any():
        k = int(np.argmax(wrong))
        said = np.broadcast_to(found, wrong.shape)[k]
        raise UsageError(
            f"{_flag(name)} of volume {k + 1} is {np.atleast_1d(given)[k]:g}, and its "
            f"sidecar says {said:g}; leave {_flag(name)} out, or give --no-sidecars."
        )


def _flag(name):
    return "--" + (f"model-{name}" if name in _TAKEN else name).replace("_", "-")


def _parameters(cls):
    return inspect.signature(cls).parameters.values()


def _value(name, given):
    """Return what an option means for a constructor."""
    if isinstance(given, bool | str):
        return HybridStateSequence.from_file(given) if name == _SEQUENCE else given
    if name == _BOUNDS:
        return dict(_bound(text) for text in given)
    if len(given) == 1 and Path(given[0]).is_file():
        return np.loadtxt(given[0])
    numbers = [_number(text, name) for text in given]
    return numbers[0] if len(numbers) == 1 else numbers


def _number(text, name):
    if text.lower() == "none":
        return None
    number = text.removesuffix("deg")
    try:
        return float(number) if number == text else float(np.deg2rad(float(number)))
    except ValueError:
        raise UsageError(
            f"--{name} has {text!r}, which is no number; give numbers, or one text file "
            "with numbers. Images come before options."
        ) from None


def _bound(text):
    match = re.fullmatch(r"(\w+)=([^:]+):([^:]+)", text)
    try:
        return match[1], (float(match[2]), float(match[3]))
    except (TypeError, ValueError):
        message = f"--bounds has {text!r}; give NAME=LOW:HIGH, in SI units."
        raise UsageError(message) from None


def _descriptions(cls):
    """Return the first sentence of each parameter in the docstring of a class."""
    text = inspect.getdoc(cls) or ""
    entries = re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", text, re.MULTILINE)
    described = {}
    for name, body in entries:
        sentence = " ".join(body.split()).split(". ")[0].rstrip(".")
        # Percent signs have a meaning for argparse; T1 stays T1.
        is_word = sentence[1:2].islower()
        sentence = sentence[0].lower() + sentence[1:] if is_word else sentence
        described[name] = sentence.replace("%", "%%")
    return described
