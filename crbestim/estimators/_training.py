"""Checks of CRBRegressor before its training, and reports of it."""

from numbers import Integral

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._arrays import as_reals
from .._options import check_number
from .._validation import check_sigma
from .._warnings import warn
from ..network.losses import CRBLoss
from ..noise import check_snr
from ._training_data import layers_of

# Number of epochs below which nobody expects a network to have learned.
_TRIAL = 10
# Validation loss with a Huber threshold of a network whose errors are, by and large, beyond
# two standard deviations of the bound.
_FAR_FROM_IDEAL = 4.0


def check_gaps(X, sigma, usable):
    """Warn of voxels that lack some samples but not all; refuse noise that leaves any out.

    A network cannot do without a sample.
    """
    sigma = check_sigma(sigma, X, usable)
    if np.ndim(sigma) == 2 and np.isinf(sigma).any():
        raise ValueError(
            "sigma is infinite for some samples, which then do not count, but a network "
            "uses them; give finite noise, or use NLLSRegressor."
        )
    finite = np.isfinite(X)
    n_gaps = int((finite.any(axis=1) & ~finite.all(axis=1)).sum())
    if n_gaps:
        warn(
            f"X has NaN or infinite values in some samples of {n_gaps} of {len(X)} voxels, "
            "whose estimates are NaN: a network needs all samples; for these voxels, "
            "NLLSRegressor(model, nan_policy='omit') does without",
            UserWarning,
            stacklevel=3,
        )


def check_finite_bounds(estimator):
    """Refuse a model whose bounds cannot serve as scales."""
    model = estimator.model
    shape = model._shape
    finite = np.isfinite(shape.bounds).all(axis=1)
    if not finite.all():
        name = shape.parameter_names[np.argmin(finite)]
        raise ValueError(
            f"{type(estimator).__name__} scales parameters by their bounds, and those of "
            f"{name} are not finite; give the model finite bounds."
        )


def check_targets_inside_bounds(estimator, y):
    """Refuse targets outside the bounds of a model, which no estimate can reach."""
    if estimator.model is None:
        return
    check_finite_bounds(estimator)
    model = estimator.model
    low, high = model.bounds.T
    # Draws from truncated distributions may exceed the ends by a rounding error.
    slack = 1e-9 * np.nan_to_num(np.abs(model.bounds).max(axis=1), posinf=0.0)
    outside = (y < low - slack) | (y > high + slack)
    if outside.any():
        row, k = np.argwhere(outside)[0]
        raise ValueError(
            f"{model.parameter_names[k]} = {y[row, k]:g} in row {row} of y is "
            f"outside the model's bounds {low[k]:g} to {high[k]:g}, which estimates "
            "never leave; give the model wider bounds, or leave these rows out."
        )


def check_output_weights(estimator, n_outputs):
    """Return the weight of each output; without a model, outputs have no names."""
    output_weights, model = estimator.output_weights, estimator.model
    if output_weights is None or len(output_weights) == 0:
        return np.ones(n_outputs)
    if isinstance(output_weights, dict):
        names = () if model is None else model.parameter_names
        unknown = [name for name in output_weights if name not in names]
        if unknown:
            allowed = ", ".join(names) or "unnamed without a model: give a number a column"
            raise ValueError(
                f"output_weights has {unknown[0]!r}; the parameters are {allowed}."
            )
        allowed = "a finite number, 0 or more"
        for name, weight in output_weights.items():
            check_number(weight, f"output_weights[{name!r}]", allowed, least=0)
        weights = np.array([output_weights.get(name, 1.0) for name in names], dtype=float)
    else:
        weights = as_reals(output_weights, "output_weights")
    right = weights.shape == (n_outputs,) and np.isfinite(weights).all()
    if not (right and (weights >= 0).all() and weights.any()):
        raise ValueError(
            f"output_weights = {output_weights!r}; give {n_outputs} finite "
            "weights, none negative and not all zero."
        )
    return weights.astype(float)


def trained_outputs(estimator):
    """Return which outputs were trained: those of a network with a weight above 0."""
    weights = getattr(estimator, "_output_weights", None)
    return np.ones(estimator.n_outputs_, dtype=bool) if weights is None else weights > 0


def check_settings(estimator, loss, X):
    """Check X and the settings of CRBRegressor, beyond their types."""
    filled, model = (X != 0).any(axis=1), estimator.model
    has_factor = X.dtype.kind == "c" or (model is not None and model.has_factor)
    if has_factor and not filled.all():
        raise ValueError(
            f"X is zero throughout in {np.sum(~filled)} rows, the first is row "
            f"{np.argmin(filled)}; leave voxels without signal out of fit."
        )
    if estimator.snr is not None:
        check_snr(estimator.snr)
    sizes = layers_of(estimator.hidden_layer_sizes, 1)
    if not all(isinstance(n, Integral) and n > 0 for n in sizes):
        raise ValueError(
            f"hidden_layer_sizes = {sizes!r}; give positive integers, or 'auto'."
        )
    if loss.n_realizations > 1:
        _check_realizations(estimator)


