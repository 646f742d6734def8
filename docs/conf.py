"""Settings of the documentation. Nothing here needs the network."""

import configparser
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

metadata = configparser.ConfigParser()
metadata.read(ROOT / "setup.cfg", encoding="utf-8")

project = "crbestim"
author = "The crbestim developers"
copyright = f"2026, {author}"
version = release = metadata["metadata"]["version"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "sg_execution_times.rst"]
default_role = "literal"

autosummary_generate = True
# A module page lists the public names of `__all__`, wherever they are defined.
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "crbestim"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}

# The examples train networks. CRBESTIM_GALLERY=0, or -D plot_gallery=0, shows their
# code without running it. A string, because what -D gives is one.
sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"measurements\.py",
    "plot_gallery": os.environ.get("CRBESTIM_GALLERY", "1"),
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
}
