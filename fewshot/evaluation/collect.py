"""Answers to a list of episodes, a batch at a time."""

from collections.abc import Callable

import numpy as np
import torch

from fewshot.claims import claims_of
from fewshot.contract import Learner
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, FixedEpisodes, IndexEpisodes
from fewshot.evaluation.answers import score, score_and_known, support_set
from fewshot.records.answers import Answers

Drawn = EpisodeSampler | FixedEpisodes
KNOWN = "known by "  # before the name of a measure
Report = Callable[[int, int], None]  # told (done, count)


def answer(
    learner: Learner,
    support: Collection,
    query: Collection,
    sampler: Drawn,
    count: int,
    batch: int,
    keep_scores: bool,
    report: Report = lambda done, count: None,
) -> Answers:
    """Answers of a learner to the first ``count`` episodes, a batch at a time.

    Args:
        learner: In eval mode; on features where the collections hold features.
        support: Where support items come from.
        query: Where queries come from.
        sampler: The list of episodes.
        count: How many of them.
        batch: Episodes of one call.
        keep_scores: Whether all scores are kept.
        report: Told after every batch how many episodes are done, and how many there are.
    """
    probable = claims_of(learner).scores == "log-probability"
    opened = asks_open_classes(sampler)
    rows: list[tuple[int, dict[str, np.ndarray]]] = []
    for start in range(0, count, batch):
        for episodes in sampler.groups(start, min(batch, count - start)):
            adapted_to = support_set(support, episodes, sampler.seeds(episodes.index), pool=query)
            given = adapted_to, query.take(episodes.query)
            scores, known = score_and_known(learner, *given) if opened else (score(learner, *given), {})
            known = {name: value.cpu() for name, value in known.items()}
            rows.extend(_rows(episodes, scores.cpu(), known, probable, keep_scores))
        report(min(start + batch, count), count)
    rows.sort(key=lambda row: row[0])
    return _join([row for _, row in rows])


def asks_open_classes(sampler: Drawn) -> bool:
    """Whether there may be queries of classes that are not in their episode."""
    if isinstance(sampler, EpisodeSampler):
        return sampler.spec.open_way > 0 and sampler.spec.open_query != 0
    return any(bool((episode.query_y >= episode.n_way).any()) for episode in sampler.episodes)


def _rows(
    episodes: IndexEpisodes, scores: torch.Tensor, known: dict[str, torch.Tensor], probable: bool, keep_scores: bool
) -> list[tuple[int, dict[str, np.ndarray]]]:
    best, predicted = scores.max(-1)
    padded = np.concatenate([episodes.classes, np.full((len(episodes), 1), -1)], 1)  # label n_way: an open class
    columns = {
        "true": np.take_along_axis(padded, episodes.query_y, 1),
        "predicted": np.take_along_axis(episodes.classes, predicted.numpy(), 1),
        "classes": episodes.classes,
        "rows": episodes.query,
    }
    if probable:
        columns["confidence"] = (best - scores.logsumexp(-1)).exp().float().numpy()
    if keep_scores:
        columns["scores"] = scores.flatten(1).float().numpy()
    columns |= {KNOWN + name: value.numpy() for name, value in known.items()}
    return [(int(i), {name: value[k] for name, value in columns.items()}) for k, i in enumerate(episodes.index)]


def _join(rows: list[dict[str, np.ndarray]]) -> Answers:
    def starts(name: str) -> np.ndarray:
        return np.cumsum([0, *(len(row[name]) for row in rows)])

    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0] if all(name in row for row in rows)}
    measures = {name.removeprefix(KNOWN): joined.pop(name) for name in list(joined) if name.startswith(KNOWN)}
    if measures:
        joined |= {"known": np.stack(list(measures.values()), 1), "known_by": np.array(list(measures))}
    return Answers(starts=starts("true"), class_starts=starts("classes"), **joined)
