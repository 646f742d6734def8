"""The network: from a noisy fingerprint to parameters, in four parts.

Of long signals, it sees the products with a few orthonormal axes, and in much noise the
norm of the rest.

1. Alignment. A complex signal is divided by its norm and turned to a fixed phase, that
   of its inner product with a reference signal. What follows sees the same numbers for
   x and c x, so the estimate does not depend on the factor c. A real signal with an
   amplitude is divided by its norm, and the amplitude is estimated in units of that.
2. Whitening. Where the noise is known, a linear map turns the features of the training
   signals to their principal axes, at one scale: the noise stays white, and the more an
   axis tells, the larger its features. Otherwise it gives the features unit variance and
   no correlation. Directions in which the signals do not vary, or by far less than the
   noise, are left out.
3. Trunk. Fully connected layers; those of equal width add to their input (residual
   connections).
4. Head. One linear output per parameter, in units of its scale; a periodic parameter has
   two, read as the cosine and sine of its angle, so that both ends of its interval meet.
"""

import math

import torch
from torch import nn

ACTIVATIONS = {
    "gelu": nn.functional.gelu,
    "silu": nn.functional.silu,
    "relu": nn.functional.relu,
    "tanh": torch.tanh,
}
# Relative spread of a feature, and relative variance of a direction, below which either is
# rounding error; and variance of the signal, as a share of the noise, below which a
# direction tells next to nothing.
_CONSTANT, _SILENT = 1e-12, 1e-2


def align(x, reference, has_amplitude=False):
    """Divide signals by their unknown factor; stack real and imaginary parts.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_features)
        Signals.
    reference : Tensor of shape (n_features,)
        Complex signal whose inner product with x becomes real and positive; or the mean of
        real signals of unit norm, which is subtracted.
    has_amplitude : bool, default=False
        Whether real signals have an unknown amplitude; otherwise they are returned as they
        are.

    Returns
    -------
    Tensor of shape (n_samples, 2 * n_features), or that of x if it is real
        Real features.
    """
    if not x.is_complex():
        if not has_amplitude:
            return x
        return x / torch.linalg.vector_norm(x, dim=1, keepdim=True) - reference
    overlap = x @ reference.conj()
    magnitude = overlap.abs()
    turn = torch.where(magnitude > 0, overlap.conj() / magnitude, torch.ones_like(overlap))
    norm = torch.linalg.vector_norm(torch.view_as_real(x).flatten(1), dim=1)
    return torch.view_as_real(x * (turn / norm)[:, None]).flatten(1)


def whitening_of(features, noise=0.0, n_exact=0):
    """Return the mean of features, and a linear map that whitens what is left.

    Of features with noise, it whitens the noise: it maps them to the principal axes of the
    signals, all divided by the root of the mean variance, noise included. Signals whitened
    in its place would give the many axes of which little is above the noise the weight of
    the few that tell most. Features without noise it whitens themselves.

    Parameters
    ----------
    features : Tensor of shape (n_samples, n_inputs)
        Features of training signals, in double precision.
    noise : float, default=0.0
        Variance of the noise that features lack; zero if they have all of it.
    n_exact : int, default=0
        Number of features, the last, that have no noise.

    Returns
    -------
    mean : Tensor of shape (n_inputs,)
        Mean.
    whitening : Tensor of shape (n_inputs, n_directions)
        The map.
    """
    mean, n_noisy = features.mean(dim=0), features.shape[1] - n_exact if noise > 0 else 0
    noisy, exact = (features - mean).tensor_split([n_noisy], dim=1)
    maps = []
    if n_noisy:
        values, axes = torch.linalg.eigh(noisy.mT @ noisy / (noise * len(features)))
        tells = values > _SILENT
        tells[-1] = True
        variance = noise * (values[tells].clamp(min=0.0) + 1).mean()
        maps.append(axes[:, tells] * variance.rsqrt())
    if exact.shape[1]:
        spread, size = exact.std(dim=0, correction=0), features.square().mean(dim=0).sqrt()
        scale = torch.where(spread > _CONSTANT * size[n_noisy:], 1 / spread, 0.0)
        standard = exact * scale
        values, axes = torch.linalg.eigh(standard.mT @ standard / len(features))
        constant = values <= _CONSTANT * len(values)
        gains = torch.where(constant, 0.0, values.clamp(min=1e-300).rsqrt())
        maps.append(scale[:, None] * axes * gains)
    return mean, torch.block_diag(*maps)


class FingerprintNetwork(nn.Module):
    """Residual network from aligned features to scaled parameters.

    Parameters
    ----------
    n_inputs : int
        Number of real features.
    hidden_layer_sizes : sequence of int
        Widths of the hidden layers.
    periods : sequence of float
        Period of each parameter in units of its scale; infinite where there is none.
    activation : {"gelu", "silu", "relu", "tanh"}
        Activation of the hidden layers.
    n_directions : int, default=None
        Number of directions that whitening leaves of the features; by default all.
    """

    def __init__(
        self, n_inputs, hidden_layer_sizes, periods, activation, n_directions=None
    ):
        super().__init__()
        n_directions = n_inputs if n_directions is None else n_directions
        periods = torch.as_tensor(periods, dtype=torch.float64)
        periodic = torch.isfinite(periods)
        # Weights stay unset: torch would draw them from its global generator.
        widths = [n_directions, *hidden_layer_sizes]
        n_outputs = len(periods) + int(periodic.sum())
        self.hidden = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, a, b)
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.head = nn.utils.skip_init(nn.Linear, widths[-1], n_outputs)
        self.adds = [a == b for a, b in zip(widths[:-1], widths[1:], strict=True)]
        self.activation = ACTIVATIONS[activation]
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("whitening", torch.eye(n_inputs, n_directions))
        turns, columns = periods[periodic] / (2 * math.pi), periodic.nonzero().ravel()
        self.register_buffer("periods", periods, persistent=False)
        self.register_buffer("turns", turns, persistent=False)
        self.register_buffer("periodic", columns, persistent=False)

    def initialize(self, generator):
        """Draw all weights from `generator` alone."""
        for layer in (*self.hidden, self.head):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.zeros_(layer.bias)
        # Cosines start near 1: at the origin, angles have no gradient.
        with torch.no_grad():
            self.head.bias[self.periodic] = 1.0

    def set_inputs(self, mean, whitening):
        """Take mean and whitening of the inputs; there may be more or fewer than before."""
        self.mean = torch.as_tensor(mean).to(self.mean)
        self.whitening = torch.as_tensor(whitening).to(self.whitening)

    def trunk(self, x):
        """Pass whitened features through the hidden layers."""
        # Where no gradient needs the input, sums in place save memory.
        add = torch.add if torch.is_grad_enabled() else torch.Tensor.add_
        for layer, adds in zip(self.hidden, self.adds, strict=True):
            y = self.activation(layer(x))
            x = add(x, y) if adds else y
        return x

    def forward(self, features):
        """Estimate parameters, in units of their scales."""
        out = self.head(self.trunk((features - self.mean) @ self.whitening))
        n, n_periodic = len(self.periods), len(self.periodic)
        parameters = out[:, :n]
        # The head's columns after the n-th are the sines of the periodic parameters.
        if n_periodic:
            angle = torch.atan2(out[:, n : n + n_periodic], out[:, self.periodic])
            wrapped = angle * self.turns.to(angle)
            parameters = parameters.index_copy(1, self.periodic, wrapped)
        return parameters
