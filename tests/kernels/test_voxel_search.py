"""Searches of voxels: compiled and in Python, at their limits, real and complex."""

import numpy as np
import pytest

from crbestim.kernels.closed_forms import mono_exponential
from crbestim.kernels.pointers import form_of
from crbestim.kernels.voxel_residuals import Task, Voxels
from crbestim.kernels.voxel_search import (
    CONVERGED,
    FAILED,
    LIMIT,
    Found,
    memory,
    search,
)

TE = np.array([0.01, 0.03, 0.06, 0.1])
LOW, HIGH = 0.01, 1.0
# Echo times are multiples of 10 ms.
PERIOD = 200 * np.pi
NOTHING = np.empty((0, 0))


def problem(*, is_complex, limits=(0.0, np.inf)):
    """Return the search for T2, and for complex signals for omega0, which is periodic."""
    span = np.log(HIGH / LOW)
    box = np.array(
        [[LOW, HIGH, HIGH / LOW, span, 0.0], [-PERIOD / 2, PERIOD / 2, 0.0, PERIOD, 1.0]]
    ).T
    n = 2 if is_complex else 1
    return Task(
        np.array([TE, TE]),
        np.array([0.0, 0.0, 0.0 if is_complex else 1.0]),
        np.array([0, 2][:n]),
        np.array([], dtype=int),
        np.ascontiguousarray(box[:, :n]),
        np.array(limits),
        True,
        is_complex,
    )


def run(form, task, data, places, most=100, tol=1e-10, weights=NOTHING, is_lazy=False):
    """Scale the data at the starts and search; return what is found, and the factors."""
    n, whole = len(data), np.int64
    voxels = Voxels(
        np.empty_like(data), weights, np.empty((n, 0)), np.empty((n, 2)), np.empty(n)
    )
    found = Found(
        np.empty(places.shape), np.empty(n), np.empty((n, 2)), np.empty(n, whole),
        np.empty(n, whole),
    )  # fmt: skip
    kernel, signal = form(search), form(mono_exponential)
    if kernel is search:
        signal = form_of(signal)
    options = most, tol, is_lazy
    with np.errstate(all="ignore"):
        kernel(
            0, n, signal, task, voxels, np.arange(n), data, None, options, places, found,
            *memory(places.shape[1], 3, data.shape[1]),
        )  # fmt: skip
    return found, voxels


def signals(form, is_complex, theta):
    """Return rows of the measured signals at theta (T2, offset, M0 or omega0)."""
    n = len(TE) * (2 if is_complex else 1)
    s, ds = np.empty(n), np.empty((3, n))
    rows = []
    for row in theta:
        form(mono_exponential)(np.array([TE, TE]), row, s, ds[:0])
        rows.append(s.copy())
    return np.array(rows)


def test_the_derivatives_are_those_of_the_signal(form):
    for is_complex in (False, True):
        theta, step = np.array([0.08, 0.1, 7.0]), 1e-6
        n = len(TE) * (2 if is_complex else 1)
        s, ds = np.empty(n), np.empty((3, n))
        form(mono_exponential)(np.array([TE, TE]), theta, s, ds)
        for k in range(3):
            ends = np.array([theta, theta])
            ends[:, k] += step, -step
            high, low = signals(form, is_complex, ends)
            np.testing.assert_allclose(ds[k], (high - low) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("is_complex", [False, True])
def test_the_truth_is_found_across_ends_that_meet(form, is_complex):
    theta = np.array([[0.05, 0.0, 310.0], [0.2, 0.0, -310.0]])
    theta[:, 2] = theta[:, 2] if is_complex else 1.0
    data = 3e5 * signals(form, is_complex, theta)
    places = np.array([[0.6, 0.02], [0.5, 0.97]])[:, : 1 + is_complex]
    task = problem(is_complex=is_complex)
    found, voxels = run(form, task, data, places)
    np.testing.assert_allclose(LOW * 100.0 ** found.x[:, 0], theta[:, 0], rtol=1e-8)
    if is_complex:
        np.testing.assert_allclose(PERIOD * (found.x[:, 1] - 0.5), theta[:, 2], rtol=1e-8)
    m0 = voxels.factor[:, 0] * found.factors[:, 0]
    m0 = m0 - voxels.factor[:, 1] * found.factors[:, 1]
    np.testing.assert_allclose(m0, 3e5, rtol=1e-8)
    assert (found.ends == CONVERGED).all() and (found.costs < 1e-16).all()


def test_limits_hold_samples_weigh_and_searches_end(form):
    data = 1000 * signals(form, False, np.array([[0.08, 0.0, 1.0]] * 4))
    data[1, 3], data[2] = 1e9, np.nan
    weights = np.ones(data.shape)
    weights[1, 3] = 0.0
    data *= weights
    task, places = problem(is_complex=False, limits=(0.0, 900.0)), np.full((4, 1), 0.3)
    found, voxels = run(form, task, data, places, weights=weights)
    assert found.ends.tolist() == [CONVERGED, CONVERGED, FAILED, CONVERGED]
    m0 = (voxels.factor * found.factors)[:, 0]
    np.testing.assert_allclose(m0[[0, 1, 3]], 900.0, rtol=1e-12)
    free = problem(is_complex=False)
    found, _ = run(form, free, data, places, weights=weights)
    np.testing.assert_allclose(LOW * 100.0 ** found.x[1, 0], 0.08, rtol=1e-6)
    found, _ = run(form, free, data, places, most=1)
    assert found.ends[0] == LIMIT and found.counts[0] == 1
    only_costs, _ = run(form, free, data, places, most=-1)
    np.testing.assert_array_equal(only_costs.x, places)


def test_costly_derivatives_are_asked_for_only_where_a_step_leads(form):
    rng = np.random.default_rng(0)
    theta = np.column_stack(
        [rng.uniform(0.03, 0.3, 5), np.zeros(5), rng.uniform(-40, 40, 5)]
    )
    data = signals(form, True, theta)
    data += 0.01 * rng.standard_normal(data.shape)
    task, places = problem(is_complex=True), np.full((5, 2), 0.5)
    places[:, 1] = theta[:, 2] / PERIOD + 0.505
    always, rarely = (
        run(form, task, data, places, tol=1e-6, is_lazy=is_lazy)[0]
        for is_lazy in (False, True)
    )
    for one, other in zip(always, rarely, strict=True):
        np.testing.assert_array_equal(one, other)
