"""Warnings that are held back: in one thread, and without a trace in the process."""

import threading
import warnings

import numpy as np
import pytest

from crbestim import NLLSRegressor, OneStepRegressor
from crbestim._warnings import all_ignored, ignored, told_to_caller, warn
from crbestim.models import MonoExponential


def test_categories_and_patterns_are_ignored():
    with ignored(UserWarning, pattern="X has .*values"):
        warn("X has negative values")
        with pytest.warns(UserWarning, match="Y has"):
            warn("Y has negative values")
        with pytest.warns(RuntimeWarning, match="X has"):
            warn("X has other values", RuntimeWarning)
    with pytest.warns(UserWarning, match="X has"):
        warn("X has negative values")


def method():
    with told_to_caller():
        warn("one")
        with ignored(UserWarning):
            warn("two")
        warn("three", RuntimeWarning)


def test_warnings_point_to_the_line_of_the_caller_in_their_order():
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        method()
        line = test_warnings_point_to_the_line_of_the_caller_in_their_order.__code__
    assert [str(w.message) for w in record] == ["one", "three"]
    assert {w.lineno for w in record} == {line.co_firstlineno + 3}


def test_other_threads_go_on_warning():
    told = []

    def work():
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            warn("from a thread")
            told.extend(record)

    with ignored(UserWarning):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(told) == 1


def test_all_is_ignored_of_other_code():
    with all_ignored():
        warnings.warn("other", DeprecationWarning, stacklevel=1)


def test_threads_leave_the_filters_of_the_process():
    model = MonoExponential([0.01, 0.03, 0.06], signal="magnitude", noise="rician")
    X = model.signal(np.tile([[0.05, 9.0]], (64, 1))) * [1.0, 1.0, -0.05]
    step = OneStepRegressor(NLLSRegressor(model), model=model).fit(X)
    threads = [threading.Thread(target=step.residual, args=(X,)) for _ in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = list(warnings.filters)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
