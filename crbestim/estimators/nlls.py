"""Nonlinear least squares for each voxel: the reference for other estimators."""

from numbers import Integral, Real

import numpy as np
from joblib import delayed
from sklearn.exceptions import ConvergenceWarning

from .._measurements import Measurements
from .._parallel import in_parallel
from .._progress import with_progress
from .._validation import JOBS, HasMethods, Interval, StrOptions, fit_context
from .._warnings import ignored, told_to_caller, warn
from ..least_squares.box import amplitude_limits, resolve_bounds, search_box
from ..least_squares.compiled_likelihood import has_compiled_likelihood
from ..least_squares.compiled_search import has_compiled_search
from ..least_squares.determined import check_determined
from ..least_squares.driver import (
    VoxelFits,
    VoxelFitter,
    VoxelStatus,
    chunks,
)
from ..least_squares.prior import resolve_prior
from ..least_squares.robust import WEIGHTS, RobustFitter
from ..models.base import without_amplitude
from ..noise import likelihood_of
from ._base import BoundedRegressor, rows_of, undone_by_errors
from ._intervals import IntervalMixin
from ._linear_calibration import LinearCalibration, joined
from ._reports import (
    ROUGH,
    warn_at_bounds,
    warn_of_low_magnitudes,
    warn_of_noise,
    warn_of_sigma,
)
from ._start_values import StartValues, most_atoms, values_or_spread

__all__ = ["NLLSRegressor", "VoxelFits", "VoxelStatus"]

# Number of stalled voxels where the Jacobian is checked, and the error that is told.
_N_CHECKED, _JACOBIAN_ERROR = 16, 1e-4


