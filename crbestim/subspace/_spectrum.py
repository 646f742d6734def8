"""Singular vectors of data that are never copied as a whole."""

import numpy as np

BLOCK = 2048
"""Rows that are converted to double precision at a time."""


def blocks(n_samples, size=BLOCK):
    """Yield slices of at most `size` rows."""
    for first in range(0, n_samples, size):
        yield slice(first, min(first + size, n_samples))


def double(rows, real=False):
    """Return rows in double precision; if `real`, imaginary parts below real ones."""
    # The right singular vectors of stacked parts are the best real ones.
    if real and rows.dtype.kind == "c":
        rows = np.concatenate([rows.real, rows.imag])
    return rows.astype(np.result_type(rows.dtype, np.float64), copy=False)


def unit_scale(rows):
    """Return a power of two for each row that brings its largest part close to 1.

    Squares of scaled rows neither overflow nor vanish; rows of zeros have a scale of 1.
    """
    parts = (rows.real, rows.imag) if rows.dtype.kind == "c" else (rows,)
    peak = np.max([np.abs(part).max(axis=1, initial=0.0) for part in parts], axis=0)
    exponent, most = -np.frexp(peak)[1], np.finfo(peak.dtype).maxexp - 8
    return np.ldexp(np.ones_like(peak), np.clip(exponent, -most, most))


def scaled_parts(X, kept):
    """Yield the kept rows in double precision, all times one power of two, in parts."""
    parts = list(blocks(len(X)))
    scale = min(unit_scale(X[p][kept[p]]).min(initial=np.inf) for p in parts)
    for part in parts:
        yield double(X[part][kept[part]]) * scale


def singular_vectors(parts):
    """Return singular values, largest first, and right singular vectors of rows in parts.

    The vectors are rows: ``X = u @ diag(values) @ vectors``.
    """
    # Each part joins the triangular factor of the rows before, so that only n_features rows
    # are kept. Unlike a sum of X^H X this does not square the condition number: values down
    # to rounding, 1e-16 of the largest, keep their vectors.
    factor = None
    for part in parts:
        rows = part if factor is None else np.concatenate([factor, part])
        factor = np.linalg.qr(rows, mode="r") if len(rows) > rows.shape[1] else rows
    return np.linalg.svd(factor, full_matrices=False)[1:]


def with_fixed_phase(vectors):
    """Return rows with signs or phases such that the largest entry of each is positive."""
    largest = np.abs(vectors).argmax(axis=1)[:, None]
    entry = np.take_along_axis(vectors, largest, axis=1)
    return vectors * (entry.conj() / np.abs(entry))
