"""The contract: what a support set refuses, how it is sliced, what Embedded and its loss do."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from make import episode
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot.contract import Backbone, Learner, SupportSet, episode_loss, per_episode, prepare
from fewshot.embedded import Embedded
from fewshot.errors import EpisodeError, ShapeError
from fewshot.functional import class_means, squared_distances
from fewshot.learners.metric.nearest_mean import NearestMean


def texts(shape):
    words = [f"item {k} {'long ' * (k % 7)}" for k in range(math.prod(shape))]
    return np.array(words, np.dtypes.StringDType()).reshape(shape)


def support(e=2, s=3, n_way=2, **fields):
    y = torch.arange(s).remainder(n_way).repeat(e, 1)
    return SupportSet(torch.arange(e * s * 4.0).reshape(e, s, 4), y, n_way, **fields)


# What a support set refuses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"x": torch.zeros(2, 4, 5)}, r"items must start with the axes of the labels \(2, 3\), got items \(2, 4, 5\)"),
        ({"x": torch.zeros(3, 2)}, r"items must start with the axes of the labels \(2, 3\), got items \(3, 2\)"),
        ({"x": texts((2, 2))}, r"items must start with .* got items \(2, 2\)"),
        ({"descriptors": torch.zeros(2, 3, 9)}, r"descriptors must start with the axes \(2, 2\), got \(2, 3, 9\)"),
        ({"descriptors": texts((1, 2))}, r"descriptors must start with the axes \(2, 2\), got \(1, 2\)"),
        ({"unlabelled": torch.zeros(3, 7, 4)}, r"unlabelled items must start with the axes \(2,\), got \(3, 7, 4\)"),
        ({"seed": torch.zeros(3)}, r"seeds must start with the axes \(2,\), got \(3,\)"),
    ],
)
def test_axes_that_do_not_fit_are_refused(no_shape_hook, fields, sentence):
    given = {"x": torch.zeros(2, 3, 4), "y": torch.zeros(2, 3, dtype=torch.long), "n_way": 2, **fields}
    with pytest.raises(ShapeError, match=sentence):
        SupportSet(**given)


@pytest.mark.parametrize(("labels", "seen"), [([0, 1, 2], r"\[0, 1, 2\]"), ([-1, 0, 1], r"\[-1, 0, 1\]")])
def test_labels_out_of_range_are_refused(labels, seen):
    with pytest.raises(EpisodeError, match=rf"labels must lie in 0\.\.1, got {seen}; relabel the episode's classes"):
        SupportSet(torch.zeros(3, 4), torch.tensor(labels), 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_labels_are_whole_numbers(no_shape_hook, dtype):
    with pytest.raises(
        EpisodeError, match=rf"labels must be a tensor of whole numbers from 0, got {dtype}; number the classes"
    ):
        SupportSet(torch.zeros(3, 4), torch.tensor([0.0, 1.0, 1.4]).to(dtype), 2)


def test_an_episode_has_a_class():
    with pytest.raises(EpisodeError, match="an episode needs at least one class, got n_way 0"):
        SupportSet(torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.long), 0)


def test_one_episode_cannot_be_indexed_again():
    with pytest.raises(
        ShapeError, match=r"only a batch of episodes can be indexed, got one episode with labels \(3,\)"
    ):
        support()[0][0]


def test_a_support_set_is_frozen():
    with pytest.raises(AttributeError):
        support().n_way = 3


# How it is sliced, mapped and moved -------------------------------------------------------------


def everything():
    return support(
        e=3,
        descriptors=torch.arange(3 * 2 * 5.0).reshape(3, 2, 5),
        unlabelled=torch.arange(3 * 6 * 4.0).reshape(3, 6, 4),
        seed=torch.tensor([11, 22, 33]),
    )


@pytest.mark.parametrize("k", [1, -1, slice(1, 3), slice(0, 1)])
def test_indexing_takes_every_field_along(k):
    whole = everything()
    part = whole[k]
    for name in ("x", "y", "descriptors", "unlabelled", "seed"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[k])
    assert part.n_way == whole.n_way
    assert len(part) == (1 if isinstance(k, int) else len(whole.y[k]))


def test_absent_fields_stay_absent():
    part = support()[0]
    assert (part.descriptors, part.unlabelled, part.seed) == (None, None, None)


def test_texts_are_items_like_others():
    words = texts((2, 3))
    one = SupportSet(words, support().y, 2, texts((2, 2)))
    assert one[1].x.tolist() == words[1].tolist()
    assert one[0:1].descriptors.shape == (1, 2)
    assert one.to("cpu").x is words


def test_map_embeds_items_and_pool_but_not_descriptors():
    whole = everything()
    doubled = whole.map(lambda x: x * 2)
    assert_close(doubled.x, whole.x * 2)
    assert_close(doubled.unlabelled, whole.unlabelled * 2)
    for name in ("y", "descriptors", "seed"):
        assert getattr(doubled, name) is getattr(whole, name)
    assert support().map(lambda x: x).unlabelled is None


def test_moving_takes_every_tensor_along_but_the_seeds(monkeypatch):
    whole, asked = everything(), []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: asked.append(device) or self.clone())
    moved = whole.to("cuda:1")
    assert asked == ["cuda:1"] * 4
    for name in ("x", "y", "descriptors", "unlabelled"):
        assert torch.equal(getattr(moved, name), getattr(whole, name))
        assert getattr(moved, name) is not getattr(whole, name)
    assert moved.seed is whole.seed  # generators are of the CPU, whatever the device


def test_a_generator_belongs_to_one_episode():
    whole = everything()
    draws = [torch.rand(3, generator=whole[k].generator()) for k in (0, 1, 0)]
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])
    assert torch.equal(draws[1], torch.rand(3, generator=torch.Generator().manual_seed(22)))
    with pytest.raises(
        EpisodeError, match=r"one episode with a seed, got seed tensor\(\[11, 22, 33\]\); use support\[k\]"
    ):
        whole.generator()
    with pytest.raises(EpisodeError, match="one episode with a seed, got seed None"):
        support()[0].generator()


# Learners and backbones by shape of their methods ---------------------------------------------------


@dataclass(frozen=True)
class NearestMedian:
    @per_episode
    def adapt(self, support):
        """Medians."""
        assert support.y.ndim == 1
        m = torch.stack([support.x[support.y == k].median(0).values for k in range(support.n_way)])
        return lambda query: -torch.cdist(query, m)


def test_per_episode_gives_the_batch():
    many, query, _ = episode((3, 1, 2), episodes=4)
    learner = NearestMedian()
    scores = learner.adapt(many)(query)
    assert scores.shape == (4, 5, 3)
    for k in range(4):
        assert torch.equal(scores[k], learner.adapt(many[k])(query[k]))
    assert NearestMedian.adapt.__doc__ == "Medians."


def test_per_episode_refuses_queries_of_another_number_of_episodes():
    many, query, _ = episode((3, 1, 2), episodes=4)
    with pytest.raises(ValueError, match="zip"):
        NearestMedian().adapt(many)(query[:3])


def test_protocols_are_checked_by_what_is_there():
    assert isinstance(NearestMean(), Learner)
    assert isinstance(Embedded(nn.Identity(), NearestMean()), Learner)
    assert isinstance(nn.Identity(), Backbone)
    assert not isinstance(nn.Identity(), Learner)


def test_prepare_divides_pixels_unless_the_backbone_knows_better():
    class Own(nn.Identity):
        def preprocess(self, items):
            return items.double() - 7

    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert_close(prepare(nn.Identity(), pixels), torch.tensor([0.0, 0.2, 1.0]))
    assert_close(prepare(Own(), pixels), torch.tensor([-7.0, 44.0, 248.0], dtype=torch.float64))
    words, floats = texts((3,)), torch.tensor([3.5])
    assert prepare(len, words) is words
    assert prepare(nn.Identity(), floats) is floats


def test_two_devices_are_named():
    with pytest.raises(EpisodeError, match=r"a network and its items must be on one device, got meta and cpu; move"):
        prepare(nn.Linear(3, 2, device="meta"), torch.ones(1, 3))
    with pytest.raises(EpisodeError, match=r"items and labels must be on one device, got meta and cpu; move one"):
        SupportSet(torch.ones(2, 3, device="meta"), torch.tensor([0, 1]), 2)


# Embedded: answers ----------------------------------------------------------------------------------


def linear(dim=6, out=4):
    torch.manual_seed(0)
    return nn.Linear(dim, out, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _own_random_state():
    with torch.random.fork_rng():
        yield


def test_embedded_is_the_head_on_features():
    many, query, _ = episode((3, 1, 2), episodes=3)
    backbone = linear()
    scores = Embedded(backbone, NearestMean()).adapt(many)(query)
    for k in range(3):
        m = torch.stack([backbone(many.x[k][many.y[k] == c]).mean(0) for c in range(3)])
        assert_close(scores[k], -torch.cdist(backbone(query[k]), m).square())
        assert_close(Embedded(backbone, NearestMean()).adapt(many[k])(query[k]), scores[k])


def test_embedded_says_what_its_head_says():
    class Head:
        transductive, scores = True, "rank"

    assert (Embedded(linear(), Head()).transductive, Embedded(linear(), Head()).scores) == (True, "rank")
    plain = Embedded(linear(), NearestMean())
    assert (plain.transductive, plain.scores, plain.batch_norm) == (False, "log-probability", "running")


class Lengths(nn.Module):
    """A backbone for texts: length and number of blanks."""

    def forward(self, items):
        return torch.tensor([[len(t), t.count(" ")] for t in items.tolist()], dtype=torch.float64).reshape(-1, 2)


def test_texts_go_through_the_backbone_and_the_loss():
    one = SupportSet(texts((2, 3)), support().y, 2)
    learner = Embedded(Lengths(), NearestMean())
    query = texts((2, 4))
    embedded = SupportSet(learner.embed(one.x), one.y, 2)
    scores = learner.adapt(one)(query)
    assert_close(scores, NearestMean().adapt(embedded)(learner.embed(query)))
    labels = torch.tensor([[0, 1, 1, 0], [1, 0, 1, 0]])
    assert_close(learner.loss(one, query, labels), cross_entropy(scores.flatten(0, 1), labels.flatten()))


class ByDescriptor:
    """Zero-shot head: nearest descriptor."""

    def adapt(self, support):
        return lambda query: -squared_distances(query, support.descriptors)


def test_zero_shot_is_an_empty_support_with_descriptors():
    x, y = torch.zeros(2, 0, 6, dtype=torch.float64), torch.zeros(2, 0, dtype=torch.long)
    names, query = texts((2, 3)), torch.randn(2, 5, 6, dtype=torch.float64)
    to_two = linear(6, 2)
    learner = Embedded(to_two, ByDescriptor(), side=Lengths())
    scores = learner.adapt(SupportSet(x, y, 3, names))(query)
    sides = torch.stack([Lengths()(row) for row in names])
    assert_close(scores, -torch.cdist(to_two(query), sides).square())
    one = SupportSet(x[0], y[0], 3, names[0])
    assert_close(learner.adapt(one)(query[0]), scores[0])
    labels = torch.tensor([[0, 1, 2, 0, 1], [2, 1, 0, 2, 1]])
    loss = learner.loss(SupportSet(x, y, 3, names), query, labels)
    assert_close(loss, cross_entropy(scores.flatten(0, 1), labels.flatten()))


def test_descriptors_without_side_stay_as_they_are():
    vectors = torch.randn(2, 3, 4, dtype=torch.float64)
    x, y = torch.zeros(2, 0, 6, dtype=torch.float64), torch.zeros(2, 0, dtype=torch.long)
    query, backbone = torch.randn(2, 5, 6, dtype=torch.float64), linear()
    scores = Embedded(backbone, ByDescriptor()).adapt(SupportSet(x, y, 3, vectors))(query)
    assert_close(scores, -torch.cdist(backbone(query), vectors).square())


def test_with_base_shows_the_head_features_and_keeps_the_backbone():
    class Head:
        def __init__(self, centre=None):
            self.centre = centre

        def with_base(self, base):
            return Head(base.x.flatten(0, 1).mean(0))

    base, _, _ = episode((4, 5), episodes=1)
    backbone, head, side = linear(), Head(), Lengths()
    seen = Embedded(backbone, head, side).with_base(base)
    assert head.centre is None
    assert (seen.backbone, seen.side) == (backbone, side)
    assert_close(seen.head.centre, backbone(base.x[0]).mean(0))


# Embedded: the loss -----------------------------------------------------------------------------------


class Counting(nn.Module):
    """Linear with batch norm; remembers how many items each call had."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(linear(), nn.BatchNorm1d(4, dtype=torch.float64))
        self.sizes = []

    def forward(self, x):
        self.sizes.append(len(x))
        return self.body(x)


