"""Losses: squared errors in units of a variance, averaged over entries that count.

A loss is called with deviations: errors over their standard deviation. It returns a sum, so
that the parts of a batch add up to the whole, and in `count` what to divide the sum by.
Only methods of tensors are called, so this file does not import torch.
"""

import math
from dataclasses import dataclass, field, fields

from .._options import check_number
from .._validation import check_count

__all__ = ["BiasReducedLoss", "CRBLoss", "Loss", "MSELoss", "make_loss"]

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
    wraps = periods.isfinite()
    finite = periods.where(wraps, 1.0)
    return (error - finite * (error / finite).round()).where(wraps, error)


def huber(deviations, threshold):
    """Squares, continued linearly beyond a threshold (Huber, Ann. Math. Stat. 1964).

    Parameters
    ----------
    deviations : Tensor
        Errors in units of their standard deviation.
    threshold : float or None
        Where they begin to count linearly, with the slope that squares have there; None
        for squares throughout.

    Returns
    -------
    Tensor of the same shape
        ``d^2`` up to the threshold t, then ``2 t |d| - t^2``.
    """
    size = deviations.abs()
    within = size.clamp(max=math.inf if threshold is None else threshold)
    return within * (2 * size - within)


class Loss:
    """What a network minimizes.

    A subclass defines `total`. One that users choose by name, with an entry in `LOSSES`, is
    a frozen dataclass, whose fields are set from the parameters of
    :class:`~crbestim.CRBRegressor` of the same name; an object is used as it is, whatever
    these parameters are.

    Attributes
    ----------
    uses_bound : bool
        Whether squared errors are divided by the Cramér-Rao bound, rather than by the
        variance of the targets.
    n_realizations : int
        Noise realizations of each fingerprint in a batch. More than one needs a model.

    Examples
    --------
    A loss of your own, in which all errors count linearly.

    >>> from crbestim import CRBRegressor
    >>> from crbestim.network.losses import Loss
    >>> class AbsoluteErrors(Loss):
    ...     def total(self, deviations, weights):
    ...         return (weights * deviations.abs()).sum()
    >>> reg = CRBRegressor(loss=AbsoluteErrors())
    """

    uses_bound = True
    n_realizations = 1

    def total(self, deviations, weights):
        """Return the sum over samples and parameters.

        Parameters
        ----------
        deviations : Tensor of shape (n_samples, n_outputs)
            Errors over their standard deviation; 0 for entries that do not count. The
            realizations of a fingerprint follow each other.
        weights : Tensor of shape (n_outputs,) or (n_samples, n_outputs)
            Weight of each parameter; if samples have weights, times those.

        Returns
        -------
        Tensor
            One number.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks total; define it.")

    def count(self, precision, weights):
        """Return what to divide the sum by, a Tensor: the weight of entries that count."""
        return (weights * (precision > 0)).sum()


def _check_threshold(threshold):
    if threshold is not None:
        check_number(threshold, "huber_threshold", "a number above 0, or None", above=0)


@dataclass(frozen=True)
class CRBLoss(Loss):
    """Squared errors over the Cramér-Rao bound (Zhang et al., doi 10.1002/mrm.29206).

    Parameters
    ----------
    huber_threshold : float or None
        Where errors begin to count linearly, in standard deviations.
    """

    huber_threshold: float | None = None

    def __post_init__(self):
        """Check the threshold."""
        _check_threshold(self.huber_threshold)

    def total(self, deviations, weights):
        """Return the sum over samples and parameters; see :meth:`Loss.total`."""
        return (weights * huber(deviations, self.huber_threshold)).sum()


@dataclass(frozen=True)
class MSELoss(Loss):
    """Squared errors over the variance of each target."""

    uses_bound = False

    def total(self, deviations, weights):
        """Return the sum over samples and parameters; see :meth:`Loss.total`."""
        return (weights * deviations.square()).sum()


@dataclass(frozen=True)
class BiasReducedLoss(Loss):
    """Squared bias and excess variance over several noise realizations.

    The sum of ``bias^2/CRB + variance_weight * max(variance/CRB - variance_limit, 0)``
    (Mao et al., arXiv 2312.11468). The squared mean error over n noise realizations exceeds
    the squared bias by the variance over n; that part is subtracted, unless the mean is
    beyond the threshold and counts linearly. The excess is that of the sample variance.

    Parameters
    ----------
    huber_threshold : float or None
        Where errors begin to count linearly, in standard deviations.
    n_realizations : int
        Noise realizations per fingerprint, at least two.
    variance_weight : float
        Weight of the excess variance.
    variance_limit : float
        Ratio of variance to bound above which it counts.
    """

    huber_threshold: float | None
    n_realizations: int = field()
    variance_weight: float
    variance_limit: float

    def __post_init__(self):
        """Check the settings."""
        _check_threshold(self.huber_threshold)
        check_count(self.n_realizations, "n_realizations", least=2)
        for name in ("variance_weight", "variance_limit"):
            check_number(getattr(self, name), name, "a number, 0 or more", least=0)

    def total(self, deviations, weights):
        """Return the sum over rows and parameters; see :meth:`Loss.total`."""
        groups = deviations.unflatten(0, (-1, self.n_realizations))
        mean = groups.mean(dim=1)
        # The square root of zero variance would have no gradient.
        spread = groups.var(dim=1).clamp(min=_TINY).sqrt()
        threshold = self.huber_threshold
        variance = huber(spread, threshold)
        is_square = mean.abs() <= (math.inf if threshold is None else threshold)
        bias = huber(mean, threshold) - variance / self.n_realizations * is_square
        limit = huber(spread.new_tensor(self.variance_limit).sqrt(), threshold)
        excess = (variance - limit).clamp(min=0)
        if weights.ndim == 2:
            weights = weights[:: self.n_realizations]
        losses = bias + self.variance_weight * excess
        return self.n_realizations * (weights * losses).sum()


LOSSES = {"crb": CRBLoss, "mse": MSELoss, "bias-reduced": BiasReducedLoss}
"""Losses by name. A new one is a class above and an entry here."""


def make_loss(loss, settings):
    """Return a loss.

    Parameters
    ----------
    loss : str or Loss
        Name of a loss; an object is returned as it is.
    settings : dict
        Parameters by name, of which a loss takes those that are its fields; other fields
        keep their defaults.

    Returns
    -------
    Loss
        The loss.

    Examples
    --------
    >>> from crbestim.network.losses import make_loss
    >>> make_loss("crb", {"huber_threshold": 2.0, "alpha": 1e-4})
    CRBLoss(huber_threshold=2.0)
    """
    if isinstance(loss, Loss):
        return loss
    kind = LOSSES[loss]
    names = (field.name for field in fields(kind))
    return kind(**{name: settings[name] for name in names if name in settings})
