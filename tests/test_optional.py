import json
import os.path

import pytest

from crbestim._optional import import_optional


def test_returns_the_module_that_was_asked_for():
    assert import_optional("json", "this test") is json
    assert import_optional("os.path", "this test") is os.path


@pytest.mark.parametrize(
    ("extra", "target"), [(None, "no_such_package$"), ("mat", r'"crbestim\[mat\]"$')]
)
def test_missing_package_names_what_needs_it_and_the_command(extra, target):
    message = (
        "Reading maps needs no_such_package, which is not installed; "
        "install it with: python -m pip install " + target
    )
    with pytest.raises(ImportError, match=message):
        import_optional("no_such_package.inside", "Reading maps", extra=extra)


def test_an_error_inside_an_installed_package_is_passed_on(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="^No module named 'no_such_dep"):
        import_optional("broken_package", "this test")


def test_a_missing_part_of_an_installed_package_is_passed_on():
    with pytest.raises(ModuleNotFoundError, match="json.no_such_part"):
        import_optional("json.no_such_part", "this test")
