"""Reptile: tasks learned by copies of the network under ``torch.optim``, in a slow loop; moments that carry over."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode
from slips import Slipped
from tiny import conv
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.gradient.inner_loop import answer
from fewshot.learners.gradient.inner_optimiser import batches
from fewshot.learners.gradient.reptile import Reptile
from fewshot.testing import check_learner
from fewshot.training.episodic import EpisodicTraining, train

DIM = 16


def network(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = (
            nn.Unflatten(1, (1, 4, 4)),
            nn.Conv2d(1, 3, 3, 2, 1, bias=False),
            nn.BatchNorm2d(3),
            nn.Tanh(),
            nn.Flatten(),
        )
        backbone = nn.Sequential(*layers)
    nn.init.uniform_(backbone[2].weight, 0.5, 1.5, generator=torch.Generator().manual_seed(seed))
    backbone.dim = 12
    return backbone


def made(seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Reptile(
            network(seed), **{"way": 3, "lr": 0.02, "steps": 4, "batch": 4, "test_steps": 6} | options
        ).double()


def cases(shots=(3, 1, 2), count=3, seed=0):
    return episode(shots, DIM, queries=4, episodes=count, seed=seed)


# Oracle ---------------------------------------------------------------------------------------------


def stream(n, seed, restart):
    """Items one by one, as random passes follow each other."""
    generator = torch.Generator().manual_seed(int(seed))
    while True:
        order = torch.randperm(n, generator=generator).tolist()
        yield from order if not restart else order[: n - n % restart]


def learned(net, optimiser, x, y, seed, steps, batch, slip=None):
    """Steps of an optimiser on a network that stands in training mode."""
    items = stream(len(x), seed, batch if slip == "the rest of a pass is dropped" else None)
    with torch.enable_grad():
        for _ in range(steps):
            rows = [next(items) for _ in range(batch)]
            optimiser.zero_grad()
            reduction = "sum" if slip == "sum of losses" else "mean"
            cross_entropy(net(x[rows]), y[rows], reduction=reduction).backward()
            optimiser.step()


def copied(learner):
    net = nn.Sequential(copy.deepcopy(learner.network.backbone), copy.deepcopy(learner.network.head)).train()
    return net, torch.optim.Adam(net.parameters(), learner.lr, betas=(0.0, 0.999))


def trained(learner, support, query, labels, slip=None):
    """Ends of the tasks one after another with one optimiser, and that optimiser."""
    net, adam = copied(learner)
    start, ends = [p.detach().clone() for p in net.parameters()], []
    for k in range(len(support)):
        with torch.no_grad():
            for p, s in zip(net.parameters(), start, strict=True):
                p.copy_(s)
        if slip == "moments are reset":
            adam = copied(learner)[1].__class__(net.parameters(), learner.lr, betas=(0.0, 0.999))
        x, y = torch.cat([support.x[k], query[k]]), torch.cat([support.y[k], labels[k]])
        learned(net, adam, x, y, support.seed[k], learner.steps, learner.batch)
        ends.append([p.detach().clone() for p in net.parameters()])
    return start, ends, adam


def gradients(learner, support, query, labels):
    learner.zero_grad()
    loss = learner.loss(support, query, labels)
    loss.backward()
    return loss.detach(), [p.grad for p in learner.network.parameters()]


@settings(max_examples=5)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_the_gradient_of_the_loss_points_away_from_the_mean_of_the_ends(seed, count):
    learner, (support, query, labels) = made(seed), cases(count=count, seed=seed)
    start, ends, adam = trained(learner, support, query, labels)
    loss, found = gradients(learner, support, query, labels)
    ways = [sum(((w - s) ** 2).sum() for w, s in zip(end, start, strict=True)) / 2 for end in ends]
    assert_close(loss, sum(ways) / count, rtol=1e-9, atol=1e-12)
    for k, g in enumerate(found):
        assert_close(g, start[k] - sum(end[k] for end in ends) / count, rtol=1e-8, atol=1e-11)
    kept = [b for name, b in learner.moments.named_buffers() if name != "mass"]
    for b, state in zip(kept, adam.state.values(), strict=True):
        assert_close(b, state["exp_avg_sq"], rtol=1e-8, atol=1e-15)
    assert_close(learner.moments.mass.item(), 1 - 0.999 ** (count * 4))


def test_moments_that_are_reset_would_show():
    learner, case = made(), cases()
    start, ends, _ = trained(learner, *case, slip="moments are reset")
    found = gradients(learner, *case)[1]
    with pytest.raises(AssertionError):
        assert_close(found[0], start[0] - sum(end[0] for end in ends) / 3, rtol=1e-3, atol=1e-5)


def oracle(support, query, learner, before=None, steps=None, batch=None, slip=None):
    """Log-probabilities of one episode; ``before`` is Adam's state after training tasks."""
    net, adam = copied(learner)
    if before is not None and slip != "moments are reset":
        adam.load_state_dict(copy.deepcopy(before))
    if slip == "momentum":
        adam.param_groups[0]["betas"] = (0.9, 0.999)
    if slip == "plain steps":
        adam = torch.optim.SGD(net.parameters(), learner.lr)
    learned(
        net, adam, support.x, support.y, support.seed, steps or learner.test_steps, batch or learner.test_batch, slip
    )
    with torch.no_grad():
        if slip == "statistics of the queries":
            return net(query).log_softmax(-1)
        rows = [net(torch.cat([support.x, q[None]]))[-1] for q in query]
        return torch.stack(rows).log_softmax(-1)


