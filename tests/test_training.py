import numpy as np
import pytest
import torch
from torch import nn

from fewshot.backbones.conv4 import Conv4
from fewshot.contract import Embedded
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import CheckpointError, EpisodeError, FewShotError
from fewshot.learners.nearest_mean import NearestMean
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
