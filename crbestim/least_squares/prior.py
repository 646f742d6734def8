"""Normal priors of the parameters."""

from dataclasses import dataclass

import numpy as np

from .._arrays import as_reals


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """Normal distribution of parameters; flat in an amplitude and where there is a period.

    Attributes
    ----------
    mean : ndarray of shape (n_parameters,)
        Mean.
    root : ndarray of shape (n_parameters, n_parameters)
        Factor of the inverse covariance, ``root.T @ root``.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.least_squares import GaussianPrior
    >>> prior = GaussianPrior.from_moments(np.array([1.0]), np.array([[4.0]]))
    >>> prior.residual(np.array([[5.0]]))
    array([[2.]])
    """

    mean: np.ndarray
    root: np.ndarray

    @classmethod
    def from_targets(cls, y, bounds, is_flat=False):
        """Learn a prior from targets, and one more that is spread evenly over the bounds.

        The extra target keeps a prior from few or equal targets from being too narrow; with
        thousands it changes nothing.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_parameters)
            Targets.
        bounds : ndarray of shape (n_parameters, 2)
            Bounds of the parameters.
        is_flat : bool or ndarray of bool, shape (n_parameters,), default=False
            Which parameters have no prior.

        Returns
        -------
        GaussianPrior
            The prior.
        """
        y = as_reals(y, "y")
        n, (low, high) = len(y), np.where(is_flat, [[0.0], [1.0]], np.transpose(bounds))
        mean = (n * y.mean(axis=0) + (low + high) / 2) / (n + 1)
        spread = (low + high) / 2 - mean
        squares = (y - mean).T @ (y - mean) + np.outer(spread, spread)
        covariance = (squares + np.diag((high - low) ** 2 / 12)) / (n + 1)
        return cls.from_moments(mean, covariance, is_flat)

    @classmethod
    def from_moments(cls, mean, covariance, is_flat=False):
        """Make a prior from a mean and a covariance.

        Parameters
        ----------
        mean : ndarray of shape (n_parameters,)
            Mean.
        covariance : ndarray of shape (n_parameters, n_parameters)
            Covariance.
        is_flat : bool or ndarray of bool, shape (n_parameters,), default=False
            Which parameters have no prior.

        Returns
        -------
        GaussianPrior
            The prior.
        """
        mean, covariance = as_reals(mean, "mean"), as_reals(covariance, "covariance")
        if covariance.shape != 2 * mean.shape or not _is_sound(mean, covariance):
            raise ValueError(
                f"covariance has shape {covariance.shape} for {mean.shape} means; give a "
                "symmetric, positive definite matrix of finite numbers, and finite means."
            )
        free = ~np.broadcast_to(is_flat, len(mean))
        root = np.zeros((len(mean), len(mean)))
        if free.any():
            # Scaled to a unit diagonal, since parameters differ by factors of 1e7.
            size = np.sqrt(np.diag(covariance))[free]
            scaled = covariance[np.ix_(free, free)] / size / size[:, None]
            factor = np.linalg.cholesky(np.linalg.inv(scaled)).T / size
            root[np.ix_(free, free)] = factor
        return cls(np.array(mean, dtype=float), root)

    def without(self, column):
        """Return the prior of the other parameters.

        Parameters
        ----------
        column : int
            A parameter in which the prior is flat.

        Returns
        -------
        GaussianPrior
            The prior without it.
        """
        root = np.delete(np.delete(self.root, column, axis=0), column, axis=1)
        return GaussianPrior(np.delete(self.mean, column), root)

    @property
    def precision(self):
        """Inverse covariance, of shape (n_parameters, n_parameters)."""
        return self.root.T @ self.root

    def residual(self, theta):
        """Return deviations from the mean, independent and of unit variance.

        Parameters
        ----------
        theta : ndarray of shape (n, n_parameters)
            Parameters.

        Returns
        -------
        ndarray of shape (n, n_parameters)
            ``root @ (theta - mean)``.
        """
        # Not a matrix product, whose rounding would depend on the number of rows.
        return (self.root * (theta - self.mean)[:, None, :]).sum(axis=2)


def _is_sound(mean, covariance):
    """Return whether a mean and a covariance are those of a normal distribution."""
    size = np.sqrt(np.abs(np.diag(covariance)))
    finite = np.isfinite(mean).all() and np.isfinite(covariance).all()
    if not finite or not (size > 0).all():
        return False
    scaled = covariance / size / size[:, None]
    return np.allclose(scaled, scaled.T) and np.linalg.eigvalsh(scaled).min(initial=1.0) > 0


def resolve_prior(prior, model, y, bounds):
    """Return the prior that a user asks for.

    Parameters
    ----------
    prior : None, "gaussian" or (mean, covariance)
        None, that of the targets, or given, in SI units.
    model : SignalModel
        The model.
    y : ndarray of shape (n_samples, n_parameters)
        Targets.
    bounds : ndarray of shape (n_parameters, 2)
        Bounds of the search.

    Returns
    -------
    GaussianPrior or None
        The prior.

    Raises
    ------
    ValueError
        If mean and covariance do not fit the model, or the latter is not a valid one.
    """
    if prior is None:
        return None
    is_flat = np.isfinite(model.periods)
    if model._amplitude_column is not None:
        is_flat[model._amplitude_column] = True
    if isinstance(prior, str):
        return GaussianPrior.from_targets(y, bounds, is_flat)
    n = model.n_parameters
    if len(prior) != 2 or np.shape(prior[0]) != (n,) or np.shape(prior[1]) != (n, n):
        shapes = ", ".join(str(np.shape(part)) for part in prior)
        raise ValueError(
            f"prior has parts of shape {shapes}; give (mean, covariance) of shapes ({n},) "
            f"and ({n}, {n}), for {', '.join(model.parameter_names)}."
        )
    mean, covariance = (as_reals(part, "prior") for part in prior)
    if not _is_sound(mean, covariance):
        raise ValueError(
            "the covariance of prior is not symmetric and positive definite, or not "
            f"finite: its diagonal is {np.diag(covariance)}."
        )
    return GaussianPrior.from_moments(mean, covariance, is_flat)