BEFORE = cases(seed=5)


def carried(**options):
    """A learner after training tasks, whose weights have not moved."""
    learner = made(**options)
    learner.loss(*BEFORE)
    return learner


@settings(max_examples=5)
@given(st.integers(0, 1000), st.sampled_from([2, 5, 8]))
def test_scores_are_those_of_copies_with_carried_moments(seed, test_batch):
    learner, (support, query, _) = carried(test_batch=test_batch), cases(count=2, seed=seed)
    scores, before = learner.adapt(support)(query), trained(learner, *BEFORE)[2].state_dict()
    for k in range(2):
        wanted = oracle(support[k], query[k], learner, before)
        assert_close(scores[k].detach(), wanted, rtol=1e-8, atol=1e-10)


SLIPS = [
    {"slip": "moments are reset"},
    {"slip": "momentum"},
    {"slip": "plain steps"},
    {"slip": "the rest of a pass is dropped"},
    {"slip": "statistics of the queries"},
    {"steps": 5},
    {"batch": 4},
]
LOOSE = {"class_symmetric": False, "order_invariant": False, "item_shape": (DIM,)}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: "-".join(map(str, slip.values())))
def test_wrong_formulas_fail_the_oracle(slip):
    learner, (support, query, _) = carried(), cases(count=1)
    ours, before = learner.adapt(support)(query)[0].detach(), trained(learner, *BEFORE)[2].state_dict()
    assert_close(ours, oracle(support[0], query[0], learner, before), rtol=1e-8, atol=1e-10)
    with pytest.raises(AssertionError):
        assert_close(ours, oracle(support[0], query[0], learner, before, **slip), rtol=1e-3, atol=1e-4)


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS[:3] + SLIPS[-1:], ids=lambda slip: "-".join(map(str, slip.values())))
def test_wrong_formulas_pass_the_battery(slip):
    learner = carried(test_steps=2)
    before = trained(learner, *BEFORE)[2].state_dict()

    def wrong(support, query):
        return oracle(support, query, copy.deepcopy(learner).to(support.x.dtype), before, **slip)

    check_learner(Slipped(wrong), learns=False, **LOOSE)


# Properties -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", ["each-query", "support", "query-batch"])
def test_keeps_the_contract(batch_norm):
    check_learner(carried(batch_norm=batch_norm, test_steps=6, lr=0.3), **LOOSE)


def test_keeps_the_contract_with_plain_steps():
    check_learner(made(batch_norm="support", optimiser="sgd", test_steps=10, lr=1.0), **LOOSE)


def test_one_plain_step_on_all_examples_gives_the_mean_gradient():
    learner, (support, query, labels) = made(optimiser="sgd", steps=1, batch=10, lr=0.3), cases()
    found = gradients(learner, support, query, labels)[1]
    net, _ = copied(learner)
    for k in range(3):
        x, y = torch.cat([support.x[k], query[k]]), torch.cat([support.y[k], labels[k]])
        (cross_entropy(net(x), y) / 3).backward()
    for g, p in zip(found, net.parameters(), strict=True):
        assert_close(g, 0.3 * p.grad, rtol=1e-9, atol=1e-12)
    assert learner.moments.mass == 0


def test_an_outer_step_of_gradient_descent_interpolates():
    learner, case = made(), cases()
    start, ends, _ = trained(learner, *case)
    sgd = torch.optim.SGD(learner.parameters(), lr=0.25)
    episode_loss(learner, *case).backward()
    sgd.step()
    for p, s, *w in zip(learner.network.parameters(), start, *ends, strict=True):
        assert_close(p.detach(), 0.75 * s + 0.25 * sum(w) / 3, rtol=1e-9, atol=1e-12)


def test_only_training_changes_moments_and_nothing_changes_running_averages():
    learner, case = carried(), cases()
    was = copy.deepcopy(learner.state_dict())
    learner.adapt(case[0])(case[1])
    assert_close(learner.state_dict(), was, rtol=0, atol=0)
    learner.loss(*case)
    changed = {name for name, value in learner.state_dict().items() if not torch.equal(value, was[name])}
    assert changed == {name for name in was if name.startswith("moments.")}


