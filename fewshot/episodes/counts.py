"""How many items each class of an irregular episode gives."""

import numpy as np

from fewshot.episodes.spec import MOST_SUPPORT, Count, EpisodeSpec, high
from fewshot.errors import EpisodeError

TRIES = 1000


def between(rng: np.random.Generator, count: Count) -> int:
    """A fixed count, or one of a pair's range, both ends included."""
    return count if isinstance(count, int) else int(rng.integers(count[0], count[1], endpoint=True))


def draw_shots(rng: np.random.Generator, spec: EpisodeSpec, way: int) -> np.ndarray:
    """Support items of each class: all alike, or the unequal ones in random order."""
    return np.full(way, between(rng, spec.shot)) if spec.shots is None else rng.permutation(spec.shots)


def share_out(rng: np.random.Generator, alpha: float, total: int, room: np.ndarray) -> tuple[np.ndarray, int]:
    """Queries of each class by Dirichlet shares that all classes can fill, and how many draws were rejected.

    Whole numbers come from shares by largest remainder, so their sum is the total.

    Args:
        rng: Source of randomness.
        alpha: Concentration of the symmetric Dirichlet distribution.
        total: Number of queries.
        room: Most queries that each class can give.

    Raises:
        EpisodeError: If 1,000 draws in a row ask some class for more than it has.
    """
    for rejected in range(TRIES):
        exact = total * rng.dirichlet(np.full(len(room), alpha))
        counts = np.floor(exact).astype(int)
        counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
        if (counts <= room).all():
            return counts, rejected
    raise EpisodeError(
        f"Dirichlet({alpha:g}) shares of {total} queries must fit the classes of an episode, got {TRIES} misfits in a row "
        f"with room for {sorted(room.tolist())} queries; lower query, or leave small classes out"
    )


def meta_dataset_counts(
    rng: np.random.Generator, spec: EpisodeSpec, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shots and queries by the rule of Triantafillou et al. (2020), section 3.2, steps 2 and 3.

    Queries: ``min(10, half of the smallest class)``, for all classes alike. Support size:
    ``min(500, sum_c ceil(beta * min(100, rest of c)))``, ``beta ~ U(0, 1]``, shared out in proportion
    to ``size_c * exp(alpha_c)``, ``alpha_c ~ U(log 0.5, log 2)``, one item a class at least.

    Args:
        rng: Source of randomness.
        spec: Its ``query`` is the 10 and the top of its ``shot`` the 100 of the formulas.
        sizes: Items of each class of the episode, two or more.
    """
    query = min(high(spec.query), int(sizes.min()) // 2)
    rest = sizes - query
    beta = rng.random()  # floor(beta x) + 1 with beta in [0, 1) is ceil(beta x) with beta in (0, 1]
    support = min(MOST_SUPPORT, int(np.floor(beta * np.minimum(high(spec.shot), rest) + 1).sum()))
    weights = sizes * np.exp(rng.uniform(np.log(0.5), np.log(2), len(sizes)))
    shots = np.floor(weights / weights.sum() * (support - len(sizes))).astype(int) + 1
    return np.minimum(shots, rest), np.full(len(sizes), query)
