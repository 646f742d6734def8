"""The default network on problems of several sizes, beside scikit-learn's regressors.

    python benchmarks/networks.py [--problems NAME ...] [--samples 500 2000 20000]
        [--snr 20 100 1000] [--seeds 0 1 2] [--limit 1500] [--steps 1]
        [--references NAME ...] [--parameters NAME ...]
    python benchmarks/networks.py --problems two-pool --sequence FILE --basis FILE

Each problem is learned from signals at signal-to-noise ratios of half the given one to one
and a half times it, all settings being defaults, and judged by 4000 other fingerprints at
that ratio. Printed are the CPU time of ``fit``, the CRB loss, and for each parameter the
median of error^2/CRB over that of a chi-square variable; in the end, the problems in which
the network's loss is above one and a half times that of the best reference. The references
get real and imaginary parts without the phase, scaled like the targets to zero mean and
unit variance; least squares have nothing to learn. Every fingerprint has amplitude 1, which
no user has in a voxel: so references see magnitudes scaled to norm 1, and an amplitude is
left out of the loss. ``--references`` names the regressors of scikit-learn to compare with,
none if no name follows. ``--limit N`` adds the least loss that any estimator can have, over
the first N of the other fingerprints, with its standard error. ``--steps N`` adds what N
steps of least squares make of the network's estimates. ``--parameters`` names those that
count, by default all. ``--sequence`` and ``--basis`` replace the sequence of the problems
two-pool and steady-state, and compress their signals. Of each parameter it is also printed
how many bits the other fingerprints tell about it: the binary logarithm of its spread over
the standard deviation of a typical one.
"""

import argparse
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from crbestim import CRBRegressor, NLLSRegressor, OneStepRegressor
from crbestim.datasets import make_fingerprints
from crbestim.metrics import bayes_risk, wrapped_error
from crbestim.models import (
    MOLLI,
    MP2RAGE,
    ActualFlipAngle,
    BalancedSteadyState,
    BiExponential,
    BlochSiegert,
    DoubleAngle,
    FieldMap,
    FISPFingerprinting,
    IntravoxelIncoherentMotion,
    InversionRecovery,
    LookLocker,
    MagnetizationTransfer,
    MonoExponential,
    MTsat,
    MultiEchoSpinEcho,
    PhaseCycledSSFP,
    SaturationRecovery,
    SpinLock,
    SpoiledGradientEcho,
    SpoiledMagnetizationTransfer,
)
from crbestim.sequences import HybridStateSequence
from crbestim.subspace import ComplexToReal

N_TEST = 4000
CHI2_MEDIAN = 0.454936
FAR = 1.5


def fisp(n=300, b1=False):
    """Fingerprinting without a basis: most of its 600 real numbers are noise."""
    k = np.arange(n)
    alpha = np.deg2rad(5 + 55 * np.abs(np.sin(np.pi * k / 150))) * (
        0.7 + 0.3 * np.cos(k / 40)
    )
    return FISPFingerprinting(alpha, 0.012, 0.003, inversion_time=0.02, b1=b1)


def ivim():
    """Eighteen b-values, in s/m^2."""
    return IntravoxelIncoherentMotion(1e6 * np.r_[0:100:10, 100:900:100])


def molli():
    """Eleven images of a heart that beats 67 times a minute, in the scheme 5(3)3."""
    schedule = MOLLI.schedule("5(3)3", (0.12, 0.2), 0.9)
    return MOLLI(*schedule, 3e-3, np.deg2rad(35.0), (20, 30))


def saturation():
    """Saturation by two powers at four offsets, and three echoes without it."""
    offset = [1e3, 2e3, 4e3, 2e4] * 2 + [1e3] * 3
    power = np.repeat([400.0, 900.0, 0.0], [4, 4, 3])
    alpha = np.deg2rad([7.0] * 8 + [3.0, 10.0, 25.0])
    tr, duration = np.repeat([0.03, 0.02], [8, 3]), np.repeat([0.01, 0.0], [8, 3])
    return SpoiledMagnetizationTransfer(offset, power, alpha, tr, duration)


def on_sequence(model, sequence=None, basis=None):
    """Return a model of the library's own sequence or a file's, on the basis of a file."""
    if sequence is None:
        return model(HybridStateSequence.default())
    whole = model(HybridStateSequence.from_file(sequence))
    if basis is None:
        return whole
    with np.load(basis) as file:
        return whole.compress(file["basis"])


