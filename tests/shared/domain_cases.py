"""Two domains of random rows, and learners made of a slow oracle of both."""

import numpy as np
import torch

from fewshot.contract import SupportSet
from fewshot.learners.adaptation.domains import on_domains


def domains(seed=0, shots=(7, 5, 6), target=15, dim=6, queries=9, shift=0.7, tied=0):
    """A support with a pool, further rows of the target, and the classes of these; ``tied`` columns repeat others."""
    rng = np.random.default_rng(seed)
    points = 2 * rng.normal(size=(len(shots), dim))
    y = rng.permutation(np.repeat(np.arange(len(shots)), shots))
    pool, asked = (rng.permutation(np.arange(n) % len(shots)) for n in (target, queries))
    turn = np.eye(dim) + 0.3 * rng.normal(size=(dim, dim))

    def rows(labels, moved):
        x = points[labels] + rng.normal(size=(len(labels), dim))
        x = x @ turn + shift if moved else x
        return torch.from_numpy(np.concatenate([x, x[:, :tied]], 1) if tied else x)

    support = SupportSet(rows(y, False), torch.from_numpy(y), len(shots), unlabelled=rows(pool, True))
    return support, rows(asked, True), torch.from_numpy(asked)


def nearest(source, y, target, n_way):
    """1 for the class of the nearest row of the source, by a loop."""
    scores = np.zeros((len(target), n_way))
    for q, row in enumerate(target):
        scores[q, y[((source - row) ** 2).sum(1).argmin()]] = 1
    return scores


class DistancesHead:
    """Scores are minus the squared distances to the nearest row of each class: unlike votes, they show every change."""

    scores = "rank"

    def adapt(self, support):
        def classify(query):
            far = (query[:, :, None] - support.x[:, None]).square().sum(-1)
            label = support.y[:, None].expand_as(far)
            shape = (*far.shape[:2], support.n_way)
            return -far.new_full(shape, torch.inf).scatter_reduce(2, label, far, "amin")

        return classify


def class_distances(source, y, target, n_way):
    """The same as `DistancesHead` by loops in NumPy."""
    far = ((target[:, None] - source[None]) ** 2).sum(-1)
    return -np.stack([far[:, y == c].min(1) for c in range(n_way)], 1)


class FromOracle:
    """A learner between domains whose maps are a slow oracle's: ``oracle(x, y, target) -> (source, function)``."""

    scores = "rank"
    scaling = ()

    def __init__(self, oracle, adapt_to="pool", **slip):
        self.oracle, self.adapt_to, self.slip = oracle, adapt_to, slip

    @property
    def transductive(self):
        return self.adapt_to == "queries"

    @on_domains
    def adapt(self, support):
        x, y, target = support.x.numpy(), support.y.numpy(), support.unlabelled.numpy()
        source, through = self.oracle(x, y, target, **self.slip)
        return lambda rows: torch.from_numpy(class_distances(source, y, through(rows.numpy()), support.n_way))
