"""Imports that wait until something needs them."""

import importlib


def import_optional(module, needed_by, extra=None):
    """Return an imported module, or raise an error that says how to install its package.

    `needed_by` opens the error; `extra` is the extra of this library with the package.
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
