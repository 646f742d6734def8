"""Sequences, subspaces and tables that the examples share."""

import numpy as np

from crbestim.datasets import make_fingerprints
from crbestim.models import MagnetizationTransfer
from crbestim.sequences import HybridStateSequence
from crbestim.subspace import SubspaceProjection


def load_model(folder=None):
    """Return the compressed model of the library's own sequence, or of measured data.

    `folder` has ``hybrid_state_sequence.npz`` (``alpha``, ``trf``, ``tr``) and
    ``invivo_slice.npz`` (``basis``).
    """
    if folder is None:
        full = MagnetizationTransfer(HybridStateSequence.default())
        return full.compress(basis_of(full))
    sequence = HybridStateSequence.from_file(folder / "hybrid_state_sequence.npz")
    with np.load(folder / "invivo_slice.npz") as file:
        return MagnetizationTransfer(sequence).compress(file["basis"])


def basis_of(model, n_components=20):
    """Return a basis, (n_pulses, n_components), that keeps the bounds of parameters."""
    X, y = make_fingerprints(model, 400, random_state=0)
    projection = SubspaceProjection(
        n_components, method="crb", model=model, real_basis=True, tol=1e-4
    )
    return projection.fit(X, y).components_.T


def by_estimator(table):
    """Return the table of ``compare_estimators`` as arrays by estimator and measure."""
    columns = table if isinstance(table, dict) else table.reset_index()
    rows = np.array(columns["estimator"])
    return {
        name: {c: np.array(columns[c])[rows == name] for c in columns if c != "estimator"}
        for name in dict.fromkeys(rows)
    }


def print_table(table):
    """Print a table of ``compare_estimators``, one column per parameter."""
    labels = {
        "crb_loss": "CRB loss",
        "bias_ratio": "bias^2 / CRB",
        "variance_ratio": "variance / CRB",
        "median_ratio": "median ratio",
        "outlier_share": "beyond 5 sd",
    }
    for name, measures in by_estimator(table).items():
        speed, lost = measures["voxels_per_second"][0], measures["lost_share"][0]
        print(f"\n{name}: {speed:,.0f} voxels/s, {lost:.1%} of fingerprints lost")
        print(f"{'':18}" + "".join(f"{n:>9}" for n in measures["parameter"]))
        for column, label in labels.items():
            print(f"  {label:16}" + "".join(f"{v:9.3g}" for v in measures[column]))
