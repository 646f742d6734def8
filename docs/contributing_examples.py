"""The code of the page "How the library is built", which shows it piece by piece."""

# ruff: noqa: E402, I001
# begin model
import numpy as np
from scipy import stats

from crbestim.models._checks import check_samples
from crbestim.models._closed_form import ClosedFormModel
from crbestim.parameters import Parameter, truncated_normal

_PARAMETERS = (
    Parameter(
        "D",
        bounds=(1e-10, 4e-9),
        domain=(0.0, 1e-8),
        unit="m²/s",
        distribution=truncated_normal(0.9e-9, 0.2e-9, 0.3e-9, 2e-9),
        fluid=stats.uniform(2.5e-9, 1e-9),
    ),
    Parameter(
        "K",
        bounds=(0.0, 2.0),
        domain=(0.0, 3.0),
        distribution=truncated_normal(0.9, 0.2, 0.2, 1.8),
        fluid=stats.uniform(0.0, 0.1),
    ),
)


class DiffusionKurtosis(ClosedFormModel):
    """Diffusion with kurtosis (Jensen et al., MRM 2005, doi 10.1002/mrm.20508).

    Parameters are D and K; for magnitudes also S0.

    Parameters
    ----------
    b : array-like of shape (n_features,)
        Diffusion weightings, in s/m².
    signal : {"complex", "magnitude"}, default="magnitude"
        Whether the magnitude is measured or the complex signal.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        Distribution of the noise; Rician is for magnitudes.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    ValueError
        If an option is unknown, or a diffusion weighting is not usable.

    Examples
    --------
    >>> model = DiffusionKurtosis([0.0, 1e9, 2e9])
    >>> model.parameter_names
    ('D', 'K', 'S0')
    >>> model.signal([[1e-9, 0.6, 1.0]]).round(3)
    array([[1.   , 0.407, 0.202]])
    """

    controls = {"b": (0.0, 3e9, "s/m²")}

    def __init__(self, b, *, signal="magnitude", noise="gaussian", bounds=None):
        self.b = check_samples(b, "b", "s/m²", usual=(1e7, 1e11))
        super().__init__(_PARAMETERS, signal, noise, bounds, amplitude_name="S0")

    @property
    def n_features(self):
        """Number of diffusion weightings."""
        return len(self.b)

    def _closed_form(self, theta, jacobian):
        d, k = theta
        bd = self.b * d
        s = np.exp(-bd + bd**2 * k / 6)
        if not jacobian:
            return s, ()
        return s, (s * self.b * (bd * k / 3 - 1), s * bd**2 / 6)


b = 1e6 * np.array([0, 500, 1000, 1500, 2000, 2500])  # s/m²
model = DiffusionKurtosis(b, noise="rician")
# end model

# begin estimator
from numbers import Real

from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crbestim._validation import Interval, fit_context
from crbestim.estimators._base import BoundedRegressor, rows_of
from crbestim.subspace import ComplexToReal


class KernelRegressor(BoundedRegressor):
    """Kernel ridge regression (Nataraj et al., doi 10.1109/TMI.2018.2817547).

    Parameters
    ----------
    model : SignalModel, default=None
        Model of the rows of X, from which bounds are computed.
    alpha : float, default=0.01
        Regularization.
    noise_std : float, default=0.01
        Noise for M0 = 1, for the bound in `score` where ``crb`` is not given.
    """

    _parameter_constraints = {
        "model": "no_validation",
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "noise_std": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, model=None, *, alpha=0.01, noise_std=0.01):
        self.model = model
        self.alpha = alpha
        self.noise_std = noise_std

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, crb=None, known=None):
        """Learn from examples; ``crb`` is checked, but does not affect the fit."""
        X, y, crb, known = self._check_fit(X, y, crb, known)
        self.to_real_ = ComplexToReal(normalize=True).fit(X)
        self.mean_ = y.mean(axis=0)
        self.regression_ = make_pipeline(
            StandardScaler(), KernelRidge(alpha=self.alpha, kernel="rbf")
        ).fit(self._inputs(X, known), y - self.mean_)
        return self

    def predict(self, X, *, known=None):
        """Estimate parameters; NaN for voxels that cannot be estimated."""
        X, known, usable = self._check_predict(X, known)
        y = np.full((len(X), self.n_outputs_), np.nan)
        if usable.any():
            inputs = self._inputs(X[usable], rows_of(known, usable))
            y[usable] = self.mean_ + self.regression_.predict(inputs)
        return self._shape_like_targets(y)

    def _inputs(self, X, known):
        """Return real features, which do not depend on M0, and the known values."""
        features = self.to_real_.transform(X)
        return features if known is None else np.hstack([features, known])


kernel = KernelRegressor(model, noise_std=1 / 100)
# end estimator

# begin loss
from dataclasses import dataclass

from crbestim import CRBRegressor
from crbestim.network.losses import Loss


@dataclass(frozen=True)
class PseudoHuberLoss(Loss):
    """Squared deviations that grow linearly, without a kink, far beyond a width.

    Parameters
    ----------
    width : float
        Where deviations begin to count less than their squares.
    """

    width: float = 2.0

    def total(self, deviations, weights):
        """Return the sum over samples and parameters."""
        root = (1 + (deviations / self.width).square()).sqrt()
        return (weights * 2 * self.width**2 * (root - 1)).sum()


network = CRBRegressor(model, loss=PseudoHuberLoss(width=3.0))
# end loss

# begin noise
from crbestim.noise import Noise


class FoldedNoise(Noise):
    """Noise of the magnitude of a real signal with Gaussian noise: a folded normal."""

    name = "folded"
    depends_on_signal = True
    needs_sigma = True
    needs_magnitude = True
    n_channels = 1

    def draw(self, signal, sigma, rng):
        """Add random noise to magnitudes."""
        return self.apply(signal, [sigma * rng.standard_normal(signal.shape)])

    def apply(self, signal, channels, xp=np):
        """Add noise that has been drawn; `xp` is NumPy or torch."""
        return xp.abs(signal + channels[0])

    def information(self, signal, sigma):
        """Return E[(m tanh(m a) - a)^2], good to 1e-6, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(100)
        a = np.asarray(signal / sigma)[..., None]
        m = a + nodes
        return ((m * np.tanh(m * a) - a) ** 2) @ weights / np.sqrt(2 * np.pi)

    def log_likelihood(self, x, signal, sigma, derivatives=False):
        """Return the logarithm of the density, and its derivatives if asked for."""
        m, a = x / sigma, signal / sigma
        value = np.logaddexp(-((m - a) ** 2) / 2, -((m + a) ** 2) / 2)
        value = value - np.log(np.sqrt(2 * np.pi) * sigma)
        if not derivatives:
            return value
        agreement = m * np.tanh(m * a)
        by_sigma = (m**2 + a**2 - 1 - 2 * a * agreement) / sigma
        return value, (agreement - a) / sigma, by_sigma


folded = DiffusionKurtosis(b, noise=FoldedNoise())
# end noise
