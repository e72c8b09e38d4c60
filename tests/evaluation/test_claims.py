"""What a learner claims, what it is made of, and in which form it gets its items."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from fewshot import (
    Collection,
    Embedded,
    EpisodeSpec,
    FewShotClassifier,
    NearestMean,
    Transformed,
    evaluate,
    load_learner,
)
from fewshot.claims import Claims, claims_of, parts
from fewshot.contract import taken
from fewshot.errors import FewShotError, LeakageError
from fewshot.evaluation.assemble import with_base
from fewshot.testing import check_learner
from fewshot.training.episodic import EpisodicTraining, train

BYTES = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 4)


class Strict(nn.Module):
    """A network that prepares bytes itself, takes nothing else, and is another one while it trains."""

    dim = 6

    def __init__(self):
        super().__init__()
        self.inner, self.drop = nn.Linear(12, 6), nn.Dropout(0.5)

    def preprocess(self, pixels):
        if pixels.dtype != torch.uint8:
            raise FewShotError(f"pixels must be uint8, got {pixels.dtype}")
        return pixels.float() / 255 - 0.5

    def forward(self, x):
        return self.drop(self.inner(x.flatten(1)))


class Around:
    """A learner around others, which no base class names."""

    def __init__(self, *inner):
        self.inner = {"members": list(inner)}

    def adapt(self, support):
        return self.inner["members"][0].adapt(support)


@dataclass
class Seer:
    """Keeps what it is given."""

    seen: list
    prepares: bool = False

    def adapt(self, support):
        self.seen.append(support.x)
        return lambda query: torch.zeros(*query.shape[:2], support.n_way)


def pictures():
    rng = np.random.default_rng(0)
    y = np.arange(4).repeat(8)
    x = rng.uniform(40, 210, (4, 3, 1, 1))[y] + rng.normal(0, 8, (32, 3, 2, 2))
    return Collection.from_arrays(x.clip(0, 255).astype(np.uint8), y, name="pictures")


def test_defaults_hold_where_nothing_is_said():
    assert claims_of(NearestMean()) == Claims()


def test_a_learner_without_a_word_claims_what_its_head_claims():
    head = Seer([])
    head.transductive, head.scores, head.class_symmetric = True, "rank", False
    for whole in (
        Embedded(nn.Identity(), head),
        Transformed("normalise", head),
        Embedded(nn.Identity(), Transformed([], head)),
    ):
        claims = claims_of(whole)
        assert (claims.transductive, claims.scores, claims.class_symmetric) == (True, "rank", False)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("scores", "logits", "scores must be 'log-probability' or 'rank', got 'logits'"),
        ("transductive", "no", "transductive must be True or False, got 'no'"),
        ("prepares", 1, "prepares must be True or False, got 1"),
    ],
)
def test_a_claim_that_nobody_understands_is_refused(name, value, said):
    learner = Around(NearestMean())
    setattr(learner, name, value)
    said += " in Around"
    with pytest.raises(FewShotError, match=said):
        claims_of(learner)
    with pytest.raises(FewShotError, match=said):
        evaluate(learner, pictures(), EpisodeSpec(2, 1, 1), 4)
    with pytest.raises(AssertionError, match=said):
        check_learner(learner)


def test_a_layer_called_batch_norm_is_no_claim():
    learner = nn.Module()
    learner.batch_norm = nn.BatchNorm1d(3)
    assert claims_of(learner).batch_norm == "running"


def test_parts_are_found_in_attributes_lists_and_dictionaries_and_each_once():
    network, head = Strict(), NearestMean()
    learner = Around(Embedded(network, head), network)
    learner.itself = learner
    found = parts(learner)
    assert len({id(part) for part in found}) == len(found)
    assert {id(p) for p in (learner, network, network.inner, network.drop, head)} <= {id(p) for p in found}


def test_properties_do_not_run_and_types_are_no_parts():
    class Odd:
        @property
        def preprocess(self):
            raise AssertionError("must not run")

    learner = Around(NearestMean)
    assert parts(learner) == [learner]
    learner.odd = Odd()
    assert len(parts(learner)) == 2


@pytest.mark.parametrize("wrap", [lambda inner: inner, Around], ids=["itself", "around"])
def test_classes_that_any_part_has_seen_are_guarded(wrap):
    network, data = Strict(), pictures()
    network.inner.classes_seen = data.qualified_names()[:2]
    learner = wrap(Embedded(network, NearestMean()))
    assert claims_of(learner).classes_seen == set(data.qualified_names()[:2])
    with pytest.raises(LeakageError, match="2 of 4 that it was trained on, such as 'pictures:0'"):
        evaluate(learner, data, EpisodeSpec(2, 1, 1), 4, cache=False)


def test_bytes_stay_bytes_for_what_prepares_them_and_become_fractions_for_all_else():
    for raw in (Embedded(Strict(), NearestMean()), Around(Embedded(Strict(), NearestMean())), Seer([], prepares=True)):
        assert taken(raw, BYTES) is BYTES
    for plain in (
        NearestMean(),
        Embedded(nn.Flatten(), NearestMean()),
        Transformed("normalise", Embedded(Strict(), NearestMean())),
    ):
        torch.testing.assert_close(taken(plain, BYTES), BYTES.float() / 255, rtol=0, atol=0)
    floats, texts = torch.rand(2, 3), np.array(["a"], np.dtypes.StringDType())
    assert taken(NearestMean(), floats) is floats and taken(NearestMean(), texts) is texts


def test_every_way_to_a_learner_gives_it_the_same_items():
    data, seer = pictures(), Seer([])
    evaluate(seer, data, EpisodeSpec(2, 1, 1), 4)
    FewShotClassifier("none", seer, calibrate=False).fit(torch.from_numpy(data.items), data.labels)
    seer.with_base = seer.adapt
    with_base(seer, data)
    assert len(seer.seen) >= 4
    for items in seer.seen:
        assert items.dtype == torch.float32 and 0.1 < float(items.mean()) < 0.9


def test_training_and_evaluation_give_a_network_of_a_learner_s_own_the_same_items():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.largest = nn.Parameter(torch.ones(())), []

        def adapt(self, support):
            self.largest.append(float(support.x.max()))
            inner = NearestMean().adapt(support.map(lambda x: self.scale * x.flatten(2)))
            return lambda query: inner(self.scale * query.flatten(2))

    learner, data = Own(), pictures()
    train(learner, data, EpisodicTraining(EpisodeSpec(2, 1, 1), steps=2))
    learner.classes_seen = ()
    evaluate(learner, data, EpisodeSpec(2, 1, 1), 4)
    assert len(learner.largest) >= 4 and max(learner.largest) <= 1


def test_a_learner_around_an_embedded_one_is_evaluated_like_it_and_left_as_it_was():
    plain = Embedded(Strict().train(), NearestMean())
    records = [
        evaluate(learner, pictures(), EpisodeSpec(3, 2, 2), 30, cache=False) for learner in (plain, Around(plain))
    ]
    assert records[0].correct == records[1].correct and plain.backbone.drop.training
    examples = torch.from_numpy(pictures().items), pictures().labels
    classifier = FewShotClassifier("none", Around(plain), calibrate=False).fit(*examples)
    np.testing.assert_array_equal(classifier.predict(examples[0]), classifier.predict(examples[0]))


def test_check_learner_believes_the_learner_s_own_claim_about_renamed_classes():
    class Crooked:
        class_symmetric = False

        def adapt(self, support):
            inner = NearestMean().adapt(support)
            return lambda query: inner(query) + torch.arange(support.n_way) * 0.1

    check_learner(Crooked())
    with pytest.raises(AssertionError):
        check_learner(Crooked(), class_symmetric=True)
    assert not claims_of(load_learner("maml", backbone=nn.Linear(3, 2), dim=2)).class_symmetric
