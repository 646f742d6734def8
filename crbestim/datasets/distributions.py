"""Random tissue parameters: the brain distribution, or any other."""

import numpy as np

FLUID_SHARE = 0.1
"""Share of fluid in draws from the brain distribution."""


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
        follow the model's own. Fluid, a tenth of the draws, is mixed in by default
        only.

    Returns
    -------
    ndarray of shape (n_samples, n_parameters)
        Parameters, in SI units.

    Raises
    ------
    ValueError
        If a name is unknown, or a parameter has no distribution.

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
    theta = np.empty((n_samples, model.n_parameters))
    for k, parameter in enumerate(model.parameters):
        frozen = given.get(parameter.name, parameter.distribution)
        theta[:, k] = frozen.rvs(size=n_samples, random_state=rng)
    if distributions is None:
        fluid = rng.random(n_samples) < FLUID_SHARE
        for k, parameter in enumerate(model.parameters):
            if parameter.fluid is not None:
                values = parameter.fluid.rvs(size=n_samples, random_state=rng)
                theta[:, k] = np.where(fluid, values, theta[:, k])
    return theta


def check_distributions(model, distributions):
    """Check the distributions of a model's parameters and return them as a dict."""
    given = dict(distributions or {})
    unknown = sorted(set(given) - set(model.parameter_names))
    if unknown:
        raise ValueError(
            f"distributions name {', '.join(unknown)}; the model's parameters are "
            f"{', '.join(model.parameter_names)}."
        )
    for name, frozen in given.items():
        if not callable(getattr(frozen, "rvs", None)):
            raise TypeError(
                f"distributions[{name!r}] is {frozen!r}; give a SciPy frozen "
                "distribution such as scipy.stats.uniform(0, 1)."
            )
    missing = [
        p.name for p in model.parameters if p.distribution is None and p.name not in given
    ]
    if missing:
        raise ValueError(
            f"{type(model).__name__} has no distribution for {', '.join(missing)}; give "
            "distributions={...} by parameter name."
        )
    return given
