"""Which parameters move and how fast; low rank and copies, against matrices written out."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from fewshot.backbones.conv4 import Conv4
from fewshot.errors import EpisodeError, FewShotError, UnknownNameError
from fewshot.learners.gradient.fine_tuning import Copy, Steps, first_head, plain
from fewshot.learners.gradient.freezing import chosen, layers, rates, thawed
from fewshot.learners.gradient.inner_optimiser import held_out
from fewshot.learners.gradient.low_rank import assembled, low_rank

CONV4 = [name for name, _ in Conv4().named_parameters()]
LAYERS = [f"blocks.{k}.{j}" for k in range(4) for j in range(2)]
ENCODER = nn.TransformerEncoderLayer(8, 2, 16)
MANY = [f"blocks.{k}.fc.{what}" for k in range(12) for what in ("weight", "bias")]


def test_layers_of_conv4_are_convolutions_and_norms():
    assert layers(CONV4) == LAYERS
    assert layers(["token", "norm.weight", "norm.bias"]) == ["", "norm"]


def test_words_choose_none_all_and_biases():
    assert chosen(CONV4, "head") == []
    assert chosen(CONV4, "all") == CONV4
    assert chosen(CONV4, "biases") == [f"blocks.{k}.1.bias" for k in range(4)]
    names = [n for n, _ in ENCODER.named_parameters()]
    assert set(chosen(names, "biases")) == {n for n in names if "weight" not in n}


@given(st.integers(0, 8))
def test_a_number_chooses_the_last_layers(count):
    assert layers(chosen(CONV4, count)) == LAYERS[8 - count :]


def test_a_list_chooses_what_lies_below_its_names():
    assert chosen(CONV4, ["blocks.3"]) == [n for n in CONV4 if n.startswith("blocks.3")]
    assert chosen(CONV4, ("blocks.0.1", "blocks.3.0")) == ["blocks.0.1.weight", "blocks.0.1.bias", "blocks.3.0.weight"]
    assert chosen(MANY, ["blocks.1"]) == MANY[2:4]  # not blocks.10 and blocks.11
    assert chosen(CONV4, ["blocks.2.1.bias"]) == ["blocks.2.1.bias"]
    assert chosen(CONV4, []) == []


def test_wrong_choices_are_named():
    with pytest.raises(
        UnknownNameError, match=r"the layer to unfreeze must be a known name, got 'block.3'; did you mean '"
    ):
        chosen(CONV4, ["block.3"])
    with pytest.raises(FewShotError, match=r"unfreeze must be 'head', 'all', 'biases', .* got 'body'"):
        chosen(CONV4, "body")
    with pytest.raises(FewShotError, match="unfreeze must be between 0 and the 8 layers of the backbone, got 9"):
        chosen(CONV4, 9)
    with pytest.raises(FewShotError, match="got -1"):
        chosen(CONV4, -1)
    with pytest.raises(FewShotError, match="needs a backbone with biases"):
        chosen(["0.weight"], "biases")


@pytest.mark.parametrize(("step", "count"), [(0, 0), (2, 0), (3, 1), (5, 1), (6, 2), (23, 7), (24, 8), (99, 8)])
def test_layers_thaw_from_the_last_to_the_first(step, count):
    assert layers(thawed(CONV4, step, 3)) == LAYERS[8 - count :]
    assert thawed(CONV4, step, 0) == CONV4
    biases = chosen(CONV4, "biases")
    assert thawed(biases, step, 3) == biases[4 - min(count, 4) :]


def test_rates_fall_from_layer_to_layer():
    found = rates(CONV4, 0.1, 0.5)
    for name in CONV4:
        depth = 8 - LAYERS.index(name.rpartition(".")[0])
        assert_close(found[name], 0.1 * 0.5**depth)
    assert set(rates(CONV4, 0.1, 1.0).values()) == {0.1}


def linear(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()


def test_factors_are_of_linear_weights_only_and_change_nothing_at_first():
    net = linear()
    names = [n for n, _ in net.named_parameters()]
    moving = low_rank(net, names, 2, torch.Generator().manual_seed(0))
    assert {n: tuple(p.shape) for n, p in moving.items()} == {
        "0.weight:A": (2, 5), "0.weight:B": (4, 2), "2.weight:A": (2, 4), "2.weight:B": (3, 2)
    }  # fmt: skip
    assert moving["0.weight:A"].abs().max() <= 5**-0.5
    whole = assembled(dict(net.named_parameters()), moving)
    assert_close(
        {n: p.detach() for n, p in whole.items()}, {n: p.detach() for n, p in net.named_parameters()}, rtol=0, atol=0
    )
    with pytest.raises(FewShotError, match="rank needs linear layers among those that move"):
        low_rank(net, ["1.weight", "0.bias"], 2, torch.Generator())


def test_a_first_step_of_low_rank_is_that_of_the_weight_through_its_rows():
    """From B = 0 a step of B moves W by lr · G Aᵀ A, which for A of full rank and unit rows is the whole step."""
    net, goal = linear(), torch.arange(12.0).double().view(3, 4)
    weight = net[2].weight.detach()
    for a in (torch.linalg.qr(torch.vander(torch.linspace(-1, 1, 4).double()))[0], torch.ones(2, 4).double()):
        factors = {
            "2.weight:A": a.clone().requires_grad_(),
            "2.weight:B": torch.zeros(3, len(a)).double().requires_grad_(),
        }
        whole = assembled({"2.weight": weight}, factors)["2.weight"]
        slopes = torch.autograd.grad(((whole - goal) ** 2).sum(), list(factors.values()))
        stepped = {n: p - 0.1 * g for (n, p), g in zip(factors.items(), slopes, strict=True)}
        full = 2 * (weight - goal)
        assert_close(assembled({"2.weight": weight}, stepped)["2.weight"], weight - 0.1 * full @ a.T @ a)
        if len(a) == 4:
            assert_close(assembled({"2.weight": weight}, stepped)["2.weight"], weight - 0.1 * full)


def test_a_copy_steps_the_head_and_what_is_free():
    net = nn.ModuleDict({"backbone": linear(), "head": nn.Linear(3, 2)}).double()
    was = copy.deepcopy(net.state_dict())
    start = {n: p.detach() for n, p in net.named_parameters()}
    moving = {n: p.clone().requires_grad_() for n, p in start.items() if "0.weight" not in n}
    twin = Copy(net, start, moving)
    optimiser = Steps("sgd", 0.1, 0.9).over(moving, {"backbone.2.weight": 0.01})
    for _ in range(2):
        twin.step(optimiser, ["2.weight"], lambda whole: sum(p.sum() for p in whole.values()))
    for name, p in twin.whole.items():
        rate = {"head": 0.1, "backbone.2.weight": 0.01}.get(
            name if name == "backbone.2.weight" else name.split(".")[0], 0
        )
        assert_close(p.detach(), start[name] - rate * (1 + 1.9))  # momentum of one step, then of two
    assert_close(net.state_dict(), was, rtol=0, atol=0)
    with pytest.raises(EpisodeError, match="weights must stay finite"):
        twin.step(optimiser, [], lambda whole: sum(p.sum() for p in whole.values()) * torch.inf)


def test_plain_names():
    names = ["head.weight", "backbone.0.bias", "backbone.backbone.0.weight:A"]
    assert [plain(n) for n in names] == ["", "0.bias", "backbone.0.weight"]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(2, 6), st.integers(0, 99))
def test_folds_hold_out_each_item_once_and_leave_each_class_one(shots, folds, seed):
    y = torch.arange(len(shots)).repeat_interleave(torch.tensor(shots))
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
    if max(shots) == 1:
        with pytest.raises(EpisodeError, match="folds need a class with two support examples, got one of each"):
            list(held_out(y, folds, torch.Generator()))
        return
    masks = list(held_out(y, folds, torch.Generator().manual_seed(seed)))
    times = sum(m.int() for m in masks)
    assert times.tolist() == [int(shots[k] > 1) for k in y.tolist()]
    for mask in masks:
        assert set(y[~mask].tolist()) == set(y.tolist())
    parts = [torch.bincount(y[m], minlength=len(shots)) for m in masks]
    assert all(int(p.max()) <= -(-max(shots) // folds) for p in parts)


def test_heads_start_as_they_say():
    z, y = torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]]).double(), torch.tensor([1, 1, 0])
    head = first_head("prototypes", z, y, 2, None)
    distances = -((z[:, None] - torch.tensor([[0.0, 1.0], [2.0, 3.0]]).double()) ** 2).sum(-1)
    scores = z @ head["head.weight"].T + head["head.bias"]
    assert_close(scores.log_softmax(-1), distances.log_softmax(-1))
    assert not any(p.any() for p in first_head("zero", z, y, 2, None).values())
    drawn = first_head("random", z, y, 2, torch.Generator().manual_seed(0))
    assert 0 < max(float(p.abs().max()) for p in drawn.values()) <= 2**-0.5
    assert_close(
        first_head("random", z.float(), y, 2, torch.Generator().manual_seed(0))["head.bias"].double(),
        drawn["head.bias"],
    )


def test_steps_refuse_what_they_do_not_know():
    with pytest.raises(FewShotError, match="optimiser must be 'sgd' or 'adam', got 'lion'"):
        Steps("lion", 0.1, 0.9)
    with pytest.raises(FewShotError, match=r"lr must be 0 or more, momentum 0 or more and below 1, got nan and 1\.0"):
        Steps("sgd", float("nan"), 1.0)
