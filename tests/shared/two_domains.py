"""Learners of two domains for the battery, and small pairs of domains for their oracles."""

from dataclasses import replace

import torch
from make import episode

from fewshot.contract import SupportSet, per_episode


class Marked:
    """A learner with a few labelled rows of the target, given episodes without domains: a digit of each row decides."""

    def __init__(self, learner):
        self.learner = learner
        self.scores = getattr(learner, "scores", "log-probability")

    @per_episode
    def adapt(self, support):
        domain = ((support.x[:, 0].double() * 8).floor() % 3 == 0).long()
        return self.learner.adapt(replace(support, domain=domain))


def shifted(shots=(14, 9, 11), dim=4, pool=17, queries=6, seed=0, shift=0.7):
    """``(support, query)`` of one episode in float64: the pool and the queries are moved along one direction."""
    support, query, _ = episode(shots, dim, queries=queries, seed=seed)
    _, target, _ = episode(shots, dim, queries=pool, seed=seed)
    move = shift * torch.linspace(1, -0.5, dim, dtype=torch.float64)
    return replace(support, unlabelled=target + move), query + move


def few_labels(shots=(14, 9, 11), few=(3, 2, 2), dim=4, queries=6, seed=0, shift=0.7):
    """``(support, query)`` with examples of the source and a few of the target, told apart by the domain."""
    source, _, _ = episode(shots, dim, seed=seed)
    target, query, _ = episode(few, dim, queries=queries, seed=seed)
    move = shift * torch.linspace(1, -0.5, dim, dtype=torch.float64)
    domain = torch.cat([torch.zeros_like(source.y), torch.ones_like(target.y)])
    both = SupportSet(
        torch.cat([source.x, target.x + move]), torch.cat([source.y, target.y]), len(shots), domain=domain
    )
    return both, query + move
