"""Fine-tuning: deep copies under ``torch.optim`` in a slow loop; what moves, where it is drawn to, when it stops."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode
from slips import Slipped
from torch import nn
from torch.nn.functional import cross_entropy, nll_loss
from torch.testing import assert_close

from fewshot.backbones.conv4 import Conv4
from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, UnknownNameError
from fewshot.learners.gradient.fine_tune import FineTune
from fewshot.learners.gradient.freezing import layers
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.testing import check_learner

DIM = 16


def backbone(seed=0):
    """A convolution, batch norm with averages that matter, and a linear layer; in float64 and eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 3, 2, 1), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten()
        net = nn.Sequential(*layers, nn.Linear(12, 7), nn.Tanh())
        for value in (net[2].weight, net[2].running_var):
            nn.init.uniform_(value, 0.5, 1.5)
        for value in (net[2].bias, net[2].running_mean):
            nn.init.normal_(value)
    return net.double().eval()


def cases(shots=(3, 1, 2), count=2, seed=0):
    return episode(shots, DIM, queries=4, episodes=count, seed=seed)


# Oracle ---------------------------------------------------------------------------------------------

NAMES = ["conv", "norm", "linear", "head"]


def parts(net):
    """The modules with parameters, first to last."""
    return dict(zip(NAMES, (net[0][1], net[0][2], net[0][5], net[1]), strict=True))


def first_head(net, support, head, slip):
    z, n = net[0](support.x), support.n_way
    if head == "random":
        generator = torch.Generator().manual_seed(int(support.seed))
        drawn = (2 * torch.rand(n, 8, generator=generator, dtype=torch.float64) - 1) / 7**0.5
        return drawn[:, :-1], drawn[:, -1]
    if head == "prototypes":
        c = torch.stack([z[support.y == k].mean(0) for k in range(n)])
        return 2 * c, -(c**2).sum(1)
    return torch.zeros(n, 7).double(), torch.zeros(n).double()


