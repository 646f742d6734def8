"""What a design makes small: the Cramér-Rao bound, weighted, per unit of time.

For one tissue it is ``T * sum_p w_p CRB_p / scale_p**2``, where T is the duration of the
measurement and scale_p the value of the parameter, or the width of its bounds where the
value is 0 or the parameter has a period. Over tissues it is the mean, the mean of the
logarithms, or the largest.
"""

from dataclasses import dataclass

import numpy as np

from .._arrays import as_reals
from .._options import check_by_name, check_choice, check_number
from .._validation import check_model
from ..bounds import crb_from_jacobian, noise_of_signals, signal_and_bound
from ..models import FunctionModel
from ..models._controls import bare, duration_of, settings_of, with_settings
from ..noise import RatioNoise, noise_of
from ._adjoint import supports, weighted_bound

OBJECTIVES = ("mean", "mean_log", "max")
_UNWEIGHTED = ("omega0", "B1")
# Step of differences over the range of a control.
_STEP = 1e-5


def bound_objective(model, theta, *, weights=None, objective="mean_log", noise_std=None):
    """Objective of a design and its gradient, at the model's own acquisition.

    Parameters
    ----------
    model : SignalModel
        A model with ``controls``; some parameters may be given.
    theta : array-like of shape (n_tissues, n_parameters)
        Parameters of the tissues, in SI units.
    weights : dict or array-like of shape (n_parameters,), default=None
        Weights of the parameters, 0 or more. A dict holds them by name, and those that it
        leaves out have weight 0. By default all have weight 1, but for omega0 and B1,
        which have 0.
    objective : {"mean_log", "mean", "max"}, default="mean_log"
        What is made of the values of several tissues.
    noise_std : float, default=None
        Standard deviation of the noise per channel, for M0 = 1. By default 1; it must be
        given where it changes which acquisition is best, as Rician noise does.

    Returns
    -------
    value : float
        The objective.
    *gradients : ndarray
        Its derivatives, an array for each of ``model.controls`` and of its shape: for
        trains of pulses d_alpha, in 1/rad, and d_trf, in 1/s, pulse 0 included. For "max"
        they are those of the largest value.

    Raises
    ------
    ValueError
        If the model is compressed or whitened, a weight is of no parameter or negative, a
        bound with a weight is infinite, or Rician noise lacks `noise_std`.
    TypeError
        If the model has no controls.

    Examples
    --------
    >>> from crbestim.design import bound_objective
    >>> from crbestim.models import MonoExponential
    >>> value, d_te = bound_objective(MonoExponential([0.01, 0.08]), [[0.08]])
    >>> round(value, 3), d_te.round(2)
    (3.12, array([32.27, -7.27]))
    """
    problem = Problem.of(model, theta, weights, objective, noise_std)
    values = settings_of(model)[1]
    each, gradients = problem.tissues(values)
    problem.refuse_infinite(values, each)
    value, shares = combine(each, objective)
    return (float(value), *(np.tensordot(shares, g, 1) for g in gradients.values()))


def combine(each, objective, sharpness=np.inf):
    """Return one number of the values of all tissues, and its derivatives by them.

    With a finite `sharpness` the largest is a smooth one, larger by a factor of up to
    ``n_tissues ** (1 / sharpness)``.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.design.objective import combine
    >>> value, shares = combine(np.array([1.0, 3.0]), "max")
    >>> shares, float(value)
    (array([0., 1.]), 3.0)
    """
    n = len(each)
    if objective == "mean":
        return each.mean(), np.full(n, 1 / n)
    if objective == "mean_log":
        return np.log(each).mean(), 1 / (n * each)
    largest = each.max()
    if np.isinf(sharpness):
        return largest, np.where(np.arange(n) == np.argmax(each), 1.0, 0.0)
    powers = (each / largest) ** sharpness
    total = powers.sum()
    value = largest * total ** (1 / sharpness)
    return value, value * powers / (total * each)


