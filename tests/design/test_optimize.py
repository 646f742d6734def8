"""Designs: known optima, limits that are kept, starts, time, Ctrl-C and reports."""

import joblib
import numpy as np
import pytest
from scipy.optimize import minimize

from crbestim.bounds import cramer_rao_bound
from crbestim.design import Limits, bound_objective, optimize_sequence
from crbestim.design.objective import Problem
from crbestim.models import (
    IntravoxelIncoherentMotion,
    InversionRecovery,
    MagnetizationTransfer,
    MonoExponential,
    SpoiledGradientEcho,
)
from crbestim.sequences import HybridStateSequence
from tests.models.conftest import fisp

IVIM = IntravoxelIncoherentMotion(np.linspace(0, 8e8, 12))
PERFUSED = [[0.1, 1e-9, 2e-8, 1.0], [0.05, 0.8e-9, 1.5e-8, 1.0]]


def test_angles_of_two_spoiled_echoes():
    # Of T1 alone, both angles have 0.71 of the signal at the Ernst angle (Deoni et al.,
    # MRM 2003, doi 10.1002/mrm.10407).
    model, tissue = SpoiledGradientEcho(np.deg2rad([3, 20]), 5e-3), [[1.0]]
    result = optimize_sequence(model, tissue)
    s = np.abs(result.model.signal(tissue))[0]
    ernst = np.arccos(np.exp(-5e-3))
    largest = np.abs(SpoiledGradientEcho([ernst], 5e-3).signal(tissue)).item()
    assert s / largest == pytest.approx([0.71, 0.71], abs=0.01)
    assert result.status == "converged" and result.violation == 0


def test_b_values_of_perfusion_are_not_bettered_by_another_search():
    weights = {"f": 1.0, "Dstar": 1.0}
    result = optimize_sequence(IVIM, PERFUSED, weights=weights)
    b = np.sort(result.controls["b"])
    assert 0 < b[0] < 1e6 and b[-1] < 1e9 and result.violation == 0

    def value(x):
        model = IntravoxelIncoherentMotion(1e9 * x)
        found, d_b = bound_objective(model, PERFUSED, weights=weights)
        return found, 1e9 * d_b

    start = result.model.b / 1e9
    other = minimize(value, start, jac=True, bounds=[(0, 1)] * 12, method="SLSQP")
    assert result.objective < other.fun + 2e-4
    assert result.objective < result.history[0]["objective"] - 0.5


def test_result_reports_ordinary_bounds():
    result = optimize_sequence(IVIM, PERFUSED, noise_std=0.02)
    assert (result.crb == cramer_rao_bound(result.model, PERFUSED, 0.02)).all()
    assert (result.start_crb == cramer_rao_bound(IVIM, PERFUSED, 0.02)).all()
    value = bound_objective(result.model, PERFUSED, noise_std=0.02)[0]
    assert result.objective == pytest.approx(value, rel=1e-9)
    first, last = result.history[0], result.history[-1]
    assert set(first) == {"start", "iteration", "time", "objective", "violation"}
    assert last["objective"] == pytest.approx(value, abs=1e-3)
    assert result.crb_over_b1 is None
    with pytest.raises(AttributeError, match=r"has no sequence; its acquisition is in"):
        _ = result.sequence


def test_bounds_over_b1_replace_that_of_the_tissues():
    model = SpoiledGradientEcho(np.deg2rad([5, 60, 120]), 0.05, b1=True)
    result = optimize_sequence(model, [[1.0, 0.95]], weights={"T1": 1})
    moved = cramer_rao_bound(result.model, [[1.0, 1.2]])
    assert (result.crb_over_b1[np.isclose(result.b1, 1.2)][0] == moved).all()
    assert result.crb_over_b1.shape == (7, 1, 2)


def test_the_largest_of_several_tissues_gets_smaller():
    model, tissues = (
        InversionRecovery([0.1, 0.4, 1.0, 2.5], tr=5.0),
        [[0.3, 0.95], [3.0, 0.95]],
    )
    options = dict(weights={"T1": 1.0})
    found = {
        objective: optimize_sequence(model, tissues, objective=objective, **options)
        for objective in ("mean", "max")
    }
    largest = {
        k: bound_objective(r.model, tissues, objective="max", **options)[0]
        for k, r in found.items()
    }
    assert largest["max"] < 0.99 * largest["mean"]
    for other in (r.start_crb for r in found.values()):
        assert (other == cramer_rao_bound(model, tissues)).all()


def test_random_starts_depend_on_random_state_alone():
    def design(**options):
        return optimize_sequence(IVIM, PERFUSED, n_starts=2, max_time=None, **options)

    one = design(random_state=0)
    assert {record["start"] for record in one.history} == {0, 1}
    ends = [r["objective"] for r in one.history]
    assert one.objective == pytest.approx(min(ends), abs=1e-9)
    with joblib.parallel_config(backend="threading"):
        in_threads = design(random_state=0, n_jobs=2)
    for same in (design(random_state=0), in_threads):
        assert (same.model.b == one.model.b).all()
    other = design(random_state=1)
    starts = [[r for r in d.history if r["start"] == 1][0] for d in (one, other)]
    assert starts[0]["objective"] != starts[1]["objective"]


