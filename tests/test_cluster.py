"""Work on a cluster of dask has the same results, whatever becomes of its workers."""

import importlib
import os
import pickle
import re
import signal
import time
import weakref

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.model_selection import GridSearchCV

from crbestim import (
    CRBRegressor,
    DictionaryRegressor,
    NLLSRegressor,
    OneStepRegressor,
    _references,
)
from crbestim._parallel import in_parallel, n_threads
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.least_squares.driver import VoxelFitter
from crbestim.metrics import compare_estimators
from crbestim.models import BalancedSteadyState, FunctionModel, MonoExponential
from crbestim.sequences import HybridStateSequence
from crbestim.subspace import SubspaceProjection
from tests.conftest import ROOT
from tests.slow_tasks import block

distributed = pytest.importorskip("distributed")
MODEL = MonoExponential([0.01, 0.03, 0.06], signal="magnitude")


@pytest.fixture(scope="module")
def client():
    options = dict(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    settings = {"distributed.scheduler.allowed-failures": 1}
    with (
        distributed.worker.dask.config.set(settings),
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def on_dask(client):
    with parallel_config(backend="dask"):
        yield client


def decay(theta):
    return np.exp(-theta * np.array([0.01, 0.03, 0.06]))


def work():
    """Return results of everything that is called on a cluster."""
    X, y, crb = make_fingerprints(MODEL, 1100, return_crb=True, random_state=0)
    general = FunctionModel(decay, ["R2"], [(1.0, 100.0)])
    estimators = {
        "least squares": NLLSRegressor(MODEL),
        "step": OneStepRegressor(model=MODEL),
        "matching": DictionaryRegressor(MODEL),
    }
    results = [X, y, crb, cramer_rao_bound(MODEL, y[:50], noise_std=0.001)]
    for estimator in estimators.values():
        results.append(estimator.fit(X[:300], y[:300]).predict(X[:30]))
    in_python = NLLSRegressor(general).fit(decay(y[:300, :1] / 10))
    results.append(in_python.predict(X[:30] / y[:30, 1:]))
    results.append(estimators["least squares"].fit_voxels(X[:30]).covariance)
    some = {name: estimators[name] for name in ("least squares", "matching")}
    table = compare_estimators(some, MODEL, y[:20], snr=30, random_state=0)
    results.append(np.asarray(table["crb_loss"]))
    results.append(SubspaceProjection(n_components=2).fit(X).transform(X))
    search = GridSearchCV(DictionaryRegressor(MODEL), {"n_neighbors": [1, 3]}, cv=2)
    results.append(search.fit(X[:200], y[:200]).cv_results_["mean_test_score"])
    return results


def test_results_are_those_of_one_process(client):
    expected = work()
    with parallel_config(backend="dask"):
        found = work()
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_search_over_networks(client, capsys):
    X, y = make_fingerprints(MODEL, 40, random_state=0)
    options = dict(hidden_layer_sizes=(4,), max_iter=2, min_fingerprints=0)
    network = CRBRegressor(MODEL, **options, random_state=0)
    search = GridSearchCV(network, {"n_jobs": [2]}, cv=2, refit=False)
    expected = search.fit(X, y).cv_results_
    with parallel_config(backend="dask", verbose=10):
        found = search.fit(X, y).cv_results_
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert "Done   2 out of   2" in "".join(capsys.readouterr())


def test_threads_are_those_of_a_process(on_dask):
    on_dask.wait_for_workers(2, timeout=30)
    assert [n_threads(n) for n in (None, 3)] == [1, 3]
    tasks = (delayed(n_threads)(n) for n in (None, 3))
    assert list(Parallel()(tasks)) == [1, 3]


def test_the_example_runs(on_dask, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "examples")
    example = importlib.import_module("cluster")
    # Two pools take too long to compile.
    monkeypatch.setattr(example, "load_model", lambda: MODEL)
    sizes = "--samples 300 --epochs 1 --voxels 60 --fits 8 --chunk 30".split()
    example.work(example.parser.parse_args(sizes))
    shown = capsys.readouterr().out
    for name in ("simulation: 60", "network: 60", "one step: 60", "least squares: 8"):
        assert f"{name} voxels in" in shown
    assert shown.count("an extrapolation to 100 workers") == 3


def blocks(n=8, seconds=0.05, **options):
    shared = np.arange(500.0)
    return [
        delayed(block)(k, shared, np.full(500, k), seconds, **options) for k in range(n)
    ]


def sums(results):
    return [(k, total) for k, _, total in results]


EXPECTED = sums(block(k, np.arange(500.0), np.full(500, k), 0) for k in range(8))


def test_a_killed_worker_changes_nothing(on_dask):
    results = in_parallel(blocks(), None)
    first = next(results)
    os.kill(first[1], signal.SIGKILL)
    assert sums([first, *results]) == EXPECTED
    on_dask.wait_for_workers(2, timeout=30)


def test_a_worker_that_joins_gets_work(on_dask):
    on_dask.cluster.scale(1)
    results = in_parallel(blocks(40, seconds=0.1), None)
    found = [next(results)]
    on_dask.cluster.scale(2)
    found += results
    assert sums(found)[:8] == EXPECTED and len({pid for _, pid, _ in found}) == 2


def test_a_task_that_fails_says_how_far_the_work_had_come(on_dask):
    with pytest.raises(ValueError, match="no luck with 5") as caught:
        list(in_parallel(blocks(fails=5), None))
    assert "results of 5 tasks" in caught.value.__notes__[0]


def test_a_task_that_kills_every_worker_ends_in_an_error(on_dask):
    # What else a killed worker had may count as a culprit, too, so results may be none.
    with pytest.raises(distributed.KilledWorker):
        list(in_parallel(blocks(kills=3), None))
    on_dask.wait_for_workers(2, timeout=30)


def test_lost_processes_of_joblib_cost_no_results():
    results = in_parallel(blocks(), n_jobs=2)
    first = next(results)
    os.kill(first[1], signal.SIGKILL)
    assert sums([first, *results]) == EXPECTED


def test_a_task_that_kills_every_process_ends_in_an_error(monkeypatch):
    monkeypatch.setattr("crbestim._parallel._MOST_LOSSES", 2)
    with pytest.raises(RuntimeError, match="terminated") as caught:
        list(in_parallel(blocks(kills=3), n_jobs=2))
    assert re.search(r"results of [1-3] tasks", caught.value.__notes__[0])


def test_a_cluster_without_workers_is_not_waited_for(on_dask, monkeypatch):
    monkeypatch.setattr(_references, "_PATIENCE", 0.1)
    monkeypatch.setattr(_references, "_N_VAIN", 2)
    on_dask.cluster.scale(0)
    while on_dask.ncores():
        time.sleep(0.02)
    try:
        with pytest.raises(TimeoutError, match="no worker for 0.2 s"):
            list(in_parallel(blocks(), None))
    finally:
        on_dask.cluster.scale(2)
        on_dask.wait_for_workers(2, timeout=30)


def sizes_of_tasks(call):
    """Return the bytes of tasks, and of the arrays that they refer to."""
    tasks, arrays = [], []

    class Cluster:
        def ncores(self):
            return {"one": 1}

        def submit(self, function, *arguments, key):
            if key.startswith("array"):
                arrays.append(len(arguments[0]))
                return _Done(arguments[0])
            tasks.append(len(arguments[0]))
            contents = [a.value for a in arguments[1:]]
            return _Done(function(arguments[0], *contents))

        def cancel(self, futures):
            assert not futures

    results = list(_references.on_cluster(Cluster(), call))
    return results, tasks, arrays


class _Done:
    def __init__(self, value):
        self.value = value

    def result(self, timeout=None):
        return self.value


def test_tasks_carry_no_arrays():
    results, tasks, arrays = sizes_of_tasks(blocks())
    assert sums(results) == EXPECTED
    assert max(tasks) < 1000 and len(arrays) == 1 + 8
    sequence = HybridStateSequence.default()
    model = BalancedSteadyState(sequence)
    calls = [delayed(len)((model, k)) for k in range(3)]
    _, tasks, arrays = sizes_of_tasks(calls)
    assert max(tasks) < 1000 < len(pickle.dumps(model)) and len(arrays) == 2 + 4


def test_an_array_is_sent_again_once_another_has_its_place():
    held = []
    sender = _references.Sender(lambda content: held.append(content) or content)
    array = np.zeros(500)
    alive = weakref.ref(array)
    sender.without_arrays(len, (array,), {})
    del array
    assert alive() is None and not sender._held and len(held) == 1


def test_what_was_fitted_before_an_error_is_kept(monkeypatch):
    X, y = decay(np.full((2100, 1), 20.0)), np.full((2100, 1), 20.0)
    reg = NLLSRegressor(FunctionModel(decay, ["R2"], [(1.0, 100.0)])).fit(X, y)
    fit, calls = VoxelFitter.fit, []

    def fails_in_the_end(self, *arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError("the disk is full")
        return fit(self, *arguments)

    monkeypatch.setattr(VoxelFitter, "fit", fails_in_the_end)
    with pytest.raises(OSError, match="disk is full") as caught:
        reg.predict(X)
    is_fitted = np.isfinite(caught.value.fits.theta[:, 0])
    assert is_fitted.sum() == 2048 and is_fitted[:2048].all()
    assert "`fits`" in caught.value.__notes__[-1]
