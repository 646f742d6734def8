r"""A basis that keeps the Cramér-Rao bound.

The derivatives of a signal by all unknowns are the columns of B. Seen through a basis U,
they have the Fisher information :math:`F = \mathrm{Re}(B^H U U^H B)`, and parameter k has
the bound :math:`(F^{-1})_{kk}`. The loss of the basis shows in its efficiency

.. math:: e_k(U) = \mathrm{CRB}_k / (F^{-1})_{kk} \le 1.

The mean of squared efficiencies over fingerprints and parameters is maximized. Squares
favour typical fingerprints over those that no basis of this size can serve. The bound does
not need all of the signal: without a penalty half of its energy would be given up, so the
lost share of energy, times a weight, is subtracted.

1. The singular vectors of signals, and of derivatives made orthogonal to all others,
   :math:`B F^{-1}` at U = 1, are computed. The first ones are the basis of Mao et al.,
   arXiv 2305.00326, and the start of the search; some more span nearly all information of
   the signals, and the search is limited to their span.
2. A subspace near the start U0 is spanned by U0 + C Z, where C completes U0 and Z is any
   matrix: a chart of the Grassmann manifold (Absil et al. 2004, doi
   10.1023/B:ACAP.0000013855.14971.91). U is its orthonormal factor.
3. With :math:`w = B F^{-1} e_k`, the derivative of a bound is
   :math:`-2\,\mathrm{Re}(w^H\,\partial U\,U^H w)`, which gives the gradient to L-BFGS.
"""

import numpy as np
from scipy.optimize import minimize

from ..bounds import covariance_from_information, fisher_information
from ._spectrum import blocks, double, singular_vectors

_BLOCK = 128
# Directions per component that span the search space. With 1142 pulses and 13
# components, 60 or 150 directions led to the same medians within 0.5 %.
_DIRECTIONS = 6
# Added to the information, scaled to bounds of 1, so that it has an inverse.
_RIDGE = 1e-13


def bound_basis(model, theta, n_components, *, weights, energy_weight, real, max_iter, tol):
    """Return the basis (n_features, n_components) that keeps bounds, and SciPy's result.

    Fingerprints with an infinite bound are left out. With max_iter = 0 the basis is the
    start of the search, and the result is None.
    """
    vectors, used, scales = _directions(model, theta, real)
    model, theta = model.rows(used), theta[used]
    if n_components > len(vectors):
        raise ValueError(
            f"y has n_samples={len(theta)} fingerprints that determine all parameters; "
            f"their signals and derivatives span {len(vectors)} directions, fewer than "
            f"{n_components} components; give more fingerprints."
        )
    space = vectors[: _DIRECTIONS * n_components].T
    if max_iter == 0 or n_components >= space.shape[1]:
        return space[:, :n_components], None
    signals, columns = _projected(model, theta, scales, space)
    objective = Losses(
        signals, columns, n_components, weights, energy_weight, space.dtype.kind != "c"
    )
    result = minimize(
        objective,
        np.zeros(objective.n_unknowns),
        jac=True,
        method="L-BFGS-B",
        options=dict(
            maxiter=max_iter, maxfun=10 * max_iter, maxcor=20, ftol=tol, gtol=1e-9
        ),
    )
    return space @ objective.basis(result.x)[0], result


def _unknowns(model, theta):
    """Return signals and derivatives; for complex ones also those by M0, s and 1j s."""
    signal, jacobian = model._checked_signal(theta, jacobian=True)
    if not model.is_complex:
        return signal, jacobian
    nuisance = signal[:, :, None] * [1, 1j]
    return signal, np.concatenate([jacobian, nuisance], axis=2)


def telling_axes(model, theta, least_share):
    """Return axes that signals and the derivatives of step 1 lie on, all at unit norm.

    The axis of rank k is left out if it holds less than k times `least_share` of their
    squares: the more there are, the more each one has to tell. What a fingerprint does not
    determine has no derivative here.

    Returns
    -------
    ndarray of shape (n_features, n_axes)
        Orthonormal columns, real or complex as the signals.
    """
    shares, axes = np.linalg.eigh(_mean_square(model, theta))
    shares, axes = shares[::-1], axes[:, ::-1]
    tells = shares > least_share * np.arange(1, len(shares) + 1)
    return axes[:, np.logical_and.accumulate(tells)]


def share_on(axes, model, theta):
    """Return the share of the same squares that axes hold."""
    return np.vdot(axes, _mean_square(model, theta) @ axes).real


def _mean_square(model, theta):
    """Return the mean of outer products of signals and derivatives, whose trace is 1."""
    squares, n_rows = np.zeros((model.n_features,) * 2), 0
    for signal, columns, covariance in _derivatives(model, theta):
        known = np.nan_to_num(covariance, nan=0.0, posinf=0.0)
        rows = _unit_rows(signal, columns, known, model.n_parameters)
        squares = squares + rows.T @ rows.conj()
        n_rows += len(rows)
    return squares / max(n_rows, 1)


