"""Training data of CRBRegressor: scales, signals and their bounds, and steps to take."""

from dataclasses import dataclass, replace

import numpy as np

from .._linear_algebra import norms, phase_reference
from .._threads import one_blas_thread
from .._validation import check_sample_weight, n_samples_of, some_rows
from .._warnings import warn
from ..bounds import implied_snr, noise_of_signals, signal_and_bound
from ..least_squares.driver import evenly_spaced
from ..network.arrays import KnownInputs, Network, seen, unit_amplitude
from ..noise import noise_of, noise_of_data
from ..subspace._bound_basis import share_on, telling_axes

# Bounds that depend on the signal are interpolated between signal-to-noise ratios a fifth
# apart, with an error of 1 % for Rician noise.
_LEVEL_RATIO = 1.2
# Share of a step, on a logarithmic scale, up to which signal-to-noise ratios are the same.
_SAME_LEVEL = 1e-3
_N_ROUNDS = 12
# Samples from which on a signal is long; fingerprints whose derivatives show which axes
# tell of the parameters, the least share of them that an axis holds, over its rank, and the
# share of all axes up to which it saves time to see no others.
_LONG, _MOST_ROWS, _LEAST_SHARE, _LARGEST_SHARE = 64, 1024, 2e-5, 0.5
# Fingerprints that show how much a network sees of other data, and what is enough.
_FEW_ROWS, _SEEN = 128, 0.85
# Share of the square of a signal beside the axes from which on it tells of the noise.
_NOISY = 1e-2
# Hidden layers for up to so many parameters, if a fingerprint tells up to so many bits of
# one of them, or more; and for more parameters.
_FEW_OUTPUTS, _FEW_BITS = 4, 14
_SMALL, _WIDE, _LARGE = (64,) * 6, (128,) * 6, (128,) * 10
# Highest learning rate, and the rate times the width of the widest layer.
_HIGHEST_RATE, _RATE_TIMES_WIDTH = 0.01, 0.64
# Fingerprints in a batch at most; at least, and steps of an epoch in between, with fresh
# noise in every batch or without. Steps of an epoch with fresh noise: at least; at least
# over the square of the bits that a fingerprint tells about a parameter; and at most for
# each bit that it tells about all of them.
_LARGEST_BATCH = 1024
_BATCHES = {True: (512, 40), False: (32, 100)}
_LEAST_STEPS, _STEPS_PER_SQUARE, _STEPS_PER_BIT = 12, 0.75, 2


