"""Best matches of long signals, of which coefficients exclude most atoms beforehand.

The coefficients are those of an orthonormal basis that nearly spans the atoms. Let a1 and
x1 be the parts of an atom and of a signal in the span, and a2 and x2 the rest. Then
(Cauchy and Schwarz)

    |<a, x>| <= |<a1, x1>| + |a2| |x2|  and  |x - a|^2 >= |x1 - a1|^2 + (|x2| - |a2|)^2,

the latter if |x2| > |a2|. Hence atoms whose coefficients differ too much from those of the
signal cannot be among its best matches. Leaves, centres and radii are those of
coefficients; if signals are known up to a factor, of coefficients of unit norm.

`nearest_screened` computes the full distances of the others, eight at a time, as `nearest`
in ``matching.py`` does those of all. Bounds have a margin for rounding errors, and the
result is the same, to the bit.
"""

from typing import NamedTuple

import numpy as np

from ._compile import njit
from .lanes import LANES, spread, vectors
from .matching import (
    BATCH,
    NOBODY,
    WIDTH,
    collect,
    keep_lowest,
    nearest_centres,
    order,
    squared_distances,
)


class Screen(NamedTuple):
    """What bounds the distances of signals from atoms.

    points : (n, n_coefficients), coefficients of signals, of unit norm if projective.
    inside, outside : (n,), norms of the parts of signals in the span and out of it, the
    latter at least that.
    slack : (n,), more than the rounding errors of squares, also of that norm.
    atoms_outside : the largest norm of the part of an atom that is out of the span.
    """

    points: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    slack: np.ndarray
    atoms_outside: float


