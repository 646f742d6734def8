"""
Quantitative maps of a brain
============================

A network trained with the CRB loss turns complex signals into maps of tissue parameters.
It is compared with the same network trained with the mean squared error of standardized
parameters, on the same fingerprints and for as long, and with nonlinear least squares. All
of it takes two minutes on two cores, and half a minute more the first time, to compile.

By default the brain is a digital phantom, measured with the sequence of the library, with
noise added. ``--data FOLDER`` maps measured data instead: the folder holds
``hybrid_state_sequence.npz`` (``alpha``, ``trf``, ``tr``) and ``invivo_slice.npz``
(``coefficients``, ``mask``, ``basis``).
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from measurements import load_model, print_table

from crbestim import CRBRegressor, NLLSRegressor
from crbestim.datasets import make_brain_phantom, make_fingerprints
from crbestim.inspection import MapsDisplay, TrainingDisplay
from crbestim.metrics import compare_estimators

parser = argparse.ArgumentParser(description="Maps of a brain from complex signals.")
parser.add_argument("--data", type=Path, help="folder of measured data")
parser.add_argument("--samples", type=int, default=16_000, help="training fingerprints")
parser.add_argument("--epochs", type=int, default=40, help="epochs of each network")
parser.add_argument("--fits", type=int, default=500, help="voxels for least squares")
parser.add_argument("--output", type=Path, default=Path("brain_maps"), help="for pictures")
arguments, _ = parser.parse_known_args()
start = time.perf_counter()


def report(message):
    """Print a message with the time since the start."""
    print(f"[{time.perf_counter() - start:5.0f} s] {message}", flush=True)


# %%
# The data
# --------
#
# Reconstructions deliver coefficients of the signal in an orthonormal basis. Without
# measured data, the basis is optimized so that the compressed signal keeps the bounds of
# the parameters; it starts from the signals of some fingerprints together with derivatives
# made orthogonal to all others (Mao et al., arXiv 2305.00326).

simulates = "optimizing a basis, compiled first for half a minute, and simulating a brain"
report(simulates if arguments.data is None else "reading the data")
model = load_model(arguments.data)
if arguments.data is None:
    phantom = make_brain_phantom(model, random_state=0)
    rng = np.random.default_rng(0)
    clean = phantom.m0[:, None] * model.signal(phantom.theta)
    noise = rng.standard_normal((*clean.shape, 2)).view(complex)[..., 0]
    voxels, mask = clean + 0.01 * noise, phantom.mask
else:
    with np.load(arguments.data / "invivo_slice.npz") as file:
        mask = file["mask"]
        voxels = file["coefficients"][mask]
report(f"{len(voxels)} voxels of {voxels.shape[1]} coefficients")

# %%
# Training
# --------
#
# Both networks see the same fingerprints, with fresh noise in every epoch, and train for
# the same number of epochs, one after the other.

snr = 20, 200
X, y, crb = make_fingerprints(
    model, arguments.samples, snr=snr, return_crb=True, random_state=0, verbose=True
)
report(f"{len(X)} fingerprints simulated, with their bounds")


estimators = {}
epochs = dict(max_iter=arguments.epochs, n_iter_no_change=arguments.epochs)
for loss in ("crb", "mse"):
    network = CRBRegressor(model, loss=loss, snr=snr, batch_size=1024, **epochs)
    network.set_params(n_jobs=2, random_state=0, verbose=True).fit(X, y, crb=crb)
    estimators[f"network, {loss.upper()} loss"] = network
    report(f"network trained with {loss} loss: {network.history_[-1]['time']:.0f} s")
least_squares = NLLSRegressor(model, verbose=True).fit(X, y)
estimators["least squares"] = least_squares

# %%
# Efficiency
# ----------
#
# Errors at signal-to-noise ratio 100, in units of the Cramér-Rao bound, of all estimators
# for the same signals. An unbiased estimator cannot have less than 1. Where the
# Cramér-Rao bound is wider than the range allowed for a parameter (T2s and Rx), an
# estimator that stays in this range has less, at the price of a bias. Rare fingerprints of
# fluid dominate the mean, the CRB loss, but not the median.

_, theta = make_fingerprints(model, arguments.fits // 2, random_state=1)
report(f"comparing all three at {len(theta)} fingerprints, with noise drawn 4 times")
print_table(compare_estimators(estimators, model, theta, 100, 4, random_state=2))
report("table done")

# %%
# Maps
# ----
#
# Least squares fits some of the voxels. Units and ranges are those of the parameters.

network = estimators["network, CRB loss"]
estimate = network.predict(voxels)
report(f"{len(voxels)} voxels mapped by the network")
chosen = np.random.default_rng(1).choice(len(voxels), arguments.fits, replace=False)
fits = least_squares.fit_voxels(voxels[chosen])
report(f"{arguments.fits} voxels fitted by least squares")

white = (fits.theta[:, 0] > 0.1) & (fits.relative_residual < 0.04)
if arguments.data is None:
    white &= phantom.select("white matter")[chosen]
print(f"\nWhite matter: medians over {white.sum()} voxels")
print(f"{'':8}{'network':>10}{'NLLS':>10}{'median |difference|':>22}")
for k, parameter in enumerate(model.parameters):
    a, b = estimate[chosen][white, k], fits.theta[white, k]
    numbers = f"{np.median(a):10.4g}{np.median(b):10.4g}{np.median(np.abs(a - b)):22.3g}"
    unit = "" if parameter.unit == "1" else parameter.unit
    print(f"{parameter.name:8}{numbers} {unit}")

maps = {
    "maps_crb": (estimate, "Network trained with the CRB loss"),
    "maps_mse": (
        estimators["network, MSE loss"].predict(voxels),
        "Network trained with the mean squared error",
    ),
}
if arguments.data is None:
    maps["maps_truth"] = phantom.theta, "Truth"
figures = {
    name: MapsDisplay.from_predictions(values, mask, model, title=title).figure_
    for name, (values, title) in maps.items()
}

# %%
# Training curves: the CRB loss, outliers counted linearly, is absolute; an ideal estimator
# has 1.

figures["training"] = TrainingDisplay.from_estimator(network).figure_
arguments.output.mkdir(parents=True, exist_ok=True)
for name, figure in figures.items():
    figure.savefig(arguments.output / f"{name}.png", dpi=120)
report(f"pictures saved in {arguments.output}")
plt.show()
