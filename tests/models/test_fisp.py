import pickle

import numba
import numpy as np
import pytest

from crbestim.exceptions import ImplausibleValueWarning
from crbestim.models import FISPFingerprinting
from tests.models.conftest import draw, fisp, orthonormal, quadratic
from tests.reference import fisp as reference

TISSUE = np.array([[0.9, 0.07], [1.4, 0.1], [4.0, 1.8], [0.3, 0.02]])


def known(model):
    """Return the arguments of the reference."""
    names = ("alpha", "tr", "te", "phase", "inversion_time")
    return {name: getattr(model, name) for name in names}


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(inversion_time=None),
        dict(inversion_time=0.5),
        dict(phase=np.arange(40) * np.pi),
        dict(phase=0.3 + 0.7 * np.arange(40)),
        dict(phase=np.pi * np.random.default_rng(0).integers(0, 4, 40) + 0.2),
        dict(phase=quadratic(40)),
        dict(phase=np.random.default_rng(1).uniform(-9, 9, 40)),
    ],
    ids=["inversion", "none", "late", "alternating", "linear", "signs", "spoiled", "any"],
)
def test_signal_and_jacobian_against_isochromats(options):
    model = fisp(b1=True, **options)
    theta = np.column_stack([TISSUE, [1.0, 0.8, 1.2, 0.9]])
    s, jacobian = model.signal(theta, jacobian=True)
    for x, got, slopes in zip(theta, s, jacobian, strict=True):
        expected = reference.signal(x, **known(model))
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)
        expected = reference.jacobian(x, **known(model))
        error = np.abs(slopes - expected).max(axis=0)
        assert (error <= 1e-12 * np.abs(expected).max(axis=0)).all()


