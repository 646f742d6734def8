"""Single steps of Fisher scoring, damped until they lower the cost as foreseen."""

import numpy as np

from .box import damped_steps, foreseen_gain

# Damping tried in turn, from practically none to a short step down the gradient.
_DAMPINGS = (1e-10, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
# Share of the predicted gain that a single step must reach.
_LEAST_GAIN = 0.1
# Share of the cost below which a predicted gain is negligible.
_AT_GOAL = 1e-6


def steps_of_scoring(objective, n_steps, place, voxels):
    """Take steps in some voxels.

    Parameters
    ----------
    objective : SquaresObjective or LikelihoodObjective
        The costs.
    n_steps : int
        Number of steps.
    place : ndarray of shape (n_voxels, n_variables)
        Where to begin.
    voxels : ndarray of int, shape (n_voxels,)
        Which voxels.

    Returns
    -------
    place : ndarray of shape (n_voxels, n_variables)
        Where the steps end.
    sound : ndarray of bool, shape (n_voxels,)
        Where the model was finite.
    is_free : ndarray of bool, shape (n_voxels,)
        Whether the last step was taken without damping.
    """
    sound, is_free = np.ones((2, len(place)), dtype=bool)
    for _ in range(n_steps):
        place, finite, is_free = _step(objective, place, voxels)
        sound = sound & finite
    return place, sound, is_free


def _step(objective, place, voxels):
    """Return where steps lead, where the model is finite, and which are not damped.

    Voxels stay in place if the model is not finite or no step is good.
    """
    start = objective.begin(place, voxels)
    g, h, finite = start.gradient, start.curvature, start.is_finite
    reached, rows = place.copy(), np.flatnonzero(finite)
    is_free = finite.copy()
    shift = objective.box.shift(place)
    local = place - shift
    for damping in _DAMPINGS:
        if not rows.size:
            break
        step = damped_steps(local[rows], g[rows], h[rows], np.full(len(rows), damping))
        moved = np.clip(local[rows] + step, 0.0, 1.0)
        moved = objective.box.wrapped(moved + shift[rows])
        foreseen = foreseen_gain(g[rows], h[rows], step)
        taken = _is_better(
            start.rows(rows), objective.evaluate(voxels[rows], moved, False), foreseen
        )
        reached[rows[taken]] = moved[taken]
        at_goal = foreseen <= 2 * _AT_GOAL * start.size[rows]
        is_free[rows[~taken & ~at_goal]] = False
        rows = rows[~taken]
    return reached, finite, is_free


def _is_better(before, after, foreseen):
    """Whether a step lowers the cost as predicted, without raising that of the data.

    The cost includes the prior, so it may fall while that of the data rises. A step that
    gains far less than predicted leads to where the derivatives do not hold.
    """
    gain = before.cost - after.cost
    is_kept = after.data_cost <= before.data_cost
    return is_kept & (gain > 0) & (gain >= _LEAST_GAIN * foreseen)
