"""
Everybody's estimator on one scale
==================================

The Cramér-Rao bound is an absolute scale: any estimator can be placed on it, whoever wrote
it. Here least squares of the library stand beside two plain functions, a segmented and a
linear fit of intravoxel incoherent motion (IVIM), and beside published results, if there
are some: means and standard deviations over the noise are enough.

``--data FOLDER`` compares 19 published algorithms: the folder holds
``osipi_reference_output.csv`` and ``osipi_b_values.json`` of the collection of the OSIPI
task force 2.4 (https://github.com/OSIPI/TF2.4_IVIM-MRI_CodeCollection).
"""

import argparse
import csv
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator
from measurements import by_estimator

from crbestim import NLLSRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.inspection import EfficiencyDisplay
from crbestim.metrics import compare_estimators
from crbestim.models import IntravoxelIncoherentMotion

parser = argparse.ArgumentParser(
    description="Estimators of IVIM on the scale of the bound."
)
parser.add_argument("--data", type=Path, help="folder of published results")
parser.add_argument("--realizations", type=int, default=300, help="noise realizations")
parser.add_argument("--output", type=Path, default=Path("ivim"), help="for pictures")
arguments, _ = parser.parse_known_args()

# %%
# Tissues and noise
# -----------------
#
# Eighteen b-values from 0 to 1000 s/mm². Without published results the tissues are all
# combinations of two values of each parameter.

levels, columns = [30, 50, 100], {"f": 1.0, "D": 1e-6, "Dp": 1e-6}
b = 1e6 * np.array(
    [0, 1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 250, 350, 400, 550, 700, 850, 1000]
)
published = {}
if arguments.data is None:
    values = np.meshgrid([0.15, 0.3], [1e-9, 1.6e-9], [2e-8, 4e-8], [1.0])
    theta = np.stack([value.ravel() for value in values], axis=1)
