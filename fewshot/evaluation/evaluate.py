"""The evaluator: a learner, a collection and a list of episodes make a record."""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from fewshot.claims import claims_of
from fewshot.contract import Learner
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec, FixedEpisodes, IndexEpisodes
from fewshot.errors import EpisodeError
from fewshot.evaluation.answers import eval_mode
from fewshot.evaluation.collect import Episodes, Report, answer
from fewshot.evaluation.describe import assumptions, cut_texts, describe
from fewshot.evaluation.embedded import embedded
from fewshot.evaluation.guard import check_answers, check_items_alone, check_overlap, is_fixed
from fewshot.evaluation.required import require_alone, require_collection, require_episodes, require_learner
from fewshot.evaluation.target import asked_classes, make_sampler, require_alike
from fewshot.evaluation.transfer import evaluate_transfer
from fewshot.plumbing.number_checks import seed_number, whole_number
from fewshot.records.answers import Answers
from fewshot.records.choice import Choice
from fewshot.records.record import Record
from fewshot.records.summary import further_intervals, open_note, summarize, summarize_open_set
from fewshot.statistics.interval import check_level
from fewshot.tasks.transfer import Transfer

DRAWN = 1000  # episodes where no number is given
LARGE = 2**21  # bytes of an episode's items from which on it is scored by itself


