"""Eight voxels, pulses and forms of maps that the tests of several kernels share."""

import numba
import numpy as np
import pytest
from numpy.polynomial import chebyshev

from crbestim.kernels.lanes import LANES
from crbestim.kernels.saturation import Rates
from crbestim.models._saturation_table import ALPHA_MAX, TAU_RANGE, saturation_table

only_compiled = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="about compiled kernels, or too slow in Python"
)

TR = 3.5e-3
TABLE = np.array(saturation_table("super-lorentzian"))
DOMAIN = np.array([*np.log(TAU_RANGE), ALPHA_MAX])
RATES = Rates(TABLE, DOMAIN)
STEP = 1e-20  # of the complex-step derivatives
# Size of a significant change in each parameter.
SCALE = np.array([0.1, 1.0, 10.0, 20.0, 3.0, 1e-5, 500.0, 1.0])
LIMITS = np.array([[0, 1], [0, 50], [0, 500], [0, 500], [0, 50], [2e-6, 4e-5]])
LIMITS = np.concatenate([LIMITS, [[-5000, 5000], [0.01, 1.4]]])

# m0s, R1f, R2f, Rx, R1s, T2s, omega0, B1
THETAS = {
    "tissue": [0.15, 0.5, 13.0, 25.0, 3.0, 12e-6, 120.0, 0.95],
    "no semi-solid pool": [0.0, 0.3, 0.4, 25.0, 3.0, 12e-6, -300.0, 1.05],
    "no exchange": [0.2, 0.5, 13.0, 0.0, 3.0, 12e-6, 50.0, 1.0],
    "omega0 at pi/TR": [0.15, 0.5, 13.0, 25.0, 3.0, 8e-6, np.pi / TR, 0.6],
    "omega0 at -pi/TR": [0.35, 1.2, 25.0, 60.0, 6.0, 20e-6, -np.pi / TR, 1.4],
    "fast": [0.8, 20.0, 250.0, 500.0, 20.0, 5e-6, 10.0, 0.05],
    "no exchange, equal rates": [0.1, 1.0, 8.0, 0.0, 1.0, 10e-6, 0.0, 1.2],
    "slow": [1e-3, 1e-3, 1e-3, 2.0, 1e-3, 9e-6, -1.0, 0.8],
}
VOXELS = np.array(list(THETAS.values()))
LANES_OF_VOXELS = np.ascontiguousarray(VOXELS.T)
assert len(VOXELS) == LANES

PULSES = {
    "30 degrees": (np.pi / 6, 3e-4),
    "none": (0.0, 2e-4),
    "long": (-1.0, 1.2e-3),
    "short and strong": (np.pi, 1e-4),
    "backwards": (-np.pi, 5e-4),
}
ALL_COLUMNS, NO_COLUMNS = np.arange(8), np.full(8, -1)
# One parameter is left out, and two share a column.
SHARED_COLUMNS = np.array([2, 0, 1, 3, 0, -1, 4, 5])


def combined(jacobian, columns):
    """Return the derivatives (8, ...) by parameters as derivatives by columns."""
    out = np.zeros((columns.max() + 1, *jacobian.shape[1:]), dtype=jacobian.dtype)
    for part, column in zip(jacobian, columns, strict=True):
        if column >= 0:
            out[column] += part
    return out


def column_sizes(columns):
    """Return the size of a significant change in each column."""
    sizes = np.ones(columns.max() + 1)
    for scale, column in zip(SCALE, columns, strict=True):
        if column >= 0:
            sizes[column] = scale
    return sizes


def rho(tau, a):
    """Return the rate from the same table, by NumPy."""
    x = 2 * (np.log(tau) - DOMAIN[0]) / (DOMAIN[1] - DOMAIN[0]) - 1
    return chebyshev.chebval2d(x, 2 * (a / DOMAIN[2]) ** 2 - 1, TABLE)


def rate(theta, alpha, trf):
    """Return R2sl of a pulse, also for complex theta."""
    return rho(trf / theta[5], theta[7] * abs(alpha)) / theta[5]


def unpacked(m, r):
    """Return packed maps (..., 14, LANES) as matrices (LANES, ..., 4, 5); also complex."""
    xx, xy, yy, zz, zs, ss, bz, bs, xz, yz, xs, ys, bx, by = np.moveaxis(m, -2, 0)
    rows = [
        [xx, xy, xz, xs, bx],
        [-xy, yy, yz, ys, by],
        [xz, -yz, zz, zs, bz],
        [r * xs, -r * ys, r * zs, ss, bs],
    ]
    matrices = np.array([np.broadcast_arrays(*row) for row in rows])
    return np.moveaxis(matrices, (-1, 0, 1), (0, -2, -1))
