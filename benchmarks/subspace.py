"""Bounds that subspaces keep: CRB(compressed) / CRB(full), median over fresh fingerprints.

Prints a table of methods and parameters for the library's own sequence or that of a file,
optionally with the basis of another file, or, with --memory, the time and the peak memory
of a fit to 1e5 complex signals in single precision:

    python benchmarks/subspace.py --components 10 13 16
    python benchmarks/subspace.py --sequence sequence.npz --basis slice.npz --separate-r1
    python benchmarks/subspace.py --memory
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from crbestim.bounds import crb_from_jacobian, signal_and_bound
from crbestim.datasets import make_fingerprints
from crbestim.datasets.distributions import draw_parameters
from crbestim.models import MagnetizationTransfer
from crbestim.sequences import HybridStateSequence
from crbestim.subspace import SubspaceProjection

METHODS = {
    "svd": dict(method="svd"),
    "orthogonalized": dict(method="crb", max_iter=0),
    "crb": dict(method="crb"),
    "crb, bound alone": dict(method="crb", energy_weight=0.0),
    "crb, weighted": dict(method="crb", energy_weight=0.1),
}
# Weights of the last row, which lower the largest ratios; others are 1.
WEIGHTS = dict(R1=0.3, T2s=0.5, Rx=5.0, omega0=0.0, B1=0.0)


class Fresh:
    """Fingerprints that no fit has seen, and their bounds."""

    def __init__(self, model, n_samples, random_state):
        rng = np.random.default_rng(random_state)
        self.model, self.theta = model, draw_parameters(model, n_samples, rng)
        self.bound = signal_and_bound(model, self.theta)[1]

    def row(self, basis):
        """Return the median ratio of each parameter and the share of energy."""
        s, jacobian = self.model.compress(basis).signal(self.theta, jacobian=True)
        ratio = crb_from_jacobian(jacobian, s) / self.bound
        energy = np.sum(np.abs(s) ** 2) / self.energy
        return np.median(ratio, axis=0), energy

    @property
    def energy(self):
        """Energy of the whole signals."""
        parts = np.array_split(self.theta, -(-len(self.theta) // 500))
        return sum(np.sum(np.abs(self.model.signal(part)) ** 2) for part in parts)


def print_row(label, n, fresh, basis, note=""):
    medians, energy = fresh.row(basis)
    numbers = "".join(f"{value:8.3f}" for value in medians)
    print(f"{label:22}{n:4d}{numbers}{energy:9.4f}  {note}", flush=True)


def compare(model, arguments):
    """Print the table."""
    fresh = Fresh(model, arguments.test, random_state=1)
    X, y = make_fingerprints(model, arguments.samples, snr=1e4, random_state=0)
    names = "".join(f"{name:>8}" for name in model.parameter_names)
    print(f"{len(y)} fingerprints to fit, {len(fresh.theta)} others to compare")
    print(f"{'':22}   K{names}   energy")
    if arguments.basis:
        with np.load(arguments.basis) as file:
            print_row("of the file", file["basis"].shape[1], fresh, file["basis"])
    weights = {k: v for k, v in WEIGHTS.items() if k in model.parameter_names}
    for n in arguments.components:
        for label, options in METHODS.items():
            start = time.perf_counter()
            projection = SubspaceProjection(n, model=model, real_basis=True, **options)
            projection.n_fingerprints = arguments.samples
            projection.weights = weights if label == "crb, weighted" else None
            projection.fit(X, y)
            seconds = time.perf_counter() - start
            note = f"{seconds:4.0f} s, {projection.n_iter_} iterations"
            print_row(label, n, fresh, projection.components_.T, note)


def measure_memory(n_samples=100_000, n_features=1142):
    """Print time and peak memory of a fit to many signals."""
    rng = np.random.default_rng(0)
    X = np.empty((n_samples, n_features), dtype=np.complex64)
    for part in np.array_split(X, 100):
        part[:] = rng.standard_normal((*part.shape, 2), np.float32).view(np.complex64)[
            ..., 0
        ]
    start = time.perf_counter()
    projection = SubspaceProjection(13).fit(X)
    fit = time.perf_counter() - start
    projection.transform(X)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{n_samples} x {n_features} complex64, {X.nbytes / 1e9:.2f} GB: fit {fit:.0f} s,"
    )
    print(f"peak of the process {peak / 1e9:.2f} GB, X included")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequence", type=Path, help="file of another sequence")
    parser.add_argument("--basis", type=Path, help="file of another basis")
    parser.add_argument("--separate-r1", action="store_true", help="two rates R1")
    parser.add_argument("--components", type=int, nargs="+", default=[10, 13, 16])
    parser.add_argument("--samples", type=int, default=1000, help="to fit")
    parser.add_argument("--test", type=int, default=5000, help="to compare")
    parser.add_argument("--memory", action="store_true", help="time and memory only")
    arguments = parser.parse_args()
    if arguments.memory:
        return measure_memory()
    if arguments.sequence:
        sequence = HybridStateSequence.from_file(arguments.sequence)
    else:
        sequence = HybridStateSequence.default()
    compare(MagnetizationTransfer(sequence, joint_r1=not arguments.separate_r1), arguments)


if __name__ == "__main__":
    main()
