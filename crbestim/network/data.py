"""Fingerprints on a device: rows on demand, with fresh noise."""

from dataclasses import dataclass

import numpy as np
import torch

from ..noise import GaussianNoise, Noise
from .modules import align


@dataclass(frozen=True)
class Fingerprints:
    """Signals with targets, as tensors, and how much noise they get.

    Parameters
    ----------
    signals : Tensor of shape (n_samples, n_features)
        Signals, complex or real: measured ones, or clean ones for M0 = 1 or an amplitude
        of 1. The reference is subtracted from real ones without an amplitude, unless they
        are still to be seen on `axes`.
    targets, precision : Tensor of shape (n_samples, n_outputs)
        Scaled parameters and inverse variances of their errors, as they are, or at unit
        noise if `scale_precision`.
    known : Tensor of shape (n_samples, n_known)
        Inputs of the network from known values.
    reference : Tensor of shape (n_features,), or of as many as are seen
        Phase reference of complex signals, or the mean of real ones, of unit norm if they
        have an amplitude.
    snr : Tensor of shape (n_snr,), default=None
        Signal-to-noise ratios to draw from for clean signals; None for measured ones.
    snr_is_range : bool, default=False
        Whether `snr` holds the ends of a range, rather than a set.
    scale_precision : bool, default=False
        Whether the precision grows with the squared signal-to-noise ratio.
    levels : Tensor of shape (n_levels,), default=None
        Ascending signal-to-noise ratios, if the precision at unit noise depends on them;
        its shape is then (n_samples, n_levels, n_outputs).
    amplitude : Tensor of shape (n_samples,), default=None
        Amplitudes of clean signals, over which a signal-to-noise ratio is that of the
        noise; by default 1.
    noise : crbestim.noise.Noise, default=GaussianNoise()
        Noise that clean signals get.
    axes : Tensor of shape (n_features, n_axes), default=None
        Orthonormal axes on which signals are seen once they have their noise; by default
        signals are seen as they are.
    n_beside : int, default=0
        How many real numbers of white noise the last value of signals stands for, beside
        its own; it is the norm of what is beside the axes that the other values are on.
    amplitude_column : int, default=None
        Which target is the amplitude of real signals: the network estimates it in units of
        their norms.
    weights : Tensor of shape (n_samples,), default=None
        Weights of the samples in the loss; by default all count alike.
    """

    signals: torch.Tensor
    targets: torch.Tensor
    precision: torch.Tensor
    known: torch.Tensor
    reference: torch.Tensor
    snr: torch.Tensor | None = None
    snr_is_range: bool = False
    scale_precision: bool = False
    levels: torch.Tensor | None = None
    amplitude: torch.Tensor | None = None
    noise: Noise = GaussianNoise()
    axes: torch.Tensor | None = None
    n_beside: int = 0
    amplitude_column: int | None = None
    weights: torch.Tensor | None = None

    @classmethod
    def from_arrays(cls, arrays, *, dtype, device, **options):
        """Make tensors from arrays.

        Parameters
        ----------
        arrays : dict of ndarray
            The tensors among the parameters of the class, by name; None where there is
            none.
        dtype : {"float32", "float64"}
            Precision of the tensors.
        device : str
            Device of the tensors.
        **options
            The other parameters of the class.

        Returns
        -------
        Fingerprints
            The same data.
        """
        given = {name: array for name, array in arrays.items() if array is not None}
        tensors = {name: as_tensor(a, dtype, device) for name, a in given.items()}
        return cls(**tensors, **options)

    def __len__(self):
        return len(self.signals)

    def batch(self, rows, generator, n_realizations=1):
        """Features, targets and precision of some rows, with fresh noise if clean.

        Noise realizations of one row follow each other and have one signal-to-noise
        ratio. A fresh phase would have no effect: alignment removes it.
        """
        rows = rows.repeat_interleave(n_realizations)
        x, precision = self.signals[rows], self.precision[rows]
        if self.snr is not None:
            snr = self._draw_snr(len(rows) // n_realizations, generator)
            snr = snr.repeat_interleave(n_realizations)[:, None]
            unit = 1.0 if self.amplitude is None else self.amplitude[rows, None]
            x = self._with_noise(x, snr / unit, generator)
            if self.levels is not None:
                precision = self._interpolated(precision, snr)
            if self.scale_precision:
                precision = precision * snr**2
        if self.axes is not None:
            x = self._seen(x)
        targets = self.targets[rows]
        if self.amplitude_column is not None:
            norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
            unit = torch.ones_like(targets)
            unit[:, self.amplitude_column, None] = norm
            targets, precision = targets / unit, precision * unit**2
        aligned = align(x, self.reference, self.amplitude_column is not None)
        return torch.hstack([aligned, self.known[rows]]), targets, precision

    @property
    def _is_centred(self):
        """Whether the reference is subtracted, because signals have no unknown factor."""
        return not self.signals.is_complex() and self.amplitude_column is None

    def _with_noise(self, x, snr, generator):
        """Add noise to clean signals; the reference is added back if the noise needs it."""
        channels = [_normal(x, generator) / snr for _ in range(self.noise.n_channels)]
        if self.axes is None and self._is_centred and self.noise.depends_on_signal:
            return self.noise.apply(x + self.reference, channels, torch) - self.reference
        x = self.noise.apply(x, channels, torch)
        if self.n_beside:
            square = _chi_square(snr, self.n_beside, generator) / snr**2
            x[:, -1:] = (x[:, -1:].abs().square() + square).sqrt().to(x.dtype)
        return x

    def _seen(self, x):
        """Return signals on the axes as `seen` of `network.arrays` does; centre them."""
        inside = x @ self.axes.conj()
        if self._is_centred:
            return inside - self.reference
        if len(self.reference) == inside.shape[1]:
            return inside
        square = x.abs().square().sum(dim=1) - inside.abs().square().sum(dim=1)
        return torch.hstack([inside, square.clamp(min=0).sqrt()[:, None].to(x.dtype)])

    def _interpolated(self, precision, snr):
        """Precision at unit noise for given ratios, between those of the levels."""
        if len(self.levels) == 1:
            return precision[:, 0]
        right = torch.searchsorted(self.levels, snr).clamp(1, len(self.levels) - 1)
        low, high = self.levels[right - 1], self.levels[right]
        below, above = (
            precision.take_along_dim(index[:, :, None], 1)[:, 0]
            for index in (right - 1, right)
        )
        return torch.lerp(below, above, (snr - low) / (high - low))

    def _draw_snr(self, n, generator):
        options = dict(generator=generator, device=self.snr.device, dtype=self.snr.dtype)
        if self.snr_is_range:
            low, high = self.snr
            return low + (high - low) * torch.rand(n, **options)
        del options["dtype"]
        return self.snr[torch.randint(len(self.snr), (n,), **options)]


def _normal(x, generator):
    """Noise of unit standard deviation in each channel."""
    options = dict(generator=generator, device=x.device, dtype=x.real.dtype)
    if x.is_complex():
        return torch.view_as_complex(torch.randn(*x.shape, 2, **options))
    return torch.randn(x.shape, **options)


def _chi_square(like, n_freedom, generator):
    """Chi-square values of many degrees of freedom.

    Their cube root is nearly normal (Wilson and Hilferty, Proc. Natl. Acad. Sci. 1931).
    """
    variance = 2 / (9 * n_freedom)
    normal = _normal(like, generator)
    return n_freedom * (1 - variance + variance**0.5 * normal) ** 3


def as_tensor(array, dtype, device):
    """Return a tensor of the given precision, complex if the array is."""
    kind = np.dtype(dtype)
    if array.dtype.kind == "c":
        kind = np.result_type(kind, np.complex64)
    # A copy: torch does not take read-only arrays.
    return torch.from_numpy(np.array(array, dtype=kind)).to(device)
