"""A small model and its fingerprints, for all estimators."""

import numpy as np
import pytest

from crbestim.datasets import make_fingerprints
from crbestim.models import MagnetizationTransfer
from crbestim.sequences import HybridStateSequence


@pytest.fixture(scope="session")
def model():
    """Return a two-pool model of 40 pulses, compressed to eight coefficients."""
    alpha = np.append(np.pi, 0.4 + 0.35 * np.sin(np.arange(39) / 3))
    full = MagnetizationTransfer(HybridStateSequence(alpha, np.full(40, 4e-4), 3.5e-3))
    _, y = make_fingerprints(full, 200, random_state=0)
    signals = full.signal(y)
    stacked = np.concatenate([signals.real, signals.imag])
    basis = np.linalg.svd(stacked, full_matrices=False)[2][:8].T
    return full.compress(basis)


@pytest.fixture(scope="session")
def fingerprints(model):
    """Return X, y and crb of 300 fingerprints."""
    return make_fingerprints(model, 300, snr=(50, 200), return_crb=True, random_state=1)
