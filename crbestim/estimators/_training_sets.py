"""Training sets of CRBRegressor: which rows are trained on and held out, in what time."""

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._deadline import affordable
from .._warnings import warn
from ..least_squares.driver import evenly_spaced
from ..noise import check_snr
from ._added_rows import AddedRows
from ._base import rows_of
from ._scores import assumed_noise, bound_of
from ._training import check_something_counts
from ._training_data import TrainingData

# Shares of the time of a fit: at most for simulation, and at least for calibration. Rows
# that are simulated whatever they take.
_SIMULATION, _CALIBRATION, _LEAST_ROWS = 1 / 3, 0.1, 1024


def split_rows(n_samples, validation_fraction, rng):
    """Return rows to train on, and rows held out; `validation_fraction` may be None."""
    if validation_fraction is None:
        return np.arange(n_samples), np.arange(0)
    order = rng.permutation(n_samples)
    n_held_out = int(np.ceil(validation_fraction * n_samples))
    if n_held_out >= n_samples:
        raise ValueError(
            f"n_samples = {n_samples} sample"
            f"{'s' if n_samples > 1 else ''} leaves none to train on after "
            f"validation_fraction={validation_fraction}; give more, or "
            "early_stopping=False."
        )
    return order[n_held_out:], order[:n_held_out]


def training_sets(estimator, loss, data, parts, n_least, deadline):
    """Return the rows to train on and held out, and a set of each, or None.

    Of clean signals to train on there are at least `n_least`, with rows that are added.
    """
    draws_noise = estimator._simulates_X and estimator.resample_noise
    adds_rows = draws_noise and n_least > len(parts[0])
    limits = _limits(estimator) if adds_rows else None
    seed = estimator._random_state.randint(2**31 - 1) if adds_rows else 0
    recipe = TrainingData(
        network=estimator.network_,
        loss=loss,
        target_variance=estimator.target_variance_,
        noise_std=assumed_noise(estimator),
        snr=None if estimator.snr is None else check_snr(estimator.snr),
    )

    def measured(X, y, crb, known):
        given = estimator, y, crb, known, recipe.noise_std
        return recipe.measured(X, y, bound_of(*given) if loss.uses_bound else None, known)

    def make(rows, n_simulated):
        X, y, crb, known, weight = (rows_of(array, rows) for array in data)
        if n_simulated is None:
            arrays, options = measured(X, y, crb, known)
            return arrays | {"weights": weight}, options
        added = AddedRows(y, known, limits, n_simulated, seed)
        given = estimator._model_at, y, crb, known
        try:
            arrays, options = recipe.simulated_with(added, *given)
        except Exception as error:
            if len(added):
                error.add_note(
                    f"Behind the {len(y)} rows to train on are {len(added)} that fit adds, "
                    "between and beside them; min_fingerprints=0 adds none."
                )
            raise
        return arrays | {"weights": added.joined_inside(weight)}, options

    # How many rows there should be of clean signals, or None for signals as measured: these
    # have a single noise realization, which does not show the bias.
    kinds = 0 if draws_noise else None, 0 if loss.n_realizations > 1 else None
    rows = _rows_in_time(make, parts, kinds, deadline)
    if draws_noise:
        kinds = _least_in_time(make, rows[0], n_least, deadline), kinds[1]
    train, held_out = (
        make(*part) if len(part[0]) else None for part in zip(rows, kinds, strict=True)
    )
    check_something_counts(train, held_out, estimator._output_weights)
    return rows, (train, held_out)


def _limits(estimator):
    """Return the bounds of targets and known values, one column for each."""
    known = [parameter.bounds for parameter in estimator._known_parameters]
    return np.vstack([estimator.model.bounds, *known]).T


def training_deadline(deadline, model):
    """Return when training must end; warn if that is before it begins."""
    ends = deadline if model is None else deadline.at(1 - _CALIBRATION)
    if ends.is_over:
        warn(
            f"max_time={deadline.seconds:g} is over before training begins, and the "
            "network took a single step; raise max_time",
            ConvergenceWarning,
            stacklevel=5,
        )
    return ends


def _rows_in_time(make, parts, kinds, deadline):
    """Return as many rows of each part as ``make(rows, kind)`` can make sets of in time.

    The same share of all parts, but no less than _LEAST_ROWS of each.
    """
    if np.isinf(deadline.seconds):
        return parts
    share, n_left = 1.0, sum(len(rows) for rows in parts)
    for rows, kind in zip(parts, kinds, strict=True):
        if not len(rows):
            continue

        def work(k, rows=rows, kind=kind):
            make(rows[evenly_spaced(len(rows), k)], kind)

        seconds = deadline.at(_SIMULATION).left * len(rows) / n_left
        n = affordable(work, len(rows), seconds, _LEAST_ROWS)
        share = min(share, n / len(rows))
        n_left -= len(rows)
    n = [max(round(share * len(rows)), min(len(rows), _LEAST_ROWS)) for rows in parts]
    kept = [rows[evenly_spaced(len(rows), k)] for rows, k in zip(parts, n, strict=True)]
    n_kept, n = (sum(len(rows) for rows in part) for part in (kept, parts))
    if n_kept < n:
        warn(
            f"max_time={deadline.seconds:g} leaves time to simulate {n_kept} of {n} rows, "
            "and training does without the others; raise max_time",
            ConvergenceWarning,
            stacklevel=6,
        )
    return kept


def _least_in_time(make, rows, n_least, deadline):
    """Return how many rows, with those that are added, there is time to make a set of.

    ``make(rows, n)`` makes one of n.
    """
    if n_least <= len(rows):
        return n_least

    def work(k):
        make(rows[evenly_spaced(len(rows), (k + 1) // 2)], k)

    return affordable(work, n_least, deadline.at(_SIMULATION).left, len(rows))
