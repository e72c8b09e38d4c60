"""The page: what stands in it, and its HTML."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from fewshot.report.cells import SortableTable
from fewshot.report.differences import Differences
from fewshot.report.episodes import Viewer
from fewshot.report.hardest import Hardest
from fewshot.report.plots import Plot
from fewshot.report.provenance import Provenance
from fewshot.report.svg import inline_svg

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{}'; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Page:
    """Everything that a report shows, in its order; what is empty is left out.

    Attributes:
        title: Of the page.
        lead: One paragraph: what was run, on what.
        reading: How to read an interval, a sentence a kind.
        few_shot: Results over episodes.
        zero_shot: Results without examples.
        accuracies: Figures of accuracies with intervals.
        shots: Figures of accuracy against shots.
        differences: Paired ones, each with its figure.
        apart: Why groups are not compared with each other.
        curves: Of training.
        viewers: Episodes to look at.
        hardest: Classes that are told apart worst.
        provenance: Where each result comes from.
        words: Terms and their meaning.
        notes: What the records themselves say a reader must know.
        made: When and by what.
    """

    title: str
    lead: str
    reading: Sequence[str]
    provenance: Provenance
    few_shot: SortableTable | None = None
    zero_shot: SortableTable | None = None
    accuracies: Sequence[Plot] = ()
    shots: Sequence[Plot] = ()
    differences: Sequence[tuple[Differences, Plot | None]] = ()
    apart: str = ""
    curves: Sequence[Plot] = ()
    viewers: Sequence[Viewer] = ()
    hardest: Sequence[Hardest] = ()
    words: dict[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    made: str = ""

    @property
    def plots(self) -> list[Plot]:
        """Every figure."""
        drawn = [plot for _, plot in self.differences if plot is not None]
        return [*self.accuracies, *self.shots, *drawn, *self.curves]


def render(page: Page) -> str:
    """The page as HTML that loads nothing from anywhere: style, script and pictures are within it.

    Every string is escaped; only this package's own style and script, and figures, are put in as they are.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fewshot.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    script = _packaged("report.js")
    environment.globals.update(svg=_Figures(), percent=lambda fraction: f"{100 * fraction:.2f}")
    return environment.get_template("report.html.j2").render(
        page=page,
        style=Markup(_packaged("report.css")),
        script=Markup(script),
        policy=POLICY.format(script_hash(script)),
    )


def script_hash(script: str) -> str:
    """What a Content-Security-Policy names a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


class _Figures:
    """Gives every figure of a page ids of its own."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, plot: Plot) -> Any:
        self.count += 1
        return inline_svg(plot.figure, f"figure{self.count}", plot.alt)


def _packaged(name: str) -> str:
    return files("fewshot.report").joinpath("templates", name).read_text("utf-8")
