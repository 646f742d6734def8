r"""Linearized saturation of the semi-solid pool by rectangular RF pulses.

The transverse magnetization of macromolecular spins does not decay exponentially: its
memory is the Green's function :math:`G` of the line shape, and a pulse of duration
:math:`\tau` (in units of T2s) and flip angle :math:`a` saturates an isolated pool by

.. math:: \dot z(t) = -\Omega^2 \int_0^t G(t - x)\, z(x)\, dx, \quad
          z(0) = 1, \quad \Omega = a / \tau .

The linear model replaces the memory by one exponential rate :math:`\rho` (in units of
1/T2s), chosen so that both models agree at the end of the pulse (Assländer et al.,
MRM 2022, doi 10.1002/mrm.29071). :math:`\rho(\log\tau, a)` is smooth and even in
:math:`a`, so a small Chebyshev table represents it; the table ships with the library
and ``python -m crbestim.models._saturation_table`` computes it anew.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev, legendre

from .._options import check_choice
from .._threads import one_blas_thread

TAU_RANGE = (5.0, 250.0)
"""Pulse durations over T2s that the table covers."""

ALPHA_MAX = 1.4 * np.pi
"""Largest flip angle, in rad, that the table covers (B1 included)."""

_TABLE_FILE = Path(__file__).with_name("saturation.npz")
_LONG_PULSE_RATE = {"super-lorentzian": 0.13, "lorentzian": 1.0, "gaussian": 0.80}
_TABLE_SHAPE = (64, 44)
_QUADRATURE = legendre.leggauss(24)


@lru_cache
def super_lorentzian_parts():
    """Return half the squared widths of the Gaussians of all orientations, and weights."""
    # Panels that shrink towards the magic angle, where the exponent vanishes, keep
    # the quadrature exact for every kappa that a pulse can reach.
    magic = 1 / np.sqrt(3)
    steps = np.concatenate([[0.0], 0.5 ** np.arange(12, -1, -1)])
    edges = np.unique(np.concatenate([magic * (1 - steps), magic + (1 - magic) * steps]))
    nodes, weights = _panels(edges)
    return (3 * nodes**2 - 1) ** 2 / 8, weights


def _super_lorentzian(kappa):
    exponent, weights = super_lorentzian_parts()
    return np.exp(-np.multiply.outer(np.square(kappa), exponent)) @ weights


LINESHAPES = {
    "super-lorentzian": _super_lorentzian,
    "lorentzian": lambda kappa: np.exp(-np.asarray(kappa)),
    "gaussian": lambda kappa: np.exp(-np.square(kappa) / 2),
}
"""Green's functions by name of the line shape, in units of T2s."""


def _panels(edges):
    """Return nodes and weights of a Gauss-Legendre rule on each panel between `edges`."""
    x, w = _QUADRATURE
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    return (
        (middle[:, None] + half[:, None] * x).ravel(),
        (half[:, None] * w).ravel(),
    )


def _memory_operator(green, tau, n_nodes):
    """Matrix of the memory integral on Chebyshev points of [0, tau].

    Row j holds the weights that turn nodal values z(t_k) into
    ``integral_0^t_j G(t_j - x) z(x) dx``. Panels are refined dyadically towards both
    ends, where the memory (x = t_j) and the solution (x = 0) vary fastest.
    """
    nodes = tau * (1 - np.cos(np.pi * np.arange(n_nodes) / (n_nodes - 1))) / 2
    to_coefficients = np.linalg.inv(chebyshev.chebvander(2 * nodes / tau - 1, n_nodes - 1))
    operator = np.zeros((n_nodes, n_nodes))
    for j, t in enumerate(nodes[1:], start=1):
        ladder = t / 2 * 0.5 ** np.arange(10)
        edges = np.unique(np.concatenate([[0.0], ladder, t - ladder, [t]]))
        x, w = _panels(edges)
        values = chebyshev.chebvander(2 * x / tau - 1, n_nodes - 1) @ to_coefficients
        operator[j] = (w * green(t - x)) @ values
    return nodes, operator, to_coefficients


