"""Predictions for data that are larger than memory, block by block."""

from functools import lru_cache
from uuid import uuid4

import numpy as np

from .._optional import import_optional
from .._progress import with_progress
from .._threads import one_thread
from .._validation import check_count
from .._warnings import collected, warn


def predict_blocks(
    estimator,
    X,
    *,
    known=None,
    sigma=None,
    out=None,
    block_size=65536,
    verbose=False,
):
    """Predict block by block, and write estimates as they come.

    Only a block of the data is in memory at a time. Estimates are those of one call of
    ``predict``, bit for bit.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this library.
    X : array of shape (n_voxels, n_features)
        Signals, one voxel a row: a ``numpy.memmap``, a zarr array, a dataset of h5py, or
        anything else with a shape whose slices of rows are arrays. Of a dask array the
        answer is one, too, and nothing is computed before it is asked for; its chunks are
        the blocks, each is done in one thread, and a cluster of dask may do them.
    known : array of shape (n_voxels, n_known), default=None
        Known values, of any of these kinds.
    sigma : float or array, default=None
        Noise of X, as ``predict`` takes it. Of a dask array, a number.
    out : array of shape (n_voxels, n_outputs), default=None
        Where to write estimates, for example a ``numpy.memmap`` or a zarr array. By
        default a new array in memory. A dask array takes none: see its ``store``.
    block_size : int, default=65536
        Number of voxels of a block. A dask array has chunks of its own.
    verbose : bool or int, default=False
        Whether to show a bar.

    Returns
    -------
    y : array of shape (n_voxels, n_outputs)
        Estimates: `out` if it is given.

    Raises
    ------
    ValueError
        If shapes do not fit together, or X does not fit the estimator. Blocks that were
        done before an error are in `out`.

    Warns
    -----
    UserWarning
        What ``predict`` warns of, with the counts of the first block that it concerns; with
        a dask array, once in each process that maps its chunks.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from crbestim import NLLSRegressor
    >>> from crbestim.datasets import make_fingerprints
    >>> from crbestim.estimators import predict_blocks
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.03, 0.06], signal="magnitude")
    >>> X, y = make_fingerprints(model, 300, snr=50, random_state=0)
    >>> reg = NLLSRegressor(model).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = np.memmap(Path(folder, "images"), mode="w+", shape=X.shape)
    ...     maps = np.memmap(Path(folder, "maps"), float, mode="w+", shape=y.shape)
    ...     images[:] = 100 * X
    ...     found = predict_blocks(reg, images, out=maps, block_size=100)
    ...     np.array_equal(found, reg.predict(images))
    True
    """
    block_size = check_count(block_size, "block_size")
    if len(getattr(X, "shape", ())) != 2:
        raise ValueError(
            f"X is of type {type(X).__name__}, with shape {getattr(X, 'shape', None)}; "
            "give an array of shape (n_voxels, n_features)."
        )
    if hasattr(X, "map_blocks"):
        if out is not None:
            raise ValueError(
                "X is a dask array, which takes no out; store what comes back."
            )
        return _lazily(estimator, X, known, sigma)
    n = X.shape[0]
    shape = n, estimator.n_outputs_
    if out is None:
        out = np.empty(shape)
    elif tuple(out.shape) != shape:
        raise ValueError(f"out has shape {tuple(out.shape)}; the estimates have {shape}.")
    if known is not None and known.shape[0] != n:
        raise ValueError(f"known has {known.shape[0]} rows, but X has {n}.")
    rows = [slice(i, min(i + block_size, n)) for i in range(0, n, block_size)]
    with collected() as told:
        done = (_write(estimator, X, known, sigma, out, part) for part in rows)
        sizes = [part.stop - part.start for part in rows]
        for _ in with_progress(done, sizes, "voxels", verbose):
            pass
    firsts = {category: (text, category) for text, category in reversed(told)}
    for text, category in firsts.values():
        warn(text, category, stacklevel=2)
    return out


def _write(estimator, X, known, sigma, out, rows):
    """Estimate a block."""
    options = {} if known is None else {"known": np.asarray(known[rows])}
    if sigma is not None:
        is_of_voxels = np.ndim(sigma) and np.shape(sigma)[0] == X.shape[0]
        options["sigma"] = sigma[rows] if is_of_voxels else sigma
    out[rows] = _estimates(estimator, np.asarray(X[rows]), **options)


def _estimates(estimator, X, **options):
    return np.reshape(estimator.predict(X, **options), (len(X), -1))


def _lazily(estimator, X, known, sigma):
    """Return a dask array of estimates, with the chunks of X."""
    dask = import_optional("dask", "an array of dask", extra="dask")
    if sigma is not None and np.ndim(sigma):
        raise ValueError("sigma is an array; that of a dask array is a number.")
    X, others = X.rechunk({1: -1}), []
    if known is not None:
        from dask.array import asarray

        others = [asarray(known).rechunk((X.chunks[0], -1))]
    options = {} if sigma is None else {"sigma": sigma}
    return X.map_blocks(
        _of_chunk,
        *others,
        # One task of its own, on which those of all chunks depend.
        estimator=dask.delayed(estimator, traverse=False),
        call=uuid4().hex,
        chunks=(X.chunks[0], (estimator.n_outputs_,)),
        dtype=float,
        meta=np.empty((0, 0)),
        **options,
    )


def _of_chunk(X, known=None, *, estimator, call, **options):
    options |= {} if known is None else {"known": known}
    with one_thread(), collected() as told:
        y = _estimates(estimator, X, **options)
    earlier = _told_in(call)
    for text, category in told:
        if category not in earlier:
            earlier.add(category)
            warn(text, category, stacklevel=2)
    return y


@lru_cache(maxsize=64)
def _told_in(call):
    """Return what chunks of a call have warned of in this process, to be added to."""
    return set()
