"""The one door for arrays: what users pass in becomes float64 or complex128.

Lists, masked arrays, data frames, tensors and arrays of any real or complex type come in;
masked and missing values become NaN. Columns of data frames are taken by name.
"""

import numpy as np
from scipy.sparse import issparse

COMPLEX_TARGET = "Complex data not supported"
_REAL, _COMPLEX = "biuf", "c"


def as_array(values, name, missing=np.nan):
    """Return a plain array of the type that the values have, or as they are if no array.

    Parameters
    ----------
    values : array-like
        Numbers.
    name : str
        What messages call them.
    missing : float, default=NaN
        What stands for masked values.

    Returns
    -------
    ndarray
        The values; of type object if they are no numbers, but have no other type either.

    Raises
    ------
    TypeError
        If they are None or a sparse matrix.
    ValueError
        If they are text or dates, or cannot be an array.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim._arrays import as_array
    >>> as_array(np.ma.masked_equal([1, 2], 2), "X")
    array([ 1., nan])
    """
    if values is None:
        raise TypeError(f"{name} is None; give numbers.")
    if issparse(values):
        raise TypeError(f"{name} is a sparse matrix; give a dense one, {name}.toarray().")
    if np.ma.isMaskedArray(values):
        values = _filled(values, missing)
    elif hasattr(values, "to_numpy"):
        values = _from_frame(values)
    try:
        array = np.asarray(values)
    except Exception as error:
        raise ValueError(f"{name} {_what_is_wrong(values)}") from error
    if array.dtype == object:
        array = _from_objects(array)
    if array.dtype.kind not in _REAL + _COMPLEX + "O":
        raise ValueError(f"{name} holds values of type {array.dtype}; give numbers.")
    return array


def as_numbers(values, name, missing=np.nan):
    """Return numbers in double precision, whatever they came in, as `as_array` takes them.

    They are float64 or complex128, in rows (C order); an array of this kind is not copied.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim._arrays import as_numbers
    >>> as_numbers(np.array([100], dtype=np.int8), "X") ** 2
    array([10000.])
    """
    array = as_array(values, name, missing)
    kind = np.complex128 if array.dtype.kind == _COMPLEX else np.float64
    try:
        # In one memory order, because sums depend on it in the last digit.
        return array.astype(kind, order="C", copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        found = "holds an object" if array.ndim else "is an object"
        kind = type(next(value for value in array.flat if not _is_number(value)))
        raise TypeError(f"{name} {found} of type {kind.__name__}; give numbers.") from error


def as_reals(values, name, missing=np.nan):
    """Return real numbers as float64, as `as_numbers` does; refuse complex ones."""
    array = as_numbers(values, name, missing)
    if array.dtype.kind == _COMPLEX:
        raise ValueError(f"{COMPLEX_TARGET}: {name} is complex; give reals.")
    return array


def as_settings(values, name):
    """Return what was set for an acquisition as a float64 copy; refuse True and False."""
    if as_array(values, name).dtype == bool:
        raise ValueError(f"{name} holds values of type bool; give numbers.")
    return as_reals(values, name).copy()


def is_complex(values):
    """Return whether values are complex numbers; they may be anything, such as labels."""
    try:
        return as_array(values, "values").dtype.kind == _COMPLEX
    except (TypeError, ValueError):
        return False


def is_frame(values):
    """Return whether values are a data frame, whose columns have names."""
    return hasattr(values, "columns") and hasattr(values, "to_numpy")


def in_order(values, names, what):
    """Return a data frame with its columns in an order, and anything else as it is.

    Parameters
    ----------
    values : data frame or other array-like
        Numbers.
    names : sequence of str or None
        The columns that a data frame must have; None allows any.
    what : str
        What messages call the values.

    Returns
    -------
    data frame or other array-like
        The same numbers.

    Raises
    ------
    ValueError
        If a data frame has other columns, or one of them twice.
    """
    if names is None or not is_frame(values):
        return values
    columns, names = list(values.columns), list(names)
    if len(columns) != len(names) or set(columns) != set(names):
        found = ", ".join(map(str, columns)) or "no columns"
        raise ValueError(
            f"{what} is a data frame with {found}; give the columns "
            f"{', '.join(map(str, names))}, in any order."
        )
    return values[names]


def as_theta(theta, names):
    """Return parameters as float64 in the order of `names`; a vector is one sample."""
    return np.atleast_2d(as_reals(in_order(theta, names, "theta"), "theta"))


def _filled(values, missing):
    """Return a masked array without its mask; integers become floats that can be NaN."""
    return values.astype(np.result_type(values.dtype, np.float16)).filled(missing)


def _what_is_wrong(values):
    """Return what follows the name of values that NumPy cannot make an array of."""
    if hasattr(values, "detach"):
        return (
            "is a tensor with a gradient, or on another device; give its numbers, "
            ".detach().cpu().numpy()."
        )
    if isinstance(values, list | tuple):
        return "is ragged: its rows differ in length; give a rectangular array of numbers."
    return f"is an object of type {type(values).__name__}; give an array of numbers."


def _is_number(value):
    try:
        float(value)
        return True
    except (TypeError, ValueError, OverflowError):
        return False


def _from_frame(values):
    """Return the array of a data frame or a column, with missing values as NaN."""
    try:
        return values.to_numpy(na_value=np.nan)
    except TypeError:
        return values.to_numpy()


def _from_objects(array):
    """Return numbers that came as Python objects as complex ones, if some are."""
    kinds = {type(value) for value in array.ravel()}
    if any(issubclass(kind, str | bytes) for kind in kinds):
        return array.astype(str)
    if any(issubclass(kind, complex | np.complexfloating) for kind in kinds):
        return array.astype(np.complex128)
    return array
