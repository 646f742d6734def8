"""The door of the network: NumPy arrays in and out, torch behind it.

torch is imported only when a network is trained: what has been trained runs in compiled
kernels.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from joblib import delayed

from .._linear_algebra import norms
from .._parallel import in_parallel, n_threads
from .._threads import one_torch_thread
from ..kernels.feed_forward import align, centre
from ..noise import GaussianNoise
from .inference import Layers, products

# Rows that go through the network together, whose numbers fit into caches, and rows that a
# thread takes.
_ROWS, _TASK = 512, 16_384


@dataclass(frozen=True, eq=False)
class KnownInputs:
    """How known values become inputs: one each, or two for those that have a period.

    Attributes
    ----------
    offset, scale : ndarray of shape (n_known,)
        What is subtracted from the values, and what they are divided by.
    periods : ndarray of shape (n_known,)
        Periods; infinite for values that have none.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.network.arrays import KnownInputs
    >>> KnownInputs.learn(np.array([[1.0], [5.0]])).inputs(np.array([[3.0], [7.0]]))
    array([[0.],
           [2.]])
    """

    offset: np.ndarray
    scale: np.ndarray
    periods: np.ndarray

    @classmethod
    def learn(cls, known, periods=()):
        """Learn the scales from the known values of training samples, or from None."""
        if known is None:
            return cls(*np.empty((3, 0)))
        spread = known.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        periods = periods or [np.inf] * known.shape[1]
        return cls(known.mean(axis=0), scale, np.array(periods))

    def inputs(self, known, n_samples=None):
        """Return inputs of the network, of shape (n_samples, 0) if nothing is known.

        They are values in units of their spread, or cosine and sine for those with a
        period.
        """
        if known is None:
            return np.empty((n_samples, 0))
        is_round = np.isfinite(self.periods)
        angles = 2 * np.pi * known[:, is_round] / self.periods[is_round]
        others = ((known - self.offset) / self.scale)[:, ~is_round]
        return np.hstack([others, np.cos(angles), np.sin(angles)])


@dataclass(frozen=True, eq=False)
class Network:
    """A network without its weights: its layers, and the scales of inputs and targets.

    Attributes
    ----------
    hidden_layer_sizes : tuple of int
        Widths of the hidden layers.
    activation : str
        Their activation.
    dtype : {"float32", "float64"}
        Precision.
    offset, scale : ndarray of shape (n_outputs,)
        What is subtracted from targets, and what they are divided by.
    periods : ndarray of shape (n_outputs,)
        Periods of the targets; infinite where there is none.
    reference : ndarray of shape (n_features,), or of as many as `seen` returns
        Phase reference of complex signals, or the mean of real ones, of unit norm if they
        have an amplitude.
    known_inputs : KnownInputs
        How known values become inputs.
    amplitude_column : int, default=None
        Which target is the amplitude of real signals; its scale is per unit of their norm.
    axes : ndarray of shape (n_features, n_axes), default=None
        Orthonormal axes on which the network sees signals. By default it sees the samples
        themselves.
    sees_norm : bool, default=False
        Whether it sees the norm of what is beside the axes, too.
    """

    hidden_layer_sizes: tuple
    activation: str
    dtype: str
    offset: np.ndarray
    scale: np.ndarray
    periods: np.ndarray
    reference: np.ndarray
    known_inputs: KnownInputs
    amplitude_column: int | None = None
    axes: np.ndarray | None = None
    sees_norm: bool = False

    @property
    def _has_factor(self):
        return self.reference.dtype.kind == "c" or self.amplitude_column is not None

    @property
    def _n_parts(self):
        """Real numbers of a value of a signal."""
        return 2 if self.reference.dtype.kind == "c" else 1

    @property
    def n_beside(self):
        """Real numbers of a signal that are beside the axes, of which the norm is seen."""
        if not self.sees_norm:
            return 0
        n_features, n_axes = self.axes.shape
        return (n_features - n_axes) * self._n_parts

    def seen(self, X):
        """Return signals as the network sees them; see the function `seen`."""
        return seen(X, self.axes, self.sees_norm)

    def estimate(self, weights, X, known, n_jobs):
        """Estimate targets; a row's estimate does not depend on the other rows.

        Parameters
        ----------
        weights : dict of ndarray
            Weights of the network by name.
        X : ndarray of shape (n_samples, n_features)
            Signals, in single or double precision.
        known : ndarray of shape (n_samples, n_known) or None
            Known values.
        n_jobs : int or None
            Number of threads.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Estimates.
        """
        options = self.hidden_layer_sizes, self.activation, self.dtype
        layers = Layers.of(weights, *options, self.periods / self.scale)
        found = np.empty((len(X), len(self.scale)))

        def write(task):
            for first in range(task, min(task + _TASK, len(X)), _ROWS):
                rows = slice(first, first + _ROWS)
                values = None if known is None else known[rows]
                found[rows] = self._estimates(layers, X[rows], values)

        if len(X) <= _TASK:
            write(0)
            return found
        tasks = (delayed(write)(first) for first in range(0, len(X), _TASK))
        for _ in in_parallel(tasks, n_jobs, require="sharedmem"):
            pass
        return found

    def _estimates(self, layers, X, known):
        """Estimate the targets of some rows."""
        # Copies, so that kernels always get arrays of the same kind.
        X = np.array(X, complex if self.reference.dtype.kind == "c" else float, order="C")
        X = self.seen(X)
        # A signal beside all axes has no phase or norm to align.
        is_unseen = ~X.any(axis=1) if self._has_factor else np.zeros(len(X), dtype=bool)
        X[is_unseen] = 1.0
        inputs = self.known_inputs.inputs(known, len(X))
        found = self.offset + self.scale * layers(self._aligned(X), inputs)
        if self.amplitude_column is not None:
            found[:, self.amplitude_column] *= norms(X)
        found[is_unseen] = np.nan
        return found

    def _aligned(self, X):
        """Return features of signals as rows, as `align` of `network.modules` does."""
        is_complex, reference = X.dtype.kind == "c", np.ascontiguousarray(self.reference)
        features = np.empty((len(X), X.shape[1] * (2 if is_complex else 1)))
        if is_complex:
            align(X, reference, features)
        else:
            centre(X, reference, self._has_factor, features)
        return features

    def train(
        self,
        X,
        known,
        train,
        held_out,
        loss,
        output_weights,
        *,
        weights=None,
        optimizer=None,
        device,
        rng,
        n_jobs,
        deadline,
        on_epoch=None,
        **settings,
    ):
        """Train the network.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Measured signals, which set mean and spread of the network's inputs.
        known : ndarray of shape (n_samples, n_known) or None
            Known values, used in the same way.
        train, held_out : tuple of dict
            Arrays and options of :class:`~crbestim.network.data.Fingerprints` to train on
            and to validate with; the latter may be None.
        loss : Loss
            The loss.
        output_weights : ndarray of shape (n_outputs,)
            Weight of each parameter in the loss.
        weights, optimizer : dict of ndarray, default=None
            Weights and state of the optimizer to continue from; by default new ones.
        device : {"auto", "cpu", "cuda"}
            Where to train.
        rng : RandomState
            Source of the seeds of weights, order and noise.
        n_jobs : int or None
            Number of threads.
        deadline : crbestim._deadline.Deadline
            When training must end.
        on_epoch : callable, default=None
            Called with the record of each epoch and a function that returns the weights;
            if it returns True, training ends.
        **settings
            The other fields of `crbestim.network.training.Settings`.

        Returns
        -------
        weights, optimizer : dict of ndarray
            Weights of the network, and the state of the optimizer, by name.
        progress : Progress
            History and best loss.
        """
        import torch

        from .data import as_tensor
        from .training import Settings, Trainer

        device = _choose_device(device)
        seeds = [int(seed) for seed in rng.randint(2**31 - 1, size=2)]
        is_new = weights is None
        module = self._new(X, known, seeds[0], train) if is_new else self._load(weights)
        n_parts = 1 if device == "cuda" else n_threads(n_jobs)
        with pool(n_parts) as parallel_map:
            data = [self._fingerprints(part, device) for part in (train, held_out)]
            trainer = Trainer(
                module.to(device),
                *data,
                loss,
                as_tensor(output_weights, self.dtype, device),
                Settings(max_time=deadline.left, **settings),
                torch.Generator(device).manual_seed(seeds[1]),
                parallel_map,
            )
            if optimizer is not None:
                trainer.optimizer.load_state_dict(_tensors(optimizer))

            def end_of_epoch(record):
                return on_epoch(record, lambda: _arrays(module.state_dict()))

            progress = trainer.fit(None if on_epoch is None else end_of_epoch)
        weights, optimizer = module.state_dict(), trainer.optimizer.state_dict()
        return _arrays(weights), _arrays(optimizer), progress

    def _build(self, n_inputs, n_directions):
        """Return a module whose weights are not set yet."""
        import torch

        from .modules import FingerprintNetwork

        layers = self.hidden_layer_sizes, self.periods / self.scale, self.activation
        module = FingerprintNetwork(n_inputs, *layers, n_directions)
        return module.to(getattr(torch, self.dtype))

    def _load(self, weights):
        """Return a module with given weights."""
        module = self._build(*weights["whitening"].shape)
        module.load_state_dict(_tensors(weights))
        return module

    def _new(self, X, known, seed, train=None):
        """Return a module with random weights that whitens its inputs.

        If noise is drawn in training, it is known exactly: clean signals then show more
        than X, which is noisy.
        """
        import torch

        arrays = {} if train is None else train[0]
        if "snr" in arrays:
            signals, inputs = arrays["signals"], arrays["known"]
            noise = self._noise_of_features(arrays)
        else:
            signals, inputs = X, self.known_inputs.inputs(known, len(X))
            noise = 0.0
        with pool(1):
            features = self._features(signals, inputs)
            mean, whitening = self._whitening(features, noise, inputs.shape[1])
            module = self._build(*whitening.shape)
            module.initialize(torch.Generator().manual_seed(seed))
            module.set_inputs(mean, whitening)
        return module

    def _whitening(self, features, noise, n_exact):
        """Return mean and whitening of features, without the norm beside the axes."""
        import torch

        from .modules import whitening_of

        n = features.shape[1] - n_exact
        counts = torch.ones(features.shape[1], dtype=torch.bool)
        counts[n - (self._n_parts if self.n_beside else 0) : n] = False
        mean, whitening = whitening_of(features[:, counts], noise, n_exact)
        all_means = mean.new_zeros(len(counts))
        all_rows = whitening.new_zeros(len(counts), whitening.shape[1])
        all_means[counts], all_rows[counts] = mean, whitening
        return all_means, all_rows

    def _noise_of_features(self, arrays):
        """Return the least variance that drawn noise gives to features of a typical row."""
        signals, amplitude = arrays["signals"], arrays["amplitude"]
        level = 1.0 if amplitude is None else np.asarray(amplitude)
        variance = np.broadcast_to((level / arrays["snr"].max()) ** 2, len(signals))
        is_complex = signals.dtype.kind == "c"
        if is_complex or self.amplitude_column is not None:
            # Features are shares of the norm, to which the noise adds.
            n = signals.shape[1] * (2 if is_complex else 1)
            variance = variance / (norms(signals) ** 2 + n * variance)
        # A mean would be that of the few rows that hardly have a signal.
        return float(np.median(variance))

    def _features(self, X, known_inputs):
        """Return the inputs of the network, in double precision."""
        import torch

        from . import modules

        signals = torch.as_tensor(np.array(self._centred(self.seen(X))))
        has_amplitude = self.amplitude_column is not None
        aligned = modules.align(signals, torch.as_tensor(self.reference), has_amplitude)
        return torch.hstack([aligned, torch.as_tensor(known_inputs)])

    def _fingerprints(self, data, device):
        """Return a training set on a device, or None."""
        from .data import Fingerprints

        if data is None:
            return None
        arrays, options = data
        options = options | {"amplitude_column": self.amplitude_column}
        signals, axes = arrays["signals"], None
        # White noise is white on the axes, too, but other noise has to be drawn before.
        if "snr" in arrays and type(options["noise"]) is not GaussianNoise:
            axes = self.axes
        if axes is None:
            signals = self._centred(self.seen(signals))
            # The last value has noise of its own.
            options["n_beside"] = max(0, self.n_beside - self._n_parts)
        arrays = arrays | dict(signals=signals, reference=self.reference, axes=axes)
        return Fingerprints.from_arrays(arrays, dtype=self.dtype, device=device, **options)

    def _centred(self, X):
        """Subtract the mean of real signals without an amplitude, in double precision.

        On a large offset, single precision would lose the signals.
        """
        return X if self._has_factor else X - self.reference


@contextmanager
def pool(n):
    """Yield a map over threads that keeps the order, with one torch thread in each.

    Meanwhile torch itself uses one thread, also outside the map, because its sums depend on
    how many threads share them.
    """
    import torch

    options = dict(initializer=torch.set_num_threads, initargs=(1,))
    with one_torch_thread, ThreadPoolExecutor(n, **options) as executor:
        yield map if n == 1 else executor.map


def seen(X, axes, sees_norm):
    """Return signals on axes, and on request the norm of what is beside them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Signals.
    axes : ndarray of shape (n_features, n_axes) or None
        Orthonormal axes; without any, signals are returned as they are.
    sees_norm : bool
        Whether the norm of what is beside them is added as a last value.

    Returns
    -------
    ndarray of shape (n_samples, n_axes) or (n_samples, n_axes + 1)
        What the network sees; with the last value, the norm of a row is that of the signal.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.network.arrays import seen
    >>> seen(np.array([[1.0, 2.0, 3.0, 4.0]]), np.eye(4)[:, :2], True)
    array([[1., 2., 5.]])
    """
    if axes is None:
        return X
    inside = products(X, axes)
    if not sees_norm:
        return inside
    whole = norms(X)
    share = norms(inside) / np.where(whole > 0, whole, 1.0)
    beside = whole * np.sqrt(np.maximum(1 - share**2, 0.0))
    return np.hstack([inside, beside[:, None]])


def unit_amplitude(X):
    """Divide complex signals by their largest part, so that no norm underflows."""
    if X.dtype.kind != "c":
        return X
    parts = np.ascontiguousarray(X).view(X.real.dtype)
    return X / np.abs(parts).max(axis=1, keepdims=True)


def _choose_device(device):
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "device='cuda' needs a GPU and a CUDA build of torch; use device='cpu'."
        )
    return device


def _arrays(state):
    return {name: value.cpu().numpy().copy() for name, value in state.items()}


def _tensors(arrays):
    import torch

    return {name: torch.as_tensor(value) for name, value in arrays.items()}
