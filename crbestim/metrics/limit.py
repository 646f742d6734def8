r"""The least loss that any estimator can have, given the distribution of the parameters.

Of all functions of the data x, the mean of (estimate - theta)^2 / CRB(theta) is least for

.. math:: \hat\theta_p(x) = \frac{E[\theta_p / \mathrm{CRB}_p(\theta) \mid x]}
                                 {E[1 / \mathrm{CRB}_p(\theta) \mid x]},

the posterior mean if the bound is the same throughout the posterior. The expectations are
sums over draws from a Student t distribution, weighted by the posterior density over that
of the draws (Cappe et al., Stat. Comput. 2008, doi 10.1007/s11222-008-9059-x, who also
adapt the proposal to the weighted draws).
"""

from dataclasses import dataclass

import numpy as np
from joblib import delayed

from .._options import check_number
from .._parallel import in_parallel
from .._simulations import random_state_of
from .._threads import one_blas_thread
from .._validation import check_count, check_model
from .._warnings import ignored
from ..bounds import (
    covariance_from_jacobian,
    cramer_rao_bound,
    noise_of_signals,
    signal_and_bound,
)
from ..datasets.distributions import log_densities, mixture_of
from ..exceptions import ImplausibleValueWarning
from ..noise import GaussianNoise, add_noise, check_snr, noise_of_data
from ..parameters import folded, wrapped_error
from .efficiency import divide

# Voxels a task; degrees of freedom and width of the proposal; rounds that adapt it, draws
# of each, and effective draws a parameter that they need; draws whose bounds are computed.
_CHUNK, _FREEDOM, _WIDTH, _ROUNDS, _DRAWS, _EACH, _BOUNDS = 4, 6.0, 1.2, 3, 500, 8, 400


@dataclass(frozen=True)
class BayesRisk:
    """What `bayes_risk` returns.

    Parameters
    ----------
    risk : ndarray of shape (n_parameters,)
        Mean of (estimate - truth)^2 / CRB of the best estimator.
    standard_error : ndarray of shape (n_parameters,)
        Standard error of `risk`, from the spread over the samples.
    expected : ndarray of shape (n_parameters,)
        The same mean as the posterior expects it, without the truth. It differs from `risk`
        by more than chance if theta does not have the given distributions, or if the draws
        missed a part of the posterior. Noise changes it less than `risk`, so that it needs
        fewer samples.
    expected_error : ndarray of shape (n_parameters,)
        Standard error of `expected`, from the spread over the samples.
    risk_of_mean : ndarray of shape (n_parameters,)
        That of the posterior mean, which ignores that the bound differs over the posterior.
    ess : ndarray of shape (n_samples,)
        Effective sample sizes: how many draws from the posterior the weighted ones are
        worth.
    n_left_out : int
        Number of samples left out because theirs is too low.
    estimates : ndarray of shape (n_samples, n_parameters)
        The best estimates, NaN in samples that are left out.
    """

    risk: np.ndarray
    standard_error: np.ndarray
    expected: np.ndarray
    expected_error: np.ndarray
    risk_of_mean: np.ndarray
    ess: np.ndarray
    n_left_out: int
    estimates: np.ndarray


