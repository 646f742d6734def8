r"""Base of the models in closed form: complex signals and their magnitudes.

A closed form gives a real signal :math:`s(\theta)` for an amplitude of 1. For a complex
signal this is enough, since the complex factor M0 is not a parameter of the model; with
gradient echoes at different times its phase also evolves, by :math:`e^{i \omega_0 T_E}`.
The amplitude of a magnitude is a parameter: :math:`M_0 |s(\theta)|`. Where s changes its
sign, the magnitude has a kink; there, the derivative returned is zero, the mean of the
derivatives on both sides.
"""

from functools import cached_property

import numpy as np

from .._options import check_choice
from ..kernels.pointers import form_of
from ._checks import SIGNALS, check_noise
from ._compiled_form import CompiledForm
from ._tissue import amplitude, off_resonance
from .base import SignalModel


class ClosedFormModel(SignalModel):
    """Model of a real signal in closed form, measured as complex signal or magnitude.

    A subclass calls this constructor. It defines ``_formula()`` if a kernel computes the
    signal, otherwise ``_closed_form(theta, jacobian)``. The last column of theta is the
    amplitude of magnitudes or, if `te` is given, the off-resonance of complex gradient
    echoes; a subclass with ``_formula()`` may have put that elsewhere among `parameters`.
    """

    def __init__(self, parameters, signal, noise, bounds, *, te=None, amplitude_name="M0"):
        self.is_magnitude = check_choice("signal", signal, SIGNALS) == "magnitude"
        self.noise = check_noise(noise, self.is_magnitude)
        self._amplitude_name = amplitude_name
        # Times of phase evolution, in s; None if all samples have the same phase.
        self._turning = None if self.is_magnitude else te
        if self.is_magnitude:
            parameters = (*parameters, amplitude(amplitude_name))
        elif te is not None and "omega0" not in [p.name for p in parameters]:
            parameters = (*parameters, off_resonance_of(te))
        self._form_names = tuple(p.name for p in parameters)
        self._choose_parameters(parameters, bounds)

    @property
    def amplitude(self):
        """Name of the amplitude of magnitudes; None for complex signals."""
        return self._amplitude_name if self.is_magnitude else None

    @property
    def is_complex(self):
        """Whether the signal is complex, and so known up to a complex factor M0."""
        return not self.is_magnitude

    @property
    def _arguments(self):
        signal = "magnitude" if self.is_magnitude else "complex"
        return {"signal": signal, **super()._arguments}

    def _closed_form(self, theta, jacobian):
        """Return the signal for an amplitude of 1, and a tuple of its derivatives.

        theta : (n_parameters, n_samples, 1), without the amplitude or the off-resonance.
        Without `jacobian`, the tuple is empty.
        """
        raise NotImplementedError

    def _formula(self):
        """Return a compiled form, its settings, and its parameters.

        Settings are rows of one number a sample or one for all. Parameters are a dict of
        the values that count where the model has no parameter of the name.
        """
        return None

    def __setattr__(self, name, value):
        # Settings are attributes that users may change.
        vars(self).pop("_form", None)
        super().__setattr__(name, value)

    def __getstate__(self):
        # Addresses of compiled functions are those of this process.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_form"}

    @cached_property
    def _form(self):
        """The form that a kernel computes, or None."""
        formula = self._formula()
        if formula is None or type(self)._closed_form is not ClosedFormModel._closed_form:
            return None
        function, settings, values = formula
        turning = 0.0 if self._turning is None else self._turning
        shape = self.n_features
        settings = [np.broadcast_to(row, shape) for row in (*settings, turning)]
        names = [*values, self._amplitude_name if self.is_magnitude else "omega0"]
        columns = np.array([names.index(name) for name in self._form_names], dtype=int)
        return CompiledForm(
            form_of(function),
            np.array(settings, dtype=float),
            shape,
            self.is_complex,
            np.array([*values.values(), 0.0], dtype=float),
            columns,
            columns[:0],
        )

    def _compiled_form(self):
        # A subclass may have another signal, or other parameters.
        is_own = self._hook is ClosedFormModel._simulate
        return self._form if is_own and self.parameter_names == self._form_names else None

    def _simulate(self, theta, jacobian=False):
        form = self._form
        if form is not None:
            return form.simulate(theta, jacobian)
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


def off_resonance_of(te):
    """Return the off-resonance for echo times; it is periodic if these are regular."""
    distinct = np.unique(te)
    spacing = np.diff(distinct).min()
    steps = (distinct - distinct[0]) / spacing
    return off_resonance(spacing, periodic=np.abs(steps - steps.round()).max() < 1e-6)
