"""Layers of a network, against NumPy and SciPy."""

import numpy as np
import pytest
from scipy.special import erf, expit

from crbestim.kernels.feed_forward import (
    ACTIVATIONS,
    LINEAR,
    activate,
    align,
    centre,
    dense,
    put,
    take,
)
from crbestim.kernels.lanes import LANES, SINGLES

KINDS = {np.float32: (SINGLES, 1e-6), np.float64: (LANES, 1e-14)}
FUNCTIONS = {
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "silu": lambda x: x * expit(x),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations(form, name, kind):
    # 50 is far beyond the limits of the quotients.
    x = np.concatenate([np.linspace(-9, 9, 701), [-50, 0, 50]])
    values = x.astype(kind)
    form(activate)(ACTIVATIONS.index(name), False, values[:0], values)
    expected = FUNCTIONS[name](x.astype(kind).astype(float))
    scale = 1.0 if name == "tanh" else np.maximum(np.abs(x), 1.0)
    assert np.abs((values - expected) / scale).max() < KINDS[kind][1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adds", [False, True])
def test_a_layer(form, kind, adds):
    lanes, error = KINDS[kind]
    # Outputs are computed six at a time; eight are six and two.
    for n_in, n_out in ((8, 8), (3, 6)) if not adds else ((8, 8),):
        weights, bias = normal(n_out, n_in).astype(kind), normal(n_out, seed=1).astype(kind)
        x = normal(2, n_in, lanes, seed=2).astype(kind)
        out = np.full((2, n_out, lanes), np.nan, kind)
        for activation in (LINEAR, ACTIVATIONS.index("silu")):
            form(dense)(weights, bias, activation, adds, x, out)
            expected = weights.astype(float) @ x.astype(float) + bias[:, None]
            if activation != LINEAR:
                expected = FUNCTIONS["silu"](expected) + (x if adds else 0)
            np.testing.assert_allclose(out, expected, rtol=0, atol=20 * error)


def test_aligned_signals_have_unit_norm_and_the_phase_of_the_reference(form):
    X, reference = normal(5, 3) + 1j * normal(5, 3, seed=1), np.array([1.0, 1j, 0.5])
    X[3] *= 1e-200
    X[4] = [1.0, -1j, 0.0]  # orthogonal to the reference
    out = np.empty((5, 6))
    form(align)(X, reference, out)
    aligned = out[:, ::2] + 1j * out[:, 1::2]
    np.testing.assert_allclose(np.linalg.norm(aligned, axis=1), 1.0)
    overlap = aligned[:4] @ reference.conj()
    np.testing.assert_allclose(overlap.imag, 0, atol=1e-15)
    assert (overlap.real > 0).all()
    np.testing.assert_allclose(aligned[4], X[4] / np.sqrt(2))
    for factor in (2.0, 0.25):
        again = np.empty((5, 6))
        form(align)(factor * X, reference, again)
        np.testing.assert_array_equal(again, out)


def test_real_signals_are_centred(form):
    X, reference = np.array([[3.0, 4.0], [6e-200, 8e-200]]), np.array([0.5, 0.25])
    out = np.empty((2, 2))
    form(centre)(X, reference, True, out)
    np.testing.assert_allclose(out, [[0.1, 0.55]] * 2)
    form(centre)(X, reference, False, out)
    np.testing.assert_array_equal(out, X - reference)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_go_into_lanes_and_come_back(form, kind):
    lanes, error = KINDS[kind]
    rows, mean = normal(lanes + 3, 4), normal(6, seed=1).astype(kind)
    values = np.zeros((2, 6, lanes), kind)
    form(put)(rows, mean, 2, values)
    found = np.empty((lanes + 3, 6))
    none = np.array([], dtype=int), np.array([], kind)
    form(take)(values, *none, found)
    np.testing.assert_array_equal(found[:, :2], 0)
    np.testing.assert_array_equal(found[:, 2:], rows.astype(kind) - mean[2:])
    # The second of four parameters is an angle, whose sine comes behind them.
    found = np.empty((lanes + 3, 4))
    form(take)(values[:, 1:], np.array([1]), np.array([0.5], kind), found)
    cosine, sine = rows[:, 0] - mean[2], rows[:, 3] - mean[5]
    np.testing.assert_allclose(found[:, 1], np.arctan2(sine, cosine) / 2, atol=10 * error)
