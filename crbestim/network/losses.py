"""Losses: squared errors in units of a variance, averaged over what is determined.

An objective is called with predictions, targets and precisions of noisy fingerprints. It
returns a sum of losses, so that parts of a batch add up to the whole, and counts what the
sum is to be divided by.
"""

import math
from dataclasses import dataclass

import torch

_TINY = 1e-12


def wrapped_errors(prediction, target, periods):
    """Errors, modulo the period of periodic parameters.

    Parameters
    ----------
    prediction, target : Tensor of shape (n_samples, n_outputs)
        Estimate and truth, in the same units.
    periods : Tensor of shape (n_outputs,)
        Periods in those units; infinite where there is none.

    Returns
    -------
    Tensor of shape (n_samples, n_outputs)
        ``prediction - target`` between minus and plus half a period.
    """
    error = prediction - target
    # error / inf rounds to zero, but inf times zero is NaN: leave these columns alone.
    wraps = torch.isfinite(periods)
    finite = torch.where(wraps, periods, torch.ones_like(periods))
    return torch.where(wraps, error - finite * torch.round(error / finite), error)


def huber(deviations, threshold):
    """Squares, continued linearly beyond a threshold (Huber, Ann. Math. Stat. 1964).

    Parameters
    ----------
    deviations : Tensor
        Errors in units of their standard deviation.
    threshold : float
        Where they begin to count linearly, with the slope that squares have there.

    Returns
    -------
    Tensor of the same shape
        ``d^2`` up to the threshold t, then ``2 t |d| - t^2``.
    """
    size = deviations.abs()
    within = size.clamp(max=threshold)
    return within * (2 * size - within)


@dataclass(frozen=True)
class SquaredErrors:
    """Sum of error^2 * precision, weighted by parameter.

    With precision 1/CRB it is the CRB loss (Zhang et al., MRM 2022, doi
    10.1002/mrm.29206), with the inverse variance of each target the mean squared error
    of standardized targets. A precision of zero leaves an entry out.

    Parameters
    ----------
    periods : Tensor of shape (n_outputs,)
        Periods in units of the targets; infinite where there is none.
    weights : Tensor of shape (n_outputs,)
        Weight of each parameter.
    threshold : float, default=inf
        Where errors begin to count linearly, in standard deviations.
    """

    periods: torch.Tensor
    weights: torch.Tensor
    threshold: float = math.inf
    n_realizations: int = 1

    def __call__(self, prediction, target, precision):
        """Return the sum over samples and parameters."""
        errors = wrapped_errors(prediction, target, self.periods)
        return (self.weights * huber(errors * precision.sqrt(), self.threshold)).sum()

    def count(self, precision):
        """Return what to divide the sum by: the weight of all entries that count."""
        return (self.weights * (precision > 0)).sum()


@dataclass(frozen=True)
class BiasReduced(SquaredErrors):
    """Squared bias and excess variance over several noise realizations.

    The sum of ``bias^2/CRB + variance_weight * max(variance/CRB - variance_limit, 0)``
    (Mao et al., arXiv 2312.11468). Rows come in groups of `n_realizations`, each of one
    fingerprint. The squared mean error over n noise realizations has the variance over n
    on top of the bias; that part is subtracted, where the mean is not beyond the
    threshold and counts linearly. The excess is that of the sample variance.

    Parameters
    ----------
    n_realizations : int
        Noise realizations per fingerprint, at least two.
    variance_weight : float
        Weight of the excess variance.
    variance_limit : float
        Ratio of variance to bound from which it counts.
    """

    variance_weight: float = 1.0
    variance_limit: float = 1.0

    def __call__(self, prediction, target, precision):
        """Return the sum over rows and parameters."""
        errors = wrapped_errors(prediction, target, self.periods) * precision.sqrt()
        groups = errors.unflatten(0, (-1, self.n_realizations))
        mean = groups.mean(dim=1)
        # The square root of a variance of zero would have no gradient.
        spread = groups.var(dim=1).clamp(min=_TINY).sqrt()
        variance = huber(spread, self.threshold)
        noise = variance / self.n_realizations * (mean.abs() <= self.threshold)
        bias = huber(mean, self.threshold) - noise
        limit = huber(spread.new_tensor(self.variance_limit).sqrt(), self.threshold)
        excess = (variance - limit).clamp(min=0)
        losses = bias + self.variance_weight * excess
        return self.n_realizations * (self.weights * losses).sum()
