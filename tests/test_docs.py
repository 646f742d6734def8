"""The code that the user guide shows does what the guide says."""

import runpy

import numpy as np
import pytest

from crbestim.metrics import efficiency_score
from tests.conftest import ROOT

GUIDE = ROOT / "docs" / "guide"


@pytest.fixture(scope="module")
def own_model():
    """Return the names of docs/guide/own_model.py after it has run."""
    return runpy.run_path(str(GUIDE / "own_model.py"))


def test_the_ways_to_give_a_model_are_the_same(own_model):
    theta = np.linspace([0.05, 0.01, 0.06], [0.4, 0.03, 0.15], 5)
    exact, derivatives = own_model["analytic"].signal(theta, jacobian=True)
    norm = np.linalg.norm(derivatives, axis=1)
    for name in ("model", "many", "with_units", "compiled", "automatic"):
        s, jacobian = own_model[name].signal(theta, jacobian=True)
        np.testing.assert_allclose(s, exact, rtol=1e-14)
        error = np.linalg.norm(jacobian - derivatives, axis=1) / norm
        # The guide: ten digits of derivatives by differences.
        assert (error < (1e-13 if name == "automatic" else 1e-10)).all(), name


def test_every_estimator_works_with_it(own_model):
    y, crb = own_model["y"][:50], own_model["crb"][:50]
    network, fit, step = own_model["estimates"]
    guess = np.broadcast_to(own_model["y"].mean(axis=0), y.shape)
    efficiency = [efficiency_score(y, e, crb) for e in (guess, network, fit, step)]
    assert efficiency[0] < efficiency[1]
    assert efficiency[1] < efficiency[3]


def test_the_page_shows_all_of_the_code():
    code = (GUIDE / "own_model.py").read_text("utf-8")
    page = (GUIDE / "own_model.rst").read_text("utf-8")
    begun = [line[8:] for line in code.splitlines() if line.startswith("# begin ")]
    for name in begun:
        assert f"# end {name}\n" in code
        assert f":start-after: # begin {name}\n   :end-before: # end {name}\n" in page
