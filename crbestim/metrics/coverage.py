"""Coverage of confidence intervals."""

import numpy as np

from .._arrays import as_reals
from .._options import check_flag
from .._warnings import ignored
from ..exceptions import AtBoundWarning, LowSignalWarning
from .realizations import Realizations, check_estimator


def interval_coverage(
    estimator,
    model,
    theta,
    snr,
    levels=(0.68, 0.95),
    n_realizations=4,
    *,
    sigma_known=True,
    random_state=None,
):
    """Share of confidence intervals that hold the truth, over repeated noise.

    Parameters
    ----------
    estimator : object
        Fitted estimator with ``interval``.
    model : SignalModel
        Model that simulates the signals; one with known parameters holds their values,
        ``model.given("B1").at(known)``.
    theta : array-like of shape (n_samples, n_parameters)
        Parameters, in SI units.
    snr : float
        Signal-to-noise ratio abs(M0)/sigma.
    levels : array-like of shape (n_levels,), default=(0.68, 0.95)
        Shares of intervals that should hold the truth, between 0 and 1.
    n_realizations : int, default=4
        Noise realizations per parameter set, at least two.
    sigma_known : bool, default=True
        Whether the estimator is given the noise, or has to estimate it.
    random_state : int, RandomState instance or None, default=None
        Seed of noise and phase.

    Returns
    -------
    coverage : ndarray of shape (n_levels, n_parameters)
        Shares of intervals that hold the truth, modulo the period of a parameter. Intervals
        that are not finite are left out; NaN where none is left.
    n_intervals : ndarray of shape (n_parameters,)
        Number of intervals that count.

    Raises
    ------
    TypeError
        If the estimator has no ``interval``.
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim import NLLSRegressor
    >>> from crbestim.metrics import interval_coverage
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.03, 0.06, 0.1])
    >>> theta = np.full((300, 1), 0.08)
    >>> fit = NLLSRegressor(model).fit(model.signal(theta))
    >>> coverage, n = interval_coverage(fit, model, theta, snr=100, random_state=0)
    >>> bool(abs(coverage[1, 0] - 0.95) < 0.03), n.tolist()
    (True, [1200])
    """
    check_estimator(estimator, "estimator")
    if not callable(getattr(estimator, "interval", None)):
        raise TypeError(
            f"estimator is {estimator!r}, which has no interval; give a fitted "
            "NLLSRegressor, OneStepRegressor or CRBRegressor."
        )
    levels = as_reals(levels, "levels")
    if levels.ndim != 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"levels = {levels}; give shares between 0 and 1, (n_levels,).")
    noisy = Realizations(model, theta, snr, n_realizations, random_state)
    known_sigma = check_flag("sigma_known", sigma_known)
    given = noisy.given(len(noisy.theta)) | ({"sigma": noisy.sigma} if known_sigma else {})
    hits, counts = 0, 0
    for X in noisy:
        with ignored(AtBoundWarning, LowSignalWarning):
            ends = [estimator.interval(X, float(level), **given) for level in levels]
        low, high = (
            np.array(ends).swapaxes(0, 1).reshape(2, len(levels), *noisy.theta.shape)
        )
        away = np.abs(noisy.errors((low + high) / 2))
        hits = hits + (away <= (high - low) / 2).sum(axis=1)
        counts = counts + (np.isfinite(low) & np.isfinite(high)).all(axis=0).sum(axis=0)
    return np.where(counts > 0, hits / np.maximum(counts, 1), np.nan), counts
