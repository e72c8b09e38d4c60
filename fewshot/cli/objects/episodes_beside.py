"""What a report shows beside records: episodes with items and answers, and the hardest classes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot.cli.objects.again import same_learner
from fewshot.cli.objects.at_hand import Known, answers_file
from fewshot.cli.terminal.output import note
from fewshot.errors import FewShotError
from fewshot.records.answers import Answers
from fewshot.report.episodes import Drawn, Episode, Viewer, choose_episodes, class_rows
from fewshot.report.hardest import Hardest, hardest_classes
from fewshot.report.results import Group, Result

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.episodes import IndexEpisodes

NOT_HARDEST = "Which classes are hardest is not known: the answers, '{}', do not lie beside the record."


def view(known: Known, group: Group, count: int, recompute: bool) -> Viewer:
    """Some episodes of a result, from the hardest to the easiest.

    Args:
        known: What is at hand.
        group: Other results on the same episodes.
        count: How many episodes.
        recompute: Compute answers that are not beside the record, by its learner.
    """
    result, sentences = known.result, list(known.missing)
    learner = None
    if recompute and known.answers is None and known.whole is not None:
        try:
            learner, sentences = same_learner(result.record, known.whole), []
        except FewShotError as error:
            note(f"{result.key}: answers are not computed anew, because {error}")
            sentences.append("They could not be computed anew.")
    chosen = choose_episodes(result.record.accuracies, count)
    if known.sampler is None and known.answers is None:
        return Viewer(group.title, result.method, (), tuple(sentences))
    drawn = [(_drawn(known, i, learner), rank) for i, rank in chosen]
    sentences += [told for one, _ in drawn if (told := _disagreement(one, result))]
    shown = tuple(_episode(one, rank, result, group) for one, rank in drawn)
    return Viewer(group.title, result.method, shown, tuple(sentences))


def _disagreement(drawn: Drawn, result: Result) -> str:
    """A sentence where the answers that are shown are not as many right ones as the record has; ties may do that."""
    stored = result.record.correct[drawn.number]
    right = stored if drawn.predicted is None else int((drawn.predicted == drawn.query_y).sum())
    if right == stored:
        return ""
    return f"In episode {drawn.number} the answers shown have {right} right ones, the record has {stored}; verify the record."


def worst_classes(known: Known, group: Group) -> Hardest:
    """The classes that a result tells apart worst, over all episodes."""
    method, title, answers = known.result.method, group.title, known.answers
    if answers is None:
        return Hardest(title, method, sentence=NOT_HARDEST.format(answers_file(known.result.record)))
    return hardest_classes(title, method, answers.true, answers.predicted, known.names)


def _episode(drawn: Drawn, rank: str, result: Result, group: Group) -> Episode:
    rows, more = class_rows(drawn)
    i, asked = drawn.number, result.record.queries
    others = tuple((r.method, r.record.correct[i]) for r in group.results if r is not result)
    queries = asked if isinstance(asked, int) else asked[i]
    return Episode(i, rank, result.record.correct[i], queries, rows, more, others)


def _drawn(known: Known, i: int, learner: Any) -> Drawn:
    if known.asked is None:
        return _by_number(known, i)
    assert known.queries is not None
    episode, items = known.sampler[i], known.asked
    predicted = _computed(learner, known, i) if learner is not None else _answered(known.answers, episode, i)
    names = [items.class_names[c] for c in episode.classes]
    support = [_item(items, row) for row in episode.support.tolist()]
    query = [_item(known.queries, row) for row in episode.query.tolist()]
    return Drawn(i, names, support, episode.support_y, query, episode.query_y, predicted)


def _by_number(known: Known, i: int) -> Drawn:
    """Without data: queries and answers by class number, and no item."""
    answers = known.answers
    assert answers is not None
    part = slice(*answers.starts[i : i + 2].tolist())
    classes = answers.classes[slice(*answers.class_starts[i : i + 2].tolist())]
    true, predicted = (_places(classes, ids[part]) for ids in (answers.true, answers.predicted))
    nothing = [None] * len(true)
    return Drawn(i, [f"class {c}" for c in classes.tolist()], [], np.array([], np.int64), nothing, true, predicted)


def _answered(answers: Answers | None, episode: "IndexEpisodes", i: int) -> np.ndarray | None:
    """Answers from the file, in the order of the episode's queries."""
    if answers is None:
        return None
    part = slice(*answers.starts[i : i + 2].tolist())
    by_row = dict(zip(answers.rows[part].tolist(), answers.predicted[part].tolist(), strict=True))
    return _places(episode.classes, np.array([by_row[row] for row in episode.query.tolist()]))


def _computed(learner: Any, known: Known, i: int) -> np.ndarray:
    from fewshot.evaluation.answers import eval_mode, score, support_set
    from fewshot.plumbing.device import device_of

    assert known.asked is not None and known.queries is not None
    (batch,), place = known.sampler.groups(i, 1), device_of(learner)
    asked, queries = known.asked.on(place), known.queries.on(place)
    with eval_mode(learner):
        support = support_set(asked, batch, known.sampler.seeds(batch.index), pool=queries)
        scores = score(learner, support, queries.take(batch.query))
    answers: np.ndarray = scores[0].argmax(-1).cpu().numpy()
    return answers


def _places(classes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Which class of the episode each id is; an id that is none of them, an open class, comes after the last."""
    place = {c: k for k, c in enumerate(classes.tolist())}
    return np.array([place.get(c, len(classes)) for c in ids.tolist()], np.int64)


def _item(items: "Collection", row: int) -> Any:
    """A text as such; pixels as an array."""
    taken = items.take(np.array([row]))[0]
    return str(taken) if isinstance(taken, str) else np.asarray(taken)
