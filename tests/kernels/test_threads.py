import threading

import numba
import numpy as np
import pytest
from numba import njit

from crbestim.kernels.threads import in_threads


class Recorder:
    """A kernel that counts how often each block is done, and in what pieces."""

    def __init__(self, n_blocks):
        self.counts = np.zeros(n_blocks, dtype=int)
        self.pieces, self.threads, self.arguments = [], set(), []
        self.lock = threading.Lock()

    def __call__(self, first, last, *arguments):
        with self.lock:
            self.counts[first:last] += 1
            self.pieces.append(last - first)
            self.threads.add(threading.get_ident())
            self.arguments.append(arguments)


@njit(cache=True, nogil=True)
def number_blocks(first, last, out):
    for b in range(first, last):
        out[b] += b + 1


@pytest.fixture
def set_threads(monkeypatch):
    """Return a function that fakes numba's number of threads, even above its maximum."""
    return lambda n: monkeypatch.setattr(numba, "get_num_threads", lambda: n)


@pytest.fixture(params=[1, 2])
def n_threads(request, set_threads):
    """Set the number of threads, and restore it afterwards."""
    if request.param > numba.config.NUMBA_NUM_THREADS:
        set_threads(request.param)
        yield request.param
    else:
        before = numba.get_num_threads()
        numba.set_num_threads(request.param)
        yield request.param
        numba.set_num_threads(before)


@pytest.mark.parametrize("n_blocks", [0, 1, 7, 100])
@pytest.mark.parametrize("per_piece", [1, 3, 32, 1000])
def test_every_block_is_done_once(n_threads, n_blocks, per_piece):
    kernel = Recorder(n_blocks)
    in_threads(kernel, n_blocks, "a", 2.0, per_piece=per_piece)
    np.testing.assert_array_equal(kernel.counts, 1)
    assert all(1 <= piece <= per_piece for piece in kernel.pieces)
    assert sum(kernel.pieces) == n_blocks
    assert kernel.arguments == [("a", 2.0)] * len(kernel.pieces)


@pytest.mark.parametrize("n_blocks", [1, 7, 100])
def test_compiled_kernels(n_threads, n_blocks):
    out = np.zeros(n_blocks)
    in_threads(number_blocks, n_blocks, out)
    np.testing.assert_array_equal(out, np.arange(1, n_blocks + 1))


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("n_blocks", [1, 2, 7, 100])
def test_many_threads(set_threads, n, n_blocks):
    set_threads(n)
    kernel = Recorder(n_blocks)
    in_threads(kernel, n_blocks)
    np.testing.assert_array_equal(kernel.counts, 1)
    assert len(kernel.threads) <= n


def test_pieces_are_eight_blocks_at_most(n_threads):
    kernel = Recorder(1000)
    in_threads(kernel, 1000)
    assert max(kernel.pieces) == 8


@pytest.mark.parametrize(
    ("n", "n_blocks", "pieces"),
    [
        (2, 7, [3, 4]),
        (3, 7, [1, 3, 3]),
        (4, 4, [1] * 4),
        (5, 2, [1, 1]),
        (2, 22, [6, 8, 8]),
    ],
)
def test_few_blocks_are_shared_among_the_threads(set_threads, n, n_blocks, pieces):
    set_threads(n)
    kernel = Recorder(n_blocks)
    in_threads(kernel, n_blocks)
    assert sorted(kernel.pieces) == pieces


def test_one_thread_is_the_one_that_calls(set_threads):
    set_threads(1)
    kernel = Recorder(100)
    in_threads(kernel, 100)
    assert kernel.threads == {threading.get_ident()}
    set_threads(8)  # more than there are blocks
    kernel = Recorder(1)
    in_threads(kernel, 1)
    assert kernel.threads == {threading.get_ident()}


def test_two_threads_work_at_the_same_time(set_threads):
    set_threads(2)
    both = threading.Barrier(2)  # the first piece waits for the second
    in_threads(lambda first, last: both.wait(timeout=30), 2)


@pytest.mark.parametrize("n_blocks", [1, 100])
@pytest.mark.parametrize("wrong", [0, 99])
def test_an_exception_in_a_piece_is_raised(n_threads, n_blocks, wrong):
    def kernel(first, last):
        if first <= min(wrong, n_blocks - 1) < last:
            raise ZeroDivisionError("of a kernel")

    with pytest.raises(ZeroDivisionError, match="of a kernel"):
        in_threads(kernel, n_blocks, per_piece=3)


def test_no_piece_is_left_when_an_exception_is_raised(set_threads):
    set_threads(2)
    kernel, before = Recorder(100), set(threading.enumerate())

    def fail_first(first, last):
        if first == 0:
            raise ValueError
        kernel(first, last)

    with pytest.raises(ValueError):
        in_threads(fail_first, 100, per_piece=1)
    assert kernel.counts.max() <= 1
    assert set(threading.enumerate()) <= before