def bayes_risk(
    model,
    theta,
    snr,
    *,
    distributions=None,
    n_draws=4000,
    least_ess=100,
    random_state=None,
    n_jobs=None,
):
    """Least CRB loss of any estimator that knows the distribution of the parameters.

    An estimator that has learned which values are common has a loss below 1 where noise is
    strong. This is how far below it can be, so that such losses can be judged.

    Parameters
    ----------
    model : SignalModel
        Model that simulates the signals.
    theta : array-like of shape (n_samples, n_parameters)
        True parameters, in SI units: draws from the distributions, as the y of
        ``make_fingerprints(model, distributions=distributions)``.
    snr : float
        Signal-to-noise ratio abs(M0)/sigma. The noise is known to the estimator.
    distributions : dict, default=None
        SciPy frozen distributions by parameter name; the others, or all by default, are the
        model's own, as in :func:`~crbestim.datasets.make_fingerprints`: with fluid by
        default only.
    n_draws : int, default=4000
        Draws from each posterior, after 1500 that adapt the proposal to it.
    least_ess : float, default=100
        Effective sample size below which a sample is left out.
    random_state : int, RandomState instance or None, default=None
        Seed of noise and draws. The result does not depend on `n_jobs`.
    n_jobs : int, default=None
        Number of joblib workers.

    Returns
    -------
    BayesRisk
        The risk with its standard error, and what tells whether to trust it.

    Raises
    ------
    ValueError
        If a number is out of range, theta has no density under the distributions, or the
        noise has no likelihood.
    MissingJacobianError
        If the model has no derivatives.

    See Also
    --------
    compare_estimators : What estimators reach.

    Notes
    -----
    The complex factor M0 of a signal, and the amplitude of a real one without a
    distribution, have the density 1/abs(M0)^2 and 1/amplitude, that of estimators which are
    equivariant to them.

    Draws start from a step of Fisher scoring at the truth. They do not find maxima of the
    posterior far from it; where there are some, the risk that is found is too low.

    Examples
    --------
    Where the data say much more than the distribution, the limit is the bound:

    >>> from scipy.stats import norm
    >>> import numpy as np
    >>> from crbestim.metrics import bayes_risk
    >>> from crbestim.models import SignalModel
    >>> class Line(SignalModel):
    ...     parameter_names = ("slope",)
    ...     bounds = np.array([[-10.0, 10.0]])
    ...     def signal(self, theta):
    ...         return theta * np.array([1.0, 2.0])
    >>> slope = norm(1.0, 0.5).rvs(200, random_state=0)[:, None]
    >>> found = bayes_risk(Line(), slope, snr=10, distributions={"slope": norm(1.0, 0.5)},
    ...                    random_state=0)
    >>> bool(abs(found.risk[0] - 1) < 3 * found.standard_error[0]), found.n_left_out
    (True, 0)
    """
    check_model(model)
    options = dict(n_draws=n_draws, least_ess=least_ess, random_state=random_state)
    theta = model.check_theta(theta)
    return risk_of_signals(model, theta, snr, None, distributions, n_jobs=n_jobs, **options)


def risk_of_signals(
    model,
    theta,
    snr,
    X,
    distributions=None,
    *,
    n_draws=4000,
    least_ess=100,
    random_state=None,
    n_jobs=None,
):
    """Do what `bayes_risk` does, for signals X that exist already, or None to draw them."""
    low, high = check_snr(snr)
    if low != high:
        raise ValueError(f"snr = {snr!r}; give one number, the same for all samples.")
    n_draws = check_count(n_draws, "n_draws", least=100)
    least_ess = check_number(least_ess, "least_ess", "a number above 1", above=1)
    mixture = mixture_of(model, distributions)
    _check_density(model, mixture, theta)
    _check_noise(model)
    sigma = noise_of_signals(model, theta, 1 / low)
    crb = cramer_rao_bound(model, theta, noise_std=1 / low)
    entropy = random_state_of(random_state).randint(2**31 - 1, size=4)
    seeds = np.random.SeedSequence(entropy.tolist()).spawn(len(theta))
    tasks = (
        delayed(_chunk)(
            model.rows(part),
            mixture,
            theta[part],
            None if X is None else X[part],
            sigma[part],
            1 / low,
            n_draws,
            seeds[part],
        )
        for part in (slice(i, i + _CHUNK) for i in range(0, len(theta), _CHUNK))
    )
    found = (np.concatenate(part) for part in zip(*in_parallel(tasks, n_jobs), strict=True))
    return _summary(model, theta, crb, least_ess, *found)


def _summary(model, theta, crb, least_ess, best, means, expected, ess):
    """Return the risks over the samples whose posterior is sampled well enough."""
    kept = (ess >= least_ess)[:, None]
    counts = kept & np.isfinite(crb)
    safe = np.where(np.isfinite(crb), crb, 1.0)
    losses, of_mean = (
        wrapped_error(theta, found, model.periods) ** 2 / safe for found in (best, means)
    )
    risk, error = _mean_of(losses, counts)
    expected, expected_error = _mean_of(expected, counts)
    return BayesRisk(
        risk=risk,
        standard_error=error,
        expected=expected,
        expected_error=expected_error,
        risk_of_mean=_mean_of(of_mean, counts)[0],
        ess=ess,
        n_left_out=int((~kept).sum()),
        estimates=np.where(kept, best, np.nan),
    )


