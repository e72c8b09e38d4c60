"""Makers of classes with descriptors for tests, and a slow ranking learner: one item and one class at a time."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from fewshot.contract import SupportSet
from fewshot.errors import NotFittedError


def described(shots, dim=6, length=4, seed=0, noise=0.3, law_seed=99):
    """One batch of one episode: unbalanced, shuffled items that are a linear function of the descriptor, plus noise."""
    rng = np.random.default_rng(seed)
    law = np.random.default_rng(law_seed).normal(size=(length, dim))
    side = rng.normal(size=(len(shots), length))
    y = rng.permutation(np.repeat(np.arange(len(shots)), shots))
    x = side[y] @ law + noise * rng.normal(size=(len(y), dim))
    return SupportSet(torch.from_numpy(x)[None], torch.from_numpy(y)[None], len(shots), torch.from_numpy(side)[None])


def base_of(shots=(7, 2, 1, 5, 3, 4), seed=0, **options):
    return described(shots, seed=seed, **options)


def new_classes(n_way=4, queries=6, seed=1, **options):
    """``(support, query, query_y)``: a support set without items, and what it asks."""
    asked = described((queries,) * n_way, seed=seed, **options)
    return replace(asked, x=asked.x[:, :0], y=asked.y[:, :0]), asked.x, asked.y


def separated(n_way=5, seed=3):
    """New classes whose descriptors are orthogonal, without noise: nothing but the relation must be learned."""
    support, _, _ = new_classes(n_way, length=n_way, dim=8, seed=seed)
    law = np.random.default_rng(99).normal(size=(n_way, 8))
    side = np.linalg.qr(np.random.default_rng(seed).normal(size=(n_way, n_way)))[0]
    labels = torch.arange(n_way)[None]
    return replace(support, descriptors=torch.from_numpy(side)[None]), torch.from_numpy(side @ law)[None], labels


@dataclass
class SlowRanking:
    """Gradient descent in NumPy, transcribed from the papers: subclasses say which classes count; slips change one line."""

    margin: float = 1.0
    learning_rate: float = 0.01
    epochs: int = 2
    batch: int = 1
    seed: int = 0
    matrix: np.ndarray | None = None

    scores = "rank"
    draws = False

    def weights(self, hinges, own, turn):
        """How much each wrong class counts; ``turn`` is when it is drawn, if at all."""
        raise NotImplementedError

    def unit(self, s):
        return s / np.linalg.norm(s, axis=-1, keepdims=True)

    def step(self, x, s_own, s_wrong):
        return np.outer(x, s_own - s_wrong)

    def hinge(self, right, wrong):
        return max(0.0, self.margin - right + wrong)

    def with_base(self, base):
        generator = torch.Generator().manual_seed(self.seed)
        x, y = base.x.double().flatten(0, -2).numpy(), base.y.flatten().tolist()
        s = self.unit(base.descriptors.double().reshape(base.n_way, -1).numpy())
        w = np.zeros((x.shape[1], s.shape[1]))
        for _ in range(self.epochs):
            order = torch.randperm(len(x), generator=generator).tolist()
            for start in range(0, len(x), self.batch):
                w = w + self.learning_rate * self.addition(w, x, y, s, order[start : start + self.batch], generator)
        return replace(self, matrix=w)

    def addition(self, w, x, y, s, rows, generator):
        turns = torch.rand(len(rows), len(s), generator=generator, dtype=torch.float64).numpy() if self.draws else rows
        total = np.zeros_like(w)
        for i, turn in zip(rows, turns, strict=True):
            right = x[i] @ w @ s[y[i]]
            hinges = [0.0 if j == y[i] else self.hinge(right, x[i] @ w @ s[j]) for j in range(len(s))]
            weights = self.weights(hinges, y[i], turn)
            for j in range(len(s)):
                if j != y[i] and hinges[j] > 0:
                    total += weights[j] * self.step(x[i], s[y[i]], s[j])
        return total

    def adapt(self, support):
        if self.matrix is None:
            raise NotFittedError("base classes first")
        s = torch.from_numpy(self.unit(support.descriptors.double().numpy()))
        matrix = torch.from_numpy(self.matrix)
        return lambda query: (query.double() @ matrix @ s.mT).to(query.dtype)


def first_drawn(hinges, own, turn):
    """``(class, draws)``: wrong classes in the order of their turns until one violates the margin; or nothing."""
    order = [j for j in np.argsort(turn) if j != own]
    for draws, j in enumerate(order, 1):
        if hinges[j] > 0:
            return j, draws
    return None
