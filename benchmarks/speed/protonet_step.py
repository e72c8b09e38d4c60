"""Race: one training step of a prototypical network, forward, backward and Adam: 60-way 5-shot 5-query, 28 x 28, Conv-4.

Contestants: ``Embedded(Conv4(), NearestMean())``; learn2learn's
``PrototypicalClassifier`` on its ``CNN4Backbone``; easyfsl's
``PrototypicalNetworks`` on the usual Conv-4 of plain layers (easyfsl ships
none). All with 64 channels and max pooling, in float32, on the same episode.

Equal means: with equal weights, in float64, equal gradients. learn2learn
computes what we do. easyfsl embeds support and queries in two passes (so each
has batch statistics of its own) and scores by the distance, not its square;
its gradients are compared with ours of that loss.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import race
import torch
from peak import convolution_peak
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from fewshot.backbones.conv4 import Conv4
from fewshot.contract import SupportSet, episode_loss
from fewshot.embedded import Embedded
from fewshot.learners.metric.nearest_mean import NearestMean

WAY, SHOT, QUERY, WIDTH = 60, 5, 5, 64
TARGETS = {"learn2learn": 1.7, "easyfsl": 1.4}
EXACT = {"rtol": 1e-8, "atol": 1e-10}


@dataclass(frozen=True)
class Episode:
    """One shuffled episode: images ``(n, 1, 28, 28)`` and labels ``(n,)``."""

    support: Tensor
    support_y: Tensor
    query: Tensor
    query_y: Tensor


Loss = Callable[[nn.Module, Episode], Tensor]


def episode(dtype: torch.dtype) -> Episode:
    """Random images in [0, 1); time does not depend on what they show."""
    rng = torch.Generator().manual_seed(0)

    def labels(each: int) -> Tensor:
        return torch.arange(WAY).repeat(each)[torch.randperm(WAY * each, generator=rng)]

    def images(n: int) -> Tensor:
        return torch.rand(n, 1, 28, 28, generator=rng, dtype=torch.float64).to(dtype)

    return Episode(images(WAY * SHOT), labels(SHOT), images(WAY * QUERY), labels(QUERY))


def fewshot_model() -> nn.Module:
    """Conv-4 under nearest class means."""
    return Embedded(Conv4(in_channels=1, width=WIDTH), NearestMean())


def fewshot_loss(model: nn.Module, e: Episode) -> Tensor:
    """The loss that ``fewshot.training.episodic.train`` minimises."""
    return episode_loss(model, SupportSet(e.support[None], e.support_y[None], WAY), e.query[None], e.query_y[None])


def learn2learn_model() -> nn.Module:
    """learn2learn's Conv-4 with 64 channels and max pooling, and its classifier."""
    from learn2learn.nn import PrototypicalClassifier
    from learn2learn.vision.models import CNN4Backbone

    backbone = CNN4Backbone(hidden_size=WIDTH, channels=1, max_pool=True)
    return nn.ModuleDict({"backbone": backbone, "classifier": PrototypicalClassifier()})


def learn2learn_loss(model: nn.Module, e: Episode) -> Tensor:
    """One pass over support and queries, as in learn2learn's own training module."""
    z = model["backbone"](torch.cat([e.support, e.query]))
    model["classifier"].fit_(z[: WAY * SHOT], e.support_y)
    return cross_entropy(model["classifier"](z[WAY * SHOT :]), e.query_y)


def easyfsl_model() -> nn.Module:
    """The classifier of easyfsl on a Conv-4 of plain layers, in the order of the papers."""
    from easyfsl.methods import PrototypicalNetworks

    def block(channels: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.MaxPool2d(2)]

    return PrototypicalNetworks(nn.Sequential(*block(1), *block(WIDTH), *block(WIDTH), *block(WIDTH), nn.Flatten()))


def easyfsl_loss(model: nn.Module, e: Episode) -> Tensor:
    """As in easyfsl's episodic training."""
    model.process_support_set(e.support, e.support_y)
    return cross_entropy(model(e.query), e.query_y)


def our_loss_as_easyfsl(model: nn.Module, e: Episode) -> Tensor:
    """Two passes, and distances instead of their squares."""
    scores = model.adapt(SupportSet(e.support[None], e.support_y[None], WAY))(e.query[None])[0]
    return cross_entropy(-(-scores).sqrt(), e.query_y)


