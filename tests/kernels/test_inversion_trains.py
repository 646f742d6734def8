"""Trains of pulses behind inversions, against the Bloch equation pulse by pulse."""

import numpy as np
import pytest

from crbestim.kernels.inversion_trains import look_locker, mp2rage, uni
from crbestim.kernels.molli import molli
from tests.reference import inversion_trains as reference

# T1, T2, B1 and the efficiency.
VOXELS = np.array(
    [
        [0.9, 0.05, 1.0, 0.96],
        [1.6, 0.2, 0.7, 1.0],
        [4.0, 1.0, 1.3, 0.8],
        [0.05, 0.01, 0.05, 0.5],
        [0.3, 0.3, 1.9, 0.1],
    ]
)
PAIR = (np.array([0.3, 0.9]), 8e-3, 1.5, np.array([0.15, 0.9]), 21, 30, 0.93)
# From 90 degrees on at B1 of 1.9.
TRAIN = np.array([0.02, 0.06, 0.07, 0.31, 0.91]), 0.01, 0.85
IMAGES = (
    np.array([0.12, 0.92, 1.82, 0.2, 1.1]),
    np.array([0.5, 1.3, 2.2, 3.6, 4.5]),
    *(3e-3, 1.1, 13, 20),
)


def run(kernel, x, rows, n, n_parts=2, derivatives=True):
    """Return signal and derivatives of one voxel; rows are settings."""
    settings = np.array([np.broadcast_to(row, n) for row in (*rows, 0.0)], dtype=float)
    x = np.append(x, 0.0 if n_parts == 2 else 1.0)
    s = np.full(n_parts * n, np.nan)
    ds = np.full((len(x) if derivatives else 0, n_parts * n), np.nan)
    kernel(settings, x, s, ds)
    return s[::n_parts], ds[: len(x) - 1, ::n_parts]


def rows_of_pair():
    ti, tr, end, angles, before, after, efficiency = PAIR
    delays = ti[0] - before * tr, ti[1] - ti[0] - (before + after) * tr
    end = end - ti[1] - after * tr
    return *delays, end, tr, *angles, before, after, efficiency


def rows_of_images():
    ti, beats, tr, angle, before, after = IMAGES
    inversions, n = beats - ti, before + after
    inverts, ends = np.array([1, 0, 0, 1, 0]), beats + (after - 1) * tr
    rest = np.append(0.0, inversions[1:] - ends[:-1]) * inverts
    since = np.where(inverts, inversions, np.append(0.0, ends[:-1]))
    wait = beats - (before + 1) * tr - since
    return rest, inverts, wait, np.arange(5), tr, angle, before, n - before


CASES = {
    "mp2rage": (mp2rage, reference.mp2rage, [0, 2], PAIR, rows_of_pair(), 2),
    "look_locker": (
        look_locker,
        reference.look_locker,
        [0, 2, 3],
        (*TRAIN, None),
        (*TRAIN, np.inf),
        5,
    ),
    "look_locker, tr": (
        look_locker,
        reference.look_locker,
        [0, 2, 3],
        (*TRAIN, 1.4),
        (*TRAIN, 1.4),
        5,
    ),
    "molli": (molli, reference.molli, [0, 1, 2, 3], IMAGES, rows_of_images(), 5),
}


@pytest.mark.parametrize("name", CASES)
def test_signals_against_single_pulses(form, name):
    kernel, exact, columns, sequence, rows, n = CASES[name]
    for voxel in VOXELS:
        x = voxel[columns]
        expected, slopes = reference.signal_and_jacobian(exact, x, *sequence)
        s, ds = run(form(kernel), x, rows, n)
        np.testing.assert_allclose(s, expected, rtol=0, atol=2e-14)
        size = np.abs(slopes).max(axis=0)
        assert (np.abs(ds.T - slopes) <= 1e-11 * size + 1e-13).all()
        alone = run(form(kernel), x, rows, n, derivatives=False)[0]
        np.testing.assert_array_equal(alone, s)


def test_the_uni_image_is_that_of_the_pair(form):
    for x in VOXELS[:, [0, 2]]:
        (first, second), ds = run(form(mp2rage), x, rows_of_pair(), 2)
        s, slopes = run(form(uni), x, rows_of_pair(), 1, n_parts=1)
        energy = first**2 + second**2
        assert s[0] == pytest.approx(first * second / energy, rel=1e-14)
        by_pair = np.array([second, -first]) * (second**2 - first**2) / energy**2
        np.testing.assert_allclose(slopes[:, 0], ds @ by_pair, rtol=1e-11, atol=1e-15)


def test_nothing_but_recovery_is_left_without_flip_angle(form):
    ti, spacing, _ = TRAIN
    x, times = np.array([0.8, 1.0, 1.0]), (ti, spacing, 1e-7, np.inf)
    s, _ = run(form(look_locker), x, times, 5)
    np.testing.assert_allclose(s / 1e-7, 1 - 2 * np.exp(-ti / 0.8), rtol=0, atol=1e-11)
