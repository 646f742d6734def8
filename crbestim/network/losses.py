"""The loss: squared errors in units of a variance, averaged over what is determined."""

import math

import torch


def scaled_errors(prediction, target, periods):
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


def weighted_loss(prediction, target, precision, periods, threshold=math.inf):
    """Mean of error^2 * precision over entries whose precision is not zero.

    With precision 1/CRB it is the CRB loss (Zhang et al., MRM 2022, doi
    10.1002/mrm.29206), with the inverse variance of each target the mean squared error
    of standardized targets. Errors beyond a threshold count linearly, with the slope
    that they have there (Huber, Ann. Math. Stat. 1964). Training and validation share
    it.

    Parameters
    ----------
    prediction, target : Tensor of shape (n_samples, n_outputs)
        Estimate and truth, in the same units.
    precision : Tensor of shape (n_samples, n_outputs)
        Inverse variances; zero for parameters that the data do not determine.
    periods : Tensor of shape (n_outputs,)
        Periods in those units; infinite where there is none.
    threshold : float, default=inf
        Where errors begin to count linearly, in standard deviations 1/sqrt(precision).

    Returns
    -------
    Tensor of shape ()
        The loss.
    """
    deviations = scaled_errors(prediction, target, periods).abs() * precision.sqrt()
    within = deviations.clamp(max=threshold)
    losses = within * (2 * deviations - within)
    return losses.sum() / (precision > 0).sum().clamp(min=1)
