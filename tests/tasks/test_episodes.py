"""Episodes as a task: the long form says what the short one does, and the guard compares classes."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from fewshot import Collection, Episodes, EpisodeSpec, FixedEpisodes, NearestMean, TrainingDraws, evaluate
from fewshot.episodes import EpisodeSampler
from fewshot.errors import DataError, EpisodeError, LeakageError, StatisticsError
from fewshot.tasks import training_draws as module
from fewshot.tasks.guarded import Guarded

SPEC = EpisodeSpec(3, 2, 4)


def points(shift=0.0, name="points", classes=6):
    rng = np.random.default_rng(0)
    y = np.arange(classes).repeat(20)
    x = 2 * rng.normal(size=(classes, 5))[y] + rng.normal(size=(len(y), 5)) + shift
    return Collection.from_arrays(x.astype(np.float32), y, name=name)


def same(one, other):
    """Whether two records say the same of the same answers, whatever time they took."""
    left, right = (record.as_json() | {"seconds": 0} for record in (one, other))
    assert left == right
    assert one.load_answers().to_bytes() == other.load_answers().to_bytes()


class Trained(NearestMean):
    classes_seen = frozenset({"points:3"})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"seed": 4},
        {"open_interval": True},
        {"spec": EpisodeSpec(3, 1, 2, open_way=1)},
        {"spec": EpisodeSpec((2, 4), 1, 3)},
        {"queries": points(0.3, "others")},
        {"spec": EpisodeSpec(3, 1, 2, dirichlet=1.0), "open_interval": True},
    ],
    ids=lambda given: "-".join(given) or "plain",
)
def test_the_short_form_and_the_task_are_one(given):
    fields = {"spec": SPEC, "episodes": 30} | given
    same(evaluate(NearestMean(), points(), **fields), evaluate(NearestMean(), Episodes(points(), **fields)))


def test_accuracies_are_those_of_a_loop_by_hand():
    data = points()
    record = evaluate(NearestMean(), Episodes(data, SPEC, 40, seed=2))
    sampler, x = EpisodeSampler(data.labels, SPEC, 2), np.asarray(data.items, np.float64)
    for k, right in enumerate(record.correct):
        one = sampler[k]
        means = np.stack([x[one.support[one.support_y == label]].mean(0) for label in range(3)])
        nearest = ((x[one.query][:, None] - means) ** 2).sum(-1).argmin(1)
        assert right == (nearest == one.query_y).sum()
    assert record.accuracy == pytest.approx(np.mean(record.correct) / 12)
    assert record.episodes.count == 40 and record.episodes.seed == 2


def test_what_goes_with_a_task_and_what_does_not():
    task = Episodes(points(), SPEC, 30)
    kept = evaluate(NearestMean(), task, keep_scores=True, batch=7, level=0.5)
    assert kept.load_answers().scores is not None and kept.summary.level == 0.5
    for name, value in {
        "spec": SPEC,
        "seed": 1,
        "queries": points(),
        "allow_seen": True,
        "open_interval": True,
    }.items():
        with pytest.raises(EpisodeError, match=f"got {name} as well; set it in the task"):
            evaluate(NearestMean(), task, **{name: value})


def test_the_guard_compares_classes():
    data = replace(points(), origin="points")
    with pytest.raises(LeakageError, match=r"1 of 6 that it was trained on, such as 'points:3'"):
        evaluate(Trained(), Episodes(data, SPEC, 10))
    assert evaluate(Trained(), Episodes(data, SPEC, 10, allow_seen=True)).pretraining_classes.overlap == 1
    others = replace(data, class_names=tuple(f"n{k}" for k in range(6)))
    assert evaluate(Trained(), Episodes(others, SPEC, 10)).pretraining_classes.overlap == 0
    with pytest.raises(LeakageError, match="points:3"):  # the second collection counts, too
        evaluate(Trained(), Episodes(replace(data, origin="elsewhere"), SPEC, 10, queries=data))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["first collection", "never refused", "nothing told"])
def test_planted_guards_are_seen(monkeypatch, slip):
    honest = Episodes.check

    def wrong(self, learner):
        changes = {"first collection": {"queries": None}, "never refused": {"allow_seen": True}}
        found = honest(replace(self, **changes.get(slip, {})), learner)
        return Guarded() if slip == "nothing told" else found

    monkeypatch.setattr(Episodes, "check", wrong)
    with pytest.raises((AssertionError, AttributeError, pytest.fail.Exception)):
        test_the_guard_compares_classes()


def test_what_is_no_task_of_episodes(no_shape_hook):
    with pytest.raises(DataError, match="the data must be a Collection, got 'omniglot'"):
        Episodes("omniglot")
    with pytest.raises(StatisticsError, match="at least 2 episodes, got 1"):
        Episodes(points(), SPEC, 1)
    with pytest.raises(EpisodeError, match="episodes must be a number of them, or a list as FixedEpisodes"):
        Episodes(points(), SPEC, "many")
    with pytest.raises(DataError, match="one shape and type"):
        Episodes(points(), queries=Collection.from_arrays(np.zeros((40, 3), np.float32), np.arange(4).repeat(10)))
    with pytest.raises(EpisodeError, match="an evaluation needs queries"):
        evaluate(NearestMean(), Episodes(points(), EpisodeSpec(3, 1, 0), 10))
    with pytest.raises(FrozenInstanceError):
        Episodes(points()).seed = 3


def test_a_fixed_list_is_a_task_too():
    sampler = EpisodeSampler(points().labels, SPEC, 0)
    listed = FixedEpisodes([sampler[k] for k in range(6)], "six")
    task = Episodes(points(), episodes=listed)
    assert task.count == 6 and task.sampler is listed
    same(evaluate(NearestMean(), task), evaluate(NearestMean(), points(), episodes=listed))
    assert (
        evaluate(NearestMean(), Episodes(points(), episodes=listed, open_interval=True))
        .notes[-1]
        .startswith("open interval: only for drawn episodes")
    )


# Draws of a training set --------------------------------------------------------------------------


def draws_data(equal=0):
    """Six classes with a training and a test part; some test items may equal training items."""
    data = points()
    rows = np.arange(len(data))
    items = np.array(data.items)
    test = rows[rows % 2 == 1]
    items[test[:equal]] = items[test[:equal] - 1]
    return replace(data, items=items, splits={"train": rows[rows % 2 == 0], "test": test})


def test_draws_are_those_by_hand():
    data = draws_data()
    record = evaluate(NearestMean(), TrainingDraws(data, shot=3, draws=5, seed=1))
    x, y, test = np.asarray(data.items, np.float64), data.labels, data.splits["test"]
    task = TrainingDraws(data, shot=3, draws=5, seed=1).listed
    for k, right in enumerate(record.correct):
        support = task.sampler[k].support
        assert np.isin(support, data.splits["train"]).all() and np.bincount(y[support]).tolist() == [3] * 6
        means = np.stack([x[support[y[support] == c]].mean(0) for c in range(6)])
        assert right == (((x[test][:, None] - means) ** 2).sum(-1).argmin(1) == y[test]).sum()
    assert record.queries == 60 and record.summary.estimand == "new draws of the examples, these test items"


def test_queried_items_are_new_to_the_learner():
    for equal in (0, 60):
        task = TrainingDraws(draws_data(equal), shot=4, draws=2)
        seen = {items.tobytes() for k in range(2) for items in task.collection.items[task.listed.sampler[k].support]}
        count = sum(item.tobytes() in seen for item in task.collection.items[task.collection.splits["test"]])
        if not equal:
            assert not count and "equal items" not in evaluate(NearestMean(), task).notes[0]
            continue
        with pytest.raises(LeakageError, match=rf"got {count} of 60 queried items are equal .* allow_equal=True"):
            evaluate(NearestMean(), task)
        allowed = evaluate(NearestMean(), replace(task, allow_equal=True))
        assert allowed.notes[0] == f"equal items: {count} of 60 queried items are equal to one that NearestMean sees"


def test_one_item_in_both_splits_is_refused():
    data = draws_data()
    both = replace(data, splits=data.splits | {"test": np.append(data.splits["test"], data.splits["train"][:10])})
    with pytest.raises(LeakageError, match="queried items must be new to the learner"):
        evaluate(NearestMean(), TrainingDraws(both, shot=10, draws=2))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["first draw", "all of training", "none"])
def test_planted_row_guards_are_seen(monkeypatch, slip):
    honest = module.check_rows

    def wrong(learner, items, drawn, allowed, names):
        if slip == "none":
            return []
        if slip == "first draw":
            return honest(learner, items, FixedEpisodes(drawn.episodes[:1], "one"), allowed, names)
        whole = replace(drawn.episodes[0], support=items.splits["train"], support_y=items.labels[items.splits["train"]])
        return honest(learner, items, FixedEpisodes([whole], "all"), allowed, names)

    monkeypatch.setattr(module, "check_rows", wrong)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test_queried_items_are_new_to_the_learner()


def test_draws_that_cannot_be_made():
    with pytest.raises(EpisodeError, match="draws need the split 'val'"):
        evaluate(NearestMean(), TrainingDraws(draws_data(), query="val"))
    with pytest.raises(EpisodeError, match="11 examples of every class need as many items in 'train', got 10"):
        evaluate(NearestMean(), TrainingDraws(draws_data(), shot=11))
    with pytest.raises(LeakageError, match="points:3"):
        evaluate(Trained(), TrainingDraws(replace(draws_data(), origin="points")))
    seen = evaluate(Trained(), TrainingDraws(replace(draws_data(), origin="points"), allow_seen=True))
    assert seen.pretraining_classes.overlap == 1
