"""learn2learn in both directions: its algorithms as learners against our MAML, our episodes in its own training code."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from make import episode
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import DataError, EpisodeError, FewShotError, LeakageError, MissingExtraError
from fewshot.evaluation.evaluate import evaluate
from fewshot.interop import from_learn2learn, to_learn2learn_tasks
from fewshot.learners.gradient.maml import MAML
from fewshot.testing import check_learner
from fewshot.training.episodic import EpisodicTraining, train

ROOT = Path(__file__).parents[2]
CLOSE = {"rtol": 1e-8, "atol": 1e-8}


@pytest.fixture(scope="module")
def l2l():
    """learn2learn, or a skip, which under CI is a failure."""
    try:
        return importlib.import_module("learn2learn")
    except ImportError as error:
        message = f"needs learn2learn ({error}): scripts/install_learn2learn"
        return pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)


class Convolutions(nn.Module):
    """Two small blocks with batch norm: 1 × 8 × 8 images to 8 features."""

    dim = 8

    def __init__(self, norm=True):
        super().__init__()
        blocks = [[nn.Conv2d(a, b, 3, padding=1), *([nn.BatchNorm2d(b)] if norm else []), nn.MaxPool2d(2), nn.ReLU()]
                  for a, b in ((1, 3), (3, 2))]  # fmt: skip
        self.layers = nn.Sequential(*blocks[0], *blocks[1], nn.Flatten())

    def forward(self, x):
        return self.layers(x)


def network(seed=0, norm=True, ways=3):
    """Logits of a float64 network in training mode, its weights those of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(Convolutions(norm), nn.Linear(8, ways)).double()


def images(count=None, queries=6, shots=(3, 1, 2)):
    support, query, y = episode(shots, 64, queries, episodes=count)
    return support.map(lambda x: x.reshape(*x.shape[:-1], 1, 8, 8)), query.reshape(*query.shape[:-1], 1, 8, 8), y


def ours(net, **options):
    """Our MAML around the same weights."""
    learner = MAML(Convolutions(), way=3, **options).double()
    learner.network.backbone.load_state_dict(net[0].state_dict())
    learner.network.head.load_state_dict(net[1].state_dict())
    return learner


def by_hand(algorithm, support, query, labels, steps):
    """learn2learn's own loop, as its examples have it: loss of the queries, module in training mode."""
    task = algorithm.clone()
    for _ in range(steps):
        task.adapt(cross_entropy(task(support.x), support.y))
    return cross_entropy(task(query), labels)


def gradients(loss, module):
    return torch.autograd.grad(loss, list(module.parameters()))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_our_maml_has_the_gradients_of_learn2learns(l2l, first_order, steps):
    """Our MAML and learn2learn share no step: each is the other's second opinion."""
    support, query, labels = images()
    net = network()
    learner = ours(net, lr=0.3, steps=steps, first_order=first_order)
    theirs = by_hand(l2l.algorithms.MAML(net, lr=0.3, first_order=first_order), support, query, labels, steps)
    mine = cross_entropy(learner.adapt(support)(query), labels)
    assert_close(mine, theirs, **CLOSE)
    assert_close(gradients(mine, learner), gradients(theirs, net), **CLOSE)


def test_first_and_second_order_differ(l2l):
    """So that neither comparison passes for the other."""
    case, net = images(), network()
    one, two = (
        gradients(by_hand(l2l.algorithms.MAML(net, lr=0.3, first_order=f), *case, 1), net) for f in (True, False)
    )
    assert max(float((a - b).abs().max()) for a, b in zip(one, two, strict=True)) > 1e-4


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", ["MAML", "MAML first order", "MetaSGD", "GBML", "GBML that adapts its transform"])
def test_a_learner_from_learn2learn_trains_as_learn2learn_does(l2l, name, steps):
    """Loss and gradients for all parameters, those of rates and transforms with them."""
    support, query, labels = images()
    algorithm = made(l2l, name, network())
    theirs = by_hand(algorithm, support, query, labels, steps)
    expected = torch.autograd.grad(theirs, list(algorithm.parameters()), allow_unused=True)
    learner = from_learn2learn(algorithm, steps=steps)
    mine = episode_loss(learner, batch(support), query[None], labels[None])
    assert_close(mine, theirs, **CLOSE)
    assert_close(torch.autograd.grad(mine, list(learner.parameters()), allow_unused=True), expected, **CLOSE)


