"""The description that the package index shows; all else is in setup.cfg.

The index shows neither pictures nor files that lie beside the README.
"""

import re
from pathlib import Path

from setuptools import setup

text = Path(__file__).with_name("README.md").read_text("utf-8")
text = re.sub(r"<picture>.*?</picture>\n+", "", text, flags=re.DOTALL)
text = re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
setup(long_description=text, long_description_content_type="text/markdown")
