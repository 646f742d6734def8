"""Noise, phase and signal-to-noise ratio of measured signals."""

import numpy as np


def check_snr(snr):
    """Return (low, high) of a signal-to-noise ratio given as number or range.

    Parameters
    ----------
    snr : float or tuple of float
        abs(M0)/sigma, one number or a range.

    Returns
    -------
    tuple of float
        Low and high end; equal for a number.

    Raises
    ------
    ValueError
        If a number is not positive and finite, or the range is not in order.

    Examples
    --------
    >>> from crbestim.datasets.noise import check_snr
    >>> check_snr(50), check_snr((10, 100))
    ((50.0, 50.0), (10.0, 100.0))
    """
    values = np.atleast_1d(np.asarray(snr, dtype=float))
    if values.shape not in ((1,), (2,)) or not (
        np.isfinite(values).all() and 0 < values[0] <= values[-1]
    ):
        raise ValueError(
            f"snr = {snr!r}; give a positive number or a range (low, high) of them."
        )
    return float(values[0]), float(values[-1])


def add_noise(signal, snr, rng, *, is_magnitude=False):
    """Give clean signals a random phase (if complex) and white Gaussian noise.

    Magnitudes are those of complex signals with such noise: never negative, of the Rice
    distribution.

    Parameters
    ----------
    signal : ndarray of shape (n_samples, n_features)
        Clean signal for M0 = 1, real or complex.
    snr : float or ndarray of shape (n_samples,)
        abs(M0)/sigma; sigma is the standard deviation per real or imaginary channel.
    rng : numpy.random.Generator
        Source of randomness.
    is_magnitude : bool, default=False
        Whether real signals are magnitudes.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        Noisy signal.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.datasets.noise import add_noise
    >>> noisy = add_noise(np.ones((2, 3)), 1e9, np.random.default_rng(0))
    >>> noisy.round(6)
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """
    sigma = 1 / np.broadcast_to(np.asarray(snr, dtype=float), (len(signal),))[:, None]
    if is_magnitude:
        channels = sigma[:, :, None] * rng.standard_normal((*signal.shape, 2))
        return np.hypot(signal + channels[..., 0], channels[..., 1])
    if signal.dtype.kind != "c":
        return signal + sigma * rng.standard_normal(signal.shape)
    phase = np.exp(2j * np.pi * rng.random((len(signal), 1)))
    noise = rng.standard_normal((*signal.shape, 2)).view(complex)[..., 0]
    return phase * signal + sigma * noise
