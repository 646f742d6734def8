"""The default network on problems of several sizes, beside scikit-learn's regressors.

    python benchmarks/network_sizes.py [--samples 500 2000 20000] [--seeds 0 1 2]

Each problem is learned from signals at signal-to-noise ratios of 50 to 150, all settings
being defaults, and judged by 4000 other fingerprints at 100. Printed are the CPU time of
``fit``, the CRB loss, and for each parameter the median of error^2/CRB over that of a
chi-square variable. The references get real and imaginary parts without the phase, scaled
like the targets to zero mean and unit variance; least squares have nothing to learn.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crbestim import CRBRegressor, NLLSRegressor
from crbestim.datasets import make_fingerprints
from crbestim.metrics import wrapped_error
from crbestim.models import BiExponential, FISPFingerprinting, InversionRecovery
from crbestim.subspace import ComplexToReal

SNR_RANGE, TEST_SNR, N_TEST = (50.0, 150.0), 100.0, 4000
CHI2_MEDIAN = 0.454936


def fisp(n=300):
    """Fingerprinting without a basis: most of its 600 real numbers are noise."""
    k = np.arange(n)
    alpha = np.deg2rad(5 + 55 * np.abs(np.sin(np.pi * k / 150))) * (
        0.7 + 0.3 * np.cos(k / 40)
    )
    return FISPFingerprinting(alpha, 0.012, 0.003, inversion_time=0.02)


PROBLEMS = {
    "bi-exponential, 12 echoes": lambda: BiExponential(0.01 * np.arange(1, 13)),
    "inversion recovery, 10 TI": lambda: InversionRecovery(np.geomspace(0.02, 4, 10)),
    "FISP, 300 pulses": fisp,
}


def on_scaled_data(regressor):
    """Return a scikit-learn regressor of complex signals."""
    scaled = make_pipeline(ComplexToReal(normalize=True), StandardScaler(), regressor)
    return TransformedTargetRegressor(scaled, transformer=StandardScaler())


def estimators(model, seed):
    """Return the estimators by name, and whether they learn from fingerprints."""
    return {
        "CRBRegressor": CRBRegressor(model, snr=SNR_RANGE, random_state=seed),
        "MLP (100, 100)": on_scaled_data(
            MLPRegressor(hidden_layer_sizes=(100, 100), random_state=seed)
        ),
        "extra trees": on_scaled_data(ExtraTreesRegressor(random_state=seed)),
        "least squares": NLLSRegressor(model),
    }


def judge(name, estimator, data, test, periods):
    """Fit an estimator, and print what it does."""
    X, y, crb = data
    given = {"crb": crb} if name == "CRBRegressor" else {}
    start = time.process_time()
    estimator.fit(X, y, **given)
    seconds = time.process_time() - start
    X, y, crb = test
    error = wrapped_error(y, np.reshape(estimator.predict(X), y.shape), periods)
    ratio = np.where(np.isfinite(crb), error**2 / crb, np.nan)
    medians = " ".join(f"{m:8.3g}" for m in np.nanmedian(ratio, axis=0) / CHI2_MEDIAN)
    print(f"  {name:16}{seconds:8.1f} s{np.nanmean(ratio):12.4g}   {medians}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Networks on problems of several sizes.")
    parser.add_argument("--samples", type=int, nargs="+", default=[500, 2000, 20_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), metavar="NAME")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for title in arguments.problems:
        model = PROBLEMS[title]()
        options = dict(return_crb=True, snr=TEST_SNR)
        test = make_fingerprints(model, N_TEST, random_state=99, **options)
        for n in arguments.samples:
            for seed in arguments.seeds:
                print(f"{title}; {n} fingerprints, seed {seed}: time, loss, medians")
                options["snr"] = SNR_RANGE
                data = make_fingerprints(model, n, random_state=seed, **options)
                for name, estimator in estimators(model, seed).items():
                    judge(name, estimator, data, test, model.periods)


if __name__ == "__main__":
    main()
