"""Classical calibration: a linear signal model learned from examples."""

from dataclasses import dataclass

import numpy as np

from .._linear_algebra import phase_reference
from .._threads import one_blas_thread
from ..bounds import crb_from_jacobian
from ..kernels.products import row_products
from ..models import SignalModel

_RANK_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class LinearCalibration:
    """Signal as a linear function of the parameters, inverted by least squares.

    The model is ``X = x_mean + (y - y_mean) / y_scale @ coef + noise``. A complex
    signal is known up to a complex factor, different in each row, which would average
    out the signals. Each row is therefore first divided by its component along
    `reference`, the first right singular vector of the training data. That vector does
    not depend on the factors, so neither do the estimates.

    Attributes
    ----------
    x_mean : ndarray of shape (n_features,)
        Mean of the signals.
    y_mean, y_scale : ndarray of shape (n_outputs,)
        Mean and standard deviation of the parameters (1 for constant ones).
    coef : ndarray of shape (n_outputs, n_features)
        Derivatives of the signal with respect to the scaled parameters.
    reference : ndarray of shape (n_features,) or None
        Conjugate of that vector, over the root mean square of the components along it;
        None for real signals.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._linear_calibration import LinearCalibration
    >>> y = np.arange(5.0)[:, None]
    >>> calibration = LinearCalibration.learn(1 + y * np.array([[2.0, 3.0]]), y)
    >>> calibration.invert(np.array([[1 + 2 * 7.0, 1 + 3 * 7.0]])).round(6)
    array([[7.]])
    """

    x_mean: np.ndarray
    y_mean: np.ndarray
    y_scale: np.ndarray
    coef: np.ndarray
    reference: np.ndarray | None

    @classmethod
    @one_blas_thread
    def learn(cls, X, y):
        """Learn from examples.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Signals, real or complex; all-zero complex rows are left out.
        y : ndarray of shape (n_samples, n_outputs)
            Parameters.

        Returns
        -------
        LinearCalibration
            The model.

        Raises
        ------
        ValueError
            If X is complex and zero everywhere.
        """
        reference = None
        if X.dtype.kind == "c":
            reference = _reference(X)
            X, has_factor = _divide_factor(X, reference)
            X, y = X[has_factor], y[has_factor]
        y_mean, y_scale = y.mean(axis=0), y.std(axis=0)
        y_scale = np.where(y_scale > 0, y_scale, 1.0)
        x_mean = X.mean(axis=0)
        coef = np.linalg.lstsq((y - y_mean) / y_scale, X - x_mean, rcond=None)[0]
        return cls(x_mean, y_mean, y_scale, coef, reference)

    @one_blas_thread
    def invert(self, X, known=None):
        """Estimate parameters; of many solutions, the one of least norm.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Signals.
        known : ndarray of shape (n_samples, n_known), default=None
            Values of the last `n_known` parameters, which are then not estimated.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            The other parameters; NaN for complex rows without a component along the
            reference.
        """
        sound = np.ones(len(X), dtype=bool)
        if self.reference is not None:
            X, sound = _divide_factor(X, self.reference)
        n, X = len(self.y_mean), X - self.x_mean
        if known is not None:
            n -= known.shape[1]
            steps = (known - self.y_mean[n:]) / self.y_scale[n:]
            X = X - row_products(steps, self.coef[n:])
        inverse = np.linalg.pinv(_stack(self.coef[:n]), rcond=_RANK_TOLERANCE)
        y = self.y_mean[:n] + self.y_scale[:n] * row_products(_stack(X), inverse)
        return np.where(sound[:, None], y, np.nan)

    def crb(self, noise_std, n_known=0):
        """Return the Cramér-Rao bound of the linear model; one for all signals.

        Parameters
        ----------
        noise_std : float
            Standard deviation of the noise per (real or imaginary) channel. The mean
            signal of the training data corresponds to M0 = 1.
        n_known : int, default=0
            Number of known parameters, which are the last.

        Returns
        -------
        ndarray of shape (n_outputs,)
            Variances; infinite for what the signal does not determine.
        """
        n = len(self.coef) - n_known
        jacobian = (self.coef[:n] / self.y_scale[:n, None]).T[None]
        signal = None if self.reference is None else self.x_mean[None]
        return crb_from_jacobian(jacobian, signal, noise_std=noise_std)[0]


class LinearModel(SignalModel):
    """Signal model of a linear calibration.

    Parameters
    ----------
    calibration : LinearCalibration
        The calibration.
    y : ndarray of shape (n_samples, n_outputs)
        Targets it was learned from; bounds are three times as wide as their range.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.estimators._linear_calibration import LinearCalibration, LinearModel
    >>> y = np.arange(5.0)[:, None]
    >>> calibration = LinearCalibration.learn(1 + y * np.array([[2.0, 3.0]]), y)
    >>> LinearModel(calibration, y).signal([[7.0]]).round(6)
    array([[15., 22.]])
    """

    def __init__(self, calibration, y):
        self.calibration = calibration
        self.parameter_names = tuple(f"y{k}" for k in range(y.shape[1]))
        low, high = y.min(axis=0), y.max(axis=0)
        width = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
        self.bounds = np.stack([low - width, high + width], axis=1)

    @classmethod
    def learn(cls, X, y, known=None):
        """Learn from examples.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Signals.
        y : ndarray of shape (n_samples, n_outputs)
            Parameters.
        known : ndarray of shape (n_samples, n_known), default=None
            Values of known parameters.

        Returns
        -------
        SignalModel
            The model, with the known parameters given.
        """
        everything = joined(y, known)
        model = cls(LinearCalibration.learn(X, everything), everything)
        return model if known is None else model.given(*model.parameter_names[y.shape[1] :])

    @one_blas_thread
    def _simulate(self, theta, jacobian=False):
        c = self.calibration
        s = c.x_mean + row_products((theta - c.y_mean) / c.y_scale, c.coef)
        if not jacobian:
            return s
        # In one layout for any number of rows, on which the rounding of products depends.
        slopes = np.ascontiguousarray((c.coef / c.y_scale[:, None]).T)
        return s, np.tile(slopes, (len(s), 1, 1))


def joined(y, known):
    """Return targets and known values, if there are any, as columns of one array."""
    return y if known is None else np.hstack([y, known])


def _reference(X):
    """Return the conjugate of the phase reference of X over X's rms component along it."""
    if not X.any():
        raise ValueError("X is zero everywhere: there is nothing to learn from.")
    vector = phase_reference(X).conj()
    return vector / np.sqrt(np.mean(np.abs(X @ vector) ** 2))


def _divide_factor(X, reference):
    """Return X over its component along the reference, and which rows have one."""
    factor = row_products(X, reference[:, None])[:, 0]
    has_factor = factor != 0
    return X / np.where(has_factor, factor, 1.0)[:, None], has_factor


def _stack(values):
    """Return complex columns as twice as many real ones."""
    if values.dtype.kind != "c":
        return values
    return np.hstack([values.real, values.imag])
