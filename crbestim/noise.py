r"""Noise of measured signals: random draws, Fisher information and likelihood.

Gaussian noise has the standard deviation :math:`\sigma` in each channel: a real signal has
one, a complex signal two. The magnitude of a complex signal of amplitude A has Rician
noise, in units of sigma :math:`p(m) = m\, e^{-(m^2 + A^2)/2}\, I_0(m A)`. The derivative of
its logarithm with respect to A is m r - A with r = I1(mA)/I0(mA), and the information about
A is the mean of its square,

.. math:: Z(A) = E[(m r - A)^2] = E[m^2 r^2] - A^2

(Karlsen et al., MRM 1999, doi
10.1002/(SICI)1522-2594(199903)41:3<614::AID-MRM26>3.0.CO;2-1, who give the second form,
in which digits cancel). For small A it is A^2, for large A it is 1 - 1/(2 A^2): less than
the 1 of Gaussian noise.

Users choose a noise model by name, ``noise="rician"``, or pass an object of their own
subclass of :class:`Noise`.
"""

from functools import cache

import numpy as np
from numpy.polynomial import Chebyshev
from scipy.special import chdtr, chndtr, i0e, i1e, ndtri, roots_legendre

from ._arrays import as_numbers, as_reals
from ._computed_images import computed_image
from ._representation import constructor_call
from ._threads import one_blas_thread

__all__ = [
    "GaussianNoise",
    "Noise",
    "RatioNoise",
    "RicianNoise",
    "add_noise",
    "check_snr",
    "estimate_sigma",
    "get_noise",
]

# Magnitudes further than this from the amplitude, in units of sigma, contribute 1e-13.
_REACH = 9.0
# Amplitudes, and deviations from them, that are large in units of sigma.
_FAR = 8.0
# Where samples without signal are cut off, in units of sigma; their least number, and least
# share of all; and the largest distance from their distribution: a bias, and chance.
_CUT, _FEWEST, _LEAST_FLOOR, _MISFIT = 2.5, 20, 0.1, (0.02, 1.2)
# Share of distinct values, up to which samples were rounded.
_DISTINCT = 0.5
# Squared cosine of twice the angle of a pair that rounding does not explain.
_LEAST_SLOPE = 1e-14
# For an error of 1e-13 in the integral, and of 4e-11 in the approximation.
_N_NODES, _DEGREE = 100, 60


