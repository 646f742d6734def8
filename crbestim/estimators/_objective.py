"""Least squares for many voxels, the complex factor M0 eliminated.

For given parameters the best factor is M0 = s^H x / s^H s, so that theta alone is
sought: the minimum of ``norm(r)`` with r = x - M0 s(theta), the part of x orthogonal to
s. This is variable projection (Golub and Pereyra 1973, doi 10.1137/0710036). A real
signal has no such factor: r = x - s(theta). A normal prior adds to the residuals those
of the parameters, in units of the noise.

Inside, parameters are fractions of their bounds, since their own scales differ by 1e8,
and residuals are fractions of ``norm(x)``.
"""

import numpy as np

from ..bounds import covariance_from_information, fisher_information
from ..kernels.least_squares import decrements
from ._fits import VoxelFits, VoxelStatus
from ._levenberg_marquardt import normal_equations
from ._simulation import simulate_rows

_AT_BOUND = 1e-4
_DECIMALS = 12
# A start that explains less than this share of the signal does not tell its factor.
_SHARE = 1e-6
_RIDGE = 1e-12


def variable_projection(x, s, ds=None):
    """Project the model's signals out of the data.

    Parameters
    ----------
    x : ndarray of shape (n_voxels, n_features), complex
        Data.
    s : ndarray of shape (n_voxels, n_features), complex
        Signals.
    ds : ndarray of shape (n_voxels, n_features, n_parameters), default=None
        Their derivatives.

    Returns
    -------
    residual : ndarray of shape (n_voxels, n_features)
        Data less ``m0 * s``.
    derivatives : ndarray of shape (n_voxels, n_features, n_parameters) or None
        ``-m0 P ds`` with the projection P onto what is orthogonal to s: those of the
        residual, less their part along s (Kaufman 1975, doi 10.1007/BF01932995), which has
        no part in the gradient and tells nothing about the parameters.
    m0 : ndarray of shape (n_voxels,)
        The factors.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._objective import variable_projection
    >>> s = np.array([[1.0, 1.0j]])
    >>> residual, _, m0 = variable_projection(2j * s, s)
    >>> abs(residual).max() < 1e-12, m0
    (np.True_, array([0.+2.j]))
    """
    energy = (np.abs(s) ** 2).sum(axis=1)
    m0 = (s.conj() * x).sum(axis=1) / energy
    residual = x - m0[:, None] * s
    if ds is None:
        return residual, None, m0
    unit = s[:, :, None] / energy[:, None, None]
    projected = ds - unit * (s.conj()[:, None, :] @ ds)
    return residual, -m0[:, None, None] * projected, m0


