"""Saturation of an isolated semi-solid pool by one rectangular pulse, solved slowly.

Time is in units of T2s: ``tau = TRF / T2s``, and ``a = B1 * |alpha|`` is the flip
angle, so the pulse has the amplitude ``Om = a / tau``. The exact longitudinal
magnetization obeys the integro-differential equation

    z'(t) = -Om^2 * integral_0^t G(t - x) z(x) dx,    z(0) = 1,

and the linear model with the transverse relaxation rate ``rho`` obeys

    z' = -Om x,    x' = -rho x + Om z,    z(0) = 1,  x(0) = 0.

Both are solved here for ``v = (1 - z(tau)) / a^2``, which, unlike ``z``, determines
``rho`` for every ``a``, 0 included (there it is the perturbative limit).

References
----------
.. [1] Assländer et al., Magn. Reson. Med. 87 (2022), doi 10.1002/mrm.29071:
   the integro-differential equation and the Green's functions.
.. [2] Assländer et al., Magn. Reson. Med. 91 (2024), doi 10.1002/mrm.29951:
   the linearized rate, by matching z at the end of the pulse.
"""

from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev, legendre
from scipy.linalg import expm
from scipy.special import erf

LINESHAPES = ("super-lorentzian", "lorentzian", "gaussian")
TAU_RANGE = (4.0, 140.0)
A_MAX = 1.45 * np.pi
# The smallest positive root of tan x = x: the linear z(tau) has an extremum in rho
# where (a^2 - s^2)^(1/2) equals it, with s = rho tau / 2 (see `_match`).
TURNING_POINT = 4.493409457909064
STEP = 1e-20  # of the complex-step derivatives


def _check_lineshape(lineshape):
    if lineshape not in LINESHAPES:
        raise ValueError(f"lineshape is {lineshape!r}; allowed are {LINESHAPES}")


def _unit_legendre(n):
    """Nodes and weights of the Gauss-Legendre quadrature on [0, 1]."""
    nodes, weights = legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


def _orientations():
    """Widths of the Gaussians that make up the super-Lorentzian, and weights.

    The integrand in the orientation ``zeta`` is a Gaussian of width ``0.6 / kappa``
    around the magic angle: 1000 nodes resolve it to 1e-13 up to ``kappa = 250``.
    """
    zeta, weights = _unit_legendre(1000)
    return np.abs(3 * zeta**2 - 1) / 2, weights


def greens_function(kappa, lineshape="super-lorentzian"):
    """Green's function G(kappa) of the semi-solid pool.

    Parameters
    ----------
    kappa : array_like
        Time difference in units of T2s, 0 to 250.
    lineshape : {"super-lorentzian", "lorentzian", "gaussian"}
        Line shape of the pool.

    Returns
    -------
    ndarray
        G, of the shape of `kappa`, accurate to 1e-13.
    """
    _check_lineshape(lineshape)
    kappa = np.asarray(kappa, dtype=float)
    if lineshape == "lorentzian":
        return np.exp(-kappa)
    if lineshape == "gaussian":
        return np.exp(-(kappa**2) / 2)
    width, weights = _orientations()
    return np.exp(-((kappa[..., None] * width) ** 2) / 2) @ weights


def _greens_integral(kappa, lineshape):
    """Integral of G from 0 to `kappa`."""
    if lineshape == "lorentzian":
        return -np.expm1(-kappa)
    if lineshape == "gaussian":
        return np.sqrt(np.pi / 2) * erf(kappa / np.sqrt(2))
    width, weights = _orientations()
    gaussians = erf(kappa[..., None] * width / np.sqrt(2)) / width
    return np.sqrt(np.pi / 2) * gaussians @ weights


def _exact_v(tau, a, lineshape, n_nodes=64, n_quadrature=80):
    """(1 - z(tau)) / a^2 of the exact equation, for one `tau` and an array `a`.

    With ``u = t / tau`` and ``H`` the integral of G, one integration gives a Volterra
    equation of the second kind, ``v = K (1 - a^2 v)`` with
    ``(K f)(u) = integral_0^u H(tau (u - x)) / tau * f(x) dx``. It is solved by
    collocation at Chebyshev points; each integral is a Gauss-Legendre quadrature of
    the polynomial through these points.
    """
    u = (1 - np.cos(np.pi * np.arange(n_nodes) / (n_nodes - 1))) / 2
    nodes, weights = _unit_legendre(n_quadrature)
    x = u[:, None] * nodes
    kernel = _greens_integral(tau * (u[:, None] - x), lineshape) / tau
    to_coefficients = np.linalg.inv(chebyshev.chebvander(2 * u - 1, n_nodes - 1))
    interpolate = chebyshev.chebvander(2 * x - 1, n_nodes - 1) @ to_coefficients
    k = np.einsum("ij,ijn->in", kernel * weights * u[:, None], interpolate)
    return np.array(
        [
            np.linalg.solve(np.eye(n_nodes) + ai**2 * k, k.sum(axis=1))[-1]
            for ai in np.ravel(a)
        ]
    ).reshape(np.shape(a))


def exact_zs(tau, a, lineshape="super-lorentzian"):
    """Longitudinal magnetization at the end of the pulse, by the exact equation.

    Parameters
    ----------
    tau : float
        Duration of the pulse in units of T2s, up to 250.
    a : array_like
        Flip angle in rad.
    lineshape : {"super-lorentzian", "lorentzian", "gaussian"}
        Line shape of the pool.

    Returns
    -------
    ndarray
        z(tau) for z(0) = 1, of the shape of `a`, accurate to 1e-12 for tau <= 140.
    """
    _check_lineshape(lineshape)
    a = np.asarray(a, dtype=float)
    return 1 - a**2 * _exact_v(tau, a, lineshape)


