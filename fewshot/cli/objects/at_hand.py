"""What is at hand for one result: its data, its episodes, its answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot.cli.objects.again import same_data, same_episodes
from fewshot.cli.terminal.output import note
from fewshot.errors import FewShotError, RecordError
from fewshot.records.answers import Answers
from fewshot.report.results import Result
from fewshot.tasks.target import manifest_of

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.recipes.data import RowData
    from fewshot.records.record import Record

NO_DATA = (
    "Items and the names of classes cannot be shown, because the very data of the record, '{}', are not on the machine that made "
    "this page; classes go by number."
)
NO_ANSWERS = "Which queries were answered rightly is not known: the record's own answers, '{}', are not beside it, or are not whole."


@dataclass(frozen=True)
class Known:
    """What is at hand for one result: data, those of the queries, episodes, answers, each of them or nothing, and why not."""

    result: Result
    whole: "Collection | None" = None
    asked: "Collection | None" = None
    queries: "Collection | None" = None
    sampler: Any = None
    answers: Answers | None = None
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: Result) -> "Known":
        """Look what is there."""
        record, answers = result.record, _answers(result)
        missing = () if answers is not None else (NO_ANSWERS.format(answers_file(record)),)
        try:
            data = same_data(record)
            second = data.queries or data.novel
            return cls(result, data.whole, data.novel, second, _same_list(record, data), answers, missing)
        except FewShotError as error:
            # on the page there is no reason, which may name a path of this machine
            note(f"{result.key}: without items and names, because {error}")
            return cls(result, answers=answers, missing=(NO_DATA.format(record.data.name), *missing))

    @property
    def names(self) -> tuple[str, ...] | None:
        """Of the classes."""
        return None if self.asked is None else self.asked.class_names

    def classes(self) -> np.ndarray | None:
        """Class ids of all episodes ``(episodes, way)``, or nothing where unknown or of several ways."""
        if self.answers is not None:
            return self.answers.episode_classes()
        if self.sampler is None or not isinstance(self.result.record.episodes.way, int):
            return None
        groups = list(self.sampler.groups(0, self.result.record.episodes.count))
        return groups[0].classes if len(groups) == 1 else None  # several shapes lose the order of the list


def _same_list(record: "Record", data: "RowData") -> Any:
    """The episodes of a record.

    Raises:
        RecordError: If they are other ones than the record's.
    """
    sampler = same_episodes(record, data)
    found = manifest_of(sampler, record.episodes.count, data.novel, data.queries)
    if found != record.episodes.manifest:
        raise RecordError(f"its episodes must be those of '{record.episodes.manifest}', got '{found}'")
    return sampler


def _answers(result: Result) -> Answers | None:
    try:
        return result.record.load_answers(result.folder)
    except RecordError as error:
        note(f"{result.key}: without answers, because {error}")
        return None


def answers_file(record: "Record") -> str:
    """Name of the file that has the answers."""
    return record.answers.file if record.answers else "none"