class Noise:
    """Distribution of measured samples, given their signal without noise.

    A subclass sets the attributes that differ from the defaults and defines the methods:
    `draw` for simulations, `information` for bounds, `log_likelihood` for fits, and `apply`
    for the training of networks. Noise that shifts signals also defines `mean`,
    `without_floor`, `deviation` and `freedom`.

    Attributes
    ----------
    name : str
        Name of the noise in options and errors.
    depends_on_signal : bool
        Whether the shape of the distribution depends on the signal, which must then be
        real. If not, the bound is proportional to ``sigma**2``.
    needs_sigma : bool
        Whether the noise level must be known for standard deviations of matching and
        networks, because it does not follow from the residuals of their estimates.
    needs_magnitude : bool
        Whether the noise is only for magnitudes.
    n_channels : int
        Number of independent noise channels of a real sample.

    Examples
    --------
    A user's noise model: uniform noise of standard deviation sigma.

    >>> import numpy as np
    >>> from crbestim.noise import Noise, add_noise
    >>> class UniformNoise(Noise):
    ...     name = "uniform"
    ...     def draw(self, signal, sigma, rng):
    ...         return signal + np.sqrt(3) * sigma * rng.uniform(-1, 1, signal.shape)
    >>> rng = np.random.default_rng(0)
    >>> X = add_noise(np.ones((1, 10_000)), 20.0, rng, noise=UniformNoise())
    >>> float(X.std().round(3))
    0.05
    """

    name = ""
    depends_on_signal = False
    needs_sigma = False
    needs_magnitude = False
    n_channels = 1

    def draw(self, signal, sigma, rng):
        """Add random noise to signals.

        Parameters
        ----------
        signal : ndarray of shape (n_samples, n_features)
            Signals without noise.
        sigma : ndarray of shape (n_samples, 1) or (n_samples, n_features)
            Standard deviation of the noise per channel.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Noisy signals.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks draw; define it.")

    def apply(self, signal, channels, xp=np):
        """Add noise that has been drawn, `n_channels` Gaussian values for each sample.

        The noise of a complex sample is complex: one value for each channel.

        Parameters
        ----------
        signal : ndarray or Tensor of shape (n_samples, n_features)
            Signals without noise.
        channels : sequence of ndarray or Tensor of that shape
            Gaussian noise of standard deviation sigma, of each channel.
        xp : module, default=numpy
            Module of the arrays: NumPy, or torch in the training of networks.

        Returns
        -------
        ndarray or Tensor of shape (n_samples, n_features)
            Noisy signals.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks apply; define it.")

    def information(self, signal, sigma):
        """Fisher information of each sample about its signal.

        Parameters
        ----------
        signal : ndarray of shape (n_samples, n_features) or None
            Signals without noise; may be None unless the noise depends on the signal.
        sigma : ndarray of shape (n_samples, 1) or (n_samples, n_features)
            Standard deviation of the noise per channel.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float or None
            Information relative to that of Gaussian noise, ``1 / sigma**2``; a number holds
            for all samples, and None means 1.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks information; define it.")

    def mean(self, signal, sigma):
        """Mean of measured samples.

        Parameters
        ----------
        signal : ndarray of shape (n_samples, n_features)
            Signals without noise.
        sigma : ndarray that broadcasts to that shape
            Standard deviation of the noise per channel.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The signal, unless the noise shifts it.
        """
        return signal

    def without_floor(self, x, sigma):
        """Return measured samples less what the noise adds to them, for first estimates.

        Parameters
        ----------
        x : ndarray of shape (n_samples, n_features)
            Measured samples.
        sigma : ndarray that broadcasts to that shape
            Standard deviation of the noise per channel.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The samples, unless the noise shifts them.
        """
        return x

    def deviation(self, x, signal, sigma):
        """Deviation of measured samples from their signal, in standard deviations.

        Parameters
        ----------
        x, signal : ndarray of shape (n_samples, n_features)
            Measured samples, and signals without noise.
        sigma : ndarray that broadcasts to that shape
            Standard deviation of the noise per channel.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Standard normal variables, if noise is all that separates the two.
        """
        return (x - signal) / sigma

    def freedom(self, signal, sigma):
        """Degrees of freedom that each sample gives to an estimate of sigma.

        They are half the variance of the derivative of the log-likelihood by log(sigma).

        Parameters
        ----------
        signal : ndarray of shape (n_samples, n_features)
            Signals without noise.
        sigma : ndarray that broadcasts to that shape
            Standard deviation of the noise per channel.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            One a sample, as for Gaussian noise of one channel.
        """
        return np.ones(np.shape(signal))

    def log_likelihood(self, x, signal, sigma, derivatives=False):
        """Logarithm of the probability density of measured samples.

        Parameters
        ----------
        x, signal : ndarray of shape (n_samples, n_features)
            Measured samples, and signals without noise.
        sigma : ndarray that broadcasts to that shape
            Standard deviation of the noise per channel.
        derivatives : bool, default=False
            Whether to return the derivatives as well.

        Returns
        -------
        value : ndarray of shape (n_samples, n_features)
            Log-likelihood of each sample.
        by_signal : ndarray of shape (n_samples, n_features)
            Derivative with respect to the signal, only if `derivatives`; for complex
            signals, that for the real part plus 1j times that for the imaginary part.
        by_sigma : ndarray of shape (n_samples, n_features)
            Derivative with respect to sigma, only if `derivatives`.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks log_likelihood; define it.")

    @property
    def has_likelihood(self):
        """Whether fits can maximize the likelihood."""
        return type(self).log_likelihood is not Noise.log_likelihood

    @property
    def label(self):
        """What messages call it: its name, or that of its class."""
        return self.name or type(self).__name__

    def __repr__(self):
        return constructor_call(self)


