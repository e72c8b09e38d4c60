"""Transfer between domains: what a learner may see, what is refused, and figures against counts made by hand."""

from dataclasses import replace
from inspect import signature

import numpy as np
import pytest
import torch

from fewshot import Collection, EpisodeSpec, Transfer, compare, evaluate, load_learner
from fewshot.episodes import FixedEpisodes
from fewshot.errors import DataError, EpisodeError, LeakageError, RecordError
from fewshot.learners.index import LEARNERS, find_learner
from fewshot.statistics.interval import DRAWS, OPEN


def domains(shift=1.0, n=60, seed=0):
    """Three classes in four dimensions; the target is moved."""
    rng = np.random.default_rng(seed)
    points = 3 * rng.normal(size=(3, 4))
    y = np.arange(n) % 3
    made = [(points[y] + rng.normal(size=(n, 4)) + move).astype(np.float32) for move in (0, shift)]
    source, target = (
        Collection.from_arrays(x, [f"class {k}" for k in y], name=name)
        for x, name in zip(made, ("source", "target"), strict=True)
    )
    return source, target


class Spy:
    """Answers by the nearest mean, and keeps what it was shown."""

    def __init__(self, transductive=False):
        self.seen, self.transductive = [], transductive

    def adapt(self, support):
        self.seen.append(support)
        means = torch.stack([support.x[0][support.y[0] == k].mean(0) for k in range(support.n_way)])
        return lambda query: -torch.cdist(query, means[None])


def test_what_a_learner_is_shown():
    source, target = domains()
    task = Transfer(source, target, labelled=2, seed=3)
    spy = Spy()
    evaluate(spy, task)
    support, (train, test) = spy.seen[0], task.parts
    assert support.domain[0].tolist() == [0] * 60 + [1] * 6
    assert support.x.shape[1] == 66 and support.unlabelled.shape[1] == len(train) - 6
    assert set(train) & set(test) == set() and len(train) + len(test) == 60
    shown = {row.numpy().tobytes() for row in (*support.x[0], *support.unlabelled[0])}
    assert not shown & {target.items[k].tobytes() for k in test}


def test_the_parts_of_a_target_that_has_them():
    source, target = domains()
    target = replace(target, splits={"train": np.arange(40), "test": np.arange(40, 60)})
    assert [part.tolist() for part in Transfer(source, target).parts] == [list(range(40)), list(range(40, 60))]
    whole = Transfer(source, target, protocol="transductive")
    assert whole.episodes[0].unlabelled is None and len(whole.episodes[0].query) == 60


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
def test_labels_of_the_target_change_no_answer(protocol):
    source, target = domains()
    permuted = replace(target, labels=np.random.default_rng(1).permutation(target.labels))
    learner = load_learner("coral", adapt_to="pool" if protocol == "inductive" else "queries")
    answers = [
        evaluate(learner, Transfer(source, one, protocol=protocol), keep_scores=True).load_answers()
        for one in (target, permuted)
    ]
    assert (answers[0].scores == answers[1].scores).all() and (answers[0].predicted == answers[1].predicted).all()
    assert (answers[0].true != answers[1].true).any()


@pytest.mark.parametrize("name", [name for name, entry in LEARNERS.items() if entry.family == "adaptation"])
def test_labels_of_the_target_change_no_answer_of_any_learner(name):
    source, target = domains(shift=0.3)
    options = {"dim": 2} if "dim" in signature(find_learner(name)).parameters else {}
    few = 2 if name in ("tradaboost", "ridge-transfer", "logistic-transfer") else 0
    answers = []
    for permuted in (False, True):
        task = Transfer(source, target, labelled=few)
        if permuted:
            hidden = np.setdiff1d(np.arange(60), task.episodes[0].support - 60)  # all but those that are shown
            labels = target.labels.copy()
            labels[hidden] = np.random.default_rng(1).permutation(labels[hidden])
            shown = task.episodes
            task = Transfer(source, replace(target, labels=labels), labelled=few)
            task.__dict__["episodes"] = FixedEpisodes(
                [replace(shown[0], query_y=task.items.labels[shown[0].query])], shown.name
            )
        answers.append(evaluate(load_learner(name, **options), task, keep_scores=True).load_answers())
    assert (answers[0].scores == answers[1].scores).all() and (answers[0].true != answers[1].true).any()


