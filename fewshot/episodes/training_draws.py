"""Draws of a training set: some examples of every class, and a whole test set that stays the same."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Integer

from fewshot.episodes.draws import stream
from fewshot.episodes.fixed import FixedEpisodes
from fewshot.episodes.index import IndexEpisodes
from fewshot.errors import EpisodeError
from fewshot.plumbing.number_checks import seed_number, whole_number


def training_draws(
    labels: Integer[np.ndarray, " n"],
    splits: Mapping[str, np.ndarray],
    support: str,
    query: str,
    shot: int,
    count: int,
    seed: int = 0,
) -> FixedEpisodes:
    """Episodes with all classes of a training part, each of which queries every item of the test part.

    The examples of a draw with fewer shots are among those of the same draw with more: their accuracies are paired.

    Args:
        labels: Class id of every item.
        splits: Rows of each part.
        support: Part from which examples are drawn.
        query: Part that is queried.
        shot: Examples of each class.
        count: Number of draws.
        seed: Names the list of draws.

    Raises:
        EpisodeError: If a part is absent, a queried class has no example, or one has too few.
    """
    shot, count = (whole_number(name, n, 1, error=EpisodeError) for name, n in (("shot", shot), ("count", count)))
    seed = seed_number(seed, EpisodeError)
    for part in (support, query):
        if part not in splits:
            raise EpisodeError(f"draws need the split '{part}', got {list(splits)}; name splits of the data")
    given, asked = splits[support], splits[query]
    classes, sizes = np.unique(labels[given], return_counts=True)
    if not np.isin(labels[asked], classes).all():
        raise EpisodeError(
            f"classes of '{query}' must have items in '{support}', got none for class {np.setdiff1d(labels[asked], classes)[0]}"
        )
    if sizes.min() < shot:
        raise EpisodeError(
            f"{shot} examples of every class need as many items in '{support}', got {sizes.min()} of class "
            f"{classes[sizes.argmin()]}; ask for fewer shots"
        )
    pools = [given[labels[given] == c] for c in classes]
    drawn = [_draw(pools, asked, labels, shot, stream(seed, "draws", i)) for i in range(count)]
    return FixedEpisodes(drawn, f"{shot} of each class of {support}, all of {query}", seed)


def _draw(
    pools: list[np.ndarray], asked: np.ndarray, labels: np.ndarray, shot: int, rng: np.random.Generator
) -> IndexEpisodes:
    order = rng.permutation(len(pools))  # of the classes, so that no label is always the same one
    chosen = np.concatenate([rng.permutation(pools[k])[:shot] for k in order])
    classes = np.array([labels[pools[k][0]] for k in order])
    place = np.empty(labels.max() + 1, np.int64)
    place[classes] = np.arange(len(classes))
    chosen, asked = rng.permutation(chosen), rng.permutation(asked)
    return IndexEpisodes(np.asarray(0), classes, chosen, place[labels[chosen]], asked, place[labels[asked]])
