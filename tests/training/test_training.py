import math

import numpy as np
import pytest
import torch
from torch import nn

from fewshot.backbones.conv4 import Conv4
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import CheckpointError, EpisodeError, FewShotError
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.training.checkpoint import memory_format, read_checkpoint, save_checkpoint
from fewshot.training.episodic import EpisodicTraining, train
from fewshot.training.settings import learning_rate

SPEC = EpisodeSpec(way=3, shot=2, query=2)


def made(seed=0, classes=8):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(classes).repeat(7))
    strokes = rng.random((classes, 1, 16, 16)) < 0.3
    x = (strokes[y] ^ (rng.random((len(y), 1, 16, 16)) < 0.05)).astype(np.uint8) * 255
    return Collection.from_arrays(x, y, name="made")


def network(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Embedded(Conv4(width=8), NearestMean())


def double(learner):
    learner.double().backbone.preprocess = lambda x: x.double() / 255
    return learner


def settings(**changes):
    return EpisodicTraining(
        SPEC, **{"steps": 8, "halve_every": 3, "validate_every": 4, "save_every": 2, "seed": 5} | changes
    )


def weights(learner):
    return {name: value.clone() for name, value in learner.state_dict().items()}


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0)


def stop_at(step):
    def report(progress):
        if progress.state.step == step:
            raise KeyboardInterrupt

    return report


