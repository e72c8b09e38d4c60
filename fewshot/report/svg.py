"""A figure as SVG within a page: text as text, colours that follow light and dark, ids of its own."""

import io
import re
import warnings
from html import escape
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {  # what the figures of this package are drawn in, and the variable of the page's style
    "#000000": "--ink",
    "#ffffff": "--paper",
    "#0072b2": "--blue",
    "#d55e00": "--vermilion",
    "#009e73": "--green",
    "#cc79a7": "--purple",
    "#e69f00": "--orange",
    "#56b4e9": "--sky",
    "#404040": "--muted",
    "#666666": "--muted",
    "#999999": "--faint",
    "#ededed": "--rule",
}
FONT = re.compile(r"('DejaVu Sans'[^;\"]*?|&quot;DejaVu[^;]*?)sans-serif")


def inline_svg(figure: "Figure", name: str, alt: str) -> Markup:
    """Markup of a figure; a screen reader hears ``alt``.

    Args:
        figure: Of matplotlib.
        name: Begins every id, so that two figures of a page do not mix theirs up.
        alt: What it shows, in words.
    """
    text = _drawn(figure)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub("|".join(COLOURS), lambda found: f"var({COLOURS[found[0]]})", text)
    text = FONT.sub("system-ui, sans-serif", text)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    head = f'<svg role="img" aria-label="{escape(alt)}" style="--width: {72 * figure.get_figwidth() * 1.25:.0f}px"'
    return Markup(text.replace("<svg", head, 1))


def _drawn(figure: "Figure") -> str:
    """SVG of matplotlib; the browser has its own fonts, so that glyphs which matplotlib lacks are no matter."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fewshot"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return buffer.getvalue()