def _integration_matrix(tau, n_nodes, to_coefficients, nodes):
    """Return the matrix of ``integral_0^t_j f(x) dx`` on the same Chebyshev points."""
    coefficients = np.stack(
        [chebyshev.chebint(column, lbnd=-1) for column in to_coefficients.T]
    )
    return tau / 2 * chebyshev.chebvander(2 * nodes / tau - 1, n_nodes) @ coefficients.T


@one_blas_thread
def exact_saturation(lineshape, tau, alpha, n_nodes=96):
    """Longitudinal magnetization after a pulse that starts at 1, by spectral collocation.

    Examples
    --------
    >>> from crbestim.models._saturation_table import exact_saturation
    >>> exact_saturation("super-lorentzian", 40.0, [1.0]).round(4)
    array([0.8833])
    """
    nodes, memory, to_coefficients = _memory_operator(LINESHAPES[lineshape], tau, n_nodes)
    integral = _integration_matrix(tau, n_nodes, to_coefficients, nodes) @ memory
    identity, ones = np.eye(n_nodes), np.ones(n_nodes)
    return np.array(
        [
            np.linalg.solve(identity + (a / tau) ** 2 * integral, ones)[-1]
            for a in np.atleast_1d(alpha)
        ]
    )


def linear_saturation(rho, tau, alpha):
    """Longitudinal magnetization after a pulse in the linear model of rate rho.

    Examples
    --------
    >>> from crbestim.models._saturation_table import linear_saturation
    >>> float(round(linear_saturation(0.0, 40.0, 1.0), 6))  # cos(1)
    0.540302
    """
    q = np.sqrt(complex(rho**2 - 4 * (alpha / tau) ** 2))
    half = q * tau / 2
    ratio = np.sinh(half) / half if abs(half) > 1e-8 else 1.0
    damping = np.exp(-rho * tau / 2)
    return float((damping * (np.cosh(half) + rho * tau / 2 * ratio)).real)


def _match(z, tau, alpha, start):
    """Return the rate whose linear model reaches `z`, by secant steps from `start`."""
    previous, rho = start * 0.999, start
    error = linear_saturation(previous, tau, alpha) - z
    for _ in range(60):
        new_error = linear_saturation(rho, tau, alpha) - z
        if new_error == error:
            break
        step = -new_error * (rho - previous) / (new_error - error)
        previous, rho, error = rho, rho + step, new_error
        if abs(step) < 1e-15 * abs(rho):
            break
    return rho


def compute_table(lineshape):
    """Return Chebyshev coefficients of rho over log(tau) and alpha^2, of shape (64, 44).

    log(tau) is scaled from `TAU_RANGE`, alpha^2 from 0 to `ALPHA_MAX` squared.
    """
    n_tau, n_alpha = _TABLE_SHAPE
    x = np.cos(np.pi * (np.arange(n_tau) + 0.5) / n_tau)
    v = np.cos(np.pi * (np.arange(n_alpha) + 0.5) / n_alpha)
    low, high = np.log(TAU_RANGE)
    taus = np.exp(low + (high - low) * (x + 1) / 2)
    alphas = ALPHA_MAX * np.sqrt((v + 1) / 2)
    rho = np.empty(_TABLE_SHAPE)
    # Several rates can match one z: the smooth branch is followed from long pulses and
    # small angles, where only one rate matches.
    small_angle = _LONG_PULSE_RATE[lineshape]
    for i, tau in enumerate(taus):
        z = exact_saturation(lineshape, tau, alphas)
        start = small_angle
        for j in reversed(range(n_alpha)):
            start = rho[i, j] = _match(z[j], tau, alphas[j], start)
        small_angle = rho[i, -1]
    return (
        np.linalg.inv(chebyshev.chebvander(x, n_tau - 1))
        @ rho
        @ np.linalg.inv(chebyshev.chebvander(v, n_alpha - 1)).T
    )


@lru_cache
def saturation_table(lineshape):
    """Return the read-only table of :func:`compute_table` that ships with the library."""
    check_choice("lineshape", lineshape, sorted(LINESHAPES))
    with np.load(_TABLE_FILE) as tables:
        table = tables[lineshape]
    table.flags.writeable = False
    return table


def main():
    """Compute the tables of all line shapes and write the file that ships."""
    np.savez(_TABLE_FILE, **{name: compute_table(name) for name in LINESHAPES})


if __name__ == "__main__":
    main()
