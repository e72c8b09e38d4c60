"""Evaluating a learner, in long with a task, or in short with a collection and the shape of its episodes."""

from typing import Any, overload

from fewshot.contract import Learner
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSpec, FixedEpisodes
from fewshot.errors import EpisodeError
from fewshot.evaluation.answered import How
from fewshot.evaluation.collect import Report
from fewshot.evaluation.of_task import evaluate_task
from fewshot.evaluation.required import require_alone
from fewshot.plumbing.device import Device
from fewshot.plumbing.number_checks import whole_number
from fewshot.records.choice import Choice
from fewshot.records.record import Record
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.tasks.episodes import DRAWN, Episodes
from fewshot.tasks.kinds import ByDescription, ByExample, Task
from fewshot.tasks.training_draws import TrainingDraws


@overload
def evaluate(
    learner: Learner,
    collection: ByDescription,
    *,
    cache: bool = True,
    level: float = 0.95,
    device: Device | None = None,
) -> ZeroShotRecord: ...


@overload
def evaluate(
    learner: Learner,
    collection: Collection | ByExample,
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
    device: Device | None = None,
    report: Report = ...,
) -> Record: ...


def evaluate(
    learner: Learner,
    collection: Collection | Task,
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
    device: Device | None = None,
    report: Report = lambda done, count: None,
) -> Any:
    """Accuracy of a learner on a task, with intervals that say what they speak of.

    The evaluator owns labels, shuffling, seeds and grad mode: query labels are in no
    object that the learner can reach. An `Embedded` learner with a fixed backbone has
    each item embedded once. A learner is checked: an episode must score the same alone as in a
    batch, and an inductive learner's answer to one query must not change with the others.

    Queries of open classes (``spec.open_way``) have no right answer and do not count for the
    accuracy. ``record.open_set`` has how well they are told from the others.

    Args:
        learner: Anything with ``adapt``.
        collection: A task, one of `fewshot.Episodes`, `fewshot.TrainingDraws`, `fewshot.ZeroShot`, `fewshot.Generalised` and
            `fewshot.Transfer`, which defines what is queried; or classes to draw episodes from, the short form of
            ``Episodes(collection, spec, episodes, seed, queries, allow_seen, open_interval)``.
        spec: See `fewshot.Episodes`, also for the next three.
        episodes: How many to draw, or a fixed list of them.
        seed: Names the list of episodes.
        queries: A second collection with the same classes, which queries are drawn from.
        batch: Episodes that are scored in one call; as many as fill a cache, not memory, when left out.
        keep_scores: Keep every score in the answers, not only predictions.
        allow_seen: See `fewshot.Episodes`.
        chosen: How the learner's options were chosen; refused if these classes helped; the record has it.
        open_interval: See `fewshot.Episodes`.
        cache: Whether features may be read from, and written to, the cache folder.
        level: Of all intervals.
        device: Where to compute: ``"auto"`` for a card where there is one, or what `torch.device` takes. The learner is copied
            there if it is elsewhere. Where the learner is, when left out.
        report: Told after every batch how many episodes are done, and how many there are.

    Returns:
        A `fewshot.Record` with its answers in memory, ``record.save(path)`` writes both; for a task without examples its
        record of zero-shot learning.

    Raises:
        FewShotError: If the learner is a class or a name instead of an object, or the device is not there.
        DataError: If the data are no collection.
        EpisodeError: If the collection cannot give such episodes.
        ShapeError: If the classifier does not give every query a score of every class.
        LeakageError: If a claim of the learner does not hold, or it has seen the classes,
            or they helped to choose its options.
        StatisticsError: If there are fewer than two episodes, or the level of intervals does not lie in (0, 1).

    Example:
        >>> import numpy as np
        >>> from fewshot import Collection, EpisodeSpec, NearestMean
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(10).repeat(20)
        >>> x = rng.normal(size=(200, 8)) + 3 * rng.normal(size=(10, 8))[y]
        >>> record = evaluate(NearestMean(), Collection.from_arrays(x, y), EpisodeSpec(way=5, shot=1, query=15), 200)
        >>> 0.5 < record.summary.low < record.accuracy < record.summary.high < 1
        True
    """
    if not isinstance(collection, Task):
        task: Task = Episodes(collection, spec, episodes, seed, queries, allow_seen, open_interval)
    else:
        task = collection
        require_alone(
            "set it in the task", spec=spec, episodes=None if episodes == DRAWN else episodes, seed=seed or None, queries=queries,
            allow_seen=allow_seen or None, open_interval=open_interval or None,
        )  # fmt: skip
    if isinstance(task, ByDescription):
        require_alone("leave it out", keep_scores=keep_scores or None)
    if not isinstance(task, Episodes | TrainingDraws):
        require_alone("leave it out", batch=batch, chosen=chosen)
    elif chosen is not None:
        chosen.require_new(task.classes)
    batch = None if batch is None else whole_number("batch", batch, 1, error=EpisodeError)
    how = How(batch, keep_scores, cache, report, device)
    return evaluate_task(learner, task, how, level=level, selection=None if chosen is None else chosen.selection)
