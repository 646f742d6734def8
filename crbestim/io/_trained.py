"""Trained estimators and models in files that hold no code.

What makes objects imports all of the library, and so waits until it is needed: to describe
a file takes a fraction of a second.
"""

import math
import platform
import re
from contextlib import contextmanager
from datetime import UTC, datetime

from .._options import check_flag
from .._version import __version__, warn_of_version
from .._warnings import warn
from ..exceptions import SavedFileError
from ._container import FORMAT, as_path, read, write


def save(estimator, path, *, training_state=False):
    """Write an estimator or a model to a file, fitted or not.

    The file holds numbers, text and names: no pickle and no code. It is stored with the
    versions of the libraries and a checksum. Functions and classes of your own are stored
    by their import path.

    Parameters
    ----------
    estimator : object
        An estimator, transformer, model, sequence, parameter or noise of this library; an
        estimator of scikit-learn that consists of numbers, such as a scaler; or a pipeline
        of them.
    path : str or path-like
        The file; one of that name is replaced, once the new one is complete.
    training_state : bool, default=False
        Whether to store the state of the optimizer of networks, too, which takes several
        times the memory of the network. Without it, ``partial_fit`` begins with a new
        optimizer, as ``fit`` with ``warm_start=True`` does.

    Raises
    ------
    SavedFileError
        If the object holds something that no import path finds, such as a lambda, or that
        is not made of numbers, such as a tree of scikit-learn.

    Warns
    -----
    UserWarning
        If a function or class is defined in the script that runs, where other scripts do
        not find it.

    See Also
    --------
    load : Read the file.
    describe : Tell what it holds.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from crbestim import NLLSRegressor
    >>> from crbestim.io import load, save
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.03, 0.05, 0.1], signal="magnitude")
    >>> X = model.signal([[0.08, 1.0]])
    >>> reg = NLLSRegressor(model).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "t2.crbestim")
    ...     save(reg, path)
    ...     twin = load(path)
    >>> bool(np.array_equal(twin.predict(X), reg.predict(X)))
    True
    """
    from ._objects import Packer

    path = as_path(path)
    check_flag("training_state", training_state)
    packer = Packer(training_state=training_state)
    if not packer.whole(estimator):
        raise TypeError(f"estimator is {estimator!r}; give an estimator or a model.")
    local = [name for name in sorted(packer.foreign) if name.startswith("__main__.")]
    if local:
        warn(
            f"{', '.join(local)} is defined in the script or notebook that runs, where no "
            "other one finds it: to load the file elsewhere, define it in a module of its "
            "own, import it from there, and save again",
            UserWarning,
            stacklevel=2,
        )
    write(path, _summary(estimator, packer), packer.entries, packer.blobs)


def load(path, *, trusted=()):
    """Read an estimator or a model from a file of :func:`save`.

    Nothing in the file is executed. What is damaged is refused: a checksum covers every
    byte. The checksum is no signature: whoever writes a file decides what it estimates.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : sequence of str, or of functions and classes, default=()
        Import paths of functions and classes that are not of this library or of
        scikit-learn, such as ``"my_module.my_model"``, or they themselves, which must have
        the import path that they had when they were saved. Loading imports their modules,
        which runs them. The error without it, and :func:`describe`, tell
        which ones a file needs.

    Returns
    -------
    estimator : object
        The object, whose estimates are those of the one that was saved, bit for bit, with
        the same versions of the libraries on the same kind of machine.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SavedFileError
        If the file is damaged, from something else, of a newer version of the library, or
        needs functions or classes that are not trusted.

    Warns
    -----
    VersionWarning
        If the file is from an older version of the library.
    sklearn.exceptions.InconsistentVersionWarning
        If an estimator of scikit-learn in it is from another version of scikit-learn.
    UserWarning
        If the function of a model gives another signal than when it was saved.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from crbestim.io import load, save
    >>> from crbestim.models import MonoExponential
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.crbestim")
    ...     save(MonoExponential([0.01, 0.03]), path)
    ...     load(path)
    MonoExponential(te=[0.01, 0.03])
    """
    from ._names import as_trusted
    from ._objects import Unpacker

    path, trusted = as_path(path), as_trusted(trusted)
    with _named(path):
        summary, entries, content = read(path)
        _check_version(summary["crbestim"])
        unpacker = Unpacker(entries(), content, trusted)
        value, changes = unpacker.value(), unpacker.changes()
    warn_of_version(path.name, summary["crbestim"], stacklevel=2)
    for change in changes:
        warn(
            f"{path.name} was saved with a function that has changed: {change} (at the "
            "middle of the bounds), and what was fitted then may not fit now",
            UserWarning,
            stacklevel=2,
        )
    return value


