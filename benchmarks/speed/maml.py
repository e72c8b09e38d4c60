"""Race: the gradient of second-order MAML on 32 tasks, Omniglot shape, Conv-4 with pooling, 5-way 1-shot, 15 queries.

Contestants: the loss of our ``MAML`` as the training loop takes it, an episode a pass with ``backward`` after each; and
learn2learn's ``MAML``, ``clone``, ``adapt`` and ``backward`` a task, as its examples are written. Both get the same
network, weights and images; batch norm uses the batch at hand.

Equal means: in float64 on the first tasks, gradients of all parameters agree to 1e-8 of the largest.
"""

import copy
from typing import Any

import peers
import race
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewshot.backbones.conv4 import Conv4
from fewshot.contract import SupportSet, episode_loss
from fewshot.learners.maml import MAML

TASKS, WAY, QUERY, RATE, SAME = 32, 5, 15, 0.5, 2
TARGETS = {1: {"learn2learn": 1.4}, 5: {"learn2learn": 1.25}}


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


def learner(steps: int, dtype: torch.dtype) -> MAML:
    """Ours, with weights that are always the same."""
    torch.manual_seed(0)
    return MAML(Conv4(), WAY, lr=RATE, steps=steps).to(dtype)


def ours(steps: int, count: int, dtype: torch.dtype = torch.float32) -> race.Contestant:
    """Gradients by parameter."""
    model, (support, query, labels) = learner(steps, dtype).train(), tasks(count, dtype)

    def answer() -> list[Tensor]:
        model.zero_grad()
        for k in range(count):
            part = slice(k, k + 1)
            (episode_loss(model, support[part], query[part], labels[part]) / count).backward()
        return [p.grad for p in model.network.parameters()]

    return answer


def learn2learns(steps: int, count: int, dtype: torch.dtype = torch.float32) -> race.Contestant:
    """Gradients by parameter, in the same order."""
    import learn2learn

    network: Any = copy.deepcopy(learner(steps, dtype).network).train()
    model, (support, query, labels) = learn2learn.algorithms.MAML(network, lr=RATE), tasks(count, dtype)

    def answer() -> list[Tensor]:
        model.zero_grad()
        for k in range(count):
            task = model.clone()
            for _ in range(steps):
                task.adapt(cross_entropy(task(support.x[k]), support.y[k]))
            (cross_entropy(task(query[k]), labels[k]) / count).backward()
        return [p.grad for p in model.parameters()]

    return answer


def check(answers: dict[str, list[Tensor]], steps: int) -> dict[str, Any]:
    """Raise unless gradients are equal as the top of this file says."""
    if len(answers) == 1:
        return {}
    exact = [make(steps, SAME, torch.float64)() for make in (ours, learn2learns)]
    largest = max(float(g.abs().max()) for g in exact[1])
    gap = max(float((a - b).abs().max()) for a, b in zip(*exact, strict=True)) / largest
    if not gap < 1e-8:
        raise AssertionError(f"gradients must agree within 1e-8 of the largest in float64, got {gap:.1e}")
    return {"largest_difference_of_gradients_in_float64": gap}


def peak(threads: int) -> float:
    """Multiply-adds a second of a large convolution of the same kind, in units of 1e9."""
    layer = nn.Conv2d(64, 64, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    x = torch.rand(256, 64, 14, 14).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        seconds = min(race.timed(lambda: layer(x), 3) for _ in range(5))
    return 256 * 14 * 14 * 64 * 64 * 9 / seconds / 1e9


def heat(steps: int, rounds: int, threads: int) -> race.Heat:
    """One number of inner steps."""
    builders = {"fewshot": lambda: ours(steps, TASKS), "learn2learn": lambda: learn2learns(steps, TASKS)}
    name = f"{steps} inner step(s), {TASKS} tasks"
    done = race.run(name, race.present(builders), lambda a: check(a, steps), rounds, TARGETS[steps])
    done.facts["peak_giga_multiply_adds"] = peak(threads)
    # forward of an image: 10.3 million multiply-adds. A query goes forward and back (3), a support item of an inner
    # step forward, back, and both again for the second order (about 9).
    work = TASKS * WAY * (3 * QUERY + 9 * steps) * 10.3e6
    done.facts["fraction_of_peak"] = {
        name: work / sorted(s)[len(s) // 2] / 1e9 / done.facts["peak_giga_multiply_adds"]
        for name, s in done.seconds.items()
    }
    return done


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=5), race.machine()
    heats = [heat(steps, settings.rounds, settings.threads) for steps in (1, 5)]
    race.report("maml", heats, settings, started, peers.notes())
