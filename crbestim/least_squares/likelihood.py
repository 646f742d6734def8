r"""Maximum likelihood for many voxels, where noise is not Gaussian.

The cost of a voxel is the negative logarithm of the likelihood of its samples x, which are
real, given a signal A s(theta). Its gradient is exact, and its curvature is the Fisher
information, J^T Z J with the weights Z of the noise model: minimizing is Fisher scoring.
An amplitude A is no longer eliminated by projection. It is one more variable f of the
search,

.. math:: A = A_{min} + f \min(A_{max} - A_{min}, c \|x\| / \|s(\theta)\|),
          \quad 0 \le f \le 1,

the norm of the signal as a share of c times that of the data, unless a limit is nearer.
Rician noise adds to a signal, so that with c = 1 the largest likelihood never lies beyond.
Where sigma is not given, each voxel's own makes its likelihood largest, for every signal
anew. The logarithm of the likelihood then has the additional term p log(sigma) for p
unknowns, which divides squared residuals by degrees of freedom (Patterson and Thompson
1971, doi 10.1093/biomet/58.3.545).
"""

import numpy as np

from .._linear_algebra import norms
from ..kernels.voxel_likelihood import LEAST_SHARE, N_STEPS, NEARLY
from ..models.base import m0_by_projection, with_amplitude
from .levenberg_marquardt import Expansion

_DECIMALS = 12
# Least and largest noise, as shares of the norm of the data.
_LEAST_NOISE, _MOST_NOISE = 1e-7, 4.0
# Error of the logarithm of sigma, and the number of trials that reach it.
_ERROR_OF_SIGMA, _MOST_TRIALS = 1e-10, 60
# Largest norm of a signal over that of the data: of magnitudes but for rounding errors, and
# of samples with outliers.
_REACH, _FAR_REACH = 1.001, 10.0
# Standard deviation of a parameter, as a share of the box, and size of samples in sigma,
# between which a likelihood may have several maxima; what keeps information from being
# singular.
_WIDE, _LOW, _RIDGE = 0.05, 5.0, 1e-10
# Magnitudes of zero have no density, whatever the signal: they count as tiny ones.
_TINY = 1e-150


