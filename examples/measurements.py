"""Sequences and subspaces that the examples share."""

import numpy as np

from crbestim.datasets import make_fingerprints
from crbestim.models import MagnetizationTransfer
from crbestim.sequences import HybridStateSequence


def load_model(folder=None):
    """Return the model of compressed signals: the library's own, or a measured one.

    Parameters
    ----------
    folder : Path, default=None
        Folder with ``hybrid_state_sequence.npz`` (``alpha``, ``trf``, ``tr``) and
        ``invivo_slice.npz`` (``basis``). By default the library's sequence, and a basis
        made for it.

    Returns
    -------
    CompressedModel
        The model.
    """
    if folder is None:
        full = MagnetizationTransfer(HybridStateSequence.default())
        return full.compress(basis_of(full))
    sequence = HybridStateSequence.from_file(folder / "hybrid_state_sequence.npz")
    with np.load(folder / "invivo_slice.npz") as file:
        return MagnetizationTransfer(sequence).compress(file["basis"])


def basis_of(model, n_components=20):
    """Return a basis that keeps what signals tell about the parameters.

    It spans the signals of some fingerprints together with what sets each of their
    derivatives apart from all others (Mao et al., arXiv 2305.00326).

    Parameters
    ----------
    model : SignalModel
        Model of the signals.
    n_components : int, default=20
        Number of columns.

    Returns
    -------
    ndarray of shape (n_pulses, n_components)
        Orthonormal columns.
    """
    _, y = make_fingerprints(model, 400, random_state=0)
    signal, jacobian = model.signal(y, jacobian=True)
    nuisance = signal[:, :, None] * [1, 1j]
    columns = np.concatenate([jacobian, nuisance], axis=2)
    stacked = np.concatenate([columns.real, columns.imag], axis=1)
    stacked /= np.linalg.norm(stacked, axis=1, keepdims=True)
    # Rows of the pseudo-inverse are orthogonal to all columns but their own.
    apart = np.linalg.pinv(stacked)[:, : model.n_parameters]
    apart = apart[..., : model.n_features] + 1j * apart[..., model.n_features :]
    rows = np.concatenate([signal, *apart])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.linalg.svd(rows, full_matrices=False)[2][:n_components].T
