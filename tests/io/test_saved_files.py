"""Files that are damaged, foreign, newer or forged, and whom a file asks to trust."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from benchmarks import damaged_objects
from benchmarks.damaged_files import mutant
from crbestim import CRBRegressor
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import SavedFileError, VersionWarning
from crbestim.io import _container, describe, load, save
from crbestim.models import FunctionModel, MonoExponential
from tests.conftest import ROOT
from tests.models import functions
from tests.models.conftest import Biexponential

MODEL = MonoExponential([0.01, 0.03, 0.1])


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """Return the file of a small network, whose path tests leave as it is."""
    path = tmp_path_factory.mktemp("saved") / "network"
    save(damaged_objects.network(*damaged_objects.training()), path)
    return path


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Return the path of a file of a small model, in the working directory."""
    monkeypatch.chdir(tmp_path)
    save(MODEL, tmp_path / "model")
    return tmp_path / "model"


def rewrite(path, change):
    """Change summary and entries of a file, and sign it anew."""
    summary, entries, content = _container.read(path)
    entries = entries()
    change(summary, entries)
    _container.write(path, summary, entries, [bytes(content)])


def test_damaged_files_are_refused(valid, path):
    content, expected = valid.read_bytes(), damaged_objects.text(load(valid))
    found = set()
    for number in range(150):
        path.write_bytes(mutant(content, number))
        found.add(damaged_objects.outcome(path, expected))
    assert found == {"refused"}


def test_forged_files_do_no_harm(valid, path):
    shutil.copy(valid, path)
    expected, found = damaged_objects.text(load(valid)), set()
    for number in range(50):
        changed = path.with_name("changed")
        changed.write_bytes(damaged_objects.forged(path, number))
        found.add(damaged_objects.outcome(changed, expected))
    assert "refused" in found and found <= {"refused", "other", "same"}


def test_every_byte_counts(path):
    content = path.read_bytes()
    for i in range(0, len(content), 7):
        changed = bytearray(content)
        changed[i] ^= 1
        path.write_bytes(changed)
        for function in (load, describe):
            with pytest.raises(SavedFileError, match="model cannot be read: it "):
                function(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\x80\x04\x95", "looks like a pickle, which runs code"),
        (b"PK\x03\x04", "looks like a zip archive"),
        (b"hello, this is a text", "it begins with b'hello, this is a'"),
        (b"crbestim object, format 1\n", "damaged or incomplete"),
    ],
)
def test_foreign_files(path, content, message):
    path.write_bytes(content)
    with pytest.raises(SavedFileError, match=f"model cannot be read: .*{message}"):
        load(path)


def test_paths_that_are_no_files(tmp_path):
    for path in (tmp_path, tmp_path / "none", "/dev/null"):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            load(path)
    with pytest.raises(TypeError, match="give the path of a file"):
        load(3)
    with pytest.raises(TypeError, match="give the path of a file"):
        save(MODEL, None)


def test_newer_and_older_versions(path, monkeypatch):
    rewrite(path, lambda summary, _: summary.update(crbestim="0.0.9"))
    with pytest.warns(VersionWarning, match="model was stored by crbestim 0.0.9") as told:
        assert repr(load(path)) == repr(MODEL)
    assert told[0].filename == __file__
    rewrite(path, lambda summary, _: summary.update(crbestim="99.1"))
    with pytest.raises(SavedFileError, match="by crbestim 99.1, which is newer .*update"):
        load(path)
    assert describe(path)["crbestim"] == "99.1"
    with monkeypatch.context() as patch:
        patch.setattr(_container, "FORMAT", 2)
        save(MODEL, path)
    with pytest.raises(SavedFileError, match="of format 2, written by crbestim .*: update"):
        load(path)


