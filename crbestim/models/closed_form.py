r"""What models in closed form share: complex signals and their magnitudes.

A closed form gives a real signal :math:`s(\theta)` for an amplitude of 1. Of a complex
signal nothing else is needed, since the library leaves the complex factor M0 open; in
gradient echoes at different times it also turns, by :math:`e^{i \omega_0 T_E}`. A
magnitude has no factor that is left open, so that its amplitude is a parameter:
:math:`M_0 |s(\theta)|`. Where s changes its sign, the magnitude has a kink; there, the
derivative returned is zero, the mean of the derivatives on both sides.
"""

import numpy as np

from .base import SignalModel
from .options import SIGNALS, check_choice, check_noise, choose_parameters
from .tissue import amplitude, off_resonance


class ClosedFormModel(SignalModel):
    """Model of a real signal in closed form, measured as complex or as magnitude.

    A subclass gives ``_closed_form(theta, jacobian)``, and in its constructor calls this.
    The last column of theta is the amplitude of magnitudes, or the off-resonance of
    complex gradient echoes.

    Parameters
    ----------
    parameters : iterable of Parameter
        Parameters of the closed form.
    signal : {"complex", "magnitude"}
        What is measured.
    noise : {"gaussian", "rician"}
        Distribution of the noise.
    bounds : dict or None
        Other bounds, (low, high) by parameter name.
    te : ndarray of shape (n_samples,), default=None
        Times during which the magnetization turns by off-resonance, in s, if it does.
    amplitude_name : str, default="M0"
        Name of the amplitude of magnitudes.
    """

    def __init__(self, parameters, signal, noise, bounds, *, te=None, amplitude_name="M0"):
        self.is_magnitude = check_choice("signal", signal, SIGNALS) == "magnitude"
        self.noise = check_noise(noise, self.is_magnitude)
        # Times during which the signal turns; None if its phase is the same in all samples.
        self._turning = None if self.is_magnitude else te
        if self.is_magnitude:
            parameters = (*parameters, amplitude(amplitude_name))
        elif te is not None:
            parameters = (*parameters, _off_resonance(te))
        self._parameters = choose_parameters(parameters, bounds)

    @property
    def parameters(self):
        """The parameters, in the order of the columns of theta."""
        return self._parameters

    @property
    def is_complex(self):
        """Whether the signal is complex, and so known up to a complex factor M0."""
        return not self.is_magnitude

    def _represent(self, **options):
        """Return what ``__repr__`` says of a model with these arguments."""
        options["signal"] = "magnitude" if self.is_magnitude else "complex"
        options["noise"] = self.noise
        arguments = []
        for name, value in options.items():
            is_array = isinstance(value, np.ndarray)
            arguments.append(f"{name}={f'<{len(value)} values>' if is_array else value!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"

    def _closed_form(self, theta, jacobian):
        """Return the signal for an amplitude of 1, and a tuple of its derivatives.

        theta : (n_parameters, n_samples, 1), without the amplitude or the off-resonance.
        Without `jacobian`, the tuple is empty.
        """
        raise NotImplementedError

    def signal(self, theta, jacobian=False):
        """Simulate the signal.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units.
        jacobian : bool, default=False
            Whether to return the derivatives, too.

        Returns
        -------
        s : ndarray of shape (n_samples, n_features)
            Signal; if complex, per unit of M0.
        J : ndarray of shape (n_samples, n_features, n_parameters)
            Derivatives, only if `jacobian`.

        Raises
        ------
        ValueError
            If theta is not a finite array inside the model's domain.
        """
        return self.simulate(self.check_theta(theta), jacobian)

    def simulate(self, theta, jacobian=False):
        """Simulate theta that has been checked; see `SignalModel.simulate`."""
        columns = np.ascontiguousarray(theta.T)[:, :, None]
        has_last = self.is_magnitude or self._turning is not None
        s, derivatives = self._closed_form(columns[:-1] if has_last else columns, jacobian)
        if self.is_magnitude:
            factor, of_last = columns[-1] * np.sign(s), np.abs(s)
        elif has_last:
            factor = np.exp(1j * self._turning * columns[-1])
            of_last = 1j * self._turning * s * factor
        else:
            factor = 1.0 + 0.0j
        signal = factor * s
        if not jacobian:
            return signal
        out = np.empty((*signal.shape, self.n_parameters), dtype=signal.dtype)
        for k, derivative in enumerate(derivatives):
            out[:, :, k] = factor * derivative
        if has_last:
            out[:, :, -1] = of_last
        return signal, out


def _off_resonance(te):
    """Return the off-resonance that echo times tell; it is periodic for regular ones."""
    distinct = np.unique(te)
    spacing = np.diff(distinct).min()
    steps = (distinct - distinct[0]) / spacing
    return off_resonance(spacing, periodic=np.abs(steps - steps.round()).max() < 1e-6)