def tuned(support, net=None, moves=NAMES, head="zero", steps=6, lr=0.2, make="sgd", factor=1.0, gradual=0, l2_sp=0.0,
          weight_decay=0.0, batch=None, slip=None):  # fmt: skip
    """A deep copy after all steps, with the statistics of its running averages."""
    with torch.random.fork_rng(devices=[]):
        net = nn.Sequential(copy.deepcopy(net or backbone()), nn.Linear(7, support.n_way)).double().eval()
    if slip == "batch statistics":
        net[0][2].train()
    with torch.no_grad():
        weight, bias = first_head(net, support, head, slip)
        net[1].weight.copy_(weight), net[1].bias.copy_(bias)
    own = {name: [p.detach().clone() for p in part.parameters()] for name, part in parts(net).items()}
    rate = {name: lr * factor**k for k, name in enumerate(reversed(NAMES))}
    groups = [{"params": list(part.parameters()), "lr": rate[name]} for name, part in parts(net).items()]
    optimiser = torch.optim.SGD(groups, lr, 0.9) if make == "sgd" else torch.optim.Adam(groups, lr)
    items, generator = [], torch.Generator().manual_seed(0 if support.seed is None else int(support.seed))
    for step in range(steps):
        rows = list(range(len(support.y)))
        if batch:
            while len(items) < batch:
                items += torch.randperm(len(support.y), generator=generator).tolist()
            rows, items = items[:batch], items[batch:]
        optimiser.zero_grad()
        with torch.enable_grad():
            loss = cross_entropy(net(support.x[rows]), support.y[rows], reduction="sum" if slip == "sum" else "mean")
            for name, part in parts(net).items():
                for p, start in zip(part.parameters(), own[name], strict=True):
                    away = p if slip == "to zero" or name == "head" else p - start
                    loss = (
                        loss
                        + (weight_decay if name == "head" else l2_sp)
                        / (1 if slip == "no half" else 2)
                        * (away**2).sum()
                    )
            loss.backward()
        free = NAMES[len(NAMES) - 1 - step // gradual :] if gradual and step // gradual < 4 else NAMES
        free = NAMES if slip == "all at once" else free
        for name, part in parts(net).items():
            if name not in free or name not in moves:
                part.zero_grad()
        optimiser.step()
    return net


def oracle(support, query, **options):
    with torch.no_grad():
        return tuned(support, **options)(query).log_softmax(-1)


def agree(learner, case, rtol=1e-9, **options):
    support, query, _ = case
    scores = learner.adapt(support)(query).detach()
    wanted = torch.stack([oracle(support[k], query[k], **options) for k in range(len(support))])
    assert_close(scores, wanted, rtol=rtol, atol=rtol)


PAIRS = [
    ({}, {}),
    ({"optimiser": "adam"}, {"make": "adam"}),
    ({"head": "random"}, {"head": "random"}),
    ({"head": "prototypes"}, {"head": "prototypes"}),
    ({"unfreeze": "head"}, {"moves": ["head"]}),
    (
        {"unfreeze": "head", "optimiser": "adam", "weight_decay": 0.1},
        {"moves": ["head"], "make": "adam", "weight_decay": 0.1},
    ),
    ({"unfreeze": 1}, {"moves": ["linear", "head"]}),
    ({"unfreeze": 2, "factor": 0.3}, {"moves": ["norm", "linear", "head"], "factor": 0.3}),
    ({"unfreeze": ["1"]}, {"moves": ["conv", "head"]}),
    ({"factor": 0.5, "l2_sp": 0.5, "weight_decay": 0.1}, {"factor": 0.5, "l2_sp": 0.5, "weight_decay": 0.1}),
    ({"gradual": 2}, {"gradual": 2}),
    ({"gradual": 1, "optimiser": "adam", "factor": 0.5}, {"gradual": 1, "make": "adam", "factor": 0.5}),
    ({"batch": 4}, {"batch": 4}),
    ({"batch": 4, "unfreeze": "head"}, {"batch": 4, "moves": ["head"]}),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=str)
def test_scores_are_those_of_a_deep_copy(ours, theirs):
    options = {"steps": 6, "lr": 0.2 if ours.get("optimiser") != "adam" else 0.02}
    agree(FineTune(backbone(1), **options, **ours), cases(seed=1), net=backbone(1), **options, **theirs)


SLIPS = [
    {"moves": NAMES[1:]},
    {"slip": "sum"},
    {"slip": "batch statistics"},
    {"slip": "to zero"},
    {"slip": "no half"},
    {"slip": "all at once"},
    {"steps": 7},
    {"factor": 0.4},
]


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: "-".join(map(str, slip.values())))
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    right = {"l2_sp": 0.3, "weight_decay": 0.1, "factor": 0.5, "gradual": 1, "head": "prototypes"}
    learner = FineTune(backbone(), steps=6, lr=0.2, **right)
    agree(learner, cases(), **right)
    with pytest.raises(AssertionError):
        agree(learner, cases(), rtol=1e-3, **{**right, **slip})

    if slip in SLIPS[:4]:  # half of them are enough
        made = Slipped(lambda s, q: oracle(replace(s, x=s.x.double()), q.double(), **{**right, **slip}))
        check_learner(made, item_shape=(DIM,), learns=False)


# What moves -----------------------------------------------------------------------------------------


def ends(learner, support, steps):
    """Parameters of the backbone after each step."""
    found = []
    for twin in learner._path(support, steps):
        here = {n: p.detach().clone() for n, p in twin.whole.items()}
        found.append({n.removeprefix("backbone."): p for n, p in here.items() if n.startswith("backbone.")})
    return found


