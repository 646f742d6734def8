"""From X, y and bounds to what a network is trained on."""

from dataclasses import dataclass

import numpy as np

from ..bounds import implied_snr, signal_and_bound
from ._network import TrainingSet

# Between bounds at ratios a fifth apart those of Rician noise are interpolated to 1 %.
_STEP = 1.2
_N_ROUNDS = 12


@dataclass(frozen=True)
class TrainingData:
    """How signals and targets become training sets.

    Parameters
    ----------
    known : KnownInputs
        How known values become inputs.
    offset, scale : ndarray of shape (n_outputs,)
        What is taken from targets, and what they are divided by.
    variance : ndarray of shape (n_outputs,)
        Variance that squared errors are divided by if `is_crb` is False.
    is_crb : bool
        Whether they are divided by the bound instead.
    noise_std : float
        Noise where no bound is given, for M0 = 1.
    snr : tuple of float or None
        Range of signal-to-noise ratios to draw; None takes those of the rows.
    """

    known: object
    offset: np.ndarray
    scale: np.ndarray
    variance: np.ndarray
    is_crb: bool
    noise_std: float
    snr: tuple | None

    def scaled(self, y):
        """Targets as the network sees them."""
        return (y - self.offset) / self.scale

    def measured(self, X, y, bound, known):
        """Signals as measured, with the inverse variances of their scaled targets."""
        variance = bound if self.is_crb else np.broadcast_to(self.variance, y.shape)
        known = self.known.inputs(known, len(y))
        return TrainingSet(X, self.scaled(y), self.scale**2 / variance, known)

    def clean(self, model, y, crb, known):
        """Clean signals that get fresh noise, whose bounds scale with it."""
        if model.noise == "rician":
            return self._clean_rician(model, y, crb, known)
        if not self.is_crb and crb is None:
            signals, unit = model.evaluate(y), None
        else:
            signals, unit = signal_and_bound(model, y)
        snr, unit = self._snr(crb, unit)
        variance = unit if self.is_crb else np.broadcast_to(self.variance, y.shape)
        precision = self.scale**2 / variance
        return self._drawing(model, signals, y, precision, snr, known)

    def _drawing(self, model, signals, y, precision, snr, known, levels=None):
        return TrainingSet(
            signals,
            self.scaled(y),
            precision,
            self.known.inputs(known, len(y)),
            snr,
            snr_is_range=self.snr is not None,
            scale_precision=self.is_crb,
            levels=levels,
            is_magnitude=model.is_magnitude,
        )

    def _clean_rician(self, model, y, crb, known):
        """Clean magnitudes, and a table of their bounds over signal-to-noise ratios."""
        snr = np.full(1, 1 / self.noise_std) if self.snr is None else np.array(self.snr)
        if self.snr is None and crb is not None:
            snr = self._implied_rician_snr(model, y, crb)
        signals = model.evaluate(y)
        if not self.is_crb:
            precision = np.broadcast_to(self.scale**2 / self.variance, y.shape)
            return self._drawing(model, signals, y, precision, snr, known)
        low, high = snr.min(), snr.max()
        n_levels = 1 + int(np.ceil(np.log(high / low) / np.log(_STEP)))
        levels = np.geomspace(low, high, n_levels)
        bounds = (signal_and_bound(model, y, 1 / level)[1] for level in levels)
        unit = np.stack([b * k**2 for b, k in zip(bounds, levels, strict=True)], axis=1)
        precision = self.scale**2 / unit
        if crb is not None:
            precision = np.where(np.isfinite(crb)[:, None], precision, 0.0)
        return self._drawing(model, signals, y, precision, snr, known, levels)

    def _implied_rician_snr(self, model, y, crb):
        """Signal-to-noise ratio of each row at which the model's bound agrees best.

        A bound falls with a power of the ratio between the second, as Gaussian, and the
        fourth, as in noise alone: the third root of what is missing leaves a third of it.
        """
        snr = np.full(len(y), 1 / self.noise_std)
        for _ in range(_N_ROUNDS):
            _, bound = signal_and_bound(model, y, 1 / snr)
            snr = snr * implied_snr(bound, crb, default=1.0) ** (2 / 3)
        return snr

    def _snr(self, crb, unit):
        """Signal-to-noise ratios to draw from, and the bound at unit noise.

        A given bound counts up to the noise level of its row: the ratio that makes it
        agree best with the model's own bound is that row's signal-to-noise ratio.
        """
        own = np.full(1, 1 / self.noise_std)
        if crb is not None:
            own = implied_snr(unit, crb, default=1 / self.noise_std)
            unit = crb * own[:, None] ** 2
        return (own if self.snr is None else np.array(self.snr)), unit
