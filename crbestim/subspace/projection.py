"""Projection of signals onto a subspace that keeps their energy or their bounds."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._options import check_by_name, check_number
from .._threads import one_blas_thread
from .._validation import Interval, StrOptions, check_model, check_targets, fit_context
from .._warnings import warn
from ..bounds import signal_and_bound
from ._base import SignalTransformer, times
from ._bound_basis import bound_basis
from ._spectrum import double, scaled_parts, singular_vectors, with_fixed_phase

__all__ = ["SubspaceProjection"]


class SubspaceProjection(ClassNamePrefixFeaturesOutMixin, SignalTransformer):
    """Coefficients of signals in an orthonormal basis that is learned from fingerprints.

    Scanners' reconstructions deliver such coefficients instead of hundreds of samples. A
    singular value decomposition keeps the energy of the signals, which is not what
    determines the parameters. With ``method="crb"`` the basis is optimized for precision:
    the Cramér-Rao bound (CRB) of the coefficients is brought as close to that of the whole
    signal as `n_components` allows.

    Parameters
    ----------
    n_components : int, default=10
        Number of components. With as many as features, or more, the basis is complete:
        it is the identity, and X is unchanged.
    method : {"svd", "crb"}, default="svd"
        "svd": right singular vectors of X, without centring. "crb": the basis of the
        greatest mean squared efficiency, CRB of the whole signal over CRB of the
        coefficients; needs `model`, and y in ``fit``, and uses the values of X only to
        order the components.
    model : SignalModel, default=None
        Model of the whole signal; one with known parameters holds their values in the
        rows of X, ``model.at(known)``.
    weights : dict, default=None
        Weights of parameters in "crb", by name. The others, or all by default, have
        weight 1.
    energy_weight : float, default=0.3
        Weight of the lost share of the signals' energy in "crb", added to 1 minus the mean
        squared efficiency. With 0, half of the energy may be given up, which image
        reconstruction needs.
    real_basis : bool, default=False
        Whether the basis is real even for complex signals. Nothing is lost by it if
        fingerprints have both signs of off-resonance.
    n_fingerprints : int, default=1000
        Largest number of rows of y at which bounds are computed; drawn at random if y
        has more.
    max_iter : int, default=500
        Largest number of iterations of "crb". With 0, the basis is the start of the
        search: singular vectors of signals and of derivatives orthogonal to all others
        (Mao et al., arXiv 2305.00326).
    tol : float, default=1e-6
        The search ends when an iteration gains less.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw of `n_fingerprints` rows, if y has more.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Orthonormal rows u, for which ``transform(X)`` is ``X @ components_.conj().T``,
        ordered by energy unless the basis is complete. The signal is nearly
        ``transform(X) @ components_``, so the columns of ``components_.T`` are the basis
        that ``model.compress(components_.T)`` takes.
    explained_energy_ratio_ : ndarray of shape (n_components,)
        Share of the energy of X, its sum of squares, in each component; for a complete
        basis in the order of the features, so not sorted.
    crb_ratio_ : ndarray of shape (n_parameters,)
        CRB of the coefficients over CRB of the signal, median over fingerprints; only
        with a model and y. Infinite bounds of the signal are left out.
    n_iter_ : int
        Number of iterations; 1 for "svd" and for a complete basis.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, only if X has some.

    See Also
    --------
    crbestim.models.SignalModel.compress : The model of the coefficients.

    Notes
    -----
    X is read in blocks and never copied; beyond it, about ten matrices of n_features by
    n_features are kept. The bound is that of white noise; see :class:`Whitening` for
    other noise.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import SignalModel
    >>> from crbestim.subspace import SubspaceProjection
    >>> class Decay(SignalModel):
    ...     parameter_names = ("R2",)
    ...     bounds = np.array([[1.0, 50.0]])
    ...     def signal(self, theta):
    ...         return np.exp(-theta * np.linspace(0.005, 0.2, 40)) + 0j
    >>> model, y = Decay(), np.linspace(2, 40, 200)[:, None]
    >>> for method in ("svd", "crb"):
    ...     projection = SubspaceProjection(2, method=method, model=model)
    ...     print(projection.fit(model.signal(y), y).crb_ratio_.round(1))
    [1.3]
    [1.]
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions({"svd", "crb"})],
        "model": "no_validation",
        "weights": [dict, None],
        "energy_weight": [Interval(Real, 0, None, closed="left")],
        "real_basis": ["boolean"],
        "n_fingerprints": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=10,
        *,
        method="svd",
        model=None,
        weights=None,
        energy_weight=0.3,
        real_basis=False,
        n_fingerprints=1000,
        max_iter=500,
        tol=1e-6,
        random_state=None,
    ):
        self.n_components = n_components
        self.method = method
        self.model = model
        self.weights = weights
        self.energy_weight = energy_weight
        self.real_basis = real_basis
        self.n_fingerprints = n_fingerprints
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the basis.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, real or complex.
        y : array-like of shape (n_samples, n_parameters), default=None
            Their parameters in SI units, columns in the order of
            ``model.parameter_names``.

        Returns
        -------
        self
            The fitted transformer.

        Raises
        ------
        ValueError
            If "crb" lacks a model or y, or X, y, model and options do not fit together.

        Warns
        -----
        ConvergenceWarning
            If "crb" still gains more than `tol` after `max_iter` iterations.
        UserWarning
            If rows of X are not finite: they are left out.
        """
        X, finite = self._check_fit(X, y)
        weights = self._check_model(X)
        model, theta = self._check_theta(len(X), finite, y)
        with one_blas_thread:
            if self.n_components >= X.shape[1]:
                is_real = self.real_basis or not self.is_complex_
                basis = np.eye(X.shape[1], dtype=float if is_real else complex)
                self.n_iter_ = 1
            elif self.method == "crb":
                basis = self._optimize(model, theta, weights)
            else:
                basis, self.n_iter_ = self._principal(X, finite), 1
            self._set_components(X, finite, basis)
        vars(self).pop("crb_ratio_", None)
        if theta is not None:
            self.crb_ratio_ = self._crb_ratio(model, theta)
        return self

    def _check_model(self, X):
        """Check that model, weights and X belong together; return weights as an array."""
        check_model(self.model, optional=True)
        if self.model is None:
            if self.method == "crb":
                raise ValueError('method="crb" keeps the bounds of a model; give a model.')
            return None
        if self.model.known_names and self.model.known is None:
            raise ValueError(
                f"{self.model} lacks the values of {', '.join(self.model.known_names)}; "
                "give the model at its known values, model.at(known), or the model of all "
                "parameters."
            )
        if X.shape[1] != self.model.n_features:
            raise ValueError(
                f"X has {X.shape[1]} features, but {self.model} has "
                f"{self.model.n_features} samples; give the model that X was measured with."
            )
        if self.is_complex_ != self.model.is_complex:
            kind = "complex" if self.is_complex_ else "real"
            raise ValueError(f"X is {kind}, but the signal of {self.model} is not.")
        return self._check_weights()

    def _check_weights(self):
        names = self.model.parameter_names
        given = check_by_name(self.weights, names, "weights", "numbers")
        what = "a number, 0 or more"
        weights = np.array(
            [
                check_number(given.get(n, 1.0), f"weights[{n!r}]", what, least=0)
                for n in names
            ]
        )
        if not weights.any():
            raise ValueError(f"weights = {self.weights}; give some a positive weight.")
        return weights

    def _check_theta(self, n_samples, finite, y):
        """Return model and fingerprints whose bounds are computed; None without them."""
        if y is None and self.method == "crb":
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None; "
                'method="crb" computes bounds at these parameters.'
            )
        if y is None or self.model is None:
            return None, None
        y = check_targets(y, names=self.model.parameter_names)
        if len(y) != n_samples:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: "
                f"{[n_samples, len(y)]}"
            )
        known = self.model.known
        if known is not None and len(known) != n_samples:
            raise ValueError(
                f"X has {n_samples} rows, but {self.model} has known values of "
                f"{len(known)}; give those of the rows of X."
            )
        model, theta = self.model.rows(finite), self.model.check_theta(y[finite])
        if len(theta) <= self.n_fingerprints:
            return model, theta
        rng = check_random_state(self.random_state)
        chosen = rng.choice(len(theta), self.n_fingerprints, replace=False)
        return model.rows(chosen), theta[chosen]

    def _principal(self, X, finite):
        n_components = self.n_components
        if finite.sum() < n_components:
            raise ValueError(
                f"X has n_samples={finite.sum()} finite rows, too few for "
                f"{n_components} components; give at least as many rows."
            )
        parts = (double(rows, self.real_basis) for rows in scaled_parts(X, finite))
        return singular_vectors(parts)[1][:n_components].T

    def _optimize(self, model, theta, weights):
        n_components = self.n_components
        n_reals = n_components * (2 if self.is_complex_ else 1)
        n_unknowns = self.model.n_unknowns
        if n_reals < n_unknowns:
            raise ValueError(
                f"{n_components} components hold {n_reals} real numbers, fewer than the "
                f"{n_unknowns} unknowns of {self.model}: every bound would be infinite."
            )
        basis, result = bound_basis(
            model,
            theta,
            n_components,
            weights=weights,
            energy_weight=self.energy_weight,
            real=self.real_basis,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self.n_iter_ = 0 if result is None else result.nit
        if result is not None and result.status == 1:
            warn(
                f"SubspaceProjection did not converge after {result.nit} iterations; "
                "increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return basis

    def _set_components(self, X, finite, basis):
        """Order the columns of the basis by energy, unless it is complete, and store it."""
        second_moment, total = 0.0, 0.0
        for rows in scaled_parts(X, finite):
            coefficients = double(rows @ basis.conj(), self.real_basis)
            second_moment += coefficients.T @ coefficients.conj()
            total += np.vdot(rows, rows).real
        if len(basis) == basis.shape[1]:
            # Estimators could not tell coefficients of a rotated basis from samples.
            energies, self.components_ = np.diag(second_moment).real, basis
        else:
            energies, turn = np.linalg.eigh(second_moment)
            energies = energies[::-1].clip(0)
            self.components_ = with_fixed_phase((basis @ turn[:, ::-1]).T)
        self.explained_energy_ratio_ = energies / (total if total > 0 else 1.0)

    def _crb_ratio(self, model, theta):
        compressed = signal_and_bound(model.compress(self.components_.T), theta)[1]
        full = signal_and_bound(model, theta)[1]
        ratio = np.full(model.n_parameters, np.nan)
        for k, finite in enumerate(np.isfinite(full).T):
            if finite.any():
                ratio[k] = np.median(compressed[finite, k] / full[finite, k])
        return ratio

    def transform(self, X):
        """Return the coefficients of signals.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals, complex if those of ``fit`` were.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Coefficients ``X @ components_.conj().T``; NaN for rows of X with values that
            are not finite.
        """
        return times(self._check_transform(X), self.components_.conj().T)

    def inverse_transform(self, X):
        """Return the signals that coefficients represent.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Coefficients.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Signals ``X @ components_``; NaN for rows of X with values that are not finite.
        """
        check_is_fitted(self)
        return times(self._check_inverse(X, self._n_features_out), self.components_)

    @property
    def _n_features_out(self):
        return len(self.components_)

    def __sklearn_tags__(self):
        """With "crb", ``fit`` needs y."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.method == "crb"
        return tags
