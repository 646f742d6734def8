"""The list of models that drives every property test: a new model is one line here."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

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
    SignalModel,
    SpinLock,
    SpoiledGradientEcho,
    SpoiledMagnetizationTransfer,
)
from crbestim.sequences import HybridStateSequence
from tests.models import functions
from tests.models.functions import biexponential, magnitudes_of


class Biexponential(SignalModel):
    """Two decaying fractions, complex, and no Jacobian: a user's own model."""

    parameter_names = ("fraction", "R2a", "R2b")
    bounds = np.array([[0.0, 1.0], [1.0, 20.0], [30.0, 200.0]])

    def signal(self, theta):
        fraction, slow, fast = theta.T[:, :, None]
        t = np.linspace(0.0, 0.2, 12)
        return fraction * np.exp(-slow * t) + (1 - fraction) * np.exp(-(fast + 9j) * t)


class Recovery(SignalModel):
    """An inversion recovery, real, that gives its own Jacobian."""

    parameter_names = ("M", "R1")
    bounds = np.array([[0.1, 2.0], [0.2, 5.0]])
    times = np.array([0.05, 0.2, 0.5, 1.0, 3.0])

    def signal(self, theta, jacobian=False):
        m, r1 = np.asarray(theta, dtype=float).T[:, :, None]
        decay = np.exp(-r1 * self.times)
        s = m * (1 - 2 * decay)
        if not jacobian:
            return s
        return s, np.stack([1 - 2 * decay, 2 * m * self.times * decay], axis=-1)


def train(n, seed=0, inversion=True):
    """Return flip angles and durations of a train without a pattern."""
    rng = np.random.default_rng(seed)
    alpha, trf = rng.uniform(-0.5, 2.0, n), rng.uniform(1e-4, 5e-4, n)
    alpha[0] = np.pi if inversion else alpha[0]
    return alpha, trf


def mt(n=20, **options):
    """Return a model of one train without a pattern."""
    return MagnetizationTransfer(HybridStateSequence(*train(n), 3.5e-3), **options)


def two_trains():
    parts = zip(train(14, seed=1), train(9, seed=2), strict=True)
    return MagnetizationTransfer(HybridStateSequence(*map(list, parts), 3.5e-3))


def smooth(n=300, kind=MagnetizationTransfer):
    """Return a model of so many similar pulses that their maps are interpolated."""
    x = np.linspace(0, 1, n)
    alpha = np.append(np.pi, 1.5 * np.sin(3 * np.pi * x[1:]) ** 2)
    trf = 2e-4 + 3e-4 * np.cos(5 * x) ** 2
    return kind(HybridStateSequence(alpha, trf, 3.5e-3))


def water(n=20, **options):
    """Return a model of a single pool in one train without a pattern."""
    return BalancedSteadyState(HybridStateSequence(*train(n), 3.5e-3), **options)


def fisp(n=40, seed=0, **options):
    """Return a model of an inversion and pulses without a pattern."""
    rng = np.random.default_rng(seed)
    alpha, tr = rng.uniform(0.1, 1.2, n), rng.uniform(11e-3, 15e-3, n)
    return FISPFingerprinting(alpha, tr, 3e-3, **dict(inversion_time=20e-3) | options)


def quadratic(n):
    """Return phases of RF spoiling."""
    return np.deg2rad(117.0) * np.arange(n) ** 2 / 2


def qmt(**options):
    """Return a model of saturation at many offsets, and of echoes without it."""
    offset = [1e3, 2e3, 4e3, 8e3, 2e4, -1.5e3, 3e3, 6e3, 1e3, 1e3, 1e3]
    w1rms = np.repeat([400.0, 900.0, 0.0], [5, 3, 3])
    alpha = np.deg2rad([7.0] * 8 + [3.0, 10.0, 25.0])
    tr, duration = np.repeat([0.03, 0.02], [8, 3]), np.repeat([0.01, 0.0], [8, 3])
    return SpoiledMagnetizationTransfer(offset, w1rms, alpha, tr, duration, **options)


def orthonormal(n, n_components, seed=0, dtype=float):
    """Return a random orthonormal basis, real or complex."""
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((n, n_components)).astype(dtype)
    if dtype is complex:
        basis += 1j * rng.standard_normal((n, n_components))
    return np.linalg.qr(basis)[0]


TE = 0.01 * np.arange(1, 13)
IRREGULAR_TE = np.array([0.0, 2e-3, 5e-3, 9.1e-3, 0.03])
TI = np.array([0.0, 0.05, 0.15, 0.4, 0.9, 1.8, 3.0])
TS = np.array([0.1, 0.25, 0.5, 0.8, 1.2, 2.0])
TSL = np.array([0.0, 0.01, 0.02, 0.04, 0.06, 0.1])
ALPHA = np.deg2rad([0.0, 3.0, 8.0, 15.0, 60.0, 120.0])
TRS, SPGR_TE = np.tile([5e-3, 0.03], 3), np.repeat([2e-3, 5e-3, 0.02], 2)
B = 1e6 * np.array([0, 10, 20, 50, 100, 200, 400, 800, 1000])

