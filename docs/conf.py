"""Sphinx settings."""

import importlib.metadata

project = "fewshot"
author = "The fewshot developers"
copyright = "2026, The fewshot developers"
release = importlib.metadata.version("fewshot")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "fewshot"
nitpicky = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
