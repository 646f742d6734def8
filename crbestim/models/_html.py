"""A table of a model's parameters for notebooks."""

from html import escape
from math import inf, isfinite

_NAMES = "parameter", "unit", "low", "high", ""
_STYLE = "text-align: left"


def parameter_table(model):
    """Return names, units and bounds of the parameters of a model as HTML.

    Parameters
    ----------
    model : SignalModel
        The model.

    Returns
    -------
    str
        A table, with its text escaped; constants are in its caption, and parameters that
        are given with each sample are said to be so. Nothing is simulated for it, as that
        may take a while.
    """
    rows = [_row(p, _remark(p, model)) for p in model.parameters]
    rows += [_row(p, "given with each sample") for p in model.known_parameters]
    caption = f'<caption style="{_STYLE}">{escape(str(model))}</caption>'
    head = _cells(*_NAMES, kind="th")
    return f"<table>{caption}<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _remark(parameter, model):
    """Return what else there is to say of a parameter."""
    if parameter.name == model.amplitude:
        return "amplitude"
    return f"period {parameter.period:g}" if isfinite(parameter.period) else ""


def _row(parameter, remark):
    """Return the row of a parameter."""
    unit = "" if parameter.unit == "1" else parameter.unit
    return _cells(parameter.name, unit, *map(_number, parameter.bounds), remark)


def _number(value):
    """Return a bound as text."""
    return {inf: "∞", -inf: "-∞"}.get(value, f"{value:g}")


def _cells(*texts, kind="td"):
    """Return a row of cells."""
    cells = [f'<{kind} style="{_STYLE}">{escape(text)}</{kind}>' for text in texts]
    return f"<tr>{''.join(cells)}</tr>"
