"""
All estimators on one test set
==============================

A dictionary, least squares, a network, and a step of Fisher scoring from the estimates of
the network and of the dictionary: how much of the attainable precision each of them
reaches, and how many voxels it maps per second.

``--data FOLDER`` uses a measured sequence and basis in place of the library's own.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from measurements import by_estimator, load_model, print_table
from sklearn.frozen import FrozenEstimator

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.datasets import make_fingerprints
from crbestim.metrics import compare_estimators

parser = argparse.ArgumentParser(description="All estimators on one test set.")
parser.add_argument("--data", type=Path, help="folder of a sequence and a basis")
parser.add_argument("--samples", type=int, default=20_000, help="training fingerprints")
parser.add_argument("--epochs", type=int, default=40, help="epochs of the network")
parser.add_argument("--test", type=int, default=150, help="test fingerprints")
parser.add_argument("--output", type=Path, default=Path("comparison"), help="for pictures")
arguments, _ = parser.parse_known_args()
start = time.perf_counter()


def report(message):
    """Print a message with the time since the start."""
    print(f"[{time.perf_counter() - start:5.0f} s] {message}", flush=True)


# %%
# The estimators
# --------------
#
# All learn from the same fingerprints: they are the entries of the dictionary, the training
# set of the network and the prior of the steps. Least squares has no prior; it starts, as
# the steps do, from interpolated matches of the dictionary. ``FrozenEstimator`` keeps a
# fitted estimator from being fitted again.

model = load_model(arguments.data)
X, y, crb = make_fingerprints(
    model, arguments.samples, snr=(50, 400), return_crb=True, random_state=0
)
report(f"{len(X)} fingerprints of {X.shape[1]} coefficients")
epochs = dict(max_iter=arguments.epochs, n_iter_no_change=arguments.epochs)
network = CRBRegressor(model, n_jobs=2, random_state=0, **epochs).fit(X, y, crb=crb)
report("network trained")
dictionary = DictionaryRegressor(model).fit(X, y)
interpolated = DictionaryRegressor(model, n_neighbors=20, interpolate=True).fit(X, y)
estimators = {
    "dictionary": dictionary,
    "dictionary, interpolated": interpolated,
    "interpolated + step": OneStepRegressor(FrozenEstimator(interpolated), model).fit(X, y),
    "least squares": NLLSRegressor(model, initial=FrozenEstimator(interpolated)).fit(X, y),
    "network": network,
    "network + step": OneStepRegressor(FrozenEstimator(network), model).fit(X, y),
}

# %%
# What they reach
# ---------------
#
# All see the same noisy signals of fingerprints that none has learned from, at two
# signal-to-noise ratios (SNR). The mean, the CRB loss, is dominated by rare fingerprints,
# mostly fluid, whose bounds are tiny and whose fits have many minima along omega0. The
# median shows the error of a typical voxel, and the share of errors beyond five standard
# deviations how rare the others are. Speeds are those of one process on the machine that
# ran this, in calls so large that their fixed cost does not count; the network has two
# threads.

_, theta = make_fingerprints(model, arguments.test, random_state=1)
tables = {}
for snr in (100, 400):
    table = compare_estimators(estimators, model, theta, snr, random_state=2)
    print(f"\nSNR {snr}, {len(theta)} fingerprints x 8")
    print_table(table)
    tables[snr] = by_estimator(table)
    report("table done")

# %%
# Efficiency of each parameter
# ----------------------------
#
# Bars show the typical efficiency, one over the median ratio, and black lines the mean one,
# one over the CRB loss. An efficient unbiased estimator has an efficiency of one. More than
# one is possible: the bound is for unbiased estimators, and an estimator that knows which
# values are common, or stays inside bounds, errs less where the data say little.

palette = "#a6cee3", "#62a5d1", "#1f5fa0", "#8a8a8a", "#fb9a99", "#c8102e"
colours = dict(zip(estimators, palette, strict=True))


def draw_bars(axis, table):
    """Draw the efficiency of each parameter: bars for the median, lines for the mean."""
    width = 0.8 / len(table)
    for i, (name, measures) in enumerate(table.items()):
        typical, mean = 1 / measures["median_ratio"], 1 / measures["crb_loss"]
        x = np.arange(len(typical)) + (i - (len(table) - 1) / 2) * width
        axis.bar(x, typical - 1, width, bottom=1, color=colours[name], label=name)
        axis.hlines(mean, x - width / 2, x + width / 2, "black", lw=1.5)
    axis.axhline(1, color="black", lw=0.8)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xticks(range(len(model.parameter_names)), model.parameter_names)
    axis.tick_params(axis="x", length=0)
    axis.set_ylabel("efficiency")


figure, axes = plt.subplots(2, figsize=(10, 7.5), sharey=True, layout="constrained")
for axis, (snr, table) in zip(axes, tables.items(), strict=True):
    draw_bars(axis, table)
    axis.set_title(f"SNR {snr}", loc="left")
handles, labels = axes[0].get_legend_handles_labels()
handles.append(plt.Line2D([], [], color="black", lw=1.5))
labels.append("mean over all fingerprints")
figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
arguments.output.mkdir(parents=True, exist_ok=True)
figure.savefig(arguments.output / "efficiency.png", dpi=120)

# %%
# Speed and efficiency
# --------------------
#
# The typical efficiency of all parameters, one over the mean of their median ratios.

figure, axes = plt.subplots(
    1, 2, figsize=(10, 4.2), sharex=True, sharey=True, layout="constrained"
)
for axis, (snr, table) in zip(axes, tables.items(), strict=True):
    for name, measures in table.items():
        speed = measures["voxels_per_second"][0]
        typical = 1 / measures["median_ratio"].mean()
        axis.plot(speed, typical, "o", color=colours[name], ms=9, mec="black", label=name)
    axis.axhline(1, color="black", lw=0.8, zorder=0)
    axis.set(xscale="log", yscale="log", xlabel="voxels per second")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_title(f"SNR {snr}", loc="left")
axes[0].set_ylabel("typical efficiency")
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside right center", frameon=False)
figure.savefig(arguments.output / "speed.png", dpi=120)
report(f"pictures saved in {arguments.output}")
plt.show()
