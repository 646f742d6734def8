"""Weighted sums of many arrays of vectors: the product of two matrices.

out[i, e] = sum_k weights[i, k] values[k, e] for vectors e. It interpolates
the maps of many pulses from those of a few nodes, and projects the samples of many pulses
onto a few coefficients. As many sums as the vector registers hold stay there until they are
complete: sixteen, of ROWS rows and two entries, where a register holds all lanes, and four
where it takes more registers to do so. The order of terms is the same, and depends neither
on threads nor on chunks.
"""

from llvmlite import binding

from ._compile import njit
from .lanes import spread, vectors

ROWS = 8
ENTRIES = 2


@njit
def sixteen_at_a_time(weights, values, out, low, high, add):
    """Write weights @ values to the entries `low` to `high` of `out`, or add it.

    weights : (n_rows, n), n_rows a multiple of 8, padded with zeros.
    values : (n or more, n_entries, LANES), out : (n_rows, n_entries, LANES); high - low
    is even.
    """
    values, out = vectors(values), vectors(out)
    zero = spread(0.0)
    for e in range(low, high, 2):
        f = e + 1
        for i in range(0, weights.shape[0], 8):
            a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = zero
            b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = zero
            if add:
                a0, b0, a1, b1 = out[i, e], out[i, f], out[i + 1, e], out[i + 1, f]
                a2, b2, a3, b3 = out[i + 2, e], out[i + 2, f], out[i + 3, e], out[i + 3, f]
                a4, b4, a5, b5 = out[i + 4, e], out[i + 4, f], out[i + 5, e], out[i + 5, f]
                a6, b6, a7, b7 = out[i + 6, e], out[i + 6, f], out[i + 7, e], out[i + 7, f]
            for k in range(weights.shape[1]):
                x, y = values[k, e], values[k, f]
                w = weights[i, k]
                a0, b0 = a0 + w * x, b0 + w * y
                w = weights[i + 1, k]
                a1, b1 = a1 + w * x, b1 + w * y
                w = weights[i + 2, k]
                a2, b2 = a2 + w * x, b2 + w * y
                w = weights[i + 3, k]
                a3, b3 = a3 + w * x, b3 + w * y
                w = weights[i + 4, k]
                a4, b4 = a4 + w * x, b4 + w * y
                w = weights[i + 5, k]
                a5, b5 = a5 + w * x, b5 + w * y
                w = weights[i + 6, k]
                a6, b6 = a6 + w * x, b6 + w * y
                w = weights[i + 7, k]
                a7, b7 = a7 + w * x, b7 + w * y
            out[i, e], out[i, f], out[i + 1, e], out[i + 1, f] = a0, b0, a1, b1
            out[i + 2, e], out[i + 2, f], out[i + 3, e], out[i + 3, f] = a2, b2, a3, b3
            out[i + 4, e], out[i + 4, f], out[i + 5, e], out[i + 5, f] = a4, b4, a5, b5
            out[i + 6, e], out[i + 6, f], out[i + 7, e], out[i + 7, f] = a6, b6, a7, b7


@njit
def four_at_a_time(weights, values, out, low, high, add):
    """Do what `sixteen_at_a_time` does, to the last bit, in a quarter of the registers."""
    values, out = vectors(values), vectors(out)
    zero = spread(0.0)
    for e in range(low, high):
        for i in range(0, weights.shape[0], 4):
            a = b = c = d = zero
            if add:
                a, b, c, d = out[i, e], out[i + 1, e], out[i + 2, e], out[i + 3, e]
            for k in range(weights.shape[1]):
                x = values[k, e]
                a, b = a + weights[i, k] * x, b + weights[i + 1, k] * x
                c, d = c + weights[i + 2, k] * x, d + weights[i + 3, k] * x
            out[i, e], out[i + 1, e], out[i + 2, e], out[i + 3, e] = a, b, c, d


def _has_wide_registers():
    """Whether a register of this processor holds eight numbers in double precision."""
    try:
        return bool(binding.get_host_cpu_features().get("avx512f"))
    except RuntimeError:
        return False


weighted_sums = sixteen_at_a_time if _has_wide_registers() else four_at_a_time
