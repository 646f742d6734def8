"""What a design returns: the acquisition, its bounds, and how the search went."""

from dataclasses import dataclass, field

import numpy as np

from .._measurements import Measurements
from .._options import check_number
from .._simulations import random_state_of
from .._validation import check_count
from ..bounds import noise_of_signals, signal_and_bound
from ..least_squares.box import amplitude_limits, resolve_bounds, search_box
from ..least_squares.driver import VoxelFitter
from ..models._controls import settings_of
from ..models.base import without_amplitude
from ..noise import add_noise, noise_of_data
from ..parameters import wrapped_error
from ._space import sequence_of

B1 = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
_N_STARTS, _MAX_ITER, _TOL = 4, 200, 1e-6


@dataclass(frozen=True, eq=False)
class DesignResult:
    """The acquisition that :func:`optimize_sequence` has found.

    Attributes
    ----------
    model : SignalModel
        The model of the acquisition.
    theta : ndarray of shape (n, n_parameters)
        Parameters of the tissues.
    noise_std : float
        Noise of all bounds, for M0 = 1.
    objective : float
        Value of the objective, from `crb`.
    crb, start_crb : ndarray of shape (n, n_parameters)
        Bounds of the design and of the acquisition of the start, as
        :func:`~crbestim.bounds.cramer_rao_bound` gives them.
    b1 : ndarray of shape (7,)
        Values of the relative transmit field B1, 0.7 to 1.3.
    crb_over_b1 : ndarray of shape (7, n, n_parameters) or None
        Bounds of the design at these in place of the B1 of the tissues, NaN outside the
        domain of the model; None if B1 is not among its parameters.
    history : list of dict
        For each step of each start its number, `start` and `iteration`, the `time` since
        the start in s, the `objective`, and the `violation` of limits.
    status : {"converged", "stalled", "max_time", "interrupted"}
        Why the search has ended: nothing more to gain; no step gains anything; no time is
        left; or Ctrl-C. In all cases the design is the best so far.
    violation : float
        Largest excess of the design over a limit, as a share of the limit; 0 if there is
        none.
    """

    model: object
    theta: np.ndarray
    noise_std: float
    objective: float
    crb: np.ndarray
    start_crb: np.ndarray
    crb_over_b1: np.ndarray | None
    history: list = field(repr=False)
    status: str
    violation: float
    b1: np.ndarray = field(default_factory=lambda: np.array(B1))

    @property
    def controls(self):
        """The acquisition: a dict of arrays by name of control."""
        return settings_of(self.model)[1]

    @property
    def sequence(self):
        """The sequence, for trains of pulses."""
        found = sequence_of(self.model)
        if found is None:
            raise AttributeError(
                f"{self.model} has no sequence; its acquisition is in `controls`."
            )
        return found

    def confirm(self, noise_std, *, n_realizations=100, random_state=None):
        """Compare least squares on simulated noise with the bound.

        The bound is blind to false minima, far from the truth, that a design may have.
        Each fit starts from points all over the bounds of the parameters, as for unknown
        tissue, and from the truth.

        Parameters
        ----------
        noise_std : float
            Standard deviation of the noise per channel, for M0 = 1.
        n_realizations : int, default=100
            Number of noisy signals of each tissue.
        random_state : int, RandomState or None, default=None
            Seed of the noise.

        Returns
        -------
        ndarray of shape (n, n_parameters)
            Mean squared error over the bound: 1 for an ideal unbiased estimator, more where
            the bound is not reached, and less where the ends of the bounds of a parameter
            say more than the signal.

        Examples
        --------
        >>> from crbestim.design import optimize_sequence
        >>> from crbestim.models import MonoExponential
        >>> found = optimize_sequence(MonoExponential([0.01, 0.08]), [[0.08]])
        >>> bool(abs(found.confirm(0.01, random_state=0) - 1) < 0.5)
        True
        """
        noise_std = check_number(noise_std, "noise_std", "one number above 0", above=0)
        n = check_count(n_realizations, "n_realizations")
        rng = np.random.default_rng(random_state_of(random_state).randint(2**31 - 1))
        rows = np.repeat(np.arange(len(self.theta)), n)
        model, theta = self.model.rows(rows), self.theta[rows]
        signal, crb = signal_and_bound(model, theta, noise_std)
        sigma = noise_of_signals(model, theta, noise_std)
        X = add_noise(signal, 1 / sigma, rng, noise=noise_of_data(model))
        bounds = resolve_bounds(model, None)
        box, limits = search_box(model, bounds), amplitude_limits(model, bounds)
        fitter = VoxelFitter(model, box, _MAX_ITER, _TOL, None, False, limits)
        truth = without_amplitude(theta, model._amplitude_column)
        spread = np.repeat(box.spread(_N_STARTS)[0][:, None], len(theta), axis=1)
        starts = np.concatenate([spread, box.inside(truth)[None]])
        fits = fitter.fit(Measurements.of(X, np.broadcast_to(sigma, len(X))), starts)
        periods = np.where(np.isfinite(model.periods), model.periods, np.inf)
        error = wrapped_error(theta, fits.theta, periods)
        with np.errstate(invalid="ignore"):
            return (error**2 / crb).reshape(len(self.theta), n, -1).mean(axis=1)


def bounds_over_b1(model, theta, noise_std):
    """Return bounds at the values `B1` in place of those in theta, or None without B1."""
    if "B1" not in model.parameter_names:
        return None
    column = model.parameter_names.index("B1")
    found = np.full((len(B1), *theta.shape), np.nan)
    for out, b1 in zip(found, B1, strict=True):
        if model.parameters[column].holds(np.array([b1])).all():
            moved = theta.copy()
            moved[:, column] = b1
            out[:] = signal_and_bound(model, moved, noise_std)[1]
    return found
