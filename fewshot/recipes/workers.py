"""Processes that share the work of a recipe, and end with the one that started them."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
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
    called = function if jobs == 1 else _in_worker
    given = ((() if jobs == 1 else (function,)) + call for call in calls)
    with parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1 if jobs > 1 else None):
        try:
            yield from Parallel(return_as="generator_unordered", batch_size=1)(delayed(called)(*call) for call in given)
        except TerminatedWorkerError:
            raise FewShotError(
                f"each of the {jobs} processes must live until its work is done, got one that was killed, perhaps because "
                "memory was short; give the same command again with fewer --jobs"
            ) from None


def _in_worker(function: Callable[..., Any], *arguments: Any) -> Any:
    end_with_parent()
    return function(*arguments)


@cache
def end_with_parent() -> None:
    """Let this process end soon after the one that started it, also where that one was killed.

    Without it, work that was handed out would go on for hours after a kill or a closed terminal. What is half written
    then is a temporary file, which the next run removes. On Windows a process does not learn of its parent's end.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