else:
    b = 1e6 * np.array(
        json.loads((arguments.data / "osipi_b_values.json").read_text())["original"]
    )
    with open(arguments.data / "osipi_reference_output.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["SNR"]) in levels]


def numbers(row, suffix=""):
    """Return f, D and D* of a row of the file in SI units, and S0."""
    amplitude = np.nan if suffix else 1.0
    return *(unit * float(row[c + suffix]) for c, unit in columns.items()), amplitude


# %%
# A bound says little of a parameter that the data hardly determine: estimates then end at
# the limits of a search. Tissues count here whose bounds at signal-to-noise ratio (SNR) 50
# are below a third of each parameter; of tissues with equal values one does.

model = IntravoxelIncoherentMotion(b, noise="rician")
if arguments.data is not None:
    truth = {numbers(row): row["Region"] for row in rows}
    theta = np.array([t for t in truth if 0 < t[0] < 1])
    relative = np.sqrt(cramer_rao_bound(model, theta, noise_std=1 / 50)) / theta
    theta = theta[(relative < 1 / 3).all(axis=1)]
    regions = [truth[tuple(row)] for row in theta]
    print(f"{len(theta)} tissues: {', '.join(regions)}")
    shape = len(levels), len(theta), model.n_parameters
    for row in rows:
        if row["Region"] in regions:
            place = levels.index(int(row["SNR"])), regions.index(row["Region"])
            mean, std, _ = published.setdefault(
                row["Algorithm"], (np.full(shape, np.nan), np.full(shape, np.nan), 300)
            )
            mean[place], std[place] = numbers(row, "_mu"), numbers(row, "_std")

# %%
# Fits as functions
# -----------------
#
# Anything that makes estimates of signals can be compared. A segmented fit takes D from
# high b-values, where blood no longer counts, f from what is missing at b = 0, and only D*
# from all samples. A linear fit takes D* from a line, too.


def line(x, y):
    """Return slope and intercept of lines through the rows of y."""
    slope = ((x - x.mean()) * (y - y.mean(axis=1, keepdims=True))).sum(axis=1)
    slope /= ((x - x.mean()) ** 2).sum()
    return slope, y.mean(axis=1) - slope * x.mean()


def tissue(X):
    """Return S0, f, D and the signal of tissue from high b-values."""
    high = b >= 150e6
    slope, intercept = line(b[high], np.log(np.maximum(X[:, high], 1e-6)))
    s0 = X[:, b <= 1e6].mean(axis=1)
    return (
        s0,
        1 - np.exp(intercept) / s0,
        -slope,
        np.exp(intercept[:, None] + slope[:, None] * b),
    )


def segmented(X):
    """Fit D and f to high b-values, and then D* to all."""
    s0, f, D, signal = tissue(X)
    candidates = np.geomspace(4e-9, 3e-7, 400)
    decays = np.exp(-candidates[:, None] * b)
    rest = X - signal
    # The squares of rest - s0 f decay, but for what does not depend on D*.
    square = (s0 * f)[:, None] ** 2 * (decays**2).sum(axis=1) - 2 * (s0 * f)[:, None] * (
        rest @ decays.T
    )
    return np.stack([f, D, candidates[square.argmin(axis=1)], s0], axis=1)


def linear(X):
    """Fit lines to the logarithms of high and of low b-values."""
    s0, f, D, signal = tissue(X)
    low = b <= 50e6
    slope, _ = line(b[low], np.log(np.maximum((X - signal)[:, low], 1e-3)))
    return np.stack([f, D, -slope, s0], axis=1)


least_squares = NLLSRegressor(model).fit(model.signal(theta))
estimators = {
    "least squares of the library": lambda X: least_squares.predict(X),
    "segmented fit": segmented,
    "linear fit": linear,
}

# %%
# One table
# ---------
#
# Losses of f, D and D* with their Monte Carlo standard errors: 1 for an efficient unbiased
# estimator. Published standard deviations are those of 300 realizations. The collection
# does not say which noise these had; its generator adds Gaussian noise to a real signal and
# takes the magnitude, unless it is told to draw Rician noise. That matters little here: for
# the tissues shown, the bound of Rician noise is at most 4.5 % above that of Gaussian noise
# at SNR 30, 1.5 % at 50 and 0.4 % at 100.

tables = compare_estimators(
    estimators,
    model,
    theta,
    levels,
    arguments.realizations,
    random_state=0,
    published=published,
    standard_errors=True,
)
measures = by_estimator(tables)
shown = model.parameter_names[:3]
for snr in levels:
    print(f"\nSNR {snr:<28}" + "".join(f"{f'loss of {name}':>20}" for name in shown))
    for name, table in measures.items():
        rows = [(table["snr"] == snr) & (table["parameter"] == p) for p in shown]
        cells = [(table["crb_loss"][r][0], table["crb_loss_se"][r][0]) for r in rows]
        print(f"{name:32}" + "".join(f"{v:12.3g} ± {e:5.2g}" for v, e in cells))

# %%
# Variance and bias
# -----------------
#
# The two parts of the loss at SNR 50, bias in gray. Bars that end at the line are
# efficient; orange ones are fits that ran here, blue ones published.

order = sorted(
    measures, key=lambda n: -measures[n]["crb_loss"][measures[n]["snr"] == 50][0]
)
figure, axes = plt.subplots(
    1, 3, figsize=(11, 1.2 + 0.27 * len(order)), sharey=True, layout="constrained"
)
for axis, parameter in zip(axes, model.parameters, strict=False):
    for place, name in enumerate(order):
        table = measures[name]
        row = (table["snr"] == 50) & (table["parameter"] == parameter.name)
        variance, loss = table["variance_ratio"][row][0], table["crb_loss"][row][0]
        ours = "tab:orange" if name in estimators else "tab:blue"
        axis.barh(place, loss, color="0.75")
        axis.barh(place, variance, color=ours)
    axis.axvline(1, color="black", lw=0.8)
    axis.set(xscale="log", xlim=(0.3, None), xlabel="error² / bound")
    axis.set_title(f"${parameter.symbol}$")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
axes[0].set_yticks(range(len(order)), order)
arguments.output.mkdir(parents=True, exist_ok=True)
figure.savefig(arguments.output / "algorithms.png", dpi=120)

# %%
# Over the range of a parameter
# -----------------------------
#
# Where does the segmented fit lose? Spread and bias over the range of each parameter, of
# tissues drawn at random.

rng = np.random.default_rng(1)
low, high = [0.1, 0.8e-9, 1.5e-8, 1.0], [0.4, 2e-9, 5e-8, 1.0]
drawn = low + (np.array(high) - low) * rng.random((300, 4))
display = None
for name in ("least squares of the library", "segmented fit"):
    display = EfficiencyDisplay.from_estimator(
        estimators[name],
        model,
        drawn,
        50,
        random_state=0,
        name=name.removesuffix(" of the library"),
        ax=None if display is None else display.axes_,
    )
display.figure_.savefig(arguments.output / "ranges.png", dpi=120)
plt.show()
