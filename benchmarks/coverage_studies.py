"""The simulated worlds of ``coverage.py``, each with a truth that is known.

Episodes come from a sampler with beta-binomial answers, or from 1-shot nearest
neighbour on Gaussian classes, whose images or classes are drawn anew.
"""

from collections.abc import Callable, Iterator

import numpy as np

from fewshot.statistics.class_bootstrap import class_bootstrap_interval, class_bootstrap_p
from fewshot.statistics.interval import Interval
from fewshot.statistics.mean_accuracy import closed_interval, logit_interval, open_interval, seed_interval, t_interval
from fewshot.statistics.new_classes import class_interval, class_p
from fewshot.statistics.paired import sign_flip_p
from fewshot.statistics.stopping import two_stage_count

SEED = 2024
DIM = 8

Row = dict[str, float | int | str]


class Tally:
    """Shares of hits and mean half widths by method."""

    def __init__(self) -> None:
        self.hits: dict[str, list[bool]] = {}
        self.widths: dict[str, list[float]] = {}

    def add(self, method: str, low: float, high: float, truth: float) -> None:
        """Note whether an interval holds the truth, rounding allowed."""
        self.hits.setdefault(method, []).append(low - 1e-12 <= truth <= high + 1e-12)
        self.widths.setdefault(method, []).append((high - low) / 2)

    def interval(self, method: str, interval: Interval, truth: float) -> None:
        """The same for an ``Interval``."""
        self.add(method, interval.low, interval.high, truth)

    def row(self, **regime: float | int | str) -> Row:
        """The regime, then share and width of each method."""
        shares = {m: round(float(np.mean(h)), 4) for m, h in self.hits.items()}
        widths = {f"{m} width": round(float(np.mean(w)), 5) for m, w in self.widths.items()}
        return {**regime, "repeats": len(next(iter(self.hits.values()))), **shares, **widths}


def closed(repeats: int) -> Iterator[Row]:
    """Episodes of a sampler: beta-binomial answers, intra-episode correlation 0.02."""
    for accuracy in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999):
        for episodes, queries in ((30, 5), (30, 75), (100, 25), (600, 5), (600, 75), (2000, 75)):
            rng = np.random.default_rng([SEED, int(accuracy * 1000), episodes, queries])
            tally = Tally()
            for _ in range(repeats):
                share = rng.beta(49 * accuracy, 49 * (1 - accuracy), episodes)
                correct = rng.binomial(queries, share)
                closed_once(tally, correct, queries, accuracy)
            yield tally.row(accuracy=accuracy, episodes=episodes, queries=queries)


def closed_once(tally: Tally, correct: np.ndarray, queries: int, truth: float) -> None:
    """All forms of the interval on one list of episodes."""
    a, distinct = correct / queries, min(len(correct) * queries, 2000)
    half = 1.96 * a.std() / len(a) ** 0.5
    tally.add("1.96", a.mean() - half, a.mean() + half, truth)
    tally.interval("t", t_interval(a), truth)
    tally.interval("logit", logit_interval(a, distinct_queries=distinct), truth)
    tally.interval("chosen", closed_interval(correct, queries, distinct), truth)


def draw_classes(rng: np.random.Generator, episodes: int, way: int, count: int) -> np.ndarray:
    """Distinct classes for each episode, uniformly."""
    return np.argsort(rng.random((episodes, count)), axis=1)[:, :way]


def draw_means(rng: np.random.Generator, count: int) -> np.ndarray:
    """Means of unit Gaussian classes, some of them far out and easy."""
    return rng.normal(size=(count, DIM)) * rng.lognormal(0, 0.5, size=(count, 1))