@dataclass(frozen=True)
class TrainingData:
    """How signals and targets become training sets.

    The sets are arrays and options of :class:`~crbestim.network.data.Fingerprints`.

    Parameters
    ----------
    network : Network
        The network, with the scales of its inputs and targets.
    loss : Loss
        The loss, which chooses what squared errors are divided by.
    target_variance : ndarray of shape (n_outputs,)
        Variance of the targets, for losses that do not use the bound.
    noise_std : float
        Noise where no bound is given, for M0 = 1.
    snr : tuple of float or None
        Range of signal-to-noise ratios to draw from; None takes those of the rows.
    """

    network: object
    loss: object
    target_variance: np.ndarray
    noise_std: float
    snr: tuple | None

    def measured(self, X, y, bound, known):
        """Return signals as measured, with the bound at their noise."""
        return self._arrays(X, y, self._precision(y, bound), known), {}

    def simulated(self, model, y, crb, known):
        """Return clean signals that get fresh noise, with the bound at unit noise."""
        if noise_of(model).depends_on_signal:
            return self._simulated_at_levels(model, y, crb, known)
        if self.loss.uses_bound or (crb is not None and self.snr is None):
            signals, bound = signal_and_bound(model, y)
        else:
            signals, bound = model.signal(y), None
        own = np.full(1, 1 / self.noise_std)
        if crb is not None and bound is not None:
            # A given bound implies the noise of its row: the signal-to-noise ratio at
            # which it agrees best with the model's own bound.
            own = implied_snr(bound, crb, default=1 / self.noise_std)
            bound = crb * own[:, None] ** 2
        snr = own if self.snr is None else np.array(self.snr)
        return self._drawing(model, signals, y, self._precision(y, bound), known, snr)

    def simulated_with(self, added, model_at, y, crb, known):
        """Return the same, with rows added to those given, of which `crb` is.

        ``model_at(known)`` returns the model. Where `crb` is not the model's own bound,
        that of an added row is scaled like it: by the greater one of the ratios of both
        bounds in the two rows on whose line it lies.
        """
        if not len(added):
            return self.simulated(model_at(known), y, crb, known)
        all_y, all_known = added.joined(y), added.joined(known)
        model = model_at(all_known)
        if crb is None:
            return self.simulated(model, all_y, None, all_known)
        given, options = self.simulated(model_at(known), y, crb, known)
        levels = replace(self, snr=(given["snr"].min(), given["snr"].max()))
        arrays, _ = levels.simulated(model, all_y, None, all_known)
        own = arrays["precision"]
        ratio = np.ones_like(given["precision"])
        np.divide(given["precision"], own[: len(y)], out=ratio, where=own[: len(y)] > 0)
        precision = given["precision"], own[len(y) :] * added.least(ratio)
        changed = dict(precision=np.concatenate(precision), snr=given["snr"])
        return arrays | changed, options

    def _simulated_at_levels(self, model, y, crb, known):
        """Return the same for noise that depends on the signal, with bounds at levels."""
        snr = np.full(1, 1 / self.noise_std) if self.snr is None else np.array(self.snr)
        if self.snr is None and crb is not None:
            snr = self._implied_snr(model, y, crb)
        signals = model.signal(y)
        if not self.loss.uses_bound:
            precision = self._precision(y, None)
            return self._drawing(model, signals, y, precision, known, snr)
        low, high = snr.min(), snr.max()
        # Ratios that bounds imply agree to about 1e-5 where the noise is the same.
        n_steps = np.ceil(np.log(high / low) / np.log(_LEVEL_RATIO) - _SAME_LEVEL)
        n_levels = 1 + max(0, int(n_steps))
        levels = np.geomspace(low, high, n_levels)
        bounds = (signal_and_bound(model, y, 1 / level)[1] for level in levels)
        at_unit_noise = [b * k**2 for b, k in zip(bounds, levels, strict=True)]
        precision = self.network.scale**2 / np.stack(at_unit_noise, axis=1)
        if crb is not None:
            precision = np.where(np.isfinite(crb)[:, None], precision, 0.0)
        return self._drawing(model, signals, y, precision, known, snr, levels)

    def _implied_snr(self, model, y, crb):
        """Signal-to-noise ratio of each row at which the model's bound agrees best.

        Under Rician noise, a bound falls as SNR^-p with p from 2 (Gaussian noise) to 4
        (noise alone). A step by the cube root of the mismatch therefore leaves at most a
        third of its logarithm.
        """
        snr = np.full(len(y), 1 / self.noise_std)
        for _ in range(_N_ROUNDS):
            _, bound = signal_and_bound(model, y, 1 / snr)
            snr = snr * implied_snr(bound, crb, default=1.0) ** (2 / 3)
        return snr

    def _precision(self, y, bound):
        """Inverse variances of scaled targets."""
        variance = bound if self.loss.uses_bound else self.target_variance
        return self.network.scale**2 / np.broadcast_to(variance, y.shape)

    def _arrays(self, signals, y, precision, known, **others):
        return dict(
            signals=signals,
            targets=(y - self.network.offset) / self.network.scale,
            precision=precision,
            known=self.network.known_inputs.inputs(known, len(y)),
            **others,
        )

    def _drawing(self, model, signals, y, precision, known, snr, levels=None):
        unit = noise_of_signals(model, y, 1.0)
        others = dict(snr=snr, levels=levels, amplitude=unit)
        return self._arrays(signals, y, precision, known, **others), dict(
            snr_is_range=self.snr is not None,
            scale_precision=self.loss.uses_bound,
            noise=noise_of_data(model),
        )


def at_one_amplitude(model, X, y, crb):
    """Return data scaled to one amplitude, 1 if it is in bounds; complex X, to size 1.

    A bound of the amplitude grows with its square, and the others do not depend on it.
    """
    column = None if model is None else model._amplitude_column
    if column is None:
        return unit_amplitude(X), y, crb
    amplitude = y[:, column]
    if not (amplitude > 0).all():
        row = np.argmin(amplitude > 0)
        raise ValueError(
            f"{model.amplitude} = {amplitude[row]:g} in row {row} of y: a signal without "
            "amplitude shows nothing; leave such rows out of fit."
        )
    one = np.clip(1.0, *model.bounds[column])
    factor = np.ones_like(y)
    factor[:, column] = one / amplitude
    y = y * factor
    y[:, column] = one
    return X * factor[:, [column]], y, None if crb is None else crb * factor**2


