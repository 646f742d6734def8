"""Best matches of measured signals among many atoms, and weighted means of them.

Signals are rows of real numbers. A complex signal is a row of twice as many, real and
imaginary parts alternating, of unit norm. The distance of two such rows x and a is the norm
of what is left of x after its best fit by a complex multiple of a, the sine of the angle
between them, d = sqrt(1 - |<a, x>|^2). Otherwise d is the Euclidean distance. Both are
metrics, hence for a leaf of atoms within the radius r of its centre c, and any signal x,

    d(x, a) >= d(x, c) - r for all atoms a of the leaf.

`nearest` computes the distances to all centres, then to the atoms of the nearest leaf, and
then to those of every other leaf that may hold an atom as near. All distances have double
precision, and that of an atom does not depend on its leaf: the result is that of comparing
all atoms, whatever the leaves.

Squared distances that differ by less than a tolerance are ties, so that rounding errors do
not decide. Among ties, the atom with the lowest number comes first.
"""

import numpy as np

from ._compile import njit
from .lanes import LANES, spread, vectors

WIDTH = 64
"""Number of atoms in a leaf."""

BATCH = 512
"""Number of signals that go through the leaves together."""

NOBODY = np.iinfo(np.int64).max
"""The number of no atom, above all others."""

_GRID = 2.0**24


@njit(nogil=True)
def unit_rows(rows, out):
    """Write rows divided by their norms; rows of zeros stay zero.

    rows, out : (n, n_rows). Each row is first divided by its largest number, so that no
    square overflows.
    """
    for i in range(rows.shape[0]):
        largest, energy = 0.0, 0.0
        for f in range(rows.shape[1]):
            largest = max(largest, abs(rows[i, f]))
        scale = largest if largest > 0 else 1.0
        for f in range(rows.shape[1]):
            out[i, f] = rows[i, f] / scale
            energy += out[i, f] * out[i, f]
        norm = np.sqrt(energy) if energy > 0 else 1.0
        for f in range(rows.shape[1]):
            out[i, f] /= norm


