"""FEAT: attention written out in NumPy, one number at a time; what dropout, loss and training do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from make import episode, episodes
from scipy.special import log_softmax, softmax
from torch.testing import assert_close

from fewshot.backbones.index import load_backbone
from fewshot.contract import SupportSet, per_episode
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError, LeakageError, ShapeError
from fewshot.evaluation.evaluate import evaluate
from fewshot.functional import require_every_class
from fewshot.learners.index import load_learner
from fewshot.learners.metric.feat import FEAT
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.testing import check_learner
from fewshot.training.episodic import EpisodicTraining, train


def made(dim, **options):
    """FEAT in float64 and eval mode, with a layer norm and biases that do something."""
    learner = FEAT(dim, **options).double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for parameter in (learner.norm.weight, learner.norm.bias, learner.out.bias):
            torch.nn.init.normal_(parameter)
    return learner.eval()


def attended(items, learner, scaled=True, residual=True, queries=False, normed=True):
    """The adapted set; each option is a slip."""
    w = {name: value.numpy() for name, value in learner.state_dict().items()}
    members = []
    for item in items:
        looking = items if queries else [item]
        q = np.mean([w["queries.weight"] @ one for one in looking], 0)
        affinity = np.array([q @ (w["keys.weight"] @ other) for other in items])
        share = softmax(affinity / np.sqrt(len(item)) if scaled else affinity)
        seen = sum(a * (w["values.weight"] @ other) for a, other in zip(share, items, strict=True))
        moved = w["out.weight"] @ seen + w["out.bias"] + (item if residual else 0)
        if normed:
            moved = (moved - moved.mean()) / np.sqrt(moved.var() + 1e-5) * w["norm.weight"] + w["norm.bias"]
        members.append(moved)
    return np.array(members)


def distances(z, centres, temperature):
    return -((np.asarray(z)[:, None] - centres) ** 2).sum(2) / temperature


def means(x, y, n_way):
    return np.stack([x[y == k].mean(0) for k in range(n_way)])


def oracle(support, query, learner, **slip):
    """Scores of one episode."""
    c = means(support.x.numpy(), support.y.numpy(), support.n_way)
    return torch.from_numpy(distances(query.numpy(), attended(c, learner, **slip), learner.temperature))


def agree(learner, case, model):
    support, query, _ = case
    with torch.no_grad():
        assert_close(learner.adapt(support)(query), oracle(support, query, model), rtol=1e-9, atol=1e-9)


@settings(max_examples=15)
@given(episodes())
def test_scores_are_those_of_attention_written_out(case):
    learner = made(case[0].x.shape[-1], temperature=3.0)
    agree(learner, case, learner)


class Slip:
    def __init__(self, model, **slip):
        self.model, self.slip = model, slip

    @per_episode
    def adapt(self, support):
        require_every_class(support.y, support.n_way)
        return lambda query: oracle(support, query, self.model, **self.slip).to(query.dtype)


SLIPS = {
    "affinities not scaled": {"scaled": False},
    "no residual": {"residual": False},
    "one query vector for all": {"queries": True},
    "no layer norm": {"normed": False},
}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_wrong_attention_keeps_the_contract_and_is_caught(slip):
    model, case = made(8), episode((3, 1, 2), 8)
    agree(Slip(model), case, model)
    with pytest.raises(AssertionError):
        agree(Slip(model, **slip), case, model)
    check_learner(Slip(model, **slip), learns=False)


def test_torchs_own_attention_gives_the_same():
    learner = made(6)
    theirs = torch.nn.MultiheadAttention(6, 1, bias=False, batch_first=True).double().eval()
    weights = torch.cat([layer.weight for layer in (learner.queries, learner.keys, learner.values)]).detach()
    theirs.load_state_dict({"in_proj_weight": weights, "out_proj.weight": torch.eye(6).double()})
    c = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        expected = learner.norm(c + learner.out(theirs(c, c, c)[0]))
        assert_close(learner.transform(c, lambda values, rate: values), expected, rtol=1e-9, atol=1e-9)


def test_without_attention_it_is_nearest_mean():
    """With the last layer at zero and no norm, nothing moves."""
    learner = made(6, temperature=1.0)
    torch.nn.init.zeros_(learner.out.weight)
    torch.nn.init.zeros_(learner.out.bias)
    learner.norm = torch.nn.Identity()
    support, query, _ = episode((3, 1, 2), episodes=3)
    assert_close(learner.adapt(support)(query), NearestMean().adapt(support)(query), rtol=1e-9, atol=1e-9)


def test_it_keeps_the_contract():
    check_learner(FEAT(8), learns=False)


def test_support_may_lack_the_episode_axis():
    learner = made(6)
    support, query, _ = episode((2, 1, 3), episodes=4)
    with torch.no_grad():
        together = learner.adapt(support)(query)
        for k in range(4):
            assert_close(learner.adapt(support[k])(query[k]), together[k], rtol=1e-9, atol=1e-9)
        assert learner.adapt(support)(query[:, :0]).shape == (4, 0, 3)


def slow_loss(support, query, labels, learner, own_set=True, queries_too=True, adapted=False):
    """Both terms for one episode; each option is a slip."""
    x, y, n = support.x.numpy(), support.y.numpy(), support.n_way
    z, t = query.numpy(), labels.numpy()
    own = -log_softmax(oracle(support, query, learner).numpy(), 1)[np.arange(len(t)), t].mean()
    if queries_too:
        x, y = np.concatenate([x, z]), np.concatenate([y, t])
    sets = [attended(x[y == k], learner) for k in range(n)] if own_set else None
    whole = attended(x, learner)
    centres = np.stack([(sets[k] if own_set else whole[y == k]).mean(0) for k in range(n)])
    judged = whole if adapted else x
    scores = distances(judged, centres, learner.contrast_temperature)
    return own + learner.balance * -log_softmax(scores, 1)[np.arange(len(y)), y].mean()


def mean_slow_loss(case, learner, **slip):
    support, query, labels = case
    return float(np.mean([slow_loss(support[k], query[k], labels[k], learner, **slip) for k in range(len(labels))]))


CASE = {"shots": (2, 1, 3), "dim": 6, "queries": 7, "episodes": 3}


def test_the_loss_is_that_of_both_terms_written_out():
    """Classes have unequal numbers of support items and of queries."""
    learner, case = made(6, balance=0.7, contrast_temperature=5.0, temperature=3.0), episode(**CASE)
    assert_close(learner.loss(*case).item(), mean_slow_loss(case, learner), rtol=1e-9, atol=0)
    plain = made(6, balance=0.0, temperature=3.0)
    assert_close(
        plain.loss(*case).item(),
        torch.nn.functional.cross_entropy(plain.adapt(case[0])(case[1]).flatten(0, 1), case[2].flatten()).item(),
    )


@pytest.mark.slip
@pytest.mark.parametrize("slip", [{"own_set": False}, {"queries_too": False}, {"adapted": True}], ids=str)
def test_wrong_contrastive_terms_are_caught(slip):
    learner, case = made(6, contrast_temperature=5.0, temperature=3.0), episode(**CASE)
    with pytest.raises(AssertionError):
        assert_close(learner.loss(*case).item(), mean_slow_loss(case, learner, **slip), rtol=1e-6, atol=0)


def test_dropout_is_of_the_episode_and_not_of_the_global_generator():
    learner, case = made(6).train(), episode(**CASE)
    before = torch.get_rng_state()
    first, again = learner.loss(*case).item(), learner.loss(*case).item()
    assert first == again and torch.equal(before, torch.get_rng_state())
    alone = [learner.loss(case[0][k : k + 1], case[1][k : k + 1], case[2][k : k + 1]).item() for k in range(3)]
    assert_close(first, float(np.mean(alone)), rtol=1e-9, atol=0)
    other = replace(case[0], seed=case[0].seed + 1)
    assert learner.loss(other, *case[1:]).item() != first
    assert made(6, dropout=0.0, attention_dropout=0.0).train().loss(*case).item() == made(6).loss(*case).item() != first
    single = learner.adapt(case[0][0])(case[1][0])
    assert_close(single, learner.adapt(case[0])(case[1])[0], rtol=1e-9, atol=1e-9)


def test_dropout_keeps_the_mean_and_drops_as_many_as_it_says():
    learner = FEAT(4).train()
    support, _, _ = episode((1, 1), 4, episodes=2)
    dropped = learner._drop(support)(torch.ones(2, 300, 200), 0.3)
    assert_close(dropped.mean().item(), 1.0, atol=0.02, rtol=0)
    assert_close((dropped == 0).float().mean().item(), 0.3, atol=0.01, rtol=0)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.7])


def test_weights_are_those_of_the_seed():
    before = torch.get_rng_state()
    one, same, other = (FEAT(16, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["queries.weight"], other["queries.weight"])
    wide = FEAT(400).state_dict()["keys.weight"]
    assert_close(wide.std().item(), (2 / 800) ** 0.5, rtol=0.02, atol=0)  # the authors' sqrt(2 / (d + d))


def test_a_known_number():
    """Two means at +1 and -1 on a line, all weights 0 but the norm: both become 0, so nothing is known."""
    learner = FEAT(1, temperature=1.0).eval()
    for parameter in learner.parameters():
        torch.nn.init.zeros_(parameter)
    support = SupportSet(torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1]), 2)
    assert learner.adapt(support)(torch.tensor([[2.0]])).tolist() == [[-4.0, -4.0]]


def test_errors_say_what_must_hold(no_shape_hook):
    for dim in (0, 2.5, None, (4,), "64"):
        with pytest.raises(FewShotError, match="dim must be a whole number of at least 1, got "):
            FEAT(dim)
    for wrong in (
        {"temperature": 0},
        {"contrast_temperature": -1},
        {"balance": -1},
        {"dropout": 1},
        {"attention_dropout": -0.1},
    ):
        with pytest.raises(FewShotError, match="temperatures must be above 0, balance from 0, and rates of dropout"):
            FEAT(4, **wrong)
    with pytest.raises(FewShotError, match="learner 'feat' needs 'dim'"):
        load_learner("feat")
    support, query, labels = episode((1, 2), 6, episodes=1)
    with pytest.raises(ShapeError, match="features must be of size 4, got 6; make FEAT with another dim"):
        FEAT(4).adapt(support)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        FEAT(6).double().eval().adapt(SupportSet(support.x, torch.zeros_like(support.y), 2))
    with pytest.raises(EpisodeError, match="a generator belongs to one episode with a seed"):
        FEAT(6).double().train().loss(replace(support, seed=None), query, labels)
    assert load_learner("feat", dim=64, temperature=32).temperature == 32.0


def test_training_on_characters_helps_on_new_ones(data_root, tmp_path):
    """On features of the shipped network; a finished run is read from its checkpoint, and seen classes are refused."""
    data_root("omniglot")
    whole, network, spec = (
        load_dataset("omniglot", rotations="none"),
        load_backbone("conv4-omniglot"),
        EpisodeSpec(5, 1, 15),
    )
    base, novel = whole.split("train"), whole.split("test")
    base, novel = (part.subset(part.labels < 60).embed(network) for part in (base, novel))
    learner, chosen = FEAT(64), EpisodicTraining(spec, steps=40, tasks=4)
    before = evaluate(learner, novel, spec, 40)
    state = train(learner, base, chosen, checkpoint=tmp_path / "run.safetensors")
    assert np.mean(state.losses[-10:]) < 0.85 * np.mean(state.losses[:10])
    after = evaluate(learner, novel, spec, 40)
    assert after.accuracy > max(before.accuracy, 0.8) and after.pretraining_classes.overlap == 0
    with pytest.raises(LeakageError, match="it was trained on"):
        evaluate(learner, base, spec, 20)
    again = FEAT(64, seed=1)
    train(again, base, chosen, checkpoint=tmp_path / "run.safetensors")
    assert evaluate(Embedded(torch.nn.Identity(), again), novel, spec, 40).correct == after.correct


def test_a_training_that_was_stopped_ends_with_the_same_weights(tmp_path):
    """Dropout has no state of its own to lose."""
    rng = np.random.default_rng(0)
    y = np.arange(8).repeat(9)
    base = Collection.from_arrays((rng.normal(size=(8, 6))[y] + rng.normal(size=(72, 6))).astype(np.float32), y)
    settings_of = {"spec": EpisodeSpec(3, 2, 4), "save_every": 1}

    def stop(progress):
        if progress.state.step == 3:
            raise KeyboardInterrupt

    whole, stopped = FEAT(6), FEAT(6)
    train(whole, base, EpisodicTraining(steps=6, **settings_of))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, base, EpisodicTraining(steps=6, **settings_of), checkpoint=tmp_path / "run", report=stop)
    fresh = FEAT(6, seed=2)
    train(fresh, base, EpisodicTraining(steps=6, **settings_of), checkpoint=tmp_path / "run")
    for name, value in whole.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value)
