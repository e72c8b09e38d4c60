"""Rotation and distillation: bit-equal to a plain loop that writes the loss out, and against NumPy in float64."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from term_steps import planted
from test_supervised import network, rotation, settings
from test_training import made
from torch.nn import functional

from fewshot.errors import FewShotError, ShapeError
from fewshot.training.supervised import SupervisedLoss, pretrain
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.distillation import Distillation
from fewshot.training.terms.rotation import Rotation


def single(net):
    net.float().backbone.preprocess = lambda x: x.float() / 255
    return net


def plain_loop(net, turns, teacher, chosen, share, weight):
    """Training as it was before there were terms: one loss, written out, in the order of its sums."""
    collection = made()
    parameters = [*net.parameters(), *turns.parameters()]
    adam = torch.optim.Adam(parameters, lr=1e-3)
    rows = np.concatenate([np.random.default_rng((chosen.seed, e)).permutation(len(collection)) for e in range(4)])
    net.train()
    for step in range(chosen.steps):
        adam.param_groups[0]["lr"] = 1e-3 / 2 ** (step // 4)
        batch = rows[12 * step : 12 * step + 12]
        images, labels = torch.from_numpy(np.array(collection.items[batch])), torch.from_numpy(collection.labels[batch])
        images = torch.cat([images.rot90(k, (-2, -1)) for k in range(4)]).float() / 255
        labels, of_turn = torch.cat([labels] * 4), torch.tensor([k for k in range(4) for _ in range(12)])
        z = net.backbone(images)
        logits = functional.linear(z, net.head.weight, net.head.bias)
        loss = functional.cross_entropy(logits, labels)
        with torch.no_grad():
            wanted = (teacher.head(teacher.backbone(images)) / 2.0).log_softmax(-1)
        divergence = functional.kl_div((logits / 2.0).log_softmax(-1), wanted, reduction="batchmean", log_target=True)
        loss = (1 - share) * loss + share * (4.0 * divergence)
        loss = loss + weight * functional.cross_entropy(turns.turns(z), of_turn)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()


@pytest.mark.parametrize("slip", [None, *planted("weight", "share", "order")])
def test_weights_are_bit_equal_to_the_plain_loop(slip):
    ours, chosen = single(network()), settings(clip=1.0)
    turns, teacher = rotation(ours).float(), single(network(seed=1)).eval()
    theirs, their_turns = copy.deepcopy(ours), copy.deepcopy(turns)
    terms = [CrossEntropy(0.7), Distillation(teacher, 0.3, 2.0), turns]
    if slip == "weight":
        turns.weight = 0.25
    if slip == "share":
        terms[0] = CrossEntropy()
    if slip == "order":
        turns.prepare = lambda items, labels, generator: (items.repeat(4, 1, 1, 1), labels.repeat(4))
    pretrain(ours, made(), chosen, terms=terms)
    plain_loop(theirs, their_turns, teacher, chosen, 0.3, 0.5)
    pairs = zip(
        [*ours.parameters(), *turns.parameters()], [*theirs.parameters(), *their_turns.parameters()], strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs) == (slip is None)


def numpy_loss(net, turns, items, labels, teacher, weight, distil, temperature):
    """The losses written out: one image and one turn at a time."""
    total = []
    for image, label in zip(items, labels, strict=True):
        for turn in range(4):
            x = torch.rot90(image, turn, (-2, -1))[None]
            with torch.no_grad():
                z = net.embed(x)
                logits, of_turn = net.logits(z)[0].numpy(), turns.turns(z)[0].numpy()
                soft = teacher.logits(teacher.embed(x))[0].numpy()
            p, q = log_softmax(soft / temperature), log_softmax(logits / temperature)
            divergence = temperature**2 * (np.exp(p) * (p - q)).sum()
            hard = -log_softmax(logits)[label]
            total.append((1 - distil) * hard + distil * divergence - weight * log_softmax(of_turn)[turn])
    return np.mean(total)


SLIPS = [{"temperature": 3.0}, {"distil": 0.7}, {"weight": 0.4}]


@pytest.mark.parametrize("slip", [{}, *planted(*SLIPS)], ids=str)
def test_the_terms_of_the_loss_written_out(slip):
    net, teacher = network().eval(), network(seed=1).eval()
    turns, generator = rotation(net), torch.Generator().manual_seed(0)
    items = torch.randint(0, 256, (3, 1, 16, 16), generator=generator, dtype=torch.uint8)
    labels = torch.tensor([2, 0, 7])
    terms = [CrossEntropy(0.7), Distillation(teacher, 0.3, 2.0), turns]
    ours = SupervisedLoss(net, terms)(items, labels, 0.0, generator).item()
    wanted = numpy_loss(
        net, turns, items, labels.tolist(), teacher, **{"weight": 0.5, "distil": 0.3, "temperature": 2.0} | slip
    )
    assert (abs(ours - wanted) < 1e-9) == (not slip)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(FewShotError, match=r"temperature must be a finite number above 0, got 0\.0"):
        Distillation(network(), temperature=0.0)
    with pytest.raises(ShapeError, match="images must be square to be turned, got height 2 and width 3"):
        Rotation(4).prepare(torch.zeros(5, 1, 2, 3), torch.zeros(5, dtype=torch.int64), torch.Generator())
