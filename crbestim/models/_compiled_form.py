"""What a compiled loop over voxels simulates."""

from dataclasses import dataclass, replace

import numpy as np

from ..kernels.closed_forms import simulate


@dataclass(frozen=True, eq=False)
class CompiledForm:
    """A signal that a kernel computes voxel by voxel; see `kernels.closed_forms`.

    Attributes
    ----------
    form : Pointer
        The signal, of the signature `kernels.pointers.FORM`.
    settings : ndarray of two dimensions
        Its settings.
    n_features : int
        Number of samples.
    is_complex : bool
        Whether the signal is complex.
    values : ndarray of shape (n_theta,)
        Constants among the parameters of the form.
    columns : ndarray of int, shape (n_parameters,)
        Places of the parameters of the model among them.
    known_columns : ndarray of int, shape (n_known,)
        Places of known values.
    known : ndarray of shape (n_voxels, n_known) or None
        These, if there are any.
    is_costly : bool
        Whether derivatives cost much more than the signal.
    """

    form: object
    settings: np.ndarray
    n_features: int
    is_complex: bool
    values: np.ndarray
    columns: np.ndarray
    known_columns: np.ndarray
    known: np.ndarray | None = None
    is_costly: bool = False

    def holding(self, constants, known_columns=(), known=None):
        """Return the form with some parameters given, by their columns in theta."""
        values, known_columns = self.values.copy(), np.array(known_columns, dtype=int)
        places = np.append(self.known_columns, self.columns[known_columns])
        for column, value in constants.items():
            values[self.columns[column]] = value
        return replace(
            self,
            values=values,
            columns=np.delete(self.columns, [*constants, *known_columns]),
            known_columns=places,
            known=self.known if known is None else known,
        )

    def simulate(self, theta, jacobian):
        """Return signals, and derivatives with respect to all columns if `jacobian`."""
        whole = np.tile(self.values, (len(theta), 1))
        for column, values in zip(self.columns, theta.T, strict=True):
            whole[:, column] = values
        shape = len(theta), self.n_features
        columns = self.columns if jacobian else self.columns[:0]
        dtype = np.complex128 if self.is_complex else np.float64
        s, ds = np.empty(shape, dtype), np.empty((*shape, len(columns)), dtype)
        reals = [out[..., None].view(np.float64) for out in (s, ds)]
        n = reals[0][0].size if len(theta) else 0
        rows = np.empty(n), np.empty((len(self.values) if jacobian else 0, n))
        form = self.form, self.settings
        simulate(0, len(theta), *form, whole, columns, *rows, *reals)
        return (s, ds) if jacobian else s
