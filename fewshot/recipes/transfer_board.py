"""Tables of a recipe of transfer, beside its records."""

from collections.abc import Sequence
from pathlib import Path

from fewshot.plumbing.files import write_text
from fewshot.recipes.transfer import pairs
from fewshot.recipes.transfer_schema import TransferRecipe
from fewshot.records.record import Record
from fewshot.tables.record_tables import Table, markdown
from fewshot.tables.transfer import transfer_tables


def write_transfer_board(recipe: TransferRecipe, records: Sequence[Record], folder: Path) -> tuple[list[Table], Path]:
    """Write ``table.md``; the tables and the file come back.

    Raises:
        DataError: If the file cannot be written.
    """
    keyed = {(task, one.name): record for (task, one), record in zip(pairs(recipe), records, strict=True)}
    tables = transfer_tables(keyed, recipe.reference, recipe.about)
    return tables, write_text(folder / "table.md", "\n\n".join(markdown(table) for table in tables) + "\n")