def _check_realizations(estimator):
    """Refuse a loss over several noise realizations where none can be simulated."""
    model, resample_noise = estimator.model, estimator.resample_noise
    needs = f"loss={estimator.loss!r} needs several noise realizations of each fingerprint"
    if model is None or not resample_noise:
        raise ValueError(
            f"{needs}; give a model (it is {model}) and resample_noise=True (it is "
            f"{resample_noise})."
        )
    n_features = estimator.n_features_in_
    if n_features != model.n_features:
        raise ValueError(
            f"{needs}, simulated, but X has {n_features} features, the model "
            f"{model.n_features}: compress the model with the basis of X."
        )


def check_first_part(X):
    """Refuse a first call with too few rows to show how inputs vary."""
    n_inputs = X.shape[1] * (2 if X.dtype.kind == "c" else 1)
    if len(X) <= n_inputs:
        raise ValueError(
            f"the first call of partial_fit has n_samples = {len(X)} sample"
            f"{'s' if len(X) > 1 else ''} for {n_inputs} real inputs, too few to show "
            "how they vary; give more rows in the first call."
        )


def check_same_network(estimator, network):
    """Refuse to continue with a network whose layers or periods are not the estimator's."""
    layers = estimator.hidden_layer_sizes
    # "auto" keeps the layers there are.
    layers = network.hidden_layer_sizes if isinstance(layers, str) else tuple(layers)
    settings = layers, estimator.activation
    for name, wanted in zip(("hidden_layer_sizes", "activation"), settings, strict=True):
        fitted = getattr(network, name)
        if wanted != fitted:
            raise ValueError(
                f"{name} = {wanted!r}, but the fitted network has {fitted!r}; keep that, "
                "or fit anew with warm_start=False."
            )
    model = estimator.model
    if model is not None and not np.array_equal(model.periods, network.periods):
        raise ValueError(
            f"{model} has other periodic parameters than the model of the "
            "fitted network; fit anew with warm_start=False."
        )


def check_something_counts(train, held_out, weights):
    """Refuse bounds that leave nothing to train on, or to validate with."""
    for data, what in ((train, "train on"), (held_out, "hold out")):
        if data is not None and not ((data[0]["precision"] > 0) & (weights > 0)).any():
            raise ValueError(
                f"no row to {what} has a parameter with a finite bound and a weight; "
                "check crb and output_weights, or set early_stopping=False."
            )


def warn_of_no_success(progress, loss, stacklevel=4):
    """Warn if plain estimates do better on held-out rows, or an ideal one far better."""
    best, reference, n = progress.best_loss, progress.reference_loss, len(progress.history)
    # Without held-out rows, nothing is known of either; a few epochs are but a trial.
    if progress.best_state is None or n < _TRIAL:
        return
    # Without a threshold, a few errors make a loss as large as this.
    is_absolute = isinstance(loss, CRBLoss) and loss.huber_threshold is not None
    if best > reference:
        rival = (
            "that of a linear regression, or of the mean of the targets, is "
            f"{reference:.3g}"
        )
    elif is_absolute and best > _FAR_FROM_IDEAL:
        rival = "that of an ideal estimator is about 1"
    else:
        return
    warn(
        f"the network has not learned: after {n} epochs its validation loss is "
        f"{best:.3g}, and {rival}; train for longer (max_iter, n_iter_no_change, "
        "max_time), with more fingerprints, or at another learning_rate_init, look for "
        "outliers, or, with a model, refine its estimates by OneStepRegressor",
        ConvergenceWarning,
        stacklevel=stacklevel + 1,
    )


def raise_interrupt(estimator, progress):
    """Raise the interrupt that training has caught, if there was one."""
    if not progress.interrupted:
        return
    n = len(progress.history)
    interrupt = KeyboardInterrupt(
        f"fit was interrupted after {n} whole epoch{'s' * (n > 1)}; the estimator is "
        "fitted, with the best weights so far"
    )
    interrupt.fitted = estimator
    raise interrupt


def epoch_reporter(context, estimator, X, y, **metadata):
    """Return a function that reports an epoch to scikit-learn's callbacks.

    It returns True if one of them asks to stop.
    """
    options = dict(estimator=estimator, X=X, y=y)
    metadata = {name: value for name, value in metadata.items() if value is not None}
    if metadata:
        options["metadata"] = metadata

    def report(record, weights):
        epoch = context.subcontext(task_name=f"epoch {record['epoch']}")
        epoch.call_on_fit_task_begin(**options)
        return epoch.call_on_fit_task_end(
            **options,
            reconstruction_attributes=lambda: _fitted(estimator) | {"weights_": weights()},
        )

    return report


def report_end(context, estimator, X, y):
    """Report the end of a fit to scikit-learn's callbacks."""
    context.call_on_fit_task_end(
        estimator=estimator,
        X=X,
        y=y,
        reconstruction_attributes=lambda: _fitted(estimator),
    )


def _fitted(estimator):
    """Return what `predict` and `score` need, as attributes by name."""
    return {name: value for name, value in vars(estimator).items() if name[-1] == "_"}