def test_equal_items_are_found_in_every_draw():
    source, target = domains()
    first = Transfer(source, target, per_class=2, draws=6)
    late = next(row for row in first.episodes[5].support if row not in first.episodes[0].support)
    items = target.items.copy()
    items[first.parts[1][0]] = source.items[late]
    with pytest.raises(LeakageError, match="1 of 30 queried items are equal"):
        evaluate(Spy(), Transfer(source, replace(target, items=items), per_class=2, draws=6))


@pytest.mark.parametrize("given", [{"episodes": 5}, {"seed": 1}, {"allow_seen": True}, {"open_interval": True}])
def test_nothing_that_is_given_beside_a_task_is_dropped(given):
    with pytest.raises(EpisodeError, match=f"got {next(iter(given))} as well; set it in the task"):
        evaluate(Spy(), Transfer(*domains()), **given)


def test_figures_of_one_draw_are_those_of_single_items():
    source, target = domains(shift=3.0)
    record = evaluate(Spy(), Transfer(source, target, protocol="transductive"))
    x, y = source.items, source.labels
    means = np.stack([x[y == k].mean(0) for k in range(3)])
    right = [
        int(np.argmin(((row - means) ** 2).sum(1)) == label)
        for row, label in zip(target.items, target.labels, strict=True)
    ]
    assert record.correct == right and record.queries == 1 and record.episodes.count == 60
    assert record.accuracy == pytest.approx(np.mean(right)) and record.summary.estimand == OPEN
    assert record.schema_ == 2 and [one.part for one in record.sources] == ["data/source", "data/target"]


def test_draws_of_the_source():
    source, target = domains(shift=2.0)
    record = evaluate(Spy(), Transfer(source, target, per_class=2, draws=8))
    assert record.episodes.count == 8 and record.queries == 30 and record.summary.estimand == DRAWS
    task = Transfer(source, target, per_class=2, draws=8)
    assert len({tuple(task.episodes[k].support) for k in range(8)}) > 4
    assert all(np.bincount(task.episodes[k].support_y).tolist() == [2, 2, 2] for k in range(8))
    again = Transfer(source, target, per_class=2, draws=8)
    assert task.episodes.manifest(0, 8) == again.episodes.manifest(0, 8)


def test_draws_of_labelled_items_beside_all_of_the_source():
    source, target = domains(shift=2.0)
    task = Transfer(source, target, labelled=2, draws=5)
    few = [one.support[one.support >= 60] for one in task.episodes.episodes]
    assert all(len(one.support) == 66 for one in task.episodes.episodes) and len({tuple(rows) for rows in few}) > 2
    assert all(not set(rows - 60) & set(task.parts[1]) for rows in few)
    assert evaluate(Spy(), task).episodes.count == 5


def test_a_small_class_may_give_all_of_its_items():
    source, target = domains()
    small = source.subset(np.flatnonzero((source.labels > 0) | (np.arange(60) < 9)))
    task = Transfer(small, target, per_class=5, draws=3, allow_fewer=True)
    assert [np.bincount(one.support_y).tolist() for one in task.episodes.episodes] == [[3, 5, 5]] * 3
    assert task.spec()["allow_fewer"] and "allow_fewer" not in Transfer(source, target).spec()
    with pytest.raises(EpisodeError, match="class 'class 0' must have 5 items or more in the source, got 3"):
        evaluate(Spy(), Transfer(small, target, per_class=5))
    with pytest.raises(EpisodeError, match="must have 40 items or more in the target's training part"):
        evaluate(Spy(), Transfer(small, target, labelled=40, allow_fewer=True))


def test_two_learners_are_compared_item_by_item():
    source, target = domains(shift=2.0)
    task = Transfer(source, target)
    records = {name: evaluate(load_learner(name), task) for name in ("source-only", "coral")}
    (found,) = compare(records, "source-only")
    difference = np.subtract(records["coral"].correct, records["source-only"].correct)
    assert found.difference.estimate == pytest.approx(difference.mean()) and found.p_value is not None
    other = evaluate(load_learner("coral"), Transfer(source, domains(seed=5)[1]))
    with pytest.raises(RecordError, match="same episodes"):
        compare({"a": records["coral"], "b": other}, "a")