def made(l2l, name, net):
    known, rate = l2l.algorithms, 0.3
    if name.startswith("MAML"):
        return known.MAML(net, lr=rate, first_order=name != "MAML")
    if name == "MetaSGD":
        rates = [torch.full_like(p, rate) * (0.5 + torch.arange(p.numel()).reshape(p.shape) / p.numel())
                 for p in net.parameters()]  # fmt: skip
        return known.MetaSGD(net, lrs=nn.ParameterList([nn.Parameter(r.detach()) for r in rates]))
    transform = l2l.optim.ModuleTransform(l2l.nn.Scale)
    return known.GBML(net, transform, lr=rate, adapt_transform="adapts" in name).double()


def batch(support):
    return SupportSet(support.x[None], support.y[None], support.n_way)


def test_meta_sgd_steps_by_a_rate_for_each_parameter(l2l):
    """Written out with autograd alone."""
    support, query, _ = images()
    net = network(norm=False)
    algorithm = made(l2l, "MetaSGD", net)
    slopes = gradients(cross_entropy(net(support.x), support.y), net)
    moved = {n: p - r * g for (n, p), r, g in zip(net.named_parameters(), algorithm.lrs, slopes, strict=True)}
    exact = torch.func.functional_call(net, moved, (query,)).log_softmax(-1)
    assert_close(from_learn2learn(algorithm).adapt(support)(query), exact, **CLOSE)
    assert_close(algorithm.lrs[0].flatten()[0].item(), 0.15)


@pytest.mark.parametrize("policy", ["query-batch", "support", "each-query", "running"])
def test_every_batch_norm_policy_is_that_of_our_maml(l2l, policy):
    support, query, _ = images()
    net = network()
    learner = from_learn2learn(l2l.algorithms.MAML(net, lr=0.3), steps=2, batch_norm=policy)
    mine = ours(net, lr=0.3, steps=2, batch_norm=policy)
    assert learner.transductive == mine.transductive == (policy == "query-batch")
    for module in (learner, mine):
        module.eval()
    with torch.no_grad():
        assert_close(learner.adapt(support)(query), mine.adapt(support)(query), **CLOSE)


SLIPS = {
    "rate": {"lr": 0.31},
    "one step more": {"steps": 3},
    "statistics of the support": {"batch_norm": "support"},
    "head only": {"adapts": "head"},
}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_a_slip_of_ours_is_seen_by_learn2learn(l2l, slip):
    support, query, _ = images()
    net = network()
    learner = ours(net, **({"lr": 0.3, "steps": 2} | slip))
    with pytest.raises(AssertionError):
        assert_close(
            learner.adapt(support)(query),
            from_learn2learn(l2l.algorithms.MAML(net, lr=0.3), steps=2).adapt(support)(query),
            **CLOSE,
        )


@pytest.mark.parametrize(("name", "policy"), [("MAML", "query-batch"), ("MetaSGD", "support"), ("GBML", "running")])
def test_it_keeps_the_contract(l2l, name, policy):
    """A head has an order of its own, so names of classes matter to it before training."""
    learner = from_learn2learn(made(l2l, name, network()), batch_norm=policy)
    check_learner(learner, class_symmetric=False, learns=False, item_shape=(1, 8, 8))


