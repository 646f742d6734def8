"""Signals on the few axes that a network looks at, in place of all their samples.

White noise is white on any orthonormal axes, and beside these it changes nothing but the
norm of a signal. Training on fresh noise therefore needs a value for each axis, and one for
the norm of all that is beside them, whatever the number of samples.
"""

from dataclasses import dataclass

import numpy as np

from .._linear_algebra import norms

# Singular value, as a share of the largest, below which an axis is one of rounding error.
_ROUNDING = 1e-6
# Noise beside the axes, in real numbers, from which on its squared norm is close to normal,
# and share of all axes up to which fewer of them save time.
_LEAST_LEFT_OUT, _LARGEST_SHARE = 30, 0.5


@dataclass(frozen=True, eq=False)
class Projection:
    """Orthonormal axes in the space of signals.

    Attributes
    ----------
    basis : ndarray of shape (n_features, n_axes)
        The axes, real or complex as the signals.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.network.projection import Projection
    >>> Projection(np.eye(4)[:, :2]).signals(np.array([[1.0, 2.0, 3.0, 4.0]]))
    array([[1., 2., 5.]])
    """

    basis: np.ndarray

    @classmethod
    def of(cls, whitening, reference):
        """Return the axes that a network looks at, or None if they are nearly all.

        Parameters
        ----------
        whitening : ndarray of shape (n_inputs, n_directions)
            Whitening of the network, the first inputs of which are those of signals.
        reference : ndarray of shape (n_features,)
            Phase reference, on which networks look as well, or a mean.
        """
        n, is_complex = len(reference), reference.dtype.kind == "c"
        columns, _ = _split(whitening, n, is_complex)
        columns = columns[:, np.abs(columns).max(axis=0) > 0]
        seen = np.hstack([columns, reference[:, None]] if is_complex else [columns])
        axes, sizes, _ = np.linalg.svd(seen / norms(seen.T), full_matrices=False)
        axes = axes[:, sizes > _ROUNDING * sizes.max(initial=0.0)]
        projection = cls(axes)
        saves = axes.shape[1] + 1 <= _LARGEST_SHARE * n
        return projection if saves and projection.n_beside >= _LEAST_LEFT_OUT else None

    @property
    def n_beside(self):
        """Real numbers in a signal that are neither on an axis nor in the last value."""
        n_features, n_axes = self.basis.shape
        return (n_features - n_axes - 1) * (2 if self.basis.dtype.kind == "c" else 1)

    def signals(self, X):
        """Return values of signals on the axes, and the norm of what is beside them."""
        inside = X @ self.basis.conj()
        beside = np.sqrt(np.maximum(norms(X) ** 2 - norms(inside) ** 2, 0.0))
        return np.hstack([inside, beside[:, None]])

    def inputs(self, vectors):
        """Return vectors in the space of the network's inputs in that of projected ones.

        Parameters
        ----------
        vectors : ndarray of shape (n_inputs, n_vectors)
            Columns whose products with inputs stay what they are.

        Returns
        -------
        ndarray of shape (n_projected_inputs, n_vectors)
            The same, without a share in the norm of what is beside the axes.
        """
        is_complex = self.basis.dtype.kind == "c"
        columns, others = _split(vectors, len(self.basis), is_complex)
        inside = self.basis.conj().T @ columns
        inside = np.vstack([inside, np.zeros_like(inside[:1])])
        if is_complex:
            inside = np.stack([inside.real, inside.imag], axis=1)
        return np.vstack([inside.reshape(-1, vectors.shape[1]), others])


def _split(vectors, n_features, is_complex):
    """Return the part of vectors that meets signals, complex as these, and the other."""
    if not is_complex:
        return vectors[:n_features], vectors[n_features:]
    real, imaginary = vectors[: 2 * n_features : 2], vectors[1 : 2 * n_features : 2]
    return real + 1j * imaginary, vectors[2 * n_features :]
