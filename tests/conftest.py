"""What all tests share: the folder of real data, and the cache of compiled kernels."""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def kernel_cache():
    """Return a folder whose name changes with any source of the kernels.

    numba keeps a cached kernel as long as its own file stays the same, even if a kernel
    that it calls in another file has changed.
    """
    digest = hashlib.sha256()
    for source in sorted((ROOT / "crbestim" / "kernels").glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir(), f"crbestim-kernels-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / digest.hexdigest()[:16]


# numba reads it once, when it is imported.
os.environ["NUMBA_CACHE_DIR"] = str(kernel_cache())


@pytest.fixture(scope="session", autouse=True)
def quiet_compiler():
    """Keep the line that tells of long compiling out of what tests see."""
    from crbestim.kernels import _compile

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compile, "_PATIENCE", float("inf"))
        yield


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder `shared` beside the project, with real data and references."""
    if not SHARED.is_dir():
        pytest.skip("needs the real data, a folder 'shared' beside the project")
    return SHARED