class GaussianNoise(Noise):
    """White Gaussian noise of one standard deviation in each channel.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.noise import GaussianNoise
    >>> GaussianNoise().log_likelihood(np.zeros((1, 1)), np.zeros((1, 1)), 1.0).round(4)
    array([[-0.9189]])
    """

    name = "gaussian"

    def draw(self, signal, sigma, rng):
        """Add random noise to signals; see :meth:`Noise.draw`."""
        if signal.dtype.kind != "c":
            return self.apply(signal, [sigma * rng.standard_normal(signal.shape)])
        parts = rng.standard_normal((*signal.shape, 2))
        return self.apply(signal, [sigma * parts.view(complex)[..., 0]])

    def apply(self, signal, channels, xp=np):
        """Add noise that has been drawn; see :meth:`Noise.apply`."""
        return signal + channels[0]

    def information(self, signal, sigma):
        """Return None, which means 1 for all samples; see :meth:`Noise.information`."""
        return None

    def log_likelihood(self, x, signal, sigma, derivatives=False):
        """Log-likelihood of each sample; see :meth:`Noise.log_likelihood`."""
        residual = x - signal
        n_channels = 2 if residual.dtype.kind == "c" else 1
        square = np.abs(residual) ** 2 / sigma**2
        value = -square / 2 - n_channels * np.log(np.sqrt(2 * np.pi) * sigma)
        if not derivatives:
            return value
        return value, residual / sigma**2, (square - n_channels) / sigma


class RicianNoise(Noise):
    """Noise of the magnitude of a complex signal with Gaussian noise.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.noise import RicianNoise
    >>> RicianNoise().information(np.array([[0.0, 1.0, 3.0, 100.0]]), 1.0).round(5)
    array([[0.     , 0.52145, 0.94015, 0.99995]])
    """

    name = "rician"
    depends_on_signal = True
    needs_sigma = True
    needs_magnitude = True
    n_channels = 2

    def draw(self, signal, sigma, rng):
        """Add random noise to magnitudes; see :meth:`Noise.draw`."""
        channels = rng.standard_normal((*signal.shape, 2)) * sigma[:, :, None]
        return self.apply(signal, [channels[..., 0], channels[..., 1]])

    def apply(self, signal, channels, xp=np):
        """Add noise that has been drawn to both channels; see :meth:`Noise.apply`."""
        return xp.hypot(signal + channels[0], channels[1])

    def information(self, signal, sigma):
        """Return Z, good to 1e-10 of itself; see :meth:`Noise.information`."""
        share = _share(signal, sigma)
        return share * _approximation(_information)(share)

    def deviation(self, x, signal, sigma):
        """Return the normal quantile of the share below; see :meth:`Noise.deviation`."""
        square, shift = (x / sigma) ** 2, (signal / sigma) ** 2
        # Far above the noise magnitudes are normal, and shares round to 0 or 1.
        far = (signal > _FAR * sigma) | (np.abs(x - signal) > _FAR * sigma)
        below = chndtr(np.where(far, 1.0, square), 2.0, np.where(far, 1.0, shift))
        plain = (x - self.mean(signal, sigma)) / sigma
        return np.where(far, plain, ndtri(np.clip(below, 1e-300, 1 - 1e-16)))

    def freedom(self, signal, sigma):
        """Return 2 without signal, 0.82 at 2 sigma, 1 above; see :meth:`Noise.freedom`."""
        return _approximation(_freedom)(_share(signal, sigma))

    def mean(self, signal, sigma):
        """Mean of magnitudes; see :meth:`Noise.mean`."""
        half = (signal / sigma) ** 2 / 2
        bessel = (1 + half) * i0e(half / 2) + half * i1e(half / 2)
        return np.sqrt(np.pi / 2) * sigma * bessel

    def without_floor(self, x, sigma):
        """Return magnitudes whose squares exceed by 2 sigma^2; see the base."""
        return np.sqrt(np.maximum(x**2 - 2 * sigma**2, 0.0))

    def log_likelihood(self, x, signal, sigma, derivatives=False):
        """Log-likelihood of each magnitude; see :meth:`Noise.log_likelihood`."""
        m, a = x / sigma, signal / sigma
        product = m * a
        bessel = i0e(product)
        with np.errstate(divide="ignore"):
            value = np.log(m / sigma) - (m - a) ** 2 / 2 + np.log(bessel)
        if not derivatives:
            return value
        agreement = m * (i1e(product) / bessel)
        by_sigma = (m**2 + a**2 - 2 - 2 * a * agreement) / sigma
        return value, (agreement - a) / sigma, by_sigma


