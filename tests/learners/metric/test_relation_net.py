"""RelationNet end to end: encoder and comparison written out in NumPy, pixels to relations."""

import numpy as np
import pytest
import torch
from make import episode
from test_relation import compared, convolved
from torch import nn
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.index import load_learner
from fewshot.learners.metric.relation_net import EndToEndRelationNet, MapEncoder
from fewshot.testing import check_learner
from fewshot.training.episodic import EpisodicTraining, train

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
SIZE = 22  # the least: 4 by 4 pixels are left


def made(**options):
    """Four channels in float64 and eval mode; batch norm has seen something, so that its statistics matter."""
    learner = EndToEndRelationNet(**({"size": SIZE, "width": 4} | options)).double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for layer in learner.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(std=0.1)
                layer.running_var.uniform_(0.5, 2)
                nn.init.uniform_(layer.weight, 0.5, 2)
                nn.init.normal_(layer.bias)
    return learner.eval()


def images(shots=(3, 1, 2), queries=3, count=None):
    support, query, y = episode(shots, SIZE**2, queries, episodes=count)
    return (
        support.map(lambda x: x.reshape(*x.shape[:-1], 1, SIZE, SIZE)),
        query.reshape(*query.shape[:-1], 1, SIZE, SIZE),
        y,
    )


def pooled(x):
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    return x[:, : 2 * rows, : 2 * columns].reshape(len(x), rows, 2, columns, 2).max((2, 4))


def encoded(x, w, padded=False, pools=(True, True, False, False)):
    """Maps of one image; each option is a slip."""
    for k, name in enumerate(("blocks.0", "blocks.2", "blocks.4", "blocks.5")):
        full = convolved(x, w[f"{name}.0.weight"], np.zeros(len(w[f"{name}.0.weight"])))
        x = full if k > 1 or padded else full[:, 1:-1, 1:-1]
        mean, variance = (w[f"{name}.1.running_{what}"][:, None, None] for what in ("mean", "var"))
        x = (x - mean) / np.sqrt(variance + 1e-5) * w[f"{name}.1.weight"][:, None, None]
        x = np.maximum(x + w[f"{name}.1.bias"][:, None, None], 0)
        x = pooled(x) if pools[k] else x
    return x


def oracle(support, query, learner, combine=np.sum):
    """Relations of one episode, a pair at a time."""
    w = {name: value.numpy() for name, value in learner.backbone.state_dict().items()}
    g = {name: value.numpy() for name, value in learner.head.relation.state_dict().items()}
    maps, y = np.stack([encoded(item, w) for item in support.x.numpy()]), support.y.numpy()
    classes = [combine(maps[y == k], 0) for k in range(support.n_way)]
    asked = [encoded(z, w) for z in query.numpy()]
    pairs = [[np.concatenate([c, z]) for c in classes] for z in asked]
    return torch.tensor([[compared(pair, g) for pair in row] for row in pairs], dtype=torch.float64)


@pytest.mark.parametrize("combine", ["sum", "mean"])
@pytest.mark.parametrize("shots", [(3, 1, 2), (1, 1)])
def test_relations_are_those_written_out(shots, combine):
    learner = made(combine=combine)
    support, query, _ = images(shots)
    with torch.no_grad():
        expected = oracle(support, query, learner, combine={"sum": np.sum, "mean": np.mean}[combine])
        assert_close(learner.adapt(support)(query), expected, **CLOSE)


def test_batches_are_episodes_one_by_one():
    learner = made()
    support, query, _ = images(count=2)
    with torch.no_grad():
        exact = torch.stack([oracle(support[k], query[k], learner) for k in range(2)])
        assert_close(learner.adapt(support)(query), exact, **CLOSE)


def averaged(learner):
    learner.head.combine = "mean"


def swapped(learner):
    weight = learner.head.relation.first.weight
    weight.data = torch.cat(weight.data.chunk(2, 1)[::-1], 1)


def norm_last(learner):
    for k in (0, 2, 4, 5):
        convolution, norm, relu = learner.backbone.blocks[k]
        learner.backbone.blocks[k] = nn.Sequential(convolution, relu, norm)


def smooth(learner):
    learner.backbone.blocks[1] = nn.AvgPool2d(2)


def no_sigmoid(learner):
    learner.head.relation.rest[-1] = nn.Identity()


@pytest.mark.slip
@pytest.mark.parametrize("slip", [averaged, swapped, norm_last, smooth, no_sigmoid])
def test_wrong_networks_keep_the_contract_and_are_caught(slip):
    learner = made()
    support, query, _ = images()
    with torch.no_grad():
        expected = oracle(support, query, learner)
        assert_close(learner.adapt(support)(query), expected, **CLOSE)
        slip(learner)
        check_learner(learner, learns=False, item_shape=(1, SIZE, SIZE), shots=(1, 2))
        with pytest.raises(AssertionError):
            assert_close(learner.adapt(support)(query), expected, **CLOSE)


