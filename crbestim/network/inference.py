"""A trained network in use: arrays in and out, without torch."""

from dataclasses import dataclass

import numpy as np

from ..kernels.feed_forward import ACTIVATIONS, LINEAR, dense, put, take
from ..kernels.lanes import LANES, SINGLES

# Rows whose products are computed together.
_ROWS = 512


@dataclass(frozen=True, eq=False)
class Layers:
    """Layers of a network, which map rows of features to parameters.

    They compute what :class:`~crbestim.network.modules.FingerprintNetwork` does, up to
    rounding, and a row's result does not depend on the other rows.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        What is subtracted from the features.
    layers : list of tuple
        Weights, biases, activation, and whether the input is added, of each layer.
    periodic, turns : ndarray of shape (n_periodic,)
        Columns of the parameters with a period, and their periods over 2 pi.
    n_parameters : int
        Number of parameters.
    """

    mean: np.ndarray
    layers: list
    periodic: np.ndarray
    turns: np.ndarray
    n_parameters: int

    @classmethod
    def of(cls, weights, hidden_layer_sizes, activation, dtype, periods):
        """Arrange the weights of a module, by name.

        Parameters
        ----------
        weights : dict of ndarray
            Weights of the network by name.
        hidden_layer_sizes : sequence of int
            Widths of the hidden layers.
        activation : str
            Activation of the hidden layers.
        dtype : {"float32", "float64"}
            Precision.
        periods : ndarray of shape (n_parameters,)
            Period of each parameter in units of its scale; infinite where there is none.

        Returns
        -------
        Layers
            The same network.

        Raises
        ------
        ValueError
            If weights are missing or do not fit together.
        """
        kind, n = np.dtype(dtype).type, len(periods)
        periodic = np.flatnonzero(np.isfinite(periods))
        turns = (periods[periodic] / (2 * np.pi)).astype(kind)
        n_inputs = np.size(weights["mean"])
        n_directions = np.shape(weights.get("whitening"))[-1:]
        whitening = _checked(weights, "whitening", (n_inputs, *n_directions)).T
        whitening = np.array(whitening, kind, order="C")
        layers = [(whitening, np.zeros(len(whitening), kind), LINEAR, False)]
        widths = [len(whitening), *hidden_layer_sizes, n + len(periodic)]
        hidden = ACTIVATIONS.index(activation)
        for i, (n_in, n_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            is_head = i == len(hidden_layer_sizes)
            name = "head" if is_head else f"hidden.{i}"
            matrix = _checked(weights, f"{name}.weight", (n_out, n_in))
            bias = _checked(weights, f"{name}.bias", (n_out,))
            layers.append(
                (
                    np.require(matrix, kind, ["C", "W"]),
                    np.require(bias, kind, ["C", "W"]),
                    LINEAR if is_head else hidden,
                    n_in == n_out and not is_head,
                )
            )
        mean = np.require(weights["mean"], kind, ["C", "W"])
        return cls(mean, layers, periodic, turns, n)

    def __call__(self, *parts):
        """Return the parameters (n, n_parameters) of features, given in parts side by side.

        parts : arrays in double precision, of shape (n, n_part).
        """
        n, n_inputs = len(parts[0]), sum(part.shape[1] for part in parts)
        if n_inputs != len(self.mean):
            raise ValueError(f"{n_inputs} features for {len(self.mean)} inputs.")
        lanes = SINGLES if self.mean.dtype == np.float32 else LANES
        n_blocks, first = -(-n // lanes), 0
        # Two pieces of memory that take turns stay in the cache.
        most = max(n_inputs, *(len(bias) for _, bias, *_ in self.layers))
        room = np.zeros((2, n_blocks * most * lanes), self.mean.dtype)

        def blocks(place, width):
            return room[place, : n_blocks * width * lanes].reshape(n_blocks, width, lanes)

        values = blocks(0, n_inputs)
        for part in parts:
            put(part, self.mean, first, values)
            first += part.shape[1]
        for place, (matrix, bias, activation, adds) in enumerate(self.layers, 1):
            before, values = values, blocks(place % 2, len(bias))
            dense(matrix, bias, activation, adds, before, values)
        found = np.empty((n, self.n_parameters))
        take(values, self.periodic, self.turns, found)
        return found


def products(X, axes):
    """Return the products of signals with axes; a row's do not depend on the other rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Signals, real or complex as the axes.
    axes : ndarray of shape (n_features, n_axes)
        Axes, complex conjugates of which are multiplied.

    Returns
    -------
    ndarray of shape (n_samples, n_axes)
        The products, in double precision.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.network.inference import products
    >>> products(np.array([[2.0, 1j]]), np.array([[0.6], [0.8j]]))
    array([[2.+0.j]])
    """
    is_complex = axes.dtype.kind == "c"
    matrix = np.ascontiguousarray(axes.T)
    if is_complex:
        # Real and imaginary parts of products, from those of signals side by side.
        parts = np.array([[matrix.real, matrix.imag], [-matrix.imag, matrix.real]])
        matrix = parts.transpose(2, 0, 3, 1).reshape(2 * len(matrix), -1).copy()
    n_out, n_in = matrix.shape
    found = np.empty((len(X), n_out))
    for first in range(0, len(X), _ROWS):
        part = slice(first, first + _ROWS)
        rows = np.array(X[part], complex if is_complex else float, order="C").view(float)
        n_blocks = -(-len(rows) // LANES)
        values = np.zeros((n_blocks, n_in, LANES))
        out = np.empty((n_blocks, n_out, LANES))
        put(rows, np.zeros(n_in), 0, values)
        dense(matrix, np.zeros(n_out), LINEAR, False, values, out)
        # None of the products is an angle.
        take(out, np.empty(0, dtype=int), np.empty(0), found[part])
    return found.view(complex) if is_complex else found


def _checked(weights, name, shape):
    """Return weights of a name, which must have a shape."""
    values = np.asarray(weights.get(name))
    if values.shape != shape:
        raise ValueError(
            f"the weights {name} have shape {values.shape}, and the network asks for "
            f"{shape}: give weights_ and network_ of the same fit."
        )
    return values
