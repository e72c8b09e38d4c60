"""A published table beside what was measured here, with a verdict for each cell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fewshot.errors import StatisticsError
from fewshot.records.record import Record
from fewshot.records.seed_spread import SeedSpread, seed_term, setting_of
from fewshot.statistics.interval import CLOSED
from fewshot.statistics.mean_accuracy import fraction_interval
from fewshot.statistics.verdict import DIFFERENT, LEAST_RUNS, NO_TRAINING, UNDECIDED, Verdict, judge
from fewshot.tables.papers import Paper, PaperCell, PaperTable
from fewshot.tables.record_tables import ABSENT, Table, accuracy_cell, percent, with_interval

COLUMNS = (
    "",
    "method",
    "way",
    "shot",
    "published %",
    "re-runs %",
    "ours %",
    "runs",
    "SD of runs",
    "difference",
    "delta",
    "verdict",
)
MAKERS = ("", "record", "made by")
STALE, UNDER_TRAINED, MISSING = "stale", "under-trained", "no record"
READING = (
    "published ±: a printed 95 % interval over episodes; (±) where it is over something else, or cannot be one over episodes",
    "ours: mean over runs; ± or [low, high]: 95 % interval for these episodes' images; SD of runs: between training runs, in points",
    "difference: ours minus published, in points, with its 90 % interval; reproduced: all of it within ±delta",
)
Spreads = dict[tuple[str, ...], SeedSpread]


@dataclass(frozen=True)
class Judged:
    """A cell with its records.

    Attributes:
        cell: What was published.
        runs: Records of our training runs, as many as there are.
        stale: What has changed since they were made, if anything.
        made_by: The command that makes each record of the cell.
        verdict: Of the comparison, where there is a record.
        borrowed: Degrees of freedom of a spread between runs that comes from other cells.
    """

    cell: PaperCell
    runs: tuple[Record, ...]
    stale: str | None
    made_by: tuple[str, ...]
    verdict: Verdict | None
    borrowed: int | None

    @property
    def word(self) -> str:
        """The verdict in a word, or why there is none."""
        if self.verdict is None:
            return MISSING
        return STALE if self.stale else UNDER_TRAINED if self.cell.short_of else self.verdict.word

    @property
    def accuracy(self) -> float | None:
        """Mean over our runs, a fraction."""
        return float(np.mean([run.accuracy for run in self.runs])) if self.runs else None

    @property
    def spread(self) -> float | None:
        """Standard deviation between our runs, a fraction; None for a single one."""
        return float(np.std([run.accuracy for run in self.runs], ddof=1)) if len(self.runs) > 1 else None


def judge_cell(
    cell: PaperCell, runs: Sequence[Record], spreads: Spreads, stale: str | None, made_by: Sequence[str]
) -> Judged:
    """What our records say of a published number.

    Raises:
        StatisticsError: If the runs were not judged on the same episodes, or are not one setting with different seeds.
    """
    if len({run.episodes.manifest for run in runs}) > 1:
        raise StatisticsError(f"runs of a cell must be judged on the same episodes, got others among {cell.records}")
    seeds = {None if run.training is None else run.training.seed for run in runs}
    if len({setting_of(run) for run in runs}) > 1 or len(seeds) < len(runs):
        raise StatisticsError(
            f"runs of a cell must differ in their training seed alone, got other settings or one seed in {cell.records}"
        )
    if not runs:
        return Judged(cell, (), stale, tuple(made_by), None, None)
    term = seed_term(runs, spreads)
    verdict = judge([run.accuracies for run in runs], cell.published, cell.delta / 100, term, cell.same_items)
    if cell.other_classes:
        verdict = replace(verdict, word=UNDECIDED)
    borrowed = None if term in (None, NO_TRAINING) or len(runs) >= LEAST_RUNS else term.freedom
    return Judged(cell, tuple(runs), stale, tuple(made_by), verdict, borrowed)


def paper_tables_of(paper: Paper, table: PaperTable, judged: Sequence[Judged]) -> tuple[Table, Table]:
    """The numbers with their verdicts, and what made them; the first column joins the two."""
    unknown = any(j.verdict is not None and not j.verdict.seeds for j in judged)
    notes = (
        f"{paper.authors}, {paper.title}, {paper.venue}; {paper.source}",
        *([table.note] if table.note else []),
        *READING,
        *(
            [f"fewer than {LEAST_RUNS} runs, and nothing known of the spread between runs: {UNDECIDED} at best"]
            if unknown
            else []
        ),
        *_remarks(judged),
    )
    numbers = Table(COLUMNS, tuple(_row(str(k), j) for k, j in enumerate(judged, 1)), table.about, notes)
    makers = [(str(k), *made) for k, j in enumerate(judged, 1) for made in zip(j.cell.records, j.made_by, strict=True)]
    return numbers, Table(MAKERS, tuple(makers))


def count_words(judged: Sequence[Judged]) -> str:
    """How many cells have each verdict: ``reproduced 3, different 1``."""
    words = [j.word for j in judged]
    return ", ".join(f"{word} {words.count(word)}" for word in dict.fromkeys(words))


def as_json(judged: Judged) -> dict[str, Any]:
    """A cell with everything in fractions."""
    cell, verdict = judged.cell, judged.verdict
    found: dict[str, Any] = {
        "method": cell.method, "way": cell.way, "shot": cell.shot, "published": cell.value / 100,
        "half_width": None if cell.half_width is None else cell.half_width / 100, "half_width_usable": cell.usable,
        "reruns": [value / 100 for value in cell.reruns],
    }  # fmt: skip
    if verdict is not None:
        found |= {
            "ours": judged.accuracy, "runs": [run.accuracy for run in judged.runs], "sd_of_runs": judged.spread,
            "difference": verdict.difference, "interval_90": list(verdict.inner), "interval_95": list(verdict.outer),
            "spread_between_runs_known": verdict.seeds, "spread_borrowed_freedom": judged.borrowed,
        }  # fmt: skip
    return found | {
        "delta": cell.delta / 100, "verdict": judged.word, "stale": judged.stale, "short_of": cell.short_of,
        "reason": cell.reason if judged.word == DIFFERENT else None, "records": cell.records, "made_by": list(judged.made_by),
    }  # fmt: skip


def _remarks(judged: Sequence[Judged]) -> list[str]:
    """What there is to say of cells, each sentence once with the cells that it holds for."""
    said: dict[str, list[str]] = {}
    for k, j in enumerate(judged, 1):
        short = f"{UNDER_TRAINED}: {j.cell.short_of}" if j.word == UNDER_TRAINED else None
        lent = (
            j.borrowed and f"the spread between training runs is that of other cells ({j.borrowed} degrees of freedom)"
        )
        other = (
            "test classes are not those of the paper: undecided at best" if j.runs and j.cell.other_classes else None
        )
        for sentence in (j.stale, short, other, lent, j.cell.reason if j.word == DIFFERENT else None):
            if sentence:
                said.setdefault(sentence, []).append(str(k))
    return [f"{', '.join(cells)}: {sentence}" for sentence, cells in said.items()]


def _row(number: str, judged: Judged) -> tuple[str, ...]:
    cell, verdict = judged.cell, judged.verdict
    ours, gap = ABSENT, ABSENT
    if verdict is not None:
        ours = _ours(judged.runs)
        gap = with_interval(verdict.difference, *verdict.inner, signed=True)
    spread = ABSENT if judged.spread is None else percent(judged.spread)
    return (
        number, cell.method, str(cell.way), str(cell.shot), _published(cell), _others(cell), ours,
        _count(judged), spread, gap, f"{cell.delta:g}", judged.word,
    )  # fmt: skip


def _count(judged: Judged) -> str:
    have, named = len(judged.runs), len(judged.cell.records)
    return ABSENT if not have else str(have) if have == named else f"{have} of {named}"


def _ours(runs: Sequence[Record]) -> str:
    """Mean over runs, with the interval over episodes of their mean in each."""
    each = np.mean([run.accuracies for run in runs], axis=0)
    if len(runs) == 1 or each.min() == 1:  # of perfect runs, the record knows how many different queries there are
        return accuracy_cell(runs[0])
    found = fraction_interval(each, runs[0].summary.level, CLOSED, None)
    return with_interval(found.estimate, found.low, found.high)


def _others(cell: PaperCell) -> str:
    reruns = sorted(cell.reruns)
    return f"{reruns[0]:g} to {reruns[-1]:g}" if len(reruns) > 1 else f"{reruns[0]:g}" if reruns else ABSENT


def _published(cell: PaperCell) -> str:
    value = f"{cell.value:.{cell.digits}f}"
    if cell.half_width is None:
        return value
    return f"{value} ± {cell.half_width:g}" if cell.usable else f"{value} (± {cell.half_width:g})"
