"""Random tissue parameters: the brain distribution, or any other."""

import numpy as np

from .._options import check_by_name

FLUID_SHARE = 0.1
"""Share of fluid in draws from the brain distribution."""

# Draws from truncated distributions may exceed the bounds by a rounding error.
_SLACK = 1e-9
# What the bounds of an amplitude span if one of them is zero or infinite.
_OPEN_SPAN = 100.0


def draw_parameters(model, n_samples, rng, distributions=None):
    """Draw parameters of a model.

    Parameters
    ----------
    model : SignalModel
        Model whose parameters to draw.
    n_samples : int
        Number of draws.
    rng : numpy.random.Generator
        Source of randomness.
    distributions : dict, default=None
        SciPy frozen distributions by parameter name. The others, or all by default,
        follow the model's own, inside its bounds. Fluid, a tenth of the draws, is mixed
        in by default only, and alone or not at all where the bounds ask for that.

    Returns
    -------
    ndarray of shape (n_samples, n_parameters)
        Parameters, in SI units.

    Raises
    ------
    ValueError
        If a name is unknown, or a parameter has no distribution inside its bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.datasets.distributions import draw_parameters
    >>> from crbestim.models import MagnetizationTransfer
    >>> from crbestim.sequences import HybridStateSequence
    >>> sequence = HybridStateSequence([3.14, 0.5, 0.7, 0.5], [5e-4] * 4, 3.5e-3)
    >>> model = MagnetizationTransfer(sequence)
    >>> draw_parameters(model, 5, np.random.default_rng(0)).shape
    (5, 7)
    """
    given = check_distributions(model, distributions)
    kinds = _kinds_to_draw(model, given)
    theta = np.empty((n_samples, model.n_parameters))
    for k, parameter in enumerate(model.parameters):
        if parameter.name in given:
            theta[:, k] = _draw_given(parameter.name, given, n_samples, rng)
        elif k == model._amplitude_column and parameter.distribution is None:
            theta[:, k] = _draw_amplitude(parameter, n_samples, rng)
        elif kinds == ["fluid"]:
            frozen = parameter.fluid or parameter.distribution
            theta[:, k] = _draw(parameter, frozen, n_samples, rng)
        else:
            theta[:, k] = _draw(parameter, parameter.distribution, n_samples, rng)
    if distributions is None and len(kinds) > 1:
        is_fluid = rng.random(n_samples) < FLUID_SHARE
        for k, parameter in enumerate(model.parameters):
            if parameter.fluid is not None:
                values = _draw(parameter, parameter.fluid, n_samples, rng)
                theta[:, k] = np.where(is_fluid, values, theta[:, k])
    return theta


def mixture_of(model, distributions=None):
    """Return what `draw_parameters` draws from, a mixture of kinds of tissue.

    Parameters
    ----------
    model : SignalModel
        Model whose parameters to draw.
    distributions : dict, default=None
        SciPy frozen distributions by parameter name, as in `draw_parameters`.

    Returns
    -------
    list of tuple
        Weight of each kind, and a distribution for each parameter, None for an amplitude
        that has none.
    """
    given = check_distributions(model, distributions)
    kinds = _kinds_to_draw(model, given)
    if distributions is not None and len(kinds) > 1:
        kinds = ["tissue"]
    shares = {"tissue": 1 - FLUID_SHARE, "fluid": FLUID_SHARE}
    return [
        (
            shares[kind] if len(kinds) > 1 else 1.0,
            [
                given.get(p.name, (kind == "fluid" and p.fluid) or p.distribution)
                for p in model.parameters
            ],
        )
        for kind in kinds
    ]


def log_densities(model, mixture, theta):
    """Logarithm of the density of parameters in each kind of tissue.

    Parameters
    ----------
    model : SignalModel
        The model.
    mixture : list of tuple
        What `mixture_of` returns.
    theta : ndarray of shape (n_samples, n_parameters)
        Parameters.

    Returns
    -------
    ndarray of shape (n_kinds, n_samples)
        Log-densities with the weight of each kind, minus infinity outside of the bounds.
        An amplitude without a distribution has the density 1/amplitude, up to a constant.
    """
    low, high = model.bounds.T
    inside = ((theta >= low) & (theta <= high)).all(axis=1)
    out = np.full((len(mixture), len(theta)), -np.inf)
    for density, (weight, frozen) in zip(out, mixture, strict=True):
        density[inside] = np.log(weight)
        for parameter, column, distribution in zip(
            model.parameters, theta[inside].T, frozen, strict=True
        ):
            density[inside] += _log_density(parameter, column, distribution)
    return out


