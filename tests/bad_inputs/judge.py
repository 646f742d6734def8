"""What may come of a call: a value, an error that is clear, or NaN where it belongs."""

import dataclasses
import re
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

import crbestim

PACKAGE = Path(crbestim.__file__).parent

# Words of NumPy, pandas, torch and Python, which do not say what the user gave.
FOREIGN = re.compile(
    r"could not convert|inhomogeneous|ufunc|has no attribute|truth value|only length-1|"
    r"unpack|float\(\) argument|int\(\) argument|broadcast|[Cc]annot cast|not implemented|"
    r"unsupported operand|setting an array element|must be real number|not iterable|"
    r"not subscriptable|not callable|has no len|unsized|not supported between|unhashable|"
    r"out of bounds for axis|too many indices|cannot be interpreted as|bad operand|"
    r"expected str instance|einstein|must be an iterable|positional argument"
)


class Refused(NamedTuple):
    """An error of ours, or of scikit-learn's checks, that names the argument.

    `names` is a pattern, the words of which one is in the error.
    """

    names: str

    def judge(self, call, lab):
        """Return what is wrong with the call, or nothing."""
        outcome, error = attempt(call, lab)
        if error is None:
            return f"is not refused: {brief(outcome)}"
        return unclear(error, self.names)


class Like(NamedTuple):
    """The value of a plain call; where that raises a clear error, such an error.

    With `may_be_refused` a clear error will always do.
    """

    plain: object
    names: str
    may_be_refused: bool = False

    def judge(self, call, lab):
        """Return what is wrong with the call, or nothing."""
        outcome, error = attempt(call, lab)
        if error is not None and (found := unclear(error, self.names)):
            return found
        if error is not None and self.may_be_refused:
            return ""
        wanted, refusal = attempt(self.plain, lab)
        if error is not None:
            return "" if refusal is not None else f"is refused: {error}"
        if refusal is not None:
            return f"its meaning is refused, {refusal}, but it gives {brief(outcome)}"
        return difference(outcome, wanted)


class Flagged(NamedTuple):
    """The value of a plain call, but NaN in some rows; one warning, if it has a text."""

    plain: object
    rows: object
    warning: str = ""

    def judge(self, call, lab):
        """Return what is wrong with the call, or nothing."""
        with warnings.catch_warnings(record=True) as told:
            outcome, error = attempt(call, lab, "always")
        if error is not None:
            return f"is refused: {error}"
        found = [str(warning.message) for warning in told]
        if self.warning and (len(found) != 1 or not re.search(self.warning, found[0])):
            return f"warns {found}"
        wanted = attempt(self.plain, lab)[0]
        for values in wanted:
            values[self.rows] = np.nan
        return difference(outcome, wanted)


def attempt(call, lab, own="ignore"):
    """Return what a call gives, as arrays, and None; or None and the error.

    Warnings are errors, but for `UserWarning`, which ours are.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter(own, UserWarning)
        try:
            return flat(call(lab)), None
        except Exception as error:
            return None, error


def flat(result):
    """Return a result as a list of arrays."""
    if isinstance(result, tuple | list):
        return [array for part in result for array in flat(part)]
    if dataclasses.is_dataclass(result):
        return flat([getattr(result, f.name) for f in dataclasses.fields(result)])
    return [np.array(result)]


def brief(arrays):
    return " ".join(
        " ".join(np.array2string(a.ravel()[:4], precision=4).split()) for a in arrays
    )


def difference(outcome, wanted):
    """Return how arrays differ from others in shape, type or value, or nothing."""
    message = f"gives {brief(outcome)}; its meaning gives {brief(wanted)}"
    if len(outcome) != len(wanted):
        return message
    for one, other in zip(outcome, wanted, strict=True):
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            kinds = f"{one.shape} {one.dtype}, {other.shape} {other.dtype}"
            return f"{message} ({kinds})"
        is_number = one.dtype.kind in "fc"
        options = {"rtol": 1e-9, "atol": 0.0, "equal_nan": True}
        if not (np.allclose(one, other, **options) if is_number else (one == other).all()):
            return message
    return ""


def unclear(error, names):
    """Return an error that is not ours, or does not name what is wrong, or nothing."""
    what = f"{type(error).__name__}: {error}"
    if not isinstance(error, ValueError | TypeError | FileNotFoundError):
        return what
    file = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if "sklearn" in file.parts:
        return ""
    if not file.is_relative_to(PACKAGE):
        return f"{what} comes from {file}"
    if FOREIGN.search(str(error)):
        return what
    named = re.search(rf"(?<![A-Za-z_])({names})(?![A-Za-z_])", str(error))
    return "" if named else f"{what} does not say {names}"
