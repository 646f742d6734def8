"""Links from the HTML of estimators and transformers to their pages."""

import re
from importlib import metadata

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_html_repr

from crbestim import CRBRegressor, NLLSRegressor
from crbestim.subspace import Whitening
from tests.conftest import ROOT


def links(estimator):
    """Return the addresses in the HTML of an estimator."""
    return re.findall(r'href="([^"]*)"', estimator_html_repr(estimator))


@pytest.mark.parametrize("estimator", [CRBRegressor(), NLLSRegressor(), Whitening()])
def test_estimators_link_to_their_pages(estimator, monkeypatch):
    monkeypatch.setenv("CRBESTIM_DOCS", "https://pages.local/")
    kind = type(estimator)
    module = ".".join(kind.__module__.split(".")[:2])
    page = f"https://pages.local/api/generated/{module}.{kind.__name__}.html"
    assert links(clone(estimator))[0] == page
    assert f"   {module.split('.')[1]}\n" in (ROOT / "docs/api/index.rst").read_text(
        "utf-8"
    )


def test_there_is_no_link_where_the_pages_are_not_known(monkeypatch):
    monkeypatch.delenv("CRBESTIM_DOCS", raising=False)
    found = {"Project-URL": ["Documentation, https://pages.local/0.1"]}

    class Metadata:
        def get_all(self, name):
            return found.get(name)

    monkeypatch.setattr(metadata, "metadata", lambda name: Metadata())
    page = "https://pages.local/0.1/api/generated/crbestim.estimators.NLLSRegressor.html"
    assert NLLSRegressor()._get_doc_link() == page
    found.clear()
    assert NLLSRegressor()._get_doc_link() == ""

    def missing(name):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "metadata", missing)
    assert NLLSRegressor()._get_doc_link() == ""


class Own(NLLSRegressor):
    """A user's subclass, which has no page here."""


def test_a_users_own_class_has_no_link(monkeypatch):
    monkeypatch.setenv("CRBESTIM_DOCS", "https://pages.local")
    assert Own()._get_doc_link() == ""