class LikelihoodObjective:
    """Negative log-likelihood of voxels and its derivatives.

    It has the attributes and methods of
    :class:`~crbestim.least_squares.variable_projection.SquaresObjective`.

    Parameters
    ----------
    model : SignalModel
        A real model.
    box : UnitBox
        Map between its parameters, without an amplitude, and their fractions.
    data : Measurements
        Data with a signal.
    noise : Noise
        The noise of the data, with its log-likelihood and information.
    prior : GaussianPrior, default=None
        Prior of the parameters.
    limits : tuple of float, default=None
        Least and largest amplitude of a model that has one; by default not limited.
    """

    weighs_anew = False
    n_elsewhere = 32
    """Number of places all over the box where a doubtful search looks for a lower cost."""

    def __init__(self, model, box, data, noise, *, prior=None, limits=None):
        self.model, self.noise_model, self.prior = model._shape, noise, prior
        self.column = model._amplitude_column
        if prior is not None and self.column is not None:
            self.prior = prior.without(self.column)
        self.inner, self.box = box, box if self.column is None else box.with_share()
        self.norm = norms(data.weighted)
        self.norm = np.where(self.norm > 0, self.norm, 1.0)
        self.factor = np.ones(len(data))
        self.x = with_density(noise, np.round(data.X / self.norm[:, None], _DECIMALS))
        self.counts, self.divisors = data.counts, data.divisors
        self.weights = np.where(self.counts, self.divisors, 0.0)
        # Magnitudes exceed their signals; other samples may lie anywhere.
        self.reach = _REACH if noise.needs_magnitude else _FAR_REACH
        self.limits = limits or (0.0, np.inf)
        self.n_unknowns, self.n_free = model.n_unknowns, model._free_numbers(data)
        self.sigma = data.sigma
        # Rounded like the data, whose scale must not matter.
        self.level = np.full(len(data), _LEAST_NOISE)
        if data.sigma is not None:
            level = np.exp(np.round(np.log(data.sigma / self.norm), _DECIMALS))
            # Below, rounding errors are larger than the noise.
            self.level = np.maximum(level, _LEAST_NOISE)

    def variables(self, fractions, rows=None):
        """Return where searches start, with the best amplitude there; by default all."""
        if self.column is None:
            return fractions
        rows = np.arange(len(self.x)) if rows is None else rows
        s, _ = self._simulate(rows, fractions, False)
        weights = self.weights[rows]
        size = np.maximum(norms(weights * s), np.finfo(float).tiny)
        x = weights * np.where(self.counts[rows], self.x[rows], 0.0)
        share = m0_by_projection(x, weights * s / size[:, None])
        low, cap = self._range(rows, size)
        place = np.clip(np.nan_to_num((share / size - low) / cap), LEAST_SHARE, 1.0)
        sigma = self._level_of(rows, (low + place * cap)[:, None] * s)
        for _ in range(N_STEPS):
            place = np.clip(np.nan_to_num(place, nan=0.5), LEAST_SHARE, 1.0)
            signal = (low + place * cap)[:, None] * s
            found = self._of_signals(rows, signal, s[:, :, None], sigma)
            place = place - found.gradient[:, 0] / found.curvature[:, 0, 0] / cap
        place = np.clip(np.nan_to_num(place, nan=0.5), LEAST_SHARE, 1.0)
        return np.column_stack([fractions, place])

    def begin(self, variables, rows=None):
        """Return what :meth:`evaluate` returns there with derivatives."""
        rows = np.arange(len(self.x)) if rows is None else rows
        return self.evaluate(rows, variables, True)

    def costs(self, variables):
        """Return the costs due to the data of all voxels, infinite where not finite."""
        found = self.evaluate(np.arange(len(self.x)), variables, False)
        return np.nan_to_num(found.data_cost, nan=np.inf)

    def evaluate(self, rows, variables, derivatives):
        """Return the costs of some voxels, with derivatives if they are asked for.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Voxels.
        variables : ndarray of shape (n, n_variables)
            Where: fractions of the bounds, and f.
        derivatives : bool
            Whether derivatives are wanted.

        Returns
        -------
        Expansion
            The costs.
        """
        signal, jacobian = self._signals(rows, variables, derivatives)
        found = self._of_signals(rows, signal, jacobian)
        return found if self.prior is None else self._with_prior(found, variables)

    def _simulate(self, rows, variables, derivatives):
        """Signals at an amplitude of 1, and derivatives by the fractions."""
        theta = self.inner.theta(variables[:, : self.model.n_parameters])
        s, ds = self.model.rows(rows)._simulate_voxels(theta, derivatives)
        if ds is not None:
            ds = ds * self.inner.slopes(theta)[:, None, :]
        if self.column is None:
            # Like the data, which have unit norm.
            s = s / self.norm[rows, None]
            ds = None if ds is None else ds / self.norm[rows, None, None]
        return s, ds

    def _signals(self, rows, variables, derivatives):
        """Signals with their amplitude, and derivatives by all variables or None."""
        s, ds = self._simulate(rows, variables, derivatives)
        if self.column is None:
            return s, ds
        size = np.maximum(norms(self.weights[rows] * s), np.finfo(float).tiny)
        (low, cap), share = self._range(rows, size), variables[:, -1]
        amplitude = (low + share * cap)[:, None]
        if ds is None:
            return amplitude * s, None
        weighted = self.weights[rows] ** 2 * s
        by_size = (weighted[:, :, None] * ds).sum(axis=1) / size[:, None]
        is_capped = cap * size < self.reach * NEARLY
        by_theta = np.where(is_capped, 0.0, -share * cap / size)[:, None] * by_size
        columns = amplitude[:, :, None] * ds + s[:, :, None] * by_theta[:, None, :]
        return amplitude * s, np.concatenate([columns, (cap[:, None] * s)[:, :, None]], 2)

    def _range(self, rows, size):
        """Return the least amplitude and the range of the search, in units of the data."""
        low, high = (limit / self.norm[rows] for limit in self.limits)
        return low, np.minimum(high - low, self.reach / size)

    def _of_signals(self, rows, signal, jacobian=None, sigma=None):
        """Return the expansion of the costs of signals, without a prior."""
        x, counts = self.x[rows], self.counts[rows]
        sigma = self._level_of(rows, signal) if sigma is None else sigma
        p = self.n_unknowns if self.sigma is None else 0
        noise = sigma[:, None] / self.divisors[rows]
        likelihood = self.noise_model.log_likelihood(x, signal, noise, jacobian is not None)
        value, by_signal, _ = (likelihood, None, None) if jacobian is None else likelihood
        cost = -np.where(counts, value, 0.0).sum(axis=1) - p * np.log(sigma)
        size = np.maximum(self.n_free[rows], 1) / 2
        if jacobian is None:
            return Expansion(cost, cost, size)
        weight = self.noise_model.information(signal, noise)
        weight = np.where(counts, 1.0 if weight is None else weight, 0.0) / noise**2
        slope = np.where(counts, -by_signal, 0.0)
        gradient = (jacobian * slope[:, :, None]).sum(axis=1)
        curvature = np.swapaxes(jacobian, 1, 2) @ (weight[:, :, None] * jacobian)
        return Expansion(cost, cost, size, gradient, curvature)

    def _level_of(self, rows, signal):
        """Return the noise, given or that which makes the likelihood of signals largest."""
        if self.sigma is not None:
            return self.level[rows]
        n_free = self.n_free[rows]
        level = np.full(len(rows), _LEAST_NOISE)
        some = np.flatnonzero((n_free > 0) & np.isfinite(signal).all(axis=1))
        if some.size:
            x, counts = self.x[rows[some]], self.counts[rows[some]]
            weights = self.divisors[rows[some]]
            level[some] = best_sigma(
                self.noise_model, x, signal[some], weights, counts, n_free[some]
            )
        return level

    def is_doubtful(self, variables):
        """Return which voxels have a likelihood so wide that it may have other maxima.

        Most of their samples are floor.
        """
        level = self.level
        if self.sigma is None:
            rows = np.arange(len(self.x))
            level = self._level_of(rows, self._signals(rows, variables, False)[0])
        n_counted = np.maximum(self.counts.sum(axis=1), 1)
        # The data have unit norm.
        doubtful = 1 / n_counted < (_LOW * level) ** 2
        rows = np.flatnonzero(doubtful)
        curvature = self.evaluate(rows, variables[rows], True).curvature
        scale = np.sqrt(np.maximum(np.einsum("nii->ni", curvature), np.finfo(float).tiny))
        finite = np.isfinite(curvature).all(axis=(1, 2))
        scaled = curvature / scale[:, :, None] / scale[:, None, :]
        safe = np.where(finite[:, None, None], scaled, 0.0) + _RIDGE * np.eye(
            scale.shape[1]
        )
        variance = np.einsum("nii->ni", np.linalg.inv(safe)) / scale**2
        n = self.model.n_parameters
        doubtful[rows] = finite & (variance[:, :n].max(axis=1, initial=0.0) > _WIDE**2)
        return doubtful

    def _with_prior(self, found, variables):
        """Add the cost of the prior, in units of the likelihood."""
        n = self.model.n_parameters
        theta = self.inner.theta(variables[:, :n])
        residual = self.prior.residual(theta)
        cost = found.cost + 0.5 * (residual**2).sum(axis=1)
        if found.gradient is None:
            return Expansion(cost, found.cost, found.size)
        slopes = self.prior.root * self.inner.slopes(theta)[:, None, :]
        gradient, curvature = found.gradient.copy(), found.curvature.copy()
        gradient[:, :n] += (slopes * residual[:, :, None]).sum(axis=1)
        curvature[:, :n, :n] += np.swapaxes(slopes, 1, 2) @ slopes
        return Expansion(cost, found.cost, found.size, gradient, curvature)

    def at(self, variables):
        """Return parameters, factors of 1, and norms of residuals over those of data."""
        rows = np.arange(len(self.x))
        signal, _ = self._simulate(rows, variables, False)
        theta = self.inner.theta(variables[:, : self.model.n_parameters])
        if self.column is not None:
            size = np.maximum(norms(self.weights * signal), np.finfo(float).tiny)
            low, cap = self._range(rows, size)
            amplitude = low + variables[:, -1] * cap
            signal = amplitude[:, None] * signal
            amplitude = np.clip(amplitude * self.norm, *self.limits)
            theta = with_amplitude(theta, self.column, amplitude)
        left = np.where(self.counts, self.weights * (self.x - signal), 0.0)
        return theta, np.ones(len(rows)), np.linalg.norm(left, axis=1)

    def noise_at(self, variables, misfit):
        """Return the noise over the norm of the data: given, the voxel's own, or NaN."""
        if self.sigma is not None:
            return self.sigma / self.norm
        rows = np.arange(len(self.x))
        level = self._level_of(rows, self._signals(rows, variables, False)[0])
        return np.where(self.n_free > 0, level, np.nan)