def by_hand(backbone, many, query, labels, norm):
    """Loss of each episode; ``norm`` says over which items batch statistics are taken."""
    losses = []
    for k in range(len(many)):
        z, zq = (backbone.body[0](items[k]) for items in (many.x, query))
        mean, var = norm(k, z, zq)
        z, zq = ((a - mean) / (var + 1e-5).sqrt() for a in (z, zq))
        c = torch.stack([z[many.y[k] == j].mean(0) for j in range(many.n_way)])
        p = (-(zq[:, None] - c).square().sum(-1)).log_softmax(1)
        losses.append(-p[torch.arange(len(zq)), labels[k]].mean())
    return torch.stack(losses).mean()


def statistics(*parts):
    together = torch.cat([p.flatten(0, -2) for p in parts])
    return together.mean(0), together.var(0, correction=0)


def own_episode(k, z, zq):
    return statistics(z, zq)


def trained(seed=0):
    many, query, labels = episode((3, 1, 2), episodes=3, seed=seed)
    return Counting(), many, query, labels


def test_loss_is_one_forward_per_episode_with_its_own_batch_statistics():
    backbone, many, query, labels = trained()
    learner = Embedded(backbone, NearestMean()).train()
    loss = learner.loss(many, query, labels)
    assert backbone.sizes == [11, 11, 11]
    assert_close(loss, by_hand(backbone, many, query, labels, own_episode), rtol=1e-10, atol=1e-12)
    assert_close(episode_loss(learner, many, query, labels), loss)


