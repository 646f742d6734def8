"""Matching of long fingerprints compared with a product of matrices, in one process.

    python benchmarks/matching.py [--atoms 5000] [--voxels 20000] [--snr 10 50 200]

Fingerprints of FISP with 500 pulses and parameters of the brain. The script prints seconds
of CPU time on one thread: of ``fit``, which simulates the atoms and makes their basis and
tree, and of ``predict``, with the best match and interpolated between 20; of
``abs(X @ atoms).argmax`` with NumPy in double precision, in blocks that fit into memory;
and in how many voxels both find the same atom.
"""

import argparse
import time

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from crbestim import DictionaryRegressor
from crbestim.datasets.distributions import draw_parameters
from crbestim.models import FISPFingerprinting
from crbestim.noise import add_noise

N_PULSES, TI, BLOCK, N_RUNS = 500, 20e-3, 1000, 3


def fingerprinting():
    """Return the model."""
    x = np.arange(N_PULSES)
    alpha = np.deg2rad(5 + 55 * np.sin(np.pi * x / 220) ** 2)
    return FISPFingerprinting(alpha, 12e-3, 3e-3, inversion_time=TI)


def numpy_match(atoms, X):
    """Compare all voxels with all atoms."""
    blocks = (X[first : first + BLOCK] for first in range(0, len(X), BLOCK))
    return np.concatenate([np.abs(block @ atoms).argmax(axis=1) for block in blocks])


def seconds(calls):
    """Return the least CPU time of each call, in turn, and what it returned last."""
    times, found = np.full((N_RUNS, len(calls)), np.inf), [None] * len(calls)
    for run in times:
        for i, call in enumerate(calls):
            start = time.process_time()
            found[i] = call()
            run[i] = time.process_time() - start
    return times.min(axis=0), found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, default=5000)
    parser.add_argument("--voxels", type=int, default=20_000)
    parser.add_argument("--snr", type=float, nargs="+", default=[10.0, 50.0, 200.0])
    options = parser.parse_args()
    model, rng = fingerprinting(), np.random.default_rng(0)
    y, theta = (draw_parameters(model, n, rng) for n in (options.atoms, options.voxels))
    X = model.signal(y)
    best = DictionaryRegressor(model).fit(X, y)
    between = DictionaryRegressor(model, n_neighbors=20, interpolate=True).fit(X, y)
    atoms = np.ascontiguousarray(best.atoms_.conj().T)
    for snr in options.snr:
        data = add_noise(model.signal(theta), snr, rng)
        best.predict(data[:64])
        times, found = seconds(
            [
                lambda: best.fit(X, y),
                lambda data=data: best.predict(data),
                lambda data=data: between.predict(data),
                lambda data=data: numpy_match(atoms, data),
            ]
        )
        same = np.mean(best.kneighbors(data)[1][:, 0] == found[3])
        print(
            f"{options.atoms} atoms, {options.voxels} voxels, SNR {snr:g}: fit "
            f"{times[0]:.2f} s, best match {times[1]:.2f} s, between 20 {times[2]:.2f} s; "
            f"NumPy {times[3]:.2f} s, {100 * same:.2f} % the same",
            flush=True,
        )


if __name__ == "__main__":
    numba.set_num_threads(1)
    with threadpool_limits(1):
        main()