def _directions(model, theta, real):
    """Return the vectors of step 1, which fingerprints are used, and their deviations."""
    used, deviations = [], []

    def parts():
        for signal, columns, covariance in _derivatives(model, theta):
            variance = np.einsum("nii->ni", covariance)
            finite = np.isfinite(variance).all(axis=1)
            used.append(finite)
            deviations.append(np.sqrt(variance[finite, : model.n_parameters]))
            some = signal[finite], columns[finite], covariance[finite]
            yield double(_unit_rows(*some, model.n_parameters), real)

    vectors = singular_vectors(parts())[1]
    if not len(vectors):
        raise ValueError(
            f"no fingerprint determines all of {', '.join(model.parameter_names)}; an "
            "infinite bound cannot be kept: use a model without the parameters that are "
            "not determined, or other fingerprints."
        )
    return vectors, np.concatenate(used), np.concatenate(deviations)


def _derivatives(model, theta):
    """Yield signals, derivatives by all unknowns, and covariances, in parts."""
    for part in blocks(len(theta), _BLOCK):
        signal, columns = _unknowns(model.rows(part), theta[part])
        yield signal, columns, covariance_from_information(fisher_information(columns))


def _unit_rows(signal, columns, covariance, n_parameters):
    """Return signals and derivatives orthogonal to all others, as rows of unit norm."""
    apart = columns @ covariance[:, :, :n_parameters]
    rows = np.concatenate([signal[:, :, None], apart], axis=2)
    rows = rows.swapaxes(1, 2).reshape(-1, rows.shape[1])
    size = np.linalg.norm(rows, axis=1)
    return rows[size > 0] / size[size > 0, None]


def _projected(model, theta, scales, space):
    """Return signals and derivatives in a space, scaled so that bounds are 1."""
    small = model.compress(space)
    parts = [_unknowns(small.rows(p), theta[p]) for p in blocks(len(theta), _BLOCK)]
    signals, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    n_parameters = scales.shape[1]
    columns[:, :, :n_parameters] *= scales[:, None, :]
    columns[:, :, n_parameters:] /= np.linalg.norm(
        columns[:, :, n_parameters:], axis=1, keepdims=True
    )
    return signals, columns


class Losses:
    """1 minus the mean squared efficiency, plus lost energy, over the chart of step 2.

    signals : (n_samples, n_directions). columns : (n_samples, n_directions, n_unknowns),
    derivatives, by the parameters first and scaled to bounds of 1. The basis starts as the
    first directions.
    """

    def __init__(self, signals, columns, n_components, weights, energy_weight, real):
        self.columns, self.n_components = columns, n_components
        energy = signals.T @ signals.conj()
        self.energy = energy_weight * energy / np.trace(energy).real
        self.energy_weight = energy_weight
        self.weights = weights / (weights.sum() * len(columns))
        self.real = real
        self._shape = columns.shape[1] - n_components, n_components
        self.n_unknowns = np.prod(self._shape) * (1 if real else 2)

    def basis(self, z):
        """Return the basis at a point of the chart, and its triangular factor."""
        block = np.reshape(z if self.real else z.view(complex), self._shape)
        return np.linalg.qr(np.concatenate([np.eye(self.n_components), block]))

    def __call__(self, z):
        """Return the value and the gradient at a point of the chart."""
        basis, factor = self.basis(z)
        lost, slope = self._lost_efficiency(basis)
        held = self.energy @ basis
        value = lost + self.energy_weight - np.vdot(basis, held).real
        slope = slope - 2 * held
        slope = slope - basis @ (basis.conj().T @ slope)
        lower = slope[self.n_components :]
        gradient = np.linalg.solve(factor, lower.conj().T).conj().T
        if self.real:
            return value, gradient.real.ravel()
        return value, np.ascontiguousarray(gradient).view(float).ravel()

    def _lost_efficiency(self, basis):
        """Return 1 minus the mean squared efficiency, and its derivative by the basis."""
        compressed = basis.conj().T @ self.columns
        information = fisher_information(compressed)
        information += _RIDGE * np.eye(information.shape[1])
        inverse = np.linalg.inv(information)[:, :, : len(self.weights)]
        efficiency = 1 / np.einsum("nkk->nk", inverse[:, : len(self.weights)])
        # The derivative of -e^2 by the bound 1/e is 2 e^3.
        rates = 2 * self.weights * efficiency**3
        slope = -2 * _sum_of_products(
            self.columns @ inverse, (compressed @ inverse) * rates[:, None, :]
        )
        return 1 - (efficiency**2 @ self.weights).sum(), slope


def _sum_of_products(left, right):
    """Sum over n and k of left[n, :, k] times the conjugate of right[n, :, k]."""
    left, right = (a.swapaxes(0, 1).reshape(a.shape[1], -1) for a in (left, right))
    return left @ right.conj().T
