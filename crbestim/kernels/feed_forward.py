"""A network of fully connected layers, many voxels at a time.

Voxels lie side by side in blocks (n_blocks, n_features, lanes), LANES of them, or SINGLES
in single precision:

  1. `align` or `centre` writes the features of each voxel in a row, and `put` puts the rows
     into the lanes of blocks.
  2. `dense` is one layer.
  3. `take` reads the estimates.

Each voxel has a lane of its own, and the terms of its sums always have the same order: its
estimate depends neither on its neighbours nor on how many there are.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from ._compile import njit
from .lanes import spread, vectors

ACTIVATIONS = ("gelu", "silu", "relu", "tanh")
"""Functions of hidden layers; `dense` takes their places in this tuple."""
LINEAR = len(ACTIVATIONS)
"""What `dense` takes for a layer without an activation."""

_GELU, _SILU, _RELU, _TANH = range(LINEAR)
_CONTRACT = {"contract"}


def _singles(*values):
    return tuple(np.float32(value) for value in values)


# Minimax quotients of polynomials for single precision, with errors below 4e-7: a limit
# beyond which the function is constant, then the coefficients of numerator over x and
# denominator in powers of x^2, the highest first.
_ERF = _singles(
    3.9,
    *(2.01485033e-08, -1.96321093e-06, 1.40597112e-04, 3.63217387e-03, 5.03445491e-02),
    *(1.98179394e-01, 1.12837911e00),
    *(9.40556463e-04, 1.42076304e-02, 1.14279717e-01, 5.08963645e-01, 1.0),
)
_TANH_QUOTIENT = _singles(
    8.3,
    *(2.99617373e-14, -3.46462130e-11, 4.78446118e-08, 3.36723824e-05, 4.12397785e-03),
    *(1.38789371e-01, 1.0),
    *(1.72204273e-06, 4.40525037e-04, 2.81648822e-02, 4.72122699e-01, 1.0),
)


@njit(fastmath=_CONTRACT)
def quotient(x, c):
    """Return an odd function from its coefficients in single precision."""
    x = min(max(x, -c[0]), c[0])
    s = x * x
    over = (((((c[1] * s + c[2]) * s + c[3]) * s + c[4]) * s + c[5]) * s + c[6]) * s + c[7]
    under = (((c[8] * s + c[9]) * s + c[10]) * s + c[11]) * s + c[12]
    return x * over / under


def erf(x):
    """Return the error function."""
    return math.erf(x)


def tanh(x):
    """Return the hyperbolic tangent."""
    return math.tanh(x)


@overload(erf)
def _erf(x):
    if x == types.float32:
        return lambda x: quotient(x, _ERF)
    return lambda x: math.erf(x)


@overload(tanh)
def _tanh(x):
    if x == types.float32:
        return lambda x: quotient(x, _TANH_QUOTIENT)
    # Twice as fast as the library's.
    return lambda x: 1.0 - 2.0 / (1.0 + math.exp(2.0 * x))


@njit(nogil=True)
def align(X, reference, out):
    """Write real and imaginary parts of complex signals without their unknown factor.

    Signals are divided by their norm, and turned until their inner product with the
    reference is real and positive. X : (n, n_features), out : (n, 2 n_features).
    """
    for i in range(X.shape[0]):
        size = 0.0
        for j in range(X.shape[1]):
            size = max(size, abs(X[i, j].real), abs(X[i, j].imag))
        overlap, energy = 0.0 + 0.0j, 0.0
        for j in range(X.shape[1]):
            # Parts of unit size, whose squares do not underflow.
            x = complex(X[i, j].real / size, X[i, j].imag / size)
            overlap += x * reference[j].conjugate()
            energy += x.real * x.real + x.imag * x.imag
            out[i, 2 * j], out[i, 2 * j + 1] = x.real, x.imag
        magnitude, factor = abs(overlap), 1.0 + 0.0j
        if magnitude > 0.0:
            factor = complex(overlap.real / magnitude, -overlap.imag / magnitude)
        factor = factor / math.sqrt(energy)
        for j in range(X.shape[1]):
            x = complex(out[i, 2 * j], out[i, 2 * j + 1]) * factor
            out[i, 2 * j], out[i, 2 * j + 1] = x.real, x.imag


@njit(nogil=True)
def centre(X, reference, has_amplitude, out):
    """Write real signals less the reference, divided by their norm if they have one.

    X, out : (n, n_features).
    """
    for i in range(X.shape[0]):
        size, energy = 1.0, 1.0
        if has_amplitude:
            size, energy = 0.0, 0.0
            for j in range(X.shape[1]):
                size = max(size, abs(X[i, j]))
            for j in range(X.shape[1]):
                energy += (X[i, j] / size) ** 2
        norm = math.sqrt(energy)
        for j in range(X.shape[1]):
            out[i, j] = X[i, j] / size / norm - reference[j]


@njit(nogil=True)
def put(rows, mean, first, out):
    """Put rows into the lanes of blocks, as features from `first` on, less their mean.

    They are rounded to the precision of the mean before. rows : (n, n_rows),
    mean : (n_features,), out : (n_blocks, n_features, lanes).
    """
    lanes = out.shape[2]
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            k = first + j
            out[i // lanes, k, i % lanes] = mean.dtype.type(rows[i, j]) - mean[k]


@njit
def add_products(weights, bias, x, out):
    """Write weights x + bias of one block, x : (n_in, lanes), out : (n_out, lanes).

    Six sums, as many as fit into the registers, stay there until they are complete.
    """
    x, out = vectors(x), vectors(out)
    n_out, n_in = weights.shape
    sixes = n_out - n_out % 6
    for i in range(0, sixes, 6):
        a, b, c = spread(bias[i]), spread(bias[i + 1]), spread(bias[i + 2])
        d, e, f = spread(bias[i + 3]), spread(bias[i + 4]), spread(bias[i + 5])
        for k in range(n_in):
            v = x[k]
            a, b = a + weights[i, k] * v, b + weights[i + 1, k] * v
            c, d = c + weights[i + 2, k] * v, d + weights[i + 3, k] * v
            e, f = e + weights[i + 4, k] * v, f + weights[i + 5, k] * v
        out[i], out[i + 1], out[i + 2] = a, b, c
        out[i + 3], out[i + 4], out[i + 5] = d, e, f
    for i in range(sixes, n_out):
        a = spread(bias[i])
        for k in range(n_in):
            a = a + weights[i, k] * x[k]
        out[i] = a


@njit(fastmath=_CONTRACT)
def activate(activation, adds, before, values):
    """Apply an activation to numbers in place, and add others if asked to.

    values : (n,), before : (n,), or of any length if it is not added.
    """
    kind = values.dtype.type
    none, half, one, root = kind(0.0), kind(0.5), kind(1.0), kind(math.sqrt(0.5))
    if activation == _GELU:
        for i in range(values.size):
            share = half * (one + erf(root * values[i]))
            values[i] = (before[i] if adds else none) + values[i] * share
    elif activation == _SILU:
        for i in range(values.size):
            share = half * (one + tanh(half * values[i]))
            values[i] = (before[i] if adds else none) + values[i] * share
    elif activation == _RELU:
        for i in range(values.size):
            values[i] = (before[i] if adds else none) + max(values[i], none)
    elif activation == _TANH:
        for i in range(values.size):
            values[i] = (before[i] if adds else none) + tanh(values[i])


@njit(nogil=True)
def dense(weights, bias, activation, adds, x, out):
    """Write activation(weights x + bias), plus x if the layer `adds` its input.

    weights : (n_out, n_in), bias : (n_out,), x : (n_blocks, n_in, lanes),
    out : (n_blocks, n_out, lanes). A layer without an activation adds nothing.
    """
    for block in range(x.shape[0]):
        add_products(weights, bias, x[block], out[block])
        if activation != LINEAR:
            activate(activation, adds, x[block].reshape(-1), out[block].reshape(-1))


@njit(nogil=True)
def take(values, periodic, turns, out):
    """Read parameters from the lanes of blocks.

    Those with a period are angles, from a cosine and, after all parameters, a sine.
    values : (n_blocks, n_parameters + n_periodic, lanes); periodic, turns : (n_periodic,),
    their columns, and their period over 2 pi; out : (n, n_parameters).
    """
    lanes, n = values.shape[2], out.shape[1]
    for i in range(out.shape[0]):
        block, lane = i // lanes, i % lanes
        for p in range(n):
            out[i, p] = values[block, p, lane]
        for q in range(periodic.size):
            cosine = values[block, periodic[q], lane]
            out[i, periodic[q]] = math.atan2(values[block, n + q, lane], cosine) * turns[q]
