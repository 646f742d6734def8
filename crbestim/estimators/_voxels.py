"""What voxels hold: a signal or not, complex or real, negative or not, noise to be seen."""

import warnings

import numpy as np

# Shares of a magnitude that may be negative, and of voxels that may be more so.
_NEGATIVE, _TOLERATED = 0.1, 0.01


def refuse_kind(X, is_complex, what):
    """Refuse real X where it should be complex, and the other way round."""
    if (X.dtype.kind == "c") == is_complex:
        return
    kinds = ("real", "complex") if is_complex else ("complex", "real")
    advice = ""
    if is_complex:
        advice = (
            "; give X + 0j if it is signed, or for magnitudes a model of them, with "
            "signal='magnitude' where there is such an option"
        )
    raise ValueError(f"X is {kinds[0]}, but {what.format(kinds[1])}{advice}.")


def has_signal(X, model, simulates_X):
    """Tell voxels with a signal: complex, not zero; magnitudes, positive somewhere."""
    if model is None:
        zeros_are_data, are_magnitudes = X.dtype.kind != "c", False
    else:
        # Coefficients of magnitudes may be negative.
        zeros_are_data = model._zeros_are_data
        are_magnitudes = model.is_magnitude and simulates_X
    return (X > 0 if are_magnitudes else X != 0).any(axis=1) | zeros_are_data


def warn_of_negative(X, stacklevel):
    """Warn of magnitudes that are signed signals."""
    with np.errstate(invalid="ignore"):
        negative = X.min(axis=1) < -_NEGATIVE * np.abs(X).max(axis=1)
    n_positive = int((X > 0).any(axis=1).sum())
    n_signed = int((negative & (X > 0).any(axis=1)).sum())
    if n_signed > _TOLERATED * n_positive:
        warnings.warn(
            f"X has large negative values in {n_signed} of {n_positive} voxels, and the "
            "model is of magnitudes, which have none; for signed data give a model with "
            "signal='complex', and X + 0j",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def warn_of_no_noise(model, X, follows, stacklevel):
    """Warn if some signals have no more numbers than unknowns."""
    if not len(X) or model._free_numbers(X).all():
        return
    found = f"{model._label} has {model._counts}, which leaves none"
    if model.n_reals > model.n_unknowns:
        found = (
            "X without imaginary parts has no more real numbers a voxel than "
            f"{model._label} has unknowns, and so none"
        )
    warnings.warn(
        f"{found} to estimate the noise from: {follows}; give sigma",
        UserWarning,
        stacklevel=stacklevel + 1,
    )
