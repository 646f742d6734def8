"""Checks of constructors of models: acquisitions, options and bounds."""

import inspect
import sys
from collections.abc import Mapping

import numpy as np

from .._arrays import as_settings
from .._options import check_by_name, check_number
from .._validation import check_count
from .._warnings import warn
from ..exceptions import ImplausibleValueWarning
from ..noise import GaussianNoise, get_noise

SIGNALS = ("complex", "magnitude")
SECONDS = "; {0} is in seconds, for milliseconds give 1e-3 * {0}"
ECHO_TIMES = (1e-3, 0.3, "s")
RADIANS = "; {0} is in radians, for degrees give np.deg2rad({0})"


def check_noise(noise, is_magnitude, kind="complex"):
    """Return the noise of a model, if it fits the signal."""
    found = get_noise(noise)
    if found.needs_magnitude and not is_magnitude:
        raise ValueError(
            f"noise={found.label!r} is that of magnitudes, and the signal is {kind}; give "
            "signal='magnitude' or noise='gaussian'."
        )
    return noise


def choose_parameters(parameters, bounds):
    """Return parameters with the bounds that were given by name, (low, high)."""
    parameters = tuple(parameters)
    bounds = check_by_name(bounds, [p.name for p in parameters], "bounds", "(low, high)")
    return tuple(
        p.with_bounds(bounds[p.name]) if p.name in bounds else p for p in parameters
    )


def check_constants(constants):
    """Return constants by name, each one real number, as a dict; None is an empty one."""
    constants = {} if constants is None else constants
    if not isinstance(constants, Mapping):
        raise TypeError(f"constants is {constants!r}; give a dict of numbers by name.")
    allowed = (
        "one real number, the same in all samples, or name the parameter, "
        "model.given({!r}), if its value varies"
    )
    return {k: check_number(v, k, allowed.format(k)) for k, v in constants.items()}


def check_samples(values, name, unit, *, high=np.inf, usual=(0.0, np.inf), advice=""):
    """Return what was set for each sample, as a read-only vector of finite numbers >= 0.

    A largest value outside the interval `usual` suggests another unit and raises a warning
    with the advice, in which "{0}" stands for the name. It points to the line that made the
    model, however deep inside of its constructor this is called.

    Examples
    --------
    >>> from crbestim.models._checks import check_samples
    >>> check_samples([0.01, 0.02], "te", "s")
    array([0.01, 0.02])
    """
    array, advice = as_settings(values, name), advice.format(name)
    if array.ndim != 1 or not array.size:
        raise ValueError(
            f"{name} has shape {array.shape}; give a vector, one number for each sample."
        )
    wrong = ~(np.isfinite(array) & (array >= 0) & (array <= high))
    if wrong.any():
        i = int(np.argmax(wrong))
        limits = f"0 to {high:.4g} {unit}" if np.isfinite(high) else "0 or more, finite"
        raise ValueError(
            f"{name}[{i}] = {array[i]:.4g} {unit}; give numbers of {limits}{advice}."
        )
    _warn_unusual(array, name, unit, usual, advice)
    array.flags.writeable = False
    return array


def check_positive(value, name, unit, usual, advice, otherwise=""):
    """Return one number above 0; one outside the interval `usual` raises a warning."""
    advice = advice.format(name)
    value = check_number(value, name, f"one number above 0{otherwise}{advice}", above=0)
    _warn_unusual(np.array(value), name, unit, usual, advice)
    return value


def check_echo_times(te):
    """Return echo times as a read-only vector, at least two of them different."""
    te = check_samples(te, "te", "s")
    _warn_unusual(te, "te", "s", (1e-4, 2.0), SECONDS.format("te"))
    return check_different(te, "te", "s", "echo times")


def check_different(values, name, unit, what):
    """Return a vector of samples of a decay, if at least two of them are different."""
    if values.min() == values.max():
        raise ValueError(
            f"{name} is {values[0]:.4g} {unit} in all samples, from which decay and M0 "
            f"cannot both be found; give at least two different {what}."
        )
    return values


def check_for_each(values, name, n, what):
    """Return numbers as given, one for all of n samples or one for each of them.

    Examples
    --------
    >>> from crbestim.models._checks import check_for_each
    >>> check_for_each(0.02, "tr", 2, "flip angles")
    array(0.02)
    >>> check_for_each([0.02, 0.03], "tr", 2, "flip angles")
    array([0.02, 0.03])
    """
    values = as_settings(values, name)
    if values.shape not in ((), (n,)):
        raise ValueError(
            f"{name} has shape {values.shape} for {n} {what}; give one number, or one for "
            f"each, ({n},)."
        )
    return values


def check_time(value, name):
    """Return one time above 0, in s."""
    allowed = "one time above 0, in seconds" + SECONDS.format(name)
    return check_number(value, name, allowed, above=0)


def check_relaxation(value, name, parameter):
    """Return the constant that a relaxation time is held at, in s."""
    low, high = parameter.domain
    allowed = f"one time of {low:g} to {high:g} s, or None to make it a parameter"
    time = check_number(value, name, allowed + SECONDS.format(name), least=low)
    if time > high:
        raise ValueError(f"{name} = {time:g}; give {allowed}{SECONDS.format(name)}.")
    return time


