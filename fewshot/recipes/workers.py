"""Processes that share the work of a recipe, and end with the one that started them."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from fewshot.errors import FewShotError

LOOK = 0.5  # seconds between two looks at the parent


def share(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Any]:
    """Results of calls as they are done, in any order; with one job, in this process.

    Args:
        function: Called in a process with one thread.
        calls: Its arguments.
        jobs: Processes.

    Raises:
        FewShotError: If the system killed a process.
    """
    workers = (
        {"initializer": end_with_parent, "initargs": (os.getpid(),), "inner_max_num_threads": 1} if jobs > 1 else {}
    )
    with parallel_config(backend="loky", n_jobs=jobs, **workers):
        try:
            yield from Parallel(return_as="generator_unordered", batch_size=1)(
                delayed(function)(*call) for call in calls
            )
        except TerminatedWorkerError:
            raise FewShotError(
                f"each of the {jobs} processes must live until its work is done, got one that was killed, perhaps because "
                "memory was short; give the same command again with fewer --jobs"
            ) from None


def end_with_parent(parent: int) -> None:
    """Let this process end soon after the one that started it, also where that one was killed before any work was handed out.

    Without it, work that was handed out would go on for hours after a kill or a closed terminal, and one that waits for work would
    for minutes. What is half written then is a temporary file, which the next run removes. On Windows a process does not learn of
    its parent's end.

    Args:
        parent: Number of the process that started this one, which may have ended since.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
