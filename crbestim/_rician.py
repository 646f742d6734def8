r"""Fisher information of the magnitude of a complex signal.

A signal of amplitude A in complex white Gaussian noise of unit standard deviation per
channel has a magnitude m of the Rice distribution, :math:`p(m) = m\,
e^{-(m^2 + A^2)/2}\,I_0(mA)`. The derivative of its logarithm by A is m r - A with
r = I1(mA)/I0(mA), and the information about A the mean of its square,

.. math:: Z(A) = E[(m r - A)^2] = E[m^2 r^2] - A^2

(Karlsen et al., MRM 1999, doi
10.1002/(SICI)1522-2594(199903)41:3<614::AID-MRM26>3.0.CO;2-1, in the second form, which
loses digits). For small A it is A^2, for large A 1 - 1/(2 A^2): less than the 1 of
Gaussian noise.
"""

import warnings
from functools import cache

import numpy as np
from numpy.polynomial import Chebyshev
from scipy.special import i0e, i1e, roots_legendre

from .exceptions import LowSignalWarning

# Beyond so many standard deviations of the noise, magnitudes do not count: 1e-13.
_REACH = 9.0
# They leave an error of 1e-13 in the integral, and of 4e-11 in the approximation.
_N_NODES, _DEGREE = 100, 60
# Factor by which the bound of Gaussian noise may be too low without a warning.
_TOLERATED = 1.1


def rician_information(amplitude):
    """Fisher information that a magnitude carries about its amplitude.

    Parameters
    ----------
    amplitude : ndarray
        Amplitudes without noise, over the standard deviation of the noise per channel.

    Returns
    -------
    ndarray of the same shape
        Information Z in units of that of Gaussian noise, from 0 to 1; to 1e-10 of itself.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim._rician import rician_information
    >>> rician_information(np.array([0.0, 1.0, 3.0, 100.0])).round(5)
    array([0.     , 0.52145, 0.94015, 0.99995])
    """
    amplitude = np.asarray(amplitude, dtype=float)
    share = (amplitude / np.hypot(1.0, amplitude)) ** 2
    return share * _approximation()(share)


def noise_of(model, noise):
    """Return the distribution of the noise of a model's signals.

    Parameters
    ----------
    model : SignalModel
        The model.
    noise : {"gaussian", "rician"} or None
        What is asked for; None is the model's own.

    Returns
    -------
    {"gaussian", "rician"}
        The distribution.

    Raises
    ------
    ValueError
        If there is no such noise, or it is Rician and the signal is not a magnitude.
    """
    noise = model.noise if noise is None else noise
    if noise not in ("gaussian", "rician"):
        raise ValueError(f"noise = {noise!r}; choose 'gaussian' or 'rician'.")
    if noise == "rician" and not model.is_magnitude:
        raise ValueError(
            f"noise='rician' is that of magnitudes, and the signal of {model!r} is not one "
            "(is_magnitude is False); choose noise='gaussian'."
        )
    return noise


def check_magnitude(signal, jacobian, noise):
    """Return the signal that Rician information depends on.

    Parameters
    ----------
    signal : array-like of shape (n_samples, n_features) or None
        Signal without noise.
    jacobian : ndarray of shape (n_samples, n_features, n_parameters)
        Its derivatives.
    noise : str
        Distribution of the noise, which is not Gaussian.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        The signal.

    Raises
    ------
    ValueError
        If there is no such noise, or the signal is not one of magnitudes.
    """
    if noise != "rician":
        raise ValueError(f"noise = {noise!r}; choose 'gaussian' or 'rician'.")
    if signal is None:
        raise ValueError("noise='rician' needs the signal; give signal, too.")
    signal = np.asarray(signal)
    if "c" in (signal.dtype.kind, jacobian.dtype.kind) or signal.min(initial=0.0) < 0:
        raise ValueError(
            "noise='rician' is that of magnitudes, and the signal is complex or negative; "
            "give abs(signal) and its derivatives, or noise='gaussian'."
        )
    return signal


def warn_low(gaussian, rician):
    """Warn of bounds of Gaussian noise that are too low for magnitudes.

    Parameters
    ----------
    gaussian, rician : ndarray of shape (n_samples, n_parameters)
        Bounds of the same magnitudes.
    """
    finite = np.isfinite(gaussian)
    factor = np.where(finite, rician, 1.0) / np.where(finite, gaussian, 1.0)
    worst = factor.max(axis=1, initial=1.0)
    low = worst > _TOLERATED
    if low.any():
        warnings.warn(
            f"the signal of magnitudes is too close to the noise in {low.sum()} of "
            f"{len(low)} samples: the bound of Gaussian noise is too low there, by a "
            f"factor of {np.median(worst[low]):.3g} in the median; give "
            "noise='rician'",
            LowSignalWarning,
            stacklevel=4,
        )


@cache
def _approximation():
    """Z over u, a smooth function of u = A^2 / (1 + A^2), which is Z to leading order."""
    return Chebyshev.interpolate(
        lambda u: _integral(np.sqrt(u / (1 - u))) / u, _DEGREE, domain=[0, 1]
    )


def _integral(amplitude):
    """Return Z by quadrature, for amplitudes up to some hundreds."""
    nodes, weights = roots_legendre(_N_NODES)
    low = np.maximum(amplitude - _REACH, 0.0)
    half = (amplitude + _REACH - low) / 2
    a = amplitude[:, None]
    m = low[:, None] + half[:, None] * (1 + nodes)
    density = m * np.exp(-((m - a) ** 2) / 2) * i0e(m * a)
    score = m * i1e(m * a) / i0e(m * a) - a
    return half * ((density * score**2) @ weights)