@njit(nogil=True)
def squared_distances(leaf, x, projective, out):
    """Write the squared distances of a signal from the atoms of a leaf.

    leaf : (n_rows, WIDTH / LANES, LANES), x : (n_rows,), out : (WIDTH / LANES, LANES).
    """
    leaf, out = vectors(leaf), vectors(out)
    zero = spread(0.0)
    for j in range(0, WIDTH // LANES, 4):
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero
        if not projective:
            for f in range(len(x)):
                p = spread(x[f])
                b0, b1 = leaf[f, j] - p, leaf[f, j + 1] - p
                b2, b3 = leaf[f, j + 2] - p, leaf[f, j + 3] - p
                a0, a1 = a0 + b0 * b0, a1 + b1 * b1
                a2, a3 = a2 + b2 * b2, a3 + b3 * b3
            out[j], out[j + 1], out[j + 2], out[j + 3] = a0, a1, a2, a3
            continue
        for f in range(0, len(x), 2):
            p, q = spread(x[f]), spread(x[f + 1])
            u, v = leaf[f, j], leaf[f + 1, j]
            a0, b0 = a0 + u * p + v * q, b0 + u * q - v * p
            u, v = leaf[f, j + 1], leaf[f + 1, j + 1]
            a1, b1 = a1 + u * p + v * q, b1 + u * q - v * p
            u, v = leaf[f, j + 2], leaf[f + 1, j + 2]
            a2, b2 = a2 + u * p + v * q, b2 + u * q - v * p
            u, v = leaf[f, j + 3], leaf[f + 1, j + 3]
            a3, b3 = a3 + u * p + v * q, b3 + u * q - v * p
        one = spread(1.0)
        out[j], out[j + 1] = one - a0 * a0 - b0 * b0, one - a1 * a1 - b1 * b1
        out[j + 2], out[j + 3] = one - a2 * a2 - b2 * b2, one - a3 * a3 - b3 * b3


@njit(nogil=True)
def nearest(x, leaves, members, centres, radii, projective, tie, atoms, squares):
    """Write the numbers of the nearest atoms and their squared distances, best first.

    x : (n, n_rows), signals, of unit norm if `projective`.
    leaves : (n_leaves, n_rows, WIDTH / LANES, LANES), members : (n_leaves, WIDTH),
    numbers of the atoms, negative where there is none.
    centres : (n, n_rows, WIDTH / LANES, LANES), WIDTH in a block; radii : (n_leaves,).
    tie : tolerance of squared distances, relative to that of the last neighbour, or, if
    `projective`, absolute.
    atoms, squares : (n, k), with at least k atoms.
    """
    k, size = atoms.shape[1], min(BATCH, len(x))
    # Overflow may leave a signal without a nearest centre: the first stands in.
    first, reach = np.zeros(size, np.int64), np.empty(size)
    # One more than asked for, to detect an atom that ties with the last one.
    best, names = np.empty((size, k + 1)), np.empty((size, k + 1), np.int64)
    for start in range(0, len(x), BATCH):
        batch = x[start : start + BATCH]
        best[:], names[:] = np.inf, NOBODY
        nearest_centres(batch, centres, len(leaves), projective, first)
        found = np.empty((WIDTH // LANES, LANES))
        for i in range(len(batch)):
            squared_distances(leaves[first[i]], batch[i], projective, found)
            collect(found.ravel(), members[first[i]], best[i], names[i])
            reach[i] = _reach(best[i, k - 1], projective, tie)
        parts = (leaves, members, centres, radii, projective, tie)
        _search(batch, *parts, first, reach, best, names)
        for i in range(len(batch)):
            last = best[i, k - 1]
            tolerance = tie if projective else tie * last
            if best[i, k] <= last + tolerance and np.isfinite(last):
                n_sure = np.sum(best[i] < last - tolerance)
                names[i, n_sure:], best[i, n_sure:] = NOBODY, last
                ties = names[i, n_sure:k]
                _lowest_ties(batch[i], *parts[:5], last, tolerance, ties)
            order(best[i, :k], names[i, :k], tolerance)
            for j in range(k):
                atoms[start + i, j], squares[start + i, j] = names[i, j], best[i, j]


@njit(nogil=True)
def _reach(square, projective, tie):
    """Return the distance up to which atoms may matter."""
    return np.sqrt(max(square + (tie if projective else tie * square), 0.0))


@njit(nogil=True)
def nearest_centres(batch, centres, n_leaves, projective, first):
    """Write the number of each signal's nearest centre."""
    found = np.empty((WIDTH // LANES, LANES))
    flat, lowest = found.ravel(), np.full(len(batch), np.inf)
    for c in range(len(centres)):
        n = min(WIDTH, n_leaves - c * WIDTH)
        for i in range(len(batch)):
            squared_distances(centres[c], batch[i], projective, found)
            for j in range(n):
                if flat[j] < lowest[i]:
                    lowest[i], first[i] = flat[j], c * WIDTH + j


@njit(nogil=True)
def _search(
    batch, leaves, members, centres, radii, projective, tie, first, reach, best, names
):
    """Collect the best atoms of the other leaves, each for all signals while cached."""
    last = best.shape[1] - 2
    found = np.empty((WIDTH // LANES, LANES))
    flat = found.ravel()
    # The signals near each leaf of a block, with the distances of its centre.
    n_near = np.empty(WIDTH, np.int64)
    near = np.empty((WIDTH, len(batch)), np.int64)
    distances = np.empty(near.shape)
    for c in range(len(centres)):
        n_near[:] = 0
        n_leaves = min(WIDTH, len(leaves) - c * WIDTH)
        for i in range(len(batch)):
            squared_distances(centres[c], batch[i], projective, found)
            for j in range(n_leaves):
                limit = reach[i] + radii[c * WIDTH + j]
                if flat[j] <= limit * limit and c * WIDTH + j != first[i]:
                    near[j, n_near[j]], distances[j, n_near[j]] = i, flat[j]
                    n_near[j] += 1
        for j in range(n_leaves):
            leaf = c * WIDTH + j
            for k in range(n_near[j]):
                i = near[j, k]
                # Atoms of other leaves may have been nearer since.
                limit = reach[i] + radii[leaf]
                if distances[j, k] <= limit * limit:
                    squared_distances(leaves[leaf], batch[i], projective, found)
                    collect(flat, members[leaf], best[i], names[i])
                    reach[i] = _reach(best[i, last], projective, tie)


@njit(nogil=True)
def _lowest_ties(x, leaves, members, centres, radii, projective, last, tolerance, names):
    """Write the lowest numbers of the atoms that tie at a squared distance."""
    reach = np.sqrt(max(last + tolerance, 0.0))
    found = np.empty((WIDTH // LANES, LANES))
    close = np.empty((WIDTH // LANES, LANES))
    for c in range(len(centres)):
        squared_distances(centres[c], x, projective, close)
        for leaf in range(c * WIDTH, min((c + 1) * WIDTH, len(leaves))):
            limit = reach + radii[leaf]
            if close.ravel()[leaf - c * WIDTH] <= limit * limit:
                squared_distances(leaves[leaf], x, projective, found)
                ties = np.abs(found.ravel() - last) <= tolerance
                keep_lowest(ties, members[leaf], names)


@njit(nogil=True)
def collect(found, members, best, names):
    """Sort atoms, whose numbers are negative where there is none, into the best."""
    last = len(best) - 1
    for j in range(len(found)):
        if found[j] < best[last] and members[j] >= 0:
            place = last
            while place > 0 and best[place - 1] > found[j]:
                best[place], names[place] = best[place - 1], names[place - 1]
                place -= 1
            best[place], names[place] = found[j], members[j]


@njit(nogil=True)
def keep_lowest(ties, members, names):
    """Sort the ties among atoms into the list of the lowest numbers."""
    last = len(names) - 1
    for j in range(len(ties)):
        if ties[j] and 0 <= members[j] < names[last]:
            place = last
            while place > 0 and names[place - 1] > members[j]:
                names[place] = names[place - 1]
                place -= 1
            names[place] = members[j]


@njit(nogil=True)
def order(best, names, tolerance):
    """Put at each place the lowest number among those that tie with the best one left."""
    for place in range(len(best) - 1):
        chosen, other = place, place + 1
        while other < len(best) and best[other] <= best[place] + tolerance:
            if names[other] < names[chosen]:
                chosen = other
            other += 1
        square, name = best[chosen], names[chosen]
        for j in range(chosen, place, -1):
            best[j], names[j] = best[j - 1], names[j - 1]
        best[place], names[place] = square, name


@njit(nogil=True)
def affine_weights(x, signals, atoms, projective, regularization, weights):
    """Write the weights, of sum one, with which neighbours rebuild a signal best.

    They solve (G + regularization trace(G) 1) w = const, with the Gram matrix G of the
    differences between neighbours and signal (Saul and Roweis 2003, section 3). If
    `projective`, all are first given the phase of the best match, and the signal is rounded
    to 6e-8 of its norm, so that a complex factor does not change weights by rounding.

    x : (n, n_rows), signals : (n_atoms, n_rows), of unit norm if `projective`.
    atoms, weights : (n, k), numbers of the neighbours and their weights.
    """
    n_rows, k = x.shape[1], atoms.shape[1]
    # Of as many signals as there are lanes.
    differences, gram = np.empty((n_rows, k, LANES)), np.empty((k, k, LANES))
    trace, found = np.empty((1, LANES)), np.empty((k, LANES))
    target, row = np.empty(n_rows), np.empty(n_rows)
    for first in range(0, len(x), LANES):
        last = min(first + LANES, len(x)) - 1
        for lane in range(LANES):
            i = min(first + lane, last)
            best = signals[atoms[i, 0]]
            _copy(x[i], target)
            if projective:
                _align(x[i], best, target)
                for f in range(n_rows):
                    target[f] = np.rint(target[f] * _GRID) / _GRID
            for a in range(k):
                _copy(signals[atoms[i, a]], row)
                if projective:
                    _align(signals[atoms[i, a]], best, row)
                for f in range(n_rows):
                    differences[f, a, lane] = row[f] - target[f]
        _solve(differences, regularization, gram, trace, found)
        for i in range(first, last + 1):
            total = 0.0
            for a in range(k):
                total += found[a, i - first]
            for a in range(k):
                weights[i, a] = found[a, i - first] / total


# Assignments of slices take seconds to compile.
@njit
def _copy(source, out):
    """Copy a row."""
    for f in range(len(out)):
        out[f] = source[f]


@njit(nogil=True)
def _align(row, reference, out):
    """Write a complex row, its phase set so that its product with another is real."""
    re, im = 0.0, 0.0
    for f in range(0, len(row), 2):
        re += reference[f] * row[f] + reference[f + 1] * row[f + 1]
        im += reference[f] * row[f + 1] - reference[f + 1] * row[f]
    size = np.sqrt(re * re + im * im)
    if size > 0:
        re, im = re / size, im / size
    else:
        re, im = 1.0, 0.0
    for f in range(0, len(row), 2):
        out[f] = re * row[f] + im * row[f + 1]
        out[f + 1] = re * row[f + 1] - im * row[f]


@njit(nogil=True)
def _solve(differences, regularization, gram, trace, weights):
    """Solve for weights by Cholesky's decomposition, in all lanes.

    differences : (n_rows, k, LANES). Writes trace : (1, LANES), of the Gram matrix, and
    weights : (k, LANES). The upper triangle of gram : (k, k, LANES) is overwritten.
    """
    d, g, out = vectors(differences), vectors(gram), vectors(weights)
    k, sums = gram.shape[0], vectors(trace)
    sums[0] = spread(0.0)
    for a in range(k):
        for b in range(a, k):
            total = spread(0.0)
            for f in range(differences.shape[0]):
                total = total + d[f, a] * d[f, b]
            g[a, b] = total
        sums[0] = sums[0] + g[a, a]
    for lane in range(LANES):
        # Neighbours that equal the signal all weigh the same.
        if trace[0, lane] == 0:
            trace[0, lane] = 1.0
    for a in range(k):
        g[a, a] = g[a, a] + sums[0] * regularization
        right = spread(1.0)
        for c in range(a):
            right = right - g[c, a] * out[c]
        for b in range(a, k):
            total = g[a, b]
            for c in range(a):
                total = total - g[c, a] * g[c, b]
            g[a, b] = total if b == a else total / g[a, a]
            if b == a:
                for lane in range(LANES):
                    gram[a, a, lane] = np.sqrt(gram[a, a, lane])
        out[a] = right / g[a, a]
    for a in range(k - 1, -1, -1):
        total = out[a]
        for c in range(a + 1, k):
            total = total - g[a, c] * out[c]
        out[a] = total / g[a, a]


@njit(nogil=True)
def weighted_parameters(parameters, periods, atoms, weights, out):
    """Write weighted means of the neighbours' parameters, clipped to their range.

    parameters : (n_atoms, n_outputs), periods : (n_outputs,), infinite where there is
    none; periodic means are of the shortest differences from the best match.
    atoms, weights : (n, k), weights of sum one; out : (n, n_outputs).
    """
    for i in range(len(atoms)):
        for p in range(len(periods)):
            best = low = high = parameters[atoms[i, 0], p]
            mean = 0.0
            for a in range(1, atoms.shape[1]):
                value = parameters[atoms[i, a], p]
                way = value - best
                if np.isfinite(periods[p]):
                    way -= periods[p] * np.rint(way / periods[p])
                    value = best + way
                mean += weights[i, a] * way
                low, high = min(low, value), max(high, value)
            out[i, p] = min(max(best + mean, low), high)
