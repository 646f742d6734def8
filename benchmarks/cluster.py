"""Wall and processor times of one and two workers, under loky and under dask.

    python benchmarks/cluster.py [--size 1] [--pairs 2] [--jobs network ...] [--trim]

For two exchanging pools in 20 coefficients, it does each job with one worker and with two,
in turn, and prints the medians: seconds of the clock, seconds of the processor in the
caller and in workers, how many times faster two workers are than one, and the time of the
processor of two workers over that of one process. One worker of loky is this process. The
network maps in threads there, and under dask the chunks of an array. Workers are started,
and have done a small job, before the clock runs.

With ``--trim``, workers of dask have the environment variable ``MALLOC_TRIM_THRESHOLD_``
that dask gives them by default. Without, large arrays do not go back to the system.
"""

import argparse
import os
import sys
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import dask.array as da
import numpy as np
import psutil
from distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.frozen import FrozenEstimator

from crbestim import CRBRegressor, NLLSRegressor, OneStepRegressor
from crbestim.datasets import make_fingerprints
from crbestim.estimators import predict_blocks

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from measurements import load_model  # noqa: E402

# How many voxels or fingerprints take about three seconds in one process.
JOBS = {
    "least squares": 1000,
    "one step": 8000,
    "network": 400_000,
    "fingerprints": 12_000,
}
WARM_UP, N_TRAINING, N_CHUNKS = 256, 2000, 16


def jobs_of(model, size):
    """Return a function for each job, of a number of voxels and the client or None."""
    most = int(size * max(JOBS.values()))
    options = dict(snr=(50, 100), random_state=0)
    X, y, crb = make_fingerprints(model, N_TRAINING, return_crb=True, **options)
    network = CRBRegressor(model, max_iter=5, random_state=0).fit(X, y, crb=crb)
    trained = FrozenEstimator(network)
    fit = NLLSRegressor(model, initial=trained).fit(X, y)
    step = OneStepRegressor(trained, model).fit(X, y)
    voxels = np.resize(X, (most, X.shape[1]))

    def by_network(n, n_workers, client):
        if client is None:
            return network.set_params(n_jobs=n_workers).predict(voxels[:n])
        chunks = da.from_array(voxels[:n], chunks=(-(-n // N_CHUNKS), -1))
        return client.compute(predict_blocks(network, chunks), sync=True)

    return {
        "least squares": lambda n, *_: fit.predict(voxels[:n]),
        "one step": lambda n, *_: step.predict(voxels[:n]),
        "network": by_network,
        "fingerprints": lambda n, *_: make_fingerprints(
            model, n, return_crb=True, **options
        ),
    }


def processor(pids):
    """Return the seconds of the processor of the caller and of its workers so far."""
    processes = psutil.Process(), *map(psutil.Process, pids)
    own, *others = (sum(process.cpu_times()[:2]) for process in processes)
    return own, sum(others)


def measured(job, n, n_workers, client, of_dask):
    """Return the seconds of the clock, the caller and the workers that a job takes.

    of_dask : numbers of all processes that are workers of dask.
    """
    backend = dict(backend="loky", n_jobs=n_workers)
    if client is not None:
        backend = dict(backend="dask", client=client)
    with parallel_config(**backend):
        job(min(n, WARM_UP), n_workers, client)
        children = {child.pid for child in psutil.Process().children(recursive=True)}
        pids = children - of_dask if client is None else pids_of(client)
        before, start = processor(pids), time.perf_counter()
        job(n, n_workers, client)
        wall = time.perf_counter() - start
        spent = np.subtract(processor(pids), before)
    return wall, *spent


def pids_of(client):
    """Return the numbers of the processes of a cluster's workers."""
    return set(client.run(os.getpid).values())


def start_cluster(stack, n_workers):
    """Start workers of dask, which end with the stack, and return their client."""
    options = dict(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0")
    cluster = stack.enter_context(LocalCluster(**options))
    client = stack.enter_context(Client(cluster, set_as_default=False))
    client.run(warnings.simplefilter, "ignore")
    return client


def print_row(name, n, backend, medians):
    """Print what was measured with one worker and with two, and compare."""
    one, two = (medians[backend, k] for k in (1, 2))
    shown = "".join(f"{v:9.2f}" for v in (*one, *two))
    more = sum(two[1:]) / sum(medians["loky", 1][1:])
    print(f"{name:14}{n:8} {backend:6}{shown}{one[0] / two[0]:9.2f}{more:8.2f}", flush=True)


def main():
    """Print a row for each job and backend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=float, default=1.0, help="of jobs, times default")
    parser.add_argument("--pairs", type=int, default=2, help="measurements of each")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--trim", action="store_true", help="as dask does by default")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if not arguments.trim:
        os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))
    jobs = jobs_of(load_model(), arguments.size)
    print(f"{'':29}{'one worker':^27}{'two workers':^27}")
    titles = "".join(f"{t:>9}" for t in 2 * ["wall s", "caller", "workers"])
    print(f"{'job':14}{'n':>8} {'':6}{titles}{'faster':>9}{'CPU':>8}")
    with ExitStack() as stack:
        clients = {k: start_cluster(stack, k) for k in (1, 2)}
        of_dask = set.union(*map(pids_of, clients.values()))
        for name in arguments.jobs:
            n = int(arguments.size * JOBS[name])
            found = {("loky", 1): [], ("loky", 2): [], ("dask", 1): [], ("dask", 2): []}
            for _ in range(arguments.pairs):
                for (backend, k), results in found.items():
                    client = clients[k] if backend == "dask" else None
                    results.append(measured(jobs[name], n, k, client, of_dask))
            medians = {
                key: [median(column) for column in zip(*results, strict=True)]
                for key, results in found.items()
            }
            for backend in ("loky", "dask"):
                print_row(name, n, backend, medians)


if __name__ == "__main__":
    main()
