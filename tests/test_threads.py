"""Limits of threads are shared by all threads, and results do not depend on them."""

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from crbestim._threads import SharedLimit, one_thread, one_torch_thread
from crbestim.bounds import covariance_from_jacobian
from crbestim.models import FunctionModel
from crbestim.subspace import SubspaceProjection, Whitening


class Library:
    """A library with a number of threads, of the process or of each thread."""

    def __init__(self, n, is_per_thread=False):
        self.is_per_thread, self.n = is_per_thread, n
        self.own = threading.local()

    @property
    def num_threads(self):
        return getattr(self.own, "n", self.n)

    def set_num_threads(self, n):
        self.n = n
        if self.is_per_thread:
            self.own.n = n


@pytest.fixture(params=[False, True])
def library(request):
    return Library(4, request.param)


def test_limits_are_nested(library):
    limit = SharedLimit(lambda: {"one": library})
    with limit, limit:
        with limit:
            assert library.num_threads == 1
        assert library.num_threads == 1
    assert library.num_threads == 4


def test_limits_are_restored_after_errors(library):
    limit = SharedLimit(lambda: {"one": library})

    @limit
    def fail(number):
        assert library.num_threads == 1
        raise KeyboardInterrupt(number)

    for number in range(2):
        with pytest.raises(KeyboardInterrupt, match=str(number)):
            fail(number)
        assert library.num_threads == 4


def test_threads_that_overlap_restore_the_number(library):
    limit, seen = SharedLimit(lambda: {"one": library}), []
    entered, left = threading.Event(), threading.Event()

    def other():
        with limit:
            entered.set()
            left.wait(10)
            seen.append(library.num_threads)
        seen.append(library.num_threads)

    thread = threading.Thread(target=other)
    with limit:
        thread.start()
        entered.wait(10)
    # The other thread is still inside.
    assert library.num_threads == (4 if library.is_per_thread else 1)
    left.set()
    thread.join()
    assert seen == [1, 4] and library.num_threads == library.n == 4


def test_a_library_that_is_loaded_inside_is_limited():
    libraries = {"one": Library(4)}
    limit = SharedLimit(lambda: libraries)
    with limit:
        libraries["two"] = Library(3)
        with limit:
            assert libraries["two"].num_threads == 1
    assert [library.n for library in libraries.values()] == [4, 3]


def blas_threads():
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [library.num_threads for library in found]


def test_blas_numba_and_torch():
    numba, torch = pytest.importorskip("numba"), pytest.importorskip("torch")
    before = numba.get_num_threads(), torch.get_num_threads()
    with threadpool_limits(2, user_api="blas"):
        assert set(blas_threads()) == {2}
        with one_thread(), one_torch_thread:
            assert numba.get_num_threads() == torch.get_num_threads() == 1
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {2}
    assert (numba.get_num_threads(), torch.get_num_threads()) == before


rng = np.random.default_rng(0)
X = rng.standard_normal((3000, 300)) + 1j * rng.standard_normal((3000, 300))
BASIS = np.linalg.qr(rng.standard_normal((2000, 13)))[0]
DECAY = FunctionModel(
    lambda theta: np.exp(-theta * np.linspace(0, 0.1, 2000)), ("R2",), [(1.0, 100.0)]
)
CALLS = {
    "basis": lambda: SubspaceProjection(5).fit(X).components_,
    "coefficients": lambda: SubspaceProjection(5).fit(X[:400]).transform(X),
    "whitening": lambda: Whitening(noise=X).fit_transform(X[:10]),
    "covariance": lambda: covariance_from_jacobian(X.reshape(30, 3000, 10)),
    "compressed": lambda: DECAY.compress(BASIS).signal([[20.0], [30.0]]),
    "whitened": lambda: DECAY.whiten(np.ones(2000)).signal([[20.0]], jacobian=True)[1],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_results_do_not_depend_on_the_threads_of_blas(call):
    found = []
    for n in (1, 2, 3):
        with threadpool_limits(n, user_api="blas"):
            found.append(call())
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
