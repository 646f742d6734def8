"""What the estimators share: checks of data and bounds, and the score."""

from contextlib import contextmanager
from copy import deepcopy

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._arrays import is_frame
from .._computed_images import check_scale, computed_image, reached
from .._documentation import Documented
from .._measurements import Measurements
from .._options import check_flag
from .._threads import one_blas_thread
from .._validation import (
    check_crb,
    check_features,
    check_known,
    check_model,
    check_parameters,
    check_sigma,
    check_targets,
    counting,
    has_signal,
    have_samples,
    refuse_covariances,
    refuse_kind,
    warn_of_negative,
    warn_of_unknown,
)
from .._warnings import told_to_caller, warn
from ..noise import likelihood_of
from ._dictionary import rows_of
from ._reports import warn_of_little_noise, warn_of_lost_signs
from ._residuals import Residuals
from ._scores import efficiency_of
from ._sub_estimators import learns_from, silent_reports


class BoundedRegressor(Documented, MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Regressor whose errors are measured in units of the Cramér-Rao bound.

    The base of all estimators here, and of your own: a subclass has the constructor
    parameters ``model`` and ``noise_std``, calls ``_check_fit`` first in ``fit`` and
    ``_check_predict`` first in ``predict``. It gets ``score`` and ``residual``.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators import BoundedRegressor
    >>> class Mean(BoundedRegressor):
    ...     def __init__(self, model=None, *, noise_std=0.01):
    ...         self.model = model
    ...         self.noise_std = noise_std
    ...     def fit(self, X, y, crb=None, known=None):
    ...         X, y, crb, known = self._check_fit(X, y, crb, known)
    ...         self.mean_ = y.mean(axis=0)
    ...         return self
    ...     def predict(self, X, *, known=None):
    ...         X, known, usable = self._check_predict(X, known)
    ...         y = np.where(usable[:, None], self.mean_, np.nan)
    ...         return self._shape_like_targets(y)
    >>> X, y = np.eye(3), np.array([[1.0], [2.0], [3.0]])
    >>> Mean().fit(X, y, crb=np.ones((3, 1))).score(X, y, crb=np.ones((3, 1)))
    1.5
    """

    def _check_fit(self, X, y, crb, known=None, weight=None, *, reset=True, needs_y=True):
        """Check the training data; return X, y, crb and known as arrays or None.

        Their kind and width are stored, or compared with those stored if not `reset`. An
        array of weights, if given, is returned behind them.
        """
        check_model(self.model, optional=True)
        if y is None and not needs_y:
            return self._check_images(X, crb, known)
        # Targets first, so that complex y is refused in scikit-learn's own words.
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        names = self._names_of_targets(y, reset=reset)
        y_array = check_targets(y, names=names)
        X = check_features(self, X, reset=reset)
        if len(X) != len(y_array):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: "
                f"{[len(X), len(y_array)]}"
            )
        self._check_model(X, y_array)
        if self.nan_policy == "raise":
            have_samples(np.isfinite(X), "raise")
        if crb is not None:
            crb = check_crb(crb, y_array.shape, names)
        known = self._check_known(known, len(X), reset=reset)
        X, y_array, crb, known, *weight = self._leave_out(X, y_array, crb, known, weight)
        if self.model is not None and known is not None:
            self.model.at(known)
        if reset:
            self._remember(X, y_array, np.asarray(y).ndim)
            self._target_names = names
        elif y_array.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {y_array.shape[1]} columns, but {type(self).__name__} was fitted "
                f"to {self.n_outputs_}."
            )
        self._check_kind(X)
        self.fitted_with_crb_ = crb is not None
        return X, y_array, crb, known, *weight

    def _names_of_targets(self, y, *, reset=False):
        """Return the columns that frames of targets have: the model's, or those of fit."""
        if self.model is not None:
            return self.model.parameter_names
        if reset:
            return tuple(y.columns) if is_frame(y) else None
        return getattr(self, "_target_names", None)

    def _check_images(self, X, crb, known):
        """Check data without targets; return what `_check_fit` does."""
        if crb is not None:
            raise ValueError("crb holds the bounds of y, but y is None; give both or none.")
        X = check_features(self, X, reset=True)
        self._check_model(X, None)
        if X.shape[1] != self.model.n_features:
            raise ValueError(
                f"X has {X.shape[1]} features, fewer than {self.model}, and learning from "
                "compressed signals needs y; give y, or compress the model with the basis."
            )
        known = self._check_known(known, len(X), reset=True)
        if known is not None:
            usable = self._are_known(known)
            X, known = X[usable], known[usable]
            if not len(known):
                raise ValueError(
                    "known has no row inside the domains of "
                    f"{', '.join(self.model.known_names)}; check its units."
                )
        self._remember(X, np.full((1, self.model.n_parameters), np.nan), 2)
        self.fitted_with_crb_ = False
        return X, None, None, known

    def _are_known(self, known):
        """Return which rows of known values are inside their domains."""
        usable = np.isfinite(known).all(axis=1)
        for k, parameter in enumerate(self._known_parameters):
            usable &= parameter.holds(known[:, k])
        return usable

    def _leave_out(self, X, y, crb, known, weight):
        """Leave out rows of X and known that are not finite, with a warning."""
        finite, name = np.isfinite(X).all(axis=1), "X"
        if self.nan_policy == "omit" and not learns_from(self, X):
            finite[:] = True
        if known is not None and not np.isfinite(known).all():
            name = "known" if finite.all() else "X or known"
            finite &= np.isfinite(known).all(axis=1)
        weights = () if weight is None else (weight[finite],)
        if finite.all():
            return X, y, crb, known, *weights
        found = (
            f"{name} has NaN or infinite values in {np.sum(~finite)} of {len(X)} rows, the "
            f"first is row {np.argmin(finite)}"
        )
        if not finite.any():
            raise ValueError(f"{found}; none is left to learn from.")
        warn(f"{found}: fit leaves them out", UserWarning, stacklevel=4)
        return X[finite], y[finite], rows_of(crb, finite), rows_of(known, finite), *weights

    def _check_known(self, known, n_samples, *, reset):
        """Return known values as an array with one row per sample, or None."""
        names = None if self.model is None else self.model.known_names
        if names == () and known is not None:
            self.model.at(known)
        if reset:
            self.n_known_ = 0 if known is None else check_known(known, names).shape[1]
        if known is None:
            if names or self.n_known_:
                what = ", ".join(names) if names else f"the {self.n_known_} columns of fit"
                raise ValueError(
                    f"{type(self).__name__} needs the known values of {what}: pass known, "
                    f"of shape (n_samples, {len(names or ()) or self.n_known_}); inside a "
                    "pipeline or a cross-validation, request it by metadata routing "
                    "(set_fit_request(known=True) and the like)."
                )
            return None
        known = check_known(known, names)
        if len(known) != n_samples or known.shape[1] != self.n_known_:
            raise ValueError(
                f"known has shape {known.shape}; X and fit require "
                f"({n_samples}, {self.n_known_})."
            )
        return known

    def _model_at(self, known):
        """Return the model at known values, if there are any."""
        return self.model if self.model is None or known is None else self.model.at(known)

    def _remember(self, X, y, y_ndim):
        self._fitted_model = self.model
        self.y_ndim_, self.n_outputs_ = y_ndim, y.shape[1]
        self.target_range_ = np.stack([y.min(axis=0), y.max(axis=0)])
        varies = np.ptp(y, axis=0) > 0
        self.target_variance_ = np.where(varies, y.var(axis=0), 1.0)
        self.is_complex_ = X.dtype.kind == "c"

    def _check_kind(self, X):
        """Refuse complex X after real X, and the other way round."""
        refuse_kind(X, self.is_complex_, f"{type(self).__name__} was fitted to {{}} X")

    def _check_model(self, X, y):
        """Check that the data, with or without targets, match the model."""
        if self.model is None:
            return
        if not self._fits_model(X):
            raise ValueError(
                f"X has {X.shape[1]} features, but {self.model} has "
                f"{self.model.n_features} samples; compress the model with the basis of "
                "X, or give the model that X was measured with."
            )
        refuse_kind(X, self.model.is_complex, f"the signal of {self.model} is {{}}")
        check_scale(self.model, X)
        if self.nan_policy == "omit":
            refuse_covariances(self.model)
        if y is None:
            return
        if y.shape[1] != self.model.n_parameters:
            raise ValueError(
                f"y has {y.shape[1]} columns; the model's parameters are "
                f"{', '.join(self.model.parameter_names)}."
            )
        self.model.check_theta(y)

    _learns_from_compressed = False
    """Whether X may be signals of the model, compressed with an unknown basis."""

    def _fits_model(self, X):
        n_features = self.model.n_features
        is_compressed = self._learns_from_compressed and X.shape[1] < n_features
        return X.shape[1] == n_features or is_compressed

    @property
    def _simulates_X(self):
        """Whether there is a model that simulates the features of X."""
        return self.model is not None and self.n_features_in_ == self.model.n_features

    @property
    def _sees_magnitudes(self):
        """Whether X holds magnitudes, which a model simulates."""
        return self._simulates_X and self.model.is_magnitude

    def _check_predict(self, X, known=None, sigma=None, return_std=False):
        """Check new data; return X and known as arrays, and which rows can be estimated.

        These rows have a signal that the model reaches, and their known values are inside
        their domains. They are finite where sigma is, or under nan_policy="omit" have as
        many finite numbers as unknowns.
        """
        check_is_fitted(self)
        check_parameters(self)
        if self.model is not self._fitted_model:
            raise ValueError(
                f"model is {self.model}, but {type(self).__name__} was fitted with "
                f"{self._fitted_model}; call fit again."
            )
        check_flag("return_std", return_std)
        X = check_features(self, X, reset=False)
        self._check_kind(X)
        if self._sees_magnitudes:
            warn_of_negative(X, likelihood_of(self.model) is not None, stacklevel=3)
        usable = self._have_samples(counting(X, sigma)) & self._has_signal(X)
        known = self._check_known(known, len(X), reset=False)
        if known is not None:
            warn_of_unknown(known[usable], self._known_parameters)
            usable &= self._are_known(known)
        warn_of_lost_signs(self, X, known, usable)
        if self._simulates_X and computed_image(self.model) is not None:
            usable[usable] = reached(self._model_at(rows_of(known, usable)), X[usable])
        return X, known, usable

    def _has_signal(self, X):
        return has_signal(X, self.model, self._simulates_X)

    nan_policy = "propagate"
    """What a sample that is not finite does: an estimator may have an option for it."""

    def _have_samples(self, counts, policy=None):
        """Return which voxels have the samples that estimates need, (n, n_features)."""
        n_needed = self._n_unknowns / (2 if self.is_complex_ else 1)
        return have_samples(counts, policy or self.nan_policy, n_needed)

    @property
    def _n_unknowns(self):
        """Number of real unknowns of a voxel, as far as they are known."""
        model = getattr(self, "model_", self.model)
        if model is not None and self._simulates_X:
            return model.n_unknowns
        return self.n_outputs_ + (2 if self.is_complex_ else 0)

    def _measure(self, X, usable, sigma):
        """Return the measurements of usable voxels, and which are left.

        A voxel is lost if its noise leaves fewer samples that count than unknowns.
        """
        sigma = check_sigma(sigma, X, usable)
        # A slice of all rows is no copy.
        rows = slice(None) if usable.all() else usable
        data = Measurements.of(X[rows], rows_of(sigma, rows))
        if data.weights is None:
            return data, usable
        enough = self._have_samples(data.counts, "omit") & self._has_signal(data.X)
        if self.is_complex_ and self.model is not None:
            # Of real signals, the phase of M0 is not an unknown.
            n_reals, is_real = self.model._real_numbers(data)
            enough &= n_reals + is_real >= self._n_unknowns
        left = usable.copy()
        left[usable] = enough
        return data[enough], left

    def _warn_of_no_noise(self, data, *, wants_std=True, stacklevel=3):
        """Warn if nothing shows the noise, or little, and what follows from that."""
        if data.sigma is None:
            model = getattr(self, "model_", self.model)
            has_prior = getattr(self, "prior_", None) is not None
            warn_of_little_noise(model, data, wants_std, has_prior, stacklevel)

    @property
    def _known_parameters(self):
        return () if self.model is None else self.model.known_parameters

    def _shape_like_targets(self, predictions):
        return predictions.ravel() if self.y_ndim_ == 1 else predictions

    def _estimate(self, X, known, sigma=None):
        """Return estimates of voxels that can be estimated, as columns."""
        options = {"known": known} if sigma is None else {"known": known, "sigma": sigma}
        with told_to_caller(3), silent_reports(of_data=True):
            return np.asarray(self.predict(X, **options)).reshape(len(X), -1)

    def residual(self, X, *, sigma=None, false_alarm_rate=1e-3, known=None):
        """Find voxels that the model cannot explain, such as fat or motion.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals.
        sigma : float or array-like, default=None
            Noise of X per channel, as in `predict`. By default one level for all voxels,
            from the median of what the model leaves unexplained: more than half must follow
            the model.
        false_alarm_rate : float, default=1e-3
            Share of voxels flagged among those that follow the model, if estimates are
            close: see Notes.
        known : array-like of shape (n_samples, n_known), default=None
            Values of the parameters that the model is given.

        Returns
        -------
        Residuals
            Per voxel: the unexplained share of the signal, its chi-square, and the flag.

        Raises
        ------
        ValueError
            If there is no model, or a number is not allowed.

        Warns
        -----
        LowSignalWarning
            If magnitudes are so low that their noise is not Gaussian, which the
            chi-square distribution assumes unless the model has another noise.

        Notes
        -----
        To first order, the change of the signal by an error of the estimate counts as
        explained. Where errors are small, the false-alarm rate is therefore as requested.
        In fluid measured with a balanced sequence, errors of omega0 are many standard
        deviations, and more voxels are flagged: the user guide has figures.
        """
        X, known, usable = self._check_predict(X, known, sigma)
        self._check_has_model("residual")
        sigma = check_sigma(sigma, X, usable)
        estimate = np.full((len(X), self.n_outputs_), np.nan)
        if usable.any():
            some = (rows_of(values, usable) for values in (X, known, sigma))
            estimate[usable] = self._estimate(*some)
        usable &= np.isfinite(estimate).all(axis=1)
        data, usable = self._measure(X, usable, sigma)
        model = self._model_at(rows_of(known, usable))
        return Residuals.of_voxels(model, data, usable, estimate[usable], false_alarm_rate)

    def _check_has_model(self, what):
        if self.model is None:
            raise ValueError(
                f"{what} compares signals with a model's; give {type(self).__name__} a "
                "model."
            )
        if not self._simulates_X:
            raise ValueError(
                f"{what} compares signals with a model's, but X has {self.n_features_in_} "
                f"features and {self.model} has {self.model.n_features}; compress the "
                "model with the basis of X."
            )

    @property
    def _periods(self):
        return None if self.model is None else self.model.periods

    def score(self, X, y, sample_weight=None, crb=None, known=None, sigma=None):
        """Efficiency of the estimates: ``1 / mean((estimate - truth)^2 / CRB)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, real or complex.
        y : array-like of shape (n_samples, n_outputs)
            Parameters, in SI units.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        crb : array-like of shape (n_samples, n_outputs), default=None
            Cramér-Rao bounds. By default from the model at ``noise_std``; without a
            model, the variance of the training targets is used, with a warning.
        known : array-like of shape (n_samples, n_known), default=None
            Values of the parameters that the model is given; the bound is that of the
            others.
        sigma : float or array-like, default=None
            Noise of X per channel, as in `predict`, which takes the place of ``noise_std``,
            in units of the amplitude or of the factor M0 that fits best at y.

        Returns
        -------
        float
            1 for an ideal unbiased estimator.

        Raises
        ------
        ValueError
            If no voxel has an estimate, or shapes disagree.

        Warns
        -----
        UserWarning
            If some voxels have no estimate: they are left out.
        """
        check_is_fitted(self)
        options = {"known": known} if sigma is None else {"known": known, "sigma": sigma}
        # The score itself tells what bias and bounds do.
        with told_to_caller(), silent_reports():
            predictions = np.asarray(self.predict(X, **options))
        return efficiency_of(self, X, predictions, y, sample_weight, crb, known, sigma)

    def __sklearn_tags__(self):
        """Allow NaN in voxels; complex X is allowed too, but scikit-learn has no tag."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.single_output = True
        return tags


@contextmanager
def undone_by_errors(estimator):
    """Leave an estimator as it was if its fit fails or is cut off."""
    before = dict(vars(estimator))
    # The only attribute that a fit changes in place.
    before |= {k: deepcopy(v) for k, v in before.items() if k == "_random_state"}
    try:
        with one_blas_thread:
            yield
    except BaseException as error:
        if getattr(error, "fitted", None) is not estimator:
            vars(estimator).clear()
            vars(estimator).update(before)
        raise
