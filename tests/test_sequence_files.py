"""Files that are damaged, made to harm, or of rare kinds."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

from benchmarks import damaged_files
from crbestim._sequence_files import hdf5, hdf5_process, limits
from crbestim.exceptions import SequenceFileError
from crbestim.sequences import HybridStateSequence

ALPHA, TRF, TR = np.array([3.1, 0.5, 0.7]), np.array([5e-4, 3e-4, 4e-4]), 3.5e-3
ARRAYS = {"alpha": ALPHA, "TRF": TRF, "TR": TR}
SEQUENCE = HybridStateSequence(ALPHA, TRF, TR)
HUGE = 2**40


def read(path):
    return HybridStateSequence.from_file(path)


@pytest.fixture
def npz(tmp_path):
    """Return a function that writes the members of an archive."""

    def write(method=zipfile.ZIP_STORED, **members):
        with zipfile.ZipFile(tmp_path / "s.npz", "w", method) as archive:
            for name, content in (ARRAYS | members).items():
                if not isinstance(content, bytes):
                    stream = io.BytesIO()
                    np.save(stream, content)
                    content = stream.getvalue()
                archive.writestr(f"{name}.npy", content)
        return tmp_path / "s.npz"

    return write


# Mutants


@pytest.mark.parametrize(
    ("kind", "n"),
    [("mat73", 2), *((k, 100) for k in damaged_files.WRITERS if not k.startswith("mat73"))],
)
@pytest.mark.filterwarnings("ignore::crbestim.exceptions.ImplausibleValueWarning")
def test_damaged_files_are_refused_unless_damage_cannot_be_seen(tmp_path, kind, n):
    path = tmp_path / ("s.npz" if kind.startswith("npz") else "s.mat")
    damaged_files.WRITERS[kind](path)
    content, valid = path.read_bytes(), read(path)
    outcomes = set()
    for number in range(n):
        path.write_bytes(damaged_files.mutant(content, number))
        outcomes.add(damaged_files.outcome(path, valid))
    # Only archives and compressed variables have checksums.
    without = {"other"} if kind in ("mat4", "mat5", "mat73") else set()
    assert outcomes <= {"same", "refused"} | without


# NumPy archives


def npy(shape, descr="<f8", content=b""):
    """Return a .npy file whose header may not be true."""
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array", "damaged or does not hold plain arrays .*magic string"),
        (npy((HUGE,)), r"alpha of shape \(1099511627776,\) .* is not 0 bytes"),
        (npy((-1,)), r"alpha of shape \(-1,\)"),
        (npy((2,), content=bytes(8)), r"alpha of shape \(2,\) .* is not 8 bytes"),
        (npy((2, HUGE), "|V0"), r"alpha is of type \|V0; only plain arrays of numbers"),
        (npy((1,), "|O", b"cos\nsystem\n(S'exit'\ntR."), "alpha is of type object; only"),
        (ALPHA.astype("U3"), "alpha is of type <U3; only plain arrays of numbers"),
        (b"\x93NUMPY\x07\x00" + bytes(90), r"a .npy file of the unknown version \(7, 0\)"),
    ],
)
def test_members_that_are_no_plain_arrays(npz, content, message):
    with pytest.raises(SequenceFileError, match=f"s.npz cannot be read: .*{message}"):
        read(npz(alpha=content))


def test_archive_with_more_than_any_sequence(npz, monkeypatch):
    monkeypatch.setattr(limits, "LARGEST", 151)
    with pytest.raises(SequenceFileError, match="alpha takes 152 bytes; at most 151 are"):
        read(npz())


def test_archive_that_lies_about_its_size(npz):
    """Sizes are in the directory and before each member; zipfile believes the first."""
    true, said = npy((2**17,), content=bytes(2**20)), npy((3,), content=bytes(24))
    content = npz(zipfile.ZIP_DEFLATED, alpha=true).read_bytes()
    path = npz()
    path.write_bytes(content.replace(struct.pack("<I", len(true)), struct.pack("<I", 152)))
    assert len(said) == 152
    with pytest.raises(SequenceFileError, match="Bad CRC-32 for file 'alpha.npy'"):
        read(path)


def test_archives_that_numpy_does_not_write(npz):
    with pytest.raises(SequenceFileError, match="alpha is compressed by method 12 of zip"):
        read(npz(zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(path := npz(), "a") as archive:
        archive.writestr("alpha", npy((3,), content=bytes(24)))
    with pytest.raises(SequenceFileError, match="alpha is there twice"):
        read(path)


def test_a_name_that_differs_between_directory_and_member(npz):
    path = npz(train_lengths=[1, 2])
    content = path.read_bytes()
    last = content.rindex(b"train_lengths")
    path.write_bytes(content[:last] + b"train_lengtha" + content[last + 13 :])
    with pytest.raises(SequenceFileError, match="cannot be read"):
        read(path)


def test_any_order_of_axes_and_bytes(npz):
    two = np.asfortranarray([ALPHA, ALPHA[::-1]]).T.astype(">f4")
    expected = HybridStateSequence(list(two.T), [TRF, TRF], TR)
    assert read(npz(alpha=two, TRF=np.stack([TRF, TRF], 1))) == expected


def test_trains_without_end(npz):
    lengths = np.array([2**63, 2**63 + 3], np.uint64)
    with pytest.raises(SequenceFileError, match=r"train_lengths \[9223.* are not whole"):
        read(npz(train_lengths=lengths))
    message = "s.npz: alpha has 65537 trains; at most 65536 are read"
    with pytest.raises(SequenceFileError, match=message):
        read(npz(alpha=np.ones((2, 2**16 + 1))))
    with pytest.raises(
        SequenceFileError, match=r"train_lengths \[1, 1, 1, \.\.\., 1, 1, 1\] are"
    ):
        read(npz(train_lengths=np.ones(999, int)))


def test_names_in_errors_are_few_and_can_be_printed(npz):
    path = npz(**{f"a{i}": TRF for i in range(30)}, **{"0\x1b[31m": TRF})
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(path.with_stem("t"), "w") as new:
        for name in set(old.namelist()) - {"alpha.npy"}:
            new.writestr(name, old.read(name))
    message = r"no alpha; it holds '0\\x1b\[31m', TR, TRF, a0, .*, a23, \.\.\.$"
    with pytest.raises(SequenceFileError, match=message):
        read(path.with_stem("t"))


# MATLAB files before version 7.3


def element(kind, content, order="<"):
    return (
        struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)
    )


def matrix(name, kind, shape, *elements, order="<"):
    flags = element(6, struct.pack(f"{order}II", kind, 0), order)
    dims = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    name = element(1, name.encode(), order)
    return element(14, b"".join([flags, dims, name, *elements]), order)


def vector(name, values, order="<"):
    values = np.asarray(values, f"{order}f8")
    numbers = element(9, values.tobytes(), order)
    return matrix(name, 6, (values.size, 1), numbers, order=order)


@pytest.fixture
def mat(tmp_path):
    """Return a function that writes the variables of a file of version 5."""

    def write(*variables, order="<", defaults=("alpha", "TRF", "TR")):
        version = {"<": b"\x00\x01IM", ">": b"\x01\x00MI"}[order]
        head = b"MATLAB 5.0 MAT-file".ljust(124) + version
        variables += tuple(vector(name, ARRAYS[name], order) for name in defaults)
        (tmp_path / "s.mat").write_bytes(head + b"".join(variables))
        return tmp_path / "s.mat"

    return write


@pytest.mark.parametrize("order", "<>")
def test_byte_orders(mat, order):
    assert read(mat(order=order)) == SEQUENCE


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4"])
@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_numbers_of_every_type(tmp_path, dtype, options):
    alpha, path = np.array([[3, 1, 2]], dtype), tmp_path / "s.mat"
    savemat(path, ARRAYS | {"alpha": alpha}, **options)
    assert read(path) == HybridStateSequence([3, 1, 2], TRF, TR)


def test_doubles_that_are_stored_as_small_integers(mat):
    """MATLAB does so; up to four bytes share eight with their type and number."""
    small = matrix("alpha", 6, (1, 3), struct.pack("<HH3Bx", 2, 3, 3, 1, 2))
    assert read(mat(small, defaults=("TRF", "TR"))).alpha.tolist() == [3, 1, 2]


def test_other_variables_do_not_matter(mat, tmp_path):
    hidden = matrix("", 9, (1, 8), element(2, bytes(8)))
    flags, name = element(6, struct.pack("<II", 17, 0)), element(1, b"string")
    opaque = element(14, flags + name + element(1, b"MCOS") + element(1, b"string"))
    assert read(mat(hidden, opaque)) == SEQUENCE
    path = mat(hidden, opaque, defaults=())
    with pytest.raises(SequenceFileError, match="no alpha; it holds string$"):
        read(path)
    others = {"t": "text", "s": {"a": 1}, "c": np.array([1j]), "p": csc_array(np.eye(2))}
    savemat(tmp_path / "o.mat", ARRAYS | others, do_compression=True)
    assert read(tmp_path / "o.mat") == SEQUENCE


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        ({"a": 1}, "alpha is a struct; only plain arrays of numbers"),
        ("text", "alpha is text"),
        (1j * ALPHA, "alpha is complex"),
        (csc_array(np.eye(2)), "alpha is sparse"),
        (np.array([np.array([ALPHA, TRF, 1], object), 1], object), r"alpha\{1\} is a cell"),
    ],
)
def test_variables_that_are_no_plain_arrays(tmp_path, alpha, message):
    savemat(tmp_path / "s.mat", ARRAYS | {"alpha": alpha}, do_compression=True)
    with pytest.raises(SequenceFileError, match=f"s.mat cannot be read: {message}"):
        read(tmp_path / "s.mat")


def compressed(content, level=-1):
    data = zlib.compress(content, level)
    return struct.pack("<II", 15, len(data)) + data


THREE = element(9, ALPHA.tobytes())


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (vector("TR", TR), "TR is there twice"),
        (matrix("alpha", 6, (3, 2), THREE), "alpha, 6 numbers .* is stored as 24 bytes"),
        (matrix("alpha", 6, (3, 1), THREE, THREE), "alpha has more bytes than its shape"),
        (matrix("alpha", 7, (3, 1), THREE), "numbers of type float32, .* of type float64"),
        (matrix("alpha", 6, (3, 1), element(8, bytes(24))), "as 24 bytes of type 8"),
        (matrix("alpha", 6, (-3, 1), THREE), r"a variable has the shape \(-3, 1\)"),
        (matrix("alpha", 1, (60000, 1)), "alpha has fewer bytes than its 60000 cells"),
        (matrix("alpha", 1, (65537, 1)), "alpha has 65537 trains; at most 65536 are"),
        (matrix("alpha", 1, (1, 1), THREE), r"what should be alpha\{1\} is of type 9"),
        (element(9, bytes(8)), "what should be a variable is of type 9"),
        (compressed(element(9, bytes(8))), "what should be a variable is of type 9"),
        (
            compressed(struct.pack("<II", 14, 2**31) + vector("alpha", ALPHA)[8:]),
            "alpha takes 2147483648 bytes; at most 67108864",
        ),
        (compressed(vector("alpha", ALPHA) + b"0"), "alpha does not decompress to the 88"),
        (compressed(vector("alpha", ALPHA))[:-1] + b"0", "incorrect data check"),
        (struct.pack("<II", 14, 2**31), "damaged|ends before its last variable does"),
    ],
)
def test_variables_whose_sizes_contradict_each_other(mat, variable, message):
    with pytest.raises(SequenceFileError, match=message):
        read(mat(variable))


def test_text_beside_numbers_of_version_4(tmp_path):
    savemat(tmp_path / "s.mat", ARRAYS | {"note": "text"}, format="4")
    assert read(tmp_path / "s.mat") == SEQUENCE
    savemat(tmp_path / "s.mat", ARRAYS | {"alpha": "text"}, format="4")
    with pytest.raises(SequenceFileError, match="alpha is text"):
        read(tmp_path / "s.mat")


# MATLAB 7.3: the process that reads it


@pytest.fixture
def mat73(tmp_path):
    damaged_files.write_hdf5(tmp_path / "s.mat")
    return tmp_path / "s.mat"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "stopped with SIGKILL"),
        ("raise SystemExit(3)", "the HDF5 library stopped with code 3"),
        ("print('no json')", "damaged or does not hold plain arrays"),
        ("import time; time.sleep(60)", "reading it took more than 1 s"),
    ],
)
def test_a_process_that_ends_badly(mat73, monkeypatch, tmp_path, capfd, body, message):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nprint('reading', flush=True)\nprint('!', file=sys.stderr)\n{body}"
    )
    monkeypatch.setattr(hdf5, "_SCRIPT", script)
    if "sleep" in body:
        monkeypatch.setattr(hdf5, "TIME_LIMIT", 1)
    with pytest.raises(SequenceFileError, match=f"s.mat cannot be read: .*{message}"):
        read(mat73)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("executable", [None, "", "no_such_python", os.devnull])
def test_without_a_python_to_start(mat73, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(SequenceFileError, match="second Python process, and .*'-v7'"):
        read(mat73)


def test_a_frozen_program_does_not_start_itself(mat73, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(SequenceFileError, match="there is no interpreter to start"):
        read(mat73)


def test_a_process_that_cannot_import(mat73, monkeypatch, tmp_path):
    (tmp_path / "h5py.py").write_text("raise ImportError('no HDF5 here')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    message = r"does not start with h5py \(ImportError: no HDF5 here\)"
    with pytest.raises(SequenceFileError, match=message):
        read(mat73)


def test_warnings_and_settings_of_the_interpreter_do_not_matter(mat73):
    code = "from crbestim.sequences import *; HybridStateSequence.from_file(sys.argv[1])"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; {code}", mat73],
        env=os.environ | {"PYTHONWARNINGS": "error"},
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def external(file):
    file.create_dataset("alpha", (3, 1), "f8", external=[("/etc/passwd", 0, 24)])


def virtual(file):
    layout = h5py.VirtualLayout((3, 1), "f8")
    layout[:] = h5py.VirtualSource("other.mat", "alpha", (3, 1))
    file.create_virtual_dataset("alpha", layout)


def circle(file):
    cells = file.create_dataset("alpha", (1, 1), h5py.ref_dtype)
    cells[0, 0] = cells.ref


def many_times(file):
    numbers = file.create_dataset("#refs#/n", (2**20, 1), "f8")
    references = np.full((2, 9), numbers.ref, h5py.ref_dtype)
    file.create_dataset("alpha", data=references)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.create_dataset("alpha", (HUGE, 1), "f8"), "alpha takes 8796"),
        (lambda file: file.create_dataset("alpha", (2**17, 1), h5py.ref_dtype), "trains"),
        (lambda file: file.create_dataset("alpha", (2, 1), h5py.string_dtype()), "of type"),
        (
            lambda file: file.__setitem__("alpha", h5py.ExternalLink("o.mat", "/alpha")),
            "alpha is a link to another place",
        ),
        (external, "alpha is stored in another file"),
        (virtual, "alpha is stored in another file"),
        (circle, r"alpha\{1\} is of type object; only numbers are read"),
        (many_times, r"alpha\{9\} takes 8388608 bytes, more than the 0 that"),
    ],
)
def test_hdf5_that_is_no_plain_array(mat73, change, message):
    with h5py.File(mat73, "r+") as file:
        del file["alpha"]
        change(file)
    limits = {"limit": 2**26, "most_cells": 2**16}
    request = {"file": str(mat73), "names": ["alpha"]} | limits
    with pytest.raises(hdf5_process.Refused, match=message):
        hdf5_process._read(request, io.BytesIO())
