"""Several estimators on one test set."""

import time
import warnings
from importlib.util import find_spec

import numpy as np

from .moments import BiasVariance
from .realizations import Realizations, check_estimator

# Voxels of an untimed first prediction, which compiles and loads what is needed.
_WARM_UP = 16
# Time of a call, in s, from which on its fixed cost does not count; by how much a call may
# be larger than the last; and the largest number of real numbers in its signals.
_LEAST_SECONDS, _MOST_GROWTH, _MOST_NUMBERS = 0.2, 10, 8_000_000


def compare_estimators(
    estimators, model, theta, snr, n_realizations=8, *, random_state=None
):
    """Compare fitted estimators on the same noisy signals.

    Parameters
    ----------
    estimators : dict
        Fitted estimators, anything with ``predict``, by name.
    model : SignalModel
        Model that simulates the signals; one with known parameters holds their values,
        ``model.given("B1").at(known)``.
    theta : array-like of shape (n_samples, n_parameters)
        Parameters of the test set, in SI units.
    snr : float
        Signal-to-noise ratio abs(M0)/sigma.
    n_realizations : int, default=8
        Noise realizations per parameter set, at least two.
    random_state : int, RandomState instance or None, default=None
        Seed of noise and phase.

    Returns
    -------
    pandas.DataFrame or dict of list
        One row for each estimator and parameter, with the columns of the Notes. If pandas
        is installed a data frame with the index ``(estimator, parameter)``, otherwise a
        dict of columns, in which ``estimator`` and ``parameter`` are the first two.

    Raises
    ------
    TypeError
        If `estimators` is not a dict of objects with ``predict``.
    sklearn.exceptions.NotFittedError
        If an estimator is not fitted.
    ValueError
        If a number is out of range, or predictions do not have the shape of theta.

    See Also
    --------
    bias_variance : The errors of a single estimator, sample by sample.

    Notes
    -----
    A parameter set is lost if an estimate is not finite in any of the realizations; it is
    left out of all averages of that estimator. The columns are

    - ``crb_loss``: mean of error^2/CRB, 1 for an ideal unbiased estimator; its inverse is
      the efficiency;
    - ``median_ratio``: median of error^2/CRB over that of a chi-square variable, which a
      few large errors do not dominate; ideally 1;
    - ``outlier_share``: share of errors beyond five standard deviations of the bound;
    - ``bias_ratio``, ``variance_ratio``: means of bias^2/CRB and variance/CRB, the two
      parts of the loss; the first is an unbiased estimate, and can be negative by chance;
    - ``lost_share``: share of parameter sets lost; NaN in all other measures if it is 1;
    - ``voxels_per_second``: speed of ``predict``, in wall time, after an untimed first
      call. Where the signals of one realization take less than 0.2 s, they are repeated in
      a larger call, so that its fixed cost does not count.

    Entries whose bound is infinite are left out of all averages.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.metrics import compare_estimators
    >>> from crbestim.models import SignalModel
    >>> class Line(SignalModel):
    ...     parameter_names = ("slope",)
    ...     bounds = np.array([[-10.0, 10.0]])
    ...     def signal(self, theta):
    ...         return theta * np.array([1.0, 2.0])
    >>> class Weighted:
    ...     def __init__(self, *weights):
    ...         self.weights = np.array(weights)[:, None]
    ...     def predict(self, X):
    ...         return X @ self.weights
    >>> estimators = {"both points": Weighted(0.2, 0.4), "first point": Weighted(1.0, 0.0)}
    >>> table = compare_estimators(estimators, Line(), [[1.0], [2.0]], snr=10,
    ...                            n_realizations=4000, random_state=0)
    >>> [round(float(loss)) for loss in table["crb_loss"]]
    [1, 5]
    """
    _check_estimators(estimators)
    noisy = Realizations(model, theta, snr, n_realizations, random_state)
    columns = {"estimator": [], "parameter": []}
    for name, estimator in estimators.items():
        columns["estimator"] += [name] * model.n_parameters
        columns["parameter"] += list(model.parameter_names)
        for column, values in _measure(estimator, noisy).items():
            values = np.broadcast_to(values, model.n_parameters)
            columns.setdefault(column, []).extend(values.tolist())
    if find_spec("pandas") is None:
        return columns
    import pandas as pd

    return pd.DataFrame(columns).set_index(["estimator", "parameter"])


def _check_estimators(estimators):
    if not isinstance(estimators, dict) or not estimators:
        raise TypeError(
            f"estimators is {estimators!r}; give a dict of fitted estimators by name."
        )
    for name, estimator in estimators.items():
        check_estimator(estimator, f"estimators[{name!r}]")


def _measure(estimator, noisy):
    """Return the measures of an estimator by column: one per parameter, or one for all."""
    predictions, speed = _timed_predictions(estimator, noisy)
    lost = ~np.isfinite(predictions).all(axis=(0, 2))
    errors = noisy.errors(np.where(np.isfinite(predictions), predictions, np.nan))
    quality = BiasVariance.from_errors(errors[:, ~lost], noisy.crb[~lost])
    return {
        "crb_loss": quality.loss,
        "median_ratio": quality.median_ratio,
        "outlier_share": quality.outlier_share,
        "bias_ratio": quality.bias_ratio,
        "variance_ratio": quality.variance_ratio,
        "lost_share": lost.mean(),
        "voxels_per_second": speed,
    }


def _timed_predictions(estimator, noisy):
    """Return predictions of all realizations, and voxels per second."""
    with warnings.catch_warnings():
        # The timed predictions of the same voxels raise the same warnings.
        warnings.simplefilter("ignore")
        noisy.predict(estimator, next(iter(noisy))[:_WARM_UP])
    predictions, seconds = [], 0.0
    for X in noisy:
        prediction, taken = _timed(estimator, noisy, X)
        predictions.append(prediction)
        seconds += taken
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return predictions, _speed(estimator, noisy, X, seconds / len(predictions))


def _timed(estimator, noisy, X):
    """Return a prediction, and the time that it takes."""
    start = time.perf_counter()
    prediction = noisy.predict(estimator, X)
    return prediction, time.perf_counter() - start


def _speed(estimator, noisy, X, seconds):
    """Return voxels per second of a call that is long enough, if X takes some seconds."""
    n, most = len(X), max(len(X), _MOST_NUMBERS // X.view(float).shape[1])
    while seconds < _LEAST_SECONDS and n < most:
        # Less than linear growth of the time is likely, more is not.
        growth = np.clip(1 + _LEAST_SECONDS / max(seconds, 1e-9), 2, _MOST_GROWTH)
        n = min(most, n * int(growth))
        _, seconds = _timed(estimator, noisy, np.resize(X, (n, X.shape[1])))
    return n / seconds