@dataclass(frozen=True, eq=False)
class Problem:
    """Tissues and weights of a design.

    Attributes
    ----------
    model : SignalModel
        The model at the start.
    theta : ndarray of shape (n_tissues, n_parameters)
        Parameters of the tissues.
    coefficients : ndarray of shape (n_tissues, n_parameters)
        Weights over squared scales.
    objective : str
        What is made of several tissues.
    noise_std : float
        Noise for M0 = 1.
    """

    model: object
    theta: np.ndarray
    coefficients: np.ndarray
    objective: str
    noise_std: float

    @classmethod
    def of(cls, model, theta, weights, objective, noise_std):
        """Check what a user gave, and return the problem."""
        check_model(model)
        controls = settings_of(model)[0]
        if not controls:
            _refuse_without_controls(model)
        model.require_jacobian("A design")
        theta = model.check_theta(theta)
        if not len(theta):
            raise ValueError("theta has no rows; give at least one tissue.")
        check_choice("objective", objective, OBJECTIVES)
        noise_std = _check_noise_std(model, noise_std)
        weights = _check_weights(model, weights)
        width = np.array([p.width for p in model.parameters])
        relative = (theta == 0) | np.isfinite(model.periods)
        scale = np.where(relative, width, np.abs(theta))
        if (~np.isfinite(scale) & (weights > 0)).any():
            name = model.parameter_names[int(np.argmax(np.isinf(scale).any(axis=0)))]
            raise ValueError(
                f"{name} is 0 and its bounds are infinite, so its error has no scale; give "
                f"another value, finite bounds, or the weight 0."
            )
        return cls(model, theta, weights / scale**2, objective, noise_std)

    def model_at(self, values):
        """Return the model of an acquisition."""
        return with_settings(self.model, values)

    def tissues(self, values):
        """Return the objective of each tissue, and its gradients by name of control.

        values : dict of ndarray, the whole acquisition. Gradients are of shape
        (n_tissues, n_values), infinite or NaN where the objective is infinite.
        """
        if supports(self.model):
            return self._by_adjoint(values)
        return self._by_differences(values)

    def _by_adjoint(self, values):
        """Return values, and gradients in reverse mode."""
        found = [self._of_tissue(row, values) for row in range(len(self.theta))]
        each, gradients = zip(*found, strict=True)
        return np.array(each), {k: np.stack([g[k] for g in gradients]) for k in values}

    def _of_tissue(self, row, values):
        """Return the objective of one tissue, and its gradients by name of control."""
        seconds = duration_of(self.model)
        if "tr" in values:
            seconds += (values["tr"] - settings_of(self.model)[1]["tr"]).sum()
        coefficients = self.noise_std**2 * self.coefficients[row]
        model = self.model.rows([row])
        value, _, slopes = weighted_bound(model, self.theta[row], coefficients, values)
        slopes = {name: seconds * slope for name, slope in slopes.items()}
        if "tr" in values:
            slopes["tr"] += value
        return seconds * value, slopes

    def bounds(self, model):
        """Return the ordinary bound of a model at the tissues."""
        return signal_and_bound(model, self.theta, self.noise_std)[1]

    def _by_differences(self, values):
        """Return values, and gradients by central differences of the bound."""
        moved, steps = [values], []
        for name, (low, high, _) in settings_of(self.model)[0].items():
            flat = values[name].ravel()
            for k, value in enumerate(flat):
                low_k, high_k = (np.ravel(e)[min(k, np.size(e) - 1)] for e in (low, high))
                h = _STEP * (high_k - low_k)
                # At an end of the range, a difference of what is inside.
                ends = min(value - h, high_k - 2 * h), max(value + h, low_k + 2 * h)
                ends = max(ends[0], min(low_k, value)), min(ends[1], max(high_k, value))
                for end in ends:
                    changed = flat.copy()
                    changed[k] = end
                    moved.append(values | {name: changed.reshape(values[name].shape)})
                steps.append(ends[1] - ends[0])
        found = self._plainly(moved)
        with np.errstate(invalid="ignore"):
            slopes = (found[2::2] - found[1::2]) / np.array(steps)[:, None]
        cuts = np.cumsum([v.size for v in values.values()])[:-1]
        parts = np.split(slopes, cuts)
        return found[0], {
            name: part.T.reshape(len(self.theta), *values[name].shape)
            for name, part in zip(values, parts, strict=True)
        }

    def _plainly(self, many):
        """Return the objective of each tissue of many acquisitions."""
        n, models = len(self.theta), [self.model_at(values) for values in many]
        parts = [model._checked_signal(self.theta, jacobian=True) for model in models]
        s, jacobian = (np.concatenate(part) for part in zip(*parts, strict=True))
        noise = noise_of(self.model)
        # That of computed images depends on the acquisition.
        sigma = [noise_of_signals(m, self.theta, self.noise_std) for m in models]
        needed = s if self.model.is_complex or noise.depends_on_signal else None
        crb = crb_from_jacobian(
            jacobian,
            needed,
            noise_std=np.concatenate(sigma),
            noise=noise,
            accuracy=self.model.jacobian_accuracy,
        )
        return self.of_bounds(crb.reshape(len(models), n, -1), models)

    def of_bounds(self, crb, models):
        """Return the objective of tissues, (n_models, n_tissues), of their bounds."""
        counts = self.coefficients > 0
        sums = (self.coefficients * np.where(counts, crb, 0.0)).sum(axis=2)
        return sums * np.array([duration_of(model) for model in models])[:, None]

    def refuse_infinite(self, values, each):
        """Refuse an acquisition that does not determine what has a weight."""
        if np.isfinite(each).all():
            return
        row = int(np.argmin(np.isfinite(each)))
        crb = self.bounds(self.model_at(values))
        wrong = ~np.isfinite(crb[row]) & (self.coefficients[row] > 0)
        name = np.array(self.model.parameter_names)[wrong][:1]
        raise ValueError(
            f"the bound of {''.join(name)} is infinite in row {row} of theta: the "
            f"acquisition does not determine it; give it the weight 0, leave out the "
            "tissue, or start from another acquisition."
        )


