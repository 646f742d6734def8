"""Whether a model determines its parameters where a search starts."""

import numpy as np

from ..bounds import crb_from_jacobian
from ..models._checks import check_finite_somewhere
from ..models.base import with_amplitude
from .driver import evenly_spaced

# Values at which a model is checked to determine its parameters.
_N_PROBES = 64


def check_determined(model, theta, name, *, has_prior=False):
    """Refuse a model that determines its parameters at none of the given values.

    With a prior only their derivatives have to be finite at some.

    theta : (n, n_parameters), without an amplitude, which has no effect.

    Such a model has more unknowns than a signal has real numbers, or a parameter whose
    bound is infinite or whose derivative is not finite at all of these values.
    """
    if model.n_reals < model.n_unknowns and not has_prior:
        raise ValueError(
            f"{name} has {model._counts}; measure more, fix parameters, or give a prior."
        )
    theta = with_amplitude(theta, model._amplitude_column, 1.0)
    rows = evenly_spaced(len(theta), _N_PROBES)
    signal, jacobian = model.rows(rows)._simulate_voxels(theta[rows], jacobian=True)
    finite = check_finite_somewhere(model, signal, jacobian, name)
    if has_prior:
        return
    nuisance = signal[finite] if model.is_complex else None
    crb = crb_from_jacobian(jacobian[finite], nuisance, accuracy=model.jacobian_accuracy)
    is_open = np.isinf(crb).all(axis=0)
    if len(crb) and is_open.any():
        names = np.array(model.parameter_names)[is_open]
        raise ValueError(
            f"the signal does not determine {', '.join(names)} at any start value: the "
            f"Jacobian is singular there, and {name} cannot search; start elsewhere, fix "
            "parameters, or give a prior."
        )
