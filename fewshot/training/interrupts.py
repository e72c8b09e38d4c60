"""Ctrl-C and SIGTERM wait until a step is whole and saved."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

DEFERRED = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes Ctrl-C and SIGTERM, and delivers them between two steps, after a save; a second one is delivered at once.

    Who handled a signal before still does: Ctrl-C becomes a ``KeyboardInterrupt``, SIGTERM ends the process. Signals that
    were ignored stay ignored.

    Args:
        wanted: Whether anything is saved; if not, signals are left as they are.
    """

    def __init__(self, wanted: bool = True) -> None:
        self.wanted = wanted and threading.current_thread() is threading.main_thread()
        self.process, self.received, self.waiting = os.getpid(), 0, True
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        known = {number: signal.getsignal(number) for number in DEFERRED} if self.wanted else {}
        self.before = {number: handler for number, handler in known.items() if handler not in (None, signal.SIG_IGN)}
        self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self.received:
            signal.raise_signal(self.received)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """For a time in which nothing is half done: signals are delivered when they come."""
        self.waiting = False
        try:
            yield
        finally:
            self.waiting = True

    def deliver(self, save: Callable[[], object]) -> None:
        """Save and deliver, if a signal has come."""
        if self.received:
            save()
            self._raise(self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.waiting and not self.received and os.getpid() == self.process:  # not in a child that was forked
            self.received = number
        else:
            self._raise(number)

    def _raise(self, number: int) -> None:
        self._restore()
        self.received = 0
        signal.raise_signal(number)
        self._install()  # the handler of before went on

    def _install(self) -> None:
        for number in self.before:
            signal.signal(number, self._note)

    def _restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
