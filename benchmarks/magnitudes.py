"""Estimates of T2 from low magnitudes, beside exact maximum likelihood, and their speed.

    PYTHONPATH=. python benchmarks/magnitudes.py

prints, for twelve echoes 10 ms apart: median error, squared error over the Rician bound,
coverage of 95 % intervals and voxels a second of CPU time, by least squares with Rician
noise of known and unknown sigma and with Gaussian noise, by the other estimators, and on
some of the voxels by exact maximum likelihood, a grid.
"""

import argparse
import time
import warnings

import numpy as np

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.models import MonoExponential
from tests.reference import rician

TE = 0.01 * np.arange(1, 13)
RICIAN = MonoExponential(TE, signal="magnitude", noise="rician")
MATCHING = DictionaryRegressor(RICIAN, n_neighbors=20, interpolate=True)
GAUSSIAN = MonoExponential(TE, signal="magnitude")


def decays(t2):
    """Return signals at an amplitude of 1, (n, 12)."""
    return np.exp(-TE / t2[:, None])


def measured(t2, snr, n):
    """Return magnitudes of n voxels."""
    parts = np.random.default_rng(0).standard_normal((2, n, len(TE))) / snr
    return np.hypot(np.exp(-TE / t2) + parts[0], parts[1])


def report(t2, snr, n, n_exact):
    """Print one setting."""
    X, shape = measured(t2, snr, n), np.exp(-TE / t2)
    jacobian = np.column_stack([shape * TE / t2**2, shape])
    bound = rician.bound(jacobian, shape, 1 / snr)[0]
    print(f"T2 {1e3 * t2:g} ms, SNR {snr}: bound {100 * np.sqrt(bound) / t2:.1f} % of T2")
    fits = {
        "least squares": (NLLSRegressor(RICIAN), 1 / snr),
        "sigma unknown": (NLLSRegressor(RICIAN), None),
        "Gaussian noise": (NLLSRegressor(GAUSSIAN), 1 / snr),
        "step": (OneStepRegressor(model=RICIAN), 1 / snr),
        "step, no prior": (OneStepRegressor(model=RICIAN, prior=None), 1 / snr),
        "matching": (
            DictionaryRegressor(RICIAN, n_neighbors=20, interpolate=True),
            1 / snr,
        ),
    }
    for name, (reg, sigma) in fits.items():
        reg.fit(X).predict(X[:20], sigma=sigma)
        start = time.process_time()
        error = reg.predict(X, sigma=sigma)[:, 0] - t2
        speed = n / (time.process_time() - start)
        text = f"  {name:15} median {100 * np.median(error) / t2:+6.1f} %, squared error / "
        text += f"bound {np.mean(error**2) / bound:8.2f}, first {n_exact}: "
        text += f"{np.mean(error[:n_exact] ** 2) / bound:9.4f}, {speed:6.0f} voxels/s"
        if hasattr(reg, "interval"):
            low, high = reg.interval(X, sigma=sigma)
            held = ((low[:, 0] <= t2) & (t2 <= high[:, 0])).mean()
            text += f", intervals hold {100 * held:.1f} %"
        print(text, flush=True)
    start = time.process_time()
    found = rician.maximum_likelihood(X[:n_exact], decays, RICIAN.bounds[0], 1 / snr)[0]
    speed = n_exact / (time.process_time() - start)
    value = np.mean((found - t2) ** 2) / bound
    print(
        f"  {'exact':53} first {n_exact}: {value:9.4f}, {speed:6.0f} voxels/s", flush=True
    )


def main():
    """Print all settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, default=2000)
    parser.add_argument("--exact", type=int, default=400)
    parser.add_argument("--snr", type=int, nargs="+", default=[5, 8, 10, 20, 50])
    parser.add_argument("--t2", type=float, nargs="+", default=[0.025, 0.08])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for t2 in args.t2:
        for snr in args.snr:
            report(t2, snr, args.voxels, args.exact)


if __name__ == "__main__":
    main()
