"""How much training runs of one setting differ, pooled over settings, for cells that have a single run.

The spread shrinks towards 100 %, so it is pooled on the logit scale, and taken back to the accuracy of each cell.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fewshot.records.record import Record
from fewshot.statistics.verdict import LEAST_RUNS, NO_TRAINING, SeedTerm

Runs = Sequence[Record]


@dataclass(frozen=True)
class SeedSpread:
    """Variance of the logit of accuracy between training runs of one setting, and its degrees of freedom."""

    variance: float
    freedom: int

    def at(self, accuracy: float) -> SeedTerm:
        """The spread of accuracies about a fraction, by the delta method: the logit has slope 1 / (a (1 - a))."""
        return SeedTerm(self.variance * (accuracy * (1 - accuracy)) ** 2, self.freedom)


def pooled_spread(settings: Iterable[Sequence[Sequence[float]]]) -> SeedSpread | None:
    """Pool over settings of training, each weighing as its degrees of freedom; None where none has three runs.

    Rows of the table that come from the same runs are averaged and bring no further degrees of freedom, because what makes one
    of them high makes the others high.

    Args:
        settings: For each the rows, for each of these the accuracy of every run, a fraction between 0 and 1 exclusive.
    """
    parts = [
        (float(np.mean([np.var(_logit(row), ddof=1) for row in rows])), min(map(len, rows)) - 1)
        for rows in settings
        if rows and min(map(len, rows)) >= LEAST_RUNS
    ]
    freedom = sum(f for _, f in parts)
    return SeedSpread(sum(v * f for v, f in parts) / freedom, freedom) if parts else None


def spread_of(cells: Iterable[Runs]) -> dict[tuple[str, ...], SeedSpread]:
    """Pooled spread for each kind of training: learner, network, data."""
    kinds: dict[tuple[str, ...], dict[str, list[list[float]]]] = {}
    for runs in cells:
        if len(runs) >= LEAST_RUNS and all(0 < run.accuracy < 1 for run in runs):
            rows = kinds.setdefault(kind_of(runs[0]), {}).setdefault(setting_of(runs[0]), [])
            rows.append([run.accuracy for run in runs])
    found = {kind: pooled_spread(settings.values()) for kind, settings in kinds.items()}
    return {kind: spread for kind, spread in found.items() if spread is not None}


def seed_term(runs: Runs, spreads: dict[tuple[str, ...], SeedSpread]) -> SeedTerm | None:
    """What is known of the spread between runs of a cell beside its own runs: none where nothing was trained."""
    if not any(_is_trained(run) for run in runs):
        return NO_TRAINING
    spread = spreads.get(kind_of(runs[0]))
    return None if spread is None else spread.at(float(np.mean([run.accuracy for run in runs])))


def _is_trained(record: Record) -> bool:
    """Here or by others: other weights of the same network would give another number."""
    weights = None if record.backbone is None else record.backbone.pretraining
    return record.training is not None or record.pretraining_classes is not None or weights not in (None, "nothing")


def kind_of(record: Record) -> tuple[str, ...]:
    """Learner, network and data, within which the spread is taken to be one."""
    queries = record.data if record.target is None else record.target
    return record.learner.name, record.backbone_name or "", record.data.name, queries.name


def setting_of(record: Record) -> str:
    """All of a training but its seed and its time."""
    budget = {} if record.training is None else dict(record.training.budget)
    for key in ("seed", "seconds"):
        budget.pop(key, None)
    return json.dumps(budget, sort_keys=True)


def _logit(fractions: Sequence[float]) -> np.ndarray:
    a = np.asarray(fractions, np.float64)
    logits: np.ndarray = np.log(a / (1 - a))
    return logits
