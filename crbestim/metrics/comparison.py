"""Several estimators on one test set."""

import time
import warnings
from importlib.util import find_spec
from reprlib import repr as short_repr

import numpy as np

from .._arrays import as_reals
from .._options import check_flag
from ._amplitude import warn_of_scale, warn_of_sure
from ._units import warn_of_units
from .limit import risk_of_signals
from .moments import BiasVariance
from .realizations import Realizations, check_estimator, not_estimated

# Voxels of an untimed first prediction, which compiles and loads what is needed.
_WARM_UP = 16
# Time of a call, in s, from which on its fixed cost does not count; by how much a call may
# be larger than the last; and the largest number of real numbers in its signals.
_LEAST_SECONDS, _MOST_GROWTH, _MOST_NUMBERS = 0.2, 10, 8_000_000


def compare_estimators(
    estimators,
    model,
    theta,
    snr,
    n_realizations=8,
    *,
    random_state=None,
    estimates=None,
    published=None,
    standard_errors=False,
    limit=None,
):
    """Compare estimators on the same noisy signals, and with results of others.

    Parameters
    ----------
    estimators : dict or None
        Fitted estimators by name: objects with ``predict``, or functions of X that return
        estimates. A parameter that is not estimated is NaN throughout. None, or an empty
        dict, if there are results to compare instead.
    model : SignalModel
        Model that simulates the signals; one with known parameters holds their values,
        ``model.given("B1").at(known)``.
    theta : array-like of shape (n_samples, n_parameters)
        Parameters of the test set, in SI units.
    snr : float or list of float
        Signal-to-noise ratio abs(M0)/sigma, or a list of several.
    n_realizations : int, default=8
        Noise realizations per parameter set, at least two.
    random_state : int, RandomState instance or None, default=None
        Seed of noise and phase.
    estimates : dict, default=None
        Estimates of repeated noise that exist already, by name: arrays of shape
        (n_realizations, n_samples, n_parameters), in SI units, with at least two
        realizations; (n_levels, n_realizations, n_samples, n_parameters) if `snr` is a
        list. A parameter that was not estimated is NaN throughout.
    published : dict, default=None
        Means and standard deviations over the noise, by name: tuples ``(mean, std, n)`` of
        two arrays of shape (n_samples, n_parameters), after an axis of levels if `snr` is a
        list, and the number of realizations behind them. A parameter that was not estimated
        is NaN throughout.
    standard_errors : bool, default=False
        Whether to add the Monte Carlo standard errors of ``crb_loss``, ``bias_ratio``,
        ``variance_ratio`` and ``outlier_share``, in columns that end with ``_se``.
    limit : dict, default=None
        Options of :func:`bayes_risk`, ``{}`` for its defaults: with them, rows named
        ``limit`` judge the best possible estimator for theta, which has to be drawn from
        the distributions. It sees the same signals as the others, so that differences from
        it have less chance in them than the losses. It takes as long as `bayes_risk` of
        all realizations.

    Returns
    -------
    pandas.DataFrame or dict of list
        One row for each estimator and parameter, with the columns of the Notes. If pandas
        is installed a data frame with the index ``(estimator, parameter)``, otherwise a
        dict of columns, in which ``estimator`` and ``parameter`` are the first two. With a
        list of signal-to-noise ratios, ``snr`` stands between them.

    Raises
    ------
    TypeError
        If `estimators` is not a dict of objects with ``predict`` or functions.
    sklearn.exceptions.NotFittedError
        If an estimator is not fitted.
    ValueError
        If a number is out of range, or predictions do not have the shape of theta.

    Warns
    -----
    UserWarning
        If all signals have the same amplitude, and an estimator depends on it or results
        seem to know it: their errors hold for this amplitude alone.
    ImplausibleValueWarning
        If results are so far from the bounds of the model that they seem to be in other
        units.

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

    Entries whose bound is infinite are left out of all averages. Results that exist already
    have no speed, and moments have no median and no outliers. Their standard errors hold
    for normal errors; see :meth:`BiasVariance.standard_errors`.

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

    What others report, here a mean of 1.1 and a standard deviation of 0.05 in 100
    realizations, for a slope of 1:

    >>> table = compare_estimators(None, Line(), [[1.0]], snr=10,
    ...                            published={"paper": ([[1.1]], [[0.05]], 100)})
    >>> round(float(table["bias_ratio"].iloc[0]), 2)
    4.99
    """
    others = _check_results(estimates, "estimates") | _check_results(published, "published")
    if limit is not None:
        others["limit"] = "limit", _check_options(limit, others)
    estimators = _check_estimators(estimators, others)
    has_errors = check_flag("standard_errors", standard_errors)
    has_levels = isinstance(snr, list | np.ndarray) and np.ndim(snr) == 1 and len(snr) > 0
    levels = [
        Realizations(model, theta, level, n_realizations, random_state)
        for level in (list(snr) if has_levels else [snr])
    ]
    columns = {c: [] for c in ("estimator", *["snr"] * has_levels, "parameter")}
    for name in (*estimators, *others):
        results = list(_results(name, estimators, others, levels, has_levels))
        _warn_of(name, estimators, others, levels[0], *results[0][:2])
        for noisy, result in zip(levels, results, strict=True):
            columns["estimator"] += [name] * model.n_parameters
            columns["parameter"] += list(model.parameter_names)
            if has_levels:
                columns["snr"] += [noisy.snr] * model.n_parameters
            for column, values in _measures(*result, has_errors).items():
                values = np.broadcast_to(values, model.n_parameters)
                columns.setdefault(column, []).extend(values.tolist())
    return _table(columns, ["estimator", *["snr"] * has_levels, "parameter"])