CONTESTANTS: dict[str, tuple[Callable[[], nn.Module], Loss, Loss]] = {  # model, its loss, ours to compare with
    "fewshot": (fewshot_model, fewshot_loss, fewshot_loss),
    "learn2learn": (learn2learn_model, learn2learn_loss, fewshot_loss),
    "easyfsl": (easyfsl_model, easyfsl_loss, our_loss_as_easyfsl),
}


def layers(model: nn.Module) -> list[nn.Module]:
    """Convolutions in the order of the forward pass, then batch norms (learn2learn registers them before their convolution)."""
    return [m for kind in (nn.Conv2d, nn.BatchNorm2d) for m in model.modules() if isinstance(m, kind)]


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Give the target the source's weights; a bias that only the target has stays: batch norm subtracts it."""
    for a, b in zip(layers(source), layers(target), strict=True):
        for name, value in a.named_parameters():
            b.get_parameter(name).copy_(value)


def step_of(name: str) -> race.Contestant:
    """A training step of one contestant, all of whom start from the same weights; its answer is the loss."""
    torch.manual_seed(0)
    build, loss_of, _ = CONTESTANTS[name]
    ours, model = fewshot_model(), build()
    copy_weights(ours, model)
    optimizer, e = torch.optim.Adam(model.parameters(), lr=1e-3), episode(torch.float32)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model, e)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def gradients(model: nn.Module, loss: Tensor) -> list[dict[str, Tensor]]:
    """Gradients of each layer by name."""
    model.zero_grad()
    loss.backward()
    return [{name: p.grad.clone() for name, p in layer.named_parameters()} for layer in layers(model)]


def check(answers: dict[str, float]) -> dict[str, Any]:
    """Raise unless gradients agree in float64, and first losses in float32."""
    torch.manual_seed(0)
    ours, e = fewshot_model().double(), episode(torch.float64)
    largest = {}
    for name in answers:
        build, loss_of, ours_of = CONTESTANTS[name]
        model = build().double()
        copy_weights(ours, model)
        expected_loss, loss = ours_of(ours, e), loss_of(model, e)
        torch.testing.assert_close(loss, expected_loss, **EXACT)
        torch.testing.assert_close(answers[name], expected_loss.item(), rtol=1e-4, atol=1e-4)
        largest[name] = compare_gradients(gradients(ours, expected_loss), gradients(model, loss))
    return {"largest_gradient_difference_in_float64": largest}


def compare_gradients(expected: list[dict[str, Tensor]], got: list[dict[str, Tensor]]) -> float:
    """Largest difference; raises if there is one, or if a bias before batch norm gets a gradient."""
    largest = 0.0
    for ours, theirs in zip(expected, got, strict=True):
        for name, value in theirs.items():
            wanted = ours.get(name, torch.zeros_like(value))
            torch.testing.assert_close(value, wanted, **EXACT)
            largest = max(largest, float((value - wanted).abs().max()))
    return largest


def operations() -> int:
    """Floating-point operations of one step: convolutions and products, forward and backward."""
    step = step_of("fewshot")
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def heat(rounds: int) -> race.Heat:
    """The only setting, with the fraction of the machine's peak that each contestant reaches."""
    peak = 2 * convolution_peak()
    contestants = race.present({name: lambda name=name: step_of(name) for name in CONTESTANTS})
    result = race.run("60-way 5-shot 5-query", contestants, check, rounds, TARGETS)
    peak, work = max(peak, 2 * convolution_peak()), operations()
    fractions = {n: work / sorted(s)[len(s) // 2] / peak for n, s in result.seconds.items()}
    facts = {**result.facts, "operations": work, "peak_operations_per_second": peak, "fraction_of_peak": fractions}
    return replace(result, facts=facts)


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0]), race.machine()
    result = heat(settings.rounds)
    race.report("protonet_step", [result], settings, started, [])
    shares = ", ".join(f"{name} {share:.0%}" for name, share in result.facts["fraction_of_peak"].items())
    print(
        f"of this machine's convolution peak, {result.facts['peak_operations_per_second'] / 1e9:.1f} GFLOP/s: {shares}"
    )
