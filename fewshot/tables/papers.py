"""Published tables as data: one YAML file a paper, below ``data/papers``."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fewshot.errors import DataError
from fewshot.plumbing.files import packaged
from fewshot.plumbing.names import unknown
from fewshot.plumbing.yaml_files import YamlFile
from fewshot.statistics.verdict import Published, plausible


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PaperCell(_Part):
    """One published number, and the records compared with it.

    Attributes:
        method: What the paper calls it.
        way: Classes of a test episode.
        shot: Examples of each.
        value: Per cent.
        half_width: Of a printed interval, in per cent.
        half_width_of: What the paper's interval is over.
        digits: Decimals of the printed value.
        episodes: Test episodes.
        queries: Of each class of a test episode.
        delta: Percentage points within which a re-run agrees; fixed before any re-run.
        reruns: Numbers that others got, in per cent.
        recipe: What makes the record: a name, or a ``.yaml`` file beside that of the paper.
        records: Names of the records, one a training run; all on the same episodes.
        short_of: What our run lacks of the published one; such a cell is under-trained.
        same_items: Whether the paper used exactly the same queries and examples.
        other_classes: Whether the paper's test classes are others than ours; such a cell is undecided at best, for how much classes
            matter is not in the interval.
        reason: Why ours is different, as far as was found.
    """

    method: str
    way: int = Field(ge=2)
    shot: int = Field(ge=1)
    value: float = Field(ge=0, le=100)
    half_width: float | None = Field(None, gt=0)
    half_width_of: Literal["episodes", "runs", "not stated"] = "episodes"
    digits: int = Field(1, ge=0)
    episodes: int = Field(ge=2)
    queries: int = Field(ge=1)
    delta: float = Field(gt=0)
    reruns: list[float] = []
    recipe: str
    records: list[str] = Field(min_length=1)
    short_of: str | None = None
    same_items: bool = False
    other_classes: bool = False
    reason: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "PaperCell":
        if 0 < self.value < 1:
            raise ValueError(f"value must be in per cent, got {self.value}; write {100 * self.value:g}")
        if len(set(self.records)) < len(self.records):
            raise ValueError(f"records must be different runs, got {self.records}; name each once")
        if round(self.value, self.digits) != self.value:
            raise ValueError(f"value must have at most digits = {self.digits} decimals, got {self.value}; set digits")
        return self

    @field_validator("recipe")
    @classmethod
    def _beside_the_paper(cls, recipe: str, info: Any) -> str:
        """``info.context`` is the folder of the paper."""
        return str(info.context / recipe) if info.context and recipe.endswith((".yaml", ".yml")) else recipe

    @property
    def usable(self) -> bool:
        """Whether the printed interval is one over episodes, by the paper and by what is possible."""
        if self.half_width is None or self.half_width_of != "episodes":
            return False
        printed = Published(self.value / 100, self.episodes, self.half_width / 100, self.digits)
        return plausible(printed, self.way * self.queries)

    @property
    def published(self) -> Published:
        """As fractions, without an interval that cannot be one over episodes."""
        half = self.half_width / 100 if self.usable and self.half_width is not None else None
        return Published(self.value / 100, self.episodes, half, self.digits, self.way * self.queries)


class PaperTable(_Part):
    """One table of a paper."""

    about: str
    note: str = ""
    cells: list[PaperCell] = Field(min_length=1)


class ExactRow(_Part):
    """One method of a table of deterministic results.

    Attributes:
        method: What the paper calls it.
        label: What the recipe calls it.
        values: Per cent, one a task.
        deviations: Printed standard deviations over draws (divisor: their number), in points; None where none are printed.
        digits: Decimals of the printed values.
        fitted: Whether an option was found from the published numbers.
        fitted_tasks: Tasks for which one was.
        note: What a reader must know of the row.
    """

    method: str
    label: str
    values: list[float]
    deviations: list[float] | None = None
    digits: int = Field(2, ge=0)
    fitted: bool = False
    fitted_tasks: list[str] = []
    note: str = ""


class ExactTable(_Part):
    """A table of results on tasks, deterministic ones where nothing is drawn: one recipe makes the record of every cell.

    Attributes:
        about: Title.
        note: What a reader must know of the table.
        recipe: Name of the recipe.
        tasks: The columns, as the recipe names its tasks.
        rows: The methods.
        draws: Random draws of the source behind each published value; None for a table without.
        delta: Percentage points within which a mean over draws agrees; fixed before any re-run.
    """

    about: str
    note: str = ""
    recipe: str
    tasks: list[str] = Field(min_length=1)
    rows: list[ExactRow] = Field(min_length=1)
    draws: int | None = Field(None, ge=2)
    delta: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _values_fit(self) -> "ExactTable":
        if (self.draws is None) != (self.delta is None):
            raise ValueError("a table of draws has both draws and delta, and another neither; add or drop one")
        for row in self.rows:
            if row.deviations is not None and (self.draws is None or len(row.deviations) != len(self.tasks)):
                raise ValueError(f"deviations of row '{row.method}' must be {len(self.tasks)} over draws, one a task")
            if len(row.values) != len(self.tasks):
                raise ValueError(
                    f"row '{row.method}' must have {len(self.tasks)} values, one a task, got {len(row.values)}"
                )
            if odd := set(row.fitted_tasks) - set(self.tasks):
                raise ValueError(f"fitted_tasks of row '{row.method}' must be tasks of the table, got '{min(odd)}'")
        return self

    def record_name(self, task: str, row: ExactRow) -> str:
        """The name of the record of a cell."""
        return f"{self.recipe}-{task.replace('>', '-')}-{row.label}".replace(" ", "-")


class Paper(_Part):
    """A paper with the tables that can be rebuilt here."""

    title: str
    authors: str
    venue: str
    source: str
    tables: dict[str, PaperTable] = {}
    exact_tables: dict[str, ExactTable] = {}

    @model_validator(mode="after")
    def _some_table(self) -> "Paper":
        if not self.tables and not self.exact_tables:
            raise ValueError("a paper needs a table, got none; add one under 'tables' or 'exact_tables'")
        if both := set(self.tables) & set(self.exact_tables):
            raise ValueError(f"tables must have different names, got '{min(both)}' twice")
        return self


def load_paper(path: Path) -> Paper:
    """A paper from its file.

    Raises:
        DataError: If the file is no YAML, a key is unknown, or a value is out of range; the line is named.
    """
    return YamlFile.read(path, "paper", DataError).checked(Paper, context=path.parent)


def paper_tables(own: Path | None = None) -> Iterator[tuple[str, Paper, PaperTable]]:
    """Every table of episodes with its name, ``snell2017/omniglot``, then those of an own file, ``kim2026.yaml/omniglot``."""
    yield from ((name, paper, table) for name, paper, table in all_tables(own) if isinstance(table, PaperTable))


def exact_tables(own: Path | None = None) -> Iterator[tuple[str, Paper, ExactTable]]:
    """Every table of results on tasks with its name."""
    yield from ((name, paper, table) for name, paper, table in all_tables(own) if isinstance(table, ExactTable))


def all_tables(own: Path | None = None) -> Iterator[tuple[str, Paper, PaperTable | ExactTable]]:
    """Every table with its name, those of an own file last."""
    files = [(path.stem, path) for path in sorted(packaged("data", "papers").glob("*.yaml"))]
    for stem, path in [*files, *([] if own is None else [(str(own), own)])]:
        paper = load_paper(path)
        yield from ((f"{stem}/{name}", paper, table) for name, table in (paper.tables | paper.exact_tables).items())


def own_file(name: str) -> Path | None:
    """The file in ``kim2026.yaml/omniglot`` or ``kim2026.yaml``; None in the name of a table that comes along."""
    found = re.match(r".*?\.ya?ml(?=/|$)", name)
    return Path(found[0]) if found else None


def find_table(name: str) -> tuple[Paper, PaperTable | ExactTable]:
    """A table by its name.

    Raises:
        UnknownNameError: If there is none; names the nearest match.
        DataError: If it is in an own file that cannot be read.
    """
    own = own_file(name)
    known = {str(Path(key)): (paper, table) for key, paper, table in all_tables(own)}
    if str(Path(name)) not in known:
        raise unknown("table", name, known)
    return known[str(Path(name))]
