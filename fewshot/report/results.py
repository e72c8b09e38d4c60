"""Records with the names that a page gives them, in groups that answered the same episodes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fewshot.errors import RecordError
from fewshot.plumbing.names import unknown
from fewshot.records.record import Record
from fewshot.tables.board import label_of
from fewshot.tables.record_tables import data_name, queries_cell, shot_cell, whole


@dataclass(frozen=True)
class Result:
    """A record on the page.

    Attributes:
        key: Name or path of its file, different for all.
        method: What tables and figures call it; different within a group, equal across groups for one method.
        record: The record.
        folder: Where it lies, with its answers.
    """

    key: str
    method: str
    record: Record
    folder: Path = field(default=Path())


@dataclass(frozen=True)
class Group:
    """Results on one list of episodes.

    Attributes:
        title: Shape of the episodes and the data: ``5-way 1-shot, omniglot/test``.
        results: In the order given.
    """

    title: str
    results: tuple[Result, ...]

    @property
    def first(self) -> Record:
        """The record that says what all of the group have in common."""
        return self.results[0].record

    def find(self, reference: str | None) -> Result | None:
        """The result of a method or file; the group's first where none is named, nothing where it has no such one.

        Raises:
            RecordError: If several results have this name, and none has it as its method.
        """
        if reference is None:
            return self.results[0]
        exact = [r for r in self.results if r.method == reference]
        found = exact or [r for r in self.results if reference in names_of(r)]
        if len(found) > 1:
            raise RecordError(
                f"the reference must name one result, got '{reference}', which is {', '.join(r.method for r in found)}"
            )
        return found[0] if found else None


def names_of(result: Result) -> tuple[str, ...]:
    """All names by which a result may be called."""
    return result.method, result.key, label_of(result.record), Path(result.key).stem


def name_results(records: Mapping[str, Record], folders: Mapping[str, Path] | None = None) -> list[Result]:
    """Give every record the shortest name that no other of its group has.

    Args:
        records: By name or path.
        folders: Where each lies.
    """
    plain = [Result(key, key, record, (folders or {}).get(key, Path())) for key, record in records.items()]
    ways: tuple[Callable[[Result], str], ...] = (
        lambda r: label_of(r.record),
        lambda r: _with_options(r.record, [p.record for p in plain]),
        lambda r: Path(r.key).stem,
        lambda r: r.key,
    )
    for name in ways:
        named = [replace(r, method=name(r)) for r in plain]
        if len({(r.method, r.record.episodes.manifest) for r in named}) == len(named):
            return named
    return plain


def _with_options(record: Record, every: Sequence[Record]) -> str:
    """The label with those options that differ among the records of one label."""
    alike = [r.learner.options for r in every if label_of(r) == label_of(record)]
    own: dict[str, Any] = record.learner.options
    differ = [k for k in own if any(other.get(k) != own[k] for other in alike)]
    return ", ".join([label_of(record), *(f"{k}={own[k]}" for k in differ)])


def group_results(results: Sequence[Result]) -> list[Group]:
    """Groups of equal manifest, by way and shot, and then in the order in which they come."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.record.episodes.manifest, []).append(result)
    groups = [Group(_title(members[0].record), tuple(members)) for members in found.values()]
    return sorted(groups, key=lambda group: _shape(group.first))


def _shape(record: Record) -> tuple[int, int]:
    """Way and shot, the smallest of a range."""
    way, shot = (n if isinstance(n, int) else n[0] for n in (record.episodes.way, record.episodes.shot))
    return way, shot


def check_reference(reference: str | None, results: Sequence[Result], others: Iterable[str] = ()) -> None:
    """Raise unless some result has the name, or it is among other names.

    Raises:
        UnknownNameError: With the nearest name.
    """
    known = {r.method for r in results} | set(others)
    if reference is not None and reference not in known and not any(reference in names_of(r) for r in results):
        raise unknown("reference", reference, known)


def _title(record: Record) -> str:
    e = record.episodes
    asked = f"{whole(e.query)} quer{'y' if e.query == 1 else 'ies'} a class"
    return f"{whole(e.way)}-way {shot_cell(e)}-shot, {asked}, {queries_cell(record)}, {data_name(record)}"