PROFILE = dict(
    refocusing=np.outer([3.3, 2.5, 1.2], np.linspace(1.0, 0.8, 12)),
    excitation=[1.6, 1.4, 0.8],
)
WEIGHTED = np.deg2rad([6.0, 6.0, 21.0])
WEIGHTED_TE = [np.array([2e-3, 4e-3, 7e-3]), np.array([2e-3, 5e-3]), np.array([3e-3])]
COMPLEX = dict(signal="complex")
AFI = np.pi / 3, [0.02, 0.1]
CYCLES = 2 * np.pi * np.arange(6) / 6
PAIR = [0.8, 2.7], 7e-3, 6.0, np.deg2rad([4.0, 5.0]), 160
TRAIN = 0.02 + 0.05 * np.arange(20), 0.01, 0.1
HEART = (*MOLLI.schedule("5(3)3", (0.12, 0.2), 0.9), 3e-3, np.deg2rad(35.0), (20, 30))
MAGNITUDE = dict(signal="magnitude")
RICIAN = dict(signal="magnitude", noise="rician")

MODELS = {
    "T2": lambda: MonoExponential(TE),
    "T2, offset": lambda: MonoExponential(TE, offset=True),
    "T2, offset, magnitude": lambda: MonoExponential(TE, offset=True, **RICIAN),
    "T2*": lambda: MonoExponential(TE, parameter="T2star"),
    "T2*, offset": lambda: MonoExponential(IRREGULAR_TE, parameter="T2star", offset=True),
    "T2*, magnitude": lambda: MonoExponential(TE, parameter="T2star", **MAGNITUDE),
    "T2*, complex basis": lambda: MonoExponential(TE, parameter="T2star").compress(
        orthonormal(12, 5, dtype=complex)
    ),
    "two T2": lambda: BiExponential(TE),
    "two T2, magnitude": lambda: BiExponential(TE, **MAGNITUDE),
    "T1": lambda: InversionRecovery(TI),
    "T1, TR": lambda: InversionRecovery(TI, tr=3.0),
    "T1, magnitude": lambda: InversionRecovery(TI, tr=3.0, **RICIAN),
    "T1star": lambda: InversionRecovery(TI, bounds={"efficiency": (0.5, 3.0)}),
    "Look-Locker": lambda: LookLocker(*TRAIN, tr=4.0),
    "Look-Locker, B1, magnitude": lambda: LookLocker(*TRAIN, b1=True, **RICIAN),
    "MOLLI": lambda: MOLLI(*HEART),
    "MOLLI, T2, B1": lambda: MOLLI(*HEART, t2=None, b1=True, signal="complex"),
    "MP2RAGE": lambda: MP2RAGE(*PAIR),
    "MP2RAGE, B1": lambda: MP2RAGE(*PAIR, b1=True),
    "MP2RAGE, both images": lambda: MP2RAGE(*PAIR, b1=True, signal="complex"),
    "SR": lambda: SaturationRecovery(TS),
    "SR, TR, magnitude": lambda: SaturationRecovery(TS, tr=2.5, **RICIAN),
    "T1rho": lambda: SpinLock(TSL),
    "T1rho, TR": lambda: SpinLock(TSL, tr=1.5, flip_angle=0.4, **COMPLEX),
    "T1rho, T1": lambda: SpinLock(TSL, tr=TSL + 0.8, flip_angle=1.2, t1=None, **RICIAN),
    "CPMG": lambda: MultiEchoSpinEcho(TE),
    "CPMG, T1, complex": lambda: MultiEchoSpinEcho(
        TE, refocusing=2.1, t1=None, signal="complex"
    ),
    "CPMG, no B1": lambda: MultiEchoSpinEcho(TE, refocusing=2.1, b1=False),
    "CPMG, slice profile": lambda: MultiEchoSpinEcho(TE, **PROFILE, t1=None, **RICIAN),
    "SPGR": lambda: SpoiledGradientEcho(ALPHA, 0.02),
    "SPGR, B1": lambda: SpoiledGradientEcho(ALPHA, TRS, b1=True),
    "SPGR, B1, magnitude": lambda: SpoiledGradientEcho(ALPHA, 0.02, b1=True, **MAGNITUDE),
    "SPGR, T2*": lambda: SpoiledGradientEcho(ALPHA, TRS, te=SPGR_TE),
    "SPGR, B1, T2*, magnitude": lambda: SpoiledGradientEcho(
        ALPHA, TRS, te=SPGR_TE, b1=True, **RICIAN
    ),
    "MTsat": lambda: MTsat(WEIGHTED, 0.025),
    "MTsat, B1, R2s": lambda: MTsat(
        WEIGHTED, [0.025, 0.022, 0.02], te=WEIGHTED_TE, b1=True, **RICIAN
    ),
    "MTsat, R2s, complex": lambda: MTsat(
        WEIGHTED, 0.025, te=WEIGHTED_TE[0], signal="complex"
    ),
    "qMT": qmt,
    "qMT, two rates, B1": lambda: qmt(joint_r1=False, b1=True, **RICIAN),
    "qMT, all options": lambda: qmt(
        b1=True, off_resonance=True, delay=3e-3, excitation_duration=1e-3, **COMPLEX
    ),
    "qMT, Gaussian": lambda: qmt(lineshape="gaussian", excitation_duration=1e-3),
    "qMT, Lorentzian": lambda: qmt(lineshape="lorentzian", joint_r1=False),
    "IVIM": lambda: IntravoxelIncoherentMotion(B),
    "IVIM, complex": lambda: IntravoxelIncoherentMotion(B, signal="complex"),
    "double angle": lambda: DoubleAngle(AFI[0]),
    "double angle, T1": lambda: DoubleAngle(AFI[0], tr=1.0, t1=None, signal="complex"),
    "AFI": lambda: ActualFlipAngle(*AFI, **RICIAN),
    "AFI, T1, complex": lambda: ActualFlipAngle(*AFI, t1=None, signal="complex"),
    "Bloch-Siegert": lambda: BlochSiegert(10e-6, kbs=74e8),
    "Bloch-Siegert, pulse": lambda: BlochSiegert(
        8e-6, pulse=[1, 2, 2, 1], duration=8e-3, offset=25e3
    ),
    "B0": lambda: FieldMap([0.002, 0.004]),
    "B0, R2*": lambda: FieldMap(IRREGULAR_TE, r2s=True),
    "phase cycles": lambda: PhaseCycledSSFP(0.5, 5e-3, CYCLES),
    "phase cycles, B1": lambda: PhaseCycledSSFP(
        np.linspace(0.2, 1.0, 6), 5e-3, CYCLES, te=2e-3, b1=True
    ),
    "bSSFP": water,
    "bSSFP, thermal": lambda: water(steady_state="thermal"),
    "bSSFP, interpolated": lambda: smooth(kind=BalancedSteadyState),
    "bSSFP, complex basis": lambda: water(24).compress(orthonormal(24, 6, dtype=complex)),
    "MT": mt,
    "MT, two rates": lambda: mt(joint_r1=False),
    "MT, thermal": lambda: mt(steady_state="thermal"),
    "MT, Lorentzian": lambda: mt(lineshape="lorentzian"),
    "MT, Gaussian, two rates": lambda: mt(lineshape="gaussian", joint_r1=False),
    "MT, R1s fixed": lambda: mt(joint_r1=False).fix(R1s=3.0),
    "MT, two trains": two_trains,
    "MT, interpolated": smooth,
    "MT, real basis": lambda: mt(24).compress(orthonormal(24, 10)),
    "MT, complex basis": lambda: mt(24).compress(orthonormal(24, 10, dtype=complex)),
    "FISP": fisp,
    "FISP, long": lambda: fisp(200),
    "FISP, B1": lambda: fisp(b1=True),
    "FISP, phases": lambda: fisp(b1=True, phase=quadratic(40), inversion_time=None),
    "FISP, few states": lambda: fisp(n_states=5),
    "FISP, real basis": lambda: fisp(b1=True).compress(orthonormal(40, 10)),
    "FISP, complex basis": lambda: fisp(phase=quadratic(40)).compress(
        orthonormal(40, 10, dtype=complex)
    ),
    "user's, complex": Biexponential,
    "user's, real": Recovery,
    "user's, real basis": lambda: Biexponential().compress(orthonormal(12, 5)),
    "function of many samples": biexponential,
    "function of one sample": lambda: biexponential(functions.of_one),
    "function with its Jacobian": lambda: biexponential(
        functions.of_one, jacobian=functions.jacobian_of_one
    ),
    "numba": lambda: biexponential(functions.compiled),
    "torch": lambda: biexponential(functions.of_tensor, backend="torch"),
    "magnitude of a function": magnitudes_of,
    "magnitude by numba": lambda: magnitudes_of(functions.turning_recovery),
    "user's, complex basis": lambda: Recovery().compress(orthonormal(5, 3, 0, complex)),
}


def limits(model):
    """Return the bounds of a model, those of an amplitude made finite."""
    endless = np.isinf(model.bounds)
    return np.where(endless.any(axis=1, keepdims=True), [0.01, 3.0], model.bounds)


def draw(model, n, seed=0):
    """Return parameters within the bounds, a quarter of them at an end."""
    rng = np.random.default_rng(seed)
    unit = rng.random((n, model.n_parameters))
    unit = np.where(rng.random(unit.shape) < 0.25, unit.round(), unit)
    low, high = limits(model).T
    return np.clip(low + (high - low) * unit, low, high)


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread():
    """Keep threads from waiting for each other at every matrix of six rows."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session", params=MODELS.values(), ids=MODELS)
def model(request):
    """Return each model of the list in turn; tests leave it as it is."""
    return request.param()


@pytest.fixture
def theta(model):
    """Return six sets of parameters of the model."""
    return draw(model, 6)
