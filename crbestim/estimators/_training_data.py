"""From X, y and bounds to what a network is trained on."""

from dataclasses import dataclass

import numpy as np

from ..bounds import implied_snr, signal_and_bound
from ._network import TrainingSet


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
        if not self.is_crb and crb is None:
            signals, unit = model.evaluate(y), None
        else:
            signals, unit = signal_and_bound(model, y)
        snr, unit = self._snr(crb, unit)
        variance = unit if self.is_crb else np.broadcast_to(self.variance, y.shape)
        precision = self.scale**2 / variance
        return TrainingSet(
            signals,
            self.scaled(y),
            precision,
            self.known.inputs(known, len(y)),
            snr,
            snr_is_range=self.snr is not None,
            scale_precision=self.is_crb,
        )

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
