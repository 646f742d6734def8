"""Speed and memory of the simulator compared with references, all in one process.

Signals of a hybrid-state sequence in its periodic steady state, compressed to 13
coefficients, with derivatives and Cramér-Rao bound:

    python benchmarks/simulation.py [--sequence FILE.npz] [--voxels 100000]

References are the dense matrix exponentials of the tests and, where it is installed,
blochsim. blochsim reaches the steady state by playing the train twice, has another model
of saturation, gives no derivative by T2s and works in single precision.
Medians of seven runs, or as many as fit in 20 s.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from crbestim.bounds import signal_and_bound
from crbestim.datasets.distributions import draw_parameters
from crbestim.models import MagnetizationTransfer
from crbestim.sequences import HybridStateSequence

ROOT = Path(__file__).resolve().parents[1]
N_COMPONENTS, N_RUNS = 13, 7
PREPARE = """
import time
start = time.perf_counter()
import numpy as np
from crbestim.models import MagnetizationTransfer
from crbestim.sequences import HybridStateSequence
data = np.load({file!r})
sequence = HybridStateSequence(data["alpha"], data["trf"], float(data["tr"]))
small = MagnetizationTransfer(sequence).compress(data["basis"])
imported = time.perf_counter()
"""
FIRST_CALL = """
small.signal([[0.1, 0.7, 13, 30, 1e-5, 0, 1]], jacobian=True)
print(imported - start, time.perf_counter() - imported)
"""
MEMORY = """
from crbestim.bounds import signal_and_bound
from crbestim.datasets.distributions import draw_parameters
def megabytes(entry):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(x for x in lines if x.startswith(entry)).split()[1]) / 1024
theta = draw_parameters(small, {voxels}, np.random.default_rng(1))
signal_and_bound(small, theta[:2048])
open("/proc/self/clear_refs", "w").write("5")  # reset the peak
before = megabytes("VmRSS")
results = signal_and_bound(small, theta)
print(sum(part.nbytes for part in results) / 2**20, megabytes("VmHWM") - before)
"""


def timed(work):
    """Return wall time and CPU time in seconds."""
    start, cpu_start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu_start


def rate(work, n):
    """Return the median number of voxels per second, in wall time."""
    work()
    clock = []
    while len(clock) < N_RUNS and sum(clock) < 20:
        clock.append(timed(work)[0])
    return n / np.median(clock)


def products_per_second():
    """Return floating-point operations per second of a matrix product on one thread."""
    a = np.random.default_rng(0).standard_normal((1500, 1500))
    return 2 * len(a) ** 3 * rate(lambda: a @ a, 1)


def operations(model, n_components, n_derivatives):
    """Count the multiplications and additions for one voxel.

    For each repetition: interpolation of its map (of the values twice, if derivatives are
    wanted), the five columns, the state with derivatives, and the projection. The
    exponentials at the nodes are left out.
    """
    n_nodes, d = model._pulses.weights.shape[3], n_derivatives
    first = 14 * n_nodes + 5 * 16 + 4 + 2 * 5 * n_components
    second = 14 * (1 + d) * n_nodes + 20 + 38 * d + 2 * d * n_components if d else 0
    return 2 * model.n_features * (first + second)


def blochsim_simulator(sequence):
    """Return (signal, derivatives) by blochsim, functions of theta, or None."""
    try:
        import torch
        from blochsim import Delay, Excitation, Inversion, Simulator, bSSFPReadout
    except ImportError:
        return None

    class Train(Simulator):
        inversion, excitation, delay = Inversion, Excitation, Delay
        readout, states = bSSFPReadout, 1

        def layout(self, *, flip, TR):
            parts, half = [], TR / 2
            for repetition in 2 * list(range(len(flip))):
                phase = torch.pi * (repetition % 2)
                pulse = self.operators.excitation(flip[repetition], phase)
                parts += [
                    pulse if repetition else self.operators.inversion(),
                    self.operators.delay(half),
                    self.operators.readout(phase, duration_s=half),
                ]
            return parts

    train = Train(flip=torch.tensor(sequence.alpha), TR=sequence.tr)

    def tissue(theta):
        m0s, r1, r2f, rx, _, omega0, b1 = torch.tensor(theta.T, dtype=torch.float32)
        return dict(
            T1=1e3 / r1, T2=1e3 / r2f, bound_fraction=m0s, bound_exchange=rx,
            bound_T1=1e3 / r1, B0=omega0 / (2 * torch.pi), B1=b1, M0=torch.ones(len(m0s)),
        )  # fmt: skip

    def derivatives(theta):
        values = tissue(theta)
        return train.jacobian(tuple(values), **values)

    torch.set_num_threads(1)
    return lambda theta: train.simulate(**tissue(theta)), derivatives


def dense_simulator(sequence):
    """Return (signal, derivatives) by dense exponentials, functions of theta."""
    sys.path.insert(0, str(ROOT))
    from tests.reference import magnetization_transfer as dense

    trains = tuple(zip(*sequence.trains, strict=True))

    def every(function, theta):
        for m0s, r1, r2f, rx, t2s, omega0, b1 in theta:
            function([m0s, r1, r2f, rx, r1, t2s, omega0, b1], *trains, sequence.tr)

    return lambda x: every(dense.signal, x), lambda x: every(dense.jacobian, x)


def in_new_processes(small, voxels):
    """Print the time of a first call, compiling and from the cache, and memory."""
    with tempfile.TemporaryDirectory() as folder:
        file, sequence = os.path.join(folder, "data.npz"), small.model.sequence
        parts = dict(alpha=sequence.alpha, trf=sequence.trf, tr=sequence.tr)
        np.savez(file, basis=small.basis, **parts)

        def run(code):
            result = subprocess.run(
                [sys.executable, "-c", (PREPARE + code).format(file=file, voxels=voxels)],
                env=os.environ | {"NUMBA_CACHE_DIR": folder},
                capture_output=True,
                text=True,
                check=True,
            )
            return tuple(map(float, result.stdout.split()))

        for kind in ("cold", "cached"):
            times = run(FIRST_CALL)
            print("{}: import {:.2f} s, first call {:.2f} s".format(kind, *times))
        words = "{} voxels with CRB: {:.0f} MB of results, peak memory grew by {:.0f} MB"
        print(words.format(voxels, *run(MEMORY)))


def ours(small, theta):
    """Print the rates of this library; return those of one thread, by task."""
    works = {
        "signal": lambda: small.signal(theta),
        "signal + Jacobian": lambda: small.signal(theta, jacobian=True),
        "signal + Jacobian + CRB": lambda: signal_and_bound(small, theta),
    }
    several, rates = min(2, numba.config.NUMBA_NUM_THREADS), {}
    print(f"{'crbestim, voxels/s':26}  1 thread  by CPU time  {several} threads  ratio")
    for name, work in works.items():
        work()
        one, two = [], []
        for _ in range(N_RUNS):  # in turn, since a machine's speed varies
            numba.set_num_threads(1)
            one.append(timed(work))
            numba.set_num_threads(several)
            two.append(timed(work))
        (clock, cpu), (parallel, _) = np.median(one, axis=0), np.median(two, axis=0)
        ratio = np.median(np.array(one)[:, 0] / np.array(two)[:, 0])
        n = rates[name] = len(theta) / clock
        print(f"  {name:24}{n:10.0f}{len(theta) / cpu:13.0f}"
              f"{len(theta) / parallel:11.0f}{ratio:7.2f}")  # fmt: skip
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequence", help="file of another sequence")
    parser.add_argument("--voxels", type=int, default=100_000, help="to measure memory")
    options = parser.parse_args()
    sequence = HybridStateSequence.default()
    if options.sequence:
        sequence = HybridStateSequence.from_file(options.sequence)
    model = MagnetizationTransfer(sequence)
    theta = draw_parameters(model, 4096, np.random.default_rng(0))
    signals = model.signal(theta[::4])
    parts = np.concatenate([signals.real, signals.imag])
    basis = np.linalg.svd(parts, full_matrices=False)[2][:N_COMPONENTS].T
    small = model.compress(basis)
    print(f"{sequence.n_pulses} pulses, {model._pulses.weights.shape[3]} nodes, "
          f"{N_COMPONENTS} coefficients, {len(theta)} voxels")  # fmt: skip
    in_new_processes(small, options.voxels)
    with threadpool_limits(1):
        peak = products_per_second()
        one = ours(small, theta)
        for name, d in (("signal", 0), ("signal + Jacobian", model.n_parameters)):
            flops = operations(model, N_COMPONENTS, d)
            print(f"{name}: {flops / 1e6:.1f} Mflop a voxel, "
                  f"{flops * one[name] / 1e9:.1f} Gflop/s; a matrix product reaches "
                  f"{peak / 1e9:.1f}")  # fmt: skip
        references = {"dense exponentials": (dense_simulator(sequence), 1)}
        if simulator := blochsim_simulator(sequence):
            references["blochsim, two passes"] = simulator, 128
        for name, ((signal, derivatives), n) in references.items():
            print(f"{name}, 1 thread")
            for what, work in (("signal", signal), ("signal + Jacobian", derivatives)):
                clock = rate(lambda work=work, n=n: work(theta[:n]), n)
                times = one[what] / clock
                print(f"  {what:24}{clock:10.1f}   ours is {times:.0f} times as fast")


if __name__ == "__main__":
    main()
