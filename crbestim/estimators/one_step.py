"""A few steps of Fisher scoring from another estimator's estimate."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from joblib import delayed
from sklearn.neighbors import NearestNeighbors

from .._measurements import Measurements
from .._parallel import in_parallel
from .._progress import with_progress
from .._validation import JOBS, HasMethods, Interval, StrOptions, fit_context
from ..least_squares.box import amplitude_limits, at_limits, resolve_bounds, search_box
from ..least_squares.determined import check_determined
from ..least_squares.driver import (
    FisherScoring,
    chunks,
    evenly_spaced,
)
from ..least_squares.prior import resolve_prior
from ..models.base import with_amplitude, without_amplitude
from ..noise import likelihood_of
from ..parameters import wrapped_error
from ._base import BoundedRegressor, rows_of, undone_by_errors
from ._dictionary import in_blocks
from ._intervals import IntervalMixin
from ._linear_calibration import LinearModel
from ._reports import (
    warn_at_bounds,
    warn_of_low_magnitudes,
    warn_of_noise,
    warn_of_sigma,
)
from ._residuals import analyze_residuals
from ._start_values import (
    BLOCK,
    N_SPREAD,
    POOR,
    Candidates,
    spread_values,
    values_or_spread,
)
from ._sub_estimators import fit_clone, predict_columns, refuse_lost_model
from .dictionary import interpolating_dictionary

# Maximum number of training samples whose errors are stored.
_N_ERRORS = 20_000


@dataclass(frozen=True, eq=False)
class PastErrors:
    """Errors of an estimator at its training samples.

    Attributes
    ----------
    errors : ndarray of shape (n_samples, n_parameters)
        Estimates less truth, modulo periods.
    neighbors : NearestNeighbors
        Finds samples by their estimates, in fractions of the bounds.
    box : UnitBox
        Bounds of the parameters.
    """

    errors: np.ndarray
    neighbors: NearestNeighbors
    box: object

    @classmethod
    def learn(cls, y, estimates, box):
        """Store the errors of estimates; those that are not finite are left out."""
        finite = np.isfinite(estimates).all(axis=1)
        y, estimates = y[finite], estimates[finite]
        neighbors = NearestNeighbors().fit(box.fractions(estimates))
        return cls(wrapped_error(y, estimates, box.periods), neighbors, box)

    def alternatives(self, estimates, n):
        """Return where the truth would be if past errors recurred.

        These are estimates less the errors at the most similar samples, brought inside the
        bounds, of shape (n, n_voxels, n_parameters).
        """
        rows = self.neighbors.kneighbors(
            self.box.fractions(estimates), n, return_distance=False
        )
        return self.box.inside(estimates - self.errors[rows.T])


class OneStepRegressor(IntervalMixin, BoundedRegressor):
    r"""Estimate of any estimator, refined by Fisher scoring.

    From an estimate whose error shrinks with the noise, a single step of Fisher scoring
    leads to an efficient one (Le Cam's one-step estimator; van der Vaart, Asymptotic
    Statistics, 1998, section 5.7), at the price of one simulation with derivatives. Steps
    stay inside the bounds, and never increase the residual: a step that would is repeated
    with more and more damping, and finally given up.

    Without a model it learns a linear one from (y, X), the classical calibration of
    chemometrics; without an estimator it starts from :class:`DictionaryRegressor`,
    interpolated between up to 20 matches, among the training targets or, where these match
    poorly, among values that cover the bounds.

    Parameters
    ----------
    estimator : estimator, default=None
        Anything with ``fit`` and ``predict`` whose outputs are the model's parameters. It
        is cloned and fitted to the same data; in scikit-learn's ``FrozenEstimator`` it
        stays as it is.
    model : SignalModel, default=None
        The signal model; required if `estimator` has one.
    n_steps : int, default=1
        Number of steps.
    n_starts : int, default=1
        Number of places where steps may begin: the estimate, and the estimate less errors
        that the estimator made at training samples with similar estimates. They begin where
        the residual is smallest. More than one helps where errors are not small compared
        with the distance between local minima; each costs a signal without derivatives. An
        estimator that has memorized its training samples makes no errors there.
    bounds : dict or array-like of shape (n_parameters, 2), default=None
        Limits of the steps, for some parameters by name or for all; by default the
        model's. Estimates outside are first brought to the nearest bound.
    prior : {"gaussian", None} or (mean, covariance), default="gaussian"
        Normal prior of the parameters: that of the training targets, none, or given, in SI
        units; an amplitude and parameters with a period have none. It is the default
        because a single step cannot correct itself: without a prior, a parameter that is
        poorly determined, such as the exchange rate of fluid, runs to its bound and biases
        the others. Where the data are informative, the prior has no noticeable effect.
    nan_policy : {"propagate", "omit", "raise"}, default="propagate"
        What a sample that is not finite does: its voxel is NaN, or is estimated from its
        other samples, if these are at least as many real numbers as there are unknowns, or
        `predict` refuses it. An estimator given as `estimator` sees NaN in its place.
    noise_std : float, default=0.01
        Noise, 1/SNR for M0 = 1, of the Cramér-Rao bound in `score`.
    n_jobs : int, default=None
        Number of joblib workers. The result does not depend on it.
    verbose : bool, default=False
        Whether to show progress bars: of atoms that `fit` simulates, and of voxels that
        are matched and refined. An estimator given as `estimator` has a setting of its own.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    model_ : SignalModel
        The model, given or learned.
    bounds_ : ndarray of shape (n_parameters, 2)
        Limits of the steps.
    prior_ : GaussianPrior or None
        The prior.
    errors_ : PastErrors
        Errors of the estimator; only with more than one start.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    A step is that of Fisher scoring on the posterior,

    .. math:: \Delta\theta = (J^H J / \sigma^2 + P)^{-1}
              (J^H r / \sigma^2 - P (\theta - \mu))

    with the residual r = x - M0 s and its derivatives after variable projection, which
    eliminates M0 or an amplitude, the mean :math:`\mu` and the inverse covariance P of the
    prior. The noise :math:`\sigma` is estimated voxel by voxel from what no change of the
    parameters can explain, if it is not given. A step is taken if it lowers the cost, prior
    included, by at least a tenth of the predicted gain, and the residual of the data does
    not rise. The prior therefore cannot pull an estimate away from the best fit of the
    data; :class:`NLLSRegressor` with a prior has no such rule.

    Under Rician noise, or a model's own with a ``log_likelihood``, the step is that of the
    likelihood, with the derivatives of the latter in place of the residual and the
    information in place of squares of J; see :class:`NLLSRegressor`.

    Where the signal bends along a parameter of a model that has a period, as along `omega0`
    in fluid, steps also begin at the lowest of 41 values around the estimate, as searches
    of :class:`NLLSRegressor` do, and the lower end counts. Three signals a voxel show
    where.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim import OneStepRegressor
    >>> from crbestim.models import SignalModel
    >>> class Decay(SignalModel):
    ...     parameter_names = ("R2",)
    ...     bounds = np.array([[1.0, 100.0]])
    ...     def signal(self, theta):
    ...         return np.exp(-theta * np.array([0.01, 0.02, 0.03])) + 0j
    >>> y = np.array([[10.0], [20.0], [30.0]])
    >>> X = 2j * Decay().signal(y)
    >>> reg = OneStepRegressor(model=Decay(), n_steps=3).fit(X, y)
    >>> reg.predict(2j * Decay().signal(np.array([[14.0]]))).round(4)
    array([[14.]])
    """

    _parameter_constraints = {
        "estimator": [None, HasMethods(["fit", "predict"])],
        "model": "no_validation",
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "n_starts": [Interval(Integral, 1, None, closed="left")],
        "bounds": [None, dict, "array-like"],
        "prior": [None, StrOptions({"gaussian"}), tuple, list],
        "nan_policy": [StrOptions({"propagate", "omit", "raise"})],
        "noise_std": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": JOBS,
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        model=None,
        *,
        n_steps=1,
        n_starts=1,
        bounds=None,
        prior="gaussian",
        nan_policy="propagate",
        noise_std=0.01,
        n_jobs=None,
        verbose=False,
    ):
        self.estimator = estimator
        self.model = model
        self.n_steps = n_steps
        self.n_starts = n_starts
        self.bounds = bounds
        self.prior = prior
        self.nan_policy = nan_policy
        self.noise_std = noise_std
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, crb=None, known=None):
        """Fit the estimator, and learn the prior and, if needed, a model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, real or complex; the images to be mapped will do, unless the estimator
            learns from them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Parameters, in SI units. Without them, which needs a model, the estimator is
            fitted without, and a prior is that of values that cover the bounds.
        crb : array-like of shape (n_samples, n_outputs), default=None
            Cramér-Rao bounds, passed to the estimator if its ``fit`` takes them, also
            through pipelines with metadata routing.
        known : array-like of shape (n_samples, n_known), default=None
            Values of the parameters that the model is given, in SI units; without a model
            anything else known about the samples. They are passed on like bounds, also to
            ``predict``.

        Returns
        -------
        OneStepRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If data, model and constructor parameters do not fit together, or without a
            prior the signal does not determine the parameters.
        MissingJacobianError
            If the model has no derivatives.
        """
        with undone_by_errors(self):
            self._learn(X, y, crb, known)
        return self

    def _learn(self, X, y, crb, known):
        """Do what `fit` does; an error leaves the estimator half fitted."""
        X, y, crb, known = self._check_fit(X, y, crb, known, needs_y=self.model is None)
        self.model_ = self.model
        warn_of_noise(self.model)
        if self.model is None:
            refuse_lost_model(self.estimator, type(self).__name__)
            self.model_ = LinearModel.learn(X, y, known)
        self.model_.require_jacobian(type(self).__name__)
        self.bounds_ = resolve_bounds(self.model_, self.bounds)
        values, known_of_values = values_or_spread(self.model_, self._box, y, known)
        self.prior_ = resolve_prior(self.prior, self.model_, values, self.bounds_)
        values = without_amplitude(values, self.model_._amplitude_column)
        model, has_prior = self._model_at(known_of_values), self.prior_ is not None
        check_determined(model, values, type(self).__name__, has_prior=has_prior)
        targets = None if y is None else self._shape_like_targets(y)
        self._cover = None
        if self.estimator is None:
            options = dict(nan_policy=self.nan_policy, verbose=self.verbose)
            self.estimator_ = interpolating_dictionary(
                self.model, X, targets, known, **options
            )
            if self.model is not None and y is not None:
                spread = spread_values(self.model, self._box, known, N_SPREAD)
                self._cover = Candidates.of(spread[0], self.model, spread[1], self.verbose)
        else:
            self.estimator_ = fit_clone(self.estimator, X, targets, crb, known)
        if self.n_starts > 1:
            self._learn_errors(X, y, known)

    def _model_at(self, known):
        """Return the model, given or learned, at known values, if there are any."""
        return self.model_ if known is None else self.model_.at(known)

    @property
    def _box(self):
        return search_box(self.model_, self.bounds_)

    def _learn_errors(self, X, y, known):
        """Store the errors of the estimator at training samples, evenly spaced."""
        if y is None:
            raise ValueError(
                f"n_starts = {self.n_starts} begins where past errors lead, which need "
                "training samples: give y, or n_starts=1."
            )
        rows = evenly_spaced(len(y), _N_ERRORS)
        known = rows_of(known, rows)
        estimates = self._predicted(Measurements(X[rows]), known)
        if np.sum(np.isfinite(estimates).all(axis=1)) < self.n_starts - 1:
            raise ValueError(
                f"n_starts = {self.n_starts}, but there are only {len(y)} training samples "
                "to take errors from; give more, or ask for fewer starts."
            )
        y = without_amplitude(y[rows], self.model_._amplitude_column)
        self.errors_ = PastErrors.learn(y, estimates, self._box)

    def _predicted(self, data, known):
        """Return what the estimator predicts, without an amplitude."""
        columns = predict_columns(self.estimator_, data, self.n_outputs_, known)
        return without_amplitude(columns, self.model_._amplitude_column)

    def predict(self, X, return_std=False, *, sigma=None, known=None):
        """Estimate parameters.

        Parameters
        ----------
        X : array-like of shape (n_voxels, n_features)
            Signals, real or complex.
        return_std : bool, default=False
            Whether to return standard deviations, too.
        sigma : float or array-like, default=None
            Noise of X per channel: a number, one a voxel, (n_voxels,), or one a sample,
            (n_voxels, n_features) or (1, n_features), infinite where a sample does not
            count. It weighs samples, the prior and, of Rician noise, the likelihood. By
            default each voxel's is estimated, from what the model leaves unexplained or as
            one more unknown of its likelihood; if a signal has no more real numbers than
            unknowns, standard deviations are NaN, and the prior only fills what the data
            leave open.
        known : array-like of shape (n_voxels, n_known), default=None
            Values of the parameters that the model is given, as in `fit`. Voxels where they
            are NaN or outside their domain cannot be estimated.

        Returns
        -------
        y : ndarray of shape (n_voxels,) or (n_voxels, n_outputs)
            Parameters, in SI units; NaN for voxels whose signal is not finite or empty
            (complex and zero throughout, or magnitudes that are nowhere positive), or for
            which the estimator or the model is not finite.
        std : ndarray of the same shape
            Standard deviations that the Cramér-Rao bound predicts at the estimate, for the
            M0 and the noise of each voxel; with a prior, those of the linearized
            posterior, except where the last step was damped or given up. Only if
            `return_std`.

        Raises
        ------
        ValueError
            If X or `sigma` does not fit, or X has samples that are not finite and
            nan_policy="raise".

        Warns
        -----
        UserWarning
            If a signal has too few numbers to estimate the noise from, sigma is not given,
            and standard deviations or a prior need it.
        """
        X, known, usable = self._check_predict(X, known, sigma, return_std)
        data, usable = self._measure(X, usable, sigma)
        self._warn_of_no_noise(data, wants_std=return_std)
        y, std = np.full((2, len(X), self.n_outputs_), np.nan)
        if usable.any():
            some = rows_of(known, usable)
            y[usable], is_free, level = self._refine(data, some)
            warn_of_sigma(self._model_at(some), data, y[usable], stacklevel=2)
            self._report(data, some, y[usable], level)
            if return_std:
                std[usable] = self._standard_deviations(
                    data, some, y[usable], is_free, level
                )
        if not return_std:
            return self._shape_like_targets(y)
        return self._shape_like_targets(y), self._shape_like_targets(std)

    def _report(self, data, known, y, level):
        """Warn of estimates that are not what they seem."""
        model, data = self._model_at(known), Measurements(data.X, level, data.weights)
        column = model._amplitude_column
        is_end = self._box.ends(without_amplitude(y, column))
        if column is not None:
            is_end = with_amplitude(
                is_end, column, at_limits(y[:, column], self.bounds_[column])
            )
        warn_at_bounds(model, data, y, is_end, self.bounds_)
        warn_of_low_magnitudes(model, data, y, is_end)

    def _standard_deviations(self, data, known, y, is_free, level):
        """Return standard deviations, with the prior where the last step was free."""
        std = np.full_like(y, np.nan)
        if likelihood_of(self.model_) is not None:
            data = Measurements(data.X, level, data.weights)
        for rows, prior in ((is_free, self.prior_), (~is_free, None)):
            rows = rows & np.isfinite(y).all(axis=1)
            if rows.any():
                std[rows] = analyze_residuals(
                    self._model_at(rows_of(known, rows)),
                    data[rows],
                    y[rows],
                    prior_precision=0 if prior is None else prior.precision,
                ).std
        return std

    def _find_starts(self, data, known):
        """Return estimates, and the same corrected for past errors."""
        estimates = self._predicted(data, known)
        if self._cover is not None:
            self._replace_poor(estimates, data, known)
        if self.n_starts == 1:
            return estimates[None]
        starts = np.repeat(estimates[None], self.n_starts, axis=0)
        sound = np.isfinite(estimates).all(axis=1)
        if sound.any():
            n_others = self.n_starts - 1
            starts[1:, sound] = self.errors_.alternatives(estimates[sound], n_others)
        return starts

    def _replace_poor(self, estimates, data, known):
        """Start between values that cover the bounds where all targets match poorly."""
        targets, cover = self.estimator_._dictionary, self._cover.dictionary

        def replace(part):
            given = rows_of(known, part)
            bare = cover.without_floor(data[part], given)
            left = targets.best(bare, given)[1]
            poor = cover.best(bare, given)[1] < POOR * left
            if poor.any():
                found = self._cover.interpolated(bare[poor], rows_of(given, poor))
                estimates[part.start + np.flatnonzero(poor)] = found

        in_blocks(replace, len(data), BLOCK, None, [targets, cover], self.verbose)

    def _refine(self, data, known):
        """Step from the estimator's predictions, chunk by chunk."""
        starts, model = self._find_starts(data, known), self._model_at(known)
        limits = amplitude_limits(self.model_, self.bounds_)
        options = self._box, self.n_steps, self.prior_, limits
        parts = chunks(len(data), self.n_jobs)
        tasks = (
            delayed(FisherScoring(model.rows(c), *options).refine)(data[c], starts[:, c])
            for c in parts
        )
        found = in_parallel(tasks, self.n_jobs)
        found = with_progress(
            found, [len(data.X[c]) for c in parts], "voxels", self.verbose
        )
        return tuple(np.concatenate(part) for part in zip(*found, strict=True))
