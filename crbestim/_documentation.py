"""Pages of the documentation, to which the HTML of estimators and transformers links."""

import os
from importlib import metadata

from ._version import Versioned


def documentation_address():
    """Return where the pages are, without a slash at the end, or "" if nothing tells.

    The environment variable ``CRBESTIM_DOCS`` tells it, such as
    ``file:///home/me/crbestim/docs/_build/html``, or else the metadata of the installed
    package.
    """
    address = os.environ.get("CRBESTIM_DOCS", "")
    if not address:
        try:
            urls = metadata.metadata("crbestim").get_all("Project-URL") or []
        except metadata.PackageNotFoundError:
            urls = []
        named = dict(url.split(", ", 1) for url in urls)
        address = named.get("Documentation", "")
    return address.rstrip("/")


class Documented(Versioned):
    """A versioned object with a page of its own, which scikit-learn's HTML links to."""

    _doc_link_module = "crbestim"

    def _doc_link_url_param_generator(self):
        """Return what the address of the page is made of."""
        package, module, *_ = type(self).__module__.split(".")
        name = f"{package}.{module}.{type(self).__name__}"
        return {"address": documentation_address(), "name": name}

    @property
    def _doc_link_template(self):
        """The address of a page; empty, which is no link, if it is not known."""
        return "{address}/api/generated/{name}.html" if documentation_address() else ""
