"""Base of the models whose kernel can project signals onto a basis as it simulates."""

import numpy as np

from .base import SignalModel


class CompiledModel(SignalModel):
    """Model of a complex signal that a kernel simulates for all voxels.

    A subclass defines ``_run(theta, basis, jacobian)``, which returns coefficients in a
    real basis, or all samples if the basis has no columns.
    """

    @property
    def is_complex(self):
        """True: the signal is complex."""
        return True

    def _simulate(self, theta, jacobian=False):
        return self._run(theta, np.empty((self.n_features, 0)), jacobian)

    def project(self, theta, basis, jacobian=False):
        """Simulate and project onto a basis at once; see `SignalModel.project`."""
        if self._hook is not CompiledModel._simulate:
            return super().project(theta, basis, jacobian)
        if basis.dtype.kind != "c":
            return self._run(theta, np.ascontiguousarray(basis, dtype=float), jacobian)
        # The kernel takes real bases: U^H s = Re(U)^T s - 1j Im(U)^T s.
        n = basis.shape[1]
        out = self._run(theta, np.hstack([basis.real, basis.imag]), jacobian)
        if jacobian:
            return tuple(part[:, :n] - 1j * part[:, n:] for part in out)
        return out[:, :n] - 1j * out[:, n:]

    def _run(self, theta, basis, jacobian):
        """Return coefficients in a real basis, with their derivatives if `jacobian`."""
        raise NotImplementedError
