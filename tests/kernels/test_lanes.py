import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys

from crbestim.kernels.lanes import LANES, SINGLES, spread, vectors, zeros
from tests.kernels.voxels import only_compiled


@njit(cache=True)
def double(array):
    v = vectors(array)
    for i in range(v.shape[0]):
        for j in range(v.shape[1]):
            v[i, j] = v[i, j] + v[i, j]


@njit(cache=True)
def operations(a, b, number, out):
    a, b, out = vectors(a), vectors(b), vectors(out)
    x, y = a[0], b[0]
    out[0], out[1], out[2] = x + y, x + number, number + x
    out[3], out[4], out[5] = x - y, x - number, number - x
    out[6], out[7], out[8] = x * y, x * number, number * x
    out[9], out[10], out[11] = x / y, x / number, number / x


@njit(cache=True)
def fill(number, out):
    vectors(out)[0] = spread(number)


@njit(cache=True)
def copy(source, out):
    source, out = vectors(source), vectors(out)
    for i in range(out.shape[0]):
        out[i] = source[i]


@njit(cache=True)
def new(shape):
    return zeros(shape)


@njit(cache=True)
def scratch(n):
    a = zeros((n, LANES))
    v = vectors(a)
    for i in range(n):
        v[i] = spread(1.0)
    return a[n - 1].sum()


@njit(cache=True)
def shape_of_vectors(array):
    return vectors(array).shape


def test_vectors_are_a_view(form):
    array = np.random.default_rng(0).standard_normal((3, 5, LANES))
    expected = 2 * array
    form(double)(array)
    np.testing.assert_array_equal(array, expected)


def test_vectors_of_a_part_are_a_view_of_this_part(form):
    array = np.ones((4, 3, 5, LANES))
    form(double)(array[1])
    form(double)(array[2][1:])
    expected = np.ones_like(array)
    expected[1], expected[2, 1:] = 2, 2
    np.testing.assert_array_equal(array, expected)


@only_compiled
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0,), (3, 0)])
def test_vectors_have_the_shape_without_the_last_axis(shape):
    assert shape_of_vectors(np.empty((*shape, LANES))) == shape


def test_any_row_may_begin_anywhere(form):
    # NumPy aligns memory to 16 bytes, or even to 8 in a part of an array: vectors must be
    # loaded and stored at any such address.
    for offset in range(LANES):
        memory = np.arange(2.0 * LANES + LANES)
        rows = memory[offset : offset + 2 * LANES].reshape(2, LANES)
        out = np.full(3 * LANES + 1, np.nan)
        part = out[LANES - offset :][: 2 * LANES].reshape(2, LANES)
        form(copy)(rows, part)
        np.testing.assert_array_equal(part, rows)
        assert np.isnan(out).sum() == LANES + 1


@pytest.mark.parametrize("number", [-1.75, 0.1, 3.0, np.float32(0.7)])
def test_operations_are_those_of_numpy(form, number):
    is_single = isinstance(number, np.float32)
    kind, lanes = (np.float32, SINGLES) if is_single else (np.float64, LANES)
    x, y = np.random.default_rng(1).standard_normal((2, lanes)).astype(kind)
    out = np.full((12, lanes), np.nan, kind)
    form(operations)(x[None], y[None], number, out)
    expected = [
        x + y, x + number, number + x, x - y, x - number, number - x,
        x * y, x * number, number * x, x / y, x / number, number / x,
    ]  # fmt: skip
    # One operation is rounded once in both.
    np.testing.assert_array_equal(out, expected)


@only_compiled
def test_one_lane_can_be_infinite_or_nan():
    x, y = np.ones(LANES), np.ones(LANES)
    x[2], y[5] = np.nan, 0.0
    out = np.empty((12, LANES))
    operations(x[None], y[None], 2.0, out)
    assert np.isnan(out[:, 2]).all()
    assert out[9, 5] == np.inf
    others = np.delete(out, [2, 5], axis=1)
    np.testing.assert_array_equal(others, np.repeat(others[:, :1], LANES - 2, axis=1))


def test_lanes_do_not_see_each_other(form):
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 1, LANES))
    out, permuted = np.empty((2, 12, LANES))
    order = rng.permutation(LANES)
    form(operations)(x, y, 0.3, out)
    form(operations)(x[:, order], y[:, order], 0.3, permuted)
    np.testing.assert_array_equal(permuted, out[:, order])


@pytest.mark.parametrize("number", [0.0, -2.5, 3, np.float32(0.1)])
def test_spread(form, number):
    is_single = isinstance(number, np.float32)
    out = (
        np.full((1, SINGLES), np.nan, np.float32) if is_single else np.full((1, LANES), 0.5)
    )
    form(fill)(number, out)
    np.testing.assert_array_equal(out, float(number))


@pytest.mark.parametrize(
    "shape", [(1, LANES), (7, LANES), (3, 5, LANES), (2, 0, LANES), (2, 3, 4, LANES)]
)
def test_zeros(form, shape):
    kept = []
    for _ in range(20):
        array = form(new)(shape)
        assert array.shape == shape
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, 0)
        array[...] = 1  # this memory may be reused
        kept.append(array)
        del kept[: len(kept) // 2]


@only_compiled
def test_compiled_zeros_lie_at_the_start_of_a_cache_line():
    arrays = [new((n, LANES)) for n in range(1, 50)]
    assert [array.ctypes.data % 64 for array in arrays] == [0] * len(arrays)
    for array in arrays:
        array[...] = 1  # no two share memory
    assert sum(array.sum() for array in arrays) == LANES * sum(range(1, 50))


@only_compiled
def test_zeros_are_given_back():
    assert scratch(10) == LANES
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        for n in range(1, 20):
            scratch(n)
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert after.alloc == before.alloc + 19
    assert after.alloc - before.alloc == after.free - before.free


@only_compiled
@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 2 * LANES))[:, ::2],
        np.zeros((LANES, 3)).T,
        np.zeros((3, LANES), dtype=np.float16),
        np.zeros((3, LANES), dtype=np.int64),
        np.zeros(LANES),
    ],
    ids=["strided", "transposed", "float16", "int64", "one axis"],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(TypingError, match="not a contiguous array"):
        shape_of_vectors(array)


@only_compiled
def test_vectors_of_a_read_only_array_cannot_be_changed():
    array = np.ones((2, 3, LANES))
    array.flags.writeable = False
    assert shape_of_vectors(array) == (2, 3)
    with pytest.raises(TypingError, match="read-?only"):
        double(array)