def slow_training(collection, chosen):
    """Algorithm 1 of Snell et al. (2017) with Adam written out, in float64, a loop for every sum."""
    net = network().backbone.double()
    parameters = list(net.parameters())
    m, v = [torch.zeros_like(p) for p in parameters], [torch.zeros_like(p) for p in parameters]
    sampler, losses = EpisodeSampler(collection.labels, SPEC, chosen.seed), []
    for step in range(chosen.steps):
        episode = sampler[step]
        rows = np.concatenate([episode.support, episode.query])
        z = net(torch.from_numpy(np.array(collection.items[rows])).double() / 255)
        s, q = z[: len(episode.support)], z[len(episode.support) :]
        centres = [s[torch.from_numpy(episode.support_y == k)].mean(0) for k in range(3)]
        terms = []
        for row, label in zip(q, episode.query_y, strict=True):
            distances = torch.stack([((row - c) ** 2).sum() for c in centres])
            terms.append(distances[label] + torch.log(torch.exp(-distances).sum()))
        loss = sum(terms) / len(terms)
        losses.append(float(loss.detach()))
        rate = chosen.learning_rate / 2 ** (step // chosen.halve_every)
        for i, (p, g) in enumerate(zip(parameters, torch.autograd.grad(loss, parameters), strict=True)):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            with torch.no_grad():
                p -= rate * (m[i] / (1 - 0.9 ** (step + 1))) / ((v[i] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
    return losses, net


def test_training_is_the_paper_written_out():
    collection, chosen = made(), settings()
    learner = double(network())
    state = train(learner, collection, chosen)
    losses, net = slow_training(collection, chosen)
    np.testing.assert_allclose(state.losses, losses, rtol=1e-8)
    for ours, slow in zip(learner.backbone.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours, slow, rtol=1e-6, atol=1e-9)


@pytest.mark.slip
@pytest.mark.parametrize(
    "wrong", [{"halve_every": 0}, {"learning_rate": 2e-3}, {"seed": 6}, {"clip": 1e-3}], ids=lambda w: next(iter(w))
)
def test_another_setting_would_be_noticed(wrong):
    state = train(double(network()), made(), settings(**wrong))
    losses, _ = slow_training(made(), settings())
    assert not np.allclose(state.losses, losses, rtol=1e-6)


def test_interrupted_run_ends_with_the_same_bits(tmp_path):
    whole, stopped = network(), network()
    accuracy = iter([0.5, 0.7])
    train(whole, made(), settings(), validate=lambda _: next(accuracy))
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(stopped, made(), settings(), validate=lambda _: 0.5, checkpoint=path, report=stop_at(5))
    fresh = network(seed=1)  # other initial weights: all must come from the checkpoint
    state = train(fresh, made(), settings(), validate=lambda _: 0.7, checkpoint=path)
    same(weights(whole), weights(fresh))
    assert state.step == 8 and len(state.losses) == 8
    assert state.validations == [(4, 0.5), (8, 0.7)]


def test_finished_run_trains_no_more(tmp_path):
    path, first, again = tmp_path / "run.safetensors", network(), network(seed=1)
    train(first, made(), settings(), checkpoint=path)
    train(again, made(), settings(), checkpoint=path, report=stop_at(8))
    same(weights(first), weights(again))


def test_best_validation_is_kept_and_ties_go_to_the_earlier(tmp_path):
    seen, accuracies = [], iter([0.6, 0.9, 0.9, 0.2])

    def validate(learner):
        seen.append(weights(learner))
        return next(accuracies)

    learner = network()
    train(learner, made(), settings(validate_every=2), validate=validate)
    same(weights(learner), seen[1])


@pytest.mark.parametrize(
    "said", [[0.6, 0.9, math.nan, 0.2], [math.nan, 0.9, 0.2, math.inf], [math.nan, math.nan, 0.9, 0.2]]
)
def test_a_validation_that_is_no_number_never_counts(said, tmp_path):
    seen = []

    def validate(learner):
        seen.append(weights(learner))
        return said[len(seen) - 1]

    learner, path = network(), tmp_path / "run.safetensors"
    with pytest.warns(UserWarning, match=r"the validation at step \d gave (nan|inf): it does not count"):
        train(learner, made(), settings(validate_every=2), validate=validate, checkpoint=path)
    same(weights(learner), seen[said.index(0.9)])
    resumed = network(seed=1)
    train(resumed, made(), settings(validate_every=2), validate=validate, checkpoint=path)  # done, and read again
    same(weights(resumed), weights(learner))


def test_without_a_validation_that_counts_the_last_weights_remain():
    learner, last = network(), network()
    with pytest.warns(UserWarning, match="does not count"):
        train(learner, made(), settings(), validate=lambda _: math.nan)
    train(last, made(), settings())
    same(weights(learner), weights(last))


def test_what_validates_is_checked(no_shape_hook):
    with pytest.raises(FewShotError, match=r"validate must be a function from the learner to its accuracy, got 0.5"):
        train(network(), made(), settings(), validate=0.5)
    for said in (None, "high", torch.ones(2)):
        with pytest.raises(FewShotError, match=r"validate must return the accuracy, one number, got .* at step 4"):
            train(network(), made(), settings(), validate=lambda _, said=said: said)


def test_a_checkpoint_is_a_path_or_a_text(tmp_path, no_shape_hook):
    path = tmp_path / "run.safetensors"
    train(network(), made(), settings(), checkpoint=str(path))
    assert read_checkpoint(path)[1]["step"] == 8 and path.with_suffix(".csv").exists()
    for wrong, message in (
        (tmp_path, "checkpoint must be the path of a file, got the folder"),
        (str(tmp_path), "checkpoint must be the path of a file, got the folder"),
        (tmp_path / "run.csv", r"checkpoint must not end in \.csv, as the log beside it does"),
        (3, "checkpoint must be the path of a file, got int"),
    ):
        with pytest.raises(FewShotError, match=message):
            train(network(), made(), settings(), checkpoint=wrong)


class Silent(nn.Module):
    """Has a parameter that its loss does not read."""

    def __init__(self, loss):
        super().__init__()
        self.weight, self.said = nn.Parameter(torch.ones(2)), loss

    def adapt(self, support):
        return NearestMean().adapt(support)

    def loss(self, support, query, labels):
        return self.said


def frozen():
    learner = network()
    learner.requires_grad_(False)
    return learner


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (NearestMean(), "training needs a learner that is an nn.Module, got NearestMean, which has no parameters; put"),
        (Embedded(nn.Flatten(), NearestMean()), "needs a parameter that is not frozen, got 0 parameters of Embedded"),
        (frozen(), r"needs a parameter that is not frozen, got \d+ parameters of Embedded, none of which requires"),
        (nn.Linear(2, 2), r"a learner must have adapt\(support\), got Linear without it"),
        ("protonet", r"a learner must have adapt\(support\), got 'protonet' without it"),
        (Silent(torch.tensor(1.0)), r"must be one number that depends on what is trained, got a tensor of shape \(\) that"),
        (Silent(torch.ones(3, requires_grad=True)), r"must be one number .*, got a tensor of shape \(3,\) instead"),
        (Silent(0.5), "must be one number that depends on what is trained, got float instead"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(learner, message, no_shape_hook):
    with pytest.raises(FewShotError, match=message):
        train(learner, made(), settings())
    assert not getattr(learner, "classes_seen", ())


def norms(learner):
    return [m for m in learner.modules() if isinstance(m, nn.BatchNorm2d)]


def freeze_one(learner):
    norms(learner)[0].eval()
    return norms(learner)[:1]


def freeze_parameters(learner):
    learner.eval()
    norms(learner)[1].requires_grad_(False)
    return norms(learner)[1:2]


def freeze_a_block(learner):
    learner.backbone.blocks[0].eval().requires_grad_(False)
    return norms(learner)[:1]


def freeze_nothing(learner):
    learner.eval()  # as `load_backbone` gives a network: nothing is frozen on purpose
    return []


@pytest.mark.parametrize("freeze", [freeze_one, freeze_parameters, freeze_a_block, freeze_nothing])
def test_norms_that_were_frozen_do_not_move(freeze):
    learner = network()
    kept = freeze(learner)
    before = [m.running_mean.clone() for m in norms(learner)]
    train(learner, made(), settings(steps=3, tasks=3, average=0.5), validate=lambda _: 0.5)
    for norm, was in zip(norms(learner), before, strict=True):
        assert torch.equal(norm.running_mean, was) == any(norm is one for one in kept)


def test_a_loss_that_is_no_number_stops_the_run_before_its_step(tmp_path):
    learner, checkpoint = network(), tmp_path / "run.safetensors"
    train(learner, made(), settings(steps=2), checkpoint=checkpoint)
    kept = checkpoint.read_bytes()
    with torch.no_grad():
        learner.backbone.blocks[0][0].weight[0, 0, 0, 0] = torch.nan
    before = [p.clone() for p in learner.parameters()]
    message = r"the loss must stay finite, got nan at step 1 with learning rate 0.001; lower the rate"
    with pytest.raises(FewShotError, match=message):
        train(learner, made(), settings(steps=2), checkpoint=None)
    torch.testing.assert_close(list(learner.parameters()), before, rtol=0, atol=0, equal_nan=True)
    assert checkpoint.read_bytes() == kept


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    train(network(), made(), settings(), checkpoint=path)
    with pytest.raises(CheckpointError, match="must belong to this run, got settings"):
        train(network(), made(), settings(learning_rate=0.5), checkpoint=path)
    with pytest.raises(CheckpointError, match="got data"):
        train(network(), made(seed=1), settings(), checkpoint=path)
    with pytest.raises(CheckpointError, match="got learner"):
        train(Embedded(Conv4(width=4), NearestMean()), made(), settings(), checkpoint=path)
    plain = network().to(memory_format=torch.contiguous_format)
    with pytest.raises(CheckpointError, match="got memory_format 'channels_last'"):
        train(plain, made(), settings(), checkpoint=path)


def test_torn_checkpoint_is_named(tmp_path):
    path = tmp_path / "run.safetensors"
    train(network(), made(), settings(), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"run\.safetensors' must be a whole checkpoint"):
        train(network(), made(), settings(), checkpoint=path)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_checkpoint_has_all_numbers_of_the_optimiser_or_is_refused(tmp_path, name):
    path, short = tmp_path / "run.safetensors", settings(steps=4, optimizer=name)
    train(network(), made(), short, checkpoint=path)
    whole, progress = read_checkpoint(path)
    train(network(), made(), short, checkpoint=path)
    first = next(key for key in whole if key.startswith("optimizer.2."))
    lacking = {key: value for key, value in whole.items() if key != first}
    more = whole | {"optimizer.2.other": whole[first].clone()}
    for wrong in (more,) if name == "sgd" else (more, lacking):  # SGD keeps one number: without it, none
        save_checkpoint(path, wrong, progress)
        with pytest.raises(CheckpointError, match=r"whole checkpoint, got another or no 'optimizer\.2\."):
            train(network(), made(), short, checkpoint=path)


def test_a_resumed_run_has_the_threads_of_its_checkpoint_and_gives_them_back(tmp_path):
    path, before = tmp_path / "run.safetensors", torch.get_num_threads()
    train(network(), made(), settings(), checkpoint=path)
    tensors, progress = read_checkpoint(path)
    earlier = {"step": 7, "losses": progress["losses"][:7], "rates": progress["rates"][:7]}
    save_checkpoint(path, tensors, progress | earlier | {"threads": before + 1})
    seen = []
    train(network(), made(), settings(), checkpoint=path, report=lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before


def test_seen_classes_are_kept(tmp_path):
    path, learner = tmp_path / "run.safetensors", network()
    train(learner, made(), settings(), checkpoint=path)
    assert learner.classes_seen == tuple(f"made:{k}" for k in range(8))
    assert read_checkpoint(path)[1]["classes_seen"] == list(learner.classes_seen)


def test_global_randomness_is_untouched():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  the state that must not move
    train(network(), made(), settings(steps=2))
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_learning_rate_halves():
    rates = [learning_rate(settings(), step) for step in range(7)]
    np.testing.assert_allclose(rates, [1e-3] * 3 + [5e-4] * 3 + [2.5e-4])
    assert learning_rate(settings(halve_every=0), 10**6) == 1e-3


def test_tasks_are_a_mean_over_consecutive_episodes():
    losses = []
    for tasks in (1, 4):
        learner = double(network())
        losses.append(train(learner, made(), settings(steps=4 // tasks, tasks=tasks, learning_rate=0.0)).losses)
    np.testing.assert_allclose(np.mean(losses[0]), losses[1][0], rtol=1e-6)


def test_memory_format():
    assert memory_format(Conv4()) == "channels_last"
    assert memory_format(nn.Conv2d(3, 4, 3)) == "contiguous"
    assert memory_format(nn.Linear(2, 2)) == "contiguous"


def test_too_small_base_class_is_an_episode_error():
    collection = Collection.from_arrays(np.zeros((5, 1, 16, 16), np.uint8), [0, 0, 1, 1, 2])
    with pytest.raises(EpisodeError, match="class '2'"):
        train(network(), collection, settings())
