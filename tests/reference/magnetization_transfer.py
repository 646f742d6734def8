"""Two-pool magnetization transfer by matrix exponentials, one voxel at a time.

The state is (xf, yf, zf, xs, zs, 1): free pool, semi-solid pool, and a constant that
makes every step one 6 x 6 matrix. ``theta`` is (m0s, R1f, R2f, Rx, R1s, T2s, omega0,
B1) in s, 1/s, rad/s; ``m0f = 1 - m0s``; signals are per unit of proton density.
All functions accept a complex `theta` for complex-step derivatives: the dynamics are
real, and x and y become one complex number only at the very end.

References
----------
.. [1] Assländer et al., Magn. Reson. Med. 87 (2022), doi 10.1002/mrm.29071:
   the two pools and the generalized Bloch model.
.. [2] Assländer et al., Magn. Reson. Med. 91 (2024), doi 10.1002/mrm.29951:
   the sequence, its inversion pulse, and the linearized semi-solid rate.
"""

import numpy as np
from scipy.linalg import expm

from .saturation import rho_table

XF, YF, ZF, XS, ZS, ONE = range(6)
STEP = 1e-20  # of the complex-step derivatives


def rate_matrix(theta, w1, r2sl):
    """Matrix A of ``state' = A state``, for constant RF amplitudes.

    Parameters
    ----------
    theta : array_like of shape (8,)
        Parameters in the order of the module's docstring.
    w1 : array_like
        RF amplitude ``B1 * alpha / TRF``, in rad/s; 0 for free precession.
    r2sl : array_like
        Linearized semi-solid relaxation rate, in 1/s.

    Returns
    -------
    ndarray of shape (..., 6, 6)
        One matrix per amplitude.
    """
    m0s, r1f, r2f, rx, r1s, _, omega0, _ = theta
    m0f = 1 - m0s
    w1, r2sl = np.broadcast_arrays(w1, r2sl)
    a = np.zeros((*w1.shape, 6, 6), dtype=np.result_type(np.asarray(theta), w1, r2sl))
    a[..., XF, XF] = -r2f
    a[..., XF, YF] = -omega0
    a[..., XF, ZF] = w1
    a[..., YF, XF] = omega0
    a[..., YF, YF] = -r2f
    a[..., ZF, XF] = -w1
    a[..., ZF, ZF] = -(r1f + rx * m0s)
    a[..., ZF, ZS] = rx * m0f
    a[..., ZF, ONE] = r1f * m0f
    a[..., XS, XS] = -r2sl
    a[..., XS, ZS] = w1
    a[..., ZS, ZF] = rx * m0s
    a[..., ZS, XS] = -w1
    a[..., ZS, ZS] = -(r1s + rx * m0f)
    a[..., ZS, ONE] = r1s * m0s
    return a


def pulse(theta, alpha, trf, r2sl):
    """Propagators of rectangular pulses, of shape (..., 6, 6)."""
    alpha, trf, r2sl = np.broadcast_arrays(alpha, trf, r2sl)
    rates = rate_matrix(theta, theta[7] * alpha / trf, r2sl)
    return expm(rates * trf[..., None, None])


def inversion(theta, alpha, trf, r2sl):
    """Propagator of the inversion pulse between crushers, of shape (6, 6).

    Instantaneous for the free pool, whose transverse magnetization the crushers
    refocus; relaxation and exchange are left out during the pulse.
    """
    b = theta[7] * alpha
    w1 = b / trf
    u = np.eye(6, dtype=np.result_type(b, r2sl))
    u[XF, XF] = np.sin(b / 2) ** 2
    u[YF, YF] = -(np.sin(b / 2) ** 2)
    u[ZF, ZF] = np.cos(b)
    u[XS : ZS + 1, XS : ZS + 1] = expm(np.array([[-r2sl, w1], [-w1, 0]]) * trf)
    return u


def free_precession(theta, duration):
    """Propagators of free precession, of shape (..., 6, 6); xs is zero at the end."""
    duration = np.asarray(duration)
    u = expm(rate_matrix(theta, 0.0, 0.0) * duration[..., None, None])
    u[..., XS, :] = 0
    return u


def thermal_equilibrium(theta):
    """State (0, 0, m0f, 0, m0s, 1)."""
    m0s = theta[0]
    return np.array([0, 0, 1 - m0s, 0, m0s, 1])


