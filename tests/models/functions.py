"""One bi-exponential decay, written for each way of calling it."""

import numba
import numpy as np

from crbestim.models import FunctionModel

TIMES = np.linspace(0.0, 0.2, 12)
NAMES = ("fraction", "R2a", "R2b")
BOUNDS = [(0.0, 1.0), (1.0, 20.0), (30.0, 200.0)]


def of_many(theta):
    fraction, slow, fast = theta.T[:, :, None]
    decay = np.exp(-(fast + 9j) * TIMES)
    return fraction * np.exp(-slow * TIMES) + (1 - fraction) * decay


def of_one(theta):
    fraction, slow, fast = theta
    decay = np.exp(-(fast + 9j) * TIMES)
    return fraction * np.exp(-slow * TIMES) + (1 - fraction) * decay


@numba.njit
def compiled(theta):
    fraction, slow, fast = theta
    decay = np.exp(-(fast + 9j) * TIMES)
    return fraction * np.exp(-slow * TIMES) + (1 - fraction) * decay


def of_tensor(theta):
    import torch

    fraction, slow, fast = theta
    times = torch.from_numpy(TIMES)
    decay = torch.exp(-(fast + 9j) * times)
    return fraction * torch.exp(-slow * times) + (1 - fraction) * decay


def of_tensors(theta):
    import torch

    return torch.stack([of_tensor(row) for row in theta])


def jacobian_of_one(theta):
    fraction, slow, fast = theta
    a, b = np.exp(-slow * TIMES), np.exp(-(fast + 9j) * TIMES)
    return np.stack((a - b, -fraction * TIMES * a, -(1 - fraction) * TIMES * b), axis=-1)


def jacobian_of_many(theta):
    return np.stack([jacobian_of_one(row) for row in theta])


@numba.njit
def compiled_jacobian(theta):
    fraction, slow, fast = theta
    out = np.empty((len(TIMES), 3), np.complex128)
    for i, t in enumerate(TIMES):
        a, b = np.exp(-slow * t), np.exp(-(fast + 9j) * t)
        out[i, 0], out[i, 1], out[i, 2] = a - b, -fraction * t * a, (fraction - 1) * t * b
    return out


def biexponential(f=of_many, **options):
    return FunctionModel(f, NAMES, BOUNDS, **options)


def draw(n, seed=0):
    """Return parameters within the bounds; the last row is a corner of them."""
    low, high = np.array(BOUNDS).T
    theta = np.random.default_rng(seed).uniform(low, high, (n, 3))
    theta[-1] = low
    return theta


INVERSION_TIMES = np.array([0.05, 0.2, 0.5, 1.0, 3.0])


def recovery(theta):
    """Return an inversion recovery, which changes its sign."""
    m0, t1 = theta
    return m0 * (1 - 2 * np.exp(-INVERSION_TIMES / t1))


@numba.njit
def turning_recovery(theta):
    m0, t1 = theta
    signs = 1 - 2 * np.exp(-INVERSION_TIMES / t1)
    return m0 * signs * np.exp(7j * INVERSION_TIMES)


def recovery_of_tensor(theta):
    import torch

    m0, t1 = theta
    return m0 * (1 - 2 * torch.exp(-torch.from_numpy(INVERSION_TIMES) / t1))


def jacobian_of_recovery(theta):
    m0, t1 = theta
    decay = np.exp(-INVERSION_TIMES / t1)
    return np.stack((1 - 2 * decay, -2 * m0 * INVERSION_TIMES / t1**2 * decay), axis=-1)


def magnitudes_of(f=recovery, **options):
    options = dict(signal="magnitude", noise="rician", amplitude="M0") | options
    return FunctionModel(f, ["M0", "T1"], [(0.0, np.inf), (0.1, 5.0)], **options)
