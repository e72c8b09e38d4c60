"""RelationNet: the network written out in NumPy, one pair at a time; ProtoNet's ranking with a fixed comparison."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from scipy.signal import correlate
from torch.testing import assert_close

from fewshot.backbones.index import load_backbone
from fewshot.contract import SupportSet
from fewshot.datasets.index import load_dataset
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError, LeakageError, ShapeError
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.index import load_learner
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.learners.metric.relation import RelationNet
from fewshot.testing import check_learner
from fewshot.training.episodic import EpisodicTraining, train

MAPS = (3, 9, 6)


def made(dim, **options):
    """A module in float64 and eval mode; batch norm has seen something, so that its statistics matter."""
    learner = RelationNet(dim, **options).double()
    if isinstance(dim, tuple):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            for layer in learner.relation.rest:
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.running_mean.normal_()
                    layer.running_var.uniform_(0.5, 2)
                    torch.nn.init.normal_(layer.weight)
                    torch.nn.init.normal_(layer.bias)
    return learner.eval()


def maps(case, shape=MAPS):
    """The same episode with its features as maps."""
    support, query, labels = case
    return support.map(lambda x: x.reshape(*x.shape[:-1], *shape)), query.reshape(*query.shape[:-1], *shape), labels


def convolved(x, weight, bias):
    """Cross-correlation with one pixel of zeros around, channel by channel, by SciPy."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    return np.stack([correlate(padded, kernel, "valid")[0] + b for kernel, b in zip(weight, bias, strict=True)])


def block(x, state, conv, norm, affine=True):
    x = convolved(x, state[f"{conv}.weight"], state[f"{conv}.bias"])
    mean, variance = (state[f"rest.{norm}.running_{name}"][:, None, None] for name in ("mean", "var"))
    x = (x - mean) / np.sqrt(variance + 1e-5)
    x = x * state[f"rest.{norm}.weight"][:, None, None] + state[f"rest.{norm}.bias"][:, None, None]
    x = np.maximum(x, 0)
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    return np.stack([[x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((1, 2)) for j in range(columns)]
                     for i in range(rows)]).transpose(2, 0, 1)  # fmt: skip


def fully(x, state, name):
    return state[f"{name}.weight"] @ x + state[f"{name}.bias"]


def compared(pair, state):
    """g of one pair [class, query]."""
    if pair.ndim == 3:
        x = block(block(pair, state, "first", 0), state, "rest.3", 4).ravel()
    else:
        x = np.maximum(fully(np.maximum(fully(pair, state, "first"), 0), state, "rest.1"), 0)
    last = 8 if pair.ndim == 3 else 3
    x = np.maximum(fully(x, state, f"rest.{last}"), 0)
    return 1 / (1 + np.exp(-fully(x, state, f"rest.{last + 2}")[0]))


def oracle(support, query, learner, combine="sum", order=(0, 1), whole=False):
    """Relations of one episode, a pair at a time; ``combine``, ``order`` and ``whole`` can slip."""
    state = {name: value.numpy() for name, value in learner.relation.state_dict().items()}
    x, y, join = support.x.numpy(), support.y.numpy(), {"sum": np.sum, "mean": np.mean, "max": np.max}[combine]
    classes = [join(x[y == k], 0) for k in range(support.n_way)]
    if whole:
        classes = [c - np.mean(classes, 0) for c in classes]
    pairs = [[np.concatenate([[c, z][i] for i in order]) for c in classes] for z in query.numpy()]
    return torch.tensor([[compared(pair, state) for pair in row] for row in pairs], dtype=torch.float64)


def agree(learner, case, oracle_of):
    support, query, _ = case
    with torch.no_grad():
        assert_close(
            learner.adapt(support)(query), oracle(support, query, oracle_of, oracle_of.combine), rtol=1e-9, atol=1e-9
        )


@settings(max_examples=10)
@given(episodes(), st.sampled_from(["sum", "mean"]))
def test_vectors_are_compared_as_written_out(case, combine):
    learner = made(case[0].x.shape[-1], combine=combine)
    agree(learner, case, learner)


