"""Searches for the largest Rician likelihood, compiled and in Python."""

import numpy as np
import pytest

from crbestim.kernels import voxel_likelihood, voxel_residuals
from crbestim.kernels.closed_forms import mono_exponential
from crbestim.kernels.pointers import form_of
from crbestim.kernels.voxel_likelihood import Law, start_amplitudes
from crbestim.kernels.voxel_residuals import Task, Voxels
from crbestim.kernels.voxel_search import CONVERGED, Found, memory, search
from crbestim.least_squares.compiled_likelihood import polynomials

TE = np.array([0.01, 0.03, 0.06, 0.1, 0.15])
LOW, HIGH, SIGMA = 0.01, 1.0, 0.1
NOTHING = np.empty((0, 0))
BOX = np.array(
    [[LOW, HIGH, HIGH / LOW, np.log(HIGH / LOW), 0.0], [0.0, 1.0, 0.0, 1.0, 0.0]]
)


def problem(limits=(0.0, np.inf)):
    """Return the search for T2 and the share of an amplitude."""
    columns, constants = np.array([0]), np.array([0.0, 0.0, 1.0])
    none = np.array([], dtype=int)
    box, limits = np.ascontiguousarray(BOX.T), np.array(limits)
    return Task(np.array([TE, TE]), constants, columns, none, box, limits, True, False)


def voxels(n=3, seed=0):
    """Return magnitudes of unit norm in units of their noise, and the law of the noise."""
    parts = np.random.default_rng(seed).standard_normal((2, n, len(TE)))
    x = np.hypot(np.exp(-TE / 0.06) + SIGMA * parts[0], SIGMA * parts[1])
    size = np.linalg.norm(x, axis=1)
    level = SIGMA / size
    weights = np.repeat(1 / level[:, None], len(TE), axis=1)
    factor = np.column_stack([size, np.zeros(n)])
    law = Law(level, np.full(n, 1.5), 1.001, polynomials())
    return Voxels(x / SIGMA, weights, np.empty((n, 0)), factor, size), law


def signal_of(form, kernel):
    return form_of(mono_exponential) if form(kernel) is kernel else form(mono_exponential)


def run(form, task, places, most=100):
    """Search from places with the best amplitude; return these and what is found."""
    given, law = voxels(len(places))
    n, whole = len(places), np.int64
    found = Found(
        np.empty(places.shape), np.empty(n), np.empty((n, 2)), np.empty(n, whole),
        np.empty(n, whole),
    )  # fmt: skip
    signal, rows = signal_of(form, search), np.arange(n)
    voxel, state = memory(2, 3, len(TE))
    places = places.copy()
    with np.errstate(all="ignore"):
        form(start_amplitudes)(0, n, signal, task, given, rows, law, places, voxel)
        options = most, 1e-10, False
        common = signal, task, given, rows, NOTHING, law, options, places, found
        form(search)(0, n, *common, voxel, state)
    return places, found


@pytest.mark.parametrize("limits", [(0.0, np.inf), (0.3, 0.9)])
def test_searches_end_where_the_cost_is_lowest(form, limits):
    task, places = problem(limits), np.array([[0.3, 0.0], [0.4, 0.0], [0.5, 0.0]])
    starts, found = run(form, task, places)
    assert (found.ends == CONVERGED).all() and (found.counts > 0).all()
    at_start = run(form, task, places, most=-1)[1].costs
    assert (found.costs < at_start).all()
    assert (starts[:, 1] >= 0.01).all() and (starts[:, 1] <= 1).all()
    amplitude = found.factors[:, 0] * voxels()[0].norm
    assert (amplitude >= limits[0]).all() and (amplitude <= limits[1] * (1 + 1e-12)).all()
    for shift in 1e-3 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
        nearby = np.clip(found.x + shift, 0.0, 1.0)
        assert (costs_at(form, task, nearby) >= found.costs - 1e-9).all()


def costs_at(form, task, places):
    given, law = voxels(len(places))
    return [evaluate(form, task, given, law, i, place)[0] for i, place in enumerate(places)]


def evaluate(form, task, given, law, i, place):
    """Return the cost of a voxel with its gradient and curvature."""
    voxel, state = memory(2, 3, len(TE))
    form(voxel_residuals.load)(task, given, i, voxel)
    form(voxel_residuals.load_data)(task, given, i, voxel)
    # Always in Python: it is inlined where it is compiled.
    simulate = getattr(voxel_residuals.simulate_at, "py_func", voxel_residuals.simulate_at)
    simulate(form(mono_exponential), task, place, voxel, True)
    cost = form(voxel_likelihood.cost_of)(task, law, i, voxel, place)
    expand = form(voxel_likelihood.expand)
    assert expand(task, law, voxel, place, state.g, state.h)
    return cost, state.g, state.h


@pytest.mark.parametrize("limits", [(0.0, np.inf), (0.3, 0.9)])
def test_the_gradient_is_that_of_the_cost(form, limits):
    task, (given, law) = problem(limits), voxels()
    for i in range(3):
        place = np.array([0.3, 0.6 + 0.1 * i])
        _, g, h = evaluate(form, task, given, law, i, place)
        for k, step in enumerate(1e-5 * np.eye(2)):
            above, below = (
                evaluate(form, task, given, law, i, place + s * step)[0] for s in (1, -1)
            )
            assert g[k] == pytest.approx((above - below) / 2e-5, rel=2e-5, abs=1e-5)
        np.testing.assert_array_equal(h, h.T)
        assert (np.linalg.eigvalsh(h) > 0).all()
