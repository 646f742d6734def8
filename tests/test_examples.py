"""The examples run as a user runs them, on fewer samples."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytest.importorskip("matplotlib")
SIZES = {
    "plot_brain_maps": ["--samples", "300", "--epochs", "1", "--fits", "16"],
    "plot_crb_versus_mse": ["--samples", "300", "--epochs", "2", "--grid", "4"],
}
PICTURES = {"maps_crb.png", "maps_mse.png", "training.png"}


def run(example, output, *arguments):
    script = ROOT / "examples" / f"{example}.py"
    command = [sys.executable, "-W", "ignore", script, *SIZES[example]]
    return subprocess.run(
        [*command, "--output", output, *arguments],
        env={**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_brain_maps_of_the_phantom(tmp_path):
    printed = run("plot_brain_maps", tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == PICTURES | {"maps_truth.png"}
    for name in ("CRB loss", "bias^2 / CRB", "variance / CRB", "White matter"):
        assert name in printed


def test_brain_maps_of_measured_data(tmp_path, shared_data):
    printed = run("plot_brain_maps", tmp_path, "--data", shared_data / "data")
    assert {p.name for p in tmp_path.iterdir()} == PICTURES
    assert "18951 voxels of 13 coefficients" in printed


def test_three_losses(tmp_path):
    printed = run("plot_crb_versus_mse", tmp_path)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"training.png", "T1_m0s.png", "T1_T2f.png"}
    for name in ("CRB\n", "MSE, scaled\n", "MSE, SI units\n", "T1_m0s: root mean square"):
        assert name in printed