def test_the_record_survives_the_disk(tmp_path):
    source, target = domains(shift=2.0)
    record = evaluate(load_learner("coral"), Transfer(source, target)).save(tmp_path / "one.json")
    record.check_answers(tmp_path)
    assert type(record).load(tmp_path / "one.json").correct == record.correct


def test_equal_items_are_found():
    source, target = domains()
    items = target.items.copy()
    items[Transfer(source, target).parts[1][0]] = source.items[7]
    copied = replace(target, items=items)
    with pytest.raises(LeakageError, match=r"1 of 30 queried items are equal .* allow_equal=True"):
        evaluate(Spy(), Transfer(source, copied))
    record = evaluate(Spy(), Transfer(source, copied, allow_equal=True))
    assert any("1 of 30 queried items are equal" in note for note in record.notes)


def test_a_learner_that_looks_at_its_queries_must_say_so():
    class Centred(Spy):
        def adapt(self, support):
            classify = super().adapt(support)
            return lambda query: classify(query - query.mean(1, keepdim=True))

    source, target = domains(shift=2.0)
    with pytest.raises(LeakageError, match="inductive learner"):
        evaluate(Centred(), Transfer(source, target))
    assert evaluate(Centred(transductive=True), Transfer(source, target)).learner.transductive


def test_classes_of_one_domain_alone():
    source, target = domains()
    fewer = target.subset(target.labels < 2, "target")
    with pytest.raises(DataError, match=r"1 in one alone, such as 'class 2'; drop them with common_classes=True"):
        Transfer(source, fewer)
    task = Transfer(source, fewer, common_classes=True)
    assert task.items.class_names == ("class 0", "class 1") and len(task.source) == 40
    split = replace(target, splits={"train": np.arange(30), "test": np.arange(30, 60)})
    kept = Transfer(source.subset(source.labels < 2), split, common_classes=True)
    assert (kept.target.labels[kept.parts[1]] < 2).all() and len(kept.parts[1]) == 20


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"protocol": "both"}, EpisodeError, "protocol must be 'inductive' or 'transductive', got 'both'"),
        (
            {"draws": 3},
            EpisodeError,
            "draws of all source items are all the same, got draws 3; set per_class or labelled",
        ),
        ({"labelled": 1, "protocol": "transductive"}, EpisodeError, "target's training part"),
        ({"draws": 0, "per_class": 1}, EpisodeError, "draws must be"),
        ({"labelled": 1.5}, EpisodeError, "labelled must be"),
    ],
)
def test_options_out_of_range(no_shape_hook, options, error, message):
    with pytest.raises(error, match=message):
        Transfer(*domains(), **options)


def test_what_cannot_be_drawn_or_joined():
    source, target = domains()
    with pytest.raises(EpisodeError, match="class 'class 0' must have 21 items or more in the source, got 20"):
        evaluate(Spy(), Transfer(source, target, per_class=21))
    with pytest.raises(DataError, match=r"one shape and type, got float32 \(4,\) in 'source' and float32 \(3,\)"):
        Transfer(source, replace(target, items=target.items[:, :3]))
    with pytest.raises(EpisodeError, match="two classes or more"):
        Transfer(source.subset(source.labels == 0), target.subset(target.labels == 0))
    with pytest.raises(EpisodeError, match="a task defines by itself what is queried, got spec"):
        evaluate(Spy(), Transfer(source, target), EpisodeSpec(way=2))


# Planted faults: a task that leaks in one way each; the tests above must see it -----------------


def _pool_holds_queries(self, draw):
    episode = Transfer._honest(self, draw)
    return replace(episode, unlabelled=np.sort(np.concatenate([episode.unlabelled, episode.query])))


def _support_holds_a_query(self, draw):
    episode = Transfer._honest(self, draw)
    return replace(
        episode,
        support=np.append(episode.support, episode.query[0]),
        support_y=np.append(episode.support_y, episode.query_y[0]),
    )


def _same_draw(self, draw):
    return Transfer._honest(self, 0)


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        (_pool_holds_queries, test_what_a_learner_is_shown),
        (_support_holds_a_query, test_what_a_learner_is_shown),
        (_same_draw, test_draws_of_the_source),
    ],
)
def test_planted_leaks_are_seen(monkeypatch, wrong, test):
    monkeypatch.setattr(Transfer, "_honest", Transfer._episode, raising=False)
    monkeypatch.setattr(Transfer, "_episode", wrong)
    with pytest.raises((AssertionError, LeakageError)):
        test()
