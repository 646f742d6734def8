"""The structure of the project: what may import what, and the size of files."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "crbestim"

# Each part may import from its own row and from the rows above it.
ROWS = [
    ["exceptions", "parameters", "sequences"],
    ["kernels"],
    ["models", "bounds"],
    ["metrics", "datasets", "subspace"],
    ["network"],
    ["estimators"],
    ["inspection", "io"],
]
LEVEL = {part: level for level, row in enumerate(ROWS) for part in row}
FILES = sorted(PACKAGE.rglob("*.py"))


def level(part):
    """Return the row of a part; private modules at the top of the package are first."""
    return 0 if part.startswith("_") else LEVEL[part]


def part_of(module):
    """Return `models` for `crbestim.models.base`, and "" for `crbestim` itself."""
    return (module.split(".") + [""])[1]


def module_of(path):
    """Return the dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


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
                # `from crbestim import models` names a module, not what is in one.
                yield f"{base}.{alias.name}" if base == "crbestim" else base


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


def test_no_file_is_over_400_lines():
    folders = ("crbestim", "tests", "examples", "benchmarks", "docs")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in sources}
    assert {str(path): n for path, n in lines.items() if n > 400} == {}


def test_version_is_the_one_in_the_metadata():
    import crbestim

    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    assert crbestim.__version__ == metadata["metadata"]["version"]
