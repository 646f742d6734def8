"""CRBRegressor: a network trained with errors in units of the Cramér-Rao bound."""

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from .._deadline import Deadline
from .._validation import JOBS, CallbackSupportMixin, Interval, StrOptions, fit_context
from ..network.losses import LOSSES, Loss, make_loss
from ._base import BoundedRegressor, rows_of, undone_by_errors
from ._calibration import (
    calibrate_whatever_comes,
    interpolated_factors,
    no_calibration,
    prior_precision,
)
from ._intervals import IntervalMixin
from ._reports import warn_of_predictions, warn_of_sigma
from ._residuals import analyze_residuals
from ._training import (
    check_first_part,
    check_gaps,
    check_output_weights,
    check_same_network,
    check_settings,
    check_targets_inside_bounds,
    epoch_reporter,
    raise_interrupt,
    report_end,
    warn_of_no_success,
)
from ._training_data import (
    at_one_amplitude,
    distinct_rows,
    new_network,
    pace_of,
    warn_of_other_signals,
    with_layers,
    without_weightless,
)
from ._training_sets import split_rows, training_deadline, training_sets

# Simulated voxels per noise level in the calibration by `fit` and by `partial_fit`, and the
# number of rows held out that is enough for it.
_N_PROBES, _N_PARTIAL_PROBES, _LEAST_PROBES = 4096, 256, 30
_POSITIVE = Interval(Real, 0, None, closed="neither")


