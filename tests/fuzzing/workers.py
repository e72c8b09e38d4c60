"""Processes that read damaged files, so that one that ends or hangs is seen, counted and replaced."""

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from queue import Queue
from threading import Thread
from typing import Any

from fuzzing.outcome import Outcome

Attempt = Callable[[int, int], Outcome]
START_SECONDS, SECONDS = 900, 60
"""For imports and whole files; for one input, of which none needs a hundredth of it on a free core."""
MORE_MEMORY = 2**31
"""Bytes beyond those of the imports: what a damaged header asks for beyond it is refused by the system."""


def outcomes(
    seed: int, stop: int, until: float, of: Attempt, seconds: float = SECONDS, jobs: int = 1
) -> Iterator[tuple[int, Outcome]]:
    """What comes of the inputs ``0 .. stop - 1``, as long as the time lasts; in order, where one process reads them.

    Args:
        seed: Of all damage.
        stop: Number of inputs.
        until: Time, of `time.monotonic`, after which no further one is begun.
        of: Tells what comes of an input, by seed and number; its ``prepare``, if it has one, is called first.
        seconds: After so many without an answer an input hangs.
        jobs: Processes at once; each takes every so manieth input.
    """
    found: Queue[Any] = Queue()

    def follow(job: int) -> None:
        try:
            for pair in _one_job(seed, range(job, stop, jobs), of, until, seconds):
                found.put(pair)
            found.put(None)
        except Exception as error:
            found.put(error)

    threads = [Thread(target=follow, args=(job,), daemon=True) for job in range(jobs)]
    for thread in threads:
        thread.start()
    for _ in threads:
        for pair in iter(found.get, None):
            if isinstance(pair, Exception):
                raise pair
            yield pair


def _one_job(seed: int, numbers: range, of: Attempt, until: float, seconds: float) -> Iterator[tuple[int, Outcome]]:
    """Outcomes of some inputs; after one that ended or stopped its process, the next one goes on."""
    while numbers and time.monotonic() < until:
        done = 0
        for outcome in _one_process((seed, numbers, of), until, seconds):
            yield numbers[done], outcome
            done += 1
        numbers = numbers[done:]


def _one_process(task: tuple[int, range, Attempt], until: float, seconds: float) -> Iterator[Outcome]:
    """Outcomes from one worker until it is done, hangs or ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, *task), daemon=True)
    process.start()
    theirs.close()
    try:
        _wait_for(ours)
        for _ in task[1]:
            if time.monotonic() > until:
                return
            if not _answers(ours, seconds):
                yield Outcome("hang", detail=f"no answer in {seconds} seconds")
                return
            yield Outcome(*ours.recv())
    except EOFError:
        process.join()
        yield Outcome("death", detail=f"the process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()


def _answers(worker: Connection, seconds: float) -> bool:
    """Whether an answer comes in time; a second at a time, so that a run that is stopped and continued does not lose patience."""
    return any(worker.poll(1) for _ in range(int(seconds)))


def _wait_for(worker: Connection) -> None:
    try:
        ready = _answers(worker, START_SECONDS) and worker.recv()
    except EOFError:
        ready = False
    if not ready:
        raise RuntimeError("a process must come up and read whole files, got one that does not; its error stands above")


def _work(connection: Connection, seed: int, numbers: range, of: Attempt) -> None:
    getattr(of, "prepare", lambda: None)()
    _limit_memory()
    connection.send("ready")
    for number in numbers:
        found = of(seed, number)
        connection.send((found.what, found.place, found.detail))


def _limit_memory() -> None:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        now = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MORE_MEMORY, hard))