def _echoes(theta, alpha, trf, tr, steady_state, rate):
    """Transverse magnetization (xf, yf) at the echoes of one train, shape (n, 2)."""
    t2s, b1 = theta[5], theta[7]
    r2sl = rate(trf / t2s, b1 * np.abs(alpha)) / t2s
    r2sl = np.broadcast_to(r2sl, alpha.shape)
    rotation = np.diag([-1.0, -1.0, 1.0, 1.0, 1.0, 1.0])  # RF phase increment of pi
    free = free_precession(theta, (tr - trf) / 2)
    repetitions = free @ pulse(theta, alpha, trf, r2sl) @ rotation @ free
    half = free_precession(theta, tr / 2)
    invert = inversion(theta, alpha[0], trf[0], r2sl[0])
    repetitions[0] = half @ invert @ rotation @ half

    if steady_state == "thermal":
        state = repetitions[0] @ thermal_equilibrium(theta)
    elif steady_state == "periodic":
        cycle = np.eye(6)
        for repetition in (*repetitions[1:], repetitions[0]):
            cycle = repetition @ cycle
        state = np.linalg.solve(np.eye(5) - cycle[:5, :5], cycle[:5, ONE])
        state = np.append(state, 1)
    else:
        raise ValueError(
            f"steady_state is {steady_state!r}; allowed are 'periodic' and 'thermal'"
        )

    echoes = [state]
    for repetition in repetitions[1:]:
        echoes.append(repetition @ echoes[-1])
    return np.array(echoes)[:, [XF, YF]]


def _all_echoes(theta, alpha, trf, tr, lineshape, steady_state, rho):
    """Echoes of one train, or of several one after the other, of shape (n, 2)."""
    rate = rho_table(lineshape) if rho is None else rho
    one_train = np.ndim(alpha[0]) == 0
    trains = [(alpha, trf)] if one_train else zip(alpha, trf, strict=True)
    return np.concatenate(
        [
            _echoes(theta, np.asarray(al), np.asarray(t), tr, steady_state, rate)
            for al, t in trains
        ]
    )


def signal(
    theta,
    alpha,
    trf,
    tr,
    *,
    lineshape="super-lorentzian",
    steady_state="periodic",
    rho=None,
):
    """Signal of one voxel at the echoes.

    Parameters
    ----------
    theta : array_like of shape (8,)
        m0s, R1f, R2f, Rx, R1s, T2s, omega0, B1.
    alpha, trf : array_like of shape (n_pulses,), or lists of such
        Flip angles in rad and durations in s; pulse 0 of each train inverts.
    tr : float
        Repetition time, in s.
    lineshape : {"super-lorentzian", "lorentzian", "gaussian"}
        Line shape of the semi-solid pool.
    steady_state : {"periodic", "thermal"}
        Whether each train repeats without a pause, or starts, with the free precession
        before its inversion pulse, from thermal equilibrium.
    rho : callable, optional
        ``rho(tau, a)``, the semi-solid rate in 1/T2s, instead of the table of
        `lineshape`. For `jacobian` it must be analytic and accept complex arguments.

    Returns
    -------
    ndarray of shape (n_pulses,), complex
        ``xf + 1j * yf`` at the echoes, the trains one after the other.
    """
    theta = np.asarray(theta, dtype=float)
    xy = _all_echoes(theta, alpha, trf, tr, lineshape, steady_state, rho)
    return xy[:, 0] + 1j * xy[:, 1]


def jacobian(
    theta,
    alpha,
    trf,
    tr,
    *,
    lineshape="super-lorentzian",
    steady_state="periodic",
    rho=None,
):
    """Jacobian of `signal`, by complex steps of its real dynamics.

    Parameters
    ----------
    theta, alpha, trf, tr, lineshape, steady_state, rho
        As in `signal`.

    Returns
    -------
    ndarray of shape (n_pulses, 8), complex
        Derivatives with respect to `theta`, exact up to rounding.
    """
    columns = []
    for i in range(8):
        theta_i = np.array(theta, dtype=complex)
        theta_i[i] += 1j * STEP
        xy = _all_echoes(theta_i, alpha, trf, tr, lineshape, steady_state, rho)
        columns.append((xy[:, 0].imag + 1j * xy[:, 1].imag) / STEP)
    return np.stack(columns, axis=1)