def with_density(noise, x):
    """Return samples of about unit size with tiny ones in place of impossible ones."""
    return np.maximum(x, _TINY) if noise.needs_magnitude else x


def best_sigma(noise, x, signal, weights, counts, n_free):
    r"""Return the noise of voxels that maximizes their likelihood, of given signals.

    It solves, for p unknowns and the samples that count,

    .. math:: \sum_i \partial \log p(x_i) / \partial \log \sigma + p = 0

    by the secant method in log sigma, inside a bracket that shrinks. For Gaussian noise the
    solution is the norm of the residual over the root of the degrees of freedom.

    Parameters
    ----------
    noise : Noise
        The noise.
    x, signal, weights : ndarray of shape (n_voxels, n_features)
        Data of unit norm, signals, and inverse noise of the samples at sigma = 1.
    counts : ndarray of bool, shape (n_voxels, n_features)
        Which samples count.
    n_free : ndarray of shape (n_voxels,)
        Number of samples that count, less that of the unknowns; positive.

    Returns
    -------
    ndarray of shape (n_voxels,)
        The noise of samples of weight 1.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.least_squares.likelihood import best_sigma
    >>> from crbestim.noise import GaussianNoise
    >>> x, ones = np.array([[0.6, 0.8, 0.0]]), np.ones((1, 3))
    >>> best_sigma(GaussianNoise(), x, 0.5 * ones, ones, ones > 0, np.array([2])).round(4)
    array([0.4183])
    """
    n_counted = counts.sum(axis=1)

    def distance(rows, t):
        """Half the logarithm of the squared residuals over those expected at exp(t)."""
        level = np.exp(t)[:, None] / weights[rows]
        by_sigma = noise.log_likelihood(x[rows], signal[rows], level, True)[2]
        score = np.where(counts[rows], level * by_sigma, 0.0).sum(axis=1)
        ratio = (score + n_counted[rows]) / n_free[rows]
        return 0.5 * np.log(np.maximum(ratio, 1e-6))

    left = np.where(counts, weights * (x - signal), 0.0)
    guess = np.log(np.linalg.norm(left, axis=1) / np.sqrt(n_free) + _LEAST_NOISE)
    low, high = np.full(len(x), np.log(_LEAST_NOISE)), np.full(len(x), np.log(_MOST_NOISE))
    old = np.clip(guess, low, high)
    value = distance(np.arange(len(x)), old)
    new, rows = np.clip(old + value, low, high), np.arange(len(x))
    for _ in range(_MOST_TRIALS):
        rows = rows[np.abs(new[rows] - old[rows]) > _ERROR_OF_SIGMA]
        if not rows.size:
            break
        before, at, last = old[rows], new[rows], value[rows]
        now = distance(rows, at)
        low[rows], high[rows] = (
            np.where(now > 0, at, low[rows]),
            np.where(now > 0, high[rows], at),
        )
        step = -now * (at - before) / np.where(now == last, np.inf, now - last)
        inside = (at + step > low[rows]) & (at + step < high[rows])
        middle = 0.5 * (low[rows] + high[rows])
        old[rows], value[rows] = at, now
        new[rows] = np.where(inside | (now == 0), at + step, middle)
    return np.exp(new)
