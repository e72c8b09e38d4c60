"""Race: the gradient of MAML and its kin on 32 tasks of Omniglot's shape, 5-way 1-shot, 15 queries a class.

Contestants: the loss of our learner as the training loop takes it, an episode a pass with ``backward`` after each;
learn2learn's ``MAML``, ``clone``, ``adapt`` and ``backward`` a task as in its examples, on its own networks and, to tell
the method from the network, on ours; parallel-metalearn's second-order ``MAML`` on ours, as it comes, which is mapped over four
tasks at a time (the best of 1, 4, 8, 32 here), and one task after the other. Beside them stands ours in two processes of one thread,
half the tasks each, as the training loop has it where it is launched in two. All get the same weights and images; batch norm
uses the batch at hand.

Equal means: in float64, on the first tasks, the gradients of all parameters agree to 1e-8 of the largest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import peak
import peers
import processes
import race
import torch
from parallel_metalearn import gradients_of
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewshot.backbones.conv4 import Conv4
from fewshot.contract import SupportSet, episode_loss
from fewshot.learners.gradient.maml import MAML

TASKS, WAY, QUERY, RATE, SAME = 32, 5, 15, 0.5, 2
TWO = "fewshot, two processes"


@dataclass(frozen=True)
class Setting:
    """One heat.

    Attributes:
        name: In a few words.
        strided: Whether Conv-4 halves by its strides instead of pooling.
        steps: Inner steps.
        first_order: Whether the inner gradients count as constants.
        head: Whether the head alone adapts, which is ANIL.
        target: Ratio to learn2learn with its own network.
    """

    name: str
    strided: bool = False
    steps: int = 1
    first_order: bool = False
    head: bool = False
    target: float | None = None


SETTINGS = (
    Setting("MAML, pooled, 1 step", target=1.4),
    Setting("MAML, pooled, 5 steps", steps=5, target=1.25),
    Setting("MAML, strided, 1 step", strided=True),
    Setting("first-order MAML, pooled, 1 step", first_order=True),
    Setting("ANIL, pooled, 1 step", head=True),
)


def tasks(count: int, dtype: torch.dtype) -> tuple[SupportSet, Tensor, Tensor]:
    """Sparse random strokes, alike within a class."""
    generator = torch.Generator().manual_seed(0)
    look = torch.rand(count, WAY, 1, 28, 28, generator=generator)

    def items(each: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(WAY).repeat_interleave(each).expand(count, -1)
        noise = torch.rand(count, WAY * each, 1, 28, 28, generator=generator)
        return ((look.repeat_interleave(each, 1) + noise) > 1.5).to(dtype), y

    (x, y), (query, labels) = items(1), items(QUERY)
    return SupportSet(x, y, WAY), query, labels


def learner(s: Setting, dtype: torch.dtype) -> MAML:
    """Ours, with weights that are always the same."""
    torch.manual_seed(0)
    part, network = "head" if s.head else "all", Conv4(stride=s.strided, flatten=not s.strided)
    return MAML(network, WAY, RATE, s.steps, adapts=part, first_order=s.first_order).to(dtype).train()


def ours(s: Setting, count: int, dtype: torch.dtype = torch.float32, share: slice = slice(None)) -> race.Contestant:
    """Gradients by parameter, of a share of the tasks."""
    model, (support, query, labels) = learner(s, dtype), tasks(count, dtype)

    def answer() -> list[Tensor]:
        model.zero_grad()
        for k in range(count)[share]:
            part = slice(k, k + 1)
            (episode_loss(model, support[part], query[part], labels[part]) / count).backward()
        return [p.grad for p in model.network.parameters()]

    return answer


def their_network(s: Setting, dtype: torch.dtype) -> nn.ModuleDict:
    """learn2learn's network with our weights; its convolutions have a bias, which batch norm takes away again."""
    from learn2learn.vision.models import CNN4, OmniglotCNN

    source = learner(s, dtype).network
    made = OmniglotCNN(WAY) if s.strided else CNN4(WAY, channels=1, embedding_size=64)
    parts = nn.ModuleDict({"features": made.features, "head": made.classifier}).to(dtype)
    with torch.no_grad():
        for kind in (nn.Conv2d, nn.BatchNorm2d, nn.Linear):
            pairs = zip(*([m for m in net.modules() if isinstance(m, kind)] for net in (source, parts)), strict=True)
            for ours, theirs in pairs:
                for name, value in ours.named_parameters():
                    theirs.get_parameter(name).copy_(value)
    return parts.train()


