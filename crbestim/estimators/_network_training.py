"""Training of CRBRegressor: checks, training sets, history."""

import warnings
from contextlib import contextmanager
from numbers import Integral

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from .._validation import CallbackSupportMixin
from ..datasets.noise import check_snr
from ._base import rows_of
from ._known_inputs import KnownInputs
from ._network import (
    Architecture,
    Objective,
    Start,
    reference_signal,
    train_network,
    unit_amplitude,
)
from ._network_prediction import NetworkPrediction
from ._prior import prior_precision
from ._training_data import TrainingData

_LARGEST_BATCH, _STEPS_PER_EPOCH = 1024, 100


class NetworkTraining(CallbackSupportMixin, NetworkPrediction):
    """How a network is trained; a subclass has the constructor, and ``fit``."""

    def _train(
        self, X, y, crb, known, *, rng, held_out, start, n_probes, context=None, **settings
    ):
        """Train from a start; store the weights and what the history tells."""
        data = self._training_data()
        train_rows, held_rows = self._split(len(X), rng, held_out)
        take = _rows_of(unit_amplitude(X), y, crb, known)
        train = self._training_set(data, *take(train_rows))
        held = None
        if len(held_rows):
            # One noise realization a row, as measured, tells nothing of the bias.
            is_simulated = self.loss == "bias-reduced"
            make = self._training_set if is_simulated else self._measured
            held = make(data, *take(held_rows))
        self._check_something_counts(train, held)
        self._forget_calibration()
        self.architecture_ = self._architecture()
        self.snr_range_ = (np.nan, np.nan)
        if train.snr is not None:
            self.snr_range_ = float(train.snr.min()), float(train.snr.max())
        reached, progress = train_network(
            self.architecture_,
            take(slice(None))[0],
            self.known_inputs_.inputs(known, len(X)),
            self.reference_,
            train,
            held,
            self._objective(),
            start=start,
            device=self.device,
            rng=rng,
            n_jobs=self.n_jobs,
            on_epoch=None if context is None else self._reporter(context, X, y, crb, known),
            alpha=self.alpha,
            batch_size=self._batch_size(len(train_rows)),
            learning_rate=self.learning_rate_init,
            max_time=np.inf if self.max_time is None else self.max_time,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            verbose=bool(self.verbose),
            **settings,
        )
        self.weights_, self.optimizer_ = reached.weights, reached.optimizer
        self._keep(progress)
        probes = held_rows if len(held_rows) else train_rows
        probes = probes[:n_probes]
        self._calibrate(y[probes], rows_of(known, probes), rng)

    @contextmanager
    def _undone_by_errors(self):
        """Leave the estimator as it was if a fit does not come to its end."""
        before = dict(vars(self))
        try:
            # Sums in BLAS depend on how many threads share them.
            with threadpool_limits(1, user_api="blas"):
                yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _set_up(self, X, y, known):
        """Set what stays when training goes on: scales, reference, prior."""
        if self.model is None:
            self.offset_ = y.mean(axis=0)
            self.scale_ = np.where(np.ptp(y, axis=0) > 0, y.std(axis=0), 1.0)
        else:
            self.offset_ = self.model.bounds.mean(axis=1)
            self.scale_ = np.diff(self.model.bounds, axis=1).ravel()
        self.known_inputs_ = KnownInputs.learn(known, self._known_parameters)
        self.reference_ = reference_signal(unit_amplitude(X))
        self.prior_precision_ = prior_precision(y, self.scale_)
        self.history_ = []
        self._random_state = check_random_state(self.random_state)

    def _check_settings(self, X, y):
        """Check what a network needs beyond what all estimators need."""
        filled = (X != 0).any(axis=1)
        if X.dtype.kind == "c" and not filled.all():
            raise ValueError(
                f"X is zero throughout in {np.sum(~filled)} rows, the first is row "
                f"{np.argmin(filled)}; leave voxels without signal out of fit."
            )
        if self.snr is not None:
            check_snr(self.snr)
        if not all(isinstance(n, Integral) and n > 0 for n in self.hidden_layer_sizes):
            raise ValueError(
                f"hidden_layer_sizes = {self.hidden_layer_sizes!r}; give positive integers."
            )
        if self.loss == "bias-reduced" and not self._resamples:
            self._refuse_bias_reduced()
        if self.model is not None:
            self._check_targets_inside_bounds(y)
        self._weights_by_output()

    def _refuse_bias_reduced(self):
        """Say what the bias-reduced loss lacks."""
        needs = "loss='bias-reduced' needs several noise realizations of each fingerprint"
        if self.model is None or not self.resample_noise:
            raise ValueError(
                f"{needs}: a model (it is {self.model!r}) and resample_noise=True (it is "
                f"{self.resample_noise})."
            )
        raise ValueError(
            f"{needs}, from the model, but X has {self.n_features_in_} features, "
            f"the model {self.model.n_features}: compress the model with the basis of X."
        )

    def _check_first_part(self, X):
        """Refuse to learn from too few rows how inputs vary."""
        n_inputs = X.shape[1] * (2 if self.is_complex_ else 1)
        if len(X) <= n_inputs:
            raise ValueError(
                f"the first call of partial_fit has n_samples = {len(X)} sample"
                f"{'s' if len(X) > 1 else ''} for {n_inputs} real inputs, too few to tell "
                "how they vary; give more rows in the first call."
            )

    @property
    def _resamples(self):
        return self._simulates_X and self.resample_noise

    def _weights_by_output(self):
        """Return the weight of each output."""
        if self.output_weights is None or len(self.output_weights) == 0:
            return np.ones(self.n_outputs_)
        names = () if self.model is None else self.model.parameter_names
        if isinstance(self.output_weights, dict):
            unknown = [name for name in self.output_weights if name not in names]
            if unknown:
                known = ", ".join(names) or "without a model none: give one number a column"
                raise ValueError(
                    f"output_weights has {unknown[0]!r}; the parameters are {known}."
                )
            weights = np.array([self.output_weights.get(name, 1.0) for name in names])
        else:
            weights = np.asarray(self.output_weights, dtype=float)
        right = weights.shape == (self.n_outputs_,) and np.isfinite(weights).all()
        if not (right and (weights >= 0).all() and weights.any()):
            raise ValueError(
                f"output_weights = {self.output_weights!r}; give {self.n_outputs_} finite "
                "weights, none negative and not all zero."
            )
        return weights.astype(float)

    def _objective(self):
        threshold = self.huber_threshold or np.inf
        if self.loss == "mse":
            threshold = np.inf
        bias_reduced = None
        if self.loss == "bias-reduced":
            bias_reduced = dict(
                n_realizations=self.n_realizations,
                variance_weight=self.variance_weight,
                variance_limit=self.variance_limit,
            )
        return Objective(self._weights_by_output(), threshold, bias_reduced)

    def _batch_size(self, n_samples):
        if self.batch_size != "auto":
            return self.batch_size
        return int(np.clip(n_samples // _STEPS_PER_EPOCH, 32, _LARGEST_BATCH))

    def _training_data(self):
        return TrainingData(
            known=self.known_inputs_,
            offset=self.offset_,
            scale=self.scale_,
            variance=self.target_variance_,
            is_crb=self.loss != "mse",
            noise_std=self.noise_std,
            snr=None if self.snr is None else check_snr(self.snr),
        )

    def _training_set(self, data, X, y, crb, known):
        """Clean signals that get fresh noise, or signals as measured."""
        if self._resamples:
            return data.clean(self._model_at(known), y, crb, known)
        return self._measured(data, X, y, crb, known)

    def _measured(self, data, X, y, crb, known):
        bound = self._bound(y, crb, known) if data.is_crb else None
        return data.measured(X, y, bound, known)

    def _split(self, n_samples, rng, held_out):
        """Rows to train on, and rows held out."""
        if not held_out:
            return np.arange(n_samples), np.arange(0)
        order = rng.permutation(n_samples)
        n_held_out = int(np.ceil(self.validation_fraction * n_samples))
        if n_held_out >= n_samples:
            raise ValueError(
                f"n_samples = {n_samples} sample"
                f"{'s' if n_samples > 1 else ''} leaves none to train on after "
                f"validation_fraction={self.validation_fraction}; give more, or "
                "early_stopping=False."
            )
        return order[n_held_out:], order[:n_held_out]

    def _start(self):
        """Weights to go on with, if they fit the constructor's parameters."""
        wanted, fitted = self._architecture(), self.architecture_
        for name in ("hidden_layer_sizes", "activation"):
            if getattr(wanted, name) != getattr(fitted, name):
                raise ValueError(
                    f"{name} = {getattr(wanted, name)!r}, but the network to go on with "
                    f"has {getattr(fitted, name)!r}; leave it as it is, or fit anew with "
                    "warm_start=False."
                )
        if not np.array_equal(wanted.periods, fitted.periods):
            raise ValueError(
                f"{self.model!r} has other periodic parameters than the model of the "
                "network to go on with; fit anew with warm_start=False."
            )
        return Start(self.weights_)

    def _architecture(self):
        periods = np.inf if self.model is None else self.model.periods
        return Architecture(
            tuple(self.hidden_layer_sizes),
            self.activation,
            np.broadcast_to(periods, self.scale_.shape) / self.scale_,
            self.dtype,
        )

    def _check_something_counts(self, train, held):
        """Refuse bounds that leave nothing to learn from, or to judge by."""
        weights = self._weights_by_output()
        for data, what in ((train, "train on"), (held, "hold out")):
            if data is not None and not ((data.precision > 0) & (weights > 0)).any():
                raise ValueError(
                    f"no row to {what} has a parameter with a finite bound and a weight; "
                    "look at crb and output_weights, or set early_stopping=False."
                )

    def _reporter(self, context, X, y, crb, known):
        """Return what tells scikit-learn's callbacks of an epoch, and asks to stop."""
        options = dict(estimator=self, X=X, y=y)
        given = dict(crb=crb, known=known)
        metadata = {name: value for name, value in given.items() if value is not None}
        if metadata:
            options["metadata"] = metadata

        def report(record, weights):
            epoch = context.subcontext(task_name=f"epoch {record['epoch']}")
            epoch.call_on_fit_task_begin(**options)
            return epoch.call_on_fit_task_end(
                **options,
                reconstruction_attributes=lambda: self._fitted(weights_=weights()),
            )

        return report

    def _fitted(self, **others):
        """Return what `predict` and `score` need, as attributes by name."""
        fitted = {name: value for name, value in vars(self).items() if name[-1] == "_"}
        return fitted | others

    def _keep(self, progress):
        """Store the history of training, after that of earlier training."""
        first = len(self.history_)
        self.history_ = self.history_ + [
            {**record, "epoch": first + record["epoch"]} for record in progress.history
        ]
        self.loss_curve_ = [record["loss"] for record in self.history_]
        self.n_iter_ = len(self.history_)
        self.best_loss_ = progress.best_loss if progress.best_state else np.nan
        if progress.interrupted:
            warnings.warn(
                f"training was interrupted after {len(progress.history)} whole epochs; the "
                "best weights so far are kept",
                ConvergenceWarning,
                stacklevel=5,
            )


def _rows_of(*arrays):
    return lambda rows: tuple(rows_of(array, rows) for array in arrays)
