"""Networks for estimators: arrays in and out, torch in between."""

from dataclasses import dataclass

import numpy as np
from joblib import effective_n_jobs

from .._optional import import_optional

# Rows that a network sees at once. With always as many rows, the arithmetic of a row
# does not depend on how many come with it.
_ROWS = 1024


@dataclass(frozen=True)
class Architecture:
    """What a network is built from; periods in units of the targets' scales."""

    hidden_layer_sizes: tuple
    activation: str
    periods: np.ndarray
    dtype: str

    def build(self, n_inputs):
        """Return a network with weights that are not set yet."""
        from ..network.modules import FingerprintNetwork

        network = FingerprintNetwork(
            n_inputs, self.hidden_layer_sizes, self.periods, self.activation
        )
        return network.to(getattr(_torch(), self.dtype))

    def load(self, weights):
        """Return a network with given weights."""
        network = self.build(weights["mean"].size)
        network.load_state_dict(_tensors(weights))
        return network


@dataclass(frozen=True)
class TrainingSet:
    """Signals with scaled targets; see `crbestim.network.data.Fingerprints`."""

    signals: np.ndarray
    targets: np.ndarray
    precision: np.ndarray
    known: np.ndarray
    snr: np.ndarray | None = None
    snr_is_range: bool = False
    scale_precision: bool = False
    levels: np.ndarray | None = None
    is_magnitude: bool = False

    def to_tensors(self, reference, dtype, device):
        """Return the same as tensors on a device."""
        from ..network.data import Fingerprints

        arrays = dict(
            signals=centred(self.signals, reference),
            targets=self.targets,
            precision=self.precision,
            reference=reference,
            known=self.known,
        )
        given = {"snr": self.snr, "levels": self.levels}
        arrays |= {k: v for k, v in given.items() if v is not None}
        tensors = {k: _tensor(v, dtype, device) for k, v in arrays.items()}
        return Fingerprints(
            **tensors,
            snr_is_range=self.snr_is_range,
            scale_precision=self.scale_precision,
            is_magnitude=self.is_magnitude,
        )


@dataclass(frozen=True)
class Objective:
    """The loss: weights by parameter, and what `crbestim.network.losses` calls them."""

    weights: np.ndarray
    threshold: float
    bias_reduced: dict | None = None

    def build(self, periods, dtype, device):
        """Return the loss with its tensors."""
        from ..network.losses import BiasReduced, SquaredErrors

        kind = SquaredErrors if self.bias_reduced is None else BiasReduced
        return kind(
            _tensor(np.asarray(periods), dtype, device),
            _tensor(self.weights, dtype, device),
            self.threshold,
            **(self.bias_reduced or {}),
        )


@dataclass(frozen=True)
class Start:
    """Where training begins: given weights and optimizer, or (None) new ones."""

    weights: dict | None = None
    optimizer: dict | None = None


def train_network(
    architecture,
    X,
    known,
    reference,
    train,
    held_out,
    objective,
    *,
    start=None,
    device,
    rng,
    n_jobs,
    on_epoch=None,
    **settings,
):
    """Train a network.

    Parameters
    ----------
    architecture : Architecture
        The network.
    X : ndarray of shape (n_samples, n_features)
        Measured signals, which set mean and spread of the network's inputs.
    known : ndarray of shape (n_samples, n_known)
        Further inputs.
    reference : ndarray of shape (n_features,)
        Phase reference of complex signals.
    train, held_out : TrainingSet
        Data to train on and to validate with; the latter may be None.
    objective : Objective
        The loss.
    start : Start, default=None
        Weights and optimizer to go on with.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    rng : RandomState
        Source of the seeds of weights, order and noise.
    n_jobs : int or None
        Number of threads.
    on_epoch : callable, default=None
        Called with the record of each epoch and a function that returns the weights;
        if it returns True, training ends.
    **settings
        Other fields of `crbestim.network.training.Settings`.

    Returns
    -------
    reached : Start
        Weights of the network, and the state of the optimizer, as arrays by name.
    progress : Progress
        History and best loss.
    """
    torch = _torch()
    from ..network.modules import align
    from ..network.threads import pool
    from ..network.training import Settings, Trainer

    device, dtype, start = _choose_device(device), architecture.dtype, start or Start()
    seeds = [int(seed) for seed in rng.randint(2**31 - 1, size=2)]
    if start.weights is None:
        signals = torch.as_tensor(np.array(centred(X, reference)))
        with pool(1):
            features = align(signals, torch.as_tensor(reference))
            features = torch.hstack([features, torch.as_tensor(known)])
            network = architecture.build(features.shape[1])
            network.initialize(torch.Generator().manual_seed(seeds[0]))
            network.whiten(features)
    else:
        network = architecture.load(start.weights)
    trainer = Trainer(
        network.to(device),
        train.to_tensors(reference, dtype, device),
        None if held_out is None else held_out.to_tensors(reference, dtype, device),
        objective.build(architecture.periods, dtype, device),
        Settings(n_threads=effective_n_jobs(n_jobs), **settings),
        torch.Generator(device).manual_seed(seeds[1]),
    )
    if start.optimizer is not None:
        trainer.optimizer.load_state_dict(_tensors(start.optimizer))

    def end_of_epoch(record):
        return on_epoch(record, lambda: _arrays(network.state_dict()))

    progress = trainer.fit(None if on_epoch is None else end_of_epoch)
    reached = network.state_dict(), trainer.optimizer.state_dict()
    return Start(*map(_arrays, reached)), progress