PROBLEMS = {
    "bi-exponential": lambda: BiExponential(0.01 * np.arange(1, 13)),
    "inversion-recovery": lambda: InversionRecovery(np.geomspace(0.02, 4, 10)),
    "fisp": fisp,
    "fisp-1000": lambda: fisp(1000),
    "fisp-b1": lambda: fisp(400, b1=True),
    "decay": lambda: MonoExponential(0.01 * np.arange(1, 9), signal="magnitude"),
    "decay-2000": lambda: MonoExponential(2e-4 * np.arange(1, 2001), signal="magnitude"),
    "ivim": ivim,
    "spin-echo": lambda: MultiEchoSpinEcho(0.01 * np.arange(1, 33)),
    "spoiled-echo": lambda: SpoiledGradientEcho(np.deg2rad([3, 10, 20]), 0.015),
    "two-pool": partial(on_sequence, MagnetizationTransfer),
    "steady-state": partial(on_sequence, BalancedSteadyState),
    "look-locker": lambda: LookLocker(0.02 + 0.05 * np.arange(20), 0.01, 0.1, tr=4.0),
    "molli": molli,
    "mp2rage": lambda: MP2RAGE([0.8, 2.7], 7e-3, 6.0, np.deg2rad([4.0, 5.0]), 160),
    "mtsat": lambda: MTsat(np.deg2rad([6.0, 6.0, 21.0]), 0.025),
    "saturation": saturation,
    "saturation-recovery": lambda: SaturationRecovery(np.geomspace(0.05, 4, 10)),
    "spin-lock": lambda: SpinLock([0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1]),
    "double-angle": lambda: DoubleAngle(np.pi / 3),
    "actual-flip-angle": lambda: ActualFlipAngle(np.pi / 3, [0.02, 0.1]),
    "bloch-siegert": lambda: BlochSiegert(10e-6, kbs=74e8),
    "field-map": lambda: FieldMap([0.002, 0.004]),
    "phase-cycles": lambda: PhaseCycledSSFP(0.5, 5e-3, np.pi / 3 * np.arange(6)),
}
ON_SEQUENCE = {"two-pool", "steady-state"}
TABLE = ["bi-exponential", "inversion-recovery", "fisp"]
REFERENCES = {
    "perceptron": partial(MLPRegressor, hidden_layer_sizes=(100, 100)),
    "extra trees": ExtraTreesRegressor,
}


def on_scaled_data(regressor):
    """Return a scikit-learn regressor of complex signals."""
    scaled = make_pipeline(ComplexToReal(normalize=True), StandardScaler(), regressor)
    return TransformedTargetRegressor(scaled, transformer=StandardScaler())


def on_scaled_reals(regressor, *normalize):
    """Return a scikit-learn regressor of real signals."""
    scaled = make_pipeline(*normalize, StandardScaler(), regressor)
    return TransformedTargetRegressor(scaled, transformer=StandardScaler())


def estimators(model, snr, seed, references):
    """Return the estimators that learn, by name."""
    normalize = () if model.amplitude is None else (Normalizer(),)

    def scaled(regressor):
        if model.is_complex:
            return on_scaled_data(regressor)
        return on_scaled_reals(regressor, *normalize)

    found = {"CRBRegressor": CRBRegressor(model, snr=snr, random_state=seed)}
    for name in references:
        found[name] = scaled(REFERENCES[name](random_state=seed))
    return found


def ratios(model, y, estimates, crb, counted):
    """Return error^2/CRB of the parameters that count, NaN for infinite bounds.

    An amplitude does not count, and all others do if none are named.
    """
    error = wrapped_error(y, estimates, model.periods)
    ratio = np.where(np.isfinite(crb), error**2 / crb, np.nan)
    return ratio[:, columns(model, counted)]


def columns(model, counted):
    """Return the columns of the parameters that count."""
    names = [name for name in model.parameter_names if name != model.amplitude]
    return [model.parameter_names.index(name) for name in counted or names]


def judge(name, estimator, data, test, model, counted):
    """Fit an estimator, print what it does, and return its loss."""
    X, y, crb = data
    given = {"crb": crb} if name == "CRBRegressor" else {}
    start = time.process_time()
    estimator.fit(X, y, **given)
    seconds = time.process_time() - start
    X, y, crb = test
    estimates = np.reshape(estimator.predict(X), y.shape)
    ratio = ratios(model, y, estimates, crb, counted)
    medians = " ".join(f"{m:8.3g}" for m in np.nanmedian(ratio, axis=0) / CHI2_MEDIAN)
    loss = np.nanmean(ratio)
    print(f"  {name:16}{seconds:8.1f} s{loss:12.4g}   {medians}", flush=True)
    return loss