def _log_density(parameter, values, frozen):
    """Return the log-density of values inside the bounds."""
    with np.errstate(divide="ignore"):
        if frozen is None:
            return -np.log(values)
        low, high = parameter.bounds
        return frozen.logpdf(values) - np.log(frozen.cdf(high) - frozen.cdf(low))


def can_draw(model):
    """Return whether all parameters of a model have a distribution inside its bounds."""
    return not _missing(model, ()) and not all(_outside(model, ()).values())


def _missing(model, given):
    """Return the names of the parameters that have no distribution."""
    drawn = (*given, model.amplitude)
    return [p.name for p in model.parameters if not p.distribution and p.name not in drawn]


def _outside(model, given):
    """Return, by kind of tissue, the parameters without such values inside the bounds."""
    own = [p for p in model.parameters if p.name not in given and p.distribution]
    outside = {"tissue": [p for p in own if not _reaches(p, p.distribution)]}
    if any(p.fluid for p in own):
        outside["fluid"] = [p for p in own if not _reaches(p, p.fluid or p.distribution)]
    return outside


def _kinds_to_draw(model, given):
    """Return the kinds of tissue that have values inside the bounds of all parameters."""
    outside = _outside(model, given)
    kinds = [kind for kind, parameters in outside.items() if not parameters]
    if not kinds:
        parameter = outside["tissue"][0]
        low, high = parameter.distribution.support()
        bounds = "{:g} to {:g}".format(*parameter.bounds)
        raise ValueError(
            f"the distribution of {parameter.name} in the brain, {low:g} to {high:g}, has "
            f"nothing inside the bounds {bounds}; give distributions={{"
            f"{parameter.name!r}: scipy.stats.uniform(...)}} or another one."
        )
    return kinds


def _reaches(parameter, frozen):
    """Return whether a distribution has values inside the bounds of its parameter."""
    low, high = parameter.bounds
    return frozen.cdf(high) > frozen.cdf(low)


def _draw_given(name, given, n_samples, rng):
    """Draw values from the distribution that was given for a parameter."""
    values = given[name].rvs(size=n_samples, random_state=rng)
    if np.shape(values) != (n_samples,):
        raise ValueError(
            f"distributions[{name!r}] draws arrays of shape {np.shape(values)} for "
            f"{n_samples} samples; give a distribution of one number."
        )
    return values


def _draw(parameter, frozen, n_samples, rng):
    """Draw values inside the bounds; those outside are replaced by others."""
    low, high = parameter.bounds
    values = frozen.rvs(size=n_samples, random_state=rng)
    slack = _SLACK * max(abs(low), abs(high))
    outside = (values < low - slack) | (values > high + slack)
    if outside.any():
        shares = rng.uniform(frozen.cdf(low), frozen.cdf(high), outside.sum())
        values[outside] = np.clip(frozen.ppf(shares), low, high)
    return values


def _draw_amplitude(parameter, n_samples, rng):
    """Draw amplitudes: 1 by default, or spread over the bounds on a logarithmic scale."""
    low, high = parameter.bounds
    if low == 0 and high == np.inf:
        return np.ones(n_samples)
    low = low if low > 0 else high / _OPEN_SPAN
    high = high if np.isfinite(high) else low * _OPEN_SPAN
    return np.exp(rng.uniform(np.log(low), np.log(high), n_samples))


def check_distributions(model, distributions):
    """Check the distributions of a model's parameters and return them as a dict."""
    names = model.parameter_names
    given = check_by_name(distributions, names, "distributions", "distributions")
    for name, frozen in given.items():
        if not callable(getattr(frozen, "rvs", None)):
            raise TypeError(
                f"distributions[{name!r}] is {frozen!r}; give a SciPy frozen "
                "distribution such as scipy.stats.uniform(0, 1)."
            )
    missing = _missing(model, given)
    if missing:
        raise ValueError(
            f"{type(model).__name__} has no distribution for {', '.join(missing)}; give "
            "distributions={...} by parameter name."
        )
    return given