@pytest.mark.parametrize("combine", ["sum", "mean"])
@pytest.mark.parametrize("shape", [MAPS, (2, 4, 5)])
def test_maps_are_compared_as_written_out(combine, shape):
    learner = made(shape, combine=combine, width=5)
    agree(learner, maps(episode((3, 1, 2), int(np.prod(shape)), 2), shape), learner)


class Slip:
    """The same network, with a slip in how pairs are made or judged."""

    scores = "rank"

    def __init__(self, learner, **slip):
        self.learner, self.slip, self.combine = learner, slip, "sum"

    def adapt(self, support):
        self.learner.adapt(support)  # the same refusals
        single = support.y.ndim == 1

        def classify(query):
            parts = [(support, query)] if single else [(support[k], query[k]) for k in range(len(support))]
            found = torch.stack([oracle(*part, self.learner, **self.slip) for part in parts])
            return (found[0] if single else found).to(query.dtype)

        return classify


SLIPS = {
    "mean for sum": {"combine": "mean"},
    "largest value for sum": {"combine": "max"},
    "query before class": {"order": (1, 0)},
    "classes centred on one another": {"whole": True},
}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_wrong_pairs_keep_the_contract_and_are_caught(slip):
    learner = made(8)
    agree(Slip(learner), episode((3, 1, 2), 8), learner)
    with pytest.raises(AssertionError):
        agree(Slip(learner, **slip), episode((3, 1, 2), 8), learner)
    check_learner(Slip(learner, **slip), learns=False, numbers=False)  # the slow transcription overflows


class MinusSquaredDistance(torch.nn.Module):
    """A fixed g of the two halves of a pair."""

    def forward(self, classes, query):
        return -(classes.flatten(1)[None] - query.flatten(1)[:, None]).square().sum(-1)


@given(episodes(), st.sampled_from(["vectors", "maps"]))
def test_a_fixed_comparison_gives_protonets_ranking(case, kind):
    """With g the negative squared distance of its two halves, and means, the pipeline is ProtoNet's."""
    support, query, _ = case
    dim, ours = support.x.shape[-1], case
    if kind == "maps":
        dim, ours = (
            (support.x.shape[-1], 4, 4),
            (
                support.map(lambda x: x[..., None, None].expand(*x.shape, 4, 4)),
                query[..., None, None].expand(*query.shape, 4, 4),
                None,
            ),
        )
    learner = RelationNet(dim, combine="mean")
    learner.relation = MinusSquaredDistance()
    rank = [
        scores.argsort(-1).tolist() for scores in (learner.adapt(ours[0])(ours[1]), NearestMean().adapt(support)(query))
    ]
    assert rank[0] == rank[1]


@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_it_keeps_the_contract(combine):
    check_learner(RelationNet(8, combine), learns=False)
    check_learner(RelationNet((2, 4, 4), combine), learns=False, item_shape=(2, 4, 4))


def test_batches_are_episodes_one_by_one_and_support_may_lack_the_axis():
    learner = made(MAPS)
    support, query, _ = maps(episode((2, 1, 3), 162, episodes=4))
    with torch.no_grad():
        together = learner.adapt(support)(query)
        for k in range(4):
            assert_close(learner.adapt(support[k])(query[k]), together[k], rtol=1e-9, atol=1e-9)
        assert learner.adapt(support)(query[:, :0]).shape == (4, 0, 3)


def test_the_loss_is_the_squared_error_to_one_and_zero():
    learner = made(6)
    support, query, labels = episode((2, 1, 3), episodes=4)
    r, terms = learner.adapt(support)(query).detach().numpy(), []
    for k in range(4):
        terms += [(r[k, i, c] - (labels[k, i] == c).item()) ** 2 for i in range(r.shape[1]) for c in range(3)]
    assert_close(learner.loss(support, query, labels).item(), float(np.mean(terms)), rtol=1e-9, atol=0)
    opened = learner.loss(support, query, torch.full_like(labels, 3)).item()  # of no class: all zero
    assert_close(opened, float((r**2).mean()), rtol=1e-9, atol=0)


