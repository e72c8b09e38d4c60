"""Sphinx settings."""

import importlib.metadata
import re

from docutils import nodes
from latex2mathml.converter import convert

project = "fewshot"
author = "The fewshot developers"
copyright = "2026, The fewshot developers"
release = importlib.metadata.version("fewshot")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks keep their output, and tests/docs/test_notebooks.py runs their code
exclude_patterns = ["_build", "_templates", "jupyter_execute"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = "fewshot"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
nitpicky = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_attr_annotations = False
autosummary_generate = True

PRIME = re.compile(
    r"<msup>(<mi>[^<]*</mi>)<mi>&#x02032;</mi></msup>"
)  # a raised mark that text fonts would raise twice


def write_math(translator, node):
    """A formula as MathML, which browsers draw themselves: the site loads nothing from elsewhere."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    markup = PRIME.sub(
        r"<mrow>\1<mo lspace='0' rspace='0'>&#x02B9;</mo></mrow>", convert(node.astext(), display=display)
    )
    translator.body.append(f'<div class="math">{markup}</div>' if display == "block" else markup)
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