def learn2learns(s: Setting, count: int, dtype: torch.dtype = torch.float32, own: bool = True) -> race.Contestant:
    """Gradients by parameter, in the same order."""
    import learn2learn

    network = learner(s, dtype).network
    parts = their_network(s, dtype) if own else nn.ModuleDict({"features": network.backbone, "head": network.head})
    features = parts["features"] if s.head else nn.Identity()
    whole = parts["head"] if s.head else nn.Sequential(parts["features"], parts["head"])
    model = learn2learn.algorithms.MAML(whole, lr=RATE, first_order=s.first_order)
    support, query, labels = tasks(count, dtype)

    def answer() -> list[Tensor]:
        parts.zero_grad()
        for k in range(count):
            task, x, q = model.clone(), features(support.x[k]), features(query[k])
            for _ in range(s.steps):
                task.adapt(cross_entropy(task(x), support.y[k]))
            (cross_entropy(task(q), labels[k]) / count).backward()
        return _in_our_order(parts)

    return answer


def _in_our_order(parts: nn.Module) -> list[Tensor]:
    """Gradients layer by layer, convolution before batch norm, without biases that batch norm takes away."""
    layers = [[m for m in parts.modules() if isinstance(m, kind)] for kind in (nn.Conv2d, nn.BatchNorm2d)]
    pairs = [p.grad for a, b in zip(*layers, strict=True) for p in (a.weight, b.weight, b.bias)]
    return [*pairs, *(p.grad for p in parts["head"].parameters())]


def parallel(s: Setting, count: int, dtype: torch.dtype = torch.float32, backend: str = "vmap") -> race.Contestant:
    """parallel-metalearn's, which takes second-order MAML only here."""
    return gradients_of(learner(s, dtype).network, *tasks(count, dtype), s.steps, RATE, backend=backend)


def ours_in_two(s: Setting, count: int, dtype: torch.dtype = torch.float32) -> race.Contestant:
    """Gradients by parameter, the second half of them from another process."""
    halves = [partial(ours, s, count, dtype, share=slice(k, None, 2)) for k in (0, 1)]
    return processes.together(*halves)


CONTESTANTS: dict[str, Callable[..., race.Contestant]] = {
    race.OURS: ours,
    TWO: ours_in_two,
    "learn2learn": learn2learns,
    "learn2learn, our network": partial(learn2learns, own=False),
    "parallel-metalearn": parallel,
    "parallel-metalearn, in turn": partial(parallel, backend="sequential"),
}


def check(answers: dict[str, list[Tensor]], s: Setting) -> dict[str, Any]:
    """Raise unless gradients are equal as the top of this file says."""
    exact = {name: CONTESTANTS[name](s, SAME, torch.float64)() for name in answers}
    largest = max(float(g.abs().max()) for g in exact[race.OURS])
    gaps = {
        name: max(float((a - b).abs().max()) for a, b in zip(exact[race.OURS], got, strict=True)) / largest
        for name, got in exact.items()
    }
    if not all(gap < 1e-8 for gap in gaps.values()):
        raise AssertionError(f"gradients must agree within 1e-8 of the largest in float64, got {gaps}")
    return {"largest_difference_of_gradients_in_float64": gaps}


def multiply_adds(s: Setting) -> float:
    """Of the convolutions of all tasks: three passes for a query or a first-order step, nine for a second-order one."""
    image = peak.multiply_adds(learner(s, torch.float32).network, torch.rand(1, 1, 28, 28))
    step = 1 if s.head else 3 if s.first_order else 9  # ANIL: the features once, their gradient with the queries'
    return TASKS * WAY * image * (3 * QUERY + step * s.steps + 2 * s.head)


def heat(s: Setting, rounds: int) -> race.Heat:
    """One setting, with the share of the convolution peak, and the memory of a task, of each contestant."""
    names = [n for n in CONTESTANTS if not (n.startswith("parallel") and (s.first_order or s.head))]
    built = race.present({name: lambda name=name: CONTESTANTS[name](s, TASKS) for name in names})
    done = race.run(s.name, built, lambda a: check(a, s), rounds, {"learn2learn": s.target} if s.target else {})
    best, work = peak.convolution_peak(), multiply_adds(s)
    done.facts["peak_giga_multiply_adds"] = best / 1e9
    done.facts["fraction_of_peak"] = {n: work / sorted(t)[len(t) // 2] / best for n, t in done.seconds.items()}
    done.facts["peak_megabytes_of_one_task"] = {n: peak.megabytes(CONTESTANTS[n], s, 1) for n in built if n != TWO}
    return done


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=5), race.machine()
    heats = [heat(s, settings.rounds) for s in SETTINGS]
    race.report("maml", heats, settings, started, peers.notes())
    for done in heats:
        print(done.name, "of the convolution peak:", {n: f"{f:.0%}" for n, f in done.facts["fraction_of_peak"].items()})