class VoxelObjective:
    """Residuals of voxels and their derivatives, from one call of the model.

    :meth:`begin` comes first.

    Parameters
    ----------
    model : SignalModel
        The model.
    box : UnitBox
        Map between parameters and their fractions.
    X : ndarray of shape (n_voxels, n_features)
        Data, complex if the model is, finite and if complex not zero throughout.
    prior : GaussianPrior, default=None
        Prior of the parameters.
    sigma : ndarray of shape (n_voxels,), default=None
        Noise of X per channel, by which a prior is weighed; by default it is learned from
        what the model leaves unexplained.
    noise_std : float, default=0.01
        Noise for M0 = 1, where a signal has no more real numbers than unknowns.
    """

    def __init__(self, model, box, X, *, prior=None, sigma=None, noise_std=0.01):
        self.model, self.box, self.X = model, box, X
        self.prior, self.sigma, self.noise_std = prior, sigma, noise_std
        self.is_complex = X.dtype.kind == "c"
        self.n_real, n_unknown = unknowns(model)
        self.n_free = max(self.n_real - n_unknown, 0)
        self.factor, self.scaled = np.ones(len(X), dtype=X.dtype), X.copy()
        self.norm, self.size = np.ones(len(X)), np.ones(len(X))
        self.noise = np.full(len(X), np.inf)

    def begin(self, unit, rows=None):
        """Scale the data to M0 = 1 at a start, and learn the noise there.

        Called again at a better start, it takes the lower noise of both.

        Parameters
        ----------
        unit : ndarray of shape (n, n_parameters)
            The start, in fractions of the bounds.
        rows : ndarray of int, shape (n,), default=None
            Voxels; by default all.

        Returns
        -------
        residual, jacobian : ndarray
            What :meth:`evaluate` returns there.
        """
        rows = np.arange(len(self.X)) if rows is None else rows
        s, ds = simulate_rows(self.model.rows(rows), self.box.theta(unit), True)
        self._scale(rows, s)
        residual, jacobian = self._residuals(rows, unit, s, ds)
        if self.prior is not None:
            self.noise[rows] = self._noise(rows, residual, jacobian)
        return self._with_prior(rows, unit, residual, jacobian)

    def _scale(self, rows, s):
        """Divide the data by their factors to signals of unit norm."""
        scaled = self.X[rows]
        if self.is_complex:
            size = np.linalg.norm(s, axis=1)
            size = np.where((size > 0) & np.isfinite(size), size, 1.0)
            self.factor[rows] = _factor(scaled, s / size[:, None])
            self.size[rows] = size
            # Decimals that depend on the factor alone could grow on the way, as the cost
            # is almost flat along some combinations of parameters.
            scaled = np.round(scaled / self.factor[rows, None], _DECIMALS)
        norm = _norm(scaled)
        self.scaled[rows], self.norm[rows] = scaled, np.where(norm > 0, norm, 1.0)

    def misfit(self, unit):
        """Return the share of each signal that the model leaves unexplained.

        Parameters
        ----------
        unit : ndarray of shape (n_voxels, n_parameters)
            Fractions of the bounds.

        Returns
        -------
        ndarray of shape (n_voxels,)
            Norms of the residuals over those of the data; infinite where the model is not
            finite.
        """
        s, _ = simulate_rows(self.model, self.box.theta(unit), False)
        rows = np.arange(len(self.X))
        self._scale(rows, s)
        residual, _ = self._residuals(rows, unit, s, None)
        return np.nan_to_num(np.linalg.norm(residual, axis=1), nan=np.inf)

    def evaluate(self, rows, unit, jacobian):
        """Return residuals, real and imaginary parts stacked, and their derivatives.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Voxels.
        unit : ndarray of shape (n, n_parameters)
            Fractions of the bounds.
        jacobian : bool
            Whether derivatives are wanted.

        Returns
        -------
        residual : ndarray of shape (n, n_residuals)
            Residuals over the norm of the data, then those of the prior.
        jacobian : ndarray of shape (n, n_residuals, n_parameters) or None
            Their derivatives.
        """
        s, ds = simulate_rows(self.model.rows(rows), self.box.theta(unit), jacobian)
        return self._with_prior(rows, unit, *self._residuals(rows, unit, s, ds))

    def _residuals(self, rows, unit, s, ds):
        """Residuals of the data over its norm, and their derivatives if ds is given."""
        if ds is not None:
            ds = ds * self.box.slopes(self.box.theta(unit))[:, None, :]
        if self.is_complex:
            residual, ds, _ = variable_projection(self.scaled[rows], s, ds)
            residual = np.concatenate([residual.real, residual.imag], axis=1)
            if ds is not None:
                ds = np.concatenate([ds.real, ds.imag], axis=1)
        else:
            residual, ds = self.scaled[rows] - s, None if ds is None else -ds
        norm = self.norm[rows]
        return residual / norm[:, None], None if ds is None else ds / norm[:, None, None]

    def _with_prior(self, rows, unit, residual, jacobian):
        """Append what the prior adds, in units of the noise."""
        if self.prior is None:
            return residual, jacobian
        theta, noise = self.box.theta(unit), self.noise[rows, None]
        residual = np.concatenate([residual, noise * self.prior.residual(theta)], axis=1)
        if jacobian is not None:
            slopes = self.prior.root * self.box.slopes(theta)[:, None, :]
            jacobian = np.concatenate([jacobian, noise[:, :, None] * slopes], axis=1)
        return residual, jacobian

    def _noise(self, rows, residual, jacobian):
        """Noise per channel over the norm of the data: given, or what is unexplained."""
        if self.sigma is not None:
            return self.sigma[rows] / np.abs(self.factor[rows]) / self.norm[rows]
        if not self.n_free:
            return self.noise_std / self.size[rows] / self.norm[rows]
        g, h = normal_equations(residual, jacobian)
        # No variable is held at the middle of the box.
        middle, explained = np.full_like(g, 0.5), np.empty(len(g))
        ridge = _RIDGE * np.einsum("nii->ni", h).max(axis=1, keepdims=True)
        decrements(middle, g, h, np.broadcast_to(ridge, g.shape), explained)
        energy = np.maximum((residual**2).sum(axis=1) - 2 * explained, 0.0)
        # Where the model is not finite nothing is explained.
        noise = np.sqrt(np.nan_to_num(energy, nan=1.0) / self.n_free)
        return np.minimum(self.noise[rows], noise)

    def fits(self, minima):
        """Tell what is known at the minima.

        Parameters
        ----------
        minima : Minima
            Where the searches ended.

        Returns
        -------
        VoxelFits
            One row a voxel.
        """
        theta = self.box.theta(minima.x)
        s, _ = simulate_rows(self.model, theta)
        m0 = np.ones(len(theta), dtype=complex)
        residual = self.scaled - s
        if self.is_complex:
            residual, _, m0 = variable_projection(self.scaled, s)
        length = np.linalg.norm(residual, axis=1)
        size = np.abs(self.factor)
        status = np.select(
            [minima.failed, minima.converged, minima.stalled],
            [VoxelStatus.FAILED, VoxelStatus.CONVERGED, VoxelStatus.STALLED],
            VoxelStatus.ITERATION_LIMIT,
        )
        at_end = (minima.x < _AT_BOUND) | (minima.x > 1 - _AT_BOUND)
        fits = VoxelFits(
            theta=theta,
            m0=m0 * self.factor,
            cost=0.5 * (length * size) ** 2,
            relative_residual=length / self.norm,
            covariance=self._covariance(minima, theta, m0, length),
            status=status.astype(int),
            n_iterations=minima.n_iterations,
            at_bound=at_end & ~self.box.is_round,
        )
        lost = np.flatnonzero(minima.failed)
        fits.put(lost, VoxelFits.without_estimate(fits.status[lost], theta.shape[1]))
        return fits

    def _covariance(self, minima, theta, m0, length):
        """Inverse information, at the noise that is given or left at the minimum."""
        if self.model.noise == "rician":
            return self._rician_covariance(theta)
        if self.prior is not None:
            noise = self.noise * self.norm
        elif self.sigma is not None:
            noise = self.sigma / np.abs(self.factor)
        elif self.n_free:
            noise = length / np.sqrt(self.n_free)
        else:
            noise = self.noise_std * np.abs(m0)
        information = np.where(minima.failed[:, None, None], 0.0, minima.information)
        slopes = self.box.slopes(theta) * (noise / self.norm)[:, None]
        scale = slopes[:, :, None] * slopes[:, None, :]
        return covariance_from_information(information) * scale

    def _rician_covariance(self, theta):
        """Inverse information of Rician noise; NaN if it is not given."""
        if self.sigma is None:
            return np.full((*theta.shape, theta.shape[1]), np.nan)
        s, ds = (np.nan_to_num(a) for a in simulate_rows(self.model, theta, True))
        information = fisher_information(ds, self.sigma, signal=s, noise="rician")
        if self.prior is not None:
            information = information + self.prior.precision
        return covariance_from_information(information)


def _factor(X, s):
    """Factors M0 at which data and signals agree best; a size where they do not at all."""
    size = _norm(X)
    energy = (np.abs(s) ** 2).sum(axis=1)
    product = (s.conj() * (X / size[:, None])).sum(axis=1)
    shares = np.abs(product) > _SHARE * np.sqrt(energy)
    return size * np.where(shares, product / np.where(energy > 0, energy, 1.0), 1.0)


def _norm(X):
    """Norms of rows, of numbers so large or small that their squares are none."""
    largest = np.maximum(np.abs(X.real), np.abs(X.imag)).max(axis=1)
    largest = np.where(largest > 0, largest, 1.0)
    return largest * np.linalg.norm(X / largest[:, None], axis=1)


def unknowns(model):
    """Return how many real numbers a signal has, and how many are unknown with M0.

    Parameters
    ----------
    model : SignalModel
        The model.

    Returns
    -------
    n_real, n_unknown : int
        The numbers.
    """
    per_feature, extra = (2, 2) if model.is_complex else (1, 0)
    return per_feature * model.n_features, model.n_parameters + extra