def _refuse_without_controls(model):
    """Say what a model lacks that has no acquisition to change."""
    needed = (
        "the attribute `controls` of its class, for instance {'te': (1e-3, 0.3, 's')}: "
        "arguments of the constructor that a design may change, with (low, high, unit)."
    )
    if isinstance(bare(model), FunctionModel):
        raise TypeError(
            f"{model} has no controls: a function of the parameters has no acquisition to "
            "change. Write a subclass of SignalModel, which takes the acquisition, and "
            f"set {needed}"
        )
    raise TypeError(f"{model} has no controls; set {needed}")


def _check_noise_std(model, noise_std):
    """Return the noise, which must be given if bounds do not scale with its square."""
    if noise_std is not None:
        return check_number(noise_std, "noise_std", "one number above 0", above=0)
    noise = noise_of(model)
    if noise.depends_on_signal and not isinstance(noise, RatioNoise):
        raise ValueError(
            f"noise_std is not given, and with {noise.label} noise the best acquisition "
            "depends on it; give noise_std, which is 1/SNR of a signal of amplitude 1, for "
            "instance 1 / 50."
        )
    return 1.0


def _check_weights(model, weights):
    """Return the weights of all parameters, (n_parameters,)."""
    names = model.parameter_names
    if weights is None:
        weights = {name: 1.0 for name in names if name not in _UNWEIGHTED}
    if hasattr(weights, "keys"):
        by_name = check_by_name(weights, names, "weights", "numbers")
        found = {name: by_name.get(name, 0.0) for name in names}
    else:
        numbers = as_reals(weights, "weights")
        if numbers.shape != (len(names),):
            raise ValueError(
                f"weights have shape {numbers.shape}; give {len(names)} numbers, for "
                f"{', '.join(names)}, or a dict of them by name."
            )
        found = dict(zip(names, numbers, strict=True))
    allowed = "a number of 0 or more"
    checked = [
        check_number(v, f"the weight of {k}", allowed, least=0) for k, v in found.items()
    ]
    if not any(checked):
        raise ValueError(
            f"all weights are 0; give one above 0 for some of {', '.join(names)}."
        )
    return np.array(checked)