TISSUES = [
    [0.15, 0.7, 13.0, 30.0, 1e-5, 0.0, 1.0],
    [0.1, 0.9, 15.0, 20.0, 1.1e-5, 90.0, 0.9],
]
TIGHT = Limits(b1rms=2.6e-6, b1max=23.5e-6, trf=(1e-4, 4e-4), alpha_step=0.3)
GAMMA = 267.522e6


@pytest.fixture(scope="module")
def two_trains():
    """Return a model of two trains, and its design within tight limits."""
    n = 16
    ramp = np.abs(np.sin(2 * np.pi * np.arange(n) / n))
    alpha, trf = np.stack([ramp, 0.5 * ramp[::-1]]), np.full((2, n), 5e-4)
    alpha[:, 0] = np.pi
    model = MagnetizationTransfer(HybridStateSequence(list(alpha), list(trf), 3.5e-3))
    weights = {"m0s": 1.0, "R1": 1.0}
    options = dict(weights=weights, limits=TIGHT, max_time=None)
    return model, optimize_sequence(model, TISSUES, **options)


def test_trains_keep_their_limits_and_their_inversions(two_trains):
    model, result = two_trains
    sequence = result.sequence
    assert result.violation == 0 and sequence.train_lengths == (16, 16)
    for (alpha, trf), (old_alpha, old_trf) in zip(
        sequence.trains, model.sequence.trains, strict=True
    ):
        assert (alpha[0], trf[0]) == (old_alpha[0], old_trf[0])
        power = (alpha**2 / trf).sum() / (16 * 3.5e-3)
        assert np.sqrt(power) / GAMMA <= 2.6e-6 * (1 + 1e-9)
        assert (alpha / trf).max() <= GAMMA * 23.5e-6 * (1 + 1e-9)
        assert 0 <= alpha[1:].min() and alpha[1:].max() <= np.pi
        assert 1e-4 <= trf[1:].min() and trf[1:].max() <= 4e-4
        assert np.abs(np.diff(alpha[1:])).max() <= 0.3 * (1 + 1e-9)


def test_trains_get_better_and_the_ordinary_bound_says_so(two_trains):
    _, result = two_trains
    crb = cramer_rao_bound(result.model, TISSUES)
    assert (result.crb == crb).all()
    assert result.objective == pytest.approx(result.history[-1]["objective"], abs=1e-6)
    assert result.objective < result.history[0]["objective"] - 1
    values = [record["objective"] for record in result.history]
    assert min(values) == pytest.approx(result.objective, abs=1e-6)
    assert result.status == "converged"
    assert result.crb_over_b1.shape == (7, 2, 7)


def test_repetition_times_of_fingerprints_are_limited_together():
    model, limits = fisp(40), Limits(tr=(9e-3, 16e-3), duration=0.5)
    water = [[0.9, 0.07], [1.4, 0.1]]
    result = optimize_sequence(model, water, limits=limits)
    assert result.model.tr.sum() + 20e-3 <= 0.5 * (1 + 1e-9) and result.violation == 0
    assert result.model.tr.min() >= 9e-3
    assert result.objective < bound_objective(model, water)[0] - 0.5


@pytest.fixture
def interrupted_after(monkeypatch):
    """Return a function that makes Ctrl-C come at some evaluation of the objective."""
    tissues = Problem.tissues

    def arrange(n):
        calls = []

        def counted(self, values):
            calls.append(values)
            if len(calls) == n:
                raise KeyboardInterrupt
            return tissues(self, values)

        monkeypatch.setattr(Problem, "tissues", counted)

    return arrange


@pytest.mark.parametrize("n", [2, 5])
def test_an_interrupt_returns_the_best_so_far(interrupted_after, n):
    interrupted_after(n)
    result = optimize_sequence(IVIM, PERFUSED, n_starts=2)
    assert result.status == "interrupted" and result.violation == 0
    assert len(result.history) < 5
    if result.history:
        assert result.objective == pytest.approx(result.history[-1]["objective"])


def test_time_ends_the_search():
    result = optimize_sequence(IVIM, PERFUSED, max_time=1e-6)
    assert result.status == "max_time" and len(result.history) == 1


def test_progress_is_printed(capsys):
    result = optimize_sequence(IVIM, PERFUSED, verbose=True)
    printed = capsys.readouterr().out
    assert printed.startswith("start 0  step     0") and "converged" in printed
    assert f"objective {result.history[0]['objective']:.6g}  violation 0" in printed


def test_least_squares_confirm_the_bound():
    result = optimize_sequence(MonoExponential([0.01, 0.05, 0.1]), [[0.08], [0.05]])
    ratio = result.confirm(0.01, n_realizations=400, random_state=0)
    assert ratio.shape == (2, 1) and np.abs(ratio - 1).max() < 0.25
    again = result.confirm(0.01, n_realizations=400, random_state=0)
    assert (ratio == again).all()
    # The bound is not reached where noise is large.
    assert result.confirm(0.5, n_realizations=400, random_state=0).max() > 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(parametrization="b-spline"), r"parametrization='b-spline' is unknown"),
        (dict(objective="sum"), r"objective='sum' is unknown"),
        (dict(max_time=0), r"max_time = 0; give a number of seconds"),
        (dict(n_starts=0), r"n_starts = 0"),
        (dict(random_state=-1), r"random_state = -1"),
        (dict(verbose=3), r"verbose = 3; give True or False"),
        (dict(n_starts=2, n_jobs=0), r"n_jobs = 0; give a number of workers"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        optimize_sequence(MonoExponential([0.01, 0.05]), [[0.08]], **options)
