"""Tables in other forms than text and Markdown: for a paper, a spreadsheet, a web page."""

import csv
import io
from html import escape

from fewshot.tables.record_tables import Table, markdown, plain

_TEX = {"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$", "–": "--", "δ": r"$\delta$"}  # fmt: skip


def latex(table: Table) -> str:
    """A ``tabular`` with the rules of booktabs, title and notes as comments."""
    spec = "".join("r" if right else "l" for right in table.right())
    lines = [" & ".join(map(_tex, cells)) + r" \\" for cells in (table.columns, *table.rows)]
    body = [
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*(f"% {line}" for text in (table.title, *table.notes) for line in text.splitlines()), *body])


def comma_separated(table: Table) -> str:
    """Cells with commas between, quoted where needed; without title and notes."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([table.columns, *table.rows])
    return out.getvalue().rstrip("\n")


def html(table: Table) -> str:
    """A ``table`` element, with the notes as paragraphs after it; every cell is escaped."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.columns)
    rows = ["<tr>" + "".join(map(_cell, row, table.right())) + "</tr>" for row in table.rows]
    caption = [f"<caption>{escape(table.title)}</caption>"] if table.title else []
    notes = [f"<p>{escape(note)}</p>" for note in table.notes]
    return "\n".join(
        ["<table>", *caption, f"<thead><tr>{head}</tr></thead>", "<tbody>", *rows, "</tbody>", "</table>", *notes]
    )


FORMATS = {"text": plain, "md": markdown, "latex": latex, "csv": comma_separated, "html": html}


def _tex(cell: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in cell)


def _cell(cell: str, right: bool) -> str:
    return f'<td style="text-align: right">{escape(cell)}</td>' if right else f"<td>{escape(cell)}</td>"
