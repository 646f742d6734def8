"""Spoiled echoes of two pools behind off-resonance saturation, one echo at a time.

`signal` uses the saturation rates of the kernel, by matrix exponentials; `bloch` has none
for the free pool, but follows its three components through a shaped pulse in small steps.
``theta`` is (m0s, R1f, R2f, Rx, R1s, T2s, omega0, B1) in s, 1/s, rad/s, and ``echo`` a dict
of alpha, tr, duration, delay, omega, w1rms and energy (rad, s, rad/s, rad^2/s).
"""

from functools import lru_cache

import numpy as np
from scipy.linalg import expm

from tests.reference.saturation import _orientations

STEP = 1e-20  # of the complex-step derivatives
# Their quadrature takes a second.
_widths = lru_cache(_orientations)


def absorption(omega, t2s, lineshape):
    """W / w1^2 of the semi-solid pool, complex arguments too; not next to resonance."""
    squared = (omega * t2s) ** 2
    if lineshape == "lorentzian":
        return t2s / (1 + squared)
    if lineshape == "gaussian":
        return t2s * np.sqrt(np.pi / 2) * np.exp(-squared / 2)
    width, weights = _widths()
    gaussians = np.sqrt(np.pi / 2) / width * np.exp(-squared / 2 / width**2)
    return t2s * (gaussians @ weights)


def generator(theta, w_f, w_s):
    """Matrix A of (z_f, z_s, 1)' = A (z_f, z_s, 1)."""
    m0s, r1f, _, rx, r1s, *_ = theta
    m0f = 1 - m0s
    return np.array(
        [
            [-(r1f + rx * m0s + w_f), rx * m0f, r1f * m0f],
            [rx * m0s, -(r1s + rx * m0f + w_s), r1s * m0s],
            [0, 0, 0],
        ]
    )


def excitation(theta, echo, lineshape):
    """Matrix of the excitation."""
    *_, t2s, omega0, b1 = theta
    kept = 1.0
    if echo["energy"]:
        kept = np.exp(-(b1**2) * echo["energy"] * absorption(omega0, t2s, lineshape))
    return np.diag([np.cos(b1 * echo["alpha"]), kept, 1.0])


def signal(theta, echo, lineshape="super-lorentzian"):
    """Signal at an amplitude of 1."""
    _, _, r2f, _, _, t2s, omega0, b1 = theta
    omega, w2 = echo["omega"] - omega0, (b1 * echo["w1rms"]) ** 2
    rates = w2 * r2f / (r2f**2 + omega**2), w2 * absorption(omega, t2s, lineshape)
    free, left = generator(theta, 0, 0), echo["tr"] - echo["duration"] - echo["delay"]
    cycle = (
        expm(free * echo["delay"])
        @ expm(generator(theta, *rates) * echo["duration"])
        @ expm(free * left)
        @ excitation(theta, echo, lineshape)
    )
    z = np.linalg.solve(np.eye(2) - cycle[:2, :2], cycle[:2, 2])
    return z[0] * np.sin(b1 * echo["alpha"])


def jacobian(theta, echo, lineshape="super-lorentzian"):
    """Derivatives (8,) of the signal by complex steps."""
    steps = np.asarray(theta) + 1j * STEP * np.eye(8)
    return np.array([signal(x, echo, lineshape).imag / STEP for x in steps])


def bloch(theta, echo, n_steps=1000):
    """Signal at an amplitude of 1 behind a Hann pulse, by the Bloch equations.

    The state is (x, y, z_f, z_s, 1) in the frame of the pulse. x and y are spoiled before
    and after it.
    """
    _, _, r2f, _, _, t2s, omega0, b1 = theta
    omega, dt = echo["omega"] - omega0, echo["duration"] / n_steps
    shape = np.sin(np.pi * (np.arange(n_steps) + 0.5) / n_steps) ** 2
    w1 = b1 * echo["w1rms"] * shape / np.sqrt(np.mean(shape**2))
    a = np.zeros((n_steps, 5, 5))
    a[:, 2:, 2:] = generator(theta, 0, 0)
    a[:, 3, 3] -= w1**2 * absorption(omega, t2s, "super-lorentzian")
    a[:, 0, 0] = a[:, 1, 1] = -r2f
    a[:, 0, 1], a[:, 1, 0] = omega, -omega
    a[:, 1, 2], a[:, 2, 1] = w1, -w1
    pulse = np.eye(5)
    for step in expm(a * dt):
        pulse = step @ pulse
    free, left = generator(theta, 0, 0), echo["tr"] - echo["duration"] - echo["delay"]
    cycle = expm(free * echo["delay"]) @ pulse[2:, 2:] @ expm(free * left)
    cycle = cycle @ excitation(theta, echo, "super-lorentzian")
    z = np.linalg.solve(np.eye(2) - cycle[:2, :2], cycle[:2, 2])
    return z[0] * np.sin(b1 * echo["alpha"])
