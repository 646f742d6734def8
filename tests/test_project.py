"""The structure of the project: what may import what, and the size of files."""

import ast
import configparser
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "crbestim"

# Each part may import from its own row and from the rows above it.
ROWS = [
    ["exceptions", "parameters", "sequences", "noise"],
    ["kernels"],
    ["models", "bounds"],
    ["metrics", "datasets", "subspace", "least_squares", "design"],
    ["network"],
    ["estimators"],
    ["inspection", "io"],
]
LEVEL = {part: level for level, row in enumerate(ROWS) for part in row}
FILES = sorted(PACKAGE.rglob("*.py"))


def level(part):
    """Return the row of a part; private modules at the top of the package are first.

    ``__main__`` is the last: it is what a user runs.
    """
    if part == "__main__":
        return len(ROWS)
    return 0 if part.startswith("_") else LEVEL[part]


def part_of(module):
    """Return `models` for `crbestim.models.base`, and "" for `crbestim` itself."""
    return (module.split(".") + [""])[1]


def module_of(path):
    """Return the dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_of(path) for path in FILES}


def imports(path, source=None):
    """Yield the dotted name of every module that a file imports, lazily or not."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(source or path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                # `from . import driver` names a module, not what is in one.
                name = f"{base}.{alias.name}"
                yield name if base == "crbestim" or name in MODULES else base


def broken_rules(path, source=None):
    """Return the imports of a file that the order of the parts does not allow."""
    here = part_of(module_of(path))
    wrong = []
    for module in imports(path, source):
        ours = module.partition(".")[0] == "crbestim"
        part = part_of(module)
        if ours and here and (not part or level(part) > level(here)):
            wrong.append(module)
        elif ours and here == "kernels" and part != "kernels":
            wrong.append(module)
        elif here == "network" and module.partition(".")[0] == "sklearn":
            wrong.append(module)
        elif ours and here == "network" and part == "models":
            wrong.append(module)
        elif is_private_sklearn(module) and here != "_validation":
            wrong.append(module)
    return wrong


def is_private_sklearn(module):
    """Tell whether scikit-learn may change a module without notice."""
    root, *parts = module.split(".")
    return root == "sklearn" and any(part.startswith("_") for part in parts)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_upward(path):
    assert broken_rules(path) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("sequences.py", "from .models import SignalModel"),
        ("models/mt.py", "from .. import estimators"),
        ("models/mt.py", "from ..metrics import crb_loss"),
        ("models/mt.py", "import crbestim.network"),
        ("models/mt.py", "from crbestim.io import save"),
        ("models/mt.py", "def f():\n    from ..inspection import MapDisplay"),
        ("models/__init__.py", "from ..subspace import SubspaceProjection"),
        ("kernels/bloch.py", "from ..exceptions import SequenceFileError"),
        ("network/losses.py", "from sklearn.base import BaseEstimator"),
        ("network/losses.py", "from ..models import SignalModel"),
        ("estimators/crb.py", "from sklearn.utils._param_validation import Interval"),
    ],
)
def test_the_rules_catch_what_they_forbid(file, source):
    assert broken_rules(PACKAGE / file, source)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("sequences.py", "from ._optional import import_optional"),
        ("models/mt.py", "from ..kernels import bloch\nfrom .base import SignalModel"),
        ("models/__init__.py", "from .base import SignalModel"),
        ("kernels/fisher.py", "from .bloch import rotate"),
        ("network/losses.py", "import torch\nfrom .._optional import import_optional"),
        ("_validation.py", "from sklearn.utils._param_validation import Interval"),
        ("__init__.py", "from .estimators import CRBRegressor"),
    ],
)
def test_the_rules_leave_what_they_allow(file, source):
    assert broken_rules(PACKAGE / file, source) == []


def test_import_leaves_torch_and_matplotlib_out():
    code = "import sys, crbestim; print({'torch', 'matplotlib'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (result.stdout.strip(), result.stderr) == ("set()", "")