def describe(path):
    """Tell what a file of :func:`save` holds, without making any of it.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    dict of str
        Texts: ``class``; ``model``, ``parameters``, ``signal``, ``noise`` and ``sequence``
        if there are any; ``snr`` and ``targets`` of a network, the ranges that it was
        trained with; ``trusted``, the import paths that :func:`load` must be told to trust,
        if there are any; when it was ``saved``, and the versions of ``crbestim`` and other
        libraries.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SavedFileError
        If the file is damaged, from something else, or of a newer format.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from crbestim.io import describe, save
    >>> from crbestim.models import MonoExponential
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.crbestim")
    ...     save(MonoExponential([0.01, 0.03]), path)
    ...     found = describe(path)
    >>> found["class"], found["parameters"]
    ('crbestim.models.MonoExponential', 'T2')
    """
    path = as_path(path)
    with _named(path):
        summary, _, _ = read(path)
        texts = summary.items()
        # Characters that cannot be printed may do something to a terminal.
        return {k: v if v.isprintable() else ascii(v) for k, v in texts if k.isprintable()}


def _summary(estimator, packer):
    """Return what `describe` tells."""
    import numpy as np
    import scipy
    import sklearn

    from ..noise import get_noise
    from ._names import path_of

    summary = {"class": path_of(type(estimator)) or type(estimator).__name__}
    model = packer.firsts.get("model")
    if model is not None:
        summary |= {"model": str(model), "parameters": ", ".join(model.parameter_names)}
        real = "magnitude" if model.is_magnitude else "real"
        summary["signal"] = "complex" if model.is_complex else real
        summary["noise"] = get_noise(model.noise).label
    if "sequence" in packer.firsts:
        summary["sequence"] = str(packer.firsts["sequence"])
    if "network" in packer.firsts:
        summary |= _training_of(packer.firsts["network"])
    if packer.foreign:
        summary["trusted"] = ", ".join(sorted(packer.foreign))
    return summary | {
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "format": str(FORMAT),
        "crbestim": __version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }


def _training_of(network):
    """Return the ranges that a network was trained with, as far as it tells."""
    found, model = {}, network.model
    snr = getattr(network, "snr_range_", (math.nan, math.nan))
    if not math.isnan(snr[0]):
        found["snr"] = _range(*snr)
    if hasattr(network, "target_range_"):
        names = [f"column {k}" for k in range(network.n_outputs_)]
        parts = zip(names, *network.target_range_.tolist(), strict=True)
        if model is not None:
            parts = zip(model.parameter_names, *network.target_range_.tolist(), strict=True)
            # Networks are trained at one amplitude, and estimate any.
            parts = [part for part in parts if part[0] != model.amplitude]
        found["targets"] = ", ".join(f"{name} {_range(*ends)}" for name, *ends in parts)
    return found


def _range(low, high):
    """Return the text of a range."""
    texts = f"{low:.4g}", f"{high:.4g}"
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def _check_version(version):
    """Refuse a file of a newer version, whose objects may have other attributes."""
    if _release(version) > _release(__version__):
        raise SavedFileError(
            f"it was written by crbestim {version}, which is newer than this, "
            f"{__version__}: update crbestim"
        )


def _release(version):
    """Return the numbers of a version without what follows them, as in 1.2.0.dev3."""
    numbers = re.match(r"\d{1,6}(\.\d{1,6}){0,3}", version)
    return [int(number) for number in numbers[0].split(".")]


@contextmanager
def _named(path):
    """Name the file in errors, whatever they are: it may be damaged anywhere."""
    try:
        yield
    except OSError:
        raise
    except SavedFileError as error:
        raise SavedFileError(f"{path} cannot be read: {error}") from error
    except Exception as error:
        raise SavedFileError(
            f"{path} cannot be read: it is damaged or made by hand "
            f"({type(error).__name__}: {error})"
        ) from error
