"""Processes that read damaged files, so that one that ends or hangs is seen, counted and replaced."""

import multiprocessing
import resource
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from fuzzing.kinds import KINDS
from fuzzing.trial import Outcome, attempt, whole_answer

START_SECONDS, SECONDS = 600, 20
"""For imports and whole files; for one input, of which none needs a hundredth of it on a free core."""
MORE_MEMORY = 2**31
"""Bytes beyond those of the imports: what a damaged header asks for beyond it is refused by the system."""


def outcomes(seed: int, stop: int, until: float) -> Iterator[tuple[int, Outcome]]:
    """What comes of the inputs ``0 .. stop - 1``, one after another, as long as the time lasts.

    Args:
        seed: Of all damage.
        stop: Number of inputs.
        until: Time, of `time.monotonic`, after which no further one is begun.
    """
    number = 0
    while number < stop and time.monotonic() < until:
        for outcome in _one_process(seed, number, stop, until):
            yield number, outcome
            number += 1


def _one_process(seed: int, start: int, stop: int, until: float) -> Iterator[Outcome]:
    """Outcomes from one worker until it is done, hangs or ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, seed, start, stop), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(START_SECONDS) or ours.recv() != "ready":
            raise RuntimeError("a worker must come up and read whole files, got none")
        for _ in range(start, stop):
            if time.monotonic() > until:
                return
            if not ours.poll(SECONDS):
                yield Outcome("hang", detail=f"no answer in {SECONDS} seconds")
                return
            yield Outcome(*ours.recv())
    except EOFError:
        process.join()
        yield Outcome("death", detail=f"the process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()


def _work(connection: Connection, seed: int, start: int, stop: int) -> None:
    import torch

    torch.set_num_threads(1)
    for name in KINDS:
        whole_answer(name)
    _limit_memory()
    connection.send("ready")
    for number in range(start, stop):
        found = attempt(seed, number)
        connection.send((found.what, found.place, found.detail))


def _limit_memory() -> None:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        now = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MORE_MEMORY, hard))
