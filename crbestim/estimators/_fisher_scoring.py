"""Steps of Fisher scoring for many voxels, with a control of each step."""

from dataclasses import dataclass

import numpy as np

from ._levenberg_marquardt import damped_steps, foreseen_gain, normal_equations
from ._objective import VoxelObjective
from ._voxel_fit import one_thread

# The damping of the first try is none but for rounding; the last is a short step downhill.
_DAMPINGS = (1e-10, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)

# Share of the foreseen gain that a step has to bring.
_LEAST_GAIN = 0.1
# Share of the cost below which there is nothing to gain.
_AT_GOAL = 1e-6


@dataclass(frozen=True, eq=False)
class FisherScoring:
    """How estimates are refined; small, so that it travels to workers.

    Parameters
    ----------
    model : SignalModel
        The model.
    box : UnitBox
        Bounds of the parameters.
    n_steps : int
        Number of steps.
    prior : GaussianPrior or None
        Prior of the parameters.
    noise_std : float
        Noise for M0 = 1, where a signal has no more real numbers than unknowns.
    """

    model: object
    box: object
    n_steps: int
    prior: object
    noise_std: float

    def refine(self, X, starts, sigma=None):
        """Take the steps from the best of some starts, in one thread.

        Parameters
        ----------
        X : ndarray of shape (n_voxels, n_features)
            Data, complex if the model is; finite, and if complex not zero throughout.
        starts : ndarray of shape (n_starts, n_voxels, n_parameters)
            Estimates, in SI units; they are brought inside the bounds. Steps begin at
            those with the smallest residual.
        sigma : ndarray of shape (n_voxels,), default=None
            Noise of X per channel.

        Returns
        -------
        theta : ndarray of shape (n_voxels, n_parameters)
            Refined estimates; NaN where the estimate or the model there is not finite.
        is_free : ndarray of bool, shape (n_voxels,)
            Where the last step was taken without damping.
        """
        known = np.isfinite(starts).all(axis=(0, 2))
        theta, is_free = np.full_like(starts[0], np.nan), np.ones(len(X), dtype=bool)
        if known.any():
            with one_thread(), np.errstate(all="ignore"):
                objective = VoxelObjective(
                    self.model.rows(known),
                    self.box,
                    X[known],
                    prior=self.prior,
                    sigma=None if sigma is None else sigma[known],
                    noise_std=self.noise_std,
                )
                units = [self.box.unit(start[known]) for start in starts]
                unit, sound = _best_start(objective, units), True
                for _ in range(self.n_steps):
                    unit, finite, is_free[known] = _step(objective, unit)
                    sound = sound & finite
                theta[known] = np.where(sound[:, None], self.box.theta(unit), np.nan)
        return theta, is_free


def _best_start(objective, units):
    """Return the starts of the smallest residuals; of equals the first."""
    if len(units) == 1:
        return units[0]
    misfits = np.stack([objective.misfit(unit) for unit in units])
    return np.stack(units)[misfits.argmin(axis=0), np.arange(len(units[0]))]


def _step(objective, unit):
    """Return where a step leads, where the model is finite, and which are not damped.

    All stays where the model is not finite or no step is good.
    """
    residual, jacobian = objective.begin(unit)
    g, h = normal_equations(residual, jacobian)
    finite = np.isfinite(g).all(axis=1) & np.isfinite(h).all(axis=(1, 2))
    reached, rows = unit.copy(), np.flatnonzero(finite)
    is_free = finite.copy()
    turns = objective.box.turns(unit)
    local = unit - turns
    for damping in _DAMPINGS:
        if not rows.size:
            break
        step = damped_steps(local[rows], g[rows], h[rows], np.full(len(rows), damping))
        moved = np.clip(local[rows] + step, 0.0, 1.0)
        moved = objective.box.turned(moved + turns[rows])
        foreseen = foreseen_gain(g[rows], h[rows], step)
        taken = _is_better(objective, rows, moved, residual[rows], foreseen)
        reached[rows[taken]] = moved[taken]
        at_goal = foreseen <= _AT_GOAL * (residual[rows] ** 2).sum(axis=1)
        is_free[rows[~taken & ~at_goal]] = False
        rows = rows[~taken]
    return reached, finite, is_free


def _is_better(objective, rows, moved, residual, foreseen):
    """Whether a step lowers the cost as foreseen, and the residual of the data not less.

    The cost includes the prior, which alone could let the residual rise. A step that gains
    far less than foreseen leads to where the derivatives do not hold.
    """
    n_data = objective.n_real
    before, after = residual**2, objective.evaluate(rows, moved, False)[0] ** 2
    data = after[:, :n_data].sum(axis=1) <= before[:, :n_data].sum(axis=1)
    gain = 0.5 * (before.sum(axis=1) - after.sum(axis=1))
    return data & (gain > 0) & (gain >= _LEAST_GAIN * foreseen)