def print_limit(model, snr, y, crb, counted):
    """Print the loss of the best possible estimator, as `judge` prints that of others."""
    start = time.process_time()
    limit = bayes_risk(model, y, snr, random_state=0)
    ratio = ratios(model, y, limit.estimates, crb, counted)
    of_voxels = np.nanmean(ratio, axis=1)
    n = np.isfinite(of_voxels).sum()
    seconds = time.process_time() - start
    print(f"  {'limit':16}{seconds:8.1f} s{np.nanmean(ratio):12.4g}   ", end="")
    print(f"+- {np.nanstd(of_voxels) / n**0.5:.2g}, {limit.n_left_out} left out; ", end="")
    print("of each parameter", *np.round(limit.risk, 3), flush=True)


def compare(title, model, snr, arguments):
    """Print the estimators on one problem; return by how much ours is above the best.

    By number of fingerprints: the largest ratio of all seeds.
    """
    options, counted = dict(return_crb=True), arguments.parameters
    test = make_fingerprints(model, N_TEST, snr=snr, random_state=99, **options)
    spread, typical = test[1].var(axis=0), np.median(test[2], axis=0)
    bits = 0.5 * np.log2(1 + spread / typical)[columns(model, counted)]
    told = " ".join(f"{n:.1f}" for n in bits)
    print(f"{title}, SNR {snr:g}, bits {told}: time, loss, medians")
    if arguments.limit:
        first = (part[: arguments.limit] for part in test[1:])
        print_limit(model, snr, *first, counted)
    others = make_fingerprints(model, N_TEST, snr=snr, random_state=0, **options)
    judged = test, model, counted
    squares = judge("least squares", NLLSRegressor(model), others, *judged)
    snr_range, worst = (snr / 2, 1.5 * snr), {}
    for n in arguments.samples:
        for seed in arguments.seeds:
            print(f"  {n} fingerprints, seed {seed}")
            data = make_fingerprints(model, n, snr=snr_range, random_state=seed, **options)
            found = estimators(model, snr_range, seed, arguments.references).items()
            ours, *theirs = (judge(*named, data, *judged) for named in found)
            if arguments.steps:
                network = estimators(model, snr_range, seed, [])["CRBRegressor"]
                refined = OneStepRegressor(network, model, n_steps=arguments.steps)
                judge("with steps", refined, data, *judged)
            worst[n] = max(worst.get(n, 0.0), ours / min(theirs + [squares]))
    return worst


def main():
    parser = argparse.ArgumentParser(description="Networks on problems of several sizes.")
    parser.add_argument("--problems", nargs="+", default=TABLE, choices=list(PROBLEMS))
    parser.add_argument("--samples", type=int, nargs="+", default=[500, 2000, 20_000])
    parser.add_argument("--snr", type=float, nargs="+", default=[100.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--limit", type=int, default=0, metavar="N")
    parser.add_argument("--steps", type=int, default=0, metavar="N")
    names = dict(choices=list(REFERENCES), default=list(REFERENCES))
    parser.add_argument("--references", nargs="*", **names)
    parser.add_argument("--parameters", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--sequence", type=Path, help="file of another sequence")
    parser.add_argument("--basis", type=Path, help="file with `basis`")
    arguments = parser.parse_args()
    if arguments.basis and not arguments.sequence:
        parser.error("--basis needs --sequence")
    if arguments.sequence and not ON_SEQUENCE.intersection(arguments.problems):
        parser.error(f"--sequence is for the problems {', '.join(sorted(ON_SEQUENCE))}")
    warnings.simplefilter("ignore")
    far = []
    for title in arguments.problems:
        files = (arguments.sequence, arguments.basis) if title in ON_SEQUENCE else ()
        model = PROBLEMS[title](*files)
        for snr in arguments.snr:
            worst = compare(title, model, snr, arguments)
            for n, ratio in worst.items():
                if ratio > FAR:
                    far.append(f"{title}, {n} fingerprints, SNR {snr:g}: {ratio:.3g}")
    if far:
        print("times the loss of the best:", *far, sep="\n")


if __name__ == "__main__":
    main()
