"""What the constructors of models check: acquisitions, choices and bounds."""

import warnings

import numpy as np

from ..exceptions import ImplausibleValueWarning

SIGNALS = ("complex", "magnitude")
NOISES = ("gaussian", "rician")
SECONDS = "; {0} is in seconds, for milliseconds give 1e-3 * {0}"


def check_choice(name, value, allowed):
    """Return an option, or say which ones there are.

    Parameters
    ----------
    name : str
        What the option is called.
    value : object
        What was given.
    allowed : tuple of str
        What can be given.

    Returns
    -------
    str
        The value.

    Raises
    ------
    ValueError
        If it is not among those allowed.

    Examples
    --------
    >>> from crbestim.models.options import check_choice
    >>> check_choice("signal", "magnitude", ("complex", "magnitude"))
    'magnitude'
    """
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {allowed}.")
    return value


def check_noise(noise, is_magnitude):
    """Return the distribution of the noise, if the signal can have it.

    Parameters
    ----------
    noise : {"gaussian", "rician"}
        The distribution.
    is_magnitude : bool
        Whether the signal is a magnitude.

    Returns
    -------
    str
        The same.

    Raises
    ------
    ValueError
        If it is unknown, or Rician for a complex signal.

    Examples
    --------
    >>> from crbestim.models.options import check_noise
    >>> check_noise("rician", is_magnitude=True)
    'rician'
    """
    if check_choice("noise", noise, NOISES) == "rician" and not is_magnitude:
        raise ValueError(
            "noise='rician' is that of magnitudes, and the signal is complex; give "
            "signal='magnitude' or noise='gaussian'."
        )
    return noise


def choose_parameters(parameters, bounds):
    """Give parameters other bounds by name.

    Parameters
    ----------
    parameters : iterable of Parameter
        Parameters in the order of the columns of theta.
    bounds : dict or None
        Other bounds, (low, high) by parameter name.

    Returns
    -------
    tuple of Parameter
        The parameters.

    Raises
    ------
    ValueError
        If a name is unknown, or bounds are not in order or leave the domain.

    Examples
    --------
    >>> from crbestim.models.options import choose_parameters
    >>> from crbestim.parameters import Parameter
    >>> choose_parameters([Parameter("T2", (0.01, 3.0))], {"T2": (0.02, 1)})[0].bounds
    (0.02, 1.0)
    """
    parameters, bounds = tuple(parameters), bounds or {}
    names = [p.name for p in parameters]
    unknown = sorted(set(bounds) - set(names))
    if unknown:
        raise ValueError(
            f"bounds name {', '.join(unknown)}; the parameters are {', '.join(names)}."
        )
    return tuple(
        p.with_bounds(bounds[p.name]) if p.name in bounds else p for p in parameters
    )


def check_samples(values, name, unit, *, high=np.inf, usual=(0.0, np.inf), advice=""):
    """Return what was set for each sample of the signal, as a vector.

    Parameters
    ----------
    values : array-like of shape (n_samples,)
        Times, flip angles or diffusion weightings.
    name, unit : str
        What they are called, and their unit.
    high : float, default=inf
        The largest value allowed; the smallest is zero.
    usual : tuple of float, default=(0, inf)
        Interval in which the largest value usually lies.
    advice : str, default=""
        What to do about a value of another unit; "{0}" stands for the name.

    Returns
    -------
    ndarray of shape (n_samples,)
        The same numbers, read-only.

    Raises
    ------
    ValueError
        If they are no vector of finite real numbers between the limits.

    Warns
    -----
    ImplausibleValueWarning
        If the largest suggests another unit.

    Examples
    --------
    >>> from crbestim.models.options import check_samples
    >>> check_samples([0.01, 0.02], "te", "s")
    array([0.01, 0.02])
    """
    array, advice = np.asarray(values), advice.format(name)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} is of type {array.dtype}; give real numbers.")
    if array.ndim != 1 or not array.size:
        raise ValueError(
            f"{name} has shape {array.shape}; give a vector, one number for each sample."
        )
    array = array.astype(np.float64)
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


def check_time(value, name):
    """Return one time above zero.

    Parameters
    ----------
    value : float
        The time, in s.
    name : str
        What it is called.

    Returns
    -------
    float
        The same.

    Raises
    ------
    ValueError
        If it is not one finite positive number.

    Examples
    --------
    >>> from crbestim.models.options import check_time
    >>> check_time(5, "tr")
    5.0
    """
    time = np.asarray(value)
    if time.ndim or time.dtype.kind not in "iuf" or not 0 < time < np.inf:
        raise ValueError(f"{name} is {value!r}; give one time above 0, in seconds.")
    return float(time)


def check_echo_times(te):
    """Return echo times, at least two of which differ.

    Parameters
    ----------
    te : array-like of shape (n_samples,)
        Echo times, in s.

    Returns
    -------
    ndarray of shape (n_samples,)
        The same, read-only.

    Raises
    ------
    ValueError
        If they are no vector of times, or all the same.

    Warns
    -----
    ImplausibleValueWarning
        If the largest suggests another unit.

    Examples
    --------
    >>> from crbestim.models.options import check_echo_times
    >>> check_echo_times([0.01, 0.02])
    array([0.01, 0.02])
    """
    te = check_samples(te, "te", "s")
    _warn_unusual(te, "te", "s", (1e-4, 2.0), SECONDS.format("te"))
    if te.min() == te.max():
        raise ValueError(
            f"te is {te[0]:.4g} s in all samples, which cannot tell decay from M0; give "
            "two different echo times or more."
        )
    return te


def _warn_unusual(values, name, unit, usual, advice):
    """Warn the caller of a model's constructor of what suggests another unit."""
    if not usual[0] <= values.max() <= usual[1]:
        warnings.warn(
            f"the largest {name} is {values.max():.4g} {unit}, outside the usual "
            f"{usual[0]:g} to {usual[1]:g} {unit}{advice}.",
            ImplausibleValueWarning,
            stacklevel=4,
        )