def evaluate(
    learner: Learner,
    collection: Collection | Transfer,
    spec: EpisodeSpec | None = None,
    episodes: int | FixedEpisodes = DRAWN,
    seed: int = 0,
    *,
    queries: Collection | None = None,
    batch: int | None = None,
    keep_scores: bool = False,
    allow_seen: bool = False,
    chosen: Choice | None = None,
    open_interval: bool = False,
    cache: bool = True,
    level: float = 0.95,
    report: Report = lambda done, count: None,
) -> Record:
    """Accuracy of a learner over episodes, with intervals that say what they speak of.

    The evaluator owns labels, shuffling, seeds and grad mode: query labels are in no
    object that the learner can reach. An `Embedded` learner with a fixed backbone has
    each item embedded once. A learner is checked: an episode must score the same alone as in a
    batch, and an inductive learner's answer to one query must not change with the others.

    Queries of open classes (``spec.open_way``) have no right answer and do not count for the
    accuracy. How well they are told from the others is in ``record.open_set``.

    Args:
        learner: Anything with ``adapt``.
        collection: Classes to draw episodes from; or a task, `fewshot.Transfer`, which says by itself what is queried:
            of the other arguments ``keep_scores``, ``cache``, ``level`` and ``report`` go with it.
        spec: Shape of an episode; 5-way 1-shot with 15 queries a class when left out.
        episodes: How many to draw, or a fixed list of them.
        seed: Names the list of episodes.
        queries: A second collection with the same classes, the target: queries are drawn from it, and the pool
            without labels. The record names it, and its classes are guarded like those of the first.
        batch: Episodes that are scored in one call; as many as fill a cache, not memory, when left out.
        keep_scores: Keep every score in the answers, not only predictions.
        allow_seen: Let the learner have been trained on classes that are asked here; the record says so.
        chosen: How the learner's options were chosen; refused if these classes helped, and told in the record.
        open_interval: Also judge disjoint episodes, for an interval that speaks of new images.
        cache: Whether features may be read from, and written to, the cache folder.
        level: Of all intervals.
        report: Told after every batch how many episodes are done, and how many there are.

    Returns:
        A record with its answers in memory; ``record.save(path)`` writes both.

    Raises:
        FewShotError: If the learner is a class or a name instead of an object.
        DataError: If the data are no collection.
        EpisodeError: If the collection cannot give such episodes.
        ShapeError: If the classifier does not give every query a score of every class.
        LeakageError: If a claim of the learner does not hold, or it has seen the classes,
            or they helped to choose its options.
        StatisticsError: If there are fewer than two episodes, or the level of intervals does not lie in (0, 1).

    Example:
        >>> from fewshot import Collection, EpisodeSpec, NearestMean
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(10).repeat(20)
        >>> x = rng.normal(size=(200, 8)) + 3 * rng.normal(size=(10, 8))[y]
        >>> record = evaluate(NearestMean(), Collection.from_arrays(x, y), EpisodeSpec(way=5, shot=1, query=15), 200)
        >>> 0.5 < record.summary.low < record.accuracy < record.summary.high < 1
        True
    """
    started = time.perf_counter()
    require_learner(learner)
    if isinstance(collection, Transfer):
        require_alone(
            spec=spec, episodes=None if episodes == DRAWN else episodes, seed=seed or None, queries=queries, batch=batch,
            allow_seen=allow_seen or None, chosen=chosen, open_interval=open_interval or None,
        )  # fmt: skip
        return evaluate_transfer(learner, collection, keep_scores=keep_scores, cache=cache, level=level, report=report)
    require_collection(collection)
    if queries is not None:
        require_collection(queries)
        require_alike(collection, queries)
    episodes, seed, level = require_episodes(episodes), seed_number(seed, EpisodeError), check_level(level)
    batch = None if batch is None else whole_number("batch", batch, 1, error=EpisodeError)
    sampler = _sampler(collection, EpisodeSpec() if spec is None else spec, episodes, seed, queries)
    count = episodes if isinstance(episodes, int) else len(episodes)
    if not (sampler[0].query_y < sampler[0].n_way).any():
        raise EpisodeError("an evaluation needs queries, got episodes without one; set query to 1 or more")
    seen = check_overlap(learner, collection, allow_seen, queries)
    if chosen is not None:
        chosen.require_new(tuple(asked_classes(collection, queries)))
    with eval_mode(learner):
        first = next(iter(sampler.groups(0, min(2, count // 2))))  # of a short list one: it may be costly
        head, support, query = _guarded(learner, collection, queries, first, sampler.seeds(first.index), cache)
        batch = batch or _batch(support, sampler)
        answers = answer(head, support, query, sampler, count, batch, keep_scores, report)
        apart, note = _disjoint(head, support, query, sampler, batch) if open_interval else (None, None)
    summary = summarize(answers, level)
    intervals, notes = further_intervals(answers, apart, level)
    return Record(
        **describe(learner, collection, sampler, count, seed, queries),
        correct=answers.correct.tolist(),
        queries=_one_if_equal(answers.queries),
        summary=summary,
        intervals=intervals,
        open_set=summarize_open_set(answers, level),
        notes=[*assumptions(learner), *notes, *([note] if note else []), *cut_texts(learner, collection, queries)],
        pretraining_classes=seen,
        selection=None if chosen is None else chosen.selection,
        seconds=time.perf_counter() - started,
    ).with_answers(answers)


def _guarded(
    learner: Learner, collection: Collection, queries: Collection | None, first: IndexEpisodes, seeds: Any, cache: bool
) -> tuple[Learner, Collection, Collection]:
    """What answers, with the collections that it takes for support and queries; what it claims is checked."""
    inductive = not claims_of(learner).transductive
    backbone = getattr(learner, "backbone", None)
    if inductive and backbone is not None and is_fixed(backbone):
        check_items_alone(backbone, queries or collection, first)
    head, support = embedded(learner, collection, cache)
    query = support if queries is None else embedded(learner, queries, cache)[1]
    check_answers(head, support, first, seeds, query, inductive)
    return head, support, query


def _sampler(
    collection: Collection, spec: EpisodeSpec, episodes: int | FixedEpisodes, seed: int, queries: Collection | None
) -> Episodes:
    if not isinstance(episodes, int):
        return episodes
    return make_sampler(collection, spec, seed, queries)


def _batch(collection: Collection, sampler: Episodes) -> int:
    """Episodes whose items take about 32 MB as floats: one large one, which fills a cache by itself, or many small ones."""
    first = next(iter(sampler.groups(0, 1)))
    items = collection.items
    one = 4 * math.prod(items.shape[1:]) * (first.support.shape[1] + first.query.shape[1])
    return 1 if one > LARGE else int(min(256, max(16, 2**25 // max(one, 1))))


def _disjoint(
    learner: Learner, support: Collection, query: Collection, sampler: Episodes, batch: int
) -> tuple[Answers | None, str | None]:
    """Answers to disjoint episodes of the same shape, or the reason why there are none."""
    if isinstance(sampler, FixedEpisodes) or not sampler.spec.is_plain() or query is not support:
        return None, "open interval: only for drawn episodes of one shape from one collection"
    apart = EpisodeSampler(support.labels, replace(sampler.spec, disjoint=True), sampler.seed)
    note = open_note(len(apart))
    return (None, note) if note else (answer(learner, support, query, apart, len(apart), batch, False), None)


def _one_if_equal(queries: np.ndarray) -> int | list[int]:
    return int(queries[0]) if (queries == queries[0]).all() else queries.tolist()
