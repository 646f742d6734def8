"""Seconds from Ctrl-C to KeyboardInterrupt, for calls that take half a minute or more.

    python benchmarks/interrupts.py [--group] [--wait 4] [call ...]

Each call runs in a process of its own, which gets SIGINT after some seconds of work. With
``--group`` its workers get it, too, as in a terminal. The script prints how long the call
then takes to raise, and the process to end, how many lines it writes to stderr, how many of
its processes are left a second later, and what came of the call.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
from sklearn.model_selection import GridSearchCV

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound, signal_and_bound
from crbestim.datasets import make_fingerprints
from crbestim.metrics import compare_estimators
from crbestim.models import FISPFingerprinting, FunctionModel, MagnetizationTransfer
from crbestim.sequences import HybridStateSequence
from crbestim.subspace import SubspaceProjection

N_TRAINING, WARM_UP = 2000, 64


def tissue(n_components=13):
    """Return the compressed model of the default sequence; of all samples with None."""
    model = MagnetizationTransfer(HybridStateSequence.default())
    if n_components is None:
        return model
    basis = np.random.default_rng(0).standard_normal((model.n_features, n_components))
    return model.compress(np.linalg.qr(basis)[0])


def values(model, n):
    """Return parameters inside the bounds."""
    y = make_fingerprints(model, min(n, 1024), random_state=0)[1]
    return np.resize(np.clip(y, *model.bounds.T), (n, model.n_parameters))


def noise(n, n_features, dtype=complex):
    """Return signals of noise only, which exclude few leaves of a dictionary."""
    parts = np.random.default_rng(0).standard_normal((2, n, n_features)).astype(np.float32)
    return parts[0].astype(dtype) + (1j * parts[1] if dtype is complex else 0)


def fitted(estimator, n):
    """Return a fitted estimator with n signals to predict from."""
    X, y = make_fingerprints(estimator.model, N_TRAINING, random_state=0)
    return estimator.fit(X, y), np.resize(X, (n, X.shape[1]))


def network(**options):
    return CRBRegressor(tissue(), random_state=0, **options)


def signal_call():
    model = tissue()
    theta = values(model, 300_000)
    return lambda rows: model.signal(theta[rows])


def fisp_call():
    n = 1000
    angles = np.deg2rad(10 + 50 * np.sin(np.arange(n) / 60) ** 2)
    model = FISPFingerprinting(angles, tr=0.012, te=0.003)
    theta = values(model, 60_000)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((n, 5)))[0]
    return lambda rows: model.compress(basis).signal(theta[rows], jacobian=True)


def function_call():
    model = FunctionModel(
        lambda theta: np.exp(-theta * np.linspace(0, 0.1, 20)), ("R2",), [(1.0, 100.0)]
    )
    theta = np.linspace(1, 100, 5_000_000)[:, None]
    return lambda rows: model.signal(theta[rows])


def bound_call(call=cramer_rao_bound):
    model = tissue()
    theta = values(model, 40_000)
    return lambda rows: call(model, theta[rows], noise_std=0.01)


def fingerprints_call(**options):
    model = tissue()
    return lambda rows: make_fingerprints(
        model, len(range(400_000)[rows]), random_state=0, **options
    )


def matching_call(n_atoms=20_000, n=8192, **options):
    atoms = noise(n_atoms, 300)
    reg = DictionaryRegressor(**options).fit(atoms, np.arange(float(n_atoms)))
    X = noise(n, 300)[::-1] + 0.5
    return lambda rows: reg.predict(X[rows])


def starts_call():
    model = tissue(None)
    reg = NLLSRegressor(model).fit(noise(2, model.n_features))
    X = noise(8192, model.n_features) + 0.5
    return lambda rows: reg.predict(X[rows])


def estimator_call(estimator, n, method="predict", **options):
    reg, X = fitted(estimator, n)
    return lambda rows: getattr(reg, method)(X[rows], **options)


def score_call():
    reg, X = fitted(network(max_iter=1), 100_000)
    y = values(reg.model, len(X))
    return lambda rows: reg.score(X[rows], y[rows])


def network_call(**options):
    X, y, crb = make_fingerprints(tissue(), N_TRAINING, random_state=0, return_crb=True)
    reg = network(max_iter=1000, **options)
    return lambda rows: reg.set_params(max_iter=1 if rows.stop else 1000).fit(X, y, crb=crb)


def search_call(**options):
    X, y = make_fingerprints(tissue(), N_TRAINING, random_state=0)
    search = GridSearchCV(
        network(max_iter=60), {"alpha": np.geomspace(1e-5, 1, 9)}, **options
    )
    return lambda rows: rows.stop or search.fit(X, y)


def compare_call():
    reg, _ = fitted(NLLSRegressor(tissue()), 1)
    theta = values(reg.model, 2000)
    return lambda rows: compare_estimators({"nlls": reg}, reg.model, theta[rows], snr=50)


def subspace_call(method="svd", n=60_000, **options):
    if method == "svd":
        X = np.resize(noise(4096, 1000).astype(np.complex64), (n, 1000))
        return lambda rows: SubspaceProjection(10).fit(X[rows])
    model = tissue(None)
    X, y = make_fingerprints(model, 1000, random_state=0)
    y = np.clip(y, *model.bounds.T)
    options |= dict(method="crb", model=model, tol=0.0, max_iter=10**6)
    return lambda rows: SubspaceProjection(13, **options).fit(X[rows], y[rows])


def dictionary_call():
    model = tissue(None)
    X = noise(2, model.n_features)
    y = values(model, 20_000)
    X = np.resize(X, (len(y), X.shape[1]))
    return lambda rows: DictionaryRegressor(model).fit(X[rows], y[rows])


def nlls(**options):
    return NLLSRegressor(tissue(), **options)


def step(**options):
    return OneStepRegressor(model=tissue(), **options)


CALLS = {
    "signal": signal_call,
    "signal-fisp": fisp_call,
    "signal-function": function_call,
    "bound": bound_call,
    "signal-and-bound": lambda: bound_call(signal_and_bound),
    "fingerprints": fingerprints_call,
    "fingerprints-2": lambda: fingerprints_call(n_jobs=2),
    "matching": matching_call,
    "matching-20": lambda: matching_call(n_neighbors=20, interpolate=True),
    "matching-2": lambda: matching_call(n_jobs=2),
    "matching-large": lambda: matching_call(60_000),
    "dictionary": dictionary_call,
    "starts": starts_call,
    "nlls": lambda: estimator_call(nlls(), 20_000),
    "nlls-2": lambda: estimator_call(nlls(n_jobs=2), 40_000),
    "nlls-interval": lambda: estimator_call(nlls(), 20_000, "interval"),
    "step": lambda: estimator_call(step(), 60_000),
    "step-2": lambda: estimator_call(step(n_jobs=2), 120_000),
    "residual": lambda: estimator_call(network(max_iter=1), 60_000, "residual"),
    "network": lambda: estimator_call(network(max_iter=1), 2_000_000),
    "network-2": lambda: estimator_call(network(max_iter=1, n_jobs=2), 4_000_000),
    "network-std": lambda: estimator_call(
        network(max_iter=1), 60_000, "predict", return_std=True
    ),
    "network-fit": network_call,
    "network-fit-2": lambda: network_call(n_jobs=2),
    "search": search_call,
    "search-2": lambda: search_call(n_jobs=2),
    "score": score_call,
    "compare": compare_call,
    "subspace": subspace_call,
    "subspace-crb": lambda: subspace_call("crb"),
}


def work(name):
    """Do one call, after a line that says that it begins."""
    # A shell ignores interrupts on behalf of what it runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    call = CALLS[name]()
    # What is compiled is kept before the time counts.
    call(slice(WARM_UP))
    print("begins", flush=True)
    try:
        call(slice(None))
    finally:
        print(sys.exc_info()[0].__name__ if sys.exc_info()[0] else "a result", flush=True)


def processes(group):
    """Return how many processes of a group there are."""
    found = subprocess.run(["ps", "-eo", "pgid="], capture_output=True, text=True)
    return found.stdout.split().count(str(group))


def measure(name, wait, to_group):
    """Interrupt one call, and print what comes of it."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--work", name],
        stdout=subprocess.PIPE,
        stderr=(errors := tempfile.TemporaryFile("w+")),
        start_new_session=True,
        text=True,
    )
    assert child.stdout.readline() == "begins\n", name
    time.sleep(wait)
    (os.killpg if to_group else os.kill)(child.pid, signal.SIGINT)
    start = time.perf_counter()
    how = child.stdout.readline().strip() or "nothing"
    raised = time.perf_counter() - start
    child.wait()
    ended = time.perf_counter() - start
    errors.seek(0)
    lines = errors.readlines()
    time.sleep(1)
    n_left = processes(child.pid)
    numbers = f"{raised:8.2f} s{ended:8.2f} s{len(lines):8}{n_left:6}"
    print(f"{name:18}{numbers}  {how}", flush=True)
    if n_left:
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "calls", nargs="*", default=[], metavar="call", help=", ".join(CALLS)
    )
    parser.add_argument("--group", action="store_true", help="interrupt workers, too")
    parser.add_argument("--wait", type=float, default=4.0, help="seconds of work")
    parser.add_argument("--work", choices=CALLS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
    else:
        print(f"{'call':18}{'raises':>10}{'ends':>10}{'lines':>8}{'left':>6}  what")
        for each in options.calls or CALLS:
            measure(each, options.wait, options.group)
