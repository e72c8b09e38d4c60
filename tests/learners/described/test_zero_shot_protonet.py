"""Zero-shot prototypical networks: distances, gradients and Adam written out in NumPy, one query at a time."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from described import base_of, new_classes, separated
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.learners.described.zero_shot_protonet import ZeroShotProtoNet
from fewshot.testing import check_learner

NONE = {"shots": (0, 0, 0), "side_shape": (5,)}


@dataclass
class Slow:
    """Gradients by hand; subclasses have one slip each."""

    dim: int | None = None
    way: int = 3
    query: int = 2
    steps: int = 4
    learning_rate: float = 0.01
    weight_decay: float = 0.1
    seed: int = 0
    maps: tuple | None = None

    scores = "log-probability"

    def with_base(self, base):
        generator = torch.Generator().manual_seed(self.seed)
        x, y = base.x.double().flatten(0, -2).numpy(), base.y.flatten().tolist()
        v = base.descriptors.double().reshape(base.n_way, -1).numpy()
        size = self.dim or x.shape[1]
        maps = [
            (2 * torch.rand(n, size, generator=generator).double().numpy() - 1) / math.sqrt(n)
            for n in (x.shape[1], v.shape[1])
        ]
        moments = [(np.zeros_like(m), np.zeros_like(m)) for m in maps]
        for t in range(1, self.steps + 1):
            classes = torch.randperm(base.n_way, generator=generator)[: self.way].tolist()
            asked = []
            for k in classes:
                own = [i for i, label in enumerate(y) if label == k]
                order = torch.randperm(len(own), generator=generator)[: self.query].tolist()
                asked += [(own[i], k) for i in order]
            gradients = self.gradients(*maps, x, v, classes, asked)
            for which, gradient in enumerate(gradients):
                gradient = gradient + self.weight_decay * maps[which]
                first, second = moments[which]
                first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
                moments[which] = first, second
                scaled = (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
                maps[which] = maps[which] - self.learning_rate * scaled
        return replace(self, maps=tuple(maps))

    def gradients(self, f, g, x, v, classes, asked):
        """Of the mean of −log p: every logit has the slope p - 1 or p, divided by the number of queries."""
        of_f, of_g = np.zeros_like(f), np.zeros_like(g)
        for i, k in asked:
            z = x[i] @ f
            prototypes = [self.prototype(v[c] @ g) for c in classes]
            p = softmax([-self.distance(z, c) for c in prototypes])
            for c, probability, prototype in zip(classes, p, prototypes, strict=True):
                slope = (probability - (c == k)) / len(asked)
                of_z, of_prototype = self.slopes(z, prototype)
                of_f -= slope * np.outer(x[i], of_z)
                of_g -= slope * np.outer(v[c], self.back(v[c] @ g, of_prototype))
        return of_f, of_g

    def distance(self, z, c):
        return ((z - c) ** 2).sum(-1)

    def slopes(self, z, c):
        return 2 * (z - c), -2 * (z - c)

    def prototype(self, u):
        return u / np.linalg.norm(u, axis=-1, keepdims=True)

    def back(self, u, slope):
        """Through the division by the length: the part along the prototype is lost."""
        c = self.prototype(u)
        return (slope - c * (c @ slope)) / np.linalg.norm(u)

    def item(self, z):
        return z

    def adapt(self, support):
        if self.maps is None:
            raise NotFittedError("base classes first")
        f, g = self.maps
        prototypes = self.prototype(support.descriptors.double().numpy() @ g)

        def classify(query):
            z = self.item(query.double().numpy() @ f)
            logits = -self.distance(z[..., :, None, :], prototypes[..., None, :, :])
            return torch.from_numpy(log_softmax(logits, -1)).to(query.dtype)

        return classify


SETTING = {"way": 3, "query": 2, "steps": 4, "learning_rate": 0.01, "weight_decay": 0.1}


def agree(learner, slow):
    base, (support, query, _) = base_of(), new_classes()
    theirs = slow.with_base(base).adapt(support)(query)
    assert_close(learner.with_base(base).adapt(support)(query), theirs, rtol=1e-7, atol=1e-9)


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=6),
    st.integers(2, 8),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(1, 7)),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
def test_the_maps_are_those_of_the_transcription(shots, way, query, dim, weight_decay, seed):
    options = {**SETTING, "way": way, "query": query, "dim": dim, "weight_decay": weight_decay, "seed": seed}
    base = base_of(tuple(shots), seed=seed)
    ours, theirs = ZeroShotProtoNet(**options).with_base(base), Slow(**options).with_base(base)
    assert_close(ours.item_map, torch.from_numpy(theirs.maps[0]), rtol=1e-5, atol=1e-7)
    assert_close(ours.class_map, torch.from_numpy(theirs.maps[1]), rtol=1e-5, atol=1e-7)


def test_scores_are_those_of_the_transcription():
    agree(ZeroShotProtoNet(**SETTING), Slow())


def test_scores_are_log_probabilities_of_squared_distances():
    """By hand: prototypes (0.6, 0.8) and (1, 0), the item at (0, 1): distances 0.4 and 2."""
    learner = ZeroShotProtoNet(item_map=torch.eye(2), class_map=torch.eye(2))
    support = SupportSet(torch.zeros(0, 2), torch.zeros(0).long(), 2, torch.tensor([[3.0, 4.0], [0.5, 0.0]]))
    scores = learner.adapt(support)(torch.tensor([[0.0, 1.0]]))
    assert_close(scores, torch.tensor([[-0.4, -2.0]]).log_softmax(-1))


def test_keeps_the_contract():
    check_learner(ZeroShotProtoNet(learning_rate=0.01, steps=200), **NONE)
    check_learner(ZeroShotProtoNet(dim=16, way=5, learning_rate=0.01, steps=200), **NONE)


def test_a_linear_relation_tells_new_classes_apart():
    support, query, labels = separated()
    learner = ZeroShotProtoNet(steps=300, learning_rate=0.01)
    learner = learner.with_base(base_of((9, 5, 2, 7) * 6, length=5, dim=8))
    assert learner.adapt(support)(query).argmax(-1).tolist() == labels.tolist()


# Planted wrong formulas -----------------------------------------------------------------------------


class DistanceNotSquared(Slow):
    def distance(self, z, c):
        return np.sqrt(super().distance(z, c))

    def slopes(self, z, c):
        return tuple(s / 2 / np.linalg.norm(z - c) for s in super().slopes(z, c))


class PrototypesOfAnyLength(Slow):
    def prototype(self, u):
        return u

    def back(self, u, slope):
        return slope


class LengthIsNoPartOfTheGradient(Slow):
    def back(self, u, slope):
        return slope / np.linalg.norm(u)


class ItemsOfUnitLengthToo(Slow):
    def item(self, z):
        return z / np.linalg.norm(z, axis=-1, keepdims=True)


class HalfTheDistance(Slow):
    def distance(self, z, c):
        return super().distance(z, c) / 2

    def slopes(self, z, c):
        return z - c, c - z


class SumOverQueries(Slow):
    """Adam forgives the length of a gradient, but for the weight decay beside it."""

    def gradients(self, f, g, x, v, classes, asked):
        return tuple(len(asked) * gradient for gradient in super().gradients(f, g, x, v, classes, asked))


WRONG = [
    DistanceNotSquared,
    PrototypesOfAnyLength,
    LengthIsNoPartOfTheGradient,
    ItemsOfUnitLengthToo,
    HalfTheDistance,
    SumOverQueries,
]


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(
        wrong(way=4, query=1, steps=150, learning_rate=0.02, weight_decay=1e-5), numbers=False, **NONE
    )  # the transcription divides by rows of zeros
    with pytest.raises(AssertionError):
        agree(wrong(), Slow())


# Edges ----------------------------------------------------------------------------------------------


def test_episodes_take_what_there_is():
    """Of fewer base classes all, of fewer items all: more asked than there is makes no difference."""
    base = base_of((3, 1, 2))
    few, many = (ZeroShotProtoNet(way=way, query=query, steps=3).with_base(base) for way, query in ((3, 3), (50, 10)))
    assert torch.equal(few.item_map, many.item_map)


def test_batches_types_and_support_items_that_play_no_part():
    learner = ZeroShotProtoNet(**SETTING).with_base(base_of())
    a, b = new_classes(seed=1), new_classes(seed=2)
    both = SupportSet(*(torch.cat([getattr(s, k) for s in (a[0], b[0])]) for k in ("x", "y")), 4)
    both = replace(both, descriptors=torch.cat([a[0].descriptors, b[0].descriptors]))
    scores = learner.adapt(both)(torch.cat([a[1], b[1]]))
    assert_close(scores.exp().sum(-1), torch.ones(2, 24).double())
    for k, (support, query, _) in enumerate((a, b)):
        assert_close(learner.adapt(support[0])(query[0]), scores[k])
    given = replace(a[0], x=a[1][:, :3], y=a[2][:, :3])
    assert_close(learner.adapt(given)(a[1])[0], scores[0])
    single = learner.adapt(a[0].map(lambda x: x.float()))(a[1].float())
    assert single.dtype == torch.float32
    assert_close(single[0], scores[0].float(), rtol=1e-4, atol=1e-4)


def test_training_needs_no_gradients_around_it_and_leaves_none():
    base = base_of()
    with torch.no_grad():
        quiet = ZeroShotProtoNet(**SETTING).with_base(base)
    loud = ZeroShotProtoNet(**SETTING).with_base(replace(base, x=base.x.clone()))
    assert torch.equal(quiet.item_map, loud.item_map)
    assert not quiet.item_map.requires_grad and not loud.class_map.requires_grad


def test_draws_come_from_the_seed_alone(no_shape_hook):
    def maps(seed, state):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        fitted = ZeroShotProtoNet(**SETTING, seed=seed).with_base(base_of()).item_map
        assert torch.equal(torch.get_rng_state(), before)
        return fitted

    assert torch.equal(maps(0, 1), maps(0, 2))
    assert not torch.allclose(maps(0, 1), maps(1, 1))


def test_errors_say_what_must_hold(no_shape_hook):
    for name, value, least in (("dim", 0, 1), ("way", 1, 2), ("query", 0, 1), ("steps", 1.5, 1), ("way", None, 2)):
        with pytest.raises(FewShotError, match=f"{name} must be a whole number of at least {least}, got {value}"):
            ZeroShotProtoNet(**{name: value})
    for options, sentence in (
        ({"learning_rate": 0.0}, "got 0.0 and 1e-05"),
        ({"learning_rate": math.nan}, "got nan and 1e-05"),
        ({"weight_decay": -1.0}, "got 0.0001 and -1.0"),
    ):
        with pytest.raises(
            FewShotError, match=f"learning_rate must be above 0 and weight_decay at least 0, {sentence}"
        ):
            ZeroShotProtoNet(**options)
    base, (support, _, _) = base_of(), new_classes()
    with pytest.raises(
        NotFittedError, match=r"ZeroShotProtoNet learns from base classes, got none; call learner\.with"
    ):
        ZeroShotProtoNet().adapt(support)
    with pytest.raises(FewShotError, match=r"maps must stay finite, got nan or infinity; lower learning_rate 1e\+300"):
        ZeroShotProtoNet(learning_rate=1e300).with_base(base)
    with pytest.raises(EpisodeError, match="need a descriptor of each class, got none"):
        ZeroShotProtoNet().with_base(replace(base, descriptors=None))
    with pytest.raises(EpisodeError, match="training episodes need at least two base classes, got 1"):
        ZeroShotProtoNet().with_base(base_of((3,)))
    learner = ZeroShotProtoNet(**SETTING).with_base(base)
    with pytest.raises(EpisodeError, match="must be described by 4 numbers, as the base classes were, got 3"):
        learner.adapt(replace(support, descriptors=support.descriptors[..., :3]))