class CRBRegressor(CallbackSupportMixin, IntervalMixin, BoundedRegressor):
    r"""Neural network that estimates parameters from signals, trained with the CRB loss.

    The loss is the mean of (estimate - truth)^2 / CRB over fingerprints and parameters
    (Zhang et al., MRM 2022, doi 10.1002/mrm.29206); in training, errors beyond
    `huber_threshold` count linearly. It balances parameters of any unit and difficulty, and
    is 1 for an ideal unbiased estimator.

    With a model, the clean signal of each row of y is simulated once, and every epoch
    draws fresh noise. The estimate does not depend on a complex factor of complex X,
    ``predict(c * X) == predict(X)``, and stays inside the model's bounds. The amplitude of
    a real model is estimated in units of the norm of X, so that data may have any scale.

    Parameters
    ----------
    model : SignalModel, default=None
        Signal model of X. Without one, the network learns from X as given, with ``crb`` or
        else the variance of the targets as the bound. If X has fewer features than the
        model, as after a transformer that compresses signals, the network learns from X as
        given, with the bounds of the uncompressed signals.
    loss : {"crb", "mse", "bias-reduced"} or Loss, default="crb"
        Squared errors over the bound, or over the variance of each target; or squared
        bias over the bound, plus the excess of the variance over `variance_limit` times
        the bound (Mao et al., arXiv 2312.11468), which needs a model and `resample_noise`.
        Your own loss is an instance of a subclass of `crbestim.network.losses.Loss`.
    huber_threshold : float, default=2.0
        With losses in units of the bound, errors beyond this many standard deviations
        count linearly (Huber). Rare fingerprints whose bound is tiny, such as fluid near
        the ends of the interval of omega0, otherwise dominate the mean and keep the
        network from learning all others. None squares all errors.
    n_realizations : int, default=8
        Noise realizations of a fingerprint from which the bias-reduced loss computes bias
        and variance. They count towards the batch size: with 8 of them, a batch of 1024
        rows holds 128 fingerprints.
    variance_weight, variance_limit : float, default=0.5, 0.0
        Weight of the excess variance in the bias-reduced loss, and the ratio of variance
        to bound above which it counts.
    output_weights : dict or array-like, default=None
        Weights of the parameters in the loss, by name (1 for those left out) or one per
        column of y. Zero leaves a parameter untrained: what ``predict`` returns for it
        means nothing, and ``score`` leaves it out.
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Widths of the hidden layers. "auto" is 10 times 128, or 6 times 64 for up to four
        parameters, or 6 times 128 if a fingerprint with fresh noise tells more than 14
        bits about a parameter (the mean of all). Further training keeps the layers there
        are. Layers of equal width have residual connections.
    activation : {"gelu", "silu", "relu", "tanh"}, default="gelu"
        Activation of the hidden layers.
    noise_std : float, default=None
        Standard deviation of the noise per channel for M0 = 1, where ``crb`` is not
        given: for the bound of held-out rows, and for ``score``. By default 1 / `snr`, of a
        range (low, high) the root mean square 1 / sqrt(low high), at which an efficient
        estimator of such data scores 1. Without `snr`, it is 0.01 in ``fit``, and
        in ``score`` that of `snr_range_` in the same way, to three digits: the noise that a
        ``crb`` of ``fit`` implied.
    snr : float or tuple of float, default=None
        abs(M0)/sigma of the noise that training draws with a model: a number, or a
        range to draw from uniformly. By default the ratios that ``crb`` implies for the
        rows of X, or ``1 / noise_std`` (100 by default) where it is not given.
    resample_noise : bool, default=True
        Whether to draw fresh noise in every epoch, which needs a model; otherwise the
        network learns from X as given.
    min_fingerprints : int, default=6144
        Fingerprints to train on, with fresh noise. If X has fewer, ``fit`` simulates more,
        at most 15 for each row of X: of parameters on the lines between rows of y and their
        nearest neighbours and, inside the model's bounds, a little beyond the ends of what
        y spans. 0 trains on the rows of X alone. Rows that are held out are always of X.
    alpha : float, default=1e-4
        Weight decay.
    batch_size : int or "auto", default="auto"
        Fingerprints per step of the optimizer. "auto" makes about 40 steps an epoch, with
        512 fingerprints at least and 1024 at most; without fresh noise, and in
        ``partial_fit``, about 100 steps with 32 at least.
    learning_rate_init : float or "auto", default="auto"
        Highest learning rate. "auto" is 0.64 over the width of the widest hidden layer, and
        0.01 at most: 5e-3 for 128.
    learning_rate : {"cosine", "constant"}, default="cosine"
        "cosine" rises quickly and falls to zero along half a cosine over `max_iter`
        epochs, or over `max_time` if that ends first; "constant" keeps the rate.
    max_iter : int, default=100
        Maximum number of epochs. One goes through all rows. With fresh noise and
        ``batch_size="auto"``, it goes through few rows several times, for 12 steps at
        least, or for 3/4 of the square of the bits that a fingerprint tells about a
        parameter (the mean of all); and through a random part of many rows, for two steps
        at most for each bit that it tells about all parameters.
    max_time : float, default=None
        Maximum time of ``fit``, in s, from its call to its return: simulation of the clean
        signals of X and their bounds, up to a third of it; training; and calibration of
        standard deviations, for which a tenth is kept. If time is short, fewer rows are
        added (`min_fingerprints`), then, with a warning, fewer of X are simulated, and
        fewer voxels calibrate. At least 1024 rows, one step and 64 voxels are worked on,
        whatever they take. A fit that it cuts short depends on the speed of the machine.
    early_stopping : bool, default=True
        Whether to hold out a part of the rows of X as given, keep the weights of the
        epoch that does best on it, and stop when nothing improves. With fresh noise and a
        rate that has fallen to zero, an epoch must do better than the last one by three
        standard errors of the difference. With the bias-reduced loss, held-out rows are
        simulated instead.
    validation_fraction : float, default=0.1
        Share of rows held out.
    n_iter_no_change : int, default=50
        Epochs without improvement after which training ends: at once with a constant rate;
        with "cosine", when the rate has fallen to zero over as many epochs more, as a
        lower rate often improves what a high one does not.
    tol : float, default=0.0
        Least decrease of the validation loss that counts as improvement.
    warm_start : bool, default=False
        Whether ``fit`` continues from the weights and scales of an earlier ``fit``.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to train; "auto" takes a GPU if there is one.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the network in training and in ``predict``.
    n_jobs : int, default=None
        Number of CPU threads; None is one, -1 all. In training, each takes 512 rows of a
        batch at a time. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, noise, order and split.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    weights_ : dict of ndarray
        Weights of the network by name.
    network_ : crbestim.network.arrays.Network
        Its layers, the scales of its inputs and targets, and ``axes``, the orthonormal
        axes on which it sees signals of 64 samples or more.
    optimizer_ : dict of ndarray
        State of the optimizer, from which ``partial_fit`` continues. Files of
        :func:`crbestim.io.save` leave it out unless asked to hold it; ``partial_fit`` then
        begins with a new one.
    history_ : list of dict
        A record per epoch: loss, validation_loss, learning_rate, time.
    loss_curve_ : list of float
        Training loss of every epoch.
    best_loss_, n_iter_ : float, int
        Best validation loss of an epoch (NaN without early stopping), and their number.
    snr_range_ : tuple of float
        Signal-to-noise ratios that training drew from; (nan, nan) for X as given.
    apparent_snr_range_ : tuple of float
        Signal-to-noise ratios that simulated signals at the ends of `snr_range_` appear to
        have, by abs(M0) over the noise that the unexplained part implies: the fifth
        percentile at the low end, and the 95th at the high one.
    std_factors_ : dict of ndarray
        Calibration of standard deviations: ``snr``, and for each a ``factor`` per
        parameter.
    target_range_ : ndarray of shape (2, n_outputs)
        Least and largest training targets.
    prior_precision_ : ndarray of shape (n_outputs, n_outputs)
        Inverse covariance of the training targets.
    n_features_in_ : int
        Number of features.

    Examples
    --------
    >>> from crbestim import CRBRegressor
    >>> from crbestim.datasets import make_fingerprints
    >>> from crbestim.models import MagnetizationTransfer
    >>> from crbestim.sequences import HybridStateSequence
    >>> sequence = HybridStateSequence([3.14, 0.5, 0.7, 0.5], [5e-4] * 4, 3.5e-3)
    >>> model = MagnetizationTransfer(sequence)
    >>> X, y = make_fingerprints(model, 50, random_state=0)
    >>> reg = CRBRegressor(model, loss="mse", max_iter=2, random_state=0).fit(X, y)
    >>> reg.predict(X).shape
    (50, 7)
    """

    _learns_from_compressed = True

    _parameter_constraints = {
        "model": "no_validation",
        "loss": [StrOptions(set(LOSSES)), Loss],
        "huber_threshold": [None, _POSITIVE],
        "n_realizations": [Interval(Integral, 2, None, closed="left")],
        "variance_weight": [Interval(Real, 0, None, closed="left")],
        "variance_limit": [Interval(Real, 0, None, closed="left")],
        "output_weights": [None, dict, "array-like"],
        "hidden_layer_sizes": [StrOptions({"auto"}), "array-like"],
        "activation": [StrOptions({"gelu", "silu", "relu", "tanh"})],
        "noise_std": [None, _POSITIVE],
        "snr": [None, _POSITIVE, "array-like"],
        "resample_noise": ["boolean"],
        "min_fingerprints": [Interval(Integral, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [StrOptions({"auto"}), _POSITIVE],
        "learning_rate": [StrOptions({"cosine", "constant"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "max_time": [None, _POSITIVE],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "dtype": [StrOptions({"float32", "float64"})],
        "n_jobs": JOBS,
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=None,
        *,
        loss="crb",
        huber_threshold=2.0,
        n_realizations=8,
        variance_weight=0.5,
        variance_limit=0.0,
        output_weights=None,
        hidden_layer_sizes="auto",
        activation="gelu",
        noise_std=None,
        snr=None,
        resample_noise=True,
        min_fingerprints=6144,
        alpha=1e-4,
        batch_size="auto",
        learning_rate_init="auto",
        learning_rate="cosine",
        max_iter=100,
        max_time=None,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=50,
        tol=0.0,
        warm_start=False,
        device="auto",
        dtype="float32",
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.model = model
        self.loss = loss
        self.huber_threshold = huber_threshold
        self.n_realizations = n_realizations
        self.variance_weight = variance_weight
        self.variance_limit = variance_limit
        self.output_weights = output_weights
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.noise_std = noise_std
        self.snr = snr
        self.resample_noise = resample_noise
        self.min_fingerprints = min_fingerprints
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.max_time = max_time
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, crb=None, known=None, sample_weight=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, real or complex, noisy as measured.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Parameters, in SI units, in the order of ``model.parameter_names``.
        crb : array-like of the shape of y, default=None
            Cramér-Rao bounds at the noise of each row of X; infinite entries are left
            out. By default computed with the model and ``noise_std``. With loss="mse",
            and with Rician noise that is drawn, they only determine the noise of the rows.
        known : array-like of shape (n_samples, n_known), default=None
            Values of the parameters that the model is given, in SI units; without a model
            anything else known about the samples. They are inputs of the network.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss, of training and of held-out rows; only their
            ratios matter. A row of weight zero is left out, and one that is given n times
            is one row of weight n. Scales, prior and standard deviations take all rows that
            are left alike.

        Returns
        -------
        self : CRBRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y, crb and model do not fit together or hold impossible values.
        RuntimeError
            If the loss diverges, or device="cuda" without a GPU.
        KeyboardInterrupt
            If it is interrupted (Ctrl-C). After the first epoch the estimator is fitted all
            the same, with the best weights so far; before, it is as it was.

        Warns
        -----
        ConvergenceWarning
            If `max_time` is too short for all rows of X, or to train at all. If, after ten
            epochs or more, a linear regression does better on held-out rows, or the CRB
            loss with a Huber threshold is above 4 there.
        UserWarning
            With `warm_start`, if the axes of the network hold little of the new signals.
        """
        deadline = Deadline(self.max_time)
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        with undone_by_errors(self):
            goes_on = self.warm_start and hasattr(self, "weights_")
            loss, data = self._prepare(sample_weight, X, y, crb, known, goes_on=goes_on)
            self._train(
                loss,
                data,
                holds_out=self.early_stopping,
                repeats=True,
                weights=self.weights_ if goes_on else None,
                n_probes=_N_PROBES,
                deadline=deadline,
                on_epoch=epoch_reporter(context, self, X, y, crb=crb, known=known),
                max_iter=self.max_iter,
                schedule=self.learning_rate,
            )
        report_end(context, self, X, y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, crb=None, known=None, sample_weight=None):
        """Train for one pass over the data, at the rate `learning_rate_init`.

        The first call sets the scales of inputs and targets, the axes on which long signals
        are seen, and the prior, once and for all, so its data should represent all others.
        No call holds rows out, stops early or lowers the rate.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, as in ``fit``.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Parameters, as in ``fit``.
        crb : array-like of the shape of y, default=None
            Cramér-Rao bounds, as in ``fit``.
        known : array-like of shape (n_samples, n_known), default=None
            Known values, as in ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss, relative to each other, as in ``fit``.

        Returns
        -------
        self : CRBRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data do not fit each other, the model or earlier calls, or the first
            call has no more rows than there are inputs, of long signals those on axes.
        KeyboardInterrupt
            If it is interrupted (Ctrl-C). The estimator is as it was, unless the pass over
            the data was complete.

        Warns
        -----
        UserWarning
            If the axes of the network hold little of the signals of a later call.
        """
        deadline = Deadline(self.max_time)
        with undone_by_errors(self):
            goes_on = hasattr(self, "weights_")
            loss, data = self._prepare(sample_weight, X, y, crb, known, goes_on=goes_on)
            if not goes_on:
                check_first_part(self.network_.seen(data[0]))
            self._train(
                loss,
                data,
                holds_out=False,
                repeats=False,
                weights=self.weights_ if goes_on else None,
                optimizer=getattr(self, "optimizer_", None) if goes_on else None,
                n_probes=_N_PARTIAL_PROBES,
                deadline=deadline,
                max_iter=1,
                schedule="constant",
            )
        return self

    def predict(self, X, return_std=False, *, sigma=None, known=None):
        """Estimate parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals of any scale and, if complex, any phase.
        return_std : bool, default=False
            Whether to return standard deviations, too: the square root of the diagonal of
            (F + P)^-1, times the factors of `std_factors_`. F is the Fisher information at
            the estimate, for the M0 and noise of each voxel, and P the inverse covariance
            of the training targets. Where the data say less than this prior, the result is
            smaller than the Cramér-Rao bound predicts.
        sigma : float or array-like, default=None
            Noise of X per channel, for the standard deviations: a number, (n_samples,) or,
            one a sample, (n_samples, n_features) or (1, n_features). By default estimated
            voxel by voxel from what the model leaves unexplained; standard deviations are
            NaN if a signal has no more real numbers than unknowns. Rician noise of
            magnitudes cannot be estimated this way, and must be given.
        known : array-like of shape (n_samples, n_known), default=None
            Values of the parameters that the model is given, or anything else known about
            the samples, as in ``fit``. Voxels where they are NaN or outside their domain
            cannot be estimated.

        Returns
        -------
        y : ndarray of shape (n_samples, n_outputs), or (n_samples,) as in ``fit``
            Parameters, in SI units; NaN for voxels whose signal is not finite or empty:
            complex and zero throughout, or magnitudes that are nowhere positive.
        std : ndarray of the same shape
            Standard deviations, only if `return_std`.

        Raises
        ------
        ValueError
            If X has other features than in ``fit``, or `return_std` is requested without a
            model, or for Rician noise without `sigma`.

        Warns
        -----
        NoiseLevelWarning
            If X is much noisier or less noisy than the training data.
        UserWarning
            If a signal has too few numbers to estimate the noise from, and standard
            deviations are requested without `sigma`.
        """
        X, known, usable = self._check_predict(X, known, return_std=return_std)
        check_gaps(X, sigma, usable)
        y = np.full((len(X), self.n_outputs_), np.nan)
        rows = _rows_of(usable)
        y[rows] = self._estimate(X[rows], rows_of(known, rows))
        # Of a signal beside its axes, a network sees nothing.
        usable &= np.isfinite(y).all(axis=1)
        rows = _rows_of(usable)
        model = self._model_at(rows_of(known, rows))
        if usable.any():
            warn_of_predictions(self, model, X[rows], y[rows], stacklevel=2)
        if not return_std:
            return self._shape_like_targets(y)
        self._check_has_model("return_std")
        data = self._measure(X, usable, sigma)[0]
        self._warn_of_no_noise(data)
        std = np.full_like(y, np.nan)
        if usable.any():
            warn_of_sigma(model, data, y[usable], stacklevel=2)
            prior = self.prior_precision_
            found = analyze_residuals(model, data, y[usable], prior_precision=prior)
            snr = found.snr if sigma is None else np.abs(found.m0) / data.sigma
            std[usable] = found.std * interpolated_factors(self.std_factors_, snr)
        return self._shape_like_targets(y), self._shape_like_targets(std)

    def _prepare(self, *data, goes_on):
        """Check data and settings, set the scales; return the loss and data as arrays."""
        data = self._check_fit(*without_weightless(*data), reset=not goes_on)
        X, y, crb, known, weight = distinct_rows(*data)
        if weight is not None and not goes_on:
            self._remember(X, y, self.y_ndim_)
        loss = make_loss(self.loss, vars(self))
        check_settings(self, loss, X)
        check_targets_inside_bounds(self, y)
        self._output_weights = check_output_weights(self, self.n_outputs_)
        X, y, crb = at_one_amplitude(self.model, X, y, crb)
        if goes_on:
            check_same_network(self, self.network_)
            warn_of_other_signals(self, y, known)
        else:
            self._set_up(X, y, known)
        return loss, (X, y, crb, known, weight)

    def _set_up(self, X, y, known):
        """Set what further training keeps: scales, reference, prior."""
        self.network_ = new_network(self, X, y, known)
        scale, column = self.network_.scale, self.network_.amplitude_column
        if column is not None:
            self.target_variance_[column] = y[0, column] ** 2
        self.prior_precision_ = prior_precision(y, scale, column)
        self.history_ = []
        self._random_state = check_random_state(self.random_state)

    def _train(self, loss, data, *, holds_out, repeats, n_probes, deadline, **options):
        """Train the network; store its weights, history and calibration."""
        X, y, _, known, _ = data
        fraction = self.validation_fraction if holds_out else None
        rows = split_rows(len(X), fraction, self._random_state)
        n_least = self.min_fingerprints if repeats else 0
        rows, (train, held_out) = training_sets(self, loss, data, rows, n_least, deadline)
        train_rows, held_rows = rows
        snr = train[0].get("snr", np.full(1, np.nan))
        self.snr_range_ = float(snr.min()), float(snr.max())
        # Callbacks may predict before the network is calibrated.
        self.apparent_snr_range_, self.std_factors_ = no_calibration(self.n_outputs_)
        if options["weights"] is None:
            self.network_ = with_layers(self, loss, train)
        self.network_ = replace(self.network_, dtype=self.dtype)
        self.weights_, self.optimizer_, progress = self.network_.train(
            X,
            known,
            train,
            held_out,
            loss,
            self._output_weights,
            device=self.device,
            rng=self._random_state,
            n_jobs=self.n_jobs,
            alpha=self.alpha,
            **pace_of(self, loss, train, repeats),
            deadline=training_deadline(deadline, self.model),
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            verbose=bool(self.verbose),
            **options,
        )
        self._store(progress)
        warn_of_no_success(progress, loss)
        # Rows that have been trained on are better than too few.
        n_others = max(0, _LEAST_PROBES - len(held_rows)) if len(held_rows) else n_probes
        probes = np.append(held_rows, train_rows[:n_others])[:n_probes]
        given = y[probes], rows_of(known, probes), deadline, progress
        self.apparent_snr_range_, self.std_factors_ = calibrate_whatever_comes(self, *given)
        raise_interrupt(self, progress)

    def _store(self, progress):
        """Append the history of training to that of earlier training."""
        first = len(self.history_)
        self.history_ = self.history_ + [
            {**record, "epoch": first + record["epoch"]} for record in progress.history
        ]
        losses = [record["loss"] for record in self.history_]
        self.loss_curve_, self.n_iter_ = losses, len(losses)
        self.best_loss_ = progress.best_loss if progress.best_state else np.nan

    def _estimate(self, X, known, sigma=None, *, limits=True):
        """Return estimates of voxels that can be estimated, without limits of amplitude."""
        y = self.network_.estimate(self.weights_, X, known, self.n_jobs)
        if self.model is None:
            return y
        low, high = self.model.bounds.T.copy()
        column = self.network_.amplitude_column
        if not limits and column is not None:
            low[column], high[column] = 0.0, np.inf
        return np.clip(y, low, high)


def _rows_of(usable):
    """Return an index of usable rows; a slice of all rows is no copy."""
    return slice(None) if usable.all() else usable
