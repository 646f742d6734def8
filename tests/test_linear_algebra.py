"""A direction that fixes the phases of signals."""

import numpy as np
import pytest

from crbestim._linear_algebra import phase_reference


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_no_signal_is_orthogonal_to_the_phase_reference(share):
    """Of two kinds of orthogonal signals, the squared products are their shares."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(
        rng.standard_normal((6, 2)) + 1j * rng.standard_normal((6, 2))
    )[0]
    n = round(share * 1000)
    kinds = directions.T[np.repeat([0, 1], [n, 1000 - n])]
    X = kinds * np.exp(rng.standard_normal((1000, 1)) + 6j * rng.random((1000, 1)))
    reference = phase_reference(np.vstack([X, np.zeros((3, 6))]))
    assert np.linalg.norm(reference) == pytest.approx(1)
    products = np.abs(directions.conj().T @ reference) ** 2
    np.testing.assert_allclose(products, [share, 1 - share], atol=2e-3)


def test_it_does_not_depend_on_the_factors_of_signals():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 4)) + 1j * rng.standard_normal((50, 4)) + 2
    factors = rng.standard_normal((50, 1)) + 1j * rng.standard_normal((50, 1))
    one, two = phase_reference(X), phase_reference(factors * X)
    assert np.abs(np.vdot(one, two)) == pytest.approx(1, abs=1e-9)
    # Where all are alike, it is the main direction.
    values = np.abs(np.vdot(np.ones(4) / 2, phase_reference(np.ones((9, 4)) + 0j)))
    assert values == pytest.approx(1)