def test_functions_and_classes_must_be_trusted(path):
    of_one, names = functions.of_one, ["a", "b", "c"]
    model = FunctionModel(of_one, names, [(0, 1), (1, 20), (30, 200)])
    save([model, Biexponential()], path)
    named = "tests.models.conftest.Biexponential", "tests.models.functions.of_one"
    assert describe(path)["trusted"] == ", ".join(named)
    with pytest.raises(SavedFileError, match=f"needs {', '.join(named)}, which loading"):
        load(path)
    with pytest.raises(SavedFileError, match=f"needs {named[1]}, which"):
        load(path, trusted=[Biexponential])
    for trusted in (named, [of_one, Biexponential], {named[0], of_one}):
        found, _ = load(path, trusted=trusted)
        assert found.f is of_one
    for trusted in ("all", True, [3], ["os"], None):
        with pytest.raises(TypeError, match="import paths"):
            load(path, trusted=trusted)


def test_a_trusted_module_is_imported_and_others_are_not(path, monkeypatch):
    Path("my_functions.py").write_text(
        "open('ran', 'w').close()\ndef f(x):\n    return x\n"
    )
    monkeypatch.syspath_prepend(".")
    import my_functions

    save(FunctionTransformer(my_functions.f), path)
    del sys.modules["my_functions"]
    os.remove("ran")
    with pytest.raises(SavedFileError, match="needs my_functions.f"):
        load(path)
    assert not Path("ran").exists() and "my_functions" not in sys.modules
    assert load(path, trusted=["my_functions.f"]).func is sys.modules["my_functions"].f
    Path("my_functions.py").write_text("")
    del sys.modules["my_functions"]
    message = (
        "f, which cannot be imported .* must have this import path here: put a file my_f"
    )
    with pytest.raises(SavedFileError, match=message):
        load(path, trusted=["my_functions.f"])


def test_an_object_of_the_same_name_does_not_stand_for_another(path):
    save(FunctionTransformer(functions.of_one), path)
    rewrite(path, lambda _, entries: entries.__setitem__(0, ["name", "theirs.of_one"]))
    message = (
        "trusted=.'theirs.of_one'..*tests.models.functions.of_one in trusted is another"
    )
    with pytest.raises(SavedFileError, match=message):
        load(path, trusted=[functions.of_one])


def test_functions_of_the_script_that_runs_are_told(path):
    code = f"""if True:
        import sys; sys.path[0] = {str(ROOT)!r}
        from crbestim.io import save
        from sklearn.preprocessing import FunctionTransformer
        def own(X): return X
        save(FunctionTransformer(own), {str(path)!r})
    """
    command = [sys.executable, "-W", "default", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "UserWarning: __main__.own is defined in the script or notebook" in result.stderr


@pytest.mark.parametrize("kind", ["name", "instance"])
@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "numpy.save",
        "scipy.io.loadmat",
        "crbestim.io.load",
        "crbestim.models.base.np.save",
        "crbestim.exceptions.SavedFileError",
        "sklearn.base.clone",
        "sklearn.datasets.fetch_openml",
        "sklearn.externals.array_api_compat.numpy.save",
        "crbestim.__main__.main",
    ],
)
def test_what_no_file_may_name(path, kind, name):
    def change(_, entries):
        entries[-1] = [kind, name]

    rewrite(path, change)
    with pytest.raises(SavedFileError, match=f"it (names|needs) {name}, which"):
        load(path)


def nothing_but(entry):
    def change(_, entries):
        entries[:] = [entry]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nothing_but(["list", [0]]), "refers to entry 0"),
        (nothing_but(["list", [-1]]), "refers to entry -1"),
        (nothing_but(["what"]), "KeyError"),
        (nothing_but(["array", "|O", "3", "C", False, 24]), "array of type '|O'"),
        (nothing_but(["array", "<f8", "9x9x9x9x9", "C", False, 8]), "59049|472392"),
        (nothing_but(["array", "<f8", "-1", "C", False, 8]), "shape '-1'"),
        (
            nothing_but(["array", "<f8", "1", "C", False, 10**9]),
            "array of 1000000000 bytes",
        ),
        (nothing_but(["instance", "numpy.log"]), "no class"),
        (nothing_but(["attributes", None, None]), "KeyError"),
        (lambda summary, _: summary.pop("crbestim"), "KeyError"),
        (lambda _, entries: entries.clear(), "unused"),
    ],
)
def test_forged_entries(path, change, message):
    rewrite(path, change)
    with pytest.raises(SavedFileError, match=f"cannot be read: .*({message})"):
        load(path)