def test_gradual_unfreezing_moves_exactly_the_layers_it_should():
    net, (support, _, _) = Conv4(width=4).double().eval(), episode((2, 2), 256, episodes=1)
    support = support.map(lambda x: x.reshape(*x.shape[:2], 1, 16, 16))[0]
    names = [n for n, _ in net.named_parameters()]
    path = ends(FineTune(net, gradual=2, lr=0.1, head="random", momentum=0.5), support, 18)
    for step in range(18):
        moved = [n for n in names if not torch.equal(path[step][n], path[step + 1][n])]
        assert layers(moved) == layers(names)[8 - step // 2 :]


@pytest.mark.parametrize("unfreeze", ["head", "biases", 3, ["blocks.1", "blocks.3.1"]], ids=str)
def test_only_what_is_chosen_moves(unfreeze):
    net, (support, _, _) = Conv4(width=4).double().eval(), episode((2, 2), 256, episodes=1)
    support = support.map(lambda x: x.reshape(*x.shape[:2], 1, 16, 16))[0]
    learner = FineTune(net, unfreeze, lr=0.1, head="random")
    first, *_, last = ends(learner, support, 3)
    assert [n for n in first if not torch.equal(first[n], last[n])] == learner.moved


def test_low_rank_changes_have_low_rank():
    learner = FineTune(backbone(), rank=2, lr=0.5, head="random")
    first, *_, last = ends(learner, cases()[0][0], 5)
    assert [n for n in first if not torch.equal(first[n], last[n])] == ["5.weight"]
    assert torch.linalg.matrix_rank(last["5.weight"] - first["5.weight"]) == 2


def test_a_strong_pull_keeps_the_backbone_where_it_was():
    support = cases()[0][0]
    way = {}
    for l2_sp in (0.0, 0.5, 5.0):
        first, *_, last = ends(FineTune(backbone(), l2_sp=l2_sp, lr=0.1, momentum=0.0), support, 40)
        way[l2_sp] = sum(float(((last[n] - first[n]) ** 2).sum()) for n in first)
    assert way[0.0] > 2 * way[0.5] > 4 * way[5.0] > 0


# Early stopping -------------------------------------------------------------------------------------


def best_steps(support, folds, steps):
    """Number of steps by a training of its own for each fold and each number of steps."""
    order = torch.randperm(len(support.y), generator=torch.Generator().manual_seed(int(support.seed))).tolist()
    seen, fold = dict.fromkeys(range(support.n_way), 0), {}
    for i in order:
        k = int(support.y[i])
        fold[i], seen[k] = seen[k] % folds, seen[k] + 1
    losses = [0.0] * (steps + 1)
    for f in range(folds):
        out = [i for i in fold if fold[i] == f and seen[int(support.y[i])] > 1]
        kept = [i for i in range(len(support.y)) if i not in out]
        part = replace(support, x=support.x[kept], y=support.y[kept])
        for count in range(steps + 1):
            if out:
                losses[count] += float(
                    nll_loss(oracle(part, support.x[out], steps=count, lr=0.3), support.y[out], reduction="sum")
                )
    return min(range(steps + 1), key=losses.__getitem__)


def test_the_number_of_steps_is_that_of_the_least_held_out_loss():
    found = set()
    for seed in range(4):
        support, query, _ = episode((3, 1, 4), DIM, episodes=1, seed=seed, spread=4.0)
        best = best_steps(support[0], 3, 6)
        found.add(best)
        ours = FineTune(backbone(), steps=6, lr=0.3, folds=3).adapt(support)(query)
        assert_close(ours, FineTune(backbone(), steps=best, lr=0.3).adapt(support)(query), rtol=0, atol=0)
    assert len(found) > 1


# Properties and edges -------------------------------------------------------------------------------

OPTIONS = [
    {},
    {"batch_norm": "support"},
    {"batch_norm": "query-batch"},
    {"unfreeze": "head", "head": "prototypes"},
    {"unfreeze": "biases", "optimiser": "adam", "weight_decay": 0.01},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_keeps_the_contract(options):
    check_learner(FineTune(backbone(), steps=5, lr=0.3, **options), item_shape=(DIM,))


RANDOM = [
    {"head": "random", "rank": 2, "factor": 0.5},
    {"batch": 3, "gradual": 2, "l2_sp": 0.1},
    {"folds": 2},
    {"augment": lambda x, g: x + 0.1 * torch.randn(x.shape, generator=g, dtype=torch.float64).to(x)},
]


@pytest.mark.parametrize("options", RANDOM, ids=lambda o: "-".join(o))
def test_keeps_the_contract_where_something_is_random(options):
    learner = FineTune(backbone(), steps=3, lr=0.1, **options)
    check_learner(learner, item_shape=(DIM,), class_symmetric=False, order_invariant=False, learns=False)


def test_without_steps_prototypes_are_the_nearest_mean():
    net, (support, query, _) = backbone(), cases()
    ours = FineTune(net, steps=0, head="prototypes").adapt(support)(query)
    with torch.no_grad():
        z = net(query.flatten(0, 1)).view(2, 4, -1)
        wanted = NearestMean().adapt(support.map(lambda x: net(x.flatten(0, 1)).view(2, 6, -1)))(z)
    assert_close(ours, wanted.log_softmax(-1))


@settings(max_examples=3)
@given(st.integers(2, 6))
def test_takes_any_number_of_classes(n_way):
    support, query, _ = cases((2,) * n_way, count=1)
    assert FineTune(backbone(), steps=2).adapt(support)(query).shape == (1, 4, n_way)


def test_augmentation_sees_the_items_of_a_step_and_not_those_of_the_answer():
    support, query, _ = cases(count=1)
    seen = []

    def twice(x, generator):
        seen.append(x)
        return 2 * x

    ours = FineTune(backbone(), "head", steps=3, batch=4, augment=twice).adapt(support)(query)
    assert [x.shape for x in seen] == [(4, DIM)] * 3
    doubled = replace(support, x=2 * support.x)
    assert_close(ours, FineTune(backbone(), "head", steps=3, batch=4).adapt(doubled)(query))


def test_batch_statistics_of_the_support_are_used_when_asked_for():
    support, query, _ = cases(count=1)
    ours = FineTune(backbone(), steps=3, lr=0.2, batch_norm="query-batch").adapt(support)(query)[0]
    net = tuned(support[0], steps=3, lr=0.2, slip="batch statistics")
    assert_close(ours, net(query[0]).log_softmax(-1).detach())


def test_seeds_are_needed_only_where_something_is_random():
    support, query, _ = cases()
    bare = replace(support, seed=None)
    assert_close(FineTune(backbone(), steps=2).adapt(bare)(query), FineTune(backbone(), steps=2).adapt(support)(query))
    for options in ({"head": "random"}, {"batch": 2}, {"folds": 2}, {"rank": 1}):
        with pytest.raises(EpisodeError, match="a generator belongs to one episode with a seed"):
            FineTune(backbone(), steps=2, **options).adapt(bare)


def test_a_vision_network_of_timm_is_tuned():
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0, depth=2, embed_dim=24, num_heads=2)
    net.eval()
    x = torch.randn(1, 6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) + torch.tensor([0, 1, 2] * 2).view(
        1, 6, 1, 1, 1
    )
    support = SupportSet(x, torch.tensor([[0, 1, 2, 0, 1, 2]]), 3, seed=torch.tensor([1]))
    for options in ({"unfreeze": 2}, {"unfreeze": ["blocks.1"], "rank": 2}, {"unfreeze": "biases"}):
        scores = FineTune(net, steps=60, lr=0.01, optimiser="adam", **options).adapt(support)(x)
        assert nll_loss(scores[0], support.y[0]) < 0.2  # log 3 before


def test_errors_say_what_must_hold(no_shape_hook):
    with pytest.raises(FewShotError, match="head must be one of zero, random, prototypes, got 'ones'"):
        FineTune(backbone(), head="ones")
    with pytest.raises(FewShotError, match="batch must be a whole number of at least 1, got 0"):
        FineTune(backbone(), batch=0)
    with pytest.raises(FewShotError, match="folds must be 0, or 2 or more, got 1"):
        FineTune(backbone(), folds=1)
    with pytest.raises(FewShotError, match=r"factor, l2_sp and weight_decay must be 0 or more, got \(1.0, -0.1, 0.0\)"):
        FineTune(backbone(), l2_sp=-0.1)
    for name, value in (("steps", -1), ("gradual", 0.5)):
        with pytest.raises(FewShotError, match=f"{name} must be a whole number of at least 0, got {value}"):
            FineTune(backbone(), **{name: value})
    with pytest.raises(FewShotError, match="batch_norm must be one of"):
        FineTune(backbone(), batch_norm="train")
    with pytest.raises(UnknownNameError, match="the layer to unfreeze must be a known name, got '7'"):
        FineTune(backbone(), ["7"])
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        FineTune(backbone()).adapt(SupportSet(torch.zeros(2, DIM).double(), torch.tensor([0, 2]), 3))
    with pytest.raises(EpisodeError, match="folds need a class with two support examples"):
        FineTune(backbone(), folds=2).adapt(cases((1, 1))[0])
    with pytest.raises(
        EpisodeError, match="weights must stay finite, got NaN or infinity after a step; lower lr, which is"
    ):
        FineTune(backbone(), lr=1e308).adapt(cases()[0])