def answers(support: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Right answers (e, way, query) of 1-shot nearest neighbour; support (e, way, d)."""
    scores = 2 * np.einsum("ekqd,end->ekqn", query, support)
    scores -= (support**2).sum(-1)[:, None, None]
    return scores.argmax(-1) == np.arange(support.shape[1])[:, None]


def fresh(rng: np.random.Generator, means: np.ndarray, classes: np.ndarray, query: int) -> np.ndarray:
    """Answers on images that are drawn for each episode and never used again."""
    mu = means[classes]
    x = mu[:, :, None] + rng.normal(size=(*mu.shape[:2], 1 + query, DIM))
    return answers(x[:, :, 0], x[:, :, 1:])


def stored(rng: np.random.Generator, images: np.ndarray, episodes: int, query: int) -> np.ndarray:
    """Answers on images (class, image, d) that later episodes use again."""
    classes = draw_classes(rng, episodes, 5, len(images))
    keys = rng.random((episodes, 5, images.shape[1]))
    x = images[classes[..., None], np.argpartition(keys, query, axis=2)[..., : 1 + query]]
    return answers(x[:, :, 0], x[:, :, 1:])


def disjoint(rng: np.random.Generator, images: np.ndarray, query: int) -> np.ndarray:
    """Answers on episodes that share no image, until fewer than five classes have enough left."""
    left = np.full(len(images), images.shape[1])
    chosen = []
    while (left >= 1 + query).sum() >= 5:
        classes = rng.permutation(np.flatnonzero(left >= 1 + query))[:5]
        left[classes] -= 1 + query
        chosen.append(images[classes[:, None], left[classes][:, None] + np.arange(1 + query)])
    x = np.stack(chosen)
    return answers(x[:, :, 0], x[:, :, 1:])


def new_images(repeats: int) -> Iterator[Row]:
    """Fixed classes, redrawn images: disjoint episodes hold, re-used images do not."""
    for count, size, query in ((20, 60, 5), (20, 160, 15), (64, 20, 3)):
        rng = np.random.default_rng([SEED, count, size, query])
        means, tally, episodes = draw_means(rng, count), Tally(), []
        truth = np.mean([fresh(rng, means, draw_classes(rng, 20_000, 5, count), 5).mean() for _ in range(20)])
        for _ in range(repeats):
            images = means[:, None] + rng.normal(size=(count, size, DIM))
            apart, shared = disjoint(rng, images, query), stored(rng, images, 1000, query)
            episodes.append(len(apart))
            tally.interval("open", open_interval(apart.sum((1, 2)), 5 * query), truth)
            tally.interval("closed, 1000 episodes", closed_interval(shared.sum((1, 2)), 5 * query), truth)
        yield tally.row(classes=count, images=size, queries=5 * query, disjoint=round(float(np.mean(episodes))))


CLASS_REGIMES = ((10, 5, 600), (20, 5, 600), (50, 5, 600), (100, 5, 600), (20, 5, 5000), (50, 5, 5000), (100, 20, 600))


def new_classes(repeats: int) -> Iterator[Row]:
    """Redrawn classes: what holds with 10 to 100 of them."""
    for count, way, episodes in CLASS_REGIMES:
        rng = np.random.default_rng([SEED, count, way, episodes])
        many = np.arange(20_000 * way).reshape(-1, way)
        truth = np.mean([fresh(rng, draw_means(rng, many.size), many, 5).mean() for _ in range(10)])
        tally = Tally()
        for _ in range(repeats):
            classes = draw_classes(rng, episodes, way, count)
            new_classes_once(tally, fresh(rng, draw_means(rng, count), classes, 5), classes, rng, truth)
        yield tally.row(classes=count, way=way, episodes=episodes)


def new_classes_once(
    tally: Tally, right: np.ndarray, classes: np.ndarray, rng: np.random.Generator, truth: float
) -> None:
    """All class-level intervals, and the closed one, on one list of episodes."""
    accuracies = right.mean((1, 2))
    own = np.bincount(classes.ravel(), right.mean(2).ravel()) / np.bincount(classes.ravel())
    tally.interval("class jackknife t", class_interval(accuracies, classes), truth)
    if classes.shape[1] < 20:  # refuses: hardly a replicate of 100 classes holds an episode of 20
        tally.interval("class bootstrap", class_bootstrap_interval(accuracies, classes, rng), truth)
    tally.interval("t over own queries", t_interval(own), truth)
    tally.interval("closed", t_interval(accuracies), truth)


def null_pair(rng: np.random.Generator, count: int, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences of two methods that are equal on new classes: each sees half of the features."""
    means, classes = draw_means(rng, count), draw_classes(rng, episodes, 5, count)
    x = means[classes][:, :, None] + rng.normal(size=(episodes, 5, 6, DIM))
    half = DIM // 2
    a, b = (answers(x[:, :, 0, s], x[:, :, 1:, s]) for s in (slice(half), slice(half, None)))
    return a.mean((1, 2)) - b.mean((1, 2)), classes


def false_alarms(repeats: int) -> Iterator[Row]:
    """Share of p <= 0.05 between two methods that are equal on new classes."""
    for count, episodes in ((20, 600), (50, 600), (20, 5000), (100, 5000)):
        rng = np.random.default_rng([SEED, count, episodes])
        found: dict[str, list[float]] = {"class jackknife t": [], "class bootstrap": [], "sign flip": []}
        for _ in range(repeats // 2):
            d, classes = null_pair(rng, count, episodes)
            found["class jackknife t"].append(class_p(d, classes))
            found["class bootstrap"].append(class_bootstrap_p(d, classes, rng, 1000))
            found["sign flip"].append(sign_flip_p(d, rng, 1000))
        shares = {m: round(float(np.mean(np.array(p) <= 0.05)), 4) for m, p in found.items()}
        yield {"classes": count, "episodes": episodes, "repeats": repeats // 2, **shares}


def few_runs(repeats: int) -> Iterator[Row]:
    """Training runs with a normal spread of one point."""
    for runs in (3, 5, 10):
        rng, tally = np.random.default_rng([SEED, runs]), Tally()
        for values in rng.normal(0.5, 0.01, (10 * repeats, runs)):
            half = 1.96 * values.std() / runs**0.5
            tally.interval("t", seed_interval(values), 0.5)
            tally.add("1.96", values.mean() - half, values.mean() + half, 0.5)
        yield tally.row(runs=runs)


def two_stages(repeats: int) -> Iterator[Row]:
    """A pilot of 200 episodes, then as many as the half width needs."""
    for accuracy, wanted in ((0.6, 0.005), (0.95, 0.003)):
        rng, tally = np.random.default_rng([SEED, int(accuracy * 100)]), Tally()
        for _ in range(2 * repeats):
            a = rng.binomial(25, rng.beta(19 * accuracy, 19 * (1 - accuracy), 8000)) / 25
            tally.interval("t", t_interval(a[: two_stage_count(a[:200], wanted)]), accuracy)
        yield tally.row(accuracy=accuracy, wanted=wanted)


STUDIES: dict[str, tuple[Callable[[int], Iterator[Row]], int]] = {
    "closed": (closed, 2000),
    "new images": (new_images, 300),
    "new classes": (new_classes, 400),
    "false alarms": (false_alarms, 400),
    "few runs": (few_runs, 1000),
    "two stages": (two_stages, 1000),
}
