"""Between estimators, which hold NumPy arrays, and networks, which hold tensors.

torch is imported inside the functions: it takes seconds, and only fitting and predicting
need it.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from joblib import effective_n_jobs

from .._optional import import_optional

_BLOCK = 8192


@dataclass(frozen=True)
class Architecture:
    """What a network is built from; periods in units of the targets' scales."""

    hidden_layer_sizes: tuple
    activation: str
    periods: np.ndarray

    def build(self, n_inputs):
        """Return a network with weights that are not set yet."""
        from ..network.modules import FingerprintNetwork

        return FingerprintNetwork(
            n_inputs, self.hidden_layer_sizes, self.periods, self.activation
        )


@dataclass(frozen=True)
class TrainingSet:
    """Signals with scaled targets; see `crbestim.network.training.Fingerprints`."""

    signals: np.ndarray
    targets: np.ndarray
    precision: np.ndarray
    snr: np.ndarray | None = None
    scale_precision: bool = False

    def to_tensors(self, reference, device):
        """Return the same as single-precision tensors on a device."""
        from ..network.training import Fingerprints

        return Fingerprints(
            signals=_tensor(self.signals, device),
            targets=_tensor(self.targets, device),
            precision=_tensor(self.precision, device),
            reference=_tensor(reference, device),
            snr=None if self.snr is None else _tensor(self.snr, device),
            scale_precision=self.scale_precision,
        )


@contextmanager
def _threads(n_jobs):
    """Let torch use as many threads as there are jobs, as long as the block lasts."""
    torch = import_optional("torch", "CRBRegressor")
    before = torch.get_num_threads()
    torch.set_num_threads(effective_n_jobs(n_jobs))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_network(
    architecture, X, reference, train, held_out, *, device, rng, n_jobs, **settings
):
    """Train a network and return its weights and the progress of training.

    Parameters
    ----------
    architecture : Architecture
        The network.
    X : ndarray of shape (n_samples, n_features)
        Measured signals, which set mean and scale of the network's inputs.
    reference : ndarray of shape (n_features,)
        Phase reference of complex signals.
    train, held_out : TrainingSet
        Data to train on and to validate with; the latter may be None.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    rng : RandomState
        Source of the seeds of weights, order and noise.
    n_jobs : int or None
        Number of threads.
    **settings
        Fields of `crbestim.network.training.Settings`.

    Returns
    -------
    weights : dict of ndarray
        Weights of the network by name.
    progress : Progress
        History and best loss.
    """
    torch = import_optional("torch", "CRBRegressor")
    from ..network import training
    from ..network.modules import align

    device = _choose_device(device)
    seeds = [int(seed) for seed in rng.randint(2**31 - 1, size=2)]
    features = align(_tensor(X, "cpu"), _tensor(reference, "cpu"))
    network = architecture.build(features.shape[1])
    network.initialize(torch.Generator().manual_seed(seeds[0]))
    network.standardize(features)
    network.to(device)
    with _threads(n_jobs):
        progress = training.fit(
            network,
            train.to_tensors(reference, device),
            None if held_out is None else held_out.to_tensors(reference, device),
            _tensor(architecture.periods, device),
            training.Settings(**settings),
            torch.Generator(device).manual_seed(seeds[1]),
        )
    state = network.state_dict()
    return {name: value.cpu().numpy().copy() for name, value in state.items()}, progress


def run_network(architecture, weights, reference, X, n_jobs):
    """Estimate scaled targets, in double precision so that rows stay independent.

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
    n_jobs : int or None
        Number of threads.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        Estimates.
    """
    torch = import_optional("torch", "CRBRegressor")
    from ..network.modules import align

    network = architecture.build(weights["mean"].size).double().eval()
    network.load_state_dict({k: torch.as_tensor(v) for k, v in weights.items()})
    reference = torch.as_tensor(reference)
    blocks = []
    with torch.no_grad(), _threads(n_jobs):
        for first in range(0, len(X), _BLOCK):
            x = torch.as_tensor(unit_amplitude(X[first : first + _BLOCK]))
            blocks.append(network(align(x, reference)).numpy())
    return np.concatenate(blocks)


def unit_amplitude(X):
    """Divide complex signals by their largest sample, so that no norm underflows.

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
    return X / np.abs(X).max(axis=1, keepdims=True)


def phase_reference(X):
    """Leading right singular vector of the rows of X, scaled to unit norm.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Signals.

    Returns
    -------
    ndarray of shape (n_features,)
        Reference whose inner product with a signal sets its phase; zeros for real X.
    """
    if X.dtype.kind != "c":
        return np.zeros(X.shape[1])
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(unit.T @ unit.conj())
    return vectors[:, -1]


def _choose_device(device):
    torch = import_optional("torch", "CRBRegressor")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "device='cuda' needs a GPU and a CUDA build of torch; use device='cpu'."
        )
    return device


def _tensor(array, device):
    """Return a single-precision tensor."""
    torch = import_optional("torch", "CRBRegressor")
    kind = np.complex64 if array.dtype.kind == "c" else np.float32
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind)).to(device)
