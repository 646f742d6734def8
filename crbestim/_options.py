"""Checks of options: one number, yes or no, one of several, names, values by name."""

import os
from collections.abc import Mapping

import numpy as np

from ._arrays import as_array


def check_flag(name, value):
    """Return True or False; refuse what only counts as one of them.

    Examples
    --------
    >>> from crbestim._options import check_flag
    >>> check_flag("b1", "no")
    Traceback (most recent call last):
    ...
    ValueError: b1 = 'no'; give True or False.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} = {value!r}; give True or False.")
    return bool(value)


def check_path(path):
    """Return the path of a file, or raise an error if it is something else.

    Examples
    --------
    >>> from crbestim._options import check_path
    >>> check_path(3)
    Traceback (most recent call last):
    ...
    TypeError: path is 3; give the path of a file, as text or a Path.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path is {path!r}; give the path of a file, as text or a Path.")
    return path


def check_choice(name, value, allowed):
    """Return an option, or raise an error that lists those allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {allowed}.")
    return value


def check_number(value, name, allowed, *, least=-np.inf, above=-np.inf):
    """Return one finite real number as a float.

    Parameters
    ----------
    value : float
        The number, which may be an array without axes.
    name : str
        What messages call it.
    allowed : str
        What messages say is allowed.
    least, above : float, default=-inf
        It is not less than the one, and more than the other.

    Returns
    -------
    float
        The same number.

    Raises
    ------
    ValueError
        If it is no such number; True and False are none.

    Examples
    --------
    >>> from crbestim._options import check_number
    >>> check_number(3, "tr", "a time above 0, in s", above=0)
    3.0
    """
    try:
        number = as_array(value, name)
    except (TypeError, ValueError):
        number = np.array("none")
    is_real = number.ndim == 0 and number.dtype.kind in "iuf"
    if not (is_real and np.isfinite(number) and number >= least and number > above):
        raise ValueError(f"{name} = {value!r}; give {allowed}.")
    return float(number)


def check_names(names, what):
    """Return a sequence of text, or the keys of a dict, as a tuple."""
    is_sequence = not isinstance(names, str | set | frozenset)
    try:
        found = tuple(names) if is_sequence else ()
    except TypeError:
        is_sequence = False
    if not is_sequence:
        advice = f", [{names!r}]" if isinstance(names, str) else ""
        raise TypeError(f"{what} is {names!r}; give a sequence of names{advice}.")
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{what} holds {name!r}; the name of a parameter is text.")
    return found


def check_by_name(given, names, what, values):
    """Return values by name, a dict that has some of the names; None is an empty one.

    `what` is what messages call it, and `values` what they say that it holds.
    """
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{what} is {given!r}; give a dict of {values} by name, for some of "
            f"{', '.join(names)}."
        )
    unknown = sorted(map(str, set(given) - set(names)))
    if unknown:
        raise ValueError(
            f"{what} name {', '.join(unknown)}; the parameters are {', '.join(names)}."
        )
    return given


def check_frozen(distribution, name):
    """Return a distribution that can be drawn from; refuse anything else."""
    if not callable(getattr(distribution, "rvs", None)):
        raise TypeError(
            f"{name} is {distribution!r}; give a SciPy frozen distribution such as "
            "scipy.stats.uniform(0, 1)."
        )
    return distribution
