"""MAML: a transcription with nested derivatives of torch.func, finite differences, ordinary training at rate zero."""

import pytest
import torch
from make import episode
from slips import Slipped
from tiny import along, conv, differences, images, mlp
from torch import nn
from torch.func import functional_call, grad
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot.backbones.index import load_backbone
from fewshot.contract import SupportSet, episode_loss
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.gradient.batch_norm import POLICIES
from fewshot.learners.gradient.maml import MAML
from fewshot.testing import check_learner

CLOSE = {"rtol": 1e-8, "atol": 1e-9}
SHOTS = (3, 1, 2)


def maml(backbone=None, **options):
    options = {"way": 3, "lr": 0.6, "steps": 2, **options}
    return MAML(backbone or conv(), **options).double()


def plain(learner):
    """The same network anew, in torch's own layers, whose batch norm keeps no averages; and its weights by name."""
    with torch.random.fork_rng(devices=[]):
        channels, way = 4, learner.way
        net = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels, track_running_stats=False), nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels, track_running_stats=False), nn.ReLU(),
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, way),
        ).double()  # fmt: skip
    theirs = learner.network.state_dict()
    own = {k: v.detach() for k, v in net.named_parameters()}
    return net, {k: theirs[k.replace("9.", "head.") if k[0] == "9" else f"backbone.{k}"].clone() for k in own}


def adapted(net, theta, x, y, lr=0.6, steps=2, reduction="mean", only=lambda name: True, first_order=False):
    """θ' by differentiating a function of all weights at once, as algorithm 1 has it."""
    for _ in range(steps):
        slopes = grad(lambda p: cross_entropy(functional_call(net, p, (x,)), y, reduction=reduction))(theta)
        slopes = {k: g.detach() for k, g in slopes.items()} if first_order else slopes
        theta = {k: p - lr * slopes[k] if only(k) else p for k, p in theta.items()}
    return theta


def slow_scores(learner, support, query, at_query=lambda x, q: q, **slip):
    net, theta = plain(learner)
    x, q = support.x.double(), query.double()
    moved = adapted(net, theta, x, support.y, **slip)
    return functional_call(net, moved, (at_query(x, q),))[-len(q) :].log_softmax(-1).detach()


def slow_gradient(learner, support, query, labels, **slip):
    """Gradient of the mean loss over episodes, by the names of the learner."""
    net, theta = plain(learner)

    def outer(p):
        moved = [adapted(net, p, support[k].x, support[k].y, **slip) for k in range(len(support))]
        each = [functional_call(net, m, (q,)) for m, q in zip(moved, query, strict=True)]
        return torch.stack([cross_entropy(z, t) for z, t in zip(each, labels, strict=True)]).mean()

    names = {k: k.replace("9.", "network.head.") if k[0] == "9" else f"network.backbone.{k}" for k in theta}
    return {names[k]: g for k, g in grad(outer)(theta).items()}


def gradients(learner, support, query, labels):
    loss = episode_loss(learner, support, query, labels)
    return dict(
        zip(dict(learner.named_parameters()), torch.autograd.grad(loss, list(learner.parameters())), strict=True)
    )


def case(episodes=None, **options):
    return images(episode(SHOTS, 64, episodes=episodes, **options))


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_scores_are_those_of_the_transcription(steps):
    learner, (support, query, _) = maml(steps=steps), case()
    with torch.no_grad():
        assert_close(learner.adapt(support)(query), slow_scores(learner, support, query, steps=steps), **CLOSE)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_gradients_are_those_of_nested_differentiation(steps, first_order):
    learner, batch = maml(steps=steps, first_order=first_order), case(2)
    slow = slow_gradient(learner, *batch, steps=steps, first_order=first_order)
    assert_close(gradients(learner, *batch), slow, **CLOSE)


@pytest.mark.parametrize(
    ("policy", "rates"), [*((p, "element") for p in POLICIES), ("support", "fixed"), ("support", "tensor")]
)
def test_gradients_to_all_weights_and_rates_are_those_of_finite_differences(policy, rates):
    learner = maml(mlp(3, 3, norm=True), batch_norm=policy, rates=rates, lr=0.5)
    batch = episode(SHOTS, 3, episodes=2)
    found, directions = differences(lambda: episode_loss(learner, *batch), list(learner.parameters()))
    assert_close(along(gradients(learner, *batch).values(), directions), found, rtol=1e-5, atol=1e-8)


SCORE_SLIPS = {
    "loss summed": {"reduction": "sum"},
    "uphill": {"lr": -0.6},
    "a step too few": {"steps": 1},
    "head only": {"only": lambda name: name[0] == "9"},
    "batch norm does not adapt": {"only": lambda name: name[0] not in "15"},
    "support and queries in one batch": {"at_query": lambda x, q: torch.cat([x, q])},
}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SCORE_SLIPS.values(), ids=SCORE_SLIPS)
def test_wrong_inner_loops_keep_the_contract_and_are_caught(slip):
    learner, (support, query, _) = maml(), case()

    def oracle(support, query, **slip):
        return slow_scores(learner, support, query, **slip)

    check_learner(Slipped(oracle, **slip), class_symmetric=False, learns=False, item_shape=(1, 8, 8), shots=SHOTS)
    with pytest.raises(AssertionError):
        assert_close(learner.adapt(support)(query).detach(), slow_scores(learner, support, query, **slip), **CLOSE)


@pytest.mark.slip
@pytest.mark.parametrize("slip", [{"first_order": True}, {"reduction": "sum"}, {"steps": 1}])
def test_wrong_outer_gradients_are_caught(slip):
    learner, batch = maml(), case(2)
    with pytest.raises(AssertionError):
        assert_close(gradients(learner, *batch), slow_gradient(learner, *batch, **slip), **CLOSE)


