"""Starts along the profiles of parameters whose signals turn over many times.

The phase that magnetization gains between pulses makes the signal a wave along an
off-resonance, of which a period is known, and along the transmit field beside its stop
bands. A cost then has a minimum for each turn, and a search ends in the nearest. The
profile of a parameter, its cost for each value with all others at their best, tells which
of them is low. Here the others follow to first order, by the derivatives at one place, so
that a value costs one signal without derivatives.

Which voxels and parameters have such waves is seen from three signals close to each other:
there the signal bends. Models without a periodic parameter are not looked at.
"""

import numpy as np

from .._linear_algebra import norms
from ..kernels.least_squares import decrements

# Values to each side, and their distance: a share of the period, or of the bounds.
_N_SIDE, _STEP = 20, 1 / 1024
# Steps over which the bending is seen, and its least ratio to the slope.
_REACH, _LEAST_BEND = 2, 0.1
# A slope below this share of the data is rounding error.
_LEAST_SLOPE = 1e-8
# Rounds of a search, and what keeps curvatures from being singular.
_ROUNDS, _RIDGE = 2, 1e-9


def search_profiles(objective, minima, start, search):
    """Search again from where profiles are lower than at the minima.

    Parameters
    ----------
    objective : SquaresObjective
        The costs.
    minima : Minima
        Where searches ended; replaced where another search ends lower.
    start : ndarray of shape (n_voxels, n_variables)
        Where they began: the first profile is that around this place.
    search : callable
        ``search(objective, start, rows)`` returns the minima of some voxels.
    """
    every = np.flatnonzero(~minima.failed)
    wavy = wavy_parameters(objective, every, minima.x[every])
    columns = np.flatnonzero(wavy.any(axis=0))
    places, seen = start, np.full((len(columns), *start.shape), np.nan)
    for _ in range(_ROUNDS):
        for k, former in zip(columns, seen, strict=True):
            rows = every[wavy[:, k]]
            rows = rows[(places[rows] != former[rows]).any(axis=1)]
            if rows.size:
                former[rows] = places[rows]
                place, is_lower = lowest_on_profile(objective, rows, places[rows], k)
                rows = rows[is_lower]
            if rows.size:
                minima.replace(rows, search(objective, place[is_lower], rows))
            places = minima.x


def best_of_profiles(objective, places, advance):
    """Go on from places, and from where their profiles are lowest; return the better end.

    Parameters
    ----------
    objective : SquaresObjective
        The costs.
    places : ndarray of shape (n_voxels, n_variables)
        Where to begin.
    advance : callable
        ``advance(places, rows)`` returns where steps of some voxels end, and more arrays
        that say how.

    Returns
    -------
    tuple of ndarray
        What `advance` returns, of all voxels. An end of a profile counts if its cost is
        lower, and that of the data not higher.
    """
    ends = advance(places, np.arange(len(places)))
    lowest = _lowest_on_all_profiles(objective, places)
    rows = np.flatnonzero((lowest != places).any(axis=1))
    if rows.size:
        others = advance(lowest[rows], rows)
        before, after = (
            objective.evaluate(rows, end, False) for end in (ends[0][rows], others[0])
        )
        better = (after.cost < before.cost) & (after.data_cost <= before.data_cost)
        for kept, new in zip(ends, others, strict=True):
            kept[rows[better]] = new[better]
    return ends


def _lowest_on_all_profiles(objective, places):
    """Return places, moved to where one profile after the other is lowest."""
    places, every = places.copy(), np.flatnonzero(np.isfinite(places).all(axis=1))
    wavy = wavy_parameters(objective, every, places[every])
    for k in np.flatnonzero(wavy.any(axis=0)):
        rows = every[wavy[:, k]]
        places[rows] = lowest_on_profile(objective, rows, places[rows], k)[0]
    return places


def wavy_parameters(objective, rows, places):
    """Return along which parameters signals turn over, (n_voxels, n_variables).

    Those without a period are looked at where one with a period makes waves. A likelihood
    has no residuals, and none are found.
    """
    box, wavy = objective.box, np.zeros(places.shape, dtype=bool)
    periodic = np.isfinite(box.periods)
    if not (len(rows) and periodic.any() and hasattr(objective, "residuals")):
        return wavy
    steps = _REACH * np.array([_step(box, k) for k in range(len(box.low))])
    steps = np.minimum(steps, 0.5)
    inner = np.clip(places, steps, 1 - steps)
    middle = np.where(box.is_round, places, inner)
    at, _ = objective.residuals(rows, middle)
    some = np.arange(len(rows))
    for columns in (periodic, ~periodic):
        for k in np.flatnonzero(columns):
            wavy[some, k] = _bends(objective, rows[some], middle[some], at[some], k)
        some = np.flatnonzero(wavy.any(axis=1))
    return wavy


def lowest_on_profile(objective, rows, places, k):
    """Return where the profile of a parameter is lowest, and whether that is elsewhere."""
    others = np.arange(places.shape[1]) != k
    jacobian = objective.residuals(rows, places, True)[1][:, :, others]
    transposed = np.swapaxes(jacobian, 1, 2)
    curvature = transposed @ jacobian
    diagonal = np.einsum("nii->ni", curvature)
    ridge = np.broadcast_to(
        _RIDGE * diagonal.max(axis=1, keepdims=True, initial=0.0), diagonal.shape
    )
    inside = np.ascontiguousarray(places[:, others])
    best, lowest = places.copy(), np.full(len(rows), np.inf)
    gain, is_elsewhere = np.empty(len(rows)), np.zeros(len(rows), dtype=bool)
    for offset in sorted(range(-_N_SIDE, _N_SIDE + 1), key=abs):
        moved = _moved(objective.box, places, k, offset)
        residual, _ = objective.residuals(rows, moved)
        gradient = (transposed @ residual[:, :, None])[:, :, 0]
        decrements(inside, gradient, curvature, ridge, gain)
        cost = 0.5 * (residual**2).sum(axis=1) - gain
        lower = cost < lowest
        best[lower], lowest[lower] = moved[lower], cost[lower]
        is_elsewhere[lower] = offset != 0
    return best, is_elsewhere


def _bends(objective, rows, places, at, k):
    """Whether signals nearby bend along a parameter more than they slope."""
    before, after = (
        objective.residuals(rows, _moved(objective.box, places, k, offset))[0]
        for offset in (-_REACH, _REACH)
    )
    slope, bend = norms(after - before), norms(after - 2 * at + before)
    return (bend > _LEAST_BEND * slope) & (slope > _LEAST_SLOPE * norms(at))


def _step(box, k):
    """Return the distance of values of a profile, as a fraction of the bounds."""
    period = box.periods[k]
    return _STEP * (period / (box.high[k] - box.low[k]) if np.isfinite(period) else 1.0)


def _moved(box, places, k, offset):
    """Return places, so many steps away along one parameter."""
    moved = places.copy()
    moved[:, k] += offset * _step(box, k)
    return np.clip(box.wrapped(moved), 0.0, 1.0)
