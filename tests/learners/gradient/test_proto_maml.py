"""Proto-MAML: nested derivatives of torch.func on free weights, prototypical networks without steps."""

import pytest
import torch
from make import episode
from slips import Slipped
from tiny import along, conv, differences, images, mlp
from torch import nn
from torch.func import functional_call, grad
from torch.nn.functional import cross_entropy, linear
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.gradient.batch_norm import POLICIES
from fewshot.learners.gradient.proto_maml import ProtoMAML
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.testing import check_learner

CLOSE = {"rtol": 1e-8, "atol": 1e-9}
SHOTS = (3, 1, 2)
OPTIONS = {"lr": 0.05, "steps": 2}
PAIR = ("weight", "bias")


def proto(backbone=None, **options):
    return ProtoMAML(backbone or mlp(), **{**OPTIONS, **options}).double()


def prototypes(z, y, n_way):
    return torch.stack([z[y == k].mean(0) for k in range(n_way)])


def adapted(net, theta, support, lr=0.05, steps=2, first_order=False, scale=2.0, bias=-1.0, loose=False, tied=False):
    """Backbone and head after the steps. Slips: ``loose`` drops the derivative of the prototypes, ``tied`` keeps the
    head at the prototypes while the backbone moves."""
    c = prototypes(functional_call(net, theta, (support.x,)), support.y, support.n_way)
    c = c.detach() if loose else c
    head = (scale * c, bias * c.square().sum(1))
    for _ in range(steps):

        def inner(theta, head):
            z = functional_call(net, theta, (support.x,))
            if tied:
                c = prototypes(z, support.y, support.n_way)
                head = (head[0] - head[0].detach() + scale * c, head[1] - head[1].detach() + bias * c.square().sum(1))
            return cross_entropy(linear(z, *head), support.y)

        body, top = grad(inner, argnums=(0, 1))(theta, head)
        if first_order:
            body, top = {k: g.detach() for k, g in body.items()}, [g.detach() for g in top]
        theta = {k: p - lr * body[k] for k, p in theta.items()}
        head = tuple(p - lr * g for p, g in zip(head, top, strict=True))
    return theta, head


def slow_scores(net, theta, support, query, **slip):
    body, head = adapted(net, theta, support, **slip)
    return linear(functional_call(net, body, (query,)), *head).log_softmax(-1)


def weights(net):
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def slow_gradient(net, support, query, labels, **slip):
    def outer(theta):
        scores = [slow_scores(net, theta, support[k], query[k], **slip) for k in range(len(query))]
        return cross_entropy(torch.cat(scores), labels.flatten())

    return list(grad(outer)(weights(net)).values())


def gradients(learner, batch):
    return list(torch.autograd.grad(episode_loss(learner, *batch), list(learner.parameters())))


@pytest.mark.parametrize("shots", [SHOTS, (2, 1, 1, 3, 2)])
def test_scores_are_those_of_the_transcription_for_any_number_of_ways(shots):
    learner, (support, query, _) = proto(), episode(shots, 8)
    exact = slow_scores(net := mlp(), weights(net), support, query)
    assert_close(learner.adapt(support)(query).detach(), exact, **CLOSE)


@pytest.mark.parametrize("first_order", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_gradients_are_those_of_nested_differentiation(steps, first_order):
    learner, batch = proto(steps=steps, first_order=first_order), episode(SHOTS, 8, episodes=2)
    assert_close(gradients(learner, batch), slow_gradient(mlp(), *batch, steps=steps, first_order=first_order), **CLOSE)


@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_under_batch_norm_are_those_of_finite_differences(policy):
    learner = proto(mlp(3, 4, norm=True), first_order=False, batch_norm=policy)
    batch = episode(SHOTS, 3, episodes=2)
    found, directions = differences(lambda: episode_loss(learner, *batch), list(learner.parameters()))
    assert_close(along(gradients(learner, batch), directions), found, rtol=1e-5, atol=1e-8)


SCORE_SLIPS = {
    "prototypes not doubled": {"scale": 1.0},
    "bias halved": {"bias": -0.5},
    "no bias": {"bias": 0.0},
    "head tied to the backbone in the step": {"tied": True},
    "a step too few": {"steps": 1},
    "uphill": {"lr": -0.05},
}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SCORE_SLIPS.values(), ids=SCORE_SLIPS)
def test_wrong_formulas_keep_the_contract_and_are_caught(slip):
    net = mlp()

    def oracle(support, query, **slip):
        return slow_scores(net, weights(net), support.map(torch.Tensor.double), query.double(), **slip)

    check_learner(Slipped(oracle, **slip), learns=False, shots=SHOTS)
    support, query, _ = episode(SHOTS, 8)
    with pytest.raises(AssertionError):
        assert_close(proto().adapt(support)(query).detach(), oracle(support, query, **slip), **CLOSE)


@pytest.mark.slip
@pytest.mark.parametrize("slip", [{"loose": True, "first_order": True}, {"first_order": False}, {"tied": True}])
def test_wrong_outer_gradients_are_caught(slip):
    learner, batch = proto(), episode(SHOTS, 8, episodes=2)
    with pytest.raises(AssertionError):
        assert_close(gradients(learner, batch), slow_gradient(mlp(), *batch, **slip), **CLOSE)


def test_without_steps_it_is_a_prototypical_network():
    net, (support, query, _) = mlp(), episode(SHOTS, 8)
    with torch.no_grad():
        distances = NearestMean().adapt(support.map(net))(net(query)).log_softmax(-1)
        assert_close(proto(steps=0).adapt(support)(query), distances, **CLOSE)


@pytest.mark.parametrize("policy", POLICIES)
def test_it_keeps_the_contract(policy):
    learner = proto(mlp(norm=True), batch_norm=policy)
    assert learner.transductive == (policy == "query-batch")
    check_learner(learner, learns=True, shots=SHOTS)


def test_images_and_batch_norm_that_does_not_adapt():
    learner, (support, _, _) = proto(conv(), batch_norm="support"), images(episode(SHOTS, 64))
    assert set(learner.start(support)) == {"weight", "bias", *(f"backbone.{k}.{p}" for k in (0, 4) for p in PAIR)}
    check_learner(learner, learns=False, item_shape=(1, 8, 8), shots=SHOTS)


def test_evaluation_may_take_more_steps():
    support, query, _ = episode(SHOTS, 8)
    learner = proto(test_steps=4)
    assert_close(learner.train().adapt(support)(query), proto().adapt(support)(query))
    assert_close(learner.eval().adapt(support)(query), proto(steps=4).adapt(support)(query))


def test_nothing_but_the_backbone_is_saved():
    assert set(proto().state_dict()) == {"network.backbone.0.weight", "network.backbone.0.bias"}


def test_errors_say_what_must_hold(no_shape_hook):
    with pytest.raises(FewShotError, match="the backbone needs parameters to train, got a Tanh without"):
        ProtoMAML(nn.Tanh())
    with pytest.raises(FewShotError, match="backbone must be a module, got 'conv4'"):
        ProtoMAML("conv4")
    with pytest.raises(FewShotError, match="lr must be 0 or more, got -1"):
        proto(lr=-1)
    with pytest.raises(FewShotError, match="batch_norm must be one of"):
        proto(batch_norm="none")
    empty = SupportSet(torch.ones(2, 8).double(), torch.tensor([0, 2]), 3)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        proto().adapt(empty)
    support, _, _ = episode(SHOTS, 8)
    with pytest.raises(EpisodeError, match=r"nan or inf in '.*' at rate 0.05; lower the rate, or look for nan"):
        proto().adapt(support.map(lambda x: x * torch.nan))
