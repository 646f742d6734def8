"""Every model of the library is in the lists of models: of the tests, and of the guide."""

import re

import pytest

from crbestim import models
from crbestim.models import FunctionModel, ModelView, SignalModel
from tests.conftest import ROOT
from tests.models.conftest import MODELS

LIBRARY = [getattr(models, name) for name in models.__all__]
# Those that simulate a measurement: no view of another model, and no model of a user.
SIMULATING = {
    kind.__name__
    for kind in LIBRARY
    if not issubclass(kind, ModelView | FunctionModel) and kind is not SignalModel
}


def test_every_model_has_a_line_in_the_tests_of_all_models():
    # Functions of torch take long to load.
    made = {type(make()).__name__ for name, make in MODELS.items() if name != "torch"}
    missing = sorted(SIMULATING - made)
    assert not missing, f"give {missing} a line in MODELS of tests/models/conftest.py"


@pytest.mark.parametrize(
    ("place", "entry"),
    [
        ("tests/bad_inputs/of_constructors.py", r'^        "{}",$'),
        ("docs/guide/models.rst", r"^   \* - .*:class:`{}`|^       :class:`{}`"),
        ("docs/guide/design.rst", r"^   .*:class:`~crbestim.models.{}`"),
    ],
)
def test_every_model_has_an_entry(place, entry):
    text = (ROOT / place).read_text("utf-8")
    found = {n for n in SIMULATING if re.search(entry.replace("{}", n), text, re.MULTILINE)}
    missing = sorted(SIMULATING - found)
    assert not missing, f"give {missing} an entry in {place}, as the other models have"