def test_phases_that_grow_evenly_make_no_difference():
    s = fisp().signal(TISSUE)
    linear = fisp(phase=1.0 + 2.5 * np.arange(40)).signal(TISSUE)
    np.testing.assert_array_equal(linear, s)
    # Another step is another train, but without spoiling at once real.
    signs = fisp(phase=np.pi * (np.arange(40) // 3))
    assert signs._pulses.turn.size == 0
    assert np.abs(signs.signal(TISSUE) - s).max() > 0.01
    assert fisp(phase=quadratic(40))._pulses.turn.size == 40


@pytest.mark.parametrize("n", [1, 2])
def test_phases_of_one_or_two_pulses(n):
    np.testing.assert_array_equal(
        fisp(n, phase=np.arange(n) + 0.5).signal(TISSUE), fisp(n).signal(TISSUE)
    )


# Orders that are left out


def smooth(n, **options):
    """Return a train like those of fingerprinting."""
    x = np.arange(n)
    alpha = np.deg2rad(5 + 55 * np.sin(np.pi * x / 200) ** 2)
    tr = 12e-3 + 2e-3 * np.sin(0.1 * x)
    return FISPFingerprinting(alpha, tr, 3e-3, inversion_time=20e-3, **options)


@pytest.mark.parametrize("make", [smooth, fisp])
def test_orders_that_relax_before_they_return_can_be_left_out(make):
    n = 600
    model, whole = make(n, b1=True), make(n, b1=True, n_states=n)
    theta = draw(model, 40, seed=2)
    theta[:, 1] = np.geomspace(0.01, 2.5, 40)
    _, n_states = model._blocks(theta)
    assert n_states.min() < 30 and n_states.max() == n // 2
    assert (whole._blocks(theta)[1] == n // 2).all()
    s, jacobian = model.signal(theta, jacobian=True)
    expected, slopes = whole.signal(theta, jacobian=True)
    # Promised: 1e-12, a bound that the actual error is far below.
    np.testing.assert_allclose(s, expected, rtol=0, atol=1e-15)
    error = np.abs(jacobian - slopes).max(axis=1)
    assert (error <= 1e-13 * np.abs(slopes).max(axis=1)).all()


def test_too_few_orders_are_seen():
    whole, few = smooth(300, n_states=300), smooth(300, n_states=10)
    error = np.abs(few.signal(TISSUE) - whole.signal(TISSUE)).max(axis=1)
    # The slower the relaxation, the more of them return.
    assert error[2] > 1e-3
    assert (np.diff(error[[3, 0, 2]]) > 0).all()


def test_a_block_holds_voxels_that_keep_as_many_orders():
    model = smooth(400)
    theta = draw(model, 100)
    rows, n_states = model._blocks(theta)
    assert sorted(np.unique(rows)) == list(range(100))
    needed = np.minimum(model._orders(theta), 200)
    assert (n_states[:, None] >= needed[rows]).all()
    # At most a quarter more than needed, except for rounding up and the shortest T2.
    assert (n_states[:, None] <= 1.25 * needed[rows] + 2).all()
    for i in range(100):
        alone = model._blocks(theta[[i]])[1]
        np.testing.assert_array_equal(n_states[(rows == i).any(axis=1)], alone)


# The same numbers in any order of work


@pytest.mark.parametrize("options", [{}, dict(b1=True, phase=quadratic(200))])
@pytest.mark.parametrize("compressed", [False, True])
def test_results_do_not_depend_on_chunks_or_threads(options, compressed):
    model = fisp(200, **options)
    if compressed:
        model = model.compress(orthonormal(200, 6))
    theta = draw(model, 30)
    expected = model.signal(theta, jacobian=True)
    for size in (1, 7):
        chunks = [
            model.signal(theta[i : i + size], jacobian=True) for i in range(0, 30, size)
        ]
        for part, whole in zip(zip(*chunks, strict=True), expected, strict=True):
            np.testing.assert_array_equal(np.concatenate(part), whole)
    threads = numba.get_num_threads()
    try:
        for n in range(1, min(numba.config.NUMBA_NUM_THREADS, 2) + 1):
            numba.set_num_threads(n)
            for part, whole in zip(
                model.signal(theta, jacobian=True), expected, strict=True
            ):
                np.testing.assert_array_equal(part, whole)
    finally:
        numba.set_num_threads(threads)


# Limits


def test_transmit_field_scales_the_flip_angles():
    model, without = fisp(b1=True), fisp()
    theta = np.column_stack([TISSUE, np.full(4, 0.8)])
    scaled = FISPFingerprinting(
        0.8 * without.alpha, without.tr, without.te, inversion_time=20e-3
    )
    np.testing.assert_allclose(
        model.signal(theta), scaled.signal(TISSUE), rtol=0, atol=1e-14
    )
    theta[:, 2] = 1.0
    np.testing.assert_array_equal(model.signal(theta), without.signal(TISSUE))


def test_constant_pulses_reach_the_steady_state_of_fisp():
    # The closed form by angle of dephasing (Hänicke and Vogel, MRM 2003, doi
    # 10.1002/mrm.10410), averaged over a full turn.
    model = FISPFingerprinting(np.full(700, 0.6), 10e-3, 0.0)
    t1, t2, a = 0.3, 0.05, 0.6
    s = model.signal([[t1, t2]])[0, -1]
    e1, e2 = np.exp(-10e-3 / t1), np.exp(-10e-3 / t2)
    p = 1 - e1 * np.cos(a) - e2**2 * (e1 - np.cos(a))
    q = e2 * (1 - e1) * (1 + np.cos(a))
    theta = 2 * np.pi * np.arange(4096) / 4096
    profile = (1 - e2 * np.exp(-1j * theta)) / (p - q * np.cos(theta))
    expected = np.sin(a) * (1 - e1) * profile.mean()
    # exp(-7 s / T1) of the start remains.
    np.testing.assert_allclose(s, expected, rtol=1e-9)


def test_very_long_repetitions_leave_nothing_and_overflow_nothing():
    model = FISPFingerprinting([1.0, 1.0], [30.0, 30.0], 0.0)
    with pytest.warns(ImplausibleValueWarning, match="T[12] = 0.001 s in row 0"):
        s, jacobian = model.signal(np.full((2, 2), 1e-3), jacobian=True)
    np.testing.assert_allclose(s, np.sin(1.0), rtol=1e-15)
    assert np.isfinite(jacobian).all()


# Options


def test_every_option_matters():
    s = fisp().signal(TISSUE)
    for options in (
        dict(inversion_time=None),
        dict(inversion_time=0.1),
        dict(phase=quadratic(40)),
        dict(n_states=3),
    ):
        assert np.abs(fisp(**options).signal(TISSUE) - s).max() > 1e-4, options
    assert fisp(b1=True).parameter_names == ("T1", "T2", "B1")
    assert fisp(bounds={"T2": (0.02, 1.0)}).bounds[1].tolist() == [0.02, 1.0]


def test_scalars_are_the_same_for_all_pulses():
    scalars = FISPFingerprinting([0.5, 0.7, 0.9], 12e-3, 3e-3)
    arrays = FISPFingerprinting([0.5, 0.7, 0.9], [12e-3] * 3, [3e-3] * 3)
    np.testing.assert_array_equal(scalars.signal(TISSUE), arrays.signal(TISSUE))


def test_pickles_are_small():
    model = smooth(880)
    model.signal(TISSUE)
    # Flip angles, repetition times and echo times are three numbers per pulse.
    few = len(pickle.dumps(smooth(4)))
    assert len(pickle.dumps(model)) < few + 876 * 3 * 8 + 100


def test_the_short_text_counts_the_pulses():
    expected = (
        "FISPFingerprinting(alpha=<40 values>, tr=<40 values>, te=<40 values>, "
        "inversion_time=0.02, b1=True, n_states=5)"
    )
    assert str(fisp(b1=True, n_states=5)) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(alpha=[30.0, 40.0]), r"alpha\[0\] = 30 rad; give at most 2 pi.*degrees"),
        (dict(alpha=[]), "alpha has shape .0,.; give one real"),
        (dict(alpha=0.5), r"alpha has shape \(\); give one real"),
        (dict(alpha=[0.5, 1j]), "alpha is complex; give reals"),
        (dict(alpha=[0.5, np.nan]), r"alpha\[1\] = nan; give finite numbers"),
        (dict(tr=[12e-3] * 3), "tr has 3 values for 2 pulses; give 2"),
        (dict(tr=[12e-3, 0.0]), r"tr\[1\] = 0 s; give a positive time"),
        (dict(te=[3e-3, 13e-3]), r"te\[1\] = 0.013 s; give at least 0 and at most tr"),
        (dict(te=-1e-3), r"te\[0\] = -0.001 s; give at least 0"),
        (dict(phase=[0.0]), "phase has 1 values for 2 pulses; give 2"),
        (dict(inversion_time=-0.1), "inversion_time = -0.1; give a time in s, at least 0"),
        (dict(n_states=0), "n_states = 0; give a whole number, 1 or more"),
        (dict(inversion_time="x"), "inversion_time = 'x'; give a time in s, at least 0"),
        (dict(inversion_time=[0.1]), r"inversion_time = \[0.1\]; give a time in s"),
        (dict(n_states=2.5), "n_states = 2.5; give a whole number"),
        (dict(n_states="x"), "n_states = 'x'; give a whole number, 1 or more"),
        (dict(n_states=np.inf), "n_states = inf; give a whole number"),
        (dict(n_states=[1, 2]), r"n_states = \[1, 2\]; give a whole number"),
        (dict(bounds={"B1": (0.5, 1)}), "bounds name B1; the parameters are T1, T2."),
        (dict(bounds={"T2": (0.3, 0.1)}), r"bounds of T2 are \(0.3, 0.1\); give"),
    ],
)
def test_wrong_options(changes, message):
    arguments = dict(alpha=[0.5, 0.6], tr=12e-3, te=3e-3) | changes
    with pytest.raises(ValueError, match=message):
        FISPFingerprinting(**arguments)


def test_milliseconds_are_named():
    with pytest.raises(ValueError, match="T2 = 70 s .* like milliseconds, give seconds"):
        fisp().signal([[0.9, 70.0]])
