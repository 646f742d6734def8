"""What the model leaves of images: a map, and how many voxels leave more than noise."""

import numpy as np

from .._measurements import Measurements
from .._warnings import ignored, warn
from ..estimators._residuals import Residuals
from ..exceptions import LowSignalWarning

# Share of voxels of noise alone that are flagged, and the share of all that is told.
_FALSE_ALARMS, _TOLERATED = 1e-3, 0.01


class ResidualMap:
    """Chi-square of voxels over its degrees of freedom, filled block by block."""

    def __init__(self, estimator, n_voxels, sigma, known):
        self.values = np.full(n_voxels, np.nan)
        self._flags = np.zeros(n_voxels, dtype=bool)
        self._estimator, self._known = estimator, known
        self._sigma = None if sigma is None else np.broadcast_to(sigma, n_voxels)

    def look(self, rows, X, estimates):
        """Compare a block with the model; only where the noise is given."""
        if self._sigma is None:
            return
        usable = np.isfinite(estimates).all(axis=1) & np.isfinite(X).all(axis=1)
        rows = rows[usable]
        data = Measurements.of(X[usable], self._sigma[rows])
        known = None if self._known is None else self._known[rows]
        model = self._estimator._model_at(known)
        if not (len(rows) and model._free_numbers(data).any()):
            return
        everything = np.ones(len(rows), dtype=bool)
        with ignored(LowSignalWarning):
            found = Residuals.of_voxels(
                model, data, everything, estimates[usable], _FALSE_ALARMS
            )
        self.values[rows] = found.chi_square / found.n_free
        self._flags[rows] = found.flag

    def tell(self):
        """Warn if more voxels leave more than noise than do by chance."""
        n, n_flagged = np.isfinite(self.values).sum(), self._flags.sum()
        if n_flagged > max(_TOLERATED * n, 1):
            share = 100 * n_flagged / n
            warn(
                f"{share:.3g} % of the voxels leave more than noise of sigma, by their "
                "chi-square: a volume is damaged there, by motion for instance, or the "
                "model or sigma does not hold; standard deviations do not show it, and "
                "--residual writes a map of it",
                UserWarning,
            )
