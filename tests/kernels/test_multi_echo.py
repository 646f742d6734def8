import numpy as np
import pytest

from crbestim.kernels.multi_echo import multi_echo
from tests.reference import multi_echo as reference

# T2, T1, B1 and the amplitude.
VOXELS = np.array(
    [
        [0.08, 1.0, 1.0, 1.0],
        [0.08, 1.0, 0.7, 1.0],
        [0.03, 0.5, 1.3, 2.0],
        [2.0, 4.0, 0.05, 1.0],
        [5e-3, 2e-2, 2.0, 1.0],
        [0.3, 0.2, 1.1, 1.0],
    ]
)
SPACING = 0.01


def train(kind, n):
    """Return refocusing (n_positions, n) and excitation (n_positions,)."""
    rng = np.random.default_rng(0)
    if kind == "180":
        return np.full((1, n), np.pi), np.array([np.pi / 2])
    if kind == "one angle":
        return np.full((1, n), 2.0), np.array([1.3])
    n_positions = 1 if kind == "one position" else 3
    return rng.uniform(0.2, 4.0, (n_positions, n)), rng.uniform(0.2, 2.0, n_positions)


def run(kernel, x, refocusing, excitation, n_parts=1, derivatives=True):
    """Return signal and derivatives of one voxel."""
    n = refocusing.shape[1]
    rows = SPACING, *excitation, *refocusing, 0.0
    settings = np.array([np.broadcast_to(row, n) for row in rows], dtype=float)
    s = np.full(n_parts * n, np.nan)
    ds = np.full((len(x) if derivatives else 0, n_parts * n), np.nan)
    kernel(settings, x, s, ds)
    return s, ds


@pytest.mark.parametrize("n", [1, 2, 13])
@pytest.mark.parametrize("kind", ["180", "one angle", "one position", "slice profile"])
def test_echoes_against_isochromats(form, kind, n):
    refocusing, excitation = train(kind, n)
    te = SPACING * np.arange(1, n + 1)
    for x in VOXELS:
        exact, slopes = reference.signal_and_jacobian(x[:3], te, refocusing, excitation)
        # Of a complex signal, real and imaginary parts alternate.
        s, ds = (
            out[..., ::2] for out in run(form(multi_echo), x, refocusing, excitation, 2)
        )
        np.testing.assert_allclose(s, exact, rtol=0, atol=1e-14)
        size = np.abs(slopes).max(axis=0, keepdims=True)
        # Derivatives by T2 = 5 ms reach 1e2.
        assert (np.abs(ds[:3].T - slopes) <= 1e-12 * size + 1e-13).all()


def test_no_magnetization_leaves_the_axis_of_the_pulses():
    sequence = SPACING * np.arange(1, 6), *train("slice profile", 5)
    x, _ = reference.echoes(VOXELS[1, :3], *sequence)
    np.testing.assert_allclose(x, 0, atol=1e-15)


def test_values_do_not_depend_on_derivatives(form):
    sequence = train("slice profile", 13)
    for x in VOXELS:
        both = run(form(multi_echo), x, *sequence)[0]
        alone = run(form(multi_echo), x, *sequence, derivatives=False)[0]
        np.testing.assert_array_equal(alone, both)


def test_the_amplitude_multiplies_a_magnitude(form):
    x, (refocusing, excitation) = VOXELS[2], train("one position", 13)
    in_complex = run(form(multi_echo), x, refocusing, excitation, 2)[0][::2]
    s, ds = run(form(multi_echo), x, refocusing, excitation)
    assert (in_complex < 0).any()
    np.testing.assert_allclose(s, 2 * np.abs(in_complex), rtol=1e-15)
    np.testing.assert_allclose(ds[3], s / 2, rtol=1e-15)
