"""Published tables and the recipes that rebuild them: which record comes from where, what is stale, what is missing."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fewshot.datasets.index import load_dataset
from fewshot.errors import DataError, MissingDataError, RecordError
from fewshot.plumbing.files import packaged
from fewshot.plumbing.names import unknown
from fewshot.recipes.load import load_recipe
from fewshot.recipes.rows import is_same, row_name
from fewshot.recipes.run import run_recipe
from fewshot.recipes.schema import Recipe, Row
from fewshot.recipes.units import Announce
from fewshot.records.record import Record
from fewshot.records.seed_spread import spread_of
from fewshot.statistics.verdict import LEAST_RUNS
from fewshot.tables.paper_table import Judged, Spreads, judge_cell
from fewshot.tables.papers import PaperCell, PaperTable, paper_tables
from fewshot.training.progress import Progress

OTHER_SETTINGS, OTHER_DATA = "stale, its recipe says something else now", "stale, its data have changed"


@dataclass(frozen=True)
class Known:
    """The records of a folder that tables name, their files, and the spread between training runs pooled over all of them."""

    records: Mapping[str, Record]
    files: Mapping[str, Path]
    spreads: Spreads


def known_records(folder: Path, own: Sequence[PaperCell] = (), shipped: Path | None = None) -> Known:
    """Read the records that the tables and own cells name from a folder or folders of it.

    Args:
        folder: Of records.
        own: Cells that name further records.
        shipped: A second folder, whose records count where the first has none of their name.

    Raises:
        RecordError: If a record is in a folder twice.
    """
    cells = [*(cell for _, _, table in paper_tables() for cell in table.cells), *own]
    settings = {tuple(cell.records): cell for cell in cells}.values()  # the same runs count once
    named = {name for cell in cells for name in cell.records}
    files = ({} if shipped is None else _files(shipped, named)) | _files(folder, named)
    records = {name: Record.load(path) for name, path in files.items()}
    enough = [(cell, runs) for cell in settings if len(runs := runs_of(cell, records)) >= LEAST_RUNS]
    return Known(records, files, spread_of(runs for cell, runs in enough if stale(cell, records) is None))


def _files(folder: Path, named: Collection[str]) -> dict[str, Path]:
    """The files of records of these names, each of which is in the folder once."""
    files: dict[str, Path] = {}
    for path in (path for path in sorted(folder.rglob("*.json")) if path.stem in named):
        if path.stem in files:
            raise RecordError(f"a record must be there once, got '{files[path.stem]}' and '{path}'; remove one of them")
        files[path.stem] = path
    return files


def judged_cells(table: PaperTable, known: Known) -> list[Judged]:
    """Every cell of a table with its records.

    Raises:
        DataError: If a recipe does not make a record that a cell names.
    """
    return [
        judge_cell(cell, runs_of(cell, known.records), known.spreads, stale(cell, known.records), commands(cell))
        for cell in table.cells
    ]


def run_missing(
    table: PaperTable,
    folder: Path,
    report: Callable[[Progress], None],
    announce: Announce,
    shipped: Path | None = None,
) -> None:
    """Make the records that are not there, or that are stale: beside others of their recipe, or in a folder of its name.

    Args:
        table: Whose cells name the records.
        folder: Where they shall be.
        report: Told how a training run goes on.
        announce: Told of every recipe before it runs.
        shipped: A second folder of records, which need not be made again; nothing is written there.
    """
    records = known_records(folder, table.cells, shipped).records
    placed = known_records(folder, table.cells)
    wanted: dict[tuple[str, Path], dict[str, None]] = {}
    for cell in table.cells:
        if stale(cell, records) or any(name not in records for name in cell.records):
            for one, _ in makers(cell):
                labels = wanted.setdefault((cell.recipe, _folder_of(one, placed, folder)), {})
                labels.update({one.label: None} if one.label else {})
    old = {cell.recipe for cell in table.cells if stale(cell, records) == OTHER_DATA}
    for (recipe, out), labels in wanted.items():
        announce(f"making records of {recipe}: {', '.join(labels) or 'all rows'}")
        run_recipe(recipe, out, report=report, announce=announce, only=list(labels), again=recipe in old)


def _folder_of(one: Recipe, known: Known, folder: Path) -> Path:
    """Where records of this learner lie, or of its recipe, or shall lie."""
    names = [row_name(one, row) for row in one.evaluation.rows]
    own = [known.files[name].parent for name in names if name in known.files]
    beside = [known.files[name].parent for name, record in known.records.items() if record.recipe == one.name]
    return (own or beside or [folder / one.name])[0]


def makers(cell: PaperCell) -> list[tuple[Recipe, Row]]:
    """The learner of a recipe and its row that make each record of a cell.

    Raises:
        UnknownNameError: If the recipe makes no such record; names the nearest.
        DataError: If it makes it of other ways or shots than the cell's.
    """
    known = {row_name(one, row): (one, row) for one, row in _rows(cell.recipe)}
    for name in cell.records:
        if name not in known:
            raise unknown(f"record of recipe '{cell.recipe}'", name, known)
        row = known[name][1]
        if (row.way, row.shot) != (cell.way, cell.shot):
            raise DataError(
                f"a cell of {cell.way} ways and {cell.shot} shots must have records of them, got '{name}', "
                f"which has {row.way} and {row.shot}; name another"
            )
    return [known[name] for name in cell.records]


def commands(cell: PaperCell) -> list[str]:
    """What a person types to make each record of a cell."""
    only = [f" --only {one.label}" if one.label else "" for one, _ in makers(cell)]
    return [f"fewshot-bench run {cell.recipe}{label}" for label in only]


@cache
def _rows(recipe: str) -> tuple[tuple[Recipe, Row], ...]:
    loaded = load_recipe(recipe)
    if not isinstance(loaded, Recipe):
        raise DataError(f"a cell must come from a recipe of episodes, got '{recipe}'")
    if recipe.endswith((".yaml", ".yml")) and packaged("recipes", f"{loaded.name}.yaml").is_file():
        raise DataError(
            f"the recipe '{recipe}' must have a name of its own, got '{loaded.name}', which ships with the package; rename it"
        )
    return tuple((one, row) for one in loaded.singles() for row in one.evaluation.rows)


def runs_of(cell: PaperCell, records: Mapping[str, Record]) -> list[Record]:
    """The records of a cell that are there."""
    return [records[name] for name in cell.records if name in records]


def stale(cell: PaperCell, records: Mapping[str, Record]) -> str | None:
    """What has changed since the records of a cell were made."""
    for name, (recipe, row) in zip(cell.records, makers(cell), strict=True):
        if name not in records:
            continue
        data = records[name].data
        if not is_same(records[name], recipe, row):
            return OTHER_SETTINGS
        if _data_hash(data.name, json.dumps(data.options), data.split) not in (None, data.hash):
            return OTHER_DATA
    return None


@cache
def _data_hash(name: str, options: str, split: str | None) -> str | None:
    """Of items and labels as they are now; None where the data are not at hand."""
    try:
        data = load_dataset(name, **json.loads(options))
    except MissingDataError:
        return None
    return (data if split is None else data.split(split)).hash