def without_weightless(sample_weight, *data):
    """Return data, some None, and weights as an array, without the rows of weight zero."""
    if sample_weight is None:
        return *data, None
    n = n_samples_of(data[0])
    weight = check_sample_weight(sample_weight, n)
    if weight.all():
        return *data, weight
    rows = np.flatnonzero(weight)
    # Of what does not fit X, the checks that follow tell.
    fits = [values is not None and n_samples_of(values) == n for values in data]
    pairs = zip(data, fits, strict=True)
    return *(some_rows(v, rows) if fit else v for v, fit in pairs), weight[rows]


def distinct_rows(X, y, crb, known, weight=None):
    """Return rows without copies, and how often each counts, or None if all count once.

    A row that is given n times is one row of weight n, and no copy of it is held out. Rows
    with weights are sorted, so that nothing depends on their order.
    """
    data = X, y, crb, known
    is_even = weight is None or (weight == weight[0]).all()
    # Noise nearly always tells rows apart in their first column.
    if is_even and len(np.unique(X[:, 0])) == len(X):
        return *data, None
    reals = [np.ascontiguousarray(a).view(float) for a in data if a is not None]
    keys = np.ascontiguousarray(np.hstack(reals))
    keys = keys.view(f"V{keys.shape[1] * keys.itemsize}").ravel()
    _, first, copy_of = np.unique(keys, return_index=True, return_inverse=True)
    if is_even and len(first) == len(X):
        return *data, None
    weight = np.bincount(copy_of.ravel(), weights=weight).astype(float)
    return *(None if a is None else a[first] for a in data), weight


def layers_of(hidden_layer_sizes, n_outputs, bits=0.0):
    """Return the widths of hidden layers.

    More parameters want more and wider ones, and few want wider ones where a fingerprint
    tells many bits about a parameter.
    """
    if not isinstance(hidden_layer_sizes, str):
        return tuple(hidden_layer_sizes)
    if n_outputs > _FEW_OUTPUTS:
        return _LARGE
    return _WIDE if bits > _FEW_BITS else _SMALL


def rate_of(learning_rate_init, hidden_layer_sizes):
    """Return the highest learning rate; wider layers want a lower one."""
    if learning_rate_init != "auto":
        return learning_rate_init
    return min(_HIGHEST_RATE, _RATE_TIMES_WIDTH / max(hidden_layer_sizes, default=1))


def new_network(estimator, X, y, known):
    """Return the network of CRBRegressor, with its scales."""
    model, is_complex = estimator.model, estimator.is_complex_
    column = None if model is None else model._amplitude_column
    axes = _axes(estimator, y, known)
    has_norm = axes is not None and (is_complex or column is not None)
    X = seen(X, axes, has_norm)
    sees_norm = has_norm and _is_noisy(X)
    if has_norm and not sees_norm:
        X = np.ascontiguousarray(X[:, :-1])
    offset, scale = target_scales(model, y)
    if column is not None:
        size = norms(X)
        offset[column], scale[column] = 0.0, (y[:, column] / size).mean()
        X = X / size[:, None]
    reference = X.mean(axis=0)
    if is_complex:
        # The norm of what is beside the axes, which comes last, has no phase.
        n = X.shape[1] if axes is None else axes.shape[1]
        reference = np.zeros(X.shape[1], dtype=complex)
        reference[:n] = phase_reference(X[:, :n])
    known_periods = [parameter.period for parameter in estimator._known_parameters]
    return Network(
        # They follow from what there is to learn: `with_layers`.
        hidden_layer_sizes=(),
        activation=estimator.activation,
        dtype=estimator.dtype,
        offset=offset,
        scale=scale,
        periods=np.full(len(scale), np.inf) if model is None else model.periods,
        reference=reference,
        known_inputs=KnownInputs.learn(known, known_periods),
        amplitude_column=column,
        axes=axes,
        sees_norm=sees_norm,
    )


def _is_noisy(X):
    """Return whether the last value of signals, the norm beside axes, tells of their noise.

    Where it is small, it would change features by as much as their own noise, for nothing.
    """
    return bool(np.median((np.abs(X[:, -1]) / norms(X)) ** 2) > _NOISY)