class NLLSRegressor(IntervalMixin, BoundedRegressor):
    """Nonlinear least squares with bounds, each voxel on its own.

    Finds the parameters whose signal, times a free complex factor M0, is nearest to the
    measured one; M0 is eliminated by variable projection. So is the amplitude of a real
    model, which may have any scale, inside its bounds if there are any. White Gaussian
    noise makes this the maximum-likelihood estimator, efficient at high SNR; for Rician
    noise that estimator takes its place. The search is
    Levenberg and Marquardt's with the model's Jacobian, extended by the curvature of the
    residual (Dennis, Gay and Welsch 1981, doi 10.1145/355958.355965).

    Without a model it learns a linear one from (y, X), the classical calibration of
    chemometrics, and inverts it by linear least squares, without bounds. Complex
    signals are then divided by their component along a direction to which none of the
    training data are orthogonal, so that the estimates do not depend on M0 either.

    Parameters
    ----------
    model : SignalModel, default=None
        The signal model. Without it the parameters up to `prior`, and `n_jobs` and
        `verbose`, have no effect.
    initial : {"dictionary", "centre"}, array-like or estimator, default="dictionary"
        Where searches start: between the best matches among the training targets (see
        :class:`DictionaryRegressor`; up to 20 are interpolated), or among values that cover
        the bounds where the targets match poorly, leaving more than twice as much; at the
        centre of the bounds; at the best matches among the rows of an array of shape (n,
        n_parameters), in SI units; or at what an estimator predicts. The estimator is
        cloned and fitted to the same data; in scikit-learn's ``FrozenEstimator`` it stays
        as it is. A search from matches that ends with more residual than the best of all
        matches has begins anew there.
    bounds : dict or array-like of shape (n_parameters, 2), default=None
        Limits of the search, for some parameters by name or for all; by default the
        model's.
    n_starts : int, default=1
        Number of starts per voxel: after the first, the best matches themselves. The
        lowest of their minima counts.
    n_atoms : int or "auto", default="auto"
        Maximum number of training targets to match with, evenly spaced in their order, and
        of values that cover the bounds, which are 4096 at most; "auto" is 20,000, or fewer
        for long signals, with five million samples in all.
    max_iter : int, default=200
        Maximum number of steps that a search tries. Voxels that reach it are reported in a
        warning and in the status that `fit_voxels` returns.
    tol : float, default=1e-6
        A search ends when the predicted minimum is lower by less than this fraction of
        the cost, or when a step is shorter than this fraction of the parameters. With n
        more real numbers than unknowns, the estimate is then about ``sqrt(n * tol)``
        standard deviations from the minimum.
    prior : {None, "gaussian"} or (mean, covariance), default=None
        Normal prior of the parameters: none, that of the training targets (without any, of
        values that cover the bounds), or given, in SI units; an amplitude and parameters
        with a period have none. By default there is none, so that the fit is the
        maximum-likelihood estimator, to which the Cramér-Rao bound applies, and does not
        depend on the distribution of the training data. Where the data say little about a
        parameter, it then ends at a bound.
    loss : {"linear", "soft_l1", "huber", "cauchy", "arctan"}, default="linear"
        Loss of squared residuals, as SciPy's ``least_squares`` names them: all but the
        first count samples far from the model less, such as an echo spoiled by motion.
        Covariances and standard deviations are then NaN. Not with a prior, nor with noise
        that is fitted by its likelihood, nor without a model.
    f_scale : float, default=1.0
        Residual from which a robust loss counts samples less, in units of sigma, which is
        that of the median absolute residual of a voxel if it is not given.
    nan_policy : {"propagate", "omit", "raise"}, default="propagate"
        What a sample that is not finite does: its voxel is NaN, or is fitted to its other
        samples, if these are at least as many real numbers as there are unknowns, or
        `predict` refuses it.
    noise_std : float, default=0.01
        Noise, 1/SNR for M0 = 1, of the Cramér-Rao bound in `score`; without a model, of
        the signals too, for standard deviations.
    n_jobs : int, default=None
        Number of joblib workers; where a compiled loop searches, they are threads of this
        process, unless a backend is chosen. The result does not depend on it.
    verbose : bool, default=False
        Whether to show progress bars: of atoms that `fit` simulates, and of voxels that
        are matched and fitted.

    Attributes
    ----------
    start_values_ : ndarray of shape (n, n_parameters)
        Values among which best matches are found; only with a model, and unless an
        estimator is the only start.
    bounds_ : ndarray of shape (n_parameters, 2)
        Limits of the search; only with a model.
    prior_ : GaussianPrior or None
        The prior; only with a model.
    linear_ : LinearCalibration
        The linear model; only without a model.
    n_iter_ : int
        Always 1: ``predict`` iterates, see `fit_voxels`.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    A voxel that cannot be fitted becomes NaN and does not stop the others: one whose signal
    or model is not finite, whose complex signal is zero throughout, or whose magnitudes are
    nowhere positive. Searches cross the bounds of a parameter if these span its period.

    If the noise of a real model is Rician, or of your own with a ``log_likelihood``, the
    likelihood takes the place of squares: a search is Fisher scoring, with the information
    of the noise model, and the amplitude is one more variable. If most samples are floor,
    it also looks for higher maxima all over the bounds. Gaussian noise is only a good
    approximation for magnitudes above about five times the noise: below, their mean is
    above the signal, and estimates are biased, of which a warning tells.

    In fluid, where transverse magnetization outlives many pulses, the cost of a balanced
    sequence has local minima along `omega0`, a few rad/s apart, and along B1. Where the
    signal bends along a parameter of a model that has a period, searches therefore begin
    anew at the lowest of 41 values around, 1/1024 of the period or of the bounds apart,
    the other parameters following to first order. Lower minima further away are missed;
    more starts help. In tissue a few searches in a thousand miss the lowest.

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
        "initial": [
            StrOptions({"dictionary", "centre"}),
            "array-like",
            HasMethods(["fit", "predict"]),
        ],
        "bounds": [None, dict, "array-like"],
        "n_starts": [Interval(Integral, 1, None, closed="left")],
        "n_atoms": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, np.finfo(float).eps, 1, closed="left")],
        "prior": [None, StrOptions({"gaussian"}), tuple, list],
        "loss": [StrOptions({"linear", *WEIGHTS})],
        "f_scale": [Interval(Real, 0, None, closed="neither")],
        "nan_policy": [StrOptions({"propagate", "omit", "raise"})],
        "noise_std": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": JOBS,
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=None,
        *,
        initial="dictionary",
        bounds=None,
        n_starts=1,
        n_atoms="auto",
        max_iter=200,
        tol=1e-6,
        prior=None,
        loss="linear",
        f_scale=1.0,
        nan_policy="propagate",
        noise_std=0.01,
        n_jobs=None,
        verbose=False,
    ):
        self.model = model
        self.initial = initial
        self.bounds = bounds
        self.n_starts = n_starts
        self.n_atoms = n_atoms
        self.max_iter = max_iter
        self.tol = tol
        self.prior = prior
        self.loss = loss
        self.f_scale = f_scale
        self.nan_policy = nan_policy
        self.noise_std = noise_std
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, crb=None, known=None):
        """Prepare the starts; without a model, learn a linear one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, real or complex. With a model they are checked, and used only to fit
            an estimator given as `initial`; the images to be mapped will do.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Parameters, in SI units. Without them, which needs a model, searches start from
            its distribution in the brain, if it has one, and from all over the bounds.
        crb : array-like of shape (n_samples, n_outputs), default=None
            Cramér-Rao bounds, for an estimator given as `initial`.
        known : array-like of shape (n_samples, n_known), default=None
            Values of the parameters that the model is given, in SI units; without a model
            anything else known about the samples.

        Returns
        -------
        NLLSRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If data, model and constructor parameters do not fit together, or the signal
            does not determine the parameters.
        MissingJacobianError
            If the model has no derivatives.
        """
        with undone_by_errors(self):
            self._learn(X, y, crb, known)
        return self

    def _learn(self, X, y, crb, known):
        """Do what `fit` does; an error leaves the estimator half fitted."""
        X, y, crb, known = self._check_fit(X, y, crb, known, needs_y=self.model is None)
        self.n_iter_ = 1
        self._check_loss()
        warn_of_noise(self.model)
        if self.model is None:
            if self.nan_policy == "omit":
                raise ValueError(
                    "nan_policy='omit' fits the samples that there are, and a linear model "
                    "that is learned from y needs all; give a model, or another nan_policy."
                )
            self.linear_ = LinearCalibration.learn(X, joined(y, known))
            return
        self.model.require_jacobian(type(self).__name__)
        self.bounds_ = resolve_bounds(self.model, self.bounds)
        values, known_of_values = values_or_spread(self.model, self._box, y, known)
        self.prior_ = resolve_prior(self.prior, self.model, values, self.bounds_)
        self._starts = StartValues.learn(
            self.initial,
            self.model,
            self._box,
            n_starts=self.n_starts,
            n_atoms=self._most_atoms(),
            interpolates=self._interpolates(known),
            data=(X, None if y is None else self._shape_like_targets(y), crb, known),
            verbose=self.verbose,
        )
        if self._starts.candidates:
            values, known_of_values = self._starts.values()
            self.start_values_ = values
        values = self._box.inside(without_amplitude(values, self.model._amplitude_column))
        model, has_prior = self._model_at(known_of_values), self.prior_ is not None
        check_determined(model, values, type(self).__name__, has_prior=has_prior)

    def _interpolates(self, known):
        """Whether a start between matches is worth its time.

        Thousands of values of a single parameter are so dense that the best match lies
        beside the lowest minimum, and few steps are left to a compiled search.
        """
        options = self._model_at(known), self.prior_
        is_compiled = has_compiled_search(*options) or has_compiled_likelihood(*options)
        return not (is_compiled and len(self._box.low) == 1)

    def _check_loss(self):
        """Refuse a robust loss where it has no meaning."""
        if self.loss == "linear":
            return
        what = None
        if self.model is None:
            what = "a linear model, which is inverted in one step: give a model"
        elif self.prior is not None:
            what = "a prior, which has no weight beside it: give prior=None"
        elif likelihood_of(self.model) is not None:
            what = "noise that is fitted by its likelihood: give a model of Gaussian noise"
        if what is not None:
            raise ValueError(
                f"loss={self.loss!r} does not go with {what}, or loss='linear'."
            )

    def _most_atoms(self):
        is_auto = self.n_atoms == "auto"
        return most_atoms(self.n_features_in_) if is_auto else self.n_atoms

    @property
    def _box(self):
        return search_box(self.model, self.bounds_)

    def fit_voxels(self, X, *, sigma=None, known=None):
        """Fit voxels, and report how each fit ended.

        Parameters
        ----------
        X : array-like of shape (n_voxels, n_features)
            Signals, complex if the model is.
        sigma : float or array-like, default=None
            Noise of X per channel: a number, one a voxel, (n_voxels,), or one a sample,
            (n_voxels, n_features) or (1, n_features), infinite where a sample does not
            count. It weighs samples, a prior and, of Rician noise, the likelihood. By
            default each voxel's is estimated, from what the model leaves unexplained or as
            one more unknown of its likelihood; if a signal has no more real numbers than
            unknowns, covariances are NaN, a prior only fills what the data leave open, and
            Rician noise is taken as Gaussian.
        known : array-like of shape (n_voxels, n_known), default=None
            Values of the parameters that the model is given, as in `fit`. Voxels where they
            are NaN or outside their domain cannot be estimated.

        Returns
        -------
        VoxelFits
            Estimates, M0, residuals, covariances and status, one voxel a row.

        Raises
        ------
        ValueError
            If there is no model, or X does not fit it.

        Warns
        -----
        ConvergenceWarning
            If voxels reached `max_iter`, or stalled, or the model failed in some; once,
            with counts.
        UserWarning
            If a signal has too few numbers to estimate the noise from, sigma is not given,
            and standard deviations or a prior need it.
        """
        # It has the residuals, which tell how rough they are.
        with ignored(UserWarning, pattern=ROUGH):
            return self._fit_voxels(X, sigma, known, wants_covariance=True)

    def _fit_voxels(self, X, sigma, known, wants_covariance):
        """Fit all voxels that can be fitted, and warn of those that did not converge."""
        with told_to_caller(3):
            X, known, usable = self._check_predict(X, known, sigma, wants_covariance)
        self._check_has_model("fit_voxels")
        data, usable = self._measure(X, usable, sigma)
        # A robust loss has no standard deviations.
        wants_std = wants_covariance and self.loss == "linear"
        self._warn_of_no_noise(data, wants_std=wants_std, stacklevel=4)
        is_empty = np.isfinite(X).all(axis=1) & ~self._has_signal(X)
        fits = VoxelFits.without_estimate(
            np.where(is_empty, VoxelStatus.EMPTY, VoxelStatus.INVALID),
            self.model.n_parameters,
            wants_covariance,
        )
        if usable.any():
            some = rows_of(known, usable)
            fitter = VoxelFitter(
                self._model_at(some),
                self._box,
                self.max_iter,
                self.tol,
                self.prior_,
                wants_covariance,
                amplitude_limits(self.model, self.bounds_),
            )
            if self.loss != "linear":
                fitter = RobustFitter(fitter, self.loss, self.f_scale)
            self._run(fitter, data, some, fits, np.flatnonzero(usable))
        self._warn(fits, known)
        if usable.any():
            if self.loss == "linear":
                warn_of_sigma(self._model_at(some), data, fits.theta[usable])
            # What a bound leaves of squares is no noise: sigma then follows from the rest.
            if likelihood_of(self.model) is not None or self.loss != "linear":
                data = Measurements(data.X, fits.sigma[usable], data.weights)
            report = self._model_at(some), data, fits.theta[usable]
            at_bound = fits.at_bound & (fits.status == VoxelStatus.CONVERGED)[:, None]
            warn_at_bounds(*report, at_bound[usable], self.bounds_)
            warn_of_low_magnitudes(*report, at_bound[usable])
        return fits

    def _run(self, fitter, data, known, fits, numbers):
        """Fit chunks of voxels, in parallel, and write them where their numbers say."""
        # Threads need no copies, but mostly wait where Python does the work.
        n_threads = self.n_jobs if fitter.is_compiled else None
        starts, spare = self._starts.find(data, known, self.verbose, n_threads)
        parts = chunks(len(data), self.n_jobs, fitter.largest_chunk)
        tasks = (
            delayed(fitter.of(rows).fit)(data[rows], starts[:, rows], rows_of(spare, rows))
            for rows in parts
        )
        options = {"prefer": "threads"} if fitter.is_compiled else {}
        found = in_parallel(tasks, self.n_jobs, **options)
        sizes = [len(data.X[c]) for c in parts]
        found = with_progress(found, sizes, "voxels", self.verbose)
        try:
            for rows, part in zip(parts, found, strict=True):
                fits.put(numbers[rows], part)
        except BaseException as error:
            error.fits = fits
            error.add_note(
                "Its attribute `fits` holds the voxels fitted before; others are NaN."
            )
            raise

    def _advice_where(self, fits, known):
        """Return what helps where searches stalled, after a check of the Jacobian there."""
        rows = np.flatnonzero(fits.status == VoxelStatus.STALLED)[:_N_CHECKED]
        error = 0.0
        if rows.size:
            model = self._model_at(rows_of(known, rows))
            error = jacobian_error_of(model, fits.theta[rows])
        if error > _JACOBIAN_ERROR:
            return f"the Jacobian is off by {error:.1g} there, see model.jacobian_error"
        return "the best so far is kept; raise n_starts to search from more places"

    def _warn(self, fits, known):
        status, n = fits.status, len(fits.status)
        reasons = {
            VoxelStatus.ITERATION_LIMIT: f"of {n} did not converge within "
            f"max_iter={self.max_iter} steps (raise it)",
            VoxelStatus.STALLED: "stalled because no step lowered the cost "
            f"({self._advice_where(fits, known)})",
            VoxelStatus.FAILED: "failed because the signal or a derivative of the "
            "model was not finite (narrow the bounds to where they are)",
        }
        counts = {text: np.sum(status == code) for code, text in reasons.items()}
        found = [f"{count} {text}" for text, count in counts.items() if count]
        if found:
            warn(
                f"among {n} voxels, {', and '.join(found)}; see the status that "
                "fit_voxels returns",
                ConvergenceWarning,
                stacklevel=4,
            )

    def predict(self, X, return_std=False, *, sigma=None, known=None):
        """Estimate parameters.

        Parameters
        ----------
        X : array-like of shape (n_voxels, n_features)
            Signals, real or complex.
        return_std : bool, default=False
            Whether to return standard deviations, too.
        sigma : float or array-like, default=None
            Noise of X per channel, or estimated, as in `fit_voxels`. Without a model the
            noise is `noise_std`.
        known : array-like of shape (n_voxels, n_known), default=None
            Values of the parameters that the model is given, as in `fit`. Voxels where they
            are NaN or outside their domain cannot be estimated.

        Returns
        -------
        y : ndarray of shape (n_voxels,) or (n_voxels, n_outputs)
            Parameters, in SI units; NaN for voxels that cannot be fitted.
        std : ndarray of the same shape
            Standard deviations that the Cramér-Rao bound predicts at the estimate, for the
            M0 and the noise of each voxel; with a prior, those of the linearized
            posterior; NaN if nothing shows the noise. Only if `return_std`.

        Raises
        ------
        ValueError
            If X or `sigma` does not fit, or X has samples that are not finite and
            nan_policy="raise".

        Warns
        -----
        ConvergenceWarning
            If voxels did not converge; once, with counts.
        AtBoundWarning
            If estimates end at a bound although their standard deviation, below a quarter
            of its range, shows that the data determine the parameter; or if most do.
        NoiseLevelWarning
            If what the model leaves of most voxels is not within a factor of 4 of `sigma`.
        LowSignalWarning
            If magnitudes are so low that the Gaussian noise of the model biases estimates.
        UserWarning
            If a signal has too few numbers to estimate the noise from, or fewer than 5 more
            than unknowns, sigma is not given, and standard deviations or a prior need it;
            or if X is magnitudes and the signals of the model change their sign.
        """
        if self.model is None:
            y, std = self._invert_linear(X, known, return_std)
        else:
            fits = self._fit_voxels(X, sigma, known, wants_covariance=return_std)
            y = fits.theta
            if return_std:
                std = np.sqrt(np.einsum("nii->ni", fits.covariance))
        if not return_std:
            return self._shape_like_targets(y)
        return self._shape_like_targets(y), self._shape_like_targets(std)

    def _invert_linear(self, X, known, return_std):
        """Estimates of the linear model, and their standard deviations."""
        X, known, usable = self._check_predict(X, known, return_std=return_std)
        y = np.full((len(X), self.n_outputs_), np.nan)
        if usable.any():
            y[usable] = self.linear_.invert(X[usable], rows_of(known, usable))
        std = np.sqrt(self.linear_.crb(self.noise_std, self.n_known_))
        return y, np.where(np.isnan(y), np.nan, std)


def jacobian_error_of(model, theta):
    """Return the largest error of a Jacobian that kinks of the signal do not explain.

    It is infinite where differences fail.
    """
    try:
        error = model.jacobian_error(theta)
        # At a kink, of a magnitude for instance, differences are off and say so.
        kinks = model.jacobian_error(theta, own=False)
    except (ArithmeticError, np.linalg.LinAlgError):
        return np.inf
    if model._has_own_jacobian:
        error = error[kinks < _JACOBIAN_ERROR]
    return np.max(error, initial=0.0)
