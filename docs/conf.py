"""Settings of the documentation. Nothing here needs the network."""

import configparser
import importlib.util
import json
import os
import re
import shutil
import warnings
import zipfile
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
    "sphinx_copybutton",
    "sphinx_design",
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
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "crbestim"
html_show_sourcelink = False
html_sidebars = {"index": [], "contributing": []}
html_theme_options = {
    "secondary_sidebar_items": ["page-toc"],
    "show_nav_level": 2,
    "navbar_end": ["version-switcher", "theme-switcher"],
    # The list is in _static/versions.js, which gives the theme its address.
    "switcher": {"json_url": "", "version_match": version},
    "check_switcher": False,
}

# One file of MathJax, glyphs included, from a package: readers need no network.
package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
html_static_path = ["_static", str(package / "static" / "mathjax" / "tex-svg.js")]
html_css_files = ["site.css"]
html_js_files = ["versions.js"]
mathjax_path = "tex-svg.js"

# Outputs and prompts are not copied.
copybutton_exclude = ".linenos, .gp, .go"


def format_warning(message, category, *_):
    """Return a warning of an example without the place of its file on this machine."""
    return f"{category.__name__}: {message}\n"


warnings.formatwarning = format_warning

# The examples train networks. CRBESTIM_GALLERY=0, or -D plot_gallery=0, shows their
# code without running it. A string, because what -D gives is one.
sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"measurements\.py",
    "plot_gallery": os.environ.get("CRBESTIM_GALLERY", "1"),
    "default_thumb_file": str(ROOT / "docs" / "thumbnails" / "default.png"),
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
}


def fill_thumbnails(app, config):
    """Put kept pictures where the gallery looks for those of examples that do not run."""
    folder = ROOT / "docs" / "auto_examples" / "images" / "thumb"
    folder.mkdir(parents=True, exist_ok=True)
    for picture in (ROOT / "docs" / "thumbnails").glob("*.png"):
        file = folder / f"sphx_glr_{picture.stem}_thumb.png"
        if not file.exists():
            shutil.copyfile(picture, file)


def complete_downloads(app):
    """Give notebooks and archives the module that some examples share.

    A notebook writes it first; an archive holds it beside script and notebook.
    """
    shared = ROOT / "examples" / "measurements.py"
    source = f"%%writefile {shared.name}\n{shared.read_text('utf-8')}"
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    for file in (ROOT / "docs" / "auto_examples").glob("*.ipynb"):
        notebook = json.loads(file.read_text("utf-8"))
        cells = ["".join(part["source"]) for part in notebook["cells"]]
        if source in cells or not any(f"from {shared.stem} import" in c for c in cells):
            continue
        notebook["cells"].insert(0, {**cell, "source": source.splitlines(keepends=True)})
        file.write_text(json.dumps(notebook, indent=1), "utf-8")
        with zipfile.ZipFile(file.with_suffix(".zip"), "a") as archive:
            archive.write(shared, shared.name)


def report_time(app, error):
    """End a build that runs the examples with the time that they took."""
    if error is None and app.config.sphinx_gallery_conf["plot_gallery"]:
        page = ROOT / "docs" / "auto_examples" / "sg_execution_times.rst"
        found = re.search(r"\*\*(.*)\*\* total execution time", page.read_text("utf-8"))
        print(f"All examples: {found[1]} (minutes:seconds).")


def find_estimator(app, env, node, contnode):
    """Resolve the short name of an estimator, crbestim.X, which the pages use."""
    package, _, name = node.get("reftarget", "").partition(".")
    if node.get("refdomain") != "py" or package != "crbestim":
        return None
    return env.get_domain("py").resolve_xref(
        env,
        node["refdoc"],
        app.builder,
        node["reftype"],
        f"crbestim.estimators.{name}",
        node,
        contnode,
    )


def setup(app):
    """Let the short names of estimators be links; complete the gallery."""
    app.connect("config-inited", fill_thumbnails)
    # After the gallery, which has the usual priority of 500.
    app.connect("builder-inited", complete_downloads, priority=600)
    app.connect("build-finished", report_time)
    app.connect("missing-reference", find_estimator)