def wrong_norms(backbone, many, query):
    zs, zq = backbone.body[0](many.x), backbone.body[0](query)
    return {
        "shared between episodes": lambda k, z, q: statistics(zs, zq),
        "support only": lambda k, z, q: statistics(z),
        "queries only": lambda k, z, q: statistics(q),
        "of the first episode": lambda k, z, q: statistics(zs[0], zq[0]),
        "running": lambda k, z, q: (torch.zeros(4).double(), torch.ones(4).double()),
    }


@pytest.mark.slip
@pytest.mark.parametrize("name", wrong_norms(*trained()[:3]))
def test_other_batch_statistics_are_caught(name):
    backbone, many, query, labels = trained()
    norm = wrong_norms(backbone, many, query)[name]
    exact = by_hand(backbone, many, query, labels, own_episode)
    with pytest.raises(AssertionError):
        assert_close(by_hand(backbone, many, query, labels, norm), exact, rtol=1e-6, atol=1e-6)


def test_gradients_of_the_loss_are_those_of_the_hand_made_loop():
    backbone, many, query, labels = trained()
    weight = backbone.body[0].weight
    ours = torch.autograd.grad(Embedded(backbone, NearestMean()).train().loss(many, query, labels), weight)[0]
    exact = torch.autograd.grad(by_hand(backbone, many, query, labels, own_episode), weight)[0]
    assert exact.abs().max() > 0.01
    assert_close(ours, exact, rtol=1e-9, atol=1e-12)