def run_network(architecture, weights, reference, X, known, n_jobs):
    """Estimate scaled targets; a row's estimate does not depend on the other rows.

    Parameters
    ----------
    architecture : Architecture
        The network.
    weights : dict of ndarray
        Its weights by name.
    reference : ndarray of shape (n_features,)
        Phase reference of complex signals.
    X : ndarray of shape (n_samples, n_features)
        Signals.
    known : ndarray of shape (n_samples, n_known)
        Further inputs.
    n_jobs : int or None
        Number of threads.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        Estimates.
    """
    torch = _torch()
    from ..network.modules import align
    from ..network.threads import pool

    network = architecture.load(weights).eval()
    dtype = getattr(torch, architecture.dtype)

    def estimate(first):
        rows = X[first : first + _ROWS]
        padded = np.concatenate([rows, np.ones((_ROWS - len(rows), X.shape[1]))])
        others = np.zeros((_ROWS, known.shape[1]))
        others[: len(rows)] = known[first : first + _ROWS]
        # Alignment in double precision leaves nothing of a complex factor but, rarely,
        # another rounding of the last digit to single precision.
        signals = torch.as_tensor(centred(unit_amplitude(padded), reference))
        features = align(signals, torch.as_tensor(reference))
        features = torch.hstack([features, torch.as_tensor(others)]).to(dtype)
        with torch.inference_mode():
            return network(features)[: len(rows)].numpy()

    starts = range(0, len(X), _ROWS)
    with pool(effective_n_jobs(n_jobs) if len(starts) > 1 else 1) as parallel_map:
        return np.concatenate(list(parallel_map(estimate, starts))).astype(float)


def unit_amplitude(X):
    """Divide complex signals by their largest part, so that no norm underflows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Signals, none of them zero throughout.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        Scaled signals; real ones as they are.
    """
    if X.dtype.kind != "c":
        return X
    parts = np.ascontiguousarray(X).view(X.real.dtype)
    return X / np.abs(parts).max(axis=1, keepdims=True)


def centred(X, reference):
    """Subtract the reference of real signals, in double precision; leave complex ones.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Signals.
    reference : ndarray of shape (n_features,)
        What :func:`reference_signal` has returned.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        Signals without an offset that single precision could not tell from them.
    """
    return X if X.dtype.kind == "c" else X - reference


def reference_signal(X):
    """Return what sets the phase of complex signals, or the mean of real ones.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Signals.

    Returns
    -------
    ndarray of shape (n_features,)
        Leading right singular vector of the rows, scaled to unit norm, whose inner product
        with a signal sets its phase; for real X the mean of the rows.
    """
    if X.dtype.kind != "c":
        return X.mean(axis=0)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(unit.T @ unit.conj())
    return vectors[:, -1]


def _choose_device(device):
    torch = _torch()
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "device='cuda' needs a GPU and a CUDA build of torch; use device='cpu'."
        )
    return device


def _torch():
    return import_optional("torch", "CRBRegressor")


def _arrays(state):
    return {name: value.cpu().numpy().copy() for name, value in state.items()}


def _tensors(arrays):
    return {name: _torch().as_tensor(value) for name, value in arrays.items()}


def _tensor(array, dtype, device):
    """Return a tensor of a real precision or the complex one that goes with it."""
    kind = np.dtype(dtype)
    if array.dtype.kind == "c":
        kind = np.result_type(kind, np.complex64)
    # A copy: torch does not take arrays that cannot be written to.
    return _torch().from_numpy(np.array(array, dtype=kind)).to(device)