class RatioNoise(Noise):
    r"""Noise of the normalized product of two images, as the UNI image of MP2RAGE.

    Both complex images have Gaussian noise, and
    :math:`u = \mathrm{Re}(S_1 S_2^*) / (|S_1|^2 + |S_2|^2)` is half the sine of twice the
    angle of :math:`(S_1, S_2)`. Sigma is the noise of the images for
    :math:`|S_1|^2 + |S_2|^2 = 1`. Draws are exact; the information is that of small noise,
    :math:`1 / (1 - 4 u^2)`.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.noise import RatioNoise
    >>> RatioNoise().information(np.array([[0.0, 0.3]]), 0.01)
    array([[1.    , 1.5625]])
    """

    name = "ratio"
    depends_on_signal = True
    n_channels = 4

    def draw(self, signal, sigma, rng):
        """Add random noise to both images; see :meth:`Noise.draw`."""
        channels = rng.standard_normal((*signal.shape, 4)) * sigma[:, :, None]
        return self.apply(signal, np.moveaxis(channels, -1, 0))

    def apply(self, signal, channels, xp=np):
        """Add noise that has been drawn to both images; see :meth:`Noise.apply`."""
        first = xp.sqrt(0.5 + xp.sqrt(xp.clip(0.25 - signal * signal, 0.0, None)))
        a, b = first + channels[0], signal / first + channels[1]
        energy = a * a + b * b + channels[2] ** 2 + channels[3] ** 2
        return (a * b + channels[2] * channels[3]) / energy

    def information(self, signal, sigma):
        """Return 1 / (1 - 4 u^2); see :meth:`Noise.information`."""
        return 1 / np.maximum(1 - 4 * signal**2, _LEAST_SLOPE)


NOISES = {noise.name: noise for noise in (GaussianNoise(), RicianNoise())}
"""Noise models by name: a new one is a class above and an entry here."""


_OF_PAIR = RatioNoise()


def get_noise(noise):
    """Return a noise model by its name.

    Parameters
    ----------
    noise : str or Noise
        Name of a noise model, or the noise model itself.

    Returns
    -------
    Noise
        The noise model.

    Raises
    ------
    ValueError
        If there is no noise model of that name.

    Examples
    --------
    >>> from crbestim.noise import get_noise
    >>> get_noise("rician")
    RicianNoise()
    """
    if isinstance(noise, Noise):
        return noise
    if not isinstance(noise, str) or noise not in NOISES:
        names = " or ".join(map(repr, NOISES))
        raise ValueError(
            f"noise={noise!r} is unknown; choose {names}, or give a Noise object."
        )
    return NOISES[noise]


def noise_of(model, noise=None):
    """Return the noise that is asked for, or that of the model, if the signal allows it."""
    noise = get_noise(model.noise if noise is None else noise)
    if type(noise) is GaussianNoise and computed_image(model) is not None:
        noise = _OF_PAIR
    if noise.needs_magnitude and not model.is_magnitude:
        raise ValueError(
            f"noise={noise.label!r} is that of magnitudes, and the signal of {model} is "
            "not one (is_magnitude is False); choose noise='gaussian', or make the model "
            "with signal='magnitude' (a class of your own has is_magnitude = True)."
        )
    if noise.depends_on_signal and model.is_complex:
        raise ValueError(
            f"noise={noise.label!r} depends on the signal and is for real signals, but "
            f"that of {model} is complex; choose noise='gaussian'."
        )
    return noise


