"""What a race is measured against: the machine's convolution peak, the work of a network, the memory of a call."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import race
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from fewshot.training.memory import keep_freed_memory


@torch.no_grad()
def convolution_peak() -> float:
    """Multiply-adds a second of a large float32 convolution, in its better memory layout."""
    x, w = torch.rand(8, 256, 28, 28), torch.rand(256, 256, 3, 3)
    work = x.shape[0] * 28 * 28 * w.numel()
    best = float("inf")
    for layout in (torch.contiguous_format, torch.channels_last):
        a, b = x.contiguous(memory_format=layout), w.contiguous(memory_format=layout)
        best = min(best, *(race.timed(lambda a=a, b=b: conv2d(a, b, padding=1), 1) for _ in range(6)))
    return work / best


@torch.no_grad()
def multiply_adds(network: nn.Module, items: Tensor) -> float:
    """Of one forward pass: convolutions and products."""
    with FlopCounterMode(display=False) as counter:
        network(items)
    return counter.get_total_flops() / 2


def megabytes(build: Callable[..., race.Contestant], *arguments: Any) -> float:
    """By how much the largest resident memory of a fresh process grows in two calls of a contestant, in 2**20 bytes."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=_grow, args=(answers, build, arguments))
    child.start()
    child.join()
    if child.exitcode != 0:
        raise RuntimeError(f"the process that measures memory must end well, got exit code {child.exitcode}")
    return float(answers.get())


def _grow(answers: Any, build: Callable[..., race.Contestant], arguments: tuple[Any, ...]) -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    call = build(*arguments)
    before = _largest_resident()
    for _ in range(2):
        call()
    answers.put(_largest_resident() - before)


def _largest_resident() -> float:
    """Of this program, by Linux's own count; ``getrusage`` would also count the process that started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 2**10
