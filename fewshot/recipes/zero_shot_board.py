"""Table and picture of a recipe of zero-shot learning, beside its records."""

from collections.abc import Sequence
from pathlib import Path

from fewshot.figures.accuracy import save_figure
from fewshot.figures.zero_shot import zero_shot_figure
from fewshot.plumbing.files import write_text
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.tables.record_tables import Table, markdown
from fewshot.tables.zero_shot import zero_shot_table


def write_zero_shot_board(
    records: Sequence[ZeroShotRecord], folder: Path, reference: str | None = None
) -> tuple[Table, tuple[Path, Path]]:
    """Write ``table.md`` and ``figure.png``; the table and the two files come back.

    Args:
        records: Of one recipe.
        folder: Where to write.
        reference: Label of the learner that all others are compared with.

    Raises:
        DataError: If a file cannot be written.
    """
    table = zero_shot_table(records, reference)
    text = write_text(folder / "table.md", markdown(table) + "\n")
    return table, (text, save_figure(zero_shot_figure(records), folder / "figure.png"))