def likelihood_of(model):
    """Return the noise whose likelihood fits maximize, or None for least squares."""
    noise = noise_of(model)
    is_gaussian = type(noise).log_likelihood is GaussianNoise.log_likelihood
    if is_gaussian or model.is_complex or not noise.has_likelihood:
        return None
    return noise


def noise_of_data(model, noise=None):
    """Return the noise of measurements of a model.

    It is the noise that is asked for or the model's own, except for magnitudes whose noise
    is taken as Gaussian: data of these have Rician noise.
    """
    noise = noise_of(model, noise)
    if model.is_magnitude and type(noise) is GaussianNoise:
        return NOISES["rician"]
    return noise


def check_snr(snr):
    """Return (low, high) of a signal-to-noise ratio, given as a number or a range.

    Parameters
    ----------
    snr : float or tuple of float
        abs(M0)/sigma, a number or a range (low, high).

    Returns
    -------
    tuple of float
        Low and high end, equal for a number.

    Raises
    ------
    ValueError
        If a number is not positive and finite, or the range is not in order.

    Examples
    --------
    >>> from crbestim.noise import check_snr
    >>> check_snr(50), check_snr((10, 100))
    ((50.0, 50.0), (10.0, 100.0))
    """
    values = np.atleast_1d(as_reals(snr, "snr"))
    if values.shape not in ((1,), (2,)) or not (
        np.isfinite(values).all() and 0 < values[0] <= values[-1]
    ):
        raise ValueError(
            f"snr = {snr!r}; give a positive number or a range (low, high) of them."
        )
    return float(values[0]), float(values[-1])


def check_rows(values, name, n_samples, n_features=None):
    """Return numbers that hold for all rows, for each row, or for each feature of it.

    Parameters
    ----------
    values : float or array-like
        A number, or of shape (n_samples,); with `n_features` also (n_samples, n_features),
        or (1, n_features) for all rows alike.
    name : str
        What messages call them.
    n_samples : int
        Number of rows.
    n_features : int, default=None
        Number of features, if they may differ.

    Returns
    -------
    ndarray
        The same numbers in the shape in which they were given.

    Raises
    ------
    ValueError
        If the shape is another one.
    """
    values = as_reals(values, name)
    shapes, more = [(), (n_samples,)], ""
    if n_features is not None:
        shapes += [(n_samples, n_features), (1, n_features)]
        more = f", or per sample and feature, {shapes[2]} or {shapes[3]}"
    if values.shape not in shapes:
        raise ValueError(
            f"{name} has shape {values.shape}; give a number or one per sample, "
            f"({n_samples},){more}."
        )
    return values


def check_magnitudes(signal, noise):
    """Refuse signals that are complex, or negative, if the noise has no such signals.

    Parameters
    ----------
    signal : ndarray
        Signals without noise.
    noise : Noise
        Their noise.

    Raises
    ------
    ValueError
        If the noise depends on the signal, and the signal is complex, or negative where
        the noise is that of magnitudes.
    """
    if not (noise.depends_on_signal or noise.needs_magnitude):
        return
    is_complex = signal.dtype.kind == "c"
    if is_complex or (noise.needs_magnitude and (signal < 0).any()):
        kind = "magnitudes" if noise.needs_magnitude else "real signals"
        raise ValueError(
            f"noise={noise.label!r} is that of {kind}, but the signal is complex or "
            "negative; give abs(signal) and its derivatives, or noise='gaussian'."
        )


def first_wrong(values, is_fine):
    """Return the text of the first value that is not fine, with its row and column."""
    index = tuple(np.argwhere(~is_fine)[0])
    axes = ("row", "column")[: len(index)]
    place = ", ".join(f"{axis} {i}" for axis, i in zip(axes, index, strict=True))
    return f"{values[index]:g} in {place}" if place else f"{values[index]:g}"


