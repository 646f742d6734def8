"""
The claims of the paper, measured
=================================

What the abstract of Zhang et al. (MRM 2022, doi 10.1002/mrm.29206) claims of networks that
are trained with the CRB loss, beside what is measured here, claim by claim: their loss
converges to about 1, they have less bias than networks trained with the mean squared error
(MSE), their variance is closer to the bound, and their maps align with the literature.

Four networks of one architecture learn from the same fingerprints, in as many steps: with
the loss of the paper, with that of this library, in which outliers count linearly, and with
the MSE of standardized parameters and of parameters in SI units.

The maps are those of a digital phantom, whose truth is known. ``--data FOLDER`` measures it
all for the sequence and the slice of a measured brain instead: the folder holds
``hybrid_state_sequence.npz`` (``alpha``, ``trf``, ``tr``) and ``invivo_slice.npz``
(``coefficients``, ``mask``, ``basis``). Either takes two and a half minutes of CPU time.
:doc:`/guide/paper` says what came out.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from measurements import by_estimator, load_model

from crbestim import CRBRegressor, NLLSRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_brain_phantom, make_fingerprints
from crbestim.inspection import EfficiencyDisplay, MapsDisplay, TrainingDisplay
from crbestim.metrics import compare_estimators
from crbestim.noise import add_noise

parser = argparse.ArgumentParser(description="The claims of the paper, measured.")
parser.add_argument("--data", type=Path, help="folder of measured data")
parser.add_argument("--tissue", action="store_true", help="leave fluid out of the draws")
parser.add_argument("--samples", type=int, default=20_000, help="training fingerprints")
parser.add_argument("--epochs", type=int, default=60, help="epochs of each network")
parser.add_argument("--test", type=int, default=1000, help="test fingerprints")
parser.add_argument("--fits", type=int, default=1000, help="voxels for least squares")
parser.add_argument("--jobs", type=int, default=2, help="networks to train at a time")
parser.add_argument("--output", type=Path, default=Path("crb_mse"), help="for pictures")
arguments, _ = parser.parse_known_args()
start = time.perf_counter()


def report(message):
    """Print a message with the time since the start."""
    print(f"[{time.perf_counter() - start:5.0f} s] {message}", flush=True)


# %%
# Four networks
# -------------
#
# The MSE in SI units is that of standardized parameters with each weighted by its variance.
# It is dominated by omega0, in rad/s. Batches have one size, so that all networks take the
# same number of steps.

report("making the model and its fingerprints")
model, snr = load_model(arguments.data), (20.0, 200.0)
# Fluid is drawn by default only, not if some distributions are given, though none differs.
draws = dict(distributions={} if arguments.tissue else None)
X, y, crb = make_fingerprints(
    model, arguments.samples, snr=snr, return_crb=True, random_state=0, **draws
)
report(f"{len(X)} fingerprints of {X.shape[1]} coefficients")
variance = dict(zip(model.parameter_names, y.var(axis=0), strict=True))
losses = {
    "CRB": dict(loss="crb", huber_threshold=None),
    "CRB, Huber": dict(loss="crb"),
    "MSE, scaled": dict(loss="mse"),
    "MSE, SI units": dict(loss="mse", output_weights=variance),
}


def train(options):
    """Train a network with one of the losses; return it with the CPU time it took."""
    begin = time.process_time()
    pace = dict(max_iter=arguments.epochs, n_iter_no_change=arguments.epochs)
    network = CRBRegressor(model, snr=snr, batch_size=512, random_state=0, **pace)
    network.set_params(**options).fit(X, y, crb=crb)
    return network, time.process_time() - begin


trained = Parallel(n_jobs=arguments.jobs)(delayed(train)(one) for one in losses.values())
networks = {name: pair[0] for name, pair in zip(losses, trained, strict=True)}
seconds = ", ".join(f"{pair[1]:.0f}" for pair in trained)
report(f"four networks trained in {seconds} s of CPU time")

# %%
# Claims 1 to 3: loss, bias and variance
# --------------------------------------
#
# Fresh fingerprints at a signal-to-noise ratio of 100, each with the same 16 draws of noise
# for all networks. The loss is the sum of bias^2/CRB and variance/CRB. A tenth of the
# fingerprints is fluid, whose bounds are so tiny that it dominates a mean over all: tissue
# and fluid stand apart.

_, theta = make_fingerprints(model, arguments.test, random_state=1, **draws)
clean, rng = model.signal(theta), np.random.default_rng(2)
noisy = [add_noise(clean, 100.0, rng) for _ in range(16)]
estimates = {
    name: np.array([network.predict(signals) for signals in noisy])
    for name, network in networks.items()
}
is_fluid = theta[:, model.parameter_names.index("R2f")] < (0 if arguments.tissue else 2)


def measures_of(rows):
    """Return losses and their parts of all networks, with standard errors, in some rows."""
    some = {name: values[:, rows] for name, values in estimates.items()}
    options = dict(estimates=some, standard_errors=True)
    return by_estimator(compare_estimators(None, model, theta[rows], 100.0, **options))


def print_claim(title, measures, column, distance=None):
    """Print a measure with standard errors, and how often the CRB loss does better."""
    print(f"\n{title}\n{'':14}" + "".join(f"{n:>18}" for n in model.parameter_names))
    for name, row in measures.items():
        cells = [f"{value:.3g}" for value in row[column]]
        if f"{column}_se" in row:
            pairs = zip(cells, row[f"{column}_se"], strict=True)
            cells = [f"{cell} ± {error:.1g}" for cell, error in pairs]
        print(f"{name:14}" + "".join(f"{cell:>18}" for cell in cells))
    if distance is not None:
        size = {name: distance(row[column]) for name, row in measures.items()}
        for ours, other in product(list(size)[:2], list(size)[2:]):
            n = (size[ours] < size[other]).sum()
            print(f"  {ours} is better than {other} in {n} of {model.n_parameters}")


print(f"\n{(~is_fluid).sum()} fingerprints of tissue, {is_fluid.sum()} of fluid, SNR 100")
for part, rows in (("tissue", ~is_fluid), ("fluid", is_fluid)):
    if not rows.any():
        continue
    measures = measures_of(rows)
    title = f"Claim 1, the loss converges to about 1. CRB loss, {part}"
    print_claim(title, measures, "crb_loss", np.abs)
    print_claim(f"Median of error^2/CRB, ideally 1, {part}", measures, "median_ratio")
    title = f"Claim 2, less bias. bias^2/CRB, {part}"
    print_claim(title, measures, "bias_ratio", np.abs)
    # A variance of half the bound is as far from it as one of twice the bound.
    title = f"Claim 3, variance closer to the bound. variance/CRB, {part}"
    print_claim(title, measures, "variance_ratio", lambda ratio: np.abs(np.log(ratio)))
report("three claims measured")

# %%
# How the loss converges, of the two networks that minimize it, each over its own loss.

figures = {}
display = TrainingDisplay.from_estimator(networks["CRB"], name="CRB")
TrainingDisplay.from_estimator(networks["CRB, Huber"], name="CRB, Huber", ax=display.ax_)
figures["training"] = display.figure_

# %%
# Bias and spread against the bound, along each parameter, in tissue.

bound, axes = cramer_rao_bound(model, theta[~is_fluid], noise_std=0.01), None
for name, values in estimates.items():
    display = EfficiencyDisplay.from_predictions(
        theta[~is_fluid], values[:, ~is_fluid], bound, model, name=name, ax=axes
    )
    axes = display.axes_
figures["efficiency"] = display.figure_

# %%
# Claim 4: maps
# -------------
#
# Of the phantom, the truth is known. In measured data, least squares fit some voxels, and
# their T1 tells white matter from gray matter, so that none of the networks has a say in
# it. Beside them stands the literature: white and gray matter in vitro at 3 T (Stanisz et
# al., MRM 2005, doi 10.1002/mrm.20605).

LITERATURE = {
    "white matter": dict(m0s=0.139, R1=1 / 1.084, R2f=1 / 0.069),
    "gray matter": dict(m0s=0.050, R1=1 / 1.820, R2f=1 / 0.099),
}
T1_OF_TISSUES = {"white matter": (1.2, 1.6), "gray matter": (1.8, 2.4)}
SHOWN = {"m0s": "m0s", "R1": "T1 (s)", "R2f": "T2f (s)"}


def phantom_voxels():
    """Return voxels of the phantom, its mask, tissues by name and their true values."""
    phantom = make_brain_phantom(model, random_state=0)
    signals = phantom.m0[:, None] * model.signal(phantom.theta)
    tissues = {"white matter": "white matter", "gray matter": "cortex"}
    rows = {name: phantom.select(tissue) for name, tissue in tissues.items()}
    return add_noise(signals, 100.0, rng), phantom.mask, rows, {"truth": phantom.theta}


def measured_voxels():
    """Return voxels of the slice, its mask, tissues by name and what least squares find."""
    with np.load(arguments.data / "invivo_slice.npz") as file:
        mask, voxels = file["mask"], file["coefficients"][file["mask"]]
    chosen = np.random.default_rng(1).choice(len(voxels), arguments.fits, replace=False)
    fits = NLLSRegressor(model).fit(X, y).fit_voxels(voxels[chosen])
    fitted = fits.relative_residual < 0.04
    found = np.full((len(voxels), model.n_parameters), np.nan)
    found[chosen[fitted]] = fits.theta[fitted]
    t1 = 1 / found[:, model.parameter_names.index("R1")]
    rows = {name: (t1 > low) & (t1 < high) for name, (low, high) in T1_OF_TISSUES.items()}
    return voxels, mask, rows, {"least squares": found}


def print_tissues(maps, rows):
    """Print medians and quartiles of each tissue, and what others have measured."""
    for tissue, inside in rows.items():
        print(f"{tissue}, {inside.sum()} voxels".ljust(30), end="")
        print(*(f"{label:<25}" for label in SHOWN.values()))
        for name, values in maps.items():
            some = values[inside][:, [model.parameter_names.index(p) for p in SHOWN]]
            some[:, 1:] = 1 / some[:, 1:]
            quartiles = np.quantile(some, [0.5, 0.25, 0.75], axis=0).T
            cells = ("{:.3f} ({:.3f} to {:.3f})".format(*row) for row in quartiles)
            print(f"  {name:28}", *(f"{cell:<25}" for cell in cells), sep="")
        m0s, *rates = LITERATURE[tissue].values()
        cells = [f"{value:.3f}".ljust(25) for value in (m0s, *(1 / r for r in rates))]
        print(f"  {'Stanisz et al.':28}", *cells, sep="")


if arguments.data is None:
    voxels, mask, rows, reference = phantom_voxels()
else:
    voxels, mask, rows, reference = measured_voxels()
report(f"{len(voxels)} voxels of {X.shape[1]} coefficients")
maps = {name: network.predict(voxels) for name, network in networks.items()} | reference
print("\nClaim 4, maps align with the literature. Medians, quartiles in brackets")
print_tissues(maps, rows)

# %%
# The maps of three parameters, on the same scales.

drawn = {name: values for name, values in maps.items() if name != "least squares"}
figure, grid = plt.subplots(
    len(drawn), len(SHOWN), figsize=(9, 2.5 * len(drawn)), layout="constrained"
)
for row, (name, values) in zip(grid, drawn.items(), strict=True):
    MapsDisplay.from_predictions(values, mask, model, names=list(SHOWN), ax=row)
    row[0].set_ylabel(name)
figures["maps"] = figure
arguments.output.mkdir(parents=True, exist_ok=True)
for name, one in figures.items():
    one.savefig(arguments.output / f"{name}.png", dpi=120)
report(f"pictures saved in {arguments.output}")
plt.show()
