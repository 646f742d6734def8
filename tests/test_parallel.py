"""Work goes through every backend of joblib, with the same results."""

import os
import signal

import numpy as np
import pytest
from joblib import delayed, parallel_config, register_parallel_backend
from joblib._parallel_backends import ThreadingBackend

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim._parallel import in_parallel
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential

MODEL = MonoExponential([0.01, 0.03, 0.06], signal="magnitude")


class OldBackend(ThreadingBackend):
    """A backend that returns lists only."""

    supports_return_generator = False
    supports_retrieve_callback = False


register_parallel_backend("old", OldBackend)


def work(n_jobs=2, verbose=False):
    """Return results of everything that uses joblib."""
    options = dict(random_state=0, n_jobs=n_jobs, verbose=verbose)
    X, y, crb = make_fingerprints(MODEL, 1100, return_crb=True, **options)
    nlls = NLLSRegressor(MODEL, n_jobs=n_jobs, verbose=verbose).fit(X, y)
    others = OneStepRegressor(model=MODEL), DictionaryRegressor(MODEL)
    others = [reg.set_params(n_jobs=n_jobs).fit(X, y) for reg in others]
    return [X, y, crb, *(reg.predict(X[:30]) for reg in (nlls, *others))]


@pytest.fixture(scope="module")
def expected():
    return work(n_jobs=None)


@pytest.mark.parametrize("backend", ["threading", "old", "multiprocessing"])
def test_results_do_not_depend_on_the_backend(expected, backend, capsys):
    with parallel_config(backend=backend):
        found = work(verbose=True)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
    shown = capsys.readouterr().err
    assert "2/2" in shown and "30/30" in shown


def handler_of_interrupts():
    return os.getpid(), signal.getsignal(signal.SIGINT)


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_workers_leave_interrupts_to_the_caller(backend):
    own = signal.getsignal(signal.SIGINT)
    with parallel_config(backend=backend):
        (found,) = in_parallel([delayed(handler_of_interrupts)()], n_jobs=2)
    assert found[0] != os.getpid() and found[1] == signal.SIG_IGN
    (found,) = in_parallel([delayed(handler_of_interrupts)()], n_jobs=None)
    assert found == (os.getpid(), own) == handler_of_interrupts()
