"""When a run is saved: every so many steps, every minute, and before anything that may take long."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from fewshot.errors import FewShotError

SECONDS = 60.0  # between two saves, however slow the steps are


class Saves:
    """The saves of a run.

    Args:
        path: The checkpoint; without one nothing is saved.
        write: Writes it.
        every: Steps between two saves.
        steps: Of the whole run.
        step: Where the run stands, which needs no save.
    """

    def __init__(self, path: Path | None, write: Callable[[Path], object], every: int, steps: int, step: int) -> None:
        self.path, self.write, self.every, self.steps = path, write, every, steps
        self.step, self.when = step, monotonic()

    def now(self, step: int) -> None:
        """Save the state of a step, if that is not done yet."""
        if self.path is not None and step != self.step:
            self.write(self.path)
            self.step, self.when = step, monotonic()

    def if_due(self, step: int) -> None:
        """Save at the end, after so many steps or after a minute."""
        if step % self.every == 0 or step == self.steps or monotonic() - self.when >= SECONDS:
            self.step = -1  # a validation may have come since the last save of this step
            self.now(step)


def checkpoint_path(checkpoint: Any) -> Path | None:
    """The file of a checkpoint, from a path or a text.

    Raises:
        FewShotError: If it is neither, a folder, or ends in ``.csv``, as the log beside it does.
    """
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, (str, Path)):
        raise FewShotError(f"checkpoint must be the path of a file, got {type(checkpoint).__name__}")
    path = Path(checkpoint).expanduser()
    if path.is_dir() or not path.name:
        raise FewShotError(f"checkpoint must be the path of a file, got the folder '{checkpoint}'; add a name")
    if path.suffix == ".csv":
        raise FewShotError(f"checkpoint must not end in .csv, as the log beside it does, got '{checkpoint}'")
    return path
