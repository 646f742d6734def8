"""Weighted sums of bounds with their derivatives by the controls of a pulse train.

With B the real columns of the Jacobian, those of M0 included, C = (B^T B)^-1 and W the
diagonal matrix of the coefficients, the sum is tr(W C), and its derivative by B is

    -2 B C W C .

Each kind of pulse train turns derivatives by signal and Jacobian into derivatives by its
controls, in reverse mode.

The maps of a hybrid-state train are polynomials in flip angle and duration, in cells of
that plane which do not depend on the sequence: even Chebyshev polynomials of the angle, up
to one of _ANGLES, and Chebyshev polynomials of the logarithm of the duration. Their
coefficients are computed once for each tissue and cell, and serve all sequences.
"""

from collections import namedtuple
from copy import copy
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.linalg import qr

from .._linear_algebra import inverse_squares
from .._threads import one_blas_thread
from ..kernels.extended_phase_graph_gradient import CHUNK, backward, forward
from ..kernels.hybrid_state_gradient import (
    N_ROWS,
    VALUES,
    advance,
    products,
    retreat,
    transfer,
)
from ..kernels.lanes import LANES
from ..kernels.magnetization_transfer import B1, M0S, N_PARAMETERS, T2S, node_maps
from ..kernels.trains import EVEN, N_ENTRIES
from ..models import BalancedSteadyState, FISPFingerprinting, MagnetizationTransfer
from ..models._pulses import rates
from ..models._saturation_table import ALPHA_MAX, TAU_RANGE
from ..models.views import GivenModel

_ANGLES = np.array([1.65, 3.3, 6.3])
_SHORTEST, _RATIO = 45e-6, np.sqrt(2)
_DEGREES = (12, 22, 36), 12
_TOLERANCE = 1e-11
_INDISTINCT = 1e3
_EDGE = 1e-3

_Cell = namedtuple("_Cell", "angle durations pairs coefficients")


def supports(model):
    """Return whether :func:`weighted_bound` takes a model: a train, or a view of it."""
    return type(_train_of(model)) in _PLAYERS


@one_blas_thread
def weighted_bound(model, theta, coefficients, controls=None):
    """Weighted sum of the bounds of one tissue, and its derivatives by the controls.

    Parameters
    ----------
    model : SignalModel
        One that :func:`supports` accepts; a view with given values holds one row of them.
    theta : ndarray of shape (n_parameters,)
        The tissue.
    coefficients : ndarray of shape (n_parameters,)
        Factors of the bounds, 0 or more. Where they are 0, bounds may be infinite.
    controls : dict of ndarray of shape (n_pulses,), default=None
        Controls in place of the model's own, named as the gradients, inside its domain.

    Returns
    -------
    value : float
        ``sum(coefficients * crb)``; infinite if a bound that counts is.
    crb : ndarray of shape (n_parameters,)
        Bounds at noise_std = 1 and M0 = 1.
    gradients : dict of ndarray of shape (n_pulses,)
        Derivatives of the value, "alpha" per rad and "trf" or "tr" per s, pulse 0 and the
        trains one after the other included; NaN if the value is infinite.
    """
    whole, kept = np.asarray(theta, dtype=float), np.arange(len(theta))
    train = model
    while isinstance(train, GivenModel):
        whole = train.join(whole[None])[0]
        kept = np.array(train._columns(train.parameters))[kept]
        train = train.model
    settings = train if isinstance(train, FISPFingerprinting) else train.sequence
    play, names = _PLAYERS[type(train)]
    controls = {name: getattr(settings, name) for name in names} | (controls or {})
    signal, jacobian, pull = play(train, whole, controls)
    value, crb, by_signal, by_columns = _differentiate(
        signal, jacobian[:, kept], np.asarray(coefficients), model.jacobian_accuracy
    )
    by_jacobian = np.zeros_like(jacobian)
    by_jacobian[:, kept] = by_columns
    return value, crb, pull(by_signal, by_jacobian)


def _train_of(model):
    """Return the model of a pulse train behind views in which parameters are given."""
    while isinstance(model, GivenModel):
        model = model.model
    return model