def add_noise(signal, snr, rng, *, noise="gaussian"):
    """Add noise to signals, and give complex ones a random phase.

    Parameters
    ----------
    signal : ndarray of shape (n_samples, n_features)
        Signal without noise for M0 = 1, real or complex.
    snr : float or array-like
        abs(M0)/sigma; sigma is the standard deviation per real or imaginary channel. It is
        a number; (n_samples,), one for each signal; or one for each feature,
        (n_samples, n_features) or (1, n_features). 0 stands for missing data.
    rng : numpy.random.Generator
        Source of randomness.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        The noise model.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        Noisy signal; NaN where the signal-to-noise ratio is 0.

    Raises
    ------
    TypeError
        If `rng` is no source of random numbers.
    ValueError
        If `snr` has another shape, or is negative or NaN, or the noise is that of
        magnitudes and the signal is complex or negative.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.noise import add_noise
    >>> noisy = add_noise(np.ones((2, 3)), 1e9, np.random.default_rng(0))
    >>> noisy.round(6)
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """
    signal = as_numbers(signal, "signal")
    if signal.ndim != 2:
        raise ValueError(
            f"signal has shape {signal.shape}; give (n_samples, n_features), for one "
            "sample signal[None]."
        )
    noise = get_noise(noise)
    if not isinstance(rng, np.random.Generator | np.random.RandomState):
        raise TypeError(
            f"rng is {rng!r}; give a source of random numbers, np.random.default_rng(0) "
            "for instance."
        )
    check_magnitudes(signal, noise)
    snr = check_rows(snr, "snr", *signal.shape)
    if not (snr >= 0).all():
        wrong = first_wrong(snr, snr >= 0)
        raise ValueError(f"snr = {wrong}; it must be positive, or 0 for missing data.")
    snr = np.broadcast_to(snr, (len(signal), *snr.shape[1:]))
    snr = snr if snr.ndim == 2 else snr[:, None]
    is_missing = snr == 0
    sigma = 1 / np.where(is_missing, 1.0, snr)
    if signal.dtype.kind == "c":
        signal = np.exp(2j * np.pi * rng.random((len(signal), 1))) * signal
    noisy = noise.draw(signal, sigma, rng)
    return np.where(is_missing, np.nan, noisy) if is_missing.any() else noisy


def _share(signal, sigma):
    """Return u = A^2 / (1 + A^2) for amplitudes A in units of sigma."""
    amplitude = np.asarray(signal, dtype=float) / sigma
    return (amplitude / np.hypot(1.0, amplitude)) ** 2


def estimate_sigma(magnitudes, *, noise="rician"):
    r"""Noise per channel, from samples many of which have no signal.

    In noise of sigma, :math:`u = |x|^2 / 2` of samples x without signal has a gamma
    distribution, of scale :math:`\sigma^2` (Rayleigh's law of x if there are two channels).
    Samples with signal lie above, so only those below 2.5 sigma count, and sigma is where
    their mean is that of the distribution, cut off there. That sigma follows from samples
    below a limit, which follows from sigma, is the idea of PIESNO (Koay et al., J. Magn.
    Reson. 2009, doi 10.1016/j.jmr.2009.03.005).

    Parameters
    ----------
    magnitudes : array-like of any shape
        With Rician noise magnitudes of air, or of an image of which at least a tenth is
        air; with Gaussian noise real or complex samples without signal, or residuals of
        many voxels. Samples that are masked or not finite do not count, nor do magnitudes
        of exactly zero, as of air that was cut out. Integers need a sigma of about 3.
    noise : {"rician", "gaussian"} or Noise, default="rician"
        The noise.

    Returns
    -------
    float
        Standard deviation of the noise in each channel.

    Raises
    ------
    ValueError
        If there are fewer than 20 samples, they are no magnitudes, or less than a tenth of
        them looks like noise without signal.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.noise import estimate_sigma
    >>> rng = np.random.default_rng(0)
    >>> tissue = 1500 + 100 * rng.standard_normal(3000)
    >>> air = np.hypot(*rng.normal(scale=12.0, size=(2, 6000)))
    >>> round(estimate_sigma(np.concatenate([air, tissue])), 1)
    12.0
    """
    noise, samples = get_noise(noise), as_numbers(magnitudes, "magnitudes").ravel()
    is_complex = samples.dtype.kind == "c"
    if noise.needs_magnitude and (is_complex or (samples < 0).any()):
        kind = "complex" if is_complex else "negative"
        raise ValueError(
            f"magnitudes hold {kind} values, which are none; give their absolute values, "
            "or noise='gaussian' for samples with a sign or a phase."
        )
    samples = np.abs(samples[np.isfinite(samples)])
    samples = np.sort(samples[samples > 0] if noise.needs_magnitude else samples)
    if len(samples) < _FEWEST:
        raise ValueError(
            f"magnitudes have {len(samples)} samples that count, finite and not zero; give "
            f"at least {_FEWEST}."
        )
    n_channels = 2 if is_complex else noise.n_channels
    # Scaled by a power of two, so that squares do not overflow.
    scale = 2.0 ** np.floor(np.log2(max(samples[-1], np.finfo(float).tiny)))
    u = np.sort(_spread(samples / scale) ** 2 / 2)
    sigma = scale * _sigma_of_floor(u, n_channels)
    if not sigma > 0:
        raise ValueError(
            f"less than a tenth of the {len(samples)} magnitudes looks like noise without "
            "signal, or they are integers of only a few steps; give a region of air, or "
            "take sigma from `residual` of an estimator."
        )
    return float(sigma)


