"""Least squares for many voxels, the complex factor M0 or a real amplitude eliminated.

For given parameters the best factor is M0 = s^H x / s^H s, so only theta is left to
search: it minimizes ``norm(r)`` with r = x - M0 s(theta), the part of x orthogonal to
s. This is variable projection (Golub and Pereyra 1973, doi 10.1137/0710036). An amplitude
is such a factor that is real and stays inside its bounds. A real signal without one has no
factor: r = x - s(theta). A normal prior adds to the residuals those of the parameters, in
units of the noise.

Internally, parameters are fractions of their bounds, since their own scales differ by
factors of 1e8, and residuals are shares of ``norm(x)``.
"""

import numpy as np

from .._linear_algebra import norms
from ..kernels.least_squares import decrements
from ..kernels.voxel_residuals import AT_LIMIT, DECIMALS, LEAST_SHARE
from ..models.base import m0_by_projection, with_amplitude
from .box import normal_equations
from .levenberg_marquardt import sum_of_squares

_RIDGE = 1e-12
# Noise that weighs a prior where the noise cannot be estimated, so small that the prior
# affects only what the data leave undetermined.
_LEAST_NOISE = 1e-6


def variable_projection(x, s, ds=None, limits=None):
    """Project the model's signals out of the data.

    Parameters
    ----------
    x : ndarray of shape (n_voxels, n_features)
        Data, complex or real.
    s : ndarray of shape (n_voxels, n_features)
        Signals of the same kind.
    ds : ndarray of shape (n_voxels, n_features, n_parameters), default=None
        Their derivatives.
    limits : tuple of ndarray of shape (n_voxels,), default=None
        Least and largest factor, if it is real.

    Returns
    -------
    residual : ndarray of shape (n_voxels, n_features)
        Data less ``m0 * s``.
    derivatives : ndarray of shape (n_voxels, n_features, n_parameters) or None
        ``-m0 P ds`` with the projection P orthogonal to s: derivatives of the residual
        without their part along s (Kaufman 1975, doi 10.1007/BF01932995), which adds
        nothing to the gradient and says nothing about the parameters. At a limit the factor
        stays, and nothing is projected.
    m0 : ndarray of shape (n_voxels,)
        The factors.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.least_squares.variable_projection import variable_projection
    >>> s = np.array([[1.0, 1.0j]])
    >>> residual, _, m0 = variable_projection(2j * s, s)
    >>> abs(residual).max() < 1e-12, m0
    (np.True_, array([0.+2.j]))
    """
    m0 = m0_by_projection(x, s)
    free = m0
    if limits is not None:
        m0 = np.clip(m0, *limits)
    residual = x - m0[:, None] * s
    if ds is None:
        return residual, None, m0
    energy = (np.abs(s) ** 2).sum(axis=1)
    direction = s[:, :, None] / energy[:, None, None]
    if limits is not None:
        inside = (m0 == free) & ~_are_at(m0, limits)
        direction = np.where(inside[:, None, None], direction, 0.0)
    projected = ds - direction * (s.conj()[:, None, :] @ ds)
    return residual, -m0[:, None, None] * projected, m0