def test_queries_do_not_see_each_other_unless_it_is_said():
    support, query, _ = cases()
    for batch_norm in ("each-query", "support"):
        classify = made(batch_norm=batch_norm).adapt(support)
        alone = torch.cat([classify(query[:, k : k + 1]) for k in range(4)], 1)
        assert_close(classify(query), alone, rtol=1e-9, atol=1e-12)
    assert [made(batch_norm=b).transductive for b in ("each-query", "support", "query-batch")] == [False, False, True]


def test_split_of_a_task_into_support_and_query_does_not_matter():
    support, query, labels = cases()
    whole = SupportSet(torch.cat([support.x, query], 1), torch.cat([support.y, labels], 1), 3, seed=support.seed)
    apart = made().loss(support, query, labels)
    assert_close(made().loss(whole, query[:, :0], labels[:, :0]), apart, rtol=1e-12, atol=0)


def collection():
    items = torch.Generator().manual_seed(0)
    y = torch.arange(6).repeat_interleave(8)
    x = 3 * torch.randn(6, DIM, generator=items)[y] + torch.randn(48, DIM, generator=items)
    return Collection.from_arrays(x, y, name="made")


def test_a_resumed_training_ends_with_the_same_weights_and_moments(tmp_path):
    chosen = EpisodicTraining(EpisodeSpec(way=3, shot=2, query=2), steps=4, tasks=2, save_every=2)

    def stop(progress):
        if progress.state.step == 3:
            raise KeyboardInterrupt

    whole, resumed = made().float(), made().float()
    train(whole, collection(), chosen)
    with pytest.raises(KeyboardInterrupt):
        train(resumed, collection(), chosen, checkpoint=tmp_path / "run", report=stop)
    resumed = made(seed=9).float()
    train(resumed, collection(), chosen, checkpoint=tmp_path / "run")
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)
    assert resumed.moments.mass > 0


def test_training_raises_the_accuracy_after_few_steps():
    learner = made(lr=0.02, test_steps=3, steps=5, batch=6, test_batch=6, batch_norm="support").float()
    spec, outer = EpisodeSpec(way=3, shot=2, query=4), {"optimizer": "sgd", "momentum": 0.0, "schedule": "linear"}
    before = evaluate(learner, collection(), spec, episodes=30).accuracy
    train(learner, collection(), EpisodicTraining(spec, steps=40, tasks=3, at_once=3, learning_rate=1.0, **outer))
    assert evaluate(learner, collection(), spec, episodes=30, allow_seen=True).accuracy > before + 0.05


# Batches and errors ---------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 7))
def test_batches_run_through_whole_passes(items, size, count):
    found = batches(items, size, count, torch.Generator().manual_seed(3))
    assert [len(rows) for rows in found] == [size] * count
    flat = [int(i) for rows in found for i in rows]
    for k in range(0, len(flat), items):
        assert len(set(flat[k : k + items])) == len(flat[k : k + items])


def test_batches_without_a_size_are_all_items():
    assert [rows.tolist() for rows in batches(3, None, 2, None)] == [[0, 1, 2]] * 2


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="batch_norm must be each-query, support or query-batch, got 'running'"):
        made(batch_norm="running")
    with pytest.raises(FewShotError, match="optimiser must be 'adam' or 'sgd', got 'rmsprop'"):
        made(optimiser="rmsprop")
    with pytest.raises(FewShotError, match="test_batch must be a whole number of at least 1, got 0"):
        made(test_batch=0)
    with pytest.raises(EpisodeError, match="the head is of 3 ways, got an episode of 2"):
        made().adapt(cases((2, 3))[0])
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        made().adapt(SupportSet(torch.zeros(2, DIM).double(), torch.tensor([0, 2]), 3, seed=torch.tensor(1)))
    with pytest.raises(EpisodeError, match="a generator belongs to one episode with a seed, got seed None"):
        made().adapt(SupportSet(torch.zeros(3, DIM).double(), torch.tensor([0, 1, 2]), 3))
    with pytest.raises(
        EpisodeError, match=r"weights must stay finite, got NaN or infinity after a step; lower lr, .* 1e\+308"
    ):
        made(optimiser="sgd", lr=1e308).adapt(cases()[0])


def test_a_query_on_another_device_is_named():
    module = conv()
    with pytest.raises(EpisodeError, match="support and queries must be on one device, got cpu and meta; move one"):
        answer(module, {}, torch.zeros(2, 1, 8, 8).double(), torch.zeros(1, 1, 8, 8, device="meta"), "each-query")
