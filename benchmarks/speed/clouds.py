"""Episodes that the races on features share, and the loop that a peer of one episode at a time needs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import race
import torch
from torch import Tensor

from fewshot.contract import Learner, SupportSet

WAY, QUERY, DIM, BATCH = 5, 15, 640, 64
SPREAD = 0.13  # of a class mean, in units of the noise: an accuracy of about 0.7 with one shot


def episodes(count: int, shot: int) -> tuple[SupportSet, Tensor]:
    """Normal clouds around normal class means, in random order; float32."""
    rng = np.random.default_rng(0)
    means = SPREAD * rng.standard_normal((count, WAY, DIM))

    def items(each: int) -> tuple[Tensor, Tensor]:
        y = rng.permuted(np.tile(np.repeat(np.arange(WAY), each), (count, 1)), axis=1)
        x = np.take_along_axis(means, y[..., None], 1) + rng.standard_normal((*y.shape, DIM))
        return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y)

    (x, y), (query, _) = items(shot), items(QUERY)
    return SupportSet(x, y, WAY), query


def ours(learner: Learner, support: SupportSet, query: Tensor) -> race.Contestant:
    """Scores of all episodes, a batch a call as `evaluate` does it."""

    @torch.no_grad()
    def answer() -> Tensor:
        parts = [slice(k, k + BATCH) for k in range(0, len(support), BATCH)]
        return torch.cat([learner.adapt(support[part])(query[part]) for part in parts])

    return answer


def easyfsls(make: Callable[[], Any], support: SupportSet, query: Tensor) -> race.Contestant:
    """Scores of easyfsl, ``process_support_set`` and ``forward`` of one episode after another."""
    make()  # so that an absent library is told before the race

    def one(k: int) -> Tensor:
        model = make()
        model.process_support_set(support.x[k], support.y[k])
        return model(query[k]).detach()

    return lambda: torch.stack([one(k) for k in range(len(support))])


def differing(answers: dict[str, Tensor], same: float) -> dict[str, float]:
    """Raise unless scores agree within ``same``, and answers too, save where the two best are closer than that."""
    mine = answers["fewshot"]
    top = mine.topk(2).values
    clear = top[..., 0] - top[..., 1] > 2 * same
    gaps = {name: float((mine - theirs).abs().max()) for name, theirs in answers.items() if name != "fewshot"}
    for name, gap in gaps.items():
        if not gap <= same:
            raise AssertionError(f"scores must agree with {name}'s within {same}, got {gap:.1e}")
        if bool(((mine.argmax(-1) != answers[name].argmax(-1)) & clear).any()):
            raise AssertionError(f"an answer differs from {name}'s and is no near tie")
    return {f"largest_difference_from_{name}": gap for name, gap in gaps.items()}