class SquaresObjective:
    """Residuals of voxels and their derivatives, from one call of the model.

    Call :meth:`begin` first.

    Parameters
    ----------
    model : SignalModel
        The model.
    box : UnitBox
        Map between its parameters, without an amplitude, and their fractions.
    data : Measurements
        Data with a signal, complex if the model is. Their noise weighs a prior; by default
        it is estimated from what the model leaves unexplained. If a signal has no more real
        numbers than unknowns, the prior then only fills what the data leave open.
    prior : GaussianPrior, default=None
        Prior of the parameters.
    limits : tuple of float, default=None
        Least and largest amplitude of a model that has one; by default not limited.
    """

    def __init__(self, model, box, data, *, prior=None, limits=None):
        self.model, self.box, X = model._shape, box, data.weighted
        self.X, self.weights = X, data.weights
        self.prior, self.sigma, self.column = prior, data.sigma, model._amplitude_column
        self.weighs_anew = prior is not None and data.sigma is None
        if prior is not None and self.column is not None:
            self.prior = prior.without(self.column)
        self.is_complex, self.has_factor = X.dtype.kind == "c", model.has_factor
        is_limited = self.has_factor and not self.is_complex
        self.limits = (limits or (0.0, np.inf)) if is_limited else None
        self.n_data = model.n_reals
        self.n_free = model._free_numbers(data)
        self.factor, self.scaled = np.ones(len(X), dtype=X.dtype), X.copy()
        self.norm = np.ones(len(X))
        self.noise = np.full(len(X), np.inf)
        self._lowest = None

    n_elsewhere = 0
    """Number of places all over the box where a doubtful search looks for a lower cost."""

    def variables(self, fractions, rows=None):
        """Return where searches start, all voxels or some: at fractions of the bounds."""
        return fractions

    def begin(self, fractions, rows=None):
        """Scale the data to M0 = 1 at a start, and estimate the noise there.

        Called again at a better start, it keeps the lower of both noise estimates. Returns
        what :meth:`evaluate` returns there. By default for all voxels.
        """
        rows = np.arange(len(self.X)) if rows is None else rows
        s, ds = self._simulate(rows, fractions, jacobian=True)
        self._scale(rows, s)
        residual, jacobian = self._residuals(rows, fractions, s, ds)
        if self.prior is not None:
            self.noise[rows] = self._noise(rows, residual, jacobian)
        return self._with_prior(rows, fractions, residual, jacobian)

    def costs(self, fractions):
        """Return the costs due to the data of all voxels, infinite where not finite."""
        rows = np.arange(len(self.X))
        s, _ = self._simulate(rows, fractions, jacobian=False)
        self._scale(rows, s)
        residual, _ = self._residuals(rows, fractions, s, None)
        return np.nan_to_num((residual**2).sum(axis=1) / 2, nan=np.inf)

    def residuals(self, rows, fractions, derivatives=False):
        """Return residuals of the data of some voxels, over its norm, and derivatives."""
        s, ds = self._simulate(rows, fractions, derivatives)
        return self._residuals(rows, fractions, s, ds)

    def evaluate(self, rows, fractions, derivatives):
        """Return the costs of some voxels, with derivatives if they are asked for.

        The residuals are those of real and imaginary parts, over the norm of the data, then
        those of the prior.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Voxels.
        fractions : ndarray of shape (n, n_parameters)
            Where, in fractions of the bounds.
        derivatives : bool
            Whether derivatives are wanted.

        Returns
        -------
        Expansion
            The costs.
        """
        s, ds = self._simulate(rows, fractions, derivatives)
        residual, jacobian = self._residuals(rows, fractions, s, ds)
        found = self._with_prior(rows, fractions, residual, jacobian)
        self._remember(rows, fractions, s, found.cost)
        return found

    def _remember(self, rows, fractions, s, cost):
        """Keep the signals of least cost, which searches end with."""
        if self._lowest is None:
            n = len(self.X)
            signals = np.empty((n, s.shape[1]), s.dtype)
            places = np.full((n, fractions.shape[1]), np.nan)
            self._lowest = np.full(n, np.inf), places, signals
        lower = cost < self._lowest[0][rows]
        for kept, new in zip(self._lowest, (cost, fractions, s), strict=True):
            kept[rows[lower]] = new[lower]

    def _signals(self, fractions):
        """Return the signals of all voxels, those that are known without simulation."""
        rows = np.arange(len(fractions))
        if self._lowest is None:
            return self._simulate(rows, fractions, jacobian=False)[0]
        _, places, signals = self._lowest
        rows = np.flatnonzero((places != fractions).any(axis=1))
        signals = signals.copy()
        if rows.size:
            signals[rows] = self._simulate(rows, fractions[rows], jacobian=False)[0]
        return signals

    def _simulate(self, rows, fractions, jacobian):
        model = self.model.rows(rows)
        s, ds = model._simulate_voxels(self.box.theta(fractions), jacobian)
        if self.weights is None:
            return s, ds
        weights = self.weights[rows]
        return weights * s, None if ds is None else weights[:, :, None] * ds

    def _scale(self, rows, s):
        """Divide the data by their factors to signals of unit norm."""
        scaled = self.X[rows]
        if self.has_factor:
            size = np.linalg.norm(s, axis=1)
            size = np.where((size > 0) & np.isfinite(size), size, 1.0)
            self.factor[rows] = _factor(scaled, s / size[:, None])
            # Rounded, so that rounding errors that depend on the factor cannot grow during
            # the search along directions in which the cost is almost flat.
            scaled = np.round(scaled / self.factor[rows, None], DECIMALS)
        norm = norms(scaled)
        self.scaled[rows], self.norm[rows] = scaled, np.where(norm > 0, norm, 1.0)

    def _residuals(self, rows, fractions, s, ds):
        """Residuals of the data over its norm, and their derivatives if ds is given."""
        if ds is not None:
            ds = ds * self.box.slopes(self.box.theta(fractions))[:, None, :]
        residual, ds, _ = self._projected(rows, s, ds)
        if self.is_complex:
            residual = np.concatenate([residual.real, residual.imag], axis=1)
            if ds is not None:
                ds = np.concatenate([ds.real, ds.imag], axis=1)
        norm = self.norm[rows]
        return residual / norm[:, None], None if ds is None else ds / norm[:, None, None]

    def _projected(self, rows, s, ds=None):
        """Residuals of the scaled data, their derivatives if ds is given, and factors."""
        scaled = self.scaled[rows]
        if not self.has_factor:
            return scaled - s, None if ds is None else -ds, np.ones(len(s))
        limits = self.limits
        if limits is not None:
            limits = tuple(limit / self.factor[rows] for limit in limits)
        return variable_projection(scaled, s, ds, limits)

    def _with_prior(self, rows, fractions, residual, jacobian):
        """Append the residuals of the prior, in units of the noise."""
        if self.prior is None:
            return sum_of_squares(residual, jacobian)
        theta, noise = self.box.theta(fractions), self.noise[rows, None]
        residual = np.concatenate([residual, noise * self.prior.residual(theta)], axis=1)
        if jacobian is not None:
            slopes = self.prior.root * self.box.slopes(theta)[:, None, :]
            jacobian = np.concatenate([jacobian, noise[:, :, None] * slopes], axis=1)
        return sum_of_squares(residual, jacobian, self.n_data)

    def _noise(self, rows, residual, jacobian):
        """Noise per channel over the norm of the data: given, or from the unexplained."""
        if self.sigma is not None:
            return self.sigma[rows] / np.abs(self.factor[rows]) / self.norm[rows]
        n_free = self.n_free[rows]
        if not n_free.any():
            return np.full(len(rows), _LEAST_NOISE)
        g, h = normal_equations(residual, jacobian)
        # At the middle of the box, no bound is active.
        middle, explained = np.full_like(g, 0.5), np.empty(len(g))
        diagonal = np.einsum("nii->ni", h)
        ridge = _RIDGE * diagonal.max(axis=1, keepdims=True, initial=0.0)
        decrements(middle, g, h, np.broadcast_to(ridge, g.shape), explained)
        energy = np.maximum((residual**2).sum(axis=1) - 2 * explained, 0.0)
        # Where the model is not finite, nothing is explained.
        noise = np.sqrt(np.nan_to_num(energy, nan=1.0) / np.maximum(n_free, 1))
        noise = np.where(n_free > 0, noise, _LEAST_NOISE)
        return np.minimum(self.noise[rows], noise)

    def at(self, fractions):
        """Return parameters, M0 in units of X, and norms of residuals over those of X.

        An amplitude is among the parameters, exactly at a limit or inside.
        """
        theta, m0, misfit = self._ends(fractions)
        m0 = m0 * self.factor
        if self.column is None:
            return theta, m0, misfit
        for limit in self.limits:
            m0 = np.where(_are_at(m0, [limit]), limit, m0)
        theta = with_amplitude(theta, self.column, np.clip(m0, *self.limits))
        return theta, np.ones(len(theta)), misfit

    def _ends(self, fractions):
        """Return parameters, factors of the scaled data, and relative residuals."""
        theta, every = self.box.theta(fractions), np.arange(len(fractions))
        residual, _, m0 = self._projected(every, self._signals(fractions))
        return theta, m0, np.linalg.norm(residual, axis=1) / self.norm

    def noise_at(self, fractions, misfit):
        """Return the noise over the norm of the data: given, from the residual, or NaN."""
        if self.sigma is None:
            n_free = np.maximum(self.n_free, 1)
            noise = misfit / np.sqrt(n_free) if self.prior is None else self.noise
            return np.where(self.n_free > 0, noise, np.nan)
        return self.sigma / np.abs(self.factor) / self.norm


def _are_at(m0, limits):
    """Return which factors are at one of the limits, up to rounding errors."""
    near = [np.isclose(m0, limit, rtol=AT_LIMIT, atol=0.0) for limit in limits]
    return np.any(near, axis=0)


def _factor(X, s):
    """Factors M0 at which data and signals agree best; the data's norm if they never do."""
    size = norms(X)
    m0 = m0_by_projection(X / size[:, None], s)
    agreement = np.abs(m0) if X.dtype.kind == "c" else m0
    return size * np.where(agreement > LEAST_SHARE, m0, 1.0)
