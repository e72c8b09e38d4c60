"""Answers for items of another domain without labels, and what a few labels say of whether adaptation helped."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.claims import claims_of
from fewshot.contract import Learner, SupportSet
from fewshot.datasets.collection import Collection
from fewshot.errors import DataError, StatisticsError
from fewshot.estimator.items import embed
from fewshot.evaluation.answers import eval_mode, score
from fewshot.statistics.interval import OPEN, Interval
from fewshot.statistics.paired import compare_all

HELPS, HURTS, NOTHING_SEEN = "helps", "hurts", "no difference seen"


@dataclass(frozen=True)
class Verdict:
    """What labelled items of the target say of a learner beside the one without adaptation.

    Attributes:
        word: ``"helps"``, ``"hurts"`` or ``"no difference seen"``.
        difference: Accuracy minus that of the reference, a fraction, with its interval.
        accuracy: Of the learner, a fraction.
        reference: Of the learner without adaptation.
        labels: How many labelled items there were.
        needed: About how many a verdict needs if the difference stays what it is; None where the two answer alike.
    """

    word: str
    difference: Interval
    accuracy: float
    reference: float
    labels: int
    needed: int | None


def features_of_domains(source: Collection, target: Any, backbone: Any) -> tuple[Tensor, Tensor]:
    """Rows of both domains, each item embedded once; rows of numbers as they are.

    Raises:
        DataError: If the two have other columns.
    """
    rows = tuple(_rows(items, backbone) for items in (source.items, target))
    if rows[0].shape[1:] != rows[1].shape[1:]:
        raise DataError(
            f"source and target must have the same columns, got {rows[0].shape[1]} and {rows[1].shape[1]}; "
            "make both in the same way"
        )
    return rows[0], rows[1]


def _rows(items: Any, backbone: Any) -> Tensor:
    given = items if backbone is None else embed(iter([items]), backbone)
    return torch.as_tensor(np.asarray(given)).float().flatten(1)


def answer_target(
    learner: Learner, source: Float[Tensor, "s dim"], labels: np.ndarray, n_way: int, target: Float[Tensor, "t dim"]
) -> Float[np.ndarray, "t n_way"]:
    """Scores of all rows of the target, which are the pool and the queries at once; higher is more likely.

    Args:
        learner: Adapts to labelled rows and to a pool without labels.
        source: Rows with labels.
        labels: Whole numbers from 0.
        n_way: Number of classes.
        target: Rows without labels.
    """
    support = SupportSet(
        source[None],
        torch.from_numpy(np.asarray(labels, np.int64))[None].to(source.device),
        n_way,
        unlabelled=target[None],
        seed=torch.zeros(1, dtype=torch.int64),
        domain=torch.zeros(1, len(source), dtype=torch.int64, device=source.device),
    )
    with eval_mode(learner):
        return np.asarray(score(learner, support, target[None])[0].cpu().double())


def probabilities_of(learner: Learner, scores: Float[np.ndarray, "t n_way"]) -> Float[np.ndarray, "t n_way"] | None:
    """Probabilities of the classes, where scores are log-probabilities; else nothing."""
    if claims_of(learner).scores != "log-probability":
        return None
    return np.asarray(torch.from_numpy(scores).softmax(-1))


def matched(names: list[str], labels: Mapping[str, str], classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and class numbers of labelled items.

    Raises:
        DataError: If a labelled item is not in the target, is there twice, or its class is not in the source.
    """
    places: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        places.setdefault(name, []).append(row)
    ids = {name: k for k, name in enumerate(classes)}
    for item, label in labels.items():
        if len(places.get(item, ())) != 1:
            got = "it twice" if item in places else "none of that name"
            raise DataError(f"each labelled item must be in the target once, got {got}: '{item}'")
        if label not in ids:
            raise DataError(f"labels of the target must be classes of the source, got '{label}' for '{item}'")
    return (
        np.array([places[item][0] for item in labels], np.int64),
        np.array([ids[label] for label in labels.values()], np.int64),
    )


def verdict_of(scores: np.ndarray, reference: np.ndarray, true: np.ndarray) -> Verdict:
    """The paired verdict of two learners on labelled items.

    Args:
        scores: Of the learner on these items, ``(n, n_way)``.
        reference: Of the learner without adaptation.
        true: Class numbers.

    Raises:
        StatisticsError: If there are fewer than two labelled items, which allow no interval.
    """
    if len(true) < 2:
        raise StatisticsError(f"a verdict needs two labelled items or more, got {len(true)}; label more of the target")
    right, plain = ((found.argmax(1) == true).astype(np.float64) for found in (scores, reference))
    (found,) = compare_all(plain, {"learner": right}, OPEN, rng=np.random.default_rng(0))
    interval = found.difference
    word = HELPS if interval.low > 0 else HURTS if interval.high < 0 else NOTHING_SEEN
    size = abs(interval.estimate)
    needed = None if not size else int(np.ceil(len(true) * (interval.half_width / size) ** 2))
    return Verdict(word, interval, float(right.mean()), float(plain.mean()), len(true), needed)
