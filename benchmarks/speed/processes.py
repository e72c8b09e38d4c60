"""A contestant in two processes of one thread each."""

import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection

import race
import torch
from torch import Tensor
from torch.multiprocessing import get_context

from fewshot.training.memory import keep_freed_memory


def together(mine: Callable[[], race.Contestant], other: Callable[[], race.Contestant]) -> race.Contestant:
    """Sums of the tensors of two contestants, the other of which runs in a process of its own.

    Args:
        mine: Builds the contestant of this process, whose calls take one thread here.
        other: Builds the other; must be picklable, and runs for as long as the returned contestant lives.
    """
    context = get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_serve, args=(other, there), daemon=True)
    child.start()
    there.close()
    call = mine()

    def answer() -> list[Tensor]:
        here.send("go")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            own = call()
        finally:
            torch.set_num_threads(threads)
        return [a + torch.from_numpy(b) for a, b in zip(own, here.recv(), strict=True)]

    weakref.finalize(answer, child.terminate)
    return answer


def _serve(build: Callable[[], race.Contestant], pipe: Connection) -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    call = build()
    while True:
        pipe.recv()
        pipe.send([tensor.numpy() for tensor in call()])
