"""The examples run as a user runs them, on fewer samples."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytest.importorskip("matplotlib")
SIZES = ["--samples", "300", "--epochs", "1", "--fits", "16"]
PICTURES = {"maps_crb.png", "maps_mse.png", "training.png"}


def run(output, *arguments):
    command = [sys.executable, "-W", "ignore", ROOT / "examples" / "plot_brain_maps.py"]
    return subprocess.run(
        [*command, *SIZES, "--output", output, *arguments],
        env={**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_brain_maps_of_the_phantom(tmp_path):
    printed = run(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == PICTURES | {"maps_truth.png"}
    for name in ("CRB loss", "bias^2 / CRB", "variance / CRB", "White matter"):
        assert name in printed


def test_brain_maps_of_measured_data(tmp_path, shared_data):
    printed = run(tmp_path, "--data", shared_data / "data")
    assert {p.name for p in tmp_path.iterdir()} == PICTURES
    assert "18951 voxels of 13 coefficients" in printed
