"""Report of a phantom: estimates of each sphere beside reference values and the bound."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .._arrays import as_reals
from .._optional import import_optional
from .._options import check_flag
from .._warnings import warn
from ._references import REFERENCES, reference_values

_MILLI = 1000.0
# Logarithm of a factor off the reference that may be told.
_WRONG = 0.2
COLUMNS = {
    "parameter": "name",
    "sphere": "label in the image of regions",
    "n_voxels": "voxels with an estimate in all repetitions",
    "reference": "reference value, in s",
    "mean": "mean over voxels and repetitions, in s",
    "bias": "mean minus reference, in s",
    "bias_percent": "the same, in percent of the reference",
    "sd": "standard deviation over the voxels of a repetition, in s",
    "bound": "standard deviation that the bound predicts, in s",
    "sd_over_bound": "ratio of these: 1 for noise alone and an efficient estimate",
    "sd_between": "repeatability: standard deviation of a voxel between repetitions, in s",
    "sd_between_over_bound": "its ratio to the bound",
    "sd_of_means": "standard deviation of the mean between repetitions, in s",
}


@dataclass(frozen=True, eq=False)
class PhantomReport:
    """Estimates in the spheres of a phantom, from :func:`phantom_report`.

    Attributes
    ----------
    table : dict of ndarray
        Columns by name, one row for each sphere and parameter; NaN for what is not known,
        such as repeatability from one image.
    n_repetitions : int
        Number of repetitions.
    """

    table: dict
    n_repetitions: int

    def rows(self):
        """Return the rows of the table.

        Returns
        -------
        list of dict
            One for each sphere and parameter.
        """
        values = (column.tolist() for column in self.table.values())
        return [
            dict(zip(self.table, row, strict=True)) for row in zip(*values, strict=True)
        ]

    def to_csv(self, path):
        """Write the table.

        Parameters
        ----------
        path : path
            Name of the file.
        """
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.table)
            writer.writeheader()
            for row in self.rows():
                writer.writerow({k: _text(v) for k, v in row.items()})

    def plot(self):
        """Draw bias and standard deviations over the reference, a row for each parameter.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.
        """
        figures = import_optional("matplotlib.figure", "The figure of a report", "plot")
        names = list(dict.fromkeys(self.table["parameter"].tolist()))
        figure = figures.Figure(figsize=(9, 3.6 * len(names)), layout="constrained")
        axes = figure.subplots(len(names), 2, squeeze=False)
        for (left, right), name in zip(axes, names, strict=True):
            self._draw(left, right, name)
        return figure

    def _draw(self, left, right, name):
        rows = self.table["parameter"] == name
        column = {k: v[rows] for k, v in self.table.items()}
        ms = _MILLI * column["reference"]
        percent = 100 * column["sd"] / column["reference"]
        left.axhline(0, color="0.7", lw=1)
        left.errorbar(ms, column["bias_percent"], percent, fmt="o", ms=4, capsize=2)
        left.set(
            xscale="log", xlabel=f"reference {name} (ms)", ylabel=f"bias of {name} (%)"
        )
        left.set_title("mean of each sphere; bars: sd over voxels", fontsize="medium")
        labels = {"sd_over_bound": "over voxels", "sd_between_over_bound": "repetitions"}
        labels = {
            key: label for key, label in labels.items() if np.isfinite(column[key]).any()
        }
        if not labels:
            right.text(0.5, 0.5, "no standard deviations given", ha="center")
            right.set_axis_off()
            return
        right.axhline(1, color="0.7", lw=1)
        for key, label in labels.items():
            right.plot(ms, column[key], "o", ms=4, label=label)
        right.set(xscale="log", xlabel=f"reference {name} (ms)", ylabel="sd over the bound")
        right.set_ylim(0, None)
        right.legend(frameon=False)


def phantom_report(maps, rois, reference="nist-mncl2-3T", *, std=None, descending=None):
    """Compare maps of a phantom with reference values and with the bound.

    Parameters
    ----------
    maps : dict of array-like
        Maps by the name of the parameter, T1 or T2, in s: of the shape of `rois`, or of
        several repetitions, (n_repetitions, ...). Voxels without estimate are NaN.
    rois : array-like of int
        Number of the sphere of each voxel, from 1 on; 0 elsewhere.
    reference : str, path or dict, default="nist-mncl2-3T"
        Reference values, from the shortest on: those of the NIST/ISMRM system phantom,
        "nist-mncl2-3T", "nist-nicl2-3T", "nist-mncl2-1.5T" or "nist-nicl2-1.5T" (Stupic et
        al., MRM 2021, doi 10.1002/mrm.28779); a CSV file with the columns T1 and T2; or a
        dict of values by name.
    std : dict of array-like, default=None
        Standard deviations that the bound predicts, as `predict` returns them, shaped like
        the maps.
    descending : bool, default=None
        Whether sphere 1 has the longest times, as on the phantom itself, and not the
        shortest. By default the shortest; if the other order fits better, that is an error.

    Returns
    -------
    PhantomReport
        A table, which can be written and drawn.

    Raises
    ------
    ValueError
        If shapes, labels or names do not fit, or maps are in another unit.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.io import phantom_report
    >>> rois = np.array([0, 1, 1, 2, 2])
    >>> t2 = np.array([9.0, 0.05, 0.052, 0.099, 0.1])
    >>> report = phantom_report({"T2": t2}, rois, {"T2": [0.05, 0.1]})
    >>> report.table["bias_percent"].round(2)
    array([ 2. , -0.5])
    """
    rois, values = _labels(rois), reference_values(reference)
    if descending is not None:
        check_flag("descending", descending)
    for what, given in (("maps", maps), ("std", {} if std is None else std)):
        if not isinstance(given, Mapping):
            raise TypeError(f"{what} is {type(given).__name__}; give a dict by name.")
    std = dict(std or {})
    if not maps:
        raise ValueError("maps is empty; give a map of T1 or T2.")
    for name in [*maps, *std]:
        if name not in values or name not in maps:
            raise ValueError(
                f"{name} is not both in maps and in the reference, which has "
                f"{', '.join(values)}."
            )
    rows, n_repetitions = [], 1
    for name, given in maps.items():
        stack = _stack(given, rois, name)
        deviations = None
        if std.get(name) is not None:
            deviations = _stack(std[name], rois, f"std of {name}")
            if deviations.shape != stack.shape:
                raise ValueError(f"std of {name} is not shaped like the map of {name}.")
        truth = values[name]
        if descending:
            truth = truth[::-1]
        n_repetitions = max(n_repetitions, len(stack))
        part = [
            _row(name, k, truth, stack, deviations, rois) for k in _spheres(rois, truth)
        ]
        _check(part, truth, name, descending)
        rows += part
    table = {column: np.array([row[column] for row in rows]) for column in COLUMNS}
    return PhantomReport(table, n_repetitions)


def _labels(rois):
    """Return the sphere of each voxel."""
    rois = np.nan_to_num(as_reals(rois, "rois"))
    if not rois.any() or (rois < 0).any() or (rois != np.round(rois)).any():
        raise ValueError("rois must hold whole numbers: 0, and 1 and more in spheres.")
    return rois.astype(int)


def _spheres(rois, truth):
    """Return the labels that there are."""
    found = np.unique(rois[rois > 0])
    if found[-1] > len(truth):
        raise ValueError(
            f"rois has a sphere {found[-1]}, and the reference has {len(truth)}."
        )
    return found


def _stack(values, rois, name):
    """Return repetitions of a map, (n_repetitions, ...)."""
    values = as_reals(values, name)
    values = values[None] if values.ndim == rois.ndim else values
    if values.shape[1:] != rois.shape or not len(values):
        raise ValueError(
            f"{name} has shape {values.shape}; give that of rois, {rois.shape}, or "
            "repetitions of it, on the first axis."
        )
    return values


def _row(name, sphere, truth, stack, deviations, rois):
    """Return the row of a sphere."""
    inside, reference = stack[:, rois == sphere], truth[sphere - 1]
    usable = np.isfinite(inside).all(axis=0)
    inside, n = inside[:, usable], int(usable.sum())
    row = dict.fromkeys(COLUMNS, np.nan)
    row |= dict(parameter=name, sphere=int(sphere), n_voxels=n, reference=reference)
    if not n:
        return row
    mean = inside.mean()
    bias = mean - reference
    row |= dict(mean=mean, bias=bias, bias_percent=100 * bias / reference)
    if n > 1:
        row["sd"] = np.sqrt(inside.var(axis=1, ddof=1).mean())
    if len(inside) > 1:
        row["sd_between"] = np.sqrt(inside.var(axis=0, ddof=1).mean())
        row["sd_of_means"] = inside.mean(axis=1).std(ddof=1)
    if deviations is not None:
        bound = np.sqrt(np.mean(deviations[:, rois == sphere][:, usable] ** 2))
        row["bound"] = bound
        if bound > 0:
            row["sd_over_bound"] = row["sd"] / bound
            row["sd_between_over_bound"] = row["sd_between"] / bound
    return row


def _check(rows, truth, name, descending):
    """Refuse milliseconds, and spheres that are numbered the other way round."""
    means = np.array([row["mean"] for row in rows])
    places = np.array([row["sphere"] for row in rows]) - 1
    there = np.isfinite(means) & (means > 0)
    if not there.any():
        raise ValueError(f"{name} has no estimate in any sphere.")
    means, places = means[there], places[there]
    if np.median(means / truth[places]) > _MILLI / 10:
        raise ValueError(f"{name} looks like milliseconds; give the map in s.")
    as_given, turned = (
        np.abs(np.log(means / values[places])).mean() for values in (truth, truth[::-1])
    )
    if descending is None and turned < as_given:
        raise ValueError(
            f"{name} fits the reference better with spheres counted from the longest time; "
            "give descending=True if they are, or False to insist."
        )
    _warn_of_reference(means, places, truth, name)


def _warn_of_reference(means, places, truth, name):
    """Warn if the values of another array or field strength fit much better."""
    off = np.median(np.abs(np.log(means / truth[places])))
    turn = 1 if truth[0] <= truth[-1] else -1
    others = {
        other: np.median(np.abs(np.log(means / np.array(values[name])[::turn][places])))
        for other, values in REFERENCES.items()
        if name in values and len(values[name]) > places.max()
    }
    best = min(others, key=others.get, default=None)
    if off > _WRONG and best is not None and others[best] < off / 3:
        warn(
            f"{name} is off by a factor of {np.exp(off):.3g} in the median sphere, and by "
            f"{np.exp(others[best]):.3g} from the values of {best}: check the reference",
            UserWarning,
            stacklevel=4,
        )


def _text(value):
    """Return a number for a table: nothing where it is not known."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value
