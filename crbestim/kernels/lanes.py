"""Eight voxels at a time: one number of each in every vector register.

Kernels treat eight voxels as if they were one. An array holds their numbers side by side
on its last axis, of length LANES; `vectors(array)` is the same memory without that axis,
and each of its elements is a vector of eight numbers. Kernels that "take vectors" expect
such arrays. The four arithmetic operations, on two vectors or on a vector and a float, act
on all eight numbers: vector instructions are used by construction, whether or not the
compiler vectorizes loops. In single precision a vector has sixteen numbers, SINGLES.

Lanes are independent, so the result of a voxel does not depend on its neighbours.

Without numba, `vectors` returns the array itself, whose elements are rows of eight numbers,
and the kernels run unchanged in Python. There a name for an element is a view: write
``x = x + y``, never ``x += y``.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.imputils import impl_ret_borrowed, impl_ret_new_ref
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, overload, register_model
from numba.np.arrayobj import populate_array

LANES, SINGLES = 8, 16
_CACHE_LINE = 64

_INT = ir.IntType(32)


class _Vector(types.Type):
    """The type of numbers side by side, one per voxel."""

    def __init__(self, number, n_lanes):
        super().__init__(name=f"Vector({number}, {n_lanes})")
        self.number, self.n_lanes = number, n_lanes


vector, single = _Vector(types.float64, LANES), _Vector(types.float32, SINGLES)
_VECTORS = {kind.number: kind for kind in (vector, single)}


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        number = dmm[fe_type.number].get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(number, fe_type.n_lanes))


def vectors(array):
    """View a contiguous array (.., LANES) as an array (..) of vectors.

    Arrays in single precision are (.., SINGLES).
    """
    return array


def spread(number):
    """Return the vector, of the precision of a number, that holds it in every lane."""
    if isinstance(number, np.float32):
        return np.full(SINGLES, number)
    return np.full(LANES, float(number))


def zeros(shape):
    """Return zeros of shape (.., LANES), aligned to cache lines for fast loads."""
    return np.zeros(shape)


@overload(vectors)
def _vectors(array):
    return lambda array: _view(array)


@overload(spread)
def _spread(number):
    if number == types.float32:
        return lambda number: _splat(number)
    return lambda number: _splat(float(number))


@intrinsic
def _view(typingctx, array):
    kind = _VECTORS.get(array.dtype)
    if array.layout != "C" or kind is None or array.ndim < 2:
        raise TypingError(
            f"{array} is not a contiguous array (.., {LANES}) of float64, or "
            f"(.., {SINGLES}) of float32"
        )
    # NumPy aligns arrays to 16 bytes, but aligned loads of vectors need 64.
    result = types.Array(
        kind, array.ndim - 1, "C", readonly=not array.mutable, aligned=False
    )
    size = kind.n_lanes * kind.number.bitwidth // 8

    def codegen(context, builder, signature, args):
        source = context.make_array(array)(context, builder, args[0])
        view = context.make_array(result)(context, builder)
        pointer = context.get_data_type(result.dtype).as_pointer()
        populate_array(
            view,
            data=builder.bitcast(source.data, pointer),
            shape=cgutils.unpack_tuple(builder, source.shape)[:-1],
            strides=cgutils.unpack_tuple(builder, source.strides)[:-1],
            itemsize=context.get_constant(types.intp, size),
            meminfo=source.meminfo,
            parent=source.parent,
        )
        return impl_ret_borrowed(context, builder, result, view._getvalue())

    return result(array), codegen


@overload(zeros)
def _zeros(shape):
    return lambda shape: _aligned_zeros(shape)


@intrinsic
def _aligned_zeros(typingctx, shape):
    result = types.Array(types.float64, len(shape), "C")

    def codegen(context, builder, signature, args):
        lengths = cgutils.unpack_tuple(builder, args[0])
        strides, size = [], ir.Constant(lengths[0].type, 8)
        for length in reversed(lengths):
            strides.insert(0, size)
            size = builder.mul(size, length)
        line = ir.Constant(_INT, _CACHE_LINE)
        memory = context.nrt.meminfo_alloc_aligned(builder, size=size, align=line)
        start = context.nrt.meminfo_data(builder, memory)
        cgutils.memset(builder, start, size, 0)
        array = context.make_array(result)(context, builder)
        populate_array(
            array,
            data=builder.bitcast(start, ir.DoubleType().as_pointer()),
            shape=lengths,
            strides=strides,
            itemsize=context.get_constant(types.intp, 8),
            meminfo=memory,
        )
        return impl_ret_new_ref(context, builder, result, array._getvalue())

    return result(shape), codegen


@intrinsic
def _splat(typingctx, number):
    kind = _VECTORS[number]

    def codegen(context, builder, signature, args):
        return _repeat(builder, args[0], kind)

    return kind(number), codegen


def _repeat(builder, number, kind):
    """Emit the vector that holds a number in every lane."""
    n = kind.n_lanes
    undefined = ir.Constant(ir.VectorType(number.type, n), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(_INT, 0))
    zeros = ir.Constant(ir.VectorType(_INT, n), [0] * n)
    return builder.shuffle_vector(first, undefined, zeros)


def _define(python_operator, instruction):
    """Define an operation on two vectors, or on a vector and a float, for numba."""

    @infer_global(python_operator)
    class Operation(ConcreteTemplate):
        cases = [
            signature(kind, *pair)
            for kind in _VECTORS.values()
            for pair in ((kind, kind), (kind.number, kind), (kind, kind.number))
        ]

    def lower(context, builder, signature, args):
        a, b = (
            value
            if isinstance(kind, _Vector)
            else _repeat(builder, value, signature.return_type)
            for value, kind in zip(args, signature.args, strict=True)
        )
        # A product and a sum may become one instruction with one rounding.
        return getattr(builder, instruction)(a, b, flags=("contract",))

    for case in Operation.cases:
        lower_builtin(python_operator, *case.args)(lower)


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")
