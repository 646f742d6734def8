import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest
from numba.core import caching

from crbestim.kernels import _compile

PACKAGE = Path(_compile.__file__).parents[1]
ADVICE = r"compiled code cannot be kept \(.*{}.*\), .* NUMBA_CACHE_DIR to a folder that"

needs_compiler = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="compiles nothing")


def divided(x, y):
    return x / y


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Return the folder of a fresh cache, of which nothing has been said yet."""
    monkeypatch.setattr(_compile, "_has_warned", False)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fail(error):
    def method(*arguments):
        raise error

    return method


@needs_compiler
def test_a_kernel_is_compiled_once_for_all_processes(cache):
    assert _compile.njit(divided)(1.0, 4.0) == 0.25
    again = _compile.njit(divided)
    assert again(1.0, 4.0) == 0.25
    assert sum(again.stats.cache_hits.values()) == 1
    assert Path(again.stats.cache_path).parent == cache


@needs_compiler
def test_a_change_of_any_kernel_compiles_all_anew(monkeypatch, cache):
    assert _compile.njit(divided)(1.0, 4.0) == 0.25
    monkeypatch.setattr(_compile, "_digest", lambda: "that of other sources")
    again = _compile.njit(divided)
    assert again(1.0, 4.0) == 0.25
    assert not again.stats.cache_hits


@needs_compiler
def test_options_and_the_error_model():
    kernel = _compile.njit(nogil=True)(divided)
    assert kernel.targetoptions["nogil"]
    assert kernel(1.0, 0.0) == float("inf")


@needs_compiler
def test_without_any_folder_kernels_work_and_one_warning_says_so(monkeypatch):
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    kernel = _compile.njit(divided)
    with pytest.warns(UserWarning, match=ADVICE.format("no locator available")):
        assert kernel(1.0, 4.0) == 0.25
    assert _compile.njit(divided)(1, 4) == 0.25


@needs_compiler
@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("save", OSError(28, "No space left on device")),
        ("load", PermissionError(13, "Permission denied")),
        ("load", EOFError("Ran out of input")),
    ],
)
def test_a_disk_that_fails_later(monkeypatch, method, error):
    monkeypatch.setattr(caching.IndexDataCacheFile, method, fail(error))
    kernel = _compile.njit(divided)
    with pytest.warns(UserWarning, match=ADVICE.format(re.escape(str(error)))):
        assert kernel(1.0, 4.0) == 0.25


@needs_compiler
def test_a_folder_that_is_deleted_later(cache):
    kernel, other = _compile.njit(divided), _compile.njit(divided)
    shutil.rmtree(cache)
    assert kernel(1.0, 4.0) == 0.25
    shutil.rmtree(cache)
    cache.write_text("a file, in which no folder can be made")
    with pytest.warns(UserWarning, match=ADVICE.format("cache")):
        assert other(1.0, 4.0) == 0.25


@needs_compiler
def test_warnings_as_errors_leave_a_kernel_that_works(monkeypatch):
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    inner = _compile.njit(divided)
    kernel = _compile.njit(lambda x: inner(x, 4.0) + 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="NUMBA_CACHE_DIR"):
            kernel(1.0)
        assert kernel(1.0) == 1.25


def test_without_a_compiler_a_kernel_is_the_function(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert _compile.njit(divided) is divided


@needs_compiler
def test_a_package_and_a_home_that_cannot_be_written_to(tmp_path):
    """Files where folders should be stop root too."""
    copy, blocked = tmp_path / "crbestim", tmp_path / "file"
    ignored = shutil.ignore_patterns("__pycache__", "models", "network", "estimators")
    shutil.copytree(PACKAGE, copy, ignore=ignored)
    (copy / "kernels" / "__pycache__").touch()
    blocked.touch()
    code = """
import numpy, warnings
from crbestim.kernels.least_squares import slopes
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    slopes(numpy.ones(2), numpy.eye(2), numpy.ones(2), out := numpy.zeros(2))
print(slopes.__module__, out, *(warning.message for warning in caught))
"""
    home = {"HOME": blocked, "XDG_CACHE_HOME": blocked, "LOCALAPPDATA": blocked}
    names = set(os.environ) - {"NUMBA_CACHE_DIR"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={name: os.environ[name] for name in names}
        | {name: str(path) for name, path in home.items()}
        | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    expected = r"crbestim.kernels.least_squares \[-2. -2.\] " + ADVICE.format("no loc")
    assert re.match(expected, result.stdout)


def test_every_kernel_is_compiled_here():
    for path in (PACKAGE / "kernels").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert path.name == "_compile.py" or not re.search(
            r"numba(\.| import )njit", source
        )


@needs_compiler
def test_long_compiling_is_told_once(monkeypatch, capsys):
    def compile_one(module, seconds):
        clock[0] += 1.0
        data = {"dispatcher": SimpleNamespace(py_func=SimpleNamespace(__module__=module))}
        announcer.on_start(SimpleNamespace(data=data))
        clock[0] += seconds
        announcer.on_end(SimpleNamespace(data=data))
        return capsys.readouterr().err

    clock, announcer = [0.0], _compile._Announcer()
    monkeypatch.setattr(_compile, "_PATIENCE", 5.0)
    monkeypatch.setattr(_compile.time, "perf_counter", lambda: clock[0])
    assert compile_one("crbestim.kernels.lanes", 3.0) == ""
    assert compile_one("somebody.else", 60.0) == ""
    assert "compiles its kernels" in compile_one("crbestim.kernels.lanes", 3.0)
    assert compile_one("crbestim.kernels.lanes", 60.0) == ""


@needs_compiler
def test_a_numba_that_always_counts_references_will_do(monkeypatch):
    def without_option(*arguments, _nrt=None, **options):
        if _nrt is not None:
            raise KeyError("_nrt")
        return compile_(*arguments, **options)

    compile_ = numba.njit
    monkeypatch.setattr(numba, "njit", without_option)
    assert _compile.borrowing(divided)(1.0, 4.0) == 0.25
