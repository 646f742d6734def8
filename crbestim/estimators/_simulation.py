"""Simulation that some voxels may fail in, without stopping the others."""

import numpy as np


def simulate_rows(model, theta, jacobian=False):
    """Simulate all voxels at once, one after another if the model fails in some.

    Parameters
    ----------
    model : SignalModel
        The model.
    theta : ndarray of shape (n, n_parameters)
        Parameters, in SI units.
    jacobian : bool, default=False
        Whether derivatives are wanted.

    Returns
    -------
    s : ndarray of shape (n, n_features)
        Signals; NaN where the model raised an arithmetic error.
    ds : ndarray of shape (n, n_features, n_parameters) or None
        Derivatives, if wanted.
    """
    try:
        out = model.simulate(theta, jacobian=jacobian)
        return out if jacobian else (out, None)
    except (ArithmeticError, np.linalg.LinAlgError):
        if len(theta) > 1:
            parts = [
                simulate_rows(model.rows([i]), row[None], jacobian)
                for i, row in enumerate(theta)
            ]
            s, ds = zip(*parts, strict=True)
            return np.concatenate(s), np.concatenate(ds) if jacobian else None
    s = np.full((1, model.n_features), np.nan, complex if model.is_complex else float)
    return s, np.repeat(s[:, :, None], theta.shape[1], axis=2) if jacobian else None
