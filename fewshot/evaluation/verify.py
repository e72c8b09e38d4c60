"""Whether the answers of a record hold: some of its episodes, computed anew."""

from dataclasses import dataclass

import numpy as np

from fewshot.contract import Learner
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, FixedEpisodes, IndexEpisodes
from fewshot.errors import RecordError
from fewshot.evaluation.answers import eval_mode, score, support_set
from fewshot.plumbing.device import device_of
from fewshot.plumbing.number_checks import seed_number, whole_number
from fewshot.records.record import DataInfo, Record
from fewshot.tasks.target import manifest_of

TIE = 1e-5  # of the largest score: below it, kernels of another batch size may order two scores differently


@dataclass(frozen=True)
class Verdict:
    """What came of it.

    Attributes:
        episodes: Numbers of the episodes that were computed anew.
        different: Those whose number of correct answers differs by more than ties explain.
        ties: Queries whose answer a tie decides; a stored count may differ by one for each in its episode.
        problems: Sentences about what does not hold; empty if all does.
    """

    episodes: tuple[int, ...]
    different: tuple[int, ...]
    ties: int
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the record's answers hold."""
        return not self.problems


def verify(
    record: Record,
    learner: Learner,
    collection: Collection,
    sampler: EpisodeSampler | FixedEpisodes,
    *,
    queries: Collection | None = None,
    episodes: int = 50,
    seed: int = 0,
) -> Verdict:
    """Recompute randomly chosen episodes of a record and compare the numbers of correct answers.

    First the manifest must be equal, and the mean accuracy must be that of the stored counts.
    Counts must be equal, up to one for each query of the episode whose true class ties for
    the best score within ``TIE`` of the episode's largest: such a query goes either way
    with the size of a batch.

    Args:
        record: Claims to hold.
        learner: The one of the record, built anew.
        collection: The items that it was asked.
        sampler: The list of episodes.
        queries: The second collection of a record that names one.
        episodes: How many to recompute; all, if there are no more.
        seed: Of the choice.

    Raises:
        RecordError: If a collection is not that of the record.
    """
    _require_same("data", record.data, collection)
    _require_same("queries", record.target, queries)
    count = len(record.correct)
    if manifest_of(sampler, count, collection, queries) != record.episodes.manifest:
        return Verdict((), (), 0, ("the manifest is not that of the episodes which the record names",))
    episodes = whole_number("episodes", episodes, 1, error=RecordError)
    chosen = np.sort(
        np.random.default_rng(seed_number(seed, RecordError)).choice(count, min(episodes, count), replace=False)
    )
    place = device_of(learner)
    items, second = collection.on(place), (queries or collection).on(place)
    with eval_mode(learner):
        found = [_recompute(learner, items, sampler, int(i), second) for i in chosen]
    stored = np.asarray(record.correct)[chosen]
    different = [int(i) for i, n, (low, high) in zip(chosen, stored, found, strict=True) if not low <= n <= high]
    problems = [*_sums(record), *_counts(different, len(chosen))]
    return Verdict(tuple(chosen.tolist()), tuple(different), sum(high - low for low, high in found), tuple(problems))


def _require_same(what: str, known: DataInfo | None, given: Collection | None) -> None:
    if known is None and given is None:
        return
    if known is None or given is None:
        got, remedy = (
            ("none", f"its queries are of '{known.name}'") if known else (f"'{given and given.name}'", "leave it out")
        )
        raise RecordError(
            f"{what} must be given where the record names a second collection, and only there, got {got}; {remedy}"
        )
    if given.hash != known.hash:
        raise RecordError(
            f"verifying needs the very items of the record, {what} hash {known.hash[:16]}, "
            f"got {given.hash[:16]}; the data, their options or their decoder differ"
        )


def _recompute(
    learner: Learner, collection: Collection, sampler: EpisodeSampler | FixedEpisodes, i: int, queries: Collection
) -> tuple[int, int]:
    """Fewest and most correct answers of one episode; they differ by the queries that ties decide."""
    (batch,) = sampler.groups(i, 1)
    support = support_set(collection, batch, sampler.seeds(batch.index), pool=queries)
    scores = score(learner, support, queries.take(batch.query))
    return _correct(scores[0].cpu().double().numpy(), batch)


def _correct(scores: np.ndarray, batch: IndexEpisodes) -> tuple[int, int]:
    labels, ways = batch.query_y[0], scores.shape[1]
    closed = labels < ways  # a query of an open class has no right answer
    rows, truth = scores[closed], labels[closed]
    own = rows[np.arange(len(rows)), truth]
    rivals = np.where(np.arange(ways) == truth[:, None], -np.inf, rows).max(1, initial=-np.inf)
    finite = np.abs(scores[np.isfinite(scores)])
    slack = TIE * finite.max(initial=0.0)
    return int((own > rivals + slack).sum()), int((own >= rivals - slack).sum())


def _sums(record: Record) -> list[str]:
    mean = float(record.accuracies.mean())
    if abs(mean - record.accuracy) <= 1e-9:
        return []
    return [f"the accuracy must be the mean of the counts, {mean:.6f}, got {record.accuracy:.6f}"]


def _counts(different: list[int], chosen: int) -> list[str]:
    if not different:
        return []
    return [
        f"{len(different)} of {chosen} episodes have another number of correct answers, the first is {different[0]}"
    ]
