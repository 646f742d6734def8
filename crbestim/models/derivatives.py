"""Derivatives of a model's signal: its own, by differences, or none."""

import warnings
from functools import wraps

import numpy as np

from ..exceptions import InexactJacobianWarning, MissingJacobianError
from .differences import differentiate

# Errors of derivatives above this share of the norm of a column bring a warning.
_INEXACT = 1e-4


class Differentiable:
    """What a signal model knows of its derivatives."""

    difference = "central"
    """What stands in for a missing Jacobian: "central" differences, or "none"."""

    difference_step = 2e-4
    """Step of differences, as a share of the width of the bounds or, if they do not hold
    zero, of the parameter where that is less."""

    def _central_differences(self, theta, signal):
        """Jacobian by differences, with a warning if it is doubtful."""
        self.require_jacobian("signal(theta, jacobian=True)")
        found = self._differentiate(theta, signal)
        doubtful = (found.error > _INEXACT * found.size).any(axis=0)
        for name in np.array(self.parameter_names)[doubtful]:
            # Without numbers, so that Python shows it once and not for every voxel.
            warnings.warn(
                f"the derivative of {self._label} with respect to {name} is uncertain by "
                f"more than {_INEXACT:g} of its norm: the signal is noisy, of low "
                "precision or not smooth. Compute it in double precision, give a Jacobian, "
                "or choose another difference_step by jacobian_error(theta)",
                InexactJacobianWarning,
                stacklevel=4,
            )
        return found.jacobian

    def _differentiate(self, theta, signal):
        step = self.difference_step
        return differentiate(self.simulate, theta, signal, self.parameters, step)

    @property
    def _label(self):
        """What errors call the model."""
        return type(self).__name__

    @property
    def _has_own_jacobian(self):
        return not hasattr(type(self).signal, "differentiates")

    @property
    def has_jacobian(self):
        """Whether there are derivatives, the model's own or by differences."""
        return self._has_own_jacobian or self.difference != "none"

    def require_jacobian(self, needed_by):
        """Refuse a model without derivatives where they are needed.

        Parameters
        ----------
        needed_by : str
            Who needs them; it opens the error.

        Raises
        ------
        MissingJacobianError
            If the model gives none, and ``difference`` is "none".
        """
        if not self.has_jacobian:
            raise MissingJacobianError(
                f"{needed_by} needs a Jacobian; {self._label} has none and "
                "difference='none'. Give one, or set difference='central'."
            )

    def jacobian_error(self, theta):
        """Estimate how wrong the Jacobian is, the model's own or that by differences.

        Parameters
        ----------
        theta : array-like of shape (n_samples, n_parameters)
            Parameters, in SI units.

        Returns
        -------
        ndarray of shape (n_samples, n_parameters)
            Estimated norm of the error of each column of the Jacobian, over the norm of
            the column. For differences this is what noise, kinks or a step that is too
            long suggest; for derivatives of the model's own, their distance from
            differences, plus that. A column counts as no smaller than 1e-4 of the signal
            over the scale of the parameter's step.

        Raises
        ------
        ValueError
            If theta is not a finite array inside the model's domain.
        """
        theta = self.check_theta(theta)
        found = self._differentiate(theta, self.simulate(theta))
        error = found.error
        if self._has_own_jacobian:
            own = self.simulate(theta, jacobian=True)[1]
            error = error + np.linalg.norm(own - found.jacobian, axis=1)
        return error / found.size


class DifferentiableView:
    """What a model has of another one, its attribute ``model``, in this regard."""

    @property
    def _has_own_jacobian(self):
        return self.model._has_own_jacobian

    @property
    def _label(self):
        return self.model._label

    @property
    def difference(self):
        """What stands in for a missing Jacobian of the model."""
        return self.model.difference

    @property
    def difference_step(self):
        """Step of differences of the model."""
        return self.model.difference_step


def with_differences(signal):
    """Give a method ``signal(theta)`` the argument ``jacobian``."""

    @wraps(signal)
    def with_jacobian(self, theta, jacobian=False):
        theta = np.asarray(theta, dtype=float)
        if not jacobian:
            return signal(self, theta)
        s = signal(self, theta)
        return s, self._central_differences(theta, s)

    with_jacobian.differentiates = True
    return with_jacobian