def _mean_of(values, counts):
    """Return means over the samples that count, and their standard errors."""
    n = counts.sum(axis=0)
    mean = divide(np.where(counts, values, 0.0).sum(axis=0), n)
    spread = (np.where(counts, values - mean, 0.0) ** 2).sum(axis=0)
    return mean, np.sqrt(divide(spread, n * (n - 1)))


def _check_density(model, mixture, theta):
    """Refuse truths that the distributions do not allow."""
    none = ~np.isfinite(log_densities(model, mixture, theta).max(axis=0))
    if none.any():
        row = int(np.argmax(none))
        raise ValueError(
            f"theta has no density in {none.sum()} of {len(theta)} rows, the first in row "
            f"{row}: {theta[row]}; give draws from the distributions, inside the bounds."
        )


def _check_noise(model):
    """Refuse noise without a likelihood."""
    noise = noise_of_data(model)
    is_gaussian = type(noise).log_likelihood is GaussianNoise.log_likelihood
    if model.is_complex and not is_gaussian:
        raise ValueError(
            f"noise={noise.label!r} of a complex signal is not Gaussian, as the posterior "
            "takes it; choose noise='gaussian'."
        )
    if not noise.has_likelihood:
        raise ValueError(
            f"noise={noise.label!r} has no log_likelihood, which the posterior needs; "
            "define it."
        )


@one_blas_thread
def _chunk(model, mixture, theta, X, sigma, noise_std, n_draws, seeds):
    """Return best estimates, posterior means, expected losses and effective sizes."""
    found = []
    for i, row in enumerate(theta):
        x = None if X is None else X[i : i + 1]
        options = sigma[i], noise_std, seeds[i]
        voxel = _Voxel(model.rows([i]), mixture, row, x, *options)
        found.append(voxel.estimate(n_draws))
    return [np.array(part) for part in zip(*found, strict=True)]


