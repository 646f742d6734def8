"""Bad and unusual inputs of everything public: one table of rows, and one test.

A new function is a `Subject` in one of the files `of_*.py`: a call, arguments that are
right, and values of them that are not. Every array among the arguments is then tried in all
kinds of `kinds.py`.
"""

import warnings

import pytest

from crbestim.models import MonoExponential
from tests.bad_inputs import (
    of_bounds,
    of_constructors,
    of_data,
    of_estimators,
    of_images,
    of_measures,
    of_models,
    of_options,
    of_transformers,
)
from tests.bad_inputs.judge import Refused
from tests.bad_inputs.lab import Lab

AREAS = (
    of_models,
    of_constructors,
    of_bounds,
    of_measures,
    of_data,
    of_transformers,
    of_estimators,
    of_options,
    of_images,
)
LAB = Lab()


def table():
    """Return all rows, in lists: those of an argument of a function make a test."""
    tests = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for area in AREAS:
            rows = [row for subject in area.SUBJECTS for row in subject.rows(LAB)]
            for row in rows + area.ROWS:
                tests.setdefault(f"{row.subject}-{row.argument}", []).append(row)
    return tests


TABLE = table()


@pytest.mark.parametrize("name", TABLE)
def test_inputs_give_their_value_or_a_clear_error(name):
    wrong = [f"{row.input}: {text}" for row in TABLE[name] if (text := row.judge(LAB))]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(TABLE[name])} inputs:", *wrong])


def test_table_is_not_small():
    assert sum(map(len, TABLE.values())) > 3000


def test_errors_of_others_are_not_clear():
    refused = Refused("te")
    assert refused.judge(lambda lab: lab.mono.te, LAB).startswith("is not refused")
    assert "comes from" in refused.judge(lambda lab: float("te"), LAB)
    assert "does not say" in Refused("b1").judge(lambda lab: MonoExponential([]), LAB)
    assert refused.judge(lambda lab: MonoExponential([]), LAB) == ""
