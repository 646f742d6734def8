"""Speed of least squares for cheap models, beside references in the same run.

Run ``OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/voxels.py [n_voxels]``. Times
are those of the processor. The references: batched Gauss-Newton in NumPy for T2, and
SciPy's ``curve_fit`` on a sample for the others.
"""

import sys
import time
import warnings

import numpy as np
from scipy.optimize import curve_fit

from crbestim import NLLSRegressor
from crbestim.models import (
    IntravoxelIncoherentMotion,
    InversionRecovery,
    MonoExponential,
    SpoiledGradientEcho,
)
from crbestim.noise import get_noise

TE = 0.01 * np.arange(1, 9)
TI = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
B = 1e6 * np.array([0, 10, 20, 30, 40, 60, 80, 100, 150, 200, 250, 300, 400, 500, 600,
                    700, 800, 1000])  # fmt: skip
SPOILED = SpoiledGradientEcho(np.deg2rad([4, 18]), 0.015, b1=True, signal="magnitude")
# Model, ranges of its parameters, and how many of the voxels.
JOBS = {
    "T2, 8 echoes": (MonoExponential(TE, signal="magnitude"), [(0.03, 0.2)], 1),
    "T2, Rician": (
        MonoExponential(0.01 * np.arange(1, 13), signal="magnitude", noise="rician"),
        [(0.03, 0.2)],
        10,
    ),
    "IVIM, 18 b": (
        IntravoxelIncoherentMotion(B), [(0.02, 0.2), (5e-10, 2e-9), (6e-9, 4e-8)], 10,
    ),
    "T1, 8 TI": (
        InversionRecovery(TI, signal="magnitude"), [(0.5, 2.0), (0.85, 1.0)], 10,
    ),
    "T1, 2 angles, B1": (SPOILED, [(0.5, 2.0), (0.8, 1.2)], 10),
}  # fmt: skip
N_SAMPLE = 200


def timed(function, *arguments):
    """Return the seconds of the processor that a call takes."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def gauss_newton(X, n_steps=10):
    """Fit T2 and M0 to all voxels at once, from the log-linear fit."""
    slope = np.polyfit(TE, np.log(np.maximum(X, 1e-3)).T, 1)
    m0, r2 = np.exp(slope[1]), np.clip(-slope[0], 1.0, 100.0)
    for _ in range(n_steps):
        decay = np.exp(-TE * r2[:, None])
        by_r2 = -TE * m0[:, None] * decay
        rest = X - m0[:, None] * decay
        a, b, c = (decay**2).sum(1), (decay * by_r2).sum(1), (by_r2**2).sum(1)
        u, v = (decay * rest).sum(1), (by_r2 * rest).sum(1)
        size = a * c - b**2
        m0, r2 = m0 + (c * u - b * v) / size, np.clip(r2 + (a * v - b * u) / size, 0.3, 500)
    return m0, r2


def fit(model, X, options):
    """Fit all voxels with the library, those of Rician noise with a known sigma."""
    known = {key: values for key, values in options.items() if key == "known"}
    NLLSRegressor(model).fit(X, **known).predict(X, **options)


def sampled(whole, X, theta):
    """Fit some voxels with SciPy's curve_fit."""
    for x, start in zip(X, theta, strict=True):
        model, scale = whole, start
        if "B1" in whole.parameter_names:
            model, scale = whole.fix(B1=start[1]), start[[0, 2]]

        def signal(_, *values, model=model, scale=scale):
            return model._simulate(scale * np.array([values]))[0]

        try:
            curve_fit(signal, None, x, np.full(len(scale), 1.1))
        except RuntimeError:
            continue


def main(n_voxels=100_000):
    """Print a row for each job."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    print(f"{'job':18} {'voxels':>8} {'s':>7} {'per s':>9} {'reference per s':>16} ratio")
    for name, (model, ranges, share) in JOBS.items():
        n = max(n_voxels // share, N_SAMPLE)
        columns = [rng.uniform(*ends, n) for ends in [*ranges, (500, 2000)]]
        theta = np.column_stack(columns)
        signal = model.signal(theta)
        noise = signal.max(axis=1).mean() / 50
        X = np.abs(signal + noise * rng.standard_normal(signal.shape))
        options, whole = {}, model
        if get_noise(model.noise).needs_sigma:
            X = np.hypot(X, noise * rng.standard_normal(signal.shape))
            options = {"sigma": np.full(n, noise)}
        if "B1" in model.parameter_names:
            model, options = model.given("B1"), {"known": theta[:, 1:2]}
        some = {key: values[:300] for key, values in options.items()}
        fit(model, X[:300], some)
        ours = timed(fit, model, X, options)
        if share == 1:
            reference = n / timed(gauss_newton, X)
        else:
            seconds = timed(sampled, whole, X[:N_SAMPLE], theta[:N_SAMPLE])
            reference = N_SAMPLE / seconds
        row = f"{name:18} {n:8} {ours:7.2f} {n / ours:9.0f} {reference:16.0f}"
        print(f"{row} {n / ours / reference:5.2g}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