def _warn_of(name, estimators, others, noisy, quality, lost):
    """Warn of results that hold for one amplitude, or are in other units."""
    argument = "estimators" if name in estimators else others[name][0]
    what, stacklevel = f"{argument}[{name!r}]", 4
    if argument == "limit":
        return
    values = np.where(np.isinf(quality.crb), np.nan, noisy.theta[~lost] + quality.bias)
    warn_of_units(noisy.model.parameters, values, what, stacklevel)
    if argument == "estimators":
        warn_of_scale(noisy, estimators[name], what, _WARM_UP, stacklevel)
    else:
        warn_of_sure(noisy, quality, what, stacklevel)


def _table(columns, index):
    """Return columns as a data frame, if there is pandas."""
    if find_spec("pandas") is None:
        return columns
    import pandas as pd

    return pd.DataFrame(columns).set_index(index)


def _check_estimators(estimators, others):
    """Return estimators by name, whose names are not those of other results."""
    if estimators is None and others:
        return {}
    if not isinstance(estimators, dict) or not (estimators or others):
        raise TypeError(
            f"estimators is {estimators!r}; give a dict of fitted estimators by name."
        )
    for name, estimator in estimators.items():
        check_estimator(estimator, f"estimators[{name!r}]")
        if name in others:
            raise ValueError(
                f"{name!r} names one of the estimators and a result of {others[name][0]}; "
                "rename one."
            )
    return estimators


def _check_results(results, argument):
    """Return results that exist already by name, each with the argument it came in."""
    if results is None:
        return {}
    if not isinstance(results, dict):
        raise TypeError(
            f"{argument} is {short_repr(results)}; give a dict of results by name."
        )
    return {name: (argument, result) for name, result in results.items()}


def _check_options(limit, others):
    """Return options of the limit, if no other result has its name."""
    if not isinstance(limit, dict):
        raise TypeError(
            f"limit is {limit!r}; give a dict of options of bayes_risk, or {{}}."
        )
    if "limit" in others:
        raise ValueError("'limit' names a result and the limit; rename the result.")
    return limit


def _results(name, estimators, others, levels, has_levels):
    """Return quality, lost samples and speed of an estimator or result, by level."""
    if name in estimators:
        return (_run(estimators[name], noisy) for noisy in levels)
    argument, result = others[name]
    if argument == "limit":
        return (_limit_of(noisy, result) for noisy in levels)
    return _existing(argument, result, name, levels, has_levels)


