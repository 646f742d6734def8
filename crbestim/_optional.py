"""Imports that wait until something needs them."""

import importlib


def import_optional(module, needed_by, extra=None):
    """Import a module that the library can do without, or say how to install it.

    Parameters
    ----------
    module : str
        The module, such as ``"matplotlib.pyplot"``.
    needed_by : str
        What asks for it, in the words of a user; it opens the error.
    extra : str, default=None
        The extra of this library that brings the package in. By default the error
        names the package itself.

    Returns
    -------
    module : module
        The imported module, ``pyplot`` for ``"matplotlib.pyplot"``.

    Raises
    ------
    ImportError
        If the package is not installed. An error inside an installed package is
        passed on as it is.

    Examples
    --------
    >>> from crbestim._optional import import_optional
    >>> import_optional("json", "this example").dumps([1])
    '[1]'
    >>> import_optional("no_such_package", "Reading a MATLAB 7.3 file", extra="mat")
    Traceback (most recent call last):
    ...
    ImportError: Reading a MATLAB 7.3 file needs no_such_package, which is not
    installed; install it with: python -m pip install "crbestim[mat]"
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        target = package if extra is None else f'"crbestim[{extra}]"'
        raise ImportError(
            f"{needed_by} needs {package}, which is not installed; "
            f"install it with: python -m pip install {target}"
        ) from error
