"""Rows of the table: a call with one unusual input, and what may come of it."""

from typing import NamedTuple

import numpy as np

from tests.bad_inputs.judge import Like, Refused, attempt
from tests.bad_inputs.kinds import KINDS, REFUSED, SHAPES, frames

NDARRAY = ("strided", "foreign", "single", "half", "int8", "uint8", "int16")
"""Kinds for arguments that are documented as arrays of NumPy."""
FEW = (
    "foreign",
    "half",
    "int16",
    "masked",
    "nullable",
    "object",
    "strings",
    "dates",
    "sparse",
)
"""Kinds for calls that take their time."""


class Row(NamedTuple):
    """A call, which gets the `Lab`, and what is allowed: Refused, Like or Flagged."""

    subject: str
    argument: str
    input: str
    call: object
    allowed: object

    def judge(self, lab):
        """Return what is wrong, or nothing."""
        return self.allowed.judge(self.call, lab)


class Subject(NamedTuple):
    """A public function, of which every argument is tried; it makes many rows.

    Attributes
    ----------
    id : str
        Its name.
    call : callable
        Takes the `Lab` and the arguments by name, and returns arrays.
    clean : callable
        Takes the `Lab` and returns arguments that are right. Those that are arrays of real
        or complex numbers are tried in every kind of array.
    bad : dict
        For some arguments, values that are refused: a list, or a dict with their names.
    free : dict
        For some arguments, the kinds to which they give a meaning of their own.
    more : dict
        For some arguments, the kinds of `SHAPES` that they refuse, too.
    columns : dict
        For some arguments, the names that data frames have.
    says : dict
        What errors call an argument, if not by its name: alternatives of a pattern.
    only : tuple of str
        The kinds of array to try, by default all.
    arrays : tuple of str
        The arguments to try in them, by default all that are arrays.
    """

    id: str
    call: object
    clean: object
    bad: dict = {}
    free: dict = {}
    more: dict = {}
    columns: dict = {}
    says: dict = {}
    only: tuple = ()
    arrays: tuple | None = None

    def rows(self, lab):
        """Return the rows, a generator."""
        clean = self.clean(lab)
        for argument, value in clean.items():
            if self.arrays is not None and argument not in self.arrays:
                continue
            if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
                yield from self._rows_of_array(argument, clean)
        for argument, values in self.bad.items():
            if not isinstance(values, dict):
                values = {" ".join(repr(value).split()): value for value in values}
            allowed = Refused(self.says.get(argument, argument))
            for name, value in values.items():
                yield Row(self.id, argument, name, self._with(argument, value), allowed)

    def _rows_of_array(self, argument, clean):
        kinds = {k: v for k, v in KINDS.items() if not self.only or k in self.only}
        kinds |= {name: SHAPES[name] for name in self.more.get(argument, ())}
        kinds |= frames(self.columns[argument]) if argument in self.columns else {}
        says, array = self.says.get(argument, argument), clean[argument]
        plain_of_clean = Remembered(self._with(argument, array))
        for name, kind in kinds.items():
            if name in self.free.get(argument, ()) or not kind.applies(array):
                continue
            value, meaning = kind.make(array)
            allowed = Refused(says)
            if meaning is not REFUSED:
                plain = plain_of_clean
                if meaning is not array:
                    plain = self._with(argument, np.array(meaning))
                allowed = Like(plain, says, kind.may_be_refused)
            yield Row(self.id, argument, name, self._with(argument, value), allowed)

    def _with(self, argument, value):
        return lambda lab: self.call(lab, **(self.clean(lab) | {argument: value}))


class Remembered:
    """A call that several rows compare with: it runs once."""

    def __init__(self, call):
        self.call = call

    def __call__(self, lab):
        if self.call is not None:
            self.outcome, self.call = attempt(self.call, lab), None
        outcome, error = self.outcome
        if error is not None:
            raise error
        return outcome


def constant(**arguments):
    """Return a function of the `Lab` that gives these arguments."""
    return lambda lab: arguments


def every_option(id, make, bad, says=None):
    """Return a subject of options: `make` takes the `Lab` and one of them by name."""
    return Subject(id, make, constant(), bad=bad, says=says or {})
