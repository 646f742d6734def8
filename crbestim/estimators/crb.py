"""CRBRegressor: a network trained with errors in units of the Cramér-Rao bound."""

import warnings
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._validation import Interval, StrOptions, fit_context
from ..bounds import implied_snr, signal_and_bound
from ..datasets.noise import check_snr
from ._base import BoundedRegressor
from ._network import (
    Architecture,
    TrainingSet,
    phase_reference,
    run_network,
    train_network,
    unit_amplitude,
)


class CRBRegressor(BoundedRegressor):
    r"""Neural network that estimates parameters from signals, trained with the CRB loss.

    The loss is the mean of (estimate - truth)^2 / CRB over fingerprints and parameters
    (Zhang et al., MRM 2022, doi 10.1002/mrm.29206), in training with errors beyond
    `huber_threshold` counted linearly. It balances parameters of any unit and difficulty by
    itself, and an ideal unbiased estimator has 1.

    With a model, the clean signal of each row of y is simulated once, and every epoch
    draws fresh noise. The estimate does not depend on a complex factor of complex X,
    ``predict(c * X) == predict(X)``, and stays inside the model's bounds.

    Parameters
    ----------
    model : SignalModel, default=None
        Model of the rows of X. Without one, the network learns from X as given and the
        bound must come through ``crb``, or the variance of the targets stands in.
    loss : {"crb", "mse"}, default="crb"
        Squared errors over the bound, or over the variance of each target.
    huber_threshold : float, default=2.0
        With the CRB loss, errors beyond this many standard deviations of the bound count
        linearly (Huber). Rare fingerprints whose bound is tiny, such as fluid near the
        ends of the interval of omega0, otherwise rule the mean and keep the network from
        learning all others. None is the pure loss.
    hidden_layer_sizes : tuple of int, default=(256, 256, 256, 256, 256)
        Widths of the hidden layers. Layers of equal width have residual connections.
    activation : {"relu", "silu", "gelu", "tanh"}, default="silu"
        Activation of the hidden layers.
    noise_std : float, default=0.01
        Standard deviation of the noise per channel for M0 = 1, where ``crb`` is not
        given: for the bound of held-out rows, for ``score`` and for ``return_std``.
    snr : float or tuple of float, default=None
        abs(M0)/sigma of the noise that training draws with a model: a number, or a
        range from which each draw is uniform. By default the ratios that ``crb`` implies
        for the rows of X, or ``1 / noise_std`` where it is not given.
    resample_noise : bool, default=True
        Whether to draw fresh noise in every epoch, which needs a model; otherwise the
        network learns from X as given.
    alpha : float, default=1e-4
        Weight decay.
    batch_size : int, default=128
        Fingerprints per step of the optimizer.
    learning_rate_init : float, default=2e-3
        Highest learning rate. It falls to zero along half a cosine over `max_iter`
        epochs, or over `max_time` if that ends first.
    max_iter : int, default=100
        Number of epochs at most.
    max_time : float, default=None
        Time for training at most, in s. A fit that it cuts short depends on the speed
        of the machine.
    early_stopping : bool, default=True
        Whether to hold out a part of the rows of X as given, keep the weights of the
        epoch that does best on it, and stop when nothing improves.
    validation_fraction : float, default=0.1
        Share of rows held out.
    n_iter_no_change : int, default=20
        Epochs without improvement after which training stops.
    tol : float, default=0.0
        What counts as improvement of the validation loss.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to train; "auto" takes a GPU if there is one.
    n_jobs : int, default=None
        Number of threads of the CPU; None is one, -1 all. Threads that share their core
        with other programs wait for each other for most of the time.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, noise, order and split.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    weights_ : dict of ndarray
        Weights of the network by name.
    history_ : list of dict
        A record per epoch: loss, validation_loss, learning_rate, time.
    loss_curve_ : list of float
        Training loss of every epoch.
    best_loss_, n_iter_ : float, int
        Best validation loss, NaN without early stopping, and number of epochs.
    snr_range_ : tuple of float
        Signal-to-noise ratios that training drew from; (nan, nan) for X as given.
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

    _parameter_constraints = {
        "model": "no_validation",
        "loss": [StrOptions({"crb", "mse"})],
        "huber_threshold": [None, Interval(Real, 0, None, closed="neither")],
        "hidden_layer_sizes": ["array-like"],
        "activation": [StrOptions({"relu", "silu", "gelu", "tanh"})],
        "noise_std": [Interval(Real, 0, None, closed="neither")],
        "snr": [None, Interval(Real, 0, None, closed="neither"), "array-like"],
        "resample_noise": ["boolean"],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "max_time": [None, Interval(Real, 0, None, closed="neither")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=None,
        *,
        loss="crb",
        huber_threshold=2.0,
        hidden_layer_sizes=(256, 256, 256, 256, 256),
        activation="silu",
        noise_std=0.01,
        snr=None,
        resample_noise=True,
        alpha=1e-4,
        batch_size=128,
        learning_rate_init=2e-3,
        max_iter=100,
        max_time=None,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=20,
        tol=0.0,
        device="auto",
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.model = model
        self.loss = loss
        self.huber_threshold = huber_threshold
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.noise_std = noise_std
        self.snr = snr
        self.resample_noise = resample_noise
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.max_time = max_time
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, crb=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, real or complex, noisy as measured.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Parameters, in SI units, in the order of ``model.parameter_names``.
        crb : array-like of the shape of y, default=None
            Cramér-Rao bounds at the noise of each row of X; infinite entries are left
            out. By default computed with the model and ``noise_std``.

        Returns
        -------
        self : CRBRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y, crb and model do not fit together or hold values that cannot be.
        RuntimeError
            If the loss diverges, or device="cuda" without a GPU.
        """
        X, y, crb = self._check_fit(X, y, crb)
        self._check_for_network(X, y)
        rng = check_random_state(self.random_state)
        rows, held_out_rows = self._split(len(X), rng)
        self._set_scales(y)
        X = unit_amplitude(X)
        self.reference_ = phase_reference(X)
        take = partial(_take_rows, X, y, crb)
        self.weights_, progress = train_network(
            self._architecture,
            X,
            self.reference_,
            self._training_set(*take(rows)),
            self._measured(*take(held_out_rows)) if len(held_out_rows) else None,
            device=self.device,
            rng=rng,
            n_jobs=self.n_jobs,
            max_iter=self.max_iter,
            max_time=np.inf if self.max_time is None else self.max_time,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate_init,
            alpha=self.alpha,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            threshold=np.inf if self.loss == "mse" else self.huber_threshold or np.inf,
            verbose=bool(self.verbose),
        )
        self._keep(progress)
        return self

    def _check_for_network(self, X, y):
        """Check what a network needs beyond what all estimators need."""
        filled = (X != 0).any(axis=1)
        if X.dtype.kind == "c" and not filled.all():
            raise ValueError(
                f"X is zero throughout in {np.sum(~filled)} rows, the first is row "
                f"{np.argmin(filled)}; leave voxels without signal out of fit."
            )
        if self.snr is not None:
            check_snr(self.snr)
        sizes = list(self.hidden_layer_sizes)
        if not all(isinstance(size, Integral) and size > 0 for size in sizes):
            raise ValueError(
                f"hidden_layer_sizes = {self.hidden_layer_sizes!r}; give positive integers."
            )
        if self.model is not None:
            self._check_targets_inside_bounds(y)

    def _split(self, n_samples, rng):
        """Rows to train on, and rows held out."""
        order = rng.permutation(n_samples)
        n_held_out = 0
        if self.early_stopping:
            n_held_out = int(np.ceil(self.validation_fraction * n_samples))
        if n_held_out >= n_samples:
            raise ValueError(
                f"n_samples = {n_samples} sample"
                f"{'s' if n_samples > 1 else ''} leaves none to train on after "
                f"validation_fraction={self.validation_fraction}; give more, or "
                "early_stopping=False."
            )
        return order[n_held_out:], order[:n_held_out]

    def _set_scales(self, y):
        """Offset and scale of each target: its bounds, or its mean and spread."""
        if self.model is None:
            self.offset_ = y.mean(axis=0)
            self.scale_ = np.where(np.ptp(y, axis=0) > 0, y.std(axis=0), 1.0)
        else:
            self.offset_ = self.model.bounds.mean(axis=1)
            self.scale_ = np.diff(self.model.bounds, axis=1).ravel()

    def _training_set(self, X, y, crb):
        """Clean signals that get fresh noise, or signals as measured."""
        if self.model is None or not self.resample_noise:
            self.snr_range_ = (np.nan, np.nan)
            return self._measured(X, y, crb)
        if self.loss == "mse" and crb is None:
            signals, unit = self.model.evaluate(y), None
        else:
            signals, unit = signal_and_bound(self.model, y)
        snr, unit = self._training_snr(crb, unit)
        self.snr_range_ = float(snr.min()), float(snr.max())
        is_crb = self.loss == "crb"
        precision = self.scale_**2 / unit if is_crb else self._mse_precision(y)
        return TrainingSet(signals, self._scaled(y), precision, snr, is_crb)

    def _measured(self, X, y, crb):
        """Signals as measured, with the inverse variances of their scaled targets."""
        if self.loss == "mse":
            return TrainingSet(X, self._scaled(y), self._mse_precision(y))
        return TrainingSet(X, self._scaled(y), self.scale_**2 / self._bound(y, crb))

    def _scaled(self, y):
        return (y - self.offset_) / self.scale_

    def _mse_precision(self, y):
        return np.broadcast_to(self.scale_**2 / self.target_variance_, y.shape)

    def _training_snr(self, crb, unit):
        """Signal-to-noise ratios to draw from, and the bound at unit noise.

        A given bound counts up to the noise level of its row: the ratio that makes it
        agree best with the model's own bound is that row's signal-to-noise ratio.
        """
        own = None
        if crb is not None:
            own = implied_snr(unit, crb, default=1 / self.noise_std)
            unit = crb * own[:, None] ** 2
        if self.snr is not None:
            return np.array(check_snr(self.snr)), unit
        if own is None:
            return np.full(2, 1 / self.noise_std), unit
        return own, unit

    def _keep(self, progress):
        """Store the history of training."""
        self.history_ = progress.history
        self.loss_curve_ = [record["loss"] for record in progress.history]
        self.n_iter_ = len(progress.history)
        self.best_loss_ = progress.best_loss if progress.best_state else np.nan
        if progress.interrupted:
            warnings.warn(
                f"training was interrupted after {self.n_iter_} of {self.max_iter} epochs; "
                "the best weights so far are kept",
                ConvergenceWarning,
                stacklevel=3,
            )

    @property
    def _architecture(self):
        periods = np.inf if self.model is None else self.model.periods
        return Architecture(
            tuple(self.hidden_layer_sizes),
            self.activation,
            np.broadcast_to(periods, self.scale_.shape) / self.scale_,
        )

    def predict(self, X, return_std=False):
        """Estimate parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals of any scale and, if complex, any phase.
        return_std : bool, default=False
            Whether to return the standard deviation, too, that the Cramér-Rao bound
            predicts at the estimate for ``noise_std`` and M0 = 1.

        Returns
        -------
        y : ndarray of shape (n_samples, n_outputs), or (n_samples,) as in ``fit``
            Parameters, in SI units; NaN for voxels whose signal is zero throughout.
        std : ndarray of the same shape
            Standard deviations, only if `return_std`; infinite where the data do not
            determine a parameter.

        Raises
        ------
        ValueError
            If X has NaN or infinite values or other features than in ``fit``, or
            `return_std` is asked for without a model.
        """
        X, usable = self._check_predict(X)
        y = np.full((len(X), self.n_outputs_), np.nan)
        if usable.any():
            y[usable] = self._forward(X[usable])
        if not return_std:
            return self._shape_like_targets(y)
        return self._shape_like_targets(y), self._shape_like_targets(self._predicted_std(y))

    def _forward(self, X):
        scaled = run_network(
            self._architecture, self.weights_, self.reference_, X, self.n_jobs
        )
        y = self.offset_ + self.scale_ * scaled
        return y if self.model is None else np.clip(y, *self.model.bounds.T)


def _take_rows(X, y, crb, rows):
    return X[rows], y[rows], None if crb is None else crb[rows]
