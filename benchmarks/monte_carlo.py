"""Variance and bias of least squares over the Cramér-Rao bound, for every model.

    PYTHONPATH=. python benchmarks/monte_carlo.py

simulates one tissue of each model many times: first with so little noise that the largest
standard deviation by the bound is 2 % of its parameter, or of the period of one that has
one, then with abs(M0)/sigma = 50.
Printed are the signal-to-noise ratio; for each parameter the standard deviation by the
bound in percent, variance over bound, and bias over standard deviation; and the share of
voxels with an estimate at a bound. Least squares learn nothing of the tissue. Magnitudes
have Rician noise, and the bound is that of these data. From n repeats, the standard
deviation of a variance is sqrt(2 / n) of it.
"""

import argparse
import time
import warnings

import numpy as np

from crbestim import NLLSRegressor
from crbestim.bounds import cramer_rao_bound, noise_of_signals
from crbestim.datasets import make_fingerprints
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
    SpoiledGradientEcho,
    SpoiledMagnetizationTransfer,
)
from crbestim.noise import add_noise, noise_of_data
from crbestim.parameters import wrapped_error
from crbestim.sequences import HybridStateSequence
from crbestim.subspace import SubspaceProjection

TE = 0.01 * np.arange(1, 13)
GRADIENT_TE = 0.004 * np.arange(1, 13)
MANY_TE = 0.01 * np.arange(1, 33)
PULSES = 0.02 + 0.15 * np.arange(20)
HEART = (*MOLLI.schedule("5(3)3", (0.12, 0.2), 0.9), 2.7e-3, np.deg2rad(35), 64)
PAIR = [0.8, 2.7], 7e-3, 6.0, np.deg2rad([4, 5]), 160
TI = np.array([0.05, 0.2, 0.5, 1.0, 2.0, 4.0])
ALPHA, B1_ALPHA = np.deg2rad([3, 6, 10, 15, 20, 30]), np.deg2rad([3, 8, 15, 30, 60, 120])
ECHOES = dict(alpha=np.tile(ALPHA, 3), tr=0.03, te=np.repeat([3e-3, 1e-2, 2e-2], 6))
B = 1e6 * np.array([0, 10, 20, 30, 50, 80, 120, 200, 400, 600, 800, 1000])

# Typical values of white matter.
TISSUE = dict(
    T1=0.9, T2=0.07, T2star=0.045, offset=0.05, fraction=0.12, T2short=0.018, T2long=0.08,
    efficiency=0.9, B1=0.95, f=0.1, D=0.8e-9, Dstar=15e-9, M0=1.0, S0=1.0, omega0=30.0,
    R2=13.0, R2s=22.0, m0s=0.18, R1=0.9, R1f=0.5, R1s=3.0, R2f=13.0, Rx=20.0, T2s=12e-6,
)  # fmt: skip


def fisp(**options):
    """Return a train of 200 pulses after an inversion."""
    alpha = np.deg2rad(8 + 45 * np.abs(np.sin(np.arange(200) * np.pi / 100)))
    return FISPFingerprinting(alpha, 0.013, 3e-3, inversion_time=0.02, **options)


# A protocol of two powers at five offsets, and echoes of other flip angles without pulses.
SATURATION = (
    np.concatenate([np.tile([443, 1088, 2732, 6862, 17235], 2), np.full(3, 1000)]),
    np.repeat([316, 948, 0], [5, 5, 3]),
    np.deg2rad([7] * 10 + [3, 15, 25]),
    0.025,
    np.repeat([0.0102, 0], [10, 3]),
)


def compressed(model, n_components):
    """Return a model of coefficients in the basis of brain fingerprints."""
    X, _ = make_fingerprints(model, 1000, random_state=0)
    return model.compress(SubspaceProjection(n_components).fit(X).components_.T)


def both(model, *args, **options):
    """Return a model of complex signals, and one of magnitudes."""
    return {
        signal: lambda signal=signal: model(*args, signal=signal, **options)
        for signal in ("complex", "magnitude")
    }


