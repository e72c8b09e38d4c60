"""A progress line on stderr: only on a terminal, and only for what takes long."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 1.5  # seconds before a line appears


@contextmanager
def progress_line(unit: str = "episodes") -> Iterator[Callable[[int, int], None]]:
    """A function that takes ``(done, count)`` and shows speed and time left.

    Args:
        unit: What is counted.
    """
    line = _Line(unit)
    try:
        yield line.report if sys.stderr.isatty() else lambda done, count: None
    finally:
        line.close()


class _Line:
    def __init__(self, unit: str) -> None:
        self.unit, self.started = unit, time.perf_counter()
        self.progress: Any = None

    def report(self, done: int, count: int, text: str = "", speed: float | None = None) -> None:
        seconds = time.perf_counter() - self.started
        if self.progress is None and seconds < PATIENCE:
            return
        if self.progress is None:
            self._open(count)
        speed = done / seconds if speed is None else speed
        self.progress.update(0, completed=done, total=count, description=f"{speed:,.1f} {self.unit}/s{text}")

    def _open(self, count: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.progress.add_task("", total=count)
        self.progress.start()

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()


@contextmanager
def training_line() -> Iterator[Callable[[Any], None]]:
    """The same for a `fewshot.training.progress.Progress`; without a terminal, a plain line now and then."""
    line = _Line("episodes")
    show = _live(line) if sys.stderr.isatty() else _log
    try:
        yield show
    finally:
        line.close()


def _live(line: _Line) -> Callable[[Any], None]:
    def report(progress: Any) -> None:
        # after a resumption the steps done are more than the seconds explain: the run's own speed is right
        done, count = progress.state.step * progress.tasks, progress.steps * progress.tasks
        line.report(done, count, f", {standing(progress)}", progress.speed)

    return report


def _log(progress: Any) -> None:
    """One line each hundred steps, for log files."""
    if progress.state.step % 100 == 0 or progress.state.step == progress.steps:
        done, left = progress.state.step * progress.tasks, progress.seconds_left / 60
        text = f"{done} episodes, {progress.speed:.2f} episodes/s, {standing(progress)}, {left:.1f} min left"
        print(text, file=sys.stderr, flush=True)


def standing(progress: Any) -> str:
    """Loss, and accuracy of the last validation where there was one."""
    last = progress.state.validations[-1:]
    return f"loss {progress.loss:.4f}" + "".join(f", validation {100 * accuracy:.2f} %" for _, accuracy in last)