def _differentiate(signal, jacobian, coefficients, accuracy):
    """Return the sum, the bounds, and derivatives by signal (N,) and Jacobian (N, d).

    Real parts of derivatives are those by real parts, imaginary ones those by imaginary
    parts.
    """
    n, d = jacobian.shape
    columns = np.concatenate([jacobian, signal[:, None], 1j * signal[:, None]], axis=1)
    columns = np.concatenate([columns.real, columns.imag])
    # A triangular factor has the same inverse squares, and far fewer rows.
    factor = np.linalg.qr(columns, mode="r")
    covariance = inverse_squares(factor[None], accuracy)[0]
    crb = np.diag(covariance)[:d].copy()
    counts = coefficients > 0
    value = float(coefficients[counts] @ crb[counts])
    weights = np.append(coefficients, np.zeros(2))
    if not np.isfinite(covariance).all():
        chosen = _independent(factor, accuracy)
        covariance = np.zeros_like(covariance)
        part = np.ix_(chosen, chosen)
        covariance[part] = inverse_squares(factor[None, :, chosen], accuracy)[0]
    slopes = columns @ (-2 * covariance * weights @ covariance)
    if not np.isfinite(value):
        slopes[:] = np.nan
    slopes = slopes[:n] + 1j * slopes[n:]
    return value, crb, slopes[:, d] - 1j * slopes[:, d + 1], slopes[:, :d]


def _independent(columns, accuracy):
    """Return the columns that remain when those are left out that depend on others."""
    size = np.linalg.norm(columns, axis=0)
    factor, order = qr(columns / np.where(size > 0, size, 1.0), mode="r", pivoting=True)
    pivots = np.abs(np.diag(factor))
    return np.sort(order[pivots > _INDISTINCT * accuracy])


def _play_hybrid_state(model, theta, controls):
    """Return signal and Jacobian of a hybrid-state train, and their reverse mode."""
    alpha, trf = controls["alpha"], controls["trf"]
    whole = model._complete(theta[None])[0]
    maps, places, cells = _maps(model, whole, alpha, trf)
    m0s, m0f = whole[M0S], 1 - whole[M0S]
    physics = maps, places, alpha, m0s / m0f, 1 / m0f**2
    paths = np.empty((len(alpha), 4)), np.empty((len(alpha), 4, LANES))
    trains, echoes, slopes = _advance(model, m0s, physics, paths)
    parameters = 1.0 * (np.arange(model.n_parameters) == model._columns[:, None])

    def pull(by_signal, by_jacobian):
        sources = _as_reals(by_signal), _as_reals(by_jacobian) @ parameters.T
        by_angle, by_duration = np.empty(len(alpha)), np.empty(len(alpha))
        for first, last, resolvent in trains:
            run = (first, last, *physics, *paths, *sources)
            _retreat(run, resolvent, by_angle)
        for members, part, basis, coefficients in cells:
            by_products = part @ coefficients.T
            by_angle[members] += np.einsum("nk,nk->n", by_products, basis[1])
            by_duration[members] = np.einsum("nk,nk->n", by_products, basis[2])
        return {"alpha": by_angle, "trf": by_duration}

    return _as_complex(echoes), _as_complex(slopes @ parameters), pull


def _advance(model, m0s, physics, paths):
    """Play all trains; return their ends and resolvents, and x and y at the echoes.

    The resolvent is (I - A)^-1 for the matrix A of a cycle; None for a thermal start.
    """
    trains, ends = [], []
    for first, last in pairwise(model.sequence.train_offsets):
        resolvent, v, t = None, np.array([0.0, 0.0, 1 - m0s, m0s]), np.zeros((4, LANES))
        t[2:, M0S] = -1.0, 1.0
        if model.steady_state == "periodic":
            cycle, t = np.empty((4, LANES)), np.zeros((4, LANES))
            transfer(first, last, *physics[:4], cycle)
            resolvent = np.linalg.inv(np.eye(4) - cycle[:, :4])
            v = resolvent @ cycle[:, 4]
            advance(first, last, *physics, v.copy(), t, *paths)
            t = resolvent @ t
        advance(first, last, *physics, v, t, *paths)
        trains.append((first, last, resolvent))
        ends.append((v, t))
    # The state before a repetition is that at the echo of the one before it.
    echoes, slopes = (np.roll(path[:, :2], -1, axis=0) for path in paths)
    for (_, last, _), (v, t) in zip(trains, ends, strict=True):
        echoes[last - 1], slopes[last - 1] = v[:2], t[:2]
    return trains, echoes, slopes