def test_import_is_quick_and_brings_estimators_and_modules_when_asked_for():
    code = """
import sys, crbestim
assert not {"sklearn", "scipy", "numba", "numpy"} & set(sys.modules)
assert {"DictionaryRegressor", "NLLSRegressor", "metrics"} <= set(dir(crbestim))
assert crbestim.metrics.crb_loss and crbestim.CRBRegressor is crbestim.CRBRegressor
from crbestim import *
assert NLLSRegressor is crbestim.estimators.NLLSRegressor
try:
    crbestim.CRBRegresor
except AttributeError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert result.stdout.strip() == "module 'crbestim' has no attribute 'CRBRegresor'"


def lines_of_code(source):
    """Return the numbers of lines that are neither empty, a comment nor a docstring."""
    quiet = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for part in body if isinstance(body, list) else ():
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
                quiet.update(range(part.lineno, part.end_lineno + 1))
    return [
        number
        for number, line in enumerate(source.splitlines(), 1)
        if number not in quiet and line.strip() and not line.strip().startswith("#")
    ]


def test_no_file_is_over_300_lines_of_code():
    lines = {path: lines_of_code(path.read_text("utf-8")) for path in FILES}
    assert {str(path): len(n) for path, n in lines.items() if len(n) > 300} == {}


def test_no_function_is_over_40_lines_of_code():
    """Kernels may have 80: to cut them means to hand over dozens of numbers."""
    long = {}
    for path in FILES:
        source = path.read_text("utf-8")
        lines = lines_of_code(source)
        limit = 80 if path.parent.name == "kernels" else 40
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and node.name != "__init__":
                first = node.body[0].lineno
                n = sum(first <= number <= node.end_lineno for number in lines)
                if n > limit:
                    long[f"{path.name}:{node.name}"] = n
    assert long == {}


def test_docstrings_and_comments_are_no_code():
    source = '"""Head."""\n\n# why\ndef f():\n    """One\n    two."""\n    return 1\n'
    assert lines_of_code(source) == [4, 7]


def circles(files):
    """Return modules of the package that import each other, as sets of their names."""
    modules = {module_of(path): set(imports(path)) for path in files}
    reach = {}
    for start in modules:
        found, edge = set(), {start}
        while edge:
            found |= edge
            edge = {m for one in edge for m in modules[one] if m in modules} - found
        reach[start] = found
    return {frozenset({a, b}) for a in modules for b in reach[a] - {a} if a in reach[b]}


def test_only_a_model_and_its_views_import_each_other():
    assert circles(FILES) == {frozenset({"crbestim.models.base", "crbestim.models.views"})}


@pytest.fixture
def metadata():
    """Return setup.cfg."""
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg", encoding="utf-8")
    return found


def test_version_is_the_one_in_the_metadata(metadata):
    import crbestim

    assert crbestim.__version__ == metadata["metadata"]["version"]
    for name in ("CITATION.cff", "conda/recipe.yaml"):
        text = (ROOT / name).read_text("utf-8")
        versions = re.findall(r"^ *version: (.*)$", text, re.MULTILINE)
        assert versions == [crbestim.__version__]
    text = (ROOT / "docs/_static/versions.js").read_text("utf-8")
    names = re.search(r"^const versions = (\[.*?\]);$", text, re.MULTILINE | re.DOTALL)
    assert json.loads(names[1])[0] == crbestim.__version__


def test_the_description_shows_nothing_that_lies_beside_the_readme(metadata, monkeypatch):
    setuptools, given = pytest.importorskip("setuptools"), {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    text = given["long_description"]
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "<picture>" in readme and "](docs/" in readme
    assert "<" not in re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert targets and all(target.startswith("https://") for target in targets)
    # What setup.cfg says is preferred to what setup.py says.
    assert "long_description" not in metadata["metadata"]


def test_the_recipe_has_the_requirements_of_the_package(metadata):
    text = (ROOT / "conda/recipe.yaml").read_text("utf-8")
    run = text.split("  run:\n")[1].split("\n\n")[0]
    recipe = {line.strip("- ").replace(" ", "") for line in run.splitlines()}
    ours = set(metadata["options"]["install_requires"].strip().splitlines())
    ours |= {f"python{metadata['options']['python_requires']}"}
    assert {name.replace("pytorch", "torch") for name in recipe} == ours


def test_the_package_says_that_it_has_hints():
    import crbestim.parameters

    hints = crbestim.parameters.Parameter.__annotations__
    assert (PACKAGE / "py.typed").is_file()
    assert hints["usual"] == tuple | None
