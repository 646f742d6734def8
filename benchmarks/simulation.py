"""Speed and memory of the simulator beside references, all in one process.

Signals of a hybrid-state sequence in its periodic steady state, compressed to 13
coefficients, with derivatives and Cramér-Rao bound:

    python benchmarks/simulation.py [--sequence FILE.npz] [--voxels 100000]

References are the dense matrix exponentials of the tests and, where it is installed,
blochsim. blochsim reaches the steady state by playing the train twice, saturates the
semi-solid pool by another model, gives no derivative by T2s and works in single precision.
Medians of seven runs; a single run of what takes over 20 s.
"""

import argparse
import os
import resource
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
FIRST_CALL = """
import time
start = time.perf_counter()
from crbestim.models import MagnetizationTransfer
from crbestim.sequences import HybridStateSequence
model = MagnetizationTransfer(HybridStateSequence.from_file({file!r}))
imported = time.perf_counter()
model.signal([[0.1, 0.7, 13, 30, 1e-5, 0, 1]], jacobian=True)
print(imported - start, time.perf_counter() - imported)
"""


def rate(work, n):
    """Return the median number of voxels a second, by the clock and by CPU time."""
    work()
    clock, cpu = [], []
    for _ in range(N_RUNS):
        start, cpu_start = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
        if clock[0] > 20:
            break
    return n / np.median(clock), n / np.median(cpu)


def products_per_second():
    """Return floating-point operations a second of a matrix product on one thread."""
    a = np.random.default_rng(0).standard_normal((1500, 1500))
    return 2 * len(a) ** 3 * rate(lambda: a @ a, 1)[0]


def operations(model, n_components, n_derivatives):
    """Count the multiplications and additions that one voxel takes.

    Of each repetition: interpolation of its map (of the values twice, where derivatives
    are wanted), the five columns, the state with derivatives, and the projection. The
    exponentials at the nodes are left out.
    """
    n_nodes, d = model._pulses.weights.shape[3], n_derivatives
    first = 14 * n_nodes + 5 * 16 + 4 + 2 * 5 * n_components
    second = 14 * (1 + d) * n_nodes + 20 + 38 * d + 2 * d * n_components if d else 0
    return 2 * model.n_features * (first + second)


def blochsim_simulator(sequence):
    """Return functions of theta by blochsim, (signal, derivatives), or None."""
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
    """Return functions of theta by dense exponentials, (signal, derivatives)."""
    sys.path.insert(0, str(ROOT))
    from tests.reference import magnetization_transfer as dense

    trains = tuple(zip(*sequence.trains, strict=True))

    def every(function, theta):
        for m0s, r1, r2f, rx, t2s, omega0, b1 in theta:
            function([m0s, r1, r2f, rx, r1, t2s, omega0, b1], *trains, sequence.tr)

    return lambda x: every(dense.signal, x), lambda x: every(dense.jacobian, x)


def memory_growth(small, n):
    """Return by how many MB the process grows beyond what it returns, and that."""
    theta = draw_parameters(small, n, np.random.default_rng(1))
    signal_and_bound(small, theta[:64])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = signal_and_bound(small, theta)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    size = sum(part.nbytes for part in results) / 2**20
    return grown, size


def first_calls(sequence):
    """Return seconds of import and first call, compiled anew and from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "sequence.npz")
        np.savez(file, alpha=sequence.alpha, trf=sequence.trf, tr=sequence.tr)
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        for _ in range(2):
            command = [sys.executable, "-c", FIRST_CALL.format(file=file)]
            result = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            yield tuple(map(float, result.stdout.split()))


def ours(small, theta, n_threads):
    """Print the rates of this library, and return them by what is computed."""
    works = {
        "signal": lambda: small.simulate(theta),
        "signal + Jacobian": lambda: small.simulate(theta, jacobian=True),
        "signal + Jacobian + CRB": lambda: signal_and_bound(small, theta),
    }
    numba.set_num_threads(n_threads)
    rates = {}
    for name, work in works.items():
        clock, cpu = rates[name] = rate(work, len(theta))
        cpu_note = f"   by CPU time {cpu:8.0f}" if n_threads == 1 else ""
        print(f"  {name:26}{clock:9.0f} /s{cpu_note}")
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
    theta = draw_parameters(model, 1024, np.random.default_rng(0))
    signals = model.signal(theta)
    parts = np.concatenate([signals.real, signals.imag])
    basis = np.linalg.svd(parts, full_matrices=False)[2][:N_COMPONENTS].T
    small = model.compress(basis)
    print(f"{sequence.n_pulses} pulses, {model._pulses.weights.shape[3]} nodes, "
          f"{N_COMPONENTS} coefficients, {len(theta)} voxels")  # fmt: skip
    grown, size = memory_growth(small, options.voxels)
    print(f"{options.voxels} voxels with CRB: {size:.0f} MB of results, memory grew by "
          f"{grown:.0f} MB")  # fmt: skip
    for kind, (imported, called) in zip(
        ("cold", "cached"), first_calls(sequence), strict=True
    ):
        print(f"{kind:7} import {imported:5.2f} s, first call {called:6.2f} s")

    with threadpool_limits(1):
        peak = products_per_second()
        print("crbestim, 1 thread")
        one = ours(small, theta, 1)
        for name, d in (("signal", 0), ("signal + Jacobian", model.n_parameters)):
            flops = operations(model, N_COMPONENTS, d)
            print(f"  {name}: {flops / 1e6:.1f} Mflop a voxel, "
                  f"{flops * one[name][0] / 1e9:.1f} Gflop/s; a matrix product reaches "
                  f"{peak / 1e9:.1f}")  # fmt: skip
        if numba.config.NUMBA_NUM_THREADS > 1:
            print("crbestim, 2 threads")
            two = ours(small, theta, 2)
            ratios = (f"{two[name][0] / one[name][0]:.2f}" for name in one)
            print(f"  2 threads over 1: {', '.join(ratios)}")
        references = {"dense exponentials": (dense_simulator(sequence), 1)}
        if simulator := blochsim_simulator(sequence):
            references["blochsim, two passes"] = simulator, 128
        for name, ((signal, derivatives), n) in references.items():
            print(f"{name}, 1 thread")
            for what, work in (("signal", signal), ("signal + Jacobian", derivatives)):
                clock = rate(lambda work=work, n=n: work(theta[:n]), n)[0]
                print(f"  {what:26}{clock:9.1f} /s   ours {one[what][0] / clock:.0f} times")


if __name__ == "__main__":
    main()