def test_evaluation_leaves_no_graph_and_no_trace_in_the_module(l2l):
    support, query, _ = images(count=2)
    net = network()
    learner = from_learn2learn(l2l.algorithms.MAML(net, lr=0.3), steps=2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        scores = learner.adapt(support)(query)
    assert not scores.requires_grad
    learner.adapt(support)(query).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert_close(learner.adapt(support)(query), scores, **CLOSE)


def noise(classes=8, each=6):
    """Images of classes that are easy to tell apart."""
    rng = np.random.default_rng(0)
    y = np.arange(classes).repeat(each)
    x = 2 * rng.normal(size=(classes, 1, 8, 8))[y] + rng.normal(size=(len(y), 1, 8, 8))
    return Collection.from_arrays(x.astype(np.float32), y)


def test_a_wrong_claim_not_to_be_transductive_is_caught(l2l):
    net, spec = network().float(), EpisodeSpec(3, 1, 4)
    lie = from_learn2learn(l2l.algorithms.MAML(net, lr=0.3), transductive=False)
    with pytest.raises(LeakageError, match="must not change with its neighbours"):
        evaluate(lie, noise(), spec, 4)
    assert evaluate(from_learn2learn(l2l.algorithms.MAML(net, lr=0.3)), noise(), spec, 4).learner.transductive
    plain = from_learn2learn(l2l.algorithms.MAML(network(norm=False).float(), lr=0.3))
    assert not plain.transductive and not evaluate(plain, noise(), spec, 4).learner.transductive


def test_our_loop_trains_it(l2l):
    """The rates of Meta-SGD move as well, and the shared module is the trained one."""
    net, spec = network(norm=False).float(), EpisodeSpec(3, 1, 4)
    algorithm = l2l.algorithms.MetaSGD(net, lr=0.2)
    state = train(from_learn2learn(algorithm), noise(), EpisodicTraining(spec, steps=30, tasks=4, learning_rate=0.01))
    assert np.mean(state.losses[-5:]) < 0.8 * np.mean(state.losses[:5])
    assert float((algorithm.lrs[0].detach() - 0.2).abs().max()) > 1e-3
    assert evaluate(from_learn2learn(algorithm), noise(), spec, 20).accuracy > 0.6


def split_as_in_its_examples(data, labels, shots, ways):
    chosen = np.zeros(len(data), bool)
    chosen[np.arange(shots * ways) * 2] = True
    return (data[chosen], labels[chosen]), (data[~chosen], labels[~chosen])


def rows_of(collection, items):
    """Which items of the collection these are."""
    return {int((collection.items == item).flatten(1).all(1).nonzero()) for item in items}


@pytest.mark.parametrize(("layout", "query"), [("alternating", 2), ("support-first", 2), ("support-first", 3)])
def test_tasks_are_the_episodes_of_our_sampler(l2l, layout, query):
    collection, spec = noise(), EpisodeSpec(3, 2, query)
    tasks = to_learn2learn_tasks(collection, spec, seed=5, episodes=4, layout=layout)
    sampler = EpisodeSampler(collection.labels, spec, seed=5)
    for i in (0, 3):
        data, labels = tasks[i]
        if layout == "alternating":
            parts = split_as_in_its_examples(data, labels, 2, 3)
        else:
            parts = l2l.data.partition_task(data, labels, shots=2)
        wanted = zip((sampler[i].support, sampler[i].query), (sampler[i].support_y, sampler[i].query_y), strict=True)
        for (items, y), (rows, row_y) in zip(parts, wanted, strict=True):
            for k in range(3):
                assert rows_of(collection, items[y == k]) == set(rows[row_y == k].tolist())


def test_tasks_are_called_as_a_taskset_is(l2l):
    collection = noise()
    tasks = to_learn2learn_tasks(collection, EpisodeSpec(3, 1, 1), episodes=3)
    labels = torch.from_numpy(collection.labels)
    dataset = l2l.data.MetaDataset(torch.utils.data.TensorDataset(collection.take(np.arange(48)), labels))
    known = l2l.data.transforms
    transforms = [known.NWays(dataset, 3), known.KShots(dataset, 2), known.LoadData(dataset)]
    transforms += [known.RemapLabels(dataset), known.ConsecutiveLabels(dataset)]
    theirs = l2l.data.Taskset(dataset, transforms, num_tasks=3)
    assert len(tasks) == len(theirs) == len(list(tasks)) == 3
    for mine, other in zip(tasks[0], theirs.sample(), strict=True):
        assert mine.shape == other.shape and mine.dtype == other.dtype
    for labels in (tasks[0][1], theirs.sample()[1]):  # class by class, though theirs may begin with any
        assert labels[::2].tolist() == labels[1::2].tolist() and sorted(labels.tolist()) == [0, 0, 1, 1, 2, 2]
    state = torch.get_rng_state()
    drawn = [tasks.sample() for _ in range(4)]
    assert torch.equal(torch.get_rng_state(), state)
    for i in range(4):
        assert_close(drawn[i], tasks[i % 3], rtol=0, atol=0)


def test_learn2learns_loop_learns_from_our_tasks(l2l):
    tasks = to_learn2learn_tasks(noise(), EpisodeSpec(3, 2, 2), episodes=100)
    maml = l2l.algorithms.MAML(network(norm=False).float(), lr=0.3)
    adam, losses = torch.optim.Adam(maml.parameters(), 0.01), []
    for _ in range(60):
        (x, y), (query, labels) = split_as_in_its_examples(*tasks.sample(), 2, 3)
        loss = by_hand(maml, SupportSet(x, y, 3), query, labels, 1)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert np.mean(losses[-15:]) < 0.85 * np.mean(losses[:15])


def test_pixels_come_divided_by_255():
    pixels = load_dataset("digits")
    data, _ = to_learn2learn_tasks(pixels, EpisodeSpec(5, 1, 1), episodes=1)[0]
    assert pixels.items.dtype == torch.uint8 or pixels.items.dtype == np.uint8
    assert data.dtype == torch.float32 and 0 <= float(data.min()) < float(data.max()) <= 1


@pytest.mark.parametrize(
    ("spec", "options", "sentence"),
    [
        (
            EpisodeSpec((2, 3), 1, 1),
            {},
            r"tasks need fixed way, shot and query and labelled items only, got way=\[2, 3\]",
        ),
        (EpisodeSpec(3, 1, 1, dirichlet=2.0), {}, "tasks need fixed way, shot and query"),
        (EpisodeSpec(3, 1, 1, unlabelled=2), {}, "tasks need fixed way, shot and query"),
        (EpisodeSpec(3, 1, 2), {}, "as many queries as shots, got way=3 shot=1 query=2; use 'support-first'"),
        (EpisodeSpec(3, 1, 1), {"layout": "mixed"}, "layout must be one of alternating, support-first, got 'mixed'"),
        (EpisodeSpec(3, 1, 1), {"episodes": 0}, "at least one task, got episodes=0"),
        (EpisodeSpec(3, 1, 1, disjoint=True), {}, "the list ends after 8 episodes, got a request for 20000"),
    ],
)
def test_tasks_that_learn2learn_cannot_take_are_refused(spec, options, sentence):
    with pytest.raises(EpisodeError, match=sentence):
        to_learn2learn_tasks(noise(), spec, **options)


def test_texts_and_numbers_beyond_the_end_are_refused():
    texts = Collection.from_arrays(["a", "b", "c", "d"], [0, 0, 1, 1])
    with pytest.raises(DataError, match="items must be numbers, got texts; embed the collection first"):
        to_learn2learn_tasks(texts, EpisodeSpec(2, 1, 1))
    with pytest.raises(IndexError, match="task numbers run from 0 to 2, got 3"):
        to_learn2learn_tasks(noise(), EpisodeSpec(3, 1, 1), episodes=3)[3]


def test_errors_of_the_learner_say_what_must_hold(l2l):
    known = l2l.algorithms
    with pytest.raises(
        FewShotError, match="algorithm must be learn2learn's MAML, MetaSGD, GBML around a module, got Linear"
    ):
        from_learn2learn(nn.Linear(2, 2))
    with pytest.raises(FewShotError, match="steps must be a whole number of at least 0, got -1"):
        from_learn2learn(known.MAML(network(), lr=0.1), steps=-1)
    with pytest.raises(FewShotError, match=r"batch_norm must be one of query-batch, .* got 'batch'"):
        from_learn2learn(known.MAML(network(), lr=0.1), batch_norm="batch")
    support, _, _ = images()
    with pytest.raises(EpisodeError, match="one logit a class, got 5 for an episode of 3 ways; evaluate with way=5"):
        from_learn2learn(known.MAML(network(ways=5), lr=0.1)).adapt(support)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        from_learn2learn(known.MAML(network(ways=2), lr=0.1)).adapt(SupportSet(support.x, support.y * 0, 2))
    with pytest.raises(
        EpisodeError, match="must stay finite in an inner step, got nan or inf; lower the algorithm's lr"
    ):
        from_learn2learn(known.MAML(network(), lr=1e308), steps=3).adapt(support)


def test_frozen_parameters_are_named_and_may_be_allowed(l2l, capfd):
    support, query, _ = images()
    net = network()
    net[0].requires_grad_(False)
    with pytest.raises(
        FewShotError, match=r"require a gradient .* in MAML.adapt; make the algorithm with allow_nograd"
    ):
        from_learn2learn(l2l.algorithms.MAML(net, lr=0.3)).adapt(support)
    capfd.readouterr()  # learn2learn prints the cause
    learner = from_learn2learn(l2l.algorithms.MAML(net, lr=0.3, allow_nograd=True))
    assert_close(learner.adapt(support)(query), ours(net, lr=0.3, adapts="head").adapt(support)(query), **CLOSE)


def test_without_learn2learn_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "learn2learn", None)
    with pytest.raises(MissingExtraError, match=r"learn2learn must be installed .* scripts/install_learn2learn"):
        from_learn2learn(nn.Linear(2, 2))
    assert len(to_learn2learn_tasks(noise(), EpisodeSpec(3, 1, 1), episodes=2)) == 2


def test_importing_the_toolkit_imports_no_learn2learn():
    code = "import sys, fewshot.interop; assert 'learn2learn' not in sys.modules and 'gym' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_block_of_the_page_runs(l2l, capsys):
    from test_readme import blocks

    page, names = ROOT / "docs" / "from-learn2learn.md", {"__name__": "page"}
    found = blocks(page, "python")
    assert len(found) >= 3
    for code in found:
        exec(compile(code, page.name, "exec"), names)
    assert float(capsys.readouterr().out.split()[-1]) > 0.5
