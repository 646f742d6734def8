import copy
import pickle
import sys
import warnings

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from crbestim.exceptions import ImplausibleValueWarning, SequenceFileError
from crbestim.sequences import HybridStateSequence

TR = 3.5e-3
ALPHA = np.array([np.pi, 0.5, -0.7, 1.2])
TRF = np.array([5e-4, 3e-4, 4e-4, 2e-4])


@pytest.fixture
def sequence():
    return HybridStateSequence(ALPHA, TRF, TR)


@pytest.fixture
def two_trains():
    return HybridStateSequence([ALPHA, ALPHA[:3]], [TRF, TRF[:3]], TR)


# From arrays


def test_one_train(sequence):
    np.testing.assert_array_equal(sequence.alpha, ALPHA)
    np.testing.assert_array_equal(sequence.trf, TRF)
    assert (sequence.tr, sequence.n_pulses, sequence.n_trains) == (TR, 4, 1)
    assert sequence.train_lengths == (4,)
    np.testing.assert_array_equal(sequence.train_offsets, [0, 4])


def test_several_trains_follow_one_another(two_trains):
    np.testing.assert_array_equal(two_trains.alpha, [*ALPHA, *ALPHA[:3]])
    assert (two_trains.n_pulses, two_trains.n_trains) == (7, 2)
    np.testing.assert_array_equal(two_trains.train_offsets, [0, 4, 7])
    (alpha0, trf0), (alpha1, trf1) = two_trains.trains
    np.testing.assert_array_equal(alpha0, ALPHA)
    np.testing.assert_array_equal(trf0, TRF)
    np.testing.assert_array_equal(alpha1, ALPHA[:3])
    np.testing.assert_array_equal(trf1, TRF[:3])


@pytest.mark.parametrize("form", [list, tuple, lambda v: np.asarray(v, np.float32)])
def test_any_real_array_like_becomes_float64(form):
    sequence = HybridStateSequence(form(ALPHA), form(TRF), np.float32(TR))
    assert sequence.alpha.dtype == sequence.trf.dtype == np.float64
    assert isinstance(sequence.tr, float)
    np.testing.assert_allclose(sequence.alpha, ALPHA, rtol=1e-7)


def test_integers_and_a_list_with_one_train():
    sequence = HybridStateSequence([[3, 1]], [TRF[:2]], TR)
    np.testing.assert_array_equal(sequence.alpha, [3.0, 1.0])
    assert sequence.n_trains == 1


def test_object_array_of_trains(two_trains):
    alpha, trf = np.empty(2, object), np.empty(2, object)
    alpha[:], trf[:] = [ALPHA, ALPHA[:3]], [TRF, TRF[:3]]
    assert HybridStateSequence(alpha, trf, TR) == two_trains