def _limit_of(noisy, options):
    """Return the quality of the best estimator, on the signals that all others see."""
    rows = np.tile(np.arange(len(noisy.theta)), len(noisy.seeds))
    model, theta, X = noisy.model.rows(rows), noisy.theta[rows], np.concatenate(list(noisy))
    found = risk_of_signals(model, theta, noisy.snr, X, **options)
    predictions = found.estimates.reshape(len(noisy.seeds), *noisy.theta.shape)
    return *_quality(predictions, noisy), np.nan


def _run(estimator, noisy):
    """Return the quality of an estimator, which samples are lost, and its speed."""
    predictions, speed = _timed_predictions(estimator, noisy)
    return *_quality(np.asarray(predictions), noisy), speed


def _quality(predictions, noisy):
    """Return bias and variance of predictions, and which samples are lost."""
    crb, (predictions,) = _estimated(noisy, predictions)
    lost = ~np.isfinite(predictions).all(axis=(0, 2))
    errors = noisy.errors(np.where(np.isfinite(predictions), predictions, np.nan))
    return BiasVariance.from_errors(errors[:, ~lost], crb[~lost]), lost


def _existing(argument, result, name, levels, has_levels):
    """Yield what `_run` returns, of results that exist already, level by level."""
    what = f"{argument}[{name!r}]"
    is_published = argument == "published"
    if is_published and not (isinstance(result, tuple | list) and len(result) == 3):
        found = f"a {type(result).__name__}"
        if isinstance(result, tuple | list):
            found += f" of {len(result)}"
        raise ValueError(f"{what} is {found}; give (mean, std, n_realizations).")
    parts = [as_reals(part, what) for part in (result[:2] if is_published else [result])]
    shape = levels[0].theta.shape
    for part in parts:
        inner = part.shape[1:] if has_levels else part.shape
        fits = inner == shape if is_published else len(inner) == 3 and inner[1:] == shape
        if not fits or (has_levels and len(part) != len(levels)):
            wanted = [*["n_levels"] * has_levels, *["n_realizations"] * (not is_published)]
            wanted = ", ".join(map(str, [*wanted, *shape]))
            among = f" for {len(levels)} levels" * has_levels
            raise ValueError(f"{what} has shape {part.shape}; give ({wanted}){among}.")
    parts = parts if has_levels else [part[None] for part in parts]
    for noisy, *arrays in zip(levels, *parts, strict=True):
        if is_published:
            quality = _quality_of_moments(*arrays, result[2], noisy)
        else:
            quality = _quality(*arrays, noisy)
        yield *quality, np.nan


def _estimated(noisy, *results):
    """Return bounds and results, infinite and 0 for what was not estimated."""
    absent = not_estimated(*results)
    return np.where(absent, np.inf, noisy.crb), [np.where(absent, 0.0, r) for r in results]


def _quality_of_moments(mean, std, n_realizations, noisy):
    """Return bias and variance of published moments, and which samples are lost."""
    crb, (mean, std) = _estimated(noisy, mean, std)
    lost = ~(np.isfinite(mean) & np.isfinite(std)).all(axis=1)
    bias = noisy.errors(mean)[~lost]
    return BiasVariance.from_moments(bias, std[~lost], n_realizations, crb[~lost]), lost


def _measures(quality, lost, speed, has_errors):
    """Return the measures by column: one per parameter, or one for all."""
    measures = {
        "crb_loss": quality.loss,
        "median_ratio": quality.median_ratio,
        "outlier_share": quality.outlier_share,
        "bias_ratio": quality.bias_ratio,
        "variance_ratio": quality.variance_ratio,
        "lost_share": lost.mean(),
        "voxels_per_second": speed,
    }
    if has_errors:
        errors = quality.standard_errors()
        errors["crb_loss"] = errors.pop("loss")
        order = [name for name in measures if name in errors]
        measures |= {f"{name}_se": errors[name] for name in order}
    return measures


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