@njit(nogil=True)
def nearest_screened(
    x, screen, groups, coefficients, members, centres, radii, projective, tie,
    atoms, squares,
):  # fmt: skip
    """Write the numbers of the nearest atoms and their squared distances, best first.

    x : (n, n_rows), signals, of unit norm if `projective`; screen : Screen.
    groups : (n_leaves, WIDTH / LANES, n_rows, LANES), signals of the atoms.
    coefficients : (n_leaves, n_coefficients, WIDTH / LANES, LANES), theirs.
    members : (n_leaves, WIDTH), their numbers, negative where there is none.
    centres : (n, n_coefficients, WIDTH / LANES, LANES); radii : (n_leaves,).
    tie : tolerance of squared distances, relative to that of the last neighbour, or, if
    `projective`, absolute.
    atoms, squares : (n, k), with at least k atoms.
    """
    k, size = atoms.shape[1], min(BATCH, len(x))
    first, limits = np.zeros(size, np.int64), np.empty((size, 2))
    # One more than asked for, to detect an atom that ties with the last one.
    best, names = np.empty((size, k + 1)), np.empty((size, k + 1), np.int64)
    close, least = np.empty((WIDTH // LANES, LANES)), np.empty(k)
    ignored = np.empty(k, np.int64)
    parts = (groups, coefficients, members, centres, radii, projective, tie)
    for start in range(0, len(x), BATCH):
        batch, points = x[start : start + BATCH], screen.points[start : start + BATCH]
        best[:], names[:] = np.inf, NOBODY
        nearest_centres(points, centres, len(groups), projective, first)
        for i in range(len(batch)):
            leaf, limits[i] = first[i], np.inf
            squared_distances(coefficients[leaf], points[i], projective, close)
            least[:] = np.inf
            collect(close.ravel(), members[leaf], least, ignored)
            square = _most(least[k - 1], screen, start + i, projective)
            _limit(square, screen, start + i, projective, tie, limits[i])
        _search(start, batch, screen, *parts, limits, best, names)
        for i in range(len(batch)):
            last = best[i, k - 1]
            tolerance = tie if projective else tie * last
            if best[i, k] <= last + tolerance and np.isfinite(last):
                n_sure = np.sum(best[i] < last - tolerance)
                names[i, n_sure:], best[i, n_sure:] = NOBODY, last
                ties = names[i, n_sure:k]
                _lowest_ties(start + i, batch[i], screen, *parts, last, tolerance, ties)
            order(best[i, :k], names[i, :k], tolerance)
            for j in range(k):
                atoms[start + i, j], squares[start + i, j] = names[i, j], best[i, j]


@njit(nogil=True)
def distances_of_group(group, x, projective, out):
    """Write the squared distances of a signal from eight atoms.

    group : (n_rows, LANES), x : (n_rows,), out : (1, LANES). The arithmetic is that of
    `squared_distances`, and so is each bit of the result.
    """
    group, out = vectors(group), vectors(out)
    a = b = spread(0.0)
    if not projective:
        for f in range(len(x)):
            b = group[f] - spread(x[f])
            a = a + b * b
        out[0] = a
        return
    for f in range(0, len(x), 2):
        p, q = spread(x[f]), spread(x[f + 1])
        u, v = group[f], group[f + 1]
        a, b = a + u * p + v * q, b + u * q - v * p
    out[0] = spread(1.0) - a * a - b * b


@njit(nogil=True)
def _most(close, screen, i, projective):
    """Return the largest squared distance of signal i that one of coefficients allows."""
    if not np.isfinite(close):
        return np.inf
    slack, most = screen.slack[i], screen.atoms_outside
    if not projective:
        return close + (screen.outside[i] + most) ** 2 + slack
    # Coefficients of an atom have at least the norm sqrt(1 - most^2).
    shared = screen.inside[i] * (1.0 - most * most) * np.sqrt(max(1.0 - close, 0.0))
    shared = max(shared - screen.outside[i] * most - slack, 0.0)
    return 1.0 - shared * shared + slack


@njit(nogil=True)
def _limit(square, screen, i, projective, tie, limits):
    """Lower the distance of coefficients up to which atoms matter, squared and as it is.

    square : that of the last neighbour of signal i, or more.
    """
    square = max(square + (tie if projective else tie * square), 0.0)
    slack, most = screen.slack[i], screen.atoms_outside
    if projective:
        shared = np.sqrt(max(1.0 - square - slack, 0.0)) - slack - screen.outside[i] * most
        limit = np.inf
        if shared > 0:
            share = shared / max(screen.inside[i], shared)
            limit = 1.0 - share * share + slack
    else:
        rest = max(screen.outside[i] - most, 0.0)
        limit = max(square - rest * rest, 0.0) + 2.0 * slack
    if limit < limits[0]:
        limits[0], limits[1] = limit, np.sqrt(limit)


@njit(nogil=True)
def _search(
    start, batch, screen, groups, coefficients, members, centres, radii, projective, tie,
    limits, best, names,
):  # fmt: skip
    """Collect the best atoms of all leaves, each for all signals while cached."""
    last = best.shape[1] - 2
    close, found = np.empty((WIDTH // LANES, LANES)), np.empty((1, LANES))
    tile = np.empty((len(batch), WIDTH // LANES, LANES))
    flat = tile.reshape(len(batch), WIDTH)
    points = screen.points[start : start + len(batch)]
    for c in range(len(centres)):
        for i in range(len(batch)):
            squared_distances(centres[c], points[i], projective, tile[i])
        for leaf in range(c * WIDTH, min((c + 1) * WIDTH, len(groups))):
            for i in range(len(batch)):
                reach = limits[i, 1] + radii[leaf]
                if flat[i, leaf - c * WIDTH] > reach * reach:
                    continue
                squared_distances(coefficients[leaf], points[i], projective, close)
                for g in range(WIDTH // LANES):
                    if _is_beyond(close[g], limits[i, 0]):
                        continue
                    distances_of_group(groups[leaf, g], batch[i], projective, found)
                    eight = members[leaf, g * LANES : (g + 1) * LANES]
                    collect(found[0], eight, best[i], names[i])
                    _limit(best[i, last], screen, start + i, projective, tie, limits[i])


@njit(nogil=True)
def _is_beyond(close, limit):
    """Whether the coefficients of eight atoms show that none of them may matter."""
    n_beyond = 0
    for j in range(LANES):
        n_beyond += close[j] > limit
    return n_beyond == LANES


@njit(nogil=True)
def _lowest_ties(
    i, x, screen, groups, coefficients, members, centres, radii, projective, tie,
    last, tolerance, names,
):  # fmt: skip
    """Write the lowest numbers of the atoms that tie at a squared distance."""
    limits, found = np.full(2, np.inf), np.empty((1, LANES))
    _limit(last, screen, i, projective, tie, limits)
    close = np.empty((WIDTH // LANES, LANES))
    to_centres, point = np.empty(close.shape), screen.points[i]
    for c in range(len(centres)):
        squared_distances(centres[c], point, projective, to_centres)
        for leaf in range(c * WIDTH, min((c + 1) * WIDTH, len(groups))):
            reach = limits[1] + radii[leaf]
            if to_centres.ravel()[leaf - c * WIDTH] > reach * reach:
                continue
            squared_distances(coefficients[leaf], point, projective, close)
            for g in range(WIDTH // LANES):
                if not _is_beyond(close[g], limits[0]):
                    distances_of_group(groups[leaf, g], x, projective, found)
                    ties = np.abs(found[0] - last) <= tolerance
                    keep_lowest(ties, members[leaf, g * LANES : (g + 1) * LANES], names)