def test_the_pool_is_embedded_in_the_same_forward():
    class Pooled:
        def adapt(self, support):
            means = class_means(support.x, support.y, support.n_way) + support.unlabelled.mean(1, keepdim=True)
            return lambda query: -squared_distances(query, means)

    backbone, many, query, labels = trained()
    pool = torch.randn(3, 4, 6, dtype=torch.float64)
    loss = Embedded(backbone, Pooled()).train().loss(SupportSet(many.x, many.y, 3, unlabelled=pool), query, labels)
    assert backbone.sizes == [15, 15, 15]
    means, zq = [], []
    for k in range(3):
        z = backbone.body[0](torch.cat([many.x[k], query[k], pool[k]]))
        z = (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
        means.append(class_means(z[:6], many.y[k], 3) + z[11:].mean(0))
        zq.append(z[6:11])
    scores = -torch.cdist(torch.stack(zq), torch.stack(means)).square()
    assert_close(loss, cross_entropy(scores.flatten(0, 1), labels.flatten()), rtol=1e-9, atol=1e-12)


def test_a_head_with_a_loss_of_its_own_is_asked():
    class Own(ByDescriptor):
        def loss(self, support: SupportSet, query: Tensor, labels: Tensor) -> Tensor:
            return support.x.sum() + query.sum() + labels.sum() + int(support.seed)

    many, query, labels = episode((2, 1), episodes=3)
    backbone = linear()
    exact = (backbone(many.x).sum() + backbone(query).sum() + labels.sum() + many.seed.sum()) / 3
    assert_close(Embedded(backbone, Own()).loss(many, query, labels), exact)


def test_the_default_loss_is_the_mean_negative_log_likelihood():
    many, query, labels = episode((3, 1, 2), episodes=2)
    p = NearestMean().adapt(many)(query).softmax(-1)
    picked = [math.log(p[e, q, labels[e, q]]) for e in range(2) for q in range(5)]
    assert_close(episode_loss(NearestMean(), many, query, labels).item(), -sum(picked) / 10)


def test_maps_of_features_keep_their_axes():
    conv = nn.Conv2d(1, 3, 2)
    assert Embedded(conv, NearestMean()).embed(torch.zeros(2, 5, 1, 4, 4)).shape == (2, 5, 3, 3, 3)
