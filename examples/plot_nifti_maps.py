"""
From a NIfTI file to maps
=========================

A 4-D image of a multi-echo spin echo, a mask and a map of B1 become maps of T2 and M0 with
their uncertainty, in files that lie where the images do. One voxel is bad: it stays empty,
and changes no other.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np

from crbestim import NLLSRegressor
from crbestim.datasets import make_brain_phantom
from crbestim.io import read_images
from crbestim.models import MagnetizationTransfer, MultiEchoSpinEcho
from crbestim.sequences import HybridStateSequence

parser = argparse.ArgumentParser(description="From a NIfTI file to maps.")
parser.add_argument("--size", type=int, default=128, help="pixels of a row")
parser.add_argument("--snr", type=float, default=60.0, help="signal of water over noise")
parser.add_argument("--output", type=Path, default=Path("nifti_maps"), help="for all files")
arguments, _ = parser.parse_known_args()
folder = arguments.output
folder.mkdir(parents=True, exist_ok=True)

# %%
# A measurement
# -------------
#
# This part stands in for a scanner: a slice of a digital brain, 16 echoes with Rician
# noise, stored as integers, and one voxel that was lost. It knows the truth, ``t2``, which
# the other part does not use.

te = 0.01 * np.arange(1, 17)
pools = MagnetizationTransfer(HybridStateSequence.default())
brain = make_brain_phantom(pools, (arguments.size, arguments.size), random_state=0)
columns = dict(zip(brain.parameter_names, brain.theta.T, strict=True))
t2, b1 = 1 / columns["R2f"], columns["B1"]
scanner = MultiEchoSpinEcho(te, signal="magnitude", noise="rician").given("B1")
theta = np.stack([t2, np.abs(brain.m0)], axis=1)
signals = np.zeros((*brain.mask.shape, len(te)))
signals[brain.mask] = scanner.at(b1[:, None]).signal(theta)
noise = np.random.default_rng(0).normal(scale=1 / arguments.snr, size=(2, *signals.shape))
echoes = 1000 * np.hypot(signals + noise[0], noise[1])
bad = tuple(np.argwhere(brain.mask)[len(t2) // 3])
echoes[bad] = 0

affine = np.diag([-1.8, 1.8, 4.0, 1.0])


def store(image, name):
    """Write a slice as a volume: the first axis to the left, the second to the front."""
    volume = np.swapaxes(image[::-1], 0, 1)[:, :, None]
    nib.Nifti1Image(volume, affine).to_filename(folder / name)


store(np.round(echoes).astype(np.int16), "echoes.nii.gz")
store(brain.mask.astype(np.uint8), "mask.nii.gz")
store(np.nan_to_num(brain.to_map(b1)).astype(np.float32), "b1.nii.gz")

# %%
# Maps
# ----
#
# This is all that a user writes. The noise was measured in air; without ``sigma`` it is
# estimated voxel by voxel.

X, voxels = read_images(folder / "echoes.nii.gz", mask=folder / "mask.nii.gz")
known = voxels.from_nifti(folder / "b1.nii.gz")[:, None]
model = MultiEchoSpinEcho(te, signal="magnitude", noise="rician").given("B1")
fit = NLLSRegressor(model).fit(X, known=known)
maps, std = fit.predict(X, return_std=True, known=known, sigma=1000 / arguments.snr)

for k, (name, unit) in enumerate([("T2", "s"), ("M0", "arbitrary")]):
    voxels.to_nifti(maps[:, k], folder / f"{name}.nii.gz", unit=unit)
    voxels.to_nifti(std[:, k], folder / f"{name}_std.nii.gz", unit=unit)

# %%
# What the files show
# -------------------

figure, axes = plt.subplots(2, 2, figsize=(8, 7.6), layout="constrained")
for ax, name, high in zip(
    axes.flat, ("T2", "T2_std", "M0", "M0_std"), (0.15, 0.006, 1100, 30), strict=True
):
    image = nib.load(folder / f"{name}.nii.gz").get_fdata()[:, :, 0]
    shown = ax.imshow(image.T, origin="lower", vmin=0, vmax=high)
    unit = " (s)" if "T2" in name else ""
    ax.set(title=name.replace("_std", ", standard deviation") + unit, xticks=[], yticks=[])
    figure.colorbar(shown, ax=ax, shrink=0.8)
figure.savefig(folder / "maps.png", dpi=120)
plt.show()

# %%
# Because the truth is known here, the standard deviations can be checked: errors divided by
# them have a spread of 1.

truth = np.zeros(brain.mask.shape)
truth[brain.mask] = t2
store(truth, "truth.nii.gz")
error = (maps[:, 0] - voxels.from_nifti(folder / "truth.nii.gz")) / std[:, 0]
is_tissue = maps[:, 0] < 0.2
print(f"{np.isnan(maps).any(axis=1).sum()} of {len(maps)} voxels without an estimate")
print(f"errors of T2 in tissue, in standard deviations: {error[is_tissue].std():.2f}")
