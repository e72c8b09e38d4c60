"""Hyper-parameters from validation classes: every candidate on the same episodes, and the best mean is taken."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from fewshot.contract import Learner
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSpec
from fewshot.errors import FewShotError, LeakageError
from fewshot.evaluation.evaluate import evaluate
from fewshot.plumbing.device import Device
from fewshot.records.choice import Candidate, Choice
from fewshot.records.compare import compare
from fewshot.records.record import MeanInfo, Record
from fewshot.records.summary import interval_fields
from fewshot.statistics.interval import Interval
from fewshot.tables.balance import ASSUMES_BALANCE

Grid = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]
Report = Callable[[int, int], None]  # told (done, count)


def choose(
    make_learner: Callable[..., Learner],
    grid: Grid,
    collection: Collection,
    spec: EpisodeSpec | None = None,
    episodes: int = 600,
    seed: int = 0,
    *,
    level: float = 0.95,
    device: Device | None = None,
    report: Report = lambda done, count: None,
) -> Choice:
    """Choose a learner's options on validation classes.

    All candidates answer the same episodes, and the one with the best mean accuracy is taken, of equal
    ones the first. `fewshot.evaluate` takes the choice, and refuses to test on classes that made it.

    Args:
        make_learner: Makes a learner of options, such as ``LogisticRegression``.
        grid: Values of each option, of which every combination is a candidate; or the candidates themselves.
        collection: Validation classes; never those of a test.
        spec: Shape of the episodes; should be that of the test.
        episodes: How many.
        seed: Names the list of episodes.
        level: Of the intervals.
        device: Where to compute, as `fewshot.evaluate` takes it; where each learner is, when left out.
        report: Told after every candidate how many are done, and how many there are.

    Raises:
        LeakageError: If the collection is a test split or holds items of one, or the learner was trained on its classes.
        FewShotError: If there is no candidate.

    Example:
        >>> import numpy as np
        >>> from fewshot import Collection, NearestMean
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(10).repeat(20)
        >>> validation = Collection.from_arrays(5 + rng.normal(size=(200, 8)) + rng.normal(size=(10, 8))[y], y)
        >>> choose(NearestMean, {"metric": ["cosine", "squared-euclidean"]}, validation, episodes=100).options
        {'metric': 'squared-euclidean'}
    """
    started, options = time.perf_counter(), candidates(grid)
    if collection.name.endswith("/test"):
        raise LeakageError(
            f"options must be chosen on validation classes, got '{collection.name}'; give another split, such as 'val'"
        )
    _require_no_test_item(collection)
    records = []
    for one in options:
        records.append(evaluate(make_learner(**one), collection, spec, episodes, seed, level=level, device=device))
        report(len(records), len(options))
    best = max(range(len(records)), key=lambda k: (records[k].accuracy, -k))
    chosen = records[best]
    return Choice(
        learner=chosen.learner.name,
        backbone=chosen.backbone,
        data=chosen.data,
        episodes=chosen.episodes,
        candidates=_judged(options, records, best, level),
        options=options[best],
        classes=list(collection.qualified_names()),
        notes=[note for note in chosen.notes if note == ASSUMES_BALANCE],
        versions=chosen.versions,
        code=chosen.code,
        seconds=time.perf_counter() - started,
    )


def _require_no_test_item(collection: Collection) -> None:
    """Refuse a split that holds items of the split ``test``, whatever its name."""
    whole, rows = collection.whole or (collection, np.arange(0))
    both = np.intersect1d(rows, whole.splits.get("test", []))
    if len(both) and collection.name.startswith(f"{whole.name}/"):
        raise LeakageError(
            f"options must be chosen on validation classes, got item {both[0]} of '{whole.name}/test' in '{collection.name}'; "
            "give another split"
        )


def candidates(grid: Grid) -> list[dict[str, Any]]:
    """Every combination of a grid's values, the last option changing fastest; a list of options as it is.

    Raises:
        FewShotError: If there is none.
    """
    if isinstance(grid, Mapping):
        listed = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    else:
        listed = [dict(one) for one in grid]
    if not listed:
        raise FewShotError(f"a choice needs at least one candidate, got {grid!r}; give each option a value")
    return listed


def _judged(options: list[dict[str, Any]], records: list[Record], best: int, level: float) -> list[Candidate]:
    """Accuracies, and paired differences to the best."""
    by_place = {str(k): record for k, record in enumerate(records)}
    compared = compare(by_place, str(best), level=level) if len(records) > 1 else []
    differences = {int(c.name): c.difference for c in compared}
    return [
        Candidate(
            options=one,
            accuracy=MeanInfo(mean=r.accuracy, **r.summary.model_dump(include=set(MeanInfo.model_fields))),
            difference=_mean(differences[k]) if k in differences else None,
        )
        for k, (one, r) in enumerate(zip(options, records, strict=True))
    ]


def _mean(interval: Interval) -> MeanInfo:
    return MeanInfo(mean=interval.estimate, **interval_fields(interval))