class _Voxel:
    """The posterior of one voxel, whose data are simulated from its truth if x is None."""

    def __init__(self, model, mixture, truth, x, sigma, noise_std, seed):
        self.model, self.mixture, self.sigma, self.truth = model, mixture, sigma, truth
        self.noise_std, self.noise = noise_std, noise_of_data(model)
        self.rng = np.random.default_rng(seed)
        signal, jacobian = model._checked_signal(truth[None], jacobian=True)
        snr = 1 / np.reshape(sigma, (1,))
        self.x = add_noise(signal, snr, self.rng, noise=self.noise) if x is None else x
        self._propose(truth, signal, jacobian)

    def _propose(self, truth, signal, jacobian):
        """Set centre and width of the draws by a step of Fisher scoring from the truth."""
        kinds = log_densities(self.model, self.mixture, truth[None])[:, 0]
        frozen = self.mixture[int(kinds.argmax())][1]
        mean, variance = np.array(
            [
                (value, np.inf) if one is None else one.stats("mv")
                for one, value in zip(frozen, truth, strict=True)
            ],
            dtype=float,
        ).T
        precision = np.where(np.isfinite(variance), 1 / np.maximum(variance, 1e-300), 0.0)
        if self.model.is_complex:
            m0 = (signal.conj() * self.x).sum() / (np.abs(signal) ** 2).sum()
            slope = (self.x - m0 * signal) / self.sigma**2
            score = (jacobian[0].conj() * (m0.conj() * slope[0])[:, None]).real.sum(axis=0)
        else:
            m0 = 1.0
            _, slope, _ = self.noise.log_likelihood(
                self.x, signal, self.sigma, derivatives=True
            )
            score = (jacobian[0] * slope[0][:, None]).sum(axis=0)
        covariance = covariance_from_jacobian(
            jacobian,
            signal if self.model.is_complex or self.noise.depends_on_signal else None,
            noise_std=float(self.sigma),
            m0=abs(m0),
            prior_precision=np.diag(precision),
            noise=self.noise,
            accuracy=self.model.jacobian_accuracy,
        )[0]
        low, high = self.model._finite_bounds.T
        sure = np.isfinite(np.diag(covariance))
        covariance = np.where(sure & sure[:, None], covariance, 0.0)
        covariance[~sure, ~sure] = (high - low)[~sure] ** 2 / 12
        pull = precision * np.where(precision > 0, mean - truth, 0.0)
        self.centre = truth + np.where(sure, covariance @ (score + pull), 0.0)
        self.covariance = covariance

    def estimate(self, n_draws):
        """Return the best estimate, posterior mean, expected loss and effective size."""
        for _ in range(_ROUNDS):
            draws, weights = self._draw(_DRAWS)
            self._adapt(draws, weights)
        draws, weights = self._draw(n_draws)
        if not weights.any():
            nothing = np.full(draws.shape[1], np.nan)
            return nothing, nothing, nothing, 0.0
        ess = 1 / (weights**2).sum()
        mean = weights @ draws
        few = draws[_systematic(weights, _BOUNDS, self.rng)]
        with ignored(ImplausibleValueWarning):
            crb = signal_and_bound(self._at(_BOUNDS), self._fold(few), self.noise_std)[1]
        # Of the draws only what the bound adds to the mean is taken from the few.
        inverse = np.where(np.isfinite(crb), 1 / crb, 0.0)
        total = np.maximum(inverse.mean(axis=0), np.finfo(float).tiny)
        best = mean + ((few - few.mean(axis=0)) * inverse).mean(axis=0) / total
        return best, mean, ((few - best) ** 2 * inverse).mean(axis=0), ess

    def _draw(self, n):
        """Return draws of a Student t, and their weights, zeros if none counts."""
        size = np.sqrt(np.diag(self.covariance))
        root = np.linalg.cholesky(self.covariance / size / size[:, None])
        normal = self.rng.standard_normal((n, len(size)))
        chi = self.rng.chisquare(_FREEDOM, (n, 1)) / _FREEDOM
        steps = _WIDTH * normal / np.sqrt(chi)
        draws = self.centre + size * (steps @ root.T)
        square = (steps**2).sum(axis=1) / _WIDTH**2
        proposal = -(_FREEDOM + len(size)) / 2 * np.log1p(square / _FREEDOM)
        log_weight = self._log_posterior(draws) - proposal
        highest = log_weight.max()
        if not np.isfinite(highest):
            return draws, np.zeros(n)
        weight = np.exp(log_weight - highest)
        return draws, weight / weight.sum()

    def _adapt(self, draws, weights):
        """Take centre and width from weighted draws, which are tempered if few count."""
        if not weights.any():
            self.centre, self.covariance = self.truth, self.covariance / 16
            return
        n_needed = min(_EACH * draws.shape[1], 0.5 * np.count_nonzero(weights))
        while 1 / (weights**2).sum() < n_needed:
            weights = np.sqrt(weights)
            weights /= weights.sum()
        self.centre = weights @ draws
        away = draws - self.centre
        covariance = (weights[:, None] * away).T @ away
        # A little of the former width keeps directions open in which few draws count.
        self.covariance = 0.95 * covariance + 0.05 * self.covariance

    def _log_posterior(self, draws):
        """Return the logarithm of the posterior density, up to a constant."""
        theta = self._fold(draws)
        out = np.logaddexp.reduce(log_densities(self.model, self.mixture, theta), axis=0)
        inside = np.isfinite(out)
        if not inside.any():
            return out
        signal = self._at(inside.sum())._checked_signal(theta[inside])
        if self.model.is_complex:
            product = np.abs((signal.conj() * self.x).sum(axis=1)) ** 2
            explained = product / (np.abs(signal) ** 2).sum(axis=1)
            out[inside] += explained / (2 * self.sigma**2)
        else:
            x = np.broadcast_to(self.x, signal.shape)
            out[inside] += self.noise.log_likelihood(x, signal, self.sigma).sum(axis=1)
        return out

    def _fold(self, draws):
        return folded(draws, *self.model.bounds.T, self.model.periods)

    def _at(self, n):
        """Return the model of so many samples at the known values of the voxel."""
        known = self.model.known
        return self.model if known is None else self.model.at(np.repeat(known, n, axis=0))


def _systematic(weights, n, rng):
    """Return the rows of n draws with these weights, as evenly spread as can be."""
    places = (np.arange(n) + rng.random()) / n
    return np.minimum(np.searchsorted(np.cumsum(weights), places), len(weights) - 1)