def _spread(samples):
    """Return sorted samples, those that rounding made equal spread over the step again."""
    values, counts = np.unique(samples, return_counts=True)
    if len(values) < 3 or len(values) > _DISTINCT * len(samples):
        return samples
    step = np.diff(values).min()
    place = np.arange(len(samples)) - np.repeat(np.cumsum(counts) - counts, counts)
    return samples + step * ((place + 0.5) / np.repeat(counts, counts) - 0.5)


def _sigma_of_floor(u, n_channels):
    """Return sigma from sorted u = x^2 / 2, or 0 where none of them follow its law."""
    cut, order = _CUT**2 / 2, np.arange(1, len(u) + 1)
    below = chdtr(n_channels, _CUT**2)
    share = n_channels / 2 * chdtr(n_channels + 2, _CUT**2) / below / cut
    ratio = np.cumsum(u) / (order * np.where(u > 0, u, np.inf))
    found, most = 0.0, _LEAST_FLOOR * len(u)
    for k in np.flatnonzero((ratio[:-1] >= share) & (ratio[1:] < share)):
        variance = u[k] / cut
        law = chdtr(n_channels, 2 * u[: k + 1] / variance) / below
        misfit = np.abs(law - (order[: k + 1] - 0.5) / (k + 1)).max()
        if misfit < _MISFIT[0] + _MISFIT[1] / np.sqrt(k + 1) and (k + 1) / below > most:
            found, most = np.sqrt(variance), (k + 1) / below
    return found


@cache
def _approximation(moment):
    """Return an approximation of a moment of magnitudes, a smooth function of u."""
    return Chebyshev.interpolate(
        lambda u: _integral(np.sqrt(u / (1 - u)), moment), _DEGREE, domain=[0, 1]
    )


def _information(m, a, lag):
    """Return what has the mean Z / u; lag = m - m r."""
    return (m - lag - a) ** 2 * (1 + 1 / a**2)


def _freedom(m, a, lag):
    """Return half the squared derivative of the log-likelihood by log(sigma)."""
    return ((m - a) ** 2 + 2 * a * lag - 2) ** 2 / 2


@one_blas_thread
def _integral(amplitude, moment):
    """Return a mean over magnitudes by quadrature, for amplitudes up to a few hundred."""
    nodes, weights = roots_legendre(_N_NODES)
    low = np.maximum(amplitude - _REACH, 0.0)
    half = (amplitude + _REACH - low) / 2
    a = amplitude[:, None]
    m = low[:, None] + half[:, None] * (1 + nodes)
    density = m * np.exp(-((m - a) ** 2) / 2) * i0e(m * a)
    lag = m * (i0e(m * a) - i1e(m * a)) / i0e(m * a)
    return half * ((density * moment(m, a, lag)) @ weights)