def _linear_v(s, a):
    """(1 - z) / a^2 of the linear model with s = rho tau / 2, by expm; any dtype.

    The state is ((1 - z) / a^2, x / a, 1), time is in units of the pulse.
    """
    s, a = np.broadcast_arrays(s, a)
    rates = np.zeros((*s.shape, 3, 3), dtype=np.result_type(s, a))
    rates[..., 0, 1] = 1
    rates[..., 1, 0] = -(a**2)
    rates[..., 1, 1] = -2 * s
    rates[..., 1, 2] = 1
    return expm(rates)[..., 0, 2]


def _linear_v_closed(s, a):
    """As `_linear_v`, real and fast, but with errors of up to 1e-11 near s = a.

    The closed form with cosh and sinh, written as a divided difference of
    ``phi(x) = (1 - exp(-x)) / x``, which does not cancel for small `a`.
    """
    c = np.sqrt(s**2 - a**2 + 0j)
    c = np.where(np.abs(c) < 1e-5, 1e-5, c)
    low, high = s - c + 1e-30, s + c + 1e-30
    phi_low, phi_high = -np.expm1(-low) / low, -np.expm1(-high) / high
    return ((phi_low - phi_high) / (2 * c)).real


def _match(v, tau, a):
    """Rate `rho` at which the linear model ends at `v`, elementwise.

    The derivative of the linear z with respect to ``s = rho tau / 2`` is
    ``a^2 exp(-s) (cosh c - sinh(c) / c) / c^2`` with ``c^2 = s^2 - a^2``. It is
    positive for every ``s > s_min = max(a^2 - TURNING_POINT^2, 0)^(1/2)``, so this
    interval holds at most one root, and it is the one that is continuous down to
    a = 0. It is found by bisection.

    Complex arguments give complex-step derivatives: the real root is followed by one
    Newton step.
    """
    v, tau, a = np.broadcast_arrays(v, tau, a)
    low = np.sqrt(np.maximum(a.real**2 - TURNING_POINT**2, 0))
    high = 100 * tau.real
    if np.any(_linear_v_closed(low, a.real) < v.real):
        raise ValueError("no rate: the linear model cannot end at the exact z(tau)")
    for _ in range(70):
        middle = (low + high) / 2
        too_small = _linear_v_closed(middle, a.real) > v.real
        low, high = np.where(too_small, middle, low), np.where(too_small, high, middle)
    s = (low + high) / 2
    slope = _linear_v(s + 1j * STEP, a.real).imag / STEP
    return 2 * (s - (_linear_v(s, a) - v) / slope) / tau


def rho(tau, a, lineshape="super-lorentzian"):
    """Linearized relaxation rate of the semi-solid pool, in units of 1/T2s.

    Parameters
    ----------
    tau : float
        Duration of the pulse in units of T2s.
    a : array_like
        Flip angle in rad; 0 gives the perturbative limit.
    lineshape : {"super-lorentzian", "lorentzian", "gaussian"}
        Line shape of the pool.

    Returns
    -------
    ndarray
        The rate, of the shape of `a`.

    Raises
    ------
    ValueError
        If no rate makes the linear model end at the exact z(tau).
    """
    _check_lineshape(lineshape)
    a = np.asarray(a, dtype=float)
    return _match(_exact_v(tau, a, lineshape), np.float64(tau), a)


@lru_cache
def rho_table(lineshape="super-lorentzian", n_tau=40, n_a=24):
    """Rate as a fast function of arrays.

    The exact solution (not the rate, which has a branch point close to the domain) is
    interpolated by Chebyshev polynomials in log(tau) and a^2, in which it is entire;
    the rate is then found as in `rho`.

    Parameters
    ----------
    lineshape : {"super-lorentzian", "lorentzian", "gaussian"}
        Line shape of the pool.
    n_tau, n_a : int
        Numbers of Chebyshev nodes.

    Returns
    -------
    callable
        ``f(tau, a)``, for real or complex-step arguments with tau in `TAU_RANGE` and
        0 <= a <= `A_MAX`.
    """
    _check_lineshape(lineshape)
    log_min, log_max = np.log(TAU_RANGE)
    x_tau, x_a = chebyshev.chebpts1(n_tau), chebyshev.chebpts1(n_a)
    taus = np.exp(log_min + (log_max - log_min) * (x_tau + 1) / 2)
    angles = A_MAX * np.sqrt((x_a + 1) / 2)
    values = np.array([tau * _exact_v(tau, angles, lineshape) for tau in taus])
    to_tau = np.linalg.inv(chebyshev.chebvander(x_tau, n_tau - 1))
    to_a = np.linalg.inv(chebyshev.chebvander(x_a, n_a - 1))
    coefficients = to_tau @ values @ to_a.T

    def rate(tau, a):
        tau, a = np.broadcast_arrays(tau, a)
        outside = (tau.real < TAU_RANGE[0]) | (tau.real > TAU_RANGE[1])
        if np.any(outside | (a.real < 0) | (a.real > A_MAX)):
            raise ValueError(
                f"tau is {tau.real.min():.3g} to {tau.real.max():.3g} and a is "
                f"{a.real.min():.3g} to {a.real.max():.3g}; the table holds tau "
                f"{TAU_RANGE[0]} to {TAU_RANGE[1]} and a from 0 to {A_MAX:.3g}"
            )
        x = 2 * (np.log(tau) - log_min) / (log_max - log_min) - 1
        y = 2 * (a / A_MAX) ** 2 - 1
        return _match(chebyshev.chebval2d(x, y, coefficients) / tau, tau, a)

    return rate
