"""Tasks without examples: counts and means against a loop by hand, guards, and the short form."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewshot import Collection, Embedded, Generalised, Parts, ZeroShot, evaluate, evaluate_zero_shot, load_record
from fewshot.errors import DataError, EpisodeError, FewShotError, LeakageError
from fewshot.tasks import class_figures as figures
from fewshot.tasks.parts import TEST


class Nearest:
    """An item belongs to the class whose descriptor is nearest; nothing is learned."""

    def adapt(self, support):
        described = torch.as_tensor(support.descriptors).double()
        return lambda query: -((query.double()[:, :, None] - described[:, None]) ** 2).sum(-1)


def world(spread=1.2, seed=0):
    """Seven seen and three unseen classes, of unequal size, with descriptors in the space of the items."""
    rng = np.random.default_rng(seed)
    sizes = np.array([12, 9, 14, 8, 10, 11, 9, 20, 6, 9])
    y = np.repeat(np.arange(10), sizes)
    described = rng.normal(size=(10, 4)).astype(np.float32)
    x = (described[y] + spread * rng.normal(size=(len(y), 4))).astype(np.float32)
    rows = np.arange(len(y))
    splits = {
        "trainval": rows[(y < 7) & (rows % 3 > 0)],
        "test-seen": rows[(y < 7) & (rows % 3 == 0)],
        "test": rows[(y >= 7) & (rows % 7 > 0)],
        "odd": rows[(y >= 7) & (rows % 7 == 0)],
    }
    return Collection.from_arrays(x, y, descriptors=described, splits=splits, name="world")


def by_hand(data, rows, classes, gamma=0.0):
    """Mean accuracy over classes of some rows among some classes, γ taken from the scores of the first seven."""
    x, described = np.asarray(data.items, np.float64), np.asarray(data.descriptors, np.float64)
    right = {}
    for row in rows:
        scores = [-((x[row] - described[c]) ** 2).sum() - gamma * (c < 7) for c in classes]
        right.setdefault(data.labels[row], []).append(classes[int(np.argmax(scores))] == data.labels[row])
    return float(np.mean([np.mean(own) for own in right.values()]))


def test_unseen_classes_alone():
    data = world()
    record = evaluate(Nearest(), ZeroShot(data))
    assert record.accuracy == pytest.approx(by_hand(data, data.splits["test"], [7, 8, 9]))
    assert record.generalised is None and record.figures[0].value == pytest.approx(record.accuracy)
    assert record.unseen.items == np.bincount(data.labels[data.splits["test"]])[7:].tolist()


@pytest.mark.parametrize("gamma", [0.0, 1.3, -0.7])
def test_seen_classes_compete(gamma):
    data, every = world(), list(range(10))
    record = evaluate(Nearest(), Generalised(data, gamma=gamma))
    unseen = by_hand(data, data.splits["test"], every, gamma)
    seen = by_hand(data, data.splits["test-seen"], every, gamma)
    value = {figure.name: figure.value for figure in record.figures}
    assert value["unseen"] == pytest.approx(unseen) and value["seen"] == pytest.approx(seen)
    assert value["harmonic"] == pytest.approx(2 * unseen * seen / (unseen + seen))
    assert value["zero-shot"] == pytest.approx(by_hand(data, data.splits["test"], [7, 8, 9]))
    plain = [by_hand(data, data.splits[name], every) for name in ("test", "test-seen")]
    assert record.generalised.plain == pytest.approx(plain) and record.generalised.gamma_from == "given"


def _over_items(unseen, both, level, seed):
    """Every item weighs the same, instead of every class."""
    pooled = replace(
        unseen, correct=unseen.correct[:1] * 0 + unseen.correct.sum(), items=unseen.items[:1] * 0 + unseen.items.sum()
    )
    return HONEST["means"](pooled, both, level, seed)


def _swapped(data, found):
    made = HONEST["mixed"](data, found)
    return made and made.model_copy(update={"unseen": made.seen, "seen": made.unseen})


def _no_gamma(data, found):
    return HONEST["mixed"](data, replace(found, gamma=0.0))


HONEST = {"means": figures.means, "mixed": figures.mixed}


@pytest.mark.slip
@pytest.mark.parametrize(("name", "wrong"), [("means", _over_items), ("mixed", _swapped), ("mixed", _no_gamma)])
def test_planted_figures_are_seen(monkeypatch, name, wrong):
    monkeypatch.setattr(f"fewshot.tasks.zero_shot.{name}", wrong)
    with pytest.raises(AssertionError):
        test_unseen_classes_alone()
        test_seen_classes_compete(1.3)


@pytest.mark.parametrize("given", [{}, {"gamma": 0.4}, {"calibrate": None}, {"parts": Parts()}, {"seed": 5}])
def test_the_short_form_and_the_task_are_one(given):
    data = world()
    short = evaluate_zero_shot(Nearest(), data, level=0.9, **given)
    kind = ZeroShot if "parts" in given else Generalised
    long = evaluate(Nearest(), kind(data, **given), level=0.9)
    left, right = (record.as_json() | {"seconds": 0} for record in (short, long))
    assert left == right


def test_the_record_survives_the_disk(tmp_path):
    record = evaluate(Nearest(), Generalised(world())).save(tmp_path / "one.json")
    assert load_record(tmp_path / "one.json") == record


def test_what_may_not_be_on_two_sides():
    data = world()
    leaking = replace(
        data, splits=data.splits | {"trainval": np.append(data.splits["trainval"], data.splits["odd"][0])}
    )
    for task in (ZeroShot, Generalised):
        with pytest.raises(LeakageError, match="unseen classes must not be among those learned from, got '7'"):
            evaluate(Nearest(), task(leaking))
    doubled = replace(data, splits=data.splits | {"test-seen": data.splits["trainval"][:30]})
    assert evaluate(Nearest(), ZeroShot(doubled)).accuracy  # its parts do not hold that split
    with pytest.raises(LeakageError, match="base and seen items must differ"):
        evaluate(Nearest(), Generalised(doubled))


def test_a_backbone_that_looks_at_other_items_is_refused():
    class Centred:
        dim = 4

        def __call__(self, items):
            return items - items.mean(0)

    for task in (ZeroShot(world()), Generalised(world())):
        with pytest.raises(LeakageError, match="an inductive learner's answer to a query must not change"):
            evaluate(Embedded(Centred(), Nearest()), task)


def test_kinds_are_told_apart(no_shape_hook):
    with pytest.raises(
        DataError, match="in ZeroShot unseen classes alone compete, got seen='test-seen'; take Generalised"
    ):
        ZeroShot(world(), TEST)
    with pytest.raises(DataError, match="in Generalised seen classes compete, got seen=''"):
        Generalised(world(), Parts())
    with pytest.raises(FewShotError, match="gamma must be"):
        Generalised(world(), gamma=np.nan)
    with pytest.raises(DataError, match="the data must be a Collection"):
        ZeroShot("awa1")


@pytest.mark.parametrize("given", [{"keep_scores": True}, {"batch": 3}])
def test_nothing_given_beside_a_task_is_dropped(given):
    with pytest.raises(EpisodeError, match=f"got {next(iter(given))} as well; leave it out"):
        evaluate(Nearest(), ZeroShot(world()), **given)


def test_items_of_no_known_class():
    data = world()
    rows = np.arange(len(data))
    far = replace(data, splits=data.splits | {"far": rows[data.labels == 0]})
    record = evaluate(Nearest(), ZeroShot(far, Parts(base="", unseen="test", open="far")))
    classes, x, d = [7, 8, 9], np.asarray(data.items, np.float64), np.asarray(data.descriptors, np.float64)
    best = [max(-((x[row] - d[c]) ** 2).sum() for c in classes) for row in rows]
    known, other = ([best[row] for row in far.splits[name]] for name in ("test", "far"))
    pairs = [(a > b) + 0.5 * (a == b) for a in known for b in other]
    assert record.open_set[0].auroc.mean == pytest.approx(np.mean(pairs))