@pytest.mark.slip
def test_wrong_encoders_give_other_maps():
    encoder = made().backbone
    w = {name: value.numpy() for name, value in encoder.state_dict().items()}
    image = images()[1][:1]
    maps = encoder(image)[0].detach()
    assert_close(maps, torch.from_numpy(encoded(image[0].numpy(), w)), **CLOSE)
    for slip in ({"padded": True}, {"pools": (True, True, True, False)}, {"pools": (True, False, True, False)}):
        wrong = encoded(image[0].numpy(), w, **slip)
        assert wrong.shape != maps.shape or not np.allclose(wrong, maps, atol=1e-3)


def test_it_keeps_the_contract():
    check_learner(made(), learns=False, item_shape=(1, SIZE, SIZE), shots=(1, 2))


def test_the_sizes_are_the_papers():
    """Omniglot: 5 by 5 pixels of 64 channels; 84 pixels a side leave 19."""
    assert load_learner("relation-net").head.shape == (64, 5, 5)
    assert load_learner("relation-net", in_channels=3, size=84).head.shape == (64, 19, 19)
    assert MapEncoder()(torch.zeros(1, 1, 28, 28)).shape == (1, 64, 5, 5)


def test_an_encoder_of_ones_own():
    learner = EndToEndRelationNet(nn.AvgPool2d(4), size=20, width=4)
    assert learner.head.shape == (1, 5, 5)
    support, query, _ = episode((1, 2), 400)
    scores = (
        learner.double().eval().adapt(support.map(lambda x: x.reshape(-1, 1, 20, 20)))(query.reshape(-1, 1, 20, 20))
    )
    assert scores.shape == (5, 2)


def test_the_encoder_is_left_as_it_was():
    encoder = MapEncoder(1, 4)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert EndToEndRelationNet(encoder, width=4).backbone is encoder and encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_loss_is_the_squared_error_with_gradients_to_the_encoder():
    learner = made()  # in eval mode batch norm is a constant map
    support, query, labels = images(count=2)
    loss = episode_loss(learner, support, query, labels)
    loss.backward()
    with torch.no_grad():
        r = torch.stack([oracle(support[k], query[k], learner) for k in range(2)]).numpy()
    terms = [(r[k, i, c] - (labels[k, i] == c).item()) ** 2 for k in range(2) for i in range(3) for c in range(3)]
    assert_close(loss.item(), float(np.mean(terms)), **CLOSE)
    weight, values = learner.backbone.blocks[0][0].weight, []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            weight[0, 0, 1, 1] += step
            values.append(episode_loss(learner, support, query, labels).item())
            weight[0, 0, 1, 1] -= step
    assert_close(weight.grad[0, 0, 1, 1].item(), (values[0] - values[1]) / 2e-6, rtol=1e-5, atol=1e-10)


def test_training_learns():
    rng = np.random.default_rng(0)
    y = np.arange(5).repeat(6)
    x = 2 * rng.normal(size=(5, 1, SIZE, SIZE))[y] + rng.normal(size=(30, 1, SIZE, SIZE))
    base = Collection.from_arrays(x.astype(np.float32), y)
    learner = load_learner("relation-net", size=SIZE, width=8)
    state = train(learner, base, EpisodicTraining(EpisodeSpec(2, 1, 3), steps=30, tasks=2, learning_rate=0.01))
    assert np.mean(state.losses[-5:]) < 0.7 * np.mean(state.losses[:5])


def test_weights_are_those_of_the_seed_and_global_randomness_is_untouched():
    before = torch.get_rng_state()
    one, same, other = (EndToEndRelationNet(width=4, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["backbone.blocks.0.0.weight"], other["backbone.blocks.0.0.weight"])


def test_a_known_number():
    """All weights 0 but the last bias: the sigmoid of 2 for every pair."""
    learner = made()
    for parameter in learner.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(learner.head.relation.rest[-2].bias, 2.0)
    support, query, _ = images()
    assert_close(learner.adapt(support)(query).detach(), torch.full((3, 3), 0.8807970779778823).double())


def test_errors_say_what_must_hold():
    with pytest.raises(
        FewShotError, match=r"at least 4 pixels a side, got \(64, 3, 3\) of an image of 21 pixels a side"
    ):
        EndToEndRelationNet(size=21)
    with pytest.raises(FewShotError, match=r"maps \(channels, rows, columns\) .*, got \(784,\) of an image of 28"):
        EndToEndRelationNet(nn.Flatten())
    with pytest.raises(FewShotError, match=r"the encoder must take images of 3 channels and 28 pixels a side, got '"):
        EndToEndRelationNet(nn.Conv2d(1, 4, 3), in_channels=3)
    with pytest.raises(FewShotError, match="combine must be 'sum' or 'mean', got 'max'"):
        EndToEndRelationNet(combine="max")
    support, _, _ = images((1, 2))
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        made().adapt(SupportSet(support.x, torch.zeros_like(support.y), 2))
    assert type(load_learner("relation-net", combine="mean")) is Embedded