MODELS = {
    "T2": both(MonoExponential, TE)
    | {"Rician": lambda: MonoExponential(TE, signal="magnitude", noise="rician")},
    "T2, offset": both(MonoExponential, MANY_TE, offset=True),
    "T2*": both(MonoExponential, GRADIENT_TE, parameter="T2star"),
    "two T2": both(BiExponential, MANY_TE),
    "T1": both(InversionRecovery, TI, tr=6.0),
    "Look-Locker": both(LookLocker, PULSES, 0.01, np.deg2rad(5), tr=4.0),
    "MOLLI": both(MOLLI, *HEART),
    "MP2RAGE": {
        signal: lambda signal=signal: MP2RAGE(*PAIR, signal=signal)
        for signal in ("uni", "complex")
    },
    "CPMG": both(MultiEchoSpinEcho, MANY_TE),
    "CPMG, B1 known": {
        "magnitude": lambda: MultiEchoSpinEcho(MANY_TE).fix(B1=0.95),
    },
    "CPMG, 120 degrees": both(MultiEchoSpinEcho, MANY_TE, refocusing=2 * np.pi / 3),
    "CPMG, T1": both(MultiEchoSpinEcho, MANY_TE, refocusing=2 * np.pi / 3, t1=None),
    "SPGR": both(SpoiledGradientEcho, ALPHA, 0.015),
    "SPGR, B1": both(SpoiledGradientEcho, B1_ALPHA, 0.03, b1=True),
    "SPGR, T2*": both(SpoiledGradientEcho, **ECHOES),
    "MTsat": both(MTsat, np.deg2rad([6, 6, 21]), 0.025),
    "MTsat, R2*": both(MTsat, np.deg2rad([6, 6, 21]), 0.025, te=GRADIENT_TE),
    "qMT": both(SpoiledMagnetizationTransfer, *SATURATION),
    "double angle": both(DoubleAngle, np.pi / 3),
    "AFI": both(ActualFlipAngle, np.pi / 3, [0.02, 0.1]),
    "Bloch-Siegert": {"complex": lambda: BlochSiegert(10e-6, kbs=74e8)},
    "B0": {
        "two echoes": lambda: FieldMap([0.002, 0.004]),
        "R2*": lambda: FieldMap(0.002 + 0.0013 * np.arange(6), r2s=True),
    },
    "phase cycles": {
        "complex": lambda: PhaseCycledSSFP(np.pi / 6, 5e-3, np.pi / 4 * np.arange(8)),
    },
    "IVIM": both(IntravoxelIncoherentMotion, B),
    "FISP": {"complex": fisp},
    "FISP, B1": {"compressed": lambda: compressed(fisp(b1=True), 10)},
    "bSSFP": {
        "compressed": lambda: compressed(
            BalancedSteadyState(HybridStateSequence.default()), 13
        )
    },
    "MT": {
        name: lambda joint=joint: compressed(
            MagnetizationTransfer(HybridStateSequence.default(), joint_r1=joint), 13
        )
        for name, joint in (("joint R1", True), ("separate R1", False))
    },
}


def deviations(model, theta):
    """Return standard deviations by the bound at SNR 1, and values."""
    bound = np.sqrt(cramer_rao_bound(model, theta, noise_std=1e-6)[0]) / 1e-6
    return bound, np.where(np.isfinite(model.periods), model.periods, np.abs(theta[0]))


def report(model, snr, n, seed=0):
    """Print a line for each parameter of n repeats."""
    theta = np.array([[TISSUE[name] for name in model.parameter_names]])
    noise = noise_of_data(model)
    unit, scale = deviations(model, theta)
    if snr is None:
        snr = np.max(np.where(np.isfinite(unit), unit / scale, 0.0)) / 0.02
    crb = cramer_rao_bound(model, theta, noise_std=1 / snr, noise=noise)[0]
    signals = np.repeat(model.signal(theta), n, axis=0)
    sigma = noise_of_signals(model, theta, 1 / snr)[0]
    X = add_noise(signals, 1 / sigma, np.random.default_rng(seed), noise=noise)
    start = time.perf_counter()
    reg = NLLSRegressor(model).fit(X[:1])
    estimates = reg.predict(X)
    seconds = time.perf_counter() - start
    truth = np.broadcast_to(theta, estimates.shape)
    errors, sd = wrapped_error(truth, estimates, model.periods), np.sqrt(crb)
    at_bound = (estimates == reg.bounds_[:, 0]) | (estimates == reg.bounds_[:, 1])
    print(f"    SNR {snr:.4g}, {n} repeats, {seconds:.0f} s")
    for k, name in enumerate(model.parameter_names):
        print(
            f"      {name:10} sd {100 * sd[k] / scale[k]:7.2f} %,"
            f" variance / bound {errors[:, k].var(ddof=1) / crb[k]:7.3f},"
            f" bias / sd {errors[:, k].mean() / sd[k]:7.3f},"
            f" at a bound {100 * at_bound[:, k].mean():6.2f} %",
            flush=True,
        )


def main():
    """Print both noise levels of all models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--repeats", type=int, default=20_000, help="a quarter at `snr`")
    parser.add_argument("--snr", type=float, default=50.0, help="of the second level")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in args.models:
        for variant, make in MODELS[name].items():
            print(f"{name}, {variant}", flush=True)
            model = make()
            report(model, None, args.repeats)
            report(model, args.snr, args.repeats // 4)


if __name__ == "__main__":
    main()