def check_flip_angle(value, largest=np.pi / 2):
    """Return one nominal flip angle, in rad."""
    allowed = f"one angle above 0, up to {largest:.4g} rad" + RADIANS.format("flip_angle")
    angle = check_number(value, "flip_angle", allowed, above=0)
    # The largest may be rounded up.
    if angle > largest + 1e-9:
        raise ValueError(f"flip_angle = {angle:.4g}; give {allowed}.")
    return angle


def check_excitations(value):
    """Return a number of excitations, or two: before the centre of k-space, and the rest.

    Examples
    --------
    >>> from crbestim.models._checks import check_excitations, halves
    >>> halves(check_excitations(161)), halves(check_excitations([40, 120]))
    ((80, 81), (40, 120))
    """
    if np.ndim(value) == 0:
        return check_count(value, "n_excitations")
    if np.shape(value) != (2,):
        raise ValueError(
            f"n_excitations = {value!r}; give a whole number, or two: those before the "
            "centre of k-space, and those from there on."
        )
    before = check_count(value[0], "n_excitations[0]", least=0)
    return before, check_count(value[1], "n_excitations[1]")


def halves(n_excitations):
    """Return the numbers of excitations before the centre of k-space, and from there on."""
    if isinstance(n_excitations, int):
        return n_excitations // 2, n_excitations - n_excitations // 2
    return n_excitations


def _warn_unusual(values, name, unit, usual, advice):
    """Warn of values that suggest another unit, in the line that made the model."""
    if not usual[0] <= values.max() <= usual[1]:
        warn(
            f"the largest {name} is {values.max():.4g} {unit}, outside the usual "
            f"{usual[0]:g} to {usual[1]:g} {unit}{advice}.",
            ImplausibleValueWarning,
            stacklevel=_level_of_call(),
        )


def _level_of_call():
    """Return the level of the line that made a model, outside of its constructors."""
    frames, frame = [], sys._getframe(1)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    names = [frame.f_code.co_name for frame in frames]
    first = names.index("__init__") if "__init__" in names else 0
    made = frames[first].f_locals.get("self", object())
    for level, frame in enumerate(frames[first:], first + 1):
        is_ours = frame.f_globals.get("__name__", "").partition(".")[0] == "crbestim"
        if not is_ours and frame.f_locals.get("self") is not made:
            return level
    return len(frames)


def refuse_noise(model, why):
    """Refuse a model whose noise would change its distribution under a linear map."""
    noise = get_noise(model.noise)
    if not isinstance(noise, GaussianNoise):
        raise ValueError(
            f"{model} has {noise.label.capitalize()} noise, {why} the complex signal, or "
            "a model with noise='gaussian'."
        )


def told_not_finite(parameter_names, signal, jacobian=None):
    """Say what of a signal (n_features,) and its derivatives is not finite, or return None.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models._checks import told_not_finite
    >>> told_not_finite(["R2"], np.ones(2), np.array([[1.0], [np.nan]]))
    'the derivative by R2 is not finite at feature 1 (nan); the signal is'
    """
    wrong = np.flatnonzero(~np.isfinite(signal))
    if wrong.size:
        return f"the signal is not finite at feature {wrong[0]} ({signal[wrong[0]]:g})"
    wrong = np.empty((0, 2)) if jacobian is None else np.argwhere(~np.isfinite(jacobian))
    if not len(wrong):
        return None
    feature, k = wrong[0]
    names = ", ".join(parameter_names[i] for i in np.unique(wrong[:, 1]))
    return (
        f"the derivative by {names} is not finite at feature {feature} "
        f"({jacobian[feature, k]:g}); the signal is"
    )


def refuse_not_finite(model, theta, signal, jacobian, first):
    """Refuse a block of signals and derivatives that are not all finite.

    first : the row of theta with which the block begins.
    """
    finite = _are_finite(signal, jacobian)
    if not finite.all():
        i = int(np.argmin(finite))
        told = told_not_finite(model.parameter_names, signal[i], jacobian[i])
        raise ValueError(
            f"{model._label}: {told}, for row {first + i} of theta, {theta[first + i]}; "
            "leave such rows out, or mend the model there."
        )


def check_finite_somewhere(model, signal, jacobian, name):
    """Return which signals and derivatives at start values are finite; refuse none."""
    finite = _are_finite(signal, jacobian)
    if len(finite) and not finite.any():
        told = told_not_finite(model.parameter_names, signal[0], jacobian[0])
        raise ValueError(
            f"{told}: so it is at all start values, and {name} cannot search; mend the "
            "model, or narrow the bounds."
        )
    return finite


def _are_finite(signal, jacobian):
    return np.isfinite(signal).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))


def argument_for(model, name):
    """Return a sentence on the argument of a model that makes a parameter, if any does."""
    arguments = inspect.signature(type(model)).parameters
    if not isinstance(name, str) or name.lower() not in arguments:
        return ""
    is_flag = isinstance(arguments[name.lower()].default, bool)
    return f" {model._label} has it with {name.lower()}={is_flag or None}."