def _retreat(run, resolvent, by_angle):
    """Run through a train backwards, in the steady state once for each closure."""
    v, t, no_slopes = np.zeros(4), np.zeros((4, LANES)), np.empty(0)
    if resolvent is not None:
        retreat(*run, v.copy(), t, no_slopes)
        t = resolvent.T @ t
        retreat(*run, v, t.copy(), no_slopes)
        v = resolvent.T @ v
    retreat(*run, v, t, by_angle)


def _as_complex(parts):
    """Return complex numbers from parts along the second axis."""
    return parts[:, 0] + 1j * parts[:, 1]


def _as_reals(numbers):
    """Return real and imaginary parts along a new second axis."""
    return np.stack([numbers.real, numbers.imag], axis=1)


def _maps(model, whole, alpha, trf):
    """Return packed maps of all repetitions, their places, and the cells they come from."""
    tr, lineshape = model.sequence.tr, model.lineshape
    widest, least, most = _domain(whole, tr, lineshape)
    inside = np.clip(trf, least, most)
    is_beyond = np.abs(trf / inside - 1).max() > _EDGE
    if is_beyond or np.abs(alpha).max() > widest * (1 + _EDGE):
        raise ValueError(
            f"flip angles of up to {np.abs(alpha).max():g} rad and pulses of {trf.min():g} "
            f"to {trf.max():g} s are outside the domain of the model for this tissue: "
            f"give at most {widest:g} rad, and {least:g} to {most:g} s."
        )
    inverts = np.zeros(len(alpha), dtype=int)
    inverts[model.sequence.train_offsets[:-1]] = 1
    angle = np.minimum(np.searchsorted(_ANGLES, np.abs(alpha)), len(_ANGLES) - 1)
    panel = np.floor(np.log(inside / _SHORTEST) / np.log(_RATIO)).astype(int)
    which = angle + len(_ANGLES) * (inverts + 2 * panel)
    order = np.argsort(which, kind="stable")
    maps, places, cells = np.empty((len(alpha), N_ROWS, LANES)), np.argsort(order), []
    flat = maps.reshape(len(alpha), -1)
    starts = np.flatnonzero(np.diff(which[order], prepend=which.min() - 1))
    for first, last in pairwise([*starts, len(alpha)]):
        members, part = order[first:last], flat[first:last]
        place = (int(a[members[0]]) for a in (angle, panel, inverts))
        cell = _cell(tuple(whole), tr, lineshape, *place)
        basis = _basis(cell, alpha[members], trf[members])
        np.matmul(basis[0], cell.coefficients, out=part)
        cells.append((members, part, basis, cell.coefficients))
    return maps, places, cells


def _basis(cell, alpha, trf):
    """Return products of polynomials and their derivatives, (3, n, n_products)."""
    low, high = np.log(cell.durations)
    x, y = alpha / cell.angle, (2 * np.log(trf) - low - high) / (high - low)
    slopes = np.stack([4 * x / cell.angle, 2 / (trf * (high - low))], axis=1)
    out = np.empty((3, len(alpha), len(cell.pairs)))
    n = max(2, int(cell.pairs.max()) + 1)
    products(np.stack([2 * x**2 - 1, y], axis=1), slopes, n, cell.pairs, out)
    return out


def _domain(whole, tr, lineshape):
    """Return the largest flip angle, and the shortest and longest pulse."""
    if lineshape is None:
        return _ANGLES[-1], 0.0, tr
    # The table of saturation rates ends there.
    least, most = whole[T2S] * np.array(TAU_RANGE)
    return min(ALPHA_MAX / whole[B1], _ANGLES[-1]), least, min(most, tr)


