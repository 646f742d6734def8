"""Least squares, matching and one-step refinement, compared with references.

    python benchmarks/estimators.py --sequence sequence.npz --basis basis.npz

Each part prints its measurements and those of a reference with the same data:

least-squares
    NLLSRegressor from a dictionary and from a network compared with SciPy's least_squares
    with the same variable projection and Jacobian: voxels per second of CPU time on one
    thread, and of wall time with two workers; how often both end at the same cost from the
    same start.
efficiency
    Squared errors of NLLSRegressor over the Cramér-Rao bound at a signal-to-noise ratio of
    1000, also started from the truth, which shows the effect of the start.
one-step
    Errors of a network before and after steps (number of steps, of starts, prior), and
    voxels per second of CPU time.
fluid
    Errors and CPU time of steps and least squares with and without starts along profiles,
    of all draws and of fluid, beside the lowest of 41 searches around the truth and the
    least loss of any estimator; ``--draws`` sets how many.
matching
    DictionaryRegressor compared with a product of blocks in NumPy.
slice
    With ``--slice`` (``coefficients``, ``mask``): maps of a measured slice, wall time with
    two workers, and median differences in white matter.
memory
    Peak memory of matching a million voxels with 200,000 atoms, in a process of its own.
"""

import argparse
import multiprocessing
import resource
import time
import warnings
from pathlib import Path
from statistics import median

import joblib
import numba
import numpy as np
import torch
from scipy.optimize import least_squares
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import (
    AtBoundWarning,
    NoiseLevelWarning,
    SingularInformationWarning,
)
from crbestim.least_squares import profiles
from crbestim.least_squares.variable_projection import variable_projection
from crbestim.metrics import bayes_risk, wrapped_error
from crbestim.models import MagnetizationTransfer
from crbestim.noise import add_noise
from crbestim.parameters import fold
from crbestim.sequences import HybridStateSequence

PARTS = (
    "least-squares",
    "efficiency",
    "one-step",
    "fluid",
    "matching",
    "slice",
    "memory",
)
REPEATS, CHI2_MEDIAN = 5, 0.454936
SNR_RANGE = (20.0, 400.0)


class Truth(RegressorMixin, BaseEstimator):
    """Predict given values, whatever the signals."""

    def __init__(self, values=None):
        self.values = values

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return self.values


def draws(model, n, snr, seed):
    """Return signals, truth and bounds of brain fingerprints."""
    _, theta = make_fingerprints(model, n, random_state=seed)
    theta = np.clip(theta, *model.bounds.T)
    crb = cramer_rao_bound(model, theta, noise_std=1 / snr)
    X = add_noise(model.signal(theta), snr, np.random.default_rng(seed))
    return X, theta, crb


