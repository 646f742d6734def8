"""Functions of users, compiled by numba, as signals that kernels call by their address."""

from functools import lru_cache

import numba
import numpy as np

from ..kernels.differences import WEIGHTS, limits_of, stencil
from ..kernels.pointers import FORM, Pointer


# Cached by function and not in the model: copies share it, and pickles do not hold it.
@lru_cache(maxsize=64)
def form_of_functions(f, jacobian, is_complex, is_magnitude=False):
    """Return the signal of one voxel, of the signature `kernels.pointers.FORM`.

    f and jacobian are of one sample. Without the latter, derivatives are differences, and
    the settings have a row for each parameter. Where a function raises, or returns another
    number of values, the signal is NaN. `is_complex` says what they return, and
    `is_magnitude` whether the signal is its magnitude.
    """
    signal = _writer(f, is_complex)
    if jacobian is None:
        form = _with_differences(signal)
    else:
        form = _with_jacobian(signal, _writer(jacobian, is_complex), is_complex)
    if is_magnitude:
        form = _of_magnitudes(form, is_complex)
    return Pointer(form, FORM)


def _writer(f, is_complex):
    """Return a function that writes the values of another, or NaN where that fails."""

    @numba.njit
    def write(theta, out):
        # A copy, because a function may change its argument.
        values = np.asarray(f(theta.copy())).ravel()
        if len(values) * (2 if is_complex else 1) != len(out):
            raise ValueError("a compiled function returns arrays of several sizes")
        # One value at a time: assignments of slices take seconds to compile.
        for i in range(len(values)):
            if is_complex:
                out[2 * i], out[2 * i + 1] = values[i].real, values[i].imag
            else:
                out[i] = values[i]

    @numba.njit
    def write_or_nan(theta, out):
        try:
            write(theta, out)
        except Exception:
            for i in range(len(out)):
                out[i] = np.nan

    return write_or_nan


def _with_jacobian(signal, jacobian, is_complex):
    """Return a form with derivatives that a function gives, (n_features, n_parameters)."""
    n_parts = 2 if is_complex else 1

    @numba.njit
    def form(settings, theta, s, ds):
        signal(theta, s)
        if len(ds):
            n, values = len(theta), np.empty(len(theta) * len(s))
            jacobian(theta, values)
            for k in range(n):
                for f in range(len(s)):
                    row, part = f // n_parts, f % n_parts
                    ds[k, f] = values[(row * n + k) * n_parts + part]

    return form


def _with_differences(signal):
    """Return a form with derivatives by differences of fourth order."""

    @numba.njit(error_model="numpy")
    def form(settings, theta, s, ds):
        signal(theta, s)
        if len(ds):
            moved, there = theta.copy(), np.empty(len(s))
            for k in range(len(theta)):
                step, first = stencil(theta[k], settings[k])
                low, high = limits_of(theta[k], settings[k])
                for f in range(len(s)):
                    ds[k, f] = 0.0
                for j in range(4):
                    place = first + j + (1 if first + j >= 0 else 0)
                    moved[k] = min(max(theta[k] + place * step, low), high)
                    signal(moved, there)
                    weight = WEIGHTS[first + 4, j] / step
                    for f in range(len(s)):
                        ds[k, f] += weight * (there[f] - s[f])
                moved[k] = theta[k]

    return form


def _of_magnitudes(form, is_complex):
    """Return the form of the magnitudes of another, as `_magnitude.magnitude` does."""
    n_parts = 2 if is_complex else 1

    @numba.njit(error_model="numpy")
    def magnitudes(settings, theta, s, ds):
        z, dz = np.empty(len(s) * n_parts), np.empty((len(ds), len(s) * n_parts))
        form(settings, theta, z, dz)
        for f in range(len(s)):
            square = 0.0
            for part in range(n_parts):
                square += z[f * n_parts + part] ** 2
            s[f] = np.sqrt(square)
            for k in range(len(ds)):
                along = 0.0
                for part in range(n_parts):
                    along += z[f * n_parts + part] * dz[k, f * n_parts + part]
                ds[k, f] = 0.0 if s[f] == 0 else along / s[f]

    return magnitudes
