"""Race: one outer step of Reptile over 5 tasks of Omniglot's shape, 5-way, 10 examples a class, 5 steps of 10 images.

Contestants: the loss of our ``Reptile`` and its ``backward``; and the loop that tutorials write, a deep copy of the network
a task, stepped by ``torch.optim.Adam`` without momentum whose state is carried over. The network is the strided Conv-4
in both, and batches are drawn before the clock starts for the loop, and within it for ours.

Equal means: in float64, the outer gradients of all parameters, which are the ways the tasks move the weights, agree to
1e-8 of the largest. torch adds ε in the same place.
"""

import copy
from typing import Any

import peak
import race
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fewshot.backbones.conv4 import Conv4
from fewshot.contract import SupportSet
from fewshot.learners.gradient.inner_optimiser import batches
from fewshot.learners.gradient.reptile import Reptile

TASKS, WAY, EACH, STEPS, BATCH, RATE = 5, 5, 10, 5, 10, 1e-3


def learner(dtype: torch.dtype) -> Reptile:
    """Ours, with weights that are always the same."""
    torch.manual_seed(0)
    return Reptile(Conv4(stride=True), WAY, lr=RATE, steps=STEPS, batch=BATCH).to(dtype).train()


def tasks(dtype: torch.dtype) -> tuple[SupportSet, Tensor, Tensor]:
    """Support of one example a class and the others as queries, shuffled."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(TASKS, WAY * EACH, 1, 28, 28, generator=generator) > 0.8).to(dtype)
    y = torch.arange(WAY).repeat(EACH).expand(TASKS, -1)
    return SupportSet(x[:, :WAY], y[:, :WAY], WAY, seed=torch.arange(TASKS)), x[:, WAY:], y[:, WAY:]


def ours(dtype: torch.dtype = torch.float32) -> race.Contestant:
    """Outer gradients by parameter."""
    model, (support, query, labels) = learner(dtype), tasks(dtype)

    def answer() -> list[Tensor]:
        model.zero_grad()
        model.loss(support, query, labels).backward()
        return [p.grad for p in model.network.parameters()]

    return answer


def plain(dtype: torch.dtype = torch.float32) -> race.Contestant:
    """The same, by copies of the network and torch's Adam."""
    network, (support, query, labels) = learner(dtype).network, tasks(dtype)
    x, y = torch.cat([support.x, query], 1), torch.cat([support.y, labels], 1)
    drawn = [batches(WAY * EACH, BATCH, STEPS, support[k].generator()) for k in range(TASKS)]
    state: dict[str, Any] = {}

    def answer() -> list[Tensor]:
        total = [torch.zeros_like(p) for p in network.parameters()]
        for k, rows in enumerate(drawn):
            task = copy.deepcopy(network)
            optimizer = torch.optim.Adam(task.parameters(), lr=RATE, betas=(0.0, 0.999))
            if state:
                optimizer.load_state_dict(state["adam"])
            for part in rows:
                optimizer.zero_grad()
                cross_entropy(task(x[k, part]), y[k, part]).backward()
                optimizer.step()
            state["adam"] = optimizer.state_dict()
            for way, start, end in zip(total, network.parameters(), task.parameters(), strict=True):
                way += (start.detach() - end.detach()) / TASKS
        return total

    return answer


def check(answers: dict[str, list[Tensor]]) -> dict[str, Any]:
    """Raise unless outer gradients agree in float64."""
    exact = [make(torch.float64)() for make in (ours, plain)]
    largest = max(float(g.abs().max()) for g in exact[0])
    gap = max(float((a - b).abs().max()) for a, b in zip(*exact, strict=True)) / largest
    if not gap < 1e-8:
        raise AssertionError(f"outer gradients must agree within 1e-8 of the largest in float64, got {gap:.1e}")
    return {"largest_difference_in_float64": gap}


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0]), race.machine()
    done = race.run(
        "5 tasks, 5 steps of 10", {race.OURS: ours(), "copies and Adam": plain()}, check, settings.rounds, {}
    )
    done.facts["peak_megabytes"] = {race.OURS: peak.megabytes(ours), "copies and Adam": peak.megabytes(plain)}
    race.report("reptile_step", [done], settings, started, [])
