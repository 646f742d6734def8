"""Residuals of one voxel and their derivatives, with the factor of its signal eliminated.

What `least_squares.variable_projection` computes for many voxels of any model, here for
one voxel whose signal is a compiled function. Complex signals are rows of real and
imaginary parts, alternating. Variables are fractions of the bounds; residuals are shares
of the norm of the data, which are in units of the factor at the first start.
"""

from collections import namedtuple

import numpy as np

from ._compile import borrowing

DECIMALS = 12
"""Decimals to which scaled data are rounded."""
AT_LIMIT = 1e-12
"""Rounding error of a factor at a limit, as a share."""
LEAST_SHARE = 1e-6
"""A start that explains less of the signal than this share shows no factor."""

_GRID = 10.0**DECIMALS
# Sums of squares above are far from underflow.
_LEAST_SQUARE = 1e-200

Task = namedtuple(
    "Task", "settings values columns known_columns box limits has_factor is_complex"
)
"""What all voxels have in common.

settings : (n_settings, n_features) of the signal's form.
values : (n_theta,), constants among its parameters.
columns, known_columns : places of the variables and of the known values among them.
box : (5, n_variables), rows LOW, HIGH, RATIO (high / low where the scale is logarithmic,
otherwise 0), SPAN (its logarithm, otherwise high - low) and ROUND (1 where ends meet).
limits : (2,), of a real factor.
has_factor : whether the signal has an unknown factor.
"""
LOW, HIGH, RATIO, SPAN, ROUND = range(5)

Voxels = namedtuple("Voxels", "x weights known factor norm")
"""What differs among them.

x : (n_voxels, n) data, scaled once `scale` has run; weights : (n_voxels, n_features) or
without rows; known : (n_voxels, n_known); factor : (n_voxels, 2), real and imaginary part;
norm : (n_voxels,), of the scaled data.
"""

Voxel = namedtuple("Voxel", "x weights theta s ds r jac numbers")
"""One voxel.

x, weights, s, r : (n,), data, weights, signal and residual; theta : (n_theta,);
ds : (n_theta, n) and jac : (n_variables, n), derivatives of signal and residual;
numbers : (10,), single numbers at the places that follow.
"""
NORM, WEIGHTED, LEAST, MOST, REAL, IMAG, ENERGY, FREE, FOUND_REAL, FOUND_IMAG = range(10)
"""The norm of the data, whether samples have weights, and the limits of the factor; of the
last residual the factor, the energy of the signal, and whether the factor is free; and the
factor at the best point so far."""


