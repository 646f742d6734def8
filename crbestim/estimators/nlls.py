"""Nonlinear least squares for each voxel: what other estimators are held against."""

import warnings
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from .._validation import Interval, StrOptions, fit_context
from ._base import BoundedRegressor
from ._linear import LinearCalibration
from ._voxel_fit import VoxelFits, VoxelStatus, fit_chunk

__all__ = ["NLLSRegressor", "VoxelFits", "VoxelStatus"]

_MATCH_BLOCK = 256
_DECIMALS = 12
_LARGEST_CHUNK = 256
_SERIAL_CHUNK = 256


class NLLSRegressor(BoundedRegressor):
    """Nonlinear least squares with bounds, each voxel on its own.

    Finds the parameters whose signal, times a free complex factor M0, is nearest to the
    measured one; M0 is eliminated by variable projection. A real signal has no such
    factor: a real model carries its amplitude as a parameter. White Gaussian noise makes
    this the maximum-likelihood estimator, efficient at high SNR. The search is Levenberg
    and Marquardt's with the model's Jacobian, extended by the curvature of the residual
    (Dennis, Gay and Welsch 1981, doi 10.1145/355958.355965).

    Without a model it learns a linear one from (y, X), the classical calibration of
    chemometrics, and inverts it by linear least squares, without bounds. Complex
    signals are then divided by their component along the main direction of the
    training data, so that the estimates do not depend on M0 either.

    Parameters
    ----------
    model : SignalModel, default=None
        The signal model, with finite bounds. Without it the parameters up to `tol`, and
        `n_jobs` and `verbose`, have nothing to act on.
    initial : {"dictionary", "centre"} or array-like, default="dictionary"
        Where the search starts: at the best match among the training targets, at the
        centre of the bounds, or at the best match among the rows of an array of shape
        (n_starts, n_parameters), in SI units.
    n_atoms : int, default=2000
        Most training targets in the dictionary, evenly spaced in their order.
    max_nfev : int, default=200
        Most evaluations of the model from one start.
    tol : float, default=1e-6
        Relative change of the cost, or of the parameters, at which the search stops.
    noise_std : float, default=0.01
        Noise, 1/SNR for M0 = 1, where the Cramér-Rao bound is computed, in `score` and
        ``predict(return_std=True)``.
    n_jobs : int, default=None
        Number of joblib workers. The result does not depend on it.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    start_values_ : ndarray of shape (n_starts, n_parameters)
        Start values among which each voxel finds its best match; only with a model.
    start_signals_ : ndarray of shape (n_starts, n_features)
        Their signals, of unit norm if complex; only with a model.
    linear_ : LinearCalibration
        The linear model; only without a model.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    A voxel that cannot be fitted, because its complex signal is zero everywhere or the
    model is not finite, becomes NaN and does not stop the others. Where a search ends
    at a bound of a periodic parameter, it starts once more from the other side.

    In fluid, where transverse magnetization outlives many pulses, the cost of a balanced
    sequence has local minima along `omega0`, a few rad/s apart, and the search may end
    beside the best. In tissue it finds the best.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators.nlls import NLLSRegressor
    >>> from crbestim.models import SignalModel
    >>> class Decay(SignalModel):
    ...     parameter_names = ("R2",)
    ...     bounds = np.array([[1.0, 100.0]])
    ...     def signal(self, theta):
    ...         return np.exp(-theta * np.array([0.01, 0.02, 0.03])) + 0j
    >>> y = np.array([[10.0], [40.0]])
    >>> X = 2j * Decay().signal(y)
    >>> NLLSRegressor(Decay(), initial="centre").fit(X, y).predict(X).round(4)
    array([[10.],
           [40.]])
    """

    _parameter_constraints = {
        "model": "no_validation",
        "initial": [StrOptions({"dictionary", "centre"}), "array-like"],
        "n_atoms": [Interval(Integral, 1, None, closed="left")],
        "max_nfev": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, np.finfo(float).eps, 1, closed="left")],
        "noise_std": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=None,
        *,
        initial="dictionary",
        n_atoms=2000,
        max_nfev=200,
        tol=1e-6,
        noise_std=0.01,
        n_jobs=None,
        verbose=False,
    ):
        self.model = model
        self.initial = initial
        self.n_atoms = n_atoms
        self.max_nfev = max_nfev
        self.tol = tol
        self.noise_std = noise_std
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, crb=None):
        """Simulate the start values; without a model, learn a linear one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, real or complex. With a model they are checked, not used.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Parameters, in SI units.
        crb : array-like of shape (n_samples, n_outputs), default=None
            Cramér-Rao bounds. They are checked, so that all estimators are called
            alike, but neither start values nor a linear model depend on them.

        Returns
        -------
        NLLSRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If data, model and constructor parameters do not fit together.
        """
        X, y, _ = self._check_fit(X, y, crb)
        if self.model is None:
            self.linear_ = LinearCalibration.learn(X, y)
            return self
        self._check_finite_bounds()
        low, high = self.model.bounds.T
        self.start_values_ = np.clip(self._candidates(y), low, high)
        self.start_signals_ = self._simulate(self.start_values_)
        return self

    def _candidates(self, y):
        """Return the start values that `initial` asks for."""
        if not isinstance(self.initial, str):
            return self.model.check_theta(self.initial)
        if self.initial == "centre":
            return self.model.bounds.mean(axis=1)[None]
        n_atoms = min(len(y), self.n_atoms)
        return y[np.linspace(0, len(y) - 1, n_atoms).round().astype(int)]

    def _simulate(self, theta):
        """Return signals to compare data with; zero where the model is not finite."""
        signals = np.concatenate(
            [
                self.model.evaluate(theta[first : first + _MATCH_BLOCK])
                for first in range(0, len(theta), _MATCH_BLOCK)
            ]
        )
        signals = np.where(np.isfinite(signals).all(axis=1)[:, None], signals, 0.0)
        if not self.model.is_complex:
            return signals
        norm = np.linalg.norm(signals, axis=1, keepdims=True)
        return signals / np.where(norm > 0, norm, 1.0)

    def _match(self, X):
        """Return the start values of each voxel, those of the most similar signal.

        And its factor: X over that signal, or 1 for real X.
        """
        atoms = self.start_signals_
        energy = (np.abs(atoms) ** 2).sum(axis=1)
        best, factor = np.empty(len(X), dtype=int), np.ones(len(X), dtype=X.dtype)
        for first in range(0, len(X), _MATCH_BLOCK):
            part = slice(first, first + _MATCH_BLOCK)
            products = X[part] @ atoms.conj().T
            if X.dtype.kind == "c":
                best[part] = np.abs(products).argmax(axis=1)
                factor[part] = products[np.arange(len(products)), best[part]]
            else:
                best[part] = (2 * products - energy).argmax(axis=1)
        norm = np.linalg.norm(X, axis=1)
        fallback = np.where(norm > 0, norm, 1.0)
        return self.start_values_[best], np.where(factor != 0, factor, fallback)

    def fit_voxels(self, X):
        """Fit voxels and tell how each of them went.

        Parameters
        ----------
        X : array-like of shape (n_voxels, n_features)
            Signals, complex if the model is.

        Returns
        -------
        VoxelFits
            Estimates, M0, residuals and status, one voxel a row.

        Raises
        ------
        ValueError
            If there is no model, or X does not fit it.

        Warns
        -----
        ConvergenceWarning
            If voxels reached `max_nfev`, or the model failed in some; once, with their
            numbers.
        """
        X, _ = self._check_predict(X)
        if self.model is None:
            raise ValueError(
                f"{type(self).__name__} has no model to fit to voxels; give it one, or "
                "use predict."
            )
        starts, factor = self._match(X)
        if X.dtype.kind == "c":
            # Decimals that depend on the factor alone could grow on the way, as the cost
            # is almost flat along some combinations of parameters.
            X = np.round(X / factor[:, None], _DECIMALS)
        fits = VoxelFits.concatenate(self._run(X, starts))
        self._warn(fits.status)
        return replace(fits, m0=fits.m0 * factor, cost=fits.cost * np.abs(factor) ** 2)

    def _run(self, X, starts):
        """Fit chunks of voxels, in parallel."""
        results = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(fit_chunk)(self.model, X[rows], starts[rows], self.max_nfev, self.tol)
            for rows in self._chunks(len(X))
        )
        parts = []
        with tqdm(total=len(X), desc="voxels", disable=not self.verbose) as bar:
            for part in results:
                parts.append(part)
                bar.update(len(part.theta))
        return parts

    def _chunks(self, n_voxels):
        """Return rows for each task; every task that travels sets the model up anew."""
        n_workers = effective_n_jobs(self.n_jobs)
        largest = _LARGEST_CHUNK if n_workers > 1 else _SERIAL_CHUNK
        size = min(-(-n_voxels // (2 * n_workers)), largest)
        return [slice(i, i + size) for i in range(0, n_voxels, size)]

    def _warn(self, status):
        limit = np.sum(status == VoxelStatus.ITERATION_LIMIT)
        failed = np.sum(status == VoxelStatus.FAILED)
        if limit or failed:
            warnings.warn(
                f"{limit} of {len(status)} voxels did not converge within "
                f"max_nfev={self.max_nfev} evaluations, and {failed} failed because "
                "the model was not finite; see the status that fit_voxels returns",
                ConvergenceWarning,
                stacklevel=3,
            )

    def predict(self, X, return_std=False):
        """Estimate parameters.

        Parameters
        ----------
        X : array-like of shape (n_voxels, n_features)
            Signals, real or complex.
        return_std : bool, default=False
            Whether to return standard deviations, too.

        Returns
        -------
        y : ndarray of shape (n_voxels,) or (n_voxels, n_outputs)
            Parameters, in SI units; NaN for voxels that cannot be fitted.
        std : ndarray of the same shape
            Square root of the Cramér-Rao bound at the estimate, for M0 = 1 and
            `noise_std`; only if `return_std`.

        Warns
        -----
        ConvergenceWarning
            If voxels did not converge; once, with their number.
        """
        if self.model is None:
            X, _ = self._check_predict(X)
            y = self.linear_.invert(X)
        else:
            y = self.fit_voxels(X).theta
        if not return_std:
            return self._shape_like_targets(y)
        if self.model is None:
            std = np.where(np.isnan(y), np.nan, np.sqrt(self.linear_.crb(self.noise_std)))
        else:
            std = self._predicted_std(y)
        return self._shape_like_targets(y), self._shape_like_targets(std)