def cpu_rate(call, n, repeats=REPEATS):
    """Voxels per second of CPU time: the median of calls, after one that compiles."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return n / median(times)


def predict_rate(estimator, X):
    """Voxels that an estimator predicts per second of CPU time."""
    return cpu_rate(lambda: estimator.predict(X), len(X))


def rate_with_two_workers(estimator, X):
    """Voxels per second of wall time with two warm joblib workers."""
    estimator.set_params(n_jobs=2)
    estimator.predict(X[:64])
    start = time.perf_counter()
    estimator.predict(X)
    rate = len(X) / (time.perf_counter() - start)
    estimator.set_params(n_jobs=None)
    return rate


def report(name, model, theta, estimate, crb):
    """Print errors relative to the bound."""
    ratio = wrapped_error(theta, estimate, model.periods) ** 2 / crb
    ratio = np.where(np.isfinite(crb), ratio, np.nan)
    for label, values in (
        ("CRB loss", np.nanmean(ratio, axis=0)),
        ("median ratio", np.nanmedian(ratio, axis=0) / CHI2_MEDIAN),
        ("beyond 5 sd, %", 100 * np.nanmean(ratio > 25, axis=0)),
    ):
        print(f"    {name:28} {label:16}" + "".join(f"{v:9.3f}" for v in values))


def scipy_fit(model, x, start, tol):
    """Fit one voxel with SciPy; parameters are fractions of their bounds."""
    low, high = model.bounds.T
    x, cache = x / np.linalg.norm(x), {}

    def evaluate(fractions):
        if cache.get("fractions") != fractions.tobytes():
            theta = np.clip(low + (high - low) * fractions, low, high)[None]
            s, ds = model.signal(theta, jacobian=True)
            r, dr, _ = variable_projection(x[None], s, ds * (high - low))
            cache["r"] = np.concatenate([r[0].real, r[0].imag])
            cache["J"] = np.concatenate([dr[0].real, dr[0].imag])
            cache["fractions"] = fractions.tobytes()
        return cache

    return least_squares(
        lambda fractions: evaluate(fractions)["r"],
        np.clip((start - low) / (high - low), 1e-9, 1 - 1e-9),
        jac=lambda fractions: evaluate(fractions)["J"],
        bounds=(0.0, 1.0),
        ftol=tol,
        xtol=tol,
        gtol=tol,
        max_nfev=500,
    )


def part_least_squares(model, train, network, n_scipy, n=1000):
    """Speed of least squares, and agreement with SciPy for the first voxels."""
    starts = {"a dictionary": "dictionary", "a network": FrozenEstimator(network)}
    for snr in (100.0, 400.0):
        X, theta, crb = draws(model, n, snr, 11)
        for name, initial in starts.items():
            reg = NLLSRegressor(model, initial=initial).fit(*train)
            fits = reg.fit_voxels(X)
            speeds = predict_rate(reg, X), rate_with_two_workers(reg, np.tile(X, (4, 1)))
            print(
                f"  SNR {snr:g}, from {name}: {speeds[0]:.0f} voxels/s of CPU time, "
                f"{speeds[1]:.0f} of wall time with two workers; "
                f"{np.mean(fits.n_iterations):.1f} steps, "
                f"{100 * np.mean(fits.status == 0):.1f} % converged"
            )
            report(f"from {name}", model, theta, fits.theta, crb)
            pairs = list(zip(X, reg._starts.find(X)[0], strict=True))[:n_scipy]
            compare_with_scipy(model, pairs, fits.relative_residual[:n_scipy], speeds[0])


def compare_with_scipy(model, pairs, residuals, ours):
    """Print speed and costs of SciPy for the same pairs of signal and start."""
    begin = time.process_time()
    for pair in pairs:
        scipy_fit(model, *pair, 1e-8)
    theirs = len(pairs) / (time.process_time() - begin)
    costs = [scipy_fit(model, *pair, 1e-12).cost for pair in pairs]
    ratio = 0.5 * residuals**2 / np.array(costs)
    print(
        f"    SciPy {theirs:.1f} voxels/s, ours {ours / theirs:.1f} times as many; of "
        f"{len(pairs)} voxels {100 * np.mean(np.abs(ratio - 1) < 1e-6):.1f} % have the "
        f"same cost to 1e-6, {100 * np.mean(ratio < 1 - 1e-6):.1f} % a lower one with "
        f"ours, {100 * np.mean(ratio > 1 + 1e-6):.1f} % with SciPy",
        flush=True,
    )


def part_efficiency(model, train, network):
    """Errors of least squares at a high signal-to-noise ratio."""
    X, theta, crb = draws(model, 2000, 1000.0, 12)
    starts = {
        "the truth": Truth(theta),
        "a network": FrozenEstimator(network),
        "a dictionary": "dictionary",
    }
    for prior in (None, "gaussian"):
        for name, initial in starts.items():
            reg = NLLSRegressor(model, initial=initial, prior=prior).fit(*train)
            fits = reg.fit_voxels(X)
            report(f"prior {prior}, from {name}", model, theta, fits.theta, crb)
            if prior is None:
                tissue = theta[:, 2] > 2.0
                rest = fits.theta[tissue]
                report("  without fluid", model, theta[tissue], rest, crb[tissue])


def part_one_step(model, train, network):
    """Errors and speed of one and of two steps."""
    for snr in (400.0, 100.0):
        X, theta, crb = draws(model, 8000, snr, 13)
        print(f"  SNR {snr:g}")
        report("network", model, theta, network.predict(X), crb)
        for n_steps, n_starts, prior in (
            (1, 1, "gaussian"),
            (2, 1, "gaussian"),
            (2, 32, "gaussian"),
            (1, 1, None),
            (2, 1, None),
        ):
            options = dict(n_steps=n_steps, n_starts=n_starts, prior=prior)
            reg = OneStepRegressor(FrozenEstimator(network), model, **options).fit(*train)
            name = ", ".join(str(value) for value in options.values())
            report(name, model, theta, reg.predict(X), crb)
            speed = predict_rate(reg, X[:1000])
            print(f"    {name:28} {speed:.0f} voxels/s of CPU time", flush=True)


def around(model, X, theta, reach=60.0, n=41):
    """Return the lowest of least-squares fits from the truth and from around it."""
    column, best = model.parameter_names.index("omega0"), None
    for offset in np.linspace(-reach, reach, n):
        start = theta.copy()
        start[:, column] += offset
        start = fold(start, *model.bounds.T, model.periods)
        fits = NLLSRegressor(model, initial=Truth(start)).fit(X, theta).fit_voxels(X)
        if best is None:
            best, cost = fits.theta, fits.cost
        lower = fits.cost < cost
        best, cost = np.where(lower[:, None], fits.theta, best), np.minimum(cost, fits.cost)
    return best


def part_fluid(model, train, network, n=2000, snrs=(100.0, 400.0), n_limit=150):
    """Errors and CPU time with and without starts along profiles, and the limits."""
    frozen, least_bend = FrozenEstimator(network), profiles._LEAST_BEND
    estimators = {
        "one step": OneStepRegressor(frozen, model),
        "two steps": OneStepRegressor(frozen, model, n_steps=2),
        "NLLS, network": NLLSRegressor(model, initial=frozen),
        "NLLS, dictionary": NLLSRegressor(model),
    }
    for snr in snrs:
        X, theta, crb = draws(model, n, snr, 17)
        fluid = theta[:, 2] <= 2.0
        print(f"  SNR {snr:g}, {n} draws, {fluid.sum()} of fluid")

        def both(name, estimate, theta=theta, crb=crb, fluid=fluid):
            report(name, model, theta, estimate, crb)
            report(f"{name}: fluid", model, theta[fluid], estimate[fluid], crb[fluid])

        both("network", network.predict(X))
        for name, reg in estimators.items():
            reg.fit(*train).predict(X[:64])
            for profile, least in (("without", np.inf), ("with", least_bend)):
                profiles._LEAST_BEND, start = least, time.process_time()
                estimate = reg.predict(X)
                took = 1e3 * (time.process_time() - start) / n
                both(f"{name}, {profile}", estimate)
                print(f"    {name}, {profile} profiles: {took:.2f} ms a voxel", flush=True)
        profiles._LEAST_BEND = np.inf
        best = around(model, X[fluid], theta[fluid])
        profiles._LEAST_BEND = least_bend
        report("lowest of 41: fluid", model, theta[fluid], best, crb[fluid])
        limit = bayes_risk(model, theta[:n_limit], snr, random_state=0)
        print(f"    least loss of any, {n_limit} draws, {limit.n_left_out} left out")
        for row in (limit.risk, limit.standard_error):
            print(f"    {'':45}" + "".join(f"{v:9.3f}" for v in row), flush=True)


def numpy_match(atoms, X, rows=32):
    """Compare all voxels with all atoms, in blocks of the fastest size."""
    best = np.empty(len(X), dtype=int)
    for first in range(0, len(X), rows):
        best[first : first + rows] = np.abs(X[first : first + rows] @ atoms).argmax(axis=1)
    return best


def part_matching(model, train, network):
    """Speed of matching, and the effect of interpolation on errors."""
    for n_atoms, n in ((20_000, 20_000), (200_000, 4000)):
        X, y = make_fingerprints(model, n_atoms, random_state=14)
        reg = DictionaryRegressor(model).fit(X, y)
        between = DictionaryRegressor(model, n_neighbors=20, interpolate=True).fit(X, y)
        atoms = np.ascontiguousarray(reg.atoms_.conj().T.astype(np.complex64))
        for snr in (30.0, 100.0, 400.0):
            X, theta, crb = draws(model, n, snr, 15)
            ours = predict_rate(reg, X)
            single = X.astype(np.complex64)
            theirs = cpu_rate(lambda X=single, atoms=atoms: numpy_match(atoms, X), n)
            same = np.mean(reg.kneighbors(X)[1][:, 0] == numpy_match(atoms, single))
            print(
                f"  {n_atoms} atoms, SNR {snr:g}: {ours:.0f} voxels/s of CPU time, "
                f"{predict_rate(between, X):.0f} between 20, NumPy in single precision "
                f"{theirs:.0f}; {100 * same:.2f} % the same",
                flush=True,
            )
            if n_atoms == 20_000:
                report("best match", model, theta, reg.predict(X), crb)
                report("between 20", model, theta, between.predict(X), crb)


def part_slice(model, train, network, path):
    """Maps of a measured slice."""
    with np.load(path) as file:
        X = file["coefficients"][file["mask"]].astype(complex)
    frozen, maps = FrozenEstimator(network), {}
    for name, reg in {
        "network": network,
        "network and one step": OneStepRegressor(frozen, model, n_jobs=2).fit(*train),
        "NLLS from the network": NLLSRegressor(model, initial=frozen, n_jobs=2).fit(*train),
        "NLLS from a dictionary": NLLSRegressor(model, n_jobs=2).fit(*train),
    }.items():
        reg.predict(X[:64])
        start = time.perf_counter()
        maps[name] = reg.predict(X)
        print(f"  {name:24} {time.perf_counter() - start:6.1f} s, {len(X)} voxels")
    best = maps["NLLS from the network"]
    # White matter has many macromolecules and relaxes fast.
    white = (best[:, 0] > 0.14) & (best[:, 1] > 0.6) & (best[:, 1] < 1.2)
    print(f"  medians of {white.sum()} voxels of white matter, and median differences")
    low, high = model.bounds.T
    for name, values in maps.items():
        ends = np.minimum(values - low, high - values) < 1e-4 * (high - low)
        print(
            f"    {name:24} at a bound, %"
            + "".join(f"{v:7.1f}" for v in 100 * ends.mean(0))
        )
        centre = np.median(values[white], axis=0)
        apart = np.median(values[white] - best[white], axis=0)
        print(f"    {name:24}" + "".join(f"{v:11.4g}" for v in centre))
        print(f"    {'':24}" + "".join(f"{v:11.2g}" for v in apart))


def match_a_million(model):
    """Match a million voxels with 200,000 atoms; print the peak memory of the process."""
    reg = DictionaryRegressor(model)
    reg.fit(*make_fingerprints(model, 200_000, random_state=16))
    clean = reg.atoms_[:100_000]
    X = np.empty((1_000_000, model.n_features), dtype=np.complex64)
    for k in range(10):
        X[k * 100_000 : (k + 1) * 100_000] = add_noise(
            clean, 200.0, np.random.default_rng(k)
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    start = time.perf_counter()
    reg.predict(X)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"  {peak:.2f} GB at most ({before:.2f} before), {seconds:.0f} s", flush=True)


def train_network(model, minutes, n=200_000):
    """Train a network, on all threads."""
    start = time.perf_counter()
    X, y, crb = make_fingerprints(model, n, snr=SNR_RANGE, return_crb=True, random_state=0)
    left = 60 * minutes - (time.perf_counter() - start)
    options = dict(snr=SNR_RANGE, max_time=max(left, 1.0), max_iter=1000, random_state=0)
    network = CRBRegressor(model, **options).fit(X, y, crb=crb)
    print(f"network: {time.perf_counter() - start:.0f} s, {network.n_iter_} epochs")
    return network, (X[:20_000], y[:20_000])


def load_model(arguments):
    """Return the model of compressed signals."""
    sequence = HybridStateSequence.from_file(arguments.sequence)
    with np.load(arguments.basis) as file:
        return MagnetizationTransfer(sequence).compress(file["basis"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequence", type=Path, required=True)
    parser.add_argument("--basis", type=Path, required=True, help="file with `basis`")
    parser.add_argument("--slice", type=Path, help="file with `coefficients` and `mask`")
    parser.add_argument("--minutes", type=float, default=10.0, help="to train the network")
    parser.add_argument("--network", type=Path, help="where to keep the trained network")
    parser.add_argument("--scipy", type=int, default=200, help="voxels that SciPy fits")
    parser.add_argument("--draws", type=int, default=2000, help="of the part fluid")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:-1])
    arguments = parser.parse_args()
    for category in (AtBoundWarning, NoiseLevelWarning, SingularInformationWarning):
        warnings.simplefilter("ignore", category)
    model = load_model(arguments)
    if arguments.network is not None and arguments.network.exists():
        network, train = joblib.load(arguments.network)
    else:
        network, train = train_network(model, arguments.minutes)
        if arguments.network is not None:
            joblib.dump((network, train), arguments.network)
    # One thread, unless stated otherwise.
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for part in arguments.parts:
            print(f"{part}; columns: {', '.join(model.parameter_names)}", flush=True)
            if part == "memory":
                context = multiprocessing.get_context("spawn")
                process = context.Process(target=match_a_million, args=(model,))
                process.start()
                process.join()
            elif part == "slice":
                if arguments.slice is not None:
                    part_slice(model, train, network, arguments.slice)
            elif part == "least-squares":
                part_least_squares(model, train, network, arguments.scipy)
            elif part == "fluid":
                part_fluid(model, train, network, arguments.draws)
            else:
                globals()[f"part_{part.replace('-', '_')}"](model, train, network)


if __name__ == "__main__":
    main()
