"""What the races on two domains share: pairs of Office-Caltech10, and learners of the package and of skada on them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import race
import torch
from torch import Tensor

from fewshot.contract import Learner, SupportSet
from fewshot.datasets.index import load_dataset

PAIRS = {"C>A": ("caltech", "amazon"), "D>W": ("dslr", "webcam")}
Pair = tuple[Tensor, Tensor, Tensor]


def pair(source: str, target: str, features: str = "surf-z-scores") -> Pair:
    """Rows of both in float64, and the labels of the source."""
    one, other = (load_dataset("office-caltech10", domain=name, features=features) for name in (source, target))
    rows = (torch.from_numpy(each.items.astype(np.float64)) for each in (one, other))
    return (*rows, torch.from_numpy(one.labels))  # type: ignore[return-value]


def ours(learner: Learner, rows: Pair) -> race.Contestant:
    """Answers for all rows of the target, fitted and queried in one call."""
    x, target, y = rows
    support = SupportSet(x[None], y[None], 10, unlabelled=target[None])
    return lambda: learner.adapt(support)(target[None])[0].argmax(-1).numpy()


def skadas(make: Callable[[], Any], rows: Pair) -> race.Contestant:
    """The same by a pipeline of skada, which gets -1 as the label of a row of the target."""
    make()  # so that an absent library is told before the race
    x, target, y = (each.numpy() for each in rows)
    both, labels = np.concatenate([x, target]), np.concatenate([y, np.full(len(target), -1)])
    domain = np.concatenate([np.ones(len(x)), -np.ones(len(target))])

    def answer() -> np.ndarray:
        model = make().fit(both, labels, sample_domain=domain)
        found: np.ndarray = model.predict(target, sample_domain=-np.ones(len(target)))
        return found

    return answer


def same_answers(answers: dict[str, np.ndarray], share: float) -> dict[str, float]:
    """Raise unless each peer answers at least this share of the rows as we do; the shares come back."""
    shares = {name: float((found == answers[race.OURS]).mean()) for name, found in answers.items() if name != race.OURS}
    for name, equal in shares.items():
        if equal < share:
            raise AssertionError(f"{name} answers {equal:.4f} of the rows as fewshot does, less than {share}")
    return shares
