"""Maps of pulses and repetitions as matrices: of the kernels, and of the reference."""

from functools import cache

import numpy as np
from numba import njit

from crbestim.kernels import bloch
from crbestim.kernels import magnetization_transfer as kernel
from crbestim.kernels.lanes import LANES, vectors
from tests.kernels.voxels import LANES_OF_VOXELS, RATES, STEP, TR, VOXELS, combined, rate
from tests.reference import magnetization_transfer as reference

# The reference's state is (xf, yf, zf, xs, zs, 1), the kernels' is (xf, yf, zf, zs, xs, 1).
STATE = np.array([0, 1, 2, 4, 3, 5])
WITHOUT_W = np.array([0, 1, 2, 3, 5])


def orders(columns):
    """Return how many maps there are: the values and one for each column."""
    return 2 + columns.max()


def map_matrices(a):
    """Return maps (.., 30, LANES) as matrices (.., 5, 6, LANES)."""
    return a.reshape(*a.shape[:-2], 5, 6, LANES)


def generator_matrices(g):
    """Return generators (.., 15, LANES) as matrices (.., 5, 6, LANES)."""
    rows = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4]
    at = [0, 1, 2, 0, 1, 0, 2, 3, 5, 2, 3, 5, 4, 3, 4]
    matrices = np.zeros((*g.shape[:-2], 5, 6, LANES))
    matrices[..., rows, at, :] = g
    return matrices


def with_derivatives(f, voxels=VOXELS):
    """Return f(theta) and its derivatives by complex steps, (9, ..., LANES)."""
    results = []
    for theta in voxels:
        parts = [f(theta)]
        for k in range(8):
            shifted = theta.astype(complex)
            shifted[k] += 1j * STEP
            parts.append(f(shifted).imag / STEP)
        results.append(parts)
    return np.moveaxis(np.array(results), 0, -1)


def repetition(theta, alpha, trf, inversion):
    """Return the reference's matrix from echo to echo."""
    rotation = np.diag([-1.0, -1.0, 1.0, 1.0, 1.0, 1.0])
    play = reference.inversion if inversion else reference.pulse
    free = reference.free_precession(theta, TR / 2 if inversion else (TR - trf) / 2)
    return free @ play(theta, alpha, trf, rate(theta, alpha, trf)) @ rotation @ free


def expected_maps(f, columns):
    """Return matrices of the reference and derivatives, in the kernels' order."""
    return by_columns(
        with_derivatives(lambda theta: f(theta)[STATE[:5, None], STATE]), columns
    )


@cache
def _repetitions(alpha, trf, inversion):
    return with_derivatives(
        lambda theta: repetition(theta, alpha, trf, inversion)[STATE[:5, None], STATE]
    )


def expected_repetitions(alpha, trf, inversion, columns):
    """Return the same of a whole repetition; it is asked for many times."""
    return by_columns(_repetitions(alpha, trf, inversion), columns)


def by_columns(matrices, columns):
    """Return the derivatives by parameters, after the values, as those by columns."""
    return np.concatenate([matrices[:1], combined(matrices[1:], columns)])


@njit(cache=True)
def pulse_map(theta, columns, alpha, trf, rate, g, work, out):
    x = vectors(theta)
    kernel.exchange(x, columns, trf, vectors(g))
    kernel.irradiation(x, columns, alpha, trf, vectors(rate), vectors(g), True)
    bloch.flow(g, work, out)


def run_pulse(form, columns, alpha, trf, theta=LANES_OF_VOXELS, rates=None):
    """Return the map of the pulse alone, and derivatives.

    rates : R2sl and its derivatives by T2s and B1, those of NumPy by default.
    """
    if rates is None:
        of_voxel = with_derivatives(lambda x: np.array(rate(x, alpha, trf)), theta.T)
        rates = of_voxel[[0, 1 + kernel.T2S, 1 + kernel.B1]]
    g = np.zeros((orders(columns), bloch.N_COUPLINGS, LANES))
    work, out = np.full((2, orders(columns), 30, LANES), np.nan)
    form(pulse_map)(theta, columns, alpha, trf, rates, g, work, out)
    return map_matrices(out)


def run_echo(form, columns, alpha, trf, inverts, theta=LANES_OF_VOXELS):
    """Return the map of a repetition, and derivatives."""
    work = np.full((3, orders(columns), 30, LANES), np.nan)
    out = np.full((orders(columns), 30, LANES), np.nan)
    form(kernel.echo_map)(theta, columns, alpha, trf, inverts, TR, RATES, work, out)
    return map_matrices(out)