def test_arrays_are_copies_and_read_only(two_trains):
    alpha, trf = ALPHA.copy(), TRF.copy()
    sequence = HybridStateSequence(alpha, trf, TR)
    alpha[1] = trf[1] = 0.1
    assert sequence == HybridStateSequence(ALPHA, TRF, TR)
    for array in (sequence.alpha, sequence.trf, two_trains.trains[1][0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        sequence.tr = 1


def repickle(sequence):
    return pickle.loads(pickle.dumps(sequence))


@pytest.mark.parametrize("lengths", [(4, 9), (5, -1), (0, 4), (), (4, 0)])
def test_a_state_that_does_not_fit_its_arrays(lengths):
    sequence = HybridStateSequence([1.0] * 4, [1e-4] * 4, 3.5e-3)
    state = vars(sequence) | {"_train_lengths": lengths}
    with pytest.raises(ValueError, match="pulses do not fit arrays"):
        sequence.__setstate__(state)


@pytest.mark.parametrize("move", [copy.deepcopy, repickle])
def test_copies_are_equal_and_read_only(two_trains, move):
    moved = move(two_trains)
    assert moved == two_trains
    assert hash(moved) == hash(two_trains)
    assert not moved.alpha.flags.writeable
    assert not moved.trf.flags.writeable


def test_copying_does_not_repeat_a_warning():
    with pytest.warns(ImplausibleValueWarning):
        sequence = HybridStateSequence(ALPHA, TRF, 3.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert repickle(sequence) == sequence


def test_equality_sees_every_part(sequence):
    others = [
        HybridStateSequence(ALPHA * 0.9, TRF, TR),
        HybridStateSequence(ALPHA, TRF * 0.9, TR),
        HybridStateSequence(ALPHA, TRF, TR * 0.9),
        HybridStateSequence([ALPHA[:2], ALPHA[2:]], [TRF[:2], TRF[2:]], TR),
        "HybridStateSequence",
    ]
    assert all(sequence != other for other in others)


def test_the_text_can_be_pasted_back(sequence, two_trains):
    text = "HybridStateSequence(alpha=[1.0, 0.5], trf=[0.0005, 0.0003], tr=0.0035)"
    assert repr(HybridStateSequence([1, 0.5], TRF[:2], TR)) == text
    for expected in (sequence, two_trains, HybridStateSequence.default()):
        assert eval(repr(expected)) == expected
    short = "HybridStateSequence(alpha=<1000 values>, trf=<1000 values>, tr=0.0035)"
    assert str(HybridStateSequence.default()) == short
    assert str(two_trains) == repr(two_trains)
    long = HybridStateSequence([np.ones(9), ALPHA], [np.full(9, 3e-4), TRF], TR)
    assert str(long).startswith("HybridStateSequence(alpha=[<9 values>, [3.14")


# Bad input


def changed(values, index, value):
    values = values.copy()
    values[index] = value
    return values


@pytest.mark.parametrize(
    ("alpha", "trf", "tr", "message"),
    [
        (ALPHA + 0j, TRF, TR, "alpha is complex; give reals"),
        (ALPHA > 0, TRF, TR, "alpha holds values of type bool; give numbers"),
        (ALPHA, ["a", "b"], TR, "TRF holds values of type <U1; give numbers"),
        (changed(ALPHA, 2, np.nan), TRF, TR, r"alpha\[2\] = nan; give finite"),
        (ALPHA, changed(TRF, 1, np.inf), TR, r"TRF\[1\] = inf; give finite"),
        (ALPHA[:, None], TRF, TR, r"alpha has shape \(4, 1\); .*list\(array.T\)"),
        (0.5, TRF, TR, r"alpha has shape \(\); a train is one-dimensional"),
        ([ALPHA, 0.5], TRF, TR, "alpha is ragged: its rows differ in length"),
        ([], [], TR, "alpha is empty; a train has at least one pulse"),
        ([ALPHA, []], [TRF, []], TR, r"alpha\[1\] is empty"),
        (ALPHA[:3], TRF, TR, "alpha has 3 pulses and TRF has 4; each pulse"),
        (
            [ALPHA] * 2,
            [TRF, TRF[:3]],
            TR,
            r"alpha\[1\] has 4 pulses and TRF\[1\] has 3",
        ),
        ([ALPHA] * 2, TRF, TR, "alpha holds 2 trains and TRF 1; give one array"),
        (ALPHA, changed(TRF, 2, 0), TR, r"TRF\[2\] = 0 s; a pulse lasts longer"),
        (ALPHA, -TRF, TR, r"TRF\[0\] = -0.0005 s; a pulse lasts longer"),
        (np.rad2deg(ALPHA), TRF, TR, r"alpha\[0\] = 180 rad; .* np.deg2rad\(alpha\)"),
        (-np.rad2deg(ALPHA), TRF, TR, r"alpha\[0\] = -180 rad; .* np.deg2rad"),
        (
            ALPHA,
            changed(TRF, 3, 4.1e-3),
            TR,
            r"TRF\[3\] = 0.0041 s is longer than TR = 0.0035 s; shorten the pulse",
        ),
        (
            ALPHA,
            TRF * 1e3,
            TR,
            r"TRF\[0\] = 0.5 s .* for milliseconds give 0.001 \* trf",
        ),
        (
            ALPHA,
            TRF * 1e6,
            TR,
            r"TRF\[0\] = 500 s .* for microseconds give 1e-06 \* trf",
        ),
        ([ALPHA] * 2, [TRF, TRF * 20], TR, r"TRF\[1\]\[0\] = 0.01 s is longer than TR"),
        (ALPHA, TRF, 0, "TR = 0; give one finite time above 0, in seconds"),
        (ALPHA, TRF, np.nan, "TR = nan; give one finite time above 0, in seconds"),
        (ALPHA, TRF, [TR, TR], "TR = .*; give one finite time"),
        (ALPHA, TRF, "3.5 ms", "TR = '3.5 ms'; give one finite time"),
        (ALPHA, TRF, None, "TR = None; give one finite time"),
    ],
)
def test_values_that_cannot_be_a_sequence(alpha, trf, tr, message):
    with pytest.raises(ValueError, match=message):
        HybridStateSequence(alpha, trf, tr)


@pytest.mark.parametrize(
    ("scale_trf", "tr", "message"),
    [
        (1, 3.5, "a TR of 3.5 s is outside the usual 0.0005 to 0.1 s; times are in"),
        (0.1, 4e-4, "a TR of 0.0004 s is outside"),
        (100, 0.1, "a TRF of 0.05 s is outside the usual 1e-06 to 0.02 s; times are"),
        (4e-3, TR, "a TRF of 8e-07 s is outside"),
    ],
)
def test_times_in_another_unit_warn_where_the_user_is(scale_trf, tr, message):
    with pytest.warns(ImplausibleValueWarning, match=message) as caught:
        HybridStateSequence(ALPHA, TRF * scale_trf, tr)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limits_are_allowed(dtype):
    alpha = np.deg2rad([360, -360]).astype(dtype)
    sequence = HybridStateSequence(alpha, [TR, TR], TR)
    np.testing.assert_allclose(sequence.alpha, [2 * np.pi, -2 * np.pi], rtol=1e-7)


# From files


def write_npz(path, alpha, trf, **others):
    np.savez(path.with_suffix(".npz"), alpha=alpha, TRF=trf, **others)
    return path.with_suffix(".npz")


def write_mat(path, alpha, trf, **others):
    savemat(path.with_suffix(".mat"), {"alpha": alpha, "TRF": trf, **others})
    return path.with_suffix(".mat")


def write_mat73(path, alpha, trf, **others):
    """Write what MATLAB writes: HDF5 after a text header, axes reversed."""
    path = path.with_suffix(".mat")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in {"alpha": alpha, "TRF": trf, **others}.items():
            if getattr(values, "dtype", np.dtype(float)).kind == "O":
                cells = np.empty((values.size, 1), h5py.ref_dtype)
                for i, cell in enumerate(values):
                    data = np.reshape(cell, (1, -1))
                    cells[i] = file.create_dataset(f"#refs#/{name}{i}", data=data).ref
                file.create_dataset(name, data=cells)
            else:
                file[name] = np.atleast_2d(values).T
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116))
    return path


WRITERS = [write_npz, write_mat, write_mat73]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("shape", [(-1, 1), (1, -1)])
def test_file_with_one_train(tmp_path, sequence, write, shape):
    path = write(tmp_path / "s", ALPHA.reshape(shape), TRF.reshape(shape), TR=TR)
    assert HybridStateSequence.from_file(path) == sequence
    assert HybridStateSequence.from_file(str(path), tr=4e-3).tr == 4e-3


@pytest.mark.parametrize("write", WRITERS)
def test_file_with_one_train_per_column(tmp_path, write):
    alpha, trf = np.stack([ALPHA, ALPHA / 2], 1), np.stack([TRF, TRF / 2], 1)
    sequence = HybridStateSequence.from_file(write(tmp_path / "s", alpha, trf, TR=TR))
    assert sequence == HybridStateSequence(list(alpha.T), list(trf.T), TR)


@pytest.mark.parametrize("write", [write_mat, write_mat73])
@pytest.mark.parametrize("second", [3, 4])
def test_file_with_a_cell_per_train(tmp_path, write, second):
    alpha, trf = np.empty(2, object), np.empty(2, object)
    for cells, values in ((alpha, ALPHA), (trf, TRF)):
        cells[0], cells[1] = values, values[:second]
    sequence = HybridStateSequence.from_file(write(tmp_path / "s", alpha, trf, TR=TR))
    assert sequence == HybridStateSequence(alpha, trf, TR)


def test_npz_with_trains_one_after_the_other(tmp_path, two_trains):
    arrays = {"alpha": two_trains.alpha, "trf": two_trains.trf, "tr": TR}
    path = tmp_path / "s.npz"
    np.savez(path, **arrays, train_lengths=two_trains.train_lengths)
    assert HybridStateSequence.from_file(path) == two_trains


def test_real_sequence(shared_data):
    path = shared_data / "data" / "hybrid_state_sequence.npz"
    sequence = HybridStateSequence.from_file(path)
    with np.load(path) as stored:
        np.testing.assert_array_equal(sequence.alpha, stored["alpha"])
        np.testing.assert_array_equal(sequence.trf, stored["trf"])
    assert (sequence.n_pulses, sequence.tr) == (1142, 3.5e-3)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no sequence file .*gone.npz"):
        HybridStateSequence.from_file(tmp_path / "gone.npz")


def test_unknown_kind_of_file(tmp_path):
    (tmp_path / "s.txt").write_text("3.14 0.5")
    with pytest.raises(SequenceFileError, match="s.txt is neither a .npz nor a .mat"):
        HybridStateSequence.from_file(tmp_path / "s.txt")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("kept", [0, 0.1, 0.5, 0.9])
def test_truncated_file(tmp_path, write, kept):
    rng = np.random.default_rng(0)
    values = rng.uniform(1e-4, 5e-4, 500)
    path = write(tmp_path / "s", values, values, TR=TR)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(SequenceFileError, match=rf"{path.name} (cannot be|has no)"):
        HybridStateSequence.from_file(path)


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_file_of_another_kind(tmp_path, suffix):
    path = tmp_path / f"s{suffix}"
    path.write_bytes(b"these bytes are no sequence " * 40)
    with pytest.raises(SequenceFileError, match=f"s{suffix} cannot be read"):
        HybridStateSequence.from_file(path)


@pytest.mark.parametrize("write", WRITERS)
def test_missing_arrays(tmp_path, write):
    path = write(tmp_path / "s", ALPHA, TRF)
    with pytest.raises(SequenceFileError, match="has no TR; give tr, in seconds"):
        HybridStateSequence.from_file(path)
    path = write(tmp_path / "s", ALPHA, TRF, TR=TR)
    renamed = tmp_path / f"renamed{path.suffix}"
    renamed.write_bytes(path.read_bytes().replace(b"alpha", b"angle"))
    if path.suffix == ".npz":
        np.savez(renamed, angle=ALPHA, TRF=TRF, TR=TR)
    with pytest.raises(SequenceFileError, match="no alpha; it holds TR, TRF, angle"):
        HybridStateSequence.from_file(renamed)


def test_pickled_arrays_are_not_loaded(tmp_path):
    alpha = np.array([ALPHA, ALPHA[:3]], object)
    path = write_npz(tmp_path / "s", alpha, alpha, TR=TR)
    with pytest.raises(SequenceFileError, match="s.npz cannot be read: .*plain arrays"):
        HybridStateSequence.from_file(path)


def test_matlab_struct_and_empty_array(tmp_path):
    path = write_mat73(tmp_path / "s", ALPHA, TRF, TR=TR)
    with h5py.File(path, "r+") as file:
        del file["TRF"]
        file["TRF"] = np.zeros(2, np.uint64)
        file["TRF"].attrs["MATLAB_empty"] = 1
    with pytest.raises(SequenceFileError, match="s.mat: TRF is empty"):
        HybridStateSequence.from_file(path)
    with h5py.File(path, "r+") as file:
        del file["TRF"]
        file.create_group("TRF")
    with pytest.raises(SequenceFileError, match="s.mat cannot .*TRF is a struct"):
        HybridStateSequence.from_file(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"TRF": TRF * 1e3}, r"s.npz: TRF\[0\] = 0.5 s is longer than TR"),
        ({"alpha": np.ones((2, 2, 2))}, r"s.npz: alpha has shape \(2, 2, 2\); a train"),
        (
            {"train_lengths": [3, 2]},
            r"s.npz: train_lengths \[3, 2\] are not .* 4 pulses",
        ),
        ({"train_lengths": [4, 0]}, r"train_lengths \[4, 0\] are not whole numbers"),
        ({"train_lengths": [2.5, 1.5]}, r"train_lengths \[2.5, 1.5\] are not whole"),
    ],
)
def test_file_whose_arrays_are_no_sequence(tmp_path, arrays, message):
    path = tmp_path / "s.npz"
    np.savez(path, **{"alpha": ALPHA, "TRF": TRF, "TR": TR, **arrays})
    with pytest.raises(SequenceFileError, match=message):
        HybridStateSequence.from_file(path)


def test_matlab_73_without_h5py(tmp_path, monkeypatch):
    path = write_mat73(tmp_path / "s", ALPHA, TRF, TR=TR)
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = r'a MATLAB 7.3 file, needs h5py, .* pip install "crbestim\[mat\]"'
    with pytest.raises(ImportError, match=message):
        HybridStateSequence.from_file(path)


# The library's own


def test_default_is_a_smooth_sequence_after_an_inversion():
    sequence = HybridStateSequence.default()
    assert 900 <= sequence.n_pulses <= 1200
    assert sequence.tr == 3.5e-3
    assert (sequence.alpha[0], sequence.trf[0]) == (np.pi, 5e-4)
    alpha, trf = np.rad2deg(sequence.alpha[1:]), sequence.trf[1:]
    assert 0 < alpha.min() and alpha.max() < 100
    assert 1e-4 <= trf.min() and trf.max() <= 5e-4
    ramp = 6
    assert np.abs(np.diff(alpha[ramp:-ramp])).max() < 5
    np.testing.assert_allclose(alpha[: ramp - 1], alpha[:-ramp:-1], atol=7)
    assert np.abs(np.diff(trf)).max() < 2e-5
    assert sequence == HybridStateSequence.default()