def test_episodes_of_a_training_batch_do_not_share_batch_statistics():
    learner = made((3, 4, 4), width=4).train()
    support, query, labels = maps(episode((1, 2), 48, episodes=3), (3, 4, 4))
    alone = [learner.loss(support[k : k + 1], query[k : k + 1], labels[k : k + 1]).item() for k in range(3)]
    assert_close(learner.loss(support, query, labels).item(), float(np.mean(alone)), rtol=1e-9, atol=0)
    coupled = (learner.adapt(support)(query) - torch.nn.functional.one_hot(labels, 2)).square().mean().item()
    assert coupled != pytest.approx(np.mean(alone), rel=1e-3)


def test_weights_are_those_of_the_seed_and_global_randomness_is_untouched():
    before = torch.get_rng_state()
    one, same, other = (RelationNet(4, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["relation.first.weight"], other["relation.first.weight"])


def test_the_sizes_are_the_papers():
    """Omniglot's maps of 5 by 5 pixels leave 64 values before the last layers, as in the paper."""
    rest = RelationNet((64, 5, 5)).relation.rest
    linears = [(layer.in_features, layer.out_features) for layer in rest if isinstance(layer, torch.nn.Linear)]
    assert linears == [(64, 8), (8, 1)]


def test_a_known_number():
    """All weights 0 but the last bias: the sigmoid of 2 for every pair."""
    learner = made(2)
    for parameter in learner.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(learner.relation.rest[-2].bias, 2.0)
    support, query, _ = episode((1, 1), 2)
    assert_close(learner.adapt(support)(query).detach(), torch.full((5, 2), 0.8807970779778823).double())


def test_errors_say_what_must_hold(no_shape_hook):
    for dim in (0, 2.5, None, (3, 4), (3, 3, 8), "64", (0, 4, 4)):
        with pytest.raises(FewShotError, match=r"dim must be (the size of a feature vector, or .* got|a whole number)"):
            RelationNet(dim)
    with pytest.raises(FewShotError, match="combine must be 'sum' or 'mean', got 'max'"):
        RelationNet(4, combine="max")
    with pytest.raises(FewShotError, match="learner 'relation' needs 'dim'"):
        load_learner("relation")
    support, _, _ = episode((1, 2), 6)
    with pytest.raises(
        ShapeError, match=r"must be of shape \(4,\), got items \(3, 6\); make RelationNet with another dim"
    ):
        RelationNet(4).adapt(support)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        RelationNet(6).adapt(SupportSet(support.x, torch.zeros_like(support.y), 2))
    assert load_learner("relation", dim=[2, 4, 4], combine="mean").shape == (2, 4, 4)


@pytest.mark.slow
def test_training_on_characters_makes_it_compare_new_ones(data_root, tmp_path):
    """On features of the shipped network; a finished run is read from its checkpoint, and seen classes are refused."""
    data_root("omniglot")
    whole, network, spec = (
        load_dataset("omniglot", rotations="none"),
        load_backbone("conv4-omniglot"),
        EpisodeSpec(5, 1, 15),
    )
    base, novel = whole.split("train"), whole.split("test")
    base, novel = (part.subset(part.labels < n).embed(network) for part, n in ((base, 200), (novel, 60)))
    learner, chosen = RelationNet(64, width=256), EpisodicTraining(spec, steps=120, tasks=4, learning_rate=3e-3)
    before = evaluate(learner, novel, spec, 20)
    state = train(learner, base, chosen, checkpoint=tmp_path / "run.safetensors")
    assert np.mean(state.losses[-10:]) < 0.7 * np.mean(state.losses[10:20])  # 0.16 is the loss of a constant 0.2
    after = evaluate(learner, novel, spec, 20)
    assert after.accuracy > 0.6 and before.accuracy < 0.4 and after.pretraining_classes.overlap == 0
    with pytest.raises(LeakageError, match="it was trained on"):
        evaluate(learner, base, spec, 20)
    again = RelationNet(64, width=256, seed=1)
    train(again, base, chosen, checkpoint=tmp_path / "run.safetensors")
    assert evaluate(Embedded(torch.nn.Identity(), again), novel, spec, 20).correct == after.correct
