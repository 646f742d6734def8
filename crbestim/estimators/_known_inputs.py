"""Known values as inputs of a network."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class KnownInputs:
    """How known values become inputs: one each, or two of those that have a period.

    Attributes
    ----------
    offset, scale : ndarray of shape (n_known,)
        What is taken from values, and what they are divided by.
    periods : ndarray of shape (n_known,)
        Periods; infinite for values that have none.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._known_inputs import KnownInputs
    >>> KnownInputs.learn(np.array([[1.0], [5.0]])).inputs(np.array([[3.0], [7.0]]))
    array([[0.],
           [2.]])
    """

    offset: np.ndarray
    scale: np.ndarray
    periods: np.ndarray

    @classmethod
    def learn(cls, known, parameters=()):
        """Learn the scales.

        Parameters
        ----------
        known : ndarray of shape (n_samples, n_known) or None
            Values of the training samples.
        parameters : sequence of Parameter
            What they are, if a model tells.

        Returns
        -------
        KnownInputs
            The scales; of nothing if there is nothing known.
        """
        if known is None:
            return cls(*np.empty((3, 0)))
        spread = known.std(axis=0)
        periods = [p.period for p in parameters] or [np.inf] * known.shape[1]
        scale = np.where(spread > 0, spread, 1.0)
        return cls(known.mean(axis=0), scale, np.array(periods))

    def inputs(self, known, n_samples=None):
        """Return inputs of the network.

        Parameters
        ----------
        known : ndarray of shape (n_samples, n_known) or None
            Known values.
        n_samples : int, default=None
            How many samples there are, where nothing is known.

        Returns
        -------
        ndarray of shape (n_samples, n_inputs)
            Values in units of their spread; cosine and sine of those with a period.
        """
        if known is None:
            return np.empty((n_samples, 0))
        is_round = np.isfinite(self.periods)
        angles = 2 * np.pi * known[:, is_round] / self.periods[is_round]
        others = ((known - self.offset) / self.scale)[:, ~is_round]
        return np.hstack([others, np.cos(angles), np.sin(angles)])
