"""Episodes for learners that read examples and descriptions: items lie around the descriptors, lengths differ."""

from dataclasses import replace

import numpy as np
import torch

from fewshot.contract import SupportSet

SHOTS = (3, 1, 0, 4)  # unbalanced, and a class without an example


def paired(shots=SHOTS, queries=5, dim=6, seed=0, noise=0.6, episodes=1):
    """``(support, query, query_y)`` of double precision, shuffled; no vector has length 1."""
    rng, n = np.random.default_rng(seed), len(shots)
    side = rng.normal(size=(episodes, n, dim))
    y = rng.permuted(np.tile(np.repeat(np.arange(n), shots), (episodes, 1)), axis=1)
    asked = rng.permuted(np.tile(np.arange(n).repeat(queries), (episodes, 1)), axis=1)
    row = np.arange(episodes)[:, None]

    def items(labels):
        around = side[row, labels] + noise * rng.normal(size=(*labels.shape, dim))
        return torch.from_numpy(around * rng.uniform(0.3, 3, size=(*labels.shape, 1)))

    described = torch.from_numpy(side * rng.uniform(0.3, 3, size=(episodes, n, 1)))
    return SupportSet(items(y), torch.from_numpy(y), n, described), items(asked), torch.from_numpy(asked)


def without_examples(support):
    """The same episodes with descriptions alone."""
    return replace(support, x=support.x[:, :0], y=support.y[:, :0])


def unit(v):
    """Rows of length 1, in NumPy."""
    v = np.asarray(v, dtype=np.float64)
    return v / np.sqrt((v**2).sum(-1, keepdims=True))


def cosines(query, described):
    """One product after the other."""

    def product(a, b):
        return sum(float(i * j) for i, j in zip(a, b, strict=True))

    return np.array([[product(q, t) for t in unit(described)] for q in unit(query)])


def differ(a, b):
    """Largest difference, of one episode's scores."""
    return float((torch.as_tensor(a) - torch.as_tensor(b)).abs().max())


LAW = np.random.default_rng(0).normal(size=(8, 8))  # of the battery, by which it makes items of descriptors


def into_the_space_of_the_descriptors(items):
    """What `check_learner` renders, so that its items lie around its descriptors."""
    return items @ torch.linalg.inv(torch.from_numpy(3 * LAW)).to(items)


BATTERY = {"side_shape": (8,), "absent_class": "handled", "render": into_the_space_of_the_descriptors}
EXAMPLES = ((3, 1, 2), (3, 0, 2), (0, 0, 0))
