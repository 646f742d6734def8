"""The table of parameters that notebooks show of a model."""

from xml.etree import ElementTree

import numpy as np

from crbestim.models import FunctionModel, MonoExponential, MultiEchoSpinEcho, SignalModel


def rows(model):
    """Return the texts of the body of a model's table, and its caption."""
    table = ElementTree.fromstring(model._repr_html_())
    body = [[cell.text or "" for cell in row] for row in table.iter("tr")]
    return body[1:], table.find("caption").text


def test_parameters_have_units_and_bounds():
    model = MonoExponential([0.01, 0.02], signal="magnitude")
    table, caption = rows(model)
    low, high = (f"{bound:g}" for bound in model.bounds[0])
    assert table == [["T2", "s", low, high, ""], ["M0", "", "0", "∞", "amplitude"]]
    assert caption == str(model)


def test_given_parameters_are_said_to_be_so():
    model = MultiEchoSpinEcho(0.01 * np.arange(1, 5), t1=None, signal="magnitude")
    table, caption = rows(model.fix(T1=1.2).given("B1"))
    remarks = {row[0]: row[-1] for row in table}
    assert remarks == {"T2": "", "M0": "amplitude", "B1": "given with each sample"}
    assert "fix(T1=1.2)" in caption


def test_every_model_has_a_table(model):
    table, _ = rows(model)
    assert [row[0] for row in table][: model.n_parameters] == [*model.parameter_names]


def test_text_is_escaped():
    model = FunctionModel(lambda theta: theta * np.ones(3), ["<b>&a"], [(0.0, 1.0)])
    assert rows(model)[0][0][0] == "<b>&a"
    assert "<b>" not in model._repr_html_()


def test_nothing_is_simulated():
    class Slow(SignalModel):
        parameter_names = ("a", "b")
        bounds = ((0.0, 1.0), (0.0, 1.0))

        def signal(self, theta):
            raise AssertionError("the table has simulated a signal")

    assert len(rows(Slow())[0]) == 2