@one_blas_thread
def _axes(estimator, y, known):
    """Return the axes of long signals that tell of the parameters, or None for all."""
    n_features = estimator.n_features_in_
    is_long = estimator._simulates_X and n_features >= _LONG
    if not is_long or not estimator.model.has_jacobian:
        return None
    axes = telling_axes(*_some(estimator, y, known, _MOST_ROWS), _LEAST_SHARE)
    return axes if 0 < axes.shape[1] <= _LARGEST_SHARE * n_features else None


def warn_of_other_signals(estimator, y, known):
    """Warn if a fitted network sees little of what it is to learn from now on."""
    axes = estimator.network_.axes
    if axes is None:
        return
    some = _some(estimator, y, known, _FEW_ROWS)
    with one_blas_thread:
        own_share = seen_share = share_on(axes, *some)
        if seen_share < _SEEN:
            own_share = share_on(telling_axes(*some, _LEAST_SHARE), *some)
    if seen_share < _SEEN * own_share:
        warn(
            f"the network sees {seen_share:.0%} of these signals and their derivatives, "
            f"and one that is fitted to them sees {own_share:.0%}: its axes are those of "
            "the first data; fit anew with warm_start=False, to all data at once",
            UserWarning,
            stacklevel=5,
        )


def _some(estimator, y, known, n_rows):
    """Return the model at some of the rows, and their parameters."""
    rows = evenly_spaced(len(y), n_rows)
    return estimator._model_at(None if known is None else known[rows]), y[rows]


def with_layers(estimator, loss, train):
    """Return a new network of CRBRegressor with the layers for what it is to learn."""
    network, bits = estimator.network_, 0.0
    if "snr" in train[0]:
        bits = bits_of_one(information_of(train, loss))
    sizes = layers_of(estimator.hidden_layer_sizes, len(network.scale), bits)
    return replace(network, hidden_layer_sizes=sizes)


def pace_of(estimator, loss, train, repeats):
    """Return the settings of the training loop that say how many steps it takes, how far.

    Fingerprints with fresh noise may be repeated in an epoch, if `repeats`.
    """
    n_samples = len(train[0]["targets"])
    draws_noise = repeats and "snr" in train[0]
    information = information_of(train, loss)
    pace = batches_of(estimator.batch_size, n_samples, draws_noise, information)
    rate = rate_of(estimator.learning_rate_init, estimator.network_.hidden_layer_sizes)
    return pace | dict(learning_rate=rate)


def batches_of(batch_size, n_samples, draws_noise, information):
    """Return the settings of the training loop that say how many steps an epoch has."""
    if batch_size != "auto":
        return dict(batch_size=batch_size, least_steps=1, most_steps=np.inf)
    smallest, n_steps = _BATCHES[draws_noise]
    size = int(np.clip(n_samples // n_steps, smallest, _LARGEST_BATCH))
    if not draws_noise:
        return dict(batch_size=size, least_steps=1, most_steps=np.inf)
    least = max(_LEAST_STEPS, round(_STEPS_PER_SQUARE * bits_of_one(information) ** 2))
    most = max(least, _STEPS_PER_BIT * information.sum())
    return dict(batch_size=size, least_steps=least, most_steps=most)


def information_of(train, loss):
    """Return how many bits a fingerprint tells about each parameter, at the least noise.

    That is the binary logarithm of the spread of the parameter over its standard deviation
    in a typical fingerprint; infinite if the loss does without the bound.
    """
    arrays, drawing = train
    targets, precision = arrays["targets"], arrays["precision"]
    if not loss.uses_bound:
        return np.full(targets.shape[1], np.inf)
    if precision.ndim == 3:
        precision = precision[:, -1]
    if drawing.get("scale_precision", False):
        precision = precision * np.max(arrays["snr"]) ** 2
    ratio = targets.var(axis=0) * np.median(precision, axis=0)
    return 0.5 * np.log2(1 + ratio)


def bits_of_one(information):
    """Return the mean bits about a parameter; 0 if they are unknown or there are none."""
    bits = information[information > 0]
    return float(bits.mean()) if len(bits) and np.isfinite(bits).all() else 0.0


def target_scales(model, y):
    """Return offsets and scales of targets, from the model's bounds or the targets."""
    if model is None:
        return y.mean(axis=0), np.where(np.ptp(y, axis=0) > 0, y.std(axis=0), 1.0)
    return model.bounds.mean(axis=1), np.diff(model.bounds, axis=1).ravel()
