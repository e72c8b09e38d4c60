"""From records, and what is known beside them, to a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fewshot.records.load import AnyRecord
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.report.contents import Contents
from fewshot.report.differences import APART, differences
from fewshot.report.episodes import Viewer
from fewshot.report.few_shot import few_shot_table
from fewshot.report.hardest import Hardest, hardest_unseen
from fewshot.report.learning_curve import LearningCurve
from fewshot.report.page import Page
from fewshot.report.plots import accuracy_plot, curve_plot, difference_plot, zero_shot_plots
from fewshot.report.provenance import provenance
from fewshot.report.reading import WORDS, ZERO_SHOT_WORDS, how_to_read
from fewshot.report.results import Group, Result, group_results
from fewshot.report.shots import shots_plots
from fewshot.report.zero_shot import zero_shot_table
from fewshot.report.zero_shot_differences import zero_shot_differences
from fewshot.tables.zero_shot import label_of


@dataclass(frozen=True)
class Beside:
    """What a page shows besides records; all of it may be absent.

    Attributes:
        classes: Class ids of the episodes of a manifest, ``(episodes, way)``.
        curves: Of training runs.
        viewers: Episodes to look at.
        hardest: Classes that are told apart worst.
    """

    classes: Mapping[str, np.ndarray]
    curves: Sequence[LearningCurve] = ()
    viewers: Sequence[Viewer] = ()
    hardest: Sequence[Hardest] = ()


def build_page(
    contents: Contents,
    beside: Beside,
    reference: str | None = None,
    title: str | None = None,
    made: str = "",
) -> Page:
    """Put a page together.

    Args:
        contents: Results of few-shot and of zero-shot learning.
        beside: What else there is.
        reference: Method that others are compared with; the first of each group where none is given.
        title: Of the page; made from the data where left out.
        made: A line on when and by what the page was made.
    """
    results, unseen = contents.few_shot, list(contents.zero_shot.values())
    groups = group_results(results)
    found = [differences(g, reference, beside.classes.get(g.first.episodes.manifest)) for g in groups]
    found += zero_shot_differences(unseen, reference) if unseen else []
    return Page(
        title=title or _title(contents),
        lead=_lead(groups, unseen),
        reading=how_to_read(_kinds(results, unseen)),
        provenance=provenance(contents),
        few_shot=few_shot_table([r for g in groups for r in g.results]) if results else None,
        zero_shot=zero_shot_table(unseen) if unseen else None,
        accuracies=[*(accuracy_plot(g, g.find(reference)) for g in groups), *zero_shot_plots(unseen)],
        shots=shots_plots(results, reference),
        differences=[(one, difference_plot(one)) for one in found],
        apart=APART if len(groups) > 1 else "",
        curves=[curve_plot(curve) for curve in beside.curves],
        viewers=beside.viewers,
        hardest=[*beside.hardest, *_hardest_unseen(unseen, reference)],
        words=(WORDS if results else {"interval": WORDS["interval"]}) | (ZERO_SHOT_WORDS if unseen else {}),
        notes=_notes(contents.records),
        made=made,
    )


def _title(contents: Contents) -> str:
    data = dict.fromkeys(record.data.name for record in contents.records)
    kinds = [*(["few-shot"] if contents.few_shot else []), *(["zero-shot"] if contents.zero_shot else [])]
    told = " and ".join(kinds)
    return f"{told[0].upper()}{told[1:]} learning on {', '.join(data)}"


def _lead(groups: Sequence[Group], zero_shot: Sequence[ZeroShotRecord]) -> str:
    """What was run, on what, in plain words."""
    sentences = []
    if groups:
        methods = dict.fromkeys(r.method for g in groups for r in g.results)
        shapes = dict.fromkeys(g.title.partition(",")[0] for g in groups)
        counts = dict.fromkeys(f"{g.first.episodes.count:,}" for g in groups)
        sentences.append(
            f"{_many(len(methods), 'method')} classified items of classes from a few labelled examples of each, in "
            f"{' and '.join(counts)} episodes of each kind: {', '.join(shapes)}."
        )
    if zero_shot:
        methods, settings = (
            dict.fromkeys(map(label_of, zero_shot)),
            dict.fromkeys(record.setting for record in zero_shot),
        )
        sentences.append(
            f"{_many(len(methods), 'method')} classified items of classes without any example, by descriptions of the "
            f"classes; settings: {', '.join(settings)}."
        )
    return " ".join(sentences)


def _many(count: int, thing: str) -> str:
    return f"{'One' if count == 1 else count} {thing}{'s' * (count > 1)}"


def _kinds(results: Sequence[Result], zero_shot: Sequence[ZeroShotRecord]) -> list[tuple[float, str]]:
    """Level and estimand of every interval; the first figures of all results come first."""
    few = [result.record.figures for result in results]
    ordered = [*(own[0] for own in few), *(wide for own in few for wide in own[1:])]
    return [(f.level, f.estimand) for f in (*ordered, *(f for record in zero_shot for f in record.figures))]


def _notes(records: Sequence[AnyRecord]) -> list[str]:
    """What records say a reader must know, each once, with how many say so."""
    every, total = [note for record in records for note in record.notes], len(records)
    return [
        n if every.count(n) == total else f"{n} ({every.count(n)} of {total} records)" for n in dict.fromkeys(every)
    ]


def _hardest_unseen(records: Sequence[ZeroShotRecord], reference: str | None) -> list[Hardest]:
    found = []
    for setting in dict.fromkeys(record.setting for record in records):
        own = [r for r in records if r.setting == setting]
        one = next((r for r in own if label_of(r) == reference), own[0])
        found.append(hardest_unseen(f"{setting}, {one.data.name}", label_of(one), one))
    return found