def test_small_files_do_not_become_large_objects(path):
    save({"x": np.zeros(1000_000)}, path)
    # Zeros could be a thousand times smaller; what is read is not.
    assert path.stat().st_size > 1000_000 * 8 / 21
    packed = _container.zlib.compress(bytes(10**7))
    for n_bytes in (10**7, 10 * len(packed)):
        with pytest.raises(SavedFileError, match="it holds"):
            _container.unpack(packed, n_bytes)


def test_a_function_that_has_changed_is_told(path, monkeypatch):
    text = "import numpy as np\nb = np.array([{}])\ndef f(x):\n    return np.exp(-b * x)\n"
    Path("my_signal.py").write_text(text.format("0.0, 1.0, 2.0"))
    monkeypatch.syspath_prepend(".")
    import my_signal

    save(FunctionModel(my_signal.f, ["D"], [(0.0, 2.0)]), path)
    # One signal of the file is that of the function, to rounding.
    load(path, trusted=[my_signal.f])
    for changed, message in (
        ("0.0, 1.0, 2.1", "is 0.122456 and not 0.135335 in sample 2 .at the middle"),
        ("0.0, 1.0", "has 2 samples and not 3"),
        ("'a'", "fails with"),
    ):
        monkeypatch.setattr(my_signal, "b", eval(f"np.array([{changed}])"))
        with pytest.warns(UserWarning, match=f"'f' {message}") as told:
            load(path, trusted=[my_signal.f])
        assert told[0].filename == __file__


def test_networks_tell_what_they_were_trained_with(path):
    model = MonoExponential([0.01, 0.03, 0.06, 0.1], signal="magnitude", noise="rician")
    X, y = make_fingerprints(model, 200, snr=(20, 80), random_state=0)
    y[0, 0], y[1, 0] = 0.01, 2.5
    options = dict(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    save(make_pipeline(CRBRegressor(model, snr=(20, 80), **options).fit(X, y)), path)
    found = describe(path)
    assert (found["signal"], found["noise"]) == ("magnitude", "rician")
    assert (found["snr"], found["targets"]) == ("20 to 80", "T2 0.01 to 2.5")
    save(CRBRegressor(model), path)
    assert not {"snr", "targets"} & set(describe(path))
    save(FunctionModel(functions.of_one, functions.NAMES, functions.BOUNDS), path)
    assert describe(path)["signal"] == "complex"


def test_describe_makes_nothing_and_prints_plainly(path, monkeypatch):
    monkeypatch.setattr("crbestim.io._objects.Unpacker", None)
    rewrite(path, lambda summary, _: summary.update(model="\x1b[2J"))
    found = describe(path)
    assert all(isinstance(text, str) for text in found.values())
    assert found["class"] == "crbestim.models.MonoExponential"
    assert found["model"] == r"'\x1b[2J'" and found["parameters"] == "T2"
    rewrite(path, lambda summary, _: summary.update(model=["no text"]))
    with pytest.raises(SavedFileError, match="cannot be read"):
        describe(path)


def test_to_describe_a_file_takes_neither_numba_nor_scikit_learn(path):
    code = f"import sys; sys.path[0] = {str(ROOT)!r}; from crbestim.io import describe; "
    code += (
        "print(describe('model')['class'], {'numba', 'sklearn', 'torch'} & {*sys.modules})"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    expected = "crbestim.models.MonoExponential set()"
    assert (result.stdout.strip(), result.stderr) == (expected, "")


def test_a_network_of_the_default_size_is_below_800_kilobytes(path):
    rng = np.random.default_rng(0)
    shapes = [(128, 26), *[(128, 128)] * 9, (8, 128), (26, 26)]
    weights = {f"{i}": rng.normal(size=s).astype(np.float32) for i, s in enumerate(shapes)}
    basis = np.linalg.qr(rng.normal(size=(1142, 13)) + 1j * rng.normal(size=(1142, 13)))[0]
    save([weights, basis, rng.normal(size=(3, 1142))], path)
    assert path.stat().st_size < 780_000
    assert json.loads(path.read_bytes().split(b"\n")[2])["format"] == "1"