@lru_cache(maxsize=512)
def _cell(whole, tr, lineshape, angle, panel, inverts):
    """Return limits of angle and duration, and polynomials of the maps between them."""
    n_angle, n_duration = _DEGREES[0][angle], _DEGREES[1]
    widest, least, most = _domain(whole, tr, lineshape)
    widest = min(widest, _ANGLES[angle])
    # Cells at an end of the domain are as wide as the others.
    low = max(least, min(_SHORTEST * _RATIO**panel, most / _RATIO))
    high = min(most, low * _RATIO)
    u, w = (np.cos(np.pi * (np.arange(n) + 0.5) / n) for n in (n_angle, n_duration))
    alpha = widest * np.sqrt((u + 1) / 2)
    trf = low * (high / low) ** ((w + 1) / 2)
    nodes = np.array([(a, t, inverts) for a in alpha for t in trf])
    maps = np.empty((len(nodes), 1 + N_PARAMETERS, N_ENTRIES, LANES))
    lanes = np.repeat(np.array(whole)[:, None], LANES, axis=1)
    node_maps(lanes, np.arange(N_PARAMETERS), nodes, tr, rates(lineshape), maps)
    maps = maps[..., 0]
    maps[:, :, EVEN:] /= nodes[:, 0, None, None]
    maps = maps.reshape(n_angle, n_duration, -1)
    maps = np.einsum("ia,jb,abe->ije", *map(_analysis, (u, w)), maps)
    maps = maps.reshape(len(nodes), 1 + N_PARAMETERS, N_ENTRIES)
    size = np.abs(maps).max(axis=2)
    kept = (size > _TOLERANCE * size.max(axis=0)).any(axis=1)
    packed = np.zeros((kept.sum(), N_ROWS, LANES))
    packed[:, :VALUES] = np.swapaxes(maps[kept, 1:], 1, 2)
    packed[:, VALUES, :EVEN] = maps[kept, 0, :EVEN]
    packed[:, VALUES + 1, : VALUES - EVEN] = maps[kept, 0, EVEN:]
    pairs = np.argwhere(kept.reshape(n_angle, n_duration))
    return _Cell(widest, (low, high), pairs, packed.reshape(len(packed), -1))


def _analysis(points):
    """Return the matrix from values at points to coefficients of Chebyshev polynomials."""
    return np.linalg.inv(chebvander(points, len(points) - 1))


def _play_fisp(model, theta, controls):
    """Return signal and Jacobian of a FISP train, and their reverse mode."""
    model = copy(model)
    model.alpha, model.tr = controls["alpha"], controls["tr"]
    pulses, n_states = model._pulses, int(model._blocks(theta[None])[1][0])
    n, d, parts = len(model.alpha), model.n_parameters, 2 if pulses.turn.size else 1
    rates = np.array([*(1 / theta[:2]), theta[2] if model.b1 else 1.0])
    angle = rates[2] * pulses.alpha
    settings = np.stack([
        pulses.alpha, np.sin(angle), np.cos(angle), np.exp(-rates[0] * model.tr),
        np.exp(-rates[1] * model.tr), model.tr,
        pulses.sign * np.exp(-rates[1] * model.te), model.te,
    ], axis=1)  # fmt: skip
    shape = 1 + d, parts, 3, n_states + 3
    states = np.zeros((CHUNK + 1, *shape))
    states[0, 0, 0, 2, 0] = 1.0
    if model.inversion_time is not None:
        inverted = 2 * np.exp(-rates[0] * model.inversion_time)
        states[0, 0, 0, 2, 0] = 1 - inverted
        states[0, 1, 0, 2, 0] = -inverted * model.inversion_time * rates[0] ** 2
    kept, echoes = np.empty((-(-n // CHUNK), *shape)), np.empty((n, 1 + d, parts))
    train = settings, rates, pulses.turn if parts == 2 else np.zeros(n), n_states
    forward(*train, states, kept, echoes)
    values = echoes[:, :, 0] + (1j * echoes[:, :, 1] if parts == 2 else 0j)

    def pull(by_signal, by_jacobian):
        sources = np.column_stack([by_signal, by_jacobian])
        sources = np.stack([sources.real, sources.imag][:parts], axis=2)
        by_alpha, by_tr = np.empty(n), np.empty(n)
        backward(*train, states, kept, sources, np.zeros(shape), by_alpha, by_tr)
        return {"alpha": pulses.sign * by_alpha, "tr": by_tr}

    return values[:, 0], values[:, 1:], pull


_PLAYERS = {
    FISPFingerprinting: (_play_fisp, ("alpha", "tr")),
    MagnetizationTransfer: (_play_hybrid_state, ("alpha", "trf")),
    BalancedSteadyState: (_play_hybrid_state, ("alpha", "trf")),
}