@borrowing
def load(task, voxels, i, voxel):
    """Write what is known of voxel i but for its data: given parameters and weights."""
    theta, n_parts = voxel.theta, 2 if task.is_complex else 1
    for k in range(theta.size):
        theta[k] = task.values[k]
    for k in range(task.known_columns.size):
        theta[task.known_columns[k]] = voxels.known[i, k]
    if len(voxels.weights):
        for f in range(voxel.weights.size):
            voxel.weights[f] = voxels.weights[i, f // n_parts]
    voxel.numbers[WEIGHTED] = 1.0 if len(voxels.weights) else 0.0


@borrowing
def load_data(task, voxels, i, voxel):
    """Write the scaled data of voxel i, their norm, and the limits of its factor."""
    for f in range(voxel.x.size):
        voxel.x[f] = voxels.x[i, f]
    voxel.numbers[NORM] = voxels.norm[i]
    for k in range(2):
        voxel.numbers[LEAST + k] = task.limits[k] / voxels.factor[i, 0]


@borrowing(inline="always")
def simulate_at(form, task, place, voxel, wants_derivatives):
    """Write theta, the signal and, if they are wanted, its derivatives at fractions."""
    box, columns, theta, weights = task.box, task.columns, voxel.theta, voxel.weights
    for k in range(columns.size):
        if box[RATIO, k] > 0.0:
            value = box[LOW, k] * box[RATIO, k] ** place[k]
        else:
            value = box[LOW, k] + box[SPAN, k] * place[k]
        theta[columns[k]] = min(max(value, box[LOW, k]), box[HIGH, k])
    ds = voxel.ds if wants_derivatives else voxel.ds[:0]
    form(task.settings, theta, voxel.s, ds)
    if voxel.numbers[WEIGHTED]:
        for f in range(weights.size):
            voxel.s[f] *= weights[f]
            if len(ds):
                for k in range(columns.size):
                    ds[columns[k], f] *= weights[f]


@borrowing(inline="always")
def residual(task, voxel):
    """Write the residual of the signal with the best factor; return half its square."""
    x, s, r, numbers = voxel.x, voxel.s, voxel.r, voxel.numbers
    numbers[REAL], numbers[IMAG], numbers[FREE] = 1.0, 0.0, 0.0
    if task.has_factor:
        _find_factor(task.is_complex, x, s, numbers)
    re, im, share, cost = numbers[REAL], numbers[IMAG], 1.0 / numbers[NORM], 0.0
    if task.is_complex:
        # Real and imaginary parts alternate.
        for f in range(0, x.size, 2):
            r[f] = (x[f] - re * s[f] + im * s[f + 1]) * share
            r[f + 1] = (x[f + 1] - re * s[f + 1] - im * s[f]) * share
            cost += r[f] * r[f] + r[f + 1] * r[f + 1]
    else:
        for f in range(x.size):
            r[f] = (x[f] - re * s[f]) * share
            cost += r[f] * r[f]
    return 0.5 * cost


@borrowing
def _find_factor(is_complex, x, s, numbers):
    """Write the best factor s^H x / s^H s, inside its limits if it is real."""
    energy = along = across = 0.0
    for f in range(x.size):
        energy += s[f] * s[f]
        along += s[f] * x[f]
    if is_complex:
        for f in range(0, x.size, 2):
            across += s[f] * x[f + 1] - s[f + 1] * x[f]
    factor, is_free = along / energy, 1.0
    if not is_complex:
        low, high = numbers[LEAST], numbers[MOST]
        if factor <= low or is_at(factor, low):
            factor, is_free = max(factor, low), 0.0
        elif factor >= high or is_at(factor, high):
            factor, is_free = min(factor, high), 0.0
    numbers[REAL], numbers[IMAG] = factor, across / energy
    numbers[ENERGY], numbers[FREE] = energy, is_free


@borrowing
def is_at(factor, limit):
    """Tell whether a factor is at a finite limit, up to rounding errors."""
    return np.isfinite(limit) and abs(factor - limit) <= AT_LIMIT * abs(limit)


@borrowing
def differentiate(task, voxel):
    """Write the derivatives of the residual that was computed last.

    They are ``-m0 P ds``, with the projection P orthogonal to s while the factor is free.
    """
    s, ds, jac, numbers, box = voxel.s, voxel.ds, voxel.jac, voxel.numbers, task.box
    re, im, n = numbers[REAL], numbers[IMAG], s.size
    for k in range(task.columns.size):
        column, along, across = task.columns[k], 0.0, 0.0
        slope = box[SPAN, k] * (voxel.theta[column] if box[RATIO, k] > 0.0 else 1.0)
        slope /= numbers[NORM]
        if numbers[FREE]:
            for f in range(n):
                along += s[f] * ds[column, f]
            if task.is_complex:
                for f in range(0, n, 2):
                    across += s[f] * ds[column, f + 1] - s[f + 1] * ds[column, f]
            along, across = along / numbers[ENERGY], across / numbers[ENERGY]
        if task.is_complex:
            for f in range(0, n, 2):
                u = (ds[column, f] - along * s[f] + across * s[f + 1]) * slope
                v = (ds[column, f + 1] - along * s[f + 1] - across * s[f]) * slope
                jac[k, f], jac[k, f + 1] = im * v - re * u, -re * v - im * u
        else:
            for f in range(n):
                jac[k, f] = -re * (ds[column, f] - along * s[f]) * slope


@borrowing
def scale(task, data, voxels, i, voxel):
    """Scale the data of voxel i to a factor of 1 of the signal, if it has a factor.

    They are rounded, so that rounding errors that depend on the factor cannot grow during
    the search along directions in which the cost is almost flat. Writes voxels.x, factor
    and norm.
    """
    x, n = voxel.x, voxel.x.size
    for f in range(n):
        x[f] = voxels.x[i, f] = data[i, f]
    voxels.factor[i, 0], voxels.factor[i, 1] = 1.0, 0.0
    if task.has_factor:
        size = norm(x)
        size = size if size > 0 else 1.0
        re, im = _agreement(task.is_complex, x, voxel.s, size)
        voxels.factor[i, 0], voxels.factor[i, 1] = re * size, im * size
        energy = (re * re + im * im) * size
        re, im = re / energy, im / energy
        if task.is_complex:
            for f in range(0, n, 2):
                u, v = re * x[f] + im * x[f + 1], re * x[f + 1] - im * x[f]
                voxels.x[i, f], voxels.x[i, f + 1] = _rounded(u), _rounded(v)
        else:
            for f in range(n):
                voxels.x[i, f] = _rounded(re * x[f])
    size = norm(voxels.x[i])
    voxels.norm[i] = size if size > 0 else 1.0


@borrowing
def _rounded(value):
    return np.rint(_GRID * value) / _GRID


@borrowing
def _agreement(is_complex, x, s, size):
    """Return the factor of data, over their norm, to a signal of unit norm, or 1.

    Where they do not agree, the norm of the data stands in for the factor.
    """
    length = norm(s)
    if not (length > 0 and np.isfinite(length)):
        length = 1.0
    share, energy, along, across = 1.0 / length, 0.0, 0.0, 0.0
    for f in range(x.size):
        value = s[f] * share
        energy += value * value
        along += value * x[f]
    if is_complex:
        for f in range(0, x.size, 2):
            across += s[f] * share * x[f + 1] - s[f + 1] * share * x[f]
    re, im = along / energy / size, across / energy / size
    agreement = np.sqrt(re * re + im * im) if is_complex else re
    return (re, im) if agreement > LEAST_SHARE else (1.0, 0.0)


@borrowing
def norm(x):
    """Return the norm of a row, whose squares may under- or overflow."""
    largest, energy = 0.0, 0.0
    for f in range(x.size):
        energy += x[f] * x[f]
    if _LEAST_SQUARE < energy < 1 / _LEAST_SQUARE:
        return np.sqrt(energy)
    for f in range(x.size):
        largest = max(largest, abs(x[f]))
    if not (largest > 0 and np.isfinite(largest)):
        return largest
    energy = 0.0
    for f in range(x.size):
        value = x[f] / largest
        energy += value * value
    return largest * np.sqrt(energy)
