"""Sphinx configuration. Build: ``.venv/bin/sphinx-build -W -b html docs docs/_build``."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "mfas"
author = "the mfas developers"
project_copyright = "the mfas developers"
release = metadata.version("mfas")

extensions = ["myst_parser", "sphinx.ext.mathjax", "_in_step"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"mfas {release}"
html_static_path: list[str] = []
