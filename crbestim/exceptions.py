"""Warnings and errors of this library.

They can be selected by name, for example to turn a warning into an error:
``warnings.simplefilter("error", SingularInformationWarning)``.
"""

__all__ = [
    "AtBoundWarning",
    "ImageFileError",
    "ImplausibleValueWarning",
    "InexactJacobianWarning",
    "LowSignalWarning",
    "MissingJacobianError",
    "NoiseLevelWarning",
    "SavedFileError",
    "SequenceFileError",
    "SingularInformationWarning",
    "VersionWarning",
]


class SingularInformationWarning(UserWarning):
    """The data do not determine some parameters, whose bound is therefore infinite.

    Examples
    --------
    >>> import warnings
    >>> from crbestim.exceptions import SingularInformationWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", SingularInformationWarning)
    ...     warnings.warn("Rx is not determined", SingularInformationWarning)
    """


class AtBoundWarning(UserWarning):
    """Estimates end at a bound of the search, though the data determine the parameter.

    Examples
    --------
    >>> import warnings
    >>> from crbestim.exceptions import AtBoundWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", AtBoundWarning)
    ...     warnings.warn("T2 at its upper bound", AtBoundWarning)
    """


class ImplausibleValueWarning(UserWarning):
    """A value is allowed, but its magnitude suggests another unit.

    Examples
    --------
    >>> import warnings
    >>> from crbestim.exceptions import ImplausibleValueWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", ImplausibleValueWarning)
    ...     warnings.warn("TR = 3.5 s", ImplausibleValueWarning)
    Traceback (most recent call last):
    ...
    crbestim.exceptions.ImplausibleValueWarning: TR = 3.5 s
    """


class InexactJacobianWarning(UserWarning):
    """Derivatives by differences may be wrong: the signal is not smooth or not precise.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from crbestim.exceptions import InexactJacobianWarning
    >>> from crbestim.models import FunctionModel
    >>> def coarse(theta):
    ...     return np.exp(-theta * np.array([0.01, 0.05])).round(6)
    >>> model = FunctionModel(coarse, ["R2"], [(1.0, 100.0)])
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", InexactJacobianWarning)
    ...     s, J = model.signal([[20.0]], jacobian=True)
    Traceback (most recent call last):
    ...
    crbestim.exceptions.InexactJacobianWarning: the derivative of FunctionModel 'coarse'
    with respect to R2 is uncertain by more than 0.0001 of its norm: ...
    """


class LowSignalWarning(UserWarning):
    """Magnitudes are so close to the noise that its distribution is not Gaussian.

    Examples
    --------
    >>> import warnings
    >>> from crbestim.exceptions import LowSignalWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", LowSignalWarning)
    ...     warnings.warn("use Rician noise", LowSignalWarning)
    """


class MissingJacobianError(ValueError):
    """Derivatives of a signal are needed, but not given and not to be computed.

    Examples
    --------
    >>> from crbestim.exceptions import MissingJacobianError
    >>> issubclass(MissingJacobianError, ValueError)
    True
    """


class NoiseLevelWarning(UserWarning):
    """Data are much noisier, or less noisy, than sigma says or a network was trained for.

    Examples
    --------
    >>> import warnings
    >>> from crbestim.exceptions import NoiseLevelWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", NoiseLevelWarning)
    ...     warnings.warn("trained for 20 to 100", NoiseLevelWarning)
    """


class SavedFileError(ValueError):
    """A file of :func:`crbestim.io.save` cannot be read, or an object not be stored.

    Examples
    --------
    >>> from crbestim.exceptions import SavedFileError
    >>> issubclass(SavedFileError, ValueError)
    True
    """


class SequenceFileError(ValueError):
    """A sequence file cannot be read, or does not hold a sequence.

    Examples
    --------
    >>> from crbestim.exceptions import SequenceFileError
    >>> issubclass(SequenceFileError, ValueError)
    True
    """


class VersionWarning(UserWarning):
    """An object was stored by another version of the library.

    Examples
    --------
    >>> import warnings
    >>> from crbestim.exceptions import VersionWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", VersionWarning)
    ...     warnings.warn("stored by crbestim 0.0.1", VersionWarning)
    Traceback (most recent call last):
    ...
    crbestim.exceptions.VersionWarning: stored by crbestim 0.0.1
    """


class ImageFileError(ValueError):
    """An image file cannot be read, or does not belong to the others.

    Examples
    --------
    >>> from crbestim.exceptions import ImageFileError
    >>> issubclass(ImageFileError, ValueError)
    True
    """
