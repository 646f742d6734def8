"""Speed and accuracy of FISP fingerprints compared with blochsim, in one process.

A train of 880 pulses after an inversion, with parameters of the brain; signals alone, and
with their derivatives by T1 and T2:

    python benchmarks/fingerprinting.py [--voxels 512] [--varied-tr]

This library computes in double precision, here with three numbers of configuration orders:
those that matter at each T2 (its default), all that can return to the echo, and ten.
blochsim, if installed, computes in single precision, for echoes at the pulse itself
(TE = 0, used here for both), with ten orders (its default) or another number. Varying
repetition times add a fixed time to each of its calls, which matters less for more voxels.
Errors are the largest deviations from the result with all orders, relative to the largest
signal or derivative of a voxel, in the median and in the worst voxel. Medians of five runs;
CPU time for one thread, wall time for two.
"""

import argparse
import time

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from crbestim.datasets.distributions import draw_parameters
from crbestim.models import FISPFingerprinting

N_PULSES, N_RUNS, TI = 880, 5, 20e-3
WORKS = {"signal": False, "signal + Jacobian": True}


def sequence(varied_tr):
    """Return flip angles in rad, and one repetition time or several in s."""
    x = np.arange(N_PULSES)
    alpha = np.deg2rad(5 + 55 * np.sin(np.pi * x / 220) ** 2)
    varied = np.random.default_rng(0).uniform(11.5e-3, 14.5e-3, N_PULSES)
    return alpha, varied if varied_tr else 12e-3


def blochsim_simulator(alpha, tr, n_states):
    """Return a function of theta and `jacobian` by blochsim, or None."""
    try:
        import torch
        from blochsim.simulators import MRFSimulator
    except ImportError:
        return None
    simulator = MRFSimulator(
        flip=torch.tensor(np.rad2deg(alpha)), TR=1e3 * tr, TI=1e3 * TI,
        states=n_states,
    )  # fmt: skip

    def simulate(theta, jacobian=False):
        t1, t2 = torch.tensor(1e3 * theta.T, dtype=torch.float32)
        if not jacobian:
            return simulator.simulate(T1=t1, T2=t2).numpy()
        s, derivatives = simulator.jacobian(("T1", "T2"), T1=t1, T2=t2)
        return s.numpy(), 1e3 * np.moveaxis(derivatives.numpy(), 1, 2)

    return simulate


def use_threads(n):
    """Set the number of threads of both libraries."""
    numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(n)


def timed(work):
    """Return wall time and CPU time in seconds."""
    start, cpu_start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu_start


def rates(simulators, theta):
    """Return fingerprints per second, (one thread, two threads), by name and work."""
    measured = {}
    for simulate, _ in simulators.values():
        simulate(theta[:8], jacobian=True)
    for _ in range(N_RUNS):  # in turn, since a machine's speed varies
        for name, (simulate, n) in simulators.items():
            for work, jacobian in WORKS.items():
                use_threads(1)
                one = timed(lambda s=simulate, n=n, j=jacobian: s(theta[:n], jacobian=j))
                use_threads(2)
                two = timed(lambda s=simulate, n=n, j=jacobian: s(theta[:n], jacobian=j))
                measured.setdefault((name, work), []).append((n / one[1], n / two[0]))
    return {key: np.median(runs, axis=0) for key, runs in measured.items()}


def errors(simulate, theta, exact):
    """Return the median and the largest error of signals, and of derivatives."""
    for part, expected in zip(simulate(theta, jacobian=True), exact, strict=True):
        same_sign = np.sign(np.vdot(expected, part).real)  # up to that of the pulses
        worst = np.abs(same_sign * part - expected).max(axis=1)
        error = worst / np.abs(expected).max(axis=1)
        yield np.median(error), error.max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, default=512)
    parser.add_argument("--varied-tr", action="store_true")
    options = parser.parse_args()
    alpha, tr = sequence(options.varied_tr)
    n, half = options.voxels, N_PULSES // 2
    models = {
        name: FISPFingerprinting(alpha, tr, 0.0, inversion_time=TI, n_states=n_states)
        for name, n_states in (
            ("orders that count", None), ("all orders", half), ("10 orders", 10),
        )
    }  # fmt: skip
    default, exact = models["orders that count"], models["all orders"]
    theta = draw_parameters(default, n, np.random.default_rng(1))
    simulators = {name: (model.signal, n) for name, model in models.items()}
    for n_states, voxels in ((10, n), (half, min(n, 32))):
        if simulator := blochsim_simulator(alpha, tr, n_states):
            simulators[f"blochsim, {n_states} orders"] = simulator, voxels
    counts = default._blocks(theta)[1]
    print(f"{N_PULSES} pulses, {n} voxels, {np.unique(tr).size} repetition time(s)")
    print(f"orders that count: {counts.min()} to {counts.max()}, mean {counts.mean():.0f}")
    with threadpool_limits(1, user_api="blas"):
        measured = rates(simulators, theta)
    print(f"{'fingerprints/s':44}1 thread  2 threads")
    for (name, work), (one, two) in measured.items():
        print(f"  {name:22}{work:20}{one:8.0f}{two:11.0f}")
    for (ours, theirs), work in (
        (pair, work)
        for pair in (("orders that count", 10), ("10 orders", 10), ("all orders", half))
        for work in WORKS
    ):
        other = f"blochsim, {theirs} orders", work
        if other in measured:
            one, two = measured[ours, work] / measured[other]
            print(f"  {ours} / {other[0]}, {work}: {one:.1f} times as fast with one "
                  f"thread, {two:.1f} with two")  # fmt: skip
    print("errors against all orders: median and largest of signal; of derivatives")
    expected = exact.signal(theta, jacobian=True)
    for name, (simulate, _) in simulators.items():
        (a, b), (c, d) = errors(simulate, theta, expected)
        print(f"  {name:22}{a:9.1e}{b:9.1e};{c:9.1e}{d:9.1e}")


if __name__ == "__main__":
    main()
