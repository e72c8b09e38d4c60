"""Supervised pre-training against loops over torch's own optimisers, in float64."""

import copy

import numpy as np
import pytest
import torch
from test_training import made, same, weights
from torch import nn
from torch.testing import assert_close

from fewshot.backbones.conv4 import Conv4
from fewshot.errors import FewShotError
from fewshot.training.supervised import ClassHead, SupervisedTraining, item_rows, pretrain
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.distillation import Distillation
from fewshot.training.terms.rotation import Rotation


def network(seed=0, classes=8, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made_one = ClassHead(Conv4(width=4, size=16), classes, **options).double()
    made_one.backbone.preprocess = lambda x: x.double() / 255
    return made_one


def settings(**changes):
    return SupervisedTraining(**{"steps": 6, "batch_size": 12, "seed": 3, "halve_every": 4, "save_every": 2} | changes)


def slow(net, collection, chosen):
    """Plain torch: a loop over batches of permutations, ``nn.CrossEntropyLoss``."""
    adam, criterion, losses = torch.optim.Adam(net.parameters(), lr=1e-3), nn.CrossEntropyLoss(), []
    orders = [np.random.default_rng((chosen.seed, epoch)).permutation(len(collection)) for epoch in range(4)]
    rows = np.concatenate(orders)
    for step in range(chosen.steps):
        adam.param_groups[0]["lr"] = 1e-3 / 2 ** (step // 4)
        batch = rows[12 * step : 12 * step + 12]
        z = net.backbone(torch.from_numpy(np.array(collection.items[batch])).double() / 255)
        loss = criterion(z @ net.head.weight.T + net.head.bias, torch.from_numpy(collection.labels[batch]))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


def test_pre_training_is_the_plain_loop():
    ours, theirs, chosen = network(), network(), settings()
    state = pretrain(ours, made(), chosen)
    np.testing.assert_allclose(state.losses, slow(theirs, made(), chosen), rtol=1e-8)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(a, b, rtol=1e-6, atol=1e-9)
    assert len(ours.classes_seen) == 8


@pytest.mark.slip
@pytest.mark.parametrize("wrong", [{"cosine": 10.0}, {"seed": 4}, {"optimizer": "sgd"}], ids=lambda w: next(iter(w)))
def test_another_setting_would_be_noticed(wrong):
    head = {"cosine": wrong["cosine"]} if "cosine" in wrong else {}
    losses = pretrain(network(**head), made(), settings(**wrong)).losses
    assert not np.allclose(losses, slow(network(), made(), settings()), rtol=1e-6)


def test_every_item_comes_once_an_epoch_whatever_the_batches():
    chosen = settings(batch_size=5)
    rows = np.concatenate([item_rows(chosen, 12, step) for step in range(12)])
    for epoch in range(5):
        assert sorted(rows[12 * epoch : 12 * epoch + 12]) == list(range(12))
    assert list(rows[:12]) != list(rows[12:24])
    large = np.concatenate([item_rows(settings(batch_size=30), 12, step) for step in range(2)])
    assert list(large) == list(rows[:60])


def test_cosine_logits_do_not_feel_lengths():
    net = network(cosine=10.0)
    z = torch.randn(4, net.head.in_features, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w = net.head.weight.detach().numpy()
    unit = z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True)
    wanted = 10 * unit @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T
    assert_close(net.logits(3 * z).detach(), torch.from_numpy(wanted), rtol=1e-9, atol=1e-9)


def test_the_teacher_stays_as_it_is_and_teaches():
    teacher = network(seed=1)
    before = copy.deepcopy(weights(teacher))
    terms = [CrossEntropy(0.0), Distillation(teacher, 1.0)]
    losses = pretrain(network(), made(), settings(steps=60, halve_every=0), terms=terms).losses
    same(before, weights(teacher))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 2


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    def run(network, **more):
        turns = rotation(network)
        terms = [CrossEntropy(), turns]
        try:
            pretrain(network, made(), settings(average=0.5), terms=terms, augment=shift, **more)
        finally:
            network.turns = turns
        return weights(network)

    def stop(progress):
        if progress.state.step == 3:
            raise KeyboardInterrupt

    path = tmp_path / "run.safetensors"
    whole = run(network())
    with pytest.raises(KeyboardInterrupt):
        run(network(), checkpoint=path, report=stop)
    same(whole, run(network(seed=9), checkpoint=path))
    assert path.with_suffix(".csv").exists()


def rotation(net):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Rotation(net.head.in_features, 0.5).double()


def shift(items, generator):
    """An augmentation that draws from the step's generator."""
    return items.roll(int(torch.randint(0, 4, (1,), generator=generator)), -1)


def test_augmentation_sees_another_generator_each_step():
    drawn = []
    pretrain(network(), made(), settings(), augment=lambda x, g: drawn.append(torch.rand(1, generator=g).item()) or x)
    assert len(set(drawn)) == 6


def test_validation_judges_the_backbone():
    judged = []
    pretrain(network(), made(), settings(), validate=lambda part: judged.append(type(part).__name__) or 0.5)
    assert judged == ["Conv4"]


def test_a_head_of_other_classes_is_refused():
    with pytest.raises(FewShotError, match="a row a class, 8, got 5"):
        pretrain(network(classes=5), made(), settings())


def test_wrong_numbers_are_named():
    with pytest.raises(FewShotError, match="batch_size must be a whole number of at least 1, got 0"):
        settings(batch_size=0)
    with pytest.raises(FewShotError, match="number of features, got a Flatten; pass dim"):
        ClassHead(nn.Flatten(), 3)