def test_at_rate_zero_it_is_ordinary_multitask_training():
    learner, (support, query, labels) = maml(lr=0.0), case(3)
    net, theta = plain(learner)
    for p in (weights := {k: v.requires_grad_() for k, v in theta.items()}).values():
        assert p.is_leaf
    losses = [cross_entropy(functional_call(net, weights, (q,)), t) for q, t in zip(query, labels, strict=True)]
    plainly = torch.autograd.grad(torch.stack(losses).mean(), list(weights.values()))
    assert_close(list(gradients(learner, support, query, labels).values()), list(plainly), **CLOSE)


@pytest.mark.parametrize("policy", POLICIES)
def test_it_keeps_the_contract(policy):
    learner = maml(mlp(norm=True), batch_norm=policy, lr=1.0, steps=6)
    assert learner.transductive == (policy == "query-batch")
    check_learner(learner, class_symmetric=False, learns=True, shots=SHOTS)


def test_images_keep_the_contract():
    check_learner(maml(), class_symmetric=False, learns=False, item_shape=(1, 8, 8), shots=SHOTS)
    assert not maml(mlp()).transductive


def test_evaluation_may_take_more_steps():
    support, query, _ = case()
    learner, more = maml(test_steps=5), maml(steps=5)
    assert_close(learner.train().adapt(support)(query), maml().adapt(support)(query))
    assert_close(learner.eval().adapt(support)(query), more.adapt(support)(query))


@pytest.mark.parametrize(
    ("adapts", "moves"),
    [("all", {"backbone", "head"}), ("head", {"head"}), ("body", {"backbone"}), (lambda n: "0." in n, {"backbone"})],
)
def test_what_adapts(adapts, moves):
    assert {name.split(".")[0] for name in maml(adapts=adapts).fast()} == moves


def test_training_lowers_the_loss_and_moves_every_weight_and_rate():
    learner = MAML(mlp(norm=True).float(), 3, lr=0.1, steps=1, rates="element")
    support, query, labels = episode((2, 2, 2), 8, episodes=4, queries=8, dtype=torch.float32, spread=2.0)
    before = {name: p.detach().clone() for name, p in learner.named_parameters()}
    optimizer, losses = torch.optim.Adam(learner.parameters(), lr=0.03), []
    for _ in range(30):
        loss = episode_loss(learner.train(), support, query, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    same = {name for name, p in learner.named_parameters() if torch.equal(before[name], p.detach())}
    assert same <= {"network.backbone.0.bias", "rates.1"}  # batch norm subtracts that bias again


def test_unused_parameters_are_harmless():
    backbone = mlp()
    backbone.unused = nn.Parameter(torch.ones(2, 2).double())
    backbone.forward = lambda x: nn.Sequential.forward(backbone[:], x)
    support, query, labels = episode(SHOTS, 8, episodes=2)
    learner = maml(backbone)
    episode_loss(learner, support, query, labels).backward()
    assert backbone.unused.grad is None or not backbone.unused.grad.any()
    assert learner.network.head.weight.grad.any()


def test_queries_can_be_asked_again_after_the_weights_have_changed_place():
    """The classifier holds the adapted weights, not the learner's."""
    support, query, _ = case()
    learner = maml()
    with torch.no_grad():
        classify = learner.adapt(support)
        first = classify(query)
        for p in learner.parameters():
            p.zero_()
        assert_close(classify(query), first)


def test_a_built_in_backbone_runs_on_pixels():
    support, query, labels = episode((1, 1), 784, episodes=1, queries=3)
    support, query = (part.clamp(0, 255).to(torch.uint8) for part in (support.x, query)), labels
    x, q = (part.reshape(1, -1, 1, 28, 28) for part in support)
    learner = MAML(load_backbone("conv4", width=4), way=2)
    loss = episode_loss(learner, SupportSet(x, torch.tensor([[1, 0]]), 2), q, labels)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in learner.parameters())


def test_errors_say_what_must_hold(no_shape_hook):
    with pytest.raises(
        FewShotError, match="adapts must be one of all, head, body, or a function of a name, got 'tail'"
    ):
        maml(adapts="tail")
    with pytest.raises(FewShotError, match=r"adapts must choose parameters of the network, got .* chooses none"):
        maml(adapts=lambda name: False)
    identity = nn.Identity()
    identity.dim = 8
    with pytest.raises(FewShotError, match="got 'body', which chooses none"):
        maml(identity, adapts="body")
    with pytest.raises(FewShotError, match="rates must be one of fixed, tensor, element, got 'learned'"):
        maml(rates="learned")
    for wrong in ({"lr": -1.0}, {"lr": float("nan")}, {"steps": -1}, {"test_steps": -2}):
        with pytest.raises(
            FewShotError,
            match=r"lr must be 0 or more, got|number of inner steps must be a whole number of at least 0, got",
        ):
            maml(**wrong)
    with pytest.raises(FewShotError, match=r"batch_norm must be one of query-batch, .*, got 'none'"):
        maml(batch_norm="none")
    support, _, _ = episode((1, 2), 8)
    with pytest.raises(EpisodeError, match=r"head is of 3 ways, got an episode of 2; train another, or .* way=3"):
        maml(mlp()).adapt(support)
    empty = SupportSet(support.x, torch.tensor([0, 0, 2]), 3)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        maml(mlp()).adapt(empty)
    support, _, _ = episode(SHOTS, 8)
    with pytest.raises(EpisodeError, match=r"nan or inf in '.*' at rate 1e\+308"):
        maml(mlp(), lr=1e308, steps=3).adapt(support)
