"""
Voxels on a cluster
===================

Maps many voxels of two exchanging pools by a network, by one step after it, and fewer by
least squares, on a cluster of dask. It starts one of two processes on this machine, or uses
the one whose scheduler is named::

    python examples/cluster.py --scheduler tcp://192.168.1.10:8786

For network, step and least squares it also prints what a hundred workers would do at the
same speed, and what would limit them: an extrapolation. ``--voxels``, ``--fits`` and others
choose sizes.

This script is not run while the documentation is built.
"""

import argparse
import os
import time

import dask.array as da
from distributed import Client, LocalCluster, default_client
from joblib import parallel_config
from measurements import load_model
from sklearn.frozen import FrozenEstimator

from crbestim import CRBRegressor, NLLSRegressor, OneStepRegressor
from crbestim.datasets import make_fingerprints
from crbestim.estimators import predict_blocks

N_WORKERS = 100  # of the extrapolation
LARGEST_TASK = 1024  # voxels of least squares of a model like this

parser = argparse.ArgumentParser(description="Voxels on a cluster.")
parser.add_argument("--scheduler", help="address; by default a cluster on this machine")
parser.add_argument("--workers", type=int, default=2, help="processes on this machine")
parser.add_argument("--samples", type=int, default=10_000, help="training fingerprints")
parser.add_argument("--epochs", type=int, default=30, help="epochs of training")
parser.add_argument("--voxels", type=int, default=200_000, help="for network and step")
parser.add_argument("--fits", type=int, default=50_000, help="for least squares")
parser.add_argument("--chunk", type=int, default=2000, help="voxels of a chunk")


def timed(name, n_voxels, call):
    """Print how long a call takes; return its result and its seconds."""
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    print(f"{name}: {n_voxels} voxels in {seconds:.1f} s", flush=True)
    return result, seconds


def cost_of_task(client, n_tasks=200):
    """Return the seconds that the scheduler takes for a task that does nothing."""
    client.gather(client.map(abs, range(1)))  # workers have started
    start = time.perf_counter()
    client.gather(client.map(abs, range(1, n_tasks + 1)))
    return (time.perf_counter() - start) / n_tasks


def extrapolate(voxels, estimates, seconds, size):
    """Print what 100 workers would do at this speed, beside what limits them.

    size : voxels of a task
    """
    client = default_client()
    per_voxel = seconds * sum(client.ncores().values()) / len(voxels)
    rate = N_WORKERS / per_voxel
    megabytes = rate * (voxels.nbytes + estimates.nbytes) / len(voxels) / 1e6
    share = rate / size * cost_of_task(client)
    print(
        f"  an extrapolation to {N_WORKERS} workers: {rate:,.0f} voxels/s if nothing limits"
        f" them; signals and estimates are {megabytes:.3g} MB/s, and the scheduler is busy"
        f" {share:.1%} of the time with tasks of {size} voxels, {size * per_voxel:.2g} s"
        " each",
        flush=True,
    )


def work(arguments):
    """Simulate, train and map on the workers of the current client."""
    model = load_model()
    n_voxels, options = arguments.voxels, dict(snr=(50, 100))
    # Training stays in this process; simulations are spread.
    X, y, crb = make_fingerprints(
        model, arguments.samples, return_crb=True, random_state=0, **options
    )
    epochs = dict(max_iter=arguments.epochs, n_iter_no_change=arguments.epochs)
    network = CRBRegressor(model, random_state=0, **epochs).fit(X, y, crb=crb)
    step = OneStepRegressor(FrozenEstimator(network), model).fit(X, y)
    fit = NLLSRegressor(model, initial=FrozenEstimator(network)).fit(X, y)

    (voxels, _), _ = timed(
        "simulation",
        n_voxels,
        lambda: make_fingerprints(model, n_voxels, random_state=1, **options),
    )
    # Chunks of a dask array are read by the workers that map them.
    chunks = da.from_array(voxels, chunks=(arguments.chunk, -1))
    for name, estimator in (("network", network), ("one step", step)):
        found = timed(name, n_voxels, predict_blocks(estimator, chunks).compute)
        extrapolate(voxels, *found, min(arguments.chunk, n_voxels))
    some = voxels[: arguments.fits]
    found = timed("least squares", len(some), lambda: fit.predict(some))
    extrapolate(some, *found, min(LARGEST_TASK, len(some)))


def main():
    """Connect to a cluster, or start one, and work on it."""
    arguments = parser.parse_args()
    if arguments.scheduler:
        with Client(arguments.scheduler), parallel_config(backend="dask"):
            work(arguments)
        return
    # Large arrays stay with a worker, see the page "Run on a cluster".
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))
    # A worker has one thread: each task uses one.
    options = dict(n_workers=arguments.workers, threads_per_worker=1)
    with (
        LocalCluster(dashboard_address=":0", **options) as cluster,
        Client(cluster),
        parallel_config(backend="dask"),
    ):
        work(arguments)


if __name__ == "__main__":
    main()
