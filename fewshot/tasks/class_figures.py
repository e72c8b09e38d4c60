"""Figures of classes that descriptors name: means over classes, the curve of stacking, items of no known class."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.records.record import Figure, MeanInfo, OpenSetInfo
from fewshot.records.summary import interval_fields
from fewshot.records.zero_shot import Counts, Generalised, figures_of
from fewshot.statistics.open_set import auroc, fpr_at_tpr, resampled
from fewshot.statistics.per_class import ClassCounts, bootstrap
from fewshot.statistics.stacking import Curve, curve
from fewshot.tasks.answered import OfClasses

POINTS = 101  # of a curve that a record keeps


def named(data: Collection, classes: np.ndarray, counts: ClassCounts) -> Counts:
    """Counts with the names of their classes."""
    return Counts.of([data.class_names[c] for c in classes], counts)


def mixed(data: Collection, found: OfClasses) -> Generalised | None:
    """Counts at γ, the curve over all γ, and accuracies without stacking, where seen classes compete."""
    answers = found.joint
    if answers is None:
        return None
    unseen, seen = answers.counts(found.gamma)
    plain, whole = answers.counts(0.0), curve(answers)
    return Generalised(
        gamma=found.gamma,
        gamma_from=found.gamma_from,
        unseen=named(data, np.unique(answers.classes[~answers.seen]), unseen),
        seen=named(data, np.unique(answers.classes[answers.seen]), seen),
        area=whole.area,
        curve=_thinned(whole),
        plain=(plain[0].mean, plain[1].mean),
    )


def _thinned(whole: Curve) -> list[tuple[float, float]]:
    rows = np.unique(np.linspace(0, len(whole.gamma) - 1, POINTS).round().astype(int))
    return [(float(u), float(s)) for u, s in zip(whole.unseen[rows], whole.seen[rows], strict=True)]


def means(unseen: ClassCounts, both: Generalised | None, level: float, seed: int) -> list[Figure]:
    """Each mean with its intervals for new images of these classes, and then for new classes."""
    figures = []
    for new_classes in (False, True):
        own = bootstrap(unseen, new_classes=new_classes, level=level, seed=seed)
        figures += figures_of("zero-shot", own["unseen"])
        if both is not None:
            counts = both.unseen.counts, both.seen.counts
            found = bootstrap(*counts, new_classes=new_classes, level=level, seed=seed)
            figures += [figure for name, interval in found.items() for figure in figures_of(name, interval)]
    return figures


def open_set(known: dict[str, tuple[np.ndarray, np.ndarray]], level: float, seed: int) -> list[OpenSetInfo]:
    """How well items of no known class are told from the others, by each measure, with intervals for new items."""

    def mean(figure: Callable[[Any, Any], float], own: np.ndarray, other: np.ndarray) -> MeanInfo:
        interval = resampled(figure, own, other, level=level, seed=seed)
        return MeanInfo(mean=interval.estimate, **interval_fields(interval))

    return [
        OpenSetInfo(known_by=name, auroc=mean(auroc, *both), fpr95=mean(fpr_at_tpr, *both))
        for name, both in known.items()
    ]
